"""How sweeps are named on the command line: a number, `last`, or the beginning of a name that only one has."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer

from api.client import Client, ServerRefused, ServerUnreachable

_COMPLETED = 50
_PATIENCE_SECONDS = 2.0


def sweeps_like(incomplete: str) -> list[tuple[str, str]]:
    """What a shell may complete a sweep to: the newest ones, by number and name. Nothing where no server answers."""
    try:
        with Client(timeout_seconds=_PATIENCE_SECONDS, tries=1) as client:
            newest = list(islice(client.sweeps(fields=["id", "name", "state"]), _COMPLETED))
    except (ServerUnreachable, ServerRefused):
        return []
    found = [(str(sweep["id"]), f"{sweep['name']}, {sweep['state']}") for sweep in newest]
    if newest:
        found.append(("last", f"sweep {newest[0]['id']}"))
    return [(value, told) for value, told in found if value.startswith(incomplete)]


def recipes_like(incomplete: str) -> list[tuple[str, str]]:
    """What a shell may complete a recipe to."""
    from recipes.catalogue import catalogue

    found = [(recipe.id, recipe.title) for recipe in catalogue().values()]
    found += [("paper", "all of the paper"), ("beyond", "all beyond it"), ("all", "all")]
    return [(value, told) for value, told in found if value.lower().startswith(incomplete.lower())]


SweepId = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        autocompletion=sweeps_like,
        help="Number of a sweep, `last` for the newest, or the beginning of its name.",
    ),
]


def found(client: Client, text: str) -> int:
    """The id that is meant. Raises ValueError where there is none, or more than one."""
    if text.isascii() and text.isdigit():
        if int(text) == 0:
            raise typer.BadParameter("sweeps are numbered from 1")
        return int(text)
    if text == "last":
        for sweep in client.sweeps(fields=["id"]):
            return int(sweep["id"])
        raise ValueError("there is no sweep yet")
    named = list(islice(_named(client, text), 4))
    if len(named) == 1:
        return named[0][0]
    if not named:
        raise ValueError(f"no sweep is called {text}...; see alignsweep ls")
    told = ", ".join(f"{id_} ({name})" for id_, name in named[:3])
    raise ValueError(f"{text} may be sweep {told}{' or others' if len(named) > 3 else ''}: say its number")


def _named(client: Client, text: str) -> Iterator[tuple[int, str]]:
    quoted = text.replace("'", "''")
    for sweep in client.sweeps(filter=f"name ~ '{quoted}'", fields=["id", "name"]):
        if sweep["name"].startswith(text):
            yield sweep["id"], sweep["name"]
