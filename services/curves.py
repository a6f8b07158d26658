"""Curves of a sweep's groups over their seeds: whole, or pooled into series and thinned out to so many points."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.arrays import BigInts
from services.domain.errors import NotFound
from services.groups import ALL, Selection, select

_TOTALS = ("gradient_alignment", "weight_alignment")
_LOSSES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")

# Of each series, the steps to show: at equal distances by their number (steps grow geometrically), the first and the
# last among them. The trials of a group are measured at the same steps: those of the trial that is furthest are all
# there are. Where fewer groups have a step than have a later one, a mean over them would be one over others than its
# neighbours: such steps, the last ones of groups that train for fewer, are left out.
_STEPS = text("""
    WITH members AS (SELECT * FROM unnest(:series ::bigint[], :members ::bigint[]) AS member(series, group_id)),
    points AS (
        SELECT members.series, kept.step FROM members JOIN group_curves AS kept USING (group_id)
        UNION ALL
        SELECT members.series, metrics.step
        FROM members
        JOIN groups ON groups.id = members.group_id AND NOT groups.rolled_up
        CROSS JOIN LATERAL (
            SELECT trials.id FROM trials
            CROSS JOIN LATERAL (SELECT step FROM metrics WHERE trial_id = trials.id ORDER BY step DESC LIMIT 1) AS last
            WHERE trials.group_id = groups.id
            ORDER BY last.step DESC
            LIMIT 1
        ) AS furthest
        JOIN metrics ON metrics.trial_id = furthest.id
    ), measured AS (
        SELECT series, step, count(*) AS groups FROM points GROUP BY series, step
    ), followed AS (
        SELECT series, step, groups, max(groups) OVER (PARTITION BY series ORDER BY step DESC) AS later FROM measured
    ), placed AS (
        SELECT series, step, row_number() OVER (PARTITION BY series ORDER BY step) - 1 AS place,
            count(*) OVER (PARTITION BY series) AS total
        FROM followed WHERE groups = later
    )
    SELECT series, total, array_agg(step) AS steps FROM placed
    WHERE CAST(:most AS bigint) IS NULL OR total <= :most OR place = 0
        OR place * (:most - 1) / greatest(total - 1, 1) > (place - 1) * (:most - 1) / greatest(total - 1, 1)
    GROUP BY series, total
""")


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Rows of n, means and standard deviations over trials. A point is one step of one series."""

    items: list[dict[str, Any]]
    points_total: int
    points_shown: int
    series_total: int
    series_shown: int

    @property
    def sampled(self) -> bool:
        """Whether points were left out."""
        return self.points_shown < self.points_total


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Where measurements are: of groups, as they are kept, and of trials. `place`: what tells a group's rows apart."""

    kept: str
    rows: str
    view: str
    place: tuple[str, str]
    measures: tuple[str, ...]


_CURVES = _Table(
    kept="group_curves",
    rows="metrics",
    view="v_group_curves",
    place=("step", "epoch"),
    measures=(*_LOSSES, *_TOTALS),
)
_ALIGNMENT = _Table(
    kept="group_traces", rows="traces", view="v_group_alignment_curves", place=("step", "layer"), measures=_TOTALS
)


def curves(session: Session, sweep_id: int, *, max_points: int | None = None, selection: Selection = ALL) -> Curves:
    """Losses, accuracies and total alignments by series and step. Raises NotFound, InvalidQuery.

    `max_points`: at most so many steps of each series, at least 2; None for all. Where groups are pooled, `<measure>_n`
    says over how many trials, and `epoch` is None where it differs.
    """
    return _read(session, sweep_id, max_points, selection, _CURVES)


def alignment(session: Session, sweep_id: int, *, max_points: int | None = None, selection: Selection = ALL) -> Curves:
    """Alignment by series, step and layer; as above."""
    return _read(session, sweep_id, max_points, selection, _ALIGNMENT)


def _read(session: Session, sweep_id: int, max_points: int | None, selection: Selection, table: _Table) -> Curves:
    if max_points is None and selection == ALL:
        return _whole(session, sweep_id, table)
    series, total = select(session, sweep_id, selection)
    members = {
        "series": BigInts(np.repeat(np.arange(len(series)), [len(one.groups) for one in series])),
        "members": BigInts(np.array([group for one in series for group in one.groups], np.int64)),
    }
    found = session.execute(_STEPS, {**members, "most": max_points}).all()
    points = {
        "shown": BigInts(np.repeat([row.series for row in found], [len(row.steps) for row in found]).astype(np.int64)),
        "steps": BigInts(np.array([step for row in found for step in row.steps], np.int64)),
    }
    rows = session.execute(text(_pooled(table, selection.by is not None)), {**members, **points}).mappings()
    return Curves(
        items=[{**series[row["series"]].shown, **{k: v for k, v in row.items() if k != "series"}} for row in rows],
        points_total=sum(row.total for row in found),
        points_shown=len(points["steps"].values),
        series_total=total,
        series_shown=len(series),
    )


