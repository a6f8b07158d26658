"""Trials of model `theory`: the theory of the committee of the same configuration and seed."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.domain.results import Outcome
from services.domain.spec import TrialSpec
from services.domain.states import Reason
from tests.numerics.trials import CPU, LIBRARY, rows_of, run, trial
from workers.theory import dop853
from workers.training.engine import train

Array = npt.NDArray[np.float64]


def pair(
    seed: int, rule: str = "dfa", *, inputs: int = 50, epochs: int = 4, activation: str = "erf", **more: dict[str, Any]
) -> tuple[TrialSpec, TrialSpec]:
    """The simulation and its theory."""
    sections: dict[str, dict[str, Any]] = {
        "data": {
            "name": "teacher",
            "inputs": inputs,
            "test_samples": 50,
            "teacher": {"activation": activation},
            **more.get("data", {}),
        },
        "rule": {"name": rule, "feedback": {"distribution": "normal", "scale": 1.0}},
        "train": {"epochs": epochs, "lr": 0.5, "batch_size": 1, "loss": "half_mse", **more.get("train", {})},
        "trace": {"probe": 50, "evaluate_on": 50, **more.get("trace", {})},
    }
    model = {"hidden": [2], "activation": activation, "init": "normal", "init_scale": 0.1, **more.get("model", {})}
    simulation, theory = (trial(seed, model={**model, "kind": kind}, **sections) for kind in ("committee", "theory"))
    return simulation, theory


def errors(trials: list[TrialSpec]) -> Array:
    """Generalisation error, (points, trials)."""
    return np.array([point.metrics.generalisation_error for point in run(trials)])


# --- beside the simulation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "shallow"])
def test_theory_and_simulation_start_alike_and_have_the_same_rows(rule: str) -> None:
    simulated, solved = (run(list(trials)) for trials in zip(pair(0, rule), pair(1, rule), strict=True))
    assert [point.metrics.step.tolist() for point in simulated] == [point.metrics.step.tolist() for point in solved]
    for ours, theirs in zip(solved, simulated, strict=True):
        assert ours.orders is not None
        assert theirs.orders is not None
        for name in ("trial_id", "step", "quantity", "i", "j"):
            assert getattr(ours.orders, name).tolist() == getattr(theirs.orders, name).tolist()
        assert (ours.metrics.epoch == theirs.metrics.epoch).all()
        assert _defined(ours.metrics) == _defined(theirs.metrics)
        # What depends on single samples, and on single weights of layer 1.
        undefined = {"weight_gradient_alignment", "update_norm", "alignment_residual"}
        assert {name: _defined(ours.traces)[name] for name in set(ours.traces.names()) - undefined} == {
            name: _defined(theirs.traces)[name] for name in set(theirs.traces.names()) - undefined
        }
    first, second = solved[0], simulated[0]
    assert first.orders is not None
    assert second.orders is not None
    assert (first.orders.value == second.orders.value).all()
    assert first.metrics.generalisation_error == pytest.approx(second.metrics.generalisation_error, rel=1e-12)
    assert first.traces.weight_norm == pytest.approx(second.traces.weight_norm, rel=1e-7)
    residuals = (point.traces.alignment_residual[1::2] for point in (first, second))
    assert next(residuals) == pytest.approx(next(residuals), rel=1e-6, nan_ok=True)
    assert np.isnan(first.traces.alignment_residual[1::2]).all() == (rule != "dfa")
    assert solved[-1].outcomes == [Outcome(trial_id=slot, reason=Reason.COMPLETED, steps=200) for slot in (0, 1)]
    assert sum(point.model_steps for point in solved) == 400


def _defined(columns: Any) -> dict[str, list[bool]]:
    return {name: np.isfinite(getattr(columns, name)).tolist() for name in columns.names()}


@pytest.mark.parametrize("rule", ["bp", "dfa"])
def test_the_simulation_comes_closer_to_the_theory_with_more_inputs(rule: str) -> None:
    deviation = {}
    for inputs in (500, 2000):
        trials = [pair(seed, rule, inputs=inputs, epochs=8) for seed in range(4)]
        simulated, solved = (errors(list(kind)) for kind in zip(*trials, strict=True))
        deviation[inputs] = np.sqrt(np.mean((simulated / solved - 1) ** 2))
        assert solved[-1].mean() < 0.8 * solved[0].mean()
    assert deviation[500] < 0.03
    assert deviation[2000] < 0.015
    assert deviation[2000] < 0.75 * deviation[500]  # half, in expectation


@pytest.mark.parametrize(
    "train",
    [
        {"batch_size": 5, "lr": 0.1},
        {"batch_size": 5, "reduction": "mean"},
        {"loss": "mse", "lr": 0.25},
        {"lr": 1.0},
    ],
    ids=str,
)
def test_batches_reductions_and_losses_mean_what_they_mean_to_the_simulation(train: dict[str, Any]) -> None:
    """With noise on the labels, so that drift and diffusion both count."""
    trials = [pair(seed, inputs=1000, epochs=3, train=train, data={"noise": 0.7}) for seed in range(4)]
    simulated, solved = (run(list(kind)) for kind in zip(*trials, strict=True))
    for name, tolerance in (("generalisation_error", 0.05), ("train_loss", 0.3)):
        ours, theirs = getattr(solved[-1].metrics, name), getattr(simulated[-1].metrics, name)
        assert ours.mean() == pytest.approx(theirs.mean(), rel=tolerance)
    ours, theirs = solved[-1].traces, simulated[-1].traces
    assert ours.weight_norm == pytest.approx(theirs.weight_norm, rel=0.1)
    assert ours.gradient_alignment[::2] == pytest.approx(theirs.gradient_alignment[::2], abs=0.2)
    assert ours.delta_effective_rank == pytest.approx(theirs.delta_effective_rank, rel=0.2)


def test_the_batch_decides_how_much_noise_there_is() -> None:
    curves = [
        errors([pair(0, train=train, data={"noise": 1.0})[1]])[-1, 0]
        for train in ({"batch_size": 1}, {"batch_size": 5, "reduction": "mean"}, {"batch_size": 5, "lr": 0.1})
    ]
    assert curves[1] < 0.95 * curves[0]
    assert curves[2] == pytest.approx(curves[1], rel=1e-6)


# --- packs ------------------------------------------------------------------------------------------------------------


def test_teachers_of_any_size_share_a_pack_and_change_nothing() -> None:
    trials = [pair(seed, data={"teacher": {"hidden": seed, "activation": "erf"}})[1] for seed in (1, 2, 5)]
    together = run(trials)
    for slot, alone in enumerate(trials):
        assert rows_of(together, slot) == rows_of(run([alone]), 0)
    orders = together[0].orders
    assert orders is not None
    counted = [int(((orders.trial_id == slot) & (orders.quantity == "T")).sum()) for slot in range(3)]
    assert counted == [1, 4, 25]


def test_a_dropped_trial_leaves_and_the_others_stay_as_they_are() -> None:
    trials = [pair(seed)[1] for seed in range(3)]
    dropped: set[int] = set()
    points = []
    for point in train(trials, [0, 1, 2], library=LIBRARY, device=CPU, dropped=lambda: dropped):
        points.append(point)
        dropped.add(1)
    assert 1 in points[0].metrics.trial_id
    assert 1 not in points[1].metrics.trial_id
    assert rows_of(points, 2) == rows_of(run(trials), 2)
    assert {outcome.trial_id for point in points for outcome in point.outcomes} == {0, 2}
    assert list(train(trials, [0, 1, 2], library=LIBRARY, device=CPU, dropped=lambda: {0, 1, 2})) == []


def test_rates_that_no_integrator_follows_fail_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dop853, "MAX_STEPS", 200)
    calm, wild = pair(0, "bp", activation="linear")[1], pair(1, "bp", activation="linear", train={"lr": 1e5})[1]
    points = run([calm, wild])
    outcomes = {outcome.trial_id: outcome for point in points for outcome in point.outcomes}
    assert outcomes[0].reason is Reason.COMPLETED
    assert outcomes[1].reason is Reason.USER_ERROR
    assert "lr is too large" in (outcomes[1].error or "")
    assert rows_of(points, 0) == rows_of(run([calm]), 0)
