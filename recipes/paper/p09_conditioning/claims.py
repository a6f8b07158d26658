"""P9: weight alignment against the condition of the alignment matrices, over targets, layers and time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from scipy import stats

from recipes.catalogue import Frames
from recipes.curves import by_seed
from recipes.drawing import colour_of, heat_map, log_steps, panels
from recipes.findings import Finding, all_above, mean_above, mean_within, weakest
from recipes.moments import MOMENTS, at_moments

_RUN = ["alpha", "beta", "seed"]
_LARGEST = 1e6
"""Beyond it the condition of float32 weights, and what their alignment lacks of that of rank 1, are rounding."""
_FEW_TARGETS = 4
_KNOWN = "an independent reimplementation: at step 200, "


def decide(frames: Frames) -> list[Finding]:
    """Alignment follows conditioning; the two corners of the grid; from layer to layer; over time; one output."""
    moments = at_moments(frames["conditions"], _RUN)
    best, worst = _corner(moments, best=True), _corner(moments, best=False)
    return [
        *(_follows(moments.filter(moment=moment), moment) for moment in MOMENTS),
        *_strong(best),
        mean_above(
            "Ill-conditioned targets: weight alignment of the readout falls short on the plateau",
            [1 - value for value in _readout(worst, "plateau")],
            0.2,
            what="1 - WA_L",
            known=f"{_KNOWN}WA_2 to WA_4 are 0.79, 0.72, 0.71 at (0.2, 0.2)",
        ),
        mean_within(
            "On the plateau, the condition is squared from layer to layer: A_2, A_3, A_4 go as M, M^2, M^4",
            _powers(moments.filter(moment="plateau")),
            3.5,
            4.5,
            what="log cond A_4 / log cond A_2",
            known=f"{_KNOWN}cond A_2 to A_4 are 8, 65, 4192 at (0.2, 0.2): 4.0",
        ),
        mean_above(
            "Ill-conditioned targets: the condition of A_L falls at least tenfold while they are memorised",
            _relief(worst),
            1,
            what="log10 of cond A_L, plateau / end",
        ),
        all_above(
            "One output: A_l is a number, and weights align perfectly with any feedback at every depth",
            frames["scalars"]["weight_alignment"].to_list(),
            0.9999,
            what="smallest WA of a run",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """WA against the condition; the grid at half the loss; conditions and WA of the corners over time."""
    rows = frames["conditions"]
    moments, top = at_moments(rows, _RUN), rows["layer"].max()
    figure, axes = panels(2, 2, width=3.9, height=2.9)
    _scatter(axes[0, 0], moments)
    _grid(axes[0, 1], moments.filter(moment="half", layer=top))
    for panel, column in zip(axes[1], ("condition", "weight_alignment"), strict=True):
        for best, line in ((True, "-"), (False, ":")):
            _over_time(panel, _corner(rows, best=best), column, line)
        log_steps(panel)
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_ylim(0.8, 1e10)
    axes[1, 0].set_ylabel("condition of A")
    axes[1, 1].set_ylabel("weight alignment")
    axes[1, 1].set_ylim(0.6, 1.02)
    axes[1, 1].set_title("solid: (1, 1); dotted: (0.2, 0.2)")
    axes[1, 0].legend()
    return figure


def _follows(rows: pl.DataFrame, moment: str) -> Finding:
    """Of the layers, the one in which alignment follows conditioning least."""
    claim = f"The worse the condition of A_l, the less W_l aligns, in every layer, {MOMENTS[moment]}"
    resolved = rows.filter(pl.col("condition") < _LARGEST)
    layers = {
        layer: _correlations(mine) for (layer,), mine in resolved.sort("layer").group_by("layer", maintain_order=True)
    }
    return weakest(
        claim,
        [
            mean_above(
                f"layer {layer}",
                values,
                0.8,
                what="-Spearman's rho(WA_l, log cond A_l) over the grid of a seed, cond A_l < 1e6",
            )
            for layer, values in layers.items()
            if values
        ],
    )


def _correlations(rows: pl.DataFrame) -> list[float]:
    """Minus Spearman's rho of one layer's alignment and condition over the targets that a seed has, by seed: a seed has
    the same inputs, weights and feedback with all targets."""
    return [
        -float(stats.spearmanr(mine["condition"], mine["weight_alignment"]).statistic)
        for _, mine in rows.sort("seed").group_by("seed", maintain_order=True)
        if len(mine) >= _FEW_TARGETS and mine["weight_alignment"].n_unique() > 1
    ]


def _strong(best: pl.DataFrame) -> Iterator[Finding]:
    for moment in ("half", "end"):
        weakest = best.filter(moment=moment).group_by("seed").agg(pl.col("weight_alignment").min()).sort("seed")
        yield mean_above(
            f"Independent targets of equal size (alpha = beta = 1): weights align strongly {MOMENTS[moment]}",
            weakest["weight_alignment"].to_list(),
            0.95,
            what="smallest WA_l of a run",
            known=f"{_KNOWN}WA is 1.00 and cond A_l from 1.01 to 1.06",
        )


def _readout(rows: pl.DataFrame, moment: str, column: str = "weight_alignment") -> list[float]:
    top = rows.filter(moment=moment, layer=rows["layer"].max())
    return top.sort("seed")[column].to_list()


def _powers(rows: pl.DataFrame) -> list[float]:
    """log cond A_4 / log cond A_2, mean over the runs of a seed whose A_4 float32 resolves."""
    by_layer = rows.filter(pl.col("layer").is_in([2, 4])).pivot("layer", index=_RUN, values="condition")
    if not {"2", "4"} <= set(by_layer.columns):
        return []
    resolved = by_layer.drop_nulls().filter(pl.col("4") < _LARGEST)
    return by_seed(resolved.with_columns(power=pl.col("4").log() / pl.col("2").log()), "power")


def _relief(rows: pl.DataFrame) -> list[float]:
    before, after = (np.array(_readout(rows, moment, "condition"), dtype=float) for moment in ("plateau", "end"))
    return list(np.log10(before / after))


def _corner(rows: pl.DataFrame, *, best: bool) -> pl.DataFrame:
    """The best and the worst conditioned targets of the grid."""
    ends = [rows[name].max() if best else rows[name].min() for name in ("alpha", "beta")]
    return rows.filter(alpha=ends[0], beta=ends[1])


def _scatter(axes: Any, moments: pl.DataFrame) -> None:
    layers = moments["layer"].unique().sort().to_list()
    for index, layer in enumerate(layers):
        for moment, marker in (("plateau", "o"), ("end", "+")):
            here = moments.filter(layer=layer, moment=moment).drop_nulls("condition")
            label = f"layer {layer}" if marker == "o" else None
            axes.scatter(
                here["condition"],
                here["weight_alignment"],
                s=8 if marker == "o" else 28,
                color=colour_of(index, len(layers)),
                marker=marker,
                linewidths=0.8,
                label=label,
            )
    condition = np.logspace(0, 10, 200)
    positive = (1 + 1 / condition) / np.sqrt(2 * (1 + condition**-2.0))
    axes.plot(condition, positive, color="#999999", linewidth=0.8, label="positive A of two outputs")
    axes.set_xscale("log")
    axes.set_xlabel("condition of A")
    axes.set_ylabel("weight alignment")
    axes.set_title("dots: plateau, crosses: end")
    axes.legend()


def _grid(axes: Any, rows: pl.DataFrame) -> None:
    means = rows.group_by("alpha", "beta").agg(pl.col("weight_alignment").mean()).sort("alpha")
    table = means.pivot("alpha", index="beta", values="weight_alignment").sort("beta")
    values = table.drop("beta").to_numpy().tolist()
    heat_map(axes, values, table.columns[1:], table["beta"].to_list(), title="WA of the readout at half the loss")
    axes.set_xlabel("alpha")
    axes.set_ylabel("beta")


def _over_time(axes: Any, rows: pl.DataFrame, column: str, line: str) -> None:
    """The median over seeds."""
    means = rows.group_by("layer", "step").agg(pl.col(column).median()).sort("step").drop_nulls()
    layers = means["layer"].unique().sort().to_list()
    for index, layer in enumerate(layers):
        here, colour = means.filter(layer=layer), colour_of(index, len(layers))
        axes.plot(here["step"], here[column], line, color=colour, label=f"layer {layer}" if line == "-" else None)
