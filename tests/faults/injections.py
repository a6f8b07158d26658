"""The faults of the long random run. Each is a function that hits the service once, or tells that nothing was there to
be hit. What is random about it comes from the run's generator."""

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from api.cli.stack import Child
from api.client import ServerRefused
from tests.faults.recovery import Held, Injection
from tests.faults.service import Service, arm, is_stopped, kill, pid_of, runs

_PLACES = ("claim", "record", "end")
_SECOND = timedelta(seconds=1)
_SOON = timedelta(seconds=20)


class Missed(Exception):
    """There was nothing to hit."""


class Hit(Protocol):
    """Notes the fault at the moment it happens. `held`: the trials, by pack, that the victim had in its hands;
    `survives`: the packs may go on."""

    def __call__(self, target: str, held: Held, *, survives: bool = False) -> Injection: ...


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a fault is thrown at. `submit` adds work and returns the id of the sweep."""

    service: Service
    random: random.Random
    hit: Hit
    submit: Callable[..., int]
    complaints: list[str]
    """Answers of the API that should not have been."""


Fault = Callable[[Range], None]


def kill_a_worker(at: Range) -> None:
    before = at.service.held_by(_up(at.service.dispatcher))
    victim = at.random.choice(at.service.trainers() or _missed())
    injection = at.hit(f"worker {victim}", {})
    os.kill(victim, signal.SIGKILL)
    lost: dict[int, list[int]] = {}

    def noticed() -> bool:
        held = at.service.held()
        lost.update({pack: trials for pack, trials in before.items() if pack not in held})
        return bool(lost)

    if before and _within(at, noticed, timedelta(seconds=2)):
        injection.hold(lost)


def stop_a_worker(at: Range) -> None:
    victim = at.random.choice(at.service.trainers() or _missed())
    held = at.service.held_by(at.service.dispatcher)
    os.kill(victim, signal.SIGSTOP)
    at.hit(f"worker {victim} for 3 ttl", held, survives=True)
    at.service.wait(3 * at.service.ttl)
    _continue(victim)


def kill_ray(at: Range) -> None:
    """Its head or its node; the dispatcher that depends on it ends, and is started again with a new one."""
    daemon = at.random.choice([at.service.head, at.service.raylet])
    [victim] = daemon() or _missed()
    at.hit(f"{daemon.__name__} {victim}", at.service.held_by(_up(at.service.dispatcher)))
    os.kill(victim, signal.SIGKILL)


def kill_a_dispatcher(at: Range) -> None:
    child = _a_dispatcher(at)
    at.hit(_called(child), at.service.held_by(child))
    kill(child)


def stop_a_dispatcher(at: Range) -> None:
    child = _a_dispatcher(at)
    victim = pid_of(child)
    held = at.service.held_by(child)
    os.kill(victim, signal.SIGSTOP)
    at.hit(_called(child), held)
    at.service.wait(at.service.ttl * at.random.uniform(1.2, 3))
    _continue(victim)


def drain_a_dispatcher(at: Range) -> None:
    child = _a_dispatcher(at)
    if not at.service.is_present(child):
        raise Missed  # it still starts, and has nothing to drain
    at.hit(_called(child), at.service.held_by(child))
    assert child.process is not None
    process = child.process
    process.terminate()
    at.service.wait_for(lambda: process.poll() is not None)
    if process.returncode != 0:
        at.complaints.append(f"{child.name} ended with {process.returncode} after SIGTERM")


def kill_the_api(at: Range) -> None:
    at.hit("api", {})
    kill(_up(at.service.api))


def kill_the_api_in_a_submit(at: Range) -> None:
    """Before or after the commit; the retry under the same key finds one sweep, or makes it."""
    api = at.service.api
    place = at.random.choice(["submit.before_commit", "request.after_commit"])
    arm(api, f"{place}=kill")
    kill(_up(api))
    at.service.wait_for(lambda: runs(api) and at.service.answers())
    key = f"key-{at.random.randrange(10**9)}"
    at.hit(place, {})
    url = f"{at.service.stack.url}/api/v1/sweeps"
    spec = {"name": key, "seeds": {"count": 4}, "base": {"train": {"epochs": 10}}}
    try:
        answer = httpx.post(url, json=spec, headers={"Idempotency-Key": key}, timeout=20)
        at.complaints.append(f"the API survived {place}: {answer.status_code}")
    except httpx.TransportError:
        pass
    arm(api, None)
    at.service.wait_for(lambda: not runs(api))
    at.service.wait_for(lambda: runs(api) and at.service.answers())
    at.submit(spec, key=key)
    found = at.service.value("SELECT count(*) FROM sweeps WHERE idempotency_key = %(key)s", key=key)
    if found != 1:
        at.complaints.append(f"{found} sweeps under one key after {place}")


def fail_a_dispatcher(at: Range) -> None:
    """Restarted, it is killed, stopped, or raises at a named place around a commit."""
    # Oftener the one that is up in a second than the one that starts Ray first.
    child = at.random.choice([at.service.dispatcher, *[at.service.second] * 3])
    places = [f"{at.random.choice(_PLACES)}.{when}_commit" for when in ("before", "after")]
    place = at.random.choice([*places, *places, "heartbeat.before_commit", "rescue.before_commit"])
    what = at.random.choice(["kill", "stop", "raise"])
    arm(child, f"{place}={what}@{at.random.randint(1, 3)}")
    kill(_up(child))
    at.service.wait_for(lambda: runs(child))
    assert child.process is not None
    process = child.process
    fired = _within(at, lambda: process.poll() is not None or is_stopped(process.pid), _SOON)
    arm(child, None)
    if not fired:
        kill(child)
        raise Missed
    at.hit(f"{child.name} {place}={what}", at.service.held_by(child))
    if is_stopped(process.pid):
        at.service.wait(at.service.ttl * at.random.uniform(1.2, 3))
        _continue(process.pid)


def terminate_a_backend(at: Range) -> None:
    backends = at.service.rows(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    victim = at.random.choice(backends or _missed())["pid"]
    at.hit(f"backend {victim}", at.service.held(), survives=True)
    at.service.rows("SELECT pg_terminate_backend(%(pid)s)", pid=victim)


def terminate_all_backends(at: Range) -> None:
    at.hit("all backends", at.service.held(), survives=True)
    at.service.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


def stop_the_database(at: Range) -> None:
    away = at.service.ttl * at.random.uniform(0, 1.5)
    at.hit(f"PostgreSQL, away for {away.total_seconds():.1f} s", at.service.held(), survives=True)
    at.service.stop_database()
    at.service.wait(away)
    at.service.start_database()


def pause_a_sweep(at: Range) -> None:
    opened = at.service.rows("SELECT id FROM sweeps WHERE state IN ('queued', 'running') ORDER BY id LIMIT 3")
    sweep_id = at.random.choice(opened or _missed())["id"]
    at.hit(f"sweep {sweep_id}", {})
    try:
        at.service.client.pause(sweep_id)
        at.service.wait(_SECOND * at.random.uniform(0.2, 3))
        at.service.client.resume(sweep_id)
    except ServerRefused as refused:
        _expect(at, refused, 409)  # it was over meanwhile


def cancel_a_sweep(at: Range) -> None:
    """Everybody cancels a sweep and its trials, at the same time."""
    count = at.random.choice([8, 64])
    spec = {"name": "sacrifice", "seeds": {"count": count}, "base": {"train": {"epochs": 2000}}, "priority": 10}
    sweep_id = at.submit(spec, sacrificed=True)
    _within(at, lambda: _running(at.service, sweep_id), timedelta(seconds=at.random.uniform(0, 6)))
    at.hit(f"sweep {sweep_id}", {})
    client = at.service.client
    trials = [row["id"] for row in at.service.rows("SELECT id FROM trials WHERE sweep_id = %(id)s", id=sweep_id)]
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.cancel_trial, trial) for trial in trials]
        calls += [pool.submit(client.cancel, sweep_id) for _ in range(8)]
    for call in calls:
        if isinstance(error := call.exception(), ServerRefused):
            _expect(at, error, 409)
        elif error is not None:
            at.complaints.append(f"cancel: {error!r}")


def ask_a_slow_question(at: Range) -> None:
    at.hit("POST /api/v1/query", {})
    sql = "SELECT count(*) FROM generate_series(1, 12000) AS a, generate_series(1, 12000) AS b"

    def ask() -> None:
        try:
            answer = httpx.post(f"{at.service.stack.url}/api/v1/query", json={"sql": sql}, timeout=60)
        except httpx.TransportError:
            return  # the API was killed meanwhile
        if answer.status_code not in (200, 422, 503):
            at.complaints.append(f"slow question: {answer.status_code} {answer.text[:200]}")

    threading.Thread(target=ask, daemon=True).start()


def flip_a_bit(at: Range) -> None:
    """In every checkpoint of a dispatcher's trials; then it is killed, so that they are read."""
    child = _a_dispatcher(at)
    held = at.service.held_by(child)
    ids = [trial for trials in held.values() for trial in trials]
    documents = at.service.rows("SELECT sha256 FROM checkpoints WHERE trial_id = ANY(%(ids)s)", ids=ids)
    flipped = sum(_flip(at, at.service.home / "store" / row["sha256"][:2] / row["sha256"]) for row in documents)
    if not flipped:
        raise Missed
    at.hit(f"{flipped} checkpoints of {child.name}", held)
    kill(child)


