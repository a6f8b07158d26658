"""How figures look: the paper's style, legible in print and on a screen."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RULES = {
    "bp": ("BP", "#4c4c4c", "--"),
    "fa": ("FA", "#7b3294", "-."),
    "dfa": ("DFA", "#c1440e", "-"),
    "shallow": ("last layer only", "#7a7a7a", ":"),
}
"""Label, colour and line of the rules that all figures share."""

_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "figure.dpi": 110,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "alignsweep",
}


def styled() -> AbstractContextManager[None]:
    """Figures drawn within look like the others."""
    return plt.rc_context(_STYLE)


def panels(rows: int, columns: int, *, width: float = 3.1, height: float = 2.5, **options: Any) -> tuple[Figure, Any]:
    """A figure of so many panels, (rows, columns), each of this size in inches. Nobody needs to close it."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def colour_of(index: int, count: int) -> Any:
    """Of one of `count` ordered things, such as layers, from the bottom up."""
    return plt.get_cmap("viridis")(0.9 * index / max(1, count - 1))


def band(axes: Axes, x: Sequence[float], mean: Sequence[float], sd: Sequence[float | None], **line: Any) -> None:
    """A curve and, around it, one standard deviation."""
    drawn = axes.plot(x, mean, **line)[0]
    low = [m - (s or 0) for m, s in zip(mean, sd, strict=True)]
    high = [m + (s or 0) for m, s in zip(mean, sd, strict=True)]
    axes.fill_between(x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)


def heat_map(
    axes: Axes, values: Sequence[Sequence[float]], x: Sequence[object], y: Sequence[object], *, title: str
) -> None:
    """A matrix with its numbers written into the cells; rows from the bottom up."""
    image = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis")
    middle = (image.norm.vmin + image.norm.vmax) / 2  # type: ignore[operator]
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            ink = "black" if value > middle else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(x)), [str(value) for value in x])
    axes.set_yticks(range(len(y)), [str(value) for value in y])
    axes.set_title(title)
    for spine in axes.spines.values():
        spine.set_visible(False)


def log_steps(axes: Axes, label: str = "step") -> None:
    """Steps on a logarithmic axis that begins with step 0."""
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
