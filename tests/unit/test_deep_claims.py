"""Claims on deep networks (P12 to P16, P18), from frames made for the purpose."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest

from recipes.catalogue import Frames, catalogue
from recipes.drawing import styled
from recipes.findings import Verdict

SEEDS = range(5)
STEPS = sorted({0, *(round(10 ** (i / 8)) for i in range(33))})
RECIPES = catalogue()
HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED


def rises(step: float, half: float, height: float = 0.8) -> float:
    """From 0 to the height, half of it at the step `half`."""
    return height * step**2 / (step**2 + half**2)


def jitter(seed: int, size: float = 0.01) -> float:
    return size * (seed - 2)


def alignment_emerges(*, height: float = 0.8, dfa: float = 0.1, spread: float = 0.001) -> Frames:
    where = {"data": "digits", "activation": "tanh", "lr": 0.001}
    layers = [
        where | {"seed": s, "layer": layer, "step": step, "gradient_alignment": value + jitter(s)}
        for s in SEEDS
        for layer in (1, 2, 3)
        for step, value in ((0, 0.02), (1000, height if layer < 3 else 0.6))
    ]
    ends = [
        where | {"rule": rule, "seed": s, "train_error": error + jitter(s, spread), "test_error": error}
        for s in SEEDS
        for rule, error in (("bp", 0.05), ("dfa", dfa))
    ]
    curves = [
        where
        | {"rule": rule, "step": step, "train_error": 1 - rises(step, 100), "train_error_sd": 0.01}
        | {"gradient_alignment": align, "gradient_alignment_sd": align and 0.01}
        | {"weight_alignment": align, "weight_alignment_sd": align and 0.01}
        for rule in ("bp", "dfa")
        for step in STEPS
        for align in (None if rule == "bp" else rises(step, 50),)
    ]
    return {name: pl.DataFrame(rows) for name, rows in (("layers", layers), ("ends", ends), ("curves", curves))}


def bottom_to_top(*, halves: tuple[float, ...] = (50, 100, 200), spread: float = 0.01) -> Frames:
    return {
        "points": pl.DataFrame(
            [
                {"data": "digits", "activation": "tanh", "lr": 0.001, "seed": s, "layer": layer, "step": step}
                | {"gradient_alignment": rises(step, half * (1 + layer * jitter(s, spread)))}
                | {"train_error": 0.9 - rises(step, 150)}
                for s in SEEDS
                for layer, half in enumerate(halves, 1)
                for step in STEPS
            ]
        )
    }


def align_then_memorise(*, aligned: float = 50, falls: float = 0.1) -> Frames:
    def run(seed: int, error: str) -> list[dict[str, Any]]:
        return [
            {"seed": seed, "step": step, "train_loss": 0.9 - rises(step, 150, 0.9)}
            | {error: 0.9 - rises(step, 150, 0.9)}
            | {"gradient_alignment": rises(step, aligned * (1 + jitter(seed)))}
            | {
                name: rises(step, aligned) - rises(step, 3000, falls * (1 + jitter(seed)))
                for name in ("top_alignment", "weight_alignment")
            }
            for step in STEPS
        ]

    deep = [{"data": "digits", "activation": "relu"} | row for s in SEEDS for row in run(s, "train_error")]
    linear = [{"data": "digits", "activation": "linear"} | row for s in SEEDS for row in run(s, "train_error")]
    grid = [
        {"activation": "tanh", "alpha": alpha, "beta": 1.0} | row
        for s in SEEDS
        for alpha in (0.2, 1.0)
        for row in run(s, "train_loss")
    ]
    return {"deep": pl.DataFrame(deep), "linear": pl.DataFrame(linear), "grid": pl.DataFrame(grid)}


def label_noise(*, delay: float = 3.0, top: float = 1.0, apart: float = 0.0, spread: float = 0.01) -> Frames:
    levels = (0.0, 0.1, 0.5)
    where = {"data": "digits", "activation": "tanh"}
    points = [
        where
        | {"label_noise": p, "seed": s, "layer": layer, "step": step}
        | {"gradient_alignment": rises(step, 50 * layer * (1 + jitter(s, spread)) * (1 + slow * p))}
        for p in levels
        for s in SEEDS
        for layer, slow in ((1, delay), (2, delay * (1 + top)))
        for step in STEPS
    ]
    errors = [
        where | {"label_noise": p, "step": step, "train_error": 0.9 - rises(step, 150), "train_error_sd": 0.01}
        for p in levels
        for step in STEPS
    ]
    variants = [
        {"label_noise": 0.5, "seed": s, "more_test_error": 0.4 + jitter(s), "apart": apart if s else 0.0} for s in SEEDS
    ]
    return {"points": pl.DataFrame(points), "errors": pl.DataFrame(errors), "variants": pl.DataFrame(variants)}


def one_solution(*, dfa: float = 0.4, control: float = 0.0, seeds: int = 5) -> Frames:
    rng = np.random.default_rng(0)
    return {
        "pairs": pl.DataFrame(
            [
                {"data": "digits", "activation": "tanh", "rule": rule, "layer": layer, "step": step}
                | {"seed_a": a, "seed_b": b, "cosine": cosine * step / 1000 + 0.001 * rng.normal()}
                for rule, cosine in (("bp", 0.0), ("dfa", dfa), ("dfa, own feedback", control))
                for layer in (0, 1)
                for step in (0, 100, 1000)
                for a, b in combinations(range(seeds), 2)
            ],
            schema_overrides={"cosine": pl.Float64},
        )
    }


def width(*, slope: float = 0.1, spread: float = 0.01, widths: tuple[int, ...] = (16, 32, 64, 128)) -> Frames:
    ends = [
        {"activation": "tanh", "width": h, "seed": s, "gradient_alignment": slope * np.log2(h) + jitter(s, spread)}
        | {"train_error": 0.5 - 0.05 * np.log2(h) + jitter(s, 0.003), "test_error": 0.5}
        for h in widths
        for s in SEEDS
    ]
    layers = [
        {"activation": "tanh", "width": h, "layer": layer, "gradient_alignment": 0.5, "gradient_alignment_sd": 0.01}
        for h in widths
        for layer in (1, 2, 3)
    ]
    return {"ends": pl.DataFrame(ends), "layers": pl.DataFrame(layers)}


@pytest.mark.parametrize(
    ("id_", "frames"),
    [
        ("P12", alignment_emerges),
        ("P13", bottom_to_top),
        ("P14", align_then_memorise),
        ("P15", label_noise),
        ("P16", one_solution),
        ("P18", width),
    ],
)
def test_all_claims_hold_and_the_figure_is_drawn(id_: str, frames: Callable[[], Frames]) -> None:
    findings = RECIPES[id_].decide(frames())
    assert {finding.verdict for finding in findings} == {HOLDS}, [f for f in findings if f.verdict is not HOLDS]
    with styled():
        assert RECIPES[id_].draw(frames()).axes


@pytest.mark.parametrize(
    ("id_", "frames", "verdicts"),
    [
        ("P12", alignment_emerges(height=0.3), [HOLDS, FAILS, HOLDS]),  # layers 1 and 2 stay below 0.4
        ("P12", alignment_emerges(dfa=0.3), [HOLDS, HOLDS, FAILS]),
        ("P12", alignment_emerges(dfa=0.15, spread=0.1), [HOLDS, HOLDS, UNDECIDED]),  # seeds too far apart
        ("P13", bottom_to_top(halves=(200, 100, 50)), [FAILS, FAILS, FAILS]),
        ("P13", bottom_to_top(halves=(50, 200, 60)), [FAILS, HOLDS, HOLDS]),  # the middle layer is last
        ("P13", bottom_to_top(halves=(100, 100, 100), spread=0.03), [HOLDS, UNDECIDED, UNDECIDED]),
        (
            "P14",
            align_then_memorise(aligned=400, falls=0.4),
            [FAILS, FAILS, HOLDS, FAILS, HOLDS],
        ),  # the error falls first
        ("P14", align_then_memorise(falls=0.0), [HOLDS, HOLDS, FAILS, HOLDS, FAILS]),
        ("P15", label_noise(delay=0.0), [FAILS, FAILS, FAILS, FAILS, FAILS, HOLDS, HOLDS]),
        ("P15", label_noise(top=-0.5), [HOLDS, HOLDS, FAILS, HOLDS, FAILS, HOLDS, HOLDS]),  # the bottom suffers most
        ("P15", label_noise(apart=0.1), [HOLDS, HOLDS, HOLDS, HOLDS, HOLDS, FAILS, HOLDS]),
        ("P16", one_solution(dfa=0.05), [FAILS, HOLDS, HOLDS, HOLDS, HOLDS]),
        ("P16", one_solution(dfa=-0.3, control=0.3), [FAILS, HOLDS, FAILS, FAILS, FAILS]),
        ("P16", one_solution(seeds=2), [UNDECIDED]),
        ("P18", width(slope=-0.1), [FAILS, HOLDS]),
        ("P18", width(slope=0.0, widths=(16, 64)), [FAILS, UNDECIDED]),
    ],
)
def test_claims_are_told_apart(id_: str, frames: Frames, verdicts: list[Verdict]) -> None:
    findings = RECIPES[id_].decide(frames)
    assert [finding.verdict for finding in findings] == verdicts, [(f.claim, f.low, f.high) for f in findings]


def test_a_level_that_noise_keeps_a_layer_from_is_a_delay_by_at_least_the_rest_of_the_training() -> None:
    frames = label_noise(delay=500)
    first = RECIPES["P15"].decide(frames)[0]
    assert first.verdict is HOLDS
    assert first.n == len(SEEDS)


def test_no_pairs_decide_nothing() -> None:
    empty = pl.DataFrame(schema=one_solution()["pairs"].schema)
    assert [finding.verdict for finding in RECIPES["P16"].decide({"pairs": empty})] == [UNDECIDED]
