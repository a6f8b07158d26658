"""What workers report: plain arrays and values that cross processes.

Traces travel as columns, one numpy array per column, all of the same length N. NaN in a float column means
*undefined* and becomes NULL in SQL; a diverged trial reports its divergence as an `Outcome`, never as NaN rows.
"""

import hashlib
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from services.domain.states import Reason

IntColumn = npt.NDArray[np.int64]
FloatColumn = npt.NDArray[np.float64]
TextColumn = npt.NDArray[np.str_]


INTEGERS = ("trial_id", "step", "layer", "i", "j")
"""Columns of whole numbers, in whichever table."""


class Columns:
    """Common to all tables: length, concatenation, selection."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    @classmethod
    def names(cls) -> list[str]:
        """Column names, in the order of the SQL table."""
        return [column.name for column in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        return cls(**{name: np.empty(0, np.int64 if name in INTEGERS else np.float64) for name in cls.names()})

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
    """Over all layers, with the feedback as it was drawn, before scaling."""
    weight_alignment_scaled: FloatColumn
    """Over all layers, with the feedback as it is used."""
    gradient_alignment: FloatColumn
    """Over all hidden layers."""
    gradient_alignment_published: FloatColumn
    """Without the last hidden layer, as the authors' code has it."""
    generalisation_error: FloatColumn
    """Exact, of a committee that learns from a teacher of the same kind."""


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
    """Norm of the last update; undefined at step 0."""
    delta_effective_rank: FloatColumn
    """Participation ratio of the rule's deltas: (sum s^2)^2 / sum s^4 over their singular values s."""
    alignment_condition: FloatColumn
    """Condition number of the alignment matrix A_l."""
    alignment_identity: FloatColumn
    """tr(A_l) / (norm(A_l) sqrt(n_L)): 1 where A_l is a positive multiple of the identity."""
    alignment_residual: FloatColumn
    """Largest entry of W_l - F_l A_l F_{l-1}^T over that of W_l: 0 where the weights follow the feedback alone."""


@dataclass(frozen=True, kw_only=True)
class OrderColumns(Columns):
    """Order parameters of a teacher-student pair: one row per trial, trace point, quantity and entry.

    `quantity`: Q, R, T, v, A or F. `i` and `j` count from 1; `j` is 0 for the vectors v, A and F.
    """

    trial_id: IntColumn
    step: IntColumn
    quantity: TextColumn
    i: IntColumn
    j: IntColumn
    value: FloatColumn


@dataclass(frozen=True, kw_only=True)
class _Document:
    """Of one trial after `step` updates, in the safetensors format."""

    trial_id: int
    step: int
    safetensors: bytes

    @property
    def sha256(self) -> str:
        """Of the document: its name in the store."""
        return hashlib.sha256(self.safetensors).hexdigest()


class Snapshot(_Document):
    """The weights."""


class Checkpoint(_Document):
    """Everything that the future of the trial depends on. Its rows up to this step were reported before or with it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one trial of a pack ended. Expected ends are values, not exceptions.

    `steps` counts the updates made; `diverged_at_step` is the first step at which the outputs were not finite.
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
    orders: OrderColumns | None = None
    snapshots: list[Snapshot] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    model_steps: int = 0
    """Updates made since the chunk before, summed over the trials of the pack."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where and with what a pack was trained; recorded with every attempt, beside the seeds of the trial's streams."""

    node: str
    system: str
    """Kernel, its release, the machine's architecture."""
    cpu: str
    """Model of the processor."""
    device: str
    """`cpu` or `cuda`."""
    accelerator: str | None
    """Model of the GPU; None on a CPU."""
    versions: dict[str, str]
    commit: str | None
    """Of alignsweep's source, `-dirty` where it was changed since; None: it does not come from a repository."""
    matmul: str
    """Which matrix-product path was chosen at worker start: `mkl` or `onednn`."""
    instructions: str
    """The widest that this path uses, as torch calls them: `AVX2`, `AVX512`, ..."""
    threads: int
    """Of one matrix product."""
    reproducibility: str
    """`bitwise` or `tolerance`: whether numbers may depend on the pack's composition."""
