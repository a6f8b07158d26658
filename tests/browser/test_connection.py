"""What the pages do while the server is away, silent or replaced by a gateway, and when they are not looked at."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api.app import create_app
from api.streaming import Hub
from tests import queueing as q
from tests.browser.relay import Relay
from tests.integration.test_api import settings
from tests.serving import served

TOLD = ".told [data-event]"
SECOND = 1000


@dataclass(frozen=True)
class Line:
    """A server behind a relay."""

    relay: Relay
    app: FastAPI
    port: int

    @property
    def streams(self) -> int:
        """How many the server holds open."""
        hub: Hub = self.app.state.hub
        return hub.size

    def restore(self) -> None:
        self.relay.pass_on(self.port)


@contextmanager
def lined(database_url: str, reader: str, relay: Relay, token: str | None) -> Iterator[Line]:
    app = create_app(settings(database_url, reader, token=token))
    with served(app) as address:
        line = Line(relay, app, urlsplit(address).port or 0)
        line.restore()
        yield line


@pytest.fixture
def relay() -> Iterator[Relay]:
    with closing(Relay()) as relay:
        yield relay


@pytest.fixture
def line(database_url: str, reader: str, relay: Relay) -> Iterator[Line]:
    with lined(database_url, reader, relay, token=None) as line:
        yield line
        relay.refuse()


def watched(page: Page, relay: Relay, session: Session) -> int:
    """A sweep whose events the page shows as they happen, once it says so."""
    sweep_id = q.submit(session, grid={"rule.name": ["fa", "dfa", "bp"]})
    page.goto(f"{relay.url}/sweeps/{sweep_id}?tab=events")
    expect(page.locator(".live-mark")).to_have_text("live")
    return sweep_id


def comes_online(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('online'))")


def hide(page: Page, *, hidden: bool) -> None:
    """As if another tab were looked at: a headless browser shows all of its pages."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_nothing_is_live_before_it_is_known_where_the_stream_begins(
    page: Page, line: Line, session: Session, engine: Engine
) -> None:
    """What happens before is listed with what was before the page."""
    sweep_id = q.submit(session)
    with engine.connect() as other:
        other.execute(text("SELECT pg_current_xact_id()"))  # it may write earlier events yet
        page.goto(f"{line.relay.url}/sweeps/{sweep_id}?tab=events")
        expect(page.locator("tr[data-event]")).to_have_count(1)
        expect(page.locator(".live-mark")).to_be_empty()
        order = q.claim(session, capacity=4)
    expect(page.locator(".live-mark")).to_have_text("live")
    expect(page.locator("tr[data-event]")).to_have_count(1 + len(order.trial_ids))


def test_the_banner_and_its_button_stay_while_the_server_is_away_for_minutes(
    page: Page, line: Line, session: Session
) -> None:
    page.clock.install()
    watched(page, line.relay, session)
    asked: list[str] = []
    page.on("requestfailed", lambda request: asked.append(request.url))
    line.relay.refuse()
    banner = page.locator(".lost")
    expect(banner).to_contain_text("Disconnected: the server cannot be reached. What is shown may be old.")
    button = banner.get_by_role("button").element_handle()
    for _ in range(120):
        page.clock.run_for(SECOND)
    expect(banner).to_contain_text("Trying again in")
    assert 8 <= len(asked) <= 24, "ever more seldom"
    assert {urlsplit(url).path for url in asked[5:]} == {"/readyz"}
    with page.expect_event("requestfailed"):
        button.click()
    order = q.claim(session, capacity=4)
    line.restore()
    button.click()
    expect(page.locator(TOLD)).to_have_count(len(order.trial_ids))
    expect(page.locator(".live-mark")).to_have_text("live")
    page.clock.run_for(5 * SECOND)
    expect(banner).to_have_count(0)


@pytest.mark.parametrize("status", [HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE])
def test_a_gateway_that_answers_for_the_server_is_told_from_it(
    page: Page, line: Line, session: Session, status: HTTPStatus
) -> None:
    watched(page, line.relay, session)
    line.relay.answer(status)
    expect(page.locator(".lost")).to_contain_text(f"a gateway answers in place of the server ({status})")
    order = q.claim(session, capacity=4)
    line.restore()
    comes_online(page)
    expect(page.locator(TOLD)).to_have_count(len(order.trial_ids))
    expect(page.locator(".lost")).to_have_count(0)


def test_a_server_that_hangs_is_found_out_and_what_it_was_asked_is_asked_again(
    page: Page, line: Line, session: Session
) -> None:
    page.clock.install()
    sweep_id = watched(page, line.relay, session)
    line.relay.hang()
    page.get_by_role("tab", name="Trials").click()
    page.clock.run_for(7 * SECOND)  # the list is late: is the server there?
    page.clock.run_for(9 * SECOND)  # it does not say
    expect(page.locator(".lost")).to_contain_text("the server does not answer")
    line.restore()
    comes_online(page)
    expect(page.locator("tbody tr")).to_have_count(12)
    expect(page.locator(".live-mark")).to_have_text("live")
    assert page.url.startswith(f"{line.relay.url}/sweeps/{sweep_id}")


def test_a_stream_that_falls_silent_is_begun_anew_where_it_was(page: Page, line: Line, session: Session) -> None:
    """As after a computer slept: timers had stopped, and the clock on the wall says so."""
    page.clock.install()
    watched(page, line.relay, session)
    line.relay.fall_silent(b"/events/stream")
    order = q.claim(session, capacity=4)
    with page.expect_request(lambda request: "last-event-id" in request.headers):
        page.clock.fast_forward(36 * SECOND)
    expect(page.locator(TOLD)).to_have_count(len(order.trial_ids))
    expect(page.locator(".live-mark")).to_have_text("live")
    expect(page.locator(".lost")).to_have_count(0)


