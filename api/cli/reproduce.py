"""The paper's experiments, run, decided and reported."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.console import FAILED, Format, err, show, told
from api.cli.examples import examples
from api.cli.naming import recipes_like
from api.cli.operate import Output, what_can_be_done
from api.client import Client

if TYPE_CHECKING:
    from recipes.catalogue import Size, Sweep
    from recipes.running import Reproduction

app = typer.Typer()

_PATIENCE_SECONDS = 60.0


@app.command(epilog=examples("alignsweep reproduce", "alignsweep reproduce P1 P11 --size desk"))
def reproduce(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(
            autocompletion=recipes_like, help="Recipes, such as P1 or P11; `paper`, `beyond` or `all`. None: list them."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="ci: minutes for all on two cores; desk: an evening; paper: the paper's own grids.")
    ] = "ci",
    folder: Annotated[Path, typer.Option(help="Where the report goes; {size} is the size.")] = Path(
        "out/reproduction-{size}"
    ),
    fresh: Annotated[
        str, typer.Option(help="Any word: under a new one, all is trained anew. Without, what is there is used.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would cost; train nothing.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Run the paper's experiments, decide their claims, write a report: figures, verdicts, intervals, questions.

    Starts the service if it is not up.
    """
    from api.cli.stack import serving
    from recipes.catalogue import catalogue, chosen
    from services.settings import Settings

    with told():
        recipes = catalogue()
        if not recipe:
            show(("id", "experiment"), [(each.id, each.title) for each in recipes.values()], output)
            return
        wanted, of_size = list(chosen(recipe, recipes)), _size(size)
        where = Path(str(folder).replace("{size}", of_size))
        from recipes import report, running  # after the checks: they are slow to import

        with serving(Settings.from_environment()) as client:
            sweeps = running.needed(wanted, of_size, recipes)
            if dry_run:
                _show_cost(client, sweeps, output)
                return
            where.mkdir(parents=True, exist_ok=True)  # rather than fail when all is trained
            ids = running.submit(client, sweeps, fresh=fresh)
            _wait(client, ids)
            reproductions = [running.decide(client, each, of_size, recipes, ids) for each in wanted]
        path = report.write(reproductions, of_size, where)
        _tell(reproductions, output)
        err.print(f"report: {path}", highlight=False)


def _size(name: str) -> "Size":
    from recipes.catalogue import Size

    if name not in set(Size):
        raise typer.BadParameter(f"no size {name}; there are {', '.join(Size)}")
    return Size(name)


def _show_cost(client: Client, sweeps: "Sequence[Sweep]", output: Format) -> None:
    """Of each sweep, as if nothing were trained yet."""
    rows = []
    for sweep in sweeps:
        cost = client.plan(sweep.spec)["plan"]
        seconds = cost["estimate"]["worker_seconds"]
        hours = None if seconds is None else seconds / 3600
        rows.append((sweep.name, cost["trials"], cost["model_steps"], cost["metric_rows"] + cost["trace_rows"], hours))
    show(("sweep", "trials", "updates", "rows", "worker hours"), rows, output)


def _wait(client: Client, ids: Mapping[str, int]) -> None:
    from api.cli.watch import watch

    for name, id_ in ids.items():
        state = client.sweep(id_)["state"]
        if state not in ("succeeded", "partial", "failed", "cancelled"):
            sweep = watch(client, id_)
            if sweep.paused:
                raise ValueError(f"{name} waits for you; {what_can_be_done(sweep)}. Then run this again.")
            state = sweep.state
        err.print(f"{name} (sweep {id_}): {state}", highlight=False)
    for id_ in ids.values():
        _wait_for_comparisons(client, id_)


def _wait_for_comparisons(client: Client, id_: int) -> None:
    """Until all snapshots are compared, or none was for a minute: what the store lost never is."""
    from recipes.running import uncompared

    left, seen = uncompared(client, id_), time.monotonic()
    while left and time.monotonic() - seen < _PATIENCE_SECONDS:
        time.sleep(0.5)
        if (now := uncompared(client, id_)) != left:
            left, seen = now, time.monotonic()


def _tell(reproductions: "list[Reproduction]", output: Format) -> None:
    from recipes.report import interval, number

    columns = ("id", "claim", "verdict", "criterion", "statistic", "interval", "n")
    rows = [
        (each.recipe.id, f.claim, str(f.verdict), f.criterion, number(f.statistic), interval(f), f.n)
        for each in reproductions
        for f in each.findings
    ]
    show(columns, rows, output)
    if any(source.state != "succeeded" for each in reproductions for source in each.sources.values()):
        raise typer.Exit(FAILED)
