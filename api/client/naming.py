"""How sweeps are named: a number, `last`, a name, or the beginning of one; of one sweep alone."""

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
        for sweep in client.sweeps(fields=["id"], limit=1):
            return int(sweep["id"])
        raise ValueError("there is no sweep yet")
    if not text.strip():
        raise ValueError("an empty name is no sweep's: say a number, last, or the beginning of a name")
    named = _named(client, text)
    if len(named) == 1:
        return named[0][0]
    if not named:
        raise ValueError(f"no sweep is called {text}...; see alignsweep ls")
    told = ", ".join(f"{id_} ({name})" for id_, name in named[:3])
    raise ValueError(f"{text} may be sweep {told}{' or others' if len(named) > 3 else ''}: say its number")


def _named(client: "Client", text: str) -> list[tuple[int, str]]:
    """Id and name of the sweeps of this name; where there is none, of those whose name begins so; of four at most."""
    quoted = text.replace("'", "''")
    for compared, fits in (("=", str.__eq__), ("~", str.startswith)):
        sweeps = client.sweeps(filter=f"name {compared} '{quoted}'", fields=["id", "name"])
        if named := list(islice(((sweep["id"], sweep["name"]) for sweep in sweeps if fits(sweep["name"], text)), 4)):
            return named
    return []
