"""Curves of a sweep's groups over their seeds: whole, or thinned out by SQL to so many trace points of each group."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from db.arrays import BigInts
from services.domain.errors import NotFound

_TOTALS = ("gradient_alignment", "weight_alignment")
_LOSSES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")

# Trace points of each group: how many, and the steps of those to show, at equal distances by their number (steps grow
# geometrically), the first and the last among them. The trials of a group are measured at the same steps: those of the
# trial that is furthest are all there are.
_STEPS = text("""
    WITH points AS (
        SELECT kept.group_id, kept.step FROM group_curves AS kept JOIN groups ON groups.id = kept.group_id
        WHERE groups.sweep_id = :sweep
        UNION ALL
        SELECT groups.id, metrics.step
        FROM groups
        CROSS JOIN LATERAL (
            SELECT trials.id FROM trials
            CROSS JOIN LATERAL (SELECT step FROM metrics WHERE trial_id = trials.id ORDER BY step DESC LIMIT 1) AS last
            WHERE trials.group_id = groups.id
            ORDER BY last.step DESC
            LIMIT 1
        ) AS furthest
        JOIN metrics ON metrics.trial_id = furthest.id
        WHERE groups.sweep_id = :sweep AND NOT groups.rolled_up
    ), placed AS (
        SELECT group_id, step, row_number() OVER (PARTITION BY group_id ORDER BY step) - 1 AS place,
            count(*) OVER (PARTITION BY group_id) AS total
        FROM points
    )
    SELECT group_id, total, array_agg(step) AS steps FROM placed
    WHERE total <= :most OR place = 0
        OR place * (:most - 1) / greatest(total - 1, 1) > (place - 1) * (:most - 1) / greatest(total - 1, 1)
    GROUP BY group_id, total
""")


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Rows of n, means and standard deviations over seeds. A point is one step of one group."""

    items: list[dict[str, Any]]
    points_total: int
    points_shown: int

    @property
    def sampled(self) -> bool:
        """Whether points were left out."""
        return self.points_shown < self.points_total


def curves(session: Session, sweep_id: int, *, max_points: int | None = None) -> Curves:
    """Losses, accuracies and total alignments by group and step. Raises NotFound.

    `max_points`: at most so many steps of each group, at least 2; None for all.
    """
    return _read(session, sweep_id, max_points, "group_curves", "metrics", ("step", "epoch"), (*_LOSSES, *_TOTALS))


def alignment(session: Session, sweep_id: int, *, max_points: int | None = None) -> Curves:
    """Alignment by group, step and layer; as above."""
    return _read(session, sweep_id, max_points, "group_traces", "traces", ("step", "layer"), _TOTALS)


def _read(
    session: Session,
    sweep_id: int,
    max_points: int | None,
    kept: str,
    table: str,
    place: tuple[str, str],
    measured: tuple[str, ...],
) -> Curves:
    if session.execute(text("SELECT FROM sweeps WHERE id = :id"), {"id": sweep_id}).one_or_none() is None:
        raise NotFound("sweep", sweep_id)
    if max_points is None:
        view = "v_group_curves" if table == "metrics" else "v_group_alignment_curves"
        items = _rows(session, _answer(f"(SELECT * FROM {view} WHERE sweep_id = :sweep)", place, measured), sweep_id)
        points = len({(item["group_hash"], item["step"]) for item in items})
        return Curves(items=items, points_total=points, points_shown=points)
    groups = session.execute(_STEPS, {"sweep": sweep_id, "most": max_points}).all()
    shown = {
        "groups": BigInts(np.repeat([group.group_id for group in groups], [len(group.steps) for group in groups])),
        "steps": BigInts(np.array([step for group in groups for step in group.steps], np.int64)),
    }
    thinned = f"({_thinned(kept, table, place, measured)})"
    return Curves(
        items=_rows(session, _answer(thinned, place, measured), sweep_id, **shown) if groups else [],
        points_total=sum(group.total for group in groups),
        points_shown=len(shown["steps"].values),
    )


def _answer(curve: str, place: tuple[str, str], measured: tuple[str, ...]) -> TextClause:
    columns = ", ".join(f"curve.{name}" for name in (*place, "n", *_statistics(measured)))
    return text(f"""
        SELECT groups.group_hash, groups.varied, {columns}
        FROM {curve} AS curve JOIN groups ON groups.id = curve.group_id
        WHERE groups.sweep_id = :sweep
        ORDER BY groups.position, curve.{place[0]}, curve.{place[1]}
    """)


def _thinned(kept: str, table: str, place: tuple[str, str], measured: tuple[str, ...]) -> str:
    """The points to show: from the curves that are kept, else from the rows of the trials."""
    other = place[1]
    statistics = ", ".join(_statistics(measured))
    computed = ", ".join(f"avg({name}), stddev_samp({name})" for name in measured)
    # Trials of a group share an epoch per step; layers are rows of their own.
    second, by = ("min(epoch)", "") if other == "epoch" else (other, f", {other}")
    return f"""
        WITH shown AS (SELECT * FROM unnest(:groups ::bigint[], :steps ::bigint[]) AS point(group_id, step))
        SELECT group_id, step, {other}, n, {statistics} FROM shown JOIN {kept} USING (group_id, step)
        UNION ALL
        SELECT shown.group_id, shown.step, {second}, count(*), {computed}
        FROM shown
        JOIN groups ON groups.id = shown.group_id AND NOT groups.rolled_up
        JOIN trials ON trials.group_id = groups.id
        CROSS JOIN LATERAL (
            SELECT * FROM {table} WHERE trial_id = trials.id AND step = shown.step OFFSET 0
        ) AS rows
        GROUP BY shown.group_id, shown.step{by}
    """


def _statistics(measured: Iterable[str]) -> list[str]:
    return [f"{name}_{kind}" for name in measured for kind in ("mean", "sd")]


def _rows(session: Session, statement: TextClause, sweep_id: int, **shown: BigInts) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(statement, {"sweep": sweep_id, **shown}).mappings()]
