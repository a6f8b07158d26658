"""Recording: what workers report goes to the database, exactly once, and what the database answers back to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import assert_never

import structlog
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from services import queue
from services.domain.errors import StoreUnavailable
from services.domain.ports import Executor, PackBroken, PackEnded, PackStarted, Report
from services.domain.results import Chunk
from services.domain.states import Reason
from services.failpoints import reach
from services.queue import Recorded, Verdict
from services.store import Store

_log = structlog.get_logger()


def is_away(error: SQLAlchemyError) -> bool:
    """Whether the database cannot be reached, or went away in the middle."""
    gone = isinstance(error, DBAPIError) and error.connection_invalidated
    return gone or isinstance(error, OperationalError | InterfaceError | PoolTimeout)


def is_contended(error: SQLAlchemyError) -> bool:
    """Whether two transactions got into each other's way, and ours was the one to go."""
    lost = DeadlockDetected | LockNotAvailable | SerializationFailure
    return isinstance(error, DBAPIError) and isinstance(error.orig, lost)


def passes(error: SQLAlchemyError) -> bool:
    """Whether the same may succeed later."""
    return is_contended(error) or is_away(error)


@dataclass
class Recorder:
    """Not thread-safe. Raises SQLAlchemyError of the kind that `passes`; nothing is lost by that."""

    sessions: sessionmaker[Session]
    executor: Executor
    store: Store
    """Where snapshots and checkpoints are kept."""
    held: set[int]
    """Packs running here under our lease; others may not write."""
    unsaved: set[int] = field(default_factory=set)
    """Packs that were asked for a checkpoint and have not reported one."""
    _unrecorded: list[Report] = field(default_factory=list)
    _contended: list[Report] = field(default_factory=list)
    """Of packs whose rows another transaction held."""

    def abandon(self, pack_id: int) -> None:
        """The pack is not ours any more: stop it, record nothing of it."""
        self.held.discard(pack_id)
        self.executor.abandon(pack_id)

    def forget(self) -> None:
        """Nothing of what is still unrecorded will be."""
        self._unrecorded.clear()
        self._contended.clear()

    def collect(self, between: Callable[[], object]) -> int:
        """Record each pack's reports in order, and return how many; `between` is called after each pack's.

        Those that an outage kept from being recorded are tried again first. Without the store, what needs it waits; so
        does a pack whose rows another transaction holds.
        """
        if not self._unrecorded:  # during an outage nothing more is taken, so the workers wait
            self._unrecorded = [*self._contended, *self.executor.poll()]
            self._contended = []
        count = 0
        while self._unrecorded:
            try:
                recorded = self._record_first()
            except StoreUnavailable as error:
                _log.warning("store unavailable", pack=self._unrecorded[0].pack_id, error=str(error))
                break
            except SQLAlchemyError as error:
                if not is_contended(error):
                    raise
                self._set_aside(self._unrecorded[0].pack_id)
                recorded = 0
            del self._unrecorded[:recorded]
            count += recorded
            between()  # many reports take their time
        return count

    def _set_aside(self, pack_id: int) -> None:
        """Until the next round, all that the pack reports."""
        _log.info("contended", pack=pack_id)
        self._contended += [report for report in self._unrecorded if report.pack_id == pack_id]
        self._unrecorded = [report for report in self._unrecorded if report.pack_id != pack_id]

    def _record_first(self) -> int:
        """Record the reports at the head, as many as are of one pack, in one transaction. Returns how many.

        Where the database will not have one of them, they are taken one by one, to know which.
        """
        pack_id = self._unrecorded[0].pack_id
        batch = list(takewhile(lambda report: report.pack_id == pack_id, self._unrecorded))
        for reports in (batch, batch[:1]):
            try:
                self._take(pack_id, reports)
            except (SQLAlchemyError, ValueError) as error:  # the latter where a value cannot even be sent
                if isinstance(error, SQLAlchemyError) and passes(error):
                    raise
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
        with self.sessions.begin() as session:
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
            self.unsaved.discard(pack_id)
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
                queue.record_provenance(session, report.pack_id, report.provenance, report.seeds)
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
                self.abandon(pack_id)
            case _:
                assert_never(recorded.verdict)

    def _refuse(self, pack_id: int, error: Exception) -> None:
        """The database will not have what the pack reports, now or later: its trials fail, the others go on."""
        _log.error("report refused", pack=pack_id, error=str(error))
        with self.sessions.begin() as session:
            queue.break_pack(session, pack_id, Reason.UNKNOWN_ERROR, str(error).splitlines()[0])
        self.abandon(pack_id)
