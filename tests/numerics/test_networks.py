"""Layers, losses and rules on given networks: gradients by finite differences, special cases, symmetries."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from services.domain import architecture as shapes
from services.domain.spec import TrialSpec
from tests.numerics.trials import CNN, TRANSFORMER, run, start, trial
from workers.training import losses
from workers.training.activations import ACTIVATIONS
from workers.training.directions import Directions
from workers.training.layers import LINEAR, make_layer
from workers.training.network import Network, Signals
from workers.training.rules import (
    Backprop,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    Rule,
    SignSymmetry,
    TargetProjection,
)

CONV = shapes.Conv(side=5, channels=2, filters=3, kernel=3, stride=1, padding=1, pool=2, pooling="average", bias=True)
EMBEDDING = shapes.Embedding(side=4, channels=2, patch=2, width=6)
BLOCK = shapes.Block(tokens=4, width=6, heads=2, hidden=8)
READOUT = shapes.Readout(tokens=4, width=6, outputs=3)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chain(layers: Sequence[shapes.Layer], activation: Any = "tanh", pack: int = 3) -> Network:
    made = [make_layer(shape, ACTIVATIONS[activation]) for shape in layers[:-1]]
    last = make_layer(layers[-1], LINEAR)
    parameters = [
        [normal(pack, *shape, seed=10 * l + i) / shape[0] ** 0.5 for i, shape in enumerate(layer.parameters)]
        for l, layer in enumerate(layers)
    ]
    return Network([last, *made, last], [[], *parameters])


def mlp(activation: Any = "tanh", widths: Sequence[int] = (7, 6, 5, 4), *, bias: bool = False) -> Network:
    return chain([shapes.Dense(inputs=i, outputs=o, bias=bias) for i, o in pairwise(widths)], activation)


def batch_for(network: Network, size: int = 6) -> tuple[Tensor, Tensor]:
    pack = len(network.parameters[1][0])
    outputs = network.layers[-1].shape.outputs
    y = torch.randint(0, outputs, (pack, size), generator=torch.Generator().manual_seed(2))
    return normal(pack, size, network.layers[1].shape.inputs, seed=3), y


def signals_of(network: Network, x: Tensor, y: Tensor, loss: str = "cross_entropy") -> Signals:
    passed = network.forward(x)
    return Signals(passed, losses.error(loss, passed.output_PBC, y), losses.target(passed.output_PBC, y), 0)


def gradients_of(network: Network, rule: Rule, signals: Signals) -> list[list[Tensor]]:
    """The rule's gradient of every parameter, layers 1..L."""
    deltas = network.deltas(rule, signals)
    return [
        network.layers[l].gradients(network.parameters[l], signals.passed.saved[l], delta)
        for l, delta in enumerate(deltas)
        if delta is not None
    ]


def feedback_for(network: Network, *, direct: bool) -> list[Tensor]:
    pack, depth = len(network.parameters[1][0]), network.depth
    empty = torch.empty(0, dtype=torch.float64)
    if direct:
        outputs = network.layers[-1].shape.outputs
        widths = [network.layers[l].shape.outputs for l in range(1, depth)]
        return [empty, *(normal(pack, outputs, width, seed=50 + width) for width in widths)]
    return [empty, empty, *(normal(*network.parameters[l][0].shape, seed=60 + l) for l in range(2, depth + 1))]


# --- true gradients ---------------------------------------------------------------------------------------------------

NETWORKS = {
    "mlp": [shapes.Dense(inputs=7, outputs=6, bias=True), shapes.Dense(inputs=6, outputs=4, bias=True)],
    "cnn": [CONV, shapes.Dense(inputs=CONV.outputs, outputs=4)],
    "transformer": [EMBEDDING, BLOCK, BLOCK, READOUT],
}


@pytest.mark.parametrize("kind", list(NETWORKS))
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_backprop_is_finite_differences(kind: str, loss: str) -> None:
    network = chain(NETWORKS[kind])
    x, y = batch_for(network)
    gradients = gradients_of(network, Backprop(), signals_of(network, x, y, loss))
    generator = np.random.default_rng(0)

    def total() -> Tensor:
        return losses.per_sample_loss(loss, network.outputs(x), y).sum(1)

    for l, layer in enumerate(network.parameters[1:]):
        for parameter, gradient in zip(layer, gradients[l], strict=True):
            row, column = (int(generator.integers(0, n)) for n in parameter.shape[1:])
            at, old = (slice(None), row, column), parameter[:, row, column].clone()
            parameter[at] = old + 1e-5
            above = total()
            parameter[at] = old - 1e-5
            below = total()
            parameter[at] = old
            assert torch.allclose((above - below) / 2e-5, gradient[at], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "half_mse"])
