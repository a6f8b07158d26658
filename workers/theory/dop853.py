"""Adaptive integration of many initial conditions side by side, each with steps of its own.

scipy's `solve_ivp` takes one system: stacked initial conditions would share their steps, and the numbers of one would
depend on the others. Here each member's steps follow from its own error alone. The method is that of scipy's DOP853
(Dormand & Prince, order 8 with error estimates of orders 5 and 3; Hairer, Norsett & Wanner, sec. II.10), its
coefficients scipy's; norms are maxima over the components, which round nothing. Legend: P members, n components.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.integrate import DOP853

Array = npt.NDArray[np.float64]
Members = npt.NDArray[np.intp]

RTOL, ATOL = 1e-9, 1e-12
MAX_STEPS = 20_000
"""Steps after which a member is stiff: its rates are too large for its time."""

_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_STAGES: int = DOP853.n_stages


def _row(coefficients: Array) -> list[tuple[int, float]]:
    """The coefficients that are not zero, and their stages."""
    return [(int(j), float(coefficients[j])) for j in np.flatnonzero(coefficients)]


_A = [_row(DOP853.A[stage, :stage]) for stage in range(_STAGES)]
_B, _E3, _E5 = _row(DOP853.B), _row(DOP853.E3), _row(DOP853.E5)


class Trajectories:
    """Solutions of dy/dt = f(y) from `y` (P, n), all at time 0 at first.

    `derivative(y, members)` gives f of some members, (P', n) from (P', n) and their indices; what it gives for one
    must not depend on the others.
    """

    def __init__(
        self, derivative: Callable[[Array, Members], Array], y: Array, *, rtol: float = RTOL, atol: float = ATOL
    ) -> None:
        self._derivative = derivative
        self._rtol, self._atol = rtol, atol
        # Members lie innermost in memory: loops over them are the fast ones.
        self._y_nP = np.array(y.T, order="C")
        self.t = np.zeros(len(y))
        self.finite = np.ones(len(y), dtype=np.bool_)
        """Whether the solution has not blown up so far."""
        self.steps = np.zeros(len(y), dtype=np.int64)
        """Tried so far."""
        with np.errstate(all="ignore"):
            self._f_nP = derivative(self.y, np.arange(len(y))).T
            self._h = _first_step(self._y_nP, self._f_nP, atol + rtol * np.abs(self._y_nP))

    @property
    def y(self) -> Array:
        """Where the members are, (P, n); a view."""
        return self._y_nP.T

    def arrived(self, at: float) -> npt.NDArray[np.bool_]:
        """Members that have come to this time, (P,)."""
        return self.finite & (self.t >= at)

    @property
    def stiff(self) -> npt.NDArray[np.bool_]:
        """Members that take too many steps; they stay behind, (P,)."""
        return self.finite & (self.steps >= MAX_STEPS)

    def advance(self, to: float, wanted: npt.NDArray[np.bool_] | None = None, *, rounds: int | None = None) -> bool:
        """Bring the `wanted` members (P,), all unless given, to this time; one that blows up or is stiff stops.

        After so many rounds, if given, it pauses: False, and what is wanted may have changed when it is called again.
        """
        chosen = np.ones(len(self.y), dtype=np.bool_) if wanted is None else wanted
        tried = 0
        # A step that is too long may leave the domain of f: its error is not a number, and it is refused.
        with np.errstate(all="ignore"):
            while (due := np.flatnonzero(chosen & self.finite & ~self.stiff & (self.t < to))).size:
                if tried == rounds:
                    return False
                self._try(due, to)
                tried += 1
        return True

    def _try(self, due: Members, to: float) -> None:
        """One step of each of these members, taken where its error is small."""
        proposed, left = self._h[due], to - self.t[due]
        h = np.minimum(proposed, left)
        y_nP, f_nP, error = self._step(due, h)
        taken = error <= 1
        # error^(-1/8), by operations that round in the same way wherever they are taken.
        factor = _SAFETY / np.sqrt(np.sqrt(np.sqrt(error)))
        factor = np.where(np.isfinite(error), np.clip(factor, _SHRINK, _GROW), _SHRINK)
        shortened = taken & (h < proposed)
        self._h[due] = np.where(shortened, np.maximum(proposed, h * factor), h * factor)
        self.t[due] = np.where(taken, np.where(h >= left, to, self.t[due] + h), self.t[due])
        self._y_nP[:, due[taken]], self._f_nP[:, due[taken]] = y_nP[:, taken], f_nP[:, taken]
        self.steps[due] += 1
        self.finite[due] &= self._h[due] > 10 * np.spacing(self.t[due])

    def _step(self, due: Members, h: Array) -> tuple[Array, Array, Array]:
        """Where these members are after steps h (P',), f there, and the error in units of the tolerance (P',)."""
        y = self._y_nP.take(due, axis=1)
        k = np.empty((_STAGES + 1, *y.shape))
        k[0] = self._f_nP.take(due, axis=1)
        for stage in range(1, _STAGES):
            k[stage] = self._derivative((y + h * _weighted(_A[stage], k)).T, due).T
        after = y + h * _weighted(_B, k)
        k[_STAGES] = self._derivative(after.T, due).T
        scale = self._atol + self._rtol * np.maximum(np.abs(y), np.abs(after))
        fifth = np.abs(_weighted(_E5, k) / scale).max(0)
        third = np.abs(_weighted(_E3, k) / scale).max(0)
        norm = np.sqrt(fifth * fifth + 0.01 * third * third)
        error = np.where(norm == 0, 0.0, h * fifth * fifth / norm)
        return after, k[_STAGES], error


def _weighted(row: list[tuple[int, float]], k: Array) -> Array:
    """The sum of stages, one after the other: a product would round by its size."""
    total: Array = row[0][1] * k[row[0][0]]
    for stage, weight in row[1:]:
        total += weight * k[stage]
    return total


def _first_step(y: Array, f: Array, scale: Array) -> Array:
    """A hundredth of the time in which y would change by itself; what is too short grows at once."""
    size, rate = np.abs(y / scale).max(0), np.abs(f / scale).max(0)
    return np.where((size < 1e-5) | ~(rate > 1e-5), 1e-6, 0.01 * size / rate)
