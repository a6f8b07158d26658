"""Sweeps: submit, list, show. Functions take a Session and leave the commit to the caller."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Event, Sweep
from services.domain.errors import Conflict, NotFound, Problem
from services.domain.ports import Resources
from services.domain.spec import SweepSpec, canonical_json, content_hash
from services.domain.states import SweepState, TrialState, allowed_actions
from services.failpoints import reach
from services.packing import pack_key
from services.planning.advice import Advice
from services.planning.expansion import ExpandedGroup, count, expand, flatten
from services.shelf import Shelf

_GROUPS_PER_INSERT = 500

_INSERT_GROUPS = text("""
    INSERT INTO groups (sweep_id, position, group_hash, config, varied)
    SELECT :sweep, * FROM unnest(:positions ::bigint[], :hashes ::text[], :configs ::jsonb[], :varied ::jsonb[])
    RETURNING id, position
""")

_INSERT_PARAMS = text("""
    INSERT INTO group_params (group_id, name, number, text)
    SELECT * FROM unnest(:groups ::bigint[], :names ::text[], :numbers ::double precision[], :texts ::text[])
""")

_INSERT_TRIALS = text("""
    INSERT INTO trials (sweep_id, group_id, position, seed, config_hash, pack_key, max_attempts)
    SELECT :sweep, group_id, position, seed, config_hash, pack_key, :max_attempts
    FROM unnest(:groups ::bigint[], :positions ::bigint[], :seeds ::bigint[], :hashes ::text[], :keys ::text[])
        AS trial(group_id, position, seed, config_hash, pack_key)
""")

# Progress of some sweeps. What neither runs nor is over waits. Steps per second: of the packs that run, since they were
# claimed.
_PROGRESS = text("""
    SELECT sweeps.id, pace.steps_per_second, coalesce(sweep_ends.diverged, 0) AS diverged,
        jsonb_strip_nulls(jsonb_build_object(
            'queued', nullif(trial_count - now.running - coalesce(succeeded + failed + cancelled, 0), 0),
            'running', nullif(now.running, 0),
            'succeeded', nullif(succeeded, 0),
            'failed', nullif(failed, 0),
            'cancelled', nullif(cancelled, 0)
        )) AS trials
    FROM sweeps
    LEFT JOIN sweep_ends ON sweep_ends.sweep_id = sweeps.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS running, array_agg(DISTINCT pack_id) AS packs FROM trials
        WHERE sweep_id = sweeps.id AND trials.state = 'running'
    ) AS now
    CROSS JOIN LATERAL (
        SELECT sum(model_steps / nullif(extract(epoch FROM now() - claimed_at), 0)) ::double precision
            AS steps_per_second
        FROM packs WHERE id = ANY(now.packs)
    ) AS pace
    WHERE sweeps.id = ANY(:sweeps)
