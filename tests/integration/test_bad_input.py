"""Bad input against a live server: every line of a table, each with the status and the first error of its answer.

`python -m tests.integration.test_bad_input` prints the table.
"""

import json
import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.embedded import EmbeddedPostgres
from db.migrate import upgrade
from db.session import libpq_url, reader_url
from tests.bad_input import CASES, Case, ask, post
from tests.conftest import DatabaseServer
from tests.live import LiveServer, live_server
from tests.ports import free_port

MEDIA_TYPE = "application/problem+json"
SECONDS = 1.0
"""Within which every answer comes."""
BODY_SECONDS = 0.5
"""What the server allows slow clients."""
_TOLD = {0: "(the client has gone)", 200: "(accepted)", 201: "(stored as text)"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; status 0 when the client went away before."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def document(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def first_error(self) -> str:
        """Pointer, code and message of the first error; where there is none, what the document says of the whole."""
        if self.status < 400:
            return ""
        for error in self.document.get("errors", []):
            hint = f" ({error['hint']})" if error.get("hint") else ""
            return f"{error['pointer'] or '/'} {error['code']}: {error['message']}{hint}"
        return str(self.document.get("detail") or self.document["title"])


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server on a database with a sweep that waits and one that is cancelled; and one without a database."""

    server: LiveServer
    down: LiveServer
    database_url: str
    sweeps: dict[str, int]

    def send(self, case: Case) -> Answer:
        pieces = [_filled(piece, self.sweeps) for piece in case.pieces]
        return exchange((self.down if case.down else self.server).port, pieces, gone=case.gone)

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        tables = ("sweeps", "groups", "trials", "events", "tokens")
        with psycopg.connect(libpq_url(self.database_url)) as connection:
            query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
            row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return dict(zip(tables, row, strict=True))


def exchange(port: int, pieces: Iterable[bytes], *, gone: bool = False) -> Answer:
    """Send the pieces until there is an answer, and read it."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for piece in pieces:
            if select.select([connection], [], [], 0)[0]:
                break
            connection.sendall(piece)
        if gone:
            return Answer(status=0, headers={}, body=b"", seconds=0)
        response = HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=headers, body=response.read(), seconds=time.monotonic() - started)


@contextmanager
def target(database_url: str, folder: Path) -> Iterator[Target]:
    """Both servers, and the sweeps."""
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    slow = {"ALIGNSWEEP_REQUEST_SECONDS": str(BODY_SECONDS)}
    with ExitStack() as stack:
        reader = reader_url(database_url, password=None)
        server = stack.enter_context(live_server(database_url, reader, folder, **slow))
        (folder / "down").mkdir()
        down = stack.enter_context(live_server(nowhere, nowhere, folder / "down", **slow))
        found = Target(server=server, down=down, database_url=database_url, sweeps={})
        for state, key in (("open", "taken"), ("over", "other")):
            answer = found.send(post("", {"name": state}, 201, also=[f"Idempotency-Key: {key}"]))
            found.sweeps[state] = answer.document["id"]
        found.send(ask("", "/api/v1/sweeps/{over}/cancel", 200, method="POST"))
        yield found


@pytest.fixture(scope="module")
def server(database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    database_server.execute("CREATE DATABASE bad_input TEMPLATE alignsweep_template")
    with target(database_server.url_of("bad_input"), tmp_path_factory.mktemp("bad-input")) as found:
        yield found
    database_server.execute("DROP DATABASE bad_input WITH (FORCE)")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what[:50])
def test_bad_input_is_refused_by_name_and_changes_nothing(server: Target, case: Case) -> None:
    before = server.counts()
    answer = server.send(case)
    assert answer.status == case.status, answer.body[:1000]
    assert answer.seconds < SECONDS
    assert case.error in answer.first_error
    if answer.status >= 400:
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.document["status"] == answer.status
    assert case.headers.items() <= answer.headers.items()
    grown = {table: n - before[table] for table, n in server.counts().items()}
    assert grown == {**dict.fromkeys(before, case.stores), "tokens": 0}
    if case.stores:
        name = json.loads(case.pieces[0].split(b"\r\n\r\n")[1])["name"]
        assert answer.document["name"] == name


def test_all_that_left_the_server_well(server: Target) -> None:
    """It answers, and none of what it was sent went wrong inside."""
    assert server.send(ask("", "/healthz", 200)).status == 200
    log = server.server.log.read_text()
    assert "unexpected error" not in log
    assert "Traceback" not in log


def test_a_submit_that_came_before_the_server_was_told_to_stop_is_stored(
    database_url: str, reader: str, tmp_path: Path
) -> None:
    """Draining: nothing new is let in, what is being sent is answered."""
    body = b'{"name": "late"}'
    headers = f"POST /api/v1/sweeps HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    with (
        live_server(database_url, reader, tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
    ):
        connection.sendall(headers.encode() + b"Content-Type: application/json\r\n\r\n" + body[:5])
        exchange(server.port, [b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])  # the other one is known now
        server.process.terminate()
        _wait_until_refused(server.port)
        connection.sendall(body[5:])
        response = HTTPResponse(connection)
        response.begin()
        assert response.status == 201
        assert json.loads(response.read())["trials"] == {"queued": 1}


def _wait_until_refused(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise TimeoutError("the server still listens")


def _filled(piece: bytes, sweeps: dict[str, int]) -> bytes:
    for name, identifier in sweeps.items():
        piece = piece.replace(f"/{{{name}}}/".encode(), f"/{identifier}/".encode())
    return piece


def main() -> None:
    """The table in Markdown."""
    with tempfile.TemporaryDirectory() as name, EmbeddedPostgres.start(Path(name)) as database:
        upgrade(database.url, reader_password=None)
        with target(database.url, Path(name)) as found:
            sys.stdout.write("| input | status | first error | ms |\n| --- | --- | --- | --- |\n")
            for case in CASES:
                answer = found.send(case)
                told = answer.first_error or _TOLD[answer.status]
                cells = [case.what, str(answer.status or "-"), told[:160], f"{1000 * answer.seconds:.0f}"]
                sys.stdout.write("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")


if __name__ == "__main__":
    main()
