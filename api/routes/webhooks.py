"""Webhooks: who is told when sweeps end or pause, and how that went."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api import bodies, schemas
from api.auth import SUBMIT, Owner
from api.body import body_of, document, validated
from api.deps import CursorId, Id, Limit, Transaction, cut
from services import webhooks
from services.domain.states import DeliveryState

router = APIRouter(prefix="/webhooks", tags=["webhooks"], dependencies=[SUBMIT])


@router.post("", operation_id="create_webhook", status_code=201, openapi_extra=body_of("WebhookRequest"))
def create(
    body: Annotated[object, Depends(document)],
    session: Transaction,
    owner: Owner,
    request: Request,
    response: Response,
) -> schemas.NewWebhook:
    """Be told of your sweeps by signed requests, as Standard Webhooks has them; answers the key of the signatures."""
    wanted = validated(bodies.WebhookRequest, body)
    allowed = request.app.state.settings.webhook_hosts
    webhook = webhooks.create(session, wanted.url, wanted.events, owner=owner, allowed=allowed)
    response.headers["Location"] = f"/api/v1/webhooks/{webhook.id}"
    return schemas.NewWebhook.model_validate(webhook)


@router.get("", operation_id="list_webhooks")
def listed(session: Transaction, owner: Owner) -> schemas.Webhooks:
    """Your webhooks, without their keys."""
    return schemas.Webhooks.model_validate({"items": webhooks.of_owner(session, owner)})


@router.get("/{webhook_id}", operation_id="get_webhook")
def show(webhook_id: Id, session: Transaction, owner: Owner) -> schemas.Webhook:
    """One webhook, without its key."""
    return schemas.Webhook.model_validate(webhooks.get(session, webhook_id, owner))


@router.delete("/{webhook_id}", operation_id="delete_webhook", status_code=204)
def delete(webhook_id: Id, session: Transaction, owner: Owner) -> None:
    """Be told nothing more, not even what still waits."""
    webhooks.delete(session, webhook_id, owner)


@router.get("/{webhook_id}/deliveries", operation_id="list_webhook_deliveries")
def deliveries(
    webhook_id: Id,
    session: Transaction,
    owner: Owner,
    cursor: CursorId,
    limit: Limit = 100,
    state: DeliveryState | None = None,
) -> schemas.DeliveryPage:
    """What it was told and is to be told, the newest first."""
    found = webhooks.deliveries(session, webhook_id, owner, before=cursor, limit=limit + 1, state=state)
    shown, following = cut(found, limit)
    items = [schemas.Delivery.model_validate(delivery) for delivery in shown]
    for item in items:
        if item.state is not DeliveryState.WAITING:
            item.next_attempt_at = None
    return schemas.DeliveryPage(items=items, next_cursor=following)
