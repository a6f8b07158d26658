"""Webhooks, and what they are told. A trigger writes the deliveries in the transaction of which they tell
(`db/sql/0007/triggers.sql`); `services.sending` sends them. Functions take a Session and leave the commit to the
caller.
"""

import base64
import hashlib
import hmac
import random
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.models import Webhook, WebhookDelivery
from services import outbound
from services.domain.errors import Conflict, InvalidBody, NotFound, Problem
from services.domain.spec import canonical_json
from services.domain.states import DeliveryState

MAX_PER_OWNER = 20
GIVE_UP_AFTER = timedelta(days=1)
_SENDING = timedelta(minutes=1)
_KEPT = timedelta(days=30)
_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(hours=3)

# One for each webhook at most, and none for one that is being told something: a slow receiver holds one of the slots.
_CLAIM = text("""
    WITH due AS (
        SELECT first.id, webhooks.url, webhooks.secret FROM webhooks
        CROSS JOIN LATERAL (
            SELECT id FROM webhook_deliveries
            WHERE webhook_id = webhooks.id AND state = 'waiting' AND next_attempt_at <= now()
                AND coalesce(sending_until < now(), true)
            ORDER BY next_attempt_at, id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ) AS first
        WHERE NOT EXISTS (
            SELECT FROM webhook_deliveries
            WHERE webhook_id = webhooks.id AND state = 'waiting' AND sending_until >= now()
        )
        ORDER BY random()
        LIMIT :most
    )
    UPDATE webhook_deliveries
    SET attempts = attempts + 1, sending_until = now() + :sending
    FROM due WHERE webhook_deliveries.id = due.id
    RETURNING webhook_deliveries.id, due.url, due.secret, event, data, created_at, attempts
""")

_SETTLE = text("""
    UPDATE webhook_deliveries
    SET status = :status, error = :error, sending_until = NULL,
        state = CASE
            WHEN :delivered THEN 'delivered'
            WHEN :gone OR created_at + :patience < now() + :delay THEN 'given_up'
            ELSE 'waiting'
        END,
        next_attempt_at = now() + :delay,
        finished_at = CASE
            WHEN :delivered OR :gone OR created_at + :patience < now() + :delay THEN now()
        END
    WHERE id = :id AND attempts = :attempts AND state = 'waiting'
    RETURNING state
""")

_FORGET = text("DELETE FROM webhook_deliveries WHERE state <> 'waiting' AND finished_at < now() - :kept")


@dataclass(frozen=True, kw_only=True)
class Message:
    """One attempt at a delivery."""

    id: int
    url: str
    secret: str
    event: str
    data: dict[str, Any]
    created_at: datetime
    attempts: int
    """This one included."""

    @property
    def body(self) -> bytes:
        content = {"type": self.event, "timestamp": self.created_at.isoformat(), "data": self.data}
        return canonical_json(content).encode()

    def headers(self, now: datetime) -> dict[str, str]:
        """Standard Webhooks: the id is the same for all attempts, the signature covers id, time and body."""
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        id_ = f"msg_{hmac.digest(key, str(self.id).encode(), hashlib.sha256).hex()[:24]}"
        timestamp = str(int(now.timestamp()))
        signature = hmac.digest(key, f"{id_}.{timestamp}.".encode() + self.body, hashlib.sha256)
        return {
            "Content-Type": "application/json",
            "User-Agent": "alignsweep",
            "webhook-id": id_,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }


def create(
    session: Session, url: str, events: Sequence[str], *, owner: str | None, allowed: Collection[str]
) -> Webhook:
    """Tell this URL of the owner's sweeps from now on. Raises InvalidBody, and Conflict when there are too many."""
    try:
        outbound.addresses(*outbound.checked_host(url), allowed)
    except outbound.Undeliverable as error:
        raise InvalidBody([Problem(pointer="/url", code="not_callable", message=str(error))]) from None
    count = session.scalar(select(func.count()).where(Webhook.owner.is_not_distinct_from(owner)))
    if count is not None and count >= MAX_PER_OWNER:
        raise Conflict(f"there are {count} webhooks already; {MAX_PER_OWNER} are allowed")
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    webhook = Webhook(owner=owner, url=url, events=sorted(set(events)), secret=secret)
    session.add(webhook)
    session.flush()
    return webhook


def of_owner(session: Session, owner: str | None) -> list[Webhook]:
    """The owner's webhooks, the oldest first."""
    mine = select(Webhook).where(Webhook.owner.is_not_distinct_from(owner)).order_by(Webhook.id)
    return list(session.scalars(mine))


def get(session: Session, webhook_id: int, owner: str | None) -> Webhook:
    """Raises NotFound; so for the functions below."""
    webhook = session.get(Webhook, webhook_id)
    if webhook is None or webhook.owner != owner:
        raise NotFound("webhook", webhook_id)
    return webhook


def delete(session: Session, webhook_id: int, owner: str | None) -> None:
    """Tell it nothing more; what it was told is forgotten."""
    session.delete(get(session, webhook_id, owner))
    session.flush()


def deliveries(
    session: Session, webhook_id: int, owner: str | None, *, before: int | None, limit: int, state: DeliveryState | None
) -> list[WebhookDelivery]:
    """What it was told and is to be told, the newest first, with ids below `before`."""
    get(session, webhook_id, owner)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if before is not None:
        query = query.where(WebhookDelivery.id < before)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    return list(session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)))


def claim(session: Session, most: int) -> list[Message]:
    """Deliveries to attempt now; nobody else attempts them for a minute."""
    rows = session.execute(_CLAIM, {"most": most, "sending": _SENDING})
    return [Message(**row) for row in rows.mappings()]


def settle(session: Session, message: Message, *, status: int | None, error: str | None) -> DeliveryState | None:
    """Note how an attempt went. Any status from 200 to 299 is a success, 410 asks to be told no more.

    Returns what becomes of the delivery; None when another attempt has begun, or the webhook is gone.
    """
    state = session.execute(
        _SETTLE,
        {
            "id": message.id,
            "attempts": message.attempts,
            "status": status,
            "error": error,
            "delivered": status is not None and 200 <= status < 300,
            "gone": status == 410,
            "patience": GIVE_UP_AFTER,
            "delay": delay(message.attempts) * (1 + random.random() / 10),
        },
    ).scalar_one_or_none()
    return None if state is None else DeliveryState(state)


def delay(attempts: int) -> timedelta:
    """How long to wait after so many attempts failed: 5 s, 20 s, 80 s, ... and three hours at most."""
    return min(_FIRST_DELAY * float(4 ** min(attempts - 1, 10)), _LONGEST_DELAY)


def forget(session: Session) -> None:
    """Deliveries that were over a month ago go."""
    session.execute(_FORGET, {"kept": _KEPT})
