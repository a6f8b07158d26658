"""Two-layer teacher-student networks: order parameters and the exact generalisation error.

Local fields of the students and the teacher are jointly Gaussian; their covariance [[Q, R], [R^T, T]] and the readout
weights determine the generalisation error, (1/2) sum_ab s_a s_b I2(a, b) with s = (-v, A) (Refinetti et al. 2021,
App. A; Goldt et al. 2019). Legend of suffixes: P pack, K students, M teachers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from services.domain.results import OrderColumns
from services.domain.spec import TrialSpec
from workers.theory.integrals import INTEGRALS, relu_I2
from workers.training.data.random import Teacher, input_deviations

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OrderParameters:
    """Of one trial: Q (K, K), R (K, M), T (M, M), v (K,), A (M,), and the feedback F (K,) or None."""

    Q: Array
    R: Array
    T: Array
    v: Array
    A: Array
    F: Array | None


def order_parameters(trial: TrialSpec, teacher: Teacher, W: Array, v: Array, F: Array | None) -> OrderParameters:
    """Overlaps of students W (K, N) and teacher under the covariance of the inputs, per input dimension."""
    deviations = input_deviations(trial.config.data)
    students, teachers = W * deviations, teacher.B * deviations
    n = W.shape[1]
    return OrderParameters(
        Q=students @ students.T / n, R=students @ teachers.T / n, T=teachers @ teachers.T / n, v=v, A=teacher.A, F=F
    )


def generalisation_error(order: OrderParameters, activation: str) -> float:
    """(1/2) E[(y - yhat)^2] over noise-free data; NaN for activations without a closed form."""
    covariance = np.block([[order.Q, order.R], [order.R.T, order.T]])
    signs = np.concatenate([-order.v, order.A])
    second_moments = _second_moments(covariance, activation)
    return math.nan if second_moments is None else float(signs @ second_moments @ signs / 2)


def rows(trial_ids: Sequence[int], step: int, orders: Sequence[OrderParameters]) -> OrderColumns:
    """The SQL rows of these trials at this step."""
    found = [
        (trial_id, name, i + 1, j + 1 if value.ndim == 2 else 0, value[i, j] if value.ndim == 2 else value[i])
        for trial_id, order in zip(trial_ids, orders, strict=True)
        for name, value in ((field.name, getattr(order, field.name)) for field in fields(order))
        if value is not None
        for i, j in np.ndindex(*(value.shape if value.ndim == 2 else (len(value), 1)))
    ]
    ids, quantities, i, j, values = zip(*found, strict=True)
    return OrderColumns(
        trial_id=np.array(ids, dtype=np.int64),
        step=np.full(len(ids), step, dtype=np.int64),
        quantity=np.array(quantities),
        i=np.array(i, dtype=np.int64),
        j=np.array(j, dtype=np.int64),
        value=np.array(values, dtype=np.float64),
    )


def _second_moments(c: Array, activation: str) -> Array | None:
    """I2(a, b) = E[g(z_a) g(z_b)] for fields of covariance c."""
    if activation == "relu":
        return relu_I2(c)
    return INTEGRALS[activation].I2(c) if activation in INTEGRALS else None
