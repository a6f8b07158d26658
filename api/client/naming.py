"""How sweeps are named: a number, `last`, or the beginning of a name that only one has."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.client.client import Client


def found(client: "Client", text: str) -> int:
    """The id that is meant. Raises ValueError where there is none, or more than one."""
    if text.isascii() and text.isdigit():
        if int(text) == 0:
            raise ValueError("sweeps are numbered from 1")
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


def _named(client: "Client", text: str) -> Iterator[tuple[int, str]]:
    quoted = text.replace("'", "''")
    for sweep in client.sweeps(filter=f"name ~ '{quoted}'", fields=["id", "name"]):
        if sweep["name"].startswith(text):
            yield sweep["id"], sweep["name"]
