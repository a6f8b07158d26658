"""Reading among many rows of traces: `python -m benchmarks.reading [--rows 40000000] [out.json]`.

A finished sweep of 10,000 trials with so many rows, and one of 100,000 trials that wait, on an embedded PostgreSQL of
the benchmark's own. What users ask is timed through the code that answers it; then the API serves 200 reads a second
while a dispatcher records, and all traces leave as Parquet. The targets stand beside the figures.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from benchmarks.databases import Server
from benchmarks.dispatching import OF_64, TTL, submit, together
from benchmarks.exporting import export_all
from benchmarks.queueing import analyze
from benchmarks.service import serve
from benchmarks.simulated import Script, SimulatedExecutor
from db.session import make_dispatcher_engine, make_engine, make_reader_engine, reader_url
from services import curves, queue_sql, results, sweeps
from services.dispatcher import Dispatcher
from services.domain.results import MetricColumns, TraceColumns
from services.lists import listing
from services.lists.columns import TRIALS
from services.lists.listing import Question
from services.planning.expansion import parse
from services.query import run_query
from services.rollups import roll_up_next
from services.store import Store

_FINISH = """
    UPDATE trials SET state = 'succeeded', reason = 'completed', attempts = 1, started_at = now(), finished_at = now()
    WHERE sweep_id = :sweep
"""
_CLOSE = "UPDATE sweeps SET state = 'succeeded', started_at = now(), finished_at = now() WHERE id = :sweep"
_PACK = 100
_RECORDED = Script(chunks=8, points=8, layers=4, duration=timedelta(seconds=2))
_STEPS_PER_POINT = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """A finished sweep: so many groups and seeds, each trial with so many trace points and layers."""

    groups: int
    seeds: int
    points: int
    layers: int

    @property
    def trials(self) -> int:
        return self.groups * self.seeds


def load(
    engine: Engine, load: Load, *, vacuum: bool = True, grid: dict[str, list[Any]] | None = None
) -> dict[str, Any]:
    """Put the sweep into the database, as if it had been trained. Returns what it took.

    `grid`: that of the groups, as many as the load has; else they differ by their rate.
    """
    document = {
        "name": "reading",
        "base": {"model": {"hidden": [64] * (load.layers - 1)}},
        "grid": grid or {"train.lr": [0.001 + 1e-6 * n for n in range(load.groups)]},
        "seeds": {"count": load.seeds},
    }
    with Session(engine) as session, session.begin():
        sweep, _ = sweeps.submit(session, parse(document), idempotency_key=None, owner=None)
    with engine.begin() as connection:
        connection.execute(text(_FINISH), {"sweep": sweep.id})
        query = text("SELECT id FROM trials WHERE sweep_id = :sweep ORDER BY id")
        ids = np.array(connection.execute(query, {"sweep": sweep.id}).scalars().all())
    found: dict[str, Any] = {}
    for table, names, layers in (("metrics", MetricColumns.names(), 1), ("traces", TraceColumns.names(), load.layers)):
        rows = load.trials * load.points * layers
        started = time.perf_counter()
        _copy(engine, table, names, ids, points=load.points, layers=layers)
        seconds = time.perf_counter() - started
        found[f"{table}, rows"] = rows
        found[f"{table}, rows/s of COPY"] = round(rows / seconds)
    with engine.begin() as connection:
        ended = {"ids": ids.tolist(), "steps": [load.points * _STEPS_PER_POINT] * len(ids)}
        connection.execute(queue_sql.SUMMARISE, {**ended, "diverged": [None] * len(ids)})
        connection.execute(queue_sql.SUMMARISE_LAYERS, {"ids": ended["ids"]})
        connection.execute(queue_sql.COUNT_ENDS, {"sweep": sweep.id})
        connection.execute(text(_CLOSE), {"sweep": sweep.id})
    if vacuum:  # as autovacuum does, and the dispatcher for the whole of the partitions
        started = time.perf_counter()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        found["VACUUM ANALYZE, s"] = round(time.perf_counter() - started, 1)
    return found


def _copy(engine: Engine, table: str, names: list[str], ids: npt.NDArray[Any], *, points: int, layers: int) -> None:
    """COPY in the binary format, in the order in which packs report: point by point, all trials of a pack each."""
    blocks = [_block(names, point, layer, points) for point in range(points) for layer in range(1, layers + 1)]
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        statement = f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT binary)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for start in range(0, len(ids), _PACK):
                pack = ids[start : start + _PACK]
                for block in blocks:
                    block["trial_id"][: len(pack)] = pack
                    copy.write(block[: len(pack)].tobytes())
            copy.write(b"\xff\xff")


def _block(names: list[str], point: int, layer: int, points: int) -> npt.NDArray[Any]:
    """Rows of a pack at one point and layer, for COPY: each value behind its length in bytes, NULL as length -1."""
    undefined = {"generalisation_error", "update_norm" if point == 0 else ""}
    undefined |= {"weight_alignment", "alignment_condition", "alignment_identity"} if layer == 1 else set()
    undefined -= {"weight_alignment"} if "epoch" in names else set()
    kinds: list[tuple[str, str]] = [("fields", ">i2")]
    for name in names:
        kinds.append((f"{name} length", ">i4"))
        if name not in undefined:
            kinds.append((name, ">i8" if name in ("trial_id", "step", "layer") else ">f8"))
    rows = np.empty(_PACK, kinds)
    random_numbers = np.random.default_rng(point * 100 + layer)
    rows["fields"] = len(names)
    for name in names:
        rows[f"{name} length"] = -1 if name in undefined else 8
        if name not in undefined:
            grown = (point + 1) / points
            rows[name] = random_numbers.normal(grown if name.endswith("alignment") else 1 / grown, 0.1, _PACK)
    rows["step"] = point * _STEPS_PER_POINT
    if "layer" in names:
        rows["layer"] = layer
    return rows


def reads(url: str, sweep: Load, waiting: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of what users ask, through the code that answers it. Sweep 1 is `sweep`, `waiting` the large one."""
    engine = make_engine(url, longest_pause=timedelta(hours=1))  # one session rests while others are timed
    reader = make_reader_engine(reader_url(url, password=None))
    chosen = random.Random(0)
    trial, group = partial(chosen.randint, 1, sweep.trials), partial(chosen.randint, 1, sweep.groups)
    grouped = "SELECT * FROM v_group_alignment_curves WHERE sweep_id = 1 AND group_id = {}"
    raw = "SELECT step, layer, avg(gradient_alignment) FROM v_alignment WHERE group_id = {} GROUP BY step, layer"
    with engine.connect() as connection, Session(engine) as session:
        pages = _pages(session, waiting)

        def asked(sql: str) -> int:
            return len(connection.exec_driver_sql(sql).fetchall())

        found = {
            "one trial's trace, SQL (target 10)": _timed(
                lambda: asked(f"SELECT * FROM traces WHERE trial_id = {trial()} ORDER BY step, layer"), seconds
            ),
            "one trial's trace, as the API reads it": _timed(
                lambda: results.trial_alignment(session, trial()), seconds
            ),
            f"{sweep.seeds} trials grouped, curves kept (target 100)": _timed(
                lambda: asked(grouped.format(group())), seconds
            ),
            f"{sweep.seeds} trials grouped, from their rows": _timed(lambda: asked(raw.format(group())), seconds),
            f"summary of {sweep.trials} trials (target 300)": _timed(lambda: results.stats(session, 1), seconds),
            "curves of the sweep, alignment, 50 points of each group": _timed(
                lambda: curves.alignment(session, 1, max_points=50), seconds
            ),
            "page of 100 of 100k trials (target 100)": _timed(lambda: next(pages), seconds),
            "a query of the cookbook's kind, through the sandbox": _timed(
                lambda: run_query(
                    reader, "SELECT rule, avg(test_accuracy) FROM v_trials WHERE sweep_id = 1 GROUP BY rule", max_rows=9
                ),
                seconds,
            ),
        }
        session.execute(text("UPDATE groups SET rolled_up = false WHERE sweep_id = 1"))
        session.execute(text("DELETE FROM group_curves"))
        session.execute(text("DELETE FROM group_traces"))
        found["the same curves, 50 points, while nothing is kept"] = _timed(
            lambda: curves.alignment(session, 1, max_points=50), seconds, least=2
        )
        session.rollback()
    engine.dispose()
    return found


