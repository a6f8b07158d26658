"""Data goes to standard output, talk to standard error; exit codes are few and documented."""

import csv
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from api.client import ServerRefused, ServerUnreachable
from services.domain.errors import DomainError

FAILED = 1  # the sweep did not succeed, or the command could not do its work
UNREACHABLE = 3
REFUSED = 4

out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 160)


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_FORMULA = re.compile(r"[=@\t\r]|[-+](?![\d.e±+-]*$)")


@contextmanager
def told() -> Iterator[None]:
    """Errors that a user can act on become a message and an exit code; others are our bugs and stay tracebacks."""
    try:
        yield
    except ServerUnreachable as error:
        err.print(
            f"[red]{error}[/]\nStart one with [bold]alignsweep up[/], or name it with ALIGNSWEEP_URL.", highlight=False
        )
        raise typer.Exit(UNREACHABLE) from None
    except ServerRefused as error:
        err.print(f"[red]{escape(str(error.problem.get('title')))}[/]: {escape(str(error))}", highlight=False)
        for entry in error.problem.get("errors") or []:
            hint = f"  ({entry['hint']})" if entry.get("hint") else ""
            err.print(f"  {entry['pointer'] or '/'}: {entry['message']}{hint}", highlight=False, markup=False)
        raise typer.Exit(REFUSED) from None
    except (DomainError, OSError, ValueError) as error:
        err.print(f"[red]{escape(str(error))}[/]", highlight=False)
        raise typer.Exit(FAILED) from None


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: Format, *, title: str | None = None) -> None:
    """Rows on standard output."""
    match form:
        case Format.JSON:
            sys.stdout.write(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str) + "\n")
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_harmless(value) for value in row] for row in rows)
        case Format.TABLE:
            table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
            for index, column in enumerate(columns):
                numeric = all(isinstance(row[index], int | float) for row in rows if row[index] is not None)
                table.add_column(column, justify="right" if numeric else "left", overflow="fold")
            for row in rows:
                table.add_row(*(Text(_cell(value)) for value in row))
            out.print(table)


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
