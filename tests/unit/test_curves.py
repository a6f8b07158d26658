"""Times at which curves reach levels, and what pairs of runs say about each run."""

import math
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from recipes.curves import (
    by_seed,
    first_reach,
    half_drop_time,
    half_time,
    lost_of_peak,
    per_run,
    pseudo_values,
    value_at,
)

STEP = np.array([0.0, 1, 3, 7, 15])  # equally far apart in log(1 + step)


@pytest.mark.parametrize(
    ("value", "level", "time"),
    [
        ([0, 0, 0, 1, 1], 1.0, 7.0),  # at a trace point
        ([0, 0, 0, 1, 1], 0.5, math.sqrt(4 * 8) - 1),  # half-way between two
        ([0, 1, 0, 1, 1], 1.0, 1.0),  # the first time counts
        ([1, 1, 1, 1, 1], 0.5, 1.0),  # from the start: no time below 1
        ([0, 0, 0, 0, 0], 0.5, math.nan),  # never
        ([math.nan, 0, math.nan, 1, 1], 1.0, 7.0),  # points without a value are left out
    ],
)
def test_first_reach(value: list[float], level: float, time: float) -> None:
    assert first_reach(STEP, np.array(value, dtype=float), level) == pytest.approx(time, nan_ok=True)


def test_half_times() -> None:
    rising = np.array([-0.05, 0, 0.2, 0.4, 0.6])
    assert half_time(STEP, rising) == pytest.approx(math.sqrt(4 * 8) - 1)
    assert math.isnan(half_time(STEP, -np.ones(5)))
    assert half_drop_time(STEP, np.array([0.9, 0.9, 0.5, 0.1, 0.3])) == pytest.approx(3)  # 0.1 is where it ends


def test_value_at() -> None:
    value = np.array([0, 1, 2, 3, 4.0])
    assert value_at(STEP, value, 7) == pytest.approx(3)
    assert value_at(STEP, value, math.sqrt(4 * 8) - 1) == pytest.approx(2.5)
    assert math.isnan(value_at(STEP, value, math.nan))


def test_numbers_per_run_in_the_order_of_steps() -> None:
    points = pl.DataFrame({"seed": [0, 1, 0, 1], "step": [5, 5, 0, 0], "value": [2.0, None, 1.0, 3.0]})
    ends = per_run(points, ["seed"], lambda curve: {"first": curve("value")[0], "last": curve("value")[-1]})
    assert ends.rows()[0] == (0, 1.0, 2.0)
    assert ends["first"].to_list() == [1.0, 3.0]
    assert np.isnan(ends["last"].to_numpy()[1])


def test_pseudo_values_have_the_mean_of_pairs_and_the_spread_of_seeds() -> None:
    effect = np.random.default_rng(0).normal(size=40)
    pairs = pl.DataFrame(
        [{"seed_a": a, "seed_b": b, "cosine": 0.3 + effect[a] + effect[b]} for a, b in combinations(range(40), 2)]
    )
    values = np.array(pseudo_values(pairs))
    assert values.mean() == pytest.approx(pairs["cosine"].mean())
    assert values == pytest.approx(0.3 + 2 * effect, abs=0.15)  # each seed's own part, which it gives to its pairs
    naive = float(pairs["cosine"].to_numpy().std(ddof=1)) / math.sqrt(len(pairs))
    assert values.std(ddof=1) / math.sqrt(40) > 4 * naive


def test_two_seeds_have_no_pseudo_values() -> None:
    pair = pl.DataFrame({"seed_a": [0], "seed_b": [1], "cosine": [0.5]})
    assert all(math.isnan(value) for value in pseudo_values(pair))


def test_runs_of_one_seed_are_one_value() -> None:
    runs = pl.DataFrame({"seed": [1, 0, 1, 2], "cell": [0, 0, 1, 0], "value": [1.0, 5.0, 3.0, None]})
    assert by_seed(runs, "value")[:2] == [5.0, 2.0]
    assert np.isnan(by_seed(runs, "value")[2])


def test_what_a_curve_has_lost_of_its_peak() -> None:
    points = pl.DataFrame({"seed": [0] * 3 + [1] * 3, "step": [0, 1, 2, 2, 1, 0], "x": [0.0, 0.8, 0.6, 0.5, 0.4, None]})
    assert lost_of_peak(points, ["seed"], "x")["lost"].to_list() == pytest.approx([0.25, 0.0])
