"""One try at a trial."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, one_of
from services.domain.states import Reason


class Attempt(Base):
    __tablename__ = "attempts"
    __table_args__ = (one_of("reason", Reason), Index("ix_attempts_pack_id", "pack_id"))

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    pack_id: Mapped[int] = mapped_column(ForeignKey("packs.id"), primary_key=True)
    reason: Mapped[str | None]
    """How it ended; null while it runs."""
    error: Mapped[str | None]
    provenance: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
