"""Lists over real PostgreSQL: filters, order, fields, cursors; tags and notes."""

import base64
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api.app import create_app
from services.lists import listing
from services.lists.columns import SWEEPS, TRIALS, Kind, Noun
from services.lists.listing import Question
from tests import queueing as q
from tests.integration.test_api import ok, refused
from tests.integration.test_api import settings as settings_of

SPEC = {
    "name": "lists",
    "base": {"model": {"hidden": [8, 8]}},
    "grid": {"rule.name": ["bp", "fa", "dfa"], "train.lr": [0.001, 0.01, 0.1]},
    "seeds": {"count": 2},
}


@pytest.fixture
def client(database_url: str, reader: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings_of(database_url, reader, token=None)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def sweep(client: TestClient, engine: Engine) -> int:
    """A sweep of 18 trials; those of even position have succeeded, with an accuracy of a tenth of position % 4."""
    sweep_id = int(ok(client.post("/api/v1/sweeps", json=SPEC), 201)["id"])
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE trials SET state = 'succeeded', finished_at = now(), attempts = 1 WHERE position % 2 = 0")
        )
        connection.execute(
            text("""
                INSERT INTO trial_summaries (trial_id, steps, trace_points, test_accuracy)
                SELECT id, 10, 1, (position % 4) / 10.0 FROM trials WHERE state = 'succeeded'
            """)
        )
    return sweep_id


def positions(client: TestClient, sweep: int, filter: str, **params: Any) -> list[int]:
    answer = client.get(f"/api/v1/sweeps/{sweep}/trials", params={"filter": filter, "fields": "position", **params})
    return [item["position"] for item in ok(answer)["items"]]


