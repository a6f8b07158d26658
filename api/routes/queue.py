"""The queue and who works on it."""

from fastapi import APIRouter

from api import schemas
from api.auth import READ
from api.deps import Transaction
from services import results

router = APIRouter(tags=["queue"], dependencies=[READ])


@router.get("/queue", operation_id="get_queue")
def queue(session: Transaction) -> schemas.Queue:
    """What waits and what runs, per sweep."""
    return schemas.Queue.model_validate({"items": results.queue(session)})


@router.get("/workers", operation_id="list_workers")
def workers(session: Transaction) -> schemas.Workers:
    """The workers that the dispatchers saw at their last heartbeat."""
    return schemas.Workers.model_validate({"items": results.workers(session)})
