"""P3: the signs of the readout, by feedback and by initial weights."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import RULES, panels
from recipes.findings import Finding, all_above, all_below, share_above, weakest

_LEARNED = 1e-4
_MANY = 40
"""Runs from which on shares of pairs say something."""
_RUN = ["init_scale", "seed"]
_NAMES = {"theory": "theory", "committee": "simulation"}


def decide(frames: Frames) -> list[Finding]:
    """Of the theory over many seeds, then of simulations."""
    readouts = frames["readouts"]
    return [
        finding for model in ("theory", "committee") for finding in _of(_NAMES[model], readouts.filter(model=model))
    ]


def draw(frames: Frames) -> Figure:
    """Final readouts of every seed in their plane, under each rule."""
    readouts = frames["readouts"]
    figure, axes = panels(1, 3)
    for panel, rule in zip(axes[0], ("dfa", "bp"), strict=False):
        _plane(panel, readouts, rule)
    _cosines(axes[0][2], readouts.filter(model="theory"))
    return figure


def _of(name: str, readouts: pl.DataFrame) -> Iterator[Finding]:
    dfa, bp = readouts.filter(rule="dfa"), readouts.filter(rule="bp")
    learned = bp.filter(pl.col("generalisation_error") < _LEARNED)
    yield all_below(
        f"DFA, {name}: every run finds one of the solutions",
        _units(dfa, "generalisation_error")[:, 0],
        _LEARNED,
        what="largest generalisation error",
    )
    yield all_above(
        f"DFA, {name}: the readout has the signs of the feedback in every run",
        (_units(dfa, "final") * np.sign(_units(dfa, "feedback"))).min(1),
        0,
        what="smallest v_k sign(F_k)",
        known="an independent reimplementation: 3 of 3 seeds",
    )
    magnitudes = np.abs(_units(dfa, "final"))
    yield all_below(
        f"DFA, {name}: magnitudes of the readout differ by less than 5 % from their mean over seeds",
        np.abs(magnitudes / magnitudes.mean(0) - 1).max(1),
        0.05,
        what="largest relative difference",
    )
    yield all_above(
        f"DFA, {name}: all seeds find the same readout",
        _cosines_with_the_first(dfa),
        0.99,
        what="smallest cosine with that of the first seed",
    )
    yield weakest(
        f"BP, {name}: the readout keeps its initial signs in most runs ({_runs(bp) - _runs(learned)} of {_runs(bp)} "
        f"have not come to an error of {_LEARNED:g}: left out)",
        [_kept(float(str(scale)), mine) for (scale,), mine in learned.group_by("init_scale", maintain_order=True)],
    )
    if _runs(learned) < _MANY:
        return
    opposite = _independent_cosines(learned) < -0.5
    yield share_above(
        f"BP, {name}: two seeds may find opposite readouts (cosine below -0.5)",
        int(opposite.sum()),
        len(opposite),
        0.1,
        what="share of disjoint pairs",
        known="independent random signs: 0.25",
    )


def _kept(scale: float, learned: pl.DataFrame) -> Finding:
    """At one size of initial weights: those of another are the same ones, scaled."""
    kept = (np.sign(_units(learned, "final")) == np.sign(_units(learned, "initial"))).all(1)
    return share_above(
        f"initial weights of {scale:g}",
        int(kept.sum()),
        len(kept),
        0.5,
        known="an independent reimplementation: all but runs whose signs cross zero early",
    )


def _units(readouts: pl.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """(runs, K)."""
    runs = readouts.sort(*_RUN, "unit").group_by(_RUN, maintain_order=True).agg(pl.col(column))
    return np.array(runs[column].to_list(), dtype=np.float64).reshape(len(runs), -1)


def _runs(readouts: pl.DataFrame) -> int:
    return readouts.select(_RUN).n_unique()


def _directions(readouts: pl.DataFrame) -> npt.NDArray[np.float64]:
    final = _units(readouts, "final")
    directions: npt.NDArray[np.float64] = final / np.linalg.norm(final, axis=1, keepdims=True)
    return directions


def _cosines_with_the_first(readouts: pl.DataFrame) -> npt.NDArray[np.float64]:
    directions = _directions(readouts)
    cosines: npt.NDArray[np.float64] = directions[1:] @ directions[0]
    return cosines


def _independent_cosines(readouts: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Of pairs of seeds that share none, at the smallest initial weights: those of another size are no other seeds."""
    directions = _directions(readouts.filter(pl.col("init_scale") == pl.col("init_scale").min()))
    even = len(directions) // 2 * 2
    cosines: npt.NDArray[np.float64] = (directions[:even:2] * directions[1:even:2]).sum(1)
    return cosines


def _plane(axes: Axes, readouts: pl.DataFrame, rule: str) -> None:
    label, colour, _ = RULES[rule]
    for model, marker, size in (("theory", "o", 14), ("committee", "x", 22)):
        final = _units(readouts.filter(model=model, rule=rule), "final")
        # Many runs end at one point: a little noise shows how many.
        spread = final + np.random.default_rng(0).normal(0, 0.05, final.shape)
        axes.scatter(
            spread[:, 0],
            spread[:, 1],
            marker=marker,
            s=size,
            color=colour,
            alpha=0.5,
            linewidth=0.7,
            label=_NAMES[model],
        )
    F = _units(readouts.filter(rule="dfa", model="theory"), "feedback")[0]
    axes.annotate("", F, (0, 0), arrowprops={"arrowstyle": "->", "color": "black"})
    axes.annotate("F", F, xytext=(3, 3), textcoords="offset points")
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.axvline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 2.1), xlabel="$v_1$ at the end", ylabel="$v_2$ at the end", title=label)
    axes.legend(loc="upper center", ncols=2)


def _cosines(axes: Axes, readouts: pl.DataFrame) -> None:
    smallest = readouts.filter(pl.col("init_scale") == pl.col("init_scale").min())
    for rule in ("dfa", "bp"):
        directions = _directions(smallest.filter(rule=rule))
        pairs = (directions @ directions.T)[np.triu_indices(len(directions), 1)]
        label, colour, _ = RULES[rule]
        axes.hist(pairs, bins=np.linspace(-1, 1, 21).tolist(), density=True, color=colour, alpha=0.6, label=label)
    axes.set_yscale("log")
    axes.set_title("theory, all pairs of seeds")
    axes.set_xlabel("cosine of their readouts")
    axes.set_ylabel("density of pairs")
    axes.legend(loc="upper left")