@pytest.mark.parametrize("bias", [False, True])
def test_backprop_is_autograd_mapped_over_the_pack(activation: str, loss: str, bias: bool) -> None:
    """`vmap(grad)` over the same stacked parameters."""
    network = mlp(activation, bias=bias)
    x, y = batch_for(network)
    g = {
        "linear": lambda a: a,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": lambda a: torch.nn.functional.leaky_relu(a, 0.01),
        "erf": lambda a: torch.erf(a / 2**0.5),
        "sigmoid": torch.sigmoid,
        "swish": torch.nn.functional.silu,
    }[activation]

    def objective(parameters: list[list[Tensor]], h: Tensor, labels: Tensor) -> Tensor:
        for l, layer in enumerate(parameters):
            h = h @ layer[0] + (layer[1] if bias else 0)
            h = h if l == len(parameters) - 1 else g(h)
        if loss == "cross_entropy":
            return torch.nn.functional.cross_entropy(h, labels, reduction="sum")
        squared = torch.nn.functional.mse_loss(h, torch.eye(4, dtype=torch.float64)[labels], reduction="sum")
        return squared / 2 if loss == "half_mse" else squared

    expected = torch.func.vmap(torch.func.grad(objective))(network.parameters[1:], x, y)
    for own, layer in zip(gradients_of(network, Backprop(), signals_of(network, x, y, loss)), expected, strict=True):
        for a, b in zip(own, layer, strict=True):
            assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_an_encoder_block_is_that_of_pytorch() -> None:
    network = chain([EMBEDDING, BLOCK, READOUT], pack=2)
    gain1, shift1, qkv, project, gain2, shift2, up, up_bias, down, down_bias = network.parameters[2]
    x = normal(2, 5, BLOCK.inputs, seed=9)
    ours = network.layers[2].output(network.parameters[2], x)
    for p in range(2):
        theirs = torch.nn.TransformerEncoderLayer(
            6, 2, 8, dropout=0, activation="gelu", norm_first=True, batch_first=True, dtype=torch.float64
        )
        with torch.no_grad():
            for module, weight, offset in (
                (theirs.norm1, gain1, shift1),
                (theirs.norm2, gain2, shift2),
                (theirs.linear1, up.mT, up_bias),
                (theirs.linear2, down.mT, down_bias),
            ):
                module.weight.copy_(weight[p].squeeze(0))
                module.bias.copy_(offset[p, 0])
            theirs.self_attn.in_proj_weight.copy_(qkv[p].T)
            theirs.self_attn.out_proj.weight.copy_(project[p].T)
            expected = theirs(x[p].view(5, 4, 6)).reshape(5, -1)
        assert torch.allclose(ours[p], expected, rtol=1e-10, atol=1e-12)


# --- special cases ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_feedback_alignment_with_the_weights_is_backprop(kind: str, activation: str) -> None:
    network = chain(NETWORKS[kind], activation)
    x, y = batch_for(network)
    signals = signals_of(network, x, y)
    B = [torch.empty(0), torch.empty(0), *(layer[0] for layer in network.parameters[2:])]
    own, true = network.deltas(FeedbackAlignment(B), signals), network.deltas(Backprop(), signals)
    for a, b in zip(own[1:], true[1:], strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)


def test_sign_symmetry_with_the_sizes_of_the_weights_is_backprop() -> None:
    network = mlp()
    x, y = batch_for(network)
    signals = signals_of(network, x, y)
    magnitude = [torch.empty(0), torch.empty(0), *(layer[0].abs() for layer in network.parameters[2:])]
    own, true = network.deltas(SignSymmetry(magnitude), signals), network.deltas(Backprop(), signals)
    for a, b in zip(own[1:], true[1:], strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)


def test_direct_feedback_through_the_product_of_weights_is_backprop_on_a_linear_network() -> None:
    network = mlp("linear")
    x, y = batch_for(network)
    signals = signals_of(network, x, y, "mse")
    F = [torch.empty(0)] * network.depth
    product = network.parameters[-1][0].mT
    for l in range(network.depth - 1, 0, -1):
        F[l] = product
        product = product @ network.parameters[l][0].mT
    direct, true = network.deltas(DirectFeedbackAlignment(F), signals), network.deltas(Backprop(), signals)
    for a, b in zip(direct[1:], true[1:], strict=True):
        assert a is not None
        assert b is not None
        assert torch.allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_with_one_hidden_layer_fa_and_dfa_are_the_same_to_the_bit(activation: str) -> None:
    model = {"hidden": [12], "activation": activation}
    fa = run([trial(rule={"name": "fa"}, model=model)])
    dfa = run([trial(rule={"name": "dfa"}, model=model)])
    for a, b in zip(fa, dfa, strict=True):
        assert np.array_equal(a.metrics.train_loss, b.metrics.train_loss)
        assert np.array_equal(a.traces.weight_alignment, b.traces.weight_alignment, equal_nan=True)


