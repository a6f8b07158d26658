"""Webhooks: real requests to a real server on the loopback interface, signed, retried, and kept from private places."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Verifier

from api.app import create_app
from services import control, outbound, webhooks
from services.domain.results import Outcome
from services.domain.states import Reason
from services.sending import Sender
from tests import queueing as q
from tests.integration.test_api import ok, refused
from tests.integration.test_api import settings as settings_of

HOSTS = frozenset({"127.0.0.1"})


@dataclass
class Receiver:
    """Keeps what it is sent; answers with the next of `statuses`, 200 when there is none."""

    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str = ""

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
            if kept.location:
                self.send_header("Location", kept.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_address[1]}/hook?x=1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(database_url: str, reader: str) -> Iterator[TestClient]:
    settings = settings_of(database_url, reader, token=None, webhook_hosts=HOSTS)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def sender(engine: Engine) -> Sender:
    """One that a test drives by hand."""
    return Sender(engine, HOSTS)


def hook(session: Session, url: str, *events: str, owner: str | None = None) -> webhooks.Webhook:
    made = webhooks.create(session, url, events or ("sweep.ended", "sweep.paused"), owner=owner, allowed=HOSTS)
    session.commit()
    return made


def send(engine: Engine, sender: Sender) -> int:
    """Make the attempts that are due, one after another; returns how many there were."""
    made = 0
    while True:
        with Session(engine) as session, session.begin():
            messages = webhooks.claim(session, 1)
        if not messages:
            return made
        for message in messages:
            sender.deliver(message)
            made += 1


def finish(session: Session) -> None:
    order = q.claim(session)
    q.record(session, q.chunk(order, 0, outcomes=q.completed(order)))


def states(session: Session) -> list[tuple[str, int, int | None]]:
    session.rollback()
    rows = session.execute(text("SELECT state, attempts, status FROM webhook_deliveries ORDER BY id"))
    return [(row.state, row.attempts, row.status) for row in rows]


def test_the_end_of_a_sweep_is_told_and_the_signature_verifies(
    client: TestClient, receiver: Receiver, session: Session
) -> None:
    made = client.post("/api/v1/webhooks", json={"url": receiver.url, "events": ["sweep.ended"]})
    webhook = ok(made, 201)
    path = made.headers["location"]
    assert ok(client.get("/api/v1/webhooks"))["items"] == [ok(client.get(path))]
    assert "secret" not in ok(client.get(path))
    sweep_id = q.submit(session)
    with Session(session.get_bind()) as other, other.begin():
        control.pause(other, sweep_id)  # not among its events
        control.resume(other, sweep_id)
    finish(session)
    until(lambda: receiver.received)
    [(headers, body)] = receiver.received
    told = Verifier(webhook["secret"]).verify(body, headers)
    assert told["type"] == "sweep.ended"
    assert (told["data"]["id"], told["data"]["state"], told["data"]["trials"]) == (
        sweep_id,
        "succeeded",
        {"succeeded": 4},
    )
    until(lambda: states(session) == [("delivered", 1, 200)])
    [delivery] = ok(client.get(f"{path}/deliveries"))["items"]
    assert (delivery["sweep_id"], delivery["next_attempt_at"], delivery["error"]) == (sweep_id, None, None)
    assert client.delete(path).status_code == 204
    refused(client.get(path), 404)
    refused(client.get(f"{path}/deliveries"), 404)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_way_to_end_or_pause_is_told_in_the_same_transaction(session: Session, receiver: Receiver) -> None:
    hook(session, receiver.url)
    paused, cancelled, failing = (q.submit(session, name=name) for name in ("paused", "cancelled", "failing"))
    control.pause(session, paused)
    control.pause(session, paused)  # is so already
    session.rollback()
    assert states(session) == []
    control.pause(session, paused)
    session.commit()
    control.cancel(session, cancelled)
    session.commit()
    order = q.claim(session)
    outcomes = [
        Outcome(trial_id=trial_id, reason=Reason.USER_ERROR, error="no such file", steps=0)
        for trial_id in order.trial_ids
    ]
    q.record(session, q.chunk(order, 0, outcomes=outcomes))
    control.retry(session, failing)
    session.commit()
    finish(session)
    rows = session.execute(
        text("SELECT event, sweep_id, data ->> 'state' AS state FROM webhook_deliveries ORDER BY id")
    )
    assert [tuple(row) for row in rows] == [
        ("sweep.paused", paused, "paused"),
        ("sweep.ended", cancelled, "cancelled"),
        ("sweep.ended", failing, "failed"),
        ("sweep.ended", failing, "succeeded"),
    ]


def test_the_canary_is_told_of_with_its_reason(
    session: Session, engine: Engine, sender: Sender, receiver: Receiver
) -> None:
    hook(session, receiver.url)
    q.submit(session, seeds={"count": 100}, fail_fast={"identical_errors": 1})
    order = q.claim(session)
    q.record(
        session,
        q.chunk(
            order, 0, outcomes=[Outcome(trial_id=order.trial_ids[0], reason=Reason.USER_ERROR, error="x", steps=0)]
        ),
    )
    assert send(engine, sender) == 1
    [told] = receiver.bodies()
    assert told["type"] == "sweep.paused"
    assert "failed alike" in told["data"]["pause_reason"]


def test_owners_are_told_of_their_own_sweeps(session: Session, receiver: Receiver) -> None:
    ada = hook(session, receiver.url, owner="ada")
    hook(session, receiver.url, owner=None)
    control.cancel(session, q.submit(session, owner="ada"))
    control.cancel(session, q.submit(session, owner="bob"))
    session.commit()
    told = session.execute(text("SELECT webhook_id FROM webhook_deliveries")).scalars().all()
    assert told == [ada.id]


def test_what_fails_is_tried_again_later_with_the_same_id_and_body(
    session: Session, engine: Engine, sender: Sender, receiver: Receiver
) -> None:
    webhook = hook(session, receiver.url)
    receiver.statuses = [500, 429]
    control.cancel(session, q.submit(session))
    session.commit()
    assert send(engine, sender) == 1
    assert states(session) == [("waiting", 1, 500)]
    assert send(engine, sender) == 0  # not yet
    for attempts in (2, 3):
        wait_is_over(session)
        assert send(engine, sender) == 1
        assert states(session)[0][1] == attempts
    assert states(session) == [("delivered", 3, 200)]
    first, second, third = receiver.received
    assert first[1] == second[1] == third[1]
    assert first[0]["webhook-id"] == third[0]["webhook-id"]
    Verifier(webhook.secret).verify(third[1], third[0])


def wait_is_over(session: Session) -> None:
    session.execute(text("UPDATE webhook_deliveries SET next_attempt_at = now()"))
    session.commit()


def test_after_a_day_it_is_given_up_and_shown(client: TestClient, session: Session) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        webhook = hook(session, f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        control.cancel(session, q.submit(session))
        session.execute(text("UPDATE webhook_deliveries SET created_at = now() - interval '25 h'"))
        session.commit()
        until(lambda: states(session)[0][0] == "given_up")
    [delivery] = ok(client.get(f"/api/v1/webhooks/{webhook.id}/deliveries?state=given_up"))["items"]
    assert "refused" in delivery["error"]
    assert delivery["status"] is None
    assert delivery["finished_at"] is not None
    assert ok(client.get(f"/api/v1/webhooks/{webhook.id}/deliveries?state=waiting"))["items"] == []


def test_gone_means_no_more_and_redirects_are_not_followed(
    session: Session, engine: Engine, sender: Sender, receiver: Receiver
) -> None:
    hook(session, receiver.url)
    receiver.statuses, receiver.location = [302, 410], receiver.url
    for _ in range(2):
        control.cancel(session, q.submit(session))
    session.commit()
    send(engine, sender)
    assert states(session) == [("waiting", 1, 302), ("given_up", 1, 410)]
    assert len(receiver.received) == 2
    error = session.execute(text("SELECT error FROM webhook_deliveries ORDER BY id LIMIT 1")).scalar_one()
    assert error == "answered 302: redirects are not followed"


def test_several_senders_share_the_work(session: Session, engine: Engine, receiver: Receiver) -> None:
    for _ in range(3):
        hook(session, receiver.url)
    sweeps = [q.submit(session) for _ in range(4)]
    for sweep_id in sweeps:
        control.cancel(session, sweep_id)
    session.commit()
    senders = [Sender(engine, HOSTS) for _ in range(3)]
    for sender in senders:
        sender.start()
    until(lambda: {state for state, *_ in states(session)} == {"delivered"})
    for sender in senders:
        sender.stop()
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == len(receiver.received) == 12


def test_an_attempt_of_a_process_that_died_is_made_by_another(
    session: Session, engine: Engine, sender: Sender, receiver: Receiver
) -> None:
    hook(session, receiver.url)
    control.cancel(session, q.submit(session))
    session.commit()
    [lost] = webhooks.claim(session, 4)
    session.commit()
    assert send(engine, sender) == 0  # it may be on its way
    session.execute(text("UPDATE webhook_deliveries SET sending_until = now() - interval '1 s'"))
    session.commit()
    assert send(engine, sender) == 1
    assert webhooks.settle(session, lost, status=500, error="late") is None
    assert states(session) == [("delivered", 2, 200)]


def test_deliveries_of_last_month_are_forgotten(
    session: Session, engine: Engine, sender: Sender, receiver: Receiver
) -> None:
    hook(session, receiver.url)
    for _ in range(2):
        control.cancel(session, q.submit(session))
    session.commit()
    send(engine, sender)
    session.execute(text("UPDATE webhook_deliveries SET finished_at = now() - interval '31 d' WHERE id = 1"))
    webhooks.forget(session)
    session.commit()
    assert len(states(session)) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "http://localhost/"}, "/url"),
        ({"url": "http://10.0.0.1/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "http://[::1]:8642/"}, "/url"),
        ({"url": "http://[::ffff:127.0.0.1]/"}, "/url"),
        ({"url": "http://2130706433/"}, "/url"),
        ({"url": "file:///etc/passwd"}, "/url"),
        ({"url": "http://ada:x@127.0.0.1/"}, "/url"),
        ({"url": "http://127.0.0.1/", "events": []}, "/events"),
        ({"url": "http://127.0.0.1/", "events": ["trial.ended"]}, "/events/0"),
        ({"url": "http://127.0.0.1/", "secret": "x"}, "/secret"),
        ({}, "/url"),
    ],
)
def test_only_public_or_allowed_urls_are_taken(client: TestClient, body: Any, pointer: str) -> None:
    problem = refused(client.post("/api/v1/webhooks", json=body), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


def test_an_owner_has_twenty_at_most(client: TestClient, receiver: Receiver) -> None:
    for _ in range(20):
        ok(client.post("/api/v1/webhooks", json={"url": receiver.url}), 201)
    refused(client.post("/api/v1/webhooks", json={"url": receiver.url}), 409)


def test_a_name_that_has_turned_private_is_not_called(receiver: Receiver) -> None:
    """Checked is the address that is connected to, at every attempt: names may resolve otherwise a moment later."""
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises(outbound.Undeliverable, match="not public"):
        outbound.post(f"http://localhost:{port}/", b"{}", {}, frozenset({"127.0.0.1"}))
    assert outbound.post(f"http://localhost:{port}/", b"{}", {}, frozenset({"localhost"})) == 200
    [(headers, _)] = receiver.received
    assert headers["host"] == f"localhost:{port}"


def test_a_receiver_that_trickles_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                for _ in range(100):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.05)

        thread = threading.Thread(target=trickle)
        thread.start()
        started = time.monotonic()
        with pytest.raises(outbound.Undeliverable):
            outbound.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, HOSTS)
        assert time.monotonic() - started < 3
        thread.join()


def test_a_deleted_webhook_fails_no_transition(session: Session, engine: Engine, receiver: Receiver) -> None:
    webhook, sweep_id = hook(session, receiver.url), q.submit(session)
    with Session(engine) as deleting:
        webhooks.delete(deleting, webhook.id, None)
        done = threading.Thread(target=cancel, args=(engine, sweep_id))
        done.start()
        until(lambda: q.scalar(session, "SELECT count(*) FROM pg_locks WHERE NOT granted"))
        deleting.commit()
        done.join()
    session.rollback()
    assert q.scalar(session, f"SELECT state FROM sweeps WHERE id = {sweep_id}") == "cancelled"
    assert states(session) == []


def cancel(engine: Engine, sweep_id: int) -> None:
    with Session(engine) as session, session.begin():
        control.cancel(session, sweep_id)


def test_the_body_and_headers_are_those_of_the_standard() -> None:
    message = webhooks.Message(
        id=7,
        url="http://example.org/",
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        event="sweep.ended",
        data={"id": 1},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        attempts=1,
    )
    now = datetime.now(UTC)
    assert json.loads(message.body) == {
        "type": "sweep.ended",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "data": {"id": 1},
    }
    headers = message.headers(now)
    assert headers["webhook-signature"] == Verifier(message.secret).sign(
        headers["webhook-id"], now, message.body.decode()
    )
