"""B3: direct feedback of low rank, at three scales."""

from collections.abc import Iterator

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart
from recipes.drawing import colour_of, panels
from recipes.findings import Finding, Verdict, mean_above, mean_below, mean_within, undecided

_SCALE = "inv_sqrt_width"
_CLASSES = 10
_WHY_NOT_NINE = (
    "the direction that a drawn matrix of rank 9 is blind to is not the one in which errors add up to zero: errors are "
    "projected onto eight of their nine dimensions"
)


def decide(frames: Frames) -> list[Finding]:
    """What rank 1 costs, what rank 5 does, whether nine dimensions are all; from which rank on more changes nothing."""
    finals = frames["finals"]
    return [*_ranks(finals.filter(scale=_SCALE)), _scales(finals.filter(pl.col("rank").is_null()))]


def draw(frames: Frames) -> Figure:
    """Accuracy and alignment against the rank, at each scale."""
    figure, axes = panels(1, 2)
    for axis, column, label in (
        (axes[0][0], "test_accuracy", "test accuracy"),
        (axes[0][1], "gradient_alignment", "gradient alignment"),
    ):
        _by_rank(axis, frames["finals"], column)
        axis.set_ylabel(label)
    axes[0][0].legend(title="feedback scale", title_fontsize=7.5)
    return figure


def _ranks(finals: pl.DataFrame) -> Iterator[Finding]:
    yield mean_above(
        "feedback of rank 1 costs accuracy",
        _lost(finals, 1, "test_accuracy"),
        0.02,
        what="accuracy(full) - accuracy(rank 1)",
    )
    yield mean_below(
        "feedback of rank 5 costs less than two points of accuracy",
        _lost(finals, 5, "test_accuracy"),
        0.02,
        what="accuracy(full) - accuracy(rank 5)",
        known="Hanut & Kadmon 2025: as many dimensions as the task has are enough, with feedback that adapts",
    )
    yield mean_above(
        "it costs alignment all the same",
        _lost(finals, 5, "gradient_alignment"),
        0.05,
        what="GA(full) - GA(rank 5)",
    )
    claim = "feedback of rank 9 aligns like that of full rank: errors of ten classes add up to zero"
    if finals.filter(rank=_CLASSES - 1).is_empty():
        yield undecided(claim, f"no feedback of rank {_CLASSES - 1} at this size")
    else:
        lost = _lost(finals, _CLASSES - 1, "gradient_alignment")
        yield mean_within(claim, lost, -0.05, 0.05, what="GA(full) - GA(rank 9)", known=_WHY_NOT_NINE)
    yield _saturation(finals)


def _saturation(finals: pl.DataFrame) -> Finding:
    """What rank 5 leaves of the differences between rank 1 and full rank, told with the first ranks that suffice."""
    ranks = [rank for rank in finals["rank"].unique().sort() if rank is not None]
    enough = {
        column: next((str(rank) for rank in ranks if _suffices(finals, rank, column)), "none below full rank")
        for column in ("test_accuracy", "gradient_alignment")
    }
    claim = (
        "low rank costs less of the accuracy than of the alignment (first rank within 0.02 of full: accuracy "
        f"{enough['test_accuracy']}, alignment {enough['gradient_alignment']})"
    )
    shares = [_share_left(finals, column) for column in ("test_accuracy", "gradient_alignment")]
    return mean_above(
        claim,
        [alignment - accuracy for accuracy, alignment in zip(*shares, strict=True)],
        0,
        what="share of the difference between rank 1 and full rank that rank 5 leaves: alignment's - accuracy's",
    )


def _suffices(finals: pl.DataFrame, rank: int, column: str) -> bool:
    return mean_below("", _lost(finals, rank, column), 0.02).verdict is Verdict.HOLDS


def _share_left(finals: pl.DataFrame, column: str) -> list[float]:
    whole = _lost(finals, 1, column)
    return [left / all_ for left, all_ in zip(_lost(finals, 5, column), whole, strict=True)]


def _scales(full: pl.DataFrame) -> Finding:
    ends = full.group_by("seed").agg(range=pl.col("gradient_alignment").max() - pl.col("gradient_alignment").min())
    return mean_below(
        "the scale of the feedback, over a factor of ten at one learning rate, does not change alignment",
        ends.sort("seed")["range"].to_list(),
        0.1,
        what="largest - smallest GA over scales",
        known="smaller feedback trains hidden layers more slowly: at one learning rate, scales differ in time as well",
    )


def _lost(finals: pl.DataFrame, rank: int, column: str) -> list[float]:
    return apart(finals.filter(pl.col("rank").is_null()), finals.filter(rank=rank), column)


def _by_rank(axes: Axes, finals: pl.DataFrame, column: str) -> None:
    scales = finals["scale"].unique(maintain_order=True).to_list()
    for index, scale in enumerate(scales):
        mine = finals.filter(scale=scale).with_columns(pl.col("rank").fill_null(_CLASSES))
        mine = mine.group_by("rank").agg(mean=pl.col(column).mean(), sd=pl.col(column).std()).sort("rank")
        colour = colour_of(index, len(scales))
        axes.errorbar(mine["rank"], mine["mean"], mine["sd"].fill_null(0), color=colour, marker="o", label=scale)
    ranks = [rank for rank in finals["rank"].unique().sort() if rank is not None]
    axes.set_xticks([*ranks, _CLASSES], [*map(str, ranks), "full"])
    axes.set_xlabel("rank of the feedback")