def _pages(session: Session, sweep_id: int) -> Iterator[list[results.TrialRow]]:
    """Page after page of 100 trials of the sweep, and again from the start."""
    cursor = None
    scope = {"trials.sweep_id = :sweep": {"sweep": sweep_id}}
    while True:
        page = listing.page(session, TRIALS, Question(sort="position", limit=100, cursor=cursor, scope=scope))
        cursor = page.next_cursor
        yield results.trials(session, page.ids)


def _timed(read: Callable[[], Any], seconds: float, least: int = 5) -> dict[str, Any]:
    read()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < until:
        started = time.perf_counter()
        read()
        times.append(1000 * (time.perf_counter() - started))
    return _percentiles(times)


def _percentiles(times: list[float]) -> dict[str, Any]:
    cuts = quantiles(times, n=100, method="inclusive")
    return {**{f"p{n}, ms": round(cuts[n - 1], 1) for n in (50, 95, 99)}, "times": len(times)}


def api_reads(url: str, folder: Path, sweep: Load, waiting: int, rate: int, seconds: float) -> dict[str, Any]:
    """Latency of the API at so many reads a second, quiet and while a dispatcher records for simulated workers."""
    found: dict[str, Any] = {}
    with serve(url, folder) as (address, _):
        found["quiet"] = _at_rate(address, sweep, waiting, rate, seconds)
        with ThreadPoolExecutor(1) as aside:
            recorded = aside.submit(together, 1, record, url, folder, seconds + 10, _RECORDED)
            time.sleep(5)  # it has begun by now
            found["during ingest (target p99 150)"] = _at_rate(address, sweep, waiting, rate, seconds)
    return {**found, "rows/s recorded meanwhile": round(recorded.result()[0])}


