"""P17: convolutions and a fully connected network of equal depth, over scales of the feedback."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recipes.catalogue import Frames
from recipes.choosing import apart, at_its_best
from recipes.drawing import colour_of, panels
from recipes.findings import Finding, all_below, mean_above, mean_below, mean_within, undecided

_AUTHORS = "unit_rows"
_COLOURED = "cifar10"
_REPEATED = "0.07"
"""The scale at which feedback repeated over positions is compared."""


def decide(frames: Frames) -> list[Finding]:
    """Per data set: alignment at each scale, what the authors' scale trains, and, in colour, the cost in accuracy."""
    findings: list[Finding] = []
    finals, layers = frames["finals"], frames["layers"]
    for (data,), mine in layers.group_by("data", maintain_order=True):
        findings += _alignment(str(data), mine)
        findings += _accuracy(str(data), finals.filter(data=data))
    return findings + _cost(finals.filter(data=_COLOURED))


def draw(frames: Frames) -> Figure:
    """Per data set: gradient alignment by layer, at each scale, and test accuracy at each scale."""
    finals, layers = frames["finals"], frames["layers"]
    names = layers["data"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(names), 3)
    for row, data in zip(axes, names, strict=True):
        for axis, model, title in ((row[0], "mlp", "fully connected"), (row[1], "cnn", "convolutions")):
            _by_layer(axis, layers.filter(data=data, model=model, distribution="normal"))
            axis.set_title(f"{data}: {title}")
        row[1].legend(title="feedback scale", loc="upper left", title_fontsize=7.5)
        _by_scale(row[2], finals.filter(data=data))
        row[2].set_title(f"{data}: test accuracy")
    return figure


def _alignment(data: str, layers: pl.DataFrame) -> Iterator[Finding]:
    plain = layers.filter(distribution="normal")
    convolutions = plain.filter(model="cnn")
    for (scale,), mine in convolutions.group_by("scale", maintain_order=True):
        both = mine.join(plain.filter(model="mlp", scale=scale), on=["seed", "layer"], suffix="_fc")
        margin = both.with_columns(margin=pl.col("gradient_alignment_fc") / 2 - pl.col("gradient_alignment"))
        closest = margin.group_by("layer").agg(pl.col("margin").mean()).sort("margin")["layer"][0]
        yield mean_above(
            f"{data}, feedback scale {scale}: every convolution aligns less than half as well as the fully connected "
            f"layer in its place (the closest: layer {closest})",
            margin.group_by("seed").agg(pl.col("margin").min()).sort("seed")["margin"].to_list(),
            0,
            what="smallest GA_l(fc) / 2 - GA_l(conv)",
            known=_known(data, str(scale)),
        )
    bottom = convolutions.filter(layer=1).group_by("seed").agg(pl.col("gradient_alignment").abs().max()).sort("seed")
    yield mean_below(
        f"{data}: the bottom convolution does not align at any scale",
        bottom["gradient_alignment"].to_list(),
        0.1,
        what="largest |GA_1|",
    )
    yield all_below(
        f"{data}: shared weights do not align with the feedback at any scale (convolutions but the first)",
        convolutions.filter(pl.col("layer") > 1)["weight_alignment"].abs().to_list(),
        0.1,
        what="largest |WA_l|",
        known="an independent computation: no kernel can exceed about 0.045 with random feedback (11x11 to 8x8 maps)",
    )
    yield _repeated(data, layers.filter(model="cnn", scale=_REPEATED))


def _repeated(data: str, layers: pl.DataFrame) -> Finding:
    means = layers.group_by("distribution", "seed").agg(pl.col("gradient_alignment").mean())
    return mean_above(
        f"{data}: feedback that is repeated over positions aligns convolutions better",
        apart(means.filter(distribution="repeated"), means.filter(distribution="normal"), "gradient_alignment"),
        0,
        what="mean GA(repeated) - GA(independent)",
        known="an independent computation: repetition raises the bound on weight alignment about eightfold, to 0.36",
    )


