"""The engine from given arrays: how others check it.

Everything random comes from outside: initial weights, feedback, samples, and which of them form each batch. Arrays
have PyTorch's shapes: weights W_l (n_l, n_{l-1}), convolutions (filters, channels, k, k), images (N, C, H, W); direct
feedback F_l (n_l, n_L), its rows in the order of a flattened (C, H, W) map; backward weights B_l like W_l.

    from workers.training.arrays import train_arrays
    run = train_arrays(
        {"model": {"activation": "tanh"}, "rule": {"name": "dfa"}, "train": {"lr": 0.01}},
        weights=[W1, W2, W3], feedback=[F1, F2], x=x, y=labels, batches=indices,
    )
    run.weights, run.traces.gradient_alignment
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.domain import architecture as shapes
from services.domain.architecture import Architecture
from services.domain.results import MetricColumns, TraceColumns
from services.domain.spec import DIRECT_RULES, ModelSpec, TrialConfig, TrialSpec
from workers.training import products
from workers.training.activations import ACTIVATIONS
from workers.training.data.sources import Samples, Scripted
from workers.training.directions import Directions
from workers.training.layers import LINEAR, make_layer
from workers.training.network import Network, stack
from workers.training.optimizers import make_optimizer
from workers.training.pack import Pack
from workers.training.rules import make_rule

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ArrayRun:
    """Weights after the last step, in the shapes they were given in; and one row of metrics and one per layer of traces
    for each measured step."""

    weights: list[Array]
    biases: list[Array]
    metrics: MetricColumns
    traces: TraceColumns


def train_arrays(
    config: TrialConfig | Mapping[str, Any],
    *,
    weights: Sequence[Array],
    x: Array,
    y: Array,
    batches: Array,
    feedback: Sequence[Array] = (),
    biases: Sequence[Array] = (),
    measure_at: Sequence[int] | None = None,
    dtype: str = "float64",
) -> ArrayRun:
    """Train one network, a step per row of `batches`.

    `config`: rule, train, trace, and of the model the activation and what shapes do not tell (stride, padding, pool,
    a committee's scalings); the rest is ignored. `feedback`: F_1, ..., F_{L-1} for dfa and drtp; B_2, ..., B_L for
    fa and kp; magnitudes like B_l for usf and frsf. `y`: labels (N,), or real targets (N, n_L). `batches` (S, B):
    indices into `x`. `measure_at`: steps to measure at (default all, from 0 to S); the probe and the evaluation use
    the first samples of `x`; schedules span `train.epochs` passes over `batches`. Raises ValueError for arrays that do
    not fit together, and for a switch of rules.
    """
    settings = config if isinstance(config, TrialConfig) else TrialConfig.model_validate(dict(config))
    weights, feedback, biases = ([np.asarray(a) for a in arrays] for arrays in (weights, feedback, biases))
    x, y = np.asarray(x), np.asarray(y)
    _require_fit(settings, weights, biases, x, y, np.asarray(batches))
    kind = {"float32": torch.float32, "float64": torch.float64}[dtype]
    network = _architecture(settings.model, weights, x, bias=bool(biases))
    trial = TrialSpec(config=settings, seed=0)
    layout = [_InputOrder.of(layer, network.layers[i - 1] if i else None, x) for i, layer in enumerate(network.layers)]
    parameters: list[list[Tensor]] = [[]]
    for i, W in enumerate(weights):
        layer_parameters = [_stacked(layout[i].inward(W), kind, transposed=i == len(weights) - 1)]
        if biases:
            layer_parameters.append(_stacked(np.asarray(biases[i])[None, :], kind))
        parameters.append(layer_parameters)
    rule = make_rule(settings.rule.name, _feedback(settings, network, weights, feedback, layout, kind), [trial])
    activation = ACTIVATIONS[settings.model.activation]
    made = [make_layer(shape, activation) for shape in network.layers[:-1]]
    last = make_layer(network.layers[-1], LINEAR)
    chain = Network([last, *made, last], parameters, network.input_scale)
    inputs = torch.from_numpy(np.ascontiguousarray(_channels_last(x))).to(kind)
    targets = torch.from_numpy(np.asarray(y))[None]
    samples = Samples(inputs, targets.to(kind) if targets.is_floating_point() else targets.long())
    pack = Pack(
        trials=[trial],
        ids=[0],
        architecture=network,
        network=chain,
        rule=rule,
        later_rule=None,
        directions=Directions.of(rule, chain, torch.ones(1, chain.depth, dtype=kind)),
        optimizer=make_optimizer([trial], parameters[1][0]),
        source=Scripted(torch.from_numpy(np.asarray(batches)).long(), samples, samples),
    )
    products.choose(0)
    measured = set(range(len(batches) + 1) if measure_at is None else measure_at)
    points = []
    while True:
        if pack.step in measured and pack.ids:
            points.append(pack.trace_point()[0])
        if pack.step == len(batches):
            break
        pack.advance(remember=pack.step + 1 in measured)
    return ArrayRun(
        weights=[
            order.outward(layer[0][0].numpy(), W.shape)
            for order, layer, W in zip(layout, chain.parameters[1:], weights, strict=True)
        ],
        biases=[layer[1][0, 0].numpy() for layer in chain.parameters[1:]] if biases else [],
        metrics=MetricColumns.concatenate([p.metrics for p in points]) if points else MetricColumns.empty(),
        traces=TraceColumns.concatenate([p.traces for p in points]) if points else TraceColumns.empty(),
    )


@dataclass(frozen=True)
class _InputOrder:
    """Where each of a layer's inputs stands in PyTorch's order: maps here have channels last."""

    columns: Array | None

    @classmethod
    def of(cls, layer: shapes.Layer, below: shapes.Layer | None, x: Array) -> "_InputOrder":
        if isinstance(layer, shapes.Conv):
            return cls(None)
        if isinstance(below, shapes.Conv):
            return cls(_order(below.filters, below.pooled_side))
        return cls(_order(x.shape[1], x.shape[2]) if below is None and x.ndim == 4 else None)

    def inward(self, W: Array) -> Array:
        """Ours (inputs or window entries, outputs) from PyTorch's."""
        if W.ndim == 4:
            return W.transpose(2, 3, 1, 0).reshape(-1, W.shape[0])
        return (W if self.columns is None else W[:, self.columns]).T

    def outward(self, W: Array, shape: tuple[int, ...]) -> Array:
        """PyTorch's from ours."""
        if len(shape) == 4:
            filters, channels, k, _ = shape
            return W.reshape(k, k, channels, filters).transpose(3, 2, 0, 1)
        if self.columns is None:
            return W.T
        back = np.empty(shape, dtype=W.dtype)
        back[:, self.columns] = W.T
        return back


def _require_fit(
    config: TrialConfig, weights: Sequence[Array], biases: Sequence[Array], x: Array, y: Array, batches: Array
) -> None:
    """Raises ValueError. What concerns the order of layers and feedback is looked at where they are built."""
    outputs = weights[-1].shape[0]
    if config.rule.switch is not None:
        raise ValueError("train_arrays runs one rule: no switch")
    if biases and [b.shape for b in biases] != [(W.shape[0],) for W in weights]:
        raise ValueError("biases need a vector per layer, one number per output or filter")
    if len(x) != len(y):
        raise ValueError(f"{len(x)} samples but {len(y)} targets")
    real = y.dtype.kind == "f"
    if real and (y.shape[1:] != (outputs,) or config.train.loss == "cross_entropy"):
        raise ValueError(f"real targets are (N, {outputs}) and need loss mse or half_mse")
    if not real and (y.ndim != 1 or y.min() < 0 or y.max() >= outputs):
        raise ValueError(f"labels are (N,) integers from 0 to {outputs - 1}")
    if batches.ndim != 2 or batches.min() < 0 or batches.max() >= len(x):
        raise ValueError(f"batches are (S, B) indices from 0 to {len(x) - 1}")


def _architecture(model: ModelSpec, weights: Sequence[Array], x: Array, *, bias: bool) -> Architecture:
    layers: list[shapes.Layer] = []
    side = x.shape[2] if x.ndim == 4 else 0
    for W in weights:
        if W.ndim == 4:
            if x.ndim != 4 or x.shape[2] != x.shape[3]:
                raise ValueError("convolutions need square images (N, C, H, W)")
            conv = model.conv
            layer = shapes.Conv(
                side=side,
                channels=W.shape[1],
                filters=W.shape[0],
                kernel=W.shape[2],
                stride=conv.stride,
                padding=conv.padding,
                pool=conv.pool,
                pooling=conv.pooling,
                bias=bias,
            )
            side = layer.pooled_side
            layers.append(layer)
        else:
            layers.append(shapes.Dense(inputs=W.shape[1], outputs=W.shape[0], bias=bias))
    for below, above in pairwise(layers):
        if below.outputs != above.inputs:
            raise ValueError(f"a layer of {below.outputs} outputs cannot feed one of {above.inputs} inputs")
    n = layers[0].inputs
    if int(np.prod(x.shape[1:])) != n:
        raise ValueError(f"samples have {int(np.prod(x.shape[1:]))} numbers; the first layer takes {n}")
    if model.kind == "committee":
        return Architecture(layers=layers, lr_factors=[1.0, 1 / n], input_scale=n**-0.5)
    return Architecture(layers=layers, lr_factors=[1.0] * len(layers))


def _feedback(
    config: TrialConfig,
    network: Architecture,
    weights: Sequence[Array],
    feedback: Sequence[Array],
    layout: Sequence[_InputOrder],
    dtype: torch.dtype,
) -> list[Tensor]:
    """Feedback as the rules take it, index l."""
    if config.rule.name in ("bp", "shallow"):
        return []
    if len(feedback) != len(network.layers) - 1:
        raise ValueError(f"{config.rule.name} needs {len(network.layers) - 1} feedback matrices, not {len(feedback)}")
    empty = torch.empty(0, dtype=dtype)
    direct = config.rule.name in DIRECT_RULES
    outputs = network.widths[-1]
    for number, given in enumerate(feedback, start=1):
        wanted = (network.widths[number], outputs) if direct else weights[number].shape
        if given.shape != wanted:
            raise ValueError(f"feedback matrix {number} is {given.shape}; {config.rule.name} needs {wanted}")
    if not direct:
        return [
            empty,
            empty,
            *(_stacked(order.inward(B), dtype) for order, B in zip(layout[1:], feedback, strict=True)),
        ]
    ours = []
    for layer, F in zip(network.layers, feedback, strict=False):
        rows = _order(layer.filters, layer.pooled_side) if isinstance(layer, shapes.Conv) else slice(None)
        ours.append(_stacked(np.asarray(F)[rows].T, dtype))
    return [empty, *ours]


def _stacked(matrix: Array, dtype: torch.dtype, *, transposed: bool = False) -> Tensor:
    """A pack of one, with memory of its own."""
    return stack([torch.from_numpy(np.array(matrix)).to(dtype)], transposed=transposed)


def _order(channels: int, side: int) -> Array:
    """Position in a flattened (C, H, W) map of each entry of a flattened (H, W, C) map."""
    order: Array = np.arange(channels * side * side).reshape(channels, side, side).transpose(1, 2, 0).reshape(-1)
    return order


def _channels_last(x: Array) -> Array:
    """Samples, flat."""
    return (x.transpose(0, 2, 3, 1) if x.ndim == 4 else x).reshape(len(x), -1)
