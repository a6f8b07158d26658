"""The shelf beyond the paper, decided from made-up frames."""

from itertools import combinations
from typing import Any

import polars as pl
import pytest

from recipes.beyond.b1_other_rules import claims as rules
from recipes.beyond.b2_what_seeds_share import claims as shared
from recipes.beyond.b3_rank_of_feedback import claims as ranks
from recipes.beyond.b4_weight_decay import claims as decays
from recipes.beyond.b5_switching_rules import claims as switches
from recipes.beyond.b6_kinds_of_networks import claims as kinds
from recipes.findings import Finding, Verdict

_SEEDS = range(4)


def verdicts(findings: list[Finding], words: str = "") -> set[Verdict]:
    return {finding.verdict for finding in findings if words in finding.claim}


def b1(**change: tuple[float, float]) -> dict[str, pl.DataFrame]:
    """(gradient alignment, accuracy) of the rules at lr 0.01; at 0.001 all train worse, though they test better."""
    say = {
        "bp": (0, 0.92), "fa": (0.5, 0.86), "dfa": (0.7, 0.88), "usf": (0.9, 0.9), "frsf": (0.85, 0.895),
        "brsf": (0.8, 0.89), "kp": (0.91, 0.915), "wm": (0.99, 0.918), "drtp": (0.2, 0.85),
    } | change  # fmt: skip
    finals, layers = [], []
    for rule, (alignment, accuracy) in say.items():
        for seed in _SEEDS:
            # Squares, so that differences between rules vary too.
            shift = (0.0003 + 0.001 * alignment) * seed**2
            finals += [(rule, 0.001, seed, 0.5, 0.99), (rule, 0.01, seed, 0.95, accuracy + shift)]
            if rule != "bp":
                layers += [(rule, lr, seed, layer, alignment + shift) for lr in (0.001, 0.01) for layer in (1, 2)]
    keys = ["rule", "lr", "seed"]
    return {
        "finals": pl.DataFrame(finals, [*keys, "train_accuracy", "test_accuracy"], orient="row"),
        "layers": pl.DataFrame(layers, [*keys, "layer", "gradient_alignment"], orient="row"),
    }


def test_rules_are_compared_at_the_rate_that_trains_them_best() -> None:
    findings = rules.decide(b1())
    assert verdicts(findings) == {Verdict.HOLDS}
    assert "kp" in findings[-1].claim


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wm": (0.4, 0.918)}, "a weight mirror aligns"),
        ({"brsf": (0.4, 0.89)}, "sign-symmetric"),
        ({"kp": (0.91, 0.9)}, "Kolen-Pollack learning comes within"),
        ({"drtp": (0.2, 0.9)}, "targets"),
    ],
)
def test_rules_that_do_not_keep_what_they_promise(change: dict[str, Any], words: str) -> None:
    assert verdicts(rules.decide(b1(**change)), words) == {Verdict.FAILS}


def b2(**change: float) -> dict[str, pl.DataFrame]:
    say = {
        "both": 0.7,
        "feedback": 0.4,
        "weights": 0.3,
        "nothing": 0.0,
        "bp, weights": 0.8,
        "bp, nothing": 0.0,
    } | change
    rows = [
        (*shared._SHARED[name][0], step, a, b, (cosine if step else 0.9) + 0.01 * (a + b - 3))
        for name, cosine in say.items()
        for step in (0, 100)
        for a, b in combinations(_SEEDS, 2)
    ]
    columns = ["rule", "same_weights", "same_feedback", "step", "seed_a", "seed_b", "cosine"]
    return {"pairs": pl.DataFrame(rows, columns, orient="row")}


def test_feedback_makes_solutions_alike() -> None:
    assert verdicts(shared.decide(b2())) == {Verdict.HOLDS}
    assert verdicts(shared.decide(b2(feedback=0.0)), "nothing but the feedback") == {Verdict.FAILS}
    assert verdicts(shared.decide(b2(weights=0.9)), "different feedback drives") == {Verdict.FAILS}
    assert verdicts(shared.decide(b2(weights=0.45)), "more similarity") == {Verdict.FAILS}


