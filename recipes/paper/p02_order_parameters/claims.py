"""P2: simulations as Monte Carlo of the equations of motion; feedback that is the initial readout."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from recipes.catalogue import Frames
from recipes.drawing import colour_of, log_steps, panels
from recipes.findings import Finding, all_below, mean_within

_STANDARD_ERRORS = 4.0
_STUDENT = ["activation", "units"]
_QUANTITIES = ("Q", "R", "v")


def decide(frames: Frames) -> list[Finding]:
    """Every entry of every student within four standard errors; the two rules coincide at first, and part linearly."""
    starts, matched = _scored(frames["starts"]), frames["matched"]
    runs, first = int(starts["n"].to_numpy().min()), matched.filter(pl.col("step") == 1)
    findings = [
        all_below(
            f"{activation}, K = M = {units}: Q, R and v move as the theory says (mean of {runs} runs, its "
            f"standard error {_sharpness(mine):.1%} of the largest change)",
            mine["score"].abs().to_list(),
            _STANDARD_ERRORS,
            what="largest difference in standard errors",
        )
        for (activation, units), mine in starts.group_by(_STUDENT, maintain_order=True)
    ]
    return [
        *findings,
        all_below(
            f"With F = v(0), Q, R and v change alike under DFA and BP at first (t = {first['time'][0]:g})",
            first["apart"].to_list(),
            0.01,
            what="difference / change",
        ),
        mean_within(
            "With F = v(0), DFA and BP part in proportion to the change of v, that is to t",
            _slopes(matched),
            0.9,
            1.1,
            what="slope of log(difference / change) over log t",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """Changes in theory and simulation, their differences in standard errors, and how the rules part."""
    starts, matched = _scored(frames["starts"]), frames["matched"]
    figure, axes = panels(1, 3)
    _changes(axes[0][0], starts)
    _scores(axes[0][1], starts)
    _parting(axes[0][2], matched)
    return figure


def _scored(starts: pl.DataFrame) -> pl.DataFrame:
    error = pl.col("sd") / pl.col("n").sqrt()
    return starts.with_columns(
        error=error,
        score=(pl.col("simulation") - pl.col("theory")) / error,
        predicted=pl.col("theory") - pl.col("initial"),
        found=pl.col("simulation") - pl.col("initial"),
    )


def _sharpness(starts: pl.DataFrame) -> float:
    """The median standard error over the largest change of the quantity that it belongs to, in the median."""
    largest = pl.col("predicted").abs().max().over("rule", "quantity")
    return float(np.median(starts.select(pl.col("error") / largest).to_numpy()))


def _slopes(matched: pl.DataFrame) -> list[float]:
    early = matched.filter(pl.col("time") <= 0.1).group_by(*_STUDENT, "seed", maintain_order=True)
    return [float(np.polyfit(np.log(run["time"]), np.log(run["apart"]), 1)[0]) for _, run in early]


def _changes(axes: Axes, starts: pl.DataFrame) -> None:
    for index, quantity in enumerate(_QUANTITIES):
        mine = starts.filter(quantity=quantity)
        axes.errorbar(
            mine["predicted"],
            mine["found"],
            yerr=2 * mine["error"],
            fmt="o",
            markersize=2.5,
            linewidth=0.8,
            color=colour_of(index, len(_QUANTITIES)),
            label=quantity,
        )
    ends = [starts["predicted"].min(), starts["predicted"].max()]
    axes.plot(ends, ends, color="black", linewidth=0.8, zorder=0)  # type: ignore[arg-type]
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_xlabel("change in theory")
    axes.set_ylabel("mean change in simulations")
    axes.legend()


def _scores(axes: Axes, starts: pl.DataFrame) -> None:
    axes.hist(starts["score"], bins=np.arange(-5, 5.5, 0.5).tolist(), density=True, color="#c9c9c9")
    z = np.linspace(-5, 5, 201)
    axes.plot(z, stats.norm.pdf(z), color="black", linewidth=1, label="standard normal")
    axes.set_xlabel("(simulation - theory) / standard error")
    axes.set_ylabel(f"density of {len(starts)} entries")
    axes.set_ylim(0, 0.55)
    axes.legend(loc="upper left")


def _parting(axes: Axes, matched: pl.DataFrame) -> None:
    students = matched.group_by(*_STUDENT, "time").agg(pl.col("apart").median()).sort("time")
    groups = sorted(students.group_by(_STUDENT), key=lambda group: group[0])
    for index, ((activation, units), mine) in enumerate(groups):
        axes.plot(mine["time"], mine["apart"], color=colour_of(index, len(groups)), label=f"{activation}, K = {units}")
    axes.plot([0.01, 1], [1e-3, 1e-1], ":", color="black", linewidth=1, label="slope 1")
    log_steps(axes, "time")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel("DFA and BP apart / change")
    axes.legend()
