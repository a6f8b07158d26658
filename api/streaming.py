"""Live progress by server-sent events: one look at the database serves all clients of this process.

A client costs a bounded queue and no thread and no connection to the database. One that does not keep up is cut off and
holds nobody else; it goes on where it was by the id of the last event it has seen.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import structlog
from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from api import schemas
from services import live
from services.live import Horizon, LiveEvent, Progress
from services.recording import is_away

T = TypeVar("T")
_log = structlog.get_logger()

MAX_CLIENTS = 4000
SEND_SECONDS = 15.0
"""How long a client may take none of what is sent."""
_LOOK_SECONDS = 0.5
_PROGRESS_SECONDS = 2.0
_OUTAGE_SECONDS = 2.0
_BEAT_SECONDS = 15.0
_LONGEST_SECONDS = 3600.0
_QUEUE = 64
_REPLAY = 500


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one look has for the clients of one sweep; encoded once, shared by all of them."""

    text: bytes
    first_id: int = 0
    """Of its events; 0 where it has none."""
    last_id: int = 0
    events: Sequence[tuple[int, bytes]] = ()
    rest: bytes = b""
    """What follows the events."""
    last: bool = False

    def after(self, id_: int) -> bytes:
        """The text without events up to this id."""
        if not self.events or self.first_id > id_:
            return self.text
        return b"".join(text for number, text in self.events if number > id_) + self.rest


@dataclass(eq=False)
class _Client:
    """`start`: events above this id come through the queue; those before it are read by the client itself."""

    sweep_id: int
    start: asyncio.Future[int]
    queue: asyncio.Queue[Batch | None] = field(default_factory=lambda: asyncio.Queue(_QUEUE))
    since: float = field(default_factory=monotonic)
    knows_progress: bool = False

    def give(self, batch: Batch) -> bool:
        """Whether it still keeps up."""
        try:
            self.queue.put_nowait(batch)
        except asyncio.QueueFull:
            return False
        return True


