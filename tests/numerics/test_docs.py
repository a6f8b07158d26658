"""Code in the documentation runs."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_engine_is_checked_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (DOCS / "engine.md").read_text(), re.DOTALL)
    exec(snippet, {})
    assert capsys.readouterr().out.startswith("(6, 7) [")


def test_the_theory_is_solved_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (DOCS / "theory.md").read_text(), re.DOTALL)
    exec(snippet, {})
    shapes, deviation, closed_forms = capsys.readouterr().out.splitlines()
    assert shapes == "(100, 3) (100, 3, 2, 2)"
    assert float(deviation) < 0.1
    assert closed_forms.endswith("(100, 2)")
