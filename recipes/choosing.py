"""Settings of a sweep beside each other: which of them is best, and how far two are apart, seed by seed."""

from collections.abc import Sequence

import polars as pl


def at_its_best(finals: pl.DataFrame, of: Sequence[str], over: Sequence[str], by: str) -> pl.DataFrame:
    """Of each group (`of`), the runs at the setting (`over`) whose mean of `by` is highest; of equals, the first.

    To compare rules at their best without choosing by what is compared, take training accuracy as `by`.
    """
    best = []
    for _, mine in finals.group_by(of, maintain_order=True):
        settings = [runs for _, runs in mine.group_by(over, maintain_order=True)]
        best.append(max(settings, key=lambda runs: _mean(runs, by)))
    return pl.concat(best) if best else finals


def apart(runs: pl.DataFrame, others: pl.DataFrame, column: str) -> list[float]:
    """Differences of a column between two settings, one for each seed of both, in the order of seeds."""
    both = runs.select("seed", column).join(others.select("seed", column), on="seed", suffix="_other").sort("seed")
    return [_number(a) - _number(b) for _, a, b in both.rows()]


def _mean(runs: pl.DataFrame, column: str) -> float:
    values = [value for value in runs[column].cast(pl.Float64) if value is not None]
    return sum(values) / len(runs) if values else float("-inf")  # a run without a value counts as zero


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
