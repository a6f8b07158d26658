"""The equations of online learning: against Monte Carlo, an independent solution, scipy, and what is known exactly."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erf

from workers.theory import dop853, expansion, linear, odes
from workers.theory.alignment import gradient_alignment
from workers.theory.integrals import INTEGRALS
from workers.theory.odes import Dynamics, OrderParameters

REFERENCE = Path("/work/shared/reference")
G: dict[str, Any] = {
    "erf": (lambda z: erf(z / np.sqrt(2)), lambda z: np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2)),
    "linear": (lambda z: z, np.ones_like),
}
K = M = 2


def students(
    activation: str = "erf", *, members: int = 3, k: int = K, m: int = M, size: float = 0.1, seed: int = 0, **more: Any
) -> tuple[Dynamics, OrderParameters]:
    """Members of independent weights of this size at N = 500, with teachers and feedback of size 1."""
    generator = np.random.default_rng(seed)
    w = size * generator.normal(size=(members, k, 500))
    B = generator.normal(size=(members, m, 500))
    feedback = generator.normal(size=(members, k))
    parts = {"T": B @ B.swapaxes(1, 2) / 500, "A": generator.normal(size=(members, m)), "F": feedback, "lr": 0.3}
    initial = OrderParameters(
        Q=w @ w.swapaxes(1, 2) / 500, R=w @ B.swapaxes(1, 2) / 500, v=size * generator.normal(size=(members, k))
    )
    return Dynamics.online(activation, **{**parts, **more}), initial


def relative(found: Any, expected: Any) -> float:
    """Largest difference over the largest expected number."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# --- integrals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["erf", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_integrals_are_averages_over_gaussian_fields(activation: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(K + M, K + M))
    z = generator.normal(size=(200_000, K + M)) @ root.T
    C, integrals = (root @ root.T)[None], INTEGRALS[activation]
    function, slope = G[activation]
    g, s = function(z), slope(z[:, :K])

    def check(exact: Any, left: Any, right: Any) -> None:
        """E[left_i right_j] for all i and j, within four standard errors."""
        mean = left.T @ right / len(z)
        error = np.sqrt(((left**2).T @ (right**2) / len(z) - mean**2) / len(z))
        assert (np.abs(np.reshape(exact, mean.shape) - mean) <= 4 * error + 1e-12).all()

    def products(a: Any, b: Any) -> Any:
        return (a[:, :, None] * b[:, None, :]).reshape(len(z), -1)

    check(integrals.I2(C)[0], g, g)
    check(integrals.I3(C, K)[0], s, products(z, g))
    check(integrals.I4(C, K)[0], products(s, s), products(g, g))
    check(integrals.J2(C)[0, :K, :K], s, s)


def test_integrals_of_small_erf_fields_are_those_of_a_linear_network() -> None:
    """erf(z / sqrt 2) = sqrt(2 / pi) z for small z."""
    C, gain = 1e-8 * np.array([[[2.0, 0.3, -0.5], [0.3, 1.0, 0.2], [-0.5, 0.2, 3.0]]]), 2 / np.pi
    small, exact = INTEGRALS["erf"], INTEGRALS["linear"]
    assert relative(small.I2(C), gain * exact.I2(C)) < 1e-7
    assert relative(small.I3(C, 2), gain * exact.I3(C, 2)) < 1e-7
    assert relative(small.I4(C, 2), gain**2 * exact.I4(C, 2)) < 1e-7
    assert relative(small.J2(C), gain * exact.J2(C)) < 1e-7


