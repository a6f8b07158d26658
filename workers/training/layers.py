"""The layers of packed networks, forward and backward by hand over stacked tensors.

Every layer maps h_{l-1} (P, B, n_{l-1}) to h_l (P, B, n_l), flat whatever the shape inside (maps of convolutions with
channels last, tokens in rows). `delta` is dL/da_l, the gradient with respect to what comes before the layer's
nonlinearity. Legend of suffixes: P pack, B batch, I and H widths below and above, T positions or tokens, K entries of
a window. No reduction ever crosses P.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional

from services.domain import architecture as shapes
from workers.training.activations import ACTIVATIONS, Activation
from workers.training.products import bmm, subtract_bmm
from workers.training.transformer import transformer_part

Parameters = Sequence[Tensor]
"""Of one layer, stacked: (P, rows, columns) each; the first one is the weight matrix."""


class Layer(Protocol):
    """The primitives that rules and optimisers are made of. `saved` is what `forward` returned beside the output."""

    @property
    def shape(self) -> shapes.Layer: ...

    def forward(self, parameters: Parameters, x_PBI: Tensor) -> tuple[Tensor, Any]:
        """h_l (P, B, n_l), and what the backward pass needs."""
        ...

    def output(self, parameters: Parameters, x_PBI: Tensor) -> Tensor:
        """h_l alone."""
        ...

    def delta(self, saved: Any, signal_PBH: Tensor) -> Tensor:
        """dL/da_l from a signal dL/dh_l."""
        ...

    def input_grad(self, parameters: Parameters, saved: Any, delta: Tensor) -> Tensor:
        """dL/dh_{l-1} (P, B, n_{l-1}), as if the layer had these parameters."""
        ...

    def gradients(self, parameters: Parameters, saved: Any, delta: Tensor) -> list[Tensor]:
        """dL/dparameters, summed over the batch; as many as there are parameters given."""
        ...

    def descend(self, parameters: Parameters, saved: Any, delta: Tensor) -> None:
        """parameters -= gradients, in place."""
        ...


@dataclass(frozen=True)
class Dense:
    """a = h W + b, then the activation.

    W may be stored transposed, as (P, H, I) in memory: products with few outputs are faster that way.
    """

    shape: shapes.Dense
    activation: Activation

    def forward(self, parameters: Parameters, x_PBI: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        a_PBH = _product(x_PBI, parameters[0])
        if len(parameters) > 1:
            a_PBH += parameters[1]
        h_PBH = self.activation.forward(a_PBH)
        return h_PBH, (x_PBI, a_PBH if self.activation.keeps_input else h_PBH)

    def output(self, parameters: Parameters, x_PBI: Tensor) -> Tensor:
        return self.forward(parameters, x_PBI)[0]

    def delta(self, saved: Any, signal_PBH: Tensor) -> Tensor:
        return self.activation.backward(signal_PBH, saved[1])

    def input_grad(self, parameters: Parameters, saved: Any, delta: Tensor) -> Tensor:
        return bmm(delta, parameters[0].mT)

    def gradients(self, parameters: Parameters, saved: Any, delta: Tensor) -> list[Tensor]:
        gradients = [bmm(saved[0].mT, delta)]
        return gradients if len(parameters) == 1 else [*gradients, delta.sum(1, keepdim=True)]

    def descend(self, parameters: Parameters, saved: Any, delta: Tensor) -> None:
        _subtract_product(parameters[0], saved[0], delta)
        if len(parameters) > 1:
            parameters[1].sub_(delta.sum(1, keepdim=True))


@dataclass(frozen=True)
class Conv:
    """A convolution as a product of windows with W (P, K, filters), then the activation, then pooling.

    A grouped convolution over the pack would be up to twice as fast in the backward pass, but its results depend on the
    number of groups unless channels come in multiples of 16.
    """

    shape: shapes.Conv
    activation: Activation

    def forward(self, parameters: Parameters, x_PBI: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor | None]]:
        p, b, _ = x_PBI.shape
        windows = self.windows(x_PBI)
        a = _product(windows, parameters[0])
        if len(parameters) > 1:
            a += parameters[1]
        h = self.activation.forward(a)
        kept = a if self.activation.keeps_input else h
        if self.shape.pool == 1:
            return h.view(p, b, -1), (windows, kept, None)
        pooled, winners = self._pool(h.view(p, b, self.shape.map_side, self.shape.map_side, -1))
        return pooled, (windows, kept, winners)

    def output(self, parameters: Parameters, x_PBI: Tensor) -> Tensor:
        return self.forward(parameters, x_PBI)[0]

    def delta(self, saved: Any, signal_PBH: Tensor) -> Tensor:
        _, kept, winners = saved
        p, b, _ = signal_PBH.shape
        signal = signal_PBH if self.shape.pool == 1 else self._unpool(signal_PBH, winners)
        return self.activation.backward(signal.reshape(kept.shape), kept).view(p, b, -1)

    def input_grad(self, parameters: Parameters, saved: Any, delta: Tensor) -> Tensor:
        p, b, _ = delta.shape
        return self._overlap_add(bmm(self._rows(delta), parameters[0].mT), p, b)

    def gradients(self, parameters: Parameters, saved: Any, delta: Tensor) -> list[Tensor]:
        rows = self._rows(delta)
        gradients = [bmm(saved[0].mT, rows)]
        return gradients if len(parameters) == 1 else [*gradients, rows.sum(1, keepdim=True)]

    def descend(self, parameters: Parameters, saved: Any, delta: Tensor) -> None:
        rows = self._rows(delta)
        _subtract_product(parameters[0], saved[0], rows)
        if len(parameters) > 1:
            parameters[1].sub_(rows.sum(1, keepdim=True))

    def windows(self, x_PBI: Tensor) -> Tensor:
        """All windows of the maps, (P, B * T, K)."""
        s = self.shape
        p, b, _ = x_PBI.shape
        maps = x_PBI.reshape(p, b, s.side, s.side, s.channels)
        if s.padding:
            maps = functional.pad(maps, (0, 0, s.padding, s.padding, s.padding, s.padding))
        # Channels lie innermost, so a row of a window is one run of kernel * channels numbers.
        sp, sb, sy, sx, _ = maps.stride()
        strided = maps.as_strided(
            (p, b, s.map_side, s.map_side, s.kernel, s.kernel * s.channels),
            (sp, sb, sy * s.stride, sx * s.stride, sy, 1),
        )
        return strided.reshape(p, b * s.map_side**2, -1)

    def _rows(self, delta: Tensor) -> Tensor:
        """A delta per position, (P, B * T, filters)."""
        return delta.reshape(len(delta), -1, self.shape.filters)

    def _overlap_add(self, windows: Tensor, p: int, b: int) -> Tensor:
        """The transpose of `windows`: every number back to its place, overlaps summed; (P, B, I)."""
        s = self.shape
        padded = s.side + 2 * s.padding
        maps = windows.new_zeros(p, b, padded, padded, s.channels)
        parts = windows.view(p, b, s.map_side, s.map_side, s.kernel, s.kernel, s.channels)
        reach = (s.map_side - 1) * s.stride + 1
        for row in range(s.kernel):
            for column in range(s.kernel):
                into = maps[:, :, row : row + reach : s.stride, column : column + reach : s.stride]
                into += parts[:, :, :, :, row, column]
        inner = slice(s.padding, s.padding + s.side)
        return maps[:, :, inner, inner].reshape(p, b, -1)

    def _pool(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pooled maps, flat (P, B, H), and for max pooling which entry of each window won."""
        p, b, _, _, filters = maps.shape
        n, k = self.shape.pooled_side, self.shape.pool
        cells = maps[:, :, : n * k, : n * k].reshape(p * b, n, k, n, k, filters).transpose(2, 3)
        cells = cells.reshape(p * b, n, n, k * k, filters)
        if self.shape.pooling == "average":
            return cells.mean(3).view(p, b, -1), None
        best, winners = cells.max(3)
        return best.view(p, b, -1), winners

    def _unpool(self, signal_PBH: Tensor, winners: Tensor | None) -> Tensor:
        """The signal back on the maps before pooling, (P, B, side, side, filters)."""
        p, b, _ = signal_PBH.shape
        n, k, side, filters = self.shape.pooled_side, self.shape.pool, self.shape.map_side, self.shape.filters
        pooled = signal_PBH.reshape(p * b, n, n, 1, filters)
        if winners is None:
            cells = (pooled / (k * k)).expand(-1, -1, -1, k * k, -1)
        else:
            cells = pooled.new_zeros(p * b, n, n, k * k, filters).scatter_(3, winners.unsqueeze(3), pooled)
        whole = cells.reshape(p * b, n, n, k, k, filters).transpose(2, 3).reshape(p, b, n * k, n * k, filters)
        return functional.pad(whole, (0, 0, 0, side - n * k, 0, side - n * k))


def make_layer(shape: shapes.Layer, activation: Activation) -> Layer:
    """The layer of this shape; `activation` is for dense and convolutional layers."""
    match shape:
        case shapes.Dense():
            return Dense(shape, activation)
        case shapes.Conv():
            return Conv(shape, activation)
        case shapes.Embedding() | shapes.Block() | shapes.Readout():
            return transformer_part(shape)


LINEAR = ACTIVATIONS["linear"]


def _product(x_PBI: Tensor, W: Tensor) -> Tensor:
    """x W, in the memory order of W."""
    return bmm(x_PBI, W) if W.is_contiguous() else bmm(W.mT, x_PBI.mT).mT


def _subtract_product(W: Tensor, x_PBI: Tensor, delta: Tensor) -> None:
    """W -= x^T delta, in the memory order of W."""
    if W.is_contiguous():
        subtract_bmm(W, x_PBI.mT, delta)
    else:
        subtract_bmm(W.mT, delta.mT, x_PBI)
