"""Numbers of curves: when a level is reached, what a curve is at a time; and pairs of runs as values of each run."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Curve = npt.NDArray[np.float64]


def first_reach(step: Curve, value: Curve, level: float) -> float:
    """First step at which a curve is at or above the level: straight lines over log(1 + step) between trace points.

    At least 1; points without a value are left out; NaN where the level is never reached.
    """
    seen = np.isfinite(value)
    time, height = _log(step[seen]), value[seen]
    above = np.flatnonzero(height >= level)
    if not len(above):
        return float("nan")
    i = int(above[0])
    if i == 0:
        return max(1.0, float(step[seen][0]))
    share = (level - height[i - 1]) / (height[i] - height[i - 1])
    return max(1.0, float(np.expm1(time[i - 1] + share * (time[i] - time[i - 1]))))


def half_time(step: Curve, value: Curve) -> float:
    """First step at which a curve reaches half of its maximum; NaN for a curve that is never positive."""
    highest = np.nanmax(value, initial=0.0)
    return first_reach(step, value, highest / 2) if highest > 0 else float("nan")


def half_drop_time(step: Curve, value: Curve) -> float:
    """First step at which half of the way from a curve's first value to its least is done."""
    return first_reach(step, -value, -(float(value[0]) + float(np.nanmin(value))) / 2)


def value_at(step: Curve, value: Curve, when: float) -> float:
    """A curve at a step, on straight lines over log(1 + step); NaN at NaN."""
    seen = np.isfinite(value)
    if not np.isfinite(when) or not seen.any():
        return float("nan")
    return float(np.interp(_log(np.array([when]))[0], _log(step[seen]), value[seen]))


def per_run(
    points: pl.DataFrame, keys: Sequence[str], numbers: Callable[[Callable[[str], Curve]], dict[str, float]]
) -> pl.DataFrame:
    """One row per value of the keys: numbers of a run. `numbers` gets its columns by name, in the order of steps."""
    rows: list[dict[str, Any]] = []
    for key, run in points.sort("step").group_by(keys, maintain_order=True):
        rows.append(dict(zip(keys, key, strict=True)) | numbers(_columns(run)))
    return pl.DataFrame(rows).sort(keys) if rows else pl.DataFrame(schema=list(keys))


def by_seed(rows: pl.DataFrame, column: str) -> list[float]:
    """The mean over all runs of each seed, in the order of seeds: runs that share a seed share what it draws.

    NaN where none of a seed's runs has a value.
    """
    value = pl.col(column).cast(pl.Float64)
    means = rows.group_by("seed").agg(mean=value.filter(value.is_finite()).mean().fill_null(float("nan"))).sort("seed")
    return means["mean"].to_list()


def lost_of_peak(points: pl.DataFrame, keys: Sequence[str], column: str) -> pl.DataFrame:
    """Share of its peak that a curve has lost at its end (`lost`), of each run."""
    return per_run(
        points,
        keys,
        lambda curve: {"lost": 1 - float(curve(column)[-1]) / float(np.nanmax(curve(column)))},
    )


def pseudo_values(pairs: pl.DataFrame) -> list[float]:
    """Tukey's pseudo-values of a mean over pairs (columns seed_a, seed_b, cosine), one for each seed, in their order.

    Pairs that share a seed are not independent; seeds are. The pseudo-values n U - (n - 1) U_i, where U is the mean
    over all pairs and U_i that without the pairs of seed i, have U as their mean, and Student's interval of them is
    that of the jackknife (Arvesen 1969), which is on the safe side: it overestimates the variance (Efron & Stein
    1981). Needs three seeds; NaN for fewer.
    """
    a, b, cosine = (pairs[name].to_numpy() for name in ("seed_a", "seed_b", "cosine"))
    seeds = np.unique(np.concatenate([a, b]))
    n = len(seeds)
    if n < 3:
        return [float("nan")] * n
    whole = cosine.mean()
    return [float(n * whole - (n - 1) * cosine[(a != seed) & (b != seed)].mean()) for seed in seeds]


def _columns(run: pl.DataFrame) -> Callable[[str], Curve]:
    return lambda name: run[name].cast(pl.Float64).to_numpy()


def _log(step: Curve) -> Curve:
    logarithm: Curve = np.log1p(step.astype(np.float64))
    return logarithm
