"""The queue, the dispatcher and the API under load, in one run: `python -m benchmarks.service [out.json]`.

PostgreSQL, the API and the dispatchers are real, each in a process of its own; the workers are simulated. Machines are
noisy: what counts are the ratios, all taken in this run. The targets stand beside the figures.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from benchmarks import queueing
from benchmarks.databases import Server
from benchmarks.dispatching import (
    OF_32,
    OF_64,
    OF_ONE,
    TTL,
    Orders,
    beat,
    dispatch,
    packed_together,
    raw_ingest,
    remember,
    submit,
    together,
)
from benchmarks.simulated import Script
from benchmarks.watching import cpu_by_process, cpu_seconds, peak, resident, spent
from db.session import reader_url
from tests.ports import free_port

Section = Callable[["Bench"], dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """What the sections share."""

    server: Server
    folder: Path
    packs: int
    """How many packs the section on memory dispatches."""
    submitted: str
    """A template with one sweep of 100,000 queued trials, in packs of 32."""

    def orders(self, url: str, workers: int, script: Script, **times: timedelta) -> Orders:
        store = str(self.folder / "store")
        return Orders(url=url, server=self.server.pid, store=store, workers=workers, script=script, **times)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    result: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="alignsweep-bench-") as folder, Server.start(Path(folder)) as server:
        assert packed_together(OF_32) == 32
        template, result["submit"] = submit_through_api(server, Path(folder))
        _tell("submit", result["submit"])
        bench = Bench(server, Path(folder), options.packs, template)
        for name in options.only or SECTIONS:
            started = time.perf_counter()
            result[name] = SECTIONS[name](bench)
            result[name]["took, s"] = round(time.perf_counter() - started)
            result[name]["load of the machine, processes"] = round(os.getloadavg()[0], 1)
            _tell(name, result[name])
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def submit_through_api(server: Server, folder: Path) -> tuple[str, dict[str, Any]]:
    """100,000 trials in one request to the API's process. Returns the name of the database as well, a template."""
    name = server.keep()
    document = {
        "name": "load",
        "base": {"model": {"hidden": OF_32}},
        "grid": {"train.lr": [0.001 + 1e-6 * n for n in range(1000)]},
        "seeds": {"count": 100},
    }
    with serve(server.url_of(name), folder) as (url, pid):
        before, cpu, server_cpu = resident(pid), cpu_seconds(pid), cpu_by_process(server.pid)
        started = time.perf_counter()
        answer = httpx.post(f"{url}/api/v1/sweeps", json=document, timeout=120).raise_for_status().json()
        seconds = time.perf_counter() - started
        found = {
            "trials": answer["trial_count"],
            "seconds (target 10)": round(seconds, 2),
            "peak memory of the API, MB (target 500)": peak(pid),
            "its memory before, MB": before,
            "CPU of the API, s": round(cpu_seconds(pid) - cpu, 2),
            "CPU of PostgreSQL, s": round(spent(server_cpu, server.pid), 2),
        }
    return name, found


def claims(bench: Bench) -> dict[str, Any]:
    """Claim, record and end packs of 32 through `services.queue`, as fast as one or two processes can."""
    found: dict[str, Any] = {}
    for name, count, analysed in (
        ("one, before autovacuum has come by", 1, False),
        ("one", 1, True),
        ("two at once", 2, True),
    ):
        with bench.server.database(bench.submitted) as url:
            if analysed:
                queueing.analyze(url)
            answers = together(count, queueing.claim_and_finish, url, bench.server.pid, timedelta(seconds=8))
        rate = round(sum(answer.pop("trials/s") for answer in answers))
        found[name] = {"trials/s (target 2500)": rate, **answers[0]}
    return found


def ingest(bench: Bench) -> dict[str, Any]:
    """Chunks of 64 trials x 8 trace points x 4 layers, as fast as one dispatcher records them."""
    script = Script(chunks=8, points=8, layers=4)
    with bench.server.database() as url:
        submit(url, groups=200, seeds=64, hidden=OF_64)
        [answer] = together(1, dispatch, bench.orders(url, 4, script, window=timedelta(seconds=10)))
        [raw] = together(1, raw_ingest, url, script, 64, 60)
    rate = answer["rows"] / answer["elapsed"]
    return {
        "rows/s through a dispatcher (target 50000)": round(rate),
        "of these, traces": round(rate * script.layers / (script.layers + 1)),
        **{f"trace rows/s, {way}": round(speed) for way, speed in raw.items()},
        **_time(answer),
    }


def latency(bench: Bench) -> dict[str, Any]:
    """How long a claim of 32 takes, by how much waits and how much is over."""
    found: dict[str, Any] = {}
    with bench.server.database() as url:
        submit(url, groups=10, seeds=100, hidden=OF_32)
        found["1k queued"] = _claim_latency(url)
    with bench.server.database(bench.submitted) as url:
        found["100k queued"] = _claim_latency(url)
        queueing.add_finished(url, 1_000_000)
        found["1M finished, 100k queued"] = _claim_latency(url)
        plans = queueing.plans(url)
    few = found["1k queued"]["median, ms"]
    for name in ("100k queued", "1M finished, 100k queued"):
        found[f"ratio, {name} (target 2)"] = round(found[name]["median, ms"] / few, 2)
    scans = [line for plan in plans.values() for line in plan if "Seq Scan on trials" in line]
    return {**found, "a Seq Scan on trials occurs": bool(scans), "plans": plans}