@pytest.mark.parametrize(
    ("filter", "holds"),
    [
        ("rule = dfa", lambda rule, lr, seed, done: rule == "dfa"),
        ("rule.name in (fa, dfa) and train.lr < 0.01", lambda rule, lr, seed, done: rule != "bp" and lr < 0.01),
        ("lr >= 1e-2 and not rule = bp", lambda rule, lr, seed, done: lr >= 0.01 and rule != "bp"),
        ("train.lr in (0.10, 1e-3)", lambda rule, lr, seed, done: lr in (0.1, 0.001)),
        ("rule not in (fa) and seed = 1", lambda rule, lr, seed, done: rule != "fa" and seed == 1),
        (
            "(state = succeeded or lr > 0.05) and seed = 0",
            lambda rule, lr, seed, done: (done or lr > 0.05) and not seed,
        ),
        ("test_accuracy > 0.1", lambda rule, lr, seed, done: None),
        ("test_accuracy is null", lambda rule, lr, seed, done: not done),
        ("not test_accuracy > 5", lambda rule, lr, seed, done: True),  # what is undefined is not greater
        ("test_accuracy != 5", lambda rule, lr, seed, done: done),  # nor is it anything
        ("rule ~ FA", lambda rule, lr, seed, done: "fa" in rule),
        ("rule !~ f", lambda rule, lr, seed, done: "f" not in rule),
        ('hidden = "[8, 8]"', lambda rule, lr, seed, done: True),
        ("hidden = '[8,9]'", lambda rule, lr, seed, done: False),
        ("rule.feedback.scale = inv_sqrt_width", lambda rule, lr, seed, done: True),
        ("rule.feedback.scale > 0", lambda rule, lr, seed, done: False),
        ("train.shuffle = true", lambda rule, lr, seed, done: True),
        ("rule.switch.to is null", lambda rule, lr, seed, done: True),
        ("layers = 3 and attempts = 1", lambda rule, lr, seed, done: done),
        ("created_at > 2020-01-01 and finished_at < 2100-01-01T00:00:00Z", lambda rule, lr, seed, done: done),
        ("created_at > 2100-01-01", lambda rule, lr, seed, done: False),
        ("sweep = lists and reason is null", lambda rule, lr, seed, done: True),
        ('sweep = "x\'; DROP TABLE trials; --"', lambda rule, lr, seed, done: False),
        ("seed = 9223372036854775807 or seed < -1", lambda rule, lr, seed, done: False),
        ("seed = 18446744073709551616", lambda rule, lr, seed, done: False),
    ],
)
def test_filters_hold_of_what_they_say(client: TestClient, sweep: int, filter: str, holds: Any) -> None:
    expected = []
    for position in range(18):
        rule, lr, seed = ("bp", "fa", "dfa")[position // 6], (0.001, 0.01, 0.1)[position // 2 % 3], position % 2
        kept = holds(rule, lr, seed, position % 2 == 0)
        if kept is None:
            kept = position % 4 == 2
        if kept:
            expected.append(position)
    assert positions(client, sweep, filter) == expected


def test_errors_say_where_and_what_was_meant(client: TestClient, sweep: int) -> None:
    path = f"/api/v1/sweeps/{sweep}/trials"
    problem = refused(client.get(path, params={"filter": "rule = fa and acuracy > 0.5"}), 422)
    assert problem["errors"] == [
        {
            "pointer": "/query/filter",
            "code": "unknown_name",
            "message": "at character 15: there is no column `acuracy`",
            "hint": "did you mean test_accuracy?",
        }
    ]
    for params, pointer in [
        ({"sort": "-acuracy"}, "/query/sort"),
        ({"sort": "config"}, "/query/sort"),
        ({"fields": "id,stat"}, "/query/fields"),
        ({"fields": ""}, "/query/fields"),
        ({"filer": "rule = fa"}, "/query/filer"),
        ({"limit": "0"}, "/query/limit"),
        ({"filter": "rule = \x00"}, "/query/filter"),
        ({"cursor": "forged"}, "/query/cursor"),
        ({"cursor": "é"}, "/query/cursor"),
    ]:
        assert [error["pointer"] for error in refused(client.get(path, params=params), 422)["errors"]] == [pointer]


@pytest.mark.parametrize(
    "sort",
    ["position", "-position", "test_accuracy", "-test_accuracy", "-train.lr", "rule", "-created_at", "state", "id"],
)
@pytest.mark.parametrize("limit", [1, 4, 18])
def test_pages_are_the_whole_in_order_with_what_is_undefined_last(
    client: TestClient, sweep: int, sort: str, limit: int
) -> None:
    name = sort.removeprefix("-")
    rows = list(pages(client, f"/api/v1/sweeps/{sweep}/trials", sort=sort, limit=limit, fields=f"id,{name}"))
    assert len({row["id"] for row in rows}) == len(rows) == 18
    keys = [row[name] for row in rows]
    defined = [key for key in keys if key is not None]
    assert keys == defined + [None] * (18 - len(defined))
    assert defined == sorted(defined, reverse=sort.startswith("-"))


def pages(client: TestClient, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = ok(client.get(path, params={**params, **cursor}))
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def test_whoever_pages_sees_each_row_once_whatever_is_inserted_meanwhile(client: TestClient) -> None:
    ids = [ok(client.post("/api/v1/sweeps", json={"name": f"s{i % 3}"}), 201)["id"] for i in range(6)]
    for sort in ("-id", "name", "-created_at"):
        seen = []
        for row in pages(client, "/api/v1/sweeps", sort=sort, limit=1, fields="id"):
            seen.append(row["id"])
            if len(seen) % 2:
                ok(client.post("/api/v1/sweeps", json={"name": f"s{len(seen) % 4}"}), 201)
        assert [id_ for id_ in seen if id_ in ids] == [id_ for id_ in dict.fromkeys(seen) if id_ in ids]
        assert set(ids) <= set(seen)
        assert len(set(seen)) == len(seen)


def test_a_cursor_belongs_to_its_list(client: TestClient, sweep: int) -> None:
    path = f"/api/v1/sweeps/{sweep}/trials"
    asked = {"limit": "2", "filter": "seed = 0"}
    cursor = ok(client.get(path, params=asked))["next_cursor"]
    assert ok(client.get(path, params={**asked, "limit": "3", "fields": "id", "cursor": cursor}))["items"]
    raw = bytearray(base64.urlsafe_b64decode(cursor))
    raw[-2] ^= 1
    forged = base64.urlsafe_b64encode(raw).decode()
    other = ok(client.post("/api/v1/sweeps", json=SPEC), 201)["id"]
    for where, params in [
        (path, {**asked, "cursor": forged}),
        (path, {**asked, "filter": "seed = 1", "cursor": cursor}),
        (path, {**asked, "sort": "-id", "cursor": cursor}),
        (path, {**asked, "state": "queued", "cursor": cursor}),
        (f"/api/v1/sweeps/{other}/trials", {**asked, "cursor": cursor}),
        ("/api/v1/trials", {**asked, "cursor": cursor}),
        ("/api/v1/sweeps", {"cursor": cursor}),
    ]:
        refused(client.get(where, params=params), 422)


def test_fields_are_columns_and_parameters_as_the_configuration_has_them(client: TestClient, sweep: int) -> None:
    path = f"/api/v1/sweeps/{sweep}/trials"
    [row, *_] = ok(client.get(path, params={"fields": "seed,train.lr,hidden,rule,test_accuracy,train.shuffle,varied"}))[
        "items"
    ]
    assert list(row) == ["seed", "train.lr", "hidden", "rule", "test_accuracy", "train.shuffle", "varied"]
    assert row["varied"] == {"rule.name": "bp", "train.lr": 0.001}
    assert [*row.values()][:-1] == [0, 0.001, [8, 8], "bp", 0.0, True]
    [whole, *_] = ok(client.get(path))["items"]
    assert whole == ok(client.get(f"/api/v1/trials/{whole['id']}"))
    everything = ",".join(TRIALS.columns | TRIALS.shorthands)
    assert len(ok(client.get(path, params={"fields": everything}))["items"][0]) == len(everything.split(","))


def test_rules_without_feedback_have_no_scale_of_it(client: TestClient, session: Session) -> None:
    q.submit(session, grid={"rule.name": ["bp", "dfa"], "rule.feedback.scale": [0.5, 2, "inv_sqrt_width"]})

    def scales(**asked: str) -> list[Any]:
        items = ok(client.get("/api/v1/trials", params={"fields": "feedback_scale", **asked}))["items"]
        return [item["feedback_scale"] for item in items]

    assert set(scales(filter="rule = bp")) == {None}
    assert sorted(set(scales(filter="rule = dfa"))) == ["0.5", "2.0", "inv_sqrt_width"]
    assert set(scales(filter="feedback_scale > 1")) == {"2.0"}
    assert set(scales(filter="feedback_scale = inv_sqrt_width")) == {"inv_sqrt_width"}
    fallen = scales(filter="rule = dfa and feedback_scale < 9", sort="-feedback_scale")
    assert list(dict.fromkeys(fallen)) == ["2.0", "0.5"]


@pytest.mark.parametrize(("noun", "view"), [(TRIALS, "v_trials"), (SWEEPS, "v_sweeps")])
def test_columns_are_those_of_the_views(
    client: TestClient, sweep: int, session: Session, noun: Noun, view: str
) -> None:
    key = f"{view[2:-1]}_id"
    in_view = {row["name"] for row in describe(session, view)} - {key} | {"id"}
    assert in_view == {*noun.columns, *noun.shorthands} - {key, "tag"}
    ids = list(session.execute(text(f"SELECT {key} FROM {view} ORDER BY 1")).scalars())
    plain = [name for name, column in noun.columns.items() if column.kind is not Kind.DOCUMENT and name != "id"]
    rows = listing.rows(session, noun, ids, plain)
    shown = session.execute(text(f"SELECT {', '.join(plain)} FROM {view} ORDER BY {key}")).mappings()
    assert rows == [dict(row) for row in shown]


def describe(session: Session, view: str) -> list[dict[str, Any]]:
    rows = session.execute(
        text("SELECT column_name AS name FROM information_schema.columns WHERE table_name = :view"), {"view": view}
    )
    return [dict(row) for row in rows.mappings()]


NAMES = st.sampled_from(["id", "seed", "state", "rule", "train.lr", "test_accuracy", "error", "created_at", "layers"])
OPERATORS = st.sampled_from(["=", "!=", "<", ">=", "~", "!~", "in", "is null"])
VALUES = st.sampled_from(["0", "1", "0.01", "-1e-300", "1e308", "fa", "queued", "2026-01-01", "'x'", "9" * 19])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        name, operator, value = draw(NAMES), draw(OPERATORS), draw(VALUES)
        tail = {"in": f"in ({value}, {value})", "is null": "is null"}.get(operator, f"{operator} {value}")
        return f"{name} {tail}"
    inner = draw(expressions(depth - 1))
    if draw(st.booleans()):
        return f"not ({inner})"
    return f"({inner}) {draw(st.sampled_from(['and', 'or']))} ({draw(expressions(depth - 1))})"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filter=expressions(), sort=st.sampled_from(["id", "-test_accuracy", "train.lr"]))
def test_a_filter_and_its_negation_share_out_all_rows(client: TestClient, sweep: int, filter: str, sort: str) -> None:
    path = f"/api/v1/sweeps/{sweep}/trials"
    there = client.get(path, params={"filter": filter, "sort": sort, "fields": "id"})
    assert there.status_code in (200, 422), there.text
    if there.status_code == 200:
        rest = ok(client.get(path, params={"filter": f"not ({filter})", "fields": "id"}))["items"]
        both = [row["id"] for row in there.json()["items"] + rest]
        assert len(both) == len(set(both)) == 18


def test_all_trials_are_listed_newest_first(client: TestClient, sweep: int) -> None:
    other = ok(client.post("/api/v1/sweeps", json={"name": "other"}), 201)["id"]
    items = ok(client.get("/api/v1/trials", params={"fields": "sweep_id,position"}))["items"]
    assert [item["sweep_id"] for item in items] == [other] + [sweep] * 18
    found = ok(client.get("/api/v1/trials", params={"filter": "sweep = other"}))["items"]
    assert [trial["sweep_id"] for trial in found] == [other]


def test_a_page_of_a_hundred_thousand_trials_comes_fast_by_an_index(client: TestClient, engine: Engine) -> None:
    sweep_id = many_trials(client, engine)
    plain = f"/api/v1/sweeps/{sweep_id}/trials"
    for path in (plain, "/api/v1/trials"):
        with engine.connect() as connection:
            plan = "\n".join(explained(connection, path, sweep_id))
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan
        deep = list_deep(client, path)
        assert median(timed(client, path, deep) for _ in range(9)) < 0.5  # 0.1 where nothing else runs


def many_trials(client: TestClient, engine: Engine) -> int:
    """A sweep of a hundred thousand trials."""
    sweep_id = int(ok(client.post("/api/v1/sweeps", json={**SPEC, "seeds": {"count": 1}}), 201)["id"])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text("""
                INSERT INTO trials (sweep_id, group_id, position, seed, config_hash, pack_key, max_attempts)
                SELECT sweep_id, group_id, (position + 1) * 20000 + n, n, config_hash || n, pack_key, max_attempts
                FROM trials, generate_series(1, 11111) AS n
            """)
        )
        connection.execute(text("VACUUM ANALYZE trials"))
    return sweep_id


