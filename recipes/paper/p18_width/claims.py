"""P18: alignment and error over the width of the hidden layers."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import band, colour_of, panels
from recipes.findings import Finding, rank_correlation_above


def decide(frames: Frames) -> list[Finding]:
    """Per activation: rank correlations with the width, over all runs."""
    findings = []
    for (activation,), mine in frames["ends"].group_by("activation", maintain_order=True):
        width = mine["width"].to_list()
        findings += [
            rank_correlation_above(
                f"{activation}: the wider the hidden layers, the higher the final gradient alignment",
                width,
                mine["gradient_alignment"].to_list(),
                0.7,
                what="Spearman's rho of width and GA",
            ),
            rank_correlation_above(
                f"{activation}: the wider the hidden layers, the lower the training error of DFA",
                width,
                (-mine["train_error"]).to_list(),
                0.7,
                what="Spearman's rho of width and -error",
            ),
        ]
    return findings


def draw(frames: Frames) -> Figure:
    """A row per activation: errors, alignment of all layers together, alignment of each."""
    ends, layers = frames["ends"], frames["layers"]
    activations = ends["activation"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(activations), 3)
    for row, activation in zip(axes, activations, strict=True):
        mine = ends.filter(activation=activation)
        for column, label, colour, line in (
            ("train_error", "training", "#c1440e", "-"),
            ("test_error", "test", "#c1440e", ":"),
        ):
            _over_width(row[0], mine, column, label=label, color=colour, linestyle=line)
        _over_width(row[1], mine, "gradient_alignment", color="#c1440e")
        _layers(row[2], layers.filter(activation=activation))
        row[0].set_title(str(activation))
        row[0].set_ylabel("error of DFA")
        row[1].set_ylabel("gradient alignment")
        row[2].set_ylabel("gradient alignment of layers")
        row[0].set_ylim(bottom=0)
        row[0].legend()
        row[2].legend()
    return figure


def _over_width(axes: Axes, ends: pl.DataFrame, column: str, **line: Any) -> None:
    """Mean and standard deviation over seeds."""
    value = pl.col(column)
    means = ends.group_by("width").agg(mean=value.mean(), sd=value.std()).sort("width")
    band(axes, *(means[name].to_list() for name in ("width", "mean", "sd")), marker="o", markersize=3, **line)
    _widths(axes, means["width"].to_list())


def _layers(axes: Axes, rows: pl.DataFrame) -> None:
    layers = sorted(rows["layer"].unique())
    for index, layer in enumerate(layers):
        mine = rows.filter(layer=layer).sort("width")
        columns = (mine[name].to_list() for name in ("width", "gradient_alignment", "gradient_alignment_sd"))
        band(axes, *columns, color=colour_of(index, len(layers)), marker="o", markersize=3, label=f"layer {layer}")
    _widths(axes, sorted(rows["width"].unique()))


def _widths(axes: Axes, widths: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.set_xlim(widths[0] / np.sqrt(2), widths[-1] * np.sqrt(2))
    axes.set_xlabel("width of the hidden layers")
