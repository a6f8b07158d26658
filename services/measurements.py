"""Rows of measurements: written many at a time, exactly once, and taken back when a trial starts again."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from db.arrays import BigInts, Doubles
from services.domain.results import INTEGERS, Chunk, Columns

_TABLES = ("metrics", "traces", "order_parameters", "snapshots")

_RECORD_SNAPSHOTS = text("""
    INSERT INTO snapshots (trial_id, step, sha256, bytes)
    SELECT * FROM unnest(:trials ::bigint[], :steps ::bigint[], :hashes ::text[], :sizes ::bigint[])
    ON CONFLICT DO NOTHING
""")


def write(session: Session, chunk: Chunk, held: Collection[int]) -> set[int]:
    """Write what the chunk says of the held trials. Returns all trials it speaks of."""
    mentioned = {outcome.trial_id for outcome in chunk.outcomes}
    for table, columns in tables_of(chunk):
        mentioned |= set(columns.trial_id.tolist())
        rows = columns.select(np.isin(columns.trial_id, list(held)))
        session.execute(_insert(table, type(rows)), _arrays(rows))
    kept = [snapshot for snapshot in chunk.snapshots if snapshot.trial_id in held]
    if kept:
        session.execute(
            _RECORD_SNAPSHOTS,
            {
                "trials": [snapshot.trial_id for snapshot in kept],
                "steps": [snapshot.step for snapshot in kept],
                "hashes": [snapshot.sha256 for snapshot in kept],
                "sizes": [len(snapshot.safetensors) for snapshot in kept],
            },
        )
    return mentioned | {checkpoint.trial_id for checkpoint in chunk.checkpoints}


def tables_of(chunk: Chunk) -> list[tuple[str, Any]]:
    """The tables that the chunk has rows for, with their columns."""
    pairs = (("metrics", chunk.metrics), ("traces", chunk.traces), ("order_parameters", chunk.orders))
    return [(table, columns) for table, columns in pairs if columns is not None and len(columns)]


def take_back(session: Session, beyond: Mapping[int, int]) -> None:
    """Delete what was measured of these trials beyond a step each; beyond -1: everything."""
    for table in _TABLES if beyond else ():
        session.execute(
            text(f"""
                DELETE FROM {table} USING unnest(:trials ::bigint[], :steps ::bigint[]) AS kept(trial_id, step)
                WHERE {table}.trial_id = kept.trial_id AND {table}.step > kept.step
            """),
            {"trials": list(beyond), "steps": list(beyond.values())},
        )


def _insert(table: str, columns: type[Columns]) -> TextClause:
    """One statement for any number of rows. A row that is there stays as it is; NaN, undefined, becomes NULL."""
    names = columns.names()
    arrays = ", ".join(f":{name} ::{_SQL_TYPES.get(name, 'double precision')}[]" for name in names)
    values = ", ".join(name if name in _SQL_TYPES else f"nullif({name}, 'NaN')" for name in names)
    return text(f"""
        INSERT INTO {table} ({", ".join(names)})
        SELECT {values} FROM unnest({arrays}) AS rows({", ".join(names)})
        ON CONFLICT DO NOTHING
    """)


_SQL_TYPES = {**dict.fromkeys(INTEGERS, "bigint"), "quantity": "text"}


def _arrays(columns: Columns) -> dict[str, BigInts | Doubles | list[str]]:
    """The columns as query parameters."""
    arrays: dict[str, BigInts | Doubles | list[str]] = {}
    for name in columns.names():
        column = getattr(columns, name)
        match column.dtype.kind:
            case "i":
                arrays[name] = BigInts(column)
            case "f":
                arrays[name] = Doubles(column)
            case _:
                arrays[name] = column.tolist()
    return arrays
