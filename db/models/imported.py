"""Sweeps that were trained elsewhere and came here as an archive."""

from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Import(Base):
    __tablename__ = "imports"

    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    content_sha256: Mapped[str] = mapped_column(unique=True)
    """Of the archive's spec and tables: the same archive is the same sweep."""
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())
