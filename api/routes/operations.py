"""For operators: the doctor, and Prometheus' metrics."""

from datetime import timedelta
from time import monotonic

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api import schemas
from api.auth import FEW, READ
from api.deps import Transaction
from api.telemetry import render
from services import doctor, telemetry

router = APIRouter(tags=["operations"], dependencies=[READ])
metrics = APIRouter(tags=["operations"], dependencies=[READ])


@router.get("/doctor", operation_id="get_doctor", dependencies=[FEW])
def examine(request: Request, session: Transaction) -> schemas.Findings:
    """The queue's invariants, which read all trials and measurements once, and the health of what it stands on."""
    state = request.app.state
    up_for = timedelta(seconds=monotonic() - state.started)
    return schemas.Findings.model_validate({"items": doctor.examine(session, state.settings, up_for=up_for)})


@metrics.get("/metrics", operation_id="get_metrics", response_class=Response)
def read(session: Transaction) -> Response:
    """Telemetry in Prometheus' text format."""
    return Response(render(telemetry.read(session)), media_type=CONTENT_TYPE_LATEST)
