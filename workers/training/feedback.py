"""Feedback matrices: their distributions, scales, rank, and those built from a convolution's connectivity.

Drawn per trial in float64 from its feedback stream, layer by layer. Direct feedback into hidden layer l is
(n_L, n_l), the transpose of the field's F_l; backward weights B_l have the shape of W_l (their rows are windows in a
convolution). With one hidden layer, fa and dfa draw the same matrix.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from services.domain.architecture import Architecture
from services.domain.spec import DIRECT_RULES, SEQUENTIAL_RULES, FeedbackSpec, RuleName, TrialSpec
from workers.training.connectivity import Matrix, dense_map, factors, repeated
from workers.training.network import stack
from workers.training.streams import Purpose, stream_of


def draw_direct(trial: TrialSpec, network: Architecture, weights: Sequence[Matrix]) -> list[Matrix]:
    """Scaled F_l^T (n_L, n_l) for every hidden layer, at index l - 1. `weights[l - 1]` is the initial W_l."""
    spec = trial.config.rule.feedback
    if spec.values is not None:
        return [np.asarray(spec.values)]
    return [raw * _factor(spec, raw, network) for raw in _raw_direct(trial, network, weights)]


def draw_backward(trial: TrialSpec, network: Architecture, weights: Sequence[Matrix]) -> list[Matrix]:
    """Scaled B_l for l = 2..L, at index l - 2, each of the shape of W_l."""
    spec = trial.config.rule.feedback
    if spec.values is not None:
        return [np.asarray(spec.values).T]
    drawn = []
    for below, layer in enumerate(network.layers[1:], start=1):
        fan_in, fan_out = layer.parameters[0]
        if spec.distribution == "matched":
            drawn.append(weights[below].copy())
            continue
        # Rows by outputs, as for direct feedback: fa and dfa coincide in a network of one hidden layer.
        matrix = _draw(trial, f"{below}", fan_out, fan_in)
        drawn.append((matrix * _factor(spec, matrix, network)).T)
    return drawn


def sign_magnitudes(trial: TrialSpec, network: Architecture) -> list[Matrix]:
    """Magnitudes of sign-symmetric feedback for l = 2..L, at index l - 2.

    usf: the standard deviation 1/sqrt(3 fan_in) of the default initial weights, (1, 1); frsf: |uniform| on the same
    bound, of the shape of W_l; brsf: that bound, (1, 1), times which fresh draws on [0, 1] are taken.
    """
    magnitudes = []
    for below, layer in enumerate(network.layers[1:], start=1):
        fan_in, fan_out = layer.parameters[0]
        match trial.config.rule.name:
            case "usf":
                magnitudes.append(np.full((1, 1), (3 * fan_in) ** -0.5))
            case "brsf":
                magnitudes.append(np.full((1, 1), fan_in**-0.5))
            case _:
                drawn = stream_of(trial, Purpose.FEEDBACK, f"{below}").uniform(-1, 1, (fan_out, fan_in)).T
                magnitudes.append(np.abs(drawn) * fan_in**-0.5)
    return magnitudes


def stacked_feedback(
    trials: Sequence[TrialSpec], network: Architecture, weights: Sequence[Sequence[Matrix]], dtype: torch.dtype
) -> list[Tensor]:
    """Feedback of the pack's rule, index l as in `rules`: (P, n_L, n_l) direct, (P, rows, n_l) sequential."""
    names = rule_names(trials[0])
    empty = torch.empty(0, dtype=dtype)
    if names & DIRECT_RULES:
        members = [draw_direct(trial, network, w) for trial, w in zip(trials, weights, strict=True)]
        return [empty, *(_stacked(layer, dtype) for layer in zip(*members, strict=True))]
    if names & {"usf", "frsf", "brsf"}:
        members = [sign_magnitudes(trial, network) for trial in trials]
        return [empty, empty, *(_stacked(layer, dtype) for layer in zip(*members, strict=True))]
    if names & SEQUENTIAL_RULES:
        members = [draw_backward(trial, network, w) for trial, w in zip(trials, weights, strict=True)]
        return [empty, empty, *(_stacked(layer, dtype, transposed=True) for layer in zip(*members, strict=True))]
    return []


def rule_names(trial: TrialSpec) -> set[RuleName]:
    """The rule, and the one it switches to."""
    rule = trial.config.rule
    return {rule.name} | ({rule.switch.to} if rule.switch else set())


def raw_scales(trials: Sequence[TrialSpec], network: Architecture, dtype: torch.dtype) -> Tensor:
    """The number that F_l or B_{l+1} was multiplied by after drawing, (P, L); column l for layer l, column 0 unused.

    1 where the scale is not one number.
    """
    rows = []
    for trial in trials:
        spec = trial.config.rule.feedback
        free = spec.values is not None or spec.scale == "unit_rows" or spec.distribution == "matched"
        fed = [1] * (len(network.layers) - 1) if free else _fed_widths(trial, network)
        rows.append([1.0, *(1.0 if free else _scale(spec, width, network) for width in fed)])
    return torch.tensor(rows, dtype=dtype)


