"""How far a sweep is, shown while it is looked at: a bar in terminals, a line that is rewritten in notebooks."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_OVER = ("succeeded", "failed", "cancelled")
_WIDTH = 30
Look = dict[str, Any]
"""`id`, `state`, `pause_reason`, `trial_count`, `trials` by state, `diverged`, `steps_per_second`."""


def shown(looks: Iterator[Look], *, console: "Console | None" = None, progress: bool | None = None) -> None:
    """Look until there is nothing more to see. `progress`: always, never or (None) where somebody watches.

    A change of state is told when it is seen.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if progress is False:
        for _ in looks:
            pass
    elif in_notebook():
        _rewrite(looks)
    elif console.is_terminal:
        _draw(looks, console)
    elif progress:
        _tell(looks, console)
    else:
        for _ in looks:
            pass


def describe(sweep: Look) -> str:
    """Counts by state and the pace."""
    counts = " ".join(f"{state} {n}{_diverged(sweep, state)}" for state, n in sorted(sweep["trials"].items()))
    pace = sweep["steps_per_second"]
    if sweep["state"] == "queued":
        return f"{counts}, waiting for a worker"
    return f"{counts}, {pace:,.0f} steps/s" if pace else counts


def turn(before: str | None, sweep: Look) -> str | None:
    """What to say of a sweep that was in another state at the last look; None where there was no look yet.

    Nothing of its end: that is left to whoever asked.
    """
    match before, sweep["state"]:
        case was, state if state == was:
            return None
        case _, "paused":
            return f"sweep {sweep['id']} is paused: {sweep['pause_reason']}"
        case "paused", "queued" | "running":
            return f"sweep {sweep['id']} goes on"
        case str(), "queued" | "running" as state:
            return f"sweep {sweep['id']} is {state}"
    return None


def _diverged(sweep: Look, state: str) -> str:
    return f" ({sweep['diverged']} diverged)" if state == "succeeded" and sweep.get("diverged") else ""


def bar(done: int, total: int, seconds: float) -> str:
    """A bar of text, with the time that is left if trials go on to end as they did in these seconds."""
    filled = _WIDTH if total == 0 else _WIDTH * done // total
    left = f", {clock(seconds * (total - done) / done)} left" if 0 < done < total else ""
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total} trials, {clock(seconds)}{left}"


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def in_notebook() -> bool:
    """Whether a kernel runs this; IPython is there already then."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def _draw(looks: Iterator[Look], console: "Console") -> None:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Below(Progress):
        """What is told stands on a line of its own: 80 columns have no room for it beside the bar."""

        def get_renderables(self) -> "Iterable[RenderableType]":
            yield self.make_tasks_table(self.tasks)
            yield from (Text(task.fields["told"]) for task in self.tasks)

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=_WIDTH),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    with Below(*columns, console=console) as progress:
        task, state = None, None
        for sweep in looks:
            if told := turn(state, sweep):
                progress.console.print(told, highlight=False, markup=False)
            state = sweep["state"]
            if task is None:
                task = progress.add_task(f"sweep {sweep['id']}", total=sweep["trial_count"], told="")
            progress.update(task, completed=_done(sweep), told=describe(sweep))


def _rewrite(looks: Iterator[Look]) -> None:
    """Front ends of notebooks begin a line anew at a carriage return, and need no widgets for that."""
    started, first, width, state = time.monotonic(), None, 0, None
    for sweep in looks:
        if told := turn(state, sweep):
            sys.stderr.write(f"\r{told}".ljust(width) + "\n")
        state = sweep["state"]
        first = _done(sweep) if first is None else first
        line = bar(_done(sweep) - first, sweep["trial_count"] - first, time.monotonic() - started)
        sys.stderr.write(f"\rsweep {sweep['id']} {line}".ljust(width))
        sys.stderr.flush()
        width = max(width, len(line) + 20)
    sys.stderr.write("\n")


def _tell(looks: Iterator[Look], console: "Console") -> None:
    """A line whenever something has changed, at most one a second of trials that end."""
    told, told_at, state = -1, 0.0, None
    for sweep in looks:
        turned, state = turn(state, sweep), sweep["state"]
        done = _done(sweep)
        if done != told and (time.monotonic() - told_at > 1 or done == sweep["trial_count"]):
            told, told_at = done, time.monotonic()
            line = f"sweep {sweep['id']}: {done}/{sweep['trial_count']} trials ({describe(sweep)})"
            console.print(line, highlight=False, soft_wrap=True)
        if turned:
            console.print(turned, highlight=False, markup=False, soft_wrap=True)


def _done(sweep: Look) -> int:
    return sum(n for state, n in sweep["trials"].items() if state in _OVER)
