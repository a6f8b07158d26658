"""Align, then memorise, detected in curves whose phases are known."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.phases import LEAST_ALIGNMENT, Curve, LayerPhases, Steps, TrialPhases, detect, in_order, smooth

NAN = math.nan


def log_steps(total: int = 100_000, per_decade: int = 8) -> Steps:
    """0 and log-spaced, as trials are traced."""
    points = round(math.log10(total) * per_decade) + 1
    return np.unique(np.round(np.concatenate([[0], np.geomspace(1, total, points)])).astype(np.int64))


def rise(steps: Steps, half: float, top: float = 0.7, slope: float = 2.0) -> Curve:
    """A sigmoid in log(1 + step) that is at half of its top at step `half`."""
    curve: Curve = top / (1 + np.exp(-slope * (np.log1p(steps) - np.log1p(half))))
    return curve


def fall(steps: Steps, half: float, first: float = 2.3, by: float = 1.8) -> Curve:
    return first - rise(steps, half, by)


def columns(*curves: Any) -> Curve:
    return np.stack([np.asarray(curve, np.float64) for curve in curves], axis=1)


def only(phases: TrialPhases) -> LayerPhases:
    [layer] = phases.layers
    assert layer is not None
    return layer


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_decade", [3, 8, 20])
@pytest.mark.parametrize("half", [20, 300, 4000])
def test_halves_are_found_between_trace_points(half: int, per_decade: int) -> None:
    steps = log_steps(per_decade=per_decade)
    found = detect(steps, columns(rise(steps, half)), fall(steps, 2 * half))
    layer = only(found)
    assert layer.maximum == pytest.approx(0.7, rel=0.01)
    assert layer.maximum_step == steps[-1]
    assert layer.half_step is not None
    assert layer.most_step is not None
    assert found.loss_half_step is not None
    intervals = per_decade * np.log10([layer.half_step, layer.most_step, found.loss_half_step])
    assert intervals == pytest.approx(per_decade * np.log10([half, half * math.sqrt(9), 2 * half]), abs=0.3)
    for step, point in ((layer.half_step, layer.aligned_at_step), (found.loss_half_step, found.loss_halved_at_step)):
        assert step is not None
        assert point == steps[np.searchsorted(steps, step)]


def test_few_trace_points_are_taken_as_they_are() -> None:
    found = detect(np.array([0, 1, 10, 100]), columns([0, 0.1, 0.4, 0.8]), np.array([2.0, 2.0, 1.9, 0.2]))
    layer = only(found)
    assert (layer.maximum, layer.maximum_step, layer.aligned_at_step, layer.half_step) == (0.8, 100, 10, 10)
    assert layer.most_step == pytest.approx(math.exp(np.interp(0.72, [0.4, 0.8], np.log([11, 101]))) - 1)
    assert found.loss_halved_at_step == 100
    assert (layer.declines, layer.aligns_first, found.sequential) == (False, True, None)


def test_one_trace_point_tells_nothing_of_the_loss() -> None:
    found = detect(np.array([0]), columns([0.5]), np.array([2.0]))
    assert (found.loss_half_step, only(found).half_step, only(found).aligns_first) == (None, 0, None)


def test_a_loss_that_falls_at_once_has_fallen() -> None:
    steps = log_steps()
    loss = np.full(len(steps), 0.1)
    loss[0] = 2.3
    found = detect(steps, columns(rise(steps, 100)), loss)
    assert found.loss_halved_at_step == 1
    assert only(found).aligns_first is False


# --- what is undefined ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "aligns"), [(0.09, False), (0.11, True)])
def test_a_layer_aligns_above_the_threshold_alone(top: float, aligns: bool) -> None:
    steps = log_steps()
    layer = only(detect(steps, columns(rise(steps, 100, top)), fall(steps, 1000)))
    values = (layer.half_step, layer.most_step, layer.aligned_at_step, layer.aligns_first, layer.declines)
    assert all(value is not None for value in values) == aligns
    assert any(value is not None for value in values) == aligns
    assert layer.maximum == pytest.approx(top, rel=0.01)


def test_layers_without_an_alignment_stay_undefined_and_the_loss_is_timed_all_the_same() -> None:
    steps = log_steps()
    nothing = np.full(len(steps), NAN)
    found = detect(steps, columns(nothing, nothing), fall(steps, 1000))
    assert found.layers == (None, None)
    assert found.loss_half_step == pytest.approx(1000, rel=0.03)
    assert found.sequential is None


def test_a_curve_counts_where_it_is_defined() -> None:
    """Gradient alignment of a network that starts from zero begins after some steps; here it lacks points later too."""
    steps = log_steps()
    curve = rise(steps, 300)
    curve[:3] = curve[20] = NAN
    assert only(detect(steps, columns(curve), fall(steps, 1000))).half_step == pytest.approx(300, rel=0.03)
    aligned = np.where(steps < 2, NAN, 0.9)
    layer = only(detect(steps, columns(aligned), fall(steps, 1000)))
    assert (layer.half_step, layer.aligned_at_step) == (pytest.approx(2), 2)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(lambda n: np.full(n, 2.3), id="constant"),
        pytest.param(lambda n: np.linspace(2.3, 2.29, n), id="less than 1 %"),
        pytest.param(lambda n: np.linspace(2.3, 5, n), id="rising"),
        pytest.param(lambda n: np.full(n, NAN), id="undefined"),
    ],
)
def test_without_a_fall_nothing_is_first(loss: Any) -> None:
    steps = log_steps()
    found = detect(steps, columns(rise(steps, 100)), loss(len(steps)))
    assert (found.loss_half_step, found.loss_halved_at_step, only(found).aligns_first) == (None, None, None)
    assert only(found).half_step is not None


# --- which comes first ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aligned", "fallen", "first"),
    [
        (100, 1000, True),
        (1000, 1000, True),
        (1300, 1000, True),  # less than one trace interval, of a factor of 1.33
        (1400, 1000, False),
        (1000, 100, False),
    ],
)
def test_one_trace_interval_is_a_tie(aligned: int, fallen: int, first: bool) -> None:
    steps = log_steps()
    assert only(detect(steps, columns(rise(steps, aligned)), fall(steps, fallen))).aligns_first is first


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ((1.0, 2.0, 3.0), True),
        ((1.0, 1.0, 1.1), True),
        ((2.0, 1.2, 2.1), True),  # the middle one within one interval
        ((2.0, 0.9, 2.1), False),
        ((1.0, 1.0, 1.0), False),  # not strictly later at the top
        ((3.0, 2.5, 2.0), False),
        ((1.0, None, 3.0), None),  # one does not align
        ((1.0,), None),
        ((), None),
    ],
)
def test_sequential_means_from_the_bottom_to_the_top(places: tuple[float | None, ...], expected: bool | None) -> None:
    assert in_order(places) is expected


def test_layers_of_a_trial_align_in_sequence_or_do_not() -> None:
    steps = log_steps()
    nothing = np.full(len(steps), NAN)
    upwards = [rise(steps, half) for half in (100, 200, 400)]
    assert detect(steps, columns(*upwards, nothing), fall(steps, 1000)).sequential is True
    assert detect(steps, columns(*upwards[::-1], nothing), fall(steps, 1000)).sequential is False


# --- decline ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "declines"), [(0.0, False), (0.02, False), (0.05, True), (0.3, True)])
def test_a_decline_is_a_twentieth_of_the_maximum(lost: float, declines: bool) -> None:
    steps = log_steps()
    curve = rise(steps, 100, 0.8, slope=4) - rise(steps, 10_000, lost, slope=4)
    layer = only(detect(steps, columns(curve), fall(steps, 1000)))
    assert layer.declines is declines
    assert layer.decline == pytest.approx(lost, abs=0.002)
    assert layer.final == pytest.approx(0.8 - lost, abs=0.002)
    assert 300 < layer.maximum_step < 10_000 or not lost


def test_a_stray_point_is_no_maximum_and_a_stray_end_is_no_decline() -> None:
    steps = log_steps()
    curve = rise(steps, 1000)
    curve[5], curve[-1] = 0.9, 0.1
    layer = only(detect(steps, columns(curve), fall(steps, 1000)))
    assert layer.maximum < 0.71
    assert layer.half_step == pytest.approx(1000, rel=0.03)
    assert layer.declines is False


# --- noise ------------------------------------------------------------------------------------------------------------


def test_smoothing_leaves_monotone_curves_alone_and_measures_noise() -> None:
    curve = rise(log_steps(), 300)
    smoothed, noise = smooth(curve)
    assert smoothed.tolist() == curve.tolist()
    assert noise == 0
    white = np.random.default_rng(0).normal(0, 0.03, 5000)
    smoothed, noise = smooth(white)
    assert noise == pytest.approx(0.03, rel=0.05)
    assert smoothed.std() < 0.7 * 0.03


@pytest.mark.parametrize("deviation", [0.01, 0.03, 0.05])
def test_noise_moves_times_by_less_than_a_trace_interval_or_two(deviation: float) -> None:
    steps, generator = log_steps(), np.random.default_rng(1)
    found = []
    for _ in range(200):
        curves = columns(*(rise(steps, half) for half in (100, 250, 600)))
        curves += generator.normal(0, deviation, curves.shape)
        found.append(detect(steps, curves, fall(steps, 3000) + generator.normal(0, deviation, len(steps))))
    layers = [layer for phases in found for layer in phases.layers if layer is not None]
    halves = np.log10([[layer.half_step for layer in phases.layers if layer] for phases in found])
    assert np.abs(halves - np.log10([100, 250, 600])).max() < 2 / 8
    assert np.abs(halves.mean(0) - np.log10([100, 250, 600])).max() < 0.5 / 8
    assert all(phases.sequential for phases in found)
    assert all(layer.aligns_first for layer in layers)
    assert np.mean([layer.declines for layer in layers]) < 0.02


@pytest.mark.parametrize("deviation", [0.01, 0.05, 0.1])
def test_noise_alone_is_neither_a_fall_nor_a_decline_nor_an_alignment(deviation: float) -> None:
    steps, generator = log_steps(), np.random.default_rng(2)
    falls, declines, aligned = 0, 0, 0
    for _ in range(500):
        flat = columns(np.full(len(steps), 0.6), np.zeros(len(steps)))
        flat += generator.normal(0, [deviation, min(deviation, LEAST_ALIGNMENT / 4)], flat.shape)
        found = detect(steps, flat, 2.3 + generator.normal(0, deviation, len(steps)))
        plateau, noise = found.layers
        assert plateau is not None
        assert noise is not None
        falls += found.loss_half_step is not None
        declines += plateau.declines is True
        aligned += noise.half_step is not None
    assert falls < 15
    assert declines < 15
    assert aligned < 15


# --- anything at all --------------------------------------------------------------------------------------------------

VALUES = st.one_of(st.floats(-1, 1), st.sampled_from([NAN, math.inf, -math.inf, 0.0, 1e300, -1e300]))


@st.composite
def trials(draw: st.DrawFn) -> tuple[Steps, Curve, Curve]:
    steps = sorted(draw(st.sets(st.integers(0, 10**7), max_size=30)))
    count = len(steps)
    curves = [draw(st.lists(VALUES, min_size=count, max_size=count)) for _ in range(draw(st.integers(1, 4)))]
    return (
        np.array(steps, np.int64),
        columns(*curves[:-1]) if curves[1:] else np.empty((count, 0)),
        np.array(curves[-1]),
    )


@given(trials())
@settings(deadline=None)
def test_whatever_was_measured_has_phases_that_fit_together(measured: tuple[Steps, Curve, Curve]) -> None:
    steps, aligned, loss = measured
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of the largest numbers
        found = detect(steps, aligned, loss)
    assert len(found.layers) == aligned.shape[1]
    assert (found.loss_half_step is None) == (found.loss_halved_at_step is None)
    assert found.loss_halved_at_step is None or found.loss_halved_at_step in steps
    for layer, curve in zip(found.layers, aligned.T, strict=True):
        assert (layer is None) == (not np.isfinite(curve).any())
        if layer is None:
            continue
        assert layer.maximum_step in steps
        assert layer.decline >= 0
        if layer.half_step is None or layer.most_step is None or layer.aligned_at_step is None:
            assert layer.maximum < LEAST_ALIGNMENT
            continue
        assert layer.half_step <= layer.most_step + 1e-9
        assert layer.most_step <= layer.maximum_step * (1 + 1e-9) + 1e-9
        assert layer.half_step <= layer.aligned_at_step * (1 + 1e-9) + 1e-9
        assert (layer.aligns_first is None) == (found.loss_half_step is None)


@given(trials(), st.integers(0, 3))
@settings(deadline=None)
def test_layers_do_not_depend_on_each_other(measured: tuple[Steps, Curve, Curve], number: int) -> None:
    steps, aligned, loss = measured
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        together = detect(steps, aligned, loss).layers[number : number + 1]
        assert detect(steps, aligned[:, number : number + 1], loss).layers == together
