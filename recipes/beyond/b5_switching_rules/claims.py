"""B5: from backpropagation to direct feedback in the middle of training, and the other way."""

from collections.abc import Iterator

import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart
from recipes.drawing import RULES, panels
from recipes.findings import Finding, mean_above, mean_below, mean_within

# Schedules: first rule, second rule, colour, line.
_SCHEDULES = (
    ("bp", None, RULES["bp"][1], "-"),
    ("bp", "dfa", RULES["bp"][1], "--"),
    ("dfa", None, RULES["dfa"][1], "-"),
    ("dfa", "bp", RULES["dfa"][1], "--"),
)
_KNOWN = "Bacho & Chu 2024: direct feedback does not go on from what backpropagation has trained"


def decide(frames: Frames) -> list[Finding]:
    """The loss after the change in each direction, accuracy at the end, and alignment."""
    runs = {(first, second): _numbers(frames["curves"], first, second) for first, second, *_ in _SCHEDULES}
    return [*_to_feedback(runs["bp", "dfa"], runs["dfa", None]), *_to_gradient(runs["dfa", "bp"], runs["dfa", None])]


def draw(frames: Frames) -> Figure:
    """Loss, accuracy and alignment against the step, around the change."""
    curves = frames["curves"]
    changed = int(curves["changed_at"][0])
    figure, axes = panels(1, 3)
    shown = curves.filter(pl.col("step") >= changed / 10)
    for axis, column, label in zip(
        axes[0],
        ("train_loss", "test_accuracy", "gradient_alignment"),
        ("training loss", "test accuracy", "gradient alignment of DFA"),
        strict=True,
    ):
        for first, second, colour, line in _SCHEDULES:
            means = _schedule(shown, first, second).group_by("step").agg(pl.col(column).mean()).sort("step")
            name = RULES[first][0] + (f" to {RULES[second][0]}" if second else "")
            axis.plot(means["step"], means[column].cast(pl.Float64), line, color=colour, label=name)
        axis.axvline(changed, color="0.7", linewidth=0.8, zorder=0)
        axis.set_xscale("log")
        axis.set(xlabel="step", ylabel=label)
    axes[0][0].set_yscale("log")
    axes[0][0].legend()
    return figure


def _to_feedback(changed: pl.DataFrame, always: pl.DataFrame) -> Iterator[Finding]:
    yield mean_above(
        "from backpropagation to direct feedback: the training loss rises",
        changed["highest_after"].to_list(),
        1.1,
        what="highest loss after the change / loss at it",
        known=_KNOWN,
    )
    yield mean_below(
        "from backpropagation to direct feedback: test accuracy ends below what it was",
        changed["gained"].to_list(),
        0,
        what="accuracy at the end - at the change",
        known=_KNOWN,
    )
    yield mean_within(
        "what backpropagation has trained is not aligned with the feedback",
        changed["alignment_at"].to_list(),
        -0.1,
        0.1,
        what="GA at the change",
    )
    yield mean_above(
        "afterwards it aligns less than what direct feedback trained from the start",
        apart(always, changed, "alignment_end"),
        0.1,
        what="GA(DFA) - GA(BP to DFA), at the end",
    )


def _to_gradient(changed: pl.DataFrame, always: pl.DataFrame) -> Iterator[Finding]:
    yield mean_below(
        "from direct feedback to backpropagation: the training loss does not rise",
        changed["highest_after"].to_list(),
        1.1,
        what="highest loss after the change / loss at it",
    )
    yield mean_above(
        "from direct feedback to backpropagation: test accuracy ends higher than with direct feedback alone",
        apart(changed, always, "accuracy_end"),
        0,
        what="accuracy(DFA to BP) - accuracy(DFA)",
        known="Bacho & Chu 2024: backpropagation goes on from what direct feedback has trained",
    )
    yield mean_above(
        "backpropagation keeps the alignment that it found",
        [end / at for at, end in changed.select("alignment_at", "alignment_end").rows()],
        0.8,
        what="GA at the end / GA at the change",
    )


def _numbers(curves: pl.DataFrame, first: str, second: str | None) -> pl.DataFrame:
    """One row per seed: at the change of rules and after it."""
    after = pl.col("step") > pl.col("changed_at")
    at = pl.col("step") == pl.col("changed_at")
    rows = _schedule(curves, first, second).sort("seed", "step").group_by("seed", maintain_order=True)
    return rows.agg(
        highest_after=pl.col("train_loss").filter(after).max() / pl.col("train_loss").filter(at).first(),
        gained=pl.col("test_accuracy").last() - pl.col("test_accuracy").filter(at).first(),
        accuracy_end=pl.col("test_accuracy").last(),
        alignment_at=pl.col("gradient_alignment").cast(pl.Float64).filter(at).first(),
        alignment_end=pl.col("gradient_alignment").cast(pl.Float64).last(),
    )


def _schedule(curves: pl.DataFrame, first: str, second: str | None) -> pl.DataFrame:
    to = pl.col("to").is_null() if second is None else pl.col("to") == second
    return curves.filter((pl.col("rule") == first) & to)