def list_deep(client: TestClient, path: str) -> str:
    """A cursor to somewhere far into the list."""
    cursor = {}
    for _ in range(10):
        cursor = {"cursor": ok(client.get(path, params={"limit": 1000, "fields": "id", **cursor}))["next_cursor"]}
    return cursor["cursor"]


def timed(client: TestClient, path: str, cursor: str) -> float:
    started = time.perf_counter()
    ok(client.get(path, params={"limit": 100, "cursor": cursor}))
    return time.perf_counter() - started


def explained(connection: Any, path: str, sweep_id: int) -> list[str]:
    """The plan of the statement that finds the first page."""
    caught: list[tuple[str, Any]] = []

    class Catching(Session):
        def execute(self, statement: Any, params: Any = None, **_: Any) -> Any:
            caught.append((str(statement), params))
            return super().execute(statement, params)

    scope = {} if path == "/api/v1/trials" else {"trials.sweep_id = :sweep": {"sweep": sweep_id}}
    sort = "position" if scope else "-id"
    with Catching(connection) as session:
        listing.page(session, TRIALS, Question(sort=sort, limit=100, scope=scope))
    sql, params = caught[0]
    return list(connection.execute(text(f"EXPLAIN {sql}"), params).scalars())


def test_a_cursor_holds_what_is_sorted_by_in_any_script(client: TestClient) -> None:
    for nth in range(2):
        sweep_id = ok(client.post("/api/v1/sweeps", json={**SPEC, "name": f"{nth}"}), 201)["id"]
        path = f"/api/v1/sweeps/{sweep_id}"
        ok(client.patch(path, json={"notes": "\u8bb0" * 300 + str(nth)}, headers={"If-Match": "*"}))
    first = ok(client.get("/api/v1/sweeps", params={"sort": "notes", "limit": 1}))
    rest = ok(client.get("/api/v1/sweeps", params={"sort": "notes", "limit": 1, "cursor": first["next_cursor"]}))
    assert [first["items"][0]["name"], rest["items"][0]["name"]] == ["0", "1"]
    assert rest["next_cursor"] is None


