"""Files from and to the server, streamed: memory does not grow with them."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, overload

import httpx

from api.client.errors import RETRIES, ServerRefused, ServerUnreachable, pause_asked_for, problem_of

if TYPE_CHECKING:
    import polars as pl

MEDIA_TYPES = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""What answers to SQL can be had as, besides JSON."""

TABLES = (
    "sweeps",
    "trials",
    "metrics",
    "traces",
    "layer_summaries",
    "order_parameters",
    "attempts",
    "snapshots",
    "parameter_cosines",
    "group_stats",
    "group_alignment",
    "events",
)
"""What can be exported."""
FORMS = ("parquet", "arrow", "csv", "ndjson")
"""As what."""

Told = Callable[[int], None]
"""Is told how many bytes have gone, again and again."""

# Tables by the names of their views, without v_.
_VIEWS = {"curves": "metrics", "alignment": "traces", "alignment_final": "layer_summaries"}
_PIECE_BYTES = 2**20
# The first row of a large export, and the answer to a large import, may take their time.
_PATIENT = httpx.Timeout(60, read=None)


class Transfers:
    """Exports, archives, and trials that are trained once more."""

    url: str
    _http: httpx.Client

    def export(
        self,
        table: str,
        to: Path | BinaryIO,
        *,
        form: str = "parquet",
        sweeps: Sequence[int] | None = None,
        told: Told | None = None,
    ) -> int:
        """All rows of a table, of these sweeps or of all, as `parquet`, `arrow`, `csv` or `ndjson`; returns bytes.

        A file is there whole or not at all.
        """
        params: dict[str, str] = {"format": form}
        if sweeps is not None:
            params["sweep"] = ",".join(map(str, sweeps))
        request = self._http.build_request("GET", f"/export/{table}", params=params, timeout=_PATIENT)
        return self._save(request, to, told)

    @overload
    def read(
        self, table: str, *, sweeps: Sequence[int] | None = None, library: Literal["polars"] = "polars"
    ) -> "pl.DataFrame": ...

    @overload
    def read(
        self, table: str, *, sweeps: Sequence[int] | None = None, library: Literal["polars", "pandas", "arrow"]
    ) -> Any: ...

    def read(
        self,
        table: str,
        *,
        sweeps: Sequence[int] | None = None,
        library: Literal["polars", "pandas", "arrow"] = "polars",
    ) -> Any:
        """All rows of a table of the export, of these sweeps or of all, as a frame of this library: sent as Parquet.

        `curves`, `alignment` and `alignment_final` are `metrics`, `traces` and `layer_summaries`. Undefined is null.
        Raises ModuleNotFoundError where the library is not installed, ValueError where the table or library is unknown.
        """
        if library not in ("polars", "pandas", "arrow"):
            raise ValueError(f"library is polars, pandas or arrow, not {library!r}")
        if table not in TABLES and table not in _VIEWS:
            raise ValueError(f"there is no table {table!r}, only {', '.join((*TABLES, *_VIEWS))}")
        if library == "pandas" and find_spec("pandas") is None:
            raise ModuleNotFoundError(
                "pandas is not installed: pip install pandas, or ask for polars or arrow", name="pandas"
            )
        answer = BytesIO()
        self.export(_VIEWS.get(table, table), answer, sweeps=sweeps)
        answer.seek(0)
        if library == "polars":
            import polars as pl

            return pl.read_parquet(answer)
        from pyarrow import parquet

        rows = parquet.read_table(answer)
        return rows.to_pandas() if library == "pandas" else rows

    def archive(self, sweep_id: int, to: Path | BinaryIO, *, snapshots: bool = False, told: Told | None = None) -> int:
        """A sweep that is over as one file, with the weights that were kept if asked for; returns bytes."""
        path, params = f"/sweeps/{sweep_id}/archive", {"snapshots": snapshots}
        return self._save(self._http.build_request("GET", path, params=params, timeout=_PATIENT), to, told)

    def import_archive(self, path: Path, *, told: Told | None = None) -> dict[str, Any]:
        """Store an archived sweep; returns it, also where it was imported before."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            headers = {"Content-Type": "application/zip", "Content-Length": str(size)}
            request = self._http.build_request(
                "POST", "/archives", content=_pieces(file, told), headers=headers, timeout=_PATIENT
            )
            with self._answer(request) as response:
                response.read()
                sweep: dict[str, Any] = response.json()
                return sweep

    def sql_as(self, sql: str, to: Path | BinaryIO, *, form: str, max_rows: int = 10_000) -> bool:
        """The answer to a question in SQL as `csv` or `arrow`; returns whether there were more rows."""
        request = self._http.build_request(
            "POST", "/query", json={"sql": sql, "max_rows": max_rows}, headers={"Accept": MEDIA_TYPES[form]}
        )
        with self._answer(request) as response:
            _write(response, to)
            return response.headers["Alignsweep-Truncated"] == "true"

    def frame(self, sql: str, *, max_rows: int = 100_000) -> "pl.DataFrame":
        """The answer to a question in SQL as a frame. Raises ValueError where there are more rows than asked for."""
        import polars as pl  # here: most commands do without, and start sooner

        answer = BytesIO()
        if self.sql_as(sql, answer, form="arrow", max_rows=max_rows):
            raise ValueError(f"the answer has more than {max_rows:,} rows, or is too large: aggregate it in SQL")
        return pl.read_ipc_stream(answer.getvalue())

    def _save(self, request: httpx.Request, to: Path | BinaryIO, told: Told | None) -> int:
        with self._answer(request) as response:
            return _write(response, to, told)

    @contextmanager
    def _answer(self, request: httpx.Request) -> Iterator[httpx.Response]:
        """The answer, its body unread. Raises ServerRefused, and ServerUnreachable when it breaks off, too."""
        try:
            response = self._opened(request)
            try:
                if response.is_error:
                    response.read()
                    raise ServerRefused(response.status_code, problem_of(response))
                yield response
            finally:
                response.close()
        except httpx.TransportError as error:
            raise ServerUnreachable(f"no whole answer from {self.url}: {error or type(error).__name__}") from error

    def _opened(self, request: httpx.Request) -> httpx.Response:
        """Asked again where the server says when to come back. A body that is read from a file is sent once."""
        response = self._http.send(request, stream=True)
        for attempt in range(RETRIES - 1):
            pause = pause_asked_for(response, float(4**attempt))
            if not isinstance(request.stream, httpx.ByteStream) or pause is None:
                break
            response.close()
            time.sleep(pause)
            response = self._http.send(request, stream=True)
        return response


def _write(response: httpx.Response, to: Path | BinaryIO, told: Told | None = None) -> int:
    if not isinstance(to, Path):
        return _copy(response, to, told)
    unfinished = to.with_name(f"{to.name}.part")
    try:
        with unfinished.open("wb") as file:
            size = _copy(response, file, told)
        unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def _copy(response: httpx.Response, to: BinaryIO, told: Told | None) -> int:
    size = 0
    for piece in response.iter_raw(_PIECE_BYTES):
        size += to.write(piece)
        if told:
            told(size)
    return size


def _pieces(file: BinaryIO, told: Told | None) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece
        if told:
            told(file.tell())
