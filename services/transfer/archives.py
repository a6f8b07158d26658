"""A whole sweep as one file: a zip of Parquet tables, the spec, provenance, and a manifest with the hash of each.

It is written while it is read, so its length is not known before. Parquet is compressed already: the zip only holds it.
"""

import hashlib
import json
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Engine

from db import copying
from services.domain.errors import Conflict, NotFound
from services.domain.spec import content_hash
from services.domain.states import OPEN_SWEEPS
from services.store import Store
from services.transfer.formats import Outbox, parquet_file
from services.transfer.parts import MEASURED, PARTS, Part
from services.transfer.streams import Blocks, Stream

MEDIA_TYPE = "application/zip"
FORMAT = "alignsweep-archive"
VERSION = 1
MANIFEST, SPEC, PROVENANCE = "manifest.json", "spec.json", "provenance.json"
DOCUMENTS = "documents/"

# The ids that positions stand for.
_NUMBERS = """
    WITH numbered_groups AS (SELECT id, position FROM groups WHERE sweep_id = {sweep}),
    numbered_trials AS (SELECT id, position FROM trials WHERE sweep_id = {sweep}),
    numbered_packs AS (
        SELECT id, row_number() OVER (ORDER BY id) - 1 AS position FROM packs
        WHERE id IN (SELECT pack_id FROM attempts WHERE trial_id IN (SELECT id FROM numbered_trials))
    )
"""
_OF_SWEEP = {
    "sweeps": "id = {sweep}",
    "packs": "id IN (SELECT id FROM numbered_packs)",
    "groups": "sweep_id = {sweep}",
    "trials": "sweep_id = {sweep}",
    "events": "sweep_id = {sweep}",
    "sweep_errors": "sweep_id = {sweep}",
    "parameter_cosines": "trial_a IN (SELECT id FROM numbered_trials)",
}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of the archive. `rows`: of a table."""

    name: str
    sha256: str
    bytes: int
    rows: int | None = None


def archive(engine: Engine, store: Store, sweep_id: int, *, snapshots: bool) -> Stream:
    """The sweep as a zip, with the documents of its snapshots if asked for. Raises NotFound, DatabaseUnavailable, and
    Conflict while the sweep is not over, or where snapshots are asked for that were not imported with it."""

    def blocks(connection: psycopg.Connection) -> Blocks:
        name, spec, revision = _finished(connection, sweep_id)
        documents = _documents(connection, sweep_id) if snapshots else []
        if missing := sum(not store.has(sha256) for sha256 in documents):
            raise Conflict(f"{missing} of the {len(documents)} snapshots of sweep {sweep_id} are not here", allowed=[])
        outbox = Outbox()
        with zipfile.ZipFile(outbox, "w") as zipped:
            members = [_put(zipped, SPEC, _pretty(spec))]
            members.append(_put(zipped, PROVENANCE, _pretty(_provenance(connection, sweep_id))))
            yield outbox.take()
            for part in PARTS:
                members.append((yield from _table(connection, zipped, outbox, part, sweep_id)))
            for sha256 in documents:
                members.append(_put(zipped, f"{DOCUMENTS}{sha256}.safetensors", store.get(sha256)))
                yield outbox.take()
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "name": name,
                "alignsweep": version("alignsweep"),
                "schema_revision": revision,
                "content_sha256": content_of(members),
                "members": [asdict(member) for member in members],
            }
            _put(zipped, MANIFEST, _pretty(manifest))
        yield outbox.take()

    return Stream.open(engine, MEDIA_TYPE, f"sweep-{sweep_id}.zip", blocks)


def content_of(members: list[Member]) -> str:
    """What tells one archived sweep from another: the hash of its spec and tables, with or without documents."""
    return content_hash(
        sorted((member.name, member.sha256) for member in members if not member.name.startswith(DOCUMENTS))
    )


def _finished(connection: psycopg.Connection, sweep_id: int) -> tuple[str, Any, str]:
    """Name and spec of the sweep, and the revision of the schema."""
    row = connection.execute("SELECT name, spec, state FROM sweeps WHERE id = %s", [sweep_id]).fetchone()
    if row is None:
        raise NotFound("sweep", sweep_id)
    name, spec, state = row
    if state in OPEN_SWEEPS:
        raise Conflict(f"sweep {sweep_id} is {state}; it can be archived when it is over", allowed=["cancel"])
    [revision] = connection.execute("SELECT version_num FROM alembic_version").fetchone() or [""]
    return name, spec, revision


def _provenance(connection: psycopg.Connection, sweep_id: int) -> list[dict[str, Any]]:
    """Where and with what the sweep was trained, and how many attempts each."""
    rows = connection.execute(
        """
        SELECT provenance - 'seeds', count(*) FROM attempts JOIN trials ON trials.id = attempts.trial_id
        WHERE sweep_id = %s AND provenance IS NOT NULL GROUP BY 1 ORDER BY 1
        """,
        [sweep_id],
    )
    return [{"attempts": attempts, **provenance} for provenance, attempts in rows]


def _documents(connection: psycopg.Connection, sweep_id: int) -> list[str]:
    """Hashes of the sweep's snapshots."""
    rows = connection.execute(
        """
        SELECT DISTINCT sha256 FROM snapshots JOIN trials ON trials.id = snapshots.trial_id
        WHERE sweep_id = %s ORDER BY sha256
        """,
        [sweep_id],
    )
    return [sha256 for (sha256,) in rows]


