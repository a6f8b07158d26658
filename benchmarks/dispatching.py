"""Real dispatchers with simulated workers: ingest, scaling, memory, heartbeats."""

import logging
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.simulated import CPU, Script, SimulatedExecutor, columns
from benchmarks.watching import Split, cpu_by_process, cpu_seconds, resident, spent, statements
from db.session import make_dispatcher_engine, make_engine
from services import measurements, sweeps
from services.dispatcher import Dispatcher
from services.domain.results import Chunk, Columns
from services.domain.spec import TrialConfig
from services.packing import pack_limit
from services.planning.expansion import parse
from services.store import Store

TTL = timedelta(seconds=30)
OF_ONE, OF_32, OF_64 = [1500, 1500], [252, 252], [64]
"""Hidden layers of models that are packed so many together."""

_PHASES = ("_keep_leases", "_rescue", "_claim", "_derive")
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What one process is to do on the database: dispatch for so many simulated workers, for so long."""

    url: str
    server: int
    """Process id of PostgreSQL."""
    store: str
    workers: int
    script: Script
    warm_up: timedelta = timedelta(seconds=1)
    window: timedelta = timedelta(seconds=6)


def together(count: int, task: Callable[..., Any], *arguments: Any) -> list[Any]:
    """The answers of so many processes that do the task at once. `task(gate, ...)` waits at the gate when ready."""
    gate, answers = _context.Barrier(count), _context.SimpleQueue()
    processes = [
        _context.Process(target=_answer, args=(answers, task, gate, *arguments), daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    if failed := [answer for answer in found if isinstance(answer, Exception)]:
        raise failed[0]
    return found


def _answer(answers: Any, task: Callable[..., Any], gate: Any, *arguments: Any) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        answers.put(task(gate, *arguments))
    except Exception as error:  # the parent waits for an answer
        answers.put(RuntimeError(repr(error)))
        gate.abort()


def submit(url: str, *, groups: int, seeds: int, hidden: list[int]) -> None:
    """A sweep of so many groups of one model, which share packs, each with so many seeds."""
    document = {
        "name": "load",
        "base": {"model": {"hidden": hidden}},
        "grid": {"train.lr": [0.001 + 1e-6 * n for n in range(groups)]},
        "seeds": {"count": seeds},
    }
    engine = make_engine(url)
    with Session(engine) as session, session.begin():
        sweeps.submit(session, parse(document), idempotency_key=None, owner=None)
    engine.dispose()


def packed_together(hidden: list[int]) -> int:
    """The size of full packs of this model."""
    return pack_limit(TrialConfig.model_validate({"model": {"hidden": hidden}}), CPU)


def dispatch(gate: Any, orders: Orders) -> dict[str, Any]:
    """What happened within the window, in seconds and counts, and what the time went into.

    The window begins and ends between two rounds; where rounds are long, it is longer than asked for.
    """
    dispatcher, executor = _dispatcher(orders)
    asked, done = statements(dispatcher.engine), _phases(dispatcher)
    gate.wait()
    begun = time.perf_counter()
    dispatcher.tick()
    leased = time.perf_counter() - begun
    until = begun + orders.warm_up.total_seconds()
    while time.perf_counter() < until or executor.started < orders.workers:  # until all are busy
        time.sleep(dispatcher.tick().total_seconds())
    asked.clear()
    done.clear()
    before, server = _counts(dispatcher, executor), cpu_by_process(orders.server)
    started = time.perf_counter()
    while time.perf_counter() - started < orders.window.total_seconds():
        pause = done.timed("tick", dispatcher.tick)()
        done.timed("sleep", time.sleep)(pause.total_seconds())
    elapsed = time.perf_counter() - started
    found: dict[str, Any] = {"elapsed": elapsed, "first tick": leased, "longest tick": done.longest["tick"]}
    found["dispatcher"] = done.shares(elapsed)
    found["statements"] = asked.shares(elapsed, top=14)
    found["in statements"] = sum(asked.seconds.values())
    found["server CPU"] = spent(server, orders.server)
    after = _counts(dispatcher, executor)
    return found | {name: after[name] - before[name] for name in after}


def remember(gate: Any, orders: Orders, marks: list[int]) -> dict[str, Any]:
    """Resident memory of the dispatcher's process, MB, after so many packs each."""
    dispatcher, executor = _dispatcher(orders)
    gate.wait()
    memory: dict[str, Any] = {}
    started = time.perf_counter()
    for mark in marks:
        while executor.ended < mark:
            dispatcher.tick()
        memory[f"after {mark:,} packs, MB"] = resident()
    memory["packs/s"] = round(executor.ended / (time.perf_counter() - started))
    return memory


