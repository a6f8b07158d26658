"""No interleaving of the queue's verbs breaks an invariant; and without its fence the model finds the bug.

Longer: `make model RUNS=2000`.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from services import measurements, queue_sql, retries
from tests.queue_model import QueueModel


@pytest.fixture
def connection(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """Commits that do not wait for the disk, and backoffs that do not pass by themselves."""
    monkeypatch.setattr(retries, "_FIRST_DELAY", timedelta(hours=1))
    with engine.connect() as connection:
        connection.execute(text("SET synchronous_commit = off"))
        connection.commit()
        yield connection


def _settings(runs: int, **others: Any) -> settings:
    return settings(
        max_examples=runs,
        stateful_step_count=35,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **others,
    )


def _machine(connection: Connection) -> type[QueueModel]:
    return type("Machine", (QueueModel,), {"connection": connection})


def test_no_interleaving_breaks_an_invariant(connection: Connection) -> None:
    runs = int(os.environ.get("MODEL_RUNS", "30"))
    run_state_machine_as_test(_machine(connection), settings=_settings(runs))


_WAS_GIVEN = "id IN (SELECT trial_id FROM attempts WHERE pack_id = :pack)"
_SAME_DISPATCHER = """pack_id IN (
    SELECT id FROM packs WHERE dispatcher = (SELECT dispatcher FROM packs WHERE id = :pack)
)"""

_ANY_PACK = [("ADVANCE", "AND state = 'running'", "")]
_ANY_HOLDER = [
    ("HELD", "pack_id = :pack", _WAS_GIVEN),
    ("SUCCEED", "AND trials.pack_id = :pack", ""),
    ("FAIL", "AND pack_id = :pack", ""),
    ("REQUEUE", "AND pack_id = :pack", ""),
]
_ANY_HOLDER_HERE = [
    ("HELD", "pack_id = :pack", f"{_WAS_GIVEN} AND {_SAME_DISPATCHER}"),
    ("SUCCEED", "trials.pack_id = :pack", f"trials.{_SAME_DISPATCHER}"),
    ("FAIL", "AND pack_id = :pack", f"AND {_SAME_DISPATCHER}"),
    ("REQUEUE", "AND pack_id = :pack", f"AND {_SAME_DISPATCHER}"),
]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(_ANY_PACK + _ANY_HOLDER, id="by the state alone"),
        pytest.param(_ANY_HOLDER, id="trials by the state alone"),
        pytest.param(_ANY_PACK + _ANY_HOLDER_HERE, id="by the dispatcher"),
        pytest.param([("ADVANCE", "AND next_seq = :seq", "")], id="chunks in any order"),
    ],
)
def test_without_the_fence_the_model_finds_the_bug(
    connection: Connection,
    changes: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, fence, instead in changes:
        fenced = getattr(queue_sql, name).text
        assert fence in fenced
        monkeypatch.setattr(queue_sql, name, text(fenced.replace(fence, instead)))
    _expect_a_bug(connection)


def test_what_a_lost_attempt_measured_may_not_stay(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "take_back", lambda session, beyond: None)
    _expect_a_bug(connection)


def _expect_a_bug(connection: Connection) -> None:
    with pytest.raises((AssertionError, IntegrityError)):
        run_state_machine_as_test(
            _machine(connection), settings=_settings(200, database=None, derandomize=True, phases=[Phase.generate])
        )
