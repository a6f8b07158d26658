"""The queue against a model of it, in random interleavings on real PostgreSQL.

The model knows in memory who holds what, which rows were acknowledged and where each trial may go; after every step the
tables must say the same, and the doctor must find nothing. Simulated workers may go on talking after their pack was
lost. Every pack writes its id as the training loss, so each row tells who recorded it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from db.models import Base
from services import control, queue
from services.domain.errors import Conflict
from services.domain.ports import PackOrder
from services.domain.results import Checkpoint, Chunk, Outcome
from services.domain.states import OPEN_SWEEPS, Reason, SweepState
from services.queue import Verdict
from tests.queueing import chunk, record, scalar, submit, try_claim, violations

TTL = timedelta(hours=1)  # nothing expires by itself

# Which worker or sweep: those first that something can still happen to.
NTH = st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
HEEDS = st.sampled_from([False, False, True])
ENDS = st.sampled_from(
    [
        None,
        Reason.COMPLETED,
        Reason.DIVERGED,
        Reason.USER_ERROR,
        Reason.UNKNOWN_ERROR,
        Reason.UNKNOWN_ERROR,
        Reason.OUT_OF_MEMORY,
    ]
)
SUCCESSES = (Reason.COMPLETED, Reason.DIVERGED)
BREAKS = (Reason.WORKER_LOST, Reason.NODE_LOST, Reason.OUT_OF_MEMORY, Reason.UNKNOWN_ERROR)
CHORES = ("rescue", "rescue", "time_out", "keep_leases", "clear_checkpoints", "let_backoffs_pass")
WISHES = ("pause_or_resume", "pause_or_resume", "retry", "retry", "retry", "cancel_trial", "set_priority", "cancel")

_EMPTY = "; ".join(f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables))

# The highest priority of what a claim could take now.
_TURN = """
    SELECT max(priority) FROM sweeps
    WHERE state IN ('queued', 'running')
        AND EXISTS (SELECT FROM trials WHERE sweep_id = sweeps.id AND state = 'queued' AND run_after <= now())
        AND (max_running IS NULL OR max_running > (
            SELECT count(*) FROM trials WHERE sweep_id = sweeps.id AND state = 'running'
        ))
