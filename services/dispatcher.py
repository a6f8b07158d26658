"""The dispatcher: leases packs, hands them to the executor, and is the only writer of results.

`tick()` does one round and returns how long to sleep. All it knows about trials is in the database; what it holds in
memory (which packs run here) can be lost at any moment without losing a trial or a trace row.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import takewhile
from time import monotonic
from typing import assert_never

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from services import presence, queue
from services.comparisons import compare_next
from services.domain.errors import NotFound, StoreUnavailable
from services.domain.ports import Executor, PackBroken, PackEnded, PackOrder, PackStarted, Report
from services.domain.results import Chunk
from services.domain.states import Reason
from services.failpoints import reach
from services.queue import Recorded, Verdict
from services.store import Store

_log = structlog.get_logger()

_BUSY = timedelta(milliseconds=20)
_IDLE = timedelta(milliseconds=250)
_OUTAGE = timedelta(seconds=1)
_DRAIN = timedelta(seconds=10)
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
    """Where snapshots and checkpoints are kept."""
    ttl: timedelta
    checkpoint_every: timedelta | None = None
    """How often workers report checkpoints unasked."""
    name: str = field(default_factory=dispatcher_name)
    clock: Callable[[], float] = monotonic
    held: set[int] = field(default_factory=set)
    """Packs running here under our lease."""

    def __post_init__(self) -> None:
        self._sessions = sessionmaker(self.engine)
        self._last_heartbeat = self._last_renewal = self._rescue_not_before = self.clock()
        self._rescue_not_before += self.ttl.total_seconds()  # after a start, the living get time to renew
        self._unrecorded: list[Report] = []
        self._draining = False
        self._unsaved: set[int] = set()

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
        except StoreUnavailable as error:
            _log.warning("store unavailable", error=str(error))
            return _OUTAGE
        return _BUSY if reported or claimed or compared or self.held else _IDLE

    def drain(self, patience: timedelta = _DRAIN) -> None:
        """Stop: ask every pack for a checkpoint, wait for as long as `patience` lets, give all back uncharged.

        The executor is closed by its owner. Without the database nothing is given back: the leases expire.
        """
        try:
            self._give_back(patience)
        except _AWAY as error:
            _log.warning("database unavailable", error=str(error).splitlines()[0])

    def _give_back(self, patience: timedelta) -> None:
        self._draining = True
        self._keep_leases(now=True)
        for pack_id in self.held:
            self.executor.checkpoint(pack_id)
        self._unsaved = set(self.held)
        until = self.clock() + patience.total_seconds()
        while self._unsaved & self.held and self.clock() < until:
            if not self._collect():
                time.sleep(_BUSY.total_seconds())
            self._keep_leases()
        for pack_id in sorted(self.held):
            self.executor.abandon(pack_id)
            with self._sessions.begin() as session:
                queue.release(session, pack_id)
            _log.info("released", pack=pack_id, saved=pack_id not in self._unsaved)
        self.held.clear()
        with self._sessions.begin() as session:
            presence.leave(session, self.name)

    def _collect(self) -> int:
        """Record reports in order. Those that an outage kept from being recorded are tried again first.

        Without the store, what needs it waits, and the leases are kept.
        """
        if not self._unrecorded:  # during an outage nothing more is taken, so the workers wait
            self._unrecorded = self.executor.poll()
        count = 0
        while self._unrecorded:
            try:
                recorded = self._record_first()
            except StoreUnavailable as error:
                _log.warning("store unavailable", pack=self._unrecorded[0].pack_id, error=str(error))
                break
            del self._unrecorded[:recorded]
            count += recorded
            self._keep_leases()  # many reports take their time
        return count

    def _record_first(self) -> int:
        """Record the reports at the head, as many as are of one pack, in one transaction. Returns how many.

        Where the database will not have one of them, they are taken one by one, to know which.
        """
        pack_id = self._unrecorded[0].pack_id
        batch = list(takewhile(lambda report: report.pack_id == pack_id, self._unrecorded))
        for reports in (batch, batch[:1]):
            try:
                self._take(pack_id, reports)
            except _AWAY:
                raise
            except SQLAlchemyError as error:
                if len(reports) == 1:
                    self._refuse(pack_id, error)
                    return 1
            else:
                return len(reports)
        raise AssertionError("a single report is recorded or refused")

    def _take(self, pack_id: int, reports: Sequence[Report]) -> None:
        """Record what a pack reports, then do what follows from it."""
        if pack_id not in self.held:
            return  # abandoned; it may not write any more
        reports = [self._kept(report) if isinstance(report, Chunk) else report for report in reports]
        answers: list[Recorded] = []
        moment = "end" if isinstance(reports[-1], PackEnded) else "record"
        with self._sessions.begin() as session:
            for report in reports:
                if (answer := self._write(session, report)) is not None:
                    answers.append(answer)
                    if answer.verdict in (Verdict.FENCED, Verdict.GAP):
                        break  # nothing that follows can be recorded
            reach(f"{moment}.before_commit")
        reach(f"{moment}.after_commit")
        for answer in answers:
            self._heed(pack_id, answer)
        if any(isinstance(report, Chunk) and report.checkpoints for report in reports):
            self._unsaved.discard(pack_id)
        if isinstance(reports[-1], PackEnded | PackBroken):
            self.held.discard(pack_id)

    def _kept(self, chunk: Chunk) -> Chunk:
        """The chunk, with its documents in the store. Without room for checkpoints, training goes on without."""
        for snapshot in chunk.snapshots:
            self.store.put(snapshot.safetensors)
        try:
            for checkpoint in chunk.checkpoints:
                self.store.put(checkpoint.safetensors)
        except StoreUnavailable as error:
            _log.warning("checkpoint not kept", pack=chunk.pack_id, error=str(error))
            return replace(chunk, checkpoints=[])
        return chunk

    def _write(self, session: Session, report: Report) -> Recorded | None:
        """Record one report; the answer to a chunk."""
        match report:
            case PackStarted():
                queue.record_provenance(session, report.pack_id, report.provenance)
            case Chunk():
                recorded = queue.record(session, report)
                if recorded.verdict is Verdict.GAP:
                    # A chunk was lost on the way: what follows cannot be recorded, so the pack starts again.
                    said = f"chunk {report.seq} came out of order"
                    queue.break_pack(session, report.pack_id, Reason.RELEASED, said)
                return recorded
            case PackEnded():
                queue.end_pack(session, report.pack_id)
            case PackBroken():
                queue.break_pack(session, report.pack_id, report.reason, report.error)
                _log.warning("pack broken", pack=report.pack_id, reason=report.reason, error=report.error)
            case _:
                assert_never(report)
        return None

    def _heed(self, pack_id: int, recorded: Recorded) -> None:
        """What the answer to a chunk asks for."""
        match recorded.verdict:
            case Verdict.ACCEPTED:
                for name in recorded.superseded:
                    self.store.delete(name)
                if recorded.unheld:
                    self.executor.drop(pack_id, sorted(recorded.unheld))
            case Verdict.REPEATED:
                _log.info("chunk repeated", pack=pack_id)
            case Verdict.FENCED | Verdict.GAP:
                _log.warning("pack lost", pack=pack_id, verdict=recorded.verdict)
                self._abandon(pack_id)
            case _:
                assert_never(recorded.verdict)

    def _refuse(self, pack_id: int, error: SQLAlchemyError) -> None:
        """The database will not have what the pack reports, now or later: its trials fail, the others go on."""
        _log.error("report refused", pack=pack_id, error=str(error))
        with self._sessions.begin() as session:
            queue.break_pack(session, pack_id, Reason.UNKNOWN_ERROR, str(error).splitlines()[0])
        self._abandon(pack_id)

    def _keep_leases(self, *, now: bool = False) -> None:
        """Renew the leases three times within their time, and show who is here."""
        if not now and self.clock() - self._last_heartbeat < self.ttl.total_seconds() / 3:
            return
        with self._sessions.begin() as session:
            reach("heartbeat.before_commit")
            alive = queue.heartbeat(session, dispatcher=self.name, packs=self.held, ttl=self.ttl)
            paused = queue.packs_of_paused_sweeps(session, alive)
            presence.show(
                session,
                self.name,
                workers=self.executor.workers(),
                capacity=self.executor.capacity(),
                packs=len(self.held),
                ttl=self.ttl,
                draining=self._draining,
            )
        self._last_heartbeat = self._last_renewal = self.clock()
        for pack_id in self.held - alive:
            _log.warning("lease lost", pack=pack_id)
            self._abandon(pack_id)
        for pack_id in paused:
            self.executor.checkpoint(pack_id)

    def _rescue(self) -> None:
        """Take back what was lost, fail what is overdue, clear what nobody needs."""
        if self.clock() < self._rescue_not_before:
            return
        self._rescue_not_before = self.clock() + self.ttl.total_seconds() / 6
        with self._sessions.begin() as session:
            rescued = queue.rescue(session)
            overdue = queue.time_out(session)
            documents = queue.clear_checkpoints(session)
            reach("rescue.before_commit")
        for pack_id, trials in rescued.items():
            _log.warning("rescued", pack=pack_id, trials=len(trials))
            self._abandon(pack_id)
        for pack_id, trials in overdue.items():
            _log.warning("timed out", pack=pack_id, trials=trials)
            self.executor.drop(pack_id, trials)
        for name in documents:
            self.store.delete(name)

    def _claim(self) -> int:
        """Lease packs while the executor has room. Returns how many."""
        count, capacity = 0, self.executor.capacity()
        with self._sessions.begin() as session:
            waiting = queue.waiting(session, capacity=capacity)
        for wanted in waiting:
            while self.executor.has_room(wanted.resources):
                self._keep_leases()  # many workers take their time
                with self._sessions.begin() as session:
                    claim = queue.claim(session, wanted, dispatcher=self.name, capacity=capacity, ttl=self.ttl)
                    reach("claim.before_commit")
                reach("claim.after_commit")
                if claim is None:
                    break
                # Held only once it runs: a lease that nobody works on must expire.
                order = self._with_checkpoints(claim)
                self.executor.start(order)
                self.held.add(order.pack_id)
                _log.info(
                    "claimed",
                    pack=order.pack_id,
                    sweeps=claim.sweeps,
                    trials=list(order.trial_ids),
                    resumed=len(order.resume),
                )
                count += 1
        return count

    def _with_checkpoints(self, claim: queue.Claim) -> PackOrder:
        """The order with the documents its trials go on from. Those that the store lost or spoilt start from zero."""
        resume: dict[int, bytes] = {}
        spoilt: list[int] = []
        for trial_id, reference in claim.checkpoints.items():
            try:
                resume[trial_id] = self.store.get(reference.sha256)
            except NotFound as error:
                _log.error("checkpoint lost", trial=trial_id, error=str(error))
                spoilt.append(trial_id)
        if spoilt:
            with self._sessions.begin() as session:
                queue.restart(session, claim.order.pack_id, spoilt)
        return replace(claim.order, resume=resume, checkpoint_every=self.checkpoint_every)

    def _compare(self) -> bool:
        """Compare the snapshots of one finished trial with those of its group."""
        with self._sessions.begin() as session:
            return compare_next(session, self.store)

    def _abandon(self, pack_id: int) -> None:
        self.held.discard(pack_id)
        self.executor.abandon(pack_id)

    def _survive(self, error: Exception) -> timedelta:
        """The database is away. Packs train on while our leases may last; then they must stop."""
        _log.warning("database unavailable", error=str(error).splitlines()[0])
        now = self.clock()
        self._rescue_not_before = now + self.ttl.total_seconds()
        if now - self._last_renewal > 0.8 * self.ttl.total_seconds():
            for pack_id in list(self.held):
                self._abandon(pack_id)
            self._unrecorded.clear()
        return _OUTAGE
