"""Archives that somebody sent: opened, checked against their manifest, and read without trust.

What a file claims is bounded before it is believed: members are stored, not packed, so the zip cannot unfold; what the
tables unfold to is counted while they are read.
"""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, Field

from services.domain.errors import InvalidArchive
from services.transfer.archives import DOCUMENTS, MANIFEST, PROVENANCE, SPEC, Member, content_of
from services.transfer.parts import PARTS

UNFOLDED = 8
"""Tables may be so many times as large in memory as the largest archive is as a file."""

_TABLES = {part.file for part in PARTS}
_MANIFEST_BYTES = 2**26
_ROW_GROUP_BYTES = 2**28
_TEXT_BYTES = 2**26
_ROWS_AT_ONCE = 2**13
_HASHED_AT_ONCE = 2**20
_LOCAL_HEADER = 30


class _Member(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    sha256: str
    bytes: int
    rows: int | None = Field(None, ge=0)


class _Manifest(BaseModel):
    model_config = ConfigDict(strict=True)

    format: Literal["alignsweep-archive"]
    version: Literal[1]
    name: str
    members: list[_Member]


@dataclass
class ArchiveFile:
    """A verified archive. `limit`: bytes of the largest archive that is accepted."""

    content_sha256: str
    members: Mapping[str, Member]
    limit: int
    _mapped: pa.MemoryMappedFile = field(repr=False)
    _places: Mapping[str, int] = field(repr=False)
    _unfolded: int = 0

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, limit: int) -> "Iterator[Self]":
        """The archive in the file, until the block ends. Raises InvalidArchive; in the block too, for what is wrong
        with the tables, and where the database will not have their rows."""
        try:
            with zipfile.ZipFile(path) as zipped, pa.memory_map(str(path)) as mapped:
                size = path.stat().st_size
                infos = {info.filename: info for info in zipped.infolist()}
                _check_sizes(zipped.infolist(), size)
                places = {name: _place(mapped, info) for name, info in infos.items()}
                members = _manifest(zipped)
                _check_members(zipped, members)
                yield cls(content_of(list(members.values())), members, limit, mapped, places)
        except (pa.ArrowException, psycopg.DataError, psycopg.IntegrityError) as error:
            raise InvalidArchive(f"a table of the archive is damaged: {str(error).splitlines()[0]}") from error
        except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
            raise InvalidArchive(f"this is no archive of a sweep: {error}") from error

    def read(self, name: str) -> bytes:
        """A member, whole."""
        content: bytes = self._buffer(name).to_pybytes()
        return content

    def documents(self) -> Iterator[bytes]:
        """The documents of snapshots, if there are any."""
        return (self.read(name) for name in self.members if name.startswith(DOCUMENTS))

    def rows(self, name: str) -> int:
        """How many the manifest promises."""
        return self.members[name].rows or 0

    def batches(self, name: str) -> Iterator[pa.RecordBatch]:
        """The rows of a table, at most 8,192 at a time: flat columns of numbers, truths, times and text."""
        source = pa.BufferReader(self._buffer(name))
        schema = parquet.read_schema(source)
        texts = [column.name for column in schema if column.type == pa.string()]
        file = parquet.ParquetFile(source, read_dictionary=texts)
        for group in range(file.num_row_groups):
            if file.metadata.row_group(group).total_byte_size > _ROW_GROUP_BYTES:
                raise InvalidArchive(f"{name} has a row group of more than {_ROW_GROUP_BYTES:,} bytes")
        count = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            count += batch.num_rows
            if count > self.rows(name):
                break
            self._count(name, batch)
            yield pa.RecordBatch.from_arrays(
                [_plain(column) for column in batch.columns],
                names=batch.schema.names,
            )
        if count != self.rows(name):
            raise InvalidArchive(f"{name} has not the {self.rows(name)} rows that the manifest promises")

    def _count(self, name: str, batch: pa.RecordBatch) -> None:
        """Add up what the rows unfold to, before they do."""
        texts = sum(_text_bytes(column) for column in batch.columns)
        self._unfolded += texts + 8 * batch.num_rows * batch.num_columns
        if texts > _TEXT_BYTES or self._unfolded > UNFOLDED * self.limit:
            raise InvalidArchive(f"the tables unfold to too many bytes (at {name})")

    def _buffer(self, name: str) -> pa.Buffer:
        self._mapped.seek(self._places[name])
        return self._mapped.read_buffer(self.members[name].bytes)


def _check_sizes(infos: list[zipfile.ZipInfo], size: int) -> None:
    if len({info.filename for info in infos}) < len(infos):
        raise InvalidArchive("two members of the archive have one name")
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise InvalidArchive("members of the archive are compressed or encrypted; those of a sweep's are neither")
    if any(info.file_size != info.compress_size for info in infos) or sum(info.file_size for info in infos) > size:
        raise InvalidArchive("the archive claims to hold more than it has bytes")


def _place(mapped: pa.MemoryMappedFile, info: zipfile.ZipInfo) -> int:
    """Where the content of the member begins: behind its own header, with the name and extra fields."""
    mapped.seek(info.header_offset)
    header = mapped.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\3\4":
        raise InvalidArchive(f"{info.filename} is not where the archive says")
    return int(
        info.header_offset + _LOCAL_HEADER + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    )


def _manifest(zipped: zipfile.ZipFile) -> dict[str, Member]:
    if zipped.getinfo(MANIFEST).file_size > _MANIFEST_BYTES:
        raise InvalidArchive(f"the manifest has more than {_MANIFEST_BYTES:,} bytes")
    manifest = _Manifest.model_validate_json(zipped.read(MANIFEST))
    return {member.name: Member(**member.model_dump()) for member in manifest.members}


def _check_members(zipped: zipfile.ZipFile, members: Mapping[str, Member]) -> None:
    """All that the manifest names is there, and nothing else; each with its hash."""
    if members.keys() != set(zipped.namelist()) - {MANIFEST}:
        raise InvalidArchive("the members of the archive are not those of its manifest")
    if not members.keys() >= {SPEC, PROVENANCE, *_TABLES}:
        raise InvalidArchive("a table is missing")
    if strange := [
        name for name in members if name not in {SPEC, PROVENANCE, *_TABLES} and not name.startswith(DOCUMENTS)
    ]:
        raise InvalidArchive(f"{strange[0]} does not belong into an archive")
    for name, member in members.items():
        digest, size = hashlib.sha256(), 0
        with zipped.open(name) as file:
            while piece := file.read(_HASHED_AT_ONCE):
                digest.update(piece)
                size += len(piece)
        if (size, digest.hexdigest()) != (member.bytes, member.sha256):
            raise InvalidArchive(f"{name} is not what the manifest says: it was changed or cut off")


def _text_bytes(column: pa.Array) -> int:
    """How long the text of a column is, all cells together."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return pc.sum(lengths.take(column.indices)).as_py() or 0


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
