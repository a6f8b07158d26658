"""The experiment spec: what a user may ask for. Data, never code.

A *sweep spec* is a base configuration, axes over it, and a number of seeds. A *trial spec* is one point of it:
the unit of the queue, and everything a worker needs to know. Defaults are those of the experiments of
Refinetti et al. 2021: no biases, SGD on the sum-reduced cross-entropy with learning rate 1e-3 and batches of 32,
feedback uniform on [-1, 1] divided by the square root of the width.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

DataName = Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]
Activation = Literal["tanh", "relu", "linear"]
RuleName = Literal["bp", "fa", "dfa", "shallow"]

MAX_SEED = 2**63 - 1
MAX_TRIALS_PER_SWEEP = 1_000_000

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Width = Annotated[int, Field(ge=1, le=65_536)]
# A JSON pointer of dots into the trial spec: `rule.feedback.scale`.
AxisPath = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[a-z_]+(\.[a-z_]+)*$")]
AxisValues = Annotated[list[JsonValue], Field(min_length=1, max_length=100_000)]


class SpecModel(BaseModel):
    """Strict and closed: no coercion, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataSpec(SpecModel):
    name: DataName = Field("digits", description="Data set. `digits` needs no network and no download.")
    size: Annotated[int, Field(ge=1, le=512)] | None = Field(
        None, description="Height and width in pixels to resize every channel to; null keeps the original."
    )
    train_samples: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Use only the first so many training samples; null uses all."
    )
    label_noise: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Probability that a training label is redrawn uniformly over all classes."
    )
    label_noise_seed: Seed | None = Field(
        None, description="Pins the label-noise stream; null follows the trial's seed."
    )


class ModelSpec(SpecModel):
    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[list[Width], Field(min_length=0, max_length=256)] = Field(
        [64, 64], description="Widths of the hidden layers; the network has one weight layer more."
    )
    activation: Activation = "tanh"
    bias: bool = False
    init: Literal["default", "zero"] = Field(
        "default", description="`default`: uniform on +-1/sqrt(fan_in), PyTorch's own; `zero`: all weights zero."
    )
    init_seed: Seed | None = Field(None, description="Pins the weight-init stream; null follows the trial's seed.")


class FeedbackSpec(SpecModel):
    distribution: Literal["uniform", "normal"] = Field(
        "uniform", description="`uniform` on [-1, 1], or the standard `normal`."
    )
    scale: Literal["inv_sqrt_width"] | Annotated[float, Field(gt=0)] = Field(
        "inv_sqrt_width",
        description="Multiplies the drawn entries. `inv_sqrt_width`: 1/sqrt(n_l) for feedback into layer l.",
    )
    seed: Seed | None = Field(
        None,
        description="Pins the feedback stream, so that all seeds share one feedback; null follows the trial's seed.",
    )


class RuleSpec(SpecModel):
    name: RuleName = Field("dfa", description="How the learning signal reaches the hidden layers.")
    feedback: FeedbackSpec = FeedbackSpec()


class TrainSpec(SpecModel):
    optimizer: Literal["sgd"] = "sgd"
    lr: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    epochs: Annotated[int, Field(ge=0, le=1_000_000)] = 15
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="Over the batch. `sum` with lr 1e-3 and batches of 32 steps like `mean` with lr 0.032."
    )
    order_seed: Seed | None = Field(None, description="Pins the data-order stream; null follows the trial's seed.")


class TraceSpec(SpecModel):
    points_per_decade: Annotated[int, Field(ge=1, le=1_000)] = Field(
        8, description="Trace points per factor of ten in the step, besides step 0 and the last step."
    )
    evaluate_on: Annotated[int, Field(ge=1)] | Literal["full"] = Field(
        2000, description="Samples of each split on which loss and accuracy are evaluated."
    )
    probe: Annotated[int, Field(ge=1, le=65_536)] = Field(
        500, description="Training samples, the same at every step, on which gradient alignment is measured."
    )


class ResourcesSpec(SpecModel):
    cpu: Annotated[float, Field(gt=0, le=1024)] = 1
    gpu: Annotated[float, Field(ge=0, le=64)] = 0


class TrialConfig(SpecModel):
    """One configuration, without the seed: what the trials of a group share."""

    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    rule: RuleSpec = RuleSpec()
    train: TrainSpec = TrainSpec()
    trace: TraceSpec = TraceSpec()

    @model_validator(mode="after")
    def _feedback_needs_a_hidden_layer(self) -> "TrialConfig":
        if self.rule.name != "bp" and not self.model.hidden:
            raise ValueError(f"rule {self.rule.name} needs at least one hidden layer")
        return self


class TrialSpec(SpecModel):
    """One configuration with one seed."""

    config: TrialConfig
    seed: Seed


class SeedsSpec(SpecModel):
    count: Annotated[int, Field(ge=1, le=MAX_TRIALS_PER_SWEEP)] = 1
    base: Seed = 0

    @model_validator(mode="after")
    def _last_seed_exists(self) -> "SeedsSpec":
        if self.base + self.count - 1 > MAX_SEED:
            raise ValueError(f"base + count - 1 must not exceed {MAX_SEED}")
        return self


class RetriesSpec(SpecModel):
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="Attempts charged to a trial before it fails."
    )


class SweepSpec(SpecModel):
    """A whole experiment."""

    version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    base: TrialConfig = TrialConfig()
    grid: dict[AxisPath, AxisValues] = Field({}, description="Every combination of these values.")
    zip: dict[AxisPath, AxisValues] = Field({}, description="Values that change together; all lists equally long.")
    seeds: SeedsSpec = SeedsSpec()
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(0, description="Higher is claimed first.")
    resources: ResourcesSpec = ResourcesSpec()
    retries: RetriesSpec = RetriesSpec()


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces. Hashes are taken over it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
