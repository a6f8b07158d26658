"""P1: equations of motion beside simulations that start from the same overlaps."""

from dataclasses import replace

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import RULES, colour_of, panels
from recipes.findings import Finding, Verdict, all_below, mean_below

_PAPER_INPUTS = 500
_LEAST_ERROR = 1e-3
_KNOWN = {
    ("bp", 0.1): "an independent reimplementation: 0.034 (one seed)",
    ("dfa", 0.1): "an independent reimplementation: 0.038 (one seed)",
}
_RUN = ["inputs", "init_scale", "rule", "seed"]
_MARKERS = {"bp": "s", "dfa": "o"}


def decide(frames: Frames) -> list[Finding]:
    """The error of each rule and size of initial weights, the order parameters, and how deviations fall with N."""
    curves, overlaps = _followed(frames["curves"]), frames["overlaps"]
    inputs = _closest_to_the_papers(curves)
    largest = curves.filter(inputs=inputs).group_by(_RUN[1:]).agg(pl.col("deviation").abs().max()).sort(_RUN[1:])
    findings = [
        _explained(
            all_below(
                f"{RULES[rule][0]}, initial weights of {scale:g}, N = {inputs}: errors of theory and simulation differ "
                "by less than 10 % while they are above 0.001",
                mine["deviation"].to_list(),
                0.1,
                what="largest relative difference",
                known=_KNOWN.get((rule, scale)),
            )
        )
        for (scale, rule), mine in largest.group_by("init_scale", "rule", maintain_order=True)
    ]
    findings += [
        mean_below(
            f"{RULES[rule][0]}, N = {inputs}: in the mean over runs, the largest relative difference is below 10 %",
            mine.group_by("seed").agg(pl.col("deviation").mean()).sort("seed")["deviation"].to_list(),
            0.1,
            what="mean of the largest relative difference",
        )
        for (rule,), mine in largest.group_by("rule", maintain_order=True)
    ]
    relative = overlaps.filter(inputs=inputs).with_columns(apart=pl.col("apart") / pl.col("largest"))
    findings += [
        all_below(
            f"{quantity}, N = {inputs}: entries in theory and simulation differ by less than 10 % of the largest entry",
            mine["apart"].to_list(),
            0.1,
            what="largest difference",
        )
        for (quantity,), mine in relative.group_by("quantity", maintain_order=True)
    ]
    slopes = _slopes(curves)
    sizes = " to ".join(f"{size:g}" for size in (curves["inputs"].min(), curves["inputs"].max()))  # type: ignore[str-bytes-safe]
    return [
        *findings,
        mean_below(
            f"The more inputs, the closer is the simulation to the theory (N = {sizes})",
            slopes,
            0,
            what="slope of log deviation over log N",
            known="fluctuations of independent samples: -0.5",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """Errors of one seed for each size of initial weights; deviations against the number of inputs."""
    curves = frames["curves"]
    scales = sorted(curves["init_scale"].unique())
    figure, axes = panels(1, len(scales) + 1)
    inputs = _closest_to_the_papers(curves)
    for panel, scale in zip(axes[0], scales, strict=False):
        shown = curves.filter(inputs=inputs, init_scale=scale, seed=curves["seed"].min())
        _errors(panel, shown)
        panel.set_title(f"N = {inputs}, initial weights {scale:g}")
    axes[0][0].legend()
    _by_inputs(axes[0][-1], _followed(curves))
    return figure


def _explained(finding: Finding) -> Finding:
    if finding.verdict is not Verdict.FAILS:
        return finding
    return replace(
        finding, note="single runs leave the plateau a little earlier or later; there the error falls steeply"
    )


def _closest_to_the_papers(curves: pl.DataFrame) -> int:
    return int(min(curves["inputs"].unique(), key=lambda inputs: abs(np.log(inputs / _PAPER_INPUTS))))


def _followed(curves: pl.DataFrame) -> pl.DataFrame:
    """Where the error is still above what is compared, with the deviation relative to the simulation."""
    above = curves.filter(pl.col("simulation") > _LEAST_ERROR)
    return above.with_columns(deviation=pl.col("theory") / pl.col("simulation") - 1)


def _rms(curves: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Root mean square deviation over trace points that all sizes have seen."""
    last = curves.group_by("inputs").agg(pl.col("time").max())["time"].min()
    seen = curves.filter(pl.col("time") <= last, pl.col("time") > 0)
    return seen.group_by(by).agg(rms=(pl.col("deviation") ** 2).mean().sqrt()).sort(by)


def _slopes(curves: pl.DataFrame) -> list[float]:
    """Of each seed, over all rules and initial weights: they see the same samples, seeds alone are independent."""
    runs = _rms(curves, ["seed", "inputs"]).group_by("seed", maintain_order=True)
    return [float(np.polyfit(np.log(run["inputs"]), np.log(run["rms"]), 1)[0]) for _, run in runs]


def _errors(axes: Axes, curves: pl.DataFrame) -> None:
    for rule in ("bp", "dfa"):
        run = curves.filter(pl.col("time") > 0, rule=rule)
        label, colour, line = RULES[rule]
        axes.plot(run["time"], run["theory"], line, color=colour, label=f"{label}, theory")
        axes.plot(
            run["time"],
            run["simulation"],
            _MARKERS[rule],
            color=colour,
            markersize=3.5,
            markerfacecolor="white",
            markeredgewidth=0.8,
            label=f"{label}, simulation",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("time (samples / N)")
    axes.set_ylabel("generalisation error")


def _by_inputs(axes: Axes, curves: pl.DataFrame) -> None:
    runs = _rms(curves, _RUN)
    for rule in ("bp", "dfa"):
        for index, scale in enumerate(sorted(runs["init_scale"].unique())):
            mine = runs.filter(rule=rule, init_scale=scale)
            offset = 1 + 0.06 * (2 * index - 1)
            axes.plot(mine["inputs"] * offset, mine["rms"], _MARKERS[rule], color=colour_of(index, 3), markersize=3.5)
            axes.plot([], [], _MARKERS[rule], color=colour_of(index, 3), label=f"{RULES[rule][0]}, {scale:g}")
    sizes = np.array(sorted(runs["inputs"].unique()), dtype=np.float64)
    middle = np.exp(np.log(runs["rms"].to_numpy()).mean())
    guide = middle * np.sqrt(np.exp(np.log(sizes).mean()) / sizes)
    axes.plot(sizes, guide, ":", color="black", linewidth=1, label="slope -1/2")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("inputs N")
    axes.set_ylabel("rms relative deviation")
    axes.legend(ncols=2)
