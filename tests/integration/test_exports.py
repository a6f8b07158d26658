"""Tables in bulk over HTTP: whole, in order, in every format; and the query ends when nobody reads on."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api import bulk
from api.app import create_app
from api.client import Client, ServerRefused, ServerUnreachable
from services.store import Store
from services.transfer.exports import TABLES
from tests.finished import ERROR, NAME, TAGS, finished_sweep
from tests.integration.test_api import refused, settings
from tests.serving import served

_ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def client(database_url: str, reader: str, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(settings(database_url, reader, token=None, store=str(tmp_path / "store")))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def sweep(session: Session, tmp_path: Path) -> int:
    return finished_sweep(session, Store(str(tmp_path / "store")))


def fetched(client: TestClient, path: str, form: str) -> pa.Table:
    """The rows of an answer, whichever format it comes in."""
    response = client.get(f"/api/v1/{path}{'&' if '?' in path else '?'}format={form}")
    assert response.status_code == 200, response.text
    match form:
        case "parquet":
            return parquet.read_table(io.BytesIO(response.content))
        case "arrow":
            return pa.ipc.open_stream(response.content).read_all()
        case "ndjson":
            return [json.loads(line) for line in response.text.splitlines()]
        case _:
            return list(csv.DictReader(io.StringIO(response.text, newline="")))


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_its_view_row_by_row_in_every_format(
    client: TestClient, sweep: int, engine: Engine, table: str
) -> None:
    views = {"metrics": "v_curves", "traces": "v_alignment", "layer_summaries": "v_alignment_final"}
    view = views.get(table, f"v_{table}")
    with engine.connect() as connection:
        stored = connection.execute(text(f"SELECT count(*) FROM {view} WHERE sweep_id = {sweep}")).scalar_one()
    assert stored > 0
    path = f"sweeps/{sweep}/export/{table}"
    rows = fetched(client, path, "parquet")
    assert rows.num_rows == stored
    assert fetched(client, path, "arrow").equals(rows)
    objects, cells = fetched(client, path, "ndjson"), fetched(client, path, "csv")
    assert len(objects) == len(cells) == stored
    for name in rows.schema.names:
        column = rows.column(name)
        number = int if pa.types.is_integer(column.type) else float
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.to_pylist()
            assert [row[name] for row in objects] == values
            assert [None if row[name] == "" else number(row[name]) for row in cells] == values
        else:
            assert [row[name] is None for row in objects] == [value is None for value in column.to_pylist()]


def test_traces_come_in_order_with_the_bits_that_were_measured(client: TestClient, sweep: int, engine: Engine) -> None:
    rows = fetched(client, f"sweeps/{sweep}/export/traces", "parquet")
    keys = list(zip(*(rows.column(name).to_pylist() for name in ("trial_id", "step", "layer")), strict=True))
    assert keys == sorted(keys)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT * FROM traces ORDER BY trial_id, step, layer")).mappings().all()
    for name in ("weight_alignment", "gradient_alignment", "update_norm"):
        assert rows.column(name).to_pylist() == [row[name] for row in stored]
    assert rows.column("weight_alignment").null_count == len(rows) // 2  # undefined is null
    losses = fetched(client, f"sweeps/{sweep}/export/metrics", "parquet").column("train_loss").to_pylist()
    assert any(str(loss) == "-0.0" for loss in losses)


def test_trials_carry_their_configuration_flat_and_typed(client: TestClient, sweep: int) -> None:
    trials = fetched(client, f"sweeps/{sweep}/export/trials", "parquet")
    types = {field.name: str(field.type) for field in trials.schema}
    assert types["seed"] == "int64"
    assert types["train.lr"] == "double"  # 1 and 0.001
    assert types["train.batch_size"] == "int64"
    assert types["model.bias"] == "bool"
    assert types["rule.feedback.scale"] == "string"  # a number here, a word there
    assert types["created_at"] == "timestamp[us, tz=UTC]"
    assert "config" not in types
    assert trials.column("seed").to_pylist() == [2**63 - 1] * 8
    assert sorted(set(trials.column("train.lr").to_pylist())) == [0.001, 1.0]
    assert ERROR in trials.column("error").to_pylist()


def test_no_cell_is_a_formula_and_times_are_rfc_3339(client: TestClient, sweep: int) -> None:
    cells = fetched(client, f"sweeps/{sweep}/export/trials", "csv")
    assert {row["sweep"] for row in cells} == {f"'{NAME}"}
    assert ERROR in {row["error"] for row in cells}
    [one] = fetched(client, f"sweeps/{sweep}/export/sweeps", "csv")
    assert json.loads(one["tags"]) == TAGS == fetched(client, f"sweeps/{sweep}/export/sweeps", "ndjson")[0]["tags"]
    assert all(row["created_at"].endswith("Z") and "T" in row["created_at"] for row in cells)
    assert {row["model.bias"] for row in cells} == {"false"}


def test_several_sweeps_or_all_come_in_one_file(
    client: TestClient, sweep: int, session: Session, tmp_path: Path
) -> None:
    other = finished_sweep(session, Store(str(tmp_path / "store")), points=1)
    assert fetched(client, f"export/trials?sweep={sweep},{other}", "parquet").num_rows == 16
    assert fetched(client, "export/trials", "parquet").num_rows == 16
    assert set(fetched(client, f"export/metrics?sweep={other}", "arrow").column("sweep_id").to_pylist()) == {other}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("sweeps/9/export/trials", {}, 404),
        ("export/trials?sweep=9", {}, 404),
        ("sweeps/1/export/tokens", {}, 422),
        ("sweeps/1/export/trials?format=xlsx", {}, 422),
        ("export/trials?sweep=1;2", {}, 422),
        ("export/trials?sweep=", {}, 422),
        ("export/trials", {"accept": "image/png"}, 406),
    ],
)
def test_what_there_is_not_is_a_problem(client: TestClient, path: str, headers: dict[str, str], status: int) -> None:
    refused(client.get(f"/api/v1/{path}", headers=headers), status)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/vnd.apache.parquet"),
        (_ARROW, _ARROW),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson"),
    ],
)
def test_accept_chooses_the_format(client: TestClient, sweep: int, accept: str, media_type: str) -> None:
    response = client.get(f"/api/v1/sweeps/{sweep}/export/metrics", headers={"accept": accept})
    assert response.headers["content-type"].split(";")[0] == media_type
    assert f'filename="metrics-{sweep}.' in response.headers["content-disposition"]


def test_sql_answers_in_csv_and_arrow(client: TestClient, sweep: int) -> None:
    question = {"sql": "SELECT sweep, seed, lr FROM v_trials ORDER BY trial_id", "max_rows": 3}
    answer = client.post("/api/v1/query", json=question, headers={"accept": _ARROW})
    assert answer.headers["alignsweep-truncated"] == "true"
    rows = pa.ipc.open_stream(answer.content).read_all()
    assert rows.column("sweep").to_pylist() == [NAME] * 3
    assert rows.column("seed").to_pylist() == [2**63 - 1] * 3
    answer = client.post("/api/v1/query", json={**question, "max_rows": 8}, headers={"accept": "text/csv"})
    assert answer.headers["alignsweep-truncated"] == "false"
    lines = list(csv.reader(io.StringIO(answer.text)))
    assert lines[0] == ["sweep", "seed", "lr"]
    assert {line[0] for line in lines[1:]} == {f"'{NAME}"}
    refused(client.post("/api/v1/query", json=question, headers={"accept": "image/png"}), 406)
    twice = {"sql": "SELECT 1 AS a, 2 AS a"}
    problem = refused(client.post("/api/v1/query", json=twice, headers={"accept": _ARROW}), 422)
    assert problem["detail"] == "two columns are called a: name them apart with AS"
    assert client.post("/api/v1/query", json=twice, headers={"accept": "text/csv"}).text == "a,a\n1,2\n"
    assert client.post("/api/v1/query", json=question).json()["truncated"] is True


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


_COPIES = """
    FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'COPY%'
