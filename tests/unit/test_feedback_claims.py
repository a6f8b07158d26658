"""P19, P20: claims on perturbed gradients and on scales of feedback, on data made up to hold them or not."""

import polars as pl

from recipes.catalogue import Frames
from recipes.findings import Verdict
from recipes.paper.p19_misaligned_gradient import claims as p19
from recipes.paper.p20_feedback_scale import claims as p20

# --- P19 --------------------------------------------------------------------------------------------------------------


def perturbed(dfa_loss: float, *, random_costs: float = 0.1) -> Frames:
    finals = [
        {
            "rule": "bp",
            "kind": kind,
            "size": size,
            "lr": 0.01,
            "seed": seed,
            "train_loss": 0.1 * (1 + size * (1 if kind == "fixed" else random_costs)),
            "test_accuracy": 0.95 - size * (0.1 if kind == "fixed" else 0.1 * random_costs) + 0.001 * seed,
        }
        for kind in ("random", "fixed")
        for size in (0.0, 1.0, 5.0)
        for seed in range(3)
        if size or kind == "random"
    ]
    dfa = [
        {"rule": "dfa", "kind": "random", "size": 0.0, "lr": 0.01, "seed": seed, "train_loss": dfa_loss + 0.001 * seed}
        | {"test_accuracy": 0.9}
        for seed in range(3)
    ]
    cosines = [
        {"lr": 0.01, "seed": seed, "step": step, "cosine": value}
        for seed in range(3)
        for step, value in ((0, None), (1, 0.0), (101, 2 * 2**-0.5))
    ]
    return {"finals": pl.DataFrame(finals + dfa), "cosines": pl.DataFrame(cosines, infer_schema_length=None)}


def test_perturbed_gradients() -> None:
    """The mean cosine is 1/sqrt(2), which is that of size 1: losses of 0.11 and 0.2."""
    findings = p19.decide(perturbed(0.15))
    assert [finding.verdict for finding in findings] == [Verdict.HOLDS] * 4
    assert "cosine 0.71" in findings[2].claim
    p19.draw(perturbed(0.15))


def test_perturbed_gradients_that_cost_nothing() -> None:
    findings = p19.decide(perturbed(0.05, random_costs=0.0))
    assert [finding.verdict for finding in findings] == [Verdict.FAILS, Verdict.HOLDS, Verdict.FAILS, Verdict.HOLDS]


def test_dfa_worse_than_a_fixed_perturbation() -> None:
    assert p19.decide(perturbed(0.3))[3].verdict is Verdict.FAILS


# --- P20 --------------------------------------------------------------------------------------------------------------


def scales(of_large: float = 0.6, *, of_normal: float = 0.6, totals: float = 0.5) -> Frames:
    """Layers align by 0.6, but for those given; the middle rate is the best one."""
    finals, layers = [], []
    for activation in ("linear", "tanh"):
        for feedback, usual in (("uniform", 0.125), ("normal", 0.125), ("orthogonal", 1.0)):
            for relative in (0.1, 1.0, 10.0):
                for lr in (0.001, 0.01, 0.1):
                    for seed in range(3):
                        run = {"activation": activation, "feedback": feedback, "scale": usual * relative}
                        run |= {"lr": lr, "seed": seed}
                        best = lr == 0.01
                        aligned = of_large if relative == 10 else of_normal if feedback == "normal" else 0.6
                        total = 0.1 + totals * relative / 10 + 0.001 * seed
                        finals.append(
                            run
                            | {"diverged": lr == 0.1, "train_loss": None if lr == 0.1 else 0.1 if best else 0.5}
                            | {"test_accuracy": 0.9, "weight_alignment": total, "weight_alignment_scaled": total + 0.2}
                        )
                        for layer in (1, 2, 3):
                            value = (aligned if best else 0.0) + 0.001 * seed
                            layers.append(
                                run
                                | {"layer": layer, "weight_alignment": value if layer > 1 else None}
                                | {"gradient_alignment": value if layer < 3 else None}
                            )
    return {
        name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in (("finals", finals), ("layers", layers))
    }


def test_scales_and_distributions() -> None:
    findings = p20.decide(scales())
    assert [finding.verdict for finding in findings] == [Verdict.HOLDS] * 8
    assert "largest that was tried" not in str(findings[0].note)
    p20.draw(scales())


def test_rates_that_are_not_bounded() -> None:
    frames = scales()
    low = {name: frame.filter(pl.col("lr") < 0.05) for name, frame in frames.items()}
    assert "for 9 of 9 kinds of feedback the best rate is the largest that was tried" in str(p20.decide(low)[0].note)


def test_scales_that_matter() -> None:
    by_scale, by_distribution, spread, convention = p20.decide(scales(of_large=0.4, totals=0.05))[:4]
    assert by_scale.verdict is Verdict.FAILS
    assert by_distribution.verdict is Verdict.HOLDS
    assert spread.verdict is Verdict.FAILS
    assert convention.verdict is Verdict.HOLDS


def test_distributions_that_matter() -> None:
    by_scale, by_distribution = p20.decide(scales(of_normal=0.45))[:2]
    assert by_scale.verdict is Verdict.FAILS  # of normal feedback, scale 10 is apart from scale 1
    assert by_distribution.verdict is Verdict.FAILS


def test_one_seed_decides_nothing_on_totals() -> None:
    frames = {name: frame.filter(seed=0) for name, frame in scales().items()}
    assert p20.decide(frames)[2].verdict is Verdict.UNDECIDED
