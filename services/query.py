"""Users' SQL. The boundary is the database's: a role that owns nothing and sees the views alone, one statement, a
read-only transaction, a time limit, and as many rows as fit. Nothing here parses SQL.
"""

import base64
import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from services.domain.errors import DatabaseUnavailable, QueryRejected

_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """Rows of JSON-safe values. `truncated`: there were more rows than asked for."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool
    elapsed: timedelta


def run_query(reader: Engine, sql: str, *, max_rows: int) -> QueryResult:
    """Run one statement as the reader. Raises DatabaseUnavailable, and QueryRejected for what PostgreSQL refuses."""
    started = monotonic()
    with reader.connect() as pooled:
        connection = pooled.connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        try:
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {int(_TIMEOUT.total_seconds() * 1000)}")
            # A server-side cursor takes one statement, which must be a query, and sends only the rows asked for.
            with connection.cursor("answer") as cursor:
                cursor.execute(sql.encode())
                rows = cursor.fetchmany(max_rows + 1)
                columns = [column.name for column in cursor.description or ()]
        except psycopg.Error as error:
            if connection.broken:
                pooled.invalidate()
                raise DatabaseUnavailable("the database went away in the middle of the query") from None
            raise QueryRejected(str(error).strip(), error.sqlstate) from None
        finally:
            if not connection.broken:
                connection.rollback()
    return QueryResult(
        columns=columns,
        rows=[[_json_safe(value) for value in row] for row in rows[:max_rows]],
        truncated=len(rows) > max_rows,
        elapsed=timedelta(seconds=monotonic() - started),
    )


def _json_safe(value: Any) -> Any:
    """JSON has no NaN, bytes, dates or decimals: those become text, bytes in base64."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case Decimal():
            return float(value) if value.is_finite() else str(value)
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta() | UUID():
            return str(value)
        case list() | tuple():
            return [_json_safe(item) for item in value]
        case dict():
            return {str(key): _json_safe(item) for key, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
