"""How sweeps and recipes are named on the command line, and completed."""

from itertools import islice
from typing import Annotated

import typer

from api.client import Client, ServerRefused, ServerUnreachable
from api.client.naming import found

__all__ = ["SweepId", "found", "recipes_like", "sweeps_like"]

_COMPLETED = 50
_PATIENCE_SECONDS = 2.0


def sweeps_like(incomplete: str) -> list[tuple[str, str]]:
    """What a shell may complete a sweep to: the newest ones by number, and by name once it is begun.

    Nothing where no server answers.
    """
    try:
        with Client(timeout_seconds=_PATIENCE_SECONDS, tries=1) as client:
            newest = list(islice(client.sweeps(fields=["id", "name", "state"]), _COMPLETED))
    except (ServerUnreachable, ServerRefused, ValueError):  # the last one: ALIGNSWEEP_URL is none
        return []
    known = [(str(sweep["id"]), f"{sweep['name']}, {sweep['state']}") for sweep in newest]
    if newest:
        known.append(("last", f"sweep {newest[0]['id']}"))
    if incomplete:
        known += [(sweep["name"], f"sweep {sweep['id']}, {sweep['state']}") for sweep in newest]
    return [(value, told) for value, told in known if value.startswith(incomplete)]


def recipes_like(incomplete: str) -> list[tuple[str, str]]:
    """What a shell may complete a recipe to."""
    from recipes.catalogue import catalogue

    known = [(recipe.id, recipe.title) for recipe in catalogue().values()]
    known += [("paper", "all of the paper"), ("beyond", "all beyond it"), ("all", "all")]
    return [(value, told) for value, told in known if value.lower().startswith(incomplete.lower())]


SweepId = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        autocompletion=sweeps_like,
        help="Number of a sweep, `last` for the newest, its name or the beginning of it.",
    ),
]
