"""Charts show what SQL says, and the address holds what they show."""

import csv
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from tests.browser.charts import chart, query_behind, traces
from tests.browser.conftest import Site
from tests.cookbook import train

CURVES = "Curves, layer by layer"
MAP = "By layer and update"


def measured(drawn: list[dict[str, Any]]) -> dict[tuple[str, int, int], tuple[float, str]]:
    """Mean and standard deviation (as it is shown) by series, layer and step."""
    lines = [trace for trace in drawn if trace["type"] == "scatter" and trace["fill"] is None]
    return {
        (line["name"], layer, step): (mean, sd)
        for line in lines
        for mean, (step, _, sd, layer) in zip(line["y"], line["points"], strict=True)
        if mean is not None
    }


def test_curves_are_those_of_the_query_behind_them_and_of_the_trials(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?by=rule.name")
    shown = measured(traces(page, CURVES))
    answered = {
        (rule, layer, step): (mean, sd) for rule, layer, step, _, mean, sd in site.rows(query_behind(page, CURVES))
    }
    from_trials = {
        (rule, layer, step): (mean, sd)
        for rule, layer, step, mean, sd in site.rows(
            "SELECT rule, layer, step, avg(gradient_alignment), stddev_samp(gradient_alignment) FROM v_alignment "
            "WHERE sweep_id = 1 AND gradient_alignment IS NOT NULL GROUP BY rule, layer, step"
        )
    }
    assert len(from_trials) > 20
    assert shown.keys() == from_trials.keys()
    for key, (mean, sd) in from_trials.items():
        assert shown[key][0] == pytest.approx(mean, abs=1e-9)
        assert float(shown[key][1]) == pytest.approx(sd, rel=0.06)
        assert answered[key] == (pytest.approx(mean, abs=1e-9), pytest.approx(sd, abs=1e-9))


def test_the_heat_map_has_a_row_per_series_and_layer(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?by=rule.name&measure=weight_alignment")
    (drawn,) = traces(page, MAP)
    cells = {
        (series, layer, step): value
        for row, points in zip(drawn["z"], drawn["points"], strict=True)
        for value, (series, layer, step, _) in zip(row, points, strict=True)
        if value is not None
    }
    expected = site.rows(
        "SELECT rule, layer, step, avg(weight_alignment) FROM v_alignment "
        "WHERE sweep_id = 1 AND weight_alignment IS NOT NULL GROUP BY rule, layer, step"
    )
    assert cells == {(rule, layer, step): pytest.approx(mean, abs=1e-9) for rule, layer, step, mean in expected}


def test_every_view_can_be_shared_by_its_address(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?by=rule.name")
    chart(page, CURVES)
    page.get_by_label("lr").select_option("0.003")
    page.get_by_label("Smoothing").select_option("3")
    page.get_by_text("linear", exact=True).click()
    page.get_by_role("button", name="fa", exact=True).click()
    expect(page.get_by_text("smoothed by a running mean over 3 trace points").first).to_be_visible()
    expect(page.locator("figure.chart .legend-entry[aria-pressed=false]")).to_have_text(["fa"])
    before = traces(page, CURVES)
    assert {trace["name"] for trace in before if trace["fill"] is None} == {"dfa"}
    other = page.context.new_page()
    other.goto(page.url)
    assert traces(other, CURVES) == before
    expect(other.get_by_label("Smoothing")).to_have_value("3")


def test_learning_marks_the_phases(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?tab=learning&by=rule.name")
    figure = chart(page, "Learning and alignment")
    expect(figure.locator(".chart-note")).to_contain_text("half of the fall of the loss is done")
    shapes = figure.evaluate("element => element.querySelector('.plot').layout.shapes.map(shape => shape.x0)")
    halved = site.rows("SELECT count(DISTINCT rule) FROM v_phases WHERE loss_halved_at_step IS NOT NULL")[0][0]
    assert len(shapes) >= halved > 0


def test_data_and_pictures_can_be_kept(page: Page, site: Site, tmp_path: Path) -> None:
    page.goto(f"{site.url}/sweeps/1?by=rule.name&layer=1")
    shown = measured(traces(page, CURVES))
    for label, name in [("Data (CSV)", "curves.csv"), ("Picture (SVG)", "x.svg"), ("Picture (PNG)", "x.png")]:
        figure = chart(page, CURVES)
        figure.locator("summary").click()
        with page.expect_download() as download:
            figure.get_by_role("button", name=label).click()
        download.value.save_as(tmp_path / name)
    rows = csv.DictReader((tmp_path / "curves.csv").read_text().splitlines())
    kept = {(row["series"], int(row["layer"]), int(row["step"])): float(row["mean"]) for row in rows if row["mean"]}
    assert kept == {key: mean for key, (mean, _) in shown.items()}
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_brushing_is_a_filter_and_leads_to_its_trials(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?tab=outcomes")
    chart(page, "Alignment and outcome at the end")
    canvas = page.locator("canvas.parallel[data-selected='12']")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    x = box["x"] + box["width"] - 12  # the last axis: an outcome
    page.mouse.move(x, box["y"] + 170)
    page.mouse.down()
    page.mouse.move(x, box["y"] + 20)
    page.mouse.up()
    text = page.locator(".filter-text")
    expect(text).to_contain_text(">=")
    name, _, bound = (text.text_content() or "").split()
    expected = site.rows(f"SELECT count(*) FROM v_trials WHERE sweep_id = 1 AND {name} >= {bound}")[0][0]
    assert 0 < expected < 12
    link = page.get_by_role("link", name=f"Show {expected} trial")
    link.click()
    expect(page.locator("table tbody tr")).to_have_count(expected)
    page.go_back()
    expect(text).to_contain_text(f"{name} >= {bound}")


def test_selecting_by_keyboard(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?tab=outcomes")
    page.get_by_text("Select by numbers").click()
    page.get_by_label("rule: dfa").check()
    expect(page.locator(".filter-text")).to_have_text("rule.name = dfa")
    page.get_by_label("lr: at least").fill("0.002")
    page.get_by_label("lr: at least").press("Enter")
    expect(page.locator(".filter-text")).to_have_text("rule.name = dfa and train.lr >= 0.002")
    expect(page.get_by_role("link", name="Show 2 trials")).to_be_visible()


def test_compared_sweeps_share_axes(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/compare?sweeps=1&by=rule.name&measure=test_accuracy")
    drawn = traces(page, "Curves")
    ends = {trace["name"]: trace["y"][-1] for trace in drawn if trace["fill"] is None}
    expected = site.rows("SELECT rule, avg(test_accuracy) FROM v_trials WHERE sweep_id = 1 GROUP BY rule")
    assert ends == {f"tiny: {rule}": pytest.approx(mean, abs=1e-9) for rule, mean in expected}


def test_theory_is_drawn_over_its_simulation(page: Page, own_site: Site, engine: Engine, tmp_path: Path) -> None:
    spec = {
        "name": "theory",
        "base": {
            "data": {"name": "teacher", "inputs": 20},
            "model": {"hidden": [2], "activation": "erf", "init": "normal", "init_scale": 0.1},
            "train": {"lr": 0.2, "batch_size": 1, "epochs": 2, "loss": "half_mse"},
        },
        "grid": {"model.kind": ["theory", "committee"], "rule.name": ["bp", "dfa"]},
        "seeds": {"count": 2},
    }
    train(engine, spec, tmp_path, reproducibility="tolerance")
    page.goto(f"{own_site.url}/sweeps/1?tab=learning&by=rule.name")
    lines = {
        line["name"]: line
        for line in traces(page, "Learning and alignment")
        if line["fill"] is None and line["yaxis"] == "y"
    }
    assert lines.keys() == {"bp", "dfa", "bp (theory)", "dfa (theory)"}
    for rule in ("bp", "dfa"):
        simulated, solved = lines[rule], lines[f"{rule} (theory)"]
        assert (solved["dash"], solved["colour"]) == ("dash", simulated["colour"])
        expected = own_site.rows(
            "SELECT avg(v_curves.test_loss) FROM v_curves JOIN v_trials USING (trial_id) "
            f"WHERE model = 'theory' AND v_trials.rule = '{rule}' GROUP BY step ORDER BY step"
        )
        assert solved["y"] == [pytest.approx(row[0], rel=1e-9) for row in expected]
