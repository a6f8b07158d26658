"""Learning rules as the papers write them: column vectors, one sample at a time, NumPy in float64.

a_l = W_l h_{l-1}, h_l = g(a_l); bp: delta_l = W_{l+1}^T delta_{l+1} o g'(a_l); fa: B_{l+1}^T in place of W_{l+1}^T;
dfa: delta_l = F_l e o g'(a_l); drtp: delta_l = -F_l y o g'(a_l); sign symmetry: B = |M| o sign(W). Nothing here is
shared with the engine.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def _erf_slope(a: Array) -> Array:
    return math.sqrt(2 / math.pi) * np.exp(-(a**2) / 2)


def _sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "linear": (lambda a: a, np.ones_like),
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "relu": (lambda a: np.maximum(a, 0), lambda a: 1.0 * (a > 0)),
    "leaky_relu": (lambda a: np.where(a > 0, a, 0.01 * a), lambda a: np.where(a > 0, 1.0, 0.01)),
    "erf": (np.vectorize(lambda a: math.erf(a / math.sqrt(2))), _erf_slope),
    "sigmoid": (_sigmoid, lambda a: _sigmoid(a) * (1 - _sigmoid(a))),
    "swish": (lambda a: a * _sigmoid(a), lambda a: _sigmoid(a) + a * _sigmoid(a) * (1 - _sigmoid(a))),
}


def train(
    rule: str,
    activation: str,
    weights: Sequence[Array],
    feedback: Sequence[Array],
    x: Array,
    labels: Sequence[int],
    batches: Sequence[Sequence[int]],
    *,
    lr: float,
    loss: str = "cross_entropy",
    weight_decay: float = 0.0,
) -> list[Array]:
    """Weights after one pass over the batches; sum over the batch."""
    W = [w.copy() for w in weights]
    F = [f.copy() for f in feedback]
    for batch in batches:
        gradients = [np.zeros_like(w) for w in W]
        for sample in batch:
            for total, gradient in zip(
                gradients, sample_gradients(rule, activation, W, F, x[sample], labels[sample], loss), strict=True
            ):
                total += gradient
        if rule == "kp":
            F = [f - lr * (g + weight_decay * f) for f, g in zip(F, gradients[1:], strict=True)]
        W = [w - lr * (g + weight_decay * w) for w, g in zip(W, gradients, strict=True)]
    return W


def sample_gradients(
    rule: str, activation: str, W: Sequence[Array], F: Sequence[Array], x: Array, label: int, loss: str
) -> list[Array]:
    """The rule's gradient of one sample's loss with respect to each weight matrix."""
    g, slope = ACTIVATIONS[activation]
    depth = len(W)
    h, a = [x], []
    for l, w in enumerate(W, start=1):
        a.append(w @ h[-1])
        h.append(g(a[-1]) if l < depth else a[-1])
    onehot = np.eye(len(a[-1]))[label]
    if loss == "cross_entropy":
        exponentials = np.exp(a[-1] - a[-1].max())
        e = exponentials / exponentials.sum() - onehot
    else:
        e = (2 if loss == "mse" else 1) * (a[-1] - onehot)
    gradients = [np.zeros_like(w) for w in W]
    delta = e
    gradients[-1] = np.outer(delta, h[-2])
    for l in range(depth - 1, 0, -1):
        match rule:
            case "bp":
                signal = W[l].T @ delta
            case "fa" | "kp":
                signal = F[l - 1].T @ delta
            case "usf" | "frsf":
                signal = (F[l - 1] * np.sign(W[l])).T @ delta
            case "dfa":
                signal = F[l - 1] @ e
            case "drtp":
                signal = -F[l - 1] @ onehot
            case _:
                break
        delta = signal * slope(a[l - 1])
        gradients[l - 1] = np.outer(delta, h[l - 1])
    return gradients
