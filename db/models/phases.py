"""When layers align and when the loss falls, of trials that have succeeded (`services/phases.py` says how).

Written by a dispatcher that has time, soon after the trial's summary.
"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class TrialPhases(Base):
    __tablename__ = "trial_phases"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    loss_halved_at_step: Mapped[int | None]
    """The trace point."""
    loss_half_step: Mapped[float | None]
    """Between trace points."""
    sequential: Mapped[bool | None]


class LayerPhases(Base):
    """Layers that have a gradient alignment."""

    __tablename__ = "layer_phases"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    gradient_alignment_max: Mapped[float]
    alignment_max_step: Mapped[int]
    aligned_at_step: Mapped[int | None]
    """The trace point."""
    alignment_half_step: Mapped[float | None]
    """Between trace points."""
    alignment_most_step: Mapped[float | None]
    gradient_alignment_final: Mapped[float]
    alignment_decline: Mapped[float]
    declines: Mapped[bool | None]
    aligns_first: Mapped[bool | None]


class PhasesDue(Base):
    """A trial whose phases are still to be found."""

    __tablename__ = "phases_due"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