def memory(bench: Bench) -> dict[str, Any]:
    """Of a dispatcher, over packs of one trial each."""
    marks = [bench.packs // 10**power for power in (2, 1, 0)]
    with bench.server.database() as url:
        submit(url, groups=100, seeds=marks[-1] // 100 + 2, hidden=OF_ONE)
        [answer] = together(1, remember, bench.orders(url, 50, Script()), marks)
    first, *_, last = (value for name, value in answer.items() if name.endswith("MB"))
    return {**answer, "last over first": round(last / first, 3)}


def scaling(bench: Bench) -> dict[str, Any]:
    """Packs of 32 that take a second and report three chunks: how many pass, by how many workers there are."""
    script = Script(duration=timedelta(seconds=1), chunks=3, points=4)
    found: dict[str, Any] = {}
    for workers in (1, 10, 100, 1000):
        found[f"{workers} workers"] = _scaled(bench, script, workers, dispatchers=1)
    found["1000 workers, two dispatchers"] = _scaled(bench, script, 1000, dispatchers=2)
    return found


def heartbeat(bench: Bench) -> dict[str, Any]:
    """The share of a core that goes into keeping 200 packs of 32."""
    script = Script(duration=timedelta(hours=1))
    with bench.server.database(bench.submitted) as url:
        [answer] = together(1, beat, bench.orders(url, 200, script), 50)
    period = TTL.total_seconds() / 3
    return {
        "packs": answer["packs"],
        "ms of CPU per heartbeat, dispatcher": round(1000 * answer["own"], 2),
        "ms of CPU per heartbeat, PostgreSQL": round(1000 * answer["server"], 2),
        "share of a core (target 0.01)": round((answer["own"] + answer["server"]) / period, 5),
    }


def sandbox(bench: Bench) -> dict[str, Any]:
    """Claims as in the section on claims, while users' SQL does its worst."""
    from benchmarks.sandbox import besieged

    rates: dict[str, float] = {}
    for name in ("alone", "besieged", "alone again"):
        with bench.server.database(bench.submitted) as url:
            queueing.analyze(url)
            reader = reader_url(url, password=None)
            with besieged(reader) if name == "besieged" else nullcontext():
                [answer] = together(1, queueing.claim_and_finish, url, bench.server.pid, timedelta(seconds=8))
        rates[name] = round(answer["trials/s"])
    ratio = rates["besieged"] / ((rates["alone"] + rates["alone again"]) / 2)
    return {**{f"trials/s, {name}": rate for name, rate in rates.items()}, "besieged over alone": round(ratio, 2)}


SECTIONS: dict[str, Section] = {
    "claims": claims,
    "ingest": ingest,
    "latency": latency,
    "memory": memory,
    "heartbeat": heartbeat,
    "scaling": scaling,
    "sandbox": sandbox,
}


def _claim_latency(url: str) -> dict[str, float]:
    queueing.analyze(url)
    [times] = together(1, queueing.claim_latency, url, 200)
    return {"median, ms": round(median(times), 2), "p95, ms": round(quantiles(times, n=20)[-1], 2)}


def _scaled(bench: Bench, script: Script, workers: int, dispatchers: int) -> dict[str, Any]:
    with bench.server.database(bench.submitted) as url:
        answers = together(dispatchers, dispatch, bench.orders(url, workers // dispatchers, script))
    packs, trials = (sum(answer[name] / answer["elapsed"] for answer in answers) for name in ("packs", "trials"))
    ideal = workers / script.duration.total_seconds()
    found = {
        "packs/s": round(packs, 1),
        "trials/s": round(trials),
        "of the ideal": round(packs / ideal, 3),
        "first tick, which leases all, s": round(max(answer["first tick"] for answer in answers), 2),
        "longest tick after it, s": round(max(answer["longest tick"] for answer in answers), 2),
        **_time(answers[0]),
    }
    _tell(f"{workers} workers, dispatchers: {dispatchers}", found)
    return found


def _time(answer: dict[str, Any]) -> dict[str, Any]:
    """What the time of one dispatcher went into."""
    elapsed = answer["elapsed"]
    return {
        "trials per CPU second, dispatcher and PostgreSQL": round(
            answer["trials"] / (answer["own CPU"] + answer["server CPU"])
        ),
        "rows per CPU second": round(answer["rows"] / (answer["own CPU"] + answer["server CPU"])),
        "CPU of the dispatcher": f"{answer['own CPU'] / elapsed:.0%} of a core",
        "CPU of PostgreSQL": f"{answer['server CPU'] / elapsed:.0%} of a core",
        "within statements": f"{answer['in statements'] / elapsed:.0%} of the time",
        "dispatcher": answer["dispatcher"],
        "statements": answer["statements"],
    }


@contextmanager
def serve(database_url: str, home: Path) -> Iterator[tuple[str, int]]:
    """The API's process on this database: its URL and process id."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "ALIGNSWEEP_HOME": str(home),
        "ALIGNSWEEP_HOST": "127.0.0.1",
        "ALIGNSWEEP_PORT": str(port),
    }
    with (home / "api.log").open("ab") as log:
        command = [sys.executable, "-m", "api.cli.main", "api"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the API did not start")


def _tell(name: str, figures: dict[str, Any]) -> None:
    print(json.dumps({name: figures}, indent=1), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="where the figures go as JSON")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections, after the submit")
    parser.add_argument("--packs", type=int, default=3000, help="packs of the section on memory (3000)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
