"""What a pack reports while it is under way."""

from dataclasses import dataclass, field

from services.domain.results import Checkpoint, MetricColumns, OrderColumns, Outcome, Snapshot, TraceColumns


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What one trace point gives, for the trials still in the pack; `outcomes` are of those that ended at it.

    Between trace points: checkpoints alone.
    """

    metrics: MetricColumns
    traces: TraceColumns
    orders: OrderColumns | None = None
    snapshots: list[Snapshot] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    model_steps: int = 0
    """Updates since the trace point before, summed over trials."""
