"""What happened, in order: one row per transition, written in the same transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base

# The transaction says who acts, once; every event written in it repeats that.
_ACTOR = text("nullif(current_setting('alignsweep.actor', true), '')")


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (Index(None, "sweep_id", "id"), Index(None, "trial_id", "id"))

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    trial_id: Mapped[int | None] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"))
    pack_id: Mapped[int | None]
    kind: Mapped[str]
    """`sweep.submitted`, `trial.claimed`, `trial.succeeded`, `trial.requeued`, `token.created`, ..."""
    detail: Mapped[dict[str, Any] | None]
    actor: Mapped[str | None] = mapped_column(server_default=_ACTOR)
    """The owner of the token that did it; null: the service itself, or a caller who was not asked for one."""
