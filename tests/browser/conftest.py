"""One browser for all tests; pages whose errors fail their test; a served database with a trained sweep."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import text

from api.app import create_app
from db.session import make_engine, reader_url
from tests.conftest import DatabaseServer
from tests.cookbook import train
from tests.integration.test_api import settings as settings_of
from tests.serving import served

_NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60_000
"""In ms, with what a page is to show: far more than it takes."""

SPEC = {
    "name": "tiny",
    "base": {
        "data": {"name": "digits", "train_samples": 96, "test_samples": 64},
        "model": {"hidden": [12, 12]},
        "train": {"epochs": 4, "batch_size": 16},
        "trace": {"points_per_decade": 4},
    },
    "grid": {"rule.name": ["bp", "fa", "dfa"], "train.lr": [0.001, 0.003]},
    "seeds": {"count": 2},
}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("ALIGNSWEEP_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium; name one in ALIGNSWEEP_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a context of its own. What it throws, and what its policy refuses, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert errors == []


@dataclass(frozen=True)
class Site:
    """A served database, and what SQL says of it."""

    url: str

    def rows(self, sql: str) -> list[list[Any]]:
        answer = httpx.post(f"{self.url}/api/v1/query", json={"sql": sql}, timeout=30)
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows


@pytest.fixture(scope="session")
def site(database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With a trained sweep, number 1. Tests that change anything take a database of their own."""
    database_server.execute("CREATE DATABASE browsed TEMPLATE alignsweep_template")
    url = database_server.url_of("browsed")
    folder: Path = tmp_path_factory.mktemp("store")
    engine = make_engine(url)
    train(engine, SPEC, folder, reproducibility="tolerance")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT state FROM sweeps")).scalar_one() == "succeeded"
    engine.dispose()
    with served(create_app(settings_of(url, reader_url(url, password=None), token=None))) as address:
        yield Site(address)


@pytest.fixture
def own_site(database_url: str, reader: str) -> Iterator[Site]:
    """An empty one, for the test alone."""
    with served(create_app(settings_of(database_url, reader, token=None))) as address:
        yield Site(address)
