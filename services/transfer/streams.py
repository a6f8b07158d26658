"""Bytes that are read from the database while they are sent to somebody."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import Connection, Engine

from services.domain.errors import DatabaseUnavailable

Blocks = Generator[bytes, None, None]


@dataclass
class Stream:
    """To be iterated once, and closed. Its queries see one state of the database, that of when it was opened.

    Iterating raises psycopg.Error where the database goes away or the query is cancelled.
    """

    media_type: str
    name: str
    """Of the file."""
    _connection: Connection = field(repr=False)
    _first: bytes = field(repr=False)
    _rest: Blocks = field(repr=False)

    @classmethod
    def open(
        cls, engine: Engine, media_type: str, name: str, blocks: Callable[[psycopg.Connection], Blocks]
    ) -> "Stream":
        """A stream of what `blocks` reads; it cannot write. What `blocks` raises before its first block is raised here.

        Raises DatabaseUnavailable.
        """
        connection = engine.connect()
        try:
            driver = driver_of(connection)
            driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            driver.execute("SET LOCAL TimeZone = 'UTC'")
            rest = blocks(driver)
            return cls(media_type, name, connection, next(rest, b""), rest)
        except psycopg.OperationalError as error:
            _give_back(connection)
            raise DatabaseUnavailable(str(error).strip()) from error
        except BaseException:
            _give_back(connection)
            raise

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._rest

    def cancel(self) -> None:
        """End the query that runs, from any thread; the iteration raises."""
        with suppress(psycopg.Error):
            driver_of(self._connection).cancel_safe(timeout=5)

    def close(self) -> None:
        """Give the connection back. What was not read is not read any more."""
        try:
            self._rest.close()
        finally:
            _give_back(self._connection)


def driver_of(connection: Connection) -> psycopg.Connection:
    """psycopg's connection below SQLAlchemy's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def _give_back(connection: Connection) -> None:
    if driver_of(connection).closed:  # the server ended it
        connection.invalidate()
    connection.close()
