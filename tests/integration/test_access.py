"""Who may do what: tokens and scopes on every route, owners, whose idempotency keys, who did it, how often."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from api.app import create_app
from api.auth import Needs, own_sweep, own_trial
from api.cli.main import app as cli
from api.client import Client, ServerRefused
from api.limits import Limiter
from api.routes.dashboard import PAGES, PLOTLY
from services.domain.access import Scope
from services.settings import Settings
from services.tokens import PREFIX
from tests.live import live_server

OPERATOR = "the-operator's-own-token-0123456789"
SPEC = {"name": "test", "seeds": {"count": 2}}

# Routes that ask for no token: whether the service lives, and its pages, which say nothing of what it holds.
_ASSETS = {"/docs/{name}", "/dashboard/{name:path}", f"/dashboard/{PLOTLY}"}
OPEN = {"/healthz", "/readyz", "/docs", "/openapi.json", *PAGES, *_ASSETS}

# Routes that have nothing to give: Ben has no webhook, nothing is over, and what is sent is no archive.
UNFIT = {"{webhook_id}": 404, "/archives": 415, "/archive": 409, "/compare/": 409}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    scopes: frozenset[Scope]
    owned: bool
    """Only owners of what the path names and admins may call it."""

    def url(self, sweep_id: int, trial_id: int) -> str:
        return (
            self.path.replace("{sweep_id}", str(sweep_id))
            .replace("{trial_id}", str(trial_id))
            .replace("{name:path}", "main.js")
            .format(token_id=1, webhook_id=1, other_id=trial_id, table="trials", name="swagger-ui.css", number=1)
        )


def routes(app: FastAPI) -> Iterator[Route]:
    for context in iter_route_contexts(app.routes):
        calls = list(_calls(getattr(context, "dependant", None)))
        scopes = frozenset(call.scope for call in calls if isinstance(call, Needs))
        for method in context.methods or ():
            yield Route(method, str(context.path), scopes, own_sweep in calls or own_trial in calls)


def _calls(dependant: Dependant | None) -> Iterator[Callable[..., Any]]:
    for below in dependant.dependencies if dependant else ():
        assert below.call is not None
        yield below.call
        yield from _calls(below)


class World:
    """A server that asks for tokens, tokens of all kinds, and a sweep of Ada's."""

    def __init__(self, client: TestClient, app: FastAPI, engine: Engine) -> None:
        self.client, self.app, self.engine = client, app, engine
        self.secrets = {
            name: self.token(name, *scopes)
            for name, scopes in {
                "ada": (Scope.SUBMIT,),
                "ben": (Scope.SUBMIT,),
                "reader": (Scope.READ,),
                "analyst": (Scope.SQL,),
                "admin": (Scope.ADMIN,),
                "expired": (Scope.ADMIN,),
                "revoked": (Scope.ADMIN,),
            }.items()
        }
        self.secrets |= {"unknown": PREFIX + 43 * "x", "none": ""}
        self.execute("UPDATE tokens SET expires_at = now() - interval '1 s' WHERE name = 'expired'")
        revoked = self.value("SELECT id FROM tokens WHERE name = 'revoked'")
        assert self.ask(OPERATOR, "DELETE", f"/api/v1/tokens/{revoked}").json()["active"] is False
        self.sweep_id = self.ask("ada", "POST", "/api/v1/sweeps", json=SPEC).json()["id"]
        self.trial_id = self.value("SELECT min(id) FROM trials")

    def token(self, name: str, *scopes: Scope) -> str:
        body = {"name": name, "owner": name, "scopes": scopes}
        answer = self.ask(OPERATOR, "POST", "/api/v1/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])

    def ask(self, who: str, method: str, url: str, **request: Any) -> httpx.Response:
        secret = getattr(self, "secrets", {}).get(who, who)
        headers = {**request.pop("headers", {}), **({"Authorization": f"Bearer {secret}"} if secret else {})}
        return self.client.request(method, url, headers=headers, **request)

    def call(self, who: str, route: Route) -> httpx.Response:
        bodies = {"/api/v1/sweeps": SPEC, "/clone": {}, "/priority": {"priority": 1}, "/query": {"sql": "SELECT 1"}}
        bodies |= {"/tokens": {"name": "x", "owner": "x", "scopes": ["admin"]}}
        body = next((body for end, body in bodies.items() if route.path.endswith(end)), None)
        more = {"json": body} if route.method == "POST" and body is not None else {}
        if route.path.endswith("/stream"):
            more = {"params": {"after": 0}}
            self.execute(f"UPDATE sweeps SET state = 'cancelled' WHERE id = {self.sweep_id}")  # so that it ends
            try:
                return self.ask(who, route.method, route.url(self.sweep_id, self.trial_id), **more)
            finally:
                self.execute(f"UPDATE sweeps SET state = 'queued' WHERE id = {self.sweep_id}")
        return self.ask(who, route.method, route.url(self.sweep_id, self.trial_id), **more)

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def value(self, query: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()

    def state(self) -> Any:
        """Everything that a call could have changed, but for when tokens were used."""
        return self.value("""
            SELECT jsonb_build_array(
                (SELECT jsonb_agg(to_jsonb(sweeps) ORDER BY id) FROM sweeps),
                (SELECT jsonb_agg(to_jsonb(trials) ORDER BY id) FROM trials),
                (SELECT jsonb_agg(to_jsonb(tokens) - 'last_used_at' ORDER BY id) FROM tokens),
                (SELECT count(*) FROM events)
            )::text
        """)


@pytest.fixture
def world(database_url: str, reader: str, engine: Engine) -> Iterator[World]:
    settings = replace(
        Settings.from_environment(), database_url=database_url, reader_url=reader, token=OPERATOR, host="0.0.0.0"
    )
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield World(client, app, engine)


def test_every_route_declares_what_it_needs(world: World) -> None:
    declared = [route for route in routes(world.app) if route.path not in OPEN]
    assert len(declared) >= 29
    for route in declared:
        assert route.scopes, f"{route.method} {route.path} declares no scope"
        if route.method != "GET":
            assert route.scopes != {Scope.READ}, f"{route.method} {route.path} changes something with the scope read"
        names_something = "{sweep_id}" in route.path or "{trial_id}" in route.path
        if route.method != "GET" and names_something and not route.path.endswith(("/clone", "/reproduce")):
            assert route.owned, f"{route.method} {route.path} lets others change what they do not own"


@pytest.mark.parametrize("who", ["none", "unknown", "expired", "revoked"])
def test_without_a_valid_token_no_route_answers(world: World, who: str) -> None:
    before = world.state()
    for route in routes(world.app):
        answer = world.call(who, route)
        if route.path in OPEN:
            assert answer.status_code == 200, route
            continue
        assert answer.status_code == 401, route
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json() == {"type": "about:blank", "title": "A valid token is needed", "status": 401}
    assert world.state() == before


@pytest.mark.parametrize(
    ("who", "may"),
    [
        ("reader", {Scope.READ}),
        ("analyst", {Scope.READ, Scope.SQL}),
        ("ben", {Scope.READ, Scope.SUBMIT}),  # but what he changes must be his
    ],
)
def test_a_token_does_what_its_scopes_say_and_nothing_more(world: World, who: str, may: set[Scope]) -> None:
    before = world.state()
    for route in routes(world.app):
        if route.path in OPEN or (
            route.method == "POST"
            and route.path.endswith(("/sweeps", "/clone", "/reproduce", "/webhooks"))
            and who == "ben"
        ):
            continue
        answer = world.call(who, route)
        if route.scopes <= may and not route.owned:
            expected = next((status for part, status in UNFIT.items() if part in route.path), 200)
            assert answer.status_code == expected, (route, answer.text)
        else:
            assert answer.status_code == 403, (route, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert world.state() == before


def test_owners_and_admins_change_what_others_may_not(world: World) -> None:
    sweep = f"/api/v1/sweeps/{world.sweep_id}"
    for who in ("ada", "admin", OPERATOR):
        assert world.ask(who, "POST", f"{sweep}/pause").json()["state"] == "paused"
        assert world.ask(who, "POST", f"{sweep}/resume").json()["state"] == "queued"
    assert (
        world.ask("ben", "POST", f"{sweep}/pause").json()["detail"].startswith(f"sweep {world.sweep_id} belongs to ada")
    )
    copy = world.ask("ben", "POST", f"{sweep}/clone", json={}).json()
    assert copy["owner"] == "ben"
    assert world.ask("ben", "POST", f"/api/v1/sweeps/{copy['id']}/cancel").json()["state"] == "cancelled"
    assert world.ask("ben", "POST", "/api/v1/sweeps/999/cancel").status_code == 404


def test_what_nobody_owns_is_the_admins_to_change(world: World) -> None:
    world.execute("UPDATE sweeps SET owner = NULL")
    assert world.ask("ada", "POST", f"/api/v1/sweeps/{world.sweep_id}/pause").status_code == 403
    assert world.ask("admin", "POST", f"/api/v1/sweeps/{world.sweep_id}/pause").status_code == 200


def test_idempotency_keys_are_each_owners_own(world: World) -> None:
    key = {"Idempotency-Key": "monday"}
    ids = {who: world.ask(who, "POST", "/api/v1/sweeps", json=SPEC, headers=key).json()["id"] for who in ("ada", "ben")}
    assert ids["ada"] != ids["ben"]
    for who, sweep_id in ids.items():
        again = world.ask(who, "POST", "/api/v1/sweeps", json=SPEC, headers=key)
        assert (again.status_code, again.json()["id"]) == (200, sweep_id)
    assert world.ask("ben", "POST", "/api/v1/sweeps", json={"name": "other"}, headers=key).status_code == 409


def test_the_same_key_clones_once(world: World) -> None:
    url, key = f"/api/v1/sweeps/{world.sweep_id}/clone", {"Idempotency-Key": "copy"}
    first, again = (world.ask("ben", "POST", url, json={}, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert world.value("SELECT count(*) FROM events WHERE kind = 'sweep.cloned'") == 1


def test_events_say_who_acted(world: World) -> None:
    world.ask("admin", "POST", f"/api/v1/sweeps/{world.sweep_id}/pause")
    world.ask("ada", "POST", f"/api/v1/trials/{world.trial_id}/cancel")
    events = world.ask("reader", "GET", f"/api/v1/sweeps/{world.sweep_id}/events").json()["items"]
    assert [(event["kind"], event["actor"]) for event in events] == [
        ("sweep.submitted", "ada"),
        ("sweep.paused", "admin"),
        ("trial.cancelled", "ada"),
    ]
    sql = "SELECT kind, actor, detail FROM v_events WHERE kind LIKE 'token.%' ORDER BY event_id"
    rows = world.ask("analyst", "POST", "/api/v1/query", json={"sql": sql}).json()["rows"]
    assert {(kind, actor) for kind, actor, _ in rows} == {("token.created", "operator"), ("token.revoked", "operator")}
    told = json.dumps(rows)
    assert not any(secret in told for secret in world.secrets.values() if secret)


def test_tokens_are_stored_as_hashes_and_their_use_is_noted_coarsely(world: World) -> None:
    row = "SELECT to_jsonb(tokens)::text FROM tokens WHERE name = 'reader'"
    assert world.secrets["reader"] not in world.value(row)
    assert re.fullmatch(PREFIX + r"[\w-]{43}", world.secrets["reader"])
    used = "SELECT last_used_at FROM tokens WHERE name = 'reader'"
    assert world.value(used) is None
    world.ask("reader", "GET", "/api/v1/queue")
    first = world.value(used)
    world.ask("reader", "GET", "/api/v1/queue")
    assert world.value(used) == first
    world.execute("UPDATE tokens SET last_used_at = now() - interval '6 minutes' WHERE name = 'reader'")
    world.ask("reader", "GET", "/api/v1/queue")
    assert world.value(used) > first
    listed = world.ask("admin", "GET", "/api/v1/tokens").text
    assert not any(secret in listed for secret in world.secrets.values() if secret)


def test_a_new_operators_token_ends_the_one_before(world: World, database_url: str, reader: str) -> None:
    settings = replace(world.app.state.settings, token="another one of the operator's")
    with TestClient(create_app(settings)) as client:
        for token, status in ((OPERATOR, 401), ("another one of the operator's", 200)):
            answer = client.get("/api/v1/tokens", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status


def test_too_many_requests_are_told_when_to_come_back(world: World) -> None:
    world.app.state.limiter = Limiter(rate=0.2, in_flight=1)  # two at once
    assert [world.ask("reader", "GET", "/api/v1/queue").status_code for _ in range(3)] == [200, 200, 429]
    answer = world.ask("reader", "GET", "/api/v1/queue")
    assert answer.headers["content-type"] == "application/problem+json"
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert world.ask("analyst", "GET", "/api/v1/queue").status_code == 200  # others are not concerned
    assert [world.ask("unknown", "GET", "/api/v1/queue").status_code for _ in range(3)] == [401, 401, 429]
    assert world.ask("none", "GET", "/healthz").status_code == 200


def test_too_many_queries_at_once_are_refused_and_other_requests_are_not(world: World) -> None:
    limiter = world.app.state.limiter = Limiter(rate=100, in_flight=1)
    query = {"json": {"sql": "SELECT 1"}}
    with limiter.flight(world.value("SELECT id FROM tokens WHERE name = 'analyst'")):
        assert world.ask("analyst", "POST", "/api/v1/query", **query).status_code == 429
        assert world.ask("analyst", "GET", "/api/v1/doctor").status_code == 429
        assert world.ask("analyst", "GET", "/api/v1/queue").status_code == 200
        assert world.ask("admin", "POST", "/api/v1/query", **query).status_code == 200
    assert world.ask("analyst", "POST", "/api/v1/query", **query).status_code == 200


def test_every_answer_tells_browsers_to_be_careful(world: World) -> None:
    for path in ("/healthz", "/api/v1/sweeps", "/nowhere", "/openapi.json"):
        headers = world.ask("none", "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert not any(name.startswith("access-control-") for name in headers)


def test_a_server_answers_to_the_names_it_was_given(world: World) -> None:
    settings = replace(world.app.state.settings, allowed_hosts=("lab.example", "::1"))
    with TestClient(create_app(settings)) as client:
        for host, status in {
            "lab.example": 200,
            "LAB.example:8642": 200,
            "[::1]:8642": 200,
            "evil.example": 400,
            "lab.example.evil": 400,
            "lab.example@evil.example": 400,
            "[": 400,
        }.items():
            assert client.get("/healthz", headers={"host": host}).status_code == status, host


def test_secrets_are_in_no_log_and_in_no_row(
    database_url: str, reader: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_server(database_url, reader, tmp_path, ALIGNSWEEP_TOKEN=OPERATOR) as server:
        monkeypatch.setenv("ALIGNSWEEP_URL", server.url)
        monkeypatch.setenv("ALIGNSWEEP_TOKEN", OPERATOR)
        made = command("create", "notebook", "--owner", "ada").stdout.strip()
        with Client(server.url, made) as ada:
            assert ada.submit(SPEC)["owner"] == "ada"
            assert ada.sql("SELECT owner FROM v_sweeps")["rows"] == [["ada"]]
            with pytest.raises(ServerRefused, match="scope admin"):
                ada.create_token("more", owner="ada", scopes=["admin"])
        with engine.begin() as connection:  # the next call goes wrong inside, and is logged
            connection.execute(text("ALTER TABLE sweeps RENAME COLUMN owner TO holder"))
        for token, status in ((made, 500), (OPERATOR, 500), (PREFIX + 43 * "x", 401)):
            headers = {"Authorization": f"Bearer {token}"}
            assert httpx.get(f"{server.url}/api/v1/sweeps/1?token={token}", headers=headers).status_code == status
        listed = json.loads(command("list", "-o", "json").stdout)
        assert [token["name"] for token in listed] == ["notebook", "ALIGNSWEEP_TOKEN"]
        assert listed[0]["scopes"] == "sql, submit"
        command("revoke", str(listed[0]["id"]))
        with Client() as operator:
            assert [token["active"] for token in operator.tokens()] == [False, True]
        log = server.log.read_text()
    assert "unexpected error" in log
    assert "Bearer" not in log
    with engine.connect() as connection:
        rows = "SELECT to_jsonb(events)::text FROM events UNION ALL SELECT to_jsonb(tokens)::text FROM tokens"
        kept = log + "".join(connection.execute(text(rows)).scalars())
    for secret in (OPERATOR, made, 43 * "x"):
        assert secret not in kept


def command(*words: str) -> Result:
    """`alignsweep token ...`"""
    result = CliRunner().invoke(cli, ["token", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result
