"""Activation functions over stacked tensors: forward in place where possible, and the slope that a signal is times.

An element must get the same bits wherever it stands, or a trial would depend on its pack: torch's sigmoid, silu and
gelu round the last few elements of a tensor differently, so they are composed of exp and erf, which do not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from services.domain.spec import Activation as ActivationName

_LEAK = 0.01
_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Activation:
    """h = g(a). `backward(signal, kept)` is signal * g'(a), where `kept` is h, or a if `keeps_input`.

    `forward` overwrites its argument unless it `keeps_input`.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    keeps_input: bool = False


def _tanh_(a: Tensor) -> Tensor:
    """In place. NumPy's tanh is six times as fast as torch's on CPUs with AVX, accurate to 1 ulp, and gives an element
    the same bits wherever it stands."""
    if a.device.type != "cpu":
        return a.tanh_()
    np.tanh(a.numpy(), out=a.numpy())
    return a


def _sigmoid(a: Tensor) -> Tensor:
    return torch.neg(a).exp_().add_(1).reciprocal_()


def _swish_backward(signal: Tensor, a: Tensor) -> Tensor:
    """s (1 + a (1 - s)) for s = sigmoid(a)."""
    s = _sigmoid(a)
    return (1 - s).mul_(a).add_(1).mul_(s).mul_(signal)


def gelu(a: Tensor) -> Tensor:
    """a Phi(a), Phi the normal distribution function; differentiable."""
    return a * (0.5 * (1 + torch.erf(a * _SQRT_HALF)))


def _erf_backward(signal: Tensor, a: Tensor) -> Tensor:
    """g'(a) = sqrt(2/pi) exp(-a^2/2) of g(a) = erf(a/sqrt(2))."""
    return torch.mul(a, a).mul_(-0.5).exp_().mul_(_SQRT_2_OVER_PI).mul_(signal)


_aten = torch.ops.aten
ACTIVATIONS: dict[ActivationName, Activation] = {
    "linear": Activation(lambda a: a, lambda signal, _: signal),
    "tanh": Activation(_tanh_, _aten.tanh_backward),
    "sigmoid": Activation(_sigmoid, _aten.sigmoid_backward),
    "relu": Activation(torch.relu_, lambda signal, h: _aten.threshold_backward(signal, h, 0)),
    "leaky_relu": Activation(
        lambda a: torch.nn.functional.leaky_relu_(a, _LEAK),
        lambda signal, h: _aten.leaky_relu_backward(signal, h, _LEAK, True),
    ),
    "erf": Activation(lambda a: torch.erf(a * _SQRT_HALF), _erf_backward, keeps_input=True),
    "swish": Activation(lambda a: _sigmoid(a).mul_(a), _swish_backward, keeps_input=True),
}
