"""Align, then memorise: when layers align, when the loss falls, and which comes first (Refinetti et al. 2021).

A pure function of one trial's trace points. Their steps grow geometrically, so between two of them curves are straight
lines over log(1 + step), and *one trace interval* is as much as two times may differ and still count as a tie.

Noise: a curve of eight points or more is smoothed by a running median of three, which leaves monotone curves as they
are; what the median takes away tells how large the noise is. Shorter curves are taken as they are, with noise 0.
Legend of suffixes: T trace points, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Steps = npt.NDArray[np.int64]
Points = npt.NDArray[np.int64]
Curve = npt.NDArray[np.float64]

LEAST_ALIGNMENT = 0.1
"""A layer whose gradient alignment stays below does not align: untrained ReLU networks show up to 0.05 or so."""
LEAST_FALL = 0.01
"""Of the first loss: less is no fall."""
LEAST_DECLINE = 0.05
"""Of the highest alignment: less is no decline."""
NOISES = 5.0
"""A fall or a decline is as many standard deviations of the noise at least: forty points of white noise have one or the
other in about one case of a hundred."""

_FEW = 8
_RESIDUAL = 0.564
"""Mean distance of white noise of standard deviation 1 from its median of three."""


@dataclass(frozen=True, kw_only=True)
class LayerPhases:
    """One layer, from its smoothed curve. None: undefined, or it does not happen."""

    maximum: float
    """Highest gradient alignment."""
    maximum_step: int
    """First trace point there."""
    aligned_at_step: int | None
    """First trace point at half of the maximum; None for all that follows from it below LEAST_ALIGNMENT."""
    half_step: float | None
    """When the curve reaches half of the maximum, between trace points."""
    most_step: float | None
    """When it reaches nine tenths."""
    final: float
    """Gradient alignment at the end."""
    declines: bool | None
    """Whether it has fallen from its maximum, by more than noise and LEAST_DECLINE."""
    aligns_first: bool | None
    """Whether half of the maximum comes before half of the fall of the loss, or at most one trace interval later."""

    @property
    def decline(self) -> float:
        """What is lost again of the maximum; at least 0."""
        return self.maximum - self.final


@dataclass(frozen=True, kw_only=True)
class TrialPhases:
    """One trial. None: the loss does not fall; or fewer than two layers have an alignment, or one does not align."""

    loss_halved_at_step: int | None
    """First trace point at which half of the whole fall of the loss, from the first to the lowest, is done."""
    loss_half_step: float | None
    """When it is, between trace points."""
    sequential: bool | None
    """Whether layers align from the bottom to the top: none before the one below it, by more than one trace interval,
    and the last later than the first."""
    layers: tuple[LayerPhases | None, ...]
    """As they were given; None: no gradient alignment at any trace point."""


@dataclass(frozen=True)
class _Crossing:
    """Where a curve first reaches a level: at which trace point, and when between that and the one before."""

    point: int
    step: float
    place: float
    """In trace intervals from the first trace point on."""


def detect(steps: Steps, gradient_alignment: Curve, training_loss: Curve) -> TrialPhases:
    """Steps (T,), ascending; gradient alignment (T, L) and training loss (T,), NaN where undefined."""
    fallen = _fall(steps, training_loss)
    layers: list[LayerPhases | None] = []
    places: list[float | None] = []
    for curve_T in gradient_alignment.T:
        if not np.isfinite(curve_T).any():
            layers.append(None)
            continue
        points, curve, noise = _smoothed(curve_T)
        highest = int(curve.argmax())
        maximum, final = float(curve[highest]), float(curve[-1])
        aligns = maximum >= LEAST_ALIGNMENT
        half = _crossing(steps, points, curve, maximum / 2) if aligns else None
        most = _crossing(steps, points, curve, 0.9 * maximum) if aligns else None
        layers.append(
            LayerPhases(
                maximum=maximum,
                maximum_step=int(steps[points[highest]]),
                aligned_at_step=None if half is None else int(steps[half.point]),
                half_step=None if half is None else half.step,
                most_step=None if most is None else most.step,
                final=final,
                declines=maximum - final >= max(LEAST_DECLINE * maximum, NOISES * noise) if aligns else None,
                aligns_first=None if half is None or fallen is None else half.place <= fallen.place + 1,
            )
        )
        places.append(None if half is None else half.place)
    return TrialPhases(
        loss_halved_at_step=None if fallen is None else int(steps[fallen.point]),
        loss_half_step=None if fallen is None else fallen.step,
        sequential=in_order(places),
        layers=tuple(layers),
    )


def in_order(places: Sequence[float | None]) -> bool | None:
    """Whether times, in trace intervals, do not decrease by more than one, and the last is later than the first."""
    known = [place for place in places if place is not None]
    if len(known) < 2 or len(known) < len(places):
        return None
    return known[-1] > known[0] and all(above >= below - 1 for below, above in pairwise(known))


def smooth(curve: Curve, *, ends: bool = True) -> tuple[Curve, float]:
    """Running median of three, and the standard deviation of the noise that it takes away.

    `ends`: the first and the last value by Tukey's rule, the median of the value, its smoothed neighbour, and what the
    two smoothed neighbours lead to; else they stay.
    """
    if len(curve) < _FEW:
        return curve, 0.0
    smoothed = curve.copy()
    smoothed[1:-1] = _median(curve[:-2], curve[1:-1], curve[2:])
    if ends:
        for end, one, two in ((0, 1, 2), (-1, -2, -3)):
            smoothed[end] = _median(curve[end], smoothed[one], 3 * smoothed[one] - 2 * smoothed[two])
    return smoothed, float(np.abs(curve - smoothed).mean()) / _RESIDUAL


def _fall(steps: Steps, loss_T: Curve) -> _Crossing | None:
    """Where half of the fall of the loss is done. Its ends stay as they are: it may fall within one trace interval, and
    a loss is a mean over many samples."""
    if not np.isfinite(loss_T).any():
        return None
    points, loss, noise = _smoothed(loss_T, ends=False)
    first, lowest = float(loss[0]), float(loss.min())
    if first <= lowest or first - lowest < max(LEAST_FALL * abs(first), NOISES * noise):
        return None
    return _crossing(steps, points, -loss, -(first + lowest) / 2)


def _smoothed(curve_T: Curve, *, ends: bool = True) -> tuple[Points, Curve, float]:
    """The trace points at which the curve is defined, the smooth curve there, and the noise."""
    points = np.flatnonzero(np.isfinite(curve_T))
    return points, *smooth(curve_T[points], ends=ends)


def _crossing(steps: Steps, points: Points, curve: Curve, level: float) -> _Crossing:
    """The first at or above the level, which the curve reaches."""
    i = int((curve >= level).argmax())
    point = int(points[i])
    if i == 0:
        return _Crossing(point, float(steps[point]), float(point))
    x_T = np.log1p(steps)
    before, after = x_T[points[i - 1]], x_T[point]
    x = before + (level - curve[i - 1]) / (curve[i] - curve[i - 1]) * (after - before)
    return _Crossing(point, min(float(np.expm1(x)), float(steps[point])), float(np.interp(x, x_T, np.arange(len(x_T)))))


def _median(a: Curve, b: Curve, c: Curve) -> Curve:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
