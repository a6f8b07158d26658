"""Rows that leave and enter the database through COPY, in blocks of a few MB: memory does not grow with their number.

PostgreSQL writes and reads CSV, and Arrow parses and prints it; both in C, and both print numbers so that the very same
bits are read again.
"""

from collections.abc import Callable, Iterator

import psycopg
import pyarrow as pa
import pyarrow.csv as arrow_csv
from psycopg import sql

BLOCK_BYTES = 4 * 2**20

_BOOLEAN, _TIMESTAMP = pa.bool_(), pa.timestamp("us", tz="UTC")
_TYPES = {
    **dict.fromkeys((20, 21, 23), pa.int64()),
    **dict.fromkeys((700, 701, 1700), pa.float64()),
    16: _BOOLEAN,
    1184: _TIMESTAMP,
}
"""By the type's oid in PostgreSQL; all others, JSON too, are text."""

_CSV = "FORMAT csv"
# Neither character occurs in JSON text: each row is one bare line.
_BARE = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"

Expression = Callable[[str, pa.DataType], str]
"""SQL of a column in the copied rows, given its quoted name and its type."""


def schema_of(connection: psycopg.Connection, query: str) -> pa.Schema:
    """The columns of the query's rows."""
    columns = connection.execute(f"SELECT * FROM ({query}) AS rows LIMIT 0").description or ()
    return pa.schema([(column.name, _TYPES.get(column.type_code, pa.string())) for column in columns])


def printed(name: str, kind: pa.DataType) -> str:
    """The column in words that every reader of CSV understands: true and false; times as RFC 3339 has them."""
    if kind == _TIMESTAMP:
        return f"""to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"{name}::text" if kind == _BOOLEAN else name


def csv_blocks(
    connection: psycopg.Connection,
    query: str,
    schema: pa.Schema,
    *,
    header: bool = False,
    expression: Expression = printed,
) -> Iterator[bytes]:
    """The query's rows as CSV, in blocks of whole rows; NULL is an empty cell without quotes."""
    selected = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(sql.SQL(expression(_quoted(connection, field.name), field.type)), _name(field.name))
        for field in schema
    )
    rows = sql.SQL("SELECT {} FROM ({}) AS rows").format(selected, sql.SQL(query))
    return _blocks(connection, rows, f"{_CSV}, HEADER" if header else _CSV)


def json_blocks(connection: psycopg.Connection, query: str) -> Iterator[bytes]:
    """The query's rows as JSON objects, one a line."""
    return _blocks(
        connection, sql.SQL("SELECT row_to_json(rows)::text FROM ({}) AS rows").format(sql.SQL(query)), _BARE
    )


def batches(connection: psycopg.Connection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The query's rows in Arrow's columns."""
    read = arrow_csv.ReadOptions(column_names=schema.names, use_threads=False, block_size=2 * BLOCK_BYTES)
    parse = arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    convert = arrow_csv.ConvertOptions(
        column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    for block in csv_blocks(connection, query, schema):
        yield from arrow_csv.read_csv(pa.BufferReader(block), read, parse, convert).to_batches()


def copy_in(connection: psycopg.Connection, table: str, rows: Iterator[pa.RecordBatch]) -> int:
    """Append rows to a table, in the columns that the batches name; returns how many."""
    count = 0
    first = next(rows, None)
    if first is None:
        return 0
    names = sql.SQL(", ").join(_name(name) for name in first.schema.names)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(_name(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        batch: pa.RecordBatch | None = first
        while batch is not None:
            sink = pa.BufferOutputStream()
            arrow_csv.write_csv(batch, sink, arrow_csv.WriteOptions(include_header=False))
            copy.write(sink.getvalue())
            count += batch.num_rows
            batch = next(rows, None)
    return count


def _blocks(connection: psycopg.Connection, query: sql.Composed, form: str) -> Iterator[bytes]:
    """What COPY sends, a message per row, gathered into blocks."""
    gathered: list[bytes] = []
    size = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY ({}) TO STDOUT ({})").format(query, sql.SQL(form))) as copy,
    ):
        for line in copy:
            gathered.append(line)  # type: ignore[arg-type]  # bytes, though typed as any buffer
            size += len(line)
            if size >= BLOCK_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _name(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _quoted(connection: psycopg.Connection, name: str) -> str:
    return _name(name).as_string(connection)
