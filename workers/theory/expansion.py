"""The first moments of learning under feedback alignment, from small initial weights: why the readout aligns.

To leading order in the weights the student's fields are zero, so that every average over them factorises: with
mu_n = g'(0) E[g'(nu_n)] and kappa = g'(0)^2, I3(i, m, n) = mu_n T_mn, I2(i, n) = mu_n R_in, I4(i, k, m, n) =
kappa I2(m, n). The equations of `odes` are then polynomials in t: R grows along F, v follows R, hence
F (Refinetti et al. 2021, Sec. 2 and its appendix on early times):

    R(t) = R(0) + eta t F beta^T                                  beta_m = sum_n A_n mu_n T_mn
    v(t) = v(0) + eta t rho + (1/2) eta^2 t^2 gamma F             rho_i = sum_n A_n mu_n R_in(0)
    Q(t) = Q(0) + eta t (F rho^T + rho F^T) + F F^T [eta^2 t kappa (<y^2> + sigma^2) + eta^2 t^2 gamma]
                                                                  gamma = sum_n A_n mu_n beta_n

What is left out is of third order in (eta t) or of second in the initial weights.
"""

import numpy as np
import numpy.typing as npt

from workers.theory.odes import Dynamics, OrderParameters, weighted

Array = npt.NDArray[np.float64]


def early(dynamics: Dynamics, initial: OrderParameters, t: float) -> OrderParameters:
    """The order parameters of P members at a small time t. Raises ValueError for backpropagation, whose signal v is
    itself small."""
    if dynamics.F is None:
        raise ValueError("the expansion is of feedback alignment")
    p, m = dynamics.A.shape
    untrained = OrderParameters(Q=np.zeros((p, 1, 1)), R=np.zeros((p, 1, m)), v=np.zeros((p, 1)))
    C, _ = dynamics.fields(untrained)
    slopes = dynamics.integrals.J2(C)
    mu, kappa = slopes[:, 0, 1:], slopes[:, 0, 0]
    squares = weighted(weighted(dynamics.integrals.I2(C)[:, 1:, 1:], dynamics.A), dynamics.A)
    pull = dynamics.A * mu
    beta, rho = weighted(dynamics.T, pull), weighted(initial.R, pull)
    gamma = weighted(beta, pull)
    F, moved = dynamics.F, dynamics.drift * t
    diffused = (0.0 if dynamics.diffusion is None else dynamics.diffusion * t) * kappa * (squares + dynamics.noise**2)
    along_F = diffused + moved**2 * gamma
    return OrderParameters(
        Q=initial.Q + moved[:, None, None] * (_outer(F, rho) + _outer(rho, F)) + along_F[:, None, None] * _outer(F, F),
        R=initial.R + moved[:, None, None] * _outer(F, beta),
        v=initial.v + moved[:, None] * rho + (moved**2 * gamma / 2)[:, None] * F,
    )


def _outer(left: Array, right: Array) -> Array:
    return left[:, :, None] * right[:, None, :]