def beat(gate: Any, orders: Orders, beats: int) -> dict[str, Any]:
    """CPU seconds of one heartbeat of all packs that the workers hold, here and in the server."""
    dispatcher, _ = _dispatcher(orders)
    dispatcher.tick()
    gate.wait()
    own, server = cpu_seconds(), cpu_by_process(orders.server)
    for _ in range(beats):
        dispatcher._keep_leases(now=True)
    return {
        "packs": len(dispatcher.held),
        "own": (cpu_seconds() - own) / beats,
        "server": spent(server, orders.server) / beats,
    }


def raw_ingest(gate: Any, url: str, script: Script, trials: int, chunks: int) -> dict[str, float]:
    """Trace rows per second of the ways to write them, a transaction for each chunk; nothing else happens."""
    engine = make_engine(url)
    batches = [columns(tuple(range(n * trials, (n + 1) * trials)), first=0, script=script)[1] for n in range(chunks)]
    rows = sum(len(batch) for batch in batches)
    names = ", ".join(batches[0].names())
    texts = [_copy_text(batch) for batch in batches]
    gate.wait()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE copied (LIKE traces INCLUDING ALL)"))
    started = time.perf_counter()
    for content in texts:
        with engine.begin() as connection:
            cursor = connection.connection.cursor()
            with cursor.copy(f"COPY copied ({names}) FROM STDIN") as copy:
                copy.write(content)
    copied = time.perf_counter() - started
    started = time.perf_counter()
    for number, batch in enumerate(batches):
        held = range(number * trials, (number + 1) * trials)
        with Session(engine) as session, session.begin():
            measurements.write(session, Chunk(pack_id=0, seq=0, traces=batch), held)
    inserted = time.perf_counter() - started
    engine.dispose()
    return {"COPY of text that is there": rows / copied, "measurements.write": rows / inserted}


def _copy_text(batch: Columns) -> str:
    lists = [getattr(batch, name).tolist() for name in batch.names()]
    rows = zip(*lists, strict=True)
    return "".join("\t".join("\\N" if value != value else repr(value) for value in row) + "\n" for row in rows)


def _dispatcher(orders: Orders) -> tuple[Dispatcher, SimulatedExecutor]:
    executor = SimulatedExecutor(orders.workers, orders.script)
    engine = make_dispatcher_engine(orders.url, ttl=TTL)
    return Dispatcher(engine=engine, executor=executor, store=Store(orders.store), ttl=TTL), executor


def _phases(dispatcher: Dispatcher) -> Split:
    """Watch the parts of the dispatcher's round from now on."""
    split = Split()
    recorder = dispatcher._recorder
    parts = [(recorder, "collect"), *((dispatcher, name) for name in _PHASES)]
    for owner, name in parts:
        setattr(owner, name, split.timed(name, getattr(owner, name)))
    return split


def _counts(dispatcher: Dispatcher, executor: SimulatedExecutor) -> dict[str, float]:
    with dispatcher.engine.connect() as connection:
        rows = connection.execute(text("SELECT coalesce(sum(rows), 0) FROM packs")).scalar_one()
    return {
        "packs": executor.ended,
        "trials": executor.trials,
        "rows": float(rows),
        "own CPU": cpu_seconds(),
    }
