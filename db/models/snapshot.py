"""Weights that were kept, and how those of different seeds compare. The weights themselves lie in the store."""

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Snapshot(Base):
    """The weights of a trial at a step: a safetensors document, found in the store by its hash."""

    __tablename__ = "snapshots"

    trial_id: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(index=True)
    bytes: Mapped[int]


class ComparisonDue(Base):
    """A finished trial whose snapshots are still to be compared with those of its group."""

    __tablename__ = "comparisons_due"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    after_step: Mapped[int] = mapped_column(server_default="-1")
    """Up to here it is done."""


class ParameterCosine(Base):
    """Cosine of the parameters of two trials of a group at a step; layer 0 is all layers together."""

    __tablename__ = "parameter_cosines"
    __table_args__ = (CheckConstraint("trial_a < trial_b", name="ordered"),)

    trial_a: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    trial_b: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    cosine: Mapped[float | None]
