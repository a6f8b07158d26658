"""P14: alignment and the fall of the error: which comes first, and what becomes of alignment at the end."""

from dataclasses import replace

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.curves import by_seed, half_drop_time, half_time, lost_of_peak, per_run
from recipes.drawing import log_steps, panels
from recipes.findings import Finding, mean_above, mean_below

_RUN = ["data", "activation", "seed"]
_CELL = ["activation", "alpha", "beta", "seed"]
_BIN = 1 / 8
"""Decades between two trace points: orders are not told apart within it."""
_FITTED = 0.05
"""Training error from which the data count as memorised."""


def decide(frames: Frames) -> list[Finding]:
    """Order of the phases in three families of networks; the fall of alignment in the two that fit their data."""
    linear, grid = frames["linear"], frames["grid"]
    findings = []
    for (data, activation), mine in frames["deep"].group_by("data", "activation", maintain_order=True):
        findings.append(_order(f"{data}, {activation}", mine, _RUN, "train_error"))
    findings += [
        _order(f"{linear['data'][0]}, linear from zero", linear, _RUN, "train_error"),
        mean_above(
            f"{linear['data'][0]}, linear from zero: the alignment of the top hidden layer peaks and falls while the "
            "training error is below 5 %",
            _lost(linear),
            0,
            what="peak - final GA",
            known="an independent reimplementation: from 0.92 to 0.86",
        ),
    ]
    for (activation,), mine in grid.group_by("activation", maintain_order=True):
        findings += [
            _order(f"random targets, {activation}", mine, _CELL, "train_loss"),
            mean_above(
                f"random targets, {activation}: weight alignment has peaked and falls while they are memorised "
                "(alpha = 1)",
                by_seed(lost_of_peak(mine.filter(alpha=1.0), _CELL, "weight_alignment"), "lost"),
                0.05,
                what="(peak - final) / peak",
                known="authors' notebook: 0.11 (tanh), 0.09 (relu), beta = 1",
            ),
        ]
    return findings


def draw(frames: Frames) -> Figure:
    """Alignment over error: non-linear networks, linear ones, and random targets."""
    families = [
        (f"{data}, {activation}", mine, "train_error", "gradient_alignment")
        for (data, activation), mine in frames["deep"].group_by("data", "activation", maintain_order=True)
    ]
    families.append(("linear from zero: top hidden layer", frames["linear"], "train_error", "top_alignment"))
    for (activation,), mine in frames["grid"].filter(alpha=1.0, beta=1.0).group_by("activation", maintain_order=True):
        families.append((f"random targets, {activation}: weights", mine, "train_loss", "weight_alignment"))
    columns = -(-len(families) // 2)
    figure, axes = panels(2, columns, width=2.9)
    for panel, family in zip(axes.flat, families, strict=False):
        _two_phases(panel, *family)
    for panel in list(axes.flat)[len(families) :]:
        panel.set_axis_off()
    axes[0][0].legend(loc="center left")
    return figure


def _order(name: str, points: pl.DataFrame, keys: list[str], error: str) -> Finding:
    """The claim that alignment comes no later than the fall of the error."""
    times = per_run(
        points,
        keys,
        lambda curve: {
            "aligned": half_time(curve("step"), curve("gradient_alignment")),
            "fallen": half_drop_time(curve("step"), curve(error)),
            "loss_fallen": half_drop_time(curve("step"), curve("train_loss")),
        },
    )
    finding = mean_below(
        f"{name}: the network is aligned by half no later than half of its error has gone, to one trace point",
        by_seed(times.with_columns(apart=(pl.col("aligned") / pl.col("fallen")).log10()), "apart"),
        _BIN,
        what="log10 of t(GA) / t(error)",
    )
    by_loss = float(np.nanmean(np.log10(times["aligned"].to_numpy() / times["loss_fallen"].to_numpy())))
    return finding if error == "train_loss" else replace(finding, note=f"of the training loss instead: {by_loss:.2f}")


def _lost(linear: pl.DataFrame) -> list[float]:
    """What the top hidden layer has lost of its alignment at the end since its peak with the data fitted; by seed.

    The step of the peak is that of the other seeds' mean, so that noise makes no peaks; 0 where that is the end.
    """
    lost = []
    for seed in linear["seed"].unique().sort():
        others = (
            linear.filter(pl.col("seed") != seed).group_by("step").agg(pl.col("train_error", "top_alignment").mean())
        )
        fitted = others.filter(pl.col("train_error") <= _FITTED).sort("top_alignment")
        own = linear.filter(pl.col("seed") == seed).sort("step")
        peak = own.filter(step=fitted["step"][-1])["top_alignment"].item() if len(fitted) else np.nan
        lost.append(float(peak) - float(own["top_alignment"][-1]))
    return lost


def _two_phases(axes: Axes, title: str, points: pl.DataFrame, error: str, alignment: str) -> None:
    """Means over runs, each relative to its largest."""
    means = points.group_by("step").agg(pl.col(error).mean(), pl.col(alignment).mean()).sort("step")
    for column, colour, line in ((alignment, "#c1440e", "-"), (error, "#4c4c4c", "--")):
        shown = means.drop_nulls(column)
        values = shown[column].to_numpy()
        label = "alignment / its peak" if column == alignment else "error / its start"
        axes.plot(shown["step"], values / np.nanmax(values), line, color=colour, label=label)
    log_steps(axes)
    axes.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    axes.set_ylim(-0.1, 1.05)
    axes.set_title(title)
