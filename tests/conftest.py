"""Real PostgreSQL for every test that asks: one embedded server per test process, a fresh database per test."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

os.environ["MKL_CBWR"] = "AUTO"  # before torch is imported: pack invariance depends on it
os.environ["ALIGNSWEEP_ALLOWED_HOSTS"] = "testserver"  # as which the test client asks
os.environ.pop("COLUMNS", None)  # tables are as wide as without a terminal, whoever runs the tests

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from db.embedded import EmbeddedPostgres
from db.migrate import upgrade
from db.session import make_engine, reader_url

_TEMPLATE = "alignsweep_template"


@dataclass(frozen=True)
class DatabaseServer:
    """A running server with a migrated template database."""

    url: str

    def url_of(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        engine = make_engine(self.url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    with EmbeddedPostgres.start(folder) as embedded:
        server = DatabaseServer(embedded.url)
        server.execute(f"CREATE DATABASE {_TEMPLATE}")
        upgrade(server.url_of(_TEMPLATE), reader_password=None)
        yield server


_names = count(1)


@pytest.fixture
def database_url(database_server: DatabaseServer) -> Iterator[str]:
    """The owner's URL of a migrated, empty database."""
    name = f"test_{next(_names)}"
    database_server.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    yield database_server.url_of(name)
    database_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def reader(database_url: str) -> str:
    """The read-only role's URL of the same database."""
    return reader_url(database_url, password=None)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session
