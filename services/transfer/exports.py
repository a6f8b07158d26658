"""Tables in bulk: the rows of the public views, whole and in order, of some sweeps or of all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Engine

from db import copying
from services.domain.errors import NotFound
from services.transfer.formats import Format, arrow_stream, harmless_sql, parquet_file
from services.transfer.streams import Blocks, Stream


@dataclass(frozen=True)
class _Source:
    """Where a table's rows come from: of one trial (or sweep) after the other, there in this order."""

    view: str
    order: str
    per: str = "trial_id"


_SOURCES = {
    "sweeps": _Source("v_sweeps", "sweep_id", per="sweep_id"),
    "trials": _Source("v_trials", "trial_id"),
    "metrics": _Source("v_curves", "step"),
    "traces": _Source("v_alignment", "step, layer"),
    "layer_summaries": _Source("v_alignment_final", "layer"),
    "order_parameters": _Source("v_order_parameters", "step, quantity, i, j"),
    "attempts": _Source("v_attempts", "pack_id"),
    "snapshots": _Source("v_snapshots", "step"),
    "parameter_cosines": _Source("v_parameter_cosines", "group_id, trial_a, trial_b, step, layer", per="sweep_id"),
    "group_stats": _Source("v_group_stats", "group_id", per="sweep_id"),
    "group_alignment": _Source("v_group_alignment", "group_id, layer", per="sweep_id"),
    "events": _Source("v_events", "event_id", per="sweep_id"),
}
TABLES = tuple(_SOURCES)
"""What can be exported."""

# Which type the values of a parameter have in common. Numbers keep all their digits: seeds have 63 bits.
_PARAMETERS = """
    SELECT name,
        CASE
            WHEN count(text) = 0 THEN 'text'
            WHEN count(*) FILTER (WHERE text NOT IN ('true', 'false')) = 0 THEN 'boolean'
            WHEN count(text) > count(number) THEN 'text'
            WHEN count(*) FILTER (WHERE text !~ '^-?[0-9]+$') = 0 THEN 'bigint'
            ELSE 'double precision'
        END AS type
    FROM group_params JOIN groups ON groups.id = group_params.group_id
    WHERE sweep_id = ANY(coalesce(%(sweeps)s ::bigint[], ARRAY[sweep_id]))
    GROUP BY name ORDER BY name
"""


def export(engine: Engine, table: str, sweeps: Sequence[int] | None, form: Format) -> Stream:
    """All rows of a table, of these sweeps or (None) of all. Raises NotFound, DatabaseUnavailable.

    Trials carry their configuration, flat and typed: a column per parameter, named by its dotted path.
    """
    if table not in _SOURCES:
        raise NotFound("table", table)

    def blocks(connection: psycopg.Connection) -> Blocks:
        _require(connection, sweeps)
        query = _query(connection, table, sweeps)
        schema = copying.schema_of(connection, query)
        match form:
            case Format.CSV:
                yield from copying.csv_blocks(connection, query, schema, header=True, expression=_harmless)
            case Format.NDJSON:
                yield from copying.json_blocks(connection, query)
            case Format.ARROW:
                yield from arrow_stream(copying.batches(connection, query, schema), schema)
            case Format.PARQUET:
                yield from parquet_file(copying.batches(connection, query, schema), schema)

    of = "" if sweeps is None else "".join(f"-{sweep}" for sweep in sweeps[:10])
    return Stream.open(engine, form.media_type, f"{table}{of}.{form}", blocks)


def _query(connection: psycopg.Connection, table: str, sweeps: Sequence[int] | None) -> str:
    """One trial after the other, each read through the index: the first rows leave at once, and nothing is sorted."""
    source = _SOURCES[table]
    columns = "*"
    if table == "trials":
        named = [name for name in _columns(connection, source.view) if name != "config"]
        columns = ", ".join(
            [*(sql.Identifier(name).as_string(connection) for name in named), *_parameters(connection, sweeps)]
        )
    elif table == "sweeps":
        named = _columns(connection, source.view)
        columns = ", ".join("to_json(tags) AS tags" if name == "tags" else name for name in named)
    parents, chosen = ("trials", "sweep_id") if source.per == "trial_id" else ("sweeps", "id")
    where = "true" if sweeps is None else f"{chosen} = ANY(ARRAY[{', '.join(map(str, sweeps))}]::bigint[])"
    return f"""
        SELECT own.* FROM (SELECT id FROM {parents} WHERE {where} ORDER BY id) AS chosen
        CROSS JOIN LATERAL (
            SELECT {columns} FROM {source.view} WHERE {source.per} = chosen.id ORDER BY {source.order}
        ) AS own
    """


def _columns(connection: psycopg.Connection, view: str) -> list[str]:
    return copying.schema_of(connection, f"SELECT * FROM {view}").names  # type: ignore[no-any-return]


def _parameters(connection: psycopg.Connection, sweeps: Sequence[int] | None) -> Iterator[str]:
    """SQL of each parameter of these sweeps' trials."""
    given = None if sweeps is None else list(sweeps)
    for name, kind in connection.execute(_PARAMETERS, {"sweeps": given}).fetchall():
        path = sql.Literal(name.split(".")).as_string(connection)
        yield f"(config #>> {path})::{kind} AS {sql.Identifier(name).as_string(connection)}"


def _require(connection: psycopg.Connection, sweeps: Sequence[int] | None) -> None:
    for sweep in sweeps or ():
        if connection.execute("SELECT FROM sweeps WHERE id = %s", [sweep]).fetchone() is None:
            raise NotFound("sweep", sweep)


def _harmless(name: str, kind: pa.DataType) -> str:
    """As text for people's spreadsheets."""
    return harmless_sql(f"{name}::text") if kind == pa.string() else copying.printed(name, kind)
