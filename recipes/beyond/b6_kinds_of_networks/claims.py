"""B6: what direct feedback costs a fully connected network, convolutions and a Transformer on the same data."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart, at_its_best
from recipes.drawing import RULES, panels
from recipes.findings import Finding, mean_above

_KINDS = {"mlp": "fully connected", "cnn": "convolutions", "transformer": "Transformer"}


def decide(frames: Frames) -> list[Finding]:
    """Gaps to backpropagation, alignment, and what is learned beyond the last layer, each at its best setting."""
    finals = frames["finals"]
    return [*_costs(_best(finals)), *_alignments(finals, _best(finals))]


def draw(frames: Frames) -> Figure:
    """Accuracy of the rules, and alignment with the gradient, by kind of network."""
    best = _best(frames["finals"])
    figure, axes = panels(1, 2, width=3.6)
    left, right = axes[0]
    for index, (rule, marker) in enumerate((("bp", "s"), ("dfa", "o"), ("shallow", "x"))):
        look = {"label": RULES[rule][0], "color": RULES[rule][1], "marker": marker}
        _dots(left, best.filter(rule=rule), "test_accuracy", 0.22 * (index - 1), look)
    for index, distribution in enumerate(("uniform", "repeated")):
        mine = frames["finals"].filter(rule="dfa", distribution=distribution)
        mine = at_its_best(mine, ["model"], ["lr"], "train_accuracy")
        look = {"label": ("independent", "repeated over positions")[index], "color": ("#c1440e", "#2c7fb8")[index]}
        _dots(right, mine, "gradient_alignment", 0.22 * (index - 0.5), look)
    left.set_ylabel("test accuracy")
    right.set_ylabel("gradient alignment")
    right.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    for axis in (left, right):
        axis.set_xticks(range(len(_KINDS)), list(_KINDS.values()))
        axis.legend()
    return figure


def _best(finals: pl.DataFrame) -> pl.DataFrame:
    """Of each kind and rule, the runs at the rate and feedback of the highest training accuracy."""
    return at_its_best(finals, ["model", "rule"], ["lr", "distribution"], "train_accuracy")


def _costs(best: pl.DataFrame) -> Iterator[Finding]:
    gaps = {kind: _between(best, kind, "bp", "dfa") for kind in _KINDS}
    told = ", ".join(f"{_KINDS[kind]} {np.mean(gap):.3f}" for kind, gap in gaps.items())
    yield mean_above(
        f"direct feedback costs convolutions more accuracy than a Transformer ({told})",
        [a - b for a, b in zip(gaps["cnn"], gaps["transformer"], strict=True)],
        0,
        what="gap(convolutions) - gap(Transformer)",
        known="Launay et al. 2020: Transformers train with DFA, below backpropagation; convolutions do not",
    )
    yield mean_above(
        "direct feedback costs a Transformer more accuracy than a fully connected network",
        [a - b for a, b in zip(gaps["transformer"], gaps["mlp"], strict=True)],
        0,
        what="gap(Transformer) - gap(fully connected)",
    )
    for kind, name in _KINDS.items():
        yield mean_above(
            f"{name}: direct feedback learns more than the last layer does alone",
            _between(best, kind, "dfa", "shallow"),
            0,
            what="accuracy(dfa) - accuracy(last layer only)",
        )


def _alignments(finals: pl.DataFrame, best: pl.DataFrame) -> Iterator[Finding]:
    dfa = {kind: best.filter(model=kind, rule="dfa") for kind in _KINDS}
    yield mean_above(
        "the blocks of a Transformer align better than convolutions do",
        apart(dfa["transformer"], dfa["cnn"], "gradient_alignment"),
        0,
        what="GA(Transformer) - GA(convolutions)",
    )
    others = zip(*(apart(dfa["mlp"], dfa[kind], "gradient_alignment") for kind in ("cnn", "transformer")), strict=True)
    yield mean_above(
        "a fully connected network aligns better than either",
        [min(pair) for pair in others],
        0,
        what="GA(fully connected) - higher GA of the two",
    )
    for kind in ("cnn", "transformer"):
        mine = finals.filter(model=kind, rule="dfa")
        repeated, own = (
            at_its_best(mine.filter(distribution=name), ["model"], ["lr"], "train_accuracy")
            for name in ("repeated", "uniform")
        )
        yield mean_above(
            f"{_KINDS[kind]}: one feedback for all positions aligns better than one for each",
            apart(repeated, own, "gradient_alignment"),
            0,
            what="GA(repeated) - GA(independent)",
        )


def _between(best: pl.DataFrame, kind: str, rule: str, other: str) -> list[float]:
    mine = best.filter(model=kind)
    return apart(mine.filter(rule=rule), mine.filter(rule=other), "test_accuracy")


def _dots(axes: Axes, runs: pl.DataFrame, column: str, offset: float, look: dict[str, str]) -> None:
    """Every run, and the mean of each kind; `look`: label, colour and marker."""
    points = runs.select("model", pl.col(column).cast(pl.Float64)).drop_nulls()
    kinds = list(_KINDS)
    x = [kinds.index(kind) + offset for kind in points["model"]]
    axes.scatter(x, points[column], s=14, alpha=0.5, linewidths=1, **look)  # type: ignore[arg-type]
    for kind, mean in points.group_by("model").mean().rows():
        axes.plot(kinds.index(kind) + offset, mean, "_", color="black", markersize=9)
