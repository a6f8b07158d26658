"""Alembic's entry point. The URL or the connection comes from `db.migrate`."""

from alembic import context
from sqlalchemy import Connection, create_engine

from db.models import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


connection: Connection | None = context.config.attributes.get("connection")
if connection is not None:
    _run(connection)
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url") or "").connect() as fresh:
        _run(fresh)
