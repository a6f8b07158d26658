"""P15: what random labels in the training data do to the times at which layers align."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from recipes.catalogue import Frames
from recipes.curves import by_seed, first_reach, half_time, per_run, value_at
from recipes.drawing import band, colour_of, log_steps, panels
from recipes.findings import Finding, all_below, mean_above, weakest

_RUN = ["data", "activation", "label_noise", "seed", "layer"]
_LEVEL = 0.3
"""Alignment whose time is compared: above the noise of initial weights, below what all noise levels reach."""
_MIDDLE = 0.5
"""Noise at which delays of the layers are compared."""

Matrix = npt.NDArray[np.float64]


def decide(frames: Frames) -> list[Finding]:
    """Per data set and activation: times and fixed-time values over noise, layer by layer; then the two variants."""
    findings: list[Finding] = []
    for (data, activation), mine in _times(frames["points"]).group_by("data", "activation", maintain_order=True):
        findings += _of_networks(f"{data}, {activation}", mine)
    variants = frames["variants"]
    return [
        *findings,
        all_below(
            "noise on the test labels too, as in the authors' code, leaves alignment as it is at every step",
            variants["apart"].cast(pl.Float64).to_list(),
            1e-6,
            what="largest difference of GA_l",
        ),
        mean_above(
            "noise on the test labels too raises the test error",
            by_seed(variants, "more_test_error"),
            0,
            what="difference of test errors",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """Per data set and activation: error and alignment of bottom and top layer by noise; half-times of all layers."""
    points, errors = frames["points"], frames["errors"]
    groups = list(_times(points).group_by("data", "activation", maintain_order=True))
    figure, axes = panels(len(groups), 4, width=2.7)
    for row, ((data, activation), times) in zip(axes, groups, strict=True):
        mine = points.filter(data=data, activation=activation)
        _curves(row[0], errors.filter(data=data, activation=activation).rename({"train_error": "value"}))
        layers = sorted(mine["layer"].unique())
        for panel, layer in ((row[1], layers[0]), (row[2], layers[-1])):
            _curves(panel, mine.filter(layer=layer).rename({"gradient_alignment": "value"}))
            panel.set_ylim(-0.15, 1)
            panel.set_ylabel(f"gradient alignment, layer {layer}")
        _half_times(row[3], times)
        row[0].set_ylabel("training error")
        row[0].set_title(f"{data}, {activation}")
        row[0].legend(title="noise", loc="lower left")
    return figure


def _of_networks(name: str, times: pl.DataFrame) -> Iterator[Finding]:
    levels, layers = sorted(times["label_noise"].unique()), sorted(times["layer"].unique())
    reached = {layer: _table(times, layer, "reached") for layer in layers}
    at_least = {layer: _table(times, layer, "at_least") for layer in layers}
    at_clean = {layer: _table(times, layer, "at_clean_half_time") for layer in layers}
    steps = [(layer, i, f"layer {layer}, noise {a:g} to {b:g}") for layer in layers for i, (a, b) in _pairs(levels)]
    yield weakest(
        f"{name}: every layer reaches an alignment of {_LEVEL} later, the more labels are random",
        [
            mean_above(where, _later(reached[layer], at_least[layer], i), 0, what="log10 of the delay")
            for layer, i, where in steps
        ],
    )
    yield weakest(
        f"{name}: when the clean network is aligned by half, a layer is the less aligned, the more labels are random",
        [
            mean_above(where, at_clean[layer][i] - at_clean[layer][i + 1], 0, what="fall of GA_l")
            for layer, i, where in steps
        ],
    )
    lost = np.array([(1 - at_clean[layer][1:] / at_clean[layer][0]).mean(axis=0) for layer in layers])
    yield weakest(
        f"{name}: the top hidden layer loses the largest share of its alignment then",
        [
            mean_above(f"layer {below}", lost[-1] - of_below, 0, what="share lost by the top layer - by one below")
            for below, of_below in zip(layers, lost[:-1], strict=False)
        ],
    )
    if _MIDDLE in levels:
        delays = {layer: _delays(times, layer, levels.index(_MIDDLE)) for layer in layers}
        factors = ", ".join(f"x{10 ** np.nanmean(values):.2f}" for values in delays.values())
        yield weakest(
            f"{name}: with half of the labels random every layer reaches half of its alignment later "
            f"(from the bottom: {factors})",
            [
                mean_above(f"layer {layer}", values, 0, what="log10 of the delay of the half-time")
                for layer, values in delays.items()
            ],
        )
        yield mean_above(
            f"{name}: that delays the top hidden layer more than the bottom one",
            delays[layers[-1]] - delays[layers[0]],
            0,
            what="log10 of the ratio of the delays",
        )


def _later(reached: Matrix, at_least: Matrix, level: int) -> Matrix:
    """Decades from one level of noise to the next, by seed, at their least of the claimed: where the noisier network
    does not reach alignment in time, those until its end; where the other alone does not, those are at most what counts
    against the claim. NaN where neither does."""
    less, more = reached[level], reached[level + 1]
    neither = np.isnan(less) & np.isnan(more)
    delay: Matrix = np.log10(at_least[level + 1] / at_least[level])
    return np.where(neither, np.nan, delay)


def _times(points: pl.DataFrame) -> pl.DataFrame:
    """Of each layer of each run: its half-time; the time at which it reaches the level, NaN where it does not, and
    that it takes at least; its alignment at the half-time of the same layer and seed trained on clean labels."""
    own = per_run(
        points,
        _RUN,
        lambda curve: {
            "half_time": half_time(curve("step"), curve("gradient_alignment")),
            "reached": first_reach(curve("step"), curve("gradient_alignment"), _LEVEL),
            "last": float(curve("step")[-1]),
        },
    )
    clean = own.filter(label_noise=0.0).select(
        "data", "activation", "seed", "layer", pl.col("half_time").alias("clean_half_time")
    )
    beside = points.join(clean, on=["data", "activation", "seed", "layer"])
    fixed = per_run(
        beside,
        _RUN,
        lambda curve: {
            "at_clean_half_time": value_at(
                curve("step"), curve("gradient_alignment"), float(curve("clean_half_time")[0])
            )
        },
    )
    at_least = pl.col("reached").fill_nan(pl.col("last")).alias("at_least")
    return own.with_columns(at_least).join(fixed, on=_RUN).sort(_RUN)


def _pairs(levels: list[float]) -> Iterator[tuple[int, tuple[float, float]]]:
    yield from enumerate(pairwise(levels))


def _table(times: pl.DataFrame, layer: int, column: str) -> Matrix:
    """(noise levels, seeds) of one layer."""
    wide = times.filter(layer=layer).pivot("seed", index="label_noise", values=column, sort_columns=True)
    return wide.sort("label_noise").drop("label_noise").to_numpy()


def _delays(times: pl.DataFrame, layer: int, level: int) -> Matrix:
    """Decades by which noise delays a layer's half-time, by seed."""
    half = _table(times, layer, "half_time")
    delays: Matrix = np.log10(half[level] / half[0])
    return delays


