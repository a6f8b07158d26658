"""Pictures of every page and of its states: light, dark, on a phone. They are made to be looked at, and fail where a
page shows an error, logs one, lacks the data of a chart, or is wider than its window.

`SCREENS` names the folder that they are left in; with `RENEW_SCREENS=1` those of the documentation are made anew
(`make screens` does both).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from api.app import create_app
from db.session import make_engine, reader_url
from tests.browser.conftest import PATIENCE, Site
from tests.browser.gallery import SCREENS, Screen, fill
from tests.conftest import DatabaseServer
from tests.integration.test_api import settings as settings_of
from tests.serving import served

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=375, height=740)
WAYS = {"light": (DESK, "light"), "dark": (DESK, "dark"), "phone": (PHONE, "light")}
LONGEST = 2400
"""Pixels of a page, from its top, that a picture shows."""

PICTURES = {
    "quickstart.png": ("sweep-alignment", "light", 1080),
    "screens/sweeps.png": ("sweeps", "light", 470),
    "screens/alignment-dark.png": ("sweep-alignment", "dark", 1080),
    "screens/learning.png": ("sweep-learning", "light", 1300),
    "screens/outcomes.png": ("sweep-outcomes", "light", 1230),
    "screens/groups.png": ("sweep-groups", "light", 620),
    "screens/compare.png": ("compare", "light", 1010),
    "screens/trial.png": ("trial", "light", 900),
    "screens/queue.png": ("queue", "light", 430),
    "screens/sql.png": ("sql", "light", 900),
    "screens/new.png": ("bad-spec", "light", 700),
    "screens/phone.png": ("sweep-alignment", "phone", 740),
}
"""What the documentation shows: the screen, the way, how much of it from the top."""
LARGEST = 150_000

# Expected of charts: what is drawn has points; and of parallel coordinates: some lines.
_WITHOUT_DATA = """() => [...document.querySelectorAll('figure.chart')].filter(figure => {
    const plot = figure.querySelector('.plot'), canvas = figure.querySelector('canvas');
    const count = trace => (trace.z ?? [trace.y]).flat().filter(value => value !== null && value !== undefined).length;
    return plot ? !(plot.data ?? []).some(trace => count(trace) > 0) : !(Number(canvas.dataset.selected) > 0);
}).map(figure => figure.querySelector('h2').textContent)"""
_DRAWN = """() => [...document.querySelectorAll('figure.chart')].every(
    figure => figure.dataset.drawn || figure.querySelector('canvas')?.dataset.selected)"""


@pytest.fixture(scope="module")
def gallery(database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database_server.execute("CREATE DATABASE pictured TEMPLATE alignsweep_template")
    url = database_server.url_of("pictured")
    engine = make_engine(url)
    fill(engine, tmp_path_factory.mktemp("store"))
    engine.dispose()
    with served(create_app(settings_of(url, reader_url(url, password=None), token=None))) as address:
        yield Site(address)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.timeout(600)
def test_every_screen_is_whole(way: str, browser: Browser, gallery: Site, tmp_path: Path) -> None:
    folder = Path(os.environ.get("SCREENS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE)
    size, scheme = WAYS[way]
    shown = {"viewport": size, "color_scheme": scheme, "device_scale_factor": 1.5, "reduced_motion": "reduce"}
    context = browser.new_context(**shown, timezone_id="UTC")
    context.set_default_timeout(PATIENCE)
    wrong = []
    for screen in SCREENS:
        page = context.new_page()
        wrong += [(screen.name, way, fault) for fault in faults(page, screen, gallery)]
        height = min(LONGEST, page.evaluate("document.documentElement.scrollHeight"))
        whole = {"x": 0, "y": 0, "width": size["width"], "height": height}
        page.screenshot(path=folder / f"{screen.name}-{way}.png", full_page=True, clip=whole)
        context.set_offline(False)
        page.close()
    context.close()
    assert wrong == []
    if os.environ.get("RENEW_SCREENS"):
        renew(folder, way)


def faults(page: Page, screen: Screen, site: Site) -> list[str]:
    """Show the screen; what is wrong with it."""
    logged: list[str] = []
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("console", lambda said: logged.append(said.text) if said.type == "error" else None)
    if screen.before:
        screen.before(page)
    page.goto(site.url + screen.path)
    expect(page.locator("main")).to_contain_text(screen.shows)
    if screen.before is None:
        expect(page.locator(".skeleton")).to_have_count(0)
        page.wait_for_function(_DRAWN)
    found = [f"without data: {title}" for title in page.evaluate(_WITHOUT_DATA)]
    found += [] if screen.refused else logged
    if page.locator(".problem").count() != int(screen.refused):
        found.append(f"errors that are shown: {page.locator('.problem').all_text_contents()}")
    if (width := page.evaluate("document.documentElement.scrollWidth")) > page.viewport_size["width"]:
        found.append(f"{width} pixels wide")
    if screen.then:
        screen.then(page)
        expect(page.locator(".lost, dialog[open], .menu[open], .problem-list").first).to_be_visible()
    return found


def renew(folder: Path, way: str) -> None:
    """Those of the documentation: cut, and with few colours."""
    for name, (screen, own_way, height) in PICTURES.items():
        if own_way != way:
            continue
        (DOCS / name).parent.mkdir(exist_ok=True)
        with Image.open(folder / f"{screen}-{way}.png") as image:
            shown = image.convert("RGB").crop((0, 0, image.width, min(image.height, round(height * 1.5))))
            shown.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


def test_the_pictures_of_the_documentation_are_there_and_small() -> None:
    sizes = {name: (DOCS / name).stat().st_size for name in PICTURES}
    assert max(sizes.values()) < LARGEST, sizes
    assert sum(sizes.values()) < 1_000_000, sizes
