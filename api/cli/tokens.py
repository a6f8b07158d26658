"""Commands for admins: tokens, with which others call the service."""

from typing import Annotated

import typer

from api.cli.console import Format, err, show, told
from api.cli.examples import examples
from api.cli.operate import Output
from api.client import Client

app = typer.Typer(no_args_is_help=True, help="Tokens of the API, for admins.")
_COLUMNS = ["id", "name", "owner", "scopes", "active", "created_at", "expires_at", "revoked_at", "last_used_at"]


@app.command(epilog=examples("alignsweep token create laptop --owner ada --scope read --days 30"))
def create(
    name: Annotated[str, typer.Argument(help="What it is for, in words.")],
    owner: Annotated[str, typer.Option(help="Whose it is: sweeps submitted with it are theirs.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="read, submit, sql or admin; may be repeated. By default submit and sql.")
    ] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="For how long; 0: until it is revoked.")] = 365,
) -> None:
    """Make a token; prints its secret, which nobody can show again."""
    with told(), Client() as client:
        token = client.create_token(name, owner=owner, scopes=scope or ["submit", "sql"], valid_days=days or None)
        err.print(f"token {token['id']} of {token['owner']}; expires: {token['expires_at'] or 'never'}", markup=False)
        typer.echo(token["secret"])


@app.command("ls", epilog=examples("alignsweep token ls"))
@app.command("list", hidden=True, epilog=examples("alignsweep token list"))
def list_tokens(output: Output = Format.TABLE) -> None:
    """List tokens, the newest first; never their secrets."""
    with told(), Client() as client:
        rows = [[", ".join(token[c]) if c == "scopes" else token[c] for c in _COLUMNS] for token in client.tokens()]
        show(_COLUMNS, rows, output)


@app.command(epilog=examples("alignsweep token revoke 3"))
def revoke(token_id: Annotated[int, typer.Argument(min=1, help="Id of a token, as `token ls` shows it.")]) -> None:
    """Refuse a token from now on."""
    with told(), Client() as client:
        token = client.revoke_token(token_id)
        err.print(f"token {token['id']} of {token['owner']} is revoked", markup=False)
