"""Results. NULL means undefined; a diverged trial has no rows from the step on at which it diverged.

`metrics` and `traces` carry no foreign key: every insert already proves, under the pack's lock, that the trial is
running, and a check per row would halve the rate of ingest.
"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class _TrialColumns:
    """What is measured of a whole trial."""

    train_loss: Mapped[float | None]
    train_accuracy: Mapped[float | None]
    test_loss: Mapped[float | None]
    test_accuracy: Mapped[float | None]
    weight_alignment: Mapped[float | None]
    weight_alignment_scaled: Mapped[float | None]
    gradient_alignment: Mapped[float | None]
    gradient_alignment_published: Mapped[float | None]
    generalisation_error: Mapped[float | None]


class _LayerColumns:
    """What is measured of a layer."""

    weight_alignment: Mapped[float | None]
    gradient_alignment: Mapped[float | None]
    weight_gradient_alignment: Mapped[float | None]
    delta_norm_ratio: Mapped[float | None]
    weight_norm: Mapped[float | None]
    update_norm: Mapped[float | None]
    delta_effective_rank: Mapped[float | None]
    alignment_condition: Mapped[float | None]
    alignment_identity: Mapped[float | None]
    alignment_residual: Mapped[float | None]


class Metric(_TrialColumns, Base):
    """One row per trial and trace point. Losses are means per sample."""

    __tablename__ = "metrics"

    trial_id: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[float]


class Trace(_LayerColumns, Base):
    """One row per trial, trace point and layer; layers count from 1. In partitions of consecutive trials."""

    __tablename__ = "traces"
    __table_args__ = ({"postgresql_partition_by": "RANGE (trial_id)"},)

    trial_id: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)


class OrderParameter(Base):
    """One entry of an order parameter of a teacher-student pair at a trace point; j is 0 for vectors."""

    __tablename__ = "order_parameters"

    trial_id: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    quantity: Mapped[str] = mapped_column(primary_key=True)
    i: Mapped[int] = mapped_column(primary_key=True)
    j: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


class TrialSummary(_TrialColumns, Base):
    """The last metrics of a finished trial, written in the finishing transaction."""

    __tablename__ = "trial_summaries"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    steps: Mapped[int]
    """Updates made."""
    diverged_at_step: Mapped[int | None]
    trace_points: Mapped[int]


class LayerSummary(_LayerColumns, Base):
    """The last trace point of a finished trial, layer by layer: comparisons across trials never read traces."""

    __tablename__ = "layer_summaries"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int]
