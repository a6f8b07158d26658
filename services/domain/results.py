"""What workers report: plain arrays and values that cross processes.

Traces travel as columns, one numpy array per column, all of the same length N. NaN in a float column means
*undefined* and becomes NULL in SQL; a diverged trial reports its divergence as an `Outcome`, never as NaN rows.
"""

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from services.domain.states import Reason

IntColumn = npt.NDArray[np.int64]
FloatColumn = npt.NDArray[np.float64]


class Columns:
    """Common to both tables: length, concatenation, selection."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    @classmethod
    def names(cls) -> list[str]:
        """Column names, in the order of the SQL table."""
        return [column.name for column in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """All rows of `parts`, in order. `parts` must not be empty."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.names()})

    def select(self, rows: npt.NDArray[np.bool_]) -> Self:
        """The rows where the boolean mask, shape (N,), is true."""
        return type(self)(**{name: getattr(self, name)[rows] for name in self.names()})


@dataclass(frozen=True, kw_only=True)
class MetricColumns(Columns):
    """One row per trial and trace point. Losses are means per sample, whatever the training reduction."""

    trial_id: IntColumn
    step: IntColumn
    epoch: FloatColumn
    train_loss: FloatColumn
    train_accuracy: FloatColumn
    test_loss: FloatColumn
    test_accuracy: FloatColumn
    weight_alignment: FloatColumn
    gradient_alignment: FloatColumn


@dataclass(frozen=True, kw_only=True)
class TraceColumns(Columns):
    """One row per trial, trace point and layer (layers count from 1)."""

    trial_id: IntColumn
    step: IntColumn
    layer: IntColumn
    weight_alignment: FloatColumn
    gradient_alignment: FloatColumn
    weight_gradient_alignment: FloatColumn
    delta_norm_ratio: FloatColumn
    weight_norm: FloatColumn
    update_norm: FloatColumn


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one trial of a pack ended. Expected ends are values, not exceptions.

    `steps` counts the updates made; `diverged_at_step` is the first step whose weights were not finite.
    """

    trial_id: int
    reason: Reason
    steps: int = 0
    diverged_at_step: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The next piece of a pack's results. `seq` counts from 0 without gaps within the pack."""

    pack_id: int
    seq: int
    metrics: MetricColumns | None = None
    traces: TraceColumns | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    model_steps: int = 0
    """Updates made since the chunk before, summed over the trials of the pack."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where and with what a pack was trained; recorded with every attempt."""

    node: str
    device: str
    versions: dict[str, str]
    matmul: str
    """Which matrix-product path was chosen at worker start, for instance `mkl` or `onednn-avx512`."""
    reproducibility: str
    """`bitwise` or `tolerance`: whether numbers may depend on the pack's composition."""
