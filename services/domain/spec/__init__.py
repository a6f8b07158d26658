"""The experiment spec: what a user may ask for. Data, never code.

A *sweep spec* is a base configuration, axes over it, and a number of seeds. A *trial spec* is one point of it:
the unit of the queue, and everything a worker needs to know. Defaults are those of the experiments of
Refinetti et al. 2021: no biases, SGD on the sum-reduced cross-entropy with learning rate 1e-3 and batches of 32,
feedback uniform on [-1, 1] divided by the square root of the width.
"""

from services.domain.spec.axes import Choice, Distribution, IntUniform, LogUniform, RandomSpec, Uniform, WhenSpec
from services.domain.spec.base import MAX_SEED, Seed, SpecModel, canonical_json, content_hash
from services.domain.spec.data import DataName, DataSpec, ImageName, TeacherSpec
from services.domain.spec.model import Activation, ConvSpec, ModelSpec, TransformerSpec
from services.domain.spec.rule import (
    DIRECT_RULES,
    SEQUENTIAL_RULES,
    FeedbackSpec,
    MirrorSpec,
    PerturbationSpec,
    RuleName,
    RuleSpec,
    SwitchSpec,
)
from services.domain.spec.sweep import (
    MAX_STEPS_PER_TRIAL,
    MAX_TRIALS_PER_SWEEP,
    FailFastSpec,
    LimitsSpec,
    ResourcesSpec,
    RetriesSpec,
    SeedsSpec,
    SweepSpec,
    TrialConfig,
    TrialSpec,
)
from services.domain.spec.trace import TraceSpec
from services.domain.spec.train import ScheduleSpec, TrainSpec

__all__ = [
    "DIRECT_RULES",
    "MAX_SEED",
    "MAX_STEPS_PER_TRIAL",
    "MAX_TRIALS_PER_SWEEP",
    "SEQUENTIAL_RULES",
    "Activation",
    "Choice",
    "ConvSpec",
    "DataName",
    "DataSpec",
    "Distribution",
    "FailFastSpec",
    "FeedbackSpec",
    "ImageName",
    "IntUniform",
    "LimitsSpec",
    "LogUniform",
    "MirrorSpec",
    "ModelSpec",
    "PerturbationSpec",
    "RandomSpec",
    "ResourcesSpec",
    "RetriesSpec",
    "RuleName",
    "RuleSpec",
    "ScheduleSpec",
    "Seed",
    "SeedsSpec",
    "SpecModel",
    "SweepSpec",
    "SwitchSpec",
    "TeacherSpec",
    "TraceSpec",
    "TrainSpec",
    "TransformerSpec",
    "TrialConfig",
    "TrialSpec",
    "Uniform",
    "WhenSpec",
    "canonical_json",
    "content_hash",
]