def test_who_comes_back_with_a_token_that_has_expired_is_asked_for_another(
    page: Page, relay: Relay, database_url: str, reader: str, session: Session
) -> None:
    old, new = "a-token-that-will-expire-0123456789", "another-token-0123456789-0123456789"
    page.add_init_script(
        f"sessionStorage.getItem('alignsweep-token') ?? sessionStorage.setItem('alignsweep-token', '{old}')"
    )
    with lined(database_url, reader, relay, token=old):
        watched(page, relay, session)
        relay.refuse()
        expect(page.locator(".lost")).to_be_visible()
    order = q.claim(session, capacity=4)
    with lined(database_url, reader, relay, token=new):
        comes_online(page)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("The token was refused: it may have expired.")
        dialog.get_by_role("button", name="Cancel").click()
        expect(dialog).to_have_count(0)
        banner = page.locator(".lost")
        expect(banner).to_contain_text("Signed out: this server asks for a token.")
        banner.get_by_role("button", name="Give a token").click()
        dialog.get_by_label("Token").fill(new)
        dialog.get_by_role("button", name="Go on").click()
        expect(page.locator(TOLD)).to_have_count(len(order.trial_ids))
        expect(page.locator(".live-mark")).to_have_text("live")
        expect(banner).to_have_count(0)
        relay.refuse()


def test_what_was_asked_when_the_server_went_away_is_shown_as_it_became(
    page: Page, line: Line, session: Session
) -> None:
    page.clock.install()
    sweep_id = watched(page, line.relay, session)
    line.relay.hang()
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(7 * SECOND)
    page.clock.run_for(9 * SECOND)
    expect(page.get_by_role("alert")).to_have_count(1)  # what the page reads by itself, the banner tells of
    expect(page.get_by_role("alert")).to_contain_text("whether this was done will be seen when it is back")
    with session.begin():
        session.execute(text("UPDATE sweeps SET state = 'paused' WHERE id = :id"), {"id": sweep_id})
    line.restore()
    comes_online(page)
    expect(page.locator(".state-now")).to_contain_text("paused")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_what_is_being_written_outlasts_an_outage(page: Page, line: Line, session: Session) -> None:
    page.goto(f"{line.relay.url}/new")
    expect(page.locator(".plan")).to_contain_text("configurations")
    line.relay.refuse()
    spec = page.get_by_label("Spec, as YAML or JSON")
    spec.fill("name: written-meanwhile\nseeds: {count: 7}\n")
    expect(page.locator(".plan")).to_contain_text("It will be asked again")
    line.restore()
    comes_online(page)
    expect(page.locator(".plan")).to_contain_text("trials7")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="written-meanwhile")).to_be_visible()
    expect(page.locator(".live-mark")).to_have_text("live")
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Notes").fill("a long note")
    line.relay.refuse()
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".lost")).to_be_visible()
    expect(dialog.get_by_label("Notes")).to_have_value("a long note")
    line.restore()
    comes_online(page)
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".notes")).to_have_text("a long note")


def test_a_page_that_cannot_be_loaded_comes_when_the_server_does(page: Page, line: Line) -> None:
    page.goto(f"{line.relay.url}/sweeps")
    expect(page.get_by_text("There are no sweeps yet.")).to_be_visible()
    line.relay.refuse()
    page.get_by_role("link", name="Queue").click()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    line.restore()
    comes_online(page)
    expect(page.get_by_text("Nothing waits and nothing runs.")).to_be_visible()


def test_what_nobody_looks_at_asks_nothing_and_catches_up(page: Page, line: Line, session: Session) -> None:
    page.clock.install()
    sweep_id = watched(page, line.relay, session)
    page.get_by_role("tab", name="Trials").click()
    expect(page.locator("tbody tr")).to_have_count(12)
    hide(page, hidden=True)
    page.clock.run_for(20 * SECOND)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(600 * SECOND)
    assert asked == []
    order = q.claim(session, capacity=4)
    assert line.streams == 0
    hide(page, hidden=False)
    expect(page.locator(".progress-words")).to_contain_text(f"{len(order.trial_ids)} running")
    expect(page.locator("tbody")).to_contain_text("running")
    page.get_by_role("tab", name="Events").click()
    expect(page.locator(TOLD)).to_have_count(len(order.trial_ids))
    assert line.streams == 1
    page.get_by_role("link", name="Queue").click()
    expect(page.get_by_role("link", name="test")).to_be_visible()
    expect(page).not_to_have_url(f"/sweeps/{sweep_id}")
    with page.expect_response(lambda answer: "/queue" in answer.url):
        page.clock.run_for(4 * SECOND)
    assert line.streams == 0


@pytest.mark.slow
def test_eight_pages_leave_each_other_room(browser: Browser, line: Line, session: Session) -> None:
    """A browser opens six connections to a server, and each of the pages is seen."""
    sweep_id = q.submit(session, grid={"rule.name": ["fa", "dfa", "bp"]})
    context = browser.new_context()
    pages = [context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(f"{line.relay.url}/sweeps/{sweep_id}?tab=events", timeout=20 * SECOND)
        expect(page.locator(".live-mark")).to_have_text("live")
    for page in pages[:5]:
        expect(page.locator(".live-mark")).to_have_text("every few seconds")
    order = q.claim(session, capacity=4)
    for page in pages:
        expect(page.locator(TOLD)).to_have_count(len(order.trial_ids))
        expect(page.locator(".progress-words")).to_contain_text("running")
    for page in pages[:2]:
        page.get_by_role("link", name="Sweeps", exact=True).click()
        expect(page.get_by_role("link", name="test")).to_be_visible()
    context.close()
