"""The order parameters of two-layer networks under online learning, in the limit of many inputs.

A student yhat = sum_k v_k g(w_k x / sqrt N) learns from y = sum_m A_m g(B_m x / sqrt N) + sigma zeta, x ~ N(0, 1), by
w_k += (eta / sqrt N) s_k g'(lambda_k) (y - yhat) x and v_k += (eta / N) g(lambda_k) (y - yhat), with s = v under
backpropagation and s = F, fixed, under feedback alignment, direct or not. For N -> infinity at fixed t = steps / N,
Q = w w^T / N, R = w B^T / N and v obey closed equations (Saad & Solla 1995; Refinetti et al. 2021, App. A): with
s_a = (-v, A) over the d = K + M fields,

    dR_im/dt = eta s_i sum_a s_a I3(i, m, a)
    dQ_ik/dt = eta [s_i sum_a s_a I3(i, k, a) + s_k sum_a s_a I3(k, i, a)]
               + eta^2 s_i s_k [sum_ab s_a s_b I4(i, k, a, b) + sigma^2 J2(i, k)]
    dv_i/dt  = eta sum_a s_a I2(i, a)
    eps_g    = (1/2) E[(y - yhat)^2] = (1/2) sum_ab s_a s_b I2(a, b), without the noise.

T = B B^T / N and A are constant. Batches of B samples, summed, move by B eta and diffuse by B eta^2: samples of one
batch are orthogonal to each other in this limit. Legend of suffixes: P members of a batch of initial conditions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from workers.theory.dop853 import ATOL, RTOL, Members, Trajectories
from workers.theory.integrals import INTEGRALS, Integrals

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OrderParameters:
    """What changes: Q (P, K, K), R (P, K, M), v (P, K)."""

    Q: Array
    R: Array
    v: Array

    def flat(self) -> Array:
        """(P, K^2 + K M + K)."""
        (p, k), m = self.v.shape, self.R.shape[2]
        flat_nP = np.empty((k * k + k * m + k, p))
        flat_nP[: k * k].reshape(k, k, p)[...] = self.Q.transpose(1, 2, 0)
        flat_nP[k * k : k * (k + m)].reshape(k, m, p)[...] = self.R.transpose(1, 2, 0)
        flat_nP[k * (k + m) :] = self.v.T
        return flat_nP.T


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """What does not change: of each member the teacher, the feedback and the rates."""

    integrals: type[Integrals]
    T: Array
    """(P, M, M)."""
    A: Array
    """(P, M)."""
    F: Array | None
    """(P, K); None: backpropagation. Zero: only the readout learns."""
    drift: Array
    """eta, or B eta for batches of B samples, (P,)."""
    diffusion: Array | None
    """eta^2, or B eta^2, (P,); None: gradient flow, its limit for small rates."""
    noise: Array
    """sigma, (P,)."""

    @classmethod
    def online(
        cls,
        activation: str,
        *,
        T: Array,
        A: Array,
        F: Array | None,
        lr: float | Array,
        noise: float | Array = 0.0,
        gradient_flow: bool = False,
    ) -> "Dynamics":
        """One sample at a time, with learning rate `lr` = eta. A single number holds for all members.

        Raises KeyError for an activation whose equations do not close.
        """
        eta, sigma = (np.broadcast_to(np.asarray(number, dtype=np.float64), (len(A),)) for number in (lr, noise))
        return cls(
            integrals=INTEGRALS[activation],
            T=T,
            A=A,
            F=F,
            drift=eta,
            diffusion=None if gradient_flow else eta**2,
            noise=sigma,
        )

    def select(self, members: Members) -> "Dynamics":
        """Of these members."""
        return replace(
            self,
            T=self.T[members],
            A=self.A[members],
            F=None if self.F is None else self.F[members],
            drift=self.drift[members],
            diffusion=None if self.diffusion is None else self.diffusion[members],
            noise=self.noise[members],
        )

    def order(self, flat: Array) -> OrderParameters:
        """From what `OrderParameters.flat` gives."""
        (p, n), m = flat.shape, self.A.shape[1]
        k = (math.isqrt((m + 1) ** 2 + 4 * n) - (m + 1)) // 2  # n = k^2 + k m + k
        flat_nP = flat.T
        return OrderParameters(
            Q=flat_nP[: k * k].reshape(k, k, p).transpose(2, 0, 1),
            R=flat_nP[k * k : k * (k + m)].reshape(k, m, p).transpose(2, 0, 1),
            v=flat_nP[k * (k + m) :].T,
        )

    def fields(self, order: OrderParameters) -> tuple[Array, Array]:
        """Covariance C (P, d, d) of all local fields, and their signs s (P, d) in y - yhat."""
        p, k = order.v.shape
        d = k + self.A.shape[1]
        # Members lie innermost in memory, here and in all that follows from it: loops over them are the fast ones.
        C_ddP, s_dP = np.empty((d, d, p)), np.empty((d, p))
        C, s = C_ddP.transpose(2, 0, 1), s_dP.T
        C[:, :k, :k], C[:, :k, k:], C[:, k:, :k], C[:, k:, k:] = order.Q, order.R, order.R.swapaxes(1, 2), self.T
        s[:, :k], s[:, k:] = -order.v, self.A
        return C, s

    def generalisation_error(self, order: OrderParameters) -> Array:
        """eps_g, (P,). Near 0 it is a difference of far larger terms: what rounding leaves below 0 is 0."""
        C, s = self.fields(order)
        error: Array = np.maximum(weighted(weighted(self.integrals.I2(C), s), s) / 2, 0)
        return error

    def squared_signals(self, order: OrderParameters) -> Array:
        """E[(y - yhat)^2 g'(lambda_i) g'(lambda_k)] without the noise, (P, K, K)."""
        C, s = self.fields(order)
        return weighted(weighted(self.integrals.I4(C, order.v.shape[1]), s), s)

    def derivative(self, flat: Array) -> Array:
        """d/dt of the flat order parameters, of the same shape."""
        order = self.order(flat)
        k = order.v.shape[1]
        C, s = self.fields(order)
        signal = order.v if self.F is None else self.F
        drift_P11 = self.drift[:, None, None]
        pull = drift_P11 * signal[:, :, None] * weighted(self.integrals.I3(C, k), s)
        dQ = pull[:, :, :k] + pull[:, :, :k].swapaxes(1, 2)
        if self.diffusion is not None:
            squares = weighted(weighted(self.integrals.I4(C, k), s), s)
            squares += (self.noise**2)[:, None, None] * self.integrals.J2(C[:, :k, :k])
            dQ += self.diffusion[:, None, None] * signal[:, :, None] * signal[:, None, :] * squares
        dv = self.drift[:, None] * weighted(self.integrals.I2(C)[:, :k], s)
        return OrderParameters(Q=dQ, R=pull[:, :, k:], v=dv).flat()


@dataclass(frozen=True, kw_only=True)
class Solution:
    """At each of S times: Q (P, S, K, K), R (P, S, K, M), v (P, S, K), generalisation error (P, S).

    NaN from where a member has blown up, or was too stiff to go on.
    """

    Q: Array
    R: Array
    v: Array
    generalisation_error: Array


def solve(
    dynamics: Dynamics, initial: OrderParameters, times: Sequence[float], *, rtol: float = RTOL, atol: float = ATOL
) -> Solution:
    """Solve P initial conditions in one call: the order parameters at `times`, which increase from 0 or later.

    With the tolerances as they are, the local error of each step is below 1e-9 of each order parameter or 1e-12,
    whichever is more; the order parameters of K = M = 2 up to t = 1000 are then right to 1e-8 of the largest.
    """
    members = start(dynamics, initial, rtol=rtol, atol=atol)
    points = []
    for time in times:
        members.advance(time)
        points.append(dynamics.order(np.where(members.arrived(time)[:, None], members.y, np.nan)))
    return Solution(
        Q=np.stack([point.Q for point in points], axis=1),
        R=np.stack([point.R for point in points], axis=1),
        v=np.stack([point.v for point in points], axis=1),
        generalisation_error=np.stack([dynamics.generalisation_error(point) for point in points], axis=1),
    )


def start(dynamics: Dynamics, initial: OrderParameters, *, rtol: float = RTOL, atol: float = ATOL) -> Trajectories:
    """The order parameters at time 0, flat, ready to advance."""
    chosen, selected = np.arange(0), dynamics

    def derivative(flat: Array, members: Members) -> Array:
        nonlocal chosen, selected
        if members is not chosen:  # the stages of one step come with one array
            chosen, selected = members, dynamics.select(members)
        return selected.derivative(flat)

    return Trajectories(derivative, initial.flat(), rtol=rtol, atol=atol)


def weighted(values: Array, s: Array) -> Array:
    """sum_a s_a values_...a, (P, ...) from (P, ..., d) and (P, d): one after the other, since other sums round by
    their layout."""
    expanded = s.reshape(len(s), *(1,) * (values.ndim - 2), s.shape[1])
    total: Array = values[..., 0] * expanded[..., 0]
    for a in range(1, s.shape[1]):
        total += values[..., a] * expanded[..., a]
    return total


def readout_alignment(v: Array, F: Array) -> Array:
    """cos(v, F), (P,) from (P, K) each; NaN where either is zero."""
    norms = np.sqrt(weighted(v, v) * weighted(F, F))
    cosine: Array = np.divide(weighted(v, F), norms, out=np.full(len(v), np.nan), where=norms > 0)
    return cosine
