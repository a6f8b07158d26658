"""What is known in closed form of linear two-layer networks under gradient flow (no eta^2 terms).

With pull_i = E[lambda_i (y - yhat)], the equations of `odes` read dQ_ik/dt = eta (s_i pull_k + s_k pull_i) and
dv_i/dt = eta pull_i. Legend of suffixes: P members.
"""

import numpy as np
import numpy.typing as npt

from workers.theory.odes import Dynamics, OrderParameters, weighted

Array = npt.NDArray[np.float64]


def conserved(dynamics: Dynamics, order: OrderParameters) -> Array:
    """What stays as it is, (P, K, K): Q - F v^T - v F^T under feedback alignment (s = F is constant), Q - v v^T under
    backpropagation (s = v: the product rule). Lillicrap et al. 2016; Saxe et al. 2014."""
    v, F = order.v, dynamics.F
    if F is None:
        return order.Q - v[:, :, None] * v[:, None, :]
    return order.Q - F[:, :, None] * v[:, None, :] - v[:, :, None] * F[:, None, :]


def fixed_point(dynamics: Dynamics) -> OrderParameters:
    """Where feedback alignment ends that starts from zero weights.

    All stays along F: w_k = F_k a and, by the conservation law, v = F |a|^2 / (2 N). The gradient vanishes where
    b = sum_m A_m B_m = |F|^2 (|a|^2 / (2 N)) a: with q = |a|^2 / N and tau = |b|^2 / N = A^T T A, q^(3/2) = 2
    sqrt(tau) / |F|^2, and a is along b. Raises ValueError for backpropagation, which never leaves zero.
    """
    if dynamics.F is None:
        raise ValueError("backpropagation does not leave zero weights")
    F = dynamics.F
    TA = weighted(dynamics.T, dynamics.A)
    tau, squared_F = (TA * dynamics.A).sum(-1), (F * F).sum(-1)
    q = (2 * np.sqrt(tau) / squared_F) ** (2 / 3)
    return OrderParameters(
        Q=q[:, None, None] * F[:, :, None] * F[:, None, :],
        R=np.sqrt(q / tau)[:, None, None] * F[:, :, None] * TA[:, None, :],
        v=(q / 2)[:, None] * F,
    )
