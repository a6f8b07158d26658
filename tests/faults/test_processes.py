"""API and dispatchers that are killed, stopped or drained: SIGKILL, SIGSTOP and SIGTERM at the worst moments."""

import os
import signal

import httpx
import pytest

from tests.faults.conftest import SPEC
from tests.faults.service import Service, arm, is_stopped, pid_of, runs


@pytest.mark.parametrize(
    "place",
    [
        "claim.after_commit=kill",  # claimed, and nobody works on it
        "record.after_commit=kill@3",  # a chunk is recorded, which nobody knows
        "end.after_commit=kill",  # all is recorded
    ],
)
def test_a_dispatcher_killed_around_a_commit_costs_nothing(service: Service, undisturbed: int, place: str) -> None:
    service.restart(service.second, place)
    service.wait_for(lambda: service.is_present(service.second))
    sweep = service.client.submit(SPEC)
    service.wait_for(lambda: not runs(service.second))
    arm(service.second, None)
    finish(service, sweep["id"], undisturbed)


def test_a_dispatcher_stopped_past_its_lease_comes_back_to_nothing(service: Service, undisturbed: int) -> None:
    sweep = service.client.submit(SPEC)
    service.wait_for(lambda: bool(service.held_by(service.second)))
    [pack] = service.held_by(service.second)
    os.kill(pid_of(service.second), signal.SIGSTOP)
    service.wait_for(lambda: pack not in service.held())
    service.wait_for(lambda: service.value("SELECT count(*) FROM packs WHERE id > %(pack)s", pack=pack) > 0)
    os.kill(pid_of(service.second), signal.SIGCONT)
    finish(service, sweep["id"], undisturbed)
    assert service.value("SELECT reason FROM packs WHERE id = %(pack)s", pack=pack) == "lease_expired"


@pytest.mark.slow
def test_a_dispatcher_stopped_within_a_transaction_is_rescued_from(service: Service, undisturbed: int) -> None:
    service.restart(service.second, "record.before_commit=stop@3")
    service.wait_for(lambda: service.is_present(service.second))
    sweep = service.client.submit(SPEC)
    service.wait_for(lambda: is_stopped(pid_of(service.second)))
    [pack] = service.held_by(service.second)
    service.wait_for(lambda: pack not in service.held())
    os.kill(pid_of(service.second), signal.SIGCONT)
    finish(service, sweep["id"], undisturbed)


def test_what_a_drained_dispatcher_gives_back_goes_on_from_checkpoints(service: Service, undisturbed: int) -> None:
    sweep = service.client.submit(SPEC)
    pack = None

    def half_way() -> bool:
        nonlocal pack
        pack = next(iter(service.held_by(service.second)), None)
        return pack is not None and service.value("SELECT next_seq FROM packs WHERE id = %(pack)s", pack=pack) >= 3

    service.wait_for(half_way)
    drained = service.second.process
    assert drained is not None
    drained.terminate()
    assert drained.wait(20) == 0
    finish(service, sweep["id"], undisturbed)
    [lost] = service.rows("SELECT state, model_steps FROM packs WHERE id = %(pack)s", pack=pack)
    assert lost["state"] == "released"
    trained = service.value(
        "SELECT sum(model_steps) FROM packs WHERE sweep_id = %(sweep)s AND state <> 'lost'", sweep=sweep["id"]
    )
    assert trained == 32 * 60 * 45  # no step was taken twice
    assert service.value("SELECT max(attempts) FROM trials WHERE sweep_id = %(sweep)s", sweep=sweep["id"]) == 1


@pytest.mark.parametrize("place", ["submit.before_commit", "request.after_commit"])
def test_a_submit_to_a_dying_api_can_be_repeated_under_its_key(service: Service, undisturbed: int, place: str) -> None:
    service.restart(service.api, f"{place}=kill")
    service.wait_for(service.answers)
    url, key = f"{service.stack.url}/api/v1/sweeps", {"Idempotency-Key": place}
    with pytest.raises(httpx.TransportError):
        httpx.post(url, json=SPEC, headers=key)
    stored = "SELECT count(*) FROM sweeps WHERE idempotency_key = %(key)s"
    assert service.value(stored, key=place) == (place == "request.after_commit")
    arm(service.api, None)
    service.wait_for(service.answers)
    answer = httpx.post(url, json=SPEC, headers=key)
    assert answer.status_code == (200 if place == "request.after_commit" else 201)
    assert service.value(stored, key=place) == 1
    finish(service, answer.json()["id"], undisturbed)


def finish(service: Service, sweep_id: int, undisturbed: int) -> None:
    """The sweep succeeds, with the very numbers of one that nothing happened to, each recorded once."""
    assert service.wait_until_over(sweep_id) == "succeeded"
    rows, unlike = service.compare(undisturbed, sweep_id)
    assert rows > 1000
    assert unlike == 0
    assert service.violations() == {}
