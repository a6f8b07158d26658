"""A PostgreSQL server of the benchmark's own, and databases on it made from templates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from db.embedded import EmbeddedPostgres
from db.migrate import upgrade
from db.session import make_engine

_EMPTY = "empty"


@dataclass(frozen=True)
class Server:
    """A running server with a migrated, empty template database."""

    url: str
    folder: Path
    _numbers: Any = field(default_factory=lambda: count(1))

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> "Iterator[Server]":
        with EmbeddedPostgres.start(folder) as embedded:
            server = cls(embedded.url, folder)
            server._execute(f"CREATE DATABASE {_EMPTY}")
            upgrade(server.url_of(_EMPTY), reader_password=None)
            yield server

    @contextmanager
    def database(self, template: str = _EMPTY) -> Iterator[str]:
        """The URL of a database like the template, to which nobody may be connected; dropped in the end."""
        name = self.keep(template)
        yield self.url_of(name)
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def keep(self, template: str = _EMPTY) -> str:
        """The name of a new database like the template, for use as a template."""
        name = f"bench_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    @property
    def pid(self) -> int:
        """The process id of the server's first process, the parent of all others."""
        return int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    def url_of(self, name: str) -> str:
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        engine = make_engine(self.url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()
