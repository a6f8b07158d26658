"""The trials table is the queue."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, one_of
from services.domain.states import Reason, TrialState


class Trial(Base):
    __tablename__ = "trials"
    __table_args__ = (
        one_of("state", TrialState),
        one_of("reason", Reason),
        CheckConstraint("(state = 'running') = (pack_id IS NOT NULL)", name="running_has_pack"),
        CheckConstraint("(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="terminal"),
        CheckConstraint("attempts <= max_attempts", name="attempts"),
        UniqueConstraint("sweep_id", "config_hash"),
        UniqueConstraint("sweep_id", "position"),
        # A claim reads the heads of these; they hold waiting trials only, so finished ones cost nothing.
        Index("ix_trials_queue", "sweep_id", "run_after", "id", postgresql_where=text("state = 'queued'")),
        Index(
            "ix_trials_queue_of_pack_key",
            "sweep_id",
            "pack_key",
            "run_after",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_trials_pack_id", "pack_id", postgresql_where=text("pack_id IS NOT NULL")),
        Index("ix_trials_sweep_id_state", "sweep_id", "state"),
        Index("ix_trials_group_id", "group_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"))
    position: Mapped[int]
    """Order of expansion within the sweep, from 0."""
    seed: Mapped[int]
    config_hash: Mapped[str]
    pack_key: Mapped[str]
    """Trials of one key can be trained in one batched program."""
    pack_limit: Mapped[int | None]
    """The largest pack this trial may join; halved each time its pack crashes a worker."""
    state: Mapped[str] = mapped_column(server_default=TrialState.QUEUED)
    reason: Mapped[str | None]
    error: Mapped[str | None]
    run_after: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default="0")
    """Attempts charged to the trial; a lost worker charges none."""
    crashes_alone: Mapped[int] = mapped_column(server_default="0")
    """How often it took its worker down as the only trial of its pack."""
    max_attempts: Mapped[int]
    pack_id: Mapped[int | None] = mapped_column(ForeignKey("packs.id"))
    """The fencing token of the running attempt."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
