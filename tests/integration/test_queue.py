"""The queue on real PostgreSQL: every verb, and that a lost pack changes nothing."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from services import control, queue, queue_sql, sweeps
from services.domain.results import Outcome
from services.domain.states import Reason
from services.planning.expansion import parse
from services.queue import Verdict
from tests.queueing import CPU, TTL, chunk, claim, completed, record, scalar, states, submit, try_claim


def test_a_sweep_goes_from_queued_over_running_to_succeeded(session: Session) -> None:
    sweep_id = submit(session)
    order = claim(session)
    assert [trial.seed for trial in order.trials] == [0, 1, 2, 3]
    assert sweeps.get(session, sweep_id).state == "running"
    assert record(session, chunk(order, 0)).verdict is Verdict.ACCEPTED
    record(session, chunk(order, 1, step=7, outcomes=completed(order)))
    assert queue.end_pack(session, order.pack_id)
    session.commit()
    assert sweeps.get(session, sweep_id).state == "succeeded"
    assert states(session) == {"succeeded": 4}
    assert scalar(session, "SELECT count(*) FROM traces") == 4 * 2 * 2
    assert scalar(session, "SELECT count(*) FROM traces WHERE weight_alignment IS NULL") == 4 * 2
    assert scalar(session, "SELECT count(*) FROM layer_summaries WHERE step = 7") == 4 * 2
    assert scalar(session, "SELECT min(trace_points) FROM trial_summaries WHERE steps = 7") == 2
    assert scalar(session, "SELECT count(*) FROM events WHERE kind = 'trial.succeeded'") == 4
    assert scalar(session, "SELECT count(*) FROM attempts WHERE reason = 'completed'") == 4


def test_claims_follow_priority_then_age_and_keep_shapes_apart(session: Session) -> None:
    submit(session, name="old")
    urgent = submit(session, name="urgent", priority=5, grid={"rule.name": ["bp", "dfa"]})
    packs = [claim(session) for _ in range(2)]
    assert [{trial.config.rule.name for trial in pack.trials} for pack in packs] == [{"bp"}, {"dfa"}]
    assert [len(pack.trials) for pack in packs] == [4, 8]  # what has the same shape shares a pack across sweeps
    first = scalar(session, f"SELECT sweep_id FROM trials WHERE id = {packs[0].trial_ids[0]}")
    assert first == urgent
    assert try_claim(session) is None


def test_two_claims_at_once_never_share_a_trial(session: Session, engine: Engine) -> None:
    submit(session, seeds={"count": 16})
    claim(session, capacity=8)
    with Session(engine) as other:
        wanted = queue.Waiting(resources=CPU, unfinished=12, total=12)
        one = queue.claim(session, wanted, dispatcher="a", capacity=4, ttl=TTL)
        two = queue.claim(other, wanted, dispatcher="b", capacity=4, ttl=TTL)
        assert one is not None
        assert two is not None
        assert not set(one.order.trial_ids) & set(two.order.trial_ids)
        session.commit()
        other.commit()


def test_a_repeated_chunk_changes_nothing_and_a_gap_is_refused(session: Session) -> None:
    submit(session)
    order = claim(session)
    assert record(session, chunk(order, 0)).verdict is Verdict.ACCEPTED
    assert record(session, chunk(order, 0)).verdict is Verdict.REPEATED
    assert record(session, chunk(order, 2, step=9)).verdict is Verdict.GAP
    assert scalar(session, "SELECT count(*) FROM metrics") == 4
    assert scalar(session, "SELECT next_seq FROM packs") == 1


def test_a_pack_past_its_lease_is_rescued_and_fenced(session: Session) -> None:
    submit(session)
    zombie = claim(session, ttl=timedelta(seconds=-1))
    record(session, chunk(zombie, 0))
    assert queue.rescue(session) == {zombie.pack_id: list(zombie.trial_ids)}
    session.commit()
    heir = claim(session, "other")
    assert heir.trial_ids == zombie.trial_ids
    assert heir.pack_id > zombie.pack_id
    assert scalar(session, "SELECT count(*) FROM metrics") == 0  # the heir starts from step 0
    late = record(session, chunk(zombie, 1, step=7, outcomes=completed(zombie)))
    assert late.verdict is Verdict.FENCED
    assert queue.heartbeat(session, dispatcher="d", packs=[zombie.pack_id], ttl=TTL) == set()
    assert not queue.end_pack(session, zombie.pack_id)
    assert not queue.release(session, zombie.pack_id)
    assert states(session) == {"running": 4}
    assert scalar(session, "SELECT max(attempts) FROM trials") == 1  # a lost worker is not charged
    assert scalar(session, "SELECT count(*) FROM metrics") == 0


def test_a_heartbeat_keeps_the_lease(session: Session) -> None:
    submit(session)
    order = claim(session, ttl=timedelta(seconds=-1))
    assert queue.heartbeat(session, dispatcher="d", packs=[order.pack_id], ttl=TTL) == {order.pack_id}
    assert queue.rescue(session) == {}


def test_release_gives_back_without_charge(session: Session) -> None:
    submit(session)
    order = claim(session)
    assert queue.release(session, order.pack_id)
    session.commit()
    assert states(session) == {"queued": 4}
    assert scalar(session, "SELECT max(attempts) FROM trials") == 0
    assert claim(session).trial_ids == order.trial_ids


def test_what_crashes_its_worker_is_found_by_halving(session: Session) -> None:
    """One trial of sixteen takes its worker down each time; fifteen succeed and it is poison."""
    sweep_id = submit(session, seeds={"count": 16})
    culprit = scalar(session, "SELECT max(id) FROM trials")
    packs = 0
    while states(session).get("queued"):
        order = claim(session)
        packs += 1
        if culprit in order.trial_ids:
            queue.break_pack(session, order.pack_id, Reason.WORKER_LOST, "gone")
            session.commit()
        else:
            record(session, chunk(order, 0, outcomes=completed(order)))
            queue.end_pack(session, order.pack_id)
            session.commit()
    assert states(session) == {"succeeded": 15, "failed": 1}
    assert scalar(session, f"SELECT reason FROM trials WHERE id = {culprit}") == "poison"
    assert sweeps.get(session, sweep_id).state == "partial"
    assert packs <= 12


@pytest.mark.parametrize(
    ("reason", "state", "attempts"),
    [
        (Reason.USER_ERROR, "failed", 1),
        (Reason.UNKNOWN_ERROR, "queued", 0),  # looked for in packs of half the size
        (Reason.OUT_OF_MEMORY, "queued", 0),
    ],
)
def test_a_failed_outcome_is_decided_by_its_reason(session: Session, reason: Reason, state: str, attempts: int) -> None:
    submit(session)
    order = claim(session)
    bad, *good = order.trial_ids
    outcomes = [Outcome(trial_id=bad, reason=reason, error="because")]
    record(session, chunk(order, 0, outcomes=outcomes))
    row = session.execute(text(f"SELECT state, attempts, error FROM trials WHERE id = {bad}")).one()
    assert (row.state, row.attempts, row.error) == (state, attempts, "because")
    assert scalar(session, "SELECT count(*) FROM trials WHERE state = 'running'") == len(good)


def test_an_unknown_error_fails_the_trial_after_its_last_attempt_alone(session: Session) -> None:
    """Whatever a pack of four raises together, each trial is charged for what it raises alone."""
    sweep_id = submit(session, retries={"max_attempts": 1}, fail_fast={"identical_errors": None})
    sizes = []
    while (claimed := try_claim(session)) is not None:
        sizes.append(len(claimed.order.trial_ids))
        queue.break_pack(session, claimed.order.pack_id, Reason.UNKNOWN_ERROR, "Traceback")
        session.commit()
    assert sorted(sizes) == [1, 1, 1, 1, 2, 2, 4]
    assert states(session) == {"failed": 4}
    assert sweeps.get(session, sweep_id).state == "failed"


def test_a_diverged_trial_is_a_result(session: Session) -> None:
    submit(session, seeds={"count": 1})
    order = claim(session)
    outcome = Outcome(trial_id=order.trial_ids[0], reason=Reason.DIVERGED, steps=5, diverged_at_step=5)
    record(session, chunk(order, 0, outcomes=[outcome]))
    row = session.execute(text("SELECT state, reason, diverged_at_step FROM v_trials")).one()
    assert tuple(row) == ("succeeded", "diverged", 5)


def test_cancel_ends_what_waits_and_fences_what_runs(session: Session) -> None:
    sweep_id = submit(session, seeds={"count": 8})
    order = claim(session, capacity=2)
    assert len(order.trial_ids) == 4
    assert control.cancel(session, sweep_id).state == "cancelled"
    session.commit()
    assert states(session) == {"cancelled": 8}
    recorded = record(session, chunk(order, 0, outcomes=completed(order)))
    assert recorded == queue.Recorded(verdict=Verdict.ACCEPTED, unheld=frozenset(order.trial_ids))
    assert states(session) == {"cancelled": 8}
    assert scalar(session, "SELECT count(*) FROM metrics") == 0
    assert control.cancel(session, sweep_id).state == "cancelled"
    assert scalar(session, "SELECT count(*) FROM attempts WHERE reason = 'cancelled_by_user'") == 4


def test_submit_twice_under_one_key_is_one_sweep(session: Session) -> None:
    spec = parse({"name": "once"})
    first, created = sweeps.submit(session, spec, idempotency_key="k", owner=None)
    again, created_again = sweeps.submit(session, spec, idempotency_key="k", owner=None)
    assert (created, created_again) == (True, False)
    assert first.id == again.id
    with pytest.raises(sweeps.Conflict):
        sweeps.submit(session, parse({"name": "other"}), idempotency_key="k", owner=None)


def test_claims_read_an_index_however_many_trials_are_over(session: Session, engine: Engine) -> None:
    submit(session, seeds={"count": 2000})
    session.execute(text("UPDATE trials SET state = 'cancelled', finished_at = now() WHERE id > 100"))
    session.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    values = {
        "cpu": 1,
        "gpu": 0,
        "enough": 10,
        "enough_on_gpus": 10,
        "full": [],
        "sweep": 1,
        "owner": None,
        "pack_key": "k",
        "size": 4,
    }
    values |= {"dispatcher": "d", "ttl": TTL}
    for query in (queue_sql.WAITING, queue_sql.HEAD, queue_sql.CLAIM):
        plan = "\n".join(session.execute(text(f"EXPLAIN {query.text}"), values).scalars())
        assert "ix_trials_queue" in plan, plan
        assert "Seq Scan on trials" not in plan
