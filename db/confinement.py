"""Bounds on the server's process behind a connection that PostgreSQL itself has no setting for."""

import os
import resource
from contextlib import suppress
from pathlib import Path

import psycopg

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NICENESS = 10


def confine(connection: psycopg.Connection, extra_bytes: int) -> bool:
    """Let the server's process take so much more memory, after which a query is told "out of memory", and give way to
    other processes. Returns False where it cannot be done: the server is on another machine, or not ours.
    """
    if not connection.info.host.startswith("/"):  # a Unix socket: the process is here, unless in another container
        return False
    pid = connection.info.backend_pid
    with suppress(OSError, ValueError):
        process = Path("/proc") / str(pid)
        if not (process / "cmdline").read_bytes().startswith(b"postgres:"):
            return False
        _, _, _, _, _, data_pages, _ = (process / "statm").read_text().split()
        limit = int(data_pages) * _PAGE_BYTES + extra_bytes
        resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
        return True
    return False
