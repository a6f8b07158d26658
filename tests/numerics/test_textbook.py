"""The engine, from given arrays, against implementations that share nothing with it."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.numerics import textbook
from workers.training.arrays import train_arrays

RULES = ["bp", "fa", "dfa", "shallow", "usf", "frsf", "kp", "drtp"]
WIDTHS = [7, 6, 5, 4]


def arrays(rule: str, steps: int, batch: int = 8, samples: int = 40) -> dict[str, Any]:
    """Random weights, feedback of the rule's kind, samples and batches."""
    generator = np.random.default_rng(3)
    shapes = [(o, i) for i, o in pairwise(WIDTHS)]
    backward = [generator.normal(size=shape) for shape in shapes[1:]]
    if rule in ("usf", "frsf"):
        backward = [np.abs(B) for B in backward]
    direct = [generator.normal(size=(n, WIDTHS[-1])) for n in WIDTHS[1:-1]]
    return {
        "weights": [generator.normal(size=shape) / shape[1] ** 0.5 for shape in shapes],
        "feedback": {"bp": [], "shallow": [], "dfa": direct, "drtp": direct}.get(rule, backward),
        "x": generator.normal(size=(samples, WIDTHS[0])),
        "y": generator.integers(0, WIDTHS[-1], samples),
        "batches": np.stack([generator.permutation(samples)[:batch] for _ in range(steps)]),
    }


def configuration(rule: str, activation: str = "tanh", **train: Any) -> dict[str, Any]:
    return {"model": {"activation": activation}, "rule": {"name": rule}, "train": {"lr": 0.02, **train}}


def difference(a: list[Any], b: list[Any]) -> float:
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", list(textbook.ACTIVATIONS))
def test_twenty_steps_in_float64(rule: str, activation: str) -> None:
    given = arrays(rule, 20)
    expected = textbook.train(rule, activation, *given.values(), lr=0.02)
    run = train_arrays(configuration(rule, activation), **given, measure_at=[])
    assert difference(run.weights, expected) < 1e-12
    assert difference(run.weights, given["weights"]) > 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_five_hundred_steps_in_float32(rule: str) -> None:
    """Relative to the norm of each matrix: single entries carry the rounding of 500 additions."""
    given = arrays(rule, 500)
    expected = textbook.train(rule, "tanh", *given.values(), lr=0.002)
    run = train_arrays(configuration(rule, lr=0.002), **given, measure_at=[], dtype="float32")
    for W, exact in zip(run.weights, expected, strict=True):
        assert np.linalg.norm(W - exact) < 1e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("loss", ["mse", "half_mse"])
@pytest.mark.parametrize("rule", ["bp", "dfa", "drtp"])
def test_squared_losses(rule: str, loss: str) -> None:
    given = arrays(rule, 20)
    expected = textbook.train(rule, "tanh", *given.values(), lr=0.02, loss=loss)
    run = train_arrays(configuration(rule, loss=loss), **given, measure_at=[])
    assert difference(run.weights, expected) < 1e-12


@pytest.mark.parametrize("rule", ["bp", "kp", "fa"])
def test_weight_decay(rule: str) -> None:
    given = arrays(rule, 20)
    expected = textbook.train(rule, "tanh", *given.values(), lr=0.02, weight_decay=0.5)
    run = train_arrays(configuration(rule, weight_decay=0.5), **given, measure_at=[])
    assert difference(run.weights, expected) < 1e-12


def test_kolen_pollack_brings_feedback_and_weights_together() -> None:
    given = arrays("kp", 400)
    run = train_arrays(configuration("kp", weight_decay=0.5), **given)
    assert run.traces.weight_alignment[run.traces.layer == 3][-1] > 0.99


# --- optimisers, biases, reductions: against torch.optim over autograd ------------------------------------------------


