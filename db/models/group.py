"""A group: one configuration of a sweep; its trials differ by the seed alone."""

from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Group(Base):
    __tablename__ = "groups"
    __table_args__ = (UniqueConstraint("sweep_id", "group_hash"), UniqueConstraint("sweep_id", "position"))

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    position: Mapped[int]
    """Order of expansion within the sweep, from 0."""
    group_hash: Mapped[str]
    config: Mapped[dict[str, Any]]
    """The full configuration, all defaults written out."""
    varied: Mapped[dict[str, Any]]
    """The sweep's axes and this group's values on them, by dotted path."""
    rolled_up: Mapped[bool] = mapped_column(server_default=false())
    """Its curves are kept in `group_curves` and `group_traces`; no trial of it will ever run again, unless retried."""


class GroupParam(Base):
    """The configuration, flat and typed, so that `WHERE number < 0.01` is numeric."""

    __tablename__ = "group_params"
    __table_args__ = (Index(None, "name", "number"), Index(None, "name", "text"))

    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    """Dotted path, for instance `train.lr`."""
    number: Mapped[float | None]
    text: Mapped[str | None]
    """The value as text; JSON for lists."""