def _table(
    connection: psycopg.Connection, zipped: zipfile.ZipFile, outbox: Outbox, part: Part, sweep_id: int
) -> Generator[bytes, None, Member]:
    query = _query(connection, part, sweep_id)
    schema = copying.schema_of(connection, query)
    counted = _Counted(copying.batches(connection, query, schema))
    digest, size = hashlib.sha256(), 0
    with zipped.open(_info(part.file), "w", force_zip64=True) as file:
        for block in parquet_file(counted, schema):
            file.write(block)
            digest.update(block)
            size += len(block)
            yield outbox.take()
    yield outbox.take()
    return Member(name=part.file, sha256=digest.hexdigest(), bytes=size, rows=counted.rows)


def _query(connection: psycopg.Connection, part: Part, sweep_id: int) -> str:
    """The part's rows in their order, with positions in place of ids."""

    def name(column: str) -> str:
        return sql.Identifier(column).as_string(connection)

    columns = [
        f"to_json(own.{name(column)}) AS {name(column)}" if column in part.lists else f"own.{name(column)}"
        for column in part.columns
    ]
    if part.table in MEASURED:
        return f"""
            SELECT chosen.position AS trial_position, {", ".join(columns)}
            FROM (SELECT id, position FROM trials WHERE sweep_id = {sweep_id} ORDER BY position) AS chosen
            CROSS JOIN LATERAL (SELECT * FROM {part.table} WHERE trial_id = chosen.id ORDER BY {part.order}) AS own
        """
    joins = []
    for number, (reference, table) in enumerate(part.references.items()):
        columns.append(f"of_{number}.position AS {name(part.renamed(reference))}")
        joins.append(f"LEFT JOIN numbered_{table} AS of_{number} ON of_{number}.id = own.{reference}")
    of_sweep = _OF_SWEEP.get(part.table, "trial_id IN (SELECT id FROM numbered_trials)").format(sweep=sweep_id)
    order = ", ".join(f"own.{column.strip()}" for column in part.order.split(","))
    return f"""
        {_NUMBERS.format(sweep=sweep_id)}
        SELECT {", ".join(columns)} FROM (SELECT * FROM {part.table} WHERE {of_sweep}) AS own
        {" ".join(joins)} ORDER BY {order}
    """


class _Counted(Iterator[pa.RecordBatch]):
    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.rows = 0

    def __next__(self) -> pa.RecordBatch:
        batch = next(self._batches)
        self.rows += batch.num_rows
        return batch


def _put(zipped: zipfile.ZipFile, name: str, content: bytes) -> Member:
    zipped.writestr(_info(name), content)
    return Member(name=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def _info(name: str) -> zipfile.ZipInfo:
    """Without the time of day: the same sweep gives the same file."""
    return zipfile.ZipInfo(name)


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
