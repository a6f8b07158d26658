"""The commands of README and tutorial, in their order, against a service; the sweep is a smaller quickstart."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.client.specfile import load_yaml
from tests.documents import ROOT, blocks, commands
from tests.integration.test_api import settings
from tests.integration.test_reproduce import dispatching
from tests.serving import served

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
README = (ROOT / "README.md").read_text().partition("## Going on")[2].partition("## The paper, reproduced")[0]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
ELSEWHERE = ("make up", "source", "psql", "alignsweep doctor")
"""What these start runs in other tests, or is no part of alignsweep; the doctor wants a service of some age."""
SMALL = {
    "data": {"train_samples": 200, "test_samples": 100},
    "train": {"epochs": 2},
    "trace": {"points_per_decade": 4, "probe": 64, "evaluate_on": 100},
}
"""What makes the quickstart take seconds."""


@pytest.fixture(autouse=True)
def server(
    database_url: str, reader: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    store = tmp_path / "store"
    with (
        served(create_app(settings(database_url, reader, token=None, store=str(store)))) as url,
        dispatching(engine, store),
    ):
        (tmp_path / "server.json").write_text(json.dumps({"url": url}))
        (tmp_path / "recipes").mkdir()
        spec = load_yaml(QUICKSTART.read_text())
        for part, values in SMALL.items():
            spec["base"][part] |= values
        spec["grid"]["model.hidden"] = [[64, 64, 64]]
        spec["seeds"]["count"] = 3
        (tmp_path / "recipes" / "quickstart.yaml").write_text(json.dumps(spec))
        monkeypatch.setenv("ALIGNSWEEP_HOME", str(tmp_path))
        monkeypatch.setenv("ALIGNSWEEP_URL", url)
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.chdir(tmp_path)
        yield url


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=["README", "tutorial"])
def test_the_commands_run(page: str) -> None:
    ran = 0
    for command, shown in commands(page):
        if command.startswith(ELSEWHERE):
            continue
        command = command.replace("make run", "alignsweep run recipes/quickstart.yaml")
        name, *arguments = shlex.split(command, comments=True)
        assert name == "alignsweep"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"
        if arguments[0] == "sql" and shown:
            assert _columns(result.stdout) >= _columns(shown)
        ran += 1
    assert ran >= 8


def test_the_grid_that_the_tutorial_shows_is_the_quickstarts() -> None:
    (excerpt,) = blocks(TUTORIAL, "yaml")
    assert load_yaml(QUICKSTART.read_text())["grid"] == load_yaml(excerpt)["grid"]


def _columns(output: str) -> set[str]:
    """The words of the first line that says something, after what the dispatcher logs."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("{")]
    return set(lines[0].split())
