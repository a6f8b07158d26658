"""The workers each dispatcher sees, refreshed with its heartbeat."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Worker(Base):
    __tablename__ = "workers"

    dispatcher: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[str]
    cpu: Mapped[float]
    gpu: Mapped[float]
    pack_id: Mapped[int | None]
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Dispatcher(Base):
    """A dispatcher, as of its last heartbeat."""

    __tablename__ = "dispatchers"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    capacity: Mapped[int]
    """Packs that could run at once."""
    packs: Mapped[int]
    """Leases it holds."""
    ttl_seconds: Mapped[float]
    draining: Mapped[bool]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
