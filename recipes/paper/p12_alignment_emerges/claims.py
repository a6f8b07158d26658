"""P12: alignment of every hidden layer before and after training, and what DFA reaches beside backpropagation."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.drawing import RULES, band, log_steps, panels
from recipes.findings import Finding, Verdict, mean_above, mean_below, mean_within, weakest

_NETWORK = ("data", "activation", "lr")
_RATE = 1e-3
"""The authors' learning rate, which names leave out."""
_UNSTABLE = "cifar10, relu:"
_KNOWN = {
    "mnist, tanh": "an independent reimplementation (5,000 samples, 60 epochs, one seed): 0.79, 0.75, 0.76",
    "mnist, relu": "an independent reimplementation (5,000 samples, 60 epochs, one seed): 0.72, 0.69, 0.68",
}


def decide(frames: Frames) -> list[Finding]:
    """Per data set and activation: from where alignment starts, where it ends, and the training error."""
    layers, ends = frames["layers"], frames["ends"]
    findings: list[Finding] = []
    for network, mine in layers.group_by(_NETWORK, maintain_order=True):
        name = _name(network)
        findings += [
            weakest(
                f"{name}: before training, no hidden layer is aligned",
                [
                    mean_within(f"layer {layer}", values, -0.1, 0.1, what="GA_l(0)")
                    for layer, values in _by_layer(mine.filter(step=0))
                ],
                strength=lambda part: -max(abs(part.low or 0), abs(part.high or 0)),
            ),
            weakest(
                f"{name}: at the end, every hidden layer is aligned",
                [
                    mean_above(f"layer {layer}", values, 0.4, what="final GA_l", known=_KNOWN.get(name))
                    for layer, values in _by_layer(mine.filter(pl.col("step") > 0))
                ],
            ),
            mean_below(
                f"{name}: DFA's training error is below twice that of backpropagation and 5 points",
                _beyond(_of(ends, network)),
                0.05,
                what="error of DFA - 2 x error of BP",
            ),
        ]
    return [_noted(finding) for finding in findings]


def draw(frames: Frames) -> Figure:
    """A row per data set and activation: training error, gradient alignment, weight alignment."""
    curves = frames["curves"]
    groups = list(curves.group_by(_NETWORK, maintain_order=True))
    figure, axes = panels(len(groups), 3)
    for row, (network, mine) in zip(axes, groups, strict=True):
        for rule in ("bp", "dfa"):
            _curve(row[0], mine.filter(rule=rule), "train_error", rule)
        for panel, column in zip(row[1:], ("gradient_alignment", "weight_alignment"), strict=True):
            _curve(panel, mine.filter(rule="dfa"), column, "dfa")
            panel.set_ylim(-0.1, 1)
            panel.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        row[0].set_ylabel("training error")
        row[1].set_ylabel("gradient alignment")
        row[2].set_ylabel("weight alignment")
        row[0].set_title(_name(network))
        row[0].set_ylim(0, 1)
        row[0].legend()
    return figure


def _noted(finding: Finding) -> Finding:
    if finding.verdict is Verdict.HOLDS or not finding.claim.startswith(_UNSTABLE):
        return finding
    why = "at this learning rate these networks are at the edge of stability: see the lower one"
    return replace(finding, note=f"{finding.note}; {why}" if finding.note else why)


def _name(network: tuple[object, ...]) -> str:
    data, activation, lr = network
    return f"{data}, {activation}" if lr == _RATE else f"{data}, {activation}, rate {lr}"


def _of(rows: pl.DataFrame, network: tuple[object, ...]) -> pl.DataFrame:
    return rows.filter(**dict(zip(_NETWORK, network, strict=True)))


def _by_layer(rows: pl.DataFrame) -> Iterator[tuple[int, list[float]]]:
    for (layer,), mine in rows.sort("layer", "seed").group_by("layer", maintain_order=True):
        yield int(str(layer)), mine["gradient_alignment"].to_list()


def _beyond(ends: pl.DataFrame) -> list[float]:
    """Error of DFA minus twice that of backpropagation, by seed."""
    dfa, bp = (ends.filter(rule=rule).select("seed", "train_error") for rule in ("dfa", "bp"))
    both = dfa.join(bp, on="seed", suffix="_bp").sort("seed")
    return (both["train_error"] - 2 * both["train_error_bp"]).to_list()


def _curve(axes: Axes, rows: pl.DataFrame, column: str, rule: str) -> None:
    label, colour, line = RULES[rule]
    shown = rows.drop_nulls(column).sort("step")
    step, mean, sd = (shown[name].to_list() for name in ("step", column, f"{column}_sd"))
    band(axes, step, mean, sd, color=colour, linestyle=line, label=label)
    log_steps(axes)
