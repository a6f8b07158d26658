"""The queue: claim, heartbeat, record, end, release, rescue, time out. With `endings` the only place where trials
change state, besides what users do to them (`services.sweeps`).

A pack is a lease and its id the fencing token: every write is conditional on `pack_id` and `state = 'running'`, so a
worker that comes back after its lease expired changes nothing. Only the database's clock is compared with stored
times. Functions take a Session and leave the commit to the caller; each is one transaction.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services import endings, measurements
from services import queue_sql as sql
from services.domain.errors import Unclaimable
from services.domain.ports import PackOrder, Resources
from services.domain.results import Chunk, Provenance
from services.domain.spec import TrialConfig, TrialSpec, canonical_json
from services.domain.states import PackState, Reason
from services.endings import Failure
from services.packing import MAX_PACK_CPU, MAX_PACK_GPU, pack_limit, spread


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """Where in the store a trial's state after `step` updates lies."""

    step: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A leased pack, and from where those of its trials go on that were interrupted."""

    order: PackOrder
    sweeps: list[int]
    """Whose trials these are."""
    checkpoints: dict[int, CheckpointRef]


class Verdict(StrEnum):
    """What became of a chunk."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    GAP = "gap"
    FENCED = "fenced"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The answer to a chunk.

    `unheld`: trials it spoke of that the pack does not hold; the worker should drop them. `superseded`: documents of
    earlier checkpoints, which may go.
    """

    verdict: Verdict
    unheld: frozenset[int] = frozenset()
    superseded: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A kind of worker that trials wait for: `unfinished` wait or run there, of `total` in the sweeps that wait."""

    resources: Resources
    unfinished: int
    total: int


def waiting(session: Session, *, capacity: int) -> list[Waiting]:
    """What waits for each kind of worker; `capacity`: how many packs of one CPU can run at once."""
    packs = max(1, capacity)
    rows = session.execute(sql.WAITING, {"enough": MAX_PACK_CPU * packs, "enough_on_gpus": MAX_PACK_GPU * packs})
    return [
        Waiting(resources=Resources(cpu=row.cpu, gpu=row.gpu), unfinished=row.unfinished, total=row.total)
        for row in rows
    ]


def claim(session: Session, wanted: Waiting, *, dispatcher: str, capacity: int, ttl: timedelta) -> Claim | None:
    """Lease the next pack for a worker of this kind, or None when nothing is due.

    `capacity`: how many packs can run at once; a sweep is divided evenly among so many. What an earlier
    attempt measured goes, except up to the checkpoint from which a trial goes on. Raises Unclaimable, which ends the
    transaction.
    """
    kind = {"cpu": wanted.resources.cpu, "gpu": wanted.resources.gpu}
    turn = _whose_turn(session, kind)
    if turn is None:
        return None
    try:
        return _claim(session, wanted, *turn, dispatcher=dispatcher, capacity=capacity, ttl=ttl)
    except (IntegrityError, ValidationError) as error:
        raise Unclaimable(turn[0].sweep_id, str(error).splitlines()[0]) from error


def restart(session: Session, pack_id: int, trials: Collection[int]) -> None:
    """These trials of the pack start from step 0 after all: their checkpoints cannot be read."""
    held = {row.id for row in session.execute(sql.HELD, {"pack": pack_id})} & set(trials)
    session.execute(sql.FORGET_CHECKPOINTS, {"ids": list(held)})
    measurements.take_back(session, dict.fromkeys(held, -1))


def heartbeat(session: Session, *, dispatcher: str, packs: Collection[int], ttl: timedelta) -> set[int]:
    """Renew the leases of these packs. Returns those that are still held; the others were lost and must stop."""
    rows = session.execute(sql.HEARTBEAT, {"packs": list(packs), "dispatcher": dispatcher, "ttl": ttl})
    return set(rows.scalars())


def record_provenance(
    session: Session, pack_id: int, provenance: Provenance, seeds: Mapping[int, Mapping[str, int]]
) -> None:
    """Note where the pack's attempts run, and with which seeds: by trial id and purpose."""
    session.execute(
        sql.RECORD_PROVENANCE,
        {
            "pack": pack_id,
            "provenance": canonical_json(asdict(provenance)),
            "trials": list(seeds),
            "seeds": [canonical_json(dict(own)) for own in seeds.values()],
        },
    )


