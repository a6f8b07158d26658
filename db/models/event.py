"""What happened, in order: one row per transition, written in the same transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (Index(None, "sweep_id", "id"), Index(None, "trial_id", "id"))

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    trial_id: Mapped[int | None] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"))
    pack_id: Mapped[int | None]
    kind: Mapped[str]
    """`sweep.submitted`, `trial.claimed`, `trial.succeeded`, `trial.requeued`, ..."""
    detail: Mapped[dict[str, Any] | None]
