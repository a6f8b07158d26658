"""One submitted experiment."""

from datetime import datetime
from typing import Any

from sqlalchemy import Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, one_of
from services.domain.states import SweepState


class Sweep(Base):
    __tablename__ = "sweeps"
    __table_args__ = (one_of("state", SweepState),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    owner: Mapped[str | None]
    state: Mapped[str] = mapped_column(default=SweepState.QUEUED)
    priority: Mapped[int] = mapped_column(default=0)
    spec: Mapped[dict[str, Any]]
    """The fully defaulted spec."""
    trial_count: Mapped[int]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    request_hash: Mapped[str]
    """Of the spec: tells a repeated submit from another one under the same key."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
