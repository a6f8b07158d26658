"""Sessions as users have them: the cells of docs/notebook.ipynb, and the terminal of docs/cli.md, mistakes included."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from sqlalchemy import Engine
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.cli.naming import sweeps_like
from api.client import Client
from tests.goldens import renew_or_compare_text
from tests.integration.test_api import settings
from tests.integration.test_reproduce import dispatching
from tests.ports import free_port
from tests.serving import served

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "cli.md"


@pytest.fixture(autouse=True)
def server(database_url: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(create_app(settings(database_url, reader, token=None, store=str(tmp_path / "store")))) as url:
        monkeypatch.setenv("ALIGNSWEEP_URL", url)
        monkeypatch.chdir(tmp_path)
        yield url


def shown(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; what it shows is the value of its last line."""
    *body, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_notebook_runs(engine: Engine, tmp_path: Path) -> None:
    notebook = json.loads((DOCS / "notebook.ipynb").read_text())
    assert (notebook["nbformat"], {cell["cell_type"] for cell in notebook["cells"]}) == (4, {"markdown", "code"})
    names: dict[str, Any] = {}
    with dispatching(engine, tmp_path / "store"):
        outputs = [shown("".join(cell["source"]), names) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    submitted, state, shape, means, figure = outputs
    sweep, frame = names["sweep"], names["alignment"]
    assert submitted == (sweep.id, 9)
    assert state == "succeeded"
    assert shape == frame.shape == (9 * 3 * frame["step"].n_unique(), frame.width)
    assert means.select("rule", "layer").rows() == [(rule, layer) for rule in ("dfa", "fa") for layer in (1, 2)]
    assert means["mean"].min() > 0
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert [axes.get_title().strip() for axes in figure.axes[:3]] == ["bp", "fa", "dfa"]

    table = sweep.frame("alignment", library="arrow")
    assert isinstance(table, pa.Table)
    assert pl.from_arrow(table).equals(frame)  # type: ignore[union-attr]
    assert sweep.frame()["train.lr"].unique().to_list() == [0.002]
    kinds = [update.kind for update in sweep.follow(after=0)]
    assert kinds[-1] == "end"
    assert "event" in kinds
    names["client"].__exit__()


@dataclass(frozen=True)
class Session:
    title: str
    text: str
    commands: tuple[str, ...]


SPEC = """\
name: first
base:
  data: {name: digits}
  model: {hidden: [16, 16]}
  train: {lr: 0.002, epochs: 3}
  trace: {points_per_decade: 4}
grid: {rule.name: [bp, dfa]}
seeds: {count: 2}
"""
MANY = "name: many\ngrid: {data.label_noise: {linear: [0, 0.99, 100]}}\nseeds: {count: 3}\n"
BEFORE = (
    Session(
        "Begin with a spec",
        "`new` writes one with every part explained; `-` shows it. A file that is there stays.",
        ("alignsweep new draft.yaml", "alignsweep new draft.yaml", "alignsweep validate draft.yaml"),
    ),
    Session(
        "Find what is wrong with it",
        "Everything that is wrong comes at once, with its line ([more of these](mistakes.md)).",
        ("cat wrong.yaml", "alignsweep validate wrong.yaml"),
    ),
    Session(
        "Submit it",
        "The id is all that standard output gets: `id=$(alignsweep submit first.yaml)`. Where no server\n"
        "listens, that is told within two seconds; one that goes away during a command is asked again for some twenty.",
        (
            "cat first.yaml",
            "alignsweep submit frist.yaml",
            "offline alignsweep submit first.yaml",
            "alignsweep submit first.yaml",
        ),
    ),
)
AFTER = (
    Session(
        "Watch it",
        "In a terminal a bar with the time to go; elsewhere a line when trials end; and a line with every change of\n"
        "state. A sweep that pauses, as one does whose trials fail alike, ends the watching with exit code 1, the\n"
        "reason and what can be done. Ctrl-C ends the watching, not the sweep. A sweep is named by its number, by\n"
        "`last`, by its name, or by the beginning of its name where no other name begins so.",
        ("alignsweep watch last", "alignsweep watch fir", "alignsweep watch 7", "alignsweep watch frist"),
    ),
    Session(
        "See how it came out",
        "Over seeds, per configuration: final accuracy, gradient alignment (GA) and weight alignment (WA) per layer.\n"
        "Where trials have diverged, a column counts them.",
        ("alignsweep table last", "alignsweep table last -o csv"),
    ),
    Session(
        "Draw it",
        "`alignsweep plot last` writes a PNG; `-o figure.pdf` a PDF; `--overlay` draws all configurations over one\n"
        "another. Without a screen, the marks are the layers:",
        (
            "alignsweep plot last --terminal -o figure.txt",
            "alignsweep plot last -o figure.pdf",
            "alignsweep plot last --terminal",
        ),
    ),
    Session(
        "Find trials",
        "The language of filters is that of [the API](api.md#lists).",
        (
            'alignsweep trials last --filter "rule = dfa and acuracy > 0.5"',
            'alignsweep trials last --filter "rule = dfa" --sort=-test_accuracy --fields rule,seed,steps,state',
            "alignsweep trials last --fields id,rule,seed -o json",
        ),
    ),
    Session(
        "Ask in SQL",
        "The views are in [sql.md](sql.md); what comes can be a table, JSON, CSV or Arrow.",
        (
            'alignsweep sql "SELECT rule, avg(accuracy) FROM v_trials GROUP BY rule"',
            'alignsweep sql "SELECT rule, layer, count(*) AS n, avg(gradient_alignment) AS mean FROM v_alignment_final'
            ' WHERE layer < 3 GROUP BY 1, 2 ORDER BY 1, 2"',
        ),
    ),
    Session(
        "Take it away",
        "Whole tables of any size, and whole sweeps to import elsewhere ([export.md](export.md)).",
        (
            "alignsweep export last --table traces -o traces.xlsx",
            "alignsweep export last --table traces -o traces.parquet",
            "alignsweep archive last -o first.zip",
        ),
    ),
    Session(
        "Stop it",
        "Where a hundred trials or more are left, it asks first; a script says `--yes`.",
        (
            "alignsweep submit many.yaml",
            "alignsweep cancel many",
            "alignsweep cancel many --yes",
            "alignsweep cancel many",
            "alignsweep ls --sort id -o csv",
        ),
    ),
)
HEAD = """\
# Ten sessions

What users do most, as the terminal shows it, mistakes included. Every command has examples under `--help`. Data goes to
standard output, talk and bars to standard error. `-o json` and `-o csv` are for programs: numbers in full, lists and
objects as JSON. As `-`, specs and questions come from standard input and files go to standard output. `NO_COLOR=1`
turns colours off.

| exit code | when |
| --- | --- |
| 0 | done |
| 1 | the sweep did not succeed or is paused, or the command could not do its work: a wrong spec, a file that is there |
| 2 | wrong usage: an unknown option, table or format, a missing argument, nobody to ask and no `--yes` |
| 3 | no server answers |
| 4 | the server refused: the sweep is not there, the token may not, the question is wrong |
| 130 | Ctrl-C, except in `up`, which it stops |

`alignsweep --install-completion` teaches your shell to complete commands, options, sweeps and recipes. A test writes
this page and runs it again.
"""


def terminal(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal shows of a command, with its exit code where it is not 0."""
    words = shlex.split(command)
    if words[0] == "cat":
        return f"$ {command}\n{Path(words[1]).read_text()}"
    with monkeypatch.context() as patch:
        if words[0] == "offline":
            words = words[1:]
            patch.setenv("ALIGNSWEEP_URL", f"http://127.0.0.1:{free_port()}")
            patch.setattr("time.sleep", lambda _: None)
        result = CliRunner().invoke(app, words[1:], prog_name="alignsweep", env={"COLUMNS": "80"})
    code = f"$ echo $?\n{result.exit_code}\n" if result.exit_code else ""
    return f"$ {shlex.join(words) if command.startswith('offline') else command}\n{stripped(result.output)}{code}"


def constant(page: str) -> str:
    """Without what differs between days and versions: ports, times, sizes of files."""
    page = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8642", page)
    page = re.sub(r"\b\d+ kB", "17 kB", page)
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00)", "2026-11-26T12:00:00Z", page)


def held(page: str) -> str:
    """What must be the same everywhere: all but decimals, distances in tables and points of charts."""
    lines = [line for line in constant(page).splitlines() if " |" not in line[:7] or line.startswith("|")]
    return " ".join(re.sub(r"-?\d+\.\d+", "0.0", " ".join(lines)).split())


def stripped(text: str) -> str:
    """Without the spaces that fill up the lines of tables."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.timeout(120)
def test_the_terminal_shows_what_is_documented(
    server: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("first.yaml").write_text(SPEC)
    Path("wrong.yaml").write_text(SPEC.replace("lr", "learning_rate").replace("dfa", "dfaa"))
    Path("many.yaml").write_text(MANY)
    sections = [section(session, monkeypatch) for session in BEFORE]
    with dispatching(engine, tmp_path / "store"), Client(server) as client:
        assert client.sweep(1).wait().state == "succeeded"
    sections += [section(session, monkeypatch) for session in AFTER]
    assert len(sections) == 10
    assert [value for value, _ in sweeps_like("")] == ["2", "1", "last"]
    assert sweeps_like("la") == [("last", "sweep 2")]
    page = constant("\n".join([HEAD, *sections]))
    if held(page) != held(PAGE.read_text() if PAGE.exists() else ""):
        renew_or_compare_text(PAGE, page)


def section(session: Session, monkeypatch: pytest.MonkeyPatch) -> str:
    blocks = "".join(terminal(command, monkeypatch) for command in session.commands)
    return f"## {session.title}\n\n{session.text}\n\n```console\n{blocks}```\n"
