"""What is done now and then: documents in the store that no row names go (those of refused chunks, and of writes that
were cut off), and the planner is told how much there is.
"""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.store import Store

_GRACE = timedelta(days=1)  # a document is in the store before its row is in the database

_NAMED = text("""
    SELECT sha256 FROM snapshots WHERE sha256 = ANY(:names)
    UNION ALL
    SELECT sha256 FROM checkpoints WHERE sha256 = ANY(:names)
""")

# Autovacuum counts the rows of partitions, never those of the table that they make up.
_TRACES_HAVE_GROWN = text("""
    SELECT sum(greatest(part.reltuples, 0)) > 1.2 * greatest(whole.reltuples, 0) + 1000
    FROM pg_class AS whole
    JOIN pg_inherits ON inhparent = whole.oid
    JOIN pg_class AS part ON part.oid = inhrelid
    WHERE whole.oid = 'traces'::regclass
    GROUP BY whole.oid
""")


def tidy(session: Session, store: Store, shelf: int) -> int:
    """Delete what has lain unnamed on a shelf of the store for a day. Returns how many. Raises StoreUnavailable."""
    old = store.older(shelf, _GRACE)
    named = set(session.execute(_NAMED, {"names": old}).scalars()) if old else set()
    unnamed = [name for name in old if name not in named]
    for name in unnamed:
        store.delete(name)
    return len(unnamed)


def analyze_traces(session: Session) -> None:
    """Take a sample of all traces for the planner, if they have grown by a fifth since the last time."""
    if session.execute(_TRACES_HAVE_GROWN).scalar_one():
        session.execute(text("ANALYZE traces"))
