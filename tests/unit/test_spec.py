"""Which configurations there are: what fits together, what does not, and what follows from a configuration alone."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.domain.architecture import architecture
from services.domain.packability import shared_configuration
from services.domain.schedule import total_steps
from services.domain.spec import TrialConfig

THEORY: dict[str, Any] = {
    "data": {"name": "teacher", "inputs": 30},
    "model": {"kind": "theory", "hidden": [3], "activation": "erf"},
    "train": {"loss": "half_mse", "batch_size": 1},
}


def theory(part: str, **values: Any) -> dict[str, Any]:
    return {**THEORY, part: {**THEORY.get(part, {}), **values}}


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"model": {"hidden": []}}, "rule dfa needs at least one hidden layer"),
    ({"model": {"kind": "transformer"}, "rule": {"name": "fa"}}, "needs a transposed weight matrix"),
    ({"model": {"kind": "transformer", "transformer": {"patch": 3}}}, "patches of 3 pixels do not tile images of 8"),
    ({"model": {"kind": "transformer", "transformer": {"width": 10, "heads": 3}}}, "3 heads do not divide"),
    ({"model": {"kind": "transformer", "init": "zero"}}, "init default"),
    ({"model": {"kind": "cnn"}}, "leave no pixel of images of 8"),
    ({"model": {"kind": "cnn"}, "data": {"name": "regression"}, "train": {"loss": "mse"}}, "needs images"),
    ({"model": {"kind": "committee", "hidden": [2, 2]}}, "exactly one hidden layer"),
    ({"model": {"kind": "committee", "hidden": [2]}}, "learns from data teacher"),
    ({"model": {"kind": "theory", "hidden": [2, 2]}}, "the theory has exactly one hidden layer"),
    ({"model": {"kind": "theory", "hidden": [2], "bias": True}}, "the theory has no biases"),
    ({"model": {"kind": "theory", "hidden": [2]}}, "a student that learns from data teacher"),
    (theory("model", activation="relu"), "closed for activations erf and linear, not relu"),
    (theory("model", activation="linear"), "the student's activation linear, not erf"),
    (theory("model", hidden=[64]), "17,842,176 integrals"),
    (theory("data", spectrum=0.5), "isotropic inputs"),
    (theory("rule", name="kp"), "rules bp, fa, dfa, shallow, not kp"),
    (theory("rule", switch={"to": "bp", "at_step": 1}), "no switch"),
    (theory("rule", perturbation={"size": 0.1}), "without perturbation"),
    (theory("train", optimizer="adam"), "plain sgd"),
    (theory("train", momentum=0.5), "plain sgd"),
    (theory("train", weight_decay=0.1), "plain sgd"),
    (theory("train", schedule={"kind": "cosine"}), "plain sgd"),
    (theory("trace", snapshots_per_decade=1), "no weights to keep"),
    ({"model": {"init": "aligned"}, "rule": {"name": "fa"}}, "follows direct feedback"),
    ({"model": {"init": "aligned", "hidden": []}, "rule": {"name": "bp"}}, "init aligned needs at least one hidden"),
    (
        {"model": {"init": "aligned"}, "rule": {"name": "bp", "feedback": {"distribution": "matched"}}},
        "matched follows the initial weights",
    ),
    (
        {
            "model": {"kind": "cnn", "conv": {"channels": [2, 2], "kernel": 4}},
            "rule": {"feedback": {"distribution": "nmf"}},
        },
        "more numbers than there are outputs",
    ),
    (
        {
            "data": {"name": "mnist", "size": 14},
            "model": {"kind": "cnn", "init": "zero"},
            "rule": {"feedback": {"distribution": "svd"}},
        },
        "init zero has none",
    ),
    ({"rule": {"feedback": {"distribution": "positive", "rank": 2}}}, "rank is for feedback uniform"),
    ({"rule": {"feedback": {"distribution": "svd"}}}, "direct feedback .* into a cnn"),
    ({"rule": {"feedback": {"distribution": "repeated"}}}, "into a cnn or transformer"),
    ({"rule": {"feedback": {"values": [[1.0]]}}}, "networks of one hidden layer"),
    ({"rule": {"feedback": {"values": [[1.0]]}}, "model": {"hidden": [2]}}, "10 rows of 2"),
    ({"rule": {"name": "kp", "switch": {"to": "bp", "at_step": 1}}}, "switch goes between"),
    ({"data": {"name": "regression"}}, "loss must be mse or half_mse"),
    ({"data": {"name": "teacher", "label_noise": 0.1}, "train": {"loss": "mse"}}, "has no labels"),
    ({"data": {"name": "folder"}}, "path belongs to folder and npz"),
    ({"data": {"name": "digits", "path": "x"}}, "path belongs to folder and npz"),
    ({"data": {"name": "folder", "path": "x"}}, "needs classes and train_samples"),
    ({"data": {"name": "folder", "path": "x", "classes": 2, "train_samples": 3}}, "folder needs size"),
    ({"data": {"name": "npz", "path": "x", "classes": 2, "train_samples": 3}}, "npz needs inputs"),
    ({"data": {"name": "npz", "path": "../x", "classes": 2, "train_samples": 3, "inputs": 1}}, "must not contain"),
    ({"data": {"name": "npz", "path": "/etc/passwd", "classes": 2, "train_samples": 3, "inputs": 1}}, "pattern"),
    ({"data": {"name": "regression", "spectrum": [1.0]}, "train": {"loss": "mse"}}, "1 eigenvalues for 9 inputs"),
    ({"data": {"name": "teacher", "teacher": {"second_layer": [1.0]}}, "train": {"loss": "mse"}}, "1 weights for 2"),
]


@pytest.mark.parametrize(("document", "message"), MISFITS, ids=[message for _, message in MISFITS])
def test_what_does_not_fit_together_is_refused_with_the_reason(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrialConfig.model_validate(document)


ARCHITECTURES: list[tuple[dict[str, Any], list[int], int]] = [
    # mlp on digits: 8 x 8 pixels
    ({"model": {"hidden": [5]}}, [64, 5, 10], 370),
    ({"model": {"hidden": [5], "bias": True}}, [64, 5, 10], 385),
    # cnn on mnist at 14 pixels: 14 - 3 = 11 and 8
    (
        {
            "data": {"name": "mnist", "size": 14},
            "model": {"kind": "cnn", "conv": {"channels": [2, 3]}, "hidden": []},
        },
        [196, 242, 192, 10],
        16 * 2 + 32 * 3 + 1920,
    ),
    # padding keeps 8 pixels, pooling halves them
    (
        {"model": {"kind": "cnn", "conv": {"channels": [2], "kernel": 3, "padding": 1, "pool": 2}, "hidden": [4]}},
        [64, 32, 4, 10],
        18 + 128 + 40,
    ),
    # committee: one output
    (
        {
            "data": {"name": "teacher", "inputs": 30},
            "model": {"kind": "committee", "hidden": [3]},
            "train": {"loss": "mse"},
        },
        [30, 3, 1],
        93,
    ),
    (THEORY, [30, 3, 1], 93),
    # transformer: 4 tokens of width 6
    (
        {"model": {"kind": "transformer", "transformer": {"patch": 4, "width": 6, "blocks": 1}}},
        [64, 24, 24, 10],
        (96 + 6 + 24) + (12 + 108 + 36 + 12 + 72 + 12 + 72 + 6) + (12 + 60 + 10),
    ),
]


@pytest.mark.parametrize(("document", "widths", "parameters"), ARCHITECTURES)
def test_the_layers_follow_from_the_configuration(document: dict[str, Any], widths: list[int], parameters: int) -> None:
    network = architecture(TrialConfig.model_validate(document))
    assert network.widths == widths
    assert network.parameter_count == parameters


def test_an_epoch_of_online_data_is_one_step_per_input() -> None:
    document = {"data": {"name": "teacher", "inputs": 30}, "train": {"loss": "mse", "epochs": 7}}
    assert total_steps(TrialConfig.model_validate(document)) == 210


@pytest.mark.parametrize(
    ("change", "together"),
    [
        ({"train": {"lr": 0.5}}, True),
        ({"train": {"schedule": {"kind": "cosine"}}}, True),
        ({"train": {"reduction": "mean"}}, True),
        ({"train": {"momentum": 0.9}}, False),  # another program
        ({"train": {"batch_size": 16}}, False),
        ({"rule": {"feedback": {"scale": 3.0}}}, True),
        ({"rule": {"feedback": {"distribution": "normal"}}}, False),
        ({"model": {"hidden": [64, 65]}}, False),
        ({"data": {"label_noise": 0.5}}, True),
    ],
    ids=str,
)
def test_what_shares_a_pack(change: dict[str, Any], together: bool) -> None:
    base, other = TrialConfig(), TrialConfig.model_validate(change)
    assert (shared_configuration(base) == shared_configuration(other)) is together


def test_two_momenta_share_a_pack() -> None:
    first, second = (TrialConfig.model_validate({"train": {"momentum": m}}) for m in (0.5, 0.9))
    assert shared_configuration(first) == shared_configuration(second)


def test_rules_without_feedback_may_stand_beside_any() -> None:
    """So that one base serves an axis of rules."""
    for rule in ("bp", "shallow", "dfa"):
        TrialConfig.model_validate(
            {
                "model": {"kind": "transformer", "transformer": {"patch": 2}},
                "rule": {"name": rule, "feedback": {"distribution": "repeated"}},
            }
        )


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "shallow"])
def test_theory_stands_beside_its_simulation(rule: str) -> None:
    """What the theory covers needs no other change than the kind."""
    for kind in ("committee", "theory"):
        document = theory("rule", name=rule, feedback={"values": [[1.0, -1.0, 0.5]]})
        TrialConfig.model_validate({**document, "model": {**THEORY["model"], "kind": kind}})