def record(session: Session, chunk: Chunk) -> Recorded:
    """Write a chunk's rows, checkpoints and outcomes, exactly once.

    A repeated chunk is acknowledged and changes nothing; a chunk out of order or of a lost pack is refused. Whatever
    concerns trials that the pack no longer holds is left out. A trial whose sweep was paused leaves the pack with its
    checkpoint.
    """
    rows = sum(len(columns) for _, columns in measurements.tables_of(chunk))
    advanced = session.execute(
        sql.ADVANCE, {"pack": chunk.pack_id, "seq": chunk.seq, "model_steps": chunk.model_steps, "rows": rows}
    ).one_or_none()
    if advanced is None:
        return Recorded(verdict=_why_refused(session, chunk))
    held = {row.id: row for row in session.execute(sql.HELD, {"pack": chunk.pack_id})}
    mentioned = measurements.write(session, chunk, held)
    outcomes = [outcome for outcome in chunk.outcomes if outcome.trial_id in held]
    ended = [outcome for outcome in outcomes if outcome.reason in (Reason.COMPLETED, Reason.DIVERGED)]
    endings.succeed(session, chunk.pack_id, ended)
    failures = {
        outcome.trial_id: Failure(reason=outcome.reason, error=outcome.error)
        for outcome in outcomes
        if outcome not in ended
    }
    checkpointed, superseded = _record_checkpoints(session, chunk, held)
    for trial_id in session.execute(sql.PAUSED, {"ids": checkpointed}).scalars() if checkpointed else ():
        failures[trial_id] = Failure(reason=Reason.RELEASED)
    if failures:
        size = session.execute(text("SELECT size FROM packs WHERE id = :id"), {"id": chunk.pack_id}).scalar_one()
        endings.fail_or_requeue(session, chunk.pack_id, size, held, failures)
    endings.close_sweeps(session, [outcome.trial_id for outcome in outcomes])
    released = {trial_id for trial_id, failure in failures.items() if failure.reason is Reason.RELEASED}
    unheld = frozenset(mentioned - held.keys() | released)
    return Recorded(verdict=Verdict.ACCEPTED, unheld=unheld, superseded=superseded)


def end_pack(session: Session, pack_id: int) -> bool:
    """The worker has reported everything. Trials it left unfinished, if any, wait again. False: the pack was lost."""
    return _end_pack(
        session, pack_id, PackState.FINISHED, Reason.WORKER_LOST, "the worker ended without reporting the trial"
    )


def break_pack(session: Session, pack_id: int, reason: Reason, error: str) -> bool:
    """The pack ended before its trials: each is requeued or failed as `retries` decides. False: the pack was lost."""
    return _end_pack(session, pack_id, PackState.LOST, reason, error)


def release(session: Session, pack_id: int) -> bool:
    """Give the pack back unharmed: its trials wait again and are not charged. False: the pack was lost."""
    return _end_pack(session, pack_id, PackState.RELEASED, Reason.RELEASED, None)


def rescue(session: Session) -> dict[int, list[int]]:
    """Take back every pack whose lease has expired. Returns the requeued trials by pack."""
    return _by_pack(session.execute(sql.RESCUE))


def overdue(session: Session) -> list[int]:
    """Packs with trials that have run for longer than their sweeps allow."""
    return list(session.execute(sql.OVERDUE_PACKS).scalars())


def time_out(session: Session, pack_id: int) -> list[int]:
    """Fail the trials of the pack that have run for longer than their sweep allows, and return them.

    A pack that holds no other trials is lost; its dispatcher learns of it with the next heartbeat.
    """
    session.execute(sql.LOCK_PACK, {"pack": pack_id})
    rows = {row.id: row for row in session.execute(sql.HELD, {"pack": pack_id})}
    failures = {
        trial_id: Failure(reason=Reason.TIMEOUT, error="the trial ran for longer than limits.trial_seconds")
        for trial_id in session.execute(sql.OVERDUE, {"pack": pack_id}).scalars()
        if trial_id in rows
    }
    endings.fail_or_requeue(session, pack_id, len(rows), rows, failures)
    if rows and failures.keys() == rows.keys():  # nothing is left to wait for
        _end_pack(session, pack_id, PackState.LOST, Reason.TIMEOUT, None)
    endings.close_sweeps(session, list(failures))
    return list(failures)


def clear_checkpoints(session: Session) -> list[str]:
    """Forget the checkpoints of trials that will never go on. Returns their documents, which may go."""
    return list(session.execute(sql.CLEAR_CHECKPOINTS).scalars())


def packs_of_paused_sweeps(session: Session, packs: Collection[int]) -> list[int]:
    """Of these packs, those that train for a sweep that is paused."""
    return list(session.execute(sql.PACKS_OF_PAUSED, {"packs": list(packs)}).scalars()) if packs else []


