"""What is measured, against its definitions written out member by member."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from services.domain.spec import TrialConfig, TrialSpec
from tests.numerics.test_networks import CONV, batch_for, chain, feedback_for, mlp, signals_of
from tests.numerics.trials import COMMITTEE, run, start, trial
from workers.training import committee, losses
from workers.training.alignment import Overlap, mean_sample_cosine, measure, paper_cosine
from workers.training.connectivity import dense_map
from workers.training.data.random import Teacher
from workers.training.directions import Directions
from workers.training.network import Network, Signals
from workers.training.pack import Pack
from workers.training.rules import Backprop, DirectFeedbackAlignment, FeedbackAlignment, Rule, Shallow


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a.flatten() @ b.flatten() / a.norm() / b.norm())


# --- alignment --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direct", [False, True])
def test_alignment_is_its_definition(direct: bool) -> None:
    network = mlp()
    feedback = feedback_for(network, direct=direct)
    rule: Rule = DirectFeedbackAlignment(feedback) if direct else FeedbackAlignment(feedback)
    x, y = batch_for(network)
    signals = signals_of(network, x, y)
    scales = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64).expand(3, -1)
    measured = measure(network, rule, signals, Directions.of(rule, network, scales))
    own, true = network.deltas(rule, signals), network.deltas(Backprop(), signals)
    for p in range(3):
        total = []
        for l in (1, 2):
            a, b = own[l], true[l]
            assert a is not None
            assert b is not None
            expected = np.mean([cosine(a[p, sample], b[p, sample]) for sample in range(x.shape[1])])
            assert float(measured.gradient_alignment[p, l - 1]) == pytest.approx(expected, abs=1e-12)
            gradients = [signals.passed.h[l - 1][p].T @ delta[p] for delta in (a, b)]
            assert float(measured.weight_gradient_alignment[p, l - 1]) == pytest.approx(cosine(*gradients))
            assert float(measured.delta_norm_ratio[p, l - 1]) == pytest.approx(float(a[p].norm() / b[p].norm()))
            singular = torch.linalg.svdvals(a[p])
            rank = float(singular.square().sum() ** 2 / singular.pow(4).sum())
            assert float(measured.delta_effective_rank[p, l - 1]) == pytest.approx(rank)
            total.append((a[p], b[p]))
        joined = [torch.cat(parts, -1) for parts in zip(*total, strict=True)]
        expected = np.mean([cosine(joined[0][sample], joined[1][sample]) for sample in range(x.shape[1])])
        assert float(measured.total_gradient_alignment[p]) == pytest.approx(expected)
        first = measured.gradient_alignment[p, 0]
        assert float(measured.total_gradient_alignment_published[p]) == pytest.approx(float(first))
        W = [torch.empty(0), *(layer[0][p].T for layer in network.parameters[1:])]  # (n_l, n_{l-1})
        F = [f[p].T if f.numel() else f for f in feedback]  # (n_l, n_L), or (n_l, n_{l-1}) of B
        direction = {2: F[2] @ F[1].T, 3: F[2].T} if direct else {2: F[2], 3: F[3]}
        for l in (2, 3):
            assert float(measured.weight_alignment[p, l - 1]) == pytest.approx(cosine(W[l], direction[l]))
        raw = {2: direction[2] / (6.0 if direct else 2.0), 3: direction[3] / 3.0}
        weights = torch.cat([W[2].flatten(), W[3].flatten()])
        for total_alignment, directions in (
            (measured.total_weight_alignment, raw),
            (measured.total_weight_alignment_scaled, direction),
        ):
            joined_directions = torch.cat([directions[2].flatten(), directions[3].flatten()])
            assert float(total_alignment[p]) == pytest.approx(cosine(weights, joined_directions))
    assert measured.weight_alignment[:, 0].isnan().all()
    assert measured.gradient_alignment[:, 2].isnan().all()


def test_weight_alignment_of_weights_that_have_just_left_zero() -> None:
    """The squares of their entries are no numbers of float32."""
    network = mlp()
    rule = DirectFeedbackAlignment(feedback_for(network, direct=True))
    x, y = batch_for(network)
    measured = []
    for factor in (1.0, 1e-24):
        scaled = replace(network, parameters=[[p * factor for p in layer] for layer in network.parameters])
        tiny, F = single(scaled), DirectFeedbackAlignment([f.float() for f in rule.F])
        signals = signals_of(tiny, x.float(), y)
        measured.append(measure(tiny, F, signals, Directions.of(F, tiny, torch.ones(3, 3))))
    usual, tiny_weights = measured
    assert torch.allclose(usual.weight_alignment[:, 1:], tiny_weights.weight_alignment[:, 1:], rtol=1e-5)
    assert torch.allclose(usual.total_weight_alignment, tiny_weights.total_weight_alignment, rtol=1e-5)


def single(network: Network) -> Network:
    """In float32."""
    return replace(network, parameters=[[p.float() for p in layer] for layer in network.parameters])


def test_weight_alignment_of_a_convolution_is_that_of_its_dense_map() -> None:
    """With padding, so that weights count unequally often."""
    from services.domain import architecture as shapes

    first = replace(CONV, pool=1, bias=False)
    second = replace(first, side=first.map_side, channels=first.filters, filters=4)
    network = chain([first, second, shapes.Dense(inputs=second.outputs, outputs=3)], pack=2)
    F = feedback_for(network, direct=True)
    rule = DirectFeedbackAlignment(F)
    x, y = batch_for(network)
    directions = Directions.of(rule, network, torch.ones(2, 3, dtype=torch.float64))
    measured = measure(network, rule, signals_of(network, x, y), directions)
    for p in range(2):
        dense = torch.from_numpy(dense_map(second, network.parameters[2][0][p].numpy()).copy())
        expected = cosine(dense, F[2][p].T @ F[1][p])
        assert float(measured.weight_alignment[p, 1]) == pytest.approx(expected)
        last = cosine(network.parameters[3][0][p].T, F[2][p])
        assert float(measured.weight_alignment[p, 2]) == pytest.approx(last)


@pytest.mark.parametrize("rule", [Backprop(), Shallow()])
def test_what_is_undefined_is_nan(rule: Rule) -> None:
    network = mlp()
    x, y = batch_for(network)
    measured = measure(network, rule, signals_of(network, x, y), Directions.of(rule, network, torch.ones(3, 3)))
    assert measured.gradient_alignment.isnan().all()
    assert measured.weight_alignment.isnan().all()
    assert measured.alignment_condition.isnan().all()
    assert measured.total_gradient_alignment.isnan().all()


def test_samples_without_a_direction_are_left_out_of_the_mean_or_count_as_aligned_in_the_paper() -> None:
    own = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    true = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    ours, paper = mean_sample_cosine([Overlap.of(own, true)]), paper_cosine([Overlap.of(own, true, without_small=True)])
    assert ours[0] == 1.0
    assert ours[1].isnan()
    assert paper.tolist() == [1.0, 0.0]
    small = Overlap.of(own * 1e-9, true * 1e-9, without_small=True)
    assert paper_cosine([small]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("on", "batch"), [("next_batch", 4), ("last_batch", 3), ("paper", 3)])
def test_gradient_alignment_on_a_batch_is_measured_before_or_after_its_update(on: str, batch: int) -> None:
    pack = start(trial(trace={"alignment_on": on}))
    for _ in range(4):
        pack.advance()
    point = pack.trace_point()[0]
    x, y = pack.source.batch(batch)
    signals = signals_of(pack.network, x, y)
    own, true = pack.network.deltas(pack.rule, signals), pack.network.deltas(Backprop(), signals)
    for l in (1, 2):
        a, b = own[l], true[l]
        assert a is not None
        assert b is not None
        expected = np.mean([cosine(a[0, sample], b[0, sample]) for sample in range(x.shape[1])])
        assert point.traces.gradient_alignment[l - 1] == pytest.approx(expected)


def test_the_update_norm_is_that_of_the_last_update() -> None:
    pack = start(trial(train={"momentum": 0.9}))
    assert np.isnan(pack.trace_point()[0].traces.update_norm).all()
    for _ in range(3):
        pack.advance()
    before = pack.network.clone()
    pack.advance(remember=True)
    moved = [
        float((new[0] - old[0]).norm())
        for new, old in zip(pack.network.parameters[1:], before.parameters[1:], strict=True)
    ]
    assert pack.trace_point()[0].traces.update_norm.tolist() == pytest.approx(moved)


def test_alignment_emerges_and_the_bottom_layer_comes_first() -> None:
    document = {"model": {"hidden": [100, 100, 100]}, "train": {"epochs": 40}, "trace": {"probe": 200}}
    config = TrialConfig.model_validate(document)
    points = run([TrialSpec(config=config, seed=seed) for seed in range(3)])
    curves = np.stack([point.traces.gradient_alignment.reshape(3, 4)[:, :3].mean(0) for point in points])
    assert np.abs(curves[0]).max() < 0.1
    assert curves[-1].min() > 0.4
    half = [int(np.argmax(curves[:, layer] >= curves[:, layer].max() / 2)) for layer in range(3)]
    assert half[0] <= half[1] <= half[2]


# --- alignment matrices -----------------------------------------------------------------------------------------------


def linear_from_zero(depth: int, outputs: int, distribution: str, dtype: torch.dtype = torch.float64) -> Pack:
    """A deep linear network that starts from zero, after some steps on correlated targets."""
    classes = {"name": "digits", "train_samples": 200, **({"classes": outputs} if outputs > 1 else {})}
    sections: dict[str, Any] = {
        "data": classes if outputs != 1 else {"name": "teacher", "inputs": 8, "test_samples": 10},
        "model": {"hidden": [16] * (depth - 1), "activation": "linear", "init": "zero"},
        "rule": {"name": "dfa", "feedback": {"distribution": distribution}},
        "train": {"lr": 3e-4, "loss": "half_mse", "epochs": 100},
    }
    pack = start(trial(0, **sections), trial(1, **sections), dtype=dtype)
    for _ in range(100):
        pack.advance()
    return pack


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("outputs", [1, 2, 10])
@pytest.mark.parametrize("distribution", ["uniform", "orthogonal"])
def test_weak_weight_alignment_is_exact_in_linear_networks_from_zero(
    depth: int, outputs: int, distribution: str
) -> None:
    """W_l = F_l A_l F_{l-1}^T and W_L = A_L F_{L-1}^T, with A_l as measured; the rank of W_l is at most n_L."""
    pack = linear_from_zero(depth, outputs, distribution)
    assert isinstance(pack.rule, DirectFeedbackAlignment)
    point = pack.trace_point()[0]
    F = pack.rule.F
    for p in range(2):
        for l in range(2, depth + 1):
            W = pack.network.parameters[l][0][p].T
            left = torch.linalg.pinv(F[l][p].T) if l < depth else torch.eye(outputs, dtype=torch.float64)
            A = left @ W @ torch.linalg.pinv(F[l - 1][p].T).T
            rebuilt = A @ F[l - 1][p] if l == depth else F[l][p].T @ A @ F[l - 1][p]
            assert float((W - rebuilt).abs().max() / W.abs().max()) < 1e-9
            assert int(torch.linalg.matrix_rank(W)) <= outputs
            row = p * depth + l - 1
            singular = torch.linalg.svdvals(A)
            if float(singular[-1] / singular[0]) > 1e-12:
                condition = float(singular[0] / singular[-1])
                assert point.traces.alignment_condition[row] == pytest.approx(condition, rel=1e-4)
            identity = float(A.trace() / A.norm()) / math.sqrt(outputs)
            assert point.traces.alignment_identity[row] == pytest.approx(identity)
            if distribution == "orthogonal":
                assert point.traces.weight_alignment[row] == pytest.approx(identity)


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("outputs", [1, 2, 10])
def test_the_residual_is_rounding_from_zero_and_large_from_random_weights(depth: int, outputs: int) -> None:
    """In single precision, of every layer, the first one too."""
    pack = linear_from_zero(depth, outputs, "uniform", torch.float32)
    residual = pack.trace_point()[0].traces.alignment_residual
    assert residual.shape == (2 * depth,)
    assert residual.max() < 1e-5
    untouched = start(trial(model={"hidden": [32] * (depth - 1), "activation": "linear"})).trace_point()[0].traces
    assert untouched.alignment_residual.min() > 0.5


def test_the_residual_is_that_of_the_best_alignment_matrix() -> None:
    pack = start(trial(0, model={"hidden": [24, 20]}), trial(1, model={"hidden": [24, 20]}))
    assert isinstance(pack.rule, DirectFeedbackAlignment)
    found = pack.trace_point()[0].traces.alignment_residual.reshape(2, 3)
    for p in range(2):
        W = [parameters[0][p].T.numpy() for parameters in pack.network.parameters[1:]]
        F = [matrix[p].T.numpy() for matrix in pack.rule.F[1:3]]
        fits = [
            F[0] @ np.linalg.lstsq(F[0], W[0], rcond=None)[0],
            F[1] @ np.linalg.lstsq(F[1], W[1], rcond=None)[0] @ np.linalg.pinv(F[0]).T @ F[0].T,
            np.linalg.lstsq(F[1], W[2].T, rcond=None)[0].T @ F[1].T,
        ]
        expected = [np.abs(W_l - fit).max() / np.abs(W_l).max() for W_l, fit in zip(W, fits, strict=True)]
        assert found[p] == pytest.approx(expected, rel=1e-6)


def test_the_residual_is_undefined_without_weights_and_with_more_outputs_than_units() -> None:
    zero = start(trial(model={"hidden": [12, 12], "activation": "linear", "init": "zero"})).trace_point()[0].traces
    assert np.isnan(zero.alignment_residual).all()
    narrow = start(trial(model={"hidden": [12, 4, 12]})).trace_point()[0].traces
    assert np.isnan(narrow.alignment_residual).tolist() == [False, True, True, False]


def test_a_single_layer_has_nothing_to_align_with() -> None:
    alone = start(trial(model={"hidden": []}, rule={"name": "bp"})).trace_point()[0].traces
    assert np.isnan([alone.alignment_residual, alone.gradient_alignment, alone.weight_alignment]).all()


def test_well_conditioned_errors_give_strong_weight_alignment() -> None:
    """Independent targets of equal size align better than anisotropic ones: claim (3) of the paper."""

    def identity(alpha: float, beta: float) -> float:
        sections: dict[str, Any] = {
            "data": {"name": "regression", "train_samples": 512, "test_samples": 10, "alpha": alpha, "beta": beta},
            "model": {"hidden": [32, 32], "activation": "linear", "init": "zero"},
            "rule": {"name": "dfa", "feedback": {"distribution": "orthogonal"}},
            "train": {"lr": 1e-3, "loss": "mse", "epochs": 10},
        }
        return float(run([trial(0, **sections)])[-1].traces.alignment_identity[1])

    assert identity(1, 1) > 0.95
    assert identity(0.2, 0.2) < 0.9


# --- committee machines -----------------------------------------------------------------------------------------------


def test_order_parameters_are_the_overlaps() -> None:
    pack = start(trial(0, **COMMITTEE), trial(1, **COMMITTEE))
    for _ in range(30):
        pack.advance()
    orders = pack.trace_point()[0].orders
    assert orders is not None
    W = pack.network.parameters[1][0][1].T.numpy()
    teacher = Teacher.of(pack.trials[1])
    mine = orders.select((orders.trial_id == 1) & (orders.quantity == "R"))
    R = W @ teacher.B.T / 20
    assert mine.value.tolist() == pytest.approx(R.flatten().tolist())
    assert list(zip(mine.i.tolist(), mine.j.tolist(), strict=True)) == [(k, m) for k in (1, 2, 3) for m in (1, 2)]


@pytest.mark.parametrize("activation", ["erf", "relu", "linear"])
@pytest.mark.parametrize("spectrum", [0.0, 1.0])
def test_the_exact_generalisation_error_is_that_of_many_samples(activation: str, spectrum: float) -> None:
    sections = {
        **COMMITTEE,
        "data": {**COMMITTEE["data"], "inputs": 200, "spectrum": spectrum, "teacher": {"activation": activation}},
        "model": {**COMMITTEE["model"], "activation": activation, "init_scale": 1.0},
    }
    spec = trial(3, **sections)
    generator = np.random.default_rng(1)
    teacher, W, v = Teacher.of(spec), generator.normal(size=(3, 200)), generator.normal(size=3)
    exact = committee.generalisation_error(committee.order_parameters(spec, teacher, W, v, None), activation)
    x, y = teacher.samples(spec, "check", 100_000, noisy=False)
    fields = x @ W.T / math.sqrt(200)
    g = {"erf": torch.special.erf, "relu": torch.relu, "linear": lambda a: a}[activation]
    student = g(torch.from_numpy(fields / (math.sqrt(2) if activation == "erf" else 1))).numpy() @ v
    squares = (y[:, 0] - student) ** 2 / 2
    assert abs(squares.mean() - exact) < 4 * squares.std() / math.sqrt(len(squares)) + 0.01 * exact


def test_dfa_learns_the_teacher_and_the_readout_takes_the_signs_of_the_feedback() -> None:
    sections = {
        **COMMITTEE,
        "data": {"name": "teacher", "inputs": 100, "test_samples": 500},
        "model": {"kind": "committee", "hidden": [2], "activation": "erf", "init": "normal", "init_scale": 0.01},
        "rule": {"name": "dfa", "feedback": {"values": [[1.0, -1.0]]}},
        "train": {**COMMITTEE["train"], "lr": 0.2, "epochs": 150},
    }
    points = run([trial(seed, **sections) for seed in range(3)])
    assert (points[-1].metrics.generalisation_error < 0.1 * points[0].metrics.generalisation_error).all()
    last = points[-1].orders
    assert last is not None
    v = last.select(last.quantity == "v").value.reshape(3, 2)
    assert (np.sign(v) == [1, -1]).all()
    aligned = points[-1].traces.weight_alignment.reshape(3, 2)[:, 1]
    assert (aligned > 0.9).all()


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("rule", ["fa", "kp"])
def test_feedback_that_equals_the_weights_is_aligned_with_them_in_convolutions_too(rule: str, padding: int) -> None:
    conv = {"channels": [3, 4], "kernel": 3, "padding": padding}
    matched = trial(
        model={"kind": "cnn", "conv": conv, "hidden": []},
        rule={"name": rule, "feedback": {"distribution": "matched"}},
        train={"epochs": 0},
    )
    [point] = run([matched])
    assert point.traces.weight_alignment[1:] == pytest.approx([1, 1], abs=1e-6)
    if rule == "fa":
        assert point.metrics.weight_alignment_scaled == pytest.approx([1], abs=1e-6)


@pytest.mark.parametrize("other", ["bp", "shallow"])
@pytest.mark.parametrize("first", [True, False])
def test_a_switch_is_measured_by_the_rule_with_feedback(other: str, first: bool) -> None:
    name, to = ("dfa", other) if first else (other, "dfa")
    for point in run([trial(rule={"name": name, "switch": {"to": to, "at_step": 2}})]):
        assert np.isfinite(point.traces.gradient_alignment[:2]).all()
        assert np.isfinite(point.traces.weight_alignment[1:]).all()


def test_totals_over_layers_do_not_need_every_layer_to_have_weights() -> None:
    """From zero, the readout of a deep linear net is still zero after two steps; the layer below is not."""
    zero = {"activation": "linear", "init": "zero", "hidden": [12, 9]}
    point = next(point for point in run([trial(model=zero)]) if point.metrics.step[0] == 2)
    assert np.isnan(point.traces.weight_alignment[2])
    assert 0 < point.metrics.weight_alignment[0] < 1


def test_weight_gradients_of_a_block_are_compared_over_all_its_parameters() -> None:
    pack = start(trial(model={"kind": "transformer", "transformer": {"patch": 4, "width": 6, "blocks": 1}}))
    pack.advance()
    point, _ = pack.trace_point()
    x, y = pack.source.train.part(slice(20))
    passed = pack.network.forward(x)
    e = losses.error("cross_entropy", passed.output_PBC, y)
    gradients = []
    for rule in (pack.rule, Backprop()):
        delta = pack.network.deltas(rule, Signals(passed, e, e, 1))[2]
        assert delta is not None
        found = pack.network.layers[2].gradients(pack.network.parameters[2], passed.saved[2], delta)
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    assert point.traces.weight_gradient_alignment[1] == pytest.approx(cosine(*gradients))