def test_seeds_that_were_not_compared_decide_nothing() -> None:
    frames = {"pairs": b2()["pairs"].filter(pl.col("same_weights") | (pl.col("rule") == "bp"))}
    assert verdicts(shared.decide(frames)) == {Verdict.UNDECIDED}


def b3(**change: tuple[float, float]) -> dict[str, pl.DataFrame]:
    """(gradient alignment, accuracy) by rank; `full` and `loud` are of full rank, the latter at another scale."""
    say = {"1": (0.2, 0.8), "5": (0.5, 0.89), "9": (0.69, 0.9), "full": (0.7, 0.9), "loud": (0.75, 0.91)} | change
    rows = [
        (
            int(rank) if rank.isdigit() else None, "0.3" if rank == "loud" else "inv_sqrt_width", seed,
            accuracy + 0.001 * seed * alignment, alignment + 0.001 * seed * accuracy,
        )
        for rank, (alignment, accuracy) in say.items()
        for seed in _SEEDS
    ]  # fmt: skip
    columns = ["rank", "scale", "seed", "test_accuracy", "gradient_alignment"]
    return {"finals": pl.DataFrame(rows, columns, orient="row")}


def test_five_dimensions_are_enough_to_learn_and_nine_to_align() -> None:
    findings = ranks.decide(b3())
    assert verdicts(findings) == {Verdict.HOLDS}
    assert "accuracy 5, alignment 9" in findings[-2].claim
    assert verdicts(ranks.decide(b3(**{"5": (0.5, 0.85)})), "rank 5 costs") == {Verdict.FAILS}
    assert verdicts(ranks.decide(b3(**{"9": (0.6, 0.9)})), "rank 9") == {Verdict.FAILS}
    assert verdicts(ranks.decide(b3(loud=(0.9, 0.9))), "scale") == {Verdict.FAILS}


def test_without_rank_nine_nothing_is_said_of_it() -> None:
    frames = {"finals": b3()["finals"].filter(pl.col("rank").is_null() | (pl.col("rank") != 9))}
    assert verdicts(ranks.decide(frames), "rank 9") == {Verdict.UNDECIDED}


def b4(cost: float = 0.1, aligned: float = 0.9, wide: float = 0.1) -> dict[str, pl.DataFrame]:
    groups = [(True, 32, 0.0, 0.7, 0.8), (True, 128, 0.0, 0.4, 0.8), (True, 512, 0.0, wide, 0.8)]
    groups += [(False, 512, 0.0, wide, 0.8), (False, 512, 0.1, (wide + aligned) / 2, 0.8)]
    groups += [(False, 512, 1.0, aligned, 0.8 - cost)]
    rows = [
        (plain, width, decay, seed, 0.95, accuracy + 0.001 * seed * decay, alignment + 0.001 * seed * (1 + decay))
        for plain, width, decay, alignment, accuracy in groups
        for seed in _SEEDS
    ]
    columns = ["without_decay", "width", "decay", "seed", "train_accuracy", "test_accuracy", "weight_alignment"]
    return {"finals": pl.DataFrame(rows, columns, orient="row")}


def test_decay_aligns_wide_networks() -> None:
    assert verdicts(decays.decide(b4(cost=0.0))) == {Verdict.HOLDS}
    assert verdicts(decays.decide(b4()), "costs") == {Verdict.HOLDS}  # the least decay that aligns costs nothing
    assert verdicts(decays.decide(b4(aligned=0.8)), "costs") == {Verdict.FAILS}  # the strongest, 0.1
    assert verdicts(decays.decide(b4(aligned=0.3)), "costs") == {Verdict.UNDECIDED}
    assert verdicts(decays.decide(b4(wide=0.6)), "without aligning") == {Verdict.FAILS}


