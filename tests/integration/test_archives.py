"""A sweep leaves one database as a file and enters another; and files that nobody should believe."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet
from sqlalchemy import Engine, inspect, text
from sqlalchemy.orm import Session

from api.app import create_app
from db.session import make_engine
from services.phasing import detect_next
from services.store import Store
from services.transfer import imports
from tests import queueing
from tests.conftest import _TEMPLATE, DatabaseServer
from tests.finished import WEIGHTS, finished_sweep
from tests.integration.test_api import ok, refused, settings

ZIP = {"content-type": "application/zip"}
Members = dict[str, bytes]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def client(database_url: str, reader: str, store: Store) -> Iterator[TestClient]:
    app = create_app(settings(database_url, reader, token=None, store=store.url, archive_bytes=2**20))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def elsewhere(database_server: DatabaseServer, tmp_path: Path) -> Iterator[tuple[TestClient, Engine]]:
    """Another, empty service, whose ids are not those of the first one."""
    database_server.execute(f"CREATE DATABASE elsewhere TEMPLATE {_TEMPLATE}")
    url = database_server.url_of("elsewhere")
    engine = make_engine(url)
    with engine.begin() as connection:
        for table in ("sweeps", "groups", "trials", "packs", "events"):
            connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)"))
    with TestClient(create_app(settings(url, url, token=None, store=str(tmp_path / "elsewhere")))) as client:
        yield client, engine
    engine.dispose()
    database_server.execute("DROP DATABASE elsewhere WITH (FORCE)")


def archived(client: TestClient, sweep: int, **params: Any) -> bytes:
    response = client.get(f"/api/v1/sweeps/{sweep}/archive", params=params)
    assert response.status_code == 200, response.text
    return response.content


def members(archive: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        assert zipped.testzip() is None
        return {name: zipped.read(name) for name in zipped.namelist()}


def views(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of the public views, with ranks in place of ids."""
    found = {}
    with engine.connect() as connection:
        for view in sorted(inspect(connection).get_view_names()):
            if view == "v_imports":
                continue
            rows = [dict(row) for row in connection.execute(text(f"SELECT * FROM {view}")).mappings()]
            for name in rows[0] if rows else ():
                if name in ("trial_a", "trial_b") or (name.endswith("_id") and name != "sweep_id"):
                    ranks = {id_: rank for rank, id_ in enumerate(sorted({row[name] for row in rows} - {None}))}
                    rows = [{**row, name: ranks.get(row[name])} for row in rows]
            found[view] = sorted(({**row, "sweep_id": None} for row in rows), key=repr)
    return found


def test_every_view_answers_the_same_after_an_import(
    client: TestClient, session: Session, engine: Engine, store: Store, elsewhere: tuple[TestClient, Engine]
) -> None:
    there, other = elsewhere
    archive = archived(client, finished_sweep(session, store))
    sweep = ok(there.post("/api/v1/archives", content=archive, headers=ZIP), 201)
    assert sweep["id"] == 1001
    with Session(other) as there_session, there_session.begin():
        assert detect_next(there_session)
    before, after = views(engine), views(other)
    for view, rows in before.items():
        assert after[view] == rows, view
    filled = {view for view, rows in before.items() if rows}
    assert filled == before.keys() - {"v_queue"}
    assert all(row["violations"] == 0 for row in after["v_doctor"])
    again = members(archived(there, sweep["id"]))
    mine = members(archive)
    assert {name: content for name, content in again.items() if name != "manifest.json"} == {
        name: content for name, content in mine.items() if name != "manifest.json"
    }


def test_the_same_archive_is_the_same_sweep(client: TestClient, session: Session, store: Store) -> None:
    sweep = finished_sweep(session, store)
    archive = archived(client, sweep)
    first = ok(client.post("/api/v1/archives", content=archive, headers=ZIP), 201)["id"]
    assert first != sweep
    with_weights = archived(client, sweep, snapshots=True)
    for again in (archive, with_weights, archived(client, first)):
        assert ok(client.post("/api/v1/archives", content=again, headers=ZIP), 200)["id"] == first
    assert len(ok(client.get("/api/v1/sweeps"))["items"]) == 2