# Tags and notes.


def test_tags_and_notes_are_edited_under_their_etag(client: TestClient) -> None:
    path = f"/api/v1/sweeps/{ok(client.post('/api/v1/sweeps', json=SPEC), 201)['id']}"
    first = client.get(path)
    assert (first.json()["tags"], first.json()["notes"]) == ([], None)
    tag = {"If-Match": first.headers["etag"]}
    edited = client.patch(path, json={"tags": ["b", "a", "b"], "notes": "why\nnot"}, headers=tag)
    assert ok(edited)["tags"] == ["b", "a"]
    assert edited.headers["etag"] == client.get(path).headers["etag"]
    refused(client.patch(path, json={"notes": "late"}, headers=tag), 412)
    refused(client.patch(path, json={"notes": "blind"}), 428)
    assert ok(client.patch(path, json={"name": "new"}, headers={"If-Match": "*"}))["notes"] == "why\nnot"
    assert ok(client.patch(path, json={"notes": None}, headers={"If-Match": "*"}))["name"] == "new"
    events = ok(client.get(f"{path}/events"))["items"]
    assert [(e["kind"], e["detail"]) for e in events[1:]] == [
        ("sweep.edited", {"fields": ["notes", "tags"]}),
        ("sweep.edited", {"fields": ["name"]}),
        ("sweep.edited", {"fields": ["notes"]}),
    ]
    refused(client.patch("/api/v1/sweeps/99", json={}, headers={"If-Match": "*"}), 404)


