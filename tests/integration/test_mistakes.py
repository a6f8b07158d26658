"""Ten typical mistakes, and what terminal and curl show of them: docs/mistakes.md is written by this test."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from services.settings import Settings
from tests.goldens import renew_or_compare_text

DOCUMENT = Path(__file__).parents[2] / "docs" / "mistakes.md"
MISTAKES = {
    "A field that does not exist": """\
name: mistake
base:
  train:
    learning_rate: 0.01
""",
    "A word that is not known": """\
name: mistake
base:
  model: {activation: tahn}
grid:
  rule.name: [bp, dfaa]
""",
    "An axis that leads nowhere": """\
name: mistake
grid:
  rule.feedback.scales: [0.1, 1.0]
  lr: [0.1, 0.01]
""",
    "Text where a number is meant, a fraction where it must be whole": """\
name: mistake
base:
  train:
    lr: "0.01"
    batch_size: 32.5
seeds: {count: ten}
""",
    "Lists of unequal length that should change together": """\
name: mistake
zip:
  model.hidden: [[64], [64, 64], [64, 64, 64]]
  train.lr: [0.002, 0.001]
""",
    "Ranges that end nowhere, and a value twice": """\
name: mistake
grid:
  data.label_noise: {range: [0, 0.9, -0.1]}
  train.lr: {log: [0, 0.1, 5]}
  train.epochs: [10, 20, 10]
""",
    "A branch whose condition is no list, and an axis that is there already": """\
name: mistake
grid:
  rule.name: [bp, dfa]
  train.lr: [0.001, 0.01]
when:
  - if: {rule.name: dfa}
    grid: {rule.feedback.scale: [0.1, 1.0]}
  - if: {rule.name: [dfa]}
    grid: {train.lr: [0.1]}
""",
    "Combinations that are no network": """\
name: mistake
base:
  data: {name: digits}
grid:
  rule.name: [bp, fa, dfa]
  model.hidden: [[], [64], [64, 64]]
  train.lr: [0.01, 0.001]
seeds: {count: 5}
""",
    "More trials than anyone would wait for": """\
name: mistake
grid:
  train.lr: {linear: [0.001, 1, 10000]}
  train.epochs: {range: [1, 10000, 1]}
  data.label_noise: {linear: [0, 1, 10000]}
""",
    "YAML that is none": """\
name: mistake
base:
  train: {lr: 0.01
grid:
  rule.name: [bp]
""",
}
_HEAD = """\
# Ten typical mistakes

What the terminal shows of each (`alignsweep validate spec.yaml`), and what the API answers, with status 422, to
`curl -H 'Content-Type: application/yaml' --data-binary @spec.yaml .../api/v1/sweeps`. A test writes this page.
"""


@pytest.fixture
def client(database_url: str, reader: str) -> Iterator[TestClient]:
    settings = replace(Settings.from_environment(), database_url=database_url, reader_url=reader, token=None)
    with TestClient(create_app(settings)) as client:
        yield client


def test_mistakes_are_shown_as_documented(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(MISTAKES) == 10
    sections = []
    for title, spec in MISTAKES.items():
        Path("spec.yaml").write_text(spec)
        terminal = CliRunner().invoke(app, ["validate", "spec.yaml"])
        assert terminal.exit_code == 1
        answer = client.post("/api/v1/sweeps", content=spec, headers={"content-type": "application/yaml"})
        assert answer.status_code == 422
        assert {f"spec.yaml:{error['line']}" for error in answer.json()["errors"]} == {
            line.split(": ")[0] for line in terminal.output.splitlines()
        }
        shown = _shown(answer.json())
        parts = {"yaml": spec, "console": terminal.output, "json": shown}
        blocks = (f"```{kind}\n{text}```\n" for kind, text in parts.items())
        sections.append("\n".join([f"## {title}\n", *blocks]))
    assert client.get("/api/v1/sweeps").json()["items"] == []
    renew_or_compare_text(DOCUMENT, "\n".join([_HEAD, *sections]))


def _shown(problem: dict[str, object]) -> str:
    """A problem document with each of its errors on a line."""
    errors = ",\n  ".join(json.dumps(error) for error in problem.pop("errors"))  # type: ignore[attr-defined]
    return json.dumps(problem)[:-1] + f', "errors": [\n  {errors}\n]}}\n'
