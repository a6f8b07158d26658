"""Gradients against BioTorch (Sanfiz & Akrout 2021), an independent implementation, given the same weights."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from workers.training.arrays import train_arrays

pytest.importorskip("biotorch", reason="BioTorch is not installed: pip install --no-deps biotorch")
# BioTorch installs hooks of a kind that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Using a non-full backward hook", "ignore:Using non-full backward hooks")

WIDTHS = [9, 8, 7, 5]
BATCH = 6


def samples(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, WIDTHS[-1], (BATCH,), generator=generator)


def backward(layers: list[Any], x: Tensor, y: Tensor, *, direct: bool = False) -> list[Tensor]:
    """BioTorch's gradients of all weights: tanh between layers, cross-entropy summed over the batch."""
    h = x
    for l, layer in enumerate(layers):
        if l and isinstance(layer, torch.nn.Linear) and h.ndim == 4:
            h = h.flatten(1)
        h = layer(h)
        h = h if l == len(layers) - 1 else torch.tanh(h)
    loss = torch.nn.functional.cross_entropy(h, y, reduction="sum")
    if direct:
        e = torch.autograd.grad(loss, h, retain_graph=True)[0]
        for layer in layers:
            layer.loss_gradient = e
    loss.backward()  # type: ignore[no-untyped-call]
    return [layer.weight.grad for layer in layers]


def ours(rule: str, layers: list[Any], feedback: list[Tensor], x: Tensor, y: Tensor) -> list[Any]:
    """The engine's gradients: what one step at rate 1 subtracts."""
    weights = [layer.weight.detach().numpy().copy() for layer in layers]
    run = train_arrays(
        {"rule": {"name": rule}, "train": {"lr": 1.0}},
        weights=weights,
        feedback=[F.detach().numpy() for F in feedback],
        x=x.numpy(),
        y=y.numpy(),
        batches=np.arange(BATCH)[None],
        measure_at=[],
    )
    return [before - after for before, after in zip(weights, run.weights, strict=True)]


def assert_equal(theirs: list[Tensor], own: list[Any]) -> None:
    for a, b in zip(theirs, own, strict=True):
        assert float(a.norm()) > 0
        assert np.linalg.norm(a.numpy() - b) <= 1e-6 * float(a.norm())


@pytest.mark.parametrize("rule", ["fa", "usf", "frsf", "brsf"])
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_sequential_rules(rule: str, kind: str) -> None:
    """usf scales the signs, frsf and brsf give them magnitudes: the matrices are read back after BioTorch's pass.

    With those fixed, brsf of one batch is feedback alignment through the matrices that the batch drew.
    """
    module = __import__(f"biotorch.layers.{rule}", fromlist=["Linear"])
    options = {"layer_config": {"type": rule}}
    if kind == "dense":
        layers = [module.Linear(i, o, bias=False, **options) for i, o in pairwise(WIDTHS)]
        x, y = samples(WIDTHS[0])
    else:
        layers = [
            module.Conv2d(2, 3, 3, bias=False, **options),
            module.Conv2d(3, 4, 3, bias=False, **options),
            module.Linear(4 * 3 * 3, WIDTHS[-1], bias=False, **options),
        ]
        x, y = samples(2, 7, 7)
    layers = [layer.double() for layer in layers]
    fixed = [layer.weight_backward.detach().abs().double() for layer in layers[1:]]
    if rule == "brsf":
        layers_before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # BioTorch draws its magnitudes in the default dtype
        theirs = backward(layers, x, y)
        torch.set_default_dtype(layers_before)
        assert_equal(theirs, ours("fa", layers, [layer.weight_backward for layer in layers[1:]], x, y))
        return
    theirs = backward(layers, x, y)
    feedback = [layer.weight_backward for layer in layers[1:]] if rule == "fa" else fixed
    assert_equal(theirs, ours(rule, layers, feedback, x, y))


def test_direct_feedback_alignment() -> None:
    """BioTorch's layer l sends e B_l to its input: its B_l is the transpose of our F_{l-1}."""
    from biotorch.layers.dfa import Linear

    layers = [Linear(i, o, WIDTHS[-1], bias=False, layer_config={"type": "dfa"}).double() for i, o in pairwise(WIDTHS)]
    x, y = samples(WIDTHS[0])
    feedback = [layer.weight_backward.T for layer in layers[1:]]
    assert_equal(backward(layers, x, y, direct=True), ours("dfa", layers, feedback, x, y))