def _whole(session: Session, sweep_id: int, table: _Table) -> Curves:
    """Every point of every group."""
    if session.execute(text("SELECT FROM sweeps WHERE id = :id"), {"id": sweep_id}).one_or_none() is None:
        raise NotFound("sweep", sweep_id)
    columns = ", ".join(f"curve.{name}" for name in (*table.place, "n", *_statistics(table.measures)))
    statement = text(f"""
        SELECT groups.group_hash, groups.varied, {columns}
        FROM {table.view} AS curve JOIN groups ON groups.id = curve.group_id
        WHERE curve.sweep_id = :sweep
        ORDER BY groups.position, curve.{table.place[0]}, curve.{table.place[1]}
    """)
    items = [dict(row) for row in session.execute(statement, {"sweep": sweep_id}).mappings()]
    groups = len({item["group_hash"] for item in items})
    points = len({(item["group_hash"], item["step"]) for item in items})
    return Curves(items=items, points_total=points, points_shown=points, series_total=groups, series_shown=groups)


def _pooled(table: _Table, pooled: bool) -> str:
    """The points to show of each series: from the curves that are kept, else from the rows of the trials."""
    first, second = table.place
    statistics = ", ".join(_statistics(table.measures))
    computed = ", ".join(f"avg({name}), stddev_samp({name})" for name in table.measures)
    # Trials of a group share an epoch per step; layers are rows of their own.
    second_of, by = ("min(epoch)", "") if second == "epoch" else (second, f", {second}")
    groups = f"""
        SELECT wanted.series, {first}, {second}, n, {statistics} FROM wanted JOIN {table.kept} USING (group_id, step)
        UNION ALL
        SELECT wanted.series, wanted.step, {second_of}, count(*), {computed}
        FROM wanted
        JOIN groups ON groups.id = wanted.group_id AND NOT groups.rolled_up
        JOIN trials ON trials.group_id = groups.id
        CROSS JOIN LATERAL (
            SELECT * FROM {table.rows} WHERE trial_id = trials.id AND step = wanted.step OFFSET 0
        ) AS rows
        GROUP BY wanted.series, wanted.group_id, wanted.step{by}
    """
    if pooled:
        epoch = "CASE WHEN min(epoch) = max(epoch) THEN min(epoch) END AS epoch"
        columns = ", ".join(
            (epoch if second == "epoch" else second, "CAST(sum(n) AS bigint) AS n", *map(_over_groups, table.measures))
        )
        groups = f"SELECT series, {first}, {columns} FROM ({groups}) AS group_ GROUP BY series, {first}{by}"
    return f"""
        WITH members AS (SELECT * FROM unnest(:series ::bigint[], :members ::bigint[]) AS member(series, group_id)),
        points AS (SELECT * FROM unnest(:shown ::bigint[], :steps ::bigint[]) AS point(series, step)),
        wanted AS (SELECT series, group_id, step FROM members JOIN points USING (series))
        {groups}
        ORDER BY series, {first}, {second}
    """


def _over_groups(measure: str) -> str:
    """Over all trials of the groups, from n, mean and deviation of each group in which it is defined."""
    mean, sd = f"{measure}_mean", f"{measure}_sd"
    n = f"sum(n) FILTER (WHERE {mean} IS NOT NULL)"
    within, squares = f"sum((n - 1) * coalesce({sd}, 0) ^ 2)", f"sum(n * {mean} ^ 2)"
    spread = f"greatest(0, {within} FILTER (WHERE {mean} IS NOT NULL) + {squares} - sum(n * {mean}) ^ 2 / {n})"
    return f"""
        CAST(coalesce({n}, 0) AS bigint) AS {measure}_n, sum(n * {mean}) / {n} AS {mean},
        sqrt({spread} / nullif({n} - 1, 0)) AS {sd}"""


def _statistics(measured: Iterable[str]) -> list[str]:
    return [f"{name}_{kind}" for name in measured for kind in ("mean", "sd")]
