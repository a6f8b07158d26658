"""Verdicts on claims: what decides, what does not, and what is told of it."""

import math

import numpy as np
import pytest
from scipy import stats

from recipes.findings import (
    Verdict,
    all_above,
    all_below,
    mean_above,
    mean_below,
    mean_within,
    rank_correlation_above,
    resampled_above,
    share_above,
    share_within,
    undecided,
    weakest,
)

TEN = [0.50, 0.52, 0.48, 0.51, 0.49, 0.50, 0.53, 0.47, 0.50, 0.50]


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (mean_above("c", TEN, 0.4), Verdict.HOLDS),
        (mean_above("c", TEN, 0.6), Verdict.FAILS),
        (mean_above("c", TEN, 0.5), Verdict.UNDECIDED),  # the mean itself
        (mean_below("c", TEN, 0.6), Verdict.HOLDS),
        (mean_below("c", TEN, 0.4), Verdict.FAILS),
        (mean_within("c", TEN, 0.4, 0.6), Verdict.HOLDS),
        (mean_within("c", TEN, 0.6, 0.7), Verdict.FAILS),
        (mean_within("c", TEN, 0.49, 0.505), Verdict.UNDECIDED),
        (mean_above("c", [0.5], 0.0), Verdict.UNDECIDED),  # a single run
        (mean_above("c", [0.5, math.nan], 0.0), Verdict.UNDECIDED),  # again, for the other has no value
        (mean_above("c", [], 0.0), Verdict.UNDECIDED),
        (all_below("c", TEN, 0.54), Verdict.HOLDS),
        (all_below("c", TEN, 0.53), Verdict.FAILS),  # reaches the bound
        (all_above("c", TEN, 0.46), Verdict.HOLDS),
        (all_above("c", TEN, 0.5), Verdict.FAILS),
        (all_above("c", [1.0], 0.5), Verdict.UNDECIDED),
        (all_below("c", [0.1, 0.2, math.nan], 1.0), Verdict.UNDECIDED),  # not every run is known
        (all_below("c", [0.1, 1.2, math.nan], 1.0), Verdict.FAILS),  # one is enough
        (share_above("c", 40, 40, 0.9), Verdict.HOLDS),
        (share_above("c", 5, 5, 0.8), Verdict.UNDECIDED),  # five of five may be luck
        (share_above("c", 5, 40, 0.8), Verdict.FAILS),
        (share_within("c", 20, 40, 0.3, 0.7), Verdict.HOLDS),
        (share_within("c", 0, 400, 0.0, 0.05), Verdict.HOLDS),  # none at all is within a range from none
        (rank_correlation_above("c", range(20), range(20), 0.9), Verdict.HOLDS),
        (rank_correlation_above("c", range(20), range(20, 0, -1), 0.9), Verdict.FAILS),
        (rank_correlation_above("c", range(3), range(3), 0.0), Verdict.UNDECIDED),  # three pairs always look ordered
        (rank_correlation_above("c", range(9), [1.0] * 9, 0.0), Verdict.UNDECIDED),
    ],
)
def test_verdicts(finding: object, verdict: Verdict) -> None:
    assert finding.verdict is verdict  # type: ignore[attr-defined]


def test_the_interval_of_a_mean_is_students() -> None:
    finding = mean_above("c", TEN, 0.0)
    expected = stats.ttest_1samp(TEN, 0.0).confidence_interval(0.95)
    assert (finding.low, finding.high) == pytest.approx((expected.low, expected.high))
    assert finding.n == 10


def test_runs_without_a_value_are_told() -> None:
    assert mean_above("c", [*TEN, math.nan], 0.0).note == "1 runs have no value"
    assert "1 runs have no value" in str(mean_above("c", [*TEN, math.nan], 0.5).note)
    assert all_below("c", [0.1, 0.2, math.inf], 1.0).n == 2
    assert all_below("c", [0.1, 0.2, math.inf], 1.0).note == "1 runs have no value"


def test_an_undecided_claim_says_why() -> None:
    assert mean_above("c", TEN, 0.5).note == "the interval reaches to both sides"
    assert "single run" in str(mean_above("c", [1.0], 0.5).note)


@pytest.mark.parametrize(
    ("noise", "bound", "verdict"),
    [(0.01, 0.9, Verdict.HOLDS), (1.5, 0.9, Verdict.UNDECIDED), (0.01, 1.1, Verdict.FAILS)],
)
def test_what_noise_may_have_ordered_is_undecided(noise: float, bound: float, verdict: Verdict) -> None:
    cells = np.arange(4.0)[:, None] + noise * np.random.default_rng(1).normal(size=(4, 5))
    finding = resampled_above("c", cells, lambda means: stats.spearmanr(range(4), means).statistic, bound, what="rho")
    assert finding.verdict is verdict
    assert finding == resampled_above(
        "c", cells, lambda means: stats.spearmanr(range(4), means).statistic, bound, what="rho"
    )


def test_criteria_are_told_as_people_write_them() -> None:
    assert mean_above("c", TEN, 0.25, what="GA").criterion == "GA > 0.25"
    assert mean_within("c", TEN, 0.1, 0.9, what="GA").criterion == "0.1 < GA < 0.9"


def test_the_weakest_part_is_told() -> None:
    strong, weak = mean_above("strong", TEN, 0.4), mean_above("weak", [x - 0.05 for x in TEN], 0.4)
    fails, open_ = mean_above("fails", TEN, 0.6), undecided("open", "too few")
    told = weakest("all", [strong, weak])
    assert (told.claim, told.verdict, told.statistic) == ("all", Verdict.HOLDS, weak.statistic)
    assert told.note == "the weakest of 2: weak"
    assert weakest("all", [strong, open_, weak]).verdict is Verdict.UNDECIDED
    assert weakest("all", [strong, open_, fails]).verdict is Verdict.FAILS
    assert weakest("all", [strong, weak], strength=lambda part: -(part.high or 0)).statistic == strong.statistic
    assert weakest("all", []).verdict is Verdict.UNDECIDED


def test_that_one_of_many_parts_fails_may_be_chance() -> None:
    barely = mean_above("barely", TEN, 0.514)
    assert barely.verdict is Verdict.FAILS
    assert barely.chance == pytest.approx(stats.ttest_1samp(TEN, 0.514, alternative="less").pvalue)
    assert weakest("all", [barely]).verdict is Verdict.FAILS
    many = weakest("all", [barely, *[mean_above("fine", TEN, 0.4)] * 11])
    assert (many.verdict, many.statistic) == (Verdict.UNDECIDED, barely.statistic)
    assert "may by chance" in str(many.note)
    assert weakest("all", [barely, *[mean_above("far", TEN, 0.6)] * 11]).verdict is Verdict.FAILS
