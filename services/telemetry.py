"""What operators watch, read from SQL: any process may answer, and a restart forgets nothing."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

_TOTALS = text("""
    SELECT
        (
            SELECT extract(epoch FROM now() - min(trials.created_at))
            FROM trials JOIN sweeps ON sweeps.id = sweep_id
            WHERE trials.state = 'queued' AND sweeps.state <> 'paused'
        ) AS oldest_waiting_seconds,
        (SELECT count(*) FROM packs WHERE state = 'running') AS packs_running,
        (SELECT count(*) FROM dispatchers WHERE seen_at > now() - ttl_seconds * interval '1 s') AS dispatchers,
        totals.*
    FROM (
        SELECT
            count(*) AS packs, coalesce(sum(fenced), 0) AS fenced_chunks,
            count(*) FILTER (WHERE reason = 'lease_expired') AS rescued_packs,
            coalesce(sum(rows), 0) AS rows, coalesce(sum(model_steps), 0) AS model_steps
        FROM packs
    ) AS totals
""")

_TRIALS = text("""
    WITH submitted AS (
        SELECT coalesce(sum(trial_count), 0) AS total, coalesce(sum(succeeded), 0) AS succeeded,
            coalesce(sum(failed), 0) AS failed, coalesce(sum(cancelled), 0) AS cancelled
        FROM sweeps LEFT JOIN sweep_ends ON sweep_id = sweeps.id
    ), now AS (
        SELECT count(*) AS running FROM trials WHERE pack_id IS NOT NULL
    )
    SELECT total - running - succeeded - failed - cancelled AS queued, running, succeeded, failed, cancelled
    FROM submitted, now
""")

_WORKERS = text("""
    SELECT workers.dispatcher, workers.name, workers.node, extract(epoch FROM now() - seen_at) AS silent_seconds,
        packs.model_steps / greatest(extract(epoch FROM now() - packs.claimed_at), 0.001) AS steps_per_second
    FROM workers LEFT JOIN packs ON packs.id = workers.pack_id
    ORDER BY workers.dispatcher, workers.name
""")


@dataclass(frozen=True, kw_only=True)
class WorkerTelemetry:
    """`steps_per_second`: of the pack it trains, since it was claimed; None when idle."""

    dispatcher: str
    name: str
    node: str
    silent_seconds: float
    steps_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """Now, and since the database was made."""

    trials: dict[str, int]
    """By state."""
    oldest_waiting_seconds: float | None
    packs_running: int
    dispatchers: int
    packs: int
    fenced_chunks: int
    rescued_packs: int
    rows: int
    model_steps: int
    workers: list[WorkerTelemetry]


def read(session: Session) -> Telemetry:
    """All of it, in three queries."""
    totals = session.execute(_TOTALS).mappings().one()
    trials = session.execute(_TRIALS).mappings().one()
    return Telemetry(
        **{name: None if value is None else int(value) for name, value in totals.items()},  # type: ignore[arg-type]
        trials={state: int(count) for state, count in trials.items() if count},
        workers=[WorkerTelemetry(**row) for row in session.execute(_WORKERS).mappings()],
    )
