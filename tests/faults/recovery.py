"""How long it takes until trials that a fault hit run again, or are over."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

Held = Mapping[int, list[int]]

_OVER = {"succeeded", "failed", "cancelled"}
_LOOK = """
    SELECT trials.id, trials.state, coalesce(trials.pack_id, 0) AS pack, coalesce(packs.next_seq, 0) AS chunks,
        sweeps.state = 'paused' AS paused
    FROM trials JOIN sweeps ON sweeps.id = trials.sweep_id LEFT JOIN packs ON packs.id = trials.pack_id
    WHERE trials.id = ANY(%(ids)s)
"""


@dataclass
class Injection:
    """A fault that happened. `open`: the trials not seen recovered yet, each with the pack it was lost from."""

    fault: str
    target: str
    survives: bool
    at: float = field(default_factory=time.monotonic)
    trials: int = 0
    open: dict[int, int] = field(default_factory=dict)
    unfreed: set[int] = field(default_factory=set)
    unclaimed: set[int] = field(default_factory=set)
    chunks: dict[int, int] = field(default_factory=dict)
    """Recorded of each pack when it was first looked at."""
    freed_after: float | None = None
    """Seconds until the last of its trials had left the lost pack, or its pack had gone on."""
    claimed_after: float | None = None
    """Seconds until the last of its trials was claimed again, or over."""
    trained_after: float | None = None
    """Seconds until a chunk of each was recorded again."""

    def hold(self, held: Held) -> None:
        self.open = {trial: pack for pack, trials in held.items() for trial in trials}
        self.unfreed, self.unclaimed = set(self.open), set(self.open)
        self.trials = len(self.open)

    def look(self, trial: Mapping[str, Any], now: float) -> None:
        """A trial of ours as it is now."""
        lost_from = self.open[trial["id"]]
        over = trial["state"] in _OVER or trial["paused"]
        newer = trial["pack"] > lost_from
        same = self.survives and trial["pack"] == lost_from
        goes_on = same and trial["chunks"] > self.chunks.setdefault(lost_from, trial["chunks"])
        if trial["pack"] != lost_from or goes_on:
            self.unfreed.discard(trial["id"])
            if not self.unfreed:
                self.freed_after = self.freed_after or now - self.at
        if over or newer or goes_on:
            self.unclaimed.discard(trial["id"])
            if not self.unclaimed:
                self.claimed_after = self.claimed_after or now - self.at
        if over or (newer and trial["chunks"]) or goes_on:
            del self.open[trial["id"]]
            if not self.open:
                self.trained_after = now - self.at


@dataclass
class Recoveries:
    """All faults so far. `ask` runs SQL past the API."""

    ask: Callable[..., list[dict[str, Any]]]
    injections: list[Injection] = field(default_factory=list)
    _looked_at: float = float("-inf")

    def look(self) -> None:
        """Ask, at most five times a second, how the trials of recent faults are."""
        waiting = [injection for injection in self.injections if injection.open]
        if not waiting or time.monotonic() - self._looked_at < 0.2:
            return
        self._looked_at = time.monotonic()
        ids = sorted({trial for injection in waiting for trial in injection.open})
        try:
            trials = self.ask(_LOOK, ids=ids)
        except psycopg.OperationalError:
            return  # the database is away, or our own backend was terminated
        now = time.monotonic()
        for injection in waiting:
            for trial in trials:
                if trial["id"] in injection.open:
                    injection.look(trial, now)
