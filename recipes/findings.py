"""What data say about claims. Pure: values in, a verdict with its statistic and interval out.

A claim holds where the whole 95 % interval of its statistic is on the claimed side, fails where the whole interval is
on the other side, and is undecided between: more seeds would decide it. A claim about every run fails at the first
that contradicts it, and does not hold while one is missing. Nothing is decided on a single run.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = Sequence[float] | npt.NDArray[np.float64]
_LEVEL = 0.95
_RESAMPLES = 1000


class Verdict(StrEnum):
    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"


_ORDER = (Verdict.FAILS, Verdict.UNDECIDED, Verdict.HOLDS)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One claim, decided or not.

    `claim`: the sentence that is decided; `statistic`: what is compared with the criterion, and of how many (`n`)
    independent values; `low`, `high`: its 95 % interval, or, of a claim about every run (`of_all`), the least and the
    largest of the runs; `known`: what others found, with the source.
    """

    claim: str
    verdict: Verdict
    criterion: str
    statistic: float | None
    low: float | None
    high: float | None
    n: int
    known: str | None = None
    note: str | None = None
    """Why it is undecided, or what limits it."""
    of_all: bool = False
    chance: float | None = None
    """Of a mean so far on the other side or farther, were the claim just true."""


def undecided(claim: str, why: str) -> Finding:
    """A claim that the data cannot decide."""
    return Finding(
        claim=claim,
        verdict=Verdict.UNDECIDED,
        criterion="",
        statistic=None,
        low=None,
        high=None,
        n=0,
        note=why,
    )


def mean_above(claim: str, values: Values, bound: float, *, what: str = "mean", known: str | None = None) -> Finding:
    """The mean of independent values is above the bound: Student's t."""
    return _mean(claim, values, bound, math.inf, f"{what} > {bound:g}", known)


def mean_below(claim: str, values: Values, bound: float, *, what: str = "mean", known: str | None = None) -> Finding:
    """The mean of independent values is below the bound: Student's t."""
    return _mean(claim, values, -math.inf, bound, f"{what} < {bound:g}", known)


def mean_within(
    claim: str, values: Values, low: float, high: float, *, what: str = "mean", known: str | None = None
) -> Finding:
    """The mean of independent values lies between the bounds: Student's t."""
    return _mean(claim, values, low, high, f"{low:g} < {what} < {high:g}", known)


def all_below(claim: str, values: Values, bound: float, *, what: str = "largest", known: str | None = None) -> Finding:
    """No value reaches the bound, and none is missing. Low and high are the smallest and the largest value."""
    return _extreme(claim, values, bound, f"{what} < {bound:g}", known, largest=True)


def all_above(claim: str, values: Values, bound: float, *, what: str = "smallest", known: str | None = None) -> Finding:
    """Every value is above the bound, and none is missing; low and high as of `all_below`."""
    return _extreme(claim, values, bound, f"{what} > {bound:g}", known, largest=False)


def share_above(
    claim: str, successes: int, n: int, bound: float, *, what: str = "share", known: str | None = None
) -> Finding:
    """More than this share of independent runs succeed: Wilson's interval."""
    return _share(claim, successes, n, bound, 1.0, f"{what} > {bound:g}", known)


def share_within(
    claim: str, successes: int, n: int, low: float, high: float, *, what: str = "share", known: str | None = None
) -> Finding:
    """The share of independent runs that succeed lies between the bounds: Wilson's interval."""
    return _share(claim, successes, n, low, high, f"{low:g} < {what} < {high:g}", known)


def rank_correlation_above(
    claim: str, x: Values, y: Values, bound: float, *, what: str = "Spearman's rho", known: str | None = None
) -> Finding:
    """y rises with x: Spearman's rho, its interval by Fisher's z with the variance of Bonett & Wright (2000)."""
    pairs = np.array([pair for pair in zip(x, y, strict=True) if np.isfinite(pair).all()]).reshape(-1, 2)
    if len(pairs) < 4 or (np.ptp(pairs, axis=0) == 0).any():
        return undecided(claim, f"{len(pairs)} pairs are too few, or do not vary")
    rho = float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    z, width = np.arctanh(np.clip(rho, -1 + 1e-9, 1 - 1e-9)), stats.norm.ppf((1 + _LEVEL) / 2)
    error = width * math.sqrt((1 + rho**2 / 2) / (len(pairs) - 3))
    low, high = float(np.tanh(z - error)), float(np.tanh(z + error))
    return _judged(claim, rho, low, high, bound, math.inf, f"{what} > {bound:g}", len(pairs), known)


def weakest(claim: str, parts: Sequence[Finding], *, strength: Callable[[Finding], float] | None = None) -> Finding:
    """Every part holds, parts being claims of one kind. The one furthest from holding is told.

    Which that is goes by verdict, then by `strength`: where the interval begins unless given. No correction for the
    number of parts is needed for the claim to hold (Berger 1982). That it fails takes a part that fails by Bonferroni's
    correction: one of many may fail by chance.
    """
    if not parts:
        return undecided(claim, "there is nothing to decide it by")
    strength = strength or _low
    worst = min(parts, key=lambda part: (_ORDER.index(part.verdict), strength(part)))
    note = f"the weakest of {len(parts)}: {worst.claim}"
    if worst.verdict is Verdict.FAILS and not any(_fails_among(part, len(parts)) for part in parts):
        worst = replace(worst, verdict=Verdict.UNDECIDED, note=f"alone it fails, but one of {len(parts)} may by chance")
    return replace(worst, claim=claim, note=f"{note}; {worst.note}" if worst.note else note)


