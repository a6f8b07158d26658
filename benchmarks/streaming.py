"""Lists and streams, in one run: `python -m benchmarks.streaming [out.json]`.

PostgreSQL and the API are real, each in a process of its own. Pages of a sweep of 100,000 trials; memory of the API by
how many idle clients listen; and how late events come to clients beside one that does not read.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.client import Client
from benchmarks.databases import Server
from benchmarks.service import serve
from benchmarks.watching import cpu_by_process, cpu_seconds, resident, spent
from db.models import Event
from db.session import make_engine
from services.queue_sql import COUNT_ENDS

_PAGES: dict[str, dict[str, str]] = {
    "default, first": {},
    "by accuracy": {"sort": "-test_accuracy"},
    "by accuracy, three fields": {"sort": "-test_accuracy", "fields": "id,train.lr,test_accuracy"},
    "by a parameter": {"sort": "train.lr", "fields": "id,train.lr"},
    "filtered": {"filter": "train.lr < 0.0012 and (state = succeeded or attempts > 1) and test_accuracy > 0.5"},
}


@dataclass(frozen=True)
class Bench:
    """An API process on a database of its own, and the first process of the server."""

    url: str
    address: str
    pid: int
    server: int
    clients: int


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    result: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="alignsweep-bench-") as folder, Server.start(Path(folder)) as server:
        for name in options.only or SECTIONS:
            with server.database() as url, serve(url, Path(folder)) as (address, pid):
                result[name] = SECTIONS[name](Bench(url, address, pid, server.pid, options.clients))
            result[name]["load of the machine, processes"] = round(os.getloadavg()[0], 1)
            print(json.dumps({name: result[name]}, indent=1), flush=True)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def lists(bench: Bench) -> dict[str, Any]:
    """Pages of 100, each asked for fifty times over HTTP. CPU: of the API and PostgreSQL, whatever else runs."""
    sweep_id = _submit(bench.address, groups=1000, seeds=100)
    _finish_half(bench.url, sweep_id)
    found: dict[str, Any] = {}
    with httpx.Client(base_url=f"{bench.address}/api/v1", timeout=60) as http:
        path = f"/sweeps/{sweep_id}/trials"
        deep: dict[str, str] = {}
        for _ in range(50):
            page = http.get(path, params={"limit": 1000, "fields": "id", **deep}).raise_for_status().json()
            deep = {"cursor": page["next_cursor"]}
        for name, params in {**_PAGES, "default, after 50,000": deep}.items():
            http.get(path, params={"limit": 100, **params}).raise_for_status()
            cpu, server = cpu_seconds(bench.pid), cpu_by_process(bench.server)
            times = [_timed(http, path, params) for _ in range(50)]
            used = cpu_seconds(bench.pid) - cpu + spent(server, bench.server)
            found[name] = {
                "median, ms": round(1000 * median(times), 1),
                "p95, ms (target 100)": round(1000 * quantiles(times, n=20)[-1], 1),
                "CPU, ms": round(1000 * used / len(times), 1),
            }
    return found


def idle(bench: Bench) -> dict[str, Any]:
    """Clients of one sweep of which nothing is heard: memory and CPU of the API."""
    path = f"/api/v1/sweeps/{_submit(bench.address)}/events/stream"
    asyncio.run(_warm(bench.address, path))
    before = resident(bench.pid)

    async def listen() -> tuple[float, float]:
        writers = []
        for _ in range(bench.clients // 50):
            opened = await asyncio.gather(*(_listening(bench.address, path) for _ in range(50)))
            writers += [writer for _, writer in opened]
        held, cpu = resident(bench.pid), cpu_seconds(bench.pid)
        await asyncio.sleep(20)
        share = (cpu_seconds(bench.pid) - cpu) / 20
        for writer in writers:
            writer.close()
        return held, share

    held, share = asyncio.run(listen())
    return {
        "clients": bench.clients,
        "memory of the API before, MB": before,
        "with them, MB": held,
        "each, kB": round(1000 * (held - before) / bench.clients, 1),
        "CPU while idle, share of a core": round(share, 4),
        "connections to the database": _connections(bench.url),
    }


def slow(bench: Bench) -> dict[str, Any]:
    """How long after its commit an event reaches 50 clients, without and with one beside them that reads nothing."""
    sweep_id = _submit(bench.address)
    path = f"/api/v1/sweeps/{sweep_id}/events/stream"
    alone = asyncio.run(_delays(bench.url, bench.address, path, sweep_id))
    host, port = bench.address.removeprefix("http://").split(":")
    with socket.socket() as dull:
        dull.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        dull.connect((host, int(port)))
        dull.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        time.sleep(1)
        memory = resident(bench.pid)
        beside = asyncio.run(_delays(bench.url, bench.address, path, sweep_id))
    return {
        "median delay alone, s": round(median(alone), 3),
        "beside a slow client, s": round(median(beside), 3),
        "longest alone, s": round(max(alone), 3),
        "longest beside it, s": round(max(beside), 3),
        "memory of the API by then, MB more": round(resident(bench.pid) - memory, 1),
    }


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {"lists": lists, "idle": idle, "slow": slow}


async def _delays(url: str, address: str, path: str, sweep_id: int) -> list[float]:
    """Of 40 events of 100 kB, to 50 clients."""
    delays: list[float] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(40):
            await reader.readuntil(b'"sent":')
            sent = await reader.readuntil(b",")
            delays.append(time.time() - float(sent[:-1]))
        writer.close()

    opened = await asyncio.gather(*(_listening(address, path) for _ in range(50)))
    await asyncio.gather(asyncio.to_thread(_tell, url, sweep_id), *(listen(*connection) for connection in opened))
    return delays


def _tell(url: str, sweep_id: int) -> None:
    engine = make_engine(url)
    with Session(engine) as session:
        for _ in range(40):
            session.execute(text("SELECT pg_current_xact_id()"))
            detail = {"sent": time.time(), "text": "x" * 100_000}
            session.add(Event(sweep_id=sweep_id, kind="sweep.edited", detail=detail))
            session.commit()
            time.sleep(0.25)
    engine.dispose()


async def _listening(address: str, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that has heard of the progress."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await reader.readuntil(b"event: progress")
    return reader, writer


async def _warm(address: str, path: str) -> None:
    """What the first client loads is not charged to the others."""
    _, writer = await _listening(address, path)
    writer.close()


def _submit(address: str, groups: int = 1, seeds: int = 4) -> int:
    document = {
        "name": "load",
        "grid": {"train.lr": [0.001 + 1e-6 * n for n in range(groups)]},
        "seeds": {"count": seeds},
    }
    with Client(address, timeout_seconds=300) as client:
        return int(client.submit(document)["id"])


def _finish_half(url: str, sweep_id: int) -> None:
    engine = make_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("UPDATE trials SET state = 'succeeded', finished_at = now() WHERE position % 2 = 0"))
        connection.execute(
            text("""
                INSERT INTO trial_summaries (trial_id, steps, trace_points, test_accuracy)
                SELECT id, 10, 1, random() FROM trials WHERE state = 'succeeded'
            """)
        )
        connection.execute(COUNT_ENDS, {"sweep": sweep_id})
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _timed(http: httpx.Client, path: str, params: dict[str, str]) -> float:
    started = time.perf_counter()
    http.get(path, params={"limit": 100, **params}).raise_for_status()
    return time.perf_counter() - started


def _connections(url: str) -> int:
    engine = make_engine(url)
    with engine.connect() as connection:
        others = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
        count = int(connection.execute(text(others)).scalar_one())
    engine.dispose()
    return count


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="where the figures go as JSON")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections")
    parser.add_argument("--clients", type=int, default=1000, help="that listen and hear nothing (1000)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
