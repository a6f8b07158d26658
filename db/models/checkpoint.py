"""Where an interrupted trial can go on. The states themselves lie in the store."""

from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Checkpoint(Base):
    """The newest state of an unfinished trial, found in the store by its hash; everything up to `step` is recorded."""

    __tablename__ = "checkpoints"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int]
    sha256: Mapped[str] = mapped_column(index=True)
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())