"""

# What the model has an opinion on, as lists of rows.
_SEEN = {
    "sweeps": "id, state",
    "packs": "id, state, next_seq, fenced",
    "trials": "id, state, pack_id",
    "metrics": "trial_id, step, train_loss",
    "traces": "trial_id, step, weight_norm, layer",
    "checkpoints": "trial_id, step, sha256",
    "trial_summaries": "trial_id, steps, trace_points, train_loss",
}
_SEE = text(
    "SELECT "
    + ", ".join(
        f"(SELECT coalesce(json_agg(json_build_array({columns})), '[]') FROM {table}) AS {table}"
        for table, columns in _SEEN.items()
    )
)


@dataclass
class Sweep:
    """A sweep as submitted, and its state as last seen."""

    limit: int | None
    seconds: float | None
    priority: int
    state: str = SweepState.QUEUED


@dataclass
class Trial:
    """What must be true of a trial. `may`: the states it can be in after this step; `pack_id` holds it."""

    sweep: Sweep
    may: frozenset[str] = frozenset({"queued"})
    state: str = "queued"
    pack_id: int | None = None
    rows: dict[int, int] = field(default_factory=dict)
    """The pack that recorded each step."""
    checkpoint: int | None = None
    summary: tuple[int, int, float] | None = None
    """Steps, trace points and the last training loss, once it has succeeded."""

    def leave(self, *may: str) -> None:
        self.pack_id, self.may = None, frozenset(may)

    def cancel(self) -> None:
        if self.state in ("queued", "running"):
            self.leave("cancelled")


@dataclass
class Lease:
    """What must be true of a pack."""

    dispatcher: str
    size: int
    live: bool = True
    next_seq: int = 0
    fenced: int = 0
    expired: bool = False
    overdue: bool = False


@dataclass
class Worker:
    """What a worker believes: it trains these trials, each is at this step, and this chunk is next."""

    order: PackOrder
    steps: dict[int, int]
    resumed: frozenset[int]
    seq: int = 0
    said: Chunk | None = None


class QueueModel(RuleBasedStateMachine):
    """Every rule does something to the queue and says what must follow; the invariant compares."""

    connection: ClassVar[Connection]

    def __init__(self) -> None:
        super().__init__()
        self.connection.exec_driver_sql(_EMPTY)
        self.connection.commit()
        self.session = Session(self.connection)
        self.sweeps: dict[int, Sweep] = {}
        self.trials: dict[int, Trial] = {}
        self.leases: dict[int, Lease] = {}
        self.workers: list[Worker] = []
        self.gone: set[str] = set()
        """Documents that the queue gave up."""

    def teardown(self) -> None:
        self.session.close()

    @initialize(seeds=st.integers(1, 3), shapes=st.integers(1, 2), capacity=st.integers(1, 3))
    def start(self, seeds: int, shapes: int, capacity: int) -> None:
        """Two sweeps that can share packs, of which one limits the time of its trials; and a first pack."""
        self._submit(seeds, shapes, None, Sweep(limit=None, seconds=600, priority=0))
        self._submit(2, 1, "ann", Sweep(limit=None, seconds=None, priority=0))
        self._claim("a", capacity)

    @precondition(lambda self: len(self.sweeps) < 4)
    @rule(
        seeds=st.integers(1, 3),
        shapes=st.integers(1, 2),
        owner=st.sampled_from([None, "ann", "bob"]),
        limit=st.sampled_from([None, 1, 2, 3]),
        seconds=st.sampled_from([None, 600]),
        priority=st.integers(-1, 1),
    )
    def submit(
        self, seeds: int, shapes: int, owner: str | None, limit: int | None, seconds: float | None, priority: int
    ) -> None:
        self._submit(seeds, shapes, owner, Sweep(limit=limit, seconds=seconds, priority=priority))

    @rule(capacity=st.integers(1, 3))
    def claim_by_a(self, capacity: int) -> None:
        self._claim("a", capacity)

    @rule(capacity=st.integers(1, 3))
    def claim_by_b(self, capacity: int) -> None:
        self._claim("b", capacity)

    @precondition(lambda self: self.workers)
    @rule(nth=NTH, points=st.integers(1, 3), saves=st.booleans(), heeds=HEEDS)
    def report(self, nth: int, points: int, saves: bool, heeds: bool) -> None:
        """The next trace points of all trials, the first perhaps with checkpoints.

        `heeds`: the worker drops the trials that its pack does not hold, or that have ended, as it should.
        """
        worker = self._worker(nth)
        for point in range(points):
            self._report(worker, [], saves=saves and point == 0, heeds=heeds)

    @precondition(lambda self: self.workers)
    @rule(nth=NTH, ends=st.lists(ENDS, min_size=1, max_size=3), saves=st.booleans(), heeds=HEEDS)
    def report_ends(self, nth: int, ends: list[Reason | None], saves: bool, heeds: bool) -> None:
        self._report(self._worker(nth), ends, saves=saves, heeds=heeds)

    @precondition(lambda self: self.workers)
    @rule(nth=NTH, ahead=st.integers(0, 2))
    def report_again_or_too_early(self, nth: int, ahead: int) -> None:
        worker = self._worker(nth)
        if ahead:
            early = replace(worker, steps=dict(worker.steps), seq=worker.seq + ahead)
            self._report(early, [Reason.COMPLETED], saves=True, heeds=False)
        elif worker.said is not None:
            self._say(worker, worker.said, heeds=False)

    @precondition(lambda self: any(worker.resumed and not worker.seq for worker in self.workers))
    @rule(nth=NTH)
    def restart(self, nth: int) -> None:
        """The store has lost the checkpoints from which the pack was to go on."""
        worker = self._worker(nth, lambda worker: bool(worker.resumed and not worker.seq))
        queue.restart(self.session, worker.order.pack_id, worker.resumed)
        self.session.commit()
        for id_, trial in self._held(worker.order.pack_id).items():
            if id_ in worker.resumed:
                trial.rows, trial.checkpoint = {}, None
        worker.steps |= dict.fromkeys(worker.resumed & worker.steps.keys(), -1)
        worker.resumed = frozenset()

    @precondition(lambda self: self.workers)
    @rule(nth=NTH, reason=st.sampled_from([None, *BREAKS, Reason.RELEASED]))
    def end(self, nth: int, reason: Reason | None) -> None:
        """The pack ends by itself, breaks or is given back."""
        self._end(self._worker(nth).order.pack_id, reason)

    @precondition(lambda self: self.workers)
    @rule(nth=NTH, lease=st.booleans(), noticed=st.booleans())
    def let_time_pass(self, nth: int, lease: bool, noticed: bool) -> None:
        """A lease expires, or a pack has run for longer than its sweeps may allow."""
        pack_id = self._worker(nth).order.pack_id
        if lease:
            self._run(f"UPDATE packs SET lease_until = now() - interval '1 s' WHERE id = {pack_id}")
            self.leases[pack_id].expired = True
        else:
            self._run(f"UPDATE packs SET claimed_at = now() - interval '1 h' WHERE id = {pack_id}")
            self.leases[pack_id].overdue = True
        if noticed:
            self._rescue()
            self._time_out()

    @rule(chore=st.sampled_from(CHORES))
    def keep_house(self, chore: str) -> None:
        getattr(self, f"_{chore}")()

    @rule(wish=st.sampled_from(WISHES), nth=NTH)
    def wish(self, wish: str, nth: int) -> None:
        """What users ask for."""
        getattr(self, f"_{wish}")(nth)

    @precondition(lambda self: len(self.workers) > 5)
    @rule()
    def finish_everything(self) -> None:
        """Nothing is stuck, whatever has happened: with healthy workers all sweeps end."""
        for id_, sweep in self.sweeps.items():
            self._ask(sweep.state in OPEN_SWEEPS, control.resume, id_)
        for pack_id in [pack_id for pack_id, lease in self.leases.items() if lease.live]:
            self._end(pack_id, Reason.RELEASED)
        self._let_backoffs_pass()
        self.agree()
        while (worker := self._claim("c", 1)) is not None:
            self._report(worker, [Reason.COMPLETED] * len(worker.steps), saves=False, heeds=True)
            self._end(worker.order.pack_id, None)
            self.agree()
        assert not {trial.state for trial in self.trials.values()} & {"queued", "running"}

    @invariant()
    def agree(self) -> None:
        """The tables say what the model says, and the doctor finds nothing."""
        seen = self.session.execute(_SEE).one()
        self._agree_on_states(seen)
        self._agree_on_results(seen)
        assert violations(self.session) == {}
        self.session.commit()

    def _agree_on_states(self, seen: Any) -> None:
        assert {id_ for id_, *_ in seen.trials} == self.trials.keys()
        for id_, state, pack_id in seen.trials:
            trial = self.trials[id_]
            assert state in trial.may, f"trial {id_} is {state}, not {set(trial.may)}"
            assert pack_id == trial.pack_id, f"trial {id_} runs under {pack_id}, not {trial.pack_id}"
            trial.state, trial.may = state, frozenset({state})
        assert {id_: (state == "running", next_seq, fenced) for id_, state, next_seq, fenced in seen.packs} == {
            id_: (lease.live, lease.next_seq, lease.fenced) for id_, lease in self.leases.items()
        }
        for id_, state in seen.sweeps:
            sweep = self.sweeps[id_]
            sweep.state = state
            running = sum(trial.state == "running" for trial in self._trials_of(sweep))
            assert sweep.limit is None or running <= sweep.limit, f"sweep {id_} runs {running} trials"

    def _agree_on_results(self, seen: Any) -> None:
        rows = sorted([id_, *row] for id_, trial in self.trials.items() for row in trial.rows.items())
        assert sorted(seen.metrics) == rows
        assert sorted(seen.traces) == [[*row, layer] for row in rows for layer in (1, 2)]
        assert {id_: tuple(summary) for id_, *summary in seen.trial_summaries} == {
            id_: trial.summary for id_, trial in self.trials.items() if trial.summary is not None
        }
        assert {id_: step for id_, step, _ in seen.checkpoints} == {
            id_: trial.checkpoint for id_, trial in self.trials.items() if trial.checkpoint is not None
        }
        assert not self.gone & {sha256 for *_, sha256 in seen.checkpoints}

    def _submit(self, seeds: int, shapes: int, owner: str | None, sweep: Sweep) -> None:
        sweep_id = submit(
            self.session,
            owner=owner,
            seeds={"count": seeds},
            grid={"rule.name": ["bp", "dfa"][:shapes]},
            limits={"running": sweep.limit, "trial_seconds": sweep.seconds},
            priority=sweep.priority,
        )
        ids = self.session.scalars(text(f"SELECT id FROM trials WHERE sweep_id = {sweep_id} ORDER BY id")).all()
        assert len(ids) == seeds * shapes
        self.sweeps[sweep_id] = sweep
        self.trials |= {id_: Trial(sweep) for id_ in ids}

    def _claim(self, dispatcher: str, capacity: int) -> Worker | None:
        turn = scalar(self.session, _TURN)
        claimed = try_claim(self.session, dispatcher, TTL, capacity)
        if claimed is None:
            assert turn is None
            return None
        order = claimed.order
        trials = {id_: self.trials[id_] for id_ in order.trial_ids}
        assert order.pack_id > max(self.leases, default=0)
        assert {trial.state for trial in trials.values()} == {"queued"}
        assert {trial.sweep.state for trial in trials.values()} <= {"queued", "running"}
        assert max(trial.sweep.priority for trial in trials.values()) == turn
        assert len({trial.config.rule.name for trial in order.trials}) == 1
        steps = {id_: trial.checkpoint for id_, trial in trials.items() if trial.checkpoint is not None}
        assert {id_: checkpoint.step for id_, checkpoint in claimed.checkpoints.items()} == steps
        for id_, trial in trials.items():
            trial.pack_id, trial.may = order.pack_id, frozenset({"running"})
            trial.rows = {step: pack_id for step, pack_id in trial.rows.items() if step <= steps.get(id_, -1)}
        self.leases[order.pack_id] = Lease(dispatcher=dispatcher, size=len(trials))
        worker = Worker(order, {id_: steps.get(id_, -1) for id_ in trials}, frozenset(steps))
        self.workers.append(worker)
        return worker

    def _report(self, worker: Worker, ends: list[Reason | None], *, saves: bool, heeds: bool) -> None:
        """One more trace point of each trial that the worker trains; the first ones end like this."""
        pack_id = worker.order.pack_id
        for id_ in worker.steps:
            worker.steps[id_] += 1
        outcomes = [
            Outcome(trial_id=id_, reason=end, steps=step, error=None if end in SUCCESSES else f"{end} of {pack_id}")
            for end, (id_, step) in zip(ends, worker.steps.items(), strict=False)
            if end is not None
        ]
        said = _trace_point(worker, outcomes, saves=saves)
        for outcome in outcomes if heeds else ():
            del worker.steps[outcome.trial_id]
        worker.said, worker.seq = said, worker.seq + 1
        self._say(worker, said, heeds=heeds)

    def _say(self, worker: Worker, said: Chunk, *, heeds: bool) -> None:
        lease = self.leases[said.pack_id]
        recorded = record(self.session, said)
        assert recorded.verdict is _verdict(lease, said.seq)
        if not lease.live:
            lease.fenced += 1
        if recorded.verdict is not Verdict.ACCEPTED:
            return
        lease.next_seq += 1
        assert recorded.unheld == self._write(said, lease.size)
        self.gone |= recorded.superseded
        for id_ in recorded.unheld if heeds else ():
            worker.steps.pop(id_, None)

    def _write(self, said: Chunk, size: int) -> set[int]:
        """What an accepted chunk changes. Returns the trials that the worker should drop."""
        assert said.metrics is not None
        spoken = set(said.metrics.trial_id.tolist())
        held = self._held(said.pack_id)
        for id_, step in zip(said.metrics.trial_id.tolist(), said.metrics.step.tolist(), strict=True):
            if id_ in held:
                held[id_].rows.setdefault(step, said.pack_id)
        ended = {outcome.trial_id: outcome for outcome in said.outcomes if outcome.trial_id in held}
        for id_, outcome in ended.items():
            trial = held[id_]
            trial.leave(*_fates(outcome.reason, size))
            if outcome.reason in SUCCESSES:
                trial.summary = (outcome.steps, len(trial.rows), trial.rows[max(trial.rows)])
        released = set()
        for checkpoint in said.checkpoints:
            if checkpoint.trial_id in held.keys() - ended.keys():
                trial = held[checkpoint.trial_id]
                trial.checkpoint = checkpoint.step
                if trial.sweep.state == SweepState.PAUSED:
                    trial.leave("queued")
                    released.add(checkpoint.trial_id)
        return (spoken - held.keys()) | released

    def _end(self, pack_id: int, reason: Reason | None) -> None:
        match reason:
            case None:
                ended = queue.end_pack(self.session, pack_id)
            case Reason.RELEASED:
                ended = queue.release(self.session, pack_id)
            case _:
                ended = queue.break_pack(self.session, pack_id, reason, f"{reason} of {pack_id}")
        self.session.commit()
        lease, held = self.leases[pack_id], self._held(pack_id)
        assert ended == lease.live
        lease.live = False
        for trial in held.values():
            trial.leave(*_fates(reason or Reason.WORKER_LOST, len(held)))

    def _keep_leases(self) -> None:
        """Of all packs that ever were, the dispatcher's own living ones are renewed."""
        own = {id_ for id_, lease in self.leases.items() if lease.live and lease.dispatcher == "a"}
        assert queue.heartbeat(self.session, dispatcher="a", packs=list(self.leases), ttl=TTL) == own
        self.session.commit()
        for id_ in own:
            self.leases[id_].expired = False

    def _rescue(self) -> None:
        lost = {id_: lease for id_, lease in self.leases.items() if lease.live and lease.expired}
        expected = {id_: set(self._held(id_)) for id_ in lost if self._held(id_)}
        rescued = queue.rescue(self.session)
        self.session.commit()
        assert {id_: set(trials) for id_, trials in rescued.items()} == expected
        for id_, lease in lost.items():
            lease.live = False
            for trial in self._held(id_).values():
                trial.leave("queued")

    def _time_out(self) -> None:
        expected: dict[int, set[int]] = {}
        for pack_id, lease in self.leases.items():
            held = self._held(pack_id)
            late = {id_ for id_, trial in held.items() if lease.overdue and trial.sweep.seconds is not None}
            if late:
                expected[pack_id] = late
                lease.live = late != held.keys()
            for id_ in late:
                held[id_].leave("failed")
        timed_out = {}
        for pack_id in queue.overdue(self.session):
            timed_out[pack_id] = set(queue.time_out(self.session, pack_id))
            self.session.commit()
        assert timed_out == expected

    def _clear_checkpoints(self) -> None:
        self.gone |= set(queue.clear_checkpoints(self.session))
        self.session.commit()
        for trial in self.trials.values():
            if trial.state in ("succeeded", "cancelled"):
                trial.checkpoint = None

    def _let_backoffs_pass(self) -> None:
        self._run("UPDATE trials SET run_after = now() WHERE state = 'queued'")

    def _pause_or_resume(self, nth: int) -> None:
        id_, sweep = self._sweep(nth)
        action = control.resume if sweep.state == SweepState.PAUSED else control.pause
        self._ask(sweep.state in OPEN_SWEEPS, action, id_)

    def _set_priority(self, nth: int) -> None:
        id_, sweep = self._sweep(nth)
        if self._ask(sweep.state in OPEN_SWEEPS, control.set_priority, id_, nth):
            sweep.priority = nth

    def _retry(self, nth: int) -> None:
        id_, sweep = self._sweep(nth, lambda sweep: any(trial.state == "failed" for trial in self._trials_of(sweep)))
        failed = [trial for trial in self._trials_of(sweep) if trial.state == "failed"]
        if self._ask(bool(failed) and sweep.state != SweepState.CANCELLED, control.retry, id_):
            for trial in failed:
                trial.leave("queued")

    def _cancel(self, nth: int) -> None:
        id_, sweep = self._sweep(nth)
        if self._ask(sweep.state in {*OPEN_SWEEPS, SweepState.CANCELLED}, control.cancel, id_):
            for trial in self._trials_of(sweep):
                trial.cancel()

    def _cancel_trial(self, nth: int) -> None:
        id_, trial = list(self.trials.items())[-1 - nth % len(self.trials)]
        if self._ask(trial.state in ("queued", "running", "cancelled"), control.cancel_trial, id_):
            trial.cancel()

    def _ask(self, allowed: bool, action: Callable[..., object], *values: int) -> bool:
        """What a user asks for is done, or refused when it is not allowed. Returns whether it was done."""
        try:
            action(self.session, *values)
        except Conflict:
            self.session.rollback()
            assert not allowed
            return False
        self.session.commit()
        assert allowed
        return True

    def _held(self, pack_id: int) -> dict[int, Trial]:
        return {id_: trial for id_, trial in self.trials.items() if trial.pack_id == pack_id}

    def _trials_of(self, sweep: Sweep) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.sweep is sweep]

    def _worker(self, nth: int, fits: Callable[[Worker], bool] = lambda _: True) -> Worker:
        """One of the fitting workers: the living first, the newest first."""
        workers = [worker for worker in reversed(self.workers) if fits(worker)]
        workers.sort(key=lambda worker: not self.leases[worker.order.pack_id].live)
        return workers[nth % len(workers)]

    def _sweep(self, nth: int, fits: Callable[[Sweep], bool] = lambda sweep: sweep.state in OPEN_SWEEPS) -> Any:
        """One of the sweeps with its id: the fitting first, the newest first."""
        found = sorted(reversed(self.sweeps.items()), key=lambda item: not fits(item[1]))
        return found[nth % len(found)]

    def _run(self, statement: str) -> None:
        self.session.execute(text(statement))
        self.session.commit()


