"""What comes of attacks in users' SQL: `python -m benchmarks.sandbox [--seconds 2] [--only WORD ...]`.

The API is real, in a process of its own, on an embedded PostgreSQL. Of each attack: how it ended, how long it took, and
how much memory the API and PostgreSQL took meanwhile, beyond what they had.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx

from benchmarks.databases import Server
from benchmarks.service import serve
from db.session import make_reader_engine
from services.domain.errors import DomainError
from services.query import QueryLimits, run_query
from tests.attacks import ATTACKS, STOPPED_STATES, watched

_HEAVY = (
    "SELECT count(*) FROM v_trials a JOIN v_trials b ON a.seed <> b.seed",
    "WITH RECURSIVE r(n) AS (SELECT 1::numeric UNION ALL SELECT n + 1 FROM r) SELECT sum(n) FROM r",
    "SELECT n FROM generate_series(1, 1000000000) AS s(n) ORDER BY -n",
    "SELECT * FROM v_trials",
)
"""Queries that keep PostgreSQL busy: joins, arithmetic, sorting on disk, large answers."""


@contextmanager
def besieged(url: str) -> Iterator[None]:
    """As many heavy queries at once as the sandbox admits, for as long as the block lasts. `url`: the reader's."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_besiege, args=(url,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _besiege(url: str) -> None:
    engine = make_reader_engine(url)

    def ask(sql: str) -> None:
        while True:
            with suppress(DomainError):
                run_query(engine, sql, max_rows=100_000, limits=QueryLimits(time=timedelta(seconds=5)))

    threads = [threading.Thread(target=ask, args=(sql,)) for sql in _HEAVY]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    options = _options()
    os.environ["ALIGNSWEEP_QUERY_SECONDS"] = str(options.seconds)
    print(f"{'attack':32} {'ends':28} {'seconds':>7} {'API, MB':>8} {'PostgreSQL, MB':>15}")
    with (
        tempfile.TemporaryDirectory(prefix="alignsweep-sandbox-") as folder,
        Server.start(Path(folder)) as server,
        server.database() as url,
        serve(url, Path(folder)) as (address, pid),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        for attack in ATTACKS:
            if not options.only or any(word in attack.name for word in options.only):
                with watched(pid, server.pid) as cost:
                    answer = client.post("/api/v1/query", json={"sql": attack.sql, "max_rows": 100_000})
                end = _end(answer)
                print(f"{attack.name:32} {end:28} {cost.seconds:7.2f} {cost.own:8.1f} {cost.server:15.1f}", flush=True)


def _end(answer: httpx.Response) -> str:
    body = json.loads(answer.text)
    match answer.status_code:
        case 200:
            cut = ", cut" if body["truncated"] else ""
            return f"answered{cut}, {len(answer.content) / 1e6:.1f} MB"
        case 422:
            state = body["sqlstate"]
            return f"stopped: {STOPPED_STATES[state]}" if state in STOPPED_STATES else f"refused: {state}"
        case status:
            return f"UNEXPECTED: {status}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="what a query may take (2)")
    parser.add_argument("--only", nargs="+", help="attacks with one of these words in their names")
    return parser.parse_args()


if __name__ == "__main__":
    main()
