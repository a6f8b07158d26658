"""The Executor on Ray: a pool of actors that follows the cluster's resources and what trials wait for.

Actors are never restarted and their tasks never retried by Ray: recovery is the queue's. They are not detached, so
they die with the dispatcher.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any

import ray
import structlog
from ray.exceptions import GetTimeoutError, RayError

from services.domain.ports import PackBroken, PackEnded, PackOrder, Report, Resources, WorkerStatus
from services.domain.results import Provenance
from services.domain.states import Reason
from workers.cluster.actor import RemoteTrainingActor
from workers.environment import WORKER_ENVIRONMENT
from workers.training.data.library import DataLibrary

_log = structlog.get_logger()

_CHUNKS_AHEAD = 4
_REPORTS_PER_POLL = 8
_GET_TIMEOUT = timedelta(seconds=10)
_START_TIMEOUT = timedelta(seconds=120)
_LOOK_AROUND = timedelta(seconds=1)


@dataclass
class _Worker:
    """An actor of the pool. `provenance` is known once it is up; `reports` while it trains."""

    name: str
    handle: Any
    resources: Resources
    starting: Any
    started_at: float
    provenance: Provenance | None = None
    order: PackOrder | None = None
    reports: Any = None

    @property
    def idle(self) -> bool:
        return self.provenance is not None and self.order is None


@dataclass
class RayExecutor:
    """Runs each pack in an actor. Not thread-safe. Ray must be initialised."""

    library: DataLibrary
    """The data sets as workers will see them: each loads what it needs."""
    _workers: list[_Worker] = field(default_factory=list)
    _named: int = 0
    _looked_at: float = float("-inf")
    _totals: dict[str, float] = field(default_factory=dict)

    def capacity(self) -> int:
        return max(1, int(self._cluster().get("CPU", 0)))

    def has_room(self, resources: Resources) -> bool:
        """Whether an actor of this kind is idle; if not, one is started when the cluster has room for it."""
        if any(worker.idle and worker.resources == resources for worker in self._workers):
            return True
        self._grow(resources)
        return False

    def start(self, order: PackOrder) -> None:
        worker = next(worker for worker in self._workers if worker.idle and worker.resources == order.resources)
        worker.order = order
        worker.reports = worker.handle.train.options(
            num_returns="streaming", _generator_backpressure_num_objects=_CHUNKS_AHEAD
        ).remote(order)

    def poll(self) -> list[Report]:
        self._greet()
        reports: list[Report] = []
        for worker in [worker for worker in self._workers if worker.order is not None]:
            reports += self._reports_of(worker)
        return reports

    def drop(self, pack_id: int, trial_ids: Sequence[int]) -> None:
        for worker in self._training(pack_id):
            worker.handle.drop.remote(list(trial_ids))

    def checkpoint(self, pack_id: int) -> None:
        for worker in self._training(pack_id):
            worker.handle.checkpoint.remote()

    def abandon(self, pack_id: int) -> None:
        for worker in self._training(pack_id):
            self._dismiss(worker)

    def workers(self) -> list[WorkerStatus]:
        return [
            WorkerStatus(
                name=worker.name,
                node=worker.provenance.node,
                resources=worker.resources,
                pack_id=worker.order.pack_id if worker.order else None,
            )
            for worker in self._workers
            if worker.provenance is not None
        ]

    def close(self) -> None:
        for worker in list(self._workers):
            self._dismiss(worker)

    def _reports_of(self, worker: _Worker) -> list[Report]:
        """What the worker has streamed by now. A dead worker becomes a report itself."""
        assert worker.order is not None
        pack_id = worker.order.pack_id
        reports: list[Report] = []
        try:
            for _ in range(_REPORTS_PER_POLL):
                ready, _ = ray.wait([worker.reports], timeout=0)
                if not ready:
                    return reports
                report: Report = ray.get(next(worker.reports), timeout=_GET_TIMEOUT.total_seconds())
                reports.append(report)
                if isinstance(report, PackEnded | PackBroken):
                    worker.order = worker.reports = None
                    return reports
        except (RayError, StopIteration, GetTimeoutError) as error:
            reports.append(
                PackBroken(
                    pack_id=pack_id,
                    reason=Reason.WORKER_LOST,
                    error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'the stream ended'}",
                )
            )
            self._dismiss(worker)
        return reports

    def _greet(self) -> None:
        """Workers that have come up may train; those that did not in time, or are dead, go."""
        starting = [worker for worker in self._workers if worker.provenance is None]
        if not starting:
            return
        ready, _ = ray.wait([worker.starting for worker in starting], num_returns=len(starting), timeout=0)
        for worker in starting:
            if worker.starting in ready:
                try:
                    worker.provenance = ray.get(worker.starting, timeout=_GET_TIMEOUT.total_seconds())
                    _log.info("worker up", worker=worker.name, node=worker.provenance.node)
                except RayError as error:
                    _log.warning("worker did not start", worker=worker.name, error=str(error).splitlines()[-1])
                    self._dismiss(worker)
            elif monotonic() - worker.started_at > _START_TIMEOUT.total_seconds():
                _log.warning("worker did not start in time", worker=worker.name)
                self._dismiss(worker)

    def _grow(self, resources: Resources) -> None:
        """Start one more actor of this kind if the cluster can hold it, beside or instead of an idle one."""
        if not self._fits(resources):
            other = next((worker for worker in self._workers if worker.idle and worker.resources != resources), None)
            starting = any(worker.provenance is None for worker in self._workers)
            if other is not None and not starting:
                self._dismiss(other)
            return
        self._named += 1
        name = f"worker-{self._named}"
        handle = RemoteTrainingActor.options(
            num_cpus=resources.cpu,
            num_gpus=resources.gpu,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        ).remote(self.library, resources.gpu > 0)
        self._workers.append(
            _Worker(
                name=name,
                handle=handle,
                resources=resources,
                starting=handle.ready.remote(),
                started_at=monotonic(),
            )
        )

    def _fits(self, resources: Resources) -> bool:
        """Whether the cluster's totals leave room for one more such worker beside all of ours."""
        totals = self._cluster()
        cpu = sum(worker.resources.cpu for worker in self._workers) + resources.cpu
        gpu = sum(worker.resources.gpu for worker in self._workers) + resources.gpu
        return cpu <= totals.get("CPU", 0) and gpu <= totals.get("GPU", 0)

    def _cluster(self) -> dict[str, float]:
        """The cluster's total resources, asked for once a second."""
        if monotonic() - self._looked_at > _LOOK_AROUND.total_seconds():
            self._totals = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._looked_at = monotonic()
        return self._totals

    def _training(self, pack_id: int) -> list[_Worker]:
        return [worker for worker in self._workers if worker.order is not None and worker.order.pack_id == pack_id]

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        ray.kill(worker.handle, no_restart=True)
