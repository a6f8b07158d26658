"""What happens now, for all sweeps that are watched at once: events as they become certain, and progress.

Ids of events are given before their transactions commit, so a later event may be seen before an earlier one. An event
is *certain* once no transaction is left that may commit one with a smaller id: only then is it told, so ids that were
told only grow, and whoever knows the last one has missed none. That an event's transaction has its number before the
event has its id holds because every transition writes its row first.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services import sweeps
from services.domain.states import OPEN_SWEEPS, SweepState, TrialState

MOST_EVENTS = 2000
"""In one look."""

# Read before this look's own transaction gets its number: those with greater ones take greater ids.
_LAST_ID = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq")

# Our number, and up to which one all transactions have ended.
_NUMBERS = text("""
    SELECT pg_current_xact_id() ::text ::bigint AS own, pg_snapshot_xmin(pg_current_snapshot()) ::text ::bigint AS ended
""")

_EVENTS = text("""
    SELECT id, at, sweep_id, trial_id, pack_id, kind, detail, actor FROM events
    WHERE sweep_id = ANY(:sweeps) AND id > :after AND (id <= :certain OR sweep_id = ANY(:over))
    ORDER BY id LIMIT :limit
""")

_STATES = text("SELECT id, state, pause_reason, trial_count FROM sweeps WHERE id = ANY(:sweeps)")


@dataclass(frozen=True, kw_only=True)
class LiveEvent:
    """A stored event."""

    id: int
    at: datetime
    sweep_id: int
    trial_id: int | None
    pack_id: int | None
    kind: str
    detail: dict[str, Any] | None
    actor: str | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a sweep is."""

    id: int
    state: SweepState
    pause_reason: str | None
    trial_count: int
    trials: dict[TrialState, int]
    diverged: int
    steps_per_second: float | None

    @property
    def over(self) -> bool:
        return self.state not in OPEN_SWEEPS


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was new. Sweeps that do not exist have no progress."""

    events: list[LiveEvent]
    progress: dict[int, Progress]
    whole: bool
    """Whether there were no more events than were taken."""


@dataclass
class Horizon:
    """Up to which id events are certain, and told; None before the first look that found out."""

    certain: int | None = None
    _marks: deque[tuple[int, int]] = field(default_factory=deque)
    """(number of a look's transaction, last id given before it), while some with smaller numbers have not ended."""

    def reach(self, session: Session) -> int | None:
        """Up to which id events are certain now, given the transactions under way."""
        last_id = session.execute(_LAST_ID).scalar_one()
        numbers = session.execute(_NUMBERS).one()
        self._marks.append((numbers.own, last_id))
        reached = self.certain
        while self._marks and self._marks[0][0] <= numbers.ended:
            reached = self._marks.popleft()[1]
        return reached


def look(session: Session, horizon: Horizon, watched: Collection[int], asked: Collection[int]) -> Look:
    """New events of the watched sweeps, and the progress of those asked for.

    Of a sweep that is found to be over all events are told: its last transition waited for all others.
    """
    before, certain = horizon.certain, horizon.reach(session)
    progress = _progress(session, asked)
    if before is None or certain is None:
        horizon.certain = certain
        return Look(events=[], progress=progress, whole=False)
    over = [sweep_id for sweep_id, now in progress.items() if now.over]
    events = _events(session, watched, after=before, certain=certain, over=over, limit=MOST_EVENTS)
    whole = len(events) < MOST_EVENTS
    horizon.certain = certain if whole else min(certain, events[-1].id)
    return Look(events=events, progress=progress, whole=whole)


def replay(session: Session, sweep_id: int, *, after: int, until: int, limit: int) -> list[LiveEvent]:
    """The first events of a sweep with ids above `after`, up to `until`, which must be certain."""
    return _events(session, [sweep_id], after=after, certain=until, over=[], limit=limit)


def _events(
    session: Session, watched: Collection[int], *, after: int, certain: int, over: Collection[int], limit: int
) -> list[LiveEvent]:
    rows = session.execute(
        _EVENTS, {"sweeps": list(watched), "after": after, "certain": certain, "over": list(over), "limit": limit}
    )
    return [LiveEvent(**row) for row in rows.mappings()]


def _progress(session: Session, asked: Collection[int]) -> dict[int, Progress]:
    if not asked:
        return {}
    counts = sweeps.progress(session, asked)
    states = session.execute(_STATES, {"sweeps": list(asked)})
    return {
        row.id: Progress(
            id=row.id,
            state=SweepState(row.state),
            pause_reason=row.pause_reason,
            trial_count=row.trial_count,
            trials={TrialState(state): n for state, n in counts[row.id].trials.items()},
            diverged=counts[row.id].diverged,
            steps_per_second=counts[row.id].steps_per_second,
        )
        for row in states
    }
