"""What users do to sweeps that exist: pause, resume, cancel, retry, clone, change the priority; and cancel a trial.

Functions take a Session and leave the commit to the caller. Each transition is an event in the same transaction.
"""

from copy import deepcopy
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from db.models import Event
from services import endings, sweeps
from services.domain.errors import Conflict, InvalidBody, NotFound, Problem, json_pointer
from services.domain.spec import TrialConfig
from services.domain.states import OPEN_SWEEPS, SweepState, TrialState
from services.planning.expansion import parse
from services.queue_sql import COUNT_ENDS, LOCK_SWEEP
from services.sweeps import SweepSummary

_PAUSE = text("""
    UPDATE sweeps SET state = 'paused', pause_reason = :why
    WHERE id = :sweep AND state IN ('queued', 'running')
    RETURNING id
""")

_RESUME = text("""
    UPDATE sweeps
    SET state = CASE WHEN started_at IS NULL THEN 'queued' ELSE 'running' END, pause_reason = NULL
    WHERE id = :sweep AND state = 'paused'
    RETURNING id
""")

# The canary starts to count anew: its owner has looked.
_FORGET_ERRORS = text("DELETE FROM sweep_errors WHERE sweep_id = :sweep")

_SET_PRIORITY = text("""
    UPDATE sweeps SET priority = :priority
    WHERE id = :sweep AND state IN ('queued', 'running', 'paused')
    RETURNING id
""")

# First the locks, then what they guard: a claim that these locks waited for has begun attempts that a statement which
# began before it would not see.
_LOCK_OPEN_TRIALS = text("""
    SELECT id FROM trials
    WHERE (sweep_id = :sweep OR id = :trial) AND state IN ('queued', 'running')
    ORDER BY id
    FOR NO KEY UPDATE
""")

_CANCEL_TRIALS = text("""
    WITH open AS MATERIALIZED (
        SELECT id, sweep_id, pack_id FROM trials
        WHERE id = ANY(:locked) AND state IN ('queued', 'running')
    ), cancelled AS (
        UPDATE trials
        SET state = 'cancelled', reason = 'cancelled_by_user', pack_id = NULL, finished_at = now()
        FROM open WHERE trials.id = open.id
        RETURNING trials.id, open.sweep_id, open.pack_id
    ), ended AS (
        UPDATE attempts SET reason = 'cancelled_by_user', finished_at = now()
        FROM cancelled WHERE attempts.trial_id = cancelled.id AND attempts.pack_id = cancelled.pack_id
    ), told AS (
        INSERT INTO events (sweep_id, trial_id, pack_id, kind)
        SELECT sweep_id, id, pack_id, 'trial.cancelled' FROM cancelled
    )
    SELECT id FROM cancelled
""")

_CANCEL_SWEEP = text("""
    UPDATE sweeps SET state = 'cancelled', finished_at = now(), pause_reason = NULL
    WHERE id = :sweep AND state IN ('queued', 'running', 'paused')
    RETURNING id
""")

_RETRY_TRIALS = text("""
    WITH failed AS MATERIALIZED (
        SELECT id FROM trials WHERE sweep_id = :sweep AND state = 'failed' ORDER BY id FOR NO KEY UPDATE
    ), again AS (
        UPDATE trials
        SET state = 'queued', reason = NULL, error = NULL, finished_at = NULL, attempts = 0, crashes_alone = 0,
            pack_limit = NULL, run_after = now()
        FROM failed WHERE trials.id = failed.id
        RETURNING trials.id
    )
    INSERT INTO events (sweep_id, trial_id, kind) SELECT :sweep, id, 'trial.retried' FROM again
    RETURNING trial_id
""")

_REOPEN_SWEEP = text("""
    UPDATE sweeps SET state = 'running', finished_at = NULL
    WHERE id = :sweep AND state IN ('succeeded', 'partial', 'failed')
""")


def pause(session: Session, sweep_id: int, why: str = "paused by its owner") -> SweepSummary:
    """Claim nothing more of the sweep; what runs, runs to its next checkpoint or its end. Repeatable.

    Raises NotFound, and Conflict when the sweep is over; so for the actions below.
    """
    return _transition(session, _PAUSE, sweep_id, SweepState.PAUSED, "paused", why=why)


def resume(session: Session, sweep_id: int) -> SweepSummary:
    """Go on with a paused sweep. Repeatable."""
    session.execute(_FORGET_ERRORS, {"sweep": sweep_id})
    sweep = sweeps.get(session, sweep_id)
    if sweep.state in (SweepState.QUEUED, SweepState.RUNNING):
        return sweep
    return _transition(session, _RESUME, sweep_id, None, "resumed")


def cancel(session: Session, sweep_id: int) -> SweepSummary:
    """Cancel what waits and what runs; workers drop running trials at their next trace point. Repeatable."""
    _cancel_trials(session, sweep=sweep_id)
    session.execute(LOCK_SWEEP, {"sweep": sweep_id})
    _cancel_trials(session, sweep=sweep_id)  # what a retry let wait again, for which this lock has waited
    session.execute(COUNT_ENDS, {"sweep": sweep_id})
    return _transition(session, _CANCEL_SWEEP, sweep_id, SweepState.CANCELLED, "cancelled")


