"""Code in the documentation runs."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_engine_is_checked_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", (DOCS / "engine.md").read_text(), re.DOTALL)
    exec(snippet, {})
    assert capsys.readouterr().out.startswith("(6, 7) [")
