"""Columns of numbers as PostgreSQL's arrays, in its binary format: no Python object per element."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BIGINT, _BIGINT_ARRAY = 20, 1016
_DOUBLE, _DOUBLE_ARRAY = 701, 1022


@dataclass(frozen=True)
class BigInts:
    """A query parameter of type bigint[]."""

    values: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Doubles:
    """A query parameter of type double precision[]; NaN stays NaN."""

    values: npt.NDArray[np.float64]


class _BigIntsDumper(Dumper):
    format = Format.BINARY
    oid = _BIGINT_ARRAY

    def dump(self, obj: BigInts) -> bytes:
        return _binary(obj.values, ">i8", _BIGINT)


class _DoublesDumper(Dumper):
    format = Format.BINARY
    oid = _DOUBLE_ARRAY

    def dump(self, obj: Doubles) -> bytes:
        return _binary(obj.values, ">f8", _DOUBLE)


def _binary(values: npt.NDArray[np.generic], kind: str, oid: int) -> bytes:
    """Dimensions, whether there are nulls, type, length, lower bound; then each element behind its length in bytes."""
    if not len(values):
        return np.array([0, 0, oid], ">i4").tobytes()
    elements = np.empty(len(values), [("bytes", ">i4"), ("value", kind)])
    elements["bytes"], elements["value"] = 8, values
    return np.array([1, 0, oid, len(values), 1], ">i4").tobytes() + elements.tobytes()


adapters.register_dumper(BigInts, _BigIntsDumper)
adapters.register_dumper(Doubles, _DoublesDumper)
