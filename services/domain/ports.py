"""Seams between the dispatcher and what runs the packs. Implemented by `workers.inline` and `workers.cluster`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from services.domain.results import Chunk, Provenance
from services.domain.spec import TrialSpec
from services.domain.states import Reason


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one pack occupies while it runs; gpu may be a fraction."""

    cpu: float
    gpu: float


ONE_CPU = Resources(cpu=1, gpu=0)


@dataclass(frozen=True, kw_only=True)
class PackOrder:
    """A claimed pack, ready to train: `trials[i]` has the id `trial_ids[i]`."""

    pack_id: int
    trial_ids: Sequence[int]
    trials: Sequence[TrialSpec]
    resources: Resources
    resume: Mapping[int, bytes] = field(default_factory=dict)
    """Checkpoints, by trial id, of those that go on where an earlier attempt stopped."""
    checkpoint_every: timedelta | None = None
    """How often to report checkpoints unasked; None: never."""


@dataclass(frozen=True, kw_only=True)
class PackStarted:
    """A worker has taken the pack up."""

    pack_id: int
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class PackEnded:
    """The worker has reported everything about the pack: no message for it follows."""

    pack_id: int


@dataclass(frozen=True, kw_only=True)
class PackBroken:
    """The pack ended without reporting all its trials: the worker died, or training raised.

    No message for it follows.
    """

    pack_id: int
    reason: Reason
    error: str


Report = PackStarted | Chunk | PackEnded | PackBroken


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """One worker as the executor sees it now."""

    name: str
    node: str
    resources: Resources
    pack_id: int | None


class Executor(Protocol):
    """Runs packs somewhere. Never blocks for longer than a moment, never raises for the fault of a worker.

    All but `close` raise ExecutorLost once nothing can ever run here again.
    """

    def capacity(self, resources: Resources) -> int:
        """How many packs of these resources could run at once on all workers, busy ones included."""
        ...

    def has_room(self, resources: Resources) -> bool:
        """Whether a pack of these resources could start now."""
        ...

    def start(self, order: PackOrder) -> None:
        """Take a pack up. Everything that happens to it afterwards comes out of `poll`."""
        ...

    def poll(self) -> list[Report]:
        """What has happened since the last call, in order within each pack. Does not wait."""
        ...

    def drop(self, pack_id: int, trial_ids: Sequence[int]) -> None:
        """Stop these trials of a pack at the next trace point; nothing more is reported of them."""
        ...

    def checkpoint(self, pack_id: int) -> None:
        """Report a checkpoint of all trials that train now, soon. Unknown packs are ignored."""
        ...

    def abandon(self, pack_id: int) -> None:
        """Stop a whole pack as soon as possible; no report follows. Unknown packs are ignored."""
        ...

    def workers(self) -> list[WorkerStatus]:
        """The workers that are up."""
        ...

    def close(self) -> None:
        """Stop all workers."""
        ...
