"""B4: alignment of the readout of two-layer networks, by width and by weight decay."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart
from recipes.drawing import panels
from recipes.findings import Finding, mean_above, mean_below, rank_correlation_above, undecided

_ALIGNED = 0.5


def decide(frames: Frames) -> list[Finding]:
    """The wide network without decay, what decay does to it, and what that costs."""
    finals = frames["finals"]
    widths, decays = finals.filter(pl.col("without_decay")), finals.filter(~pl.col("without_decay"))
    return [*_wide(widths), *_decayed(decays)]


def draw(frames: Frames) -> Figure:
    """Weight alignment against the width; weight alignment and accuracy against the decay."""
    finals = frames["finals"]
    figure, axes = panels(1, 3)
    widths, decays = finals.filter(pl.col("without_decay")), finals.filter(~pl.col("without_decay"))
    left, middle, right = axes[0]
    for axis, runs, x, column in (
        (left, widths, "width", "weight_alignment"),
        (middle, decays, "decay", "weight_alignment"),
        (right, decays, "decay", "test_accuracy"),
        (right, decays, "decay", "train_accuracy"),
    ):
        mine = runs.group_by(x).agg(mean=pl.col(column).mean(), sd=pl.col(column).std()).sort(x)
        label = column.removesuffix("_accuracy") if axis is right else None
        axis.errorbar(mine[x], mine["mean"], mine["sd"].fill_null(0), marker="o", label=label)
    left.set_xscale("log", base=2)
    left.set(xlabel="hidden units, without decay", ylabel="weight alignment of the readout", ylim=(0, 1))
    wide = int(decays["width"][0])
    for axis in (middle, right):
        axis.set_xscale("symlog", linthresh=0.01)
        axis.set_xlabel(f"weight decay, {wide} hidden units")
        axis.set_xlim(left=0)
    middle.set_ylim(0, 1)
    right.set_ylabel("accuracy")
    right.legend()
    return figure


def _wide(widths: pl.DataFrame) -> Iterator[Finding]:
    wide, narrow = (widths.filter(width=end) for end in (widths["width"].max(), widths["width"].min()))
    yield mean_above(
        f"without decay, a network of {wide['width'][0]} hidden units fits its training samples",
        wide["train_accuracy"].to_list(),
        0.9,
        what="training accuracy",
    )
    yield mean_below(
        "it does so without aligning its readout with the feedback",
        wide["weight_alignment"].to_list(),
        0.2,
        what="weight alignment",
        known="Song, Xu & Lafferty 2021: no alignment in the limit of many hidden units",
    )
    yield mean_above(
        f"a network of {narrow['width'][0]} hidden units aligns without decay",
        apart(narrow, wide, "weight_alignment"),
        0.2,
        what="WA(narrow) - WA(wide)",
    )
    yield rank_correlation_above(
        "the wider, the less a network aligns",
        (-widths["width"]).to_list(),
        widths["weight_alignment"].to_list(),
        0.7,
        what="Spearman's rho of alignment and narrowness",
    )


def _decayed(decays: pl.DataFrame) -> Iterator[Finding]:
    yield rank_correlation_above(
        "the stronger the decay, the better the wide network aligns",
        decays["decay"].to_list(),
        decays["weight_alignment"].to_list(),
        0.7,
        what="Spearman's rho of alignment and decay",
    )
    plain, strongest = decays.filter(decay=0), decays.filter(pl.col("decay") == pl.col("decay").max())
    yield mean_above(
        "decay makes it align",
        apart(strongest, plain, "weight_alignment"),
        0.3,
        what="WA(strongest decay) - WA(none)",
        known="Song, Xu & Lafferty 2021: with regularisation the readout aligns",
    )
    claim = "that costs less than two points of test accuracy"
    aligned = [
        (decay, runs)
        for (decay,), runs in decays.group_by("decay", maintain_order=True)
        if np.mean(runs["weight_alignment"].to_numpy()) > _ALIGNED
    ]
    if not aligned:
        yield undecided(claim, f"no decay brings the mean weight alignment above {_ALIGNED}")
        return
    decay, runs = min(aligned, key=lambda pair: float(str(pair[0])))
    yield mean_below(
        f"{claim} (decay {decay:g}, the least of those with a weight alignment above {_ALIGNED})",
        apart(plain, runs, "test_accuracy"),
        0.02,
        what="accuracy(no decay) - accuracy(this decay)",
    )