def test_what_older_versions_did_not_measure_is_undefined(
    client: TestClient, session: Session, store: Store, elsewhere: tuple[TestClient, Engine]
) -> None:
    there, other = elsewhere

    def older(held: Members) -> None:
        for table in ("traces", "layer_summaries"):
            without_column(table, "alignment_residual")(held)

    archive = resealed(archived(client, finished_sweep(session, store)), older)
    ok(there.post("/api/v1/archives", content=archive, headers=ZIP), 201)
    with Session(other) as there_session:
        for view in ("v_alignment", "v_alignment_final"):
            counted = f"SELECT count(*) = count(alignment_identity) AND count(alignment_residual) = 0 FROM {view}"
            assert queueing.scalar(there_session, counted)


def test_weights_travel_if_asked(
    client: TestClient, session: Session, store: Store, elsewhere: tuple[TestClient, Engine], tmp_path: Path
) -> None:
    sweep = finished_sweep(session, store)
    name = hashlib.sha256(WEIGHTS).hexdigest()
    document = f"documents/{name}.safetensors"
    assert document not in members(archived(client, sweep))
    archive = archived(client, sweep, snapshots=True)
    assert members(archive)[document] == WEIGHTS
    ok(elsewhere[0].post("/api/v1/archives", content=archive, headers=ZIP), 201)
    assert Store(str(tmp_path / "elsewhere")).get(name) == WEIGHTS


def test_weights_may_follow(
    client: TestClient, session: Session, store: Store, elsewhere: tuple[TestClient, Engine]
) -> None:
    there, _ = elsewhere
    sweep = finished_sweep(session, store)
    imported = ok(there.post("/api/v1/archives", content=archived(client, sweep), headers=ZIP), 201)["id"]
    told = refused(there.get(f"/api/v1/sweeps/{imported}/archive", params={"snapshots": True}), 409)
    assert "are not here" in told["detail"]
    whole = archived(client, sweep, snapshots=True)
    ok(there.post("/api/v1/archives", content=whole, headers=ZIP), 200)
    assert members(archived(there, imported, snapshots=True)).keys() == members(whole).keys()


def test_an_archive_explains_itself(client: TestClient, session: Session, store: Store) -> None:
    held = members(archived(client, finished_sweep(session, store)))
    manifest = json.loads(held["manifest.json"])
    assert manifest["format"] == "alignsweep-archive"
    assert manifest["schema_revision"]
    for member in manifest["members"]:
        assert hashlib.sha256(held[member["name"]]).hexdigest() == member["sha256"]
        if member["name"].startswith("tables/"):
            assert parquet.read_table(io.BytesIO(held[member["name"]])).num_rows == member["rows"]
    assert json.loads(held["spec.json"])["seeds"]["base"] == 2**63 - 1
    [origin] = json.loads(held["provenance.json"])
    assert origin["reproducibility"] == "bitwise"
    assert origin["attempts"] >= 7


def test_failed_trials_of_an_import_can_be_retried(
    client: TestClient, session: Session, store: Store, elsewhere: tuple[TestClient, Engine]
) -> None:
    there, other = elsewhere
    archive = archived(client, finished_sweep(session, store))
    sweep = ok(there.post("/api/v1/archives", content=archive, headers=ZIP), 201)["id"]
    assert ok(there.post(f"/api/v1/sweeps/{sweep}/retry"))["trials"] == {"queued": 1, "succeeded": 7}
    with Session(other) as there_session:
        assert len(queueing.claim(there_session).trials) == 1


def test_what_the_queue_goes_by_is_not_taken_from_an_archive(
    client: TestClient, session: Session, store: Store, elsewhere: tuple[TestClient, Engine]
) -> None:
    there, other = elsewhere

    def stubborn(held: Members) -> None:
        for name, value in (("attempts", 0), ("max_attempts", 0), ("pack_limit", 0), ("crashes_alone", 9)):
            with_column("trials", name, value)(held)

    forged = resealed(archived(client, finished_sweep(session, store)), stubborn)
    sweep = ok(there.post("/api/v1/archives", content=forged, headers=ZIP), 201)["id"]
    ok(there.post(f"/api/v1/sweeps/{sweep}/retry"))
    with Session(other) as there_session:
        assert len(queueing.claim(there_session).trials) == 1