def set_priority(session: Session, sweep_id: int, priority: int) -> SweepSummary:
    """Higher is claimed first, from the next claim on."""
    return _transition(session, _SET_PRIORITY, sweep_id, None, "priority", priority=priority)


def retry(session: Session, sweep_id: int) -> SweepSummary:
    """Let the failed trials wait again, with all their attempts; from their last checkpoints, where they have one."""
    retried = session.execute(_RETRY_TRIALS, {"sweep": sweep_id}).all()
    # From here on nobody else ends the sweep; who just did is seen.
    session.execute(LOCK_SWEEP, {"sweep": sweep_id})
    sweep = sweeps.get(session, sweep_id)
    if not retried or sweep.state is SweepState.CANCELLED:
        raise Conflict(f"sweep {sweep_id} has no failed trials to retry", allowed=sweep.allowed_actions)
    session.execute(COUNT_ENDS, {"sweep": sweep_id})
    session.execute(_FORGET_ERRORS, {"sweep": sweep_id})
    session.execute(_REOPEN_SWEEP, {"sweep": sweep_id})
    session.add(Event(sweep_id=sweep_id, kind="sweep.retried", detail={"trials": len(retried)}))
    session.flush()
    return sweeps.get(session, sweep_id)


def clone(
    session: Session,
    sweep_id: int,
    overrides: dict[str, Any],
    *,
    name: str | None,
    idempotency_key: str | None,
    owner: str | None,
) -> tuple[SweepSummary, bool]:
    """Submit the spec of a sweep again, with other values at these dotted paths; tells whether it was stored now.

    Raises NotFound, InvalidSpec, InvalidBody, and Conflict when the key belongs to another spec.
    """
    sweep = sweeps.get(session, sweep_id)
    document = deepcopy(sweep.spec)
    document["name"] = name or f"{sweep.name} (copy)"[:200]
    problems = [
        problem for path, value in overrides.items() if (problem := _put(document, path.split("."), value, path))
    ]
    if problems:
        raise InvalidBody(problems)
    summary, created = sweeps.submit(session, parse(document), idempotency_key=idempotency_key, owner=owner)
    if created:
        session.add(Event(sweep_id=summary.id, kind="sweep.cloned", detail={"from": sweep_id}))
        session.flush()
    return summary, created


def cancel_trial(session: Session, trial_id: int) -> None:
    """Cancel one trial. Repeatable. Raises NotFound, and Conflict when it is over otherwise."""
    cancelled = _cancel_trials(session, trial=trial_id)
    state = session.execute(text("SELECT state FROM trials WHERE id = :id"), {"id": trial_id}).scalar_one_or_none()
    if state is None:
        raise NotFound("trial", trial_id)
    if state != TrialState.CANCELLED:
        raise Conflict(f"trial {trial_id} is over ({state})", allowed=[])
    endings.close_sweeps(session, cancelled)


def _cancel_trials(session: Session, *, sweep: int | None = None, trial: int | None = None) -> list[int]:
    locked = session.execute(_LOCK_OPEN_TRIALS, {"sweep": sweep, "trial": trial}).scalars().all()
    return list(session.execute(_CANCEL_TRIALS, {"locked": list(locked)}).scalars())


def _transition(
    session: Session, statement: TextClause, sweep_id: int, goal: SweepState | None, event: str, **values: Any
) -> SweepSummary:
    """Run the conditional update. A sweep that is at the goal already stays as it is; where it cannot go: Conflict."""
    if session.execute(statement, {"sweep": sweep_id, **values}).one_or_none():
        session.add(Event(sweep_id=sweep_id, kind=f"sweep.{event}", detail=values or None))
        session.flush()
        return sweeps.get(session, sweep_id)
    sweep = sweeps.get(session, sweep_id)
    if goal is None or sweep.state is not goal:
        raise Conflict(f"sweep {sweep_id} is {_told(sweep.state)}", allowed=sweep.allowed_actions)
    return sweep


def _told(state: SweepState) -> str:
    return str(state) if state in OPEN_SWEEPS else f"over ({state})"


def _put(document: dict[str, Any], path: list[str], value: Any, whole: str) -> Problem | None:
    """Set the value at the path; what is wrong with the path, if it leads nowhere."""
    head, *rest = path
    if not isinstance(document, dict) or (rest and head not in document):
        message = f"there is no {whole} in the spec of the sweep"
        hint = f"did you mean base.{whole}?" if head in TrialConfig.model_fields else None
        pointer = json_pointer(("overrides", whole))
        return Problem(pointer=pointer, code="unknown_path", message=message, hint=hint)
    if rest:
        return _put(document[head], rest, value, whole)
    document[head] = value
    return None
