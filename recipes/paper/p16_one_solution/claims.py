"""P16: how alike the parameters of different seeds become."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.curves import pseudo_values
from recipes.drawing import RULES, colour_of, log_steps, panels
from recipes.findings import Finding, mean_above, mean_within, undecided

_OWN = "dfa, own feedback"
_LINES = {"bp": RULES["bp"], "dfa": RULES["dfa"], _OWN: ("DFA, own feedback", "#2c7fb8", "-.")}
_KNOWN = {
    "mnist, tanh": "an independent reimplementation (5,000 samples, 3 seeds): 0.42; BP 0.00",
    "mnist, relu": "an independent reimplementation (5,000 samples, 3 seeds): 0.27; BP 0.01",
}
_FEW = 3


def decide(frames: Frames) -> list[Finding]:
    """Per data set and activation: DFA with one feedback, backpropagation, DFA with a feedback for each seed.

    Intervals are of seeds, not of pairs (`curves.pseudo_values`).
    """
    findings: list[Finding] = []
    for (data, activation), mine in frames["pairs"].group_by("data", "activation", maintain_order=True):
        findings += _of_networks(f"{data}, {activation}", mine.filter(layer=0))
    return findings or [undecided("seeds that share their feedback become alike", "no parameters were compared")]


def draw(frames: Frames) -> Figure:
    """Per data set and activation: mean cosine of pairs against the step, and at the end by layer."""
    groups = list(frames["pairs"].group_by("data", "activation", maintain_order=True))
    figure, axes = panels(2, max(1, len(groups)), height=2.4)
    for column, ((data, activation), mine) in zip(axes.T, groups, strict=False):
        for rule in _LINES:
            _grows(column[0], mine.filter(rule=rule, layer=0), rule)
        _by_layer(column[1], mine.filter(rule="dfa"))
        column[0].set_title(f"{data}, {activation}")
    axes[0][0].set_ylabel("cosine of two seeds")
    axes[1][0].set_ylabel("cosine of two seeds, DFA")
    axes[0][0].legend(loc="upper left")
    axes[1][0].legend(loc="upper left")
    return figure


def _of_networks(name: str, pairs: pl.DataFrame) -> Iterator[Finding]:
    ends = {rule: pseudo_values(_at_the_end(pairs.filter(rule=rule))) for rule in _LINES}
    missing = [rule for rule, values in ends.items() if len(values) < _FEW]
    if missing:
        yield undecided(f"{name}: seeds that share their feedback become alike", f"fewer than {_FEW} seeds: {missing}")
        return
    dfa, bp = np.array(ends["dfa"]), np.array(ends["bp"])
    yield mean_above(
        f"{name}: networks of different seeds that share their feedback end up alike",
        dfa.tolist(),
        0.1,
        what="mean cosine, DFA",
        known=_KNOWN.get(name),
    )
    yield mean_within(
        f"{name}: trained by backpropagation, they stay unrelated",
        bp.tolist(),
        -0.05,
        0.05,
        what="mean cosine, BP",
    )
    yield mean_above(
        f"{name}: that is more than ten times what backpropagation gives",
        (dfa - 10 * np.sign(bp.mean()) * bp).tolist() if len(dfa) == len(bp) else [],
        0,
        what="DFA - 10 |BP|",
    )
    yield mean_within(
        f"{name}: with a feedback of its own for every seed, they stay unrelated",
        ends[_OWN],
        -0.05,
        0.05,
        what="mean cosine, DFA with own feedback",
    )
    yield _growth(name, pairs.filter(rule="dfa"))


def _growth(name: str, pairs: pl.DataFrame) -> Finding:
    """From a tenth of the training, the snapshot nearest to it in the logarithm, to its end."""
    steps = pairs["step"].unique().sort().to_numpy()
    early = steps[np.argmin(np.abs(np.log10(np.maximum(steps, 1)) - np.log10(steps[-1] / 10)))]
    first, last = (np.array(pseudo_values(pairs.filter(step=int(step)))) for step in (early, steps[-1]))
    return mean_above(
        f"{name}: they go on growing alike after a tenth of the training",
        (last - first).tolist(),
        0,
        what=f"mean cosine at step {steps[-1]:,} - at step {early:,}",
    )


def _at_the_end(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.filter(pl.col("step") == pl.col("step").max())


def _grows(axes: Axes, pairs: pl.DataFrame, rule: str) -> None:
    label, colour, line = _LINES[rule]
    rows = [(step, *_interval(mine)) for (step,), mine in pairs.sort("step").group_by("step", maintain_order=True)]
    if rows:
        steps, mean, low, high = zip(*rows, strict=True)
        axes.plot(steps, mean, line, color=colour, label=label)
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    log_steps(axes)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)


def _by_layer(axes: Axes, pairs: pl.DataFrame) -> None:
    layers = [layer for layer in pairs["layer"].unique().sort() if layer]
    means = pairs.group_by("layer", "step").agg(pl.col("cosine").mean()).sort("step")
    for index, layer in enumerate(layers):
        mine = means.filter(layer=layer)
        axes.plot(mine["step"], mine["cosine"], color=colour_of(index, len(layers)), label=f"layer {layer}")
    log_steps(axes)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)


def _interval(pairs: pl.DataFrame) -> tuple[float, float, float]:
    """Mean over pairs, and one standard error of it by the jackknife over seeds on either side."""
    values = np.array(pseudo_values(pairs))
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) >= _FEW else 0.0
    mean = float(pairs["cosine"].to_numpy().mean())
    return mean, mean - error, mean + error