class _Stream(EventSourceResponse):
    """Cut off, without ado, when the client takes nothing for too long."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            _log.info("a stream was cut off: its client does not read")


class Hub:
    """All clients of this process. Lives on one event loop; looks at the database in a thread while anyone listens."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._horizon = Horizon()
        self._clients: dict[int, set[_Client]] = defaultdict(set)
        self._told: dict[int, tuple[float, Progress]] = {}
        """What was last said of the progress of a sweep, and when it was looked up."""
        self._looking: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._looks = CapacityLimiter(1)
        self._replays = CapacityLimiter(2)
        self._readings: set[asyncio.Task[Any]] = set()

    @property
    def size(self) -> int:
        """Clients that listen now."""
        return sum(map(len, self._clients.values()))

    def response(self, sweep_id: int, *, after: int | None) -> EventSourceResponse:
        """The stream of a sweep; `after`: first all its events above this id, None begins with what comes now."""
        return _Stream(self._stream(sweep_id, after), ping=0, sep="\n", send_timeout=SEND_SECONDS)

    async def close(self) -> None:
        """Stop looking; no connection to the database is in use then. Streams that are open end with theirs."""
        for task in (self._looking, self._beating):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await asyncio.gather(*self._readings, return_exceptions=True)

    async def _stream(self, sweep_id: int, after: int | None) -> AsyncIterator[bytes]:
        yield _HELLO
        try:
            async with aclosing(self._news(sweep_id, after)) as news:
                async for text in news:
                    yield text
        except SQLAlchemyError as error:  # it comes again
            if not is_away(error):
                raise

    async def _news(self, sweep_id: int, after: int | None) -> AsyncGenerator[bytes]:
        last = after
        if after is not None and self._horizon.certain is not None:  # the most of it before it takes its place
            async for batch in self._history(sweep_id, after, self._horizon.certain):
                yield batch.text
                last = batch.last_id
        client = self._join(sweep_id)
        try:
            while not client.start.done():  # for as long as transactions are open that may write earlier events
                await asyncio.wait([client.start], timeout=_BEAT_SECONDS)
                if not client.start.done():
                    yield _HEARTBEAT.text
            start = client.start.result()
            if last is not None:
                async for batch in self._history(sweep_id, last, start):
                    yield batch.text
                    last = batch.last_id
            if last is None:
                last = start
                yield f"id: {start}\n\n".encode()  # where to go on, should it be cut off before its first event
            while (given := await client.queue.get()) is not None:
                text = given.after(last)  # another process may have told it more than this one knew
                last = max(last, given.last_id)
                if text:
                    yield text
                if given.last:
                    return
        finally:
            self._leave(client)

    async def _history(self, sweep_id: int, after: int, until: int) -> AsyncIterator[Batch]:
        while after < until:
            events = await self._read(partial(_replayed, sweep_id, after, until), self._replays)
            if events:
                yield _batch([_encoded(event) for event in events])
                after = events[-1].id
            if len(events) < _REPLAY:
                return

    def _join(self, sweep_id: int) -> _Client:
        client = _Client(sweep_id, asyncio.get_running_loop().create_future())
        self._clients[sweep_id].add(client)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat_on())
        return client

    def _leave(self, client: _Client) -> None:
        clients = self._clients.get(client.sweep_id, set())
        clients.discard(client)
        if not clients:
            self._clients.pop(client.sweep_id, None)
            self._told.pop(client.sweep_id, None)

    def _cut(self, client: _Client) -> None:
        """It reads too slowly, or has listened for long: it comes again, and shows who it is."""
        while not client.queue.empty():
            client.queue.get_nowait()
        client.queue.put_nowait(None)
        if not client.start.done():
            client.start.set_result(0)
        self._leave(client)

    async def _look_on(self) -> None:
        """Look again and again, for as long as anyone listens."""
        stirred: set[int] = set()
        fresh = False
        while self._clients:
            try:
                if not fresh:  # nobody listened for a while
                    await self._read(lambda session: live.look(session, self._horizon, [], []), self._looks)
                    fresh = True
                if self._horizon.certain is not None:
                    for client in self._everyone():
                        if not client.start.done():
                            client.start.set_result(self._horizon.certain)
                stirred = await self._look(stirred)
            except Exception as error:
                if isinstance(error, SQLAlchemyError) and is_away(error):
                    _log.warning("streams wait for the database", error=str(error).splitlines()[0])
                    await asyncio.sleep(_OUTAGE_SECONDS)
                    continue
                _log.error("streams are cut off", exc_info=error)
                for client in self._everyone():
                    self._cut(client)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, stirred: set[int]) -> set[int]:
        """One look; `stirred` sweeps had events in the last one. Returns those that have some now."""
        watched = list(self._clients)
        asked = [sweep_id for sweep_id in watched if sweep_id in stirred or self._is_due(sweep_id)]
        seen = await self._read(lambda session: live.look(session, self._horizon, watched, asked), self._looks)
        events: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        for event in seen.events:
            events[event.sweep_id].append(_encoded(event))
        for sweep_id in asked:
            if sweep_id not in seen.progress:  # it was deleted
                for client in list(self._clients.get(sweep_id, ())):
                    self._cut(client)
        for sweep_id in events.keys() | seen.progress.keys():
            self._tell(sweep_id, events[sweep_id], seen.progress.get(sweep_id), whole=seen.whole)
        return set(events)

    def _is_due(self, sweep_id: int) -> bool:
        told = self._told.get(sweep_id)
        if told is None or told[1].over or monotonic() - told[0] > _PROGRESS_SECONDS:
            return True
        return any(not client.knows_progress for client in self._clients[sweep_id])

    def _tell(self, sweep_id: int, events: list[tuple[int, bytes]], now: Progress | None, *, whole: bool) -> None:
        told = self._told.get(sweep_id)
        news = _batch(events) if events else None
        more = None
        if now is not None:
            self._told[sweep_id] = (monotonic(), now)
            more = _batch(events, now, last=now.over and whole)
        changed = more is not None and (told is None or told[1] != now or more.last)
        for client in list(self._clients.get(sweep_id, ())):
            if not client.start.done():  # it came during the look
                continue
            batch = more if changed or (more is not None and not client.knows_progress) else news
            client.knows_progress = client.knows_progress or more is not None
            if batch is not None and not client.give(batch):
                self._cut(client)

    async def _beat_on(self) -> None:
        """Tell those who hear nothing that they are still connected."""
        while self._clients:
            await asyncio.sleep(_BEAT_SECONDS)
            for client in self._everyone():
                if monotonic() - client.since > _LONGEST_SECONDS:
                    self._cut(client)
                elif client.queue.empty():
                    client.give(_HEARTBEAT)

    def _everyone(self) -> list[_Client]:
        return [client for clients in self._clients.values() for client in clients]

    async def _read(self, ask: Callable[[Session], T], limiter: CapacityLimiter) -> T:
        """What the database says, asked in a thread."""

        def run() -> T:
            with Session(self._engine) as session:
                return ask(session)

        # Who asked may be gone before the answer is there; the thread, and its connection, are not.
        reading = asyncio.create_task(to_thread.run_sync(run, limiter=limiter))
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        return await asyncio.shield(reading)


def _replayed(sweep_id: int, after: int, until: int, session: Session) -> list[LiveEvent]:
    return live.replay(session, sweep_id, after=after, until=until, limit=_REPLAY)


def _encoded(event: LiveEvent) -> tuple[int, bytes]:
    """Its id, and the event as it is sent."""
    data = schemas.Event.model_validate(event).model_dump_json()
    return event.id, ServerSentEvent(data, event="event", id=str(event.id), sep="\n").encode()


def _batch(events: Sequence[tuple[int, bytes]], now: Progress | None = None, *, last: bool = False) -> Batch:
    parts = [text for _, text in events]
    if now is not None:
        data = schemas.Progress.model_validate(now).model_dump_json()
        parts.append(ServerSentEvent(data, event="end" if last else "progress", sep="\n").encode())
    return Batch(
        text=b"".join(parts),
        first_id=events[0][0] if events else 0,
        last_id=events[-1][0] if events else 0,
        events=events,
        rest=b"".join(parts[len(events) :]),
        last=last,
    )


_HELLO = b"retry: 1000\n\n"
_HEARTBEAT = Batch(text=b": heartbeat\n\n")