FAULTS: dict[str, tuple[int, Fault]] = {
    "kill worker": (8, kill_a_worker),
    "stop worker": (1, stop_a_worker),
    "kill ray": (1, kill_ray),
    "kill dispatcher": (3, kill_a_dispatcher),
    "stop dispatcher": (1, stop_a_dispatcher),
    "drain dispatcher": (1, drain_a_dispatcher),
    "kill api": (4, kill_the_api),
    "kill api in submit": (1, kill_the_api_in_a_submit),
    "failpoint in dispatcher": (2, fail_a_dispatcher),
    "terminate backend": (16, terminate_a_backend),
    "terminate all backends": (8, terminate_all_backends),
    "stop database": (2, stop_the_database),
    "pause and resume": (4, pause_a_sweep),
    "cancel storm": (3, cancel_a_sweep),
    "slow query": (4, ask_a_slow_question),
    "flip bit": (3, flip_a_bit),
}
"""Every kind of fault, and how often it is drawn relative to the others."""


def _a_dispatcher(at: Range) -> Child:
    return _up(at.random.choice([at.service.dispatcher, at.service.second]))


def _up(child: Child) -> Child:
    return child if runs(child) else _missed()


def _missed() -> Any:
    raise Missed


def _called(child: Child) -> str:
    return f"{child.name} {pid_of(child)}"


def _continue(pid: int) -> None:
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGCONT)


def _within(at: Range, condition: Callable[[], bool], patience: timedelta) -> bool:
    try:
        at.service.wait_for(condition, patience)
    except TimeoutError:
        return False
    return True


def _running(service: Service, sweep_id: int) -> bool:
    query = "SELECT EXISTS (SELECT FROM trials WHERE sweep_id = %(id)s AND state = 'running')"
    return bool(service.value(query, id=sweep_id))


def _expect(at: Range, refused: ServerRefused, status: int) -> None:
    if refused.status != status:
        at.complaints.append(f"{refused.status}: {refused.problem}")


def _flip(at: Range, document: Path) -> bool:
    try:
        content = bytearray(document.read_bytes())
        content[at.random.randrange(len(content))] ^= 1 << at.random.randrange(8)
        document.write_bytes(content)
    except FileNotFoundError:
        return False  # superseded meanwhile
    return True
