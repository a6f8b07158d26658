"""Live progress of a sweep, as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from sse_starlette import EventSourceResponse

from api.auth import READ
from api.deps import MAX_ID, Id, Transaction
from api.streaming import MAX_CLIENTS, Hub
from services import results

router = APIRouter(prefix="/sweeps", tags=["sweeps"], dependencies=[READ])


def known_sweep(sweep_id: Id, session: Transaction) -> int:
    """The id of a sweep that exists. Raises NotFound."""
    results.require_sweep(session, sweep_id)
    return sweep_id


@router.get(
    "/{sweep_id}/events/stream",
    operation_id="stream_sweep_events",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(
    sweep_id: Annotated[int, Depends(known_sweep)],
    request: Request,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_ID, description="First all events above this id; 0: from the start.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^[0-9]{1,18}$", description="Goes on where a stream was cut off.")
    ] = None,
) -> EventSourceResponse:
    """What happens to a sweep, as it happens.

    `event`: a transition, as in the list of events, with its id; `progress`: trials by state and the pace, when they
    change; `end`: the same, once the sweep is over, and the stream with it: close it there. Comments are heartbeats.
    A stream may be cut off at any time. Asked for again with `Last-Event-ID` it misses nothing and repeats nothing.
    """
    hub: Hub = request.app.state.hub
    if hub.size >= MAX_CLIENTS:
        raise HTTPException(503, "Too many clients listen", headers={"Retry-After": "30"})
    return hub.response(sweep_id, after=after if last_event_id is None else int(last_event_id))
