"""One submitted experiment."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, one_of
from services.domain.states import SweepState


class Sweep(Base):
    __tablename__ = "sweeps"
    __table_args__ = (
        one_of("state", SweepState),
        # A claim looks at these first: those that are not over are few.
        Index("ix_sweeps_open", "id", postgresql_where=text("state IN ('queued', 'running', 'paused')")),
        Index(
            "uq_sweeps_owner_idempotency_key",
            "owner",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str]
    owner: Mapped[str | None]
    state: Mapped[str] = mapped_column(default=SweepState.QUEUED)
    pause_reason: Mapped[str | None]
    """Why it is paused, in words for its owner."""
    priority: Mapped[int] = mapped_column(default=0)
    """Higher is claimed first."""
    cpu: Mapped[float]
    gpu: Mapped[float]
    """What a pack of its trials occupies: the kind of worker they wait for."""
    max_running: Mapped[int | None]
    trial_seconds: Mapped[float | None]
    identical_errors: Mapped[int | None]
    spec: Mapped[dict[str, Any]]
    """The fully defaulted spec."""
    trial_count: Mapped[int]
    idempotency_key: Mapped[str | None]
    """Of its owner: keys of others may be the same."""
    request_hash: Mapped[str]
    """Of the spec: tells a repeated submit from another one under the same key."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    notes: Mapped[str | None]


class SweepEnds(Base):
    """How many trials of a sweep are over, by their state. No row while none is."""

    __tablename__ = "sweep_ends"
    # With every pack that ends a row is written anew: there is room for it beside the old one.
    __table_args__ = {"postgresql_with": {"fillfactor": 50}}  # noqa: RUF012

    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    succeeded: Mapped[int]
    failed: Mapped[int]
    cancelled: Mapped[int]
    diverged: Mapped[int] = mapped_column(server_default="0")
    """Of those that succeeded."""


class SweepError(Base):
    """Trials of a sweep that failed alike: the canary counts here."""

    __tablename__ = "sweep_errors"

    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    error: Mapped[str] = mapped_column(primary_key=True)
    """What the errors have in common: the last line, without numbers."""
    trials: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
    example: Mapped[str | None]
    """The last line of the newest of them."""
