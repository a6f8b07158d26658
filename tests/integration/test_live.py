"""Streams of a sweep over a real socket: nothing is missed, nothing comes twice, and nobody waits for the slow."""

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx_sse import connect_sse
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api import streaming
from api.app import create_app
from api.client import Client, ServerRefused, Update
from db.models import Event
from services import control, live
from services.live import Horizon
from tests import queueing as q
from tests.integration.test_api import settings as settings_of
from tests.serving import served


@pytest.fixture
def app(database_url: str, reader: str) -> FastAPI:
    return create_app(settings_of(database_url, reader, token=None))


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with served(app) as url:
        yield url


def finish(session: Session) -> None:
    order = q.claim(session)
    q.record(session, q.chunk(order, 0, outcomes=q.completed(order)))


def stored(session: Session, sweep_id: int) -> list[int]:
    session.rollback()
    rows = session.execute(text("SELECT id FROM events WHERE sweep_id = :sweep ORDER BY id"), {"sweep": sweep_id})
    return list(rows.scalars())


def told(updates: list[Update]) -> list[int]:
    return [update.data["id"] for update in updates if update.kind == "event"]


def test_a_stream_tells_all_events_and_the_progress_and_ends_with_the_sweep(url: str, session: Session) -> None:
    sweep_id = q.submit(session)
    with Client(url) as client, ThreadPoolExecutor() as pool:
        from_start = pool.submit(lambda: list(client.follow(sweep_id, after=0)))
        time.sleep(1)
        finish(session)
        updates = from_start.result(30)
        assert told(updates) == stored(session, sweep_id)
        assert {update.kind for update in updates} == {"event", "progress", "end"}
        assert updates[-1].data["state"] == "succeeded"
        assert updates[-1].data["trials"] == {"succeeded": 4}
        again = list(client.follow(sweep_id, after=0))  # over, and told from the store
        assert told(again) == told(updates)
        assert [update.kind for update in client.follow(sweep_id)] == ["end"]
        last = told(updates)[3]
        assert told(list(client.follow(sweep_id, after=last))) == [id_ for id_ in told(updates) if id_ > last]