@pytest.mark.parametrize("model", [{}, CNN], ids=["mlp", "cnn"])
@pytest.mark.parametrize("name", ["fa", "dfa", "usf", "frsf", "brsf", "kp", "wm", "drtp"])
def test_a_rule_is_really_on(name: str, model: dict[str, Any]) -> None:
    """Its hidden deltas are not zero, and not those of backpropagation."""
    pack = start(trial(0, rule={"name": name}, model=model), trial(1, rule={"name": name}, model=model))
    x, y = pack.source.batch(0)
    signals = signals_of(pack.network, x, y)
    own, true = pack.network.deltas(pack.rule, signals), pack.network.deltas(Backprop(), signals)
    for l in range(1, pack.network.depth):
        a, b = own[l], true[l]
        assert a is not None
        assert b is not None
        assert a.abs().max() > 0
        assert not torch.allclose(a, b, rtol=0.1, atol=0)


@pytest.mark.parametrize("model", [{}, CNN, TRANSFORMER], ids=["mlp", "cnn", "transformer"])
def test_shallow_trains_the_last_layer_alone(model: dict[str, Any]) -> None:
    pack = start(trial(rule={"name": "shallow"}, model=model))
    before = pack.network.clone()
    for _ in range(3):
        pack.advance()
    changed = [
        any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
        for old, new in zip(before.parameters[1:], pack.network.parameters[1:], strict=True)
    ]
    assert changed == [False] * (len(changed) - 1) + [True]


def test_direct_feedback_reaches_the_blocks_of_a_transformer() -> None:
    pack = start(trial(model=TRANSFORMER))
    x, y = pack.source.batch(0)
    signals = signals_of(pack.network, x, y)
    assert isinstance(pack.rule, DirectFeedbackAlignment)
    own = pack.network.deltas(pack.rule, signals)
    for l in (1, 2):
        assert torch.equal(own[l], torch.bmm(signals.e_PBC, pack.rule.F[l]))  # type: ignore[arg-type]


def test_drtp_sends_the_target_whatever_the_error() -> None:
    network = mlp("linear")
    x, y = batch_for(network)
    rule = TargetProjection(feedback_for(network, direct=True))
    first = network.deltas(rule, signals_of(network, x, y))
    second = network.deltas(rule, signals_of(network, 5 * x, y))
    assert torch.equal(first[1], second[1])  # type: ignore[arg-type]


def test_a_switch_is_the_new_rule_from_its_step_on() -> None:
    switched = start(trial(rule={"name": "dfa", "switch": {"to": "bp", "at_step": 2}}))
    plain = start(trial(rule={"name": "dfa"}))
    bp = start(trial(rule={"name": "bp"}))
    for _ in range(2):
        switched.advance()
        plain.advance()
    assert torch.equal(switched.network.parameters[1][0], plain.network.parameters[1][0])
    for layer, source in zip(bp.network.parameters[1:], plain.network.parameters[1:], strict=True):
        layer[0].copy_(source[0])
    bp.step = 2
    for pack in (switched, plain, bp):
        pack.advance()
    assert torch.equal(switched.network.parameters[1][0], bp.network.parameters[1][0])
    assert not torch.equal(switched.network.parameters[1][0], plain.network.parameters[1][0])


def test_the_weight_mirror_turns_feedback_towards_the_weights() -> None:
    spec = {"name": "wm", "mirror": {"lr": 0.05, "decay": 0.05, "batch": 64}}
    points = run([trial(rule=spec, train={"epochs": 60, "lr": 1e-5})])
    aligned = np.stack([point.traces.weight_alignment for point in points])
    assert np.abs(aligned[0, 1:]).max() < 0.5
    assert aligned[-1, 1:].min() > 0.9


@pytest.mark.parametrize("kind", ["random", "fixed"])
def test_a_perturbation_has_its_size(kind: str) -> None:
    """W' - W = -lr (gradient + size * norm(gradient) * direction)."""
    size = 2.0
    rule = {"name": "bp", "perturbation": {"size": size, "kind": kind}}
    pack, clean = start(trial(rule=rule)), start(trial(rule={"name": "bp"}))
    before = clean.network.clone()
    pack.advance()
    clean.advance()
    for l in range(1, 4):
        gradient = clean.network.parameters[l][0] - before.parameters[l][0]
        extra = pack.network.parameters[l][0] - clean.network.parameters[l][0]
        assert float(extra.norm() / gradient.norm()) == pytest.approx(size, rel=1e-9)
        if kind == "fixed":
            assert float(extra.std()) < 1e-12


# --- symmetries -------------------------------------------------------------------------------------------------------


