"""All processes of the service on one machine: embedded PostgreSQL, the API, the dispatcher with a local Ray."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from types import FrameType

from api.auth import refusal
from api.cli.console import err
from api.client import Client, ServerUnreachable
from db.embedded import EmbeddedPostgres
from db.migrate import upgrade
from db.session import reader_url
from services.domain.errors import DomainError
from services.settings import Settings

_START_SECONDS = 60
_STOP_SECONDS = 20
_RESTART_PAUSE_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One supervised process; its output goes to a log file."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    ended_at: float | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops children in order.
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.ended_at = None

    def keep_running(self) -> None:
        """Start it again, after a pause, when it has ended by itself."""
        if self.process is None or self.process.poll() is None:
            return
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            err.print(f"{self.name} ended with status {self.process.returncode}; starting it again", highlight=False)
        elif time.monotonic() - self.ended_at > _RESTART_PAUSE_SECONDS:
            self.start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for the whole process group when that does not help in time."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Stack:
    """A running service. `url` is the API's, `database_url` and `reader_url` are PostgreSQL's.

    `database` is its own, embedded one, if it has one.
    """

    url: str
    database_url: str
    reader_url: str
    database: EmbeddedPostgres | None = None
    children: list[Child] = field(default_factory=list)

    def tend(self) -> None:
        """Restart what has died. To be called a few times a second."""
        try:
            if self.database is not None and self.database.keep_running():
                err.print("the database had ended; it was started again", highlight=False)
        except DomainError as error:
            err.print(str(error), highlight=False)
        for child in self.children:
            child.keep_running()

    @contextmanager
    def tended(self) -> Iterator[None]:
        """Restart what dies, from a thread, while the block runs."""
        stopped = Event()

        def tend() -> None:
            while not stopped.wait(0.2):
                self.tend()

        thread = Thread(target=tend, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def child(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)


def _end_with_parent() -> None:
    """In the child: a supervisor that is killed takes it along (on Linux; elsewhere it stays and must be stopped)."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _require_free(settings: Settings) -> None:
    """Raises DomainError when something listens where the service would: the service itself, or something else."""
    host, port = settings.host, settings.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if url := served(settings):
                raise DomainError(f"it is up already: {url} serves the data folder {settings.home}") from None
            raise DomainError(f"cannot listen on {host}:{port} ({error.strerror}); set ALIGNSWEEP_PORT") from None


@contextmanager
def running(settings: Settings) -> Iterator[Stack]:
    """Start everything, and stop it in reverse order when the block ends.

    Raises DomainError when another process serves the data folder, the port is taken, or the API does not come up.
    """
    if reason := refusal(settings):
        raise DomainError(reason)
    _require_free(settings)
    with ExitStack() as stack:
        settings.home.mkdir(parents=True, exist_ok=True)
        embedded = None
        if settings.database_url is None:
            embedded = stack.enter_context(EmbeddedPostgres.start(settings.home))
            owner, reader = embedded.url, embedded.reader_url
        else:
            owner = settings.database_url
            reader = settings.reader_url or reader_url(owner, password=settings.reader_password)
        upgrade(owner, reader_password=settings.reader_password)
        url = f"http://{settings.host}:{settings.port}"
        service = Stack(url=url, database_url=owner, reader_url=reader, database=embedded)
        service.children = _children(settings, service)
        for child in service.children:
            child.start()
            stack.callback(child.stop)
        _wait_until_ready(service)
        address = settings.home / "server.json"
        address.write_text(json.dumps({"url": service.url, "pid": os.getpid()}))
        stack.callback(address.unlink, missing_ok=True)
        yield service


@contextmanager
def serving(settings: Settings) -> Iterator[Client]:
    """A client of the server that ALIGNSWEEP_URL names, else of this data folder's; starts that one if it is not up."""
    if url := os.environ.get("ALIGNSWEEP_URL") or served(settings):
        err.print(f"using the service at {url}", highlight=False)
        with Client(url) as client:
            yield client
    else:
        on_signal(raises=True)
        with running(settings) as service, service.tended(), Client(service.url, settings.token) as client:
            yield client


def on_signal(*, raises: bool = False) -> list[int]:
    """A list that fills when SIGINT or SIGTERM comes; or the signal raises KeyboardInterrupt."""
    received: list[int] = []

    def take(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if raises:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, take)
    signal.signal(signal.SIGTERM, take)
    return received


def served(settings: Settings) -> str | None:
    """The URL of a service that already runs on the data folder, or None."""
    try:
        url: str = json.loads((settings.home / "server.json").read_text())["url"]
        with Client(url, timeout_seconds=2, tries=1) as client:
            next(client.sweeps(), None)
    except (OSError, ValueError, KeyError, ServerUnreachable):
        return None
    return url


def _children(settings: Settings, service: Stack) -> list[Child]:
    logs = settings.home / "logs"
    logs.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "DATABASE_URL": service.database_url,
        "ALIGNSWEEP_READER_URL": service.reader_url,
        "ALIGNSWEEP_HOME": str(settings.home),
        "ALIGNSWEEP_HOST": settings.host,
        "ALIGNSWEEP_PORT": str(settings.port),
    }
    me = [sys.executable, "-m", "api.cli.main"]
    return [
        Child(name=name, command=[*me, name], environment=environment, log=logs / f"{name}.log")
        for name in ("api", "dispatcher")
    ]


def _wait_until_ready(service: Stack) -> None:
    import httpx

    deadline = time.monotonic() + _START_SECONDS
    api = service.child("api")
    while time.monotonic() < deadline:
        assert api.process is not None
        if api.process.poll() is not None:
            raise DomainError(f"the API did not start; its last words are in {api.log}:\n{_tail(api.log)}")
        try:
            if httpx.get(f"{service.url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise DomainError(f"the API was not ready within {_START_SECONDS} s; see {api.log}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])