def _curves(axes: Axes, rows: pl.DataFrame) -> None:
    means = rows.group_by("label_noise", "step").agg(mean=pl.col("value").mean(), sd=pl.col("value").std())
    levels = sorted(means["label_noise"].unique())
    for index, level in enumerate(levels):
        mine = means.filter(label_noise=level).drop_nulls("mean").sort("step")
        colour = colour_of(index, len(levels))
        band(axes, *(mine[name].to_list() for name in ("step", "mean", "sd")), color=colour, label=f"{level:g}")
    log_steps(axes)


def _half_times(axes: Axes, times: pl.DataFrame) -> None:
    """Geometric means over seeds with 95 % intervals, against noise."""
    levels, layers = sorted(times["label_noise"].unique()), sorted(times["layer"].unique())
    for index, layer in enumerate(layers):
        logs = np.log10(_table(times, layer, "half_time"))
        mean, n = logs.mean(axis=1), logs.shape[1]
        error = stats.t.ppf(0.975, n - 1) * logs.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(len(levels))
        middle = 10**mean
        errors = [middle - 10 ** (mean - error), 10 ** (mean + error) - middle]
        axes.errorbar(
            levels,
            middle,
            errors,
            color=colour_of(index, len(layers)),
            marker="o",
            markersize=3,
            label=f"layer {layer}",
        )
    axes.set_yscale("log")
    axes.set_xlabel("share of random labels")
    axes.set_ylabel("step at half alignment")
    axes.legend()
