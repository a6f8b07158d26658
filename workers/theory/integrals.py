"""Gaussian averages of two-layer networks: I2, I3, I4 and J2 of jointly normal local fields.

Fields z_1, ..., z_d have covariance C (..., d, d): the first K belong to the student, the others to the teacher; all
leading axes are batch. Formulas: Saad & Solla 1995; Goldt et al. 2019; Refinetti et al. 2021, App. A. No sum crosses
the batch, so the numbers of one member do not depend on the others.
"""

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Integrals(Protocol):
    """Of one activation g."""

    @staticmethod
    def I2(C: Array) -> Array:
        """E[g(z_a) g(z_b)], (..., d, d)."""
        ...

    @staticmethod
    def I3(C: Array, K: int) -> Array:
        """E[g'(z_i) z_j g(z_k)], (..., K, d, d): i is of the student."""
        ...

    @staticmethod
    def I4(C: Array, K: int) -> Array:
        """E[g'(z_i) g'(z_k) g(z_a) g(z_b)], (..., K, K, d, d): i and k are of the student."""
        ...

    @staticmethod
    def J2(C: Array) -> Array:
        """E[g'(z_a) g'(z_b)], (..., d, d)."""
        ...


class Erf:
    """g(z) = erf(z / sqrt 2). Below, p_a = 1 + c_aa."""

    @staticmethod
    def I2(C: Array) -> Array:
        """(2/pi) arcsin(c_ab / sqrt(p_a p_b))."""
        inverse = 1 / np.sqrt(1 + _variances(C))
        found: Array = 2 / math.pi * np.arcsin(C * inverse[..., :, None] * inverse[..., None, :])
        return found

    @staticmethod
    def I3(C: Array, K: int) -> Array:
        """(2/pi) (c_jk p_i - c_ij c_ik) / (p_i sqrt(p_i p_k - c_ik^2))."""
        p, S = 1 + _variances(C), C[..., :K, :]
        p_i = p[..., :K, None]
        inverse_ik = 2 / math.pi / np.sqrt(p_i * p[..., None, :] - S * S)
        found: Array = (C[..., None, :, :] - (S / p_i)[..., :, None] * S[..., None, :]) * inverse_ik[..., None, :]
        return found

    @staticmethod
    def I4(C: Array, K: int) -> Array:
        """(4/pi^2) arcsin(L0_ab / sqrt(L_a L_b)) / sqrt(L4), for each pair i, k, with

        L4 = p_i p_k - c_ik^2
        L0_ab = L4 c_ab - c_ka c_kb p_i - c_ia c_ib p_k + c_ik c_ia c_kb + c_ik c_ib c_ka
        L_a = L4 p_a - c_ka^2 p_i - c_ia^2 p_k + 2 c_ik c_ia c_ka = L0_aa + L4.
        """
        p, S = 1 + _variances(C), C[..., :K, :]
        Q = S[..., :K]
        S_i, S_k = S[..., :, None, :], S[..., None, :, :]
        L4 = p[..., :K, None] * p[..., None, :K] - Q * Q
        # U_ika = p_i c_ka - c_ik c_ia, and with i and k exchanged.
        U = p[..., :K, None, None] * S_k - Q[..., None] * S_i
        V = p[..., None, :K, None] * S_i - Q[..., None] * S_k
        inverse = 1 / np.sqrt(L4[..., None] * p[..., None, None, :] - S_k * U - S_i * V)
        L0 = L4[..., None, None] * C[..., None, None, :, :]
        L0 -= S_k[..., :, None] * U[..., None, :]
        L0 -= S_i[..., :, None] * V[..., None, :]
        L0 *= inverse[..., :, None]
        L0 *= inverse[..., None, :]
        angle = np.arcsin(L0, out=L0)
        angle *= (4 / math.pi**2 / np.sqrt(L4))[..., None, None]
        return angle

    @staticmethod
    def J2(C: Array) -> Array:
        """(2/pi) / sqrt(p_a p_b - c_ab^2)."""
        p = 1 + _variances(C)
        found: Array = 2 / math.pi / np.sqrt(p[..., :, None] * p[..., None, :] - C * C)
        return found


class Linear:
    """g(z) = z."""

    @staticmethod
    def I2(C: Array) -> Array:
        """c_ab."""
        return C

    @staticmethod
    def I3(C: Array, K: int) -> Array:
        """c_jk."""
        d = C.shape[-1]
        return np.broadcast_to(C[..., None, :, :], (*C.shape[:-2], K, d, d))

    @staticmethod
    def I4(C: Array, K: int) -> Array:
        """c_ab."""
        d = C.shape[-1]
        return np.broadcast_to(C[..., None, None, :, :], (*C.shape[:-2], K, K, d, d))

    @staticmethod
    def J2(C: Array) -> Array:
        """1."""
        return np.ones_like(C)


INTEGRALS: dict[str, type[Integrals]] = {"erf": Erf, "linear": Linear}
"""By the name of the activation: those for which the order parameters obey closed equations."""


def relu_I2(C: Array) -> Array:
    """E[g(z_a) g(z_b)] of g(z) = max(z, 0): the arc-cosine kernel of degree 1 (Cho & Saul 2009), (..., d, d)."""
    deviation = np.sqrt(_variances(C))
    product = deviation[..., :, None] * deviation[..., None, :]
    cosine = np.clip(np.divide(C, product, out=np.zeros_like(C), where=product > 0), -1, 1)
    angle = np.arccos(cosine)
    found: Array = product * (np.sin(angle) + (math.pi - angle) * cosine) / (2 * math.pi)
    return found


def _variances(C: Array) -> Array:
    return np.diagonal(C, axis1=-2, axis2=-1)