def test_a_client_that_is_cut_off_again_and_again_misses_nothing(
    url: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_REPLAY", 3)
    monkeypatch.setattr(live, "MOST_EVENTS", 5)
    sweep_id = q.submit(session, seeds={"count": 40})
    path = f"{url}/api/v1/sweeps/{sweep_id}/events/stream"
    seen: list[int] = []

    def listen() -> None:
        last = "0"
        for _ in range(200):  # a connection for every two events
            with (
                httpx.Client(timeout=10) as http,
                connect_sse(http, "GET", path, headers={"Last-Event-ID": last}) as stream,
            ):
                got = 0
                for message in stream.iter_sse():
                    if message.event == "end":
                        return
                    if message.event == "event":
                        seen.append(json.loads(message.data)["id"])
                        last, got = message.id, got + 1
                    if got == 2:
                        break

    thread = threading.Thread(target=listen)
    thread.start()
    while q.states(session).get("queued"):
        finish(session)
    thread.join(60)
    assert not thread.is_alive()
    assert seen == stored(session, sweep_id)


def test_an_event_waits_for_older_transactions_but_progress_and_end_do_not(engine: Engine, session: Session) -> None:
    sweep_id, horizon = q.submit(session), Horizon()

    def look(asked: list[int]) -> live.Look:
        with Session(engine) as other:
            return live.look(other, horizon, [sweep_id], asked)

    look([])
    with Session(engine) as slow:
        slow.execute(text("UPDATE sweeps SET priority = 1 WHERE id = :id"), {"id": sweep_id})
        slow.add(Event(sweep_id=sweep_id, kind="sweep.slow"))
        slow.flush()
        with Session(engine) as fast, fast.begin():
            fast.execute(text("UPDATE trials SET run_after = now() WHERE sweep_id = :id"), {"id": sweep_id})
            fast.add(Event(sweep_id=sweep_id, kind="sweep.fast"))
        seen = look([sweep_id])
        assert seen.events == []  # sweep.fast is there, but sweep.slow has the smaller id
        assert seen.progress[sweep_id].trials == {"queued": 4}
        slow.commit()
    assert [event.kind for event in look([]).events] == ["sweep.slow", "sweep.fast"]
    with Session(engine) as other_sweep:
        q.submit_uncommitted(other_sweep)
        with Session(engine) as mine, mine.begin():
            control.cancel(mine, sweep_id)
        assert [event.kind for event in look([]).events] == []
        seen = look([sweep_id])
        assert [event.kind for event in seen.events][-1] == "sweep.cancelled"
        assert seen.progress[sweep_id].over


def test_whoever_writes_at_once_events_are_told_once_and_in_order(engine: Engine, session: Session) -> None:
    sweep_id, horizon, seen = q.submit(session), Horizon(), [0]

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with Session(engine) as own:
            for _ in range(30):
                own.execute(text("SELECT pg_current_xact_id()"))
                for _ in range(chance.randint(1, 3)):
                    own.add(Event(sweep_id=sweep_id, kind="sweep.edited"))
                    own.flush()
                    time.sleep(chance.random() / 100)
                own.commit()

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    busy = True
    while busy:
        busy = any(writer.is_alive() for writer in writers)
        with Session(engine) as own:
            seen += [event.id for event in live.look(own, horizon, [sweep_id], []).events]
    assert seen[1:] == [id_ for id_ in stored(session, sweep_id) if id_ >= seen[1]]
    assert len(seen) > 100


def test_bad_requests_are_refused_before_anything_streams(url: str, session: Session) -> None:
    sweep_id = q.submit(session)
    with Client(url) as client, pytest.raises(ServerRefused) as refusal:
        list(client.follow(99))
    assert refusal.value.status == 404
    path = f"{url}/api/v1/sweeps/{sweep_id}/events/stream"
    for headers in ({"Last-Event-ID": "x"}, {"Last-Event-ID": "-1"}, {"Last-Event-ID": "9" * 19}):
        assert httpx.get(path, headers=headers).status_code == 422
    assert httpx.get(path, params={"after": "-1"}).status_code == 422


def test_a_slow_client_is_cut_off_and_holds_nobody(
    url: str, app: FastAPI, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(streaming, "_LOOK_SECONDS", 0.02)
    sweep_id = q.submit(session)
    with dull_client(url, sweep_id), Client(url) as client, ThreadPoolExecutor() as pool:
        until(lambda: app.state.hub.size == 1)
        lively = pool.submit(lambda: list(client.follow(sweep_id, after=0)))
        until(lambda: app.state.hub.size == 2)
        for _ in range(60):  # more than the buffers of two sockets hold
            session.execute(text("SELECT pg_current_xact_id()"))
            session.add_all(
                Event(sweep_id=sweep_id, kind="sweep.edited", detail={"x": "x" * 100_000}) for _ in range(4)
            )
            session.commit()
        until(lambda: app.state.hub.size == 1)  # the dull one is gone, the lively one is not
        finish(session)
        assert told(lively.result(60)) == stored(session, sweep_id)
    until(lambda: app.state.hub.size == 0)


def test_a_stream_that_has_nothing_to_tell_beats(
    url: str, session: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits to know where it begins, too: for as long as somebody may write earlier events."""
    monkeypatch.setattr(streaming, "_BEAT_SECONDS", 0.05)
    sweep_id = q.submit(session)
    with engine.connect() as other, httpx.stream("GET", f"{url}/api/v1/sweeps/{sweep_id}/events/stream") as answer:
        other.execute(text("SELECT pg_current_xact_id()"))
        lines = answer.iter_lines()
        before = [next(line for line in lines if line) for _ in range(3)]
        other.rollback()
        first = next(line for line in lines if line and line != ": heartbeat")
        next(line for line in lines if line == ": heartbeat")
    assert before[1:] == [": heartbeat", ": heartbeat"]
    assert first.startswith("id: ")


def test_a_look_that_is_under_way_ends_before_the_process_does(
    database_url: str, reader: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = q.submit(session)
    looks, begun, ended = live.look, threading.Event(), threading.Event()

    def slow(held: Session, *rest: Any) -> live.Look:
        seen = looks(held, *rest)
        begun.set()
        held.execute(text("SELECT pg_sleep(0.3)"))
        ended.set()
        return seen

    app = create_app(settings_of(database_url, reader, token=None))
    with served(app) as url, httpx.stream("GET", f"{url}/api/v1/sweeps/{sweep_id}/events/stream") as answer:
        lines = answer.iter_lines()  # the connection is closed where this is dropped
        next(line for line in lines if line.startswith("id:"))
        monkeypatch.setattr(live, "look", slow)
        assert begun.wait(10)
    assert ended.is_set()
    assert app.state.engine.pool.checkedout() == 0


def dull_client(url: str, sweep_id: int) -> socket.socket:
    """Asks for a stream and reads nothing of it."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(f"GET /api/v1/sweeps/{sweep_id}/events/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection


def until(holds: Any) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_clients_share_one_connection_to_the_database(
    url: str, app: FastAPI, session: Session, engine: Engine
) -> None:
    sweep_id = q.submit(session)

    async def listen(http: httpx.AsyncClient) -> bool:
        async with http.stream("GET", f"/api/v1/sweeps/{sweep_id}/events/stream") as stream:
            return any([line == "event: end" async for line in stream.aiter_lines()])

    async def listen_all() -> list[bool]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
            listening = [asyncio.create_task(listen(http)) for _ in range(90)]
            while app.state.hub.size < 90:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            backends = await asyncio.to_thread(connections, engine)
            threads = threading.active_count()
            await asyncio.to_thread(finish, session)
            ended = await asyncio.gather(*listening)
        assert backends <= 25  # those of the pool: the streams hold none
        assert threads < 90
        return ended

    with ThreadPoolExecutor() as pool:  # in this thread a browser may have a loop that runs
        assert all(pool.submit(lambda: asyncio.run(listen_all())).result())


def connections(engine: Engine) -> int:
    with engine.connect() as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return int(connection.execute(text(count)).scalar_one())


def test_streams_outlive_an_outage_of_the_database(url: str, session: Session, engine: Engine) -> None:
    sweep_id = q.submit(session)
    with Client(url) as client, ThreadPoolExecutor() as pool:
        listening = pool.submit(lambda: list(client.follow(sweep_id, after=0)))
        time.sleep(1)
        session.rollback()
        with engine.connect() as connection:
            connection.execute(
                text("""
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                """)
            )
        session.close()
        session.invalidate()
        finish(session)
        assert told(listening.result(60)) == stored(session, sweep_id)
