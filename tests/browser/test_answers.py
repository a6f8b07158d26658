"""Charts draw what they name, whatever comes late; and what stands in them is what was said, as it was said."""

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests import queueing as q
from tests.browser.charts import chart, traces
from tests.browser.conftest import Site
from tests.cookbook import train

CURVES = "Curves, layer by layer"

# Choices that follow each other at once, before any answer to the first is thrown away.
_CHOOSE = """([label, values]) => {
    const [named] = [...document.querySelectorAll('label')].filter(one => one.textContent === label);
    for (const value of values) {
        named.control.value = value;
        named.control.dispatchEvent(new Event('change'));
    }
}"""


@contextmanager
def held(page: Page, path: str) -> Iterator[Callable[[int], Route]]:
    """Requests wait until they are let go; `nth` waits for one."""
    waiting: list[Route] = []
    page.route(path, lambda route: waiting.append(route))

    def nth(index: int) -> Route:
        while len(waiting) <= index:
            page.evaluate("() => new Promise(requestAnimationFrame)")
        return waiting[index]

    yield nth
    page.unroute(path)


def names(drawn: list[dict[str, Any]]) -> set[str]:
    return {trace["name"] for trace in drawn if trace["fill"] is None}


def test_what_is_compared_is_what_was_chosen_last(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/compare?sweeps=1&measure=test_accuracy")
    chart(page, "Curves")
    with held(page, "**/sweeps/1/curves*") as nth:
        page.get_by_label("Group by").select_option("train.lr")
        slow = nth(0)
        page.get_by_label("Group by").select_option("rule.name")
        nth(1).continue_()
        legend = page.locator(".legend-entry")
        expect(legend).to_have_text(["tiny: bp", "tiny: fa", "tiny: dfa"])
        slow.continue_()
    for _ in range(2):  # by now the slow answer has come, if anybody takes it
        page.evaluate("url => fetch(url).then(answer => answer.text())", slow.request.url)
    assert legend.all_text_contents() == ["tiny: bp", "tiny: fa", "tiny: dfa"]
    page.get_by_label("Measure").select_option("train_accuracy")
    expect(page.locator("tbody tr")).to_have_count(3)
    ends = {trace["name"]: trace["y"][-1] for trace in traces(page, "Curves") if trace["fill"] is None}
    expected = site.rows("SELECT rule, avg(train_accuracy) FROM v_trials WHERE sweep_id = 1 GROUP BY rule")
    assert ends == {f"tiny: {rule}": pytest.approx(mean, abs=1e-9) for rule, mean in expected}


def test_what_was_given_up_is_asked_for_again_when_it_is_wanted_again(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?by=rule.name")
    assert names(traces(page, CURVES)) == {"fa", "dfa"}
    expect(page.locator(".pools")).to_have_text("pools lr")
    expect(page.locator(".chart-note").first).to_contain_text(
        "4 trials have no gradient alignment: backpropagation has"
    )
    with held(page, "**/sweeps/1/alignment*") as nth:
        page.get_by_label("Group by").select_option("train.lr")
        nth(0)
        page.evaluate(_CHOOSE, ["Group by", ["none", "train.lr"]])
        figure = chart(page, CURVES)
        drawn = int(figure.get_attribute("data-drawn"))
        page.get_by_role("button", name="Use the dark theme").click()
        expect(figure).to_have_attribute("data-drawn", str(drawn + 1))
        assert names(traces(page, CURVES)) == {"fa", "dfa"}, "of what there is, under its own names"
        nth(1).continue_()
        expect(page.locator(".legend-entry")).to_have_text(["lr 0.001", "lr 0.003"])
    expect(page.locator(".charts")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".pools")).to_have_text("pools rule")


def test_a_failure_stands_where_what_was_asked_for_would(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?by=rule.name")
    chart(page, CURVES)
    refused = {"status": 500, "content_type": "application/problem+json", "body": '{"title": "The answer is lost"}'}
    page.route("**/sweeps/1/alignment*", lambda route: route.fulfill(**refused))
    page.get_by_label("Group by").select_option("train.lr")
    expect(page.get_by_role("alert")).to_contain_text("The answer is lost")
    page.unroute("**/sweeps/1/alignment*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".legend-entry")).to_have_text(["lr 0.001", "lr 0.003"])


def test_configurations_have_the_same_colours_in_all_tabs(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?by=none")
    page.get_by_role("button", name="What alignment means").click()
    expect(page.get_by_text("the cosine between the feedback signal and the true gradient")).to_be_visible()
    colours = {trace["name"]: trace["colour"] for trace in traces(page, CURVES) if trace["fill"] is None}
    page.get_by_role("tab", name="Outcomes").click()
    figure = chart(page, "Alignment and outcome at the end")
    points = figure.evaluate("it => it.querySelector('.plot').data.map(one => [one.name, one.marker.color])")
    assert len(points) == 6
    assert {name: colour for name, colour in points if name in colours} == colours
    expect(figure.locator(".chart-note")).to_contain_text(
        "4 trials have no gradient alignment: backpropagation has none."
    )


def test_the_order_of_groups_is_not_asked_of_trials(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?tab=groups")
    page.get_by_role("button", name="alignment 1").click()
    page.get_by_role("tab", name="Trials").click()
    expect(page.locator("tbody tr")).to_have_count(12)
    page.get_by_label("Filter").fill("lr > 1")
    page.get_by_label("Filter").press("Enter")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("tbody tr")).to_have_count(12)
    expect(page.get_by_label("Filter")).to_have_value("")
    expect(page.get_by_label("Filter")).to_be_focused()


def test_neither_charts_nor_spreadsheets_read_markup_or_formulas(page: Page, site: Site, tmp_path: Path) -> None:
    link, formula = '<a href="/queue">x</a>', "=1+1"
    asked = f"SELECT '{link}' AS \"<b>name</b>\", 12345678 AS n, 0.5 AS share UNION ALL SELECT '{formula}', 1, -0.25"
    page.goto(f"{site.url}/sql?{urlencode({'q': asked, 'chart': 'yes'})}")
    plot = chart(page, "Answer as a chart").locator(".plot")
    expect(plot.locator(".xtick text")).to_have_count(2)
    expect(plot.locator("a")).to_have_count(0)
    expect(plot).to_contain_text(link)
    expect(page.locator(".answer tbody")).to_contain_text("12345678")
    expect(page.locator(".answer button.legend-entry")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    download.value.save_as(tmp_path / "answer.csv")
    rows = list(csv.reader((tmp_path / "answer.csv").read_text().splitlines()))
    assert rows[1:] == [[link, "12345678", "0.5"], [f"'{formula}", "1", "-0.25"]]


def test_a_draft_belongs_to_what_it_was_begun_with(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/new")
    spec = page.get_by_label("Spec, as YAML or JSON")
    expect(spec).to_have_value(re.compile("name: feedback-scale"))
    spec.fill("name: mine\n")
    expect(page.locator(".plan")).to_contain_text("trials1")
    page.goto(f"{site.url}/new?from=1")
    expect(spec).to_have_value(re.compile("name: tiny"))
    page.goto(f"{site.url}/new")
    expect(spec).to_have_value("name: mine\n")
    page.get_by_role("button", name="Start afresh").click()
    expect(spec).to_have_value(re.compile("name: feedback-scale"))
    with page.context.expect_page() as schema:
        page.get_by_role("link", name="the schema of specs").click()
    expect(schema.value.locator("body")).to_contain_text("feedback")


def test_trials_that_diverged_are_told_everywhere(page: Page, own_site: Site, engine: Engine, tmp_path: Path) -> None:
    spec = {
        "name": "diverging",
        "base": {
            "data": {"name": "digits", "train_samples": 64, "test_samples": 32},
            "model": {"hidden": [8], "activation": "relu"},
            "train": {"epochs": 3, "batch_size": 16, "lr": 1e6, "loss": "half_mse"},
        },
        "grid": {"rule.name": ["bp", "dfa"]},
    }
    train(engine, spec, tmp_path, reproducibility="tolerance")
    diverged = own_site.rows("SELECT count(*) FROM v_trials WHERE diverged_at_step IS NOT NULL")[0][0]
    assert diverged > 0
    page.goto(f"{own_site.url}/sweeps")
    expect(page.locator("tbody")).to_contain_text(f"{diverged} diverged")
    page.get_by_role("link", name="diverging").click()
    expect(page.locator(".progress-words")).to_have_text(f"2 trials: 2 succeeded ({diverged} of them diverged)")
    note = page.locator(".chart-note").last
    for tab in ("Alignment", "Learning", "Groups"):
        page.get_by_role("tab", name=tab).click()
        expect(note).to_contain_text(f"{diverged} of 2 trials diverged; losses of those are as measured before.")


def test_what_was_cancelled_before_it_began_awaits_nothing(page: Page, own_site: Site, session: Session) -> None:
    sweep_id = q.submit(session, seeds={"count": 1})
    page.goto(f"{own_site.url}/sweeps/{sweep_id}")
    expect(page.get_by_text("Nothing was measured yet.")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the sweep").click()
    expect(page.get_by_text("The sweep has been cancelled before any trial had its first trace point.")).to_be_visible()
    expect(page.locator(".sweep-head .actions button:focus")).to_have_count(1)


_NOTATION = """async () => {
    const modules = ['format', 'data/names', 'sse', 'charts/curves', 'charts/brushes'];
    const [format, { listed, unlisted }, { Parser }, { logAxis }, { scaleOf }] = await Promise.all(
        modules.map(name => import(`/dashboard/${name}.js`)));
    const parser = new Parser();
    const pieces = ['id: 1\\r\\ndata: x\\r', '\\n\\r\\ndata: y\\r\\n', '\\r', '\\n'];
    const many = Array.from({ length: 300000 }, (_, i) => i + 1);
    const hard = ['a|b', '100 %', '%7C', 'a'];
    return {
        rates: [999999, 9999.7, 123456, 12].map(format.rate),
        durations: [59.7, 3599.8, 3661].map(format.duration),
        spreads: [format.spread(-0.0001, 0.01), format.whole(-0.4), format.plain(12345678)],
        names: unlisted(listed(hard)).join() === hard.join(),
        sent: pieces.flatMap(piece => parser.push(piece)).map(({ data }) => data),
        ends: [logAxis(many).range.map(Math.round), scaleOf('x', 'x', many).high],
    };
}"""


def test_notation(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/queue")
    assert page.evaluate(_NOTATION) == {
        "rates": ["1.00 M", "10.0 k", "123 k", "12"],
        "durations": ["1 min", "1 h", "1 h 1 min"],
        "spreads": ["0.000 ± 0.010", "0", "12345678"],
        "names": True,
        "sent": ["x", "y"],
        "ends": [[0, 6], 300000],
    }
