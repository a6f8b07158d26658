"""Figures: which configurations they draw, and where."""

from itertools import product
from typing import Any

import pytest
from matplotlib.figure import Figure

from api.client.plots import draw, overlay

SWEEP: dict[str, Any] = {"id": 3, "name": "a", "spec": {"base": {"rule": {"name": "bp"}}}}
PANELS = ("loss", "gradient alignment")


def rows(varied: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Curves and alignment of one configuration, at two steps."""
    losses = {f"{split}_loss_{what}": 0.5 for split in ("train", "test") for what in ("mean", "sd")}
    aligned = None if varied["rule.name"] == "bp" else 0.5
    measures = {f"{name}_alignment_{what}": aligned for name in ("gradient", "weight") for what in ("mean", "sd")}
    curves = [{"varied": varied, "step": step, "n": 5, **losses} for step in (0, 10)]
    return curves, [{"varied": varied, "step": step, "layer": 1, **measures} for step in (0, 10)]


def of(*configurations: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    pairs = [rows(varied) for varied in configurations]
    return [row for curves, _ in pairs for row in curves], [row for _, alignment in pairs for row in alignment]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title().replace("\n", " ") for axes in figure.axes if axes.get_title()]


BP = {"rule.name": "bp"}
SCALES = [{"rule.name": "dfa", "rule.feedback.scale": scale} for scale in (0.01, 0.1, 1.0, 10.0)]


def test_configurations_are_drawn_that_exist_and_no_others() -> None:
    """Backpropagation beside four scales of dfa: five stacks, not two rules at five settings."""
    figure = draw(SWEEP, *of(BP, *SCALES), PANELS)
    assert titles(figure) == ["bp", *(f"dfa scale {scale['rule.feedback.scale']}" for scale in SCALES)]
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == 5 * len(PANELS)
    assert all(axes.lines for axes in drawn)


def test_many_configurations_are_wrapped_and_places_left_over_stay_empty() -> None:
    figure = draw(SWEEP, *of(BP, *SCALES, {"rule.name": "fa", "rule.feedback.scale": 1.0}), PANELS)
    assert len(titles(figure)) == 6
    assert len([axes for axes in figure.axes if axes.axison]) == 6 * len(PANELS)


def test_where_every_rule_has_all_settings_rules_are_columns() -> None:
    there = [{"rule.name": rule, "train.lr": lr} for lr, rule in product((0.1, 0.01), ("bp", "dfa"))]
    assert titles(draw(SWEEP, *of(*there), PANELS)) == ["bp lr 0.1", "dfa lr 0.1", "bp lr 0.01", "dfa lr 0.01"]


def test_an_overlay_has_all_configurations_in_each_panel_where_they_are_defined() -> None:
    figure = overlay(SWEEP, *of(BP, *SCALES))
    assert titles(figure) == ["test loss", "gradient alignment, layer 1", "weight alignment, layer 1"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:2] == ["bp", "dfa, scale 0.01"]
    named = [[line.get_label() for line in axes.lines if not line.get_label().startswith("_")] for axes in figure.axes]
    assert [len(labels) for labels in named] == [5, 4, 4]


def test_there_is_no_figure_of_nothing() -> None:
    for figure in (lambda: draw(SWEEP, [], [], PANELS), lambda: overlay(SWEEP, [], [])):
        with pytest.raises(ValueError, match="sweep 3 has no trace points yet"):
            figure()
