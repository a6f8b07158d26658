"""Live progress of a sweep: trials by state, updates per second, time to go."""

import time
from collections.abc import Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from api.cli.console import err
from api.client import Client

_OVER = ("succeeded", "failed", "cancelled")


def watch(client: Client, sweep_id: int) -> dict[str, Any]:
    """Show progress until the sweep is over; returns its final state."""
    looks = (update.data for update in client.follow(sweep_id) if update.kind in ("progress", "end"))
    (_draw if err.is_terminal else _tell)(looks)
    return client.sweep(sweep_id)


def describe(sweep: dict[str, Any]) -> str:
    """One line: counts by state and the pace."""
    counts = " ".join(f"{state} {n}" for state, n in sorted(sweep["trials"].items()))
    pace = sweep["steps_per_second"]
    return f"{counts}, {pace:,.0f} steps/s" if pace else counts


def _draw(looks: Iterator[dict[str, Any]]) -> None:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=err) as progress:
        task = None
        for sweep in looks:
            if task is None:
                task = progress.add_task(f"sweep {sweep['id']}", total=sweep["trial_count"], told="")
            progress.update(task, completed=_done(sweep), told=describe(sweep))


def _tell(looks: Iterator[dict[str, Any]]) -> None:
    """A line whenever something has changed, at most one a second."""
    told, told_at = -1, 0.0
    for sweep in looks:
        done = _done(sweep)
        if done != told and (time.monotonic() - told_at > 1 or done == sweep["trial_count"]):
            told, told_at = done, time.monotonic()
            line = f"sweep {sweep['id']}: {done}/{sweep['trial_count']} trials ({describe(sweep)})"
            err.print(line, highlight=False, soft_wrap=True)


def _done(sweep: dict[str, Any]) -> int:
    return sum(n for state, n in sweep["trials"].items() if state in _OVER)
