"""The dashboard by keyboard, on a phone, in the dark, and as axe-core judges it."""

from importlib.resources import files
from importlib.util import find_spec

import pytest
from playwright.sync_api import Browser, Page, expect

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


def opened(page: Page, site: Site, path: str) -> None:
    """The page, with what it is to show."""
    page.goto(site.url + path)
    expect(page.locator("main")).to_contain_text(PAGES[path])
    expect(page.locator(".skeleton")).to_have_count(0)


@pytest.mark.skipif(find_spec("axe_playwright_python") is None, reason="axe-playwright-python is not installed")
@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_no_page_has_a_serious_violation(browser: Browser, site: Site, scheme: str, rules: dict[str, object]) -> None:
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    # The script of axe comes from elsewhere than the policy of the pages admits.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    context.set_default_timeout(PATIENCE)
    found = []
    for path in PAGES:
        page = context.new_page()
        opened(page, site, path)
        page.evaluate(axe)
        violations = page.evaluate(
            "rules => axe.run({resultTypes: ['violations'], ...rules}).then(found => found.violations)", rules
        )
        found += [
            (path, violation["id"], [node["html"][:200] for node in violation["nodes"]][:3])
            for violation in violations
            if violation["impact"] in ("serious", "critical")
        ]
        page.close()
    context.close()
    assert found == []


def test_nothing_is_wider_than_a_phone(browser: Browser, site: Site) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640}, has_touch=True)
    for path in PAGES:
        page = context.new_page()
        opened(page, site, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
        page.close()
    context.close()


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
