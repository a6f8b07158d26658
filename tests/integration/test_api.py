"""The REST API over real PostgreSQL: what it answers, and that nothing bad gets in."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from api.app import create_app
from services.domain.errors import DomainError
from services.settings import Settings

SPEC = {"name": "test", "grid": {"rule.name": ["bp", "dfa"]}, "seeds": {"count": 2}}


def settings(database_url: str, reader: str, **changes: Any) -> Settings:
    return replace(Settings.from_environment(), database_url=database_url, reader_url=reader, **changes)


@pytest.fixture
def client(database_url: str, reader: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings(database_url, reader, token=None)), raise_server_exceptions=False) as client:
        yield client


def ok(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def refused(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    return body


def test_a_submitted_sweep_is_stored_with_all_defaults_written_out(client: TestClient) -> None:
    response = client.post("/api/v1/sweeps", json=SPEC)
    sweep = ok(response, 201)
    assert sweep.pop("warnings") == []
    assert response.headers["location"] == f"/api/v1/sweeps/{sweep['id']}"
    assert sweep["trials"] == {"queued": 4}
    assert sweep["spec"]["base"]["train"]["lr"] == 0.001
    assert ok(client.get(f"/api/v1/sweeps/{sweep['id']}")) == sweep
    trials = ok(client.get(f"/api/v1/sweeps/{sweep['id']}/trials"))["items"]
    assert [(t["config"]["rule"]["name"], t["seed"]) for t in trials] == [("bp", 0), ("bp", 1), ("dfa", 0), ("dfa", 1)]
    assert ok(client.get(f"/api/v1/trials/{trials[0]['id']}")) == trials[0]
    for noun in ("metrics", "alignment", "attempts"):
        assert ok(client.get(f"/api/v1/trials/{trials[0]['id']}/{noun}")) == {"items": []}


def test_a_dry_run_counts_and_stores_nothing(client: TestClient) -> None:
    answer = ok(client.post("/api/v1/sweeps?dry_run=true", json=SPEC))
    assert answer["plan"]["trials"] == 4
    assert answer["plan"]["model_steps"] == 4 * 15 * 45
    assert ok(client.get("/api/v1/sweeps"))["items"] == []


def test_yaml_and_json_are_the_same_spec(client: TestClient) -> None:
    yaml = "name: test\nbase: {train: {lr: 1e-3}}\nseeds: {count: 2}\n"
    sweep = ok(client.post("/api/v1/sweeps", content=yaml, headers={"content-type": "application/yaml"}), 201)
    assert sweep["spec"]["base"]["train"]["lr"] == 0.001


def test_the_same_idempotency_key_is_the_same_sweep(client: TestClient) -> None:
    key = {"Idempotency-Key": "k"}
    first = ok(client.post("/api/v1/sweeps", json=SPEC, headers=key), 201)
    assert ok(client.post("/api/v1/sweeps", json=SPEC, headers=key), 200)["id"] == first["id"]
    refused(client.post("/api/v1/sweeps", json={"name": "other"}, headers=key), 409)


def test_pages_follow_cursors_to_the_end(client: TestClient) -> None:
    ids = [ok(client.post("/api/v1/sweeps", json={"name": f"s{i}"}), 201)["id"] for i in range(5)]
    seen, cursor = [], None
    while True:
        page = ok(client.get("/api/v1/sweeps", params={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        seen += [sweep["id"] for sweep in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_cancel_may_be_repeated_but_not_when_the_sweep_is_over(client: TestClient, engine: Engine) -> None:
    sweep_id = ok(client.post("/api/v1/sweeps", json=SPEC), 201)["id"]
    for _ in range(2):
        assert ok(client.post(f"/api/v1/sweeps/{sweep_id}/cancel"))["state"] == "cancelled"
    with engine.begin() as connection:
        connection.execute(text("UPDATE sweeps SET state = 'succeeded'"))
    refused(client.post(f"/api/v1/sweeps/{sweep_id}/cancel"), 409)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/sweeps/1",
        "/api/v1/sweeps/1/trials",
        "/api/v1/sweeps/1/stats",
        "/api/v1/sweeps/1/alignment",
        "/api/v1/sweeps/1/curves",
        "/api/v1/trials/1",
        "/api/v1/trials/1/metrics",
    ],
)
def test_what_is_not_there_is_a_problem(client: TestClient, path: str) -> None:
    refused(client.get(path), 404)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM tokens",
        "SELECT * FROM trials",
        "INSERT INTO sweeps (name) VALUES ('x')",
        "DELETE FROM v_trials",
        "SELECT 1; SELECT 2",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_create(0)",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "SET ROLE postgres",
        "SELECT set_config('role', 'postgres', false)",
        "CREATE TABLE x (y int)",
        "not sql",
    ],
)
def test_the_reader_reads_the_views_and_nothing_else(client: TestClient, sql: str) -> None:
    refused(client.post("/api/v1/query", json={"sql": sql}), 422)


def test_a_query_answers_in_json_whatever_the_values(client: TestClient) -> None:
    ok(client.post("/api/v1/sweeps", json=SPEC), 201)
    sql = "SELECT rule, count(*) AS n, 'NaN'::float8 AS x, now() AS t, '\\x00'::bytea AS b FROM v_trials GROUP BY rule"
    answer = ok(client.post("/api/v1/query", json={"sql": sql, "max_rows": 1}))
    assert answer["columns"] == ["rule", "n", "x", "t", "b"]
    assert answer["truncated"] is True
    assert answer["rows"][0][1:3] == [2, "nan"]


def test_a_public_address_without_a_token_is_refused(database_url: str, reader: str) -> None:
    with pytest.raises(DomainError, match="without a token"):
        create_app(settings(database_url, reader, token=None, host="0.0.0.0"))


def test_a_foreign_host_name_is_refused_on_loopback(client: TestClient) -> None:
    assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 400


def test_the_openapi_document_stands_by_itself(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    text_of = json.dumps(document)
    names = set(document["components"]["schemas"])
    for reference in text_of.split('"#/components/schemas/')[1:]:
        assert reference.split('"')[0] in names
    assert ok(client.get("/api/v1/schema"))["required"] == ["name"]
    assert all("operationId" in operation for path in document["paths"].values() for operation in path.values())


def test_without_its_database_the_service_says_so(reader: str) -> None:
    nowhere = reader.replace("/test_", "/gone_")
    with TestClient(create_app(settings(nowhere, nowhere, token=None))) as client:
        response = client.get("/readyz")
        refused(response, 503)
        assert response.headers["retry-after"] == "5"
        assert ok(client.get("/healthz")) == {"status": "ok"}


def test_the_documentation_needs_no_other_server(client: TestClient) -> None:
    page = client.get("/docs")
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page.text)) == {
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/docs/favicon.png",
    }
    assert "http" not in page.headers["Content-Security-Policy"]
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert len(client.get(f"/docs/{name}").content) > 1000
    assert client.get("/docs/../app.py").status_code == 404
    assert client.get("/docs/redoc.standalone.js").status_code == 422


def test_a_rush_of_changes_is_answered(client: TestClient) -> None:
    """More at once than there are threads, and than there are connections."""
    paths = [f"/api/v1/sweeps/{ok(client.post('/api/v1/sweeps', json=SPEC), 201)['id']}/priority" for _ in range(10)]
    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(lambda nth: client.post(paths[nth % 10], json={"priority": nth % 10}), range(240)))
    assert {answer.status_code for answer in answers} == {200}


def test_pages_of_this_server_may_change_things(client: TestClient) -> None:
    path = f"/api/v1/sweeps/{ok(client.post('/api/v1/sweeps', json=SPEC), 201)['id']}"
    for said in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver", "Host": "testserver"}):
        ok(client.post(f"{path}/pause", headers=said))
    ok(client.get(path, headers={"Sec-Fetch-Site": "cross-site"}))
    refused(client.post(f"{path}/resume", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    assert ok(client.get(path))["state"] == "paused"


def test_the_last_page_is_known_for_the_last(client: TestClient) -> None:
    path = f"/api/v1/sweeps/{ok(client.post('/api/v1/sweeps', json=SPEC), 201)['id']}"
    ok(client.post(f"{path}/pause"))
    first = ok(client.get(f"{path}/events", params={"limit": 1}))
    last = ok(client.get(f"{path}/events", params={"limit": 1, "cursor": first["next_cursor"]}))
    assert [event["kind"] for page in (first, last) for event in page["items"]] == ["sweep.submitted", "sweep.paused"]
    assert last["next_cursor"] is None
