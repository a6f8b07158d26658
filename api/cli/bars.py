"""A bar for bytes that come or go, on standard error, where somebody watches."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from api.cli.console import err
from api.client.transfer import Told


@contextmanager
def transferring(what: str, total: int | None = None) -> Iterator[Told | None]:
    """While the block runs: what was given takes the bytes that have gone.

    `total`: of all bytes. Where it is not known, as of what is made while it is sent, there is no time to go.
    """
    if not err.is_terminal:
        yield None
        return
    known = (TextColumn("eta"), TimeRemainingColumn()) if total else ()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeElapsedColumn(), *known, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda size: progress.update(task, completed=size)