""")


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """A sweep and how far it is. `trials` counts them by state, `diverged` those that did among the succeeded."""

    id: int
    name: str
    state: SweepState
    pause_reason: str | None
    allowed_actions: list[str]
    priority: int
    owner: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trial_count: int
    trials: dict[TrialState, int]
    diverged: int
    steps_per_second: float | None
    tags: list[str]
    notes: str | None
    spec: dict[str, Any]


def submit(
    session: Session, spec: SweepSpec, *, idempotency_key: str | None, owner: str | None, shelf: Shelf | None = None
) -> tuple[SweepSummary, bool]:
    """Store the sweep and all its trials, or return the one that the owner stored under the same key.

    `shelf`: the data sets that are here; what is not is warned of. The second value tells whether it was stored now.
    Raises Conflict when the key belongs to another spec, InvalidSpec when a combination of values is not a valid
    configuration.
    """
    document = spec.model_dump(mode="json")
    request_hash = content_hash(document)
    if idempotency_key is not None:
        # Two submits under one key take turns: the second one finds what the first one committed.
        turn = canonical_json([owner, idempotency_key])
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:turn, 0))"), {"turn": turn})
        mine = select(Sweep).where(Sweep.owner == owner, Sweep.idempotency_key == idempotency_key)
        earlier = session.scalars(mine).one_or_none()
        if earlier is not None:
            if earlier.request_hash != request_hash:
                raise Conflict("this Idempotency-Key was used with another spec")
            return get(session, earlier.id), False
    sweep = Sweep(
        name=spec.name,
        owner=owner,
        priority=spec.priority,
        cpu=spec.resources.cpu,
        gpu=spec.resources.gpu,
        max_running=spec.limits.running,
        trial_seconds=spec.limits.trial_seconds,
        identical_errors=spec.fail_fast.identical_errors,
        spec=document,
        trial_count=count(spec),
        idempotency_key=idempotency_key,
        request_hash=request_hash,
    )
    session.add(sweep)
    session.flush()
    groups, advice = expand(spec), Advice(spec, shelf)
    while batch := list(islice(groups, _GROUPS_PER_INSERT)):
        for group in batch:
            advice.see(group)
        _insert_groups(session, sweep.id, spec, batch)
    warnings = [asdict(warning) for warning in advice.warnings()]
    session.add(
        Event(sweep_id=sweep.id, kind="sweep.submitted", detail={"trials": sweep.trial_count, "warnings": warnings})
    )
    session.flush()
    reach("submit.before_commit")
    return get(session, sweep.id), True


def warnings(session: Session, sweep_id: int) -> list[Problem]:
    """What the submit of a sweep was warned of."""
    event = select(Event.detail).where(Event.sweep_id == sweep_id, Event.kind == "sweep.submitted")
    detail: dict[str, Any] = session.scalars(event).one() or {}
    return [Problem(**warning) for warning in detail.get("warnings", [])]


def get(session: Session, sweep_id: int) -> SweepSummary:
    """One sweep. Raises NotFound."""
    sweep = session.get(Sweep, sweep_id, populate_existing=True)
    if sweep is None:
        raise NotFound("sweep", sweep_id)
    return _summaries(session, [sweep])[0]


def several(session: Session, ids: Sequence[int]) -> list[SweepSummary]:
    """These sweeps, in this order."""
    found = {sweep.id: sweep for sweep in session.scalars(select(Sweep).where(Sweep.id.in_(ids)))}
    return _summaries(session, [found[id_] for id_ in ids if id_ in found])


def progress(session: Session, sweeps: Collection[int]) -> dict[int, Any]:
    """Trials by state, and updates per second, of these sweeps: rows of `trials`, `diverged`, `steps_per_second`."""
    return {row.id: row for row in session.execute(_PROGRESS, {"sweeps": list(sweeps)})}


def _resources(spec: SweepSpec) -> Resources:
    return Resources(cpu=float(spec.resources.cpu), gpu=float(spec.resources.gpu))


def _insert_groups(session: Session, sweep_id: int, spec: SweepSpec, groups: Sequence[ExpandedGroup]) -> None:
    """A batch of groups with their parameters and trials, three statements."""
    rows = session.execute(
        _INSERT_GROUPS,
        {
            "sweep": sweep_id,
            "positions": [group.position for group in groups],
            "hashes": [group.group_hash for group in groups],
            "configs": [canonical_json(group.document) for group in groups],
            "varied": [canonical_json(group.varied) for group in groups],
        },
    )
    ids = {row.position: row.id for row in rows}
    params = [(ids[group.position], *leaf) for group in groups for leaf in flatten(group.document)]
    session.execute(
        _INSERT_PARAMS,
        dict(zip(("groups", "names", "numbers", "texts"), map(list, zip(*params, strict=True)), strict=True)),
    )
    resources = _resources(spec)
    for trials in _batched(_trial_rows(groups, ids, resources), 10_000):
        session.execute(
            _INSERT_TRIALS,
            {
                "sweep": sweep_id,
                "max_attempts": spec.retries.max_attempts,
                **dict(
                    zip(
                        ("groups", "positions", "seeds", "hashes", "keys"),
                        map(list, zip(*trials, strict=True)),
                        strict=True,
                    )
                ),
            },
        )


def _trial_rows(
    groups: Sequence[ExpandedGroup], ids: dict[int, int], resources: Resources
) -> Iterator[tuple[int, int, int, str, str]]:
    """(group id, position, seed, config hash, pack key) of every trial."""
    for group in groups:
        key = pack_key(group.document, resources)
        first = group.position * len(group.seeds)
        for offset, seed in enumerate(group.seeds):
            yield ids[group.position], first + offset, seed, group.config_hash(seed), key


def _batched(rows: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(islice(rows, size)):
        yield batch


def _summaries(session: Session, sweeps: Sequence[Sweep]) -> list[SweepSummary]:
    counts = progress(session, [sweep.id for sweep in sweeps])
    return [
        SweepSummary(
            id=sweep.id,
            name=sweep.name,
            state=SweepState(sweep.state),
            pause_reason=sweep.pause_reason,
            allowed_actions=allowed_actions(
                SweepState(sweep.state), failed_trials=counts[sweep.id].trials.get(TrialState.FAILED, 0)
            ),
            priority=sweep.priority,
            owner=sweep.owner,
            created_at=sweep.created_at,
            started_at=sweep.started_at,
            finished_at=sweep.finished_at,
            trial_count=sweep.trial_count,
            trials={TrialState(state): n for state, n in counts[sweep.id].trials.items()},
            diverged=counts[sweep.id].diverged,
            steps_per_second=counts[sweep.id].steps_per_second,
            tags=sweep.tags,
            notes=sweep.notes,
            spec=sweep.spec,
        )
        for sweep in sweeps
    ]
