"""A recipe from its submit to its report, through the command, the API and SQL; the dispatcher is in this process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.client import Client
from services.dispatcher import Dispatcher
from services.store import Store
from tests.integration.test_api import settings
from tests.serving import served
from workers.inline import InlineExecutor
from workers.pack import describe
from workers.training import products
from workers.training.data.library import DataLibrary


@pytest.fixture
def server(database_url: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(create_app(settings(database_url, reader, token=None, store=str(tmp_path / "store")))) as url:
        monkeypatch.setenv("ALIGNSWEEP_URL", url)
        yield url


@contextmanager
def dispatching(engine: Engine, store: Path) -> Iterator[None]:
    """A dispatcher in a thread, while the block runs."""
    executor = InlineExecutor(DataLibrary(), describe("cpu", products.configure(), "tolerance"))
    dispatcher = Dispatcher(engine=engine, executor=executor, store=Store(str(store)), ttl=timedelta(minutes=1))
    stopped = Event()

    def run() -> None:
        while not stopped.wait(dispatcher.tick().total_seconds()):
            pass
        dispatcher.drain()

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def reproduce(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["reproduce", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]  # after what the dispatcher logs


def test_a_recipe_is_trained_decided_and_reported(server: str, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    with dispatching(engine, tmp_path / "store"):
        rows = json.loads(reproduce("P6", "--size", "ci", "--folder", str(folder), "-o", "json"))
    assert {row["id"] for row in rows} == {"P6"}
    assert {row["verdict"] for row in rows} == {"holds"}

    page = (folder / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs nothing else
    assert (folder / "report.md").read_text().count("| holds |") == len(rows) + 1  # of each claim, and of the recipe
    assert {path.name for path in (folder / "figures").iterdir()} == {"p6.png", "p6.svg"}

    (found,) = json.loads((folder / "findings.json").read_text())
    with Client(server) as client:
        for question in found["questions"].values():
            assert client.frame(question).height > 0
        reproduce("P6", "--size", "ci", "--folder", str(folder))  # without a dispatcher: nothing is trained again
        assert len(list(client.sweeps())) == len(found["sweeps"])


def test_the_cost_is_told_before(server: str) -> None:
    costs = json.loads(reproduce("P6", "P11", "--size", "paper", "--dry-run", "-o", "json"))
    assert {cost["sweep"]: cost["trials"] for cost in costs}["p11-grid-paper"] == 250
    with Client(server) as client:
        assert list(client.sweeps()) == []
