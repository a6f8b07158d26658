"""P8: how far the weights of deep linear networks are from W_l = F_l A_l F_{l-1}^T."""

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import colour_of, log_steps, panels
from recipes.findings import Finding, all_above, all_below

_RUN = ["data", "init", "depth", "feedback", "seed"]
_OUTPUTS = {"mnist": 10, "digits": 10, "regression": 2, "teacher": 1}
_ROUNDING = 1e-5  # of sums over some thousand updates in float32


def decide(frames: Frames) -> list[Finding]:
    """The largest residual of each run from zero, by the number of outputs; that of runs from other weights."""
    residuals = frames["residuals"]
    zero, other = residuals.filter(init="zero"), residuals.filter(pl.col("init") != "zero")
    findings = [
        all_below(
            f"{_counted(str(data))}: the weights have the form of weak alignment in every layer at every step, at every"
            " depth and with every feedback",
            mine.group_by(_RUN).agg(pl.col("residual").max())["residual"].to_list(),
            _ROUNDING,
            what="largest residual of a run",
            known="an independent reimplementation: 1e-15, in double precision",
        )
        for (data,), mine in zero.group_by("data", maintain_order=True)
    ]
    return [
        *findings,
        all_above(
            "It is learning from zero that gives this form: networks that start from PyTorch's default weights have not"
            " found it by the end",
            other.group_by(_RUN).agg(pl.col("residual").sort_by("step").last())["residual"].to_list(),
            0.1,
            what="smallest final residual of a run",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """The residual against the step: a panel per data set, a line per run."""
    residuals = frames["residuals"].sort("init", descending=True, maintain_order=True)
    groups = residuals.group_by("data", "init", maintain_order=True)
    figure, axes = panels(1, residuals.select("data", "init").n_unique(), height=2.7, sharey=True)
    for panel, ((data, init), mine) in zip(axes[0], groups, strict=True):
        _lines(panel, mine)
        panel.set_title(_counted(str(data)) + (", from zero" if init == "zero" else ", default weights"))
        panel.axhline(_ROUNDING, color="#999999", linewidth=0.8, linestyle=":")
        panel.set_yscale("log")
        log_steps(panel)
    axes[0, 0].set_ylabel("largest |W - F A F'| / largest |W|")
    axes[0, 0].legend()
    return figure


def _lines(panel: Any, rows: pl.DataFrame) -> None:
    depths = rows["depth"].unique().sort().to_list()
    for index, depth in enumerate(depths):
        runs = rows.filter(depth=depth).group_by(_RUN, maintain_order=True)
        for number, (_, run) in enumerate(runs):
            label = f"{depth} layers" if number == 0 else None
            colour = colour_of(index, len(depths))
            panel.plot(run["step"], run["residual"], color=colour, linewidth=0.7, alpha=0.7, label=label)


def _counted(data: str) -> str:
    outputs = _OUTPUTS[data]
    return f"{outputs} output{'s' if outputs > 1 else ''} ({data})"
