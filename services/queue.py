"""The queue: claim, heartbeat, record, finish, fail, release, rescue. The only place where trials change state
besides submit and cancel (`services.sweeps`).

A pack is a lease and its id the fencing token: every write is conditional on `pack_id` and `state = 'running'`, so a
worker that comes back after its lease expired changes nothing. Only the database's clock is compared with stored
times. Functions take a Session and leave the commit to the caller; each is one transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from services import queue_sql as sql
from services.domain.ports import PackOrder, Resources
from services.domain.results import Chunk, Columns, Outcome, Provenance
from services.domain.spec import TrialConfig, TrialSpec, canonical_json
from services.domain.states import Reason
from services.packing import pack_limit, spread
from services.retries import Fail, Requeue, Standing, decide


class Verdict(StrEnum):
    """What became of a chunk."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    GAP = "gap"
    FENCED = "fenced"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The answer to a chunk. `unheld`: trials it spoke of that the pack does not hold; the worker should drop them."""

    verdict: Verdict
    unheld: frozenset[int] = frozenset()


def waiting_kinds(session: Session) -> list[Resources]:
    """The kinds of worker that queued trials wait for."""
    return [Resources(cpu=row.cpu, gpu=row.gpu) for row in session.execute(sql.KINDS)]


def claim(
    session: Session, *, dispatcher: str, resources: Resources, capacity: int, ttl: timedelta
) -> PackOrder | None:
    """Lease the next pack for a worker of this kind, or None when nothing is due.

    `capacity`: how many packs can run at once; the last trials of a sweep are spread over so many.
    """
    kind = {"cpu": resources.cpu, "gpu": resources.gpu}
    head = session.execute(sql.HEAD, kind).one_or_none()
    if head is None:
        return None
    limit = pack_limit(TrialConfig.model_validate(head.config), resources)
    unfinished = session.execute(sql.OPEN, {**kind, "enough": limit * max(1, capacity)}).scalar_one()
    size = min(spread(unfinished, capacity, limit), head.pack_limit or limit)
    chosen = session.execute(
        sql.CLAIM, {"pack_key": head.pack_key, "size": size, "dispatcher": dispatcher, "ttl": ttl}
    ).all()
    pack_id = chosen[0].pack_id
    ids = [row.id for row in chosen]
    _forget_partial_results(session, [row.id for row in chosen if row.is_retry])
    session.execute(
        text("INSERT INTO attempts (trial_id, pack_id) SELECT id, :pack FROM unnest(:ids ::bigint[]) AS t(id)"),
        {"pack": pack_id, "ids": ids},
    )
    _record_events(session, pack_id, dict.fromkeys(ids, ("trial.claimed", None)))
    session.execute(
        text("UPDATE sweeps SET state = 'running', started_at = now() WHERE id = ANY(:ids) AND state = 'queued'"),
        {"ids": sorted({row.sweep_id for row in chosen})},
    )
    configs = _configs(session, {row.group_id for row in chosen})
    trials = [TrialSpec(config=configs[row.group_id], seed=row.seed) for row in chosen]
    return PackOrder(pack_id=pack_id, trial_ids=ids, trials=trials, resources=resources)


def heartbeat(session: Session, *, dispatcher: str, packs: Collection[int], ttl: timedelta) -> set[int]:
    """Renew the leases of these packs. Returns those that are still held; the others were lost and must stop."""
    rows = session.execute(sql.HEARTBEAT, {"packs": list(packs), "dispatcher": dispatcher, "ttl": ttl})
    return set(rows.scalars())


def record_provenance(session: Session, pack_id: int, provenance: Provenance) -> None:
    """Note where the pack's attempts run."""
    session.execute(
        text("UPDATE attempts SET provenance = :provenance ::jsonb WHERE pack_id = :pack"),
        {"pack": pack_id, "provenance": canonical_json(asdict(provenance))},
    )


