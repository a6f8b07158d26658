"""How trials leave a pack: they succeed, or what happened to them is decided upon and they fail or wait again.

Each write is fenced: it touches a trial only while it runs under the pack that speaks for it. Functions take a Session
and leave the commit to the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from services import queue_sql as sql
from services.domain.results import Outcome
from services.domain.spec import canonical_json
from services.domain.states import Reason
from services.retries import Fail, Requeue, Standing, alike, decide, last_line

Event = tuple[str, dict[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt did not succeed."""

    reason: Reason
    error: str | None = None

    def __post_init__(self) -> None:
        """What text in the database cannot hold is written out: NUL, and the lone surrogates of odd file names."""
        if self.error is not None:
            storable = self.error.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")
            object.__setattr__(self, "error", storable)


def succeed(session: Session, pack_id: int, outcomes: Sequence[Outcome]) -> None:
    """These trials of the pack have completed or diverged: end them, with their summaries."""
    if not outcomes:
        return
    ids = [outcome.trial_id for outcome in outcomes]
    reasons = [str(outcome.reason) for outcome in outcomes]
    steps = [outcome.steps for outcome in outcomes]
    session.execute(sql.SUCCEED, {"ids": ids, "reasons": reasons, "steps": steps, "pack": pack_id})
    session.execute(
        sql.SUMMARISE,
        {
            "ids": ids,
            "steps": steps,
            "diverged": [outcome.diverged_at_step for outcome in outcomes],
        },
    )
    session.execute(sql.SUMMARISE_LAYERS, {"ids": ids})
    session.execute(sql.DEMAND_COMPARISONS, {"ids": ids})


def fail_or_requeue(
    session: Session, pack_id: int, pack_size: int, held: Mapping[int, Any], failures: Mapping[int, Failure]
) -> None:
    """End the attempts of these held trials, and requeue or fail each as `retries.decide` says.

    `held`: rows of `queue_sql.HELD` by trial. Counts errors, and pauses sweeps whose trials keep failing alike.
    """
    events: dict[int, Event] = {}
    for trial_id, failure in failures.items():
        trial = held[trial_id]
        crashes_alone = trial.crashes_alone + (failure.reason is Reason.WORKER_LOST and pack_size == 1)
        decision = decide(
            failure.reason,
            Standing(
                attempts=trial.attempts,
                max_attempts=trial.max_attempts,
                pack_size=pack_size,
                crashes_alone=crashes_alone,
            ),
        )
        common = {"id": trial_id, "pack": pack_id, "error": failure.error, "crashes_alone": crashes_alone}
        match decision:
            case Fail():
                session.execute(sql.FAIL, {**common, "reason": str(decision.reason)})
                events[trial_id] = ("trial.failed", {"reason": decision.reason, "error": failure.error})
            case Requeue():
                session.execute(
                    sql.REQUEUE,
                    {
                        **common,
                        "reason": str(failure.reason),
                        "charged": decision.charged,
                        "pack_limit": decision.pack_limit,
                        "delay": decision.delay,
                    },
                )
                events[trial_id] = ("trial.requeued", {"reason": failure.reason, "error": failure.error})
        first_charge = trial.attempts == 1 and (isinstance(decision, Fail) or decision.charged)
        if first_charge and failure.error is not None:
            _count_error(session, trial.sweep_id, failure.error)
    record_events(session, pack_id, events)
    session.execute(
        sql.END_ATTEMPTS,
        {
            "ids": list(failures),
            "reasons": [str(failure.reason) for failure in failures.values()],
            "errors": [failure.error for failure in failures.values()],
            "pack": pack_id,
        },
    )


def close_sweeps(session: Session, trials: Sequence[int]) -> None:
    """These trials have just ended, or wait again: of their sweeps, those without a trial left to train are over."""
    if trials:
        session.execute(sql.LOCK_SWEEPS, {"trials": list(trials)})
        session.execute(sql.CLOSE_SWEEPS, {"trials": list(trials)})


def record_events(session: Session, pack_id: int | None, events: Mapping[int, Event]) -> None:
    """One event for each of these trials."""
    session.execute(
        sql.RECORD_EVENTS,
        {
            "pack": pack_id,
            "ids": list(events),
            "kinds": [kind for kind, _ in events.values()],
            "details": [None if detail is None else canonical_json(detail) for _, detail in events.values()],
        },
    )


def _count_error(session: Session, sweep_id: int, error: str) -> None:
    counted = {"sweep": sweep_id, "error": alike(error), "example": last_line(error)}
    trials = session.execute(sql.COUNT_ERROR, counted).scalar_one()
    why = f"{trials} trials have failed alike, the last one: {counted['example']}"
    session.execute(sql.PAUSE_FAILING, {"sweep": sweep_id, "trials": trials, "why": why})
