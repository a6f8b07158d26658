"""Commands for a service that runs: what waits and why, changing what waits, and the doctor."""

import sys
from typing import Annotated, Any

import typer

from api.cli.console import FAILED, WRONG_USAGE, Format, err, show, told
from api.cli.examples import examples
from api.cli.naming import SweepId, found, sweeps_like
from api.client import Client
from api.client.specfile import NotYaml, load_yaml

app = typer.Typer()
queue = typer.Typer(no_args_is_help=True, help="What waits, what runs, who works, and why.")
app.add_typer(queue, name="queue")

ASKED_FROM = 100  # trials
Output = Annotated[Format, typer.Option("--output", "-o", help="How rows are printed.")]


@app.command(epilog=examples("alignsweep pause last"))
def pause(sweep_id: SweepId) -> None:
    """Claim nothing more of a sweep; what runs, runs to its next checkpoint or its end."""
    with told(), Client() as client:
        _tell_state(client.pause(found(client, sweep_id)))


@app.command(epilog=examples("alignsweep resume last"))
def resume(sweep_id: SweepId) -> None:
    """Go on with a paused sweep."""
    with told(), Client() as client:
        _tell_state(client.resume(found(client, sweep_id)))


@app.command(epilog=examples("alignsweep cancel 12 --yes", "alignsweep cancel --trial 17"))
def cancel(
    sweep_id: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            autocompletion=sweeps_like,
            help="Number of a sweep, `last`, its name or the beginning of it; with --trial, number of a trial.",
        ),
    ],
    trial: Annotated[bool, typer.Option("--trial", help="Cancel one trial in place of a sweep.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many trials it has left.")] = False,
) -> None:
    """Cancel a sweep, or one trial. Asks first where a hundred trials or more are left."""
    with told(), Client() as client:
        if trial:
            if not sweep_id.isdecimal():
                raise typer.BadParameter("with --trial, name the number of a trial")
            err.print(f"trial {sweep_id} is {client.cancel_trial(int(sweep_id))['state']}", highlight=False)
        else:
            sweep = client.sweep(found(client, sweep_id))
            left = sum(sweep["trials"].get(state, 0) for state in ("queued", "running"))
            if left >= ASKED_FROM and not yes:
                _ask(f"cancel sweep {sweep.id} ({sweep.name}) with {left:,} trials that are not over?")
            _tell_state(sweep.cancel())


@app.command(epilog=examples("alignsweep retry last"))
def retry(sweep_id: SweepId) -> None:
    """Let the failed trials of a sweep wait again, and only them."""
    with told(), Client() as client:
        _tell_state(client.retry(found(client, sweep_id)))


@app.command(
    context_settings={"ignore_unknown_options": True},  # -5 is a number
    epilog=examples("alignsweep priority last 10", "alignsweep priority last -5"),
)
def priority(sweep_id: SweepId, value: Annotated[int, typer.Argument(help="Higher is claimed first.")]) -> None:
    """Change the priority of a sweep, from the next claim on."""
    with told(), Client() as client:
        _tell_state(client.set_priority(found(client, sweep_id), value))


@app.command(epilog=examples("alignsweep clone 12 --set base.train.lr=0.01 --name larger-rate"))
def clone(
    sweep_id: SweepId,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE into the spec, VALUE in YAML: base.train.lr=0.01")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the new sweep.")] = None,
) -> None:
    """Submit the spec of a sweep again, with other values; prints the id of the new sweep."""
    values = dict(_setting(text) for text in overrides or [])
    with told(), Client() as client:
        typer.echo(client.clone(found(client, sweep_id), values, name=name)["id"])


@app.command(epilog=examples("alignsweep doctor"))
def doctor(output: Output = Format.TABLE) -> None:
    """Check the queue's invariants and what it stands on; exit code 1 when something is wrong."""
    with told(), Client() as client:
        findings = client.doctor()
        truths = {True: "ok", False: "WRONG"} if output is Format.TABLE else {True: True, False: False}
        rows = [[truths[finding["ok"]], finding["check"], finding["detail"]] for finding in findings]
        show(["ok", "check", "detail"], rows, output)
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(FAILED)


@queue.command("show", epilog=examples("alignsweep queue show -o json"))
def show_queue(output: Output = Format.TABLE) -> None:
    """What waits and what runs, per sweep."""
    columns = ["sweep_id", "sweep", "sweep_state", "priority", "queued", "running", "packs", "oldest_queued_at"]
    with told(), Client() as client:
        show(columns, [[entry[column] for column in columns] for entry in client.queue()], output)


@queue.command("workers", epilog=examples("alignsweep queue workers"))
def show_workers(output: Output = Format.TABLE) -> None:
    """Who works, and on what."""
    columns = ["dispatcher", "name", "node", "cpu", "gpu", "pack_id", "seen_at"]
    with told(), Client() as client:
        show(columns, [[worker[column] for column in columns] for worker in client.workers()], output)


@queue.command("explain", epilog=examples("alignsweep queue explain 17"))
def explain(trial_id: Annotated[int, typer.Argument(min=1, help="Id of a trial.")]) -> None:
    """Say in one sentence why a trial waits, runs or is over."""
    with told(), Client() as client:
        typer.echo(client.explain(trial_id))


def _ask(question: str) -> None:
    """Go on if a person says yes; where there is nobody to ask, that is --yes. Raises typer.Exit."""
    if not sys.stdin.isatty():
        err.print(f"{question} Say --yes.", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(WRONG_USAGE)
    err.print(f"{question} [y/N] ", end="", highlight=False, markup=False, soft_wrap=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Exit(FAILED)


def _tell_state(sweep: dict[str, Any]) -> None:
    why = f" ({sweep['pause_reason']})" if sweep["pause_reason"] else ""
    told = f"sweep {sweep['id']} is {sweep['state']}{why}, priority {sweep['priority']}"
    err.print(told, highlight=False, markup=False)


def what_can_be_done(sweep: dict[str, Any]) -> str:
    """The commands that a paused sweep waits for, and the one that shows its errors."""
    meanings = {"resume": "goes on", "retry": "lets its failed trials wait again, too", "cancel": "ends it"}
    id_ = sweep["id"]
    told = [
        f"alignsweep {verb} {id_} {meaning}" for verb, meaning in meanings.items() if verb in sweep["allowed_actions"]
    ]
    if "failed" in (sweep["pause_reason"] or ""):
        told.append(f'alignsweep trials {id_} --filter "error is not null" --fields id,error shows what was wrong')
    return "; ".join(told)


def _setting(text: str) -> tuple[str, Any]:
    """The path and the value of PATH=VALUE. Raises typer.BadParameter."""
    path, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set takes PATH=VALUE, not {text!r}")
    try:
        return path, load_yaml(value)
    except NotYaml as error:
        raise typer.BadParameter(f"the value of --set {text} is not YAML: {error}") from None
