"""What a researcher does in the browser, from a spec to its results; and what happens when the server goes away."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from services.domain.results import Outcome
from services.domain.states import Reason
from tests import queueing as q
from tests.browser.charts import chart, traces
from tests.browser.conftest import Site
from tests.live import live_server
from tests.ports import free_port

SPEC = """name: from-the-page
base:
  data: {name: digits}
grid:
  rule.name: [fa, dfa]
seeds: {count: 2}
"""


def test_a_sweep_is_written_submitted_and_watched(page: Page, own_site: Site, session: Session) -> None:
    page.goto(f"{own_site.url}/")
    expect(page.get_by_text("There are no sweeps yet.")).to_be_visible()
    page.get_by_role("link", name="New sweep").last.click()
    spec = page.get_by_label("Spec, as YAML or JSON")
    spec.fill(SPEC.replace("digits", "digitz"))
    expect(page.locator(".line-error")).to_have_text("3")
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    page.get_by_role("button", name="Line 3").click()
    assert spec.evaluate("area => area.value.slice(0, area.selectionStart).split('\\n').length") == 3
    spec.fill(SPEC)
    expect(page.locator(".plan")).to_contain_text("trials4")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="from-the-page")).to_be_visible()
    assert page.url == f"{own_site.url}/sweeps/1"
    words = page.locator(".progress-words")
    expect(words).to_have_text("4 trials: 4 queued")
    expect(page.get_by_text("Nothing was measured yet.")).to_be_visible()

    order = q.claim(session, capacity=4)
    expect(words).to_contain_text("running")
    q.record(session, q.chunk(order, 0))
    while order is not None:
        q.record(session, q.chunk(order, 1, step=10, outcomes=q.completed(order)))
        claimed = q.try_claim(session, capacity=4)
        order = claimed.order if claimed else None
        if order is not None:
            q.record(session, q.chunk(order, 0))
    expect(words).to_have_text("4 trials: 4 succeeded")
    expect(page.locator(".state-now")).to_contain_text("succeeded")
    (drawn,) = traces(page, "By layer and update")
    assert {value for row in drawn["z"] for value in row if value is not None} == {0.25}


def test_lists_are_searched_filtered_and_told_what_is_wrong(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps?search=tin")
    expect(page.get_by_role("link", name="tiny")).to_be_visible()
    page.get_by_label("Search").fill("nothing of the kind")
    expect(page.get_by_text("No sweep is like that.")).to_be_visible()
    page.goto(f"{site.url}/sweeps/1?tab=trials")
    expect(page.locator("tbody tr")).to_have_count(12)
    page.get_by_label("Filter").fill("rule in (fa, dfa) and lr < 0.002")
    page.get_by_label("Filter").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(4)
    page.get_by_role("button", name="test accuracy").click()
    expect(page.get_by_role("columnheader", name="test accuracy")).to_have_attribute("aria-sort", "ascending")
    shown = page.locator("tbody tr td:first-child").all_text_contents()
    expected = site.rows(
        "SELECT trial_id FROM v_trials WHERE rule <> 'bp' AND lr < 0.002 ORDER BY test_accuracy, trial_id"
    )
    accuracies = dict(site.rows("SELECT trial_id, test_accuracy FROM v_trials"))
    assert {int(trial) for trial in shown} == {row[0] for row in expected}
    assert [accuracies[int(trial)] for trial in shown] == sorted(accuracies[row[0]] for row in expected)
    page.get_by_label("Filter").fill("rule = fa and acuracy > 0.5")
    page.get_by_label("Filter").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("did you mean test_accuracy?")


def test_groups_are_those_of_sql(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/sweeps/1?tab=groups&sort=-test_accuracy")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(6)
    (best,) = site.rows(
        "SELECT rule, test_accuracy_mean FROM v_group_stats WHERE sweep_id = 1 ORDER BY test_accuracy_mean DESC LIMIT 1"
    )
    expect(rows.first).to_contain_text(best[0])
    shown = rows.first.locator("td").nth(3).text_content() or ""
    assert float(shown.split(" ± ")[0]) == pytest.approx(best[1], abs=5e-3)
    expect(page.get_by_role("columnheader")).to_contain_text(["rule", "lr", "n", "test accuracy"])


def test_a_sweep_is_retried_paused_and_cancelled(page: Page, own_site: Site, session: Session) -> None:
    sweep_id = q.submit(session, name="<b>not markup</b>", seeds={"count": 1})
    order = q.claim(session)
    failed = [Outcome(trial_id=trial, reason=Reason.TIMEOUT, error="too slow") for trial in order.trial_ids]
    q.record(session, q.chunk(order, 0, outcomes=failed))
    page.goto(f"{own_site.url}/sweeps/{sweep_id}")
    expect(page.get_by_role("heading", name="<b>not markup</b>")).to_be_visible()
    words = page.locator(".progress-words")
    expect(words).to_have_text("1 trial: 1 failed")
    page.get_by_role("button", name="Retry failed").click()
    expect(words).to_have_text("1 trial: 1 queued")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".state-now")).to_contain_text("paused")
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Keep it").click()
    assert q.states(session) == {"queued": 1}
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the sweep").click()
    expect(words).to_have_text("1 trial: 1 cancelled")
    session.rollback()
    assert q.states(session) == {"cancelled": 1}


def test_a_killed_server_comes_back_and_the_page_has_missed_nothing(
    page: Page, database_url: str, reader: str, session: Session, tmp_path: Path
) -> None:
    sweep_id = q.submit(session, grid={"rule.name": ["fa", "dfa", "bp"]})
    port = free_port()
    with live_server(database_url, reader, tmp_path, port=port) as server:
        page.goto(f"{server.url}/sweeps/{sweep_id}?tab=events")
        expect(page.locator(".live-mark")).to_have_text("live")
        order = q.claim(session, capacity=4)
        told = page.locator(".told [data-event]")
        expect(told).to_have_count(len(order.trial_ids))
        server.process.kill()
        expect(page.locator(".lost")).to_contain_text("Disconnected: the server cannot be reached.")
        page.get_by_role("button", name="Try now").click()
        q.record(session, q.chunk(order, 0, outcomes=q.completed(order)))  # nobody tells the page of this
        second = q.claim(session, capacity=4)
    with live_server(database_url, reader, tmp_path, port=port):
        page.evaluate("dispatchEvent(new Event('online'))")  # or it is back already
        expect(page.locator(".lost")).to_have_count(0)
        happened = 2 * len(order.trial_ids) + len(second.trial_ids)
        expect(told).to_have_count(happened)
        expect(page.locator(".live-mark")).to_have_text("live")
        q.record(session, q.chunk(second, 0, outcomes=q.completed(second)))
        expect(told).to_have_count(happened + len(second.trial_ids))
        ids = [int(row.get_attribute("data-event") or 0) for row in told.all()]
        assert ids == sorted(set(ids), reverse=True)
        stored = q.scalar(session, f"SELECT count(*) FROM events WHERE sweep_id = {sweep_id} AND trial_id IS NOT NULL")
        assert len(ids) == stored


def test_a_server_with_tokens_asks_for_one(page: Page, database_url: str, reader: str, tmp_path: Path) -> None:
    secret = "the-operator's-own-token-0123456789"
    with live_server(database_url, reader, tmp_path, ALIGNSWEEP_TOKEN=secret) as server:
        page.goto(f"{server.url}/queue")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Token").fill("something-else-that-is-long-enough")
        dialog.get_by_role("button", name="Go on").click()
        expect(dialog).to_contain_text("The token was refused")
        dialog.get_by_label("Token").fill(secret)
        dialog.get_by_role("button", name="Go on").click()
        expect(page.get_by_text("Nothing waits and nothing runs.")).to_be_visible()


def test_a_trial_tells_all_that_is_known(page: Page, site: Site) -> None:
    trial = site.rows("SELECT max(trial_id) FROM v_trials WHERE rule = 'dfa'")[0][0]
    page.goto(f"{site.url}/trials/{trial}")
    chart(page, "Learning and alignment")
    by_layer = {trace["name"]: trace["y"] for trace in traces(page, "Layer by layer")}
    for layer in (1, 2):
        expected = site.rows(
            f"SELECT gradient_alignment FROM v_alignment WHERE trial_id = {trial} AND layer = {layer} ORDER BY step"
        )
        assert by_layer[f"layer {layer}"] == [row[0] for row in expected]
    expect(page.get_by_text("trial.succeeded")).to_be_visible()
    expect(page.get_by_text("rule.feedback.distribution")).to_be_visible()
