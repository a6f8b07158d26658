"""Bring a database to the current schema. Views and rights are files of `db/sql/<revision>`."""

from importlib.resources import files
from pathlib import Path

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, text

from db.session import READER_ROLE, make_engine

# Any number that no other program takes as an advisory lock on the same database.
_MIGRATION_LOCK = 0x616C69676E
_SCRIPTS = str(Path(str(files("db"))) / "migrations")


def upgrade(url: str, *, reader_password: str | None) -> None:
    """Migrate to the newest revision, once, whoever else tries at the same time.

    `reader_password` becomes the password of the read-only role; None leaves it as it is.
    """
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.commit()
            command.upgrade(alembic_config(connection), "head")
            if reader_password is not None:
                _set_reader_password(connection, reader_password)
            connection.commit()
    finally:
        engine.dispose()


def newest_revision() -> str | None:
    """The revision that this version of the code needs."""
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    return ScriptDirectory.from_config(config).get_current_head()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for an open connection; there is no ini file."""
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    config.attributes["connection"] = connection
    return config


def run_sql(*names: str) -> None:
    """Run files of `db/sql` inside a migration, as they are: no parameters, several statements each."""
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    for name in names:
        connection.execute((files("db") / "sql" / name).read_bytes())


def _set_reader_password(connection: Connection, password: str) -> None:
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(READER_ROLE), sql.Literal(password))
    connection.exec_driver_sql(statement.as_string(None))
