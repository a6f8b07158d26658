"""P11: alignment over the grid of relative sizes and correlations of two random targets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from recipes.catalogue import Frames
from recipes.choosing import apart
from recipes.curves import by_seed, lost_of_peak
from recipes.drawing import colour_of, heat_map, log_steps, panels
from recipes.findings import Finding, mean_above, mean_within, resampled_above, undecided, weakest

_KNOWN = pl.read_csv(Path(__file__).with_name("known.csv"))
"""Final gradient alignment after 10,000 epochs, decoded from the heat maps of the authors' notebook, +- 0.003."""
Array = npt.NDArray[np.float64]

_CELL = ["activation", "alpha", "beta"]
_ENOUGH_EPOCHS = 3000  # gradient alignment changes by less than 0.01 from here on


def decide(frames: Frames) -> list[Finding]:
    """Corners, rows and columns of the heat maps; the fall of weight alignment; the notebook's numbers."""
    finals, curves = frames["finals"], frames["curves"]
    findings = []
    for (activation,), mine in finals.group_by("activation", maintain_order=True):
        findings += [
            mean_above(
                f"{activation}: gradient alignment is higher for well than for ill conditioned targets",
                _corners(mine),
                0.1,
                what="GA(1, 1) - GA(0.2, 0.2)",
                known=_known_corners(str(activation)),
            ),
            *_rises_with_alpha(str(activation), mine),
            weakest(
                f"{activation}: gradient alignment is higher for independent targets at every alpha",
                [
                    mean_above(f"alpha = {alpha:g}", values, 0, what="GA(alpha, 1) - GA(alpha, 0.2)")
                    for alpha, values in _across_beta(mine)
                ],
            ),
            mean_above(
                f"{activation}: weight alignment peaks, then falls while the targets are memorised (alpha = 1)",
                by_seed(
                    lost_of_peak(curves.filter(activation=activation, alpha=1.0), ["beta", "seed"], "weight_alignment"),
                    "lost",
                ),
                0.05,
                what="(peak - final) / peak",
                known="authors' notebook: 0.11 (tanh), 0.09 (relu), beta = 1",
            ),
            _beside_known(str(activation), mine),
        ]
    return findings


def draw(frames: Frames) -> Figure:
    """Per activation: ours, the notebook's, weight alignment, and weight alignment against the epoch."""
    finals, curves = frames["finals"], frames["curves"]
    activations = finals["activation"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(activations), 4)
    for row, activation in zip(axes, activations, strict=True):
        mine = finals.filter(activation=activation)
        _map(row[0], mine, "gradient_alignment", f"gradient alignment, {activation}")
        _map(row[1], _KNOWN.filter(activation=activation), "gradient_alignment", "the authors' notebook")
        _map(row[2], mine, "weight_alignment", f"weight alignment, {activation}")
        _weight_alignment(row[3], curves.filter(activation=activation))
    return figure


def _corners(finals: pl.DataFrame) -> list[float]:
    best, worst = (_cell(finals, finals[["alpha", "beta"]].max()), _cell(finals, finals[["alpha", "beta"]].min()))
    return [a - b for a, b in zip(best, worst, strict=True)]


def _cell(finals: pl.DataFrame, corner: pl.DataFrame) -> list[float]:
    here = finals.filter(alpha=corner["alpha"].item(), beta=corner["beta"].item()).sort("seed")
    return here["gradient_alignment"].to_list()


def _known_corners(activation: str) -> str:
    known = _KNOWN.filter(activation=activation)
    first, last = (known.filter(alpha=end, beta=end)["gradient_alignment"].item() for end in (0.2, 1.0))
    return f"authors' notebook: {last - first:.2f} ({last:.2f} - {first:.2f})"


