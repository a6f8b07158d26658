"""Why a trial waits, runs or is over, in one sentence. Facts come from one query; the sentence is a pure function."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.errors import NotFound
from services.domain.states import SweepState, TrialState

_FACTS = text("""
    SELECT
        trials.id, trials.state, trials.reason, trials.error, trials.attempts, trials.max_attempts, trials.pack_id,
        trials.finished_at, sweeps.state AS sweep_state, sweeps.pause_reason, sweeps.id AS sweep_id, sweeps.cpu,
        sweeps.gpu, sweeps.max_running, sweeps.priority,
        CASE WHEN trials.run_after > now() THEN extract(epoch FROM trials.run_after - now()) END AS backoff_seconds,
        (SELECT count(*) FROM trials AS other WHERE other.sweep_id = sweeps.id AND other.state = 'running') AS running,
        (
            SELECT count(*) FROM trials AS other
            WHERE other.sweep_id = sweeps.id AND other.state = 'queued'
                AND (other.run_after, other.id) < (trials.run_after, trials.id)
        ) AS ahead,
        (
            SELECT count(*) FROM sweeps AS other
            WHERE other.state IN ('queued', 'running') AND other.cpu = sweeps.cpu AND other.gpu = sweeps.gpu
                AND other.priority > sweeps.priority
                AND EXISTS (SELECT FROM trials WHERE sweep_id = other.id AND state = 'queued')
        ) AS more_urgent_sweeps,
        (
            SELECT count(*) FROM dispatchers WHERE seen_at > now() - ttl_seconds * interval '1 s' AND NOT draining
        ) AS dispatchers,
        (SELECT count(*) FROM workers WHERE cpu = sweeps.cpu AND gpu = sweeps.gpu) AS workers,
        EXISTS (
            SELECT FROM sweeps AS other WHERE other.state IN ('queued', 'running') AND other.cpu = sweeps.cpu
                AND other.gpu = sweeps.gpu AND other.owner IS DISTINCT FROM sweeps.owner
        ) AS shared,
        (SELECT node || ' (' || name || ')' FROM workers WHERE workers.pack_id = trials.pack_id LIMIT 1) AS worker,
        packs.claimed_at, packs.size
    FROM trials
    JOIN sweeps ON sweeps.id = trials.sweep_id
    LEFT JOIN packs ON packs.id = trials.pack_id
    WHERE trials.id = :trial
""")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What decides when a trial runs."""

    id: int
    state: str
    reason: str | None
    error: str | None
    attempts: int
    max_attempts: int
    pack_id: int | None
    finished_at: datetime | None
    sweep_id: int
    sweep_state: str
    pause_reason: str | None
    cpu: float
    gpu: float
    max_running: int | None
    priority: int
    backoff_seconds: float | None
    running: int
    """Trials of the sweep."""
    ahead: int
    """Trials of the sweep that wait before it."""
    more_urgent_sweeps: int
    dispatchers: int
    """Alive and claiming."""
    workers: int
    """Of the kind it needs."""
    shared: bool
    """Whether sweeps of other owners want them too."""
    worker: str | None
    claimed_at: datetime | None
    size: int | None
    """Trials in its pack."""


def explain(session: Session, trial_id: int) -> str:
    """The sentence. Raises NotFound."""
    row = session.execute(_FACTS, {"trial": trial_id}).mappings().one_or_none()
    if row is None:
        raise NotFound("trial", trial_id)
    return sentence(Facts(**row))


def sentence(facts: Facts) -> str:
    """Why the trial is where it is; of several reasons to wait, the one that must go first."""
    match TrialState(facts.state):
        case TrialState.RUNNING:
            where = f" on {facts.worker}" if facts.worker else ""
            since = f" since {facts.claimed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if facts.claimed_at else ""
            others = (facts.size or 1) - 1
            return f"It runs{where}{since} in pack {facts.pack_id} with {others} other{'' if others == 1 else 's'}."
        case TrialState.SUCCEEDED | TrialState.FAILED | TrialState.CANCELLED:
            because = f" ({facts.reason})" if facts.reason else ""
            said = f": {facts.error.splitlines()[-1]}" if facts.error else ""
            verb = "was" if facts.state == TrialState.CANCELLED else "has"
            return f"It {verb} {facts.state}{because}{said}."
        case TrialState.QUEUED:
            return f"It waits {_because(facts)}."


def _because(facts: Facts) -> str:
    kind = f"{facts.cpu:g} CPU" + (f" and {facts.gpu:g} GPU" if facts.gpu else "")
    if facts.sweep_state == SweepState.PAUSED:
        return f"because sweep {facts.sweep_id} is paused ({facts.pause_reason})"
    if not facts.dispatchers:
        return "because no dispatcher is alive"
    if facts.backoff_seconds is not None:
        said = f" after {facts.reason}" if facts.reason else ""
        attempt = f"attempt {facts.attempts + 1} of {facts.max_attempts}"
        return f"for {facts.backoff_seconds:.0f} s more{said}, before {attempt}"
    if not facts.workers:
        return f"because no worker has {kind}: one starts when the cluster has room for it"
    if facts.max_running is not None and facts.running >= facts.max_running:
        return f"because sweep {facts.sweep_id} may run {facts.max_running} trials at once, and does"
    if facts.more_urgent_sweeps:
        return f"because {facts.more_urgent_sweeps} sweep(s) of a priority above {facts.priority} go first"
    if facts.ahead:
        busy = "its owner's share of the workers is in use" if facts.shared else "all workers are busy"
        return f"because {facts.ahead} trials of its sweep go first, and {busy}"
    return "for the next worker that is free: it is the next of its sweep"