def symmetric_pair(change: Any) -> tuple[Any, Any]:
    """Two packs of one dfa trial, the second with its first hidden layer transformed; after ten steps each."""
    packs = [start(trial()) for _ in range(2)]
    change(packs[1].network.parameters, packs[1].rule.F)  # type: ignore[attr-defined]
    for pack in packs:
        pack.directions = Directions.of(pack.rule, pack.network, torch.ones(1, 3, dtype=torch.float64))
        for _ in range(6):
            pack.advance()
    return packs[0], packs[1]


def test_permuting_hidden_units_permutes_the_training() -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))

    def permute(W: Any, F: Any) -> None:
        W[1][0].copy_(W[1][0][:, :, order])
        W[2][0].copy_(W[2][0][:, order])
        F[1].copy_(F[1][:, :, order])

    plain, permuted = symmetric_pair(permute)
    assert torch.allclose(plain.network.parameters[1][0][:, :, order], permuted.network.parameters[1][0], atol=1e-14)
    assert torch.allclose(plain.network.parameters[3][0], permuted.network.parameters[3][0], atol=1e-14)


def test_flipping_the_sign_of_hidden_units_flips_the_training() -> None:
    sign = torch.where(torch.arange(12) % 3 == 0, -1.0, 1.0).double()

    def flip(W: Any, F: Any) -> None:
        W[1][0].mul_(sign)
        W[2][0].mul_(sign[:, None])
        F[1].mul_(sign)

    plain, flipped = symmetric_pair(flip)
    assert torch.allclose(plain.network.parameters[1][0] * sign, flipped.network.parameters[1][0], atol=1e-14)
    a, b = plain.trace_point()[0], flipped.trace_point()[0]
    for name in ("gradient_alignment", "weight_alignment"):
        assert np.allclose(getattr(a.traces, name), getattr(b.traces, name), atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_scale_of_the_feedback_scales_the_step_and_not_the_alignment(scale: float) -> None:
    """At equal weights; the update of the hidden layers is linear in F."""
    base = start(trial(rule={"name": "dfa", "feedback": {"scale": 1.0}}))
    scaled = start(trial(rule={"name": "dfa", "feedback": {"scale": scale}}))
    a, b = base.trace_point()[0], scaled.trace_point()[0]
    for name in ("gradient_alignment", "weight_alignment", "alignment_identity", "delta_effective_rank"):
        assert np.allclose(getattr(a.traces, name), getattr(b.traces, name), rtol=1e-9, equal_nan=True)
    assert np.allclose(a.metrics.weight_alignment, b.metrics.weight_alignment)
    assert not np.allclose(a.metrics.weight_alignment_scaled, b.metrics.weight_alignment_scaled)
    before = base.network.clone()
    base.advance()
    scaled.advance()
    for l in (1, 2):
        step = base.network.parameters[l][0] - before.parameters[l][0]
        assert torch.allclose(scaled.network.parameters[l][0] - before.parameters[l][0], scale * step, rtol=1e-6)


def test_the_mean_over_the_batch_is_the_sum_with_a_smaller_rate() -> None:
    summed = trial(train={"lr": 0.01 / 25, "batch_size": 25})
    averaged = trial(train={"lr": 0.01, "batch_size": 25, "reduction": "mean"})
    pack = start(summed, averaged)
    for _ in range(6):
        pack.advance()
    for layer in pack.network.parameters[1:]:
        assert torch.allclose(layer[0][0], layer[0][1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({"kind": "constant"}, [1.0] * 6),
        ({"kind": "step", "every_epochs": 1, "factor": 0.5}, [1, 1, 1, 0.5, 0.5, 0.5]),
        ({"kind": "cosine"}, [(1 + np.cos(np.pi * s / 6)) / 2 for s in range(6)]),
        ({"kind": "cosine", "final": 0.5}, [0.5 + (1 + np.cos(np.pi * s / 6)) / 4 for s in range(6)]),
    ],
    ids=str,
)
def test_a_schedule_multiplies_the_rate(schedule: dict[str, Any], factors: list[float]) -> None:
    """Every step with a schedule is a step at that constant rate."""
    scheduled = start(trial(train={"schedule": schedule}))
    for factor in factors:
        constant = start(trial(train={"lr": max(factor, 1e-300) * 1e-3}))
        constant.step = scheduled.step
        for ours, theirs in zip(constant.network.parameters[1:], scheduled.network.parameters[1:], strict=True):
            ours[0].copy_(theirs[0])
        constant.advance()
        scheduled.advance()
        assert torch.allclose(
            constant.network.parameters[1][0], scheduled.network.parameters[1][0], rtol=1e-13, atol=1e-16
        )


def test_every_configuration_may_be_pinned_to_one_stream() -> None:
    pinned = [
        start(TrialSpec(config=trial(model={"init_seed": 9}).config, seed=seed)).network.parameters[1][0]
        for seed in (0, 1)
    ]
    assert torch.equal(*pinned)
