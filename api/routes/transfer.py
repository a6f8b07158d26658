"""Data out and in: tables in bulk, whole sweeps as archives."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from sqlalchemy.orm import Session

from api import schemas
from api.accept import NO_SUCH_FORM, accepted
from api.auth import FEW, FEW_STREAMS, READ, SUBMIT, Owner
from api.bulk import Download
from api.deps import Exporter, Id
from services.settings import Settings
from services.store import Store
from services.transfer import archives, exports, imports
from services.transfer.formats import Format

router = APIRouter(tags=["transfer"])

Table = Literal[exports.TABLES]  # type: ignore[valid-type]
_FORM = Query(alias="format", description="Else what `Accept` names; else Parquet.")
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", "content": {form.media_type: {} for form in Format}},
    406: NO_SUCH_FORM,
}
_ZIP = {"content": {archives.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
_MAX_SWEEPS = 1000


def wanted_form(form: Annotated[Format | None, _FORM] = None, accept: Annotated[str | None, Header()] = None) -> Format:
    """The format that the query asks for, or the first one of `Accept` that there is. Raises 406."""
    if form is not None:
        return form
    found = accepted(accept, {form.media_type: form for form in Format})
    if found is None:
        raise HTTPException(406, f"There is {', '.join(form.media_type for form in Format)}")
    return found


def several_sweeps(
    sweep: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,18}(,[0-9]{1,18})*$", description="Ids with commas between; else all.")
    ] = None,
) -> list[int] | None:
    """The sweeps that the query names. Raises 422."""
    ids = None if sweep is None else sorted({int(digits) for digits in sweep.split(",")})
    if ids is not None and len(ids) > _MAX_SWEEPS:
        raise HTTPException(422, f"Name {_MAX_SWEEPS} sweeps at most")
    return ids


@router.get(
    "/export/{table}",
    operation_id="export",
    dependencies=[READ, FEW_STREAMS],
    response_class=Response,
    responses=_FILE,
)
def export(
    table: Table,
    exporter: Exporter,
    sweeps: Annotated[list[int] | None, Depends(several_sweeps)],
    form: Annotated[Format, Depends(wanted_form)],
) -> Download:
    """All rows of a table, of some sweeps or of all, streamed. Trials carry a column per parameter."""
    return Download(exports.export(exporter, table, sweeps, form))


@router.get(
    "/sweeps/{sweep_id}/export/{table}",
    operation_id="export_sweep",
    dependencies=[READ, FEW_STREAMS],
    response_class=Response,
    responses=_FILE,
)
def export_sweep(
    sweep_id: Id,
    table: Table,
    exporter: Exporter,
    form: Annotated[Format, Depends(wanted_form)],
) -> Download:
    """All rows of a table of one sweep, streamed. Trials carry a column per parameter."""
    return Download(exports.export(exporter, table, [sweep_id], form))


@router.get(
    "/sweeps/{sweep_id}/archive",
    operation_id="archive_sweep",
    dependencies=[READ, FEW_STREAMS],
    response_class=Response,
    responses={200: {"description": "A zip", **_ZIP}},
)
def archive(
    sweep_id: Id,
    request: Request,
    exporter: Exporter,
    snapshots: Annotated[bool, Query(description="With the weights that were kept.")] = False,
) -> Download:
    """A sweep that is over, with all that is known of it, to keep or to import elsewhere."""
    store = Store(request.app.state.settings.store)
    return Download(archives.archive(exporter, store, sweep_id, snapshots=snapshots))


async def uploaded(request: Request) -> AsyncIterator[FilePath]:
    """The body as a temporary file. 408: a piece was too slow; 413: too large; 415: another media type."""
    settings: Settings = request.app.state.settings
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != archives.MEDIA_TYPE:
        raise HTTPException(415, f"Send {archives.MEDIA_TYPE}")
    too_large = HTTPException(413, f"An archive may have {settings.archive_bytes:,} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > settings.archive_bytes:
        raise too_large
    handle, name = tempfile.mkstemp(suffix=".zip", dir=settings.home if settings.home.is_dir() else None)
    path = FilePath(name)
    try:
        with os.fdopen(handle, "wb") as file:
            received = 0
            async for piece in _pieces(request, settings.request_timeout):
                received += len(piece)
                if received > settings.archive_bytes:
                    raise too_large
                await run_sync(file.write, piece)
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _pieces(request: Request, patience: timedelta) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(patience.total_seconds()):
                piece = await anext(stream, None)
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time", headers={"Connection": "close"}) from None
        if piece is None:
            return
        yield piece


@router.post(
    "/archives",
    operation_id="import_archive",
    dependencies=[SUBMIT, FEW],
    status_code=201,
    openapi_extra={"requestBody": {"required": True, **_ZIP}},
    responses={200: {"model": schemas.Sweep}, 201: {"model": schemas.Sweep}},
)
def import_archive(
    request: Request, path: Annotated[FilePath, Depends(uploaded, scope="function")], owner: Owner, response: Response
) -> schemas.Sweep:
    """Store an archived sweep as a new one that is over; 200 and the same sweep where it came from this archive."""
    settings: Settings = request.app.state.settings
    with Session(request.app.state.engine) as session, session.begin():
        summary, created = imports.store_archive(
            session, Store(settings.store), path, limit=settings.archive_bytes, owner=owner
        )
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/sweeps/{summary.id}"
    return schemas.Sweep.model_validate(summary)
