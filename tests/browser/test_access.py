"""The dashboard by keyboard, on a phone, in the dark, and as axe-core judges it."""

from importlib.resources import files
from importlib.util import find_spec

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.charts import chart
from tests.browser.conftest import PATIENCE, Site

PAGES = {
    "/sweeps": "tiny",
    "/sweeps/1?by=rule.name": "Curves, layer by layer",
    "/sweeps/1?tab=learning": "Learning and alignment",
    "/sweeps/1?tab=outcomes": "Parameters and outcomes",
    "/sweeps/1?tab=groups": "alignment 1",
    "/sweeps/1?tab=trials": "gradient alignment",
    "/sweeps/1?tab=events": "trial.succeeded",
    "/sweeps/1?tab=spec": "train_samples",
    "/trials/1": "Configuration",
    "/compare?sweeps=1": "At the end of the curves",
    "/queue": "No worker is here.",
    "/sql?q=SELECT rule, lr FROM v_trials": "12 rows",
    "/new": "configurations",
    "/sweeps/none": "There is nothing here",
}

DESK = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=320, height=640)


def opened(page: Page, site: Site, path: str) -> None:
    """The page, with what it is to show."""
    page.goto(site.url + path)
    expect(page.locator("main")).to_contain_text(PAGES[path])
    expect(page.locator(".skeleton")).to_have_count(0)


@pytest.mark.slow
def test_every_page_is_fit_for_all_in_light_and_dark_and_on_a_phone(browser: Browser, site: Site) -> None:
    # The script of axe comes from elsewhere than the policy of the pages admits.
    context = browser.new_context(viewport=DESK, color_scheme="light", bypass_csp=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    found = []
    for path in PAGES:
        opened(page, site, path)
        found += [(path, *violation) for violation in violations(page)]
        page.emulate_media(color_scheme="dark")
        found += [(path, "dark", *violation) for violation in violations(page, "color-contrast")]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(PHONE)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
            found.append((path, f"{width} pixels wide on a phone"))
        page.set_viewport_size(DESK)
    context.close()
    assert found == []


def violations(page: Page, *rules: str) -> list[tuple[str, list[str]]]:
    """Of these rules of axe-core, or of all, those that are broken in a serious way, with some places."""
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-playwright-python is not installed")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    broken = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
    return [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]][:3])
        for rule in broken
        if rule["impact"] in ("serious", "critical")
    ]


def test_all_is_reached_by_keyboard(page: Page, site: Site) -> None:
    opened(page, site, "/sweeps")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.get_by_role("link", name="tiny").focus()
    page.keyboard.press("Enter")
    chart(page, "By layer and update")
    page.get_by_role("tab", name="Alignment").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Learning")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Learning")).to_be_visible()
    page.get_by_label("Menu of the chart Learning and alignment").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Data (CSV)")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Data (CSV)")).to_be_hidden()
    page.go_back()
    expect(page.get_by_role("tab", name="Alignment")).to_have_attribute("aria-selected", "true")


def test_the_theme_that_was_chosen_stays(page: Page, site: Site) -> None:
    opened(page, site, "/queue")
    page.get_by_role("button", name="Use the dark theme").click()
    page.reload()
    expect(page.get_by_role("button", name="Use the light theme")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 23)"