@pytest.mark.parametrize("activation", ["erf", "linear"])
def test_gradient_alignment_is_the_mean_cosine_of_the_deltas(activation: str) -> None:
    generator = np.random.default_rng(5)
    root, v, F = generator.normal(size=(3, 3)), generator.normal(size=3), generator.normal(size=3)
    slopes = G[activation][1](generator.normal(size=(200_000, 3)) @ root.T)
    a, b = F * slopes, v * slopes
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    [found] = gradient_alignment(activation, (root @ root.T)[None], v[None], F[None])
    assert found == pytest.approx(cosine.mean(), abs=4 * cosine.std() / 200_000**0.5 + 5e-3)
    [opposite] = gradient_alignment(activation, (root @ root.T)[None], -2 * F[None], F[None])
    assert opposite == pytest.approx(-1)


# --- the equations ----------------------------------------------------------------------------------------------------


def reference(rule: str) -> tuple[dict[str, Any], Dynamics, OrderParameters]:
    """A curve of independent code, and where it starts. Skips where it is not at hand."""
    path = REFERENCE / f"ode_{rule}_erf_K2_M2.json"
    if not path.exists():
        pytest.skip(f"no reference curves at {path}")
    curve = json.loads(path.read_text())
    at_first = {name: np.array(value)[None] for name, value in curve["initial"].items()}
    dynamics = Dynamics.online(
        "erf",
        T=at_first["T"],
        A=at_first["A"],
        F=at_first["F"] if rule == "dfa" else None,
        lr=curve["learning_rate"],
        noise=curve["label_noise_std"],
    )
    return curve, dynamics, OrderParameters(Q=at_first["Q"], R=at_first["R"], v=at_first["v"])


@pytest.mark.parametrize("rule", ["bp", "dfa"])
def test_the_reference_curves_are_met(rule: str) -> None:
    """As far as their integrator goes, Euler's: its error is all that is seen here."""
    curve, dynamics, initial = reference(rule)
    found = odes.solve(dynamics, initial, curve["t"])
    assert np.abs(found.generalisation_error[0] / np.array(curve["generalisation_error"]) - 1).max() < 8e-4
    upper = np.triu_indices(2)
    assert relative(found.R[0].reshape(-1, 4), np.array(curve["R"])) < 2e-4
    assert relative(found.Q[0][:, *upper], np.array(curve["Q_upper"])) < 2e-4
    assert relative(found.v[0], np.array(curve["v"])) < 2e-4


@pytest.mark.parametrize("rule", ["bp", "dfa"])
def test_their_integrator_with_our_equations_gives_their_digits(rule: str) -> None:
    curve, dynamics, initial = reference(rule)
    flat, steps = initial.flat(), 0
    for t, error in zip(curve["t"], curve["generalisation_error"], strict=True):
        if t > 20:
            break
        while steps < round(200 * t):
            flat, steps = flat + dynamics.derivative(flat) / 200, steps + 1
        assert dynamics.generalisation_error(dynamics.order(flat))[0] == pytest.approx(error, rel=5e-6)


def test_feedback_that_equals_the_readout_is_backpropagation() -> None:
    _, initial = students(noise=0.2)
    fed, _ = students(F=initial.v, noise=0.2)
    true, _ = students(F=None, noise=0.2)
    assert (fed.derivative(initial.flat()) == true.derivative(initial.flat())).all()
    assert not (students()[0].derivative(initial.flat()) == true.derivative(initial.flat())).all()


@pytest.mark.parametrize(("activation", "lr"), [("erf", 0.5), ("linear", 0.1)])
@pytest.mark.parametrize("F", [{"F": None}, {}], ids=["bp", "dfa"])
@pytest.mark.parametrize(("k", "m"), [(3, 2), (1, 2)])
def test_the_solution_is_scipys(activation: str, lr: float, F: dict[str, Any], k: int, m: int) -> None:
    dynamics, initial = students(activation, k=k, m=m, lr=lr, noise=0.1, **F)
    times = [0.5, 5.0, 60.0]
    found = odes.solve(dynamics, initial, times)
    for member in range(3):
        chosen = np.array([member])
        own = dynamics.select(chosen)
        exact = solve_ivp(
            lambda _, y, own=own: own.derivative(y[None])[0],
            (0, 60),
            initial.flat()[member],
            method="DOP853",
            t_eval=times,
            rtol=1e-12,
            atol=1e-14,
        ).y.T
        assert relative(np.concatenate([found.Q[member], found.R[member]], axis=2).ravel(), _joined(own, exact)) < 1e-7
        assert relative(found.v[member], exact[:, -k:]) < 1e-7
        error = own.generalisation_error(own.order(exact[-1:]))
        assert found.generalisation_error[member, -1] == pytest.approx(error[0], abs=1e-9)


