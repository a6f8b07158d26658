"""Users' SQL against the real reader: every attack is refused, stopped by a limit, or answered in good JSON."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from api.app import create_app
from db.priority import give_way
from db.session import make_reader_engine, reader_url
from services.domain.errors import QueryRejected
from services.query import QueryLimits, run_query
from services.settings import Settings
from tests.attacks import ANSWERED, ATTACKS, REFUSED, STOPPED, STOPPED_STATES, Attack, watched
from tests.conftest import DatabaseServer

LIMITS = {STOPPED: timedelta(seconds=0.3), REFUSED: timedelta(seconds=30), ANSWERED: timedelta(seconds=30)}
"""For what would take for ever, and for what ends by itself, on machines that have other things to do."""


@pytest.fixture(scope="module")
def attacked(database_server: DatabaseServer) -> Iterator[str]:
    """One database for all attacks, as in life."""
    database_server.execute("CREATE DATABASE attacked TEMPLATE alignsweep_template")
    yield database_server.url_of("attacked")
    database_server.execute("DROP DATABASE attacked WITH (FORCE)")


@pytest.fixture(scope="module")
def clients(attacked: str) -> Iterator[dict[str, TestClient]]:
    """By how an attack may end: servers that differ in what time they give."""
    settings = replace(
        Settings.from_environment(),
        database_url=attacked,
        reader_url=reader_url(attacked, password=None),
        token=None,
    )
    with ExitStack() as running:
        yield {
            end: running.enter_context(
                TestClient(create_app(replace(settings, query_time=limit)), raise_server_exceptions=False)
            )
            for end, limit in LIMITS.items()
        }


@pytest.fixture(scope="module")
def server_pid(attacked: str) -> int:
    with psycopg.connect(attacked) as connection:
        [folder] = connection.execute("SHOW data_directory").fetchone() or [""]
    return int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_comes_to_nothing(clients: dict[str, TestClient], server_pid: int, attack: Attack) -> None:
    client = clients[attack.ends]
    with watched(os.getpid(), server_pid) as cost:
        response = client.post("/api/v1/query", json={"sql": attack.sql, "max_rows": 20_000})
    body = json.loads(response.text, parse_constant=_refuse)
    match attack.ends:
        case "answered":
            assert response.status_code == 200, body
            assert all(len(row) == len(body["columns"]) for row in body["rows"])
        case ends:
            assert response.status_code == 422, body
            assert (body["sqlstate"] in STOPPED_STATES) == (ends == STOPPED), body
            assert len(response.content) < 10_000
    assert cost.own < 400, cost  # MB
    assert cost.server < 900, cost
    assert client.post("/api/v1/query", json={"sql": "SELECT 1"}).json()["rows"] == [[1]]


def test_the_table_of_attacks_has_all_ends() -> None:
    assert {attack.ends for attack in ATTACKS} == {REFUSED, STOPPED, ANSWERED}
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) > 70


def test_values_arrive_as_they_are(reader: str) -> None:
    engine = make_reader_engine(reader)
    sql = """
        SELECT 1 AS a, 'x,"y\\z' AS a, NULL AS b, '' AS c, 1.5 AS d, true AS e, '{"k": [1, null]}'::jsonb AS f,
            ARRAY[1, NULL] AS g, '\\x00ff'::bytea AS h, 'NaN'::float8 AS i, date '2026-01-31' AS j, E'two\\nlines' AS k
    """
    found = run_query(engine, sql, max_rows=1)
    assert found.columns == ["a", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]
    values = [1, 'x,"y\\z', None, "", 1.5, True, {"k": [1, None]}, [1, None], "AP8=", "nan", "2026-01-31", "two\nlines"]
    assert found.rows == [values]
    assert run_query(engine, "SELECT NULL", max_rows=1).rows == [[None]]
    assert run_query(engine, "SELECT FROM generate_series(1, 2)", max_rows=5).rows == [[], []]


@pytest.mark.parametrize(
    ("sql", "max_rows", "rows", "truncated"),
    [
        ("SELECT 1 WHERE false", 3, 0, False),
        ("SELECT generate_series(1, 3)", 3, 3, False),
        ("SELECT generate_series(1, 4)", 3, 3, True),
        ("SELECT repeat('x', 400) FROM generate_series(1, 3)", 3, 2, True),  # two of these fit into 1000 bytes
        ("SELECT repeat('x', CASE n WHEN 2 THEN 5000 ELSE 1 END) FROM generate_series(1, 3) AS s(n)", 3, 1, True),
    ],
)
def test_an_answer_is_cut_where_it_would_grow_too_large(
    reader: str, sql: str, max_rows: int, rows: int, truncated: bool
) -> None:
    found = run_query(make_reader_engine(reader), sql, max_rows=max_rows, limits=QueryLimits(answer_bytes=1000))
    assert (len(found.rows), found.truncated) == (rows, truncated)


def test_errors_name_the_place(reader: str) -> None:
    with pytest.raises(QueryRejected, match=r"(?s)column \"nothing\" does not exist.*LINE 1"):
        run_query(make_reader_engine(reader), "SELECT nothing FROM v_trials", max_rows=1)
    with pytest.raises(QueryRejected, match=r"^permission denied for function pg_sleep$"):
        run_query(make_reader_engine(reader), "SELECT pg_sleep(1)", max_rows=1)


def test_the_watchdog_ends_what_the_time_limit_does_not(reader: str, engine: Engine) -> None:
    with engine.begin() as connection:  # a server where rights on functions could not be taken back
        connection.execute(text("GRANT EXECUTE ON FUNCTION set_config, pg_sleep(double precision) TO PUBLIC"))
        connection.execute(text("CREATE FUNCTION lift() RETURNS int LANGUAGE plpgsql SET statement_timeout = 0 AS "
                                "'BEGIN PERFORM pg_sleep(60); RETURN 1; END'"))  # fmt: skip
    limits = QueryLimits(time=timedelta(seconds=0.5))
    with watched(os.getpid(), os.getpid()) as cost, pytest.raises(QueryRejected, match="cancel"):
        run_query(make_reader_engine(reader), "SELECT set_config('statement_timeout', '0', false), lift()", max_rows=1,
                  limits=limits)  # fmt: skip
    assert cost.seconds < 20


def test_no_session_meets_the_next_one(reader: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("GRANT EXECUTE ON FUNCTION set_config TO PUBLIC"))
    one = make_reader_engine(reader)
    run_query(one, "SELECT set_config('application_name', 'left behind', false)", max_rows=1)
    assert run_query(one, "SELECT current_setting('application_name')", max_rows=1).rows == [["alignsweep query"]]


def test_the_server_has_bounds_and_gives_way(reader: str) -> None:
    with psycopg.connect(reader) as connection:
        with pytest.raises(psycopg.errors.OutOfMemory):
            connection.execute("SELECT length(repeat(now()::text, 30000000))")
        connection.rollback()
        assert give_way(connection)
        assert os.getpriority(os.PRIO_PROCESS, connection.info.backend_pid) > 0


def test_the_reader_runs_nothing_that_has_effects(engine: Engine) -> None:
    with engine.connect() as connection:
        may = connection.execute(
            text("""
                SELECT DISTINCT proname FROM pg_proc
                WHERE provolatile = 'v' AND has_function_privilege('alignsweep_reader', oid, 'EXECUTE')
                ORDER BY proname
            """)
        ).scalars()
        assert len([name for name in may if not name.startswith(("pg_", "uuid", "random"))]) < 12


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
