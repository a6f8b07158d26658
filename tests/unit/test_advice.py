"""Warnings: few, where they are meant, and none where nothing is remarkable."""

from pathlib import Path
from typing import Any

import pytest

from services.domain.errors import Problem
from services.domain.spec import TrialConfig
from services.domain.spec.effects import without_effect
from services.planning.advice import Advice
from services.planning.expansion import expand, parse
from services.shelf import Shelf


def _warnings(shelf: Shelf | None = None, **parts: Any) -> list[Problem]:
    spec = parse({"name": "test", "seeds": {"count": 5}, **parts})
    advice = Advice(spec, shelf)
    for group in expand(spec):
        advice.see(group)
    return advice.warnings()


RULES = {"rule.name": ["bp", "dfa"]}
THEORY = {
    "data": {"name": "teacher"},
    "model": {"kind": "theory", "hidden": [2], "activation": "erf"},
    "train": {"loss": "half_mse"},
}
NOISE = {"data": {"label_noise": 0.1}}
SNAPSHOTS = {"snapshots_per_decade": 1}


@pytest.mark.parametrize(
    ("parts", "code", "pointer"),
    [
        ({"base": {"train": {"lr": 0.1}}}, "summed_rate", "/base/train/lr"),
        ({"grid": {"train.lr": [0.001, 0.1, 0.01]}}, "summed_rate", "/grid/train.lr/1"),
        ({"base": {"train": {"epochs": 0}}}, "no_training", "/base/train/epochs"),
        ({"base": {"trace": {"points_per_decade": 1}}}, "few_trace_points", "/base/trace/points_per_decade"),
        ({"base": NOISE, "grid": RULES}, "clean_test_labels", "/base/data/label_noise"),
        ({"base": {"trace": SNAPSHOTS}}, "feedback_per_seed", "/base/rule/feedback/seed"),
        ({"grid": RULES, "seeds": {"count": 1}}, "one_seed", "/seeds/count"),
        ({"grid": {**RULES, "rule.feedback.scale": [0.1, 1.0]}}, "axis_without_effect", "/grid/rule.feedback.scale"),
        ({"grid": {"train.epsilon": [0.1, 0.2]}}, "axis_without_effect", "/grid/train.epsilon"),
        (
            {"when": [{"if": {"rule.name": ["fa"]}, "grid": {"train.epochs": [20, 30]}}]},
            "branch_never_applies",
            "/when/0",
        ),
    ],
)
def test_what_may_not_be_meant_is_told_where_it_stands(parts: dict[str, Any], code: str, pointer: str) -> None:
    assert (code, pointer) in [(warning.code, warning.pointer) for warning in _warnings(**parts)]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"seeds": {"count": 1}},  # one trial alone: a try
        {"grid": RULES},
        {"base": {"train": {"lr": 0.1, "reduction": "mean"}}},
        {"base": {"train": {"lr": 0.1, "optimizer": "adam"}}},  # which a factor of the gradient does not change
        {"base": {"train": {"lr": 0.1, "batch_size": 1}}},
        {"base": NOISE},  # one rule: nothing is compared
        {"base": {"data": {"label_noise": 0.1, "label_noise_on": "both"}}, "grid": RULES},
        {"base": {"trace": SNAPSHOTS, "rule": {"feedback": {"seed": 0}}}},
        {"base": {"trace": SNAPSHOTS, "rule": {"name": "bp"}}},
        {"zip": {**RULES, "rule.feedback.scale": [0.1, 1.0]}},  # bp has a scale, but is trained once
        {"grid": RULES, "when": [{"if": {"rule.name": ["dfa"]}, "grid": {"rule.feedback.scale": [0.1, 1.0]}}]},
        {"base": {"data": {"name": "teacher"}, "train": {"loss": "mse", "lr": 0.1, "batch_size": 1}}},
    ],
    ids=str,
)
def test_what_is_sound_gives_no_warning(parts: dict[str, Any]) -> None:
    assert _warnings(**parts) == []


def test_repeated_trainings_are_counted() -> None:
    grid = {"rule.name": ["bp", "shallow", "dfa"], "rule.feedback.scale": [0.1, 1.0, 2.0], "train.lr": [0.001, 0.002]}
    [warning] = _warnings(grid=grid)
    assert warning.message == (
        "rule.feedback.scale changes nothing with rule bp and rule shallow: 8 of 18 configurations repeat others"
    )


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        ({"rule": {"name": "bp"}}, "rule.feedback.scale", "rule bp"),
        ({"rule": {"name": "bp", "switch": {"to": "dfa", "at_step": 1}}}, "rule.feedback.scale", None),
        ({"rule": {"name": "bp"}, "model": {"init": "aligned"}}, "rule.feedback.scale", None),
        ({}, "rule.mirror.lr", "rule dfa"),
        ({"rule": {"name": "wm"}}, "rule.mirror.lr", None),
        ({}, "rule.perturbation.kind", "perturbation of size 0"),
        ({"train": {"optimizer": "adam"}}, "train.momentum", "optimizer adam"),
        ({}, "train.betas", "optimizer sgd"),
        ({}, "train.schedule.factor", "schedule constant"),
        ({"train": {"schedule": {"kind": "step"}}}, "train.schedule.factor", None),
        ({"train": {"shuffle": False}}, "train.order_seed", "shuffle false"),
        ({}, "train.lr", None),
        ({}, "data.alpha", "data digits"),
        ({}, "data.teacher.hidden", "data digits"),
        ({}, "data.label_noise_seed", "label_noise 0"),
        ({}, "model.conv.kernel", "model mlp"),
        ({}, "model.init_scale", "init default"),
        ({"model": {"init": "normal"}}, "model.init_scale", None),
        ({}, "trace.probe", None),
        (THEORY, "trace.probe", "model theory"),
        (THEORY, "data.seed", "model theory"),
        (THEORY, "data.teacher.seed", None),
    ],
)
def test_values_that_change_nothing_are_known(document: dict[str, Any], path: str, reason: str | None) -> None:
    assert without_effect(TrialConfig.model_validate(document), path) == reason


NPZ = {"name": "npz", "path": "mine.npz", "classes": 2, "train_samples": 100, "inputs": 3}


@pytest.mark.parametrize(
    ("data", "download", "place"),
    [
        ({"name": "digits"}, False, None),
        ({"name": "regression"}, False, None),
        ({"name": "mnist"}, False, None),  # is there
        ({"name": "cifar10"}, True, None),  # is fetched
        ({"name": "cifar10"}, False, "/base/data/name"),
        (NPZ, False, "/base/data/path"),
        (NPZ, True, "/base/data/path"),  # nobody can fetch it
    ],
    ids=str,
)
def test_data_that_is_not_here_is_warned_of(
    data: dict[str, Any], download: bool, place: str | None, tmp_path: Path
) -> None:
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    train = {"loss": "mse"} if data["name"] == "regression" else {}
    found = _warnings(Shelf(root=tmp_path, download=download), base={"data": data, "train": train})
    assert [warning.pointer for warning in found if warning.code == "data_not_here"] == ([place] if place else [])
    assert not [warning for warning in _warnings(base={"data": data, "train": train}) if "not_here" in warning.code]
