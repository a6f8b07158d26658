"""B1: nine rules, each at the learning rate that trains it best."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart, at_its_best
from recipes.drawing import colour_of, panels
from recipes.findings import Finding, mean_above, mean_below, rank_correlation_above, weakest

_NAMES = {
    "bp": "backpropagation",
    "fa": "FA",
    "dfa": "DFA",
    "usf": "signs, uniform",
    "frsf": "signs, fixed sizes",
    "brsf": "signs, sizes per batch",
    "kp": "Kolen-Pollack",
    "wm": "weight mirror",
    "drtp": "projected targets",
}
_SIGNS = ("usf", "frsf", "brsf")


def decide(frames: Frames) -> list[Finding]:
    """Alignment against that of fixed feedback, accuracy against backpropagation's, and both against each other."""
    runs = _with_alignment(frames)
    return [*_alignments(runs), *_accuracies(runs), _both(runs)]


def draw(frames: Frames) -> Figure:
    """Accuracy of the rules, best first, and their gradient alignment by layer."""
    runs = _with_alignment(frames)
    order = [
        rule
        for (rule,), _ in runs.group_by("rule")
        .agg(pl.col("test_accuracy").mean())
        .sort("test_accuracy")
        .group_by("rule", maintain_order=True)
    ]
    figure, axes = panels(1, 2, width=3.9, height=3.1)
    left, right = axes[0]
    _accuracy(left, runs, order)
    _layers(right, frames["layers"].join(runs.select("rule", "lr", "seed"), on=["rule", "lr", "seed"]), order)
    return figure


def _with_alignment(frames: Frames) -> pl.DataFrame:
    """Runs at the rate of the highest training accuracy, with the mean gradient alignment of their hidden layers."""
    best = at_its_best(frames["finals"], ["rule"], ["lr"], "train_accuracy")
    means = frames["layers"].group_by("rule", "lr", "seed").agg(pl.col("gradient_alignment").mean())
    return best.join(means, on=["rule", "lr", "seed"], how="left")


def _alignments(runs: pl.DataFrame) -> Iterator[Finding]:
    fa = runs.filter(rule="fa")
    for rule, name in (("wm", "a weight mirror"), ("kp", "Kolen-Pollack learning")):
        yield mean_above(
            f"{name} aligns better than fixed random feedback",
            apart(runs.filter(rule=rule), fa, "gradient_alignment"),
            0,
            what=f"GA({rule}) - GA(fa)",
            known="Akrout et al. 2019: smaller angles in every layer, on ImageNet",
        )
    yield weakest(
        "all three kinds of sign-symmetric feedback align better than fixed random feedback",
        [
            mean_above(
                _NAMES[rule],
                apart(runs.filter(rule=rule), fa, "gradient_alignment"),
                0,
                what="GA(usf, frsf or brsf) - GA(fa)",
            )
            for rule in _SIGNS
        ],
    )


def _accuracies(runs: pl.DataFrame) -> Iterator[Finding]:
    bp, dfa = runs.filter(rule="bp"), runs.filter(rule="dfa")
    for rule, name in (("wm", "a weight mirror"), ("kp", "Kolen-Pollack learning")):
        yield mean_below(
            f"{name} comes within one point of backpropagation's accuracy",
            apart(bp, runs.filter(rule=rule), "test_accuracy"),
            0.01,
            what=f"accuracy(bp) - accuracy({rule})",
            known="Akrout et al. 2019: about backpropagation's on ImageNet",
        )
    yield mean_above(
        "fixed random feedback costs more accuracy from layer to layer than sent directly to each",
        apart(dfa, runs.filter(rule="fa"), "test_accuracy"),
        0,
        what="accuracy(dfa) - accuracy(fa)",
    )
    yield mean_above(
        "targets in place of errors cost accuracy",
        apart(dfa, runs.filter(rule="drtp"), "test_accuracy"),
        0,
        what="accuracy(dfa) - accuracy(drtp)",
        known="Frenkel et al. 2021: below DFA on MNIST and CIFAR-10",
    )


def _both(runs: pl.DataFrame) -> Finding:
    means = (
        runs.filter(pl.col("rule") != "bp")
        .group_by("rule", maintain_order=True)
        .agg(pl.col("gradient_alignment").mean(), pl.col("test_accuracy").mean())
    )
    ranks = ", ".join(means.sort("test_accuracy", descending=True)["rule"])
    return rank_correlation_above(
        f"the better a rule aligns, the better it learns (by accuracy: {ranks})",
        means["gradient_alignment"].cast(pl.Float64).to_list(),
        means["test_accuracy"].cast(pl.Float64).to_list(),
        0,
        what="Spearman's rho over rules",
    )


def _accuracy(axes: Axes, runs: pl.DataFrame, order: list[str]) -> None:
    for place, rule in enumerate(order):
        mine = runs.filter(rule=rule)
        values = 100 * mine["test_accuracy"].to_numpy()
        axes.scatter(values, np.full(len(values), place), s=9, color="#c1440e", alpha=0.35, linewidths=0)
        axes.plot(values.mean(), place, "|", color="black", markersize=11)
    labels = [f"{_NAMES[rule]} ({runs.filter(rule=rule)['lr'][0]:g})" for rule in order]
    axes.set_yticks(range(len(order)), labels)
    axes.set_xlabel("test accuracy, % (each at its best lr)")


def _layers(axes: Axes, layers: pl.DataFrame, order: list[str]) -> None:
    numbers = layers["layer"].unique().sort().to_list()
    for index, layer in enumerate(numbers):
        means = dict(layers.filter(layer=layer).group_by("rule").agg(pl.col("gradient_alignment").mean()).rows())
        places = [place for place, rule in enumerate(order) if rule in means]
        axes.plot(
            [means[order[place]] for place in places],
            places,
            "o",
            color=colour_of(index, len(numbers)),
            markersize=5,
            label=f"layer {layer}",
        )
    axes.set_yticks(range(len(order)), [""] * len(order))
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("gradient alignment")
    axes.legend(loc="upper left")