def _at_rate(address: str, sweep: Load, waiting: int, rate: int, seconds: float) -> dict[str, Any]:
    """Requests leave at fixed times, however long the answers before them take; waiting in line counts."""
    chosen = random.Random(1)
    with httpx.Client(base_url=f"{address}/api/v1", timeout=30, limits=httpx.Limits(max_connections=64)) as client:
        paths: list[Callable[[], str]] = [
            lambda: "/sweeps/1",
            lambda: "/sweeps?limit=20",
            lambda: f"/sweeps/{waiting}/trials?limit=20",
            lambda: f"/trials/{chosen.randint(1, sweep.trials)}",
            lambda: f"/trials/{chosen.randint(1, sweep.trials)}/attempts",
        ]
        begun = time.perf_counter()

        def ask(number: int, path: str) -> float:
            client.get(path).raise_for_status()
            return 1000 * (time.perf_counter() - begun - number / rate)

        with ThreadPoolExecutor(64) as pool:
            answers = []
            for number in range(round(rate * seconds)):
                time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                answers.append(pool.submit(ask, number, paths[number % len(paths)]()))
            times = [answer.result() for answer in answers]
        took = time.perf_counter() - begun
    return {**_percentiles(times), "reads/s": round(len(times) / took)}


def record(_gate: object, url: str, folder: Path, seconds: float, script: Script) -> float:
    """A dispatcher with four simulated workers in a process of its own, for so long. Returns rows per second."""
    engine = make_dispatcher_engine(url, ttl=TTL)
    executor = SimulatedExecutor(4, script)
    dispatcher = Dispatcher(engine=engine, executor=executor, store=Store(str(folder / "store")), ttl=TTL)
    started = time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        time.sleep(dispatcher.tick().total_seconds())
    with engine.connect() as connection:
        rows = float(connection.execute(text("SELECT coalesce(sum(rows), 0) FROM packs")).scalar_one())
    dispatcher.drain(timedelta(0))
    engine.dispose()
    return rows / took


def sizes(url: str) -> dict[str, str]:
    """Of tables with their indexes, and of the traces' indexes."""
    engine = make_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("""
                SELECT 'traces' AS name, sum(pg_total_relation_size(relid)) AS bytes FROM pg_partition_tree('traces')
                UNION ALL SELECT 'indexes of traces', sum(pg_indexes_size(relid)) FROM pg_partition_tree('traces')
                UNION ALL SELECT 'metrics', pg_total_relation_size('metrics')
                UNION ALL SELECT 'curves that are kept',
                    pg_total_relation_size('group_traces') + pg_total_relation_size('group_curves')
            """)
        ).all()
    engine.dispose()
    return {row.name: f"{row.bytes / 2**20:,.0f} MiB" for row in rows}


def main() -> None:
    options = _options()
    sweep = Load(groups=100, seeds=100, points=max(10, options.rows // (100 * 100 * 4)), layers=4)
    result: dict[str, Any] = {"cores": os.cpu_count()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    with (
        tempfile.TemporaryDirectory(prefix="alignsweep-reading-", dir=options.folder) as home,
        Server.start(Path(home)) as server,
        server.database() as url,
    ):
        folder = Path(home)
        engine = make_engine(url)
        result["load"] = load(engine, sweep)
        submit(url, groups=1000, seeds=100, hidden=OF_64)
        analyze(url)
        started = time.perf_counter()
        while roll_up(engine):
            pass
        result["load"]["curves kept, s"] = round(time.perf_counter() - started, 1)
        result["sizes"] = sizes(url)
        _tell(result)
        sections: dict[str, Callable[[], dict[str, Any]]] = {
            "reads": lambda: reads(url, sweep, 2, options.seconds),
            "api": lambda: api_reads(url, folder, sweep, 2, options.rate, options.seconds),
            "export": lambda: export_all(url, folder, sweep.trials * sweep.points * sweep.layers),
        }
        for name in options.only or sections:
            result[name] = sections[name]()
            _tell({name: result[name]})
        result["load of the machine, processes"] = round(os.getloadavg()[0], 1)
        engine.dispose()
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def roll_up(engine: Engine) -> bool:
    """Keep the curves of one more group. False: all are kept."""
    with Session(engine) as session, session.begin():
        return roll_up_next(session)


def _tell(figures: dict[str, Any]) -> None:
    print(json.dumps(figures, indent=1), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="where the figures go as JSON")
    parser.add_argument("--rows", type=int, default=40_000_000, help="rows of traces (40 million)")
    parser.add_argument("--only", nargs="+", choices=("reads", "api", "export"), help="these sections")
    parser.add_argument("--rate", type=int, default=200, help="reads per second of the API (200)")
    parser.add_argument("--seconds", type=float, default=10, help="how long each kind of read is repeated (10)")
    parser.add_argument("--folder", type=Path, help="where the database lies meanwhile; about 220 bytes a row")
    return parser.parse_args()


if __name__ == "__main__":
    main()
