"""How a trial is trained."""

from typing import Annotated, Literal

from pydantic import Field

from services.domain.spec.base import Seed, SpecModel


class ScheduleSpec(SpecModel):
    kind: Literal["constant", "step", "cosine"] = "constant"
    every_epochs: Annotated[int, Field(ge=1)] = Field(10, description="Of `step`: epochs between two falls.")
    factor: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="Of `step`: what lr is multiplied by.")
    final: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Of `cosine`: lr at the end of training, relative to the start."
    )


class TrainSpec(SpecModel):
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Of sgd.")
    nesterov: bool = Field(False, description="Of sgd with momentum.")
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = Field(
        [0.9, 0.999], description="Of adam."
    )
    epsilon: Annotated[float, Field(gt=0)] = Field(1e-8, description="Of adam.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Added to the gradient, times the weights: an L2 penalty, as in PyTorch."
    )
    schedule: ScheduleSpec = ScheduleSpec()
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    epochs: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        15, description="Of data `teacher`, an epoch is as many steps as there are inputs: the time of the theory."
    )
    shuffle: bool = Field(True, description="A new order of the samples in every epoch; false: as they stand.")
    loss: Literal["cross_entropy", "mse", "half_mse"] = Field(
        "cross_entropy", description="`mse`: sum over outputs of (yhat - y)^2; `half_mse`: half of it."
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="Over the batch. `sum` with lr 1e-3 and batches of 32 steps like `mean` with lr 0.032."
    )
    order_seed: Seed | None = Field(None, description="Pins the data-order stream; null follows the trial's seed.")