def _rises_with_alpha(activation: str, finals: pl.DataFrame) -> Iterator[Finding]:
    rows = finals.filter(pl.col("alpha") <= 0.8).sort("beta", "alpha", "seed")
    for column, name in (("gradient_alignment", "gradient alignment"), ("weight_alignment", "weight alignment")):
        yield weakest(
            f"{activation}: {name} grows with alpha (up to 0.8) at every beta",
            [
                resampled_above(
                    f"beta = {beta:g}",
                    row[column].to_numpy().reshape(row["alpha"].n_unique(), -1),
                    _order,
                    0.9,
                    what="Spearman's rho of a row",
                )
                for (beta,), row in rows.group_by("beta", maintain_order=True)
            ],
        )


def _order(means: Array) -> float:
    """Of the cells of a row, from the smallest alpha up."""
    return float(stats.spearmanr(np.arange(len(means)), means).statistic)


def _across_beta(finals: pl.DataFrame) -> Iterator[tuple[float, list[float]]]:
    """Of every alpha, by seed."""
    for (alpha,), mine in finals.sort("alpha", "seed").group_by("alpha", maintain_order=True):
        high, low = (mine.filter(beta=end) for end in (mine["beta"].max(), mine["beta"].min()))
        yield float(str(alpha)), apart(high, low, "gradient_alignment")


def _beside_known(activation: str, finals: pl.DataFrame) -> Finding:
    claim = f"{activation}: every cell of the heat map is within 0.05 of the authors' notebook"
    epochs = finals["epochs"].max()
    assert isinstance(epochs, int)
    if epochs < _ENOUGH_EPOCHS:
        return undecided(claim, f"trained for {epochs:,} epochs; the notebook's numbers are of 10,000")
    both = finals.group_by(_CELL).mean().join(_KNOWN, on=_CELL, suffix="_known")
    apart = (both["gradient_alignment"] - both["gradient_alignment_known"]).to_numpy()
    rms = float(np.sqrt((apart**2).mean()))
    return weakest(
        f"{claim}; root mean square {rms:.3f} over {len(apart)} cells",
        [
            mean_within(
                f"alpha = {cell['alpha']:g}, beta = {cell['beta']:g}",
                _differences(finals, cell),
                -0.05,
                0.05,
                what="mean - the notebook's",
            )
            for cell in both.sort("alpha", "beta").iter_rows(named=True)
        ],
        strength=lambda part: -max(abs(part.low or 0), abs(part.high or 0)),
    )


def _differences(finals: pl.DataFrame, cell: dict[str, Any]) -> list[float]:
    here = finals.filter(alpha=cell["alpha"], beta=cell["beta"]).sort("seed")
    apart: list[float] = (here["gradient_alignment"] - cell["gradient_alignment_known"]).to_list()
    return apart


def _map(axes: Axes, rows: pl.DataFrame, column: str, title: str) -> None:
    table = (
        rows.group_by("alpha", "beta")
        .agg(pl.col(column).mean())
        .sort("alpha")
        .pivot("alpha", index="beta", values=column)
    )
    table = table.sort("beta")
    values = table.drop("beta").to_numpy()
    heat_map(axes, values.tolist(), table.columns[1:], table["beta"].to_list(), title=title)
    axes.set_xlabel("alpha")
    axes.set_ylabel("beta")


def _weight_alignment(axes: Axes, curves: pl.DataFrame) -> None:
    means = curves.group_by("alpha", "beta", "step").agg(pl.col("weight_alignment").mean()).sort("step")
    alphas = sorted(means["alpha"].unique())
    for beta, line in ((means["beta"].max(), "-"), (means["beta"].min(), ":")):
        for index, alpha in enumerate(alphas):
            run = means.filter(alpha=alpha, beta=beta)
            label = f"alpha {alpha:g}" if line == "-" else None
            axes.plot(run["step"], run["weight_alignment"], line, color=colour_of(index, len(alphas)), label=label)
    log_steps(axes)
    axes.set_title("solid: highest beta, dotted: lowest")
    axes.set_ylabel("weight alignment")
    axes.legend()
