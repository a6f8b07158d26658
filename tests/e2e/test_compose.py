"""Every command of docker-compose.yml, run as a plain process with the environment that the file gives it.

Only what a container network would provide is replaced: host names, fixed ports, the paths of the image. PostgreSQL is
the embedded one, reached as the file's postgres service would be.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from ruamel.yaml import YAML
from sqlalchemy import text

from api.client import Client
from db.session import make_engine
from tests.conftest import DatabaseServer
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 120.0  # Ray starts a node in seconds, on a busy machine in half a minute
SECRETS = {
    "POSTGRES_PASSWORD": "postgres-secret",
    "ALIGNSWEEP_TOKEN": "api-secret",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "ALIGNSWEEP_READER_PASSWORD": "reader-secret",
}


class Composition:
    """The compose file's services as processes on this machine."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.services: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
        self.api_port, self.ray_port = free_port(), free_port()
        self.database_url = database_url
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.replacements = {
            "postgresql://alignsweep:postgres-secret@postgres:5432/alignsweep": database_url,
            "0.0.0.0": "127.0.0.1",
            # Each container has an address; here each Ray node has one of the loopback network.
            "ray start": "ray start --node-ip-address=127.0.0.2",
            "8642": str(self.api_port),
            "dispatcher:6379": f"127.0.0.2:{self.ray_port}",
            "127.0.0.1:6379": f"127.0.0.2:{self.ray_port}",
            "('127.0.0.1', 6379)": f"('127.0.0.2', {self.ray_port})",
            "6379": str(self.ray_port),
        }

    def start(self, name: str) -> subprocess.Popen[bytes]:
        service = self.services[name]
        command = [self._here(part) for part in service["command"]]
        if command[:2] == ["ray", "start"]:
            command.insert(2, f"--node-ip-address=127.0.0.{3 + len(self.processes)}")
        with (self.folder / f"{name}-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self._environment(service), stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def healthy(self, name: str) -> bool:
        """Run the service's own health check once."""
        _, *command = self.services[name]["healthcheck"]["test"]
        return subprocess.run([self._here(part) for part in command], capture_output=True, check=False).returncode == 0

    def training_nodes(self) -> set[str]:
        """Nodes in the provenance of the attempts that run. An attempt has none before its pack trains."""
        query = "SELECT provenance ->> 'node' FROM attempts WHERE finished_at IS NULL AND provenance IS NOT NULL"
        engine = make_engine(self.database_url)
        with engine.connect() as connection:
            nodes = set(connection.execute(text(query)).scalars())
        engine.dispose()
        return nodes

    def kill_last(self) -> None:
        """SIGKILL the service that was started last, with all that belongs to it, as a power cut would."""
        process = psutil.Process(self.processes[-1].pid)
        for member in [*process.children(recursive=True), process]:
            member.kill()

    def stop(self) -> None:
        """End all processes and what they started, by their process ids."""
        for process in reversed(self.processes):
            family = [process.pid]
            if psutil.pid_exists(process.pid):
                family += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
            for pid in family:
                if psutil.pid_exists(pid):
                    os.kill(pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for child in self._of_our_ray():
                child.kill()

    def _of_our_ray(self) -> list[psutil.Process]:
        """Daemons of `ray start`, which have left their parent: known by the folder of this test's Ray session."""
        marker = str(self.folder / "ray")
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if marker in " ".join(process.info["cmdline"] or []):
                found.append(process)
        return found

    def _environment(self, service: dict[str, Any]) -> dict[str, str]:
        given = {name: self._here(str(value)) for name, value in (service.get("environment") or {}).items()}
        image = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "ALIGNSWEEP_HOME": str(self.folder / "home"),
            "RAY_TMPDIR": str(self.folder / "ray"),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        return {**image, **given}

    def _here(self, part: str) -> str:
        """The part with compose's variables filled in and host names of the container network replaced."""
        part = re.sub(r"\$\{(\w+)(?::-([^}]*)|[^}]*)\}", lambda found: SECRETS.get(found[1], found[2]) or "", part)
        for there, here in self.replacements.items():
            part = part.replace(there, here)
        return sys.executable if part == "python" else part


@pytest.fixture
def composition(database_server: DatabaseServer, tmp_path: Path) -> Iterator[Composition]:
    database_server.execute("CREATE DATABASE composed")
    folder = Path("/tmp") / f"as-{os.getpid()}"  # Ray's sockets need a short path
    folder.mkdir()
    composition = Composition(database_server.url_of("composed"), folder)
    yield composition
    composition.stop()
    shutil.rmtree(folder, ignore_errors=True)
    database_server.execute("DROP DATABASE composed WITH (FORCE)")


@pytest.mark.timeout(500)
def test_the_composed_service_trains_a_sweep(composition: Composition) -> None:
    assert set(composition.services) == {"postgres", "migrate", "api", "dispatcher", "worker"}
    assert composition.start("migrate").wait(30) == 0
    composition.start("api")
    wait_for(lambda: composition.healthy("api"))
    composition.start("dispatcher")
    wait_for(lambda: composition.healthy("dispatcher"))
    composition.start("worker")
    url = f"http://127.0.0.1:{composition.api_port}"
    assert httpx.get(f"{url}/api/v1/sweeps").status_code == 401
    with Client(url, SECRETS["ALIGNSWEEP_TOKEN"]) as client:
        spec = {"name": "composed", "grid": {"rule.name": ["bp", "dfa"]}, "seeds": {"count": 4}}
        sweep = client.submit({**spec, "base": {"train": {"epochs": 3}}})
        wait_for(lambda: client.sweep(sweep["id"])["state"] == "succeeded")
        assert client.sql("SELECT count(*) FROM v_trials WHERE state = 'succeeded'")["rows"] == [[8]]

        composition.start("worker")  # docker compose up --scale worker=2
        endless = client.submit({**spec, "base": {"train": {"epochs": 100_000}}, "seeds": {"count": 256}})
        wait_for(lambda: len(composition.training_nodes()) == 2)

        composition.kill_last()  # that node is gone, in the middle of its packs
        lost = "SELECT count(*) FROM v_attempts WHERE reason IN ('node_lost', 'worker_lost')"
        wait_for(lambda: client.sql(lost)["rows"][0][0] > 0)
        running = "SELECT count(*) FROM v_trials WHERE state = 'queued' AND reason IN ('node_lost', 'worker_lost')"
        wait_for(lambda: client.sql(running)["rows"][0][0] == 0 or client.workers() != [])
        assert client.sql("SELECT max(attempts) FROM v_trials")["rows"] == [[1]]  # it cost no trial an attempt
        assert client.cancel(endless["id"])["state"] == "cancelled"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
