"""What users wrote is shown as they wrote it, and does nothing where it is shown."""

import csv
import io
import json

import pytest

from api.cli.console import Format, show, told
from api.cli.table import show_table
from api.client import ServerRefused, ServerUnreachable


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd()", "'=cmd()"),
        ("+1+cmd()", "'+1+cmd()"),
        ("-cmd()", "'-cmd()"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-0.25±0.10", "-0.25±0.10"),  # a mean and its deviation
        ("-1e-3", "-1e-3"),
        ("plain", "plain"),
    ],
)
def test_text_is_no_formula_in_csv(text: str, written: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(["name"], [[text]], Format.CSV)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["name"], [written]]


def test_text_is_no_markup_in_tables_and_messages(capsys: pytest.CaptureFixture[str]) -> None:
    show(["name"], [["[/red] [bold]x"]], Format.TABLE)
    assert "[/red] [bold]x" in capsys.readouterr().out
    with pytest.raises(BaseException, match="4"), told():  # typer.Exit with the status of a refusal
        raise ServerRefused(422, {"title": "[/x]", "detail": "[/red]"})
    assert "[/x]: [/red]" in capsys.readouterr().err


def test_what_programs_read_is_json_in_csv_and_loses_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    show(["varied", "ok"], [[{"rule.name": "bp"}, True]], Format.CSV)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["varied", "ok"], ['{"rule.name": "bp"}', "true"]]
    with pytest.raises(ValueError, match="two columns are called a"):
        show(["a", "a"], [[1, 2]], Format.JSON)


LAYERS = [
    {"layer": 1, "gradient_alignment_mean": 0.5, "gradient_alignment_sd": 0.1},
    {"layer": 2, "weight_alignment_mean": 0.25, "weight_alignment_sd": None},
]
GROUP = {
    "varied": {"rule.name": "dfa"},
    "n": 2,
    "diverged": 0,
    "test_accuracy_mean": 0.79,
    "test_accuracy_sd": 0.033,
    "layers": LAYERS,
}


def test_tables_are_numbers_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([GROUP], Format.JSON)
    assert json.loads(capsys.readouterr().out) == [
        {
            "rule.name": "dfa",
            "n": 2,
            "diverged": 0,
            "test_accuracy_mean": 0.79,
            "test_accuracy_sd": 0.033,
            "gradient_alignment_1_mean": 0.5,
            "gradient_alignment_1_sd": 0.1,
            "weight_alignment_2_mean": 0.25,
            "weight_alignment_2_sd": None,
        }
    ]
    show_table([GROUP], Format.TABLE)
    assert "79.0±3.3" in capsys.readouterr().out


def test_addresses_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseException, match="3"), told():
        raise ServerUnreachable("no answer from http://[fe80::1]:8642")
    assert "http://[fe80::1]:8642" in capsys.readouterr().err
