"""P13: in which order layers align."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from recipes.catalogue import Frames
from recipes.curves import half_drop_time, half_time, per_run, value_at
from recipes.drawing import band, colour_of, log_steps, panels
from recipes.findings import Finding, mean_above, weakest

_NETWORK = ["data", "activation", "lr"]
_RUN = [*_NETWORK, "seed", "layer"]
_RATE = 1e-3
"""The authors' learning rate, which names leave out."""
_BIN = 1 / 8
"""Decades between two trace points: orders are not told apart within it."""


def decide(frames: Frames) -> list[Finding]:
    """Per data set and activation: the order of half-times, and alignment while the error falls."""
    findings: list[Finding] = []
    for network, mine in _times(frames).group_by(_NETWORK, maintain_order=True):
        name, layers = _name(network), sorted(mine["layer"].unique())
        findings += [
            weakest(
                f"{name}: no layer reaches half of its alignment before the one below it, to one trace point",
                [
                    mean_above(
                        f"layer {above} after layer {below}",
                        _apart(mine, "half_time", below, above),
                        -_BIN,
                        what="log10 of the ratio of half-times",
                    )
                    for below, above in pairwise(layers)
                ],
            ),
            mean_above(
                f"{name}: the top hidden layer reaches half of its alignment after the bottom one",
                _apart(mine, "half_time", layers[0], layers[-1]),
                0,
                what="log10 of the ratio of half-times",
            ),
            mean_above(
                f"{name}: the bottom layer is better aligned than the top one when half of the error's fall is done",
                [-value for value in _apart(mine, "at_half_drop", layers[0], layers[-1], ratio=False)],
                0,
                what="GA_1 - GA_top",
            ),
        ]
    return findings


def draw(frames: Frames) -> Figure:
    """Per data set and activation: alignment of each layer against the step; half-times with their intervals."""
    points, times = frames["points"], _times(frames)
    groups = list(points.group_by(_NETWORK, maintain_order=True))
    figure, axes = panels(2, len(groups), height=2.4)
    for column, (network, mine) in zip(axes.T, groups, strict=True):
        _curves(column[0], mine)
        column[0].set_title(_name(network))
        _half_times(column[1], times.filter(**dict(zip(_NETWORK, network, strict=True))))
    axes[0][0].set_ylabel("gradient alignment")
    axes[1][0].set_ylabel("layer")
    axes[0][0].legend(loc="upper left")
    return figure


def _name(network: tuple[object, ...]) -> str:
    data, activation, lr = network
    return f"{data}, {activation}" if lr == _RATE else f"{data}, {activation}, rate {lr}"


def _times(frames: Frames) -> pl.DataFrame:
    """Half-time of each layer of each run, and its alignment when half of the error's fall is done."""
    return per_run(
        frames["points"],
        _RUN,
        lambda curve: {
            "half_time": half_time(curve("step"), curve("gradient_alignment")),
            "error_half": half_drop_time(curve("step"), curve("train_error")),
            "at_half_drop": value_at(
                curve("step"), curve("gradient_alignment"), half_drop_time(curve("step"), curve("train_error"))
            ),
        },
    )


def _apart(times: pl.DataFrame, column: str, below: int, above: int, *, ratio: bool = True) -> list[float]:
    """What layer `above` has more than layer `below`, by seed; of times, decades."""
    low, high = (times.filter(layer=layer).sort("seed")[column].to_numpy() for layer in (below, above))
    return list(np.log10(high / low) if ratio else high - low)


def _curves(axes: Axes, points: pl.DataFrame) -> None:
    for layer, step, mean, sd in _bands(points):
        colour = colour_of(layer - 1, points["layer"].n_unique())
        band(axes, step, mean, sd, color=colour, label=f"layer {layer}")
    log_steps(axes)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_ylim(-0.15, 1)


def _bands(points: pl.DataFrame) -> Iterator[tuple[int, list[float], list[float], list[float | None]]]:
    alignment = pl.col("gradient_alignment")
    means = points.group_by("layer", "step").agg(mean=alignment.mean(), sd=alignment.std()).drop_nulls("mean")
    for (layer,), mine in means.sort("layer", "step").group_by("layer", maintain_order=True):
        yield int(str(layer)), mine["step"].to_list(), mine["mean"].to_list(), mine["sd"].to_list()


def _half_times(axes: Axes, times: pl.DataFrame) -> None:
    """One point per run, layers from the bottom up, and the step at which half of the error's fall is done."""
    layers = sorted(times["layer"].unique())
    for index, layer in enumerate(layers):
        mine = times.filter(layer=layer)
        colour = colour_of(index, len(layers))
        axes.plot(mine["half_time"], [layer] * len(mine), "o", color=colour, alpha=0.5, markersize=4, mew=0)
        axes.plot([10 ** np.nanmean(np.log10(mine["half_time"]))], [layer], "|", color=colour, markersize=18)
    fallen = float(10 ** np.nanmean(np.log10(times["error_half"])))
    axes.axvline(fallen, color="0.5", linestyle=":", label="error half fallen")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(layers)
    axes.set_ylim(layers[0] - 0.6, layers[-1] + 0.6)
    axes.set_xlabel("step at half of its alignment")
    axes.legend(loc="lower right")
