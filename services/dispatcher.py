"""The dispatcher: leases packs, hands them to the executor, and is the only writer of results.

`tick()` does one round and returns how long to sleep. All it knows about trials is in the database; what it holds in
memory (which packs run here) can be lost at any moment without losing a trial or a trace row.
"""

import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import sessionmaker

from services import control, presence, queue
from services.comparisons import compare_next
from services.domain.errors import Conflict, NotFound, StoreUnavailable, Unclaimable
from services.domain.ports import ONE_CPU, Executor, PackOrder
from services.failpoints import reach
from services.phasing import detect_next
from services.recording import Recorder, is_away, is_contended, passes
from services.rollups import roll_up_next
from services.store import SHELVES, Store
from services.tidying import analyze_traces, tidy

_log = structlog.get_logger()

_BUSY = timedelta(milliseconds=20)
_WATCHFUL = timedelta(milliseconds=50)
_IDLE = timedelta(milliseconds=250)
_OUTAGE = timedelta(seconds=1)
_DRAIN = timedelta(seconds=10)
_DRAINS = 3
_TIDY = timedelta(minutes=1)
_LOOK = timedelta(seconds=1)
"""How often work that can wait is looked for, while there is none."""


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
        self._last_heartbeat = self._rescue_not_before = self.clock()
        self._rescue_not_before += self.ttl.total_seconds()  # after a start, the living get time to renew
        self._tidy_not_before = self._look_not_before = self._detect_not_before = self.clock()
        self._pause = _BUSY
        self._shelf = random.SystemRandom().randrange(SHELVES)
        self._draining = False
        self._recorder = Recorder(sessions=self._sessions, executor=self.executor, store=self.store, held=self.held)

    def tick(self) -> timedelta:
        """Keep leases, record what workers reported, rescue what others lost, claim what fits; then sleep so long."""
        try:
            self._keep_leases()
            reported = self._recorder.collect(self._keep_leases)
            self._rescue()
            claimed = self._claim()
            derived = self._derive(news=reported > 0)
            self._tidy()
        except SQLAlchemyError as error:
            if is_contended(error):
                _log.info("contended", error=str(error).splitlines()[0])
                self._stop_in_time()
                return _BUSY
            if not is_away(error):
                raise
            return self._survive(error)
        except StoreUnavailable as error:
            _log.warning("store unavailable", error=str(error))
            return _OUTAGE
        self._pause = _BUSY if reported or claimed or derived else min(1.5 * self._pause, self._longest_pause())
        return self._pause

    def drain(self, patience: timedelta = _DRAIN) -> None:
        """Stop: ask every pack for a checkpoint, wait for as long as `patience` lets, give all back uncharged.

        The executor is closed by its owner. Without the database nothing is given back: the leases expire.
        """
        for _ in range(_DRAINS):
            try:
                self._give_back(patience)
            except SQLAlchemyError as error:
                if not passes(error):
                    raise
                _log.warning("not given back", error=str(error).splitlines()[0])
                if is_contended(error):
                    continue
            return

    def _give_back(self, patience: timedelta) -> None:
        self._draining = True
        self._keep_leases(now=True)
        for pack_id in self.held:
            self.executor.checkpoint(pack_id)
        self._recorder.unsaved = set(self.held)
        until = self.clock() + patience.total_seconds()
        while self._recorder.unsaved & self.held and self.clock() < until:
            if not self._recorder.collect(self._keep_leases):
                time.sleep(_BUSY.total_seconds())
            self._keep_leases()
        for pack_id in sorted(self.held):
            self.executor.abandon(pack_id)
            with self._sessions.begin() as session:
                queue.release(session, pack_id)
            _log.info("released", pack=pack_id, saved=pack_id not in self._recorder.unsaved)
        self.held.clear()
        with self._sessions.begin() as session:
            presence.leave(session, self.name)

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
                capacity=self.executor.capacity(ONE_CPU),
                packs=len(self.held),
                ttl=self.ttl,
                draining=self._draining,
            )
        self._last_heartbeat = self.clock()
        for pack_id in self.held - alive:
            _log.warning("lease lost", pack=pack_id)
            self._recorder.abandon(pack_id)
        for pack_id in paused:
            self.executor.checkpoint(pack_id)

    def _rescue(self) -> None:
        """Take back what was lost, fail what is overdue, clear what nobody needs."""
        if self.clock() < self._rescue_not_before:
            return
        self._rescue_not_before = self.clock() + self.ttl.total_seconds() / 6
        with self._sessions.begin() as session:
            rescued = queue.rescue(session)
            documents = queue.clear_checkpoints(session)
            overdue = queue.overdue(session)
            reach("rescue.before_commit")
        for pack_id, trials in rescued.items():
            _log.warning("rescued", pack=pack_id, trials=len(trials))
            self._recorder.abandon(pack_id)
        for pack_id in overdue:
            with self._sessions.begin() as session:
                trials = queue.time_out(session, pack_id)
            _log.warning("timed out", pack=pack_id, trials=trials)
            self.executor.drop(pack_id, trials)
        for name in documents:
            self.store.delete(name)

    def _claim(self) -> int:
        """Lease packs while the executor has room. Returns how many."""
        count = 0
        with self._sessions.begin() as session:
            waiting = queue.waiting(session, capacity=self.executor.capacity(ONE_CPU))
        for wanted in waiting:
            capacity = self.executor.capacity(wanted.resources)
            while self.executor.has_room(wanted.resources):
                self._keep_leases()  # many workers take their time
                try:
                    with self._sessions.begin() as session:
                        claim = queue.claim(session, wanted, dispatcher=self.name, capacity=capacity, ttl=self.ttl)
                        reach("claim.before_commit")
                except Unclaimable as error:
                    _log.error("sweep paused", sweep=error.sweep_id, error=str(error))
                    with suppress(Conflict), self._sessions.begin() as session:
                        control.pause(session, error.sweep_id, str(error))
                    continue
                reach("claim.after_commit")
                if claim is None:
                    break
                # Held only once it runs: a lease that nobody works on must expire.
                try:
                    order = self._with_checkpoints(claim)
                except StoreUnavailable:
                    with self._sessions.begin() as session:
                        queue.release(session, claim.order.pack_id)
                    raise
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

    def _derive(self, *, news: bool) -> bool:
        """A step of what can wait: phases of finished trials, comparisons of snapshots, curves of groups."""
        if not news and self.clock() < self._look_not_before:
            return False
        found = self._detect(news=news) or compare_next(self._sessions, self.store) or self._roll_up()
        self._look_not_before = self.clock() + (0 if found or news else _LOOK.total_seconds())
        return found

    def _detect(self, *, news: bool) -> bool:
        """While there is news, once in a while: what is reported comes first."""
        if news and self.clock() < self._detect_not_before:
            return False
        self._detect_not_before = self.clock() + _LOOK.total_seconds()
        with self._sessions.begin() as session:
            return detect_next(session)

    def _roll_up(self) -> bool:
        with self._sessions.begin() as session:
            return roll_up_next(session)

    def _tidy(self) -> None:
        """Clear one shelf of the store of what no row names, all of them in four hours; and look after statistics."""
        if self.clock() < self._tidy_not_before:
            return
        self._tidy_not_before = self.clock() + _TIDY.total_seconds()
        with self._sessions.begin() as session:
            if count := tidy(session, self.store, self._shelf):
                _log.info("tidied", documents=count)
        with self._sessions.begin() as session:
            analyze_traces(session)
        self._shelf = (self._shelf + 1) % SHELVES

    def _longest_pause(self) -> timedelta:
        return _WATCHFUL if self.held else _IDLE

    def _survive(self, error: Exception) -> timedelta:
        """The database is away: others get time to renew once it is back."""
        _log.warning("database unavailable", error=str(error).splitlines()[0])
        self._rescue_not_before = self.clock() + self.ttl.total_seconds()
        self._stop_in_time()
        return _OUTAGE

    def _stop_in_time(self) -> None:
        """Packs train on while our leases may last; then they must stop."""
        if self.clock() - self._last_heartbeat > 0.8 * self.ttl.total_seconds():
            for pack_id in list(self.held):
                self._recorder.abandon(pack_id)
            self._recorder.forget()
