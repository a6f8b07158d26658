"""The packed multilayer perceptron: forward pass, deltas under a rule, and the update, over stacked tensors.

Legend of suffixes: P pack, B batch, I and H widths below and above, C classes. No reduction ever crosses P.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from services.domain.spec import Activation, TrialSpec
from workers.training.rules import Rule
from workers.training.streams import Purpose, seed_of, stream

_FORWARD: dict[Activation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "linear": lambda a: a,
}


@dataclass(frozen=True)
class Network:
    """Weights `W[l]` (P, n_{l-1}, n_l) and biases `b[l]` (P, 1, n_l) or None; index 0 is unused. Updated in place."""

    W: list[Tensor]
    b: list[Tensor] | None
    activation: Activation

    @property
    def depth(self) -> int:
        """Weight layers L."""
        return len(self.W) - 1

    def forward(self, x_PBI: Tensor) -> list[Tensor]:
        """[x, h_1, ..., h_{L-1}, a_L]: all (P, B, n_l); the last one are the logits."""
        hs = [x_PBI]
        for layer in range(1, self.depth + 1):
            if self.b is None:
                a_PBH = torch.bmm(hs[-1], self.W[layer])
            else:
                a_PBH = torch.baddbmm(self.b[layer], hs[-1], self.W[layer])
            hs.append(a_PBH if layer == self.depth else _FORWARD[self.activation](a_PBH))
        return hs

    def deltas(self, rule: Rule, hs: Sequence[Tensor], e_PBC: Tensor) -> list[Tensor | None]:
        """delta_l = dL/da_l under the rule, entries 1..L (P, B, n_l); None where the layer does not learn."""
        deltas: list[Tensor | None] = [None] * (self.depth + 1)
        delta = deltas[self.depth] = e_PBC
        for layer in range(self.depth - 1, 0, -1):
            signal_PBH = rule.signal(layer, delta, e_PBC, self.W)
            if signal_PBH is None:
                break
            delta = deltas[layer] = self.times_slope(signal_PBH, hs[layer])
        return deltas

    def times_slope(self, signal_PBH: Tensor, h_PBH: Tensor) -> Tensor:
        """signal * g'(a), with g' from the activation h = g(a)."""
        match self.activation:
            case "tanh":
                delta_PBH: Tensor = torch.ops.aten.tanh_backward(signal_PBH, h_PBH)
            case "relu":
                delta_PBH = torch.ops.aten.threshold_backward(signal_PBH, h_PBH, 0)
            case "linear":
                delta_PBH = signal_PBH
        return delta_PBH

    def update(self, hs: Sequence[Tensor], deltas: Sequence[Tensor | None]) -> None:
        """W_l -= h_{l-1}^T delta_l, in place; the learning rate is folded into the deltas."""
        for layer in range(1, self.depth + 1):
            delta_PBH = deltas[layer]
            if delta_PBH is None:
                continue
            self.W[layer].baddbmm_(hs[layer - 1].transpose(1, 2), delta_PBH, alpha=-1)
            if self.b is not None:
                self.b[layer].sub_(delta_PBH.sum(1, keepdim=True))

    def to(self, device: torch.device) -> "Network":
        """The same network on a device."""
        return replace(
            self,
            W=[w.to(device) for w in self.W],
            b=None if self.b is None else [b.to(device) for b in self.b],
        )

    def select(self, keep: Tensor) -> "Network":
        """The members at these indices, shape (P',); copies."""
        return replace(
            self,
            W=[w.index_select(0, keep) if w.numel() else w for w in self.W],
            b=None if self.b is None else [b.index_select(0, keep) if b.numel() else b for b in self.b],
        )


def draw_network(trials: Sequence[TrialSpec], widths: Sequence[int], dtype: torch.dtype) -> Network:
    """Initial weights and biases: uniform on +-1/sqrt(fan_in), PyTorch's default for linear layers, or zero."""
    model = trials[0].config.model
    W, b = [torch.empty(0, dtype=dtype)], [torch.empty(0, dtype=dtype)]
    for layer in range(1, len(widths)):
        fan_in, fan_out = widths[layer - 1], widths[layer]
        weights, biases = [], []
        for trial in trials:
            if model.init == "zero":
                weights.append(np.zeros((fan_in, fan_out)))
                biases.append(np.zeros((1, fan_out)))
                continue
            generator = stream(seed_of(trial, Purpose.WEIGHT_INIT), Purpose.WEIGHT_INIT, layer)
            bound = fan_in**-0.5
            weights.append(generator.uniform(-bound, bound, (fan_in, fan_out)))
            biases.append(generator.uniform(-bound, bound, (1, fan_out)))
        W.append(torch.from_numpy(np.stack(weights)).to(dtype))
        b.append(torch.from_numpy(np.stack(biases)).to(dtype))
    return Network(W=W, b=b if model.bias else None, activation=model.activation)
