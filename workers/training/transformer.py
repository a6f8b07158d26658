"""The parts of a packed Transformer: embedding of patches, encoder blocks, readout.

Inside a part autograd backpropagates; a learning rule reaches its output. Legend of suffixes: P pack, B batch, I and
H numbers per sample below and above.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from services.domain import architecture as shapes
from workers.training.activations import gelu
from workers.training.products import bmm

Parameters = Sequence[Tensor]


@dataclass
class _Tape:
    """One forward pass recorded by autograd; a second question about the same delta costs nothing."""

    x: Tensor
    parameters: list[Tensor]
    output: Tensor
    _delta: Tensor | None = None
    _gradients: Sequence[Tensor] = field(default_factory=list)

    def gradients(self, delta: Tensor) -> Sequence[Tensor]:
        """dL/dx, then dL/dparameters."""
        if self._delta is not delta:
            self._gradients = torch.autograd.grad(
                self.output, [self.x, *self.parameters], delta, retain_graph=True, materialize_grads=True
            )
            self._delta = delta
        return self._gradients


@dataclass(frozen=True)
class Taped:
    """A layer whose inside is backpropagated by autograd: the parts of a Transformer.

    A learning rule reaches the output of the layer; its delta is the gradient with respect to that output.
    """

    shape: shapes.Layer
    function: Callable[[Parameters, Tensor], Tensor]

    def forward(self, parameters: Parameters, x_PBI: Tensor) -> tuple[Tensor, _Tape]:
        with torch.enable_grad():
            x = x_PBI.detach().requires_grad_()
            leaves = [parameter.detach().requires_grad_() for parameter in parameters]
            output = self.function(leaves, x)
        return output.detach(), _Tape(x, leaves, output)

    def output(self, parameters: Parameters, x_PBI: Tensor) -> Tensor:
        return self.function(parameters, x_PBI)

    def delta(self, saved: _Tape, signal_PBH: Tensor) -> Tensor:
        return signal_PBH

    def input_grad(self, parameters: Parameters, saved: _Tape, delta: Tensor) -> Tensor:
        return saved.gradients(delta)[0]

    def gradients(self, parameters: Parameters, saved: _Tape, delta: Tensor) -> list[Tensor]:
        return list(saved.gradients(delta)[1:])

    def descend(self, parameters: Parameters, saved: _Tape, delta: Tensor) -> None:
        for parameter, gradient in zip(parameters, self.gradients(parameters, saved, delta), strict=True):
            parameter.sub_(gradient)


def transformer_part(shape: shapes.Embedding | shapes.Block | shapes.Readout) -> Taped:
    """The layer of this shape."""
    match shape:
        case shapes.Embedding():
            return Taped(shape, partial(_embed, shape))
        case shapes.Block():
            return Taped(shape, partial(_encode, shape))
        case shapes.Readout():
            return Taped(shape, partial(_read_out, shape))


def _embed(shape: shapes.Embedding, parameters: Parameters, x_PBI: Tensor) -> Tensor:
    """Tokens of the patches, (P, B, T * width)."""
    weight, bias, position = parameters
    p, b, _ = x_PBI.shape
    n, k = shape.side // shape.patch, shape.patch
    patches = x_PBI.view(p, b, n, k, n, k * shape.channels).transpose(3, 4).reshape(p, b * n * n, -1)
    tokens = bmm(patches, weight) + bias
    return (tokens.view(p, b, n * n, -1) + position.unsqueeze(1)).view(p, b, -1)


def _encode(shape: shapes.Block, parameters: Parameters, x_PBI: Tensor) -> Tensor:
    """One encoder block, (P, B, T * width)."""
    gain1, shift1, qkv, project, gain2, shift2, up, up_bias, down, down_bias = parameters
    p, b, _ = x_PBI.shape
    t, d, heads = shape.tokens, shape.width, shape.heads
    x = x_PBI.view(p, b * t, d)
    normed = functional.layer_norm(x, (d,)) * gain1 + shift1
    q, k, v = bmm(normed, qkv).view(p, b, t, 3, heads, d // heads).permute(3, 0, 1, 4, 2, 5).unbind(0)
    q, k, v = (part.reshape(p * b * heads, t, d // heads) for part in (q, k, v))
    attention = torch.softmax(bmm(q, k.mT) * (d // heads) ** -0.5, dim=-1)
    mixed = bmm(attention, v).view(p, b, heads, t, d // heads).transpose(2, 3).reshape(p, b * t, d)
    x = x + bmm(mixed, project)
    normed = functional.layer_norm(x, (d,)) * gain2 + shift2
    hidden = gelu(bmm(normed, up) + up_bias)
    return (x + bmm(hidden, down) + down_bias).view(p, b, t * d)


def _read_out(shape: shapes.Readout, parameters: Parameters, x_PBI: Tensor) -> Tensor:
    """Logits of the mean normalised token, (P, B, C)."""
    gain, shift, weight, bias = parameters
    p, b, _ = x_PBI.shape
    normed = functional.layer_norm(x_PBI.view(p, b, shape.tokens, shape.width), (shape.width,))
    return bmm(normed.mean(2) * gain + shift, weight) + bias
