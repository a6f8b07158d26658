"""A trial's numbers do not depend on its pack, on its neighbours' fate, or on an interruption."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from services.domain.results import Outcome
from services.domain.spec import TrialSpec
from services.domain.states import Reason
from tests.numerics.trials import CNN, COMMITTEE, CPU, LIBRARY, TRANSFORMER, rows_of, run, start, trial
from workers.training import engine, state
from workers.training.engine import train
from workers.training.progress import Progress
from workers.training.streams import Purpose, stream

ALL_RULES = ["bp", "fa", "dfa", "shallow", "usf", "frsf", "brsf", "kp", "wm", "drtp"]

# One entry per kind of program; together they cross every rule, activation, model, optimiser and odd width.
PROGRAMS: dict[str, dict[str, Any]] = {
    **{f"{rule}, tanh": {"rule": {"name": rule}, "model": {"hidden": [37, 50]}} for rule in ALL_RULES},
    **{
        f"dfa, {activation}": {"model": {"hidden": [100, 37], "activation": activation, "bias": True}}
        for activation in ("relu", "leaky_relu", "linear", "erf", "sigmoid", "swish")
    },
    "three layers of 64": {"model": {"hidden": [64, 64, 64]}},
    "one layer of 100": {"model": {"hidden": [100]}, "rule": {"name": "fa"}},
    "momentum": {"train": {"momentum": 0.9, "nesterov": True, "epochs": 2}, "model": {"hidden": [37]}},
    "decay": {"train": {"weight_decay": 0.1, "epochs": 2, "schedule": {"kind": "cosine"}}},
    "adam": {"train": {"optimizer": "adam", "epochs": 2}, "model": {"hidden": [50]}},
    "perturbed": {"rule": {"name": "bp", "perturbation": {"size": 1.0}}},
    "switch": {"rule": {"name": "dfa", "switch": {"to": "bp", "at_step": 3}}},
    "cnn, dfa": {"model": {**CNN, "activation": "relu"}},
    "cnn, fa, pooled": {"model": {**CNN, "conv": {"channels": [5], "kernel": 3, "pool": 2}}, "rule": {"name": "fa"}},
    "cnn, bp": {"model": {**CNN, "bias": True, "hidden": [10]}, "rule": {"name": "bp"}},
    "committee, dfa": COMMITTEE,
    "committee, bp": {**COMMITTEE, "rule": {"name": "bp"}},
    **{
        f"theory, {rule}, {activation}": {
            **COMMITTEE,
            "data": {**COMMITTEE["data"], "teacher": {"activation": activation}, "noise": 0.1},
            "model": {**COMMITTEE["model"], "kind": "theory", "activation": activation},
            "rule": {"name": rule},
        }
        for rule, activation in (("dfa", "erf"), ("bp", "erf"), ("fa", "linear"), ("shallow", "erf"))
    },
    "transformer, dfa": {"model": TRANSFORMER, "train": {"optimizer": "adam", "epochs": 2}},
    "transformer, bp": {"model": TRANSFORMER, "rule": {"name": "bp"}},
    # Products with an extent of 1, which libraries treat apart where they stand alone.
    "one unit": {"model": {"hidden": [7, 1]}},
    "batches of one": {"train": {"batch_size": 1, "epochs": 1}, "data": {"train_samples": 9}},
    "batches of one, brsf": {"train": {"batch_size": 1}, "data": {"train_samples": 9}, "rule": {"name": "brsf"}},
    "committee of eight": {**COMMITTEE, "model": {**COMMITTEE["model"], "hidden": [8]}},
    "mlp of one output": {
        "data": {"name": "teacher", "inputs": 20, "test_samples": 50},
        "train": {"loss": "half_mse", "epochs": 2, "batch_size": 4},
    },
    "one channel": {"model": {**CNN, "conv": {"channels": [1, 2], "kernel": 1, "stride": 2}}},
    "patches of one pixel": {"model": {"kind": "transformer", "transformer": {"patch": 1, "width": 4, "blocks": 1}}},
    "one token": {"model": {"kind": "transformer", "transformer": {"patch": 8, "width": 4, "blocks": 1}}},
    "regression": {
        "data": {"name": "regression", "train_samples": 64, "test_samples": 40, "alpha": 0.3},
        "train": {"loss": "mse", "epochs": 2, "shuffle": False},
    },
}


def members(program: dict[str, Any], count: int) -> list[TrialSpec]:
    """Trials of different seeds, rates and label noise."""
    train = program.get("train", {})
    random = program.get("data", {}).get("name") in ("regression", "teacher")
    return [
        trial(
            seed,
            **{
                **program,
                "train": {**train, "lr": train.get("lr", 1e-3) * (1 + seed % 3)},
                "data": {**program.get("data", {}), **({} if random else {"label_noise": 0.1 * (seed % 2)})},
            },
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_trial_is_the_same_to_the_bit_alone_and_in_any_pack(name: str) -> None:
    trials = members(PROGRAMS[name], 64)
    packed = run(trials)
    for slots in ([5], [4, 5, 6], [0, 3, 5, 7, 31, 60, 63]):
        points = run([trials[slot] for slot in slots])
        assert rows_of(points, slots.index(5)) == rows_of(packed, 5)
    assert rows_of(packed, 5) != rows_of(packed, 6)


def test_a_second_run_is_the_same_to_the_bit() -> None:
    assert rows_of(run([trial(3)]), 0) == rows_of(run([trial(3)]), 0)


@pytest.mark.parametrize("program", [{}, {"model": CNN}, {"train": {"momentum": 0.5}}], ids=["mlp", "cnn", "momentum"])
def test_a_diverging_neighbour_leaves_the_others_as_they_are(program: dict[str, Any]) -> None:
    model, more = program.get("model", {}), program.get("train", {})
    relu = {**model, "activation": "relu"}
    wild = trial(1, train={"lr": 1e6, "epochs": 40, **more}, model=relu)
    calm = [trial(seed, train={"lr": 1e-3, "epochs": 40, **more}, model=relu) for seed in (0, 2)]
    together, alone = run([calm[0], wild, calm[1]]), run(calm)
    assert rows_of(together, 0) == rows_of(alone, 0)
    assert rows_of(together, 2) == rows_of(alone, 1)
    outcomes = {outcome.trial_id: outcome for point in together for outcome in point.outcomes}
    assert outcomes[1].reason is Reason.DIVERGED
    assert outcomes[1].diverged_at_step is not None
    assert 0 < outcomes[1].diverged_at_step < 120
    assert outcomes[0] == Outcome(trial_id=0, reason=Reason.COMPLETED, steps=120)
    recorded = np.concatenate([point.metrics.step[point.metrics.trial_id == 1] for point in together])
    assert recorded.max() < outcomes[1].diverged_at_step


def test_a_pack_that_empties_ends_with_what_became_of_its_trials() -> None:
    assert list(train([trial(0)], [0], library=LIBRARY, device=CPU, dropped=lambda: {0})) == []
    wild = trial(
        data={"name": "teacher", "inputs": 20, "test_samples": 50},
        model={"kind": "committee", "hidden": [3], "activation": "relu"},
        train={"lr": 1e6, "loss": "half_mse", "batch_size": 4, "epochs": 3},
        trace={"points_per_decade": 1},
    )
    [outcome] = [outcome for point in run([wild]) for outcome in point.outcomes]
    assert outcome.reason is Reason.DIVERGED


def test_the_step_of_divergence_does_not_depend_on_when_one_looks() -> None:
    wild = {"train": {"lr": 1e6, "epochs": 40}, "model": {"activation": "relu"}}
    steps = set()
    for density in (1, 3, 8, 50):
        points = run([trial(1, **wild, trace={"points_per_decade": density})])
        steps |= {outcome.diverged_at_step for point in points for outcome in point.outcomes}
    assert len(steps) == 1


def test_the_step_of_divergence_is_the_first_with_outputs_that_are_not_finite() -> None:
    wild = trial(1, train={"lr": 1e6, "epochs": 40}, model={"activation": "relu"})
    [outcome] = [outcome for point in run([wild]) for outcome in point.outcomes]
    pack = start(wild, dtype=torch.float32)
    while torch.isfinite(pack.network.outputs(pack.source.batch(pack.step)[0])).all():
        pack.advance()
    assert outcome.diverged_at_step == pack.step


def test_a_dropped_trial_leaves_and_the_others_stay_as_they_are() -> None:
    trials = [trial(seed, train={"epochs": 40}) for seed in range(3)]
    dropped: set[int] = set()
    points = []
    for point in train(trials, [0, 1, 2], library=LIBRARY, device=CPU, dropped=lambda: dropped):
        points.append(point)
        dropped.add(1)
    assert 1 in points[0].metrics.trial_id
    assert 1 not in points[-1].metrics.trial_id
    assert rows_of(points, 2) == rows_of(run(trials), 2)
    assert {outcome.trial_id for point in points for outcome in point.outcomes} == {0, 2}


RESUMED = ["dfa, tanh", "kp, tanh", "wm, tanh", "brsf, tanh", "momentum", "decay", "adam", "switch", "perturbed"]
RESUMED += ["cnn, bp", "committee, dfa", "transformer, dfa", "regression"]


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("stop", [1, 4])
def test_resumed_at_any_step_in_another_pack_a_trial_is_the_same_to_the_bit(name: str, stop: int) -> None:
    trials = members(PROGRAMS[name], 4)
    undisturbed = run(trials)
    pack = engine.start(trials, range(4), library=LIBRARY, device=CPU)
    for _ in range(stop):
        pack.advance()
    states = state.states(pack)
    chosen = [3, 1]
    resumed = run([trials[slot] for slot in chosen], resume=[states[slot] for slot in chosen])
    for place, slot in enumerate(chosen):
        assert rows_of(resumed, place) == rows_of([p for p in undisturbed if p.metrics.step[0] > stop], slot)


def test_a_pack_resumes_from_one_step() -> None:
    pack = start(trial(0), trial(1))
    early = state.states(pack)
    pack.advance()
    with pytest.raises(ValueError, match="all at one step"):
        state.restore(pack, [early[0], state.states(pack)[1]])


def test_trials_of_different_programs_cannot_share_a_pack() -> None:
    for other in ({"model": {"hidden": [8]}}, {"train": {"momentum": 0.1}}, {"rule": {"name": "bp"}}):
        with pytest.raises(ValueError, match="cannot share a pack"):
            run([trial(0), trial(1, **other)])


def test_trials_that_differ_in_numbers_share_a_pack() -> None:
    sections: Sequence[dict[str, Any]] = (
        {"train": {"lr": 0.5, "schedule": {"kind": "step"}, "reduction": "mean"}},
        {"data": {"label_noise": 0.5, "label_noise_seed": 4}},
        {"rule": {"feedback": {"scale": 2.0, "seed": 5}}, "model": {"init_seed": 4}},
    )
    trials = [trial(7, **section) for section in sections]
    packed = run(trials)
    for slot, alone in enumerate(trials):
        assert rows_of(packed, slot) == rows_of(run([alone]), 0)


def test_steps_are_counted_per_trial() -> None:
    points: list[Progress] = run([trial(0), trial(1)])
    assert sum(point.model_steps for point in points) == 2 * 6
    assert [int(point.metrics.step[0]) for point in points] == [0, 1, 2, 3, 4, 6]


def test_snapshots_are_the_weights_at_their_steps() -> None:
    from safetensors.torch import load

    points = run([trial(0, trace={"snapshots_per_decade": 2}), trial(1, trace={"snapshots_per_decade": 2})])
    taken = {(s.trial_id, s.step): load(s.safetensors) for point in points for s in point.snapshots}
    assert {step for _, step in taken} == {0, 1, 3, 6}
    pack = start(trial(0), trial(1), dtype=torch.float32)
    for _ in range(3):
        pack.advance()
    for l in range(1, 4):
        assert torch.equal(taken[1, 3][f"layer{l}.0"], pack.network.parameters[l][0][1])


# --- streams ----------------------------------------------------------------------------------------------------------


def test_streams_are_independent_and_repeatable() -> None:
    keys = [(seed, purpose, index) for seed in (0, 1) for purpose in Purpose for index in (0, 1)]
    draws = {key: tuple(stream(*key).random(4)) for key in keys}
    assert len(set(draws.values())) == len(keys)
    assert all(tuple(stream(*key).random(4)) == drawn for key, drawn in draws.items())


def test_streams_do_not_change_between_versions() -> None:
    """Published numbers depend on these; a new version of numpy must not move them silently."""
    assert stream(0, Purpose.WEIGHT_INIT, 1).random(2).tolist() == [0.1841893776175325, 0.9517494243569208]
    assert stream(7, Purpose.DATA_ORDER, 3).permutation(8).tolist() == [4, 6, 3, 7, 2, 5, 0, 1]


@pytest.mark.parametrize(
    ("pin", "moved"),
    [({"model": {"init_seed": 9}}, "weight_norm"), ({"rule": {"feedback": {"seed": 9}}}, "weight_alignment")],
)
def test_a_pinned_stream_ignores_the_trial_s_seed(pin: dict[str, Any], moved: str) -> None:
    """Step 0 shows it: the pinned quantity is the same for all seeds, and differs without the pin."""

    def at_start(**sections: Any) -> list[list[float]]:
        runs = [run([trial(seed, **{"train": {"epochs": 0}, **sections})]) for seed in (0, 1)]
        return [getattr(points[0].traces, moved)[1:] for points in runs]

    pinned, free = at_start(**{"model": {"init_seed": 9}, **pin}), at_start()
    assert np.array_equal(*pinned)
    assert not np.array_equal(*free)
