"""P7: the number of positive entries of the feedback decides whether a ReLU student can learn."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from recipes.catalogue import Frames
from recipes.drawing import colour_of, panels
from recipes.findings import Finding, all_above, all_below, share_above

_LEARNED = 1e-3


def decide(frames: Frames) -> list[Finding]:
    """Who never learns, who does, and how often, beside the closed form."""
    runs = frames["runs"].with_columns(
        learned=pl.col("error") < _LEARNED, enough=pl.col("positive") >= pl.col("needed")
    )
    needed, time = int(runs["needed"][0]), float(runs["time"][0])
    few, enough = runs.filter(~pl.col("enough")), runs.filter("enough")
    students = runs.group_by("units").agg(pl.col("learned").sum(), n=pl.len()).sort("units")
    share = (students["learned"] / students["n"]).to_list()
    return [
        all_above(
            f"No student with fewer than {needed} positive entries of F reaches an error of {_LEARNED:g}",
            few["error"].to_list(),
            _LEARNED,
            what="smallest error",
            known="an independent reimplementation: 0 of 145 runs (N = 80, t = 600)",
        ),
        *(
            share_above(
                f"K = {units}: students with at least {needed} positive entries learn, most by t = {time:g}",
                int(mine["learned"].sum()),
                len(mine),
                0.5,
                what="share that learns",
                known="an independent reimplementation: 0.61 to 0.71 by t = 600, K = 3, and rising"
                if units == 3
                else None,
            )
            for (units,), mine in enough.group_by("units", maintain_order=True)
        ),
        all_below(
            "The share of students that learn is the closed form 2^-K sum_(k >= M) C(K, k) at every K: "
            + ", ".join(f"{s:.2f} and {p_learn(k, needed):.2f}" for k, s in zip(students["units"], share, strict=True)),
            [
                abs(s - p_learn(k, needed)) / _standard_error(p_learn(k, needed), n)
                for k, s, n in zip(students["units"], share, students["n"], strict=True)
            ],
            2,
            what="largest difference in standard errors",
        ),
        all_above(
            "The more units a student has, the more often it learns",
            np.diff(share),
            0,
            what="smallest difference between successive K",
        ),
    ]


def p_learn(units: int, needed: int) -> float:
    """Probability that at least `needed` of `units` random signs are positive."""
    return float(sum(math.comb(units, k) for k in range(needed, units + 1)) / 2.0**units)


def draw(frames: Frames) -> Figure:
    """Errors of all runs of three units, coloured by their positive entries; the share that learns against K."""
    figure, axes = panels(1, 2, width=4)
    _errors(axes[0][0], frames["curves"])
    _shares(axes[0][1], frames["runs"])
    return figure


def _standard_error(p: float, n: int) -> float:
    return math.sqrt(p * (1 - p) / n)


def _errors(axes: Axes, curves: pl.DataFrame) -> None:
    counts: Sequence[int] = sorted(curves["positive"].unique())
    for index, positive in enumerate(counts):
        mine = curves.filter(pl.col("time") > 0, positive=positive).sort("time")
        colour = colour_of(index, len(counts))
        for _, run in mine.group_by("seed"):
            axes.plot(run["time"], run["error"], color=colour, linewidth=0.6, alpha=0.5)
        axes.plot([], [], color=colour, label=f"{positive} positive")
    axes.axhline(_LEARNED, color="black", linestyle=":", linewidth=1)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="time (samples / N)",
        ylabel="generalisation error",
        title="K = 3, M = 2",
        ylim=(1e-9, 3),
    )
    axes.legend(title="entries of F", loc="lower left")


def _shares(axes: Axes, runs: pl.DataFrame) -> None:
    needed = int(runs["needed"][0])
    students = runs.group_by("units").agg(learned=(pl.col("error") < _LEARNED).sum(), n=pl.len()).sort("units")
    for units, learned, n in students.iter_rows():
        interval = stats.binomtest(learned, n).proportion_ci(method="wilson")
        axes.plot([units, units], [interval.low, interval.high], color="#c1440e")
        axes.plot(units, learned / n, "o", color="#c1440e", label="learned" if units == needed else None)
    every = range(needed, int(students["units"].max()) + 2)  # type: ignore[arg-type]
    axes.plot(every, [p_learn(k, needed) for k in every], "--", color="black", linewidth=1, label="closed form")
    axes.set(xlabel="units of the student, K", ylabel=f"share below an error of {_LEARNED:g}", ylim=(0, 1))
    axes.legend(loc="lower right")
