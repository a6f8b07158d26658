"""P20: the alignment that networks reach with feedback of other scales and distributions, at their best rates."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart
from recipes.drawing import colour_of, panels
from recipes.findings import Finding, mean_above, mean_within, weakest

_STABLE = 0.1
_CELL = ["activation", "feedback", "relative"]
_NETWORKS = {"linear": "Linear, from zero", "tanh": "tanh, from PyTorch's default weights"}
_MEASURES = {"weight_alignment": "WA", "gradient_alignment": "GA"}


def decide(frames: Frames) -> list[Finding]:
    """Layers over scales and over distributions; total weight alignment over scales and by its convention."""
    finals, layers = _tuned(frames)
    return [
        finding
        for activation in _NETWORKS
        for finding in _of_network(
            activation,
            finals.filter(activation=activation),
            layers.filter(activation=activation),
            _unbounded(frames["finals"].filter(activation=activation), finals.filter(activation=activation)),
        )
    ]


def draw(frames: Frames) -> Figure:
    """Per network: loss against the rate; WA and GA of the layers against the scale; total WA."""
    finals, layers = _tuned(frames)
    every = _relative(frames["finals"])
    figure, axes = panels(len(_NETWORKS), 4, width=3.0)
    for row, activation in zip(axes, _NETWORKS, strict=True):
        _losses(row[0], every.filter(activation=activation, feedback="uniform"), activation)
        for panel, (column, name) in zip(row[1:3], _MEASURES.items(), strict=True):
            _layers(panel, layers.filter(activation=activation), column, name)
        _totals(row[3], finals.filter(activation=activation, feedback="uniform"))
    axes[0, 1].legend()
    axes[0, 3].legend()
    return figure


def _of_network(activation: str, finals: pl.DataFrame, layers: pl.DataFrame, note: str | None) -> Iterator[Finding]:
    name = _NETWORKS[activation]
    long = layers.unpivot(list(_MEASURES), index=[*_CELL, "layer", "seed"]).drop_nulls("value")
    usual = long.filter(relative=1.0)
    by_scale = _alike(
        f"{name}: with rates tuned anew, WA and GA of every layer are the same at 0.1, 1 and 10 times the feedback",
        long.filter(pl.col("relative") != 1),
        usual,
        ["feedback", "layer", "variable"],
    )
    yield replace(by_scale, note="; ".join(filter(None, (by_scale.note, note))) or None)
    yield _alike(
        f"{name}: WA and GA of every layer are the same with uniform, normal and orthonormal feedback",
        usual.filter(pl.col("feedback") != "uniform"),
        usual.filter(feedback="uniform"),
        ["layer", "variable"],
    )
    uniform = finals.filter(feedback="uniform")
    spread = uniform.group_by("seed").agg(apart=pl.col("weight_alignment").max() - pl.col("weight_alignment").min())
    yield mean_above(
        f"{name}: total weight alignment changes with the scale of uniform feedback",
        spread.sort("seed")["apart"].to_list(),
        _STABLE,
        what="largest - smallest total WA of a seed",
    )
    small = uniform.filter(relative=0.1).sort("seed")
    yield mean_above(
        f"{name}: of the same weights, total weight alignment is another with the feedback as drawn than as used"
        " (0.1 times uniform feedback)",
        (small["weight_alignment_scaled"] - small["weight_alignment"]).abs().to_list(),
        _STABLE,
        what="|as used - as drawn|",
        known="an independent reimplementation: 0.22 as drawn, 0.73 as used, on the targets of P11",
    )


def _tuned(frames: Frames) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Runs and layers at the rate of the least mean training loss, by network, distribution and scale."""
    finals, layers = _relative(frames["finals"]), _relative(frames["layers"])
    best = _mean_losses(finals).sort("train_loss").group_by(_CELL, maintain_order=True).agg(pl.col("lr").first())
    return finals.join(best, on=[*_CELL, "lr"]), layers.join(best, on=[*_CELL, "lr"])


def _unbounded(every: pl.DataFrame, tuned: pl.DataFrame) -> str | None:
    """What limits a comparison in which the best rate is the largest one."""
    largest = every.group_by("feedback", "scale").agg(pl.col("lr").max())
    at_the_end = tuned.join(largest, on=["feedback", "scale", "lr"]).select("feedback", "scale").unique().height
    if not at_the_end:
        return None
    return f"for {at_the_end} of {largest.height} kinds of feedback the best rate is the largest that was tried"


def _mean_losses(finals: pl.DataFrame) -> pl.DataFrame:
    """Infinite where a run diverged."""
    finite = pl.when(pl.col("diverged") | pl.col("train_loss").is_null()).then(np.inf).otherwise("train_loss")
    return finals.with_columns(train_loss=finite).group_by(*_CELL, "lr").agg(pl.col("train_loss").mean())


def _relative(rows: pl.DataFrame) -> pl.DataFrame:
    """`relative`: the scale over that of the convention, the middle one of each distribution."""
    return rows.with_columns(relative=(pl.col("scale") / pl.col("scale").unique().median().over("feedback")).round(3))


def _alike(claim: str, these: pl.DataFrame, those: pl.DataFrame, on: list[str]) -> Finding:
    """Every layer's measures differ by less than _STABLE in the mean over seeds."""
    cells = these.sort(*_CELL, "layer", "variable").group_by(*_CELL, "layer", "variable", maintain_order=True)
    return weakest(
        claim,
        [
            mean_within(
                f"{_MEASURES[variable]} of layer {layer}, {feedback}, {relative:g} F",
                apart(cell, those.join(cell, on=[*on, "seed"], how="semi"), "value"),
                -_STABLE,
                _STABLE,
                what="difference",
            )
            for (_, feedback, relative, layer, variable), cell in cells
        ],
        strength=lambda part: -max(abs(part.low or 0), abs(part.high or 0)),
    )


def _losses(axes: Axes, finals: pl.DataFrame, activation: str) -> None:
    means = _mean_losses(finals).sort("lr")
    scales = means["relative"].unique().sort().to_list()
    for index, scale in enumerate(scales):
        mine = means.filter(relative=scale)
        axes.plot(mine["lr"], mine["train_loss"], "o-", ms=3, color=colour_of(index, 4), label=f"{scale:g} F")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=10)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("final training loss")
    axes.set_title(f"{_NETWORKS[activation]}; uniform")
    axes.legend()


def _layers(axes: Axes, layers: pl.DataFrame, column: str, name: str) -> None:
    """Colour: layer; marker: distribution."""
    means = layers.drop_nulls(column).group_by(*_CELL, "layer").agg(pl.col(column).mean()).sort("relative")
    numbers = means["layer"].unique().sort().to_list()
    for marker, feedback in zip("os^", ("uniform", "normal", "orthogonal"), strict=True):
        for layer in numbers:
            mine = means.filter(feedback=feedback, layer=layer)
            label = f"layer {layer}" if feedback == "uniform" else None
            axes.plot(mine["relative"], mine[column], marker + "-", ms=3.5, color=colour_of(layer - 1, 4), label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("scale of F")
    axes.set_title(f"{name} at the best rate")


def _totals(axes: Axes, finals: pl.DataFrame) -> None:
    means = finals.group_by("relative").mean().sort("relative")
    axes.plot(means["relative"], means["weight_alignment"], "o-", ms=3.5, color="#333333", label="F as drawn")
    axes.plot(means["relative"], means["weight_alignment_scaled"], "s--", ms=3.5, color="#888888", label="F as used")
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("scale of F")
    axes.set_title("total WA; uniform")