def _fails_among(part: Finding, parts: int) -> bool:
    return part.verdict is Verdict.FAILS and (part.chance is None or part.chance * parts <= (1 - _LEVEL) / 2)


def _low(finding: Finding) -> float:
    return -math.inf if finding.low is None else finding.low


def resampled_above(
    claim: str,
    runs: npt.NDArray[np.float64],
    statistic: Callable[[npt.NDArray[np.float64]], float],
    bound: float,
    *,
    what: str,
    known: str | None = None,
) -> Finding:
    """A statistic of the means of cells is above the bound. `runs`: a row per cell, a column per run, (cells, runs).

    Percentile interval of the bootstrap over the runs of each cell (Efron & Tibshirani 1993), always of the same draws.
    """
    cells, n = runs.shape
    if n < 2:
        return undecided(claim, f"{n} runs in each cell: none is decided on a single run")
    drawn = np.random.default_rng(0).integers(n, size=(_RESAMPLES, cells, n))
    values = [statistic(np.take_along_axis(runs, columns, axis=1).mean(1)) for columns in drawn]
    low, high = np.nanpercentile(values, [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)])
    criterion, whole = f"{what} > {bound:g}", statistic(runs.mean(1))
    return _judged(claim, whole, float(low), float(high), bound, math.inf, criterion, n, known)


def _mean(claim: str, values: Values, lower: float, upper: float, criterion: str, known: str | None) -> Finding:
    finite = _finite(values)
    if len(finite) < 2:
        return undecided(claim, f"{len(finite)} of {len(values)} runs have a value: none is decided on a single run")
    mean = float(finite.mean())
    error = float(stats.t.ppf((1 + _LEVEL) / 2, len(finite) - 1) * finite.std(ddof=1) / math.sqrt(len(finite)))
    finding = _judged(claim, mean, mean - error, mean + error, lower, upper, criterion, len(finite), known)
    beyond, scale = max(lower - mean, mean - upper), stats.t.ppf((1 + _LEVEL) / 2, len(finite) - 1)
    if beyond > 0:
        finding = replace(finding, chance=float(stats.t.sf(beyond * scale / error, len(finite) - 1)) if error else 0.0)
    return finding if len(finite) == len(values) else _with_note(finding, len(values) - len(finite))


def _extreme(claim: str, values: Values, bound: float, criterion: str, known: str | None, *, largest: bool) -> Finding:
    finite = _finite(values)
    if len(finite) < 2:
        return undecided(claim, f"{len(finite)} of {len(values)} runs have a value: none is decided on a single run")
    low, high, missing = float(finite.min()), float(finite.max()), len(values) - len(finite)
    if not (high < bound if largest else low > bound):
        verdict = Verdict.FAILS
    else:
        verdict = Verdict.UNDECIDED if missing else Verdict.HOLDS
    finding = Finding(
        claim=claim,
        verdict=verdict,
        criterion=criterion,
        statistic=high if largest else low,
        low=low,
        high=high,
        n=len(finite),
        known=known,
        of_all=True,
    )
    return _with_note(finding, missing) if missing else finding


def _share(
    claim: str, successes: int, n: int, lower: float, upper: float, criterion: str, known: str | None
) -> Finding:
    if n < 2:
        return undecided(claim, f"{n} runs: none is decided on a single run")
    interval = stats.binomtest(successes, n).proportion_ci(_LEVEL, method="wilson")
    # The bounds of all or nothing count as within: a share cannot pass them.
    ends = lower if lower > 0 else -math.inf, upper if upper < 1 else math.inf
    return _judged(claim, successes / n, interval.low, interval.high, *ends, criterion, n, known)


def _judged(
    claim: str,
    statistic: float,
    low: float,
    high: float,
    lower: float,
    upper: float,
    criterion: str,
    n: int,
    known: str | None,
) -> Finding:
    if low > lower and high < upper:
        verdict = Verdict.HOLDS
    elif high <= lower or low >= upper:
        verdict = Verdict.FAILS
    else:
        verdict = Verdict.UNDECIDED
    note = "the interval reaches to both sides" if verdict is Verdict.UNDECIDED else None
    return Finding(
        claim=claim,
        verdict=verdict,
        criterion=criterion,
        statistic=statistic,
        low=low,
        high=high,
        n=n,
        known=known,
        note=note,
    )


def _with_note(finding: Finding, missing: int) -> Finding:
    """Runs without a value are never left out silently."""
    more = f"{missing} runs have no value"
    return replace(finding, note=f"{finding.note}; {more}" if finding.note else more)


def _finite(values: Values) -> npt.NDArray[np.float64]:
    array = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return array[np.isfinite(array)]
