"""SIGKILL in the middle of sweeps, on the real stack: PostgreSQL, API, dispatcher, Ray."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psutil
import pytest

from api.cli.stack import Stack, running
from api.client import Client
from services.settings import Settings
from tests.ports import free_port

_PATIENCE_SECONDS = 90.0
EPOCHS = 24
SWEEP = {
    "name": "kill",
    "base": {"model": {"hidden": [32, 32]}, "train": {"epochs": EPOCHS}},
    "grid": {"rule.name": ["bp", "dfa", "fa", "shallow"]},
    "seeds": {"count": 8},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = replace(
        Settings.from_environment(),
        home=tmp_path_factory.mktemp("home"),
        database_url=None,
        token=None,
        port=free_port(),
        lease_ttl=timedelta(seconds=2),
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ALIGNSWEEP_LEASE_TTL_SECONDS", "2")
        environment.delenv("ALIGNSWEEP_TOKEN", raising=False)
        with running(settings) as stack:
            yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(stack: Stack, client: Client) -> None:
    sweep = client.submit(SWEEP)
    wait_for(lambda: recorded(client, sweep["id"]) > 0)
    victim = trainers(stack)[0]
    os.kill(victim, signal.SIGKILL)
    finish(stack, client, sweep["id"])
    assert ask(client, f"SELECT count(*) FROM v_trials WHERE sweep_id = {sweep['id']} AND attempts > 1") == 0


@pytest.mark.slow
def test_a_killed_dispatcher_is_started_again_and_its_trials_are_rescued(stack: Stack, client: Client) -> None:
    sweep = client.submit(SWEEP)
    wait_for(lambda: recorded(client, sweep["id"]) > 0)
    dispatcher = stack.child("dispatcher").process
    assert dispatcher is not None
    os.kill(dispatcher.pid, signal.SIGKILL)
    finish(stack, client, sweep["id"])
    assert stack.child("dispatcher").process is not dispatcher


def test_a_killed_api_comes_back(stack: Stack, client: Client) -> None:
    sweep = client.submit(SWEEP)
    api = stack.child("api").process
    assert api is not None
    os.kill(api.pid, signal.SIGKILL)
    api.wait()

    def back() -> bool:
        stack.tend()
        return stack.child("api").process is not api

    wait_for(back)
    assert client.sweep(sweep["id"])["trial_count"] == sweep["trial_count"]


def finish(stack: Stack, client: Client, sweep_id: int) -> None:
    """Every trial succeeds, and is recorded exactly once and whole."""

    def over() -> bool:
        stack.tend()
        return client.sweep(sweep_id)["state"] == "succeeded"

    wait_for(over)
    where = f"FROM v_alignment WHERE sweep_id = {sweep_id}"
    trials = f"SELECT count(DISTINCT trial_id) {where}"
    assert ask(client, trials) == 32
    steps = ask(client, f"SELECT count(DISTINCT step) {where}")
    assert ask(client, f"SELECT count(*) {where}") == 32 * 3 * steps
    assert ask(client, f"SELECT max(step) {where}") == EPOCHS * 45
    assert ask(client, f"SELECT count(*) FROM v_trials WHERE sweep_id = {sweep_id} AND steps = {EPOCHS * 45}") == 32


def recorded(client: Client, sweep_id: int) -> int:
    return int(ask(client, f"SELECT count(*) FROM v_curves WHERE sweep_id = {sweep_id}"))


def ask(client: Client, sql: str) -> Any:
    return client.sql(sql)["rows"][0][0]


def trainers(stack: Stack) -> list[int]:
    """Processes of the Ray actors below the dispatcher."""
    dispatcher = stack.child("dispatcher").process
    assert dispatcher is not None
    below = psutil.Process(dispatcher.pid).children(recursive=True)
    return [process.pid for process in below if "TrainingActor" in " ".join(process.cmdline())]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
