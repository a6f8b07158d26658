"""An archive becomes a sweep again: a finished one, with the same names, seeds, states, results and history.

Nothing of it can run by itself, but its failed trials may be retried: so the configurations are checked as those of a
submit are, and what the queue goes by is computed anew.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from db import copying
from db.models import Import, Sweep
from services import sweeps
from services.domain.errors import InvalidArchive
from services.domain.labels import Notes, Tags
from services.domain.ports import Resources
from services.domain.schedule import total_steps
from services.domain.spec import (
    MAX_SEED,
    MAX_STEPS_PER_TRIAL,
    MAX_TRIALS_PER_SWEEP,
    SweepSpec,
    TrialConfig,
    content_hash,
)
from services.domain.spec.base import Name
from services.domain.states import OPEN_SWEEPS, PackState, SweepState, TrialState
from services.packing import pack_key
from services.planning.expansion import flatten, parse
from services.queue_sql import COUNT_ENDS
from services.store import Store
from services.sweeps import SweepSummary
from services.transfer.archives import SPEC
from services.transfer.files import ArchiveFile
from services.transfer.parts import NUMBERED, PARTS, Part
from services.transfer.streams import driver_of

_TRIALS_OVER = pa.array([state for state in TrialState if state not in (TrialState.QUEUED, TrialState.RUNNING)])
_PACKS_OVER = pa.array([state for state in PackState if state is not PackState.RUNNING])

_SPEC_BYTES = 2**22

_TAKE_IDS = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"


def store_archive(
    session: Session, store: Store, path: Path, *, limit: int, owner: str | None
) -> tuple[SweepSummary, bool]:
    """Store the sweep in the file, or return the one that came from the same archive before.

    The second value tells whether it was stored now. `limit`: bytes of the largest archive. Raises InvalidArchive,
    InvalidSpec, StoreUnavailable.
    """
    with ArchiveFile.open(path, limit=limit) as archive:
        # Before the transaction, which may not rest for so long. What is refused leaves documents that no row names.
        for document in archive.documents():
            store.put(document)
        # Two imports of one archive take turns, as submits under one key do.
        session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": archive.content_sha256}
        )
        same = select(Import.sweep_id).where(Import.content_sha256 == archive.content_sha256)
        if (earlier := session.scalars(same).one_or_none()) is not None:
            return sweeps.get(session, earlier), False
        if archive.members[SPEC].bytes > _SPEC_BYTES:
            raise InvalidArchive(f"the spec has more than {_SPEC_BYTES:,} bytes")
        spec = parse(json.loads(archive.read(SPEC)))
        sweep_id = _insert_sweep(session, archive, spec, owner)
        _Rows(driver_of(session.connection()), archive, spec, sweep_id, owner).store()
        session.execute(COUNT_ENDS, {"sweep": sweep_id})
        session.add(Import(sweep_id=sweep_id, content_sha256=archive.content_sha256))
        session.flush()
        return sweeps.get(session, sweep_id), True


def _insert_sweep(session: Session, archive: ArchiveFile, spec: SweepSpec, owner: str | None) -> int:
    if archive.rows("tables/sweeps.parquet") != 1:
        raise InvalidArchive("the table of sweeps is not that of one sweep")
    rows = [row for batch in archive.batches("tables/sweeps.parquet") for row in batch.to_pylist()]
    if len(rows) != 1 or rows[0].keys() - set(PARTS[0].columns):
        raise InvalidArchive("the table of sweeps is not that of one sweep")
    [row] = rows
    if row["state"] not in set(SweepState) - OPEN_SWEEPS:
        raise InvalidArchive("the sweep in the archive is not over")
    if row["trial_count"] != archive.rows("tables/trials.parquet"):
        raise InvalidArchive("the sweep in the archive lacks trials")
    document = spec.model_dump(mode="json")
    values = {
        **row,
        **_Labels.model_validate({**row, "tags": json.loads(row.get("tags") or "[]")}).model_dump(),
        "owner": owner,
        "cpu": spec.resources.cpu,
        "gpu": spec.resources.gpu,
        "max_running": spec.limits.running,
        "trial_seconds": spec.limits.trial_seconds,
        "identical_errors": spec.fail_fast.identical_errors,
        "spec": document,
        "request_hash": content_hash(document),
    }
    try:
        return session.execute(insert(Sweep).values(values).returning(Sweep.id)).scalar_one()
    except (DataError, IntegrityError, ProgrammingError) as error:  # a value that its column does not have
        raise InvalidArchive(f"the table of sweeps is damaged: {error.orig}") from None


class _Labels(BaseModel):
    """What the owner wrote on it."""

    model_config = ConfigDict(strict=True)

    name: Name
    tags: Tags
    notes: Notes | None = None
    priority: int = Field(ge=-1000, le=1000)


@dataclass
class _Rows:
    """The tables of one archive on their way into the database."""

    connection: psycopg.Connection
    archive: ArchiveFile
    spec: SweepSpec
    sweep_id: int
    owner: str | None
    _ids: dict[str, pa.Array] = field(default_factory=dict)
    """Of groups, trials and packs, by position."""
    _pack_keys: list[str] = field(default_factory=list)
    """By position of the group."""

    def store(self) -> None:
        for part in PARTS[1:]:
            if part.table in NUMBERED:
                self._ids[part.table] = self._new_ids(part)
            copying.copy_in(self.connection, part.table, self._rows(part))
            if part.table == "groups":
                self._store_parameters(part)

    def _new_ids(self, part: Part) -> pa.Array:
        count = self.archive.rows(part.file)
        if count > MAX_TRIALS_PER_SWEEP:
            raise InvalidArchive(f"{part.file} has {count:,} rows")
        taken = self.connection.execute(_TAKE_IDS, [part.table, count]).fetchall()
        return pa.array([id_ for (id_,) in taken], pa.int64())

    def _rows(self, part: Part) -> Iterator[pa.RecordBatch]:
        """The rows of a part as its table has them."""
        first = 0
        for batch in self.archive.batches(part.file):
            columns = {name: batch.column(name) for name in batch.schema.names}
            for reference, table in part.references.items():
                columns[reference] = self._ids[table].take(columns.pop(part.renamed(reference)))
            if strange := columns.keys() - {*part.columns, *part.references}:
                raise InvalidArchive(f"{part.file} has columns that this version does not know: {sorted(strange)}")
            if part.table in NUMBERED:
                columns["id"] = self._ids[part.table].slice(first, batch.num_rows)
            if part.of_sweep:
                columns["sweep_id"] = pa.repeat(pa.scalar(self.sweep_id), batch.num_rows)
            self._check(part, columns, first)
            columns |= self._anew(part, batch)
            first += batch.num_rows
            yield pa.RecordBatch.from_pydict(columns)

    def _anew(self, part: Part, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Columns that are this database's own."""
        match part.table:
            case "trials":
                count = batch.num_rows
                return {
                    "pack_key": pa.array(self._pack_keys).take(batch.column("group_position")),
                    "max_attempts": pa.repeat(pa.scalar(self.spec.retries.max_attempts), count),
                    "pack_limit": pa.nulls(count, pa.int64()),
                    "crashes_alone": pa.repeat(pa.scalar(0), count),
                }
            case "packs":  # as if all its trials had been of this sweep
                [owners] = self.connection.execute("SELECT ARRAY[%s::text]::text", [self.owner]).fetchone() or ()
                shares = pc.binary_join_element_wise("{", batch.column("size").cast(pa.string()), "}", "")
                return {"owners": pa.repeat(owners, batch.num_rows), "shares": shares}
            case "events":
                return {"actor": pa.nulls(batch.num_rows, pa.string())}
            case _:
                return {}

    def _check(self, part: Part, columns: Mapping[str, pa.Array], first: int) -> None:
        """What neither the database nor the hashes can tell: nothing of it waits or runs, and positions are those."""
        match part.table:
            case "groups":
                sound = _are_positions(columns["position"], first)
                self._check_configurations(columns)
            case "trials":
                sound = (
                    _are_positions(columns["position"], first)
                    and _all_in(columns["state"], _TRIALS_OVER)
                    and _all_within(columns["seed"], 0, MAX_SEED)
                    and _all_within(columns["attempts"], 0, self.spec.retries.max_attempts)
                )
            case "packs":
                sound = _all_in(columns["state"], _PACKS_OVER)
            case "attempts":
                sound = columns["finished_at"].null_count == 0 and _all_objects(columns["provenance"])
            case "events":
                sound = _all_objects(columns["detail"])
            case _:
                sound = True
        if not sound:
            raise InvalidArchive(f"{part.file} is not that of a sweep that is over")

    def _check_configurations(self, columns: Mapping[str, pa.Array]) -> None:
        resources = Resources(cpu=float(self.spec.resources.cpu), gpu=float(self.spec.resources.gpu))
        for config in columns["config"].to_pylist():
            try:
                steps = total_steps(TrialConfig.model_validate_json(config))
            except ValidationError as error:
                raise InvalidArchive(f"a configuration is not valid here: {error}") from None
            if steps > MAX_STEPS_PER_TRIAL:
                raise InvalidArchive(f"a configuration asks for {steps:,} updates")
            self._pack_keys.append(pack_key(json.loads(config), resources))

    def _store_parameters(self, part: Part) -> None:
        """The configurations once more, flat and typed."""
        copying.copy_in(self.connection, "group_params", self._parameters(part))

    def _parameters(self, part: Part) -> Iterator[pa.RecordBatch]:
        ids = iter(self._ids[part.table].to_pylist())
        for batch in self.archive.batches(part.file):
            leaves = [
                (next_id, *leaf)
                for config, next_id in zip(batch.column("config").to_pylist(), ids, strict=False)
                for leaf in flatten(json.loads(config))
            ]
            yield pa.RecordBatch.from_pydict(
                dict(zip(("group_id", "name", "number", "text"), zip(*leaves, strict=True), strict=True))
            )


def _are_positions(column: pa.Array, first: int) -> bool:
    return column.equals(pa.array(range(first, first + len(column)), pa.int64()))  # type: ignore[no-any-return]


def _all_in(column: pa.Array, words: pa.Array) -> bool:
    return bool(pc.all(pc.is_in(column, words)).as_py())


def _all_within(column: pa.Array, least: int, most: int) -> bool:
    extremes = pc.min_max(column).as_py()
    return not len(column) or (least <= extremes["min"] and extremes["max"] <= most)


def _all_objects(column: pa.Array) -> bool:
    """Whether all that is there is a JSON object; that it is JSON at all, its column sees to."""
    texts = pc.utf8_ltrim_whitespace(column.cast(pa.string()).drop_null())
    return bool(pc.all(pc.starts_with(texts, "{")).as_py() is not False)
