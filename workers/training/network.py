"""The packed network: a chain of layers, its forward pass, and the deltas under a rule."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from services.domain import architecture as shapes
from workers.training.layers import Layer
from workers.training.members import Members, select

if TYPE_CHECKING:
    from workers.training.rules import Rule


@dataclass(frozen=True)
class Pass:
    """One forward pass: `h[l]` (P, B, n_l) for l = 0..L, the last one the outputs; `saved[l]` is the layer's own."""

    h: list[Tensor]
    saved: list[Any]

    @property
    def output_PBC(self) -> Tensor:
        return self.h[-1]


@dataclass(frozen=True)
class Signals:
    """What a rule may use to send its signal down: the forward pass, the output error and the targets.

    `e_PBC` is delta of the output layer; `target_PBC` the targets, one-hot for classes, scaled as the error is; `step`
    counts updates from 0.
    """

    passed: Pass
    e_PBC: Tensor
    target_PBC: Tensor
    step: int


@dataclass(frozen=True)
class Network:
    """Layers 1..L with their stacked parameters; index 0 is unused. Parameters are updated in place."""

    layers: list[Layer]
    parameters: list[list[Tensor]]
    input_scale: float = 1.0

    @property
    def depth(self) -> int:
        """Weight layers L."""
        return len(self.parameters) - 1

    def forward(self, x_PBI: Tensor) -> Pass:
        """All activations, and what the backward pass needs."""
        h = [x_PBI if self.input_scale == 1 else x_PBI * self.input_scale]
        saved: list[Any] = [None]
        for layer, parameters in zip(self.layers[1:], self.parameters[1:], strict=True):
            h_PBH, kept = layer.forward(parameters, h[-1])
            h.append(h_PBH)
            saved.append(kept)
        return Pass(h, saved)

    def outputs(self, x_PBI: Tensor) -> Tensor:
        """Outputs alone, (P, B, n_L)."""
        h_PBH = x_PBI if self.input_scale == 1 else x_PBI * self.input_scale
        for layer, parameters in zip(self.layers[1:], self.parameters[1:], strict=True):
            h_PBH = layer.output(parameters, h_PBH)
        return h_PBH

    def weights(self, l: int) -> list[Tensor]:
        """The weight matrix of layer l; of a part of a Transformer, all parameters."""
        parameters = self.parameters[l]
        return parameters[:1] if isinstance(self.layers[l].shape, shapes.Dense | shapes.Conv) else parameters

    def clone(self) -> "Network":
        """With parameters of its own."""
        return replace(self, parameters=[[p.clone() for p in layer] for layer in self.parameters])

    def deltas(self, rule: "Rule", signals: Signals) -> list[Tensor | None]:
        """delta_l = dL/da_l under the rule, entries 1..L (P, B, .); None where the layer does not learn."""
        deltas: list[Tensor | None] = [None] * (self.depth + 1)
        delta = deltas[self.depth] = signals.e_PBC
        for l in range(self.depth - 1, 0, -1):
            signal_PBH = rule.signal(l, delta, signals, self)
            if signal_PBH is None:
                break
            delta = deltas[l] = self.layers[l].delta(signals.passed.saved[l], signal_PBH)
        return deltas

    def select(self, members: Members) -> "Network":
        """The network of these members."""
        return replace(self, parameters=select(self.parameters, members))


def stack(members: Sequence[Tensor], *, transposed: bool = False) -> Tensor:
    """One tensor with a leading axis over members; `transposed` in memory if wanted."""
    stacked = torch.stack(list(members))
    return stacked.mT.contiguous().mT if transposed else stacked
