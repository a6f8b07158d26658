"""Live progress of a sweep: trials by state, updates per second, time to go."""

from collections.abc import Iterator

from api.cli.console import err
from api.client import Client, Sweep
from api.client.progress import Look, shown
from api.client.sweeps import PAUSED


def watch(client: Client, sweep_id: int) -> Sweep:
    """Show progress until the sweep is over or paused; returns it as it is then."""
    client.sweep(sweep_id)  # whose server, if there is none, is not waited for
    shown(_looks(client, sweep_id), console=err, progress=True)
    return client.sweep(sweep_id)


def _looks(client: Client, sweep_id: int) -> Iterator[Look]:
    for update in client.follow(sweep_id):
        if update.kind in ("progress", "end"):
            yield update.data
            if update.data["state"] == PAUSED:
                return
