"""Commands that list sweeps and trials, and those that note something about a sweep."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from api.cli.console import Format, err, show, told
from api.cli.examples import examples
from api.cli.naming import SweepId, found, sweeps_like
from api.cli.operate import Output
from api.client import Client

app = typer.Typer()

Filter = Annotated[
    str | None,
    typer.Option("--filter", help="For instance: rule in (fa, dfa) and train.lr < 0.01 and not state = failed"),
]
Sort = Annotated[str | None, typer.Option(help="A column or a parameter; -NAME: the greatest first.")]
Limit = Annotated[int, typer.Option(min=0, help="At most so many rows; 0: all.")]

_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
_SWEEP_COLUMNS = ["id", "name", "state", "trials", *_STATES, "diverged", "tags", "created_at"]
_TRIAL_FIELDS = ("seed", "attempts", "steps", "test_accuracy", "gradient_alignment")


@app.command("ls", epilog=examples("alignsweep ls --tag paper", 'alignsweep ls --filter "state = running" -o json'))
def list_sweeps(
    filter: Filter = None,
    sort: Sort = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only sweeps that have this tag; may be repeated.")] = None,
    limit: Limit = 1000,
    output: Output = Format.TABLE,
) -> None:
    """List sweeps, the newest first."""
    with told(), Client() as client:
        rows = [
            [
                sweep["id"],
                sweep["name"],
                sweep["state"],
                sweep["trial_count"],
                *(sweep["trials"].get(state, 0) for state in _STATES),
                sweep["diverged"],
                " ".join(sweep["tags"]) if output is not Format.JSON else sweep["tags"],
                sweep["created_at"],
            ]
            for sweep in _first(limit, client.sweeps(filter=filter, sort=sort, tags=tag or (), limit=_one_more(limit)))
        ]
        diverged = _SWEEP_COLUMNS.index("diverged")
        if output is Format.TABLE and not any(row[diverged] for row in rows):
            rows = [[*row[:diverged], *row[diverged + 1 :]] for row in rows]
            show([column for column in _SWEEP_COLUMNS if column != "diverged"], rows, output)
        else:
            show(_SWEEP_COLUMNS, rows, output)


@app.command(
    "trials",
    epilog=examples(
        'alignsweep trials last --filter "rule = dfa" --sort=-test_accuracy',
        'alignsweep trials --filter "state = failed" --fields id,sweep_id,error -o csv',
    ),
)
def list_trials(
    sweep_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[SWEEP]",
            autocompletion=sweeps_like,
            help="Number of a sweep, `last`, its name or the beginning of it; without it, trials of all.",
        ),
    ] = None,
    filter: Filter = None,
    sort: Sort = None,
    fields: Annotated[
        str | None, typer.Option(help="Columns and parameters to show; by default those on which the sweep varies.")
    ] = None,
    limit: Limit = 1000,
    output: Output = Format.TABLE,
) -> None:
    """List trials, in order of expansion unless sorted otherwise."""
    with told(), Client() as client:
        of = None if sweep_id is None else found(client, sweep_id)
        names = [name.strip() for name in fields.split(",")] if fields else _fields(client, of)
        trials = client.trials(of, filter=filter, sort=sort, fields=names, limit=_one_more(limit))
        show(names, [[trial[name] for name in names] for trial in _first(limit, trials)], output)


@app.command(epilog=examples("alignsweep tag last paper figure-2", "alignsweep tag last paper --remove"))
def tag(
    sweep_id: SweepId,
    tags: Annotated[list[str], typer.Argument(help="To add; with --remove, to take away.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
) -> None:
    """Add tags to a sweep, or take some away."""

    def change(sweep: dict[str, Any]) -> dict[str, Any]:
        kept = [tag for tag in sweep["tags"] if tag not in tags]
        return {"tags": kept if remove else [*sweep["tags"], *tags]}

    with told(), Client() as client:
        sweep = client.edit(found(client, sweep_id), change)
        err.print(f"sweep {sweep.id} is tagged {', '.join(sweep['tags']) or 'nothing'}", highlight=False, markup=False)


@app.command(epilog=examples('alignsweep note last "Seed 3 diverges."', "alignsweep note last"))
def note(
    sweep_id: SweepId,
    text: Annotated[str | None, typer.Argument(help="Appended to the notes; without it they are printed.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of what is there.")] = False,
) -> None:
    """Write something about a sweep, or read what was written."""

    def change(sweep: dict[str, Any]) -> dict[str, Any]:
        lines = [text or ""] if replace else [sweep["notes"] or "", text or ""]
        return {"notes": "\n".join(line for line in lines if line) or None}

    if text == "" and not replace:
        raise typer.BadParameter("there is nothing to append; --replace removes what is there")
    with told(), Client() as client:
        if text is None:
            typer.echo(client.sweep(found(client, sweep_id))["notes"] or "")
        else:
            client.edit(found(client, sweep_id), change)


def _one_more(limit: int) -> int | None:
    """What is asked for, so as to see whether there are more; None is all."""
    return limit + 1 if limit else None


def _first(limit: int, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """So many of them, 0 being all; where there are more, that is told."""
    seen = list(rows)
    if limit and len(seen) > limit:
        err.print(f"there are more than these {limit}; --limit 0 shows all", highlight=False)
        return seen[:limit]
    return seen


def _fields(client: Client, sweep_id: int | None) -> list[str]:
    """What is shown of trials unless asked otherwise: the axes of their sweep; of trials of all, rule and rate."""
    axes = ["rule", "lr"] if sweep_id is None else [axis["name"] for axis in client.axes(sweep_id)]
    return ["id", "state", "reason", *("rule" if axis == "rule.name" else axis for axis in axes), *_TRIAL_FIELDS]
