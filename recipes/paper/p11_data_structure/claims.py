"""P11: alignment over the grid of relative sizes and correlations of two random targets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from recipes.catalogue import Frames
from recipes.drawing import colour_of, heat_map, log_steps, panels
from recipes.findings import Finding, all_above, all_below, mean_above, undecided

_KNOWN = pl.read_csv(Path(__file__).with_name("known.csv"))
"""Final gradient alignment after 10,000 epochs, decoded from the heat maps of the authors' notebook, +- 0.003."""
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
            mean_above(
                f"{activation}: gradient alignment is higher for independent targets at every alpha",
                _across_beta(mine),
                0,
                what="GA(alpha, 1) - GA(alpha, 0.2)",
            ),
            mean_above(
                f"{activation}: weight alignment peaks, then falls while the targets are memorised (alpha = 1)",
                _falls(curves.filter(activation=activation, alpha=1.0)),
                0.05,
                what="(peak - final) / peak",
                known="notebook: 0.11 (tanh), 0.09 (relu), beta = 1",
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
    return f"notebook: {last - first:.2f} ({last:.2f} - {first:.2f})"


def _rises_with_alpha(activation: str, finals: pl.DataFrame) -> Iterator[Finding]:
    means = finals.filter(pl.col("alpha") <= 0.8).group_by(_CELL).mean().sort("beta", "alpha")
    for column, name in (("gradient_alignment", "gradient alignment"), ("weight_alignment", "weight alignment")):
        rhos = [
            float(stats.spearmanr(row["alpha"], row[column]).statistic)
            for _, row in means.group_by("beta", maintain_order=True)
        ]
        yield all_above(
            f"{activation}: {name} grows with alpha (up to 0.8) at every beta",
            rhos,
            0.9,
            what="smallest Spearman's rho of a row",
        )


def _across_beta(finals: pl.DataFrame) -> list[float]:
    ends = finals["beta"].min(), finals["beta"].max()
    low, high = (finals.filter(beta=end).sort("alpha", "seed") for end in ends)
    return (high["gradient_alignment"] - low["gradient_alignment"]).to_list()


def _falls(curves: pl.DataFrame) -> list[float]:
    runs = curves.sort("step").group_by("beta", "seed", maintain_order=True)
    ends = runs.agg(peak=pl.col("weight_alignment").max(), final=pl.col("weight_alignment").last())
    return ((ends["peak"] - ends["final"]) / ends["peak"]).to_list()


def _beside_known(activation: str, finals: pl.DataFrame) -> Finding:
    claim = f"{activation}: every cell of the heat map is within 0.05 of the authors' notebook"
    epochs = finals["epochs"].max()
    assert isinstance(epochs, int)
    if epochs < _ENOUGH_EPOCHS:
        return undecided(claim, f"trained for {epochs:,} epochs; the notebook's numbers are of 10,000")
    both = finals.group_by(_CELL).mean().join(_KNOWN, on=_CELL, suffix="_known")
    apart = (both["gradient_alignment"] - both["gradient_alignment_known"]).to_numpy()
    rms = float(np.sqrt((apart**2).mean()))
    return all_below(
        f"{claim}; root mean square {rms:.3f} over {len(apart)} cells",
        np.abs(apart),
        0.05,
        what="largest difference",
    )


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
