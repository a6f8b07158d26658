"""Is a trial what it says it is? It is trained once more, and all that was measured is compared bit for bit."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Base, Event
from services import results, sweeps
from services.domain.errors import Conflict
from services.domain.states import TrialState
from services.planning.expansion import parse
from services.results import TrialRow
from services.sweeps import SweepSummary

_KEYS = {"metrics": ("step",), "traces": ("step", "layer"), "order_parameters": ("step", "quantity", "i", "j")}
_OVER = (TrialState.SUCCEEDED, TrialState.FAILED, TrialState.CANCELLED)
_DECISIVE = (
    "reproducibility",
    "cpu",
    "device",
    "accelerator",
    "instructions",
    "matmul",
    "threads",
    "versions",
    "commit",
)
"""What the bits may depend on. The rest of a provenance, the node or the time, is no reason for another number."""

# `*<>` compares the bytes of two rows: -0 is not 0, and undefined is like undefined.
_UNLIKE = "own.there IS NULL OR peer.there IS NULL OR own.cells *<> peer.cells"

_PROVENANCES = text("""
    SELECT DISTINCT provenance - 'seeds' AS provenance FROM attempts
    WHERE trial_id = :trial AND provenance IS NOT NULL
""")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first value that is not the same; None for a row, or a value, that is not there."""

    table: str
    key: dict[str, Any]
    """The row's step, and layer or entry."""
    column: str | None
    """None: one of the trials has no such row."""
    value: float | None
    other: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two trials, row by row. `rows_unlike` counts rows that differ in any bit, or that one of them lacks.

    `expected`: whether equality is to be expected; `obstacles` says why not.
    """

    equal: bool
    rows_compared: int
    rows_unlike: int
    first_difference: Difference | None
    expected: bool
    obstacles: list[str]
    provenance: list[dict[str, Any]]
    other_provenance: list[dict[str, Any]]


def reproduce(
    session: Session, trial_id: int, *, idempotency_key: str | None, owner: str | None
) -> tuple[SweepSummary, bool]:
    """Submit a sweep of this one configuration and seed; tells whether it was stored now.

    Raises NotFound, and Conflict when the key belongs to another spec.
    """
    trial = results.trial(session, trial_id)
    original = sweeps.get(session, trial.sweep_id).spec
    document: dict[str, Any] = {
        "name": f"trial {trial_id} again",
        "base": trial.config,
        "seeds": {"count": 1, "base": trial.seed},
        **{name: original[name] for name in ("priority", "resources", "retries", "limits") if name in original},
    }
    summary, created = sweeps.submit(session, parse(document), idempotency_key=idempotency_key, owner=owner)
    if created:
        session.add(Event(sweep_id=summary.id, kind="sweep.reproduces", detail={"trial": trial_id}))
        session.flush()
    return summary, created


def compare(session: Session, trial_id: int, other_id: int) -> Comparison:
    """All that was measured of two trials, bit for bit. Raises NotFound, and Conflict while one of them is not over."""
    trial, other = results.trial(session, trial_id), results.trial(session, other_id)
    for one in (trial, other):
        if one.state not in _OVER:
            raise Conflict(f"trial {one.id} is {one.state}; wait until it is over")
    compared = unlike = 0
    first: Difference | None = None
    for table in _KEYS:
        counted = session.execute(_counting(table), {"trial": trial_id, "other": other_id}).one()
        compared, unlike = compared + counted.compared, unlike + counted.unlike
        if counted.unlike and first is None:
            first = _first_difference(session, table, trial_id, other_id)
    provenance, others = _provenances(session, trial_id), _provenances(session, other_id)
    obstacles = list(_obstacles(trial, other, [*provenance, *others]))
    return Comparison(
        equal=unlike == 0 and _end(trial) == _end(other),
        rows_compared=compared,
        rows_unlike=unlike,
        first_difference=first,
        expected=not obstacles,
        obstacles=obstacles,
        provenance=provenance,
        other_provenance=others,
    )


def _counting(table: str) -> Any:
    return text(f"""
        SELECT count(*) AS compared, count(*) FILTER (WHERE {_UNLIKE}) AS unlike
        FROM {_joined(table)}
    """)


def _first_difference(session: Session, table: str, trial_id: int, other_id: int) -> Difference:
    keys, values = _KEYS[table], _values(table)
    pairs = ", ".join(f"own.{name} AS own_{name}, peer.{name} AS peer_{name}" for name in values)
    row = (
        session.execute(
            text(f"""
                SELECT {", ".join(keys)}, own.there AND peer.there AS both, {pairs}
                FROM {_joined(table)}
                WHERE {_UNLIKE}
                ORDER BY {", ".join(keys)} LIMIT 1
            """),
            {"trial": trial_id, "other": other_id},
        )
        .mappings()
        .one()
    )
    column = (
        next((n for n in values if _bits(row[f"own_{n}"]) != _bits(row[f"peer_{n}"])), None) if row["both"] else None
    )
    return Difference(
        table=table,
        key={name: row[name] for name in keys},
        column=column,
        value=row[f"own_{column}"] if column else None,
        other=row[f"peer_{column}"] if column else None,
    )


def _joined(table: str) -> str:
    """Rows of the one trial beside those of the other one."""
    keys = ", ".join(_KEYS[table])
    values = ", ".join(_values(table))
    sides = [
        f"(SELECT {keys}, {values}, ROW({values}) AS cells, true AS there FROM {table} WHERE trial_id = {of}) AS {name}"
        for of, name in ((":trial", "own"), (":other", "peer"))
    ]
    return f"{sides[0]} FULL JOIN {sides[1]} USING ({keys})"


def _values(table: str) -> list[str]:
    """The measured columns."""
    names = [column.name for column in Base.metadata.tables[table].columns]
    return [name for name in names if name != "trial_id" and name not in _KEYS[table]]


def _bits(value: float | None) -> bytes | None:
    return None if value is None else struct.pack("d", value)


def _end(trial: TrialRow) -> tuple[Any, ...]:
    summary = trial.summary or {}
    return trial.state, trial.reason, summary.get("steps"), summary.get("diverged_at_step")


def _provenances(session: Session, trial_id: int) -> list[dict[str, Any]]:
    """Of all attempts at the trial: a later one may have gone on where an earlier one stopped."""
    return list(session.execute(_PROVENANCES, {"trial": trial_id}).scalars())


def _obstacles(trial: TrialRow, other: TrialRow, provenances: list[Mapping[str, Any]]) -> Iterator[str]:
    """Why equal bits are not to be expected."""
    if (trial.group_hash, trial.seed) != (other.group_hash, other.seed):
        yield "the trials are not of one configuration and seed"
    for one in (trial, other):
        if one.state is not TrialState.SUCCEEDED:
            yield f"trial {one.id} has {one.state}"
    if not provenances:
        yield "where the trials ran is not known"
    for name in _DECISIVE:
        found = {repr(provenance.get(name)) for provenance in provenances}
        if len(found) > 1:
            yield f"{name} differs: {' and '.join(sorted(found))}"
    if any(provenance.get("reproducibility") != "bitwise" for provenance in provenances):
        yield "on one of the machines numbers depend on the pack: its reproducibility is not bitwise"
