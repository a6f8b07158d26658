"""P17 decided from made-up frames."""

from typing import Any

import polars as pl
import pytest

from recipes.findings import Finding, Verdict
from recipes.paper.p17_convolutions import claims

_SCALES = ("unit_rows", "0.07")
_SEEDS = range(4)
_OTHERS = (("cnn", "bp", 0.5), ("cnn", "shallow", 0.3), ("mlp", "bp", 0.4), ("mlp", "shallow", 0.3))
_FINE = dict(conv=(0.01, 0.05, 0.1), fc=0.6, weight=0.01, repeated=0.2, authors=0.3, best=0.35)


def frames(data: str = "mnist", **change: Any) -> dict[str, pl.DataFrame]:
    """Backpropagation reaches 0.5 (fully connected: 0.4), the last layer alone 0.3; a little apart seed by seed."""
    say = {**_FINE, **change}
    layers, finals = [], []
    for seed in _SEEDS:
        shift = 0.001 * seed
        for model, rule, accuracy in _OTHERS:
            finals.append((data, model, rule, seed, None, "normal", accuracy + shift**2))
        for scale, accuracy in zip(_SCALES, (say["authors"], say["best"]), strict=True):
            finals.append((data, "cnn", "dfa", seed, scale, "normal", accuracy - shift))
            finals.append((data, "mlp", "dfa", seed, scale, "normal", 0.39 - shift))
            for layer in (1, 2, 3):
                conv = say["conv"][layer - 1] + shift
                layers.append((data, "cnn", seed, layer, scale, "normal", conv, say["weight"]))
                layers.append((data, "mlp", seed, layer, scale, "normal", say["fc"], 0.5))
                if scale == "0.07":
                    layers.append((data, "cnn", seed, layer, scale, "repeated", say["repeated"] + shift**2, 0.1))
    shared = ["data", "model"]
    return {
        "finals": pl.DataFrame(
            finals, [*shared, "rule", "seed", "scale", "distribution", "test_accuracy"], orient="row"
        ).with_columns(train_accuracy=pl.col("test_accuracy")),
        "layers": pl.DataFrame(
            layers,
            [*shared, "seed", "layer", "scale", "distribution", "gradient_alignment", "weight_alignment"],
            orient="row",
        ),
    }


def found(findings: list[Finding], words: str) -> list[Verdict]:
    return [finding.verdict for finding in findings if words in finding.claim]


def test_what_holds() -> None:
    findings = claims.decide(frames("cifar10"))
    assert {finding.verdict for finding in findings} == {Verdict.HOLDS}
    assert len(findings) == len(_SCALES) + 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conv": (0.01, 0.05, 0.4)}, "less than half"),  # one layer is enough
        ({"conv": (0.2, 0.05, 0.1)}, "bottom convolution"),
        ({"weight": 0.3}, "shared weights"),
        ({"repeated": 0.01}, "repeated over positions"),
        ({"authors": 0.34}, "the authors' scale"),
        ({"best": 0.5}, "costs convolutions"),
    ],
)
def test_what_fails(change: dict[str, Any], words: str) -> None:
    findings = claims.decide(frames("cifar10", **change))
    assert set(found(findings, words)) == {Verdict.FAILS}


def test_grey_digits_do_not_decide_what_is_claimed_of_colour() -> None:
    assert found(claims.decide(frames("digits")), "CIFAR-10") == [Verdict.UNDECIDED]


def test_the_figure_shows_every_data_set() -> None:
    assert len(claims.draw(frames()).axes) == 3
