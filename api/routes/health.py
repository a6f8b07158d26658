"""Liveness and readiness; the only routes that never ask for a token."""

from fastapi import APIRouter
from sqlalchemy import text

from api import schemas
from api.deps import Transaction

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz")
def healthz() -> schemas.Health:
    """The process answers."""
    return schemas.Health(status="ok")


@router.get("/readyz", operation_id="readyz")
def readyz(session: Transaction) -> schemas.Health:
    """The database answers, and its schema is there."""
    session.execute(text("SELECT FROM sweeps LIMIT 1"))
    return schemas.Health(status="ok")
