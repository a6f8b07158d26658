"""Claims on shallow networks (P1 to P7), from frames made for the purpose."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import polars as pl
import pytest

from recipes.catalogue import Frames, catalogue
from recipes.drawing import styled
from recipes.findings import Finding, Verdict
from recipes.paper.p07_relu_signs.claims import p_learn

RECIPES = catalogue()
HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
RULES = ("bp", "dfa")
SIGNS = [(0.01, 0.01), (-0.01, -0.01), (0.01, -0.01), (-0.01, 0.01)]
TIMES = [0.0, *np.geomspace(0.1, 1000, 41).tolist()]


def pairs(*, deviation: float = 0.02, power: float = -0.5, spread: float = 0.1, seeds: int = 5) -> Frames:
    """P1: simulations whose deviation from the theory is a power of N."""
    runs = list(product((100, 400), (0.01, 0.1), RULES, range(seeds)))
    sizes = {(n, seed): deviation * (n / 400) ** (power + spread * (seed - 2)) for n, _, _, seed in runs}
    curves = [
        {"rule": rule, "seed": seed, "init_scale": scale, "inputs": n, "time": time}
        | {"theory": 0.3, "simulation": 0.3 / (1 + sizes[n, seed])}
        for n, scale, rule, seed in runs
        for time in TIMES
    ]
    overlaps = [
        {"rule": rule, "seed": seed, "init_scale": scale, "inputs": n, "quantity": quantity}
        | {"apart": sizes[n, seed], "largest": 1.0}
        for n, scale, rule, seed in runs
        for quantity in ("Q", "R", "v")
    ]
    return {"curves": pl.DataFrame(curves), "overlaps": pl.DataFrame(overlaps)}


def averages(*, score: float = 2.0, parting: float = 1.0) -> Frames:
    """P2: entries so many standard errors off at most; rules that part with this power of time."""
    starts = [
        {"activation": activation, "rule": rule, "units": 2, "quantity": quantity, "i": i, "j": 0, "n": 25}
        | {"initial": 1.0, "theory": 1.1 + 0.1 * i, "simulation": 1.1 + 0.1 * i + score * (i - 1) * 0.002, "sd": 0.01}
        for activation, rule, quantity, i in product(("erf", "linear"), RULES, ("Q", "R", "v"), (1, 2))
    ]
    matched = [
        {"activation": "erf", "units": 2, "seed": seed, "step": step, "time": step / 100}
        | {"apart": 0.001 * step**parting * (1 + 0.01 * seed)}
        for seed, step in product(range(5), (1, 2, 5, 10, 100))
    ]
    return {"starts": pl.DataFrame(starts), "matched": pl.DataFrame(matched)}


def readouts(
    runs: Sequence[tuple[str, str, int]], final: Callable[[str, int, tuple[float, float]], tuple[float, float]]
) -> Frames:
    """P3 and P4: of runs (model, rule, seed), initial readouts of all signs in turn and what becomes of them."""
    rows = []
    for model, rule, seed in runs:
        start = SIGNS[seed % 4]
        for unit, feedback in enumerate((1.0, -0.8)):
            rows.append(
                {"model": model, "rule": rule, "seed": seed, "init_scale": 0.01, "unit": unit + 1}
                | {"initial": start[unit], "final": final(rule, seed, start)[unit], "feedback": feedback}
                | {"generalisation_error": 1e-6}
            )
    return {"readouts": pl.DataFrame(rows)}


def degenerate(*, follows: bool = True, spread: float = 0.001, seeds: int = 160) -> Frames:
    """P3: DFA takes the signs of the feedback, or its own as BP does."""

    def final(rule: str, seed: int, start: tuple[float, float]) -> tuple[float, float]:
        size = 1 + spread * (seed % 3)
        if rule == "dfa" and follows:
            return size, -1.0
        return math.copysign(size, start[0]), math.copysign(1.0, start[1])

    return readouts([*product(("theory", "committee"), RULES, range(seeds))], final)


def permuted(*, chosen: float = 1.0, seeds: int = 100) -> Frames:
    """P4: this share of DFA's runs gives the larger feedback the larger readout; BP's every other."""

    def final(rule: str, seed: int, _: tuple[float, float]) -> tuple[float, float]:
        first = seed < chosen * seeds if rule == "dfa" else seed % 2 == 0
        return (1.5, 0.5) if first else (0.5, 1.5)

    runs = [*product(("theory",), RULES, range(seeds)), *product(("committee",), ("dfa",), range(seeds))]
    return readouts(runs, final)


def phases(
    *, aligned: float = 3.0, halved: float = 20.0, bp: float = 80.0, seeds: int = 6, at_first: float = 0.2
) -> Frames:
    """P5: cos(v, F) reaches 0.9 at about one time, the error halves at others; larger weights align late."""
    rows = [
        {"model": model, "rule": rule, "seed": seed, "init_scale": scale, "inputs": 500, "time": time}
        | {"error": 0.3 / (1 + (time / (halved if rule == "dfa" else bp)) ** 3)}
        | {"alignment": None if rule == "bp" else at_first if time < (aligned if scale < 0.1 else halved) else 0.99}
        for model, rule, seed, scale, time in product(("theory", "committee"), RULES, range(seeds), (0.01, 0.1), TIMES)
    ]
    return {"curves": pl.DataFrame(rows, infer_schema_length=None)}


def linear(*, apart: float = 0.0, off: float = 0.001, moves: float = 0.0) -> Frames:
    """P6: w and v grow as t and t^2, up to the fixed point of |F| = |b| = 1, or so far off it."""
    rows = []
    for model, rule, seed, step in product(("theory", "committee"), RULES, range(4), (0, *np.geomspace(1, 1e4, 33))):
        dfa, end = rule == "dfa", 2 ** (1 / 3) * (1 + off) ** (1 / 3)
        w = min(step / 1000, 1) * end if dfa else moves
        rows.append(
            {"model": model, "rule": rule, "units": 2, "seed": seed, "step": int(step), "time": step / 500}
            | {"error": 0.5, "alignment": 1 - apart if dfa and step else None, "w": w, "v": w**2 / 2}
            | {"feedback_squared": 1.0 if dfa else None, "b": 1.0}
        )
    return {"runs": pl.DataFrame(rows, infer_schema_length=None)}


def signs(*, lucky: bool = False, learns: float = 1.0, each: int = 64) -> Frames:
    """P7: every pattern of signs equally often; this share of those with enough positive entries learns."""
    rows = []
    for units in (2, 3, 4, 6):
        counts = [bin(pattern % 2**units).count("1") for pattern in range(each)]
        able = [seed for seed, positive in enumerate(counts) if positive >= 2]
        learned = set(able[: round(learns * len(able))]) | ({0} if lucky else set())
        rows += [
            {"seed": seed, "units": units, "needed": 2, "time": 600, "positive": positive}
            | {"error": 1e-5 if seed in learned else 0.08}
            for seed, positive in enumerate(counts)
        ]
    curves = [
        {"seed": seed, "positive": seed % 4, "time": time, "error": 0.5 / (1 + time * (seed % 4))}
        for seed, time in product(range(8), TIMES)
    ]
    return {"runs": pl.DataFrame(rows), "curves": pl.DataFrame(curves)}


CASES: dict[str, tuple[Callable[..., Frames], dict[str, object], Verdict, str]] = {
    "P1": (pairs, {}, HOLDS, ""),
    "P1: too far apart": (pairs, {"deviation": 0.3}, FAILS, "less than 10 %"),
    "P1: more inputs, no closer": (pairs, {"power": 0.5}, FAILS, "more inputs"),
    "P1: seeds that differ": (pairs, {"power": -0.1, "spread": 0.4}, UNDECIDED, "more inputs"),
    "P1: one seed": (pairs, {"seeds": 1}, UNDECIDED, "more inputs"),
    "P2": (averages, {}, HOLDS, ""),
    "P2: an average that is wrong": (averages, {"score": 6.0}, FAILS, "as the theory says"),
    "P2: rules that differ at once": (averages, {"parting": 0.0}, FAILS, "in proportion"),
    "P3": (degenerate, {}, HOLDS, ""),
    "P3: as it began": (degenerate, {"follows": False}, FAILS, "signs of the feedback"),
    "P3: magnitudes": (degenerate, {"spread": 0.2}, FAILS, "magnitudes"),
    "P4": (permuted, {}, HOLDS, ""),
    "P4: no preference": (permuted, {"chosen": 0.5}, FAILS, "larger feedback takes"),
    "P4: a slight one": (permuted, {"chosen": 0.82}, UNDECIDED, "larger feedback takes"),
    "P5": (phases, {}, HOLDS, ""),
    "P5: aligned late": (phases, {"aligned": 15.0}, FAILS, "less than half the time"),
    "P5: the error falls meanwhile": (phases, {"aligned": 15.0}, FAILS, "still at least 0.9"),
    "P5: BP no later": (phases, {"bp": 25.0}, FAILS, "under BP"),
    "P5: aligned from the start": (phases, {"at_first": 0.85}, UNDECIDED, "less than half the time"),
    "P6": (linear, {}, HOLDS, ""),
    "P6: not along F": (linear, {"apart": 1e-4}, FAILS, "along the feedback"),
    "P6: off the fixed point": (linear, {"off": 0.05}, FAILS, "within 1 %"),
    "P6: BP moves": (linear, {"moves": 1e-3}, FAILS, "does not leave zero"),
    "P7": (signs, {}, HOLDS, ""),
    "P7: too few positive suffice": (signs, {"lucky": True}, FAILS, "No student"),
    "P7: the closed form is missed": (signs, {"learns": 0.3}, FAILS, "closed form"),
    "P7: few learn": (signs, {"learns": 0.3}, FAILS, "K = 6"),
    "P7: half of them": (signs, {"learns": 0.55}, UNDECIDED, "K = 6"),
}


@pytest.mark.parametrize(("make", "options", "verdict", "claim"), CASES.values(), ids=CASES.keys())
def test_decisions(
    make: Callable[..., Frames],
    options: dict[str, object],
    verdict: Verdict,
    claim: str,
    request: pytest.FixtureRequest,
) -> None:
    id_ = request.node.callspec.id.split(":")[0]
    decided = [finding for finding in _decided(id_, make(**options)) if claim in finding.claim]
    assert decided
    assert {finding.verdict for finding in decided if finding.verdict is not HOLDS} <= {verdict}
    assert verdict in {finding.verdict for finding in decided}


@pytest.mark.parametrize("id_", [f"P{i}" for i in range(1, 8)])
def test_figures(id_: str) -> None:
    make = CASES[id_][0]
    with styled():
        figure = RECIPES[id_].draw(make())
    drawn = [axes for axes in figure.axes if axes.lines or axes.collections or axes.patches]
    assert drawn == figure.axes
    assert all(axes.get_xlabel() for axes in figure.axes)


def test_probability_of_enough_positive_signs() -> None:
    assert [p_learn(k, 2) for k in (2, 3, 4)] == [1 / 4, 1 / 2, 11 / 16]


def test_what_is_left_out_is_told() -> None:
    """A seed whose readout is aligned from the start is not timed; BP's unfinished runs are not asked for signs."""
    first = phases(seeds=4)["curves"]
    lucky = phases(seeds=1, at_first=0.9)["curves"].with_columns(seed=pl.lit(9, pl.Int64))
    timed = next(f for f in _decided("P5", {"curves": pl.concat([first, lucky])}) if "left out" in f.claim)
    assert timed.n == 4
    assert "1 of 5 seeds" in timed.claim
    slow = pl.col("rule").eq("bp") & pl.col("seed").lt(10)
    error = pl.when(slow).then(1e-2).otherwise(pl.col("generalisation_error"))
    frames = {"readouts": degenerate()["readouts"].with_columns(generalisation_error=error)}
    kept = next(f for f in _decided("P3", frames) if "keeps its initial signs" in f.claim)
    assert kept.n == 150
    assert "10 of 160" in kept.claim


def _decided(id_: str, frames: Frames) -> list[Finding]:
    return RECIPES[id_].decide(frames)