def _joined(dynamics: Dynamics, flat: Any) -> Any:
    orders = [dynamics.order(point[None]) for point in flat]
    return np.concatenate([np.concatenate([order.Q, order.R], axis=2) for order in orders]).ravel()


def test_a_learned_teacher_is_a_fixed_point_whatever_the_signs() -> None:
    """(w_k, v_k) -> (-w_k, -v_k) is a symmetry of odd activations."""
    dynamics, _ = students()
    signs = np.array([1.0, -1.0])
    learned = OrderParameters(
        Q=dynamics.T * signs[:, None] * signs, R=dynamics.T * signs[:, None], v=dynamics.A * signs
    )
    assert np.abs(dynamics.derivative(learned.flat())).max() < 1e-15
    assert np.abs(dynamics.generalisation_error(learned)).max() < 1e-15


def test_gradient_flow_is_the_limit_of_small_rates() -> None:
    flow, initial = students(lr=1.0, gradient_flow=True)
    [limit] = odes.solve(flow, initial, [5.0]).generalisation_error.T
    gaps = []
    for lr in (0.02, 0.01):
        online, _ = students(lr=lr)
        [curve] = odes.solve(online, initial, [5.0 / lr]).generalisation_error.T
        gaps.append(np.abs(curve - limit))
    assert (gaps[1] < 0.6 * gaps[0]).all()
    assert (gaps[1] < 0.02 * limit).all()


def test_what_blows_up_or_is_stiff_stops_and_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """dy/dt = y^2 is infinite at t = 1 / y(0); dy/dt = -1e9 y takes steps of a few 1e-9."""
    monkeypatch.setattr(dop853, "MAX_STEPS", 500)

    def derivative(y: Any, members: Any) -> Any:
        return np.array([1.0, 1.0, -1e9, 1.0])[members, None] * y ** np.array([2, 2, 1, 2])[members, None]

    y = np.array([[0.5], [1e-3], [1.0], [0.0]])
    members = dop853.Trajectories(derivative, y)
    assert members.advance(10.0)
    assert members.finite.tolist() == [False, True, True, True]
    assert members.stiff.tolist() == [False, False, True, False]
    assert members.arrived(10.0).tolist() == [False, True, False, True]
    assert members.t[0] == pytest.approx(2.0)
    assert members.y[[1, 3], 0] == pytest.approx([1 / (1000 - 10), 0])
    alone = dop853.Trajectories(lambda y, _: y**2, y[[1, 3]])
    alone.advance(10.0)
    assert (alone.y == members.y[[1, 3]]).all()


# --- early times, linear networks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["erf", "linear"])
def test_the_early_expansion_is_exact_to_third_order(activation: str) -> None:
    dynamics, initial = students(activation, size=1e-7, noise=0.3)
    errors = []
    for t in (0.02, 0.01):
        found, expected = odes.solve(dynamics, initial, [t]), expansion.early(dynamics, initial, t)
        errors.append([np.abs(found.Q[:, 0] - expected.Q), np.abs(found.v[:, 0] - expected.v)])
        assert relative(found.v[:, 0], expected.v) < 0.02
        assert relative(found.Q[:, 0], expected.Q) < 0.02
        assert relative(found.R[:, 0], expected.R) < 0.02
    for coarse, fine in zip(*errors, strict=True):  # half the time: an eighth of what is left out of v, a quarter of Q
        assert fine.max() < 0.3 * coarse.max()


