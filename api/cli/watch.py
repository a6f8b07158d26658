"""Live progress of a sweep: trials by state, updates per second, time to go."""

from api.cli.console import err
from api.client import Client, Sweep
from api.client.progress import shown


def watch(client: Client, sweep_id: int) -> Sweep:
    """Show progress until the sweep is over; returns its final state."""
    looks = (update.data for update in client.follow(sweep_id) if update.kind in ("progress", "end"))
    shown(looks, console=err, progress=True)
    return client.sweep(sweep_id)
