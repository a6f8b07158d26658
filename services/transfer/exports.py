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
    WHERE sweep_id = ANY(coalesce(%(sweeps)s ::bigint[], ARRAY[sweep_id])) AND {}
    GROUP BY name ORDER BY name
"""
# An axis may be a part of the configuration, with parameters below it.
_ON_AN_AXIS = """EXISTS (
    SELECT FROM jsonb_object_keys(varied) AS axis WHERE name = axis OR starts_with(name, axis || '.')
)"""


def export(engine: Engine, table: str, sweeps: Sequence[int] | None, form: Format) -> Stream:
    """All rows of a table, of these sweeps or (None) of all. Raises NotFound, DatabaseUnavailable.

    Trials carry their configuration, flat and typed: a column per parameter, named by its dotted path. What is measured
    of trials and groups carries so the parameters on the axes of their sweeps, null where a configuration is on none.
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
    parents, chosen = ("trials", "sweep_id") if source.per == "trial_id" else ("sweeps", "id")
    of = "true" if sweeps is None else f"{parents}.{chosen} = ANY(ARRAY[{', '.join(map(str, sweeps))}]::bigint[])"
    columns, per_trial, per_row = _columns(connection, source.view), [""], [""]
    axes = list(_axes(connection, sweeps)) if "group_id" in columns and table != "trials" else []
    if axes and source.per == "trial_id":  # they are worked out once for all rows of a trial
        per_trial += [f"{value} AS {name}" for name, value in axes]
        per_row += [f"chosen.{name}" for name, _ in axes]
    elif axes:
        per_row += [f"(SELECT {value} FROM groups WHERE id = own.group_id) AS {name}" for name, value in axes]
    return f"""
        SELECT own.*{", ".join(per_row)} FROM (
            SELECT {parents}.id{", ".join(per_trial)} FROM {parents}
            {"JOIN groups ON groups.id = trials.group_id" if per_trial[1:] else ""}
            WHERE {of} ORDER BY {parents}.id
        ) AS chosen
        CROSS JOIN LATERAL (
            SELECT {", ".join(_shown(connection, table, columns, sweeps))}
            FROM {source.view} WHERE {source.per} = chosen.id ORDER BY {source.order}
        ) AS own
    """


def _shown(
    connection: psycopg.Connection, table: str, columns: list[str], sweeps: Sequence[int] | None
) -> Iterator[str]:
    """SQL of the columns of the view as they are exported."""
    left_out = {"trials": "config"}.get(table, "varied" if _SOURCES[table].per == "trial_id" else None)
    for name in columns:
        if (table, name) == ("sweeps", "tags"):
            yield "to_json(tags) AS tags"
        elif name != left_out:
            yield sql.Identifier(name).as_string(connection)
    if table == "trials":
        for name, kind in _parameters(connection, sweeps, "true"):
            yield f"{_value(name, kind)} AS {_identifier(name)}"


def _columns(connection: psycopg.Connection, view: str) -> list[str]:
    return copying.schema_of(connection, f"SELECT * FROM {view}").names  # type: ignore[no-any-return]


def _parameters(connection: psycopg.Connection, sweeps: Sequence[int] | None, condition: str) -> list[tuple[str, str]]:
    """Those of the configurations of these sweeps, with their types."""
    given = None if sweeps is None else list(sweeps)
    found: list[tuple[str, str]] = connection.execute(_PARAMETERS.format(condition), {"sweeps": given}).fetchall()
    return found


def _axes(connection: psycopg.Connection, sweeps: Sequence[int] | None) -> Iterator[tuple[str, str]]:
    """Column and SQL of each parameter on an axis of these sweeps; NULL in groups that are not on it."""
    for name, kind in _parameters(connection, sweeps, _ON_AN_AXIS):
        parts = name.split(".")
        above = sql.Literal([".".join(parts[:n]) for n in range(1, len(parts) + 1)]).as_string(connection)
        yield _identifier(name), f"CASE WHEN varied ?| {above} THEN {_value(name, kind)} END"


def _value(name: str, kind: str) -> str:
    return f"(config #>> {sql.Literal(name.split('.')).as_string(None)})::{kind}"


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _require(connection: psycopg.Connection, sweeps: Sequence[int] | None) -> None:
    for sweep in sweeps or ():
        if connection.execute("SELECT FROM sweeps WHERE id = %s", [sweep]).fetchone() is None:
            raise NotFound("sweep", sweep)


def _harmless(name: str, kind: pa.DataType) -> str:
    """As text for people's spreadsheets."""
    return harmless_sql(f"{name}::text") if kind == pa.string() else copying.printed(name, kind)
