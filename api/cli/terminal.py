"""Curves drawn with characters: each point is the mark of its curve, so that no colours are needed."""

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS, _LINES = 56, 11
_MARGIN = 7
Points = Sequence[tuple[float, float]]


def overview(sweep: Mapping[str, Any], alignment: Sequence[dict[str, Any]]) -> str:
    """Alignment against the step, a chart per configuration and measure; a curve's mark is its layer."""
    from api.client.plots import rule, setting

    charts = []
    for title in dict.fromkeys((rule(sweep, row), setting(row)) for row in alignment):
        mine = [row for row in alignment if (rule(sweep, row), setting(row)) == title]
        for measure in ("gradient_alignment", "weight_alignment"):
            layers: dict[str, list[tuple[float, float]]] = {}
            for row in mine:
                if row[f"{measure}_mean"] is not None:
                    layers.setdefault(_mark(row["layer"]), []).append((row["step"], row[f"{measure}_mean"]))
            if layers:
                name = ", ".join(word for word in title if word)
                charts.append(chart(f"{name}: {measure.replace('_', ' ')} of each layer", layers))
    if not charts:
        raise ValueError(f"sweep {sweep['id']} has no alignment to draw yet")
    return "\n\n".join(charts)


def chart(title: str, curves: Mapping[str, Points]) -> str:
    """Curves by their mark, one character; x from 0 on, logarithmic. Where they meet, the last one is seen."""
    points = [point for curve in curves.values() for point in curve]
    low = min(0.0, *(y for _, y in points))
    high = max(1.0, *(y for _, y in points))
    last = max(1.0, *(x for x, _ in points))
    canvas = [[" "] * _COLUMNS for _ in range(_LINES)]
    zero = _line(0.0, low, high)
    canvas[zero] = ["-"] * _COLUMNS
    for mark, curve in curves.items():
        for x, y in curve:
            canvas[_line(y, low, high)][round(math.log1p(x) / math.log1p(last) * (_COLUMNS - 1))] = mark
    labels = {0: f"{high:.2f}", _LINES - 1: f"{low:.2f}", zero: "0"}
    drawn = [f"{labels.get(i, ''):>{_MARGIN - 2}} |{''.join(line).rstrip()}" for i, line in enumerate(canvas)]
    steps = f"{'0':<{_COLUMNS // 2}}{f'step {last:,.0f}':>{_COLUMNS // 2}}"
    return "\n".join([title, *drawn, " " * _MARGIN + steps])


def _line(y: float, low: float, high: float) -> int:
    """From the top."""
    return round((high - y) / (high - low) * (_LINES - 1))


def _mark(layer: int) -> str:
    """1 to 9, then a to z and A to Z; beyond, a plus."""
    return (string.digits + string.ascii_letters + "+")[min(layer, 62)]
