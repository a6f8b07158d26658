"""Live progress of a sweep: trials by state, updates per second, time to go."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from api.cli.console import err
from api.client import Client

_OVER = ("succeeded", "failed", "cancelled")


def watch(client: Client, sweep_id: int, tend: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Show progress until the sweep is over; returns its final state. `tend` is called between looks."""
    looks = _tended(client.wait(sweep_id), tend)
    return _draw(looks) if err.is_terminal else _tell(looks)


def describe(sweep: dict[str, Any]) -> str:
    """One line: counts by state and the pace."""
    counts = " ".join(f"{state} {n}" for state, n in sorted(sweep["trials"].items()))
    pace = sweep["steps_per_second"]
    return f"{counts}, {pace:,.0f} steps/s" if pace else counts


def _tended(looks: Iterator[dict[str, Any]], tend: Callable[[], None]) -> Iterator[dict[str, Any]]:
    for sweep in looks:
        tend()
        yield sweep


def _draw(looks: Iterator[dict[str, Any]]) -> dict[str, Any]:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )
    sweep: dict[str, Any] = {}
    with Progress(*columns, console=err) as progress:
        task = None
        for sweep in looks:
            if task is None:
                task = progress.add_task(f"sweep {sweep['id']}", total=sweep["trial_count"], told="")
            progress.update(task, completed=_done(sweep), told=describe(sweep))
    return sweep


def _tell(looks: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """A line whenever something has changed, at most one a second."""
    sweep: dict[str, Any] = {}
    told, told_at = -1, 0.0
    for sweep in looks:
        done = _done(sweep)
        if done != told and (time.monotonic() - told_at > 1 or done == sweep["trial_count"]):
            told, told_at = done, time.monotonic()
            line = f"sweep {sweep['id']}: {done}/{sweep['trial_count']} trials ({describe(sweep)})"
            err.print(line, highlight=False, soft_wrap=True)
    return sweep


def _done(sweep: dict[str, Any]) -> int:
    return sum(n for state, n in sweep["trials"].items() if state in _OVER)
