"""One pack, from order to reports: what every executor runs, in whichever process."""

import math
import platform
import socket
import threading
import traceback
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from time import monotonic

import numpy as np
import torch

from services.domain.errors import DataUnavailable
from services.domain.ports import PackBroken, PackEnded, PackOrder, PackStarted, Report
from services.domain.results import Chunk, MetricColumns, OrderColumns, Outcome, Provenance, TraceColumns
from services.domain.states import Reason
from workers.source import cpu_model, source_commit
from workers.training.data.library import DataLibrary
from workers.training.engine import train
from workers.training.progress import Progress
from workers.training.sizing import PackSizes
from workers.training.state import TrialState
from workers.training.streams import seeds_of

_CHUNK_SECONDS = 0.25


@dataclass
class Control:
    """What others want of a pack while it trains. Thread-safe."""

    _dropped: set[int] = field(default_factory=set)
    _checkpoint: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def drop(self, trial_ids: Collection[int]) -> None:
        """These trials need not go on."""
        with self._lock:
            self._dropped |= set(trial_ids)

    def checkpoint(self) -> None:
        """Report a checkpoint soon."""
        with self._lock:
            self._checkpoint = True

    def dropped(self) -> set[int]:
        """The trials that need not go on."""
        with self._lock:
            return set(self._dropped)

    def take_checkpoint_request(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        with self._lock:
            wanted, self._checkpoint = self._checkpoint, False
            return wanted


def run_pack(
    order: PackOrder,
    library: DataLibrary,
    provenance: Provenance,
    control: Control | None = None,
    sizes: PackSizes | None = None,
) -> Iterator[Report]:
    """Train the pack and report: started, chunks, and an end. Failures are reports, never exceptions.

    With `sizes`, the trials are trained one part after the other, each of the size that is fastest.
    """
    seeds = {trial_id: seeds_of(trial) for trial_id, trial in zip(order.trial_ids, order.trials, strict=True)}
    yield PackStarted(pack_id=order.pack_id, provenance=provenance, seeds=seeds)
    try:
        size = sizes.best(order.trials, library) if sizes else len(order.trials)
        parts = _Parts(order, library, torch.device(provenance.device), control or Control())
        yield from _chunks(order.pack_id, parts.progress(size))
    except DataUnavailable as error:
        outcomes = [
            Outcome(trial_id=trial_id, reason=Reason.USER_ERROR, error=str(error)) for trial_id in order.trial_ids
        ]
        yield Chunk(pack_id=order.pack_id, seq=0, outcomes=outcomes)
    except torch.OutOfMemoryError as error:
        yield PackBroken(pack_id=order.pack_id, reason=Reason.OUT_OF_MEMORY, error=str(error))
        return
    except Exception:
        yield PackBroken(pack_id=order.pack_id, reason=Reason.UNKNOWN_ERROR, error=traceback.format_exc(limit=20))
        return
    yield PackEnded(pack_id=order.pack_id)


@dataclass
class _Parts:
    """A pack trained part by part."""

    order: PackOrder
    library: DataLibrary
    device: torch.device
    control: Control
    _saved_at: float = field(default_factory=monotonic)

    def progress(self, size: int) -> Iterator[Progress]:
        """The progress of all parts. One that does not fit into memory is halved; raises OutOfMemoryError for one
        trial."""
        waiting = deque(self._split(size))
        while waiting:
            part = waiting.popleft()
            begun = False
            try:
                for point in self._train(part):
                    begun = True
                    yield point
            except torch.OutOfMemoryError:
                if begun or len(part) == 1:
                    raise
                half = len(part) // 2
                waiting.extendleft((part[half:], part[:half]))

    def _split(self, size: int) -> Iterator[list[int]]:
        """Slots of the trials that stand at one step, in parts of equal size."""
        states = [self._state(slot) for slot in range(len(self.order.trials))]
        steps = [0 if state is None else state.step for state in states]
        for step in sorted(set(steps)):
            slots = [slot for slot, own in enumerate(steps) if own == step]
            equal = math.ceil(len(slots) / math.ceil(len(slots) / size))
            yield from (slots[start : start + equal] for start in range(0, len(slots), equal))

    def _train(self, slots: list[int]) -> Iterator[Progress]:
        states = [self._state(slot) for slot in slots]
        return train(
            [self.order.trials[slot] for slot in slots],
            [self.order.trial_ids[slot] for slot in slots],
            library=self.library,
            device=self.device,
            dropped=self.control.dropped,
            checkpoint_due=self._checkpoint_due,
            resume=[state for state in states if state is not None],
        )

    def _state(self, slot: int) -> TrialState | None:
        """Where the trial goes on from, if it does not start."""
        document = self.order.resume.get(self.order.trial_ids[slot])
        return None if document is None else TrialState.read(document)

    def _checkpoint_due(self) -> bool:
        every, now = self.order.checkpoint_every, monotonic()
        asked = self.control.take_checkpoint_request()
        due = asked or (every is not None and now - self._saved_at >= every.total_seconds())
        if due:
            self._saved_at = now
        return due


def describe(device: str, matmul: str, reproducibility: str, *, node: str | None = None) -> Provenance:
    """Where this process trains, and with what. `node`: the host's name unless the cluster has a better one."""
    versions = {
        "alignsweep": version("alignsweep"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": version("scipy"),
    }
    if device == "cuda":
        versions["cuda"] = str(torch.version.cuda)
    return Provenance(
        node=node or socket.gethostname(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu_model(),
        device=device,
        accelerator=torch.cuda.get_device_name() if device == "cuda" else None,
        versions=versions,
        commit=source_commit(),
        matmul=matmul,
        instructions=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        reproducibility=reproducibility,
    )


def _chunks(pack_id: int, progress: Iterator[Progress]) -> Iterator[Chunk]:
    """Trace points gathered into chunks of a few per second; the first one leaves at once."""
    gathered: list[Progress] = []
    seq, sent_at = 0, 0.0
    for point in progress:
        gathered.append(point)
        if point.checkpoints or monotonic() - sent_at >= _CHUNK_SECONDS:
            yield _chunk(pack_id, seq, gathered)
            gathered, seq, sent_at = [], seq + 1, monotonic()
    if gathered:
        yield _chunk(pack_id, seq, gathered)


def _chunk(pack_id: int, seq: int, gathered: list[Progress]) -> Chunk:
    orders = [point.orders for point in gathered if point.orders is not None]
    return Chunk(
        pack_id=pack_id,
        seq=seq,
        metrics=MetricColumns.concatenate([point.metrics for point in gathered]),
        traces=TraceColumns.concatenate([point.traces for point in gathered]),
        orders=OrderColumns.concatenate(orders) if orders else None,
        snapshots=[snapshot for point in gathered for snapshot in point.snapshots],
        checkpoints=[checkpoint for point in gathered for checkpoint in point.checkpoints],
        outcomes=[outcome for point in gathered for outcome in point.outcomes],
        model_steps=sum(point.model_steps for point in gathered),
    )
