"""Tables as bytes, cells that are no formulas, and what a client accepts."""

import io

import pyarrow as pa
import pytest
from pyarrow import parquet

from api.accept import accepted
from api.answers import as_arrow, as_csv
from services.transfer.formats import Outbox, arrow_stream, harmless, parquet_file

TABLE = pa.table({"n": pa.array([1, None, 3], pa.int64()), "x": [0.1, None, -0.0], "t": ["=1+1", None, ""]})


def test_what_is_written_piece_by_piece_is_read_as_a_whole() -> None:
    batches = TABLE.to_batches(max_chunksize=1)
    arrow = b"".join(arrow_stream(iter(batches), TABLE.schema))
    assert pa.ipc.open_stream(arrow).read_all().equals(TABLE)
    file = b"".join(parquet_file(iter(batches), TABLE.schema))
    assert parquet.read_table(io.BytesIO(file)).equals(TABLE)


def test_a_table_without_rows_still_has_its_columns() -> None:
    arrow = b"".join(arrow_stream(iter(()), TABLE.schema))
    assert pa.ipc.open_stream(arrow).read_all().schema == TABLE.schema
    assert parquet.read_schema(io.BytesIO(b"".join(parquet_file(iter(()), TABLE.schema)))) == TABLE.schema


def test_an_outbox_gives_what_it_was_given_once() -> None:
    outbox = Outbox()
    outbox.write(b"a")
    outbox.write(b"bc")
    assert (outbox.take(), outbox.take(), outbox.tell()) == (b"abc", b"", 3)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),  # what a spreadsheet would run
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-0.5", "-0.5"),  # a number in a column of text
        ("+1e-3", "+1e-3"),
        ("-inf", "'-inf"),
        ("bp", "bp"),
        ("", ""),
        (-0.5, -0.5),  # a number
        (None, None),
    ],
)
def test_no_text_is_a_formula(cell: object, expected: object) -> None:
    assert harmless(cell) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, 1),
        ("*/*", 1),
        ("text/csv", 2),
        ("text/csv, application/json", 2),  # equal wishes: the first
        ("application/json;q=0.5, text/csv;q=0.9", 2),
        ("text/*", 2),
        ("image/png, */*;q=0.1", 1),
        ("image/png", None),
        ("application/json;q=0", None),
        ("text/csv;q=many", 2),
    ],
)
def test_clients_get_what_they_want_most(header: str | None, expected: int | None) -> None:
    assert accepted(header, {"application/json": 1, "text/csv": 2}) == expected


def test_answers_to_sql_keep_their_types() -> None:
    columns = ["n", "x", "text", "list", "nothing", "flag", "mixed"]
    rows = [[2**62, 0.5, "=1", [1, 2], None, True, 1], [None, "nan", "b", None, None, False, 0.5]]
    table = pa.ipc.open_stream(as_arrow(columns, rows)).read_all()
    assert [str(field.type) for field in table.schema] == [
        "int64",
        "double",
        "string",
        "string",
        "null",
        "bool",
        "double",
    ]
    assert table.column("n").to_pylist() == [2**62, None]
    assert as_csv(columns, rows).decode().splitlines() == [
        "n,x,text,list,nothing,flag,mixed",
        '4611686018427387904,0.5,\'=1,"[1, 2]",,true,1',
        ",nan,b,,,false,0.5",
    ]
