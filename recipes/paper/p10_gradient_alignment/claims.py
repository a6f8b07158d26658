"""P10: gradient alignment of a layer against the weight alignment of all layers above it."""

from typing import Any

import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import RULES, colour_of, log_steps, panels
from recipes.findings import Finding, all_above, mean_above
from recipes.moments import MOMENTS, at_moments

_RUN = ["alpha", "beta", "seed"]
_STRONG = 0.99


def decide(frames: Frames) -> list[Finding]:
    """Strong weight alignment is enough; it is not necessary; what is left at the end."""
    rows = _with_weakest(frames["alignments"])
    strong = rows.filter(pl.col("weakest") > _STRONG)
    moments = at_moments(rows, _RUN)
    return [
        all_above(
            f"Wherever all weights above a layer align strongly (WA > {_STRONG}), its signal is the gradient",
            strong.group_by(_RUN).agg(pl.col("gradient_alignment").min())["gradient_alignment"].to_list(),
            0.95,
            what="smallest GA_l of a run, over such layers and steps",
        ),
        mean_above(
            "At the end, gradients align better for well than for ill conditioned targets",
            _difference(moments, "end"),
            0.1,
            what="GA_1(1, 1) - GA_1(0.2, 0.2)",
        ),
        mean_above(
            "It is not necessary: on the plateau, gradients align better for ill conditioned targets, whose errors"
            " point one way, though weights align less",
            [-value for value in _difference(moments, "plateau")],
            0,
            what="GA_1(0.2, 0.2) - GA_1(1, 1)",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """GA against the weakest WA above at three moments; GA_1 and the weakest WA of the corners over time."""
    rows = _with_weakest(frames["alignments"])
    moments = at_moments(rows, _RUN)
    figure, axes = panels(1, 3)
    for index, (moment, words) in enumerate(MOMENTS.items()):
        here = moments.filter(moment=moment).drop_nulls(["weakest", "gradient_alignment"])
        axes[0, 0].scatter(
            here["weakest"], here["gradient_alignment"], s=6, color=colour_of(index, len(MOMENTS)), label=words
        )
    axes[0, 0].axvline(_STRONG, color="#999999", linewidth=0.8, linestyle=":")
    axes[0, 0].set_xlabel("weakest weight alignment above the layer")
    axes[0, 0].set_ylabel("gradient alignment of the layer")
    axes[0, 0].legend()
    targets = rows.select("alpha", "beta").rows()
    for panel, (alpha, beta) in zip(axes[0, 1:], (max(targets), min(targets)), strict=True):
        _over_time(panel, rows.filter(alpha=alpha, beta=beta, layer=1))
        panel.set_title(f"layer 1, alpha = {alpha:g}, beta = {beta:g}")
    axes[0, 1].legend()
    return figure


def _with_weakest(rows: pl.DataFrame) -> pl.DataFrame:
    """`weakest`: the least WA of all layers above; null where one of them has none."""
    above = rows.sort("layer", descending=True).with_columns(
        weakest=pl.col("weight_alignment").cum_min().shift(1).over(*_RUN, "step"),
        missing=pl.col("weight_alignment").is_null().cast(pl.Int64).cum_sum().shift(1).over(*_RUN, "step"),
    )
    return above.with_columns(weakest=pl.when(pl.col("missing") == 0).then("weakest")).drop("missing")


def _difference(moments: pl.DataFrame, moment: str) -> list[float]:
    """GA_1 of the best conditioned targets minus that of the worst, by seed."""
    first = moments.filter(moment=moment, layer=1).sort("seed")
    best = first.filter(alpha=first["alpha"].max(), beta=first["beta"].max())
    worst = first.filter(alpha=first["alpha"].min(), beta=first["beta"].min())
    both = best.join(worst, on="seed", suffix="_worst")
    return (both["gradient_alignment"] - both["gradient_alignment_worst"]).to_list()


def _over_time(axes: Any, rows: pl.DataFrame) -> None:
    """Medians over seeds, with the loss as a share of its initial value."""
    share = rows.sort("step").with_columns(left=pl.col("train_loss") / pl.col("train_loss").first().over("seed"))
    curves = {
        "left": ("loss / initial loss", ":"),
        "weakest": ("weakest WA above", "--"),
        "gradient_alignment": ("GA", "-"),
    }
    for column, (label, line) in curves.items():
        medians = share.group_by("step").agg(pl.col(column).median()).sort("step").drop_nulls()
        axes.plot(medians["step"], medians[column], line, color=RULES["dfa"][1], label=label)
    axes.set_ylim(-0.02, 1.05)
    log_steps(axes)
