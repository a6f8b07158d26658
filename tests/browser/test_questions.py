"""Questions in SQL: those of the cookbook, the sweep they are about, their answers drawn; what a table was asked of."""

from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.charts import traces
from tests.browser.conftest import Site

GAP = "Is the gap to backpropagation real?"


def editor(page: Page) -> str:
    value: str = page.get_by_label("Query", exact=True).input_value()
    return value


def test_a_question_of_the_cookbook_is_answered(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sql")
    questions = page.get_by_label("Questions of the cookbook")
    questions.select_option(label=GAP)
    expect(page.locator(".answer-words")).to_contain_text("4 rows")
    shown = page.locator(".answer tbody tr td:nth-child(2)").all_text_contents()
    assert shown == [f"lr {row[1]['train.lr']}" for row in site.rows(editor(page))]
    page.get_by_label("Query", exact=True).fill("SELECT nonsense FROM v_trials")
    expect(questions.locator("option:checked")).to_have_text("your own query")
    page.get_by_label("Query", exact=True).press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text('column "nonsense" does not exist')
    questions.select_option(label=GAP)
    expect(page.locator(".answer-words")).to_contain_text("4 rows")


def test_the_sweep_is_that_of_the_query(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sql?q={quote('SELECT count(*) FROM v_trials WHERE v_trials.sweep_id = 7')}")
    box = page.get_by_label("of sweep")
    expect(box).to_have_value("7")
    box.fill("1")
    box.press("Enter")
    expect(page.locator(".answer tbody td")).to_have_text("12")
    assert "v_trials.sweep_id = 1" in editor(page)
    box.fill("9")
    box.press("Tab")
    expect(page.locator(".answer tbody td")).to_have_text("0")
    page.get_by_label("Questions of the cookbook").select_option(label=GAP)
    expect(page.locator(".answer .empty")).to_contain_text("The sweep has no backpropagation beside another rule")
    assert "sweep_id = 9" in editor(page)


@pytest.mark.parametrize(
    ("sql", "x", "series", "bars"),
    [
        (
            "SELECT 'dfa' AS rule, lr, 2 AS n, lr + 0.5 AS accuracy_mean, lr + 0.4 AS accuracy_low, "
            "lr + 0.8 AS accuracy_high FROM unnest('{0.1, 1, 10}'::float[]) AS lr",
            [0.1, 1, 10],
            1,
            ([0.3] * 3, [0.1] * 3),
        ),  # what stands still is no axis
        (
            "SELECT layer, rule, n, mean, 0.25 AS sd FROM (VALUES (1, 'fa', 5, 0.5), (2, 'fa', 5, 0.6), "
            "(1, 'dfa', 5, 0.7), (2, 'dfa', 5, 0.8)) AS found (layer, rule, n, mean)",
            [1, 2],
            2,
            ([0.25] * 2, [0.25] * 2),
        ),
        (
            "SELECT varied ->> 'train.lr' AS lr, rule, test_loss_mean FROM v_group_stats WHERE sweep_id = 1",
            [0.001, 0.003],
            3,
            None,
        ),  # a number as text
    ],
)
def test_a_chart_begins_with_what_varies(
    page: Page, site: Site, sql: str, x: list[float], series: int, bars: tuple[list[float], list[float]] | None
) -> None:
    page.goto(f"{site.url}/sql?q={quote(sql)}&chart=yes")
    drawn = traces(page, "Answer as a chart")
    assert len(drawn) == series
    assert all(trace["x"] == x for trace in drawn)
    found = page.evaluate(
        "document.querySelector('.plot').data[0].error_y && ['array', 'arrayminus'].map("
        "name => [...document.querySelector('.plot').data[0].error_y[name]])"
    )
    assert found is None if bars is None else found == [pytest.approx(part) for part in bars]


@pytest.mark.parametrize("spread", ["± sd", "95 % CI"])
def test_groups_and_the_query_behind_them_say_the_same(page: Page, site: Site, spread: str) -> None:
    page.goto(f"{site.url}/sweeps/1?tab=groups")
    page.get_by_label(spread).check()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(6)
    heads = page.get_by_role("columnheader").all_text_contents()
    cells = [row.locator("td").all_text_contents() for row in rows.all()]
    page.get_by_role("link", name="Query behind it").click()
    expect(page.locator(".answer-words")).to_contain_text("6 rows")
    names = page.get_by_role("columnheader").all_text_contents()
    answers = [dict(zip(names, row, strict=True)) for row in site.rows(editor(page))]
    for label in ("test accuracy", "train loss", "alignment 2"):
        name = label.replace(" ", "_")
        for row, answer in zip(cells, answers, strict=True):
            mean, _, half = row[heads.index(label)].partition(" ± ")
            if answer[f"{name}_mean"] is None:
                assert half == ""
                continue
            assert float(mean) == pytest.approx(answer[f"{name}_mean"], abs=0.006)
            is_sd = spread == "± sd"
            wanted = answer[f"{name}_sd"] if is_sd else (answer[f"{name}_high"] - answer[f"{name}_low"]) / 2
            assert float(half) == pytest.approx(wanted, abs=0.006)
