"""Commands for webhooks: who is told when sweeps end or pause."""

from typing import Annotated

import typer

from api.cli.console import Format, err, show, told
from api.cli.examples import examples
from api.cli.operate import Output
from api.client import Client

app = typer.Typer(no_args_is_help=True, help="Who is told when your sweeps end or pause.")

WebhookId = Annotated[int, typer.Argument(min=1, help="Id of a webhook, as `alignsweep webhook ls` shows it.")]


@app.command(epilog=examples("alignsweep webhook add https://example.org/hook --on sweep.ended"))
def add(
    url: Annotated[str, typer.Argument(help="Where to send it; http or https.")],
    on: Annotated[list[str] | None, typer.Option(help="sweep.ended, sweep.paused; both unless given.")] = None,
) -> None:
    """Be told at a URL; prints the secret of the signatures, which is shown this once."""
    with told(), Client() as client:
        webhook = client.add_webhook(url, on or ["sweep.ended", "sweep.paused"])
        err.print(f"webhook {webhook['id']}; keep its secret, which is not shown again:", highlight=False)
        typer.echo(webhook["secret"])


@app.command("ls", epilog=examples("alignsweep webhook ls"))
def list_webhooks(output: Output = Format.TABLE) -> None:
    """List your webhooks."""
    columns = ["id", "url", "events", "created_at"]
    with told(), Client() as client:
        show(columns, [[webhook[column] for column in columns] for webhook in client.webhooks()], output)


@app.command("rm", epilog=examples("alignsweep webhook rm 1"))
def remove(webhook_id: WebhookId) -> None:
    """Be told nothing more."""
    with told(), Client() as client:
        client.remove_webhook(webhook_id)


@app.command(epilog=examples("alignsweep webhook deliveries 1"))
def deliveries(webhook_id: WebhookId, output: Output = Format.TABLE) -> None:
    """What it was told and is to be told, the newest first."""
    columns = ["id", "event", "sweep_id", "state", "attempts", "status", "error", "created_at", "next_attempt_at"]
    with told(), Client() as client:
        show(columns, [[row[column] for column in columns] for row in client.deliveries(webhook_id)], output)