def _accuracy(data: str, finals: pl.DataFrame) -> Iterator[Finding]:
    convolutions = finals.filter(model="cnn", distribution="normal")
    dfa, shallow = convolutions.filter(rule="dfa", scale=_AUTHORS), convolutions.filter(rule="shallow")
    yield mean_within(
        f"{data}: with the authors' scale, convolutions learn what the last layer alone learns, to two points",
        apart(dfa, shallow, "test_accuracy"),
        -0.02,
        0.02,
        what="accuracy(dfa) - accuracy(last layer only)",
        known="an independent reimplementation: 0.782 - 0.788 (MNIST, 8 epochs, 1 seed)" if data == "mnist" else None,
    )


def _cost(finals: pl.DataFrame) -> list[Finding]:
    claim = (
        "CIFAR-10: at the best scale, direct feedback costs convolutions more accuracy than a fully connected network"
    )
    if finals.is_empty():
        return [undecided(claim, "this size trains on small grey digits alone")]
    cnn, mlp = (_gap(finals.filter(model=model, distribution="normal")) for model in ("cnn", "mlp"))
    more = [a - b for a, b in zip(cnn, mlp, strict=True)]
    told = f"{claim} ({np.mean(cnn):.3f} and {np.mean(mlp):.3f})"
    return [mean_above(told, more, 0, what="gap(conv) - gap(fc)")]


def _gap(finals: pl.DataFrame) -> list[float]:
    """Backpropagation's accuracy less that of direct feedback at the scale that trains best, by seed."""
    best = at_its_best(finals.filter(rule="dfa"), ["model"], ["scale"], "train_accuracy")
    return apart(finals.filter(rule="bp"), best, "test_accuracy")


def _known(data: str, scale: str) -> str | None:
    numbers = {_AUTHORS: "-0.003, 0.004, 0.003", _REPEATED: "0.01, 0.09, 0.25"}
    if data != "mnist" or scale not in numbers:
        return None
    return f"an independent reimplementation: GA {numbers[scale]} (fully connected, its own scale: 0.68, 0.57, 0.57)"


def _by_layer(axes: Axes, layers: pl.DataFrame) -> None:
    scales = layers["scale"].unique(maintain_order=True).to_list()
    for index, scale in enumerate(scales):
        mine = (
            layers.filter(scale=scale)
            .group_by("layer")
            .agg(mean=pl.col("gradient_alignment").mean(), sd=pl.col("gradient_alignment").std())
        )
        mine = mine.sort("layer")
        colour = colour_of(index, len(scales))
        axes.errorbar(mine["layer"], mine["mean"], mine["sd"].fill_null(0), color=colour, marker="o", label=scale)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="layer", ylabel="gradient alignment", ylim=(-0.1, 1), xticks=layers["layer"].unique().sort())


def _by_scale(axes: Axes, finals: pl.DataFrame) -> None:
    scales = finals.filter(rule="dfa")["scale"].unique(maintain_order=True).to_list()
    for model, colour, label in (("mlp", "#2c7fb8", "fc"), ("cnn", "#c1440e", "conv")):
        mine = finals.filter(model=model)
        for rule, line in (("bp", "--"), ("shallow", ":")):
            level = float(mine.filter(rule=rule)["test_accuracy"].to_numpy().mean())
            axes.axhline(level, color=colour, linestyle=line, linewidth=1, label=f"{label}, {rule}")
        for distribution, marker in (("normal", "o"), ("repeated", "s")):
            runs = mine.filter(rule="dfa", distribution=distribution)
            if runs.is_empty():
                continue
            x = [scales.index(scale) for scale in runs["scale"]]
            label_ = f"{label}, dfa" + (", repeated" if distribution == "repeated" else "")
            fill = colour if distribution == "normal" else "none"
            axes.scatter(
                x, runs["test_accuracy"], s=14, marker=marker, edgecolors=colour, facecolors=fill, label=label_
            )
    axes.set_xticks(range(len(scales)), scales, rotation=15)
    axes.set_xlabel("feedback scale")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
