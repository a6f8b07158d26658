"""The cookbook's queries, and its answers: `python -m tests.cookbook` trains the quickstart and writes them anew."""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api.client.specfile import read_spec
from db.embedded import EmbeddedPostgres
from db.migrate import upgrade
from db.session import make_engine, make_reader_engine
from services import sweeps
from services.dispatcher import Dispatcher
from services.planning.expansion import parse
from services.query import QueryResult, run_query
from services.store import Store
from workers.inline import InlineExecutor
from workers.pack import describe
from workers.training import numerics, products
from workers.training.data.library import DataLibrary

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "docs" / "cookbook.md"
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"

_RECIPE = re.compile(r"## \d+\. (.*?)\n(.*?)```sql\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


_NO_ROWS = re.compile(r"^No rows: (.*?)\n\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Recipe:
    """`no_rows`: what it means where there are none; None where there always are."""

    question: str
    no_rows: str | None
    sql: str
    answer: str


def recipes() -> list[Recipe]:
    return [Recipe(found[1], _no_rows(found[2]), found[3], found[4]) for found in _RECIPE.finditer(BOOK.read_text())]


def _no_rows(about: str) -> str | None:
    found = _NO_ROWS.search(about)
    return " ".join(found[1].split()) if found else None


def train(engine: Engine, document: Any, store: Path, *, reproducibility: str) -> None:
    """A sweep from its submit to its end, in this process, with its curves and phases kept.

    `reproducibility`: `tolerance`, unless it was measured.
    """
    provenance = describe("cpu", products.configure(), reproducibility)
    with Session(engine) as session, session.begin():
        sweep, _ = sweeps.submit(session, parse(document), idempotency_key=None, owner=None)
    dispatcher = Dispatcher(
        engine=engine,
        executor=InlineExecutor(DataLibrary(), provenance),
        store=Store(str(store)),
        ttl=timedelta(minutes=1),
    )
    while not _is_over(engine, sweep.id):
        dispatcher.tick()
    dispatcher.drain()


def _is_over(engine: Engine, sweep_id: int) -> bool:
    with engine.connect() as connection:
        due = "EXISTS (SELECT FROM rollups_due) OR EXISTS (SELECT FROM phases_due)"
        query = f"SELECT finished_at IS NOT NULL AND NOT ({due}) FROM sweeps WHERE id = :id"
        return bool(connection.execute(text(query), {"id": sweep_id}).scalar_one())


def table(result: QueryResult) -> str:
    """As text: a line of names, a line of rules, the rows."""
    rows = [[_cell(value) for value in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(result.columns, *rows, strict=True)]
    lines = [result.columns, ["-" * width for width in widths], *rows]
    written = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    return "\n".join([*written, f"({len(rows)} rows)"]) + "\n"


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return json.dumps(value)
        case _:
            return str(value)


def renew(answer_to: Callable[[str], QueryResult]) -> None:
    """Write the page with these answers."""

    def renewed(found: re.Match[str]) -> str:
        return found[0][: found.start(4) - found.start()] + table(answer_to(found[3])) + "```"

    BOOK.write_text(_RECIPE.sub(renewed, BOOK.read_text()))


@contextmanager
def quickstart(folder: Path) -> Iterator[Engine]:
    """The reader's engine of a database with the quickstart's sweep, trained."""
    with EmbeddedPostgres.start(folder) as database:
        upgrade(database.url, reader_password=None)
        engine = make_engine(database.url)
        products.configure()
        measured = numerics.reproducibility(torch.device("cpu"))
        train(engine, read_spec(QUICKSTART), folder / "store", reproducibility=measured)
        yield make_reader_engine(database.reader_url)
        engine.dispose()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, quickstart(Path(folder)) as reader:
        renew(lambda sql: run_query(reader, sql, max_rows=100))


if __name__ == "__main__":
    main()
