"""Specs as text: where things stand, the schema that editors check them with, and the commands that need no server."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.client.specfile import NotYaml, Positions, load_yaml
from services.domain.errors import InvalidSpec
from services.domain.spec.schema import json_schema
from services.planning.expansion import parse
from tests.unit.test_spec_docs import EXAMPLES, ROOT

TEXT = """\
name: x
base:
  train:
    lr: 1
grid:
  rule.name:
    - bp
    - dfa
  data/odd~path: [1, 2]
when: [{if: {a: [1]},
        grid: {b: [2]}}]
"""


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("", (1, 1)),
        ("/name", (1, 1)),
        ("/base/train/lr", (4, 5)),
        ("/base/train/missing", (3, 3)),  # what would hold it
        ("/nowhere", (1, 1)),
        ("/grid/rule.name/1", (8, 7)),
        ("/grid/rule.name/7", (6, 3)),
        ("/grid/data~1odd~0path/1", (9, 22)),
        ("/when/0/grid/b", (11, 16)),
    ],
)
def test_a_pointer_has_a_line_and_a_column(pointer: str, place: tuple[int, int]) -> None:
    assert Positions(TEXT).of(pointer) == place


def test_an_empty_text_has_a_first_line() -> None:
    assert Positions("").of("/name") == (1, 1)


def test_what_is_not_yaml_says_where() -> None:
    with pytest.raises(NotYaml) as caught:
        load_yaml("a: 1\nb: [1\nc: 2")
    assert (caught.value.line, caught.value.column) == (3, 2)


def test_wrong_indentation_is_called_that() -> None:
    with pytest.raises(NotYaml, match="the indentation does not fit") as caught:
        load_yaml("base:\n   data: {name: digits}\n  train: {lr: 0.1}")
    assert caught.value.line == 3
    with pytest.raises(NotYaml, match="expected <block end>, but found '<scalar>'"):  # nothing of indentation
        load_yaml("name: 'a' b")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: {}", ["name must be given"]),
        (
            "name: a\nbase: {rule: {feedback: {scale: '0.1'}}}",
            [
                "'0.1' is not one of inv_sqrt_width, inv_sqrt_max_width, inv_sqrt_outputs, unit_rows; "
                "Input should be a valid number, not the text '0.1'",
                "write 0.1, without quotes",
            ],
        ),
        ("name: a\ngrid: {train.lr: ['0.1']}", ["not the text '0.1'", "write 0.1, without quotes"]),
        ("name: a\nbase: {train: {lr: much}}", ["Input should be a valid number, not 'much'"]),
    ],
)
def test_messages_name_the_field_and_the_remedy(text: str, told: list[str]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(load_yaml(text))
    (problem,) = caught.value.problems
    message, *hint = told
    assert message in problem.message
    assert problem.hint == (hint[0] if hint else None)


VALIDATOR = jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("text", [*EXAMPLES, *(path.read_text() for path in (ROOT / "recipes").glob("*.yaml"))])
def test_what_is_valid_is_so_by_its_schema(text: str) -> None:
    VALIDATOR.validate(load_yaml(text))


@pytest.mark.parametrize(
    "parts",
    [
        {"gird": {}},
        {"grid": {"rule.nmae": ["bp"]}},
        {"grid": {"rule.name": ["bpp"]}},
        {"grid": {"train.lr": {"rang": [0, 1, 0.1]}}},
        {"grid": {"train.lr": []}},
        {"when": [{"grid": {"train.lr": [1]}}]},
        {"when": [{"if": {"rule.name": ["dfaa"]}, "grid": {"train.lr": [1]}}]},
        {"random": {"samples": 2, "space": {"train.lr": {"normal": [0, 1]}}}},
        {"random": {"samples": 2, "space": {"train.l": {"uniform": [0, 1]}}}},
    ],
    ids=str,
)
def test_editors_see_what_is_wrong(parts: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"name": "test", **parts})


def test_the_schema_is_a_schema_and_is_printed() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    printed = CliRunner().invoke(app, ["schema"])
    assert json.loads(printed.stdout) == json.loads(json.dumps(json_schema()))


def test_validate_tells_trials_branches_and_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(
        "name: a\nbase: {train: {lr: 0.1}}\ngrid: {rule.name: [bp, fa]}\n"
        "when:\n  - {if: {rule.name: [fa]}, grid: {rule.feedback.scale: [0.1, 1.0]}}\nseeds: {count: 5}\n"
    )
    Path("b.yaml").write_text("nam: b\n")
    good = CliRunner().invoke(app, ["validate", "a.yaml"])
    assert good.exit_code == 0
    assert good.stdout == (
        "a.yaml: 15 trials (3 configurations, 5 seeds each)\n  5 trials elsewhere\n  10 trials where rule.name = fa\n"
    )
    assert good.stderr == (
        "a.yaml:2: warning: /base/train/lr: lr 0.1 on gradients summed over 32 samples steps like 3.2 on their mean "
        "(train.reduction: mean, if the mean is meant)\n"
    )
    both = CliRunner().invoke(app, ["validate", "b.yaml", "a.yaml"])
    assert both.exit_code == 1
    assert "b.yaml:1: /nam: there is no field 'nam' here (did you mean name?)" in both.stderr
    assert "a.yaml: 15 trials" in both.stdout


def test_a_spec_may_come_on_standard_input() -> None:
    good = CliRunner().invoke(app, ["validate", "-"], input="name: a\nseeds: {count: 2}\n")
    assert (good.exit_code, good.stdout) == (0, "<stdin>: 2 trials (1 configurations, 2 seeds each)\n")
    wrong = CliRunner().invoke(app, ["validate", "-"], input="name: a\ngrid: {rule.name: [dfaa]}\n")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("<stdin>:2: /grid/rule.name/0: ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name: a\nnotes: caf\xe9\n", "a.yaml:2: byte 0xe9 is not UTF-8\n"),
        (b"# nothing\n", "a.yaml:1: there is no spec in it: it is empty\n"),
    ],
)
def test_files_that_hold_no_spec_are_named(
    content: bytes, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_bytes(content)
    result = CliRunner().invoke(app, ["validate", "a.yaml"])
    assert (result.exit_code, result.stderr) == (1, told)
