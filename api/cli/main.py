"""The `alignsweep` command.

Exit codes: 0 done; 1 the sweep did not succeed or is paused, or the command could not do its work; 2 wrong usage; 3 no
server answers; 4 the server refused; 130 Ctrl-C.
"""

import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli import figures, lists, operate, reproduce, specs, tokens, transfer, webhooks
from api.cli.console import FAILED, WRONG_USAGE, Format, err, out, tell, told
from api.cli.examples import examples
from api.cli.naming import SweepId, found
from api.cli.operate import Output, what_can_be_done
from api.cli.sources import Source
from api.cli.specs import SpecFile
from api.cli.table import show_table
from api.client import Client, Sweep

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=True, help=__doc__)
app.add_typer(specs.app)
app.add_typer(operate.app)
app.add_typer(lists.app)
app.add_typer(webhooks.app, name="webhook")
app.add_typer(tokens.app, name="token")
app.add_typer(transfer.app)
app.add_typer(reproduce.app)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(metadata.version("alignsweep"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Of the command itself."""


@app.command(epilog=examples("alignsweep up", "ALIGNSWEEP_PORT=8700 alignsweep up"))
def up() -> None:
    """Start the service and stay up: PostgreSQL, API, dispatcher, Ray. Ctrl-C stops it.

    It listens at ALIGNSWEEP_HOST and ALIGNSWEEP_PORT (127.0.0.1, 8642); its data is in ALIGNSWEEP_HOME.
    """
    from api.cli.stack import on_signal, running
    from services.settings import Settings

    with told(), running(Settings.from_environment()) as service:
        err.print(f"alignsweep is up at [bold]{service.url}[/] (API: {service.url}/docs)", highlight=False)
        err.print("Submit with: alignsweep submit recipes/quickstart.yaml        Ctrl-C stops.", highlight=False)
        stopped = on_signal()
        while not stopped:
            service.tend()
            time.sleep(0.2)
        err.print("stopping")


@app.command(epilog=examples("alignsweep run recipes/quickstart.yaml"))
def run(
    spec: SpecFile,
    figure: Annotated[
        Path, typer.Option(callback=figures.writable, help="Where the figure goes; {name} and {id} are the sweep's.")
    ] = Path("out/{name}-{id}.png"),
) -> None:
    """Run one sweep from start to end: start the service if it is not up, submit, watch, table, figure, stop."""
    from api.cli.stack import on_signal, running, served
    from services.settings import Settings

    source = Source(spec)
    with told(source):
        settings = Settings.from_environment()
        document = source.document()
        if url := served(settings):
            err.print(f"using the service that is up at {url}", highlight=False)
            with Client(url) as client:
                sweep = _run(client, document, figure)
        else:
            on_signal(raises=True)
            started = time.monotonic()
            with running(settings) as service, service.tended(), Client(service.url, settings.token) as client:
                err.print(f"service up in {time.monotonic() - started:.1f} s", highlight=False)
                sweep = _run(client, document, figure)
                _say_what_next(settings.home, sweep["id"])
        _exit_for(sweep)


@app.command(
    epilog=examples("alignsweep submit recipes/quickstart.yaml", "alignsweep submit recipes/quickstart.yaml --dry-run")
)
def submit(
    spec: SpecFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would cost; store nothing.")] = False,
) -> None:
    """Submit a spec; prints the id of the sweep."""
    source = Source(spec)
    with told(source), Client() as client:
        document = source.document()
        if dry_run:
            specs.show_plan(client.plan(document), source, Format.TABLE)
            return
        sweep = client.submit(document)
        tell(sweep["warnings"], source, kind="warning: ")
        err.print(
            f"sweep {sweep['id']}: {sweep['trial_count']} trials; see alignsweep watch {sweep['id']}", highlight=False
        )
        typer.echo(sweep["id"])


@app.command("show", epilog=examples("alignsweep show last"))
def show_sweep(sweep_id: SweepId) -> None:
    """Show one sweep and its spec as JSON."""
    with told(), Client() as client:
        out.print_json(data=client.sweep(found(client, sweep_id)))


@app.command(epilog=examples("alignsweep watch last"))
def watch(sweep_id: SweepId) -> None:
    """Follow a sweep until it is over, or paused and waiting for you; exit code 1 unless it succeeds."""
    from api.cli.watch import watch as follow

    with told(), Client() as client:
        _exit_for(follow(client, found(client, sweep_id)))


@app.command(epilog=examples("alignsweep table last -o csv"))
def table(sweep_id: SweepId, output: Output = Format.TABLE) -> None:
    """Final accuracy and alignment per layer by group: mean +- standard deviation over seeds.

    As JSON and CSV: numbers, one a column, accuracy as a share of 1.
    """
    with told(), Client() as client:
        show_table(client.stats(found(client, sweep_id)), output)


@app.command(
    epilog=examples(
        "alignsweep plot last -o figure.pdf", "alignsweep plot last --overlay", "alignsweep plot last --terminal"
    )
)
def plot(
    sweep_id: SweepId,
    path: Annotated[
        Path | None, typer.Option("--output", "-o", help="PNG, SVG or PDF; - is standard output, as PNG.")
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="All configurations over one another.")] = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="Draw alignment here, with characters.")] = False,
) -> None:
    """Draw loss and alignment per layer against the step; prints the path of the figure."""
    if terminal and path:
        raise typer.BadParameter("--terminal writes no file")
    path = figures.writable_or_stdout(path)
    with told(), Client() as client:
        sweep = client.sweep(found(client, sweep_id))
        if terminal:
            from api.cli.terminal import overview

            typer.echo(overview(sweep, client.alignment(sweep.id)))
        else:
            path = path or Path(f"sweep-{sweep.id}.png")
            figures.save(sweep, path, overlay=overlay)
            if path != figures.STDOUT:
                typer.echo(path)


@app.command("db-url", epilog=examples('psql "$(alignsweep db-url)"'))
def db_url(admin: Annotated[bool, typer.Option("--admin", help="The owner's URL, which may write.")] = False) -> None:
    """Print the database's URL for psql and other clients; by default the read-only role's."""
    from db.embedded import running_url
    from db.session import libpq_url, reader_url
    from services.settings import Settings

    with told():
        settings = Settings.from_environment()
        owner = settings.database_url or running_url(settings.home)
        reader = settings.reader_url or reader_url(owner, password=settings.reader_password)
        typer.echo(libpq_url(owner if admin else reader))


@app.command(epilog=examples("DATABASE_URL=postgresql://... alignsweep api"))
def api() -> None:
    """Serve the REST API (DATABASE_URL)."""
    from api.app import create_app
    from api.server import serve
    from services import logs
    from services.settings import Settings

    with told():
        settings = Settings.from_environment()
        logs.configure(settings.token)
        server = create_app(settings)
    serve(server, settings)


@app.command(epilog=examples("DATABASE_URL=postgresql://... RAY_ADDRESS=127.0.0.1:6379 alignsweep dispatcher"))
def dispatcher() -> None:
    """Run a dispatcher (DATABASE_URL, RAY_ADDRESS). SIGTERM drains it."""
    import os

    # Replaces this process: dispatcher and workers are another layer, which this one does not import.
    os.execv(sys.executable, [sys.executable, "-m", "workers.main"])


@app.command(epilog=examples("DATABASE_URL=postgresql://... alignsweep migrate"))
def migrate() -> None:
    """Bring the database at DATABASE_URL to the current schema."""
    from db.migrate import upgrade
    from services.settings import Settings

    with told():
        settings = Settings.from_environment()
        if settings.database_url is None:
            raise ValueError("DATABASE_URL is not set; the embedded database is migrated by `alignsweep up`")
        upgrade(settings.database_url, reader_password=settings.reader_password)


def _run(client: Client, document: object, figure: Path) -> Sweep:
    from api.cli.watch import watch as follow

    if "{" not in str(figure.parent):
        figure.parent.mkdir(parents=True, exist_ok=True)  # rather than fail when all is trained
    sweep = client.submit(document)
    err.print(f"sweep {sweep['id']} ({sweep['name']}): {sweep['trial_count']} trials", highlight=False, markup=False)
    sweep = follow(client, sweep["id"])
    if not sweep["trials"].get("succeeded"):
        return sweep
    show_table(client.stats(sweep["id"]), Format.TABLE)
    path = figures.named(figure, sweep)
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.save(sweep, path)
    err.print(f"figure: {path}", highlight=False, markup=False, soft_wrap=True)
    return sweep


def _say_what_next(home: Path, sweep_id: int) -> None:
    err.print(
        f"The database is in {home}; start the service again with [bold]alignsweep up[/] (or make up), then:\n"
        '  alignsweep sql "SELECT varied, layer, n, gradient_alignment_mean, gradient_alignment_sd '
        f'FROM v_group_alignment WHERE sweep_id = {sweep_id}"\n'
        f"  alignsweep plot {sweep_id}\n"
        '  psql "$(alignsweep db-url)"',
        highlight=False,
        soft_wrap=True,
    )


def _exit_for(sweep: dict[str, Any]) -> None:
    """Say how it stands unless it has succeeded. Raises typer.Exit then."""
    match sweep["state"]:
        case "succeeded":
            return
        case "paused":
            told = what_can_be_done(sweep)
        case "cancelled":
            told = f"sweep {sweep['id']} was cancelled"
        case "partial":
            told = f"sweep {sweep['id']} is over, but {sweep['trials'].get('failed', 0)} of its trials failed"
        case state:
            told = f"sweep {sweep['id']} has {state}"
    err.print(told, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(FAILED)


_OURS = ("alignsweep", "api", "db", "recipes", "services", "workers")


def main() -> None:
    """The command: what serves and trains needs packages that the client does without."""
    try:
        app()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise  # a mistake of ours, and no package that is missing
        err.print(f"[red]there is no {error.name} here[/]", highlight=False)
        err.print("Commands that serve or train need the service: pip install 'alignsweep\\[service]'", highlight=False)
        sys.exit(WRONG_USAGE)


if __name__ == "__main__":
    main()
