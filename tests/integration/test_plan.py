"""Plans: what a spec would cost, and how long, from what was measured."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.app import create_app
from services import presence, queue
from services.planning.expansion import parse
from services.planning.plan import Plan, plan
from services.settings import Settings
from tests.queueing import TTL, chunk, claim, completed, record, submit

YAML = {"content-type": "application/yaml"}


def _plan(session: Session, **parts: Any) -> Plan:
    return plan(session, parse({"name": "test", **parts}))


def _train(session: Session, *, seconds: float, **parts: Any) -> int:
    """A sweep of one pack that took so long. Returns how many updates it made."""
    submit(session, **parts)
    order = claim(session)
    record(session, chunk(order, 0, outcomes=completed(order)))
    queue.end_pack(session, order.pack_id)
    session.execute(
        text("UPDATE packs SET finished_at = claimed_at + :took * interval '1 s', model_steps = 1000 WHERE id = :id"),
        {"took": seconds, "id": order.pack_id},
    )
    session.commit()
    return 1000


def _workers(session: Session, capacity: int) -> None:
    presence.show(session, "d", workers=[], capacity=capacity, packs=0, ttl=TTL, draining=False)


def test_a_plan_counts_by_branch(session: Session) -> None:
    found = _plan(
        session,
        grid={"rule.name": ["bp", "fa", "dfa"]},
        when=[
            {"if": {"rule.name": ["fa", "dfa"]}, "grid": {"rule.feedback.scale": [0.1, 1.0]}},
            {"if": {"rule.name": ["dfa"]}, "grid": {"rule.feedback.rank": [1, 2, 3]}},
        ],
        seeds={"count": 5},
    )
    assert [(branch.when, branch.condition, branch.groups, branch.trials) for branch in found.branches] == [
        ([], None, 1, 5),
        ([0], "rule.name = fa or dfa", 2, 10),
        ([0, 1], "rule.name = fa or dfa, rule.name = dfa", 6, 30),
    ]
    assert (found.trials, found.groups) == (45, 9)
    assert sum(branch.trials for branch in found.branches) == found.trials
    assert found.packs == 5  # bp, fa, and dfa by rank: scales share a pack
    assert found.trace_rows == 3 * found.metric_rows


def test_of_what_was_never_measured_the_time_is_unknown(session: Session) -> None:
    estimate = _plan(session).estimate
    assert (estimate.worker_seconds, estimate.seconds, estimate.basis) == (None, None, None)


def test_packs_of_the_same_shape_tell_the_time(session: Session) -> None:
    _train(session, seconds=2.0)
    _train(session, seconds=4.0)
    estimate = _plan(session, seeds={"count": 100}).estimate
    assert estimate.worker_seconds == pytest.approx(0.003 * 100 * 15 * 45)
    assert estimate.basis == "measured on 2 packs of this shape"
    assert (estimate.workers, estimate.seconds) == (0, None)  # nobody is there


def test_the_time_is_shared_by_the_workers_of_now(session: Session) -> None:
    _train(session, seconds=1.0)
    _workers(session, 4)
    whole = _plan(session, seeds={"count": 100}).estimate
    assert whole.worker_seconds is not None
    assert (whole.workers, whole.seconds) == (4, pytest.approx(whole.worker_seconds / 4))
    limited = _plan(session, seeds={"count": 100}, limits={"running": 2}).estimate
    assert limited.seconds == pytest.approx(whole.worker_seconds / 2)
    alone = _plan(session).estimate
    assert alone.seconds == alone.worker_seconds  # one trial runs on one worker
    assert _plan(session, resources={"cpu": 2}, seeds={"count": 100}).estimate.workers == 2


def test_other_shapes_tell_it_by_their_work(session: Session) -> None:
    _train(session, seconds=1.0)
    same = _plan(session).estimate
    wider = _plan(session, base={"model": {"hidden": [512, 512]}}).estimate
    assert wider.basis == "scaled by work per step from 1 pack of other shapes"
    assert same.worker_seconds is not None
    assert wider.worker_seconds is not None
    assert 10 < wider.worker_seconds / same.worker_seconds < 60  # 300k weights over 9k
    both = _plan(session, grid={"model.hidden": [[64, 64], [512, 512]]}).estimate
    assert both.basis == "measured on 1 pack; 1 of 2 shapes are scaled by work per step from the others"
    assert both.worker_seconds == pytest.approx(same.worker_seconds + wider.worker_seconds)


def test_the_nearest_shape_is_taken(session: Session) -> None:
    _train(session, seconds=1.0)
    _train(session, seconds=500.0, base={"model": {"hidden": [1024, 1024]}})
    near = _plan(session, base={"model": {"hidden": [1024, 1000]}}).estimate
    assert near.worker_seconds == pytest.approx(0.5 * 15 * 45, rel=0.1)


def test_cpu_times_say_nothing_of_gpus(session: Session) -> None:
    _train(session, seconds=1.0)
    assert _plan(session, resources={"gpu": 1}).estimate.basis is None


@pytest.fixture
def client(database_url: str, reader: str) -> Iterator[TestClient]:
    settings = replace(Settings.from_environment(), database_url=database_url, reader_url=reader, token=None)
    with TestClient(create_app(settings)) as client:
        yield client


def test_warnings_come_with_plan_and_submit_with_their_lines(client: TestClient) -> None:
    spec = "name: test\n\ngrid:\n  rule.name: [bp, dfa]\n  train.lr:\n    - 0.001\n    - 0.1\n"
    planned = client.post("/api/v1/sweeps?dry_run=true", content=spec, headers=YAML).json()
    key = {"Idempotency-Key": "k"}
    submitted = client.post("/api/v1/sweeps", content=spec, headers={**YAML, **key})
    repeated = client.post("/api/v1/sweeps", content=spec, headers={**YAML, **key})
    assert (submitted.status_code, repeated.status_code) == (201, 200)
    for answer in (planned, submitted.json(), repeated.json()):
        assert [(w["code"], w["pointer"], w["line"]) for w in answer["warnings"]] == [
            ("summed_rate", "/grid/train.lr/1", 7),
            ("one_seed", "/seeds/count", 1),
        ]
    as_json = client.post("/api/v1/sweeps", json={"name": "test", "grid": {"rule.name": ["bp", "dfa"]}}).json()
    assert [(w["code"], w["line"]) for w in as_json["warnings"]] == [("one_seed", None)]


def test_what_was_written_as_a_range_is_stored_as_its_values(client: TestClient) -> None:
    spec = {"name": "test", "grid": {"data.label_noise": {"range": [0, 0.3, 0.1]}}}
    sweep = client.post("/api/v1/sweeps", json=spec).json()
    assert sweep["spec"]["grid"] == {"data.label_noise": [0.0, 0.1, 0.2, 0.3]}
    copy = client.post(f"/api/v1/sweeps/{sweep['id']}/clone", json={"overrides": {"seeds.count": 2}}).json()
    assert copy["trials"] == {"queued": 8}


def test_a_branch_comes_back_as_it_was_written(client: TestClient) -> None:
    when = [{"if": {"rule.name": ["dfa"]}, "grid": {"rule.feedback.scale": [0.1, 1.0]}, "zip": {}}]
    sweep = client.post("/api/v1/sweeps", json={"name": "test", "when": when}).json()
    assert sweep["spec"]["when"] == when
    trials = client.get(f"/api/v1/sweeps/{sweep['id']}/trials").json()["items"]
    assert [trial["config"]["rule"]["feedback"]["scale"] for trial in trials] == [0.1, 1.0]


def test_an_invalid_combination_stores_nothing(client: TestClient) -> None:
    spec = "name: test\ngrid:\n  rule.name: [fa, bp]\n  model.hidden:\n    - [8]\n    - []\n"
    answer = client.post("/api/v1/sweeps", content=spec, headers=YAML)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["line"]) == ("/grid/model.hidden/1", 6)
    assert client.get("/api/v1/sweeps").json()["items"] == []
