"""Whose work comes first on a machine that PostgreSQL shares with the rest of the service."""

import os
from contextlib import suppress
from pathlib import Path

import psycopg

_NICENESS = 10


def give_way(connection: psycopg.Connection) -> bool:
    """Let the server's process behind the connection yield the CPU to all others. False where it cannot be done: the
    server is on another machine, or belongs to another user.
    """
    if not connection.info.host.startswith("/"):  # a Unix socket: the process is here, unless in another container
        return False
    pid = connection.info.backend_pid
    with suppress(OSError):
        if (Path("/proc") / str(pid) / "cmdline").read_bytes().startswith(b"postgres:"):
            os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
            return True
    return False
