"""The figure of a sweep: loss and alignment per layer against the step, one column of panels per rule."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_RULE = "rule.name"
_ROWS = ("loss", "gradient alignment", "weight alignment")
Rows = list[dict[str, Any]]


def draw(sweep: dict[str, Any], curves: Rows, alignment: Rows, path: Path) -> None:
    """Write the figure; its format is the path's suffix. Bands show one standard deviation over seeds."""
    settings = _ordered(_setting(row) for row in curves)
    rules = _ordered(_rule(sweep, row) for row in curves)
    if not settings:
        raise ValueError(f"sweep {sweep['id']} has no trace points yet")
    figure, axes = plt.subplots(
        len(settings) * len(_ROWS),
        len(rules),
        figsize=(3.2 * len(rules) + 0.8, 2.1 * len(settings) * len(_ROWS) + 0.8),
        squeeze=False,
        sharex=True,
        sharey="row",
    )
    for block, setting in enumerate(settings):
        for column, rule in enumerate(rules):
            mine = [row for row in curves if (_setting(row), _rule(sweep, row)) == (setting, rule)]
            aligned = [row for row in alignment if (_setting(row), _rule(sweep, row)) == (setting, rule)]
            top = block * len(_ROWS)
            _losses(axes[top][column], mine)
            _layers(axes[top + 1][column], aligned, "gradient_alignment")
            _layers(axes[top + 2][column], aligned, "weight_alignment")
            axes[top][column].set_title(f"{rule}\n{setting}" if setting else rule, fontsize=9)
            for offset, name in enumerate(_ROWS):
                if column == 0:
                    axes[top + offset][column].set_ylabel(name, fontsize=8)
                axes[top + offset][column].tick_params(labelsize=7)
    for column in range(len(rules)):
        axes[-1][column].set_xlabel("step", fontsize=8)
    seeds = max((row["n"] for row in curves), default=0)
    figure.suptitle(
        f"{sweep['name']} (sweep {sweep['id']}), mean and sd over {seeds} seeds", fontsize=11, parse_math=False
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(path, dpi=110)
    plt.close(figure)


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
        colour = plt.get_cmap("viridis")(index / max(1, len(by_layer) - 0.5))
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


def _rule(sweep: dict[str, Any], row: dict[str, Any]) -> str:
    return str(row["varied"].get(_RULE, sweep["spec"]["base"]["rule"]["name"]))


def _setting(row: dict[str, Any]) -> str:
    """All axes but the rule, short."""
    parts = (f"{path.split('.')[-1]} {json.dumps(value)}" for path, value in row["varied"].items() if path != _RULE)
    return ", ".join(part.replace('"', "") for part in parts)


def _ordered(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
