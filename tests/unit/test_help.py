"""The command line by itself: help and examples, specs to begin with, charts, completion, colours."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from matplotlib.figure import Figure
from typer.testing import CliRunner

from api.cli import figures
from api.cli.main import app
from api.cli.naming import recipes_like, sweeps_like
from api.cli.terminal import chart
from api.client import Client, Sweep
from api.client.specfile import read_spec
from api.client.sweeps import Plots
from services.planning.expansion import count, parse
from tests.ports import free_port
from tests.serving import served


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield path + name, command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_are_right_usage(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("recipes/quickstart.yaml", "sweep.zip"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).touch()
    lines = [line[2:] for line in (COMMANDS[name].epilog or "").split("\n\n") if line.startswith("$ ")]
    assert lines
    for line in lines:
        words = shlex.split(line.replace('psql "$(', "").replace(')"', ""))
        arguments = words[words.index("alignsweep") + 1 :]
        assert arguments[: len(name.split())] == name.split()
        COMMANDS[name].make_context(name, arguments[len(name.split()) :])


def test_help_shows_examples() -> None:
    shown = CliRunner().invoke(app, ["cancel", "--help"], env={"COLUMNS": "120"}).output
    assert "$ alignsweep cancel 12 --yes" in shown


def test_a_new_spec_is_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["new", "yes.yaml"]).exit_code == 0
    spec = parse(read_spec(Path("yes.yaml")))
    assert (spec.name, count(spec)) == ("yes", 15)
    assert CliRunner().invoke(app, ["new", "yes.yaml"]).exit_code == 1
    assert CliRunner().invoke(app, ["new", "yes.yaml", "--force"]).exit_code == 0
    lines = Path("yes.yaml").read_text().splitlines()
    every = "\n".join(line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line for line in lines[4:])
    parse(read_spec_text(every.replace("  train.lr: {log", "  train.momentum: {log"), tmp_path))


def read_spec_text(text: str, folder: Path) -> object:
    path = folder / "spec.yaml"
    path.write_text(text)
    return read_spec(path)


def test_a_chart_puts_points_where_they_belong() -> None:
    lines = chart("title", {"1": [(0, 0.0), (1000, 1.0)], "2": [(0, -1.0), (1000, -1.0)]}).splitlines()
    assert lines[0] == "title"
    assert lines[1].startswith(" 1.00 |")
    assert lines[1].endswith("1")
    assert lines[6].startswith("    0 |1---")
    assert lines[11].startswith("-1.00 |2")
    assert lines[11].endswith("2")
    assert lines[12].endswith("step 1,000")


def test_recipes_are_completed_and_sweeps_where_a_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [value for value, _ in recipes_like("p1")][:2] == ["P1", "P10"]
    monkeypatch.setenv("ALIGNSWEEP_URL", f"http://127.0.0.1:{free_port()}")
    assert sweeps_like("") == []


def test_sweeps_are_completed_by_the_beginnings_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = [{"id": 12, "name": "mine", "state": "running"}, {"id": 11, "name": "other", "state": "queued"}]
    monkeypatch.setattr(Client, "sweeps", lambda *_, **__: iter(newest))
    assert sweeps_like("mi") == [("mine", "sweep 12, running")]
    assert [value for value, _ in sweeps_like("")] == ["12", "11", "last"]


@pytest.mark.parametrize("up", [True, False])
def test_a_port_that_is_taken_is_told_with_what_takes_it(up: bool, tmp_path: Path) -> None:
    service = FastAPI()
    service.get("/api/v1/sweeps")(lambda: {"items": [], "next_cursor": None})
    with served(service) as url, socket.create_server(("127.0.0.1", 0)) as silent:
        stale = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "server.json").write_text(json.dumps({"url": url if up else stale}))
        environment = {"ALIGNSWEEP_HOME": str(tmp_path), "ALIGNSWEEP_PORT": url.rpartition(":")[2]}
        begun = time.monotonic()
        result = CliRunner().invoke(app, ["up"], env=environment)
    assert result.exit_code == 1
    assert (f"it is up already: {url} serves" if up else "set ALIGNSWEEP_PORT") in result.stderr
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("variables", "coloured"), [({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_colours_are_left_out_where_nobody_wants_them(variables: dict[str, str], coloured: bool) -> None:
    code = "from api.cli.console import told\nwith told():\n    raise ValueError('no')"
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR")}
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**environment, **variables}, capture_output=True, text=True, timeout=60
    )
    assert ("\x1b[31m" in ran.stderr) == coloured
    assert "no" in ran.stderr


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_a_terminal_is_asked(answer: bytes, code: int) -> None:
    ours, theirs = os.openpty()
    try:
        os.write(ours, answer)
        script = "from api.cli.operate import _ask\nimport typer\ntyper.run(lambda: _ask('cancel sweep 1?'))"
        ran = subprocess.run([sys.executable, "-c", script], stdin=theirs, capture_output=True, text=True, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert "cancel sweep 1? [y/N]" in ran.stderr


@pytest.mark.parametrize(("limit", "rows", "told"), [("2", 2, True), ("3", 3, False), ("0", 3, False)])
def test_a_list_that_is_cut_says_so(limit: str, rows: int, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(*_: object, limit: int | None, **__: object) -> list[dict[str, Any]]:
        return [{"id": i} for i in range(3)][:limit]

    monkeypatch.setattr(Client, "trials", listed)
    result = CliRunner().invoke(app, ["trials", "1", "--fields", "id", "-o", "csv", "--limit", limit])
    assert result.stdout.splitlines() == ["id", *map(str, range(rows))]
    assert result.stderr == ("there are more than these 2; --limit 0 shows all\n" if told else "")


def test_who_has_read_enough_is_told_nothing() -> None:
    code = "import sys; from api.cli.main import main; sys.argv = ['alignsweep', 'schema']; main()"
    read, written = os.pipe()
    os.close(read)
    ran = subprocess.run([sys.executable, "-c", code], stdout=written, stderr=subprocess.PIPE, timeout=60)
    os.close(written)
    assert (ran.returncode, ran.stderr) == (1, b"")


@pytest.mark.parametrize("figure", ["out/{size}.png", "out/figure", "figure.txt", "-"])
def test_a_figure_that_cannot_be_is_refused_before_training(figure: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.touch()
    result = CliRunner().invoke(app, ["run", str(spec), "--figure", figure])
    assert result.exit_code == 2
    assert "'--figure'" in result.output


def test_a_figure_stays_where_it_was_wanted() -> None:
    sweep = Sweep(Client("http://test"), {"id": 3, "name": "../../etc/{id}"})
    assert figures.named(Path("out/{name}-{id}.png"), sweep) == Path("out/-..-etc-id--3.png")
    assert figures.named(Path("{name}/a.png"), Sweep(Client("http://test"), {"id": 3, "name": ".."})) == Path(
        "sweep/a.png"
    )


@pytest.mark.parametrize("output", ["fig", "fig.doc"])
def test_a_figure_without_a_format_is_wrong_usage(output: str) -> None:
    assert CliRunner().invoke(app, ["plot", "1", "-o", output]).exit_code == 2


def test_a_figure_can_go_to_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "sweep", lambda client, _: Sweep(client, {"id": 3, "name": "a"}))
    monkeypatch.setattr(Plots, "all", lambda _: Figure())
    assert CliRunner().invoke(app, ["plot", "3", "-o", "-"]).stdout_bytes.startswith(b"\x89PNG")


def test_a_question_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(_: Client, sql: str, *, max_rows: int) -> dict[str, Any]:
        asked.append(sql)
        return {"columns": ["a"], "rows": [[1]], "truncated": False}

    monkeypatch.setattr(Client, "sql", answer)
    assert CliRunner().invoke(app, ["sql", "-", "-o", "json"], input="SELECT 1 AS a\n").stdout == '[{"a": 1}]\n'
    assert asked == ["SELECT 1 AS a\n"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.yaml"
    result = CliRunner().invoke(app, ["new", str(path)])
    assert (result.exit_code, result.stderr) == (1, f"{path}: No such file or directory\n")


def test_columns_are_heeded_where_no_terminal_is() -> None:
    code = "from api.cli.console import out\nprint(out.width)"
    widths = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "COLUMNS": columns}, capture_output=True, text=True
        ).stdout.strip()
        for columns in ("70", "")
    ]
    assert widths == ["70", "160"]


@pytest.mark.parametrize(
    "words",
    [
        "clone 1 --set nonsense",
        "clone 1 --set base.train.lr=[1",
        "export --table bogus --format csv",
        "export -o trials.xlsx",
        "reproduce P1 --size huge",
    ],
)
def test_wrong_usage_is_told_before_anybody_is_asked(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNSWEEP_URL", f"http://127.0.0.1:{free_port()}")
    assert CliRunner().invoke(app, words.split()).exit_code == 2


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{metadata.version('alignsweep')}\n"


def test_a_priority_may_be_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"id": 1, "state": "queued", "pause_reason": None}
    monkeypatch.setattr(Client, "set_priority", lambda _, id_, value: {**answer, "id": id_, "priority": value})
    assert CliRunner().invoke(app, ["priority", "1", "-5"]).stderr == "sweep 1 is queued, priority -5\n"
    assert CliRunner().invoke(app, ["priority", "1", "--bogus"]).exit_code == 2


@pytest.mark.parametrize("words", ["export --format parquet", "archive 1 -o -", "sql SELECT -o arrow", "plot 1 -o -"])
def test_terminals_are_sent_nothing_that_they_cannot_show(words: str) -> None:
    ours, theirs = os.openpty()
    code = "import sys; from api.cli.main import main; main()"
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code, *words.split()], stdout=theirs, stderr=subprocess.PIPE, timeout=60
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (ran.returncode, b"terminal" in ran.stderr) == (2, True)
