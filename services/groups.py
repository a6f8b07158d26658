"""The groups of a sweep: the axes that tell them apart, and series of groups that are alike on some of these."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.errors import InvalidQuery, NotFound, Problem
from services.lists.columns import TRIALS

MOST_VALUES = 100

# An axis that changes less often from group to group is further out in the expansion.
_AXES = text("""
    WITH valued AS (
        SELECT groups.position, axis.key AS name, axis.value,
            lag(axis.value) OVER (PARTITION BY axis.key ORDER BY groups.position) IS DISTINCT FROM axis.value AS changed
        FROM groups CROSS JOIN LATERAL jsonb_each(groups.varied) AS axis
        WHERE groups.sweep_id = :sweep
    ), found AS (
        SELECT name, value, min(position) AS first, count(*) AS groups, count(*) FILTER (WHERE changed) AS changes
        FROM valued GROUP BY name, value
    )
    SELECT name, count(*) AS distinct_values, sum(groups) AS groups,
        CASE WHEN count(*) <= :most THEN array_agg(value ORDER BY first) END AS values
    FROM found GROUP BY name ORDER BY sum(changes), name
""")
_COUNT = text(
    "SELECT count(groups.id) FROM sweeps LEFT JOIN groups ON groups.sweep_id = sweeps.id WHERE sweeps.id = :id"
)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A dotted path on which groups differ; `values`: numbers in order, else as they come, None above 100 of them."""

    name: str
    count: int
    values: list[Any] | None


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The outermost axis first. `groups`: how many there are."""

    items: list[Axis]
    groups: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which groups, and how they are pooled.

    `by`: axes; groups with the same values on them are one series (that lack an axis: as with the value null). None:
    every group is a series of its own. `where`: values on axes that hold of the groups. `most`: so many series, the
    first in the order of expansion.
    """

    by: Sequence[str] | None = None
    where: Mapping[str, Any] | None = None
    most: int | None = None


ALL = Selection()


@dataclass(frozen=True, kw_only=True)
class Series:
    """`shown`: its values on the axes asked for and how many groups it has; or the hash and values of its one group."""

    shown: dict[str, Any]
    groups: list[int]


def axes(session: Session, sweep_id: int) -> Axes:
    """The axes on which the groups of a sweep differ. Raises NotFound."""
    total = _count(session, sweep_id)
    rows = session.execute(_AXES, {"sweep": sweep_id, "most": MOST_VALUES})
    found = [row for row in rows if row.distinct_values > 1 or row.groups < total]
    return Axes(
        items=[Axis(name=row.name, count=row.distinct_values, values=_values(row)) for row in found], groups=total
    )


def _count(session: Session, sweep_id: int) -> int:
    count: int = session.execute(_COUNT, {"id": sweep_id}).scalar_one()
    if count == 0:
        raise NotFound("sweep", sweep_id)
    return count


def _values(row: Any) -> list[Any] | None:
    if row.values is None:
        return None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in row.values)
    return sorted(row.values) if numbers else list(row.values)


def select(session: Session, sweep_id: int, selection: Selection) -> tuple[list[Series], int]:
    """The series of a sweep, and how many there would be without `most`. Raises NotFound, InvalidQuery."""
    _count(session, sweep_id)
    values: dict[str, Any] = {"sweep": sweep_id, "most": selection.most}
    conditions = []
    for i, (name, value) in enumerate((selection.where or {}).items()):
        values |= {f"where{i}": _path("where", name), f"value{i}": json.dumps(value)}
        conditions.append(f"AND {_value(f':where{i}')} IS NOT DISTINCT FROM nullif(CAST(:value{i} AS jsonb), 'null')")
    for i, name in enumerate(selection.by or ()):
        values[f"by{i}"] = _path("by", name)
    rows = session.execute(text(_statement(selection.by, conditions)), values).all()
    return [_series(row, selection.by) for row in rows], rows[0].total if rows else 0


def _path(parameter: str, name: str) -> str:
    """The full name of a parameter of configurations."""
    path = TRIALS.shorthands.get(name, name)
    if path in TRIALS.parameters:
        return path
    close = difflib.get_close_matches(name, [*TRIALS.parameters, *TRIALS.shorthands], n=1)
    hint = f"did you mean {close[0]}?" if close else None
    message = f"there is no parameter `{name}`"
    raise InvalidQuery([Problem(pointer=f"/query/{parameter}", code="unknown_name", message=message, hint=hint)])


def _value(path: str) -> str:
    return f"nullif(groups.varied -> {path}, 'null')"


def _statement(by: Sequence[str] | None, conditions: list[str]) -> str:
    if by is None:
        shown, grouped = "groups.group_hash, groups.varied", "groups.id"
    else:
        shown = ", ".join(f"{_value(f':by{i}')} AS axis{i}" for i in range(len(by))) or "1"
        grouped = ", ".join(f"axis{i}" for i in range(len(by))) or "()"
    return f"""
        SELECT {shown}, array_agg(groups.id ORDER BY groups.position) AS ids, count(*) OVER () AS total
        FROM groups WHERE groups.sweep_id = :sweep {" ".join(conditions)}
        GROUP BY {grouped} ORDER BY min(groups.position) LIMIT :most
    """


def _series(row: Any, by: Sequence[str] | None) -> Series:
    if by is None:
        return Series(shown={"group_hash": row.group_hash, "varied": row.varied}, groups=row.ids)
    varied = {name: getattr(row, f"axis{i}") for i, name in enumerate(by)}
    return Series(shown={"varied": varied, "groups": len(row.ids)}, groups=row.ids)
