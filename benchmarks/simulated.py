"""An Executor whose workers train nothing: each pack takes a given time and reports made-up numbers in chunks."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from itertools import count
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from services.domain.ports import PackEnded, PackOrder, PackStarted, Report, Resources, WorkerStatus
from services.domain.results import Checkpoint, Chunk, MetricColumns, Outcome, Provenance, TraceColumns
from services.domain.states import Reason

CPU = Resources(cpu=1, gpu=0)
PROVENANCE = Provenance(
    node="simulated",
    system="none",
    cpu="none",
    device="cpu",
    accelerator=None,
    versions={"alignsweep": "0"},
    commit=None,
    matmul="none",
    instructions="none",
    threads=1,
    reproducibility="bitwise",
)

_STEPS_PER_POINT = 10
# What is not defined everywhere: of every layer, of hidden layers only, or for few rules.
_UNDEFINED = {
    "generalisation_error": 1.0,
    "alignment_identity": 1.0,
    "alignment_condition": 0.5,
    "alignment_residual": 0.5,
    "update_norm": 0.1,
}
_WEIGHTS = b"state" * 200


@dataclass(frozen=True, kw_only=True)
class Script:
    """What every pack does: it trains for so long, and reports as many chunks at equal distances, the last at its end.

    A chunk has `points` trace points of every trial, each with a row of metrics and one row per layer.
    """

    duration: timedelta = timedelta(0)
    chunks: int = 1
    points: int = 1
    layers: int = 2


@dataclass
class _Running:
    order: PackOrder
    worker: int
    started_at: float
    saved_at: float
    trials: list[int]
    """Those that were not dropped."""
    checkpoint_wanted: bool = False


@dataclass
class SimulatedExecutor:
    """So many workers of one CPU each. Not thread-safe."""

    size: int
    script: Script
    reports_per_poll: int = 256
    """About how many leave at once, so that rounds stay short enough to be measured."""
    clock: Callable[[], float] = monotonic
    started: int = 0
    """Packs taken up so far."""
    ended: int = 0
    """Packs reported to their end."""
    trials: int = 0
    """Trials in them."""
    _idle: list[int] = field(default_factory=list)
    _running: dict[int, _Running] = field(default_factory=dict)
    _agenda: list[tuple[float, int, int, int]] = field(default_factory=list)
    """A heap of when, in which order, of which pack, and which report: 0 is the start, then come the chunks."""
    _tickets: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self._idle = list(range(self.size))

    def capacity(self, resources: Resources) -> int:
        return self.size

    def has_room(self, resources: Resources) -> bool:
        return bool(self._idle) and resources == CPU

    def start(self, order: PackOrder) -> None:
        now = self.clock()
        self._running[order.pack_id] = _Running(order, self._idle.pop(), now, now, list(order.trial_ids))
        self._schedule(now, order.pack_id, 0)
        self.started += 1

    def poll(self) -> list[Report]:
        reports: list[Report] = []
        now = self.clock()
        while len(reports) < self.reports_per_poll and self._agenda and self._agenda[0][0] <= now:
            _, _, pack_id, number = heapq.heappop(self._agenda)
            if pack_id in self._running:  # not abandoned meanwhile
                reports += self._reports(pack_id, number, now)
        return reports

    def drop(self, pack_id: int, trial_ids: Sequence[int]) -> None:
        if pack := self._running.get(pack_id):
            pack.trials = [trial_id for trial_id in pack.trials if trial_id not in set(trial_ids)]

    def checkpoint(self, pack_id: int) -> None:
        if pack := self._running.get(pack_id):
            pack.checkpoint_wanted = True

    def abandon(self, pack_id: int) -> None:
        if pack_id in self._running:
            self._idle.append(self._running.pop(pack_id).worker)

    def workers(self) -> list[WorkerStatus]:
        packs = {pack.worker: pack_id for pack_id, pack in self._running.items()}
        return [
            WorkerStatus(name=f"simulated:{worker}", node="simulated", resources=CPU, pack_id=packs.get(worker))
            for worker in range(self.size)
        ]

    def close(self) -> None:
        for pack_id in list(self._running):
            self.abandon(pack_id)

    def _schedule(self, when: float, pack_id: int, number: int) -> None:
        heapq.heappush(self._agenda, (when, next(self._tickets), pack_id, number))

    def _reports(self, pack_id: int, number: int, now: float) -> list[Report]:
        """One report, with the next one put on the agenda; the end comes with the last chunk."""
        pack, last = self._running[pack_id], self.script.chunks
        if number < last:
            share = (number + 1) / last
            self._schedule(pack.started_at + share * self.script.duration.total_seconds(), pack_id, number + 1)
        if number == 0:
            return [PackStarted(pack_id=pack_id, provenance=PROVENANCE)]
        chunk = self._chunk(pack, number - 1, now)
        if number < last:
            return [chunk]
        self.abandon(pack_id)
        self.ended += 1
        self.trials += len(pack.trials)
        return [chunk, PackEnded(pack_id=pack_id)]

    def _chunk(self, pack: _Running, seq: int, now: float) -> Chunk:
        script, order = self.script, pack.order
        end = (seq + 1) * script.points * _STEPS_PER_POINT
        last = seq + 1 == script.chunks
        metrics, traces = columns(tuple(pack.trials), first=seq * script.points, script=script)
        return Chunk(
            pack_id=order.pack_id,
            seq=seq,
            metrics=metrics,
            traces=traces,
            checkpoints=[] if last else self._checkpoints(pack, end, now),
            outcomes=[
                Outcome(trial_id=trial_id, reason=Reason.COMPLETED, steps=end) for trial_id in pack.trials if last
            ],
            model_steps=len(pack.trials) * script.points * _STEPS_PER_POINT,
        )

    def _checkpoints(self, pack: _Running, step: int, now: float) -> list[Checkpoint]:
        """Of all trials, when asked for or due."""
        every = pack.order.checkpoint_every
        due = every is not None and now - pack.saved_at >= every.total_seconds()
        if not (due or pack.checkpoint_wanted):
            return []
        pack.checkpoint_wanted, pack.saved_at = False, now
        return [
            Checkpoint(trial_id=trial_id, step=step, safetensors=_WEIGHTS + b"%d" % trial_id)
            for trial_id in pack.trials
        ]


def columns(trials: tuple[int, ...], *, first: int, script: Script) -> tuple[MetricColumns, TraceColumns]:
    """The rows of trace points `first`, `first` + 1, ... as an engine reports them: point by point, all trials each."""
    ids = np.array(trials, dtype=np.int64)
    steps = np.arange(first, first + script.points) * _STEPS_PER_POINT
    layers = np.arange(1, script.layers + 1)
    metrics = dict(_values(MetricColumns, len(ids) * script.points))
    traces = dict(_values(TraceColumns, len(ids) * script.points * script.layers))
    metrics |= {"trial_id": np.tile(ids, script.points), "step": steps.repeat(len(ids))}
    traces |= {
        "trial_id": np.tile(ids.repeat(script.layers), script.points),
        "step": steps.repeat(len(ids) * script.layers),
        "layer": np.tile(layers, len(ids) * script.points),
    }
    return MetricColumns(**metrics), TraceColumns(**traces)


@cache
def _values(table: type[MetricColumns] | type[TraceColumns], rows: int) -> dict[str, npt.NDArray[Any]]:
    """Numbers with all their digits, as cosines and norms have them; some of them undefined."""
    random = np.random.default_rng(rows)
    values: dict[str, npt.NDArray[Any]] = {}
    for name in table.names():
        values[name] = random.uniform(-1, 1, rows)
        values[name][random.uniform(size=rows) < _UNDEFINED.get(name, 0.0)] = np.nan
    return values
