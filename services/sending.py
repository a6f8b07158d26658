"""Sends what webhooks are to be told, from a thread of every API process: claims are disjoint by SKIP LOCKED.

Each message is sent at least once: an attempt of a process that dies is made again by another one after a minute.
"""

import threading
from collections.abc import Collection
from datetime import UTC, datetime
from time import monotonic

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from services import outbound, webhooks
from services.domain.states import DeliveryState
from services.recording import is_away
from services.webhooks import Message

_log = structlog.get_logger()

_AT_ONCE = 4
_PAUSE_SECONDS = 1.0
_FORGET_SECONDS = 3600.0


class Sender:
    """One thread that looks for what is due, and one for each message on its way."""

    def __init__(self, engine: Engine, allowed_hosts: Collection[str]) -> None:
        self._engine = engine
        self._allowed = allowed_hosts
        self._stopped = threading.Event()
        self._slots = threading.Semaphore(_AT_ONCE)
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._forget_at = monotonic() + _FORGET_SECONDS

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more. What is on its way is sent again if it does not get to say how it went."""
        self._stopped.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopped.wait(_PAUSE_SECONDS):
            try:
                while self._send_due() and not self._stopped.is_set():
                    pass
                self._forget()
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise

    def _send_due(self) -> bool:
        """Start one attempt, if one is due and there is a slot for it."""
        if not self._slots.acquire(blocking=False):
            return False
        messages: list[Message] = []
        try:
            with Session(self._engine) as session, session.begin():
                messages = webhooks.claim(session, 1)
        finally:
            if not messages:
                self._slots.release()
        for message in messages:
            threading.Thread(target=self._attempt, args=(message,), name="webhook", daemon=True).start()
        return bool(messages)

    def _attempt(self, message: Message) -> None:
        try:
            self.deliver(message)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
        finally:
            self._slots.release()

    def deliver(self, message: Message) -> None:
        """Make one attempt, and note how it went."""
        status, problem = None, None
        try:
            status = outbound.post(message.url, message.body, message.headers(datetime.now(UTC)), self._allowed)
        except outbound.Undeliverable as error:
            problem = str(error)
        if status is not None and not 200 <= status < 300:
            problem = f"answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
        with Session(self._engine) as session, session.begin():
            state = webhooks.settle(session, message, status=status, error=problem)
        if state is not DeliveryState.DELIVERED:
            _log.warning(
                "webhook not delivered", delivery=message.id, attempts=message.attempts, state=state, why=problem
            )

    def _forget(self) -> None:
        if monotonic() >= self._forget_at:
            self._forget_at = monotonic() + _FORGET_SECONDS
            with Session(self._engine) as session, session.begin():
                webhooks.forget(session)
