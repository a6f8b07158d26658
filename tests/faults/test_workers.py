"""Ray workers that stop or abort in the middle of a pack."""

import os
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.faults.conftest import SPEC
from tests.faults.sabotage import POISON
from tests.faults.service import Service, pid_of, serving

_PATIENCE = timedelta(seconds=180)  # Ray starts a worker in seconds, on a busy machine in half a minute


pytestmark = pytest.mark.slow  # Ray starts a worker anew each time


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One dispatcher, on Ray, whose workers abort when they train the poisonous seed."""
    home = tmp_path_factory.mktemp("workers")
    ttl = timedelta(seconds=1)
    with serving(home, ttl=ttl, checkpoint_every=timedelta(seconds=0.3), executors=("inline",)) as service:
        dispatcher = service.dispatcher
        dispatcher.stop()
        dispatcher.command = [sys.executable, "-m", "tests.faults.sabotage"]
        dispatcher.environment = {**dispatcher.environment, "ALIGNSWEEP_EXECUTOR": "ray"}
        dispatcher.start()
        yield service


@pytest.mark.timeout(400)
def test_a_stopped_worker_is_replaced_and_what_it_reports_later_changes_nothing(service: Service) -> None:
    sweep = service.client.submit(SPEC)
    service.wait_for(lambda: len(service.held()) == 2, _PATIENCE)
    victim = service.trainers()[0]
    os.kill(victim, signal.SIGSTOP)
    lost = "SELECT count(*) FROM packs WHERE state = 'lost' AND reason = 'worker_lost'"
    service.wait_for(lambda: service.value(lost) > 0, _PATIENCE)
    if victim in service.trainers():
        os.kill(victim, signal.SIGCONT)
    assert service.wait_until_over(sweep["id"], _PATIENCE) == "succeeded"
    assert service.value(lost) == 1
    again = service.client.submit(SPEC)
    assert service.wait_until_over(again["id"]) == "succeeded"
    rows, unlike = service.compare(sweep["id"], again["id"])
    assert rows > 1000
    assert unlike == 0
    assert service.violations() == {}


@pytest.mark.timeout(400)
def test_one_trial_that_aborts_is_found_and_its_neighbours_succeed(service: Service) -> None:
    service.wait_for(lambda: not service.held() and service.is_present(service.dispatcher), _PATIENCE)
    base = {**SPEC["base"], "train": {"epochs": 10}}  # type: ignore[dict-item]
    # A pack is an equal share of what waits: sixteen for each of the two workers.
    seeds = {"count": 32, "base": POISON - 5}
    sweep = service.client.submit({**SPEC, "base": base, "seeds": seeds, "grid": {}})
    assert service.wait_until_over(sweep["id"], _PATIENCE) == "partial"
    ends = service.rows("SELECT seed, state, reason FROM trials WHERE sweep_id = %(id)s ORDER BY seed", id=sweep["id"])
    assert {(row["state"], row["reason"]) for row in ends if row["seed"] == POISON} == {("failed", "poison")}
    assert {row["state"] for row in ends if row["seed"] != POISON} == {"succeeded"}
    crashed = service.rows(
        "SELECT size FROM packs WHERE sweep_id = %(id)s AND state = 'lost' ORDER BY id", id=sweep["id"]
    )
    assert [row["size"] for row in crashed] == [16, 8, 4, 2, 1, 1]
    assert service.violations() == {}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("daemon", ["head", "raylet"])
def test_the_dispatcher_outlives_neither_part_of_its_ray_and_both_are_started_anew(
    service: Service, daemon: str
) -> None:
    sweep = service.client.submit(SPEC)
    service.wait_for(lambda: len(service.held()) == 2, _PATIENCE)
    first = pid_of(service.dispatcher)
    [victim] = getattr(service, daemon)()
    os.kill(victim, signal.SIGKILL)
    service.wait_for(lambda: pid_of(service.dispatcher) != first, _PATIENCE)
    assert service.wait_until_over(sweep["id"], _PATIENCE) == "succeeded"
    again = service.client.submit(SPEC)
    assert service.wait_until_over(again["id"]) == "succeeded"
    rows, unlike = service.compare(sweep["id"], again["id"])
    assert rows > 1000
    assert unlike == 0
    assert service.violations() == {}
