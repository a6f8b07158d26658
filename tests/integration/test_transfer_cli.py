"""The commands for data, as a user types them, against a server; and the queries of the documentation."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from services.store import Store
from tests import queueing
from tests.finished import NAME, finished_sweep
from tests.integration.test_api import settings
from tests.serving import served

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def sweep(session: Session, tmp_path: Path) -> int:
    return finished_sweep(session, Store(str(tmp_path / "store")))


@pytest.fixture(autouse=True)
def server(database_url: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(create_app(settings(database_url, reader, token=None, store=str(tmp_path / "store")))) as url:
        monkeypatch.setenv("ALIGNSWEEP_URL", url)
        monkeypatch.chdir(tmp_path)
        yield url


def run(*arguments: str, status: int = 0) -> bytes:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return result.stdout_bytes


def test_the_duckdb_example_of_the_documentation_runs(sweep: int, capfd: pytest.CaptureFixture[str]) -> None:
    for table in ("traces", "layer_summaries"):
        run("export", str(sweep), "--table", table, "-o", f"{table}.parquet")
    [snippet] = [code for code in snippets() if "import duckdb" in code]
    exec(snippet, {})
    printed = capfd.readouterr().out
    assert all(word in printed for word in ("alignment", "rule.name", "train.lr", "dfa"))
    [(rows, defined)] = duckdb.sql("SELECT count(*), count(weight_alignment) FROM 'traces.parquet'").fetchall()
    assert rows == 2 * defined > 0  # that of the first layer is undefined


def test_the_arrow_example_of_the_documentation_runs(sweep: int) -> None:
    [snippet] = [code for code in snippets() if 'form="arrow"' in code]
    names: dict[str, pa.Table] = {}
    exec(snippet, names)
    assert set(names["table"].column("sweep_id").to_pylist()) == {sweep}


def test_the_frames_of_the_documentation_are_whole(sweep: int) -> None:
    [snippet] = [code for code in snippets() if ".frame(" in code]
    names: dict[str, Any] = {}
    exec(snippet, names)
    run("export", str(sweep), "--table", "traces", "-o", "traces.parquet")
    assert names["alignment"].equals(pl.read_parquet("traces.parquet"))
    assert names["trials"].num_rows == 8


def test_exports_go_to_files_and_to_standard_output(sweep: int, tmp_path: Path) -> None:
    run("export", "--table", "trials", "-o", "trials.parquet")
    assert parquet.read_table("trials.parquet").num_rows == 8
    lines = list(csv.DictReader(io.StringIO(run("export", str(sweep), "--format", "csv").decode(), newline="")))
    assert len(lines) == 8
    run("export", "--table", "trials", "-o", "trials.xlsx", status=2)
    run("export", "--table", "tokens", "--format", "csv", status=2)
    assert not list(tmp_path.glob("*.part"))


def test_sql_prints_csv_and_arrow(sweep: int) -> None:
    question = f"SELECT sweep, count(*) AS n FROM v_trials WHERE sweep_id = {sweep} GROUP BY sweep"
    assert run("sql", question, "--format", "csv").decode().splitlines() == ["sweep,n", f"'{NAME},8"]
    assert pa.ipc.open_stream(run("sql", question, "--format", "arrow")).read_all().to_pylist() == [
        {"sweep": NAME, "n": 8}
    ]
    assert b'"n": 8' in run("sql", question, "--format", "json")


def test_an_archive_is_saved_and_imported(sweep: int, session: Session) -> None:
    run("archive", str(sweep), "-o", "sweep.zip", "--snapshots")
    imported = int(run("import", "sweep.zip"))
    assert imported == int(run("import", "sweep.zip")) != sweep
    Path("bad.zip").write_bytes(b"no zip")
    run("import", "bad.zip", status=4)
    running = queueing.submit(session)
    run("archive", str(running), "-o", "running.zip", status=4)
    assert not Path("running.zip").exists()


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(), re.DOTALL)
