"""Initial weights: drawn per trial in float64 from its weight-init stream, layer by layer."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from services.domain import architecture as shapes
from services.domain.architecture import Architecture
from services.domain.spec import ModelSpec, TrialSpec
from workers.training.connectivity import Matrix
from workers.training.feedback import draw_direct, orthonormal_rows
from workers.training.network import stack
from workers.training.streams import Purpose, stream_of

_FEW_OUTPUTS = 32
"""Readouts of at most so many outputs are stored transposed."""


def draw_parameters(trial: TrialSpec, network: Architecture) -> list[list[Matrix]]:
    """Parameters of layers 1..L at index l - 1, in the shapes that the architecture gives."""
    model = trial.config.model
    drawn = [
        _layer(model, layer, stream_of(trial, Purpose.WEIGHT_INIT, l))
        for l, layer in enumerate(network.layers, start=1)
    ]
    if model.init.startswith("aligned"):
        _align(trial, network, drawn)
    return drawn


def stacked_parameters(members: Sequence[Sequence[Sequence[Matrix]]], dtype: torch.dtype) -> list[list[Tensor]]:
    """`members[p][l - 1]` are the parameters of layer l; stacked at index l, the readout transposed in memory."""
    stacked: list[list[Tensor]] = [[]]
    layers = list(zip(*members, strict=True))
    for number, layer in enumerate(layers, start=1):
        parameters = []
        for position, parameter in enumerate(zip(*layer, strict=True)):
            rows, columns = parameter[0].shape
            readout = number == len(layers) and position == 0 and rows > 1 and columns <= _FEW_OUTPUTS
            tensors = [torch.from_numpy(np.ascontiguousarray(member)).to(dtype) for member in parameter]
            parameters.append(stack(tensors, transposed=readout))
        stacked.append(parameters)
    return stacked


def _layer(model: ModelSpec, layer: shapes.Layer, generator: np.random.Generator) -> list[Matrix]:
    match layer:
        case shapes.Dense() | shapes.Conv():
            return _weights_and_bias(model, layer.parameters, generator)
        case shapes.Embedding():
            weight, bias, position = layer.parameters
            return [
                _uniform(generator, weight, weight[0]),
                np.zeros(bias),
                0.02 * generator.normal(size=position),
            ]
        case shapes.Block():
            gains, matrices = (0, 4), (2, 3, 6, 8)
            return [
                _uniform(generator, shape, shape[0]) if place in matrices else np.full(shape, float(place in gains))
                for place, shape in enumerate(layer.parameters)
            ]
        case shapes.Readout():
            gain, shift, weight, bias = layer.parameters
            return [np.ones(gain), np.zeros(shift), _uniform(generator, weight, weight[0]), np.zeros(bias)]


def _weights_and_bias(
    model: ModelSpec, parameters: Sequence[shapes.Shape], generator: np.random.Generator
) -> list[Matrix]:
    fan_in, fan_out = parameters[0]
    match model.init:
        case "zero":
            return [np.zeros(shape) for shape in parameters]
        case "uniform":
            weights = generator.uniform(-1, 1, parameters[0]) * _scale(model, fan_in, fan_out)
        case "normal":
            weights = generator.normal(size=parameters[0]) * _scale(model, fan_in, fan_out)
        case "orthogonal":
            weights = orthonormal_rows(generator.normal(size=parameters[0]))
            weights *= model.init_scale if isinstance(model.init_scale, float) else 1.0
        case _:
            weights = _uniform(generator, parameters[0], fan_in)
    return [weights, *(_uniform(generator, shape, fan_in) for shape in parameters[1:])]


def _scale(model: ModelSpec, fan_in: int, fan_out: int) -> float:
    match model.init_scale:
        case "inv_sqrt_fan_in":
            return 1 / math.sqrt(fan_in)
        case "inv_sqrt_fan_out":
            return 1 / math.sqrt(fan_out)
        case number:
            return float(number)


def _uniform(generator: np.random.Generator, shape: shapes.Shape, fan_in: int) -> Matrix:
    """PyTorch's default for linear layers and convolutions: uniform on +-1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return generator.uniform(-bound, bound, shape)


def _align(trial: TrialSpec, network: Architecture, drawn: list[list[Matrix]]) -> None:
    """W_l along F_l F_{l-1}^T for 1 < l < L, and W_L along F_{L-1}^T: each unit's incoming weights of unit norm."""
    direct = draw_direct(trial, network, [parameters[0] for parameters in drawn])
    if trial.config.model.init == "aligned":
        for l in range(2, len(drawn)):
            drawn[l - 1][0] = _unit_columns(direct[l - 2].T @ direct[l - 1])
    drawn[-1][0] = _unit_columns(direct[-1].T)


def _unit_columns(weights: Matrix) -> Matrix:
    norms: Matrix = np.linalg.norm(weights, axis=0, keepdims=True)
    return weights / np.where(norms > 0, norms, 1.0)
