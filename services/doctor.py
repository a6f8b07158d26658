"""Is all well? The invariants of the queue, which are SQL (`v_doctor`), and the health of what it stands on."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.migrate import newest_revision
from db.session import READER_ROLE
from services.domain.errors import StoreUnavailable
from services.settings import Settings
from services.shelf import Shelf
from services.store import Store

_LEAST_FREE_BYTES = 2**30
_START = timedelta(minutes=1)
"""Ray takes half of it."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check. `ok`: nothing to do."""

    check: str
    ok: bool
    detail: str


def examine(session: Session, settings: Settings, *, up_for: timedelta) -> list[Finding]:
    """All checks, the invariants first. The invariants read every trial and its measurements once.

    `up_for`: how long this server has run. A dispatcher that starts with it takes a while to show itself.
    """
    return [
        *_invariants(session),
        *_database(session),
        *_reader(session),
        *_dispatchers(session, up_for),
        *_disk(settings),
        *_store(settings),
        Finding(check="data", ok=True, detail=Shelf.of(settings).describe()),
    ]


def _invariants(session: Session) -> Iterator[Finding]:
    for row in session.execute(text("SELECT invariant, meaning, violations, example FROM v_doctor")):
        broken = f"{row.violations} times, for instance {row.example}: {row.meaning}"
        yield Finding(check=row.invariant, ok=row.violations == 0, detail=broken if row.violations else row.meaning)


def _database(session: Session) -> Iterator[Finding]:
    version = session.execute(text("SHOW server_version")).scalar_one()
    size = session.execute(text("SELECT pg_size_pretty(pg_database_size(current_database()))")).scalar_one()
    yield Finding(check="database", ok=True, detail=f"PostgreSQL {version}, {size}")
    revision, newest = MigrationContext.configure(session.connection()).get_current_revision(), newest_revision()
    yield Finding(check="schema", ok=revision == newest, detail=f"revision {revision}, newest {newest}")


def _reader(session: Session) -> Iterator[Finding]:
    may = session.execute(
        text("""
            SELECT proname FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace
                AND proname IN ('pg_sleep', 'set_config', 'pg_advisory_lock', 'pg_notify', 'pg_terminate_backend',
                    'lo_create', 'query_to_xml')
                AND has_function_privilege(:reader, oid, 'EXECUTE')
            GROUP BY proname ORDER BY proname
        """),
        {"reader": READER_ROLE},
    ).scalars()
    left = ", ".join(may)
    detail = f"users' SQL may run {left}: only a superuser can take that back" if left else "users' SQL has no effects"
    yield Finding(check="reader", ok=not left, detail=detail)


def _dispatchers(session: Session, up_for: timedelta) -> Iterator[Finding]:
    rows = session.execute(
        text("""
            SELECT name, version, packs, capacity, now() - seen_at < ttl_seconds * interval '1 s' AS alive,
                (SELECT count(*) FROM workers WHERE dispatcher = dispatchers.name) AS workers
            FROM dispatchers ORDER BY name
        """)
    ).all()
    alive = [row for row in rows if row.alive]
    told = "; ".join(f"{row.name} ({row.workers} workers, {row.packs} packs)" for row in alive)
    starting = not alive and up_for < _START
    none = "starting: none has shown itself yet" if starting else "none is alive: nothing will be trained"
    yield Finding(check="dispatchers", ok=bool(alive) or starting, detail=told or none)
    versions = sorted({row.version for row in alive})
    if versions:
        yield Finding(check="versions", ok=len(versions) == 1, detail=f"alignsweep {', '.join(versions)}")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = next(parent for parent in (settings.home, *settings.home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    yield Finding(check="disk", ok=free > _LEAST_FREE_BYTES, detail=f"{free / 2**30:.1f} GiB free at {Path(folder)}")


def _store(settings: Settings) -> Iterator[Finding]:
    store = Store(settings.store)
    try:
        store.delete(store.put(b"alignsweep doctor"))
    except StoreUnavailable as error:
        yield Finding(check="store", ok=False, detail=str(error))
    else:
        yield Finding(check="store", ok=True, detail=f"{settings.store} can be written")
