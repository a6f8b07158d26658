"""Exports under the clock: `python -m benchmarks.exporting [rows]` loads so many trace rows (a million) and reads them
back through the API in every format, then as an archive.

Reported for each: rows and MB per second as they leave, seconds until the first byte, CPU time and resident memory of
the API's process. PostgreSQL and the API are real, each in a process of its own; the client reads and forgets.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from api.client import Client
from benchmarks.databases import Server
from benchmarks.service import serve
from benchmarks.watching import cpu_seconds, peak, resident
from db.session import make_engine
from services import sweeps
from services.planning.expansion import parse

_POINTS, _LAYERS = 100, 4

# As trials leave them: most columns are defined in most rows, none is round.
_LOAD = f"""
    INSERT INTO traces (trial_id, step, layer, weight_alignment, gradient_alignment, weight_gradient_alignment,
        delta_norm_ratio, weight_norm, update_norm, delta_effective_rank)
    SELECT id, step, layer, CASE WHEN layer > 1 THEN random() END, CASE WHEN layer < {_LAYERS} THEN random() END,
        random(), random(), random(), CASE WHEN step > 0 THEN random() END, random()
    FROM trials, generate_series(0, {_POINTS - 1}) AS step, generate_series(1, {_LAYERS}) AS layer
"""


class Sink:
    """Takes all, keeps nothing; knows when the first byte came."""

    def __init__(self) -> None:
        self.began_at: float | None = None

    def write(self, piece: bytes) -> int:
        self.began_at = self.began_at or time.perf_counter()
        return len(piece)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        Server.start(Path(folder)) as server,
        server.database() as url,
    ):
        _load(url, rows)
        with serve(url, Path(folder)) as (address, pid), Client(address) as client:
            client.export("sweeps", _file(Sink()))  # all modules are loaded now
            for form in ("csv", "ndjson", "arrow", "parquet"):
                _tell(form, measure(rows, pid, lambda sink, form=form: client.export("traces", _file(sink), form=form)))
            _tell("archive", measure(rows, pid, lambda sink: client.archive(1, _file(sink))))


def export_all(url: str, folder: Path, rows: int) -> dict[str, float]:
    """All traces of a database as Parquet, of which there are so many rows."""
    with serve(url, folder) as (address, pid), Client(address) as client:
        client.export("sweeps", _file(Sink()))
        return measure(rows, pid, lambda sink: client.export("traces", _file(sink)))


def measure(rows: int, pid: int, send: Callable[[Sink], int]) -> dict[str, float]:
    before, cpu, started, sink = resident(pid), cpu_seconds(pid), time.perf_counter(), Sink()
    size = send(sink)
    seconds = time.perf_counter() - started
    return {
        "MB": round(size / 1e6, 1),
        "MB/s": round(size / 1e6 / seconds, 1),
        "rows/s": round(rows / seconds),
        "first byte after, s": round((sink.began_at or started) - started, 2),
        "CPU of the server, s": round(cpu_seconds(pid) - cpu, 1),
        "resident before, MB": before,
        "peak so far, MB": peak(pid),
    }


def _tell(name: str, figures: dict[str, float]) -> None:
    print(json.dumps({name: figures}, indent=1), flush=True)


def _load(url: str, rows: int) -> None:
    """One finished sweep with about so many trace rows."""
    engine = make_engine(url)
    with Session(engine) as session, session.begin():
        trials = max(1, rows // (_POINTS * _LAYERS))
        spec = parse(
            {"name": "exported", "grid": {"rule.name": ["fa", "dfa"]}, "seeds": {"count": max(1, trials // 2)}}
        )
        sweeps.submit(session, spec, idempotency_key=None, owner=None)
        session.execute(text("UPDATE trials SET state = 'succeeded', reason = 'completed', finished_at = now()"))
        session.execute(text("UPDATE sweeps SET state = 'succeeded', finished_at = now()"))
        session.execute(text(_LOAD))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _file(sink: Sink) -> BinaryIO:
    return cast(BinaryIO, sink)


if __name__ == "__main__":
    main()
