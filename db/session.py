"""Engines. The owner's read and write; the reader's serves users' SQL and nothing else."""

import os
from datetime import timedelta

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

READER_ROLE = "alignsweep_reader"

_READERS = max(2, (os.cpu_count() or 0) // 2)
_READER_OPTIONS = " ".join(
    f"-c {setting}"
    for setting in (
        "default_transaction_read_only=on",
        "client_connection_check_interval=2s",  # a query ends with the process that asked
        "cursor_tuple_fraction=1",  # answers are read to their end
        "max_parallel_workers_per_gather=0",
        "jit=off",
    )
)


def _psycopg_url(url: str) -> str:
    """Any PostgreSQL URL in the form that selects psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def make_engine(url: str, *, longest_pause: timedelta = timedelta(seconds=30)) -> Engine:
    """The owner's engine: five connections at rest, checked before use, so that a restarted database goes unnoticed.

    A process that stops within a transaction for longer than `longest_pause` loses it, with the locks that others wait
    for.
    """
    return _owner_engine(url, checked=True, idle_in_transaction_session_timeout=longest_pause)


def make_server_engine(url: str, *, patience: timedelta) -> Engine:
    """The same for requests that change something, which wait for another's lock for no longer.

    Connections that a rush has opened stay for the next one: to open one takes longer than most answers.
    """
    timeouts = {"lock_timeout": patience, "idle_in_transaction_session_timeout": timedelta(minutes=2)}
    return _owner_engine(url, checked=True, at_rest=20, **timeouts)


def make_lookup_engine(url: str, *, patience: timedelta) -> Engine:
    """The same for requests that read: each statement is a transaction of its own, and ends within so long."""
    engine = _owner_engine(url, checked=True, at_rest=20, statement_timeout=patience)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def make_dispatcher_engine(url: str, *, ttl: timedelta) -> Engine:
    """The dispatcher's engine: it survives a database that goes away, so that connections need no check.

    It must not outlast its leases, of `ttl`, with a lock, nor lose them while it waits for one.
    """
    return _owner_engine(url, checked=False, lock_timeout=ttl / 6, idle_in_transaction_session_timeout=ttl)


def _owner_engine(url: str, *, checked: bool, at_rest: int = 5, **timeouts: timedelta) -> Engine:
    """Twenty connections at most, of which so many stay open. `timeouts`: settings of PostgreSQL."""
    options = [f"-c {name}={round(time.total_seconds() * 1000)}" for name, time in timeouts.items()]
    return create_engine(
        _psycopg_url(url),
        pool_size=at_rest,
        max_overflow=20 - at_rest,
        pool_pre_ping=checked,
        pool_timeout=5,
        hide_parameters=True,
        connect_args={"options": " ".join(options)},
    )


def make_export_engine(url: str) -> Engine:
    """The engine for what leaves in bulk: a few connections of its own, so that slow clients take none from others.

    A query ends soon after the process that asked is gone.
    """
    options = "-c idle_in_transaction_session_timeout=300000 -c client_connection_check_interval=1000"
    return create_engine(
        _psycopg_url(url),
        pool_size=2,
        max_overflow=6,
        pool_pre_ping=True,
        pool_timeout=5,
        connect_args={"options": options},
    )


def make_reader_engine(url: str) -> Engine:
    """The engine for users' SQL: few connections, so that queries leave the database room for everything else. Who
    takes one invalidates it, so that no session state outlives a query.
    """
    return create_engine(
        _psycopg_url(url),
        pool_size=_READERS,
        max_overflow=0,
        pool_timeout=5,
        connect_args={"options": _READER_OPTIONS, "application_name": "alignsweep query"},
    )


def reader_url(owner_url: str, *, password: str | None) -> str:
    """The URL of the read-only role on the owner's server and database."""
    return make_url(owner_url).set(username=READER_ROLE, password=password).render_as_string(hide_password=False)


def libpq_url(url: str) -> str:
    """The same URL without SQLAlchemy's driver name: what psql and other clients take."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