@pytest.mark.parametrize(
    ("train", "make"),
    [
        ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
        (
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1),
        ),
        ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, lr=0.02)),
        (
            {"optimizer": "adam", "betas": [0.8, 0.9], "epsilon": 1e-3, "weight_decay": 0.1},
            lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1),
        ),
    ],
    ids=["momentum", "nesterov, decay", "adam", "adam, decay"],
)
def test_optimisers_are_those_of_pytorch(train: dict[str, Any], make: Any) -> None:
    given = arrays("bp", 20)
    biases = [np.random.default_rng(4).normal(size=n) for n in WIDTHS[1:]]
    W = [torch.from_numpy(w.copy()).requires_grad_() for w in given["weights"]]
    b = [torch.from_numpy(v.copy()).requires_grad_() for v in biases]
    optimizer = make([*W, *b])
    for batch in given["batches"]:
        h = torch.from_numpy(given["x"][batch])
        for l, (weight, bias) in enumerate(zip(W, b, strict=True)):
            h = h @ weight.T + bias
            h = h if l == len(W) - 1 else torch.tanh(h)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(h, torch.from_numpy(given["y"][batch])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    run = train_arrays(configuration("bp", reduction="mean", **train), **given, biases=biases, measure_at=[])
    assert difference(run.weights, [w.detach() for w in W]) < 1e-12
    assert difference(run.biases, [v.detach() for v in b]) < 1e-12


# --- convolutions: against torch.nn.functional ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "shallow"])
@pytest.mark.parametrize(
    "conv", [{}, {"padding": 1}, {"stride": 2}, {"pool": 2}, {"pool": 2, "padding": 1, "pooling": "average"}], ids=str
)
def test_a_convolutional_network_is_that_of_pytorch(rule: str, conv: dict[str, Any]) -> None:
    """Two convolutions and a readout; each layer's weights learn from its own local graph, whatever the rule."""
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(12, 2, 11, 11)), generator.integers(0, 3, 12)
    kernels = [generator.normal(size=(4, 2, 3, 3)) / 4, generator.normal(size=(5, 4, 3, 3)) / 6]
    stride, padding, pool = conv.get("stride", 1), conv.get("padding", 0), conv.get("pool", 1)

    def layer(h: Tensor, weight: Tensor) -> Tensor:
        h = torch.tanh(torch.nn.functional.conv2d(h, weight, stride=stride, padding=padding))
        if pool == 1:
            return h
        pooling = torch.nn.functional.avg_pool2d if conv.get("pooling") else torch.nn.functional.max_pool2d
        return pooling(h, pool)

    shapes = [torch.from_numpy(x)]
    for kernel in kernels:
        shapes.append(layer(shapes[-1], torch.from_numpy(kernel)))
    flat = [int(np.prod(h.shape[1:])) for h in shapes]
    readout = generator.normal(size=(3, flat[2])) / flat[2] ** 0.5
    B = [generator.normal(size=kernels[1].shape), generator.normal(size=readout.shape)]
    F = [generator.normal(size=(flat[1], 3)), generator.normal(size=(flat[2], 3))]
    W = [torch.from_numpy(w.copy()).requires_grad_() for w in (*kernels, readout)]
    for _ in range(5):
        h0 = torch.from_numpy(x)
        h1 = layer(h0, W[0])
        h1_in = h1.detach().requires_grad_()
        h2 = layer(h1_in, W[1])
        h2_in = h2.detach().requires_grad_()
        logits = h2_in.flatten(1) @ W[2].T
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="sum")
        e = torch.autograd.grad(loss, logits, retain_graph=True)[0]
        gradients = [torch.zeros_like(w) for w in W]
        gradients[2] = e.T @ h2_in.flatten(1).detach()
        signal: Tensor | None = None
        match rule:
            case "bp":
                signal = (e @ W[2].detach()).view(h2.shape)
            case "fa":
                signal = (e @ torch.from_numpy(B[1])).view(h2.shape)
            case "dfa":
                signal = (e @ torch.from_numpy(F[1]).T).view(h2.shape)
        if signal is not None:
            gradients[1], through = torch.autograd.grad(h2, [W[1], h1_in], signal, retain_graph=True)
            if rule == "fa":
                # The same slopes, the transposed convolution with B: its linear part has the gradient of any other.
                probe = h1_in.detach().requires_grad_()
                a = torch.nn.functional.conv2d(probe, W[1].detach(), stride=stride, padding=padding).requires_grad_()
                out = torch.tanh(a)
                if pool > 1:
                    chosen = torch.nn.functional.avg_pool2d if conv.get("pooling") else torch.nn.functional.max_pool2d
                    out = chosen(out, pool)
                delta = torch.autograd.grad(out, a, signal)[0]
                dummy = torch.zeros_like(probe).requires_grad_()
                through = torch.autograd.grad(
                    torch.nn.functional.conv2d(dummy, torch.from_numpy(B[0]), stride=stride, padding=padding),
                    dummy,
                    delta,
                )[0]
            if rule == "dfa":
                through = (e @ torch.from_numpy(F[0]).T).view(h1.shape)
            gradients[0] = torch.autograd.grad(h1, W[0], through)[0]
        with torch.no_grad():
            for weight, gradient in zip(W, gradients, strict=True):
                weight -= 0.01 * gradient
    feedback: list[Any] = {"fa": B, "dfa": F}.get(rule, [])
    config = {"model": {"conv": conv}, "rule": {"name": rule}, "train": {"lr": 0.01}}
    run = train_arrays(
        config, weights=[*kernels, readout], feedback=feedback, x=x, y=y, batches=np.tile(np.arange(12), (5, 1))
    )
    assert difference(run.weights, [w.detach() for w in W]) < 1e-12
    assert np.isfinite(run.metrics.train_loss).all()


# --- the committee machine: against the equations of online learning --------------------------------------------------


@pytest.mark.parametrize("rule", ["bp", "dfa"])
@pytest.mark.parametrize("activation", ["erf", "relu", "linear"])
def test_a_committee_follows_the_equations_of_online_learning(rule: str, activation: str) -> None:
    """w_k += (eta / sqrt N) s_k g'(lambda_k) err x, v_k += (eta / N) g(lambda_k) err, with s = F or v."""
    generator = np.random.default_rng(6)
    n, k, eta, steps = 30, 3, 0.4, 200
    w, v, F = generator.normal(size=(k, n)), generator.normal(size=k), generator.normal(size=k)
    x, y = generator.normal(size=(steps, n)), generator.normal(size=(steps, 1))
    g, slope = textbook.ACTIVATIONS[activation]
    w_expected, v_expected = w.copy(), v.copy()
    for sample in range(steps):
        fields = w_expected @ x[sample] / n**0.5
        error = y[sample, 0] - v_expected @ g(fields)
        s = F if rule == "dfa" else v_expected
        step_w = eta / n**0.5 * np.outer(s * slope(fields) * error, x[sample])
        v_expected = v_expected + eta / n * g(fields) * error
        w_expected = w_expected + step_w
    config = {
        "data": {"name": "teacher", "inputs": n},
        "model": {"kind": "committee", "hidden": [k], "activation": activation},
        "rule": {"name": rule},
        "train": {"lr": eta, "batch_size": 1, "loss": "half_mse"},
    }
    run = train_arrays(
        config,
        weights=[w, v[None]],
        feedback=[F[:, None]] if rule == "dfa" else [],
        x=x,
        y=y,
        batches=np.arange(steps)[:, None],
        measure_at=[],
    )
    assert difference(run.weights, [w_expected, v_expected[None]]) < 1e-12
