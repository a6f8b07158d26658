"""P19: backpropagation with a perturbed gradient, against DFA of the same cosine."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import RULES, colour_of, panels
from recipes.findings import Finding, mean_above, mean_below

_KINDS = {"random": "drawn anew in every step", "fixed": "the same in every step"}


def decide(frames: Frames) -> list[Finding]:
    """What perturbations do to accuracy; whether DFA learns better or worse than one of its cosine."""
    return [
        finding
        for lr in frames["finals"]["lr"].unique().sort().to_list()
        for finding in _at_rate(frames["finals"].filter(lr=lr), frames["cosines"].filter(lr=lr), lr)
    ]


def draw(frames: Frames) -> Figure:
    """Per rate: training loss and test accuracy against the cosine, DFA as points at its own."""
    finals = frames["finals"]
    rates = finals["lr"].unique().sort().to_list()
    figure, axes = panels(2, len(rates), width=3.9, sharex=True)
    for column, lr in enumerate(rates):
        mine, cosines = finals.filter(lr=lr), frames["cosines"].filter(lr=lr)
        for panel, value in zip(axes[:, column], ("train_loss", "test_accuracy"), strict=True):
            _by_cosine(panel, mine, value)
            points = _dfa(mine, cosines)
            panel.scatter(points["cosine"], points[value], s=14, color=RULES["dfa"][1], label="DFA, one point per seed")
        axes[0, column].set_title(f"lr = {lr:g}")
        axes[0, column].set_yscale("log")
        axes[1, column].set_xlabel("cosine of the update and the gradient")
    axes[0, 0].set_ylabel("training loss")
    axes[1, 0].set_ylabel("test accuracy")
    axes[1, 0].legend()
    return figure


def _at_rate(finals: pl.DataFrame, cosines: pl.DataFrame, lr: float) -> Iterator[Finding]:
    yield from _degrades(finals, lr)
    yield from _beside(finals, cosines, lr)


def _degrades(finals: pl.DataFrame, lr: float) -> Iterator[Finding]:
    largest = max(finals["size"].to_list())
    free = finals.filter(rule="bp", size=0.0)["seed", "test_accuracy"]
    for kind, words in _KINDS.items():
        perturbed = finals.filter(rule="bp", kind=kind, size=largest)["seed", "test_accuracy"]
        both = free.join(perturbed, on="seed", suffix="_perturbed").sort("seed")
        yield mean_above(
            f"A perturbation {largest:g} times the gradient, {words}, costs accuracy (lr = {lr:g})",
            (both["test_accuracy"] - both["test_accuracy_perturbed"]).to_list(),
            0.01,
            what="test accuracy without - with",
        )


def _beside(finals: pl.DataFrame, cosines: pl.DataFrame, lr: float) -> Iterator[Finding]:
    points = _dfa(finals, cosines)
    smallest = (1 + max(finals["size"].to_list()) ** 2) ** -0.5
    beyond = f"compared at {smallest:.2f}, the least cosine trained" if min(points["cosine"]) < smallest else None
    at = f"cosine {np.mean(points['cosine'].to_numpy()):.2f}, lr = {lr:g}"
    what = "log(loss of DFA / loss of BP perturbed)"
    worse = mean_above(
        f"DFA learns worse than BP with a perturbation of the same cosine, {_KINDS['random']} ({at})",
        _log_ratios(finals, points, "random"),
        0,
        what=what,
    )
    better = mean_below(
        f"DFA learns better than BP with a perturbation of the same cosine, {_KINDS['fixed']} ({at})",
        _log_ratios(finals, points, "fixed"),
        0,
        what=what,
    )
    yield from (_beyond(finding, beyond) for finding in (worse, better))


def _beyond(finding: Finding, note: str | None) -> Finding:
    """The least cosine trained is above that of DFA: how BP would learn at the latter is not known."""
    notes = [each for each in (finding.note, note) if each]
    return replace(finding, note="; ".join(notes) or None)


def _dfa(finals: pl.DataFrame, cosines: pl.DataFrame) -> pl.DataFrame:
    """DFA's runs, each with the mean over steps and hidden layers of the cosine of its update with the gradient."""
    means = [
        {"seed": seed, "cosine": _mean_over_steps(run["step"].to_numpy(), run["cosine"].to_numpy())}
        for (seed,), run in cosines.drop_nulls().sort("step").group_by("seed", maintain_order=True)
    ]
    return finals.filter(rule="dfa").join(pl.DataFrame(means), on="seed").sort("seed")


def _mean_over_steps(steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> float:
    """Trace points are not evenly spaced."""
    return float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))


def _log_ratios(finals: pl.DataFrame, points: pl.DataFrame, kind: str) -> list[float]:
    """By seed. BP's loss at DFA's cosine is interpolated between sizes; beyond the largest size, it is that one's."""
    ratios = []
    for point in points.iter_rows(named=True):
        curve = _perturbed(finals.filter(seed=point["seed"]), kind)
        at = np.interp(point["cosine"], curve["cosine"], np.log(curve["train_loss"]))
        ratios.append(float(np.log(point["train_loss"]) - at))
    return ratios


def _perturbed(finals: pl.DataFrame, kind: str) -> pl.DataFrame:
    """BP's runs with this kind of perturbation and without any, from the least cosine 1/sqrt(1 + size^2) up."""
    mine = finals.filter(pl.col("rule") == "bp", (pl.col("kind") == kind) | (pl.col("size") == 0))
    return mine.with_columns(cosine=(1 + pl.col("size") ** 2) ** -0.5).sort("cosine").drop_nulls("train_loss")


def _by_cosine(axes: Any, finals: pl.DataFrame, value: str) -> None:
    for index, (kind, words) in enumerate(_KINDS.items()):
        means = _perturbed(finals, kind).group_by("cosine").agg(pl.col(value).mean()).sort("cosine")
        axes.plot(means["cosine"], means[value], "o-", ms=3, color=colour_of(index, 3), label=f"BP, {words}")