def _verdict(lease: Lease, seq: int) -> Verdict:
    if not lease.live:
        return Verdict.FENCED
    if seq == lease.next_seq:
        return Verdict.ACCEPTED
    return Verdict.REPEATED if seq < lease.next_seq else Verdict.GAP


def _fates(reason: Reason, size: int) -> set[str]:
    """Where a trial may go whose attempt ends so in a pack of this size: no trial fails for what its neighbours do."""
    match reason:
        case Reason.COMPLETED | Reason.DIVERGED:
            return {"succeeded"}
        case Reason.USER_ERROR:
            return {"failed"}
        case Reason.RELEASED | Reason.NODE_LOST:
            return {"queued"}
        case _:
            return {"queued"} if size > 1 else {"queued", "failed"}


def _trace_point(worker: Worker, outcomes: list[Outcome], *, saves: bool) -> Chunk:
    """All trials of the worker at their steps, signed with the pack's id."""
    pack_id, steps = worker.order.pack_id, np.array(list(worker.steps.values()), dtype=np.int64)
    said = chunk(replace(worker.order, trial_ids=list(worker.steps)), worker.seq, outcomes=outcomes)
    assert said.metrics is not None
    assert said.traces is not None
    n = len(steps)
    return replace(
        said,
        metrics=replace(said.metrics, step=steps, train_loss=np.full(n, float(pack_id))),
        traces=replace(said.traces, step=steps.repeat(2), weight_norm=np.full(2 * n, float(pack_id))),
        checkpoints=[
            Checkpoint(trial_id=id_, step=step, safetensors=f"{id_} at {step} of {pack_id}".encode())
            for id_, step in worker.steps.items()
            if saves
        ],
    )