def _fed_widths(trial: TrialSpec, network: Architecture) -> list[int]:
    """Inputs of each hidden unit's feedback: n_l of direct feedback, the rows of B_{l+1} of sequential."""
    if rule_names(trial) & SEQUENTIAL_RULES:
        return [layer.parameters[0][0] for layer in network.layers[1:]]
    return network.widths[1:-1]


def _stacked(members: Sequence[Matrix], dtype: torch.dtype, *, transposed: bool = False) -> Tensor:
    return stack([torch.from_numpy(np.ascontiguousarray(m)) for m in members], transposed=transposed).to(dtype)


def _raw_direct(trial: TrialSpec, network: Architecture, weights: Sequence[Matrix]) -> list[Matrix]:
    spec, widths = trial.config.rule.feedback, network.widths
    outputs, hidden = widths[-1], widths[1:-1]
    match spec.distribution:
        case "matched":
            return _matched(network, weights)
        case "orthogonal_across":
            whole = orthonormal_rows(stream_of(trial, Purpose.FEEDBACK).normal(size=(outputs, sum(hidden))))
            return np.split(whole, np.cumsum(hidden)[:-1], axis=1)
        case "svd" | "nmf":
            return factors(trial, network, weights)
        case "repeated":
            return [
                repeated(trial, l, layer, outputs, last=l == len(hidden))
                for l, layer in enumerate(network.layers[:-1], start=1)
            ]
        case _:
            return [_draw(trial, f"{l}", outputs, width) for l, width in enumerate(hidden, start=1)]


def _draw(trial: TrialSpec, index: str, rows: int, columns: int) -> Matrix:
    """Unscaled entries of one matrix, of low rank if the configuration says so."""
    spec = trial.config.rule.feedback
    if spec.rank is not None and spec.rank < min(rows, columns):
        left = _entries(spec, stream_of(trial, Purpose.FEEDBACK, f"{index}/left"), rows, spec.rank)
        right = _entries(spec, stream_of(trial, Purpose.FEEDBACK, f"{index}/right"), spec.rank, columns)
        product: Matrix = np.asarray(left @ right)
        if spec.distribution.startswith("orthogonal"):
            return product
        # Entries keep their variance: sd(left right) = sd(left) sd(right) sqrt(rank).
        deviation = 1.0 if spec.distribution == "normal" else 3**-0.5
        return np.asarray(product / (math.sqrt(spec.rank) * deviation))
    return _entries(spec, stream_of(trial, Purpose.FEEDBACK, index), rows, columns)


def _entries(spec: FeedbackSpec, generator: np.random.Generator, rows: int, columns: int) -> Matrix:
    match spec.distribution:
        case "uniform":
            return generator.uniform(-1, 1, (rows, columns))
        case "positive":
            return generator.uniform(0, 1, (rows, columns))
        case "orthogonal" | "orthogonal_across":
            return orthonormal_rows(generator.normal(size=(rows, columns)))
        case _:
            return generator.normal(size=(rows, columns))


def orthonormal_rows(gaussian: Matrix) -> Matrix:
    """Haar-distributed: the rows orthonormal, or the columns where there are more rows."""
    tall = gaussian.T if gaussian.shape[0] <= gaussian.shape[1] else gaussian
    q, r = np.linalg.qr(tall)
    q = np.asarray(q * np.sign(np.diag(r)))
    return q.T if gaussian.shape[0] <= gaussian.shape[1] else q


def _factor(spec: FeedbackSpec, matrix: Matrix, network: Architecture) -> Matrix | float:
    """What a drawn matrix, its rows by outputs, is multiplied by."""
    if spec.distribution == "matched":
        return 1.0
    if spec.scale == "unit_rows":
        norms: Matrix = np.linalg.norm(matrix, axis=1, keepdims=True)
        return np.asarray(1 / (norms * math.sqrt(max(network.widths[1:-1]))))
    return _scale(spec, matrix.shape[1], network)


def _scale(spec: FeedbackSpec, width: int, network: Architecture) -> float:
    """The factor on the drawn entries, for feedback into a layer of this width."""
    match spec.scale:
        case "inv_sqrt_width":
            # Orthonormal rows have norm 1 as they are: what this convention makes of other entries.
            return 1.0 if spec.distribution.startswith("orthogonal") else 1 / math.sqrt(width)
        case "inv_sqrt_max_width" | "unit_rows":
            return 1 / math.sqrt(max(network.widths[1:-1]))
        case "inv_sqrt_outputs":
            return 1 / math.sqrt(network.widths[-1])
        case number:
            return float(number)


def _matched(network: Architecture, weights: Sequence[Matrix]) -> list[Matrix]:
    """(W_L ... W_{l+1})^T of the initial weights, through dense maps of convolutions."""
    down = [weights[-1].T]
    for layer, W in zip(network.layers[-2:0:-1], weights[-2:0:-1], strict=True):
        down.append(down[-1] @ dense_map(layer, W))
    return down[::-1]
