"""Figures of a sweep: loss and alignment per layer against the step, side by side or over one another.

Nothing here touches pyplot: figures belong to whoever asked for them, and no backend is chosen for a notebook.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, TypeVar

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_RULE = "rule.name"
_WIDEST = 5
"""Configurations beside one another."""
Rows = list[dict[str, Any]]
Word = TypeVar("Word")


class Picture(Figure):
    """A figure that notebooks show, also those in which pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        png = BytesIO()
        self.savefig(png, format="png", dpi=110)
        return png.getvalue()


def draw(sweep: Mapping[str, Any], curves: Rows, alignment: Rows, panels: Sequence[str]) -> Picture:
    """The named panels, of `loss`, `gradient alignment` and `weight alignment`, one below the other.

    One stack of panels for each configuration there is. Bands show one standard deviation over seeds. Raises
    ValueError where there is nothing to draw yet.
    """
    lines = _arranged(sweep, curves)
    depth, width = len(panels), max(map(len, lines))
    figure = Picture(figsize=(3.2 * width + 0.8, 2.1 * depth * len(lines) + 0.8))
    axes = figure.subplots(depth * len(lines), width, squeeze=False, sharex=True, sharey="row")
    for block, line in enumerate(lines):
        for column in range(width):
            stack = [row[column] for row in axes[block * depth :][:depth]]
            if column < len(line):
                mine, aligned = (_of(sweep, rows, line[column]) for rows in (curves, alignment))
                _fill_stack(stack, panels, line[column], mine, aligned, labelled=column == 0)
            else:
                for place in stack:
                    place.set_axis_off()
    for place in axes[-1]:
        place.set_xlabel("step", fontsize=8)
    return _finished(figure, sweep, curves)


def overlay(sweep: Mapping[str, Any], curves: Rows, alignment: Rows) -> Picture:
    """All configurations over one another, a colour each: test loss, then alignment, a panel for each layer.

    Raises ValueError where there is nothing to draw yet.
    """
    names = [name for line in _arranged(sweep, curves) for name in line]
    layers = {
        measure: sorted({row["layer"] for row in alignment if row[f"{measure}_mean"] is not None})
        for measure in ("gradient_alignment", "weight_alignment")
    }
    panels = [("test loss", "test_loss", None)]
    panels += [
        (f"{name.replace('_', ' ')}, layer {layer}", name, layer) for name, found in layers.items() for layer in found
    ]
    width = min(3, len(panels))
    height = -(-len(panels) // width)
    figure = Picture(figsize=(4 * width + 0.8, 2.8 * height + 0.8 + 0.2 * len(names)))
    places = list(figure.subplots(height, width, squeeze=False, sharex=True).flat)
    for place, (title, name, layer) in zip(places, panels, strict=False):
        for index, configuration in enumerate(names):
            rows = _of(sweep, curves if layer is None else alignment, configuration)
            rows = [row for row in rows if row[f"{name}_mean"] is not None and (layer is None or row["layer"] == layer)]
            if rows:
                colour = colormaps["viridis"](index / max(1, len(names) - 0.5))
                _band(place, rows, name, colour, _title(configuration).replace("\n", ", "))
        _scale(place, title)
    for place in places[len(panels) :]:
        place.set_axis_off()
    figure.legend(
        *places[0].get_legend_handles_labels(), fontsize=7, frameon=False, loc="outside lower center", ncols=2
    )
    return _finished(figure, sweep, curves, below=0.25 * -(-len(names) // 2))


def _arranged(sweep: Mapping[str, Any], curves: Rows) -> list[list[tuple[str, str]]]:
    """The configurations there are, as (rule, setting), in lines: a column for each rule where each has all settings.

    Raises ValueError where there are none yet.
    """
    there = _ordered((rule(sweep, row), setting(row)) for row in curves)
    if not there:
        raise ValueError(f"sweep {sweep['id']} has no trace points yet")
    rules, settings = _ordered(name for name, _ in there), _ordered(chosen for _, chosen in there)
    if len(there) == len(rules) * len(settings):
        return [[(name, chosen) for name in rules] for chosen in settings]
    return [there[first : first + _WIDEST] for first in range(0, len(there), _WIDEST)]


def _of(sweep: Mapping[str, Any], rows: Rows, configuration: tuple[str, str]) -> Rows:
    return [row for row in rows if (rule(sweep, row), setting(row)) == configuration]


def _title(configuration: tuple[str, str]) -> str:
    return "\n".join(word for word in configuration if word)


def _fill_stack(
    stack: Sequence[Axes],
    panels: Sequence[str],
    configuration: tuple[str, str],
    curves: Rows,
    alignment: Rows,
    *,
    labelled: bool,
) -> None:
    for panel, place in zip(panels, stack, strict=True):
        _fill(place, panel, curves, alignment)
        if labelled:
            place.set_ylabel(panel, fontsize=8)
    stack[0].set_title(_title(configuration), fontsize=9)


def _finished(figure: Picture, sweep: Mapping[str, Any], curves: Rows, *, below: float = 0) -> Picture:
    """With its title; `below`: inches kept for what stands there."""
    seeds = max((row["n"] for row in curves), default=0)
    figure.suptitle(
        f"{sweep['name']} (sweep {sweep['id']}), mean and sd over {seeds} seeds", fontsize=11, parse_math=False
    )
    figure.tight_layout(rect=(0, below / figure.get_figheight(), 1, 0.985))
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
    _aligned(axes)
    if by_layer:
        axes.legend(fontsize=6, frameon=False)
    else:
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center", color="0.6", fontsize=8)


def _aligned(axes: Axes) -> None:
    axes.set_xscale("symlog", linthresh=1)
    axes.set_ylim(-0.15, 1.05)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)


def _scale(axes: Axes, title: str) -> None:
    """Of a panel that overlays configurations."""
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    if title == "test loss":
        axes.set_xscale("symlog", linthresh=1)
        axes.set_yscale("log")
    else:
        _aligned(axes)


def _band(axes: Axes, rows: Rows, name: str, colour: Any, label: str) -> None:
    steps = [row["step"] for row in rows]
    mean = [row[f"{name}_mean"] for row in rows]
    spread = [row[f"{name}_sd"] or 0.0 for row in rows]
    axes.plot(steps, mean, color=colour, label=label, linewidth=1.2)
    low = [m - s for m, s in zip(mean, spread, strict=True)]
    high = [m + s for m, s in zip(mean, spread, strict=True)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)


def _ordered(words: Iterable[Word]) -> list[Word]:
    return list(dict.fromkeys(words))