def b5(rises: float = 2.0, keeps: float = 0.95) -> dict[str, pl.DataFrame]:
    """Losses and accuracies at the change (step 100) and after it."""
    ends = {
        ("bp", None): (0.5, 0.95, None), ("bp", "dfa"): (rises, 0.88, 0.1),
        ("dfa", None): (0.9, 0.9, 0.7), ("dfa", "bp"): (0.6, 0.94, 0.65 * keeps),
    }  # fmt: skip
    rows = []
    for (first, second), (loss, accuracy, alignment) in ends.items():
        for seed in _SEEDS:
            shift = 0.001 * seed**2 * loss
            start = {("bp", "dfa"): 0.0, ("bp", None): None}.get((first, second), 0.65)
            rows.append((first, second, seed, 100, 1.0, 0.9, None if start is None else start + shift, 100))
            end = None if alignment is None else alignment + shift
            rows.append((first, second, seed, 200, loss + shift, accuracy + shift, end, 100))
    columns = ["rule", "to", "seed", "step", "train_loss", "test_accuracy", "gradient_alignment", "changed_at"]
    return {"curves": pl.DataFrame(rows, columns, orient="row", infer_schema_length=None)}


def test_feedback_does_not_go_on_from_backpropagation() -> None:
    assert verdicts(switches.decide(b5())) == {Verdict.HOLDS}
    assert verdicts(switches.decide(b5(rises=0.9)), "to direct feedback: the training loss") == {Verdict.FAILS}
    assert verdicts(switches.decide(b5(keeps=0.5)), "keeps the alignment") == {Verdict.FAILS}


def b6(**change: tuple[float, float]) -> dict[str, pl.DataFrame]:
    """(gradient alignment, accuracy) of dfa; backpropagation reaches 0.5, the last layer alone 0.3."""
    say = {
        "mlp": (0.7, 0.48), "cnn": (0.1, 0.35), "cnn repeated": (0.2, 0.36), "transformer": (0.05, 0.32),
        "transformer repeated": (0.4, 0.45),
    } | change  # fmt: skip
    rows: list[Any] = []
    for name, (alignment, accuracy) in say.items():
        model, *repeated = name.split()
        for seed in _SEEDS:
            shift = 0.001 * seed**2 * alignment
            kind = "repeated" if repeated else "uniform"
            rows.append((model, "dfa", 0.001, kind, seed, accuracy, accuracy + shift, alignment + shift))
            if not repeated:
                rows.append((model, "bp", 0.001, kind, seed, 0.6, 0.5, None))
                rows.append((model, "shallow", 0.001, kind, seed, 0.3, 0.3, None))
    columns = [
        "model", "rule", "lr", "distribution", "seed", "train_accuracy", "test_accuracy", "gradient_alignment",
    ]  # fmt: skip
    return {"finals": pl.DataFrame(rows, columns, orient="row", infer_schema_length=None)}


def test_kinds_are_compared_at_their_best_feedback() -> None:
    assert verdicts(kinds.decide(b6())) == {Verdict.HOLDS}
    worse = kinds.decide(b6(**{"transformer repeated": (0.04, 0.25), "transformer": (0.05, 0.24)}))
    assert verdicts(worse, "convolutions more accuracy than a Transformer") == {Verdict.FAILS}
    assert verdicts(worse, "Transformer: direct feedback learns") == {Verdict.FAILS}
    assert verdicts(worse, "Transformer: one feedback") == {Verdict.FAILS}


@pytest.mark.parametrize(
    ("claims", "frames", "panels"),
    [(rules, b1(), 2), (shared, b2(), 1), (ranks, b3(), 2), (decays, b4(), 3), (switches, b5(), 3), (kinds, b6(), 2)],
)
def test_figures_are_drawn(claims: Any, frames: dict[str, pl.DataFrame], panels: int) -> None:
    assert len(claims.draw(frames).axes) == panels