def record(session: Session, chunk: Chunk) -> Recorded:
    """Write a chunk's rows and the outcomes in it, exactly once.

    A repeated chunk is acknowledged and changes nothing; a chunk out of order or of a lost pack is refused. Rows and
    outcomes of trials that the pack no longer holds are left out.
    """
    advanced = session.execute(
        sql.ADVANCE, {"pack": chunk.pack_id, "seq": chunk.seq, "model_steps": chunk.model_steps}
    ).one_or_none()
    if advanced is None:
        return Recorded(verdict=_why_refused(session, chunk))
    held = {row.id: row for row in session.execute(sql.HELD, {"pack": chunk.pack_id})}
    mentioned = {outcome.trial_id for outcome in chunk.outcomes}
    for table, columns in (
        ("metrics", chunk.metrics),
        ("traces", chunk.traces),
        ("order_parameters", chunk.orders),
    ):
        if columns is not None and len(columns):
            mentioned |= set(columns.trial_id.tolist())
            _insert(session, table, columns.select(np.isin(columns.trial_id, list(held))))
    kept = [snapshot for snapshot in chunk.snapshots if snapshot.trial_id in held]
    if kept:
        session.execute(
            sql.RECORD_SNAPSHOTS,
            {
                "trials": [snapshot.trial_id for snapshot in kept],
                "steps": [snapshot.step for snapshot in kept],
                "hashes": [snapshot.sha256 for snapshot in kept],
                "sizes": [len(snapshot.safetensors) for snapshot in kept],
            },
        )
    outcomes = [outcome for outcome in chunk.outcomes if outcome.trial_id in held]
    ended = [outcome for outcome in outcomes if outcome.reason in (Reason.COMPLETED, Reason.DIVERGED)]
    _succeed(session, chunk.pack_id, ended)
    failures = {outcome.trial_id: (outcome.reason, outcome.error) for outcome in outcomes if outcome not in ended}
    if failures:
        size = session.execute(text("SELECT size FROM packs WHERE id = :id"), {"id": chunk.pack_id}).scalar_one()
        _decide_and_apply(session, chunk.pack_id, size, {id_: held[id_] for id_ in failures}, failures)
    _close_sweeps(session, [outcome.trial_id for outcome in outcomes])
    return Recorded(verdict=Verdict.ACCEPTED, unheld=frozenset(mentioned - held.keys()))


def end_pack(session: Session, pack_id: int) -> bool:
    """The worker has reported everything. Trials it left unfinished, if any, wait again. False: the pack was lost."""
    return _end_pack(session, pack_id, "finished", Reason.WORKER_LOST, "the worker ended without reporting the trial")


def break_pack(session: Session, pack_id: int, reason: Reason, error: str) -> bool:
    """The pack ended before its trials: each is requeued or failed as `retries` decides. False: the pack was lost."""
    return _end_pack(session, pack_id, "lost", reason, error)


def release(session: Session, pack_id: int) -> bool:
    """Give the pack back unharmed: its trials wait again and are not charged. False: the pack was lost."""
    return _end_pack(session, pack_id, "released", Reason.RELEASED, None)


def rescue(session: Session) -> dict[int, list[int]]:
    """Take back every pack whose lease has expired. Returns the requeued trials by pack."""
    rescued: dict[int, list[int]] = {}
    for row in session.execute(sql.RESCUE):
        rescued.setdefault(row.pack_id, []).append(row.id)
    return rescued


def _why_refused(session: Session, chunk: Chunk) -> Verdict:
    pack = session.execute(
        text("SELECT state, next_seq FROM packs WHERE id = :id"), {"id": chunk.pack_id}
    ).one_or_none()
    if pack is None or pack.state != "running":
        return Verdict.FENCED
    return Verdict.REPEATED if chunk.seq < pack.next_seq else Verdict.GAP


def _insert(session: Session, table: str, columns: Columns) -> None:
    """One statement for any number of rows; a row that is there already stays as it is."""
    session.execute(_insert_statement(table, type(columns)), _lists(columns))


def _insert_statement(table: str, columns: type[Columns]) -> TextClause:
    names = columns.names()
    arrays = ", ".join(f":{name} ::{_SQL_TYPES.get(name, 'double precision')}[]" for name in names)
    return text(f"INSERT INTO {table} ({', '.join(names)}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING")


_SQL_TYPES = {**dict.fromkeys(("trial_id", "step", "layer", "i", "j"), "bigint"), "quantity": "text"}


def _lists(columns: Columns) -> dict[str, list[Any]]:
    """The columns as lists; NaN, which means undefined, as None."""
    lists: dict[str, list[Any]] = {}
    for name in columns.names():
        column = getattr(columns, name)
        values = column.tolist()
        if column.dtype.kind == "f":
            for row in np.flatnonzero(np.isnan(column)).tolist():
                values[row] = None
        lists[name] = values
    return lists


