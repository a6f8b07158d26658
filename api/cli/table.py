"""The table of a sweep's results: final accuracy and alignment by group."""

from typing import Any

from api.cli.console import Format, out, show

Groups = list[dict[str, Any]]
"""As `Client.stats` answers them."""


def show_table(groups: Groups, output: Format) -> None:
    """Mean and standard deviation over seeds: for eyes in one cell, for programs as numbers of their own."""
    if output is Format.TABLE:
        _show_to_eyes(groups)
    else:
        show(*_numbers(groups), output)


def _numbers(groups: Groups) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: axes by their dotted paths, accuracy as a share of 1, layers by their number from 1."""
    axes = _axes(groups)
    measures = [f"test_accuracy_{what}" for what in ("mean", "sd")]
    of_layers = [
        (measure, i, what)
        for measure in ("gradient_alignment", "weight_alignment")
        for i in _measured(measure, groups)
        for what in ("mean", "sd")
    ]
    columns = [*axes, "n", "diverged", *measures, *(f"{measure}_{i}_{what}" for measure, i, what in of_layers)]
    rows = []
    for group in groups:
        layers = {layer["layer"]: layer for layer in group["layers"]}
        row = [*(group["varied"].get(axis) for axis in axes), *(group[name] for name in ("n", "diverged", *measures))]
        rows.append([*row, *(layers.get(i, {}).get(f"{measure}_{what}") for measure, i, what in of_layers)])
    return columns, rows


def _show_to_eyes(groups: Groups) -> None:
    axes = _axes(groups)
    gradient, weight = (_measured(measure, groups) for measure in ("gradient_alignment", "weight_alignment"))
    columns = [*_short_names(axes), "n", "test acc %", *(f"GA {i}" for i in gradient), *(f"WA {i}" for i in weight)]
    rows = []
    for group in groups:
        layers = {layer["layer"]: layer for layer in group["layers"]}
        rows.append(
            [
                *(group["varied"].get(axis) for axis in axes),
                group["n"],
                _spread(group["test_accuracy_mean"], group["test_accuracy_sd"], 100, 1),
                *(_layer(layers, i, "gradient_alignment") for i in gradient),
                *(_layer(layers, i, "weight_alignment") for i in weight),
            ]
        )
    if any(group["diverged"] for group in groups):
        columns.insert(len(axes) + 1, "diverged")
        for row, group in zip(rows, groups, strict=True):
            row.insert(len(axes) + 1, group["diverged"])
    filled = [place for place in range(len(columns)) if any(row[place] is not None for row in rows)]
    columns, rows = [columns[place] for place in filled], [[row[place] for place in filled] for row in rows]
    show(columns, rows, Format.TABLE, title="Final test accuracy, gradient (GA) and weight alignment (WA) per layer")
    _tell_what_it_means(groups)


def _axes(groups: Groups) -> list[str]:
    return list(dict.fromkeys(path for group in groups for path in group["varied"]))


def _measured(measure: str, groups: Groups) -> range:
    """The layers that have it: gradients are aligned but in the last one, weights but in the first."""
    depth = max((len(group["layers"]) for group in groups), default=0)
    return range(1, depth) if measure == "gradient_alignment" else range(2, depth + 1)


def _tell_what_it_means(groups: Groups) -> None:
    """Below the table: what a spread is, and what part trials that diverged have in it."""
    out.print("± is the standard deviation over the n trials (seeds) that succeeded.", highlight=False)
    diverged, trials = sum(group["diverged"] for group in groups), sum(group["n"] for group in groups)
    if diverged:
        out.print(
            f"{diverged} of the {trials} diverged: these numbers hold their last ones before that, and mean little.",
            highlight=False,
        )


def _short_names(axes: list[str]) -> list[str]:
    """The last word of each dotted path, the whole path where two axes end in the same word."""
    last = [axis.split(".")[-1] for axis in axes]
    return [axis if last.count(word) > 1 else word for axis, word in zip(axes, last, strict=True)]


def _layer(layers: dict[int, dict[str, Any]], number: int, name: str) -> str | None:
    layer = layers.get(number, {})
    return _spread(layer.get(f"{name}_mean"), layer.get(f"{name}_sd"), 1, 2)


def _spread(mean: float | None, deviation: float | None, factor: float, digits: int) -> str | None:
    if mean is None:
        return None
    spread = "" if deviation is None else f"±{factor * deviation:.{digits}f}"
    return f"{factor * mean:.{digits}f}{spread}"
