"""Figures of a sweep: loss and alignment per layer against the step, one column of panels per rule.

Nothing here touches pyplot: figures belong to whoever asked for them, and no backend is chosen for a notebook.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_RULE = "rule.name"
Rows = list[dict[str, Any]]


class Picture(Figure):
    """A figure that notebooks show, also those in which pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        png = BytesIO()
        self.savefig(png, format="png", dpi=110)
        return png.getvalue()


def draw(sweep: Mapping[str, Any], curves: Rows, alignment: Rows, panels: Sequence[str]) -> Picture:
    """The named panels, of `loss`, `gradient alignment` and `weight alignment`, one below the other.

    Bands show one standard deviation over seeds. Raises ValueError where there is nothing to draw yet.
    """
    settings = _ordered(setting(row) for row in curves)
    rules = _ordered(rule(sweep, row) for row in curves)
    if not settings:
        raise ValueError(f"sweep {sweep['id']} has no trace points yet")
    rows = len(settings) * len(panels)
    figure = Picture(figsize=(3.2 * len(rules) + 0.8, 2.1 * rows + 0.8))
    axes = figure.subplots(rows, len(rules), squeeze=False, sharex=True, sharey="row")
    for block, chosen in enumerate(settings):
        for column, name in enumerate(rules):
            mine = [row for row in curves if (setting(row), rule(sweep, row)) == (chosen, name)]
            aligned = [row for row in alignment if (setting(row), rule(sweep, row)) == (chosen, name)]
            stack = [line[column] for line in axes[block * len(panels) :][: len(panels)]]
            for panel, place in zip(panels, stack, strict=True):
                _fill(place, panel, mine, aligned)
                if column == 0:
                    place.set_ylabel(panel, fontsize=8)
            stack[0].set_title(f"{name}\n{chosen}" if chosen else name, fontsize=9)
    for place in axes[-1]:
        place.set_xlabel("step", fontsize=8)
    seeds = max((row["n"] for row in curves), default=0)
    figure.suptitle(
        f"{sweep['name']} (sweep {sweep['id']}), mean and sd over {seeds} seeds", fontsize=11, parse_math=False
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    return figure


def rule(sweep: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The learning rule of a row of curves."""
    return str(row["varied"].get(_RULE, sweep["spec"]["base"]["rule"]["name"]))


def setting(row: Mapping[str, Any]) -> str:
    """All axes but the rule, short."""
    parts = (f"{path.split('.')[-1]} {json.dumps(value)}" for path, value in row["varied"].items() if path != _RULE)
    return ", ".join(part.replace('"', "") for part in parts)


def _fill(axes: Axes, panel: str, curves: Rows, alignment: Rows) -> None:
    match panel:
        case "loss":
            _losses(axes, curves)
        case "gradient alignment" | "weight alignment":
            _layers(axes, alignment, panel.replace(" ", "_"))
        case _:
            raise ValueError(f"there is no panel {panel!r}")
    axes.tick_params(labelsize=7)


def _losses(axes: Axes, rows: Rows) -> None:
    for split, colour in (("train", "C0"), ("test", "C1")):
        _band(axes, rows, f"{split}_loss", colour, split)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("log")
    axes.legend(fontsize=6, frameon=False)


def _layers(axes: Axes, rows: Rows, name: str) -> None:
    by_layer: dict[int, Rows] = defaultdict(list)
    for row in rows:
        if row[f"{name}_mean"] is not None:
            by_layer[row["layer"]].append(row)
    for index, (layer, points) in enumerate(sorted(by_layer.items())):
        colour = colormaps["viridis"](index / max(1, len(by_layer) - 0.5))
        _band(axes, points, name, colour, f"layer {layer}")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_ylim(-0.15, 1.05)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    if by_layer:
        axes.legend(fontsize=6, frameon=False)
    else:
        axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", color="0.6", fontsize=8)


def _band(axes: Axes, rows: Rows, name: str, colour: Any, label: str) -> None:
    steps = [row["step"] for row in rows]
    mean = [row[f"{name}_mean"] for row in rows]
    spread = [row[f"{name}_sd"] or 0.0 for row in rows]
    axes.plot(steps, mean, color=colour, label=label, linewidth=1.2)
    low = [m - s for m, s in zip(mean, spread, strict=True)]
    high = [m + s for m, s in zip(mean, spread, strict=True)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)


def _ordered(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
