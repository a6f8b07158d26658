"""B2: similarity of the solutions of different seeds that share their feedback, their initial weights, both or none."""

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.curves import pseudo_values
from recipes.drawing import log_steps, panels
from recipes.findings import Finding, mean_above, mean_below, mean_within, undecided

# What seeds share: (rule, same weights, same feedback), its name, colour and line.
_SHARED = {
    "both": (("dfa", True, True), "DFA: weights and feedback", "#2c7fb8", "-"),
    "feedback": (("dfa", False, True), "DFA: feedback", "#c1440e", "-"),
    "weights": (("dfa", True, False), "DFA: initial weights", "#c1440e", "-."),
    "nothing": (("dfa", False, False), "DFA: nothing", "#c1440e", ":"),
    "bp, weights": (("bp", True, False), "BP: initial weights", "#4c4c4c", "-."),
    "bp, nothing": (("bp", False, False), "BP: nothing", "#4c4c4c", ":"),
}
_FEW = 3


def decide(frames: Frames) -> list[Finding]:
    """Similarity at the end of training. Intervals are of seeds, not of pairs (`curves.pseudo_values`)."""
    ends = {name: pseudo_values(_last(_of(frames["pairs"], name))) for name in _SHARED}
    if missing := [name for name, values in ends.items() if len(values) < _FEW]:
        return [undecided("the feedback makes solutions alike", f"too few seeds are compared that share {missing}")]
    feedback, weights, bp = (np.array(ends[name]) for name in ("feedback", "weights", "bp, weights"))
    return [
        mean_above(
            "networks that share nothing but the feedback end up alike",
            feedback,
            0.1,
            what="mean cosine, shared feedback",
            known="an independent reimplementation (P16's set-up, 3 seeds): 0.42",
        ),
        mean_within(
            "networks that share neither feedback nor initial weights do not",
            ends["nothing"],
            -0.05,
            0.05,
            what="mean cosine, nothing shared",
        ),
        mean_below(
            "different feedback drives networks apart that began with the same weights (at a cosine of 1)",
            weights,
            0.5,
            what="mean cosine, shared initial weights",
        ),
        mean_above(
            "at the end the feedback makes for more similarity than the initial weights do",
            feedback - weights,
            0,
            what="cosine(shared feedback) - cosine(shared initial weights)",
        ),
        mean_above(
            "backpropagation keeps more of the initial weights than direct feedback does",
            bp - weights,
            0,
            what="cosine(BP) - cosine(DFA), shared initial weights",
        ),
    ]


def draw(frames: Frames) -> Figure:
    """Mean cosine of pairs of seeds against the step."""
    figure, axes = panels(1, 1, width=4.6, height=3.0)
    [[axis]] = axes
    for name, (_, label, colour, line) in _SHARED.items():
        means = _of(frames["pairs"], name).group_by("step").agg(pl.col("cosine").mean()).sort("step")
        axis.plot(means["step"], means["cosine"], line, color=colour, label=label)
    axis.set_ylabel("cosine of the parameters of two seeds")
    log_steps(axis)
    axis.legend(title="seeds share", loc="center left", title_fontsize=7.5)
    return figure


def _of(pairs: pl.DataFrame, name: str) -> pl.DataFrame:
    rule, weights, feedback = _SHARED[name][0]
    return pairs.filter(rule=rule, same_weights=weights, same_feedback=feedback)


def _last(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.filter(pl.col("step") == pl.col("step").max())
