"""Commands for data that leaves and comes back: SQL, exports, archives; and trials that are trained once more."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from api.cli.bars import transferring
from api.cli.console import FAILED, Format, err, show, told
from api.cli.examples import examples
from api.cli.naming import SweepId, found, sweeps_like
from api.cli.specs import size_of
from api.client import Client
from api.client.progress import shown
from api.client.transfer import FORMS, TABLES

app = typer.Typer()

Target = Annotated[Path, typer.Option("--output", "-o", help="Where it goes; - is standard output.")]


class FileFormat(StrEnum):
    PARQUET, ARROW, CSV, NDJSON = FORMS


_BINARY = ("parquet", "arrow")


def _table(name: str) -> str:
    """Raises typer.BadParameter."""
    if name not in TABLES:
        raise typer.BadParameter(f"there is no table {name!r}, only {', '.join(TABLES)}")
    return name


class AnswerFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


@app.command(
    epilog=examples(
        'alignsweep sql "SELECT varied, n, test_accuracy_mean FROM v_group_stats WHERE sweep_id = 1" -o csv'
    )
)
def sql(
    query: Annotated[
        str, typer.Argument(help="One SELECT over the public views, for instance v_trials; - is standard input.")
    ],
    output: Annotated[
        AnswerFormat, typer.Option("--format", "--output", "-o", help="How rows are printed.")
    ] = AnswerFormat.TABLE,
    max_rows: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many rows.")] = 10_000,
) -> None:
    """Ask in SQL, read-only."""
    with told(), Client() as client:
        if query == "-":
            query = sys.stdin.read()
        if output in (AnswerFormat.CSV, AnswerFormat.ARROW):
            truncated = client.sql_as(query, _to(Path("-"), binary=output in _BINARY), form=output, max_rows=max_rows)
        else:
            answer = client.sql(query, max_rows=max_rows)
            show(answer["columns"], answer["rows"], Format(output))
            truncated = answer["truncated"]
        if truncated:
            err.print(f"there are more than {max_rows} rows; see --max-rows", highlight=False)


@app.command(
    epilog=examples(
        "alignsweep export last --table traces -o traces.parquet", "alignsweep export 1 2 --table trials --format csv"
    )
)
def export(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SWEEP]...",
            autocompletion=sweeps_like,
            help="Numbers of sweeps, `last`, names or beginnings of names; none: all sweeps.",
        ),
    ] = None,
    table: Annotated[str, typer.Option(callback=_table, help=f"One of {', '.join(TABLES)}.")] = "trials",
    form: Annotated[FileFormat | None, typer.Option("--format", help="Else what the file's name says.")] = None,
    target: Target = Path("-"),
) -> None:
    """Export all rows of a table, of some sweeps or of all: Parquet, Arrow, CSV or NDJSON."""
    kind = form or _form_of(target)
    to = _to(target, binary=kind in _BINARY)
    with told(), Client() as client:
        of = [found(client, sweep) for sweep in sweeps or ()] or None
        with transferring(table) as told_bytes:
            size = client.export(table, to, form=kind, sweeps=of, told=told_bytes)
        _tell_size(target, size)


@app.command(epilog=examples("alignsweep archive last -o sweep.zip"))
def archive(
    sweep_id: SweepId,
    target: Target,
    snapshots: Annotated[bool, typer.Option("--snapshots", help="With the weights that were kept.")] = False,
) -> None:
    """Save a sweep that is over as one file, to keep or to import elsewhere."""
    to = _to(target, binary=True)
    with told(), Client() as client:
        of = found(client, sweep_id)
        with transferring(f"sweep {of}") as told_bytes:
            size = client.archive(of, to, snapshots=snapshots, told=told_bytes)
        _tell_size(target, size)


@app.command("import", epilog=examples("alignsweep import sweep.zip"))
def import_archive(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An archive of a sweep.")],
) -> None:
    """Store an archived sweep; prints its id, also where it was imported before."""
    with told(), Client() as client:
        with transferring(path.name, path.stat().st_size) as told_bytes:
            sweep = client.import_archive(path, told=told_bytes)
        err.print(f"sweep {sweep['id']} ({sweep['name']}): {sweep['trial_count']} trials", highlight=False)
        typer.echo(sweep["id"])


@app.command("reproduce-trial", epilog=examples("alignsweep reproduce-trial 17"))
def reproduce_trial(
    trial_id: Annotated[int, typer.Argument(min=1, help="Id of a trial that is over.")],
) -> None:
    """Train a trial once more and compare all that was measured, bit for bit; exit code 1 unless it is equal."""
    with told(), Client() as client:
        sweep = client.reproduce(trial_id)
        again = next(client.trials(sweep["id"]))["id"]
        err.print(f"trial {again} of sweep {sweep['id']} is trial {trial_id} again", highlight=False)
        shown(client.wait(sweep.id), console=err)
        if not _tell_comparison(client.compare(trial_id, again)):
            raise typer.Exit(FAILED)


def _tell_comparison(comparison: dict[str, Any]) -> bool:
    """Say how two trials compare; returns whether they are equal."""
    compared, unlike = comparison["rows_compared"], comparison["rows_unlike"]
    if comparison["equal"]:
        typer.echo(f"equal: {compared} rows, bit for bit")
    else:
        typer.echo(f"not equal: {unlike} of {compared} rows are unlike")
    if first := comparison["first_difference"]:
        where = ", ".join(f"{name} {value}" for name, value in first["key"].items())
        what = (
            f"{first['column']} is {first['value']!r} and {first['other']!r}"
            if first["column"]
            else "one has no such row"
        )
        typer.echo(f"first: {first['table']} at {where}: {what}")
    for obstacle in comparison["obstacles"]:
        typer.echo(f"not to be expected: {obstacle}")
    return bool(comparison["equal"])


def _to(target: Path, *, binary: bool) -> Path | BinaryIO:
    """The file, or standard output. Raises typer.BadParameter where a terminal would be sent what it cannot show."""
    if target != Path("-"):
        return target
    if binary and sys.stdout.isatty():
        raise typer.BadParameter("this is not for a terminal: name a file (-o), or send it into one (>)")
    return sys.stdout.buffer


def _form_of(target: Path) -> str:
    """The format that the file's name ends in. Raises typer.BadParameter."""
    form = target.suffix.removeprefix(".")
    if form not in set(FileFormat):
        raise typer.BadParameter(f"name a format: --format {'|'.join(FileFormat)}")
    return form


def _tell_size(target: Path, size: int) -> None:
    err.print(f"{target}: {size_of(size)}", highlight=False)
