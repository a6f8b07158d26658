"""The service that faults are injected into: the real stack, perhaps a second dispatcher, and a look past the API."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
import psycopg
from psycopg.rows import dict_row

from api.cli.stack import Child, Stack, running
from api.client import Client
from db.embedded import EmbeddedPostgres
from services.settings import Settings
from tests.ports import free_port
from workers.environment import WORKER_ENVIRONMENT

PATIENCE = timedelta(seconds=60)
_FAILPOINTS = "ALIGNSWEEP_FAILPOINTS"
_NOT_OURS = ("ALIGNSWEEP_TOKEN", "ALIGNSWEEP_READER_URL", "DATABASE_URL", "RAY_ADDRESS", _FAILPOINTS)

# What was measured of a sweep, but for the ids: rows that another sweep of the same spec must have too.
_UNLIKE = """
    WITH measured AS (
        SELECT trials.sweep_id, groups.group_hash, trials.seed, kind, row
        FROM trials JOIN groups ON groups.id = trials.group_id
        CROSS JOIN LATERAL (
            SELECT 'metrics' AS kind, to_jsonb(metrics) - 'trial_id' AS row FROM metrics WHERE trial_id = trials.id
            UNION ALL
            SELECT 'traces', to_jsonb(traces) - 'trial_id' FROM traces WHERE trial_id = trials.id
            UNION ALL
            SELECT 'summary', to_jsonb(s) - 'trial_id' FROM trial_summaries AS s WHERE trial_id = trials.id
            UNION ALL
            SELECT 'layers', to_jsonb(s) - 'trial_id' FROM layer_summaries AS s WHERE trial_id = trials.id
        ) AS measured
        WHERE trials.sweep_id IN (%(one)s, %(two)s)
    ), counted AS (
        SELECT group_hash, seed, kind, row, count(*) FILTER (WHERE sweep_id = %(one)s) AS one, count(*) AS n
        FROM measured GROUP BY group_hash, seed, kind, row
    )
    SELECT count(*) AS rows, count(*) FILTER (WHERE one <> 1 OR n <> 2) AS unlike FROM counted
