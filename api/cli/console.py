"""Data goes to standard output, talk to standard error; exit codes are few and documented."""

import csv
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from api.cli.sources import Source
from api.client import ServerRefused, ServerUnreachable
from api.client.specfile import NotYaml, Positions
from services.domain.errors import DomainError, InvalidSpec

FAILED = 1  # the sweep did not succeed, or the command could not do its work
WRONG_USAGE = 2
UNREACHABLE = 3
REFUSED = 4


def _width(stream: TextIO) -> int | None:
    """Of what no terminal shows: COLUMNS, or 160. None: the terminal's own."""
    return None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else 160


out = Console(width=_width(sys.stdout))
err = Console(stderr=True, width=_width(sys.stderr))


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_FORMULA = re.compile(r"[=@\t\r]|[-+](?![\d.e±+-]*$)")


@contextmanager
def told(source: Source | None = None) -> Iterator[None]:
    """Errors that a user can act on become a message and an exit code; others are our bugs and stay tracebacks.

    `source`: the spec that what is wrong stands in.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough, which typer ends quietly
        raise
    except ServerUnreachable as error:
        err.print(
            f"[red]{escape(str(error))}[/]\nStart one with [bold]alignsweep up[/], or name it with ALIGNSWEEP_URL.",
            highlight=False,
        )
        raise typer.Exit(UNREACHABLE) from None
    except ServerRefused as error:
        title, problems = str(error.problem.get("title")), error.problem.get("errors") or []
        once = title == str(error) or str(error) == "; ".join(problem["message"] for problem in problems)
        err.print(f"[red]{escape(title)}[/]{'' if once else f': {escape(str(error))}'}", highlight=False)
        if error.status == 401:
            err.print("Put it into ALIGNSWEEP_TOKEN.", highlight=False)
        tell(problems, source)
        raise typer.Exit(REFUSED) from None
    except InvalidSpec as error:
        tell([asdict(problem) for problem in error.problems], source)
        raise typer.Exit(FAILED) from None
    except NotYaml as error:
        tell([{"pointer": None, "message": str(error), "line": error.line or 1}], source)
        raise typer.Exit(FAILED) from None
    except OSError as error:
        of = f"{error.filename}: " if error.filename else ""
        err.print(f"[red]{escape(of + (error.strerror or str(error)))}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(FAILED) from None
    except (DomainError, ValueError) as error:
        err.print(f"[red]{escape(str(error))}[/]", highlight=False)
        raise typer.Exit(FAILED) from None


def tell(problems: Sequence[dict[str, Any]], source: Source | None, *, kind: str = "") -> None:
    """What is wrong, or worth a warning, each on a line that begins with its place in the spec."""
    pointed = [problem for problem in problems if problem["pointer"] is not None]
    positions = Positions(source.text) if source and pointed else None
    for problem in problems:
        pointer = problem["pointer"]
        line = positions.of(pointer)[0] if positions and pointer is not None else problem.get("line")
        place = f"{source}:{line}: " if source and line else ""
        subject = f"{pointer or '/'}: " if pointer is not None else ""
        hint = f" ({problem['hint']})" if problem.get("hint") else ""
        err.print(f"{place}{kind}{subject}{problem['message']}{hint}", highlight=False, markup=False, soft_wrap=True)


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format, *, title: str | None = None) -> None:
    """Rows on standard output."""
    match form:
        case Format.JSON:
            if twice := [column for column, n in Counter(columns).items() if n > 1]:
                raise ValueError(f"two columns are called {twice[0]}: name them apart (AS) to have them as JSON")
            sys.stdout.write(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str) + "\n")
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_harmless(_machine_read(value)) for value in row] for row in rows)
        case Format.TABLE:
            table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
            for index, column in enumerate(columns):
                numeric = all(isinstance(row[index], int | float) for row in rows if row[index] is not None)
                table.add_column(column, justify="right" if numeric else "left", overflow="fold")
            for row in rows:
                table.add_row(*(Text(_cell(value)) for value in row))
            out.print(table)


def _machine_read(value: Any) -> Any:
    """As in the CSV that the server writes: lists, objects and truths are JSON."""
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula, marked as text."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4g}"
        case list() | dict():
            return json.dumps(value)
        case _:
            return str(value)
