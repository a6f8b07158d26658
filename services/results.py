"""What was measured, read through the public views: one trial's rows, and statistics over the seeds of groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.errors import NotFound
from services.domain.states import TrialState

_TRIALS = text("""
    SELECT trial_id, sweep_id, position, state, reason, error, seed, group_hash, config, attempts, max_attempts,
        created_at, started_at, finished_at, steps, diverged_at_step, train_loss, train_accuracy, test_loss,
        test_accuracy, weight_alignment, gradient_alignment
    FROM v_trials WHERE trial_id = ANY(:ids)
""")

_SUMMARY = (
    "steps",
    "diverged_at_step",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "weight_alignment",
    "gradient_alignment",
)

_STATS = text("""
    SELECT groups.group_hash, groups.varied, groups.config, stats.n, stats.diverged,
        stats.test_accuracy_mean, stats.test_accuracy_sd, stats.test_accuracy_low, stats.test_accuracy_high,
        stats.train_accuracy_mean, stats.train_accuracy_sd, stats.train_accuracy_low, stats.train_accuracy_high,
        stats.train_loss_mean, stats.train_loss_sd, stats.train_loss_low, stats.train_loss_high,
        stats.test_loss_mean, stats.test_loss_sd, stats.test_loss_low, stats.test_loss_high,
        layers.layers
    FROM v_group_stats AS stats
    JOIN groups ON groups.id = stats.group_id
    CROSS JOIN LATERAL (
        SELECT coalesce(
            jsonb_agg(to_jsonb(aligned) - '{sweep_id,group_id,rule,varied}' ::text[] ORDER BY aligned.layer), '[]'
        ) AS layers
        FROM v_group_alignment AS aligned WHERE aligned.group_id = groups.id
    ) AS layers
    WHERE stats.sweep_id = :sweep
    ORDER BY groups.position
""")


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial; `summary` holds its last metrics once it has succeeded."""

    id: int
    sweep_id: int
    position: int
    state: TrialState
    reason: str | None
    error: str | None
    seed: int
    group_hash: str
    config: dict[str, Any]
    attempts: int
    max_attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    summary: dict[str, Any] | None


def trials(session: Session, ids: Sequence[int]) -> list[TrialRow]:
    """These trials, in this order."""
    found = {row.trial_id: _trial_row(row) for row in session.execute(_TRIALS, {"ids": list(ids)})}
    return [found[id_] for id_ in ids if id_ in found]


def trial(session: Session, trial_id: int) -> TrialRow:
    """One trial. Raises NotFound."""
    for found in trials(session, [trial_id]):
        return found
    raise NotFound("trial", trial_id)


def trial_metrics(session: Session, trial_id: int) -> list[dict[str, Any]]:
    """Losses, accuracies and total alignments of a trial by step. Raises NotFound."""
    return _rows_of_trial(session, trial_id, "metrics", "step")


def trial_alignment(session: Session, trial_id: int) -> list[dict[str, Any]]:
    """The trace of a trial by step and layer. Raises NotFound."""
    return _rows_of_trial(session, trial_id, "traces", "step, layer")


def trial_attempts(session: Session, trial_id: int) -> list[dict[str, Any]]:
    """All tries at a trial, the first one first. Raises NotFound."""
    return _rows_of_trial(session, trial_id, "attempts", "pack_id")


def events(session: Session, sweep_id: int, *, after: int | None, limit: int) -> list[dict[str, Any]]:
    """Events of a sweep with ids above `after`, in order. Raises NotFound."""
    require_sweep(session, sweep_id)
    rows = session.execute(
        text("""
            SELECT id, at, trial_id, pack_id, kind, detail, actor FROM events
            WHERE sweep_id = :sweep AND id > :after ORDER BY id LIMIT :limit
        """),
        {"sweep": sweep_id, "after": after or 0, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]


def stats(session: Session, sweep_id: int) -> list[dict[str, Any]]:
    """Final metrics by group, and final alignment of each layer, over succeeded trials. Raises NotFound."""
    require_sweep(session, sweep_id)
    return [dict(row) for row in session.execute(_STATS, {"sweep": sweep_id}).mappings()]


def queue(session: Session) -> list[dict[str, Any]]:
    """What waits and what runs, per sweep."""
    return [dict(row) for row in session.execute(text("SELECT * FROM v_queue ORDER BY sweep_id")).mappings()]


def workers(session: Session) -> list[dict[str, Any]]:
    """The workers that dispatchers have seen of late."""
    return [dict(row) for row in session.execute(text("SELECT * FROM workers ORDER BY dispatcher, name")).mappings()]


def require_sweep(session: Session, sweep_id: int) -> None:
    """Raises NotFound."""
    if session.execute(text("SELECT FROM sweeps WHERE id = :id"), {"id": sweep_id}).one_or_none() is None:
        raise NotFound("sweep", sweep_id)


def _rows_of_trial(session: Session, trial_id: int, table: str, order: str) -> list[dict[str, Any]]:
    rows = session.execute(
        text(f"SELECT * FROM {table} WHERE trial_id = :trial ORDER BY {order}"), {"trial": trial_id}
    ).mappings()
    found = [dict(row) for row in rows]
    if not found:
        trial(session, trial_id)
    return found


def _trial_row(row: Any) -> TrialRow:
    summary = {name: getattr(row, name) for name in _SUMMARY} if row.steps is not None else None
    return TrialRow(
        id=row.trial_id,
        sweep_id=row.sweep_id,
        position=row.position,
        state=TrialState(row.state),
        reason=row.reason,
        error=row.error,
        seed=row.seed,
        group_hash=row.group_hash,
        config=row.config,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        summary=summary,
    )
