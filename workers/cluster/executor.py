"""The Executor on Ray: a pool of actors that follows the cluster's resources and what trials wait for.

Actors are never restarted and their tasks never retried by Ray: recovery is the queue's. They are not detached, so
they die with the dispatcher. Where an autoscaler is at work, actors that wait for a node are its signal to add one, and
actors that idle leave, so that it can take one away.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any

import ray
import structlog
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayError

from services.domain.errors import ExecutorLost
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
_PROBE_TIMEOUT = timedelta(seconds=1)
_IDLE_TIMEOUT = timedelta(seconds=60)
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
    ray_node: str | None = None
    idle_since: float = 0
    order: PackOrder | None = None
    reports: Any = None
    ping: Any = None
    """An unanswered question whether it lives."""
    pinged_at: float = 0

    @property
    def idle(self) -> bool:
        return self.provenance is not None and self.order is None


@dataclass
class RayExecutor:
    """Runs each pack in an actor. Not thread-safe. Ray must be initialised."""

    library: DataLibrary
    """The data sets as workers will see them: each loads what it needs."""
    max_workers: int | None = None
    """How many actors to ask for, with an autoscaler; None: as many as the cluster has room for."""
    silence: timedelta = timedelta(seconds=20)
    """A worker that trains and does not answer for so long is lost: a stopped process raises nothing."""
    _workers: list[_Worker] = field(default_factory=list)
    _named: int = 0
    _listened_at: float = 0
    _looked_at: float = float("-inf")
    _totals: dict[str, float] = field(default_factory=dict)

    def capacity(self, resources: Resources) -> int:
        totals = self._cluster()
        rooms = [totals.get("CPU", 0) / resources.cpu]
        if resources.gpu:
            rooms.append(totals.get("GPU", 0) / resources.gpu)
        return max(1, int(min(rooms)))

    def has_room(self, resources: Resources) -> bool:
        """Whether an actor of this kind is idle; if not, one is started when the cluster has room for it."""
        if any(worker.idle and worker.resources == resources for worker in self._workers):
            return True
        self._grow(resources)
        return False

    def start(self, order: PackOrder) -> None:
        worker = next(worker for worker in self._workers if worker.idle and worker.resources == order.resources)
        worker.order, worker.ping, worker.pinged_at = order, None, monotonic()
        worker.reports = worker.handle.train.options(
            num_returns="streaming", _generator_backpressure_num_objects=_CHUNKS_AHEAD
        ).remote(order)

    def poll(self) -> list[Report]:
        self._greet()
        self._dismiss_idle()
        training = [worker for worker in self._workers if worker.order is not None]
        if not training:
            return []
        ready, _ = ray.wait([worker.reports for worker in training], num_returns=len(training), timeout=0)
        reports = [report for worker in training if worker.reports in ready for report in self._reports_of(worker)]
        return reports + self._silent()

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
                    worker.idle_since = monotonic()
                    return reports
        except (RayError, StopIteration, GetTimeoutError) as error:
            reports.append(self._lost(worker, self._why_lost(worker, error), _told(error)))
        return reports

    def _lost(self, worker: _Worker, reason: Reason, said: str) -> PackBroken:
        """The report that a worker is lost, which goes."""
        assert worker.order is not None
        broken = PackBroken(pack_id=worker.order.pack_id, reason=reason, error=said)
        self._dismiss(worker)
        return broken

    def _silent(self) -> list[Report]:
        """Ask all that train, now and then, whether they live. Those that do not answer become reports."""
        now, patience = monotonic(), self.silence.total_seconds()
        training = [worker for worker in self._workers if worker.order is not None]
        if now - self._listened_at > patience / 3:  # we were away ourselves: nobody is to blame
            for worker in training:
                worker.pinged_at = now
        self._listened_at = now
        asked = [worker.ping for worker in training if worker.ping is not None]
        answered = ray.wait(asked, num_returns=len(asked), timeout=0)[0] if asked else []
        lost: list[Report] = []
        for worker in training:
            if worker.ping in answered:
                try:
                    worker.ping = ray.get(worker.ping, timeout=_GET_TIMEOUT.total_seconds())
                except RayError as error:  # dead, though its stream may never say so
                    lost.append(self._lost(worker, self._why_lost(worker, error), _told(error)))
                    continue
            if worker.ping is None and now - worker.pinged_at > patience / 3:
                worker.ping, worker.pinged_at = worker.handle.ping.remote(), now
            elif worker.ping is not None and now - worker.pinged_at > patience:
                said = f"the worker has not answered for {patience:.0f} s"
                lost.append(self._lost(worker, Reason.WORKER_LOST, said))
        return lost

    def _why_lost(self, worker: _Worker, error: Exception) -> Reason:
        """Whose fault it was that the worker died: its memory's, its node's, or perhaps a trial's."""
        if isinstance(error, OutOfMemoryError) or "low on memory" in str(error):
            return Reason.OUT_OF_MEMORY
        return Reason.WORKER_LOST if _node_answers(worker.ray_node) else Reason.NODE_LOST

    def _greet(self) -> None:
        """Workers that have come up may train; those that did not in time, or are dead, go."""
        starting = [worker for worker in self._workers if worker.provenance is None]
        if not starting:
            return
        ready, _ = ray.wait([worker.starting for worker in starting], num_returns=len(starting), timeout=0)
        for worker in starting:
            if worker.starting in ready:
                try:
                    worker.provenance, worker.ray_node = ray.get(worker.starting, timeout=_GET_TIMEOUT.total_seconds())
                    worker.idle_since = monotonic()
                    assert worker.provenance is not None
                    _log.info("worker up", worker=worker.name, node=worker.provenance.node)
                except RayError as error:
                    _log.warning("worker did not start", worker=worker.name, error=str(error).splitlines()[-1])
                    self._dismiss(worker)
            elif monotonic() - worker.started_at > _START_TIMEOUT.total_seconds():
                _log.warning("worker did not start in time", worker=worker.name)
                self._dismiss(worker)

    def _dismiss_idle(self) -> None:
        """With an autoscaler, actors that nothing waits for leave, so that it can take their nodes away."""
        if self.max_workers is not None:
            for worker in [worker for worker in self._workers if worker.idle]:
                if monotonic() - worker.idle_since > _IDLE_TIMEOUT.total_seconds():
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
        ).remote(self.library, resources.gpu)
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
        """Whether one more such worker may be asked for: up to `max_workers`, or as the cluster's totals leave room."""
        if self.max_workers is not None:
            return len(self._workers) < self.max_workers
        totals = self._cluster()
        cpu = sum(worker.resources.cpu for worker in self._workers) + resources.cpu
        gpu = sum(worker.resources.gpu for worker in self._workers) + resources.gpu
        return cpu <= totals.get("CPU", 0) and gpu <= totals.get("GPU", 0)

    def _cluster(self) -> dict[str, float]:
        """The cluster's total resources, asked for once a second. Raises ExecutorLost."""
        if monotonic() - self._looked_at > _LOOK_AROUND.total_seconds():
            if not _is_up(ray.get_runtime_context().get_node_id()):
                raise ExecutorLost("the Ray node of this process is dead, and a driver cannot change to another")
            self._totals = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._looked_at = monotonic()
        return self._totals

    def _training(self, pack_id: int) -> list[_Worker]:
        return [worker for worker in self._workers if worker.order is not None and worker.order.pack_id == pack_id]

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        ray.kill(worker.handle, no_restart=True)


def _told(error: Exception) -> str:
    """The error in one line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'the stream ended'}"


def _is_up(node_id: str) -> bool:
    """Whether Ray takes the node for alive."""
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]


def _node_answers(node_id: str | None) -> bool:
    """Whether the Ray node lives. Ray learns of a death after seconds; its port is closed at once."""
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["NodeID"] == node_id and node["Alive"]:
            try:
                address = node["NodeManagerAddress"], node["NodeManagerPort"]
                with socket.create_connection(address, _PROBE_TIMEOUT.total_seconds()):
                    return True
            except OSError:
                return False
    return False
