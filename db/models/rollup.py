"""Curves of groups whose sweep is over: means and standard deviations over trials, written once, read instead of rows.

`groups.rolled_up` says which groups have them.
"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class GroupCurve(Base):
    """One row per group and trace point; n counts the trials that reached it."""

    __tablename__ = "group_curves"

    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[float]
    n: Mapped[int]
    train_loss_mean: Mapped[float | None]
    train_loss_sd: Mapped[float | None]
    test_loss_mean: Mapped[float | None]
    test_loss_sd: Mapped[float | None]
    train_accuracy_mean: Mapped[float | None]
    train_accuracy_sd: Mapped[float | None]
    test_accuracy_mean: Mapped[float | None]
    test_accuracy_sd: Mapped[float | None]
    gradient_alignment_mean: Mapped[float | None]
    gradient_alignment_sd: Mapped[float | None]
    weight_alignment_mean: Mapped[float | None]
    weight_alignment_sd: Mapped[float | None]


class GroupTrace(Base):
    """One row per group, trace point and layer."""

    __tablename__ = "group_traces"

    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]
    gradient_alignment_mean: Mapped[float | None]
    gradient_alignment_sd: Mapped[float | None]
    weight_alignment_mean: Mapped[float | None]
    weight_alignment_sd: Mapped[float | None]


class RollupDue(Base):
    """A group whose curves are still to be kept."""

    __tablename__ = "rollups_due"

    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