def test_an_edit_is_not_disturbed_by_progress_but_a_cached_answer_is(client: TestClient, session: Session) -> None:
    path = f"/api/v1/sweeps/{ok(client.post('/api/v1/sweeps', json=SPEC), 201)['id']}"
    tag = client.get(path).headers["etag"]
    unchanged = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    q.claim(session)
    assert ok(client.get(path, headers={"If-None-Match": tag}))["state"] == "running"
    assert ok(client.patch(path, json={"tags": ["x"]}, headers={"If-Match": tag}))["tags"] == ["x"]


@pytest.mark.parametrize(
    "body",
    [
        {"tags": ["a,b"]},
        {"tags": [""]},
        {"tags": ["x" * 51]},
        {"tags": [str(n) for n in range(21)]},
        {"tags": None},
        {"name": None},
        {"name": ""},
        {"notes": "x" * 20_001},
        {"notes": 1},
        {"state": "succeeded"},
        [],
    ],
)
def test_only_fitting_edits_are_taken(client: TestClient, body: Any) -> None:
    path = f"/api/v1/sweeps/{ok(client.post('/api/v1/sweeps', json=SPEC), 201)['id']}"
    refused(client.patch(path, json=body, headers={"If-Match": "*"}), 422)
    assert ok(client.get(path))["name"] == "lists"


def test_sweeps_are_found_by_tag_owner_and_name(client: TestClient, engine: Engine) -> None:
    ids = {}
    for name, tags in {"one": ["nightly"], "two": ["nightly", "paper"], "three": []}.items():
        ids[name] = ok(client.post("/api/v1/sweeps", json={"name": name}), 201)["id"]
        ok(client.patch(f"/api/v1/sweeps/{ids[name]}", json={"tags": tags}, headers={"If-Match": "*"}))
    with engine.begin() as connection:
        connection.execute(text("UPDATE sweeps SET owner = 'ada' WHERE name = 'three'"))

    def found(**params: Any) -> list[str]:
        return [row["name"] for row in ok(client.get("/api/v1/sweeps", params={"fields": "name", **params}))["items"]]

    assert found(tag="nightly") == ["two", "one"]
    assert found(tag=["nightly", "paper"]) == ["two"]
    assert found(filter="tag in (paper, nightly) and not tag = paper") == ["one"]
    assert found(filter="tags is null") == ["three"]
    assert found(filter="owner = ada or name ~ WO") == ["three", "two"]
    assert found(state="queued", sort="name") == ["one", "three", "two"]