def _succeed(session: Session, pack_id: int, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    ids = [outcome.trial_id for outcome in outcomes]
    reasons = [str(outcome.reason) for outcome in outcomes]
    session.execute(sql.SUCCEED, {"ids": ids, "reasons": reasons, "pack": pack_id})
    session.execute(
        sql.SUMMARISE,
        {
            "ids": ids,
            "steps": [outcome.steps for outcome in outcomes],
            "diverged": [outcome.diverged_at_step for outcome in outcomes],
        },
    )
    session.execute(sql.SUMMARISE_LAYERS, {"ids": ids})
    session.execute(sql.DEMAND_COMPARISONS, {"ids": ids})
    session.execute(sql.END_ATTEMPTS, {"ids": ids, "reasons": reasons, "errors": [None] * len(ids), "pack": pack_id})
    _record_events(
        session,
        pack_id,
        {
            outcome.trial_id: ("trial.succeeded", {"reason": outcome.reason, "steps": outcome.steps})
            for outcome in outcomes
        },
    )


def _end_pack(session: Session, pack_id: int, state: str, reason: Reason, error: str | None) -> bool:
    size = session.execute(sql.END_PACK, {"pack": pack_id, "state": state}).scalar_one_or_none()
    if size is None:
        return False
    held = {row.id: row for row in session.execute(sql.HELD, {"pack": pack_id})}
    if held:
        _decide_and_apply(session, pack_id, len(held), held, dict.fromkeys(held, (reason, error)))
        _close_sweeps(session, list(held))
    return True


def _decide_and_apply(
    session: Session,
    pack_id: int,
    pack_size: int,
    held: Mapping[int, Any],
    failures: Mapping[int, tuple[Reason, str | None]],
) -> None:
    """End the attempts of these trials, and requeue or fail each as `retries.decide` says."""
    for trial_id, (reason, error) in failures.items():
        trial = held[trial_id]
        crashes_alone = trial.crashes_alone + (reason is Reason.WORKER_LOST and pack_size == 1)
        decision = decide(
            reason,
            Standing(
                attempts=trial.attempts,
                max_attempts=trial.max_attempts,
                pack_size=pack_size,
                crashes_alone=crashes_alone,
            ),
        )
        common = {"id": trial_id, "pack": pack_id, "error": error, "crashes_alone": crashes_alone}
        match decision:
            case Fail():
                session.execute(sql.FAIL, {**common, "reason": str(decision.reason)})
                event = ("trial.failed", {"reason": decision.reason, "error": error})
            case Requeue():
                session.execute(
                    sql.REQUEUE,
                    {
                        **common,
                        "reason": str(reason),
                        "charged": decision.charged,
                        "pack_limit": decision.pack_limit,
                        "delay": decision.delay,
                    },
                )
                event = ("trial.requeued", {"reason": reason, "error": error})
        _record_events(session, pack_id, {trial_id: event})
    session.execute(
        sql.END_ATTEMPTS,
        {
            "ids": list(failures),
            "reasons": [str(reason) for reason, _ in failures.values()],
            "errors": [error for _, error in failures.values()],
            "pack": pack_id,
        },
    )


def _close_sweeps(session: Session, trials: Sequence[int]) -> None:
    if trials:
        sweeps = list(session.execute(sql.LOCK_SWEEPS, {"trials": list(trials)}).scalars())
        session.execute(sql.CLOSE_SWEEPS, {"sweeps": sweeps})


def _record_events(session: Session, pack_id: int, events: Mapping[int, tuple[str, dict[str, Any] | None]]) -> None:
    session.execute(
        sql.RECORD_EVENTS,
        {
            "pack": pack_id,
            "ids": list(events),
            "kinds": [kind for kind, _ in events.values()],
            "details": [None if detail is None else canonical_json(detail) for _, detail in events.values()],
        },
    )


def _forget_partial_results(session: Session, trials: Sequence[int]) -> None:
    """What an earlier pack recorded of these trials goes: the new attempt starts from step 0."""
    if trials:
        for table in ("metrics", "traces", "order_parameters", "snapshots"):
            session.execute(text(f"DELETE FROM {table} WHERE trial_id = ANY(:ids)"), {"ids": list(trials)})


def _configs(session: Session, groups: Collection[int]) -> dict[int, TrialConfig]:
    rows = session.execute(text("SELECT id, config FROM groups WHERE id = ANY(:ids)"), {"ids": list(groups)})
    return {row.id: TrialConfig.model_validate(row.config) for row in rows}
