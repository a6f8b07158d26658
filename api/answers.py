"""Rows of a query's answer as CSV and as an Arrow stream."""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from services.domain.errors import QueryRejected
from services.transfer.formats import Format, harmless

TRUNCATED = "Alignsweep-Truncated"
"""The header that tells whether there were more rows."""

Rows = Sequence[Sequence[Any]]
_DUPLICATE_COLUMN = "42701"  # PostgreSQL's code for it
_NOT_FINITE = ("nan", "inf", "-inf")


def as_csv(columns: Sequence[str], rows: Rows) -> bytes:
    """With a header; NULL is an empty cell, lists and objects are JSON, no text is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([harmless(name) for name in columns])
    writer.writerows([[harmless(_cell(value)) for value in row] for row in rows])
    return text.getvalue().encode()


def as_arrow(columns: Sequence[str], rows: Rows) -> bytes:
    """Columns of what their values have in common: truths, whole numbers, numbers, else text.

    Raises QueryRejected where two have one name, which frames made of them cannot have.
    """
    if twice := [name for name, n in Counter(columns).items() if n > 1]:
        raise QueryRejected(f"two columns are called {twice[0]}: name them apart with AS", _DUPLICATE_COLUMN)
    arrays = [_array([row[place] for row in rows]) for place in range(len(columns))]
    schema = pa.schema([(name, array.type) for name, array in zip(columns, arrays, strict=True)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


RENDERED = {Format.CSV.media_type: as_csv, Format.ARROW.media_type: as_arrow}
"""By media type."""


def _array(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {float, str} and {value for value in values if isinstance(value, str)} <= set(_NOT_FINITE):
        values, kinds = [None if value is None else float(value) for value in values], {float}
    if kinds <= {bool} or kinds <= {int, float}:
        try:
            return pa.array(values, pa.bool_() if kinds == {bool} else pa.int64() if kinds == {int} else None)
        except pa.ArrowInvalid:  # more than 64 bits
            pass
    return pa.array([value if value is None else str(_cell(value)) for value in values], pa.string())


def _cell(value: Any) -> Any:
    match value:
        case list() | dict():
            return json.dumps(value)
        case bool():
            return str(value).lower()
        case _:
            return value
