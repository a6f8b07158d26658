"""What users wrote is shown as they wrote it, and does nothing where it is shown."""

import csv
import io

import pytest

from api.cli.console import Format, show, told
from api.client import ServerRefused


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
