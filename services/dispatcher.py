"""The dispatcher: leases packs, hands them to the executor, and is the only writer of results.

`tick()` does one round and returns how long to sleep. All it knows about trials is in the database; what it holds in
memory (which packs run here) can be lost at any moment without losing a trial or a trace row.
"""

import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import assert_never

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from services import queue
from services.comparisons import compare_next
from services.domain.ports import Executor, PackBroken, PackEnded, PackStarted, Report
from services.domain.results import Chunk
from services.domain.states import Reason
from services.store import Store

_log = structlog.get_logger()

_BUSY = timedelta(milliseconds=20)
_IDLE = timedelta(milliseconds=250)
_OUTAGE = timedelta(seconds=1)
# What SQLAlchemy raises when the database cannot be reached, or goes away in the middle.
_AWAY = (OperationalError, InterfaceError, PoolTimeout)


def dispatcher_name() -> str:
    """Tells dispatchers apart in the database: host, process, and a random part for reused process ids."""
    return f"{socket.gethostname()}:{os.getpid()}:{random.SystemRandom().randrange(2**32):08x}"


@dataclass
class Dispatcher:
    """One dispatcher. Not thread-safe: one thread calls `tick`, then `drain`."""

    engine: Engine
    executor: Executor
    store: Store
    """Where snapshots are kept."""
    ttl: timedelta
    name: str = field(default_factory=dispatcher_name)
    clock: Callable[[], float] = monotonic
    held: set[int] = field(default_factory=set)
    """Packs running here under our lease."""

    def __post_init__(self) -> None:
        self._sessions = sessionmaker(self.engine)
        self._last_heartbeat = self._last_renewal = self._rescue_not_before = self.clock()
        self._rescue_not_before += self.ttl.total_seconds()  # after a start, the living get time to renew
        self._unrecorded: list[Report] = []

    def tick(self) -> timedelta:
        """Record what workers reported, keep leases, rescue what others lost, claim what fits; then sleep so long."""
        try:
            reported = self._collect()
            self._keep_leases()
            self._rescue()
            claimed = self._claim()
            compared = self._compare()
        except _AWAY as error:
            return self._survive(error)
        return _BUSY if reported or claimed or compared or self.held else _IDLE

    def drain(self) -> None:
        """Stop: record what is there, give every pack back uncharged. The executor is closed by its owner."""
        self._collect()
        for pack_id in sorted(self.held):
            self.executor.abandon(pack_id)
            with self._sessions.begin() as session:
                queue.release(session, pack_id)
            _log.info("released", pack=pack_id)
        self.held.clear()
        with self._sessions.begin() as session:
            session.execute(text("DELETE FROM workers WHERE dispatcher = :name"), {"name": self.name})

    def _collect(self) -> int:
        """Record reports in order. Those that an outage kept from being recorded are tried again first."""
        if not self._unrecorded:  # during an outage nothing more is taken, so the workers wait
            self._unrecorded = self.executor.poll()
        count = 0
        while self._unrecorded:
            try:
                self._take(self._unrecorded[0])
            except _AWAY:
                raise
            except SQLAlchemyError as error:
                self._refuse(self._unrecorded[0].pack_id, error)
            self._unrecorded.pop(0)
            count += 1
        return count

    def _take(self, report: Report) -> None:
        if report.pack_id not in self.held:
            return  # abandoned; it may not write any more
        match report:
            case PackStarted():
                with self._sessions.begin() as session:
                    queue.record_provenance(session, report.pack_id, report.provenance)
            case Chunk():
                self._record(report)
            case PackEnded():
                with self._sessions.begin() as session:
                    queue.end_pack(session, report.pack_id)
                self.held.discard(report.pack_id)
            case PackBroken():
                with self._sessions.begin() as session:
                    queue.break_pack(session, report.pack_id, report.reason, report.error)
                self.held.discard(report.pack_id)
                _log.warning("pack broken", pack=report.pack_id, reason=report.reason, error=report.error)
            case _:
                assert_never(report)

    def _record(self, chunk: Chunk) -> None:
        for snapshot in chunk.snapshots:
            self.store.put(snapshot.safetensors)
        with self._sessions.begin() as session:
            recorded = queue.record(session, chunk)
        match recorded.verdict:
            case queue.Verdict.ACCEPTED:
                if recorded.unheld:
                    self.executor.drop(chunk.pack_id, sorted(recorded.unheld))
            case queue.Verdict.REPEATED:
                _log.info("chunk repeated", pack=chunk.pack_id, seq=chunk.seq)
            case queue.Verdict.FENCED:
                _log.warning("pack fenced", pack=chunk.pack_id, seq=chunk.seq)
                self._abandon(chunk.pack_id)
            case queue.Verdict.GAP:
                # A chunk was lost on the way: what follows cannot be recorded, so the pack starts again.
                with self._sessions.begin() as session:
                    queue.break_pack(session, chunk.pack_id, Reason.RELEASED, f"chunk {chunk.seq} came out of order")
                self._abandon(chunk.pack_id)
            case _:
                assert_never(recorded.verdict)

    def _refuse(self, pack_id: int, error: SQLAlchemyError) -> None:
        """The database will not have what the pack reports, now or later: its trials fail, the others go on."""
        _log.error("report refused", pack=pack_id, error=str(error))
        with self._sessions.begin() as session:
            queue.break_pack(session, pack_id, Reason.UNKNOWN_ERROR, str(error).splitlines()[0])
        self._abandon(pack_id)

    def _keep_leases(self) -> None:
        if self.clock() - self._last_heartbeat < self.ttl.total_seconds() / 3:
            return
        with self._sessions.begin() as session:
            alive = queue.heartbeat(session, dispatcher=self.name, packs=self.held, ttl=self.ttl)
            self._show_workers(session)
        self._last_heartbeat = self._last_renewal = self.clock()
        for pack_id in self.held - alive:
            _log.warning("lease lost", pack=pack_id)
            self._abandon(pack_id)

    def _rescue(self) -> None:
        if self.clock() < self._rescue_not_before:
            return
        self._rescue_not_before = self.clock() + self.ttl.total_seconds() / 6
        with self._sessions.begin() as session:
            rescued = queue.rescue(session)
        for pack_id, trials in rescued.items():
            _log.warning("rescued", pack=pack_id, trials=len(trials))
            self._abandon(pack_id)

    def _claim(self) -> int:
        """Lease packs while the executor has room. Returns how many."""
        count = 0
        with self._sessions.begin() as session:
            kinds = queue.waiting_kinds(session)
        for resources in kinds:
            while self.executor.has_room(resources):
                with self._sessions.begin() as session:
                    order = queue.claim(
                        session,
                        dispatcher=self.name,
                        resources=resources,
                        capacity=self.executor.capacity(),
                        ttl=self.ttl,
                    )
                if order is None:
                    break
                self.held.add(order.pack_id)
                self.executor.start(order)
                _log.info("claimed", pack=order.pack_id, trials=len(order.trial_ids))
                count += 1
        return count

    def _compare(self) -> bool:
        """Compare the snapshots of one finished trial with those of its group."""
        with self._sessions.begin() as session:
            return compare_next(session, self.store)

    def _show_workers(self, session: Session) -> None:
        """Replace this dispatcher's rows in `workers`; rows of dispatchers long silent go."""
        session.execute(
            text("DELETE FROM workers WHERE dispatcher = :name OR seen_at < now() - 10 * :ttl"),
            {"name": self.name, "ttl": self.ttl},
        )
        for worker in self.executor.workers():
            session.execute(
                text("""
                    INSERT INTO workers (dispatcher, name, node, cpu, gpu, pack_id)
                    VALUES (:dispatcher, :name, :node, :cpu, :gpu, :pack_id)
                """),
                {
                    "dispatcher": self.name,
                    "name": worker.name,
                    "node": worker.node,
                    "cpu": worker.resources.cpu,
                    "gpu": worker.resources.gpu,
                    "pack_id": worker.pack_id,
                },
            )

    def _abandon(self, pack_id: int) -> None:
        self.held.discard(pack_id)
        self.executor.abandon(pack_id)

    def _survive(self, error: SQLAlchemyError) -> timedelta:
        """The database is away. Packs train on while our leases may last; then they must stop."""
        _log.warning("database unavailable", error=str(error).splitlines()[0])
        now = self.clock()
        self._rescue_not_before = now + self.ttl.total_seconds()
        if now - self._last_renewal > 0.8 * self.ttl.total_seconds():
            for pack_id in list(self.held):
                self._abandon(pack_id)
            self._unrecorded.clear()
        return _OUTAGE
