"""The queue's functions without a dispatcher: how many trials pass, and how long a claim takes."""

import re
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.orm import Session

from benchmarks.dispatching import TTL
from benchmarks.simulated import CPU, Script, columns
from benchmarks.watching import Split, cpu_by_process, cpu_seconds, spent, statements
from db.session import make_dispatcher_engine, make_engine
from services import queue
from services import queue_sql as sql
from services.domain.ports import PackOrder
from services.domain.results import Chunk, Outcome
from services.domain.states import Reason

_SCRIPT = Script()
_SIZE = 32

# Trials that are over, of the sweep and the groups that are there. Their foreign keys are not checked: it takes long.
_ADD_FINISHED = """
    INSERT INTO trials
        (sweep_id, group_id, position, seed, config_hash, pack_key, state, reason, attempts, max_attempts,
         created_at, started_at, finished_at)
    SELECT sweep.id, groups.first + n % groups.count, sweep.trial_count + n, 1000000 + n,
        encode(sha256(n::text::bytea), 'hex'), trial.pack_key, 'succeeded', 'completed', 1, 3, now(), now(), now()
    FROM generate_series(1, :count) AS series(n)
    CROSS JOIN (SELECT id, trial_count FROM sweeps ORDER BY id LIMIT 1) AS sweep
    CROSS JOIN (SELECT min(id) AS first, count(*) AS count FROM groups) AS groups
    CROSS JOIN (SELECT pack_key FROM trials LIMIT 1) AS trial
"""
_ADD_FINISHED_PACKS = """
    INSERT INTO packs (dispatcher, sweep_id, pack_key, size, owners, shares, state, lease_until, finished_at)
    SELECT 'gone', id, 'key', 1, ARRAY[NULL], ARRAY[1], 'finished', now(), now()
    FROM generate_series(1, :packs), (SELECT id FROM sweeps ORDER BY id LIMIT 1) AS sweep
"""


_WARM_UP = 8


def claim_and_finish(gate: Any, url: str, server: int, window: timedelta) -> dict[str, Any]:
    """Trials per second, and what the time goes into. `server`: process id of PostgreSQL."""
    engine = make_dispatcher_engine(url, ttl=TTL)
    asked, verbs = statements(engine), Split()
    claim, record, end = (verbs.timed(verb.__name__, verb) for verb in (_claim, _record, _end))
    gate.wait()
    ends: list[float] = []
    while len(ends) <= _WARM_UP or ends[-1] - ends[_WARM_UP] < window.total_seconds():
        if len(ends) == _WARM_UP:  # plans are cached by now
            asked.clear()
            verbs.clear()
            own, theirs = cpu_seconds(), cpu_by_process(server)
        order = claim(engine)
        record(engine, order)
        end(engine, order)
        ends.append(time.perf_counter())
    ends = ends[_WARM_UP:]
    elapsed = ends[-1] - ends[0]
    half = ends[0] + elapsed / 2
    own_cpu, server_cpu = cpu_seconds() - own, spent(theirs, server)
    engine.dispose()
    return {
        "trials/s": len(order.trials) * (len(ends) - 1) / elapsed,
        "second half over first": round(sum(end > half for end in ends) / sum(end <= half for end in ends), 2),
        "ms per pack": round(1000 * elapsed / (len(ends) - 1), 2),
        "own CPU, ms per pack": round(1000 * own_cpu / (len(ends) - 1), 2),
        "CPU of PostgreSQL, ms per pack": round(1000 * server_cpu / (len(ends) - 1), 2),
        "verbs": verbs.shares(elapsed),
        "statements": asked.shares(elapsed, top=12),
    }


def claim_latency(gate: Any, url: str, claims: int) -> list[float]:
    """Milliseconds of so many claims; each pack is given back before the next."""
    engine = make_dispatcher_engine(url, ttl=TTL)
    gate.wait()
    times: list[float] = []
    for _ in range(claims + _WARM_UP):
        started = time.perf_counter()
        order = _claim(engine)
        times.append(1000 * (time.perf_counter() - started))
        with Session(engine) as session, session.begin():
            queue.release(session, order.pack_id)
    engine.dispose()
    return times[_WARM_UP:]


def add_finished(url: str, trials: int) -> None:
    """So many trials that are over, and their packs, in the sweep that is there."""
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(_ADD_FINISHED), {"count": trials})
        connection.execute(text(_ADD_FINISHED_PACKS), {"packs": trials // _SIZE})
        connection.execute(text("UPDATE trials SET seed = seed WHERE state = 'queued'"))  # they lie behind those over
    engine.dispose()


def analyze(url: str) -> None:
    """What autovacuum does within a minute."""
    engine = make_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def plans(url: str) -> dict[str, list[str]]:
    """The nodes of the plans of HEAD and CLAIM, with their times and buffers, as executed."""
    engine = make_engine(url)
    with engine.connect() as connection:
        kind = {"cpu": CPU.cpu, "gpu": CPU.gpu}
        head = connection.execute(sql.HEAD, {**kind, "full": []}).one()
        chosen = {**kind, "sweep": head.sweep_id, "owner": head.owner, "pack_key": head.pack_key, "size": _SIZE}
        found = {
            "HEAD": _plan(connection, sql.HEAD, {**kind, "full": []}),
            "WAITING": _plan(connection, sql.WAITING, {"enough": _SIZE, "enough_on_gpus": _SIZE}),
            "CLAIM": _plan(connection, sql.CLAIM, {**chosen, "dispatcher": "explained", "ttl": TTL}),
        }
        connection.rollback()
    engine.dispose()
    return found


def _plan(connection: Connection, statement: TextClause, parameters: dict[str, Any]) -> list[str]:
    explained = connection.execute(text("EXPLAIN (ANALYZE, BUFFERS) " + statement.text), parameters)
    lines = [str(line) for line in explained.scalars()]
    nodes = [re.sub(r"\(cost=[^)]*\) ", "", line) for line in lines if "cost=" in line]
    totals = [line.strip() for line in lines if line.startswith(("Planning Time", "Execution Time"))]
    buffers = next(line.strip() for line in lines if "Buffers" in line)
    return [*nodes, *totals, buffers]


def _claim(engine: Engine) -> PackOrder:
    with Session(engine) as session, session.begin():
        [wanted, *_] = queue.waiting(session, capacity=1)
        claimed = queue.claim(session, wanted, dispatcher="bench", capacity=1, ttl=TTL)
    assert claimed is not None, "too few trials"
    return claimed.order


def _record(engine: Engine, order: PackOrder) -> None:
    metrics, traces = columns(tuple(order.trial_ids), first=0, script=_SCRIPT)
    outcomes = [Outcome(trial_id=trial_id, reason=Reason.COMPLETED, steps=1) for trial_id in order.trial_ids]
    chunk = Chunk(pack_id=order.pack_id, seq=0, metrics=metrics, traces=traces, outcomes=outcomes, model_steps=1)
    with Session(engine) as session, session.begin():
        assert queue.record(session, chunk).verdict is queue.Verdict.ACCEPTED


def _end(engine: Engine, order: PackOrder) -> None:
    with Session(engine) as session, session.begin():
        assert queue.end_pack(session, order.pack_id)
