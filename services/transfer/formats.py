"""Tables as bytes: Parquet and Arrow, written piece by piece; cells of CSV that no spreadsheet takes for a formula."""

import re
from collections.abc import Iterator
from enum import StrEnum

import pyarrow as pa
from pyarrow import parquet

_ROWS_PER_GROUP = 2**17
_BYTES_PER_GROUP = 2**25
_FORMULA = "=+-@\t\r"
"""What the text of a formula may begin with."""
_NUMBER = "[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
"""As Python and PostgreSQL both read it."""


class Format(StrEnum):
    """What tables can be had as."""

    PARQUET = "parquet"
    ARROW = "arrow"
    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.CSV: "text/csv",
    Format.NDJSON: "application/x-ndjson",
}


class Outbox:
    """A file that can only be written; what was written is taken out again. Not thread-safe."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def arrow_stream(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """The rows in Arrow's streaming format."""
    outbox = Outbox()
    with pa.ipc.new_stream(pa.PythonFile(outbox, mode="w"), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield outbox.take()
    yield outbox.take()


def parquet_file(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """The rows as a Parquet file. Those of one row group are together in memory: 131,072 of them, or 32 MB."""
    outbox = Outbox()
    texts = [field.name for field in schema if field.type == pa.string()]
    with parquet.ParquetWriter(
        pa.PythonFile(outbox, mode="w"), schema, compression="zstd", use_dictionary=texts
    ) as writer:
        for group in _groups(batches, schema):
            writer.write_table(group, row_group_size=len(group))
            yield outbox.take()
    yield outbox.take()


def harmless(cell: object) -> object:
    """The cell of a CSV file, if it is text, so that no spreadsheet takes it for a formula; plain numbers stay."""
    if isinstance(cell, str) and cell.startswith(tuple(_FORMULA)) and not re.fullmatch(_NUMBER, cell):
        return f"'{cell}"
    return cell


def harmless_sql(name: str) -> str:
    """The same of a text column, in SQL."""
    formula = f"{name} <> '' AND strpos('{_FORMULA}', left({name}, 1)) > 0 AND {name} !~ '^({_NUMBER})$'"
    return f"CASE WHEN {formula} THEN '''' || {name} ELSE {name} END"


def _groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in tables of about equal size."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROWS_PER_GROUP or size >= _BYTES_PER_GROUP:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)