"""


def copies(engine: Engine) -> int:
    """How many COPY run in this database."""
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) {_COPIES}")).scalar_one())


@pytest.fixture
def many_rows(session: Session, sweep: int) -> None:
    """More rows than fit into all buffers on the way to a client."""
    session.execute(
        text("""
            INSERT INTO traces
                (trial_id, step, layer, weight_norm, update_norm, delta_norm_ratio, gradient_alignment,
                 weight_alignment, weight_gradient_alignment, alignment_condition, alignment_identity,
                 alignment_residual)
            SELECT trials.id, step, 1, random(), random(), random(), random(), random(), random(), random(), random(),
                random()
            FROM trials, generate_series(1000, 36000) AS step
        """)
    )
    session.commit()


@pytest.mark.usefixtures("many_rows")
def test_a_client_that_goes_away_ends_the_query(database_url: str, reader: str, sweep: int, engine: Engine) -> None:
    with served(create_app(settings(database_url, reader, token=None))) as url:
        with httpx.stream("GET", f"{url}/api/v1/sweeps/{sweep}/export/traces?format=csv") as response:
            pieces = response.iter_raw(1000)  # once it is collected, httpx hangs up
            assert next(pieces)
            wait_for(lambda: copies(engine) == 1)
        wait_for(lambda: copies(engine) == 0)
        with Client(url) as client:  # and the server goes on
            assert client.export("trials", io.BytesIO(), sweeps=[sweep]) > 0


@pytest.mark.usefixtures("many_rows")
def test_a_client_that_does_not_read_on_ends_the_query(
    database_url: str, reader: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_PATIENCE_SECONDS", 0.5)
    with (
        served(create_app(settings(database_url, reader, token=None))) as url,
        httpx.stream("GET", f"{url}/api/v1/export/traces?format=csv"),
    ):
        wait_for(lambda: copies(engine) == 1)
        wait_for(lambda: copies(engine) == 0)


@pytest.mark.usefixtures("many_rows")
def test_so_many_exports_of_one_caller_run_at_a_time(database_url: str, reader: str, sweep: int) -> None:
    path = f"/api/v1/sweeps/{sweep}/export"
    with (
        served(create_app(settings(database_url, reader, token=None, queries=1))) as url,
        Client(url) as client,
        ThreadPoolExecutor() as pool,
    ):
        with httpx.stream("GET", f"{url}{path}/traces?format=csv") as first:
            assert first.status_code == 200
            refused(httpx.get(f"{url}{path}/trials"), 429)
            waiting = pool.submit(client.export, "trials", io.BytesIO())
        assert waiting.result() > 0  # the client has come back


def test_so_many_exports_run_at_a_time(client: TestClient, sweep: int) -> None:
    with ExitStack() as others:
        for _ in range(8):
            others.enter_context(client.app.state.exporter.connect())  # type: ignore[attr-defined]
        response = client.get(f"/api/v1/sweeps/{sweep}/export/trials")
    refused(response, 503)
    assert response.headers["retry-after"] == "5"


@pytest.mark.usefixtures("many_rows")
def test_what_breaks_off_leaves_no_file(
    database_url: str, reader: str, sweep: int, engine: Engine, tmp_path: Path
) -> None:
    with served(create_app(settings(database_url, reader, token=None))) as url, Client(url) as client:
        target = tmp_path / "traces.csv"

        def terminate() -> None:
            wait_for((tmp_path / "traces.csv.part").exists)
            query = text(f"SELECT count(pg_terminate_backend(pid)) {_COPIES}")
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                wait_for(lambda: connection.execute(query).scalar_one() > 0)

        killer = threading.Thread(target=terminate)
        killer.start()
        with pytest.raises(ServerUnreachable, match="no whole answer"):
            client.export("traces", target, form="csv")
        killer.join()
        assert list(tmp_path.glob("traces*")) == []
        assert client.export("trials", target, form="csv") == target.stat().st_size
        with pytest.raises(ServerRefused):
            client.export("nothing", target)