def test_a_sweep_that_is_not_over_has_no_archive(client: TestClient, session: Session) -> None:
    refused(client.get(f"/api/v1/sweeps/{queueing.submit(session)}/archive"), 409)
    refused(client.get("/api/v1/sweeps/9/archive"), 404)


def resealed(archive: bytes, change: Callable[[Members], None], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with changed members, under a manifest that fits them."""
    held = members(archive)
    manifest = json.loads(held.pop("manifest.json"))
    change(held)
    rows = {
        name: parquet.read_metadata(io.BytesIO(content)).num_rows
        for name, content in held.items()
        if name.endswith(".parquet") and content.endswith(b"PAR1")
    }
    manifest["members"] = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "rows": rows.get(name)}
        for name, content in held.items()
    ]
    return zipped({**held, "manifest.json": json.dumps(manifest).encode()}, compression)


def zipped(held: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, content in held.items():
            file.writestr(name, content)
    return target.getvalue()


def with_column(table: str, name: str, value: Any) -> Callable[[Members], None]:
    """Every row of the table has this value."""

    def change(held: Members) -> None:
        file = f"tables/{table}.parquet"
        rows = parquet.read_table(io.BytesIO(held[file]))
        place, kind = rows.schema.get_field_index(name), rows.schema.field(name).type
        sink = io.BytesIO()
        parquet.write_table(rows.set_column(place, name, pa.array([value] * len(rows), kind)), sink)
        held[file] = sink.getvalue()

    return change


def without_column(table: str, name: str) -> Callable[[Members], None]:
    """As from a version that did not have it."""

    def change(held: Members) -> None:
        file = f"tables/{table}.parquet"
        sink = io.BytesIO()
        parquet.write_table(parquet.read_table(io.BytesIO(held[file])).drop_columns([name]), sink)
        held[file] = sink.getvalue()

    return change


def with_rows(table: str, count: int) -> Callable[[Members], None]:
    """The first row of the table so many times."""

    def change(held: Members) -> None:
        file = f"tables/{table}.parquet"
        rows = parquet.read_table(io.BytesIO(held[file]))
        sink = io.BytesIO()
        parquet.write_table(pa.concat_tables([rows.slice(0, 1)] * count) if count else rows.slice(0, 0), sink)
        held[file] = sink.getvalue()

    return change


def unfolding(held: Members) -> None:
    """A table of a few kB whose text is gigabytes long."""
    rows = parquet.read_table(io.BytesIO(held["tables/events.parquet"])).slice(0, 1)
    place = rows.schema.get_field_index("kind")
    many = pa.concat_tables([rows] * 8000).set_column(place, "kind", pa.array(["x" * 100_000] * 8000))
    sink = io.BytesIO()
    parquet.write_table(many, sink, compression="zstd")
    held["tables/events.parquet"] = sink.getvalue()


def without(name: str) -> Callable[[Members], None]:
    return lambda held: held.pop(name) and None


def put(name: str, content: bytes) -> Callable[[Members], None]:
    return lambda held: held.update({name: content})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without("tables/traces.parquet"), "a table is missing"),
        (put("../../etc/passwd", b""), "does not belong"),
        (put("spec.json", b"{"), "no archive"),
        (put("tables/traces.parquet", b"PAR1 no"), "damaged"),
        (with_column("sweeps", "state", "queued"), "not over"),
        (with_column("sweeps", "name", "no\x00name"), "no archive"),
        (with_column("sweeps", "tags", '["a", "b,"]'), "no archive"),
        (with_column("sweeps", "priority", 10**6), "no archive"),
        (with_column("sweeps", "trial_count", None), "lacks trials"),
        (with_column("sweeps", "created_at", None), "damaged"),
        (with_column("trials", "state", "queued"), "not that of a sweep that is over"),
        (with_column("trials", "state", "mad"), "not that of a sweep that is over"),
        (with_column("trials", "position", 0), "not that of a sweep that is over"),
        (with_column("trials", "reason", "because"), "damaged"),
        (with_column("trials", "seed", -1), "not that of a sweep that is over"),
        (with_column("trials", "attempts", 99), "not that of a sweep that is over"),
        (with_column("packs", "state", "running"), "not that of a sweep that is over"),
        (with_column("attempts", "provenance", "[]"), "not that of a sweep that is over"),
        (with_column("events", "detail", " [1]"), "not that of a sweep that is over"),
        (with_rows("sweeps", 3), "not that of one sweep"),
        (with_column("attempts", "finished_at", None), "not that of a sweep that is over"),
        (with_column("traces", "trial_position", 10**6), "damaged"),
        (with_column("traces", "step", 0), "damaged"),  # one row twice
        (with_column("groups", "config", '{"train": {"lr": "fast"}}'), "configuration"),
        (with_column("groups", "config", "{"), "configuration"),
        (with_column("events", "detail", "{"), "damaged"),
        (with_column("events", "kind", "\0"), "damaged"),
        (unfolding, "unfold"),
    ],
)
def test_a_forged_archive_is_refused_and_nothing_is_stored(
    client: TestClient, session: Session, store: Store, change: Callable[[Members], None], told: str
) -> None:
    forged = resealed(archived(client, finished_sweep(session, store, points=2)), change)
    detail = refused(client.post("/api/v1/archives", content=forged, headers=ZIP), 422)["detail"]
    assert re.search(told, detail), detail
    assert len(ok(client.get("/api/v1/sweeps"))["items"]) == 1
    assert queueing.scalar(session, "SELECT count(*) FROM trials") == 8


def test_a_spec_that_is_too_large_is_not_read(
    client: TestClient, session: Session, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_SPEC_BYTES", 100)
    archive = archived(client, finished_sweep(session, store, points=1))
    told = refused(client.post("/api/v1/archives", content=archive, headers=ZIP), 422)
    assert "the spec has more than 100 bytes" in told["detail"]


def test_a_damaged_or_packed_archive_is_refused(client: TestClient, session: Session, store: Store) -> None:
    archive = archived(client, finished_sweep(session, store, points=1))
    spoilt = bytearray(archive)
    spoilt[archive.index(b"PAR1") + 40] ^= 1
    packed = resealed(archive, lambda _: None, zipfile.ZIP_DEFLATED)
    for bad in (b"", b"no zip", archive[: len(archive) // 2], bytes(spoilt), packed, zipped({})):
        refused(client.post("/api/v1/archives", content=bad, headers=ZIP), 422)
    refused(client.post("/api/v1/archives", content=archive, headers={"content-type": "text/plain"}), 415)
    assert len(ok(client.get("/api/v1/sweeps"))["items"]) == 1


def test_an_archive_has_a_limit_of_its_own(client: TestClient) -> None:
    refused(client.post("/api/v1/archives", content=b" " * (2**20 + 1), headers=ZIP), 413)
    endless = (b" " * 2**16 for _ in range(100))
    refused(client.post("/api/v1/archives", content=endless, headers=ZIP), 413)


def test_an_import_belongs_to_who_imports_it(database_url: str, reader: str, session: Session, store: Store) -> None:
    sweep = finished_sweep(session, store, points=1)
    app = create_app(settings(database_url, reader, token="secret", store=store.url))
    with TestClient(app, headers={"Authorization": "Bearer secret"}) as client:
        archive = archived(client, sweep)
        session.execute(text("UPDATE events SET actor = 'ada'"))
        session.commit()
        assert archived(client, sweep) == archive
        imported = ok(client.post("/api/v1/archives", content=archive, headers=ZIP), 201)
    assert imported["owner"] == "operator"
    packs = session.execute(text(f"SELECT size, owners, shares FROM packs WHERE sweep_id = {imported['id']}")).all()
    assert packs
    assert all((owners, shares) == (["operator"], [size]) for size, owners, shares in packs)
    acted = f"SELECT count(*) FROM events WHERE actor IS NOT NULL AND sweep_id = {imported['id']}"
    assert queueing.scalar(session, acted) == 0
    assert queueing.violations(session) == {}


def test_positions_stand_for_ids(client: TestClient, session: Session, store: Store) -> None:
    held = members(archived(client, finished_sweep(session, store)))
    for file in ("traces", "metrics", "attempts", "events", "parameter_cosines"):
        names = parquet.read_schema(io.BytesIO(held[f"tables/{file}.parquet"])).names
        assert not [name for name in names if name.endswith("_id") or name == "id"]
    traces = parquet.read_table(io.BytesIO(held["tables/traces.parquet"]))
    assert pc.min_max(traces.column("trial_position")).as_py() == {"min": 0, "max": 7}
