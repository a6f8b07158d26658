"""Documents in the store that no row names go: those of refused chunks, and of writes that were cut off."""

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


def tidy(session: Session, store: Store, shelf: int) -> int:
    """Delete what has lain unnamed on a shelf of the store for a day. Returns how many. Raises StoreUnavailable."""
    old = store.older(shelf, _GRACE)
    named = set(session.execute(_NAMED, {"names": old}).scalars()) if old else set()
    unnamed = [name for name in old if name not in named]
    for name in unnamed:
        store.delete(name)
    return len(unnamed)
