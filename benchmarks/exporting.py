"""Exports under the clock: `python -m benchmarks.exporting [rows]` loads so many trace rows (a million) and reads them
back through the API in every format, then as an archive.

Reported for each: seconds until the first byte, rows and MB per second as they leave, and by how much the server's peak
of resident memory has grown since before the first export. PostgreSQL and the API are real, each in a process of its
own; the client reads and forgets.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from api.client import Client
from benchmarks.databases import Server
from benchmarks.service import serving
from benchmarks.watching import resident
from db.session import make_engine
from services import sweeps
from services.expansion import parse

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
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, Server.start(Path(folder)) as server:
        with server.database() as url:
            _load(url, rows)
            with serving(url, Path(folder)) as (address, pid), Client(address) as client:
                client.export("sweeps", _sink())  # all modules are loaded now
                print(json.dumps({"rows": rows, "resident_mb_before": resident(pid)}), flush=True)
                for form in ("csv", "ndjson", "arrow", "parquet"):
                    with _told(form, rows, pid) as sink:
                        client.export("traces", cast(BinaryIO, sink), form=form)
                with _told("archive", rows, pid) as sink:
                    client.archive(1, cast(BinaryIO, sink))


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


def _sink() -> BinaryIO:
    return cast(BinaryIO, Sink())