def _claim(
    session: Session, wanted: Waiting, head: Any, room: int | None, *, dispatcher: str, capacity: int, ttl: timedelta
) -> Claim | None:
    resources = wanted.resources
    kind = {"cpu": resources.cpu, "gpu": resources.gpu}
    first = _configs(session, {head.group_id})
    limit = pack_limit(first[head.group_id], resources)
    size = min(spread(wanted.total, wanted.unfinished, capacity, limit), head.pack_limit or limit, room or limit)
    chosen = session.execute(
        sql.CLAIM,
        {
            **kind,
            "sweep": head.sweep_id,
            "owner": head.owner,
            "pack_key": head.pack_key,
            "size": size,
            "dispatcher": dispatcher,
            "ttl": ttl,
        },
    ).all()
    if not chosen:  # paused or cancelled in this very moment
        return None
    pack_id, ids = chosen[0].pack_id, [row.id for row in chosen]
    retried = [row.id for row in chosen if row.is_retry]
    checkpoints = _checkpoints(session, retried)
    measurements.take_back(session, {id_: checkpoints[id_].step if id_ in checkpoints else -1 for id_ in retried})
    configs = {**first, **_configs(session, {row.group_id for row in chosen} - first.keys())}
    trials = [TrialSpec(config=configs[row.group_id], seed=row.seed) for row in chosen]
    order = PackOrder(pack_id=pack_id, trial_ids=ids, trials=trials, resources=resources)
    return Claim(order=order, sweeps=sorted({row.sweep_id for row in chosen}), checkpoints=checkpoints)


def _whose_turn(session: Session, kind: dict[str, float]) -> tuple[Any, int | None] | None:
    """The trial at the head of the queue, and how many its sweep may start, if that is limited."""
    full: list[int] = []
    while (head := session.execute(sql.HEAD, {**kind, "full": full}).one_or_none()) is not None:
        if head.max_running is None:
            return head, None
        session.execute(sql.LOCK_SWEEP, {"sweep": head.sweep_id})
        room = session.execute(sql.ROOM, {"sweep": head.sweep_id}).scalar_one()
        if room > 0:
            return head, room
        full.append(head.sweep_id)
    return None


def _configs(session: Session, groups: Collection[int]) -> dict[int, TrialConfig]:
    rows = session.execute(sql.CONFIGS, {"groups": list(groups)}) if groups else ()
    return {row.id: _parsed(row.config) for row in rows}


@lru_cache(maxsize=1024)
def _parsed(config: str) -> TrialConfig:
    """Of the same text, the same object: packs in a row mostly have the same configuration."""
    return TrialConfig.model_validate_json(config)


def _checkpoints(session: Session, trials: Sequence[int]) -> dict[int, CheckpointRef]:
    rows = session.execute(sql.CHECKPOINTS, {"ids": list(trials)}) if trials else ()
    return {row.trial_id: CheckpointRef(step=row.step, sha256=row.sha256) for row in rows}


def _record_checkpoints(session: Session, chunk: Chunk, held: Collection[int]) -> tuple[list[int], frozenset[str]]:
    """Note where the held trials can go on from; the last one of each trial counts.

    Returns these trials, and the documents that are needed no more.
    """
    last = {checkpoint.trial_id: checkpoint for checkpoint in chunk.checkpoints if checkpoint.trial_id in held}
    ended = {outcome.trial_id for outcome in chunk.outcomes}
    kept = [checkpoint for trial_id, checkpoint in last.items() if trial_id not in ended]
    ids = [checkpoint.trial_id for checkpoint in kept]
    earlier = {ref.sha256 for ref in _checkpoints(session, ids).values()}
    if kept:
        session.execute(
            sql.RECORD_CHECKPOINTS,
            {
                "trials": ids,
                "steps": [checkpoint.step for checkpoint in kept],
                "hashes": [checkpoint.sha256 for checkpoint in kept],
            },
        )
    return ids, frozenset(earlier - {checkpoint.sha256 for checkpoint in kept})


def _why_refused(session: Session, chunk: Chunk) -> Verdict:
    if session.execute(sql.FENCE, {"pack": chunk.pack_id}).rowcount:  # type: ignore[attr-defined]
        return Verdict.FENCED
    next_seq = session.execute(
        text("SELECT next_seq FROM packs WHERE id = :id"), {"id": chunk.pack_id}
    ).scalar_one_or_none()
    if next_seq is None:
        return Verdict.FENCED
    return Verdict.REPEATED if chunk.seq < next_seq else Verdict.GAP


def _end_pack(session: Session, pack_id: int, state: PackState, reason: Reason, error: str | None) -> bool:
    """End the lease. Trials it still holds go by the reason."""
    ended = session.execute(
        sql.END_PACK,
        {"pack": pack_id, "state": state, "reason": None if state is PackState.FINISHED else str(reason)},
    ).one_or_none()
    if ended is None:
        return False
    held = {row.id: row for row in session.execute(sql.HELD, {"pack": pack_id})}
    if held:
        endings.fail_or_requeue(
            session, pack_id, len(held), held, dict.fromkeys(held, Failure(reason=reason, error=error))
        )
        endings.close_sweeps(session, list(held))
    return True


def _by_pack(rows: Iterable[Any]) -> dict[int, list[int]]:
    trials: dict[int, list[int]] = {}
    for row in rows:
        trials.setdefault(row.pack_id, []).append(row.id)
    return trials
