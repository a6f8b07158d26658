"""A live API server: the process that operators run, on a free port, on a database of the test's."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.ports import free_port


@dataclass(frozen=True, kw_only=True)
class LiveServer:
    """`log`: all that the process has written."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def live_server(
    database_url: str, reader_url: str, folder: Path, port: int | None = None, **environment: str
) -> Iterator[LiveServer]:
    """Start it, on a free port unless one is named, wait until it answers, and stop it."""
    port, log = port or free_port(), folder / "api.log"
    settings = {
        "DATABASE_URL": database_url,
        "ALIGNSWEEP_READER_URL": reader_url,
        "ALIGNSWEEP_HOME": str(folder),
        "ALIGNSWEEP_PORT": str(port),
        "ALIGNSWEEP_HOST": "127.0.0.1",
        "ALIGNSWEEP_ALLOWED_HOSTS": "",
        "ALIGNSWEEP_TOKEN": "",
        "ALIGNSWEEP_FAILPOINTS": "",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli.main", "api"],
            env={**os.environ, **settings, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        server = LiveServer(port=port, log=log, process=process)
        _wait_until_it_answers(server)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_it_answers(server: LiveServer) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{server.url}/healthz", timeout=5)
        except httpx.TransportError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(server.log.read_text()) from None
            time.sleep(0.05)
        else:
            return
