"""Settings at their best, and differences by seed."""

import math

import polars as pl

from recipes.choosing import apart, at_its_best


def test_the_best_setting_has_the_highest_mean_not_the_highest_run() -> None:
    runs = pl.DataFrame(
        {
            "rule": ["fa"] * 4 + ["bp"] * 4,
            "lr": [0.1, 0.1, 0.2, 0.2] * 2,
            "seed": [0, 1] * 4,
            "score": [0.0, 0.9, 0.6, 0.6, 0.9, 0.9, 0.1, 0.1],
        }
    )
    best = at_its_best(runs, ["rule"], ["lr"], "score")
    assert best.select("rule", "lr").unique(maintain_order=True).rows() == [("fa", 0.2), ("bp", 0.1)]


def test_a_run_that_diverged_counts_against_its_setting() -> None:
    runs = pl.DataFrame({"rule": ["bp"] * 4, "lr": [1, 1, 2, 2], "seed": [0, 1, 0, 1], "score": [None, 0.9, 0.6, 0.6]})
    assert at_its_best(runs, ["rule"], ["lr"], "score")["lr"].to_list() == [2, 2]


def test_differences_pair_seeds_and_keep_what_is_missing() -> None:
    runs = pl.DataFrame({"seed": [2, 1, 0], "score": [3.0, None, 1.0]})
    others = pl.DataFrame({"seed": [0, 1, 2, 3], "score": [0.5, 0.5, 0.5, 0.5]})
    first, second, third = apart(runs, others, "score")
    assert (first, third) == (0.5, 2.5)
    assert math.isnan(second)
