"""What the engine is held against: the loops that researchers write, and the best matrix product of the machine."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from workers.training import products

BATCH = 32


def autograd_loop(widths: Sequence[int], x_NI: Tensor, y_N: Tensor) -> Callable[[int], None]:
    """One DFA step of one model with modules, autograd and torch.optim, as in published code."""
    layers = torch.nn.ModuleList(torch.nn.Linear(i, o, bias=False) for i, o in itertools.pairwise(widths))
    feedback = [torch.rand(widths[-1], width) * 2 - 1 for width in widths[1:-1]]
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.001)

    def step(number: int) -> None:
        chosen = batch(number, len(x_NI))
        x, y = x_NI[chosen], y_N[chosen]
        outputs = []
        for layer in layers[:-1]:
            outputs.append(torch.tanh(layer(x)))
            x = outputs[-1].detach()
        logits = layers[-1](x)
        loss = torch.nn.functional.cross_entropy(logits, y, reduction="sum")
        optimizer.zero_grad()
        [e] = torch.autograd.grad(loss, logits, retain_graph=True)
        torch.autograd.backward([*outputs, logits], [*(e @ F for F in feedback), e])
        optimizer.step()

    return step


def lean_loop(widths: Sequence[int], x_NI: Tensor, y_N: Tensor) -> Callable[[int], None]:
    """The same written out by hand without autograd: about as fast as one model alone goes in eager PyTorch."""
    W = [(torch.rand(o, i) * 2 - 1) / i**0.5 for i, o in itertools.pairwise(widths)]
    feedback = [torch.rand(widths[-1], width) * 2 - 1 for width in widths[1:-1]]

    @torch.no_grad()
    def step(number: int) -> None:
        chosen = batch(number, len(x_NI))
        y = y_N[chosen]
        h = [x_NI[chosen]]
        for weights in W[:-1]:
            h.append(torch.tanh(h[-1] @ weights.T))
        e = torch.softmax(h[-1] @ W[-1].T, dim=1)
        e[torch.arange(len(y)), y] -= 1
        deltas = [*((e @ F) * (1 - out**2) for F, out in zip(feedback, h[1:], strict=True)), e]
        for weights, delta, below in zip(W, deltas, h, strict=True):
            weights -= 0.001 * delta.T @ below

    return step


def vmap_grad(widths: Sequence[int], x_NI: Tensor, y_N: Tensor, models: int) -> Callable[[int], None]:
    """One backpropagation step of many models by `torch.func.vmap(grad)`."""
    weights = tuple(torch.randn(models, i, o) / i**0.5 for i, o in itertools.pairwise(widths))

    def loss(W: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
        for w in W[:-1]:
            x = torch.tanh(x @ w)
        return torch.nn.functional.cross_entropy(x @ W[-1], y, reduction="sum")

    gradient: Callable[..., Any] = torch.func.vmap(torch.func.grad(loss))

    def step(number: int) -> None:
        chosen = torch.stack([batch(number + member, len(x_NI)) for member in range(models)])
        for w, g in zip(weights, gradient(weights, x_NI[chosen], y_N[chosen]), strict=True):
            w.sub_(g, alpha=0.001)

    return step


def product(smallest: int, shape: tuple[int, int, int, int]) -> Callable[[int], None]:
    """One batched product of this shape (P, B, I, O), by the library that `products` chooses from this size on."""
    p, b, i, o = shape
    x, w, out = torch.randn(p, b, i), torch.randn(p, i, o), torch.empty(p, b, o)

    def step(_number: int) -> None:
        products.choose(smallest)
        torch.bmm(x, w, out=out)
        products.choose(0)

    return step


def batch(number: int, samples: int) -> Tensor:
    """Indices of a batch; where they come from costs nothing here."""
    return torch.arange(number * BATCH, (number + 1) * BATCH) % samples
