"""Users' SQL. The boundary is the database's: a role that owns nothing and sees the views alone, one statement, a
read-only transaction, limits of time and memory, and as many rows as fit. Nothing here parses SQL.
"""

import base64
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from threading import Timer
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import InvalidCursorDefinition, error_from_result
from psycopg.pq import ExecStatus, Format
from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.priority import give_way
from services.domain.errors import DatabaseUnavailable, QueryRejected

_GRACE = timedelta(seconds=2)  # past the server's own time limit, before the watchdog looks
_CELL_BYTES = 16  # of memory, at the least, beyond a cell's text
_DEPTH = 100  # of JSON in a cell; beyond it is text

# A field of a record as PostgreSQL writes it: nothing, quoted with doubled quotes and backslashes, or plain.
_FIELD = re.compile(rb'(?:"((?:[^"\\]++|""|\\.)*+)"|([^,]*+))(?:,|$)', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """What one query may take."""

    time: timedelta = timedelta(seconds=30)
    answer_bytes: int = 2**24
    """Of rows as text, with a few bytes for each cell."""


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """Rows of JSON-safe values. `truncated`: there were more rows than asked for, or than fit."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool
    elapsed: timedelta


def run_query(reader: Engine, sql: str, *, max_rows: int, limits: QueryLimits | None = None) -> QueryResult:
    """Run one statement as the reader. Raises DatabaseUnavailable, and QueryRejected for what PostgreSQL refuses."""
    limits = limits or QueryLimits()
    started = monotonic()
    with _connected(reader) as connection:
        give_way(connection)
        with _cancelled_after(connection, limits.time + _GRACE):
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {round(limits.time.total_seconds() * 1000)}")
            columns, types = _describe(connection, sql)
            lines = connection.execute(
                "SELECT * FROM public.answer(%s, %s, %s, %s)",
                (sql, max_rows, limits.answer_bytes, _CELL_BYTES * len(columns)),
            ).fetchall()
        truncated = bool(lines) and lines[-1][0] is None
        if truncated:
            lines.pop()
        transformer = Transformer(connection)
        readers = [_reader(transformer.get_loader(oid, Format.TEXT).load) for oid in types]
        rows = [
            [read(field) for read, field in zip(readers, _fields(line.encode(), len(columns)), strict=True)]
            for (line,) in lines
        ]
    return QueryResult(
        columns=columns, rows=rows, truncated=truncated, elapsed=timedelta(seconds=monotonic() - started)
    )


@contextmanager
def _connected(reader: Engine) -> Iterator[psycopg.Connection]:
    """A fresh connection, closed in the end: nothing that a query leaves behind meets the next one."""
    try:
        pooled = reader.connect()
    except PoolTimeout:
        raise DatabaseUnavailable("as many queries as may run at once are running") from None
    with pooled:
        connection = pooled.connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        try:
            yield connection
        except psycopg.Error as error:
            if connection.broken:
                raise DatabaseUnavailable("the database went away in the middle of the query") from None
            raise QueryRejected(_told(error), error.sqlstate) from None
        finally:
            pooled.invalidate()


def _told(error: psycopg.Error) -> str:
    """What PostgreSQL says about the query, without the function that ran it."""
    if isinstance(error, InvalidCursorDefinition):
        return "this is no question: what returns rows and changes nothing is answered, SELECT for instance"
    return str(error).split("\nCONTEXT:")[0].strip().removesuffix("HINT:").strip()


@contextmanager
def _cancelled_after(connection: psycopg.Connection, limit: timedelta) -> Iterator[None]:
    """Cancel from outside what the server's own time limit, which runs within it, has not ended."""

    def cancel() -> None:
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_GRACE.total_seconds())

    watchdog = Timer(limit.total_seconds(), cancel)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def _describe(connection: psycopg.Connection, sql: str) -> tuple[list[str], list[int]]:
    """Names and types of the columns. The extended protocol takes one statement; errors name the place in it."""
    prepared = connection.pgconn.prepare(b"", sql.encode())
    if prepared.status != ExecStatus.COMMAND_OK:
        raise error_from_result(prepared)
    described = connection.pgconn.describe_prepared(b"")
    if described.status != ExecStatus.COMMAND_OK:
        raise error_from_result(described)
    places = range(described.nfields)
    return [(described.fname(i) or b"").decode() for i in places], [described.ftype(i) for i in places]


def _fields(record: bytes, columns: int) -> list[bytes | None]:
    """The text of each column of a record; None for NULL."""
    if columns == 0:
        return []
    found: list[bytes | None] = []
    for match in _FIELD.finditer(record, 1, len(record) - 1):
        quoted, plain = match.groups()
        found.append(plain or None if quoted is None else quoted.replace(b'""', b'"').replace(b"\\\\", b"\\"))
        if len(found) == columns:
            break
    return found


def _reader(load: Callable[[bytes], Any]) -> Callable[[bytes | None], Any]:
    """From the text of a cell to a JSON-safe value; the text itself, where Python or JSON have nothing for it."""

    def read(field: bytes | None) -> Any:
        if field is None:
            return None
        try:
            return _json_safe(load(field), _DEPTH)
        except (psycopg.Error, ValueError, RecursionError):  # dates beyond Python's, JSON nested too deeply, ...
            return field.decode()

    return read


def _json_safe(value: Any, depth: int) -> Any:
    """JSON has no NaN, bytes, dates or decimals: those become text, bytes in base64. Raises ValueError and
    RecursionError for what JSON cannot carry at all.
    """
    match value:
        case bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            value.encode()  # not lone surrogates
            return value
        case Decimal():
            number = float(value)
            return number if math.isfinite(number) else str(value)
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta() | UUID():
            return str(value)
        case list() | tuple() | dict() if depth == 0:
            raise RecursionError("nested too deeply")
        case list() | tuple():
            return [_json_safe(item, depth - 1) for item in value]
        case dict():
            return {_json_safe(str(key), 1): _json_safe(item, depth - 1) for key, item in value.items()}
        case None:
            return None
        case _:
            return str(value)
