"""A whole experiment, and one point of it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.domain.spec.axes import MAX_BRANCHES, Axes, RandomSpec, WhenSpec
from services.domain.spec.base import MAX_SEED, Name, Seed, SpecModel
from services.domain.spec.data import DataSpec
from services.domain.spec.fit import problems
from services.domain.spec.model import ModelSpec
from services.domain.spec.rule import RuleSpec
from services.domain.spec.trace import TraceSpec
from services.domain.spec.train import TrainSpec

MAX_TRIALS_PER_SWEEP = 1_000_000
MAX_STEPS_PER_TRIAL = 1_000_000_000


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
    def _parts_fit_together(self) -> "TrialConfig":
        found = "; ".join(problems(self.data, self.model, self.rule, self.train, self.trace))
        if found:
            raise ValueError(found)
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


class LimitsSpec(SpecModel):
    running: Annotated[int, Field(ge=1, le=MAX_TRIALS_PER_SWEEP)] | None = Field(
        None, description="At most so many trials of the sweep run at once; null is no limit."
    )
    trial_seconds: Annotated[float, Field(gt=0, le=1e8)] | None = Field(
        None,
        description="Wall time of an attempt, from its claim, after which the trial fails as `timeout`; null is none.",
    )


class FailFastSpec(SpecModel):
    identical_errors: Annotated[int, Field(ge=1)] | None = Field(
        3, description="The sweep pauses once so many trials have failed with the same error; null never pauses."
    )


class SweepSpec(SpecModel):
    """A whole experiment."""

    version: Literal[1] = 1
    name: Name
    base: TrialConfig = TrialConfig()
    grid: Axes = Field({}, description="Every combination of these values.")
    zip: Axes = Field({}, description="Values that change together; all lists equally long.")
    when: Annotated[list[WhenSpec], Field(max_length=MAX_BRANCHES)] = Field(
        [], description="Axes for some combinations only; where several entries apply, every combination of theirs."
    )
    random: RandomSpec | None = Field(None, description="Points drawn at random, for every combination of the rest.")
    seeds: SeedsSpec = SeedsSpec()
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(0, description="Higher is claimed first.")
    resources: ResourcesSpec = ResourcesSpec()
    retries: RetriesSpec = RetriesSpec()
    limits: LimitsSpec = LimitsSpec()
    fail_fast: FailFastSpec = FailFastSpec()
