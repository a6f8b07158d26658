"""What is public stays what it was, and the migrations make what the models say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from api.app import create_app
from db.models import Base
from services.domain.results import MetricColumns, OrderColumns, TraceColumns
from services.domain.spec.schema import json_schema
from services.settings import Settings
from tests.goldens import renew_or_compare

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_traces_travel_in_the_columns_of_their_tables() -> None:
    pairs = ((MetricColumns, "metrics"), (TraceColumns, "traces"), (OrderColumns, "order_parameters"))
    for columns, table in pairs:
        assert set(columns.names()) == {column.name for column in Base.metadata.tables[table].columns}


def test_the_public_views_are_the_golden_ones(engine: Engine) -> None:
    with engine.connect() as connection:
        views = {
            view: [f"{column['name']} {column['type']}" for column in inspect(connection).get_columns(view)]
            for view in sorted(inspect(connection).get_view_names())
        }
        readable = connection.execute(
            text("SELECT table_name FROM information_schema.role_table_grants WHERE grantee = 'alignsweep_reader'")
        ).scalars()
        assert set(readable) == set(views)
    renew_or_compare(GOLDEN / "views.json", views)


def test_the_spec_schema_is_the_golden_one() -> None:
    renew_or_compare(GOLDEN / "spec.schema.json", json_schema())


def test_the_openapi_document_is_the_golden_one(database_url: str, reader: str) -> None:
    settings = replace(Settings.from_environment(), database_url=database_url, reader_url=reader, token=None)
    document: dict[str, Any] = json.loads(json.dumps(create_app(settings).openapi()))
    renew_or_compare(GOLDEN / "openapi.json", document)
