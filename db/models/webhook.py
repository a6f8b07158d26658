"""Who wants to be told of ends and pauses of sweeps, and what was told."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, one_of
from services.domain.states import DeliveryState


class Webhook(Base):
    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    owner: Mapped[str | None]
    """It is told of the sweeps of this owner."""
    url: Mapped[str]
    events: Mapped[list[Any]]
    secret: Mapped[str]
    """The key of its signatures, `whsec_` and base64."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """One message for one webhook, written by a trigger in the transaction of which it tells."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("state", DeliveryState),
        Index(None, "webhook_id", "id"),
        Index("ix_webhook_deliveries_due", "webhook_id", "next_attempt_at", postgresql_where=text("state = 'waiting'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    sweep_id: Mapped[int]
    event: Mapped[str]
    """`sweep.ended` or `sweep.paused`."""
    data: Mapped[dict[str, Any]]
    """The sweep as it was then."""
    state: Mapped[str] = mapped_column(server_default=DeliveryState.WAITING)
    attempts: Mapped[int] = mapped_column(server_default="0")
    status: Mapped[int | None]
    """The HTTP status of the last answer."""
    error: Mapped[str | None]
    """Why the last attempt failed."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sending_until: Mapped[datetime | None]
    """An API process that sends it has until then; after that others may."""
    finished_at: Mapped[datetime | None]
