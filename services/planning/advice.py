"""What a researcher would be glad to be told before a sweep runs. Warnings stop nothing; they are few."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from services.domain.errors import Problem, json_pointer
from services.domain.schedule import total_steps, trace_steps
from services.domain.spec import DIRECT_RULES, SEQUENTIAL_RULES, DataSpec, SweepSpec, TrialConfig
from services.domain.spec.axes import identity
from services.domain.spec.effects import without_effect
from services.planning.combinations import pointer_to
from services.planning.expansion import ExpandedGroup
from services.shelf import Shelf

_LARGE_RATE = 0.2
"""Of a mean over the batch, without momentum: about where networks of these sizes begin to diverge."""
_FEW_POINTS = 10


@dataclass
class _Noted:
    """Configurations of one kind: how many, the first of them, and what is worst among them."""

    groups: int = 0
    worst: float = 0.0
    config: TrialConfig | None = None


@dataclass
class _Idle:
    """Groups in which the same axes have no effect, and what is left of them without these."""

    groups: int = 0
    different: set[Any] = field(default_factory=set)
    reasons: dict[str, None] = field(default_factory=dict)


class Advice:
    """Looks at each group of a sweep once, then warns.

    `shelf`: the data sets of the machine that is asked; without it, nothing is said of data that is not there.
    """

    def __init__(self, spec: SweepSpec, shelf: Shelf | None = None) -> None:
        self._spec = spec
        self._shelf = shelf
        self._shelved: dict[tuple[str, str | None], bool] = {}
        self._groups = 0
        self._noted: dict[str, _Noted] = {}
        self._idle: dict[tuple[str, ...], _Idle] = {}
        self._rules: set[str] = set()
        self._points: dict[tuple[int, int], int] = {}
        self.groups_by_branch = Counter[tuple[int, ...]]()

    def see(self, group: ExpandedGroup) -> None:
        """Note what is remarkable about a group."""
        config = group.config
        self._groups += 1
        self.groups_by_branch[group.branches] += 1
        self._rules.add(config.rule.name)
        train, data = config.train, config.data
        if train.optimizer == "sgd" and train.reduction == "sum" and train.batch_size > 1:
            self._note("summed_rate", config, train.lr * train.batch_size, above=_LARGE_RATE)
        self._note("no_training", config, train.epochs == 0)
        self._note("few_trace_points", config, _FEW_POINTS / self._trace_points(config), above=1)
        self._note("clean_test_labels", config, data.label_noise if data.label_noise_on == "train" else 0)
        self._note("feedback_per_seed", config, self._compares_solutions(config) and self._draws_feedback(config))
        self._note("data_not_here", config, not self._has(data))
        idle = {path: reason for path in group.varied if (reason := without_effect(config, path))}
        if idle:
            left = tuple((path, identity(value)) for path, value in group.varied.items() if path not in idle)
            noted = self._idle.setdefault(tuple(idle), _Idle())
            noted.groups += 1
            noted.different.add(left)
            noted.reasons |= dict.fromkeys(idle.values())

    def warnings(self) -> list[Problem]:
        """What is remarkable about the sweep."""
        return [*self._of_axes(), *self._of_groups(), *self._of_seeds()]

    def _note(self, code: str, config: TrialConfig, value: float, *, above: float = 0) -> None:
        if value > above:
            noted = self._noted.setdefault(code, _Noted())
            noted.groups += 1
            if value > noted.worst:
                noted.worst, noted.config = value, config

    def _trace_points(self, config: TrialConfig) -> int:
        key = total_steps(config), config.trace.points_per_decade
        if key not in self._points:
            self._points[key] = len(trace_steps(*key)) if key[0] else _FEW_POINTS
        return self._points[key]

    def _has(self, data: DataSpec) -> bool:
        key = data.name, data.path
        if key not in self._shelved:
            self._shelved[key] = self._shelf is None or self._shelf.has(data)
        return self._shelved[key]

    def _compares_solutions(self, config: TrialConfig) -> bool:
        return config.trace.snapshots_per_decade > 0 and self._spec.seeds.count > 1

    def _draws_feedback(self, config: TrialConfig) -> bool:
        feedback = config.rule.feedback
        drawn = config.rule.name in DIRECT_RULES | SEQUENTIAL_RULES and feedback.distribution != "matched"
        return drawn and feedback.seed is None and feedback.values is None

    def _of_axes(self) -> Iterator[Problem]:
        for paths, idle in self._idle.items():
            repeated = idle.groups - len(idle.different)
            if repeated:
                path, why = paths[0], " and ".join(idle.reasons)
                change = "changes" if len(paths) == 1 else "change"
                yield Problem(
                    pointer=pointer_to(self._spec, path),
                    code="axis_without_effect",
                    message=f"{' and '.join(paths)} {change} nothing with {why}: "
                    f"{repeated:,} of {self._groups:,} configurations repeat others",
                    hint="vary it in a branch: when: [{if: {...}, grid: {" + path + ": [...]}}]",
                )
        for index in range(len(self._spec.when)):
            if not any(index in branches for branches in self.groups_by_branch):
                yield Problem(
                    pointer=json_pointer(("when", index)),
                    code="branch_never_applies",
                    message="no combination has these values",
                )

    def _of_groups(self) -> Iterator[Problem]:
        for code, noted in self._noted.items():
            assert noted.config is not None
            if told := self._told(code, noted.config):
                path, message, hint = told
                value = noted.config.model_dump(mode="json")
                for part in path.split("."):
                    value = value[part]
                where = "" if noted.groups == self._groups else f" (in {noted.groups:,} of {self._groups:,})"
                yield Problem(
                    pointer=pointer_to(self._spec, path, value), code=code, message=f"{message}{where}", hint=hint
                )

    def _told(self, code: str, config: TrialConfig) -> tuple[str, str, str | None] | None:
        """The path to blame, what to say of it, and what to write."""
        train = config.train
        match code:
            case "summed_rate":
                return (
                    "train.lr",
                    f"lr {train.lr:g} on gradients summed over {train.batch_size} samples steps like "
                    f"{train.lr * train.batch_size:g} on their mean",
                    "train.reduction: mean, if the mean is meant",
                )
            case "no_training":
                return "train.epochs", "0 epochs train nothing: step 0 alone is measured", None
            case "few_trace_points":
                points = self._trace_points(config)
                return (
                    "trace.points_per_decade",
                    f"{points} trace points in {total_steps(config):,} updates cannot tell when alignment begins",
                    "more epochs, or trace.points_per_decade: 8 or more",
                )
            case "clean_test_labels" if len(self._rules) > 1:
                return (
                    "data.label_noise",
                    "training labels alone are redrawn, the paper's code redraws test labels too; and noise delays "
                    "alignment more than it lowers its end: compare rules by v_phases",
                    "data.label_noise_on: both, to repeat the paper",
                )
            case "data_not_here":
                assert self._shelf is not None
                data = config.data
                return (
                    "data.path" if data.path else "data.name",
                    f"{data.path or data.name} is not under {self._shelf.root}: every trial of it fails unless the "
                    f"workers have it there (here are {', '.join(self._shelf.names())})",
                    "put it there" if data.path else "put it there, or set ALIGNSWEEP_DATA_DOWNLOAD=1 for the service",
                )
            case "feedback_per_seed":
                return (
                    "rule.feedback.seed",
                    "each seed draws its own feedback, so its snapshots will not end alike as the paper's do",
                    "rule.feedback.seed: 0, to share one feedback",
                )
        return None

    def _of_seeds(self) -> Iterator[Problem]:
        if self._spec.seeds.count == 1 and self._groups > 1:
            yield Problem(
                pointer="/seeds/count",
                code="one_seed",
                message="one seed for each configuration: there will be no spread, and no interval",
                hint="seeds: {count: 5}",
            )