"""


@dataclass
class Service:
    """A running stack."""

    stack: Stack
    client: Client
    home: Path
    ttl: timedelta
    watch: Callable[[], None] = lambda: None
    """Called again and again while we wait."""
    _down: EmbeddedPostgres | None = None

    @property
    def api(self) -> Child:
        return self.stack.child("api")

    @property
    def dispatcher(self) -> Child:
        return self.stack.child("dispatcher")

    @property
    def second(self) -> Child:
        return self.stack.child("dispatcher-2")

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Ask as the owner, past the API. Raises psycopg.OperationalError while the database is away."""
        with psycopg.connect(self.stack.database_url, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(sql, values).fetchall()

    def value(self, sql: str, **values: Any) -> Any:
        [row] = self.rows(sql, **values)
        [value] = row.values()
        return value

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return httpx.get(f"{self.stack.url}/healthz", timeout=2).is_success
        except httpx.TransportError:
            return False

    def is_present(self, child: Child) -> bool:
        """Whether a dispatcher has shown itself in the database."""
        query = "SELECT EXISTS (SELECT FROM dispatchers WHERE name LIKE %(name)s)"
        return runs(child) and bool(self.value(query, name=f"%:{pid_of(child)}:%"))

    def held_by(self, child: Child) -> dict[int, list[int]]:
        """The trials in the hands of a dispatcher, by pack."""
        return self._running("AND dispatcher LIKE %(name)s", name=f"%:{pid_of(child)}:%")

    def held(self) -> dict[int, list[int]]:
        """The trials that run, by pack."""
        return self._running("")

    def _running(self, which: str, **values: Any) -> dict[int, list[int]]:
        query = f"""
            SELECT packs.id, array_agg(trials.id) AS trials FROM packs JOIN trials ON trials.pack_id = packs.id
            WHERE packs.state = 'running' {which} GROUP BY packs.id
        """
        return {row["id"]: row["trials"] for row in self.rows(query, **values)}

    def trainers(self) -> list[int]:
        """Processes of the Ray actors."""
        return self._of_ray("TrainingActor")

    def head(self) -> list[int]:
        """The process in which Ray keeps track of its cluster."""
        return self._of_ray("gcs_server")

    def raylet(self) -> list[int]:
        """The process with which Ray runs its node."""
        return self._of_ray("raylet/raylet")

    def _of_ray(self, command: str) -> list[int]:
        if self.dispatcher.process is None or not psutil.pid_exists(pid_of(self.dispatcher)):
            return []
        below = psutil.Process(pid_of(self.dispatcher)).children(recursive=True)
        return [process.pid for process in below if command in _command(process)]

    def compare(self, one: int, two: int) -> tuple[int, int]:
        """Rows measured in two sweeps of one spec, and how many of them are not in both, once and bit by bit."""
        [counted] = self.rows(_UNLIKE, one=one, two=two)
        return counted["rows"], counted["unlike"]

    def violations(self) -> dict[str, int]:
        """The invariants that do not hold."""
        found = self.rows("SELECT invariant, violations FROM v_doctor WHERE violations > 0")
        return {row["invariant"]: row["violations"] for row in found}

    def restart(self, child: Child, failpoint: str | None = None) -> None:
        """SIGKILL, and start at once; it will fail at this place."""
        kill(child)
        arm(child, failpoint)
        child.start()

    def disarm(self) -> None:
        """No process fails by itself any more once it is started again."""
        for child in self.stack.children:
            if _FAILPOINTS in child.environment:
                arm(child, None)
                if runs(child):
                    self.restart(child)

    def repair(self) -> None:
        """End what a fault had begun."""
        for child in self.stack.children:
            arm(child, None)
        wake(self.stack)
        self.start_database()

    def crash_database(self) -> None:
        """What `pg_ctl stop -m immediate` does: no checkpoint, no goodbye. The supervisor starts it again."""
        postmaster = psutil.Process(int((self.home / "postgres" / "postmaster.pid").read_text().split()[0]))
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(PATIENCE.total_seconds())
        self.stack.tend()

    def stop_database(self) -> None:
        """The same, and it stays away until `start_database`."""
        self._down, self.stack.database = self.stack.database or self._down, None
        self.crash_database()

    def start_database(self) -> None:
        self.stack.database, self._down = self.stack.database or self._down, None
        self.stack.tend()

    def wait(self, pause: timedelta) -> None:
        """Let it run for so long."""
        until = time.monotonic() + pause.total_seconds()
        self.wait_for(lambda: time.monotonic() >= until)

    def wait_for(self, condition: Callable[[], bool], patience: timedelta = PATIENCE) -> None:
        """Tend the stack until the condition holds. Raises TimeoutError when it does not in time."""
        deadline = time.monotonic() + patience.total_seconds()
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited for {patience} in vain")
            self.stack.tend()
            self.watch()
            time.sleep(0.05)

    def wait_until_over(self, sweep_id: int, patience: timedelta = PATIENCE) -> str:
        """The state in which the sweep ends."""
        self.wait_for(lambda: not self._open(sweep_id), patience)
        return str(self.value("SELECT state FROM sweeps WHERE id = %(id)s", id=sweep_id))

    def _open(self, sweep_id: int) -> bool:
        query = "SELECT state IN ('queued', 'running', 'paused') FROM sweeps WHERE id = %(id)s"
        return bool(self.value(query, id=sweep_id))


@contextmanager
def serving(
    home: Path, *, ttl: timedelta, checkpoint_every: timedelta, executors: Sequence[str] = ("ray", "inline")
) -> Iterator[Service]:
    """Start everything, with one dispatcher or two; stop everything when the block ends, whatever state it is in."""
    with ExitStack() as stack:
        # What is started keeps this environment; the tests of this process do not.
        with patch.dict(os.environ, _environment(ttl, checkpoint_every, executors[0])):
            for name in _NOT_OURS:
                os.environ.pop(name, None)
            settings = replace(Settings.from_environment(), home=home, port=free_port())
            started = stack.enter_context(running(settings))
        service = Service(stack=started, client=stack.enter_context(Client(started.url)), home=home, ttl=ttl)
        for executor in executors[1:]:
            first = service.dispatcher
            environment = {**first.environment, **WORKER_ENVIRONMENT, "ALIGNSWEEP_EXECUTOR": executor}
            second = Child("dispatcher-2", first.command, environment, home / "logs" / "dispatcher-2.log")
            second.start()
            started.children.append(second)
            stack.callback(second.stop)
        stack.callback(wake, started)
        yield service


def _environment(ttl: timedelta, checkpoint_every: timedelta, executor: str) -> dict[str, str]:
    return {
        "ALIGNSWEEP_LEASE_TTL_SECONDS": str(ttl.total_seconds()),
        "ALIGNSWEEP_CHECKPOINT_SECONDS": str(checkpoint_every.total_seconds()),
        "ALIGNSWEEP_EXECUTOR": executor,
        **(WORKER_ENVIRONMENT if executor == "inline" else {}),
    }


def pid_of(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


def kill(child: Child) -> None:
    """SIGKILL. The supervisor finds it dead and starts it again."""
    assert child.process is not None
    child.process.kill()
    child.process.wait()


def runs(child: Child) -> bool:
    return child.process is not None and child.process.poll() is None


def arm(child: Child, failpoint: str | None) -> None:
    """From its next start on the process fails at this place; None: nowhere."""
    environment = {name: value for name, value in child.environment.items() if name != _FAILPOINTS}
    child.environment = {**environment, _FAILPOINTS: failpoint} if failpoint else environment


def is_stopped(pid: int) -> bool:
    """Whether SIGSTOP holds the process."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def wake(stack: Stack) -> None:
    """Let go on what SIGSTOP holds."""
    for child in stack.children:
        if runs(child):
            for process in [psutil.Process(pid_of(child)), *psutil.Process(pid_of(child)).children(recursive=True)]:
                if is_stopped(process.pid):
                    process.send_signal(signal.SIGCONT)


def _command(process: psutil.Process) -> str:
    """Its first word: the program, or what it calls itself."""
    try:
        return next(iter(process.cmdline()), "")
    except psutil.Error:
        return ""
