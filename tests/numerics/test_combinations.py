"""The parts combine freely: whatever a spec admits can be trained, is not a no-op, and does not depend on its pack."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.domain.spec import TrialConfig, TrialSpec
from services.domain.states import Reason
from tests.numerics.trials import rows_of, run

RULES = ["bp", "fa", "dfa", "shallow", "usf", "frsf", "brsf", "kp", "wm", "drtp"]


def one_of(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the fields, each with one of its values."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in fields.items()})


DATA = st.one_of(
    one_of(size=[4, 7], classes=[3], standardise=["by_split", "none"], label_noise=[0.5], label_noise_on=["both"]).map(
        lambda d: {**d, "train_samples": 40, "test_samples": 15}
    ),
    one_of(alpha=[0.3], beta=[0.0, 0.5], noise=[0.1], spectrum=[1.0], inputs=[5]).map(
        lambda d: {**d, "name": "regression", "train_samples": 40, "test_samples": 15}
    ),
    one_of(noise=[0.1], spectrum=[1.5], teacher=[{"activation": "relu"}, {"second_layer": "normal"}]).map(
        lambda d: {**d, "name": "teacher", "inputs": 6, "test_samples": 15}
    ),
)
MODEL = one_of(
    kind=["mlp", "mlp", "cnn", "transformer", "committee"],
    hidden=[[5], [6, 3], [], [4, 4, 4]],
    activation=["relu", "leaky_relu", "linear", "erf", "sigmoid", "swish"],
    bias=[True],
    init=["uniform", "normal", "orthogonal", "zero", "aligned", "aligned_readout"],
    init_scale=["inv_sqrt_fan_out", 0.1],
    conv=[
        {"channels": [2], "kernel": 2},
        {"channels": [3, 2], "kernel": 2, "pool": 2, "padding": 1},
        {"channels": [3, 2], "kernel": 3, "pooling": "average", "stride": 2, "padding": 2},
    ],
    transformer=[{"patch": 1, "width": 4, "blocks": 1}, {"patch": 2, "width": 6, "heads": 3}],
)
FEEDBACK = one_of(
    distribution=["normal", "positive", "orthogonal", "orthogonal_across", "matched", "repeated", "svd", "nmf"],
    scale=["inv_sqrt_max_width", "inv_sqrt_outputs", "unit_rows", 0.5],
    rank=[1, 2],
    seed=[3],
)
RULE = st.builds(
    lambda rest, feedback: {**rest, "feedback": feedback},
    one_of(
        name=RULES,
        switch=[{"to": "bp", "at_step": 2}, {"to": "dfa", "at_step": 1}],
        perturbation=[{"size": 0.5}, {"size": 0.5, "kind": "fixed"}],
        mirror=[{"every": 2, "batch": 3}],
    ),
    FEEDBACK,
)
TRAIN = one_of(
    optimizer=["adam"],
    momentum=[0.9],
    nesterov=[True],
    weight_decay=[0.01],
    schedule=[{"kind": "cosine"}, {"kind": "step", "every_epochs": 1}],
    batch_size=[7, 40],
    shuffle=[False],
    loss=["mse", "half_mse"],
    reduction=["mean"],
)
TRACE = one_of(alignment_on=["next_batch", "last_batch", "paper"], evaluate_on=["full"], snapshots_per_decade=[1])


# Most combinations drawn do not fit together; those are not the ones meant.
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=DATA, model=MODEL, rule=RULE, train=TRAIN, trace=TRACE)
def test_whatever_a_spec_admits_can_be_trained(
    data: dict[str, Any], model: dict[str, Any], rule: dict[str, Any], train: dict[str, Any], trace: dict[str, Any]
) -> None:
    document = {
        "data": data,
        "model": model,
        "rule": rule,
        "train": {"lr": 1e-4, **train, "epochs": 2},
        "trace": {"probe": 9, "evaluate_on": 11, **trace},
    }
    try:
        config = TrialConfig.model_validate(document)
    except ValidationError:
        assume(False)
    trials = [TrialSpec(config=config, seed=seed) for seed in (0, 1)]
    points = run(trials)
    assert rows_of(points, 0) == rows_of(run(trials[:1]), 0)
    assert sorted(outcome.trial_id for point in points for outcome in point.outcomes) == [0, 1]
    assert {outcome.reason for point in points for outcome in point.outcomes} == {Reason.COMPLETED}
    assert np.isfinite(points[-1].metrics.train_loss).all()
    alignment = np.concatenate([point.traces.gradient_alignment for point in points])
    assert not (np.abs(alignment) > 1 + 1e-5).any()
    depth = points[0].traces.layer.max()
    readout = points[-1].traces.layer == depth
    assert (points[-1].traces.update_norm[readout] > 0).all() or config.model.init == "zero"


THEORY = st.fixed_dictionaries(
    {
        "hidden": st.sampled_from([1, 3]),
        "activation": st.sampled_from(["erf", "linear"]),
        "teacher": one_of(hidden=[1, 4], second_layer=["normal", 0.5], seed=[1]),
        "noise": st.sampled_from([0.0, 0.3]),
        "model": one_of(init=["uniform", "normal", "orthogonal", "zero", "aligned_readout"], init_scale=[0.1]),
        "feedback": one_of(
            distribution=["normal", "positive", "orthogonal", "orthogonal_across", "matched"],
            scale=["inv_sqrt_max_width", "inv_sqrt_outputs", "unit_rows", 0.5],
            rank=[1],
            seed=[3],
        ),
        "rule": st.sampled_from(["bp", "fa", "dfa", "shallow"]),
        "train": one_of(batch_size=[1, 4], loss=["mse"], reduction=["mean"], lr=[0.5], epochs=[0, 2]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(chosen=THEORY)
def test_whatever_a_spec_admits_has_a_theory(chosen: dict[str, Any]) -> None:
    activation = chosen["activation"]
    document = {
        "data": {
            "name": "teacher",
            "inputs": 6,
            "noise": chosen["noise"],
            "teacher": {**chosen["teacher"], "activation": activation},
        },
        "model": {**chosen["model"], "kind": "theory", "hidden": [chosen["hidden"]], "activation": activation},
        "rule": {"name": chosen["rule"], "feedback": chosen["feedback"]},
        "train": {"lr": 0.01, "epochs": 2, "loss": "half_mse", **chosen["train"]},
    }
    try:
        config = TrialConfig.model_validate(document)
    except ValidationError:
        assume(False)
    trials = [TrialSpec(config=config, seed=seed) for seed in (0, 1)]
    points = run(trials)
    assert rows_of(points, 0) == rows_of(run(trials[:1]), 0)
    assert {outcome.reason for point in points for outcome in point.outcomes} == {Reason.COMPLETED}
    for point in points:
        assert (point.metrics.generalisation_error >= 0).all()
        assert not (np.abs(point.traces.gradient_alignment) > 1 + 1e-12).any()