def test_the_readout_aligns_before_anything_is_learned() -> None:
    dynamics, initial = students(members=20, size=1e-3, A=np.ones((20, 2)), lr=0.1)
    t = 3.0
    expected, found = expansion.early(dynamics, initial, t), odes.solve(dynamics, initial, [0.0, t])
    assert dynamics.F is not None
    assert odes.readout_alignment(found.v[:, 1], dynamics.F) == pytest.approx(
        odes.readout_alignment(expected.v, dynamics.F), abs=0.02
    )
    assert np.median(odes.readout_alignment(found.v[:, 1], dynamics.F)) > 0.99
    assert np.median(found.generalisation_error[:, 1] / found.generalisation_error[:, 0]) > 0.9


def test_feedback_breaks_the_symmetry_that_backpropagation_leaves_to_the_start() -> None:
    """Of the 2^K solutions, direct feedback alignment takes that of the feedback's signs, and leaves the first plateau
    earlier (Refinetti et al. 2021, Sec. 2)."""
    members, times = 20, [0.0, *np.geomspace(1, 600, 40)]
    same = {"members": members, "size": 0.01, "A": np.ones((members, 2)), "lr": 0.2}
    F = np.tile([1.0, -0.8], (members, 1))
    curves = {}
    for rule, feedback in (("dfa", F), ("bp", None)):
        dynamics, initial = students(**same, F=feedback)
        curves[rule] = odes.solve(dynamics, initial, times)
    signs = {rule: np.sign(curve.v[:, -1]) for rule, curve in curves.items()}
    assert (signs["dfa"] == np.sign(F)).all()
    assert len(np.unique(signs["bp"], axis=0)) == 4
    half = {}
    for rule, curve in curves.items():
        error = curve.generalisation_error
        assert (error[:, -1] < 0.1 * error[:, 0]).all()
        half[rule] = np.array(times)[(error < 0.5 * error[:, :1]).argmax(1)]
    assert (half["bp"] > 1.5 * half["dfa"]).all()
    assert np.median(half["bp"]) > 2 * np.median(half["dfa"])


@pytest.mark.parametrize("F", [{"F": None}, {}], ids=["bp", "dfa"])
def test_linear_networks_conserve_what_ties_the_layers_together(F: dict[str, Any]) -> None:
    dynamics, initial = students("linear", size=0.5, gradient_flow=True, **F)
    found = odes.solve(dynamics, initial, [0.0, 1.0, 10.0, 100.0])
    points = [OrderParameters(Q=found.Q[:, s], R=found.R[:, s], v=found.v[:, s]) for s in range(4)]
    kept = [linear.conserved(dynamics, point) for point in points]
    assert max(np.abs(later - kept[0]).max() for later in kept) < 1e-8
    assert np.abs(points[-1].Q - points[0].Q).max() > 0.1


def test_from_zero_weights_feedback_alignment_ends_in_its_fixed_point() -> None:
    """w = F a^T, v = F |a|^2 / (2 N), and |a|^3 = 2 |b| N / |F|^2 in the end; backpropagation does not move."""
    dynamics, initial = students("linear", size=0.0, gradient_flow=True)
    found, expected = odes.solve(dynamics, initial, [1.0, 2000.0]), linear.fixed_point(dynamics)
    assert dynamics.F is not None
    assert odes.readout_alignment(found.v[:, 0], dynamics.F) == pytest.approx([1, 1, 1], abs=1e-9)
    assert relative(found.Q[:, 1], expected.Q) < 1e-7
    assert relative(found.R[:, 1], expected.R) < 1e-7
    assert relative(found.v[:, 1], expected.v) < 1e-7
    assert (found.generalisation_error[:, 1] < 1e-9).all()
    still, _ = students("linear", size=0.0, gradient_flow=True, F=None)
    assert not odes.solve(still, initial, [1.0]).Q.any()
