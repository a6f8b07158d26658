"""Commands about a spec before it is submitted: check it, see what it would cost, get its schema."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.console import FAILED, Format, err, out, show, tell, told
from api.cli.examples import examples
from api.cli.sources import Source, all_readable, readable
from api.client import Client

app = typer.Typer()

_TEMPLATE = Path(__file__).with_name("spec_template.yaml")

SpecFile = Annotated[Path, typer.Argument(callback=readable, help="A spec in YAML or JSON; - is standard input.")]
SpecFiles = Annotated[
    list[Path], typer.Argument(callback=all_readable, help="Specs in YAML or JSON; - is standard input.")
]


@app.command(epilog=examples("alignsweep new noise.yaml"))
def new(
    path: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write; - is standard output.")],
    force: Annotated[bool, typer.Option("--force", help="In place of a file that is there.")] = False,
) -> None:
    """Write a spec to begin with, every part of it explained; prints its path."""
    name = "my-sweep" if path == Path("-") else path.stem
    text = _TEMPLATE.read_text(encoding="utf-8").replace("NAME", json.dumps(name))
    if path == Path("-"):
        typer.echo(text, nl=False)
        return
    with told():
        if path.exists() and not force:
            raise ValueError(f"{path} is there already; --force replaces it")
        path.write_text(text, encoding="utf-8")
        err.print(f"see alignsweep validate {path}", highlight=False, markup=False, soft_wrap=True)
        typer.echo(path)


@app.command(epilog=examples("alignsweep validate recipes/quickstart.yaml"))
def validate(specs: SpecFiles) -> None:
    """Check specs without a server: everything that is wrong, with its line, or how many trials there are."""
    wrong = False
    for source in map(Source, specs):
        try:
            with told(source):
                _validate(source)
        except typer.Exit:
            wrong = True
    if wrong:
        raise typer.Exit(FAILED)


@app.command(epilog=examples("alignsweep plan recipes/quickstart.yaml"))
def plan(
    spec: SpecFile,
    output: Annotated[Format, typer.Option("--output", "-o", help="How the plan is printed.")] = Format.TABLE,
) -> None:
    """Ask the server what a spec would cost: trials, packs, rows, time. Nothing is stored."""
    source = Source(spec)
    with told(source), Client() as client:
        show_plan(client.plan(source.document()), source, output)


@app.command(epilog=examples("alignsweep schema"))
def schema() -> None:
    """Print the JSON Schema of a spec, for editors: # yaml-language-server: $schema=spec.schema.json"""
    from services.domain.spec.schema import json_schema

    with told():
        sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")


def show_plan(answer: dict[str, Any], source: Source, output: Format) -> None:
    """A plan as the server answers it: its table on standard output, the warnings on standard error."""
    cost = answer["plan"]
    if output is not Format.TABLE:
        show(list(cost), [list(cost.values())], output)
    else:
        rows = [
            ["trials", f"{cost['trials']:,}", f"{cost['groups']:,} configurations"],
            *_branch_rows(cost["branches"]),
            ["packs", f"{cost['packs']:,}", "if all are full"],
            ["updates", f"{cost['model_steps']:,}", "over all trials"],
            ["rows", f"{cost['metric_rows'] + cost['trace_rows']:,}", f"about {size_of(cost['bytes_estimate'])}"],
            ["time", *_time(cost["estimate"])],
        ]
        show(["cost", "amount", ""], rows, output)
    tell(answer["warnings"], source, kind="warning: ")


def _validate(source: Source) -> None:
    from services.planning.advice import Advice
    from services.planning.branches import branches
    from services.planning.expansion import expand, parse
    from services.settings import Settings
    from services.shelf import Shelf

    spec = parse(source.document())
    advice = Advice(spec, None if os.environ.get("ALIGNSWEEP_URL") else Shelf.of(Settings.from_environment()))
    for group in expand(spec):
        advice.see(group)
    found = branches(spec, advice.groups_by_branch)
    groups = sum(advice.groups_by_branch.values())
    out.print(
        f"{source}: {groups * spec.seeds.count:,} trials ({groups:,} configurations, {spec.seeds.count:,} seeds each)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for branch in found:
        told_ = f"  {branch.trials:,} trials {_where(branch.condition)}"
        out.print(told_, highlight=False, markup=False, soft_wrap=True)
    tell([vars(warning) for warning in advice.warnings()], source, kind="warning: ")


def _branch_rows(branches: list[dict[str, Any]]) -> list[list[str]]:
    return [["", f"{branch['trials']:,}", _where(branch["condition"])] for branch in branches]


def _where(condition: str | None) -> str:
    return f"where {condition}" if condition else "elsewhere"


def size_of(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _time(estimate: dict[str, Any]) -> tuple[str, str]:
    """How long, and where that comes from."""
    if estimate["worker_seconds"] is None:
        return "unknown", "nothing was measured yet"
    if estimate["seconds"] is None:
        return _duration(estimate["worker_seconds"]), f"on one worker, as none is there now; {estimate['basis']}"
    workers = f"{estimate['workers']} worker{'s' * (estimate['workers'] != 1)}"
    return _duration(estimate["seconds"]), f"on {workers}, {estimate['basis']}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
