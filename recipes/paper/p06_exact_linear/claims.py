"""P6: linear networks from zero weights."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import colour_of, panels
from recipes.findings import Finding, all_below, mean_within

_NAMES = {"theory": "theory", "committee": "simulation"}
_RUN = ["units", "seed"]
_APART, _ROUNDING = 1e-6, 1e-17
_EARLY = 0.03
"""The readout's share of the way to its final norm up to which growth is that of the beginning."""


def decide(frames: Frames) -> list[Finding]:
    """Of the theory, then of simulations."""
    runs = _with_fixed_points(frames["runs"])
    return [finding for model in _NAMES for finding in _of(_NAMES[model], runs.filter(model=model))]


def draw(frames: Frames) -> Figure:
    """Growth of weights and readout; alignment; where the weights end, beside what is known."""
    runs = _with_fixed_points(frames["runs"]).filter(rule="dfa")
    figure, axes = panels(1, 3)
    _growing(axes[0][0], runs.filter(model="theory", units=runs["units"].min(), seed=runs["seed"].min()))
    _aligned(axes[0][1], runs)
    _ended(axes[0][2], runs)
    return figure


def _of(name: str, runs: pl.DataFrame) -> Iterator[Finding]:
    dfa, bp = runs.filter(rule="dfa"), runs.filter(rule="bp")
    yield all_below(
        f"{name}: the readout lies along the feedback at all times",
        _per_run(dfa.filter(pl.col("step") > 0), (1 - pl.col("alignment")).max()),
        _APART,
        what="largest 1 - cos(v, F)",
    )
    final = _ends(dfa)
    yield all_below(
        f"{name}: |a|^3 ends at 2 |b| N / |F|^2 within 1 %",
        (final["cube"] / final["expected"] - 1).abs().to_list(),
        0.01,
        what="largest relative difference",
    )
    if name == "theory":  # the steps of the simulation are too long to see much of the beginning
        for column, what, power in (("w", "weights grow with time", 1), ("v", "readout grows with its square", 2)):
            yield mean_within(
                f"{name}: at first the {what}",
                _growth(dfa, column),
                power - 0.05,
                power + 0.05,
                what="slope of log norm over log t",
            )
    yield all_below(
        f"{name}: BP does not leave zero weights",
        _per_run(bp, pl.max_horizontal("w", "v").max()),
        1e-12,
        what="largest norm",
    )


def _with_fixed_points(runs: pl.DataFrame) -> pl.DataFrame:
    """|a|^3 / N^(3/2) and what it should end at."""
    return runs.with_columns(
        cube=pl.col("w") ** 3 / pl.col("feedback_squared") ** 1.5, expected=2 * pl.col("b") / pl.col("feedback_squared")
    )


def _ends(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.sort("step").group_by(_RUN, maintain_order=True).last().sort(_RUN)


def _per_run(runs: pl.DataFrame, number: pl.Expr) -> list[float]:
    return runs.group_by(_RUN).agg(number=number).sort(_RUN)["number"].to_list()


def _growth(runs: pl.DataFrame, column: str) -> list[float]:
    """Slopes over the decade before the readout has come a little of its way, of each run."""
    slopes = []
    for _, run in runs.sort("step").group_by(_RUN, maintain_order=True):
        early = run.filter(pl.col("step") > 0, pl.col("v") < _EARLY * pl.col("v").last())
        late = early.filter(pl.col("step") >= pl.col("step").last() / 10)
        fits = len(late) > 1
        slopes.append(float(np.polyfit(np.log(late["step"]), np.log(late[column]), 1)[0]) if fits else float("nan"))
    return slopes


def _growing(axes: Axes, run: pl.DataFrame) -> None:
    later = run.filter(pl.col("time") > 0)
    for index, (column, label) in enumerate((("w", "|w| / sqrt(N)"), ("v", "|v|"), ("error", "generalisation error"))):
        axes.plot(later["time"], later[column], color=colour_of(index, 4), label=label)
    axes.set(xscale="log", yscale="log", xlabel="time x learning rate", title="theory, one run", ylim=(1e-8, 20))
    axes.legend(loc="lower right")


def _aligned(axes: Axes, runs: pl.DataFrame) -> None:
    for index, (model, label) in enumerate(_NAMES.items()):
        colour = colour_of(index, 3)
        for _, run in runs.filter(pl.col("step") > 0, model=model).sort("step").group_by(_RUN):
            apart = (1 - run["alignment"]).abs().to_numpy()
            axes.plot(run["time"], np.maximum(apart, _ROUNDING), ".", color=colour, markersize=2, alpha=0.6)
        axes.plot([], [], ".", color=colour, label=label)
    axes.axhline(_APART, color="black", linestyle=":", linewidth=1, label="criterion")
    axes.set(
        xscale="log", yscale="log", xlabel="time x learning rate", ylabel="1 - cos(v, F)", ylim=(_ROUNDING / 3, 1e-2)
    )
    axes.legend()


def _ended(axes: Axes, runs: pl.DataFrame) -> None:
    for index, (model, label) in enumerate(_NAMES.items()):
        final, style = _ends(runs.filter(model=model)), "ox"[index]
        axes.plot(final["expected"], final["cube"], style, color=colour_of(index, 3), markersize=4, label=label)
    expected = runs["expected"].to_numpy()
    limits = [expected.min() / 1.5, expected.max() * 1.5]
    axes.plot(limits, limits, color="black", linewidth=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="$2|b|N/|F|^2$", ylabel="$|a|^3$ at the end")
    axes.legend()
