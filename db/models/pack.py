"""A pack is a lease, and its id the fencing token: ids only grow and are never used twice."""

from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, one_of
from services.domain.states import PackState, Reason


class Pack(Base):
    __tablename__ = "packs"
    __table_args__ = (
        one_of("state", PackState),
        one_of("reason", Reason),
        Index("ix_packs_lease", "lease_until", postgresql_where=text("state = 'running'")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    dispatcher: Mapped[str]
    sweep_id: Mapped[int]
    """Whose turn it was; trials of other sweeps may share the pack."""
    pack_key: Mapped[str]
    size: Mapped[int]
    """Trials claimed."""
    owners: Mapped[list[str | None]] = mapped_column(ARRAY(Text))
    """Whose they are; null is nobody."""
    shares: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    """How many are each one's."""
    state: Mapped[str] = mapped_column(server_default=PackState.RUNNING)
    lease_until: Mapped[datetime]
    next_seq: Mapped[int] = mapped_column(server_default="0")
    """Sequence number of the chunk that may be recorded next."""
    model_steps: Mapped[int] = mapped_column(server_default="0")
    """Updates recorded so far, summed over trials."""
    rows: Mapped[int] = mapped_column(server_default="0")
    """Rows of measurements recorded so far."""
    fenced: Mapped[int] = mapped_column(server_default="0")
    """Chunks refused because the lease was lost."""
    reason: Mapped[str | None]
    """Why it did not finish."""
    claimed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
