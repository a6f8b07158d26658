"""A trial is trained once more; equal is equal in every bit."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from api.app import create_app
from services.dispatcher import Dispatcher
from services.domain.states import SweepState
from services.store import Store
from tests.integration.test_api import ok, refused, settings
from workers.inline import InlineExecutor
from workers.pack import describe
from workers.source import source_commit
from workers.training import numerics, products
from workers.training.data.library import DataLibrary

SPEC = {
    "name": "small",
    "base": {
        "data": {"train_samples": 64},
        "model": {"hidden": [9]},
        "rule": {"name": "dfa", "feedback": {"seed": 5}},
        "train": {"epochs": 1},
        "trace": {"evaluate_on": 32, "probe": 16},
    },
    "seeds": {"count": 3, "base": 7},
}


@pytest.fixture
def client(database_url: str, reader: str, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(settings(database_url, reader, token=None, store=str(tmp_path / "store")))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def dispatcher(engine: Engine, tmp_path: Path) -> Dispatcher:
    matmul = products.configure()
    provenance = describe("cpu", matmul, numerics.reproducibility(torch.device("cpu")))
    return Dispatcher(
        engine=engine,
        executor=InlineExecutor(DataLibrary(), provenance),
        store=Store(str(tmp_path / "store")),
        ttl=timedelta(seconds=30),
        checkpoint_every=timedelta(seconds=60),
    )


def trained(client: TestClient, dispatcher: Dispatcher, sweep: int) -> list[int]:
    """The ids of the sweep's trials, once they are over."""
    while ok(client.get(f"/api/v1/sweeps/{sweep}"))["state"] != SweepState.SUCCEEDED:
        dispatcher.tick()
    return [trial["id"] for trial in ok(client.get(f"/api/v1/sweeps/{sweep}/trials"))["items"]]


def compared(client: TestClient, trial: int, other: int) -> Any:
    return ok(client.get(f"/api/v1/trials/{trial}/compare/{other}"))


def changed(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_a_reproduced_trial_is_equal_until_a_bit_is_changed(
    client: TestClient, dispatcher: Dispatcher, engine: Engine
) -> None:
    sweep = ok(client.post("/api/v1/sweeps", json=SPEC), 201)["id"]
    _, trial, other = trained(client, dispatcher, sweep)
    key = {"Idempotency-Key": "once more"}
    again = ok(client.post(f"/api/v1/trials/{trial}/reproduce", headers=key), 201)
    assert ok(client.post(f"/api/v1/trials/{trial}/reproduce", headers=key), 200)["id"] == again["id"]
    refused(client.post(f"/api/v1/trials/{other}/reproduce", headers=key), 409)
    [copy] = [item["id"] for item in ok(client.get(f"/api/v1/sweeps/{again['id']}/trials"))["items"]]
    refused(client.get(f"/api/v1/trials/{trial}/compare/{copy}"), 409)  # it waits
    trained(client, dispatcher, again["id"])

    comparison = compared(client, trial, copy)
    assert comparison["equal"], comparison
    assert comparison["expected"], comparison
    assert comparison["rows_unlike"] == 0
    points = len(ok(client.get(f"/api/v1/trials/{trial}/metrics"))["items"])
    assert comparison["rows_compared"] == 3 * points  # metrics, and traces of two layers
    assert comparison["provenance"] == comparison["other_provenance"]
    [event] = [
        e for e in ok(client.get(f"/api/v1/sweeps/{again['id']}/events"))["items"] if e["kind"] == "sweep.reproduces"
    ]
    assert event["detail"] == {"trial": trial}

    unlike = compared(client, trial, other)  # another seed
    assert not unlike["equal"]
    assert unlike["obstacles"] == ["the trials are not of one configuration and seed"]

    changed(engine, f"UPDATE traces SET update_norm = 0 WHERE step = 1 AND layer = 2 AND trial_id = {trial}")
    for value in ("'-0'", "NULL"):  # a zero of another sign is another number, and undefined is none
        changed(engine, f"UPDATE traces SET update_norm = {value} WHERE step = 1 AND layer = 2 AND trial_id = {copy}")
        tampered = compared(client, trial, copy)
        assert (tampered["equal"], tampered["rows_unlike"], tampered["expected"]) == (False, 1, True)
        first = tampered["first_difference"]
        assert (first["table"], first["key"], first["column"]) == ("traces", {"step": 1, "layer": 2}, "update_norm")
    changed(engine, f"DELETE FROM metrics WHERE step = 0 AND trial_id = {copy}")
    lacking = compared(client, trial, copy)
    assert lacking["rows_unlike"] == 2
    assert lacking["first_difference"] == {
        "table": "metrics",
        "key": {"step": 0},
        "column": None,
        "value": None,
        "other": None,
    }


def test_an_attempt_says_where_it_ran_and_with_which_seeds(client: TestClient, dispatcher: Dispatcher) -> None:
    sweep = ok(client.post("/api/v1/sweeps", json=SPEC), 201)["id"]
    trial, *_ = trained(client, dispatcher, sweep)
    [attempt] = ok(client.get(f"/api/v1/trials/{trial}/attempts"))["items"]
    provenance = attempt["provenance"]
    assert {"torch", "numpy", "alignsweep", "python"} <= provenance["versions"].keys()
    for name in ("node", "system", "cpu", "device", "matmul", "instructions", "reproducibility"):
        assert provenance[name], name
    assert provenance["threads"] == torch.get_num_threads()
    assert provenance["commit"] == source_commit()
    assert provenance["seeds"]["weight_init"] == 7
    assert provenance["seeds"]["feedback"] == 5  # pinned by the configuration


def test_what_is_not_there_is_not_compared(client: TestClient) -> None:
    refused(client.post("/api/v1/trials/9/reproduce"), 404)
    refused(client.get("/api/v1/trials/9/compare/8"), 404)
