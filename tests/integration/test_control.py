"""What users and operators do to sweeps, and whose turn it is, on real PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services import control, presence, queue, sweeps, telemetry
from services.domain.errors import Conflict, InvalidSpec, NotFound
from services.domain.ports import WorkerStatus
from services.domain.results import Outcome
from services.domain.states import Reason
from services.explain import explain
from tests.queueing import (
    CPU,
    TTL,
    chunk,
    claim,
    completed,
    record,
    scalar,
    states,
    submit,
    try_claim,
    violations,
)


def sweep_of(session: Session, trial_id: int) -> int:
    return int(scalar(session, f"SELECT sweep_id FROM trials WHERE id = {trial_id}"))


def finish(session: Session, order: Any) -> None:
    record(session, chunk(order, 0, step=7, outcomes=completed(order)))
    queue.end_pack(session, order.pack_id)
    session.commit()


# --- whose turn it is -------------------------------------------------------------------------------------------------


def test_owners_take_turns_however_much_each_has_submitted(session: Session) -> None:
    """A sweep of a hundred packs does not starve one that came later."""
    big = submit(session, owner="ada", seeds={"count": 128})
    small = submit(session, owner="ben", seeds={"count": 4}, base={"model": {"hidden": [8]}})
    turns = [sweep_of(session, claim(session, capacity=1000).trial_ids[0]) for _ in range(4)]
    assert turns == [big, small, big, small]


def test_a_pack_is_filled_from_its_owners_sweeps_first_and_each_is_charged_their_own(session: Session) -> None:
    submit(session, owner="ada", seeds={"count": 600})
    for nth in range(40):
        submit(session, owner="ben", name=f"ben {nth}", seeds={"count": 1})
    owners = "SELECT string_agg(DISTINCT owner, ' ') FROM trials JOIN sweeps ON sweeps.id = sweep_id WHERE pack_id = "
    packs = [claim(session) for _ in range(3)]
    assert [scalar(session, f"{owners} {pack.pack_id}") for pack in packs] == ["ada", "ada ben", "ada"]
    assert scalar(session, f"SELECT shares FROM packs WHERE id = {packs[1].pack_id}") == [24, 40]


def test_priority_comes_before_fairness_and_can_be_changed_while_things_wait(session: Session) -> None:
    submit(session, owner="ada", seeds={"count": 8})
    late = submit(session, owner="ada", base={"model": {"hidden": [8]}})
    control.set_priority(session, late, 5)
    session.commit()
    assert sweep_of(session, claim(session).trial_ids[0]) == late


def test_a_limited_sweep_runs_so_many_trials_and_no_more(session: Session) -> None:
    limited = submit(session, seeds={"count": 20}, limits={"running": 6})
    orders = [claim(session, capacity=5)]
    while (claimed := try_claim(session, capacity=5)) is not None:
        orders.append(claimed.order)
    assert sum(len(order.trial_ids) for order in orders) == 6
    finish(session, orders[0])
    assert len(claim(session, capacity=5).trial_ids) <= len(orders[0].trial_ids)
    other = submit(session, base={"model": {"hidden": [8]}})
    assert sweep_of(session, claim(session).trial_ids[0]) in (other, limited)


# --- pause, resume, cancel, retry, clone ------------------------------------------------------------------------------


def test_a_paused_sweep_is_not_claimed_until_it_is_resumed(session: Session) -> None:
    sweep_id = submit(session)
    assert control.pause(session, sweep_id).state == "paused"
    assert control.pause(session, sweep_id).pause_reason == "paused by its owner"
    session.commit()
    assert try_claim(session) is None
    assert control.resume(session, sweep_id).state == "queued"
    assert control.resume(session, sweep_id).pause_reason is None
    session.commit()
    finish(session, claim(session))
    assert sweeps.get(session, sweep_id).state == "succeeded"
    with pytest.raises(Conflict) as conflict:
        control.pause(session, sweep_id)
    assert conflict.value.allowed == ["clone"]


def test_a_checkpoint_lets_the_trials_of_a_paused_sweep_go_and_later_go_on(session: Session) -> None:
    sweep_id = submit(session)
    order = claim(session)
    record(session, chunk(order, 0, step=0))
    control.pause(session, sweep_id)
    session.commit()
    recorded = record(session, chunk(order, 1, step=64, checkpoint=b"weights"))
    assert recorded.unheld == set(order.trial_ids)
    assert states(session) == {"queued": 4}
    control.resume(session, sweep_id)
    session.commit()
    resumed = try_claim(session)
    assert resumed is not None
    assert {reference.step for reference in resumed.checkpoints.values()} == {64}
    assert scalar(session, "SELECT count(*) FROM metrics") == 8  # up to the checkpoint they stay


def test_what_was_measured_beyond_the_checkpoint_goes_when_a_trial_goes_on(session: Session) -> None:
    submit(session)
    order = claim(session, ttl=timedelta(seconds=-1))
    for seq, step in enumerate((0, 64, 100)):
        record(session, chunk(order, seq, step=step, checkpoint=b"weights" if step == 64 else None))
    queue.rescue(session)
    session.commit()
    again = try_claim(session)
    assert again is not None
    assert scalar(session, "SELECT max(step) FROM metrics") == 64
    assert scalar(session, "SELECT max(step) FROM traces") == 64
    queue.restart(session, again.order.pack_id, again.order.trial_ids[:1])
    session.commit()
    assert scalar(session, f"SELECT count(*) FROM metrics WHERE trial_id = {again.order.trial_ids[0]}") == 0
    assert scalar(session, "SELECT count(*) FROM checkpoints") == 3


def test_only_the_failed_are_retried(session: Session) -> None:
    sweep_id = submit(session)
    order = claim(session)
    bad, *good = order.trial_ids
    outcomes = [Outcome(trial_id=bad, reason=Reason.USER_ERROR, error="no such data")]
    record(session, chunk(order, 0, step=7, outcomes=[*outcomes, *completed(order)[1:]]))
    queue.end_pack(session, order.pack_id)
    session.commit()
    assert sweeps.get(session, sweep_id).state == "partial"
    assert sweeps.get(session, sweep_id).allowed_actions == ["retry", "clone"]
    assert control.retry(session, sweep_id).state == "running"
    session.commit()
    again = claim(session)
    assert list(again.trial_ids) == [bad]
    finish(session, again)
    assert sweeps.get(session, sweep_id).state == "succeeded"
    assert scalar(session, f"SELECT count(*) FROM trials WHERE id = ANY(ARRAY{good}) AND attempts = 1") == 3
    assert violations(session) == {}
    with pytest.raises(Conflict):
        control.retry(session, sweep_id)


def test_an_end_is_final_in_the_database_itself(session: Session) -> None:
    submit(session)
    finish(session, claim(session))
    for state in ("queued", "failed", "cancelled"):
        with pytest.raises(IntegrityError, match="it cannot become"):
            session.execute(text(f"UPDATE trials SET state = '{state}'"))
        session.rollback()


def test_one_trial_is_cancelled_and_the_others_go_on(session: Session) -> None:
    sweep_id = submit(session)
    order = claim(session)
    control.cancel_trial(session, order.trial_ids[0])
    control.cancel_trial(session, order.trial_ids[0])
    session.commit()
    recorded = record(session, chunk(order, 0, step=7, outcomes=completed(order)))
    assert recorded.unheld == {order.trial_ids[0]}
    assert states(session) == {"cancelled": 1, "succeeded": 3}
    assert sweeps.get(session, sweep_id).state == "partial"
    with pytest.raises(Conflict):
        control.cancel_trial(session, order.trial_ids[1])
    with pytest.raises(NotFound):
        control.cancel_trial(session, 999)
    assert violations(session) == {}


def test_a_clone_is_the_same_spec_but_for_what_is_overridden(session: Session) -> None:
    original = submit(session, name="first")
    overrides = {"base.train.lr": 0.5, "seeds.count": 2}
    copy, _ = control.clone(session, original, overrides, name=None, idempotency_key=None, owner="ben")
    assert (copy.name, copy.owner, copy.trial_count) == ("first (copy)", "ben", 2)
    assert copy.spec["base"]["train"]["lr"] == 0.5
    for path in ("base.train.rate", "bass.train.lr"):
        with pytest.raises(InvalidSpec):
            control.clone(session, original, {path: 1}, name=None, idempotency_key=None, owner=None)


# --- limits and the canary --------------------------------------------------------------------------------------------


def test_a_trial_that_runs_for_too_long_fails_and_its_pack_is_lost(session: Session) -> None:
    submit(session, limits={"trial_seconds": 60})
    order = claim(session)
    assert queue.overdue(session) == []
    session.execute(text("UPDATE packs SET claimed_at = now() - interval '61 s'"))
    assert queue.overdue(session) == [order.pack_id]
    assert queue.time_out(session, order.pack_id) == list(order.trial_ids)
    session.commit()
    assert states(session) == {"failed": 4}
    assert scalar(session, "SELECT DISTINCT reason FROM trials") == "timeout"
    assert queue.heartbeat(session, dispatcher="d", packs=[order.pack_id], ttl=TTL) == set()
    assert violations(session) == {}


def test_a_sweep_whose_trials_fail_alike_pauses_and_says_why(session: Session) -> None:
    sweep_id = submit(session, seeds={"count": 12})
    packs = 0
    while (claimed := try_claim(session, capacity=3)) is not None:
        queue.break_pack(session, claimed.order.pack_id, Reason.UNKNOWN_ERROR, f"Traceback\nKeyError: {packs}")
        session.commit()
        packs += 1
    sweep = sweeps.get(session, sweep_id)
    assert sweep.state == "paused"
    assert sweep.pause_reason == f"3 trials have failed alike, the last one: KeyError: {packs - 1}"
    assert packs < 12
    assert states(session) == {"queued": 12}
    assert control.resume(session, sweep_id).pause_reason is None
    assert scalar(session, "SELECT count(*) FROM sweep_errors") == 0


def test_one_bad_trial_does_not_pause_a_sweep(session: Session) -> None:
    sweep_id = submit(session, seeds={"count": 8}, retries={"max_attempts": 2})
    culprit = scalar(session, "SELECT min(id) FROM trials")
    while True:
        session.execute(text("UPDATE trials SET run_after = now() WHERE state = 'queued'"))
        claimed = try_claim(session)
        if claimed is None:
            break
        if culprit in claimed.order.trial_ids:
            queue.break_pack(session, claimed.order.pack_id, Reason.UNKNOWN_ERROR, "ZeroDivisionError")
            session.commit()
        else:
            finish(session, claimed.order)
    assert sweeps.get(session, sweep_id).state == "partial"
    assert states(session) == {"failed": 1, "succeeded": 7}
    assert violations(session) == {}


# --- explain, telemetry -----------------------------------------------------------------------------------------------


def test_a_trial_explains_itself(session: Session) -> None:
    sweep_id = submit(session, limits={"running": 2}, retries={"max_attempts": 2})
    first, *_, last = session.execute(text("SELECT id FROM trials ORDER BY id")).scalars()
    assert explain(session, first) == "It waits because no dispatcher is alive."
    presence.show(session, "d", workers=[], capacity=1, packs=0, ttl=TTL, draining=False)
    assert "no worker has 1 CPU" in explain(session, first)
    worker = WorkerStatus(name="w", node="n", resources=CPU, pack_id=None)
    presence.show(session, "d", workers=[worker], capacity=1, packs=0, ttl=TTL, draining=False)
    assert explain(session, first) == "It waits for the next worker that is free: it is the next of its sweep."
    assert "3 trials of its sweep go first" in explain(session, last)
    session.commit()
    order = claim(session)
    assert f"in pack {order.pack_id} with 1 other." in explain(session, first)
    assert "may run 2 trials at once" in explain(session, last)
    queue.break_pack(session, order.pack_id, Reason.UNKNOWN_ERROR, "boom")
    order = claim(session)
    queue.break_pack(session, order.pack_id, Reason.UNKNOWN_ERROR, "boom")
    session.commit()
    assert "s more after unknown_error, before attempt 2 of 2" in explain(session, first)
    control.pause(session, sweep_id)
    assert "is paused (paused by its owner)" in explain(session, last)
    control.cancel(session, sweep_id)
    assert explain(session, last) == "It was cancelled (cancelled_by_user)."


def test_telemetry_counts_what_happened(session: Session) -> None:
    submit(session, seeds={"count": 8})
    lost = claim(session, ttl=timedelta(seconds=-1), capacity=2)
    queue.rescue(session)
    session.commit()
    record(session, chunk(lost, 0))
    order = claim(session, capacity=2)
    record(session, chunk(order, 0))
    seen = telemetry.read(session)
    assert seen.trials == {"queued": 4, "running": 4}
    assert (seen.packs, seen.packs_running, seen.rescued_packs, seen.fenced_chunks) == (2, 1, 1, 1)
    assert (seen.rows, seen.model_steps) == (4 + 8, 4)
    assert seen.oldest_waiting_seconds is not None


def test_a_cancel_that_waits_for_a_claim_ends_what_it_began(session: Session, engine: Engine) -> None:
    sweep_id = submit(session)
    wanted = queue.Waiting(resources=CPU, unfinished=4, total=4)
    claimed = queue.claim(session, wanted, dispatcher="d", capacity=1, ttl=TTL)
    assert claimed is not None

    def cancel() -> None:
        with Session(engine) as other, other.begin():
            control.cancel(other, sweep_id)

    with ThreadPoolExecutor() as threads:
        cancelling = threads.submit(cancel)
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with engine.connect() as onlooker:
            while not onlooker.execute(text(blocked)).scalar_one():
                onlooker.rollback()
        session.commit()
        cancelling.result(10)
    assert states(session) == {"cancelled": 4}
    assert violations(session) == {}


# --- two at once ------------------------------------------------------------------------------------------------------


def at_once(engine: Engine, first: Callable[[Session], object], second: Callable[[Session], object]) -> None:
    """The second begins while the first has not committed, and waits for it where it must."""
    with Session(engine) as one, Session(engine) as two:
        first(one)
        thread = Thread(target=lambda: (second(two), two.commit()))
        thread.start()
        thread.join(0.5)
        one.commit()
        thread.join()


def test_a_retry_while_the_last_trial_finishes_is_not_lost(session: Session, engine: Engine) -> None:
    for retry_first in (True, False):
        sweep = submit(session, seeds={"count": 2})
        order = claim(session)
        record(session, chunk(order, 0, outcomes=[failed(order.trial_ids[0])]))
        end = chunk(order, 1, step=7, outcomes=completed(order)[1:])
        verbs = [partial(control.retry, sweep_id=sweep), partial(queue.record, chunk=end)]
        at_once(engine, *(verbs if retry_first else reversed(verbs)))
        assert sweeps.get(session, sweep).state == "running"
        assert violations(session) == {}
        session.commit()
        finish(session, claim(session))
        assert sweeps.get(session, sweep).state == "succeeded"
        session.commit()


def test_a_sweep_that_is_cancelled_while_it_is_retried_has_nothing_left_to_train(
    session: Session, engine: Engine
) -> None:
    sweep = submit(session, seeds={"count": 3})
    order = claim(session)
    record(session, chunk(order, 0, outcomes=[failed(order.trial_ids[0])]))
    at_once(engine, partial(control.retry, sweep_id=sweep), partial(control.cancel, sweep_id=sweep))
    assert states(session) == {"cancelled": 3}
    assert violations(session) == {}


def failed(trial_id: int) -> Outcome:
    return Outcome(trial_id=trial_id, reason=Reason.USER_ERROR, steps=0, error="no such data")


# --- the doctor finds what is wrong -----------------------------------------------------------------------------------

WRONGS = {
    "ends_once": ["DELETE FROM events WHERE kind = 'trial.succeeded' AND trial_id = {trial}"],
    "claims_are_events": ["DELETE FROM events WHERE kind = 'trial.claimed' AND trial_id = {trial}"],
    "success_is_whole": [
        "DELETE FROM trial_summaries WHERE trial_id = {trial}",
        "DELETE FROM metrics WHERE trial_id = {trial}",
        "DELETE FROM traces WHERE trial_id = {trial} AND layer = 1",
        "DELETE FROM layer_summaries WHERE trial_id = {trial} AND layer = 2",
        "UPDATE trial_summaries SET train_loss = 9 WHERE trial_id = {trial}",
    ],
    "only_the_started_are_measured": ["UPDATE trials SET started_at = NULL WHERE id = {trial}"],
    "measured_trials_exist": ["INSERT INTO metrics (trial_id, step, epoch) VALUES (999999, 0, 0)"],
    "running_under_a_lease": ["UPDATE packs SET lease_until = now() - interval '1 h' WHERE id = {running}"],
    "attempts_end": ["UPDATE attempts SET finished_at = NULL WHERE trial_id = {trial}"],
    "attempts_within_bounds": ["UPDATE trials SET attempts = -1 WHERE id = {trial}"],
    "all_trials_are_there": ["UPDATE sweeps SET trial_count = trial_count + 1"],
    "ends_are_counted": [
        "UPDATE sweep_ends SET succeeded = succeeded - 1",
        "UPDATE sweep_ends SET failed = failed + 1",
        "DELETE FROM sweep_ends",
    ],
    "sweeps_end_with_their_trials": ["UPDATE sweeps SET state = 'succeeded'"],
}


def test_the_doctor_knows_every_invariant_by_a_breach_of_it(session: Session) -> None:
    known = session.execute(text("SELECT invariant FROM v_doctor")).scalars().all()
    assert sorted(known) == sorted(WRONGS)


@pytest.mark.parametrize(("invariant", "wrong"), [(name, wrong) for name, all_ in WRONGS.items() for wrong in all_])
def test_the_doctor_finds(session: Session, invariant: str, wrong: str) -> None:
    submit(session, seeds={"count": 128})
    done, running = claim(session), claim(session)
    record(session, chunk(done, 0, outcomes=[]))
    record(session, chunk(done, 1, step=7, outcomes=completed(done)))
    assert violations(session) == {}
    session.execute(text("SET session_replication_role = replica"))  # past the triggers that would not have it
    session.execute(text(wrong.format(trial=done.trial_ids[0], running=running.pack_id)))
    assert violations(session).get(invariant, 0) > 0
    session.rollback()
