"""Phases of trials that have succeeded: found soon after, once, from what was recorded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from services import control, queue
from services.domain.results import Outcome
from services.domain.states import Reason
from services.phases import detect
from services.phasing import detect_next
from tests import queueing
from tests.cookbook import train

SWEEP = {
    "name": "phases",
    "base": {
        "data": {"train_samples": 320},
        "model": {"hidden": [24, 24]},
        "train": {"epochs": 16, "lr": 0.01},
        "trace": {"points_per_decade": 6, "probe": 50, "evaluate_on": 200},
    },
    "grid": {"rule.name": ["bp", "dfa", "shallow"]},
    "seeds": {"count": 2},
}


def rows(session: Session, query: str, **parameters: Any) -> list[Any]:
    return list(session.execute(text(query), parameters).all())


def detect_all(session: Session) -> None:
    while detect_next(session):
        session.commit()


def test_the_views_say_what_the_traces_of_a_trained_sweep_show(engine: Engine, tmp_path: Path) -> None:
    train(engine, SWEEP, tmp_path / "store", reproducibility="tolerance")
    with Session(engine) as session:
        layers = rows(session, "SELECT * FROM v_phases ORDER BY trial_id, layer")
        assert [(row.rule, row.layer) for row in layers] == [("dfa", 1), ("dfa", 2)] * 2
        whole = {row.trial_id: row for row in rows(session, "SELECT * FROM v_trial_phases")}
        assert sorted((row.rule, row.layers) for row in whole.values()) == [
            *[("bp", 0)] * 2,
            *[("dfa", 2)] * 2,
            *[("shallow", 0)] * 2,
        ]
        for trial_id, trial in whole.items():
            measured = rows(
                session, "SELECT step, train_loss FROM metrics WHERE trial_id = :id ORDER BY step", id=trial_id
            )
            aligned = rows(
                session, "SELECT gradient_alignment FROM traces WHERE trial_id = :id ORDER BY step, layer", id=trial_id
            )
            found = detect(
                np.array([row.step for row in measured]),
                np.array([row.gradient_alignment for row in aligned], np.float64).reshape(len(measured), 3),
                np.array([row.train_loss for row in measured]),
            )
            assert found.loss_half_step is not None
            assert found.loss_half_step == trial.loss_half_step <= trial.loss_halved_at_step
            assert (found.loss_halved_at_step, found.sequential) == (trial.loss_halved_at_step, trial.sequential)
            for row in (row for row in layers if row.trial_id == trial_id):
                own = found.layers[row.layer - 1]
                assert own is not None
                assert own.maximum == row.gradient_alignment_max > 0.2
                assert (own.half_step, own.most_step, own.aligned_at_step, own.maximum_step, own.final) == (
                    row.alignment_half_step,
                    row.alignment_most_step,
                    row.aligned_at_step,
                    row.alignment_max_step,
                    row.gradient_alignment_final,
                )
                assert (own.declines, own.aligns_first, own.decline) == (
                    row.declines,
                    row.aligns_first,
                    row.alignment_decline,
                )
                assert row.sequential == trial.sequential
        assert queueing.violations(session) == {}


@pytest.fixture
def finished(session: Session) -> list[int]:
    """Four trials that have succeeded, by their ids."""
    queueing.submit(session)
    order = queueing.claim(session)
    for point, step in enumerate((0, 7)):
        outcomes = queueing.completed(order) if step else []
        queueing.record(session, queueing.chunk(order, point, step=step, outcomes=outcomes))
    return sorted(order.trial_ids)


def test_phases_are_due_when_a_trial_succeeds_and_found_once(session: Session, finished: list[int]) -> None:
    assert queueing.scalar(session, "SELECT count(*) FROM phases_due") == 4
    assert rows(session, "SELECT * FROM v_phases") == []
    detect_all(session)
    assert queueing.scalar(session, "SELECT count(*) FROM phases_due") == 0
    kept = rows(session, "SELECT * FROM v_phases ORDER BY trial_id, layer")
    assert [(row.trial_id, row.layer) for row in kept] == [(trial, layer) for trial in finished for layer in (1, 2)]
    assert {(row.gradient_alignment_max, row.alignment_half_step, row.loss_half_step) for row in kept} == {
        (0.25, 0, None)
    }
    session.execute(text("INSERT INTO phases_due SELECT trial_id FROM trial_summaries"))
    detect_all(session)
    assert rows(session, "SELECT * FROM v_phases ORDER BY trial_id, layer") == kept


def test_a_retried_trial_has_phases_once_it_succeeds(session: Session) -> None:
    sweep_id = queueing.submit(session)
    order = queueing.claim(session)
    lost, *others = order.trial_ids
    outcomes = [
        Outcome(trial_id=lost, reason=Reason.USER_ERROR, error="no"),
        *(Outcome(trial_id=id_, reason=Reason.COMPLETED, steps=7) for id_ in others),
    ]
    queueing.record(session, queueing.chunk(order, 0, outcomes=outcomes))
    queue.end_pack(session, order.pack_id)
    session.commit()
    detect_all(session)
    assert queueing.scalar(session, "SELECT count(*) FROM v_trial_phases") == 3
    control.retry(session, sweep_id)
    session.commit()
    order = queueing.claim(session)
    queueing.record(session, queueing.chunk(order, 0, outcomes=queueing.completed(order)))
    detect_all(session)
    assert queueing.scalar(session, f"SELECT count(*) FROM v_phases WHERE trial_id = {lost}") == 2
    assert queueing.scalar(session, "SELECT count(*) FROM v_trial_phases") == 4


def test_two_dispatchers_take_different_trials(session: Session, engine: Engine, finished: list[int]) -> None:
    session.execute(text("SELECT FROM phases_due WHERE trial_id = :one FOR UPDATE"), {"one": finished[0]})
    with Session(engine) as other, other.begin():
        assert detect_next(other)
        assert queueing.scalar(other, "SELECT count(*) FROM trial_phases") == 3
    session.rollback()
    detect_all(session)
    assert queueing.scalar(session, "SELECT count(*) FROM trial_phases") == 4


def test_rows_that_do_not_fit_together_stop_nobody(session: Session, finished: list[int]) -> None:
    """An archive may hold any numbers."""
    first, second, third, _ = finished
    session.execute(text("DELETE FROM metrics WHERE trial_id = :one"), {"one": first})
    session.execute(text("UPDATE traces SET layer = 1000000000000 + layer WHERE trial_id = :one"), {"one": second})
    session.execute(text("DELETE FROM traces WHERE trial_id = :one"), {"one": third})
    session.execute(
        text("UPDATE metrics SET step = step + 3, train_loss = NULL WHERE trial_id = :one"), {"one": second}
    )
    detect_all(session)
    found = {row.trial_id: row.layers for row in rows(session, "SELECT * FROM v_trial_phases")}
    assert list(found.values()) == [2, 2, 0, 2]
    assert queueing.scalar(session, f"SELECT max(layer) FROM v_phases WHERE trial_id = {second}") == 10**12 + 2
