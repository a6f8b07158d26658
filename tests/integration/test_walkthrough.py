"""The walkthrough: its spec is trained, its query asked, and the answer is what the page shows and concludes from."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.client.specfile import load_yaml
from db.session import make_reader_engine
from services.planning.expansion import count, parse
from services.query import run_query
from tests.cookbook import ROOT, train

PAGE = (ROOT / "docs" / "walkthrough.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_answer_is_the_one_shown(engine: Engine, reader: str, tmp_path: Path) -> None:
    (first, _), (sql,), (shown,) = _blocks("yaml"), _blocks("sql"), _blocks("text")
    assert f"{count(parse(load_yaml(first)))} trials" in PAGE
    train(engine, load_yaml(first), tmp_path, reproducibility="tolerance")
    reading = make_reader_engine(reader)
    found = run_query(reading, sql, max_rows=100)
    reading.dispose()
    names, *lines = shown.splitlines()
    assert found.columns == names.split()
    assert len(found.rows) == len(lines)
    for row, line in zip(found.rows, lines, strict=True):
        rule, optimizer, *numbers = line.split()
        assert row[:2] == [rule, optimizer]
        assert [float(value) for value in row[2:]] == pytest.approx([float(word) for word in numbers], abs=0.051)
    mean = {(rule, optimizer, layer): float(ga) for rule, optimizer, layer, _, ga, *_ in found.rows}
    better = {
        (rule, layer)
        for rule in ("fa", "dfa")
        for layer in (1, 2, 3)
        if mean[rule, "adam", layer] > mean[rule, "sgd", layer]
    }
    assert better == {("fa", 1), ("fa", 2), ("fa", 3), ("dfa", 2), ("dfa", 3)}


def test_the_next_spec_is_one() -> None:
    assert count(parse(load_yaml(_blocks("yaml")[1]))) == 120
