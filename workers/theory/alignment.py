"""Gradient alignment of two-layer networks from their order parameters."""

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from workers.theory.odes import readout_alignment

Array = npt.NDArray[np.float64]

_POINTS = 1024


def gradient_alignment(activation: str, Q: Array, v: Array, F: Array) -> Array:
    """E[cos(F o g'(lambda), v o g'(lambda))] over inputs, for fields lambda of covariance Q, (P,).

    This is the cosine between the deltas of feedback alignment and of backpropagation, in which the error cancels.
    Q (P, K, K), v and F (P, K). Linear: cos(v, F). Erf: by quasi-Monte Carlo over 1024 points, to
    about 1e-3 for two units and 5e-3 for many; a probe of 500 samples errs by 2e-2. NaN where v or F is zero.
    """
    if activation == "linear":
        return readout_alignment(v, F)
    return np.array([_erf(*member) for member in zip(Q, v, F, strict=True)])


def _erf(Q: Array, v: Array, F: Array) -> float:
    variances, axes = np.linalg.eigh(Q)
    fields = _normal_points(len(v)) @ (axes * np.sqrt(np.maximum(variances, 0))).T
    # g'^2 up to a factor that is common to all units of a sample, which no cosine sees.
    squares = fields**2
    slopes = np.exp(squares.min(1, keepdims=True) - squares)
    norms = np.sqrt((slopes @ F**2) * (slopes @ v**2))
    return float((slopes @ (F * v) / norms).mean()) if (norms > 0).all() else np.nan


@cache
def _normal_points(dimensions: int) -> Array:
    """Points of the standard normal distribution, evenly spread, (1024, dimensions).

    A Kronecker sequence: multiples, modulo 1, of the powers of 1/phi, phi the positive root of phi^(d+1) = phi + 1.
    """
    phi = 2.0
    for _ in range(64):
        phi = (1 + phi) ** (1 / (dimensions + 1))
    steps = phi ** -np.arange(1.0, dimensions + 1)
    points: Array = ndtri((0.5 + np.outer(np.arange(_POINTS), steps)) % 1)
    return points
