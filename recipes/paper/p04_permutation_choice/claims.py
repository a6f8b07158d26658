"""P4: which unit takes the larger readout weight."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import RULES, panels
from recipes.findings import Finding, all_above, share_above, share_within

_NAMES = {"theory": "theory", "committee": "simulation"}


def decide(frames: Frames) -> list[Finding]:
    """Of the theory over many seeds, then of simulations."""
    readouts = frames["readouts"]
    return [finding for model in _NAMES for finding in _of(_NAMES[model], readouts.filter(model=model))]


def draw(frames: Frames) -> Figure:
    """The readout of the unit of smaller feedback against that of larger, under each rule."""
    readouts = frames["readouts"]
    figure, axes = panels(1, 2)
    for panel, rule in zip(axes[0], ("dfa", "bp"), strict=True):
        label, colour, _ = RULES[rule]
        for model, marker in (("theory", "o"), ("committee", "x")):
            runs = readouts.filter(rule=rule, model=model)
            if runs.is_empty():
                continue
            weights = np.abs(_by_feedback(runs, "final"))
            panel.scatter(
                weights[:, 1], weights[:, 0], marker=marker, s=18, color=colour, alpha=0.5, label=_NAMES[model]
            )
        ends = [0, 2]
        panel.plot(ends, ends, ":", color="black", linewidth=1)
        panel.set(xlim=ends, ylim=ends, title=label)
        panel.set_xlabel("|v| of the unit of larger feedback")
        panel.set_ylabel("|v| of the unit of smaller feedback")
        panel.legend(loc="upper right")
    return figure


def _of(name: str, readouts: pl.DataFrame) -> Iterator[Finding]:
    dfa = _by_feedback(readouts.filter(rule="dfa"), "final")
    chosen = np.abs(dfa[:, 1]) > np.abs(dfa[:, 0])
    yield share_above(
        f"DFA, {name}: the unit of larger feedback takes the larger readout weight",
        int(chosen.sum()),
        len(chosen),
        0.8,
        known="an independent reimplementation: 5 of 5 seeds at t = 1500",
    )
    yield all_above(
        f"DFA, {name}: the readout has the signs of the feedback in every run",
        dfa.min(1),
        0,
        what="smallest v_k (F > 0)",
    )
    if name == "theory":
        bp = _by_feedback(readouts.filter(rule="bp"), "final")
        yield _control(bp)


def _control(bp: npt.NDArray[np.float64]) -> Finding:
    control = np.abs(bp[:, 1]) > np.abs(bp[:, 0])
    return share_within(
        "BP, theory: either unit takes the larger readout weight",
        int(control.sum()),
        len(control),
        0.3,
        0.7,
        known="by symmetry: 0.5",
    )


def _by_feedback(readouts: pl.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """(runs, K), the units of each run in increasing order of |F_k|."""
    ordered = readouts.sort("seed", pl.col("feedback").abs()).group_by("seed", maintain_order=True).agg(pl.col(column))
    return np.array(ordered[column].to_list(), dtype=np.float64).reshape(len(ordered), -1)
