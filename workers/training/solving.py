"""Packs of model `theory`: equations of motion in place of training, reported in the same columns.

Each trial starts from the order parameters that a committee of its configuration and seed starts from: the same
streams give teacher, weights and feedback at the same input dimension N, in the same precision. Trace point s shows
the solution at t = s / N. All trials of a pack are solved in one batch; the numbers of each are its own. A pack that is
interrupted starts again, which takes seconds.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.domain.architecture import architecture
from services.domain.results import MetricColumns, Outcome, TraceColumns
from services.domain.schedule import total_steps, trace_steps
from services.domain.spec import TrialConfig, TrialSpec
from services.domain.states import Reason
from workers.theory import odes
from workers.theory.alignment import gradient_alignment
from workers.theory.integrals import INTEGRALS
from workers.theory.odes import Dynamics, weighted
from workers.training import committee
from workers.training.data.random import Teacher
from workers.training.feedback import draw_backward, draw_direct
from workers.training.initial import draw_parameters
from workers.training.progress import Progress

Array = npt.NDArray[np.float64]

_ROUNDS_BETWEEN_LOOKS = 64


def solve(
    trials: Sequence[TrialSpec],
    trial_ids: Sequence[int],
    *,
    dropped: Callable[[], Collection[int]] = frozenset,
) -> Iterator[Progress]:
    """The theory of these trials, one Progress per trace point; what is dropped leaves without an outcome.

    A trial diverges where its solution blows up. One whose rates are too large for its time fails as a user's error.
    """
    config, ids = trials[0].config, np.array(trial_ids, dtype=np.int64)
    total, inputs = total_steps(config), config.data.input_count
    starts = [initial_order(trial) for trial in trials]
    dynamics = _dynamics(trials, starts)
    members = odes.start(dynamics, _initial(starts, dynamics))
    stays, before = np.ones(len(trials), dtype=np.bool_), 0
    for step in trace_steps(total, config.trace.points_per_decade):
        time, arrived = step / inputs, False
        while not arrived:
            stays &= ~np.isin(ids, list(dropped()))
            arrived = members.advance(time, stays, rounds=_ROUNDS_BETWEEN_LOOKS)
        if not stays.any():
            return
        lost = stays & ~members.arrived(time)
        outcomes = [_lost(ids[slot], step, stiff=bool(members.stiff[slot])) for slot in np.flatnonzero(lost)]
        stays &= ~lost
        if step == total:
            outcomes += [Outcome(trial_id=int(id_), reason=Reason.COMPLETED, steps=total) for id_ in ids[stays]]
        slots = np.flatnonzero(stays)
        yield _point(
            config,
            ids[slots],
            step,
            dynamics.select(slots),
            dynamics.select(slots).order(members.y[slots]),
            [starts[slot] for slot in slots],
            outcomes,
            model_steps=(step - before) * int(stays.sum() + lost.sum()),
        )
        before = step


def initial_order(trial: TrialSpec) -> committee.OrderParameters:
    """Of the trial's committee before its first step: from weights and feedback in single precision, as it has them."""
    network = architecture(trial.config)
    drawn = draw_parameters(trial, network)
    weights = [layer[0] for layer in drawn]
    match trial.config.rule.name:
        case "dfa":
            F = draw_direct(trial, network, weights)[0][0]
        case "fa":
            F = draw_backward(trial, network, weights)[0][:, 0]
        case _:
            F = None
    W, v = (_single(matrix) for matrix in weights)
    return committee.order_parameters(trial, Teacher.of(trial), W.T, v[:, 0], None if F is None else _single(F))


def _single(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def _dynamics(trials: Sequence[TrialSpec], starts: Sequence[committee.OrderParameters]) -> Dynamics:
    """What is constant. Teachers of fewer units than others of the pack have units without output in addition."""
    config, p = trials[0].config, len(trials)
    most = max(len(start.A) for start in starts)
    T, A = np.tile(np.eye(most), (p, 1, 1)), np.zeros((p, most))
    for slot, start in enumerate(starts):
        m = len(start.A)
        T[slot, :m, :m], A[slot, :m] = start.T, start.A
    match config.rule.name:
        case "bp":
            F = None
        case "shallow":
            F = np.zeros((p, config.model.hidden[0]))
        case _:
            F = np.stack([start.F for start in starts if start.F is not None])
    specs = [trial.config.train for trial in trials]
    batch = config.train.batch_size
    slope = 2.0 if config.train.loss == "mse" else 1.0
    eta = np.array([slope * spec.lr / (batch if spec.reduction == "mean" else 1) for spec in specs])
    return Dynamics(
        integrals=INTEGRALS[config.model.activation],
        T=T,
        A=A,
        F=F,
        drift=batch * eta,
        diffusion=batch * eta**2,
        noise=np.array([float(trial.config.data.noise) for trial in trials]),
    )


def _initial(starts: Sequence[committee.OrderParameters], dynamics: Dynamics) -> odes.OrderParameters:
    R = np.zeros((len(starts), len(starts[0].v), dynamics.A.shape[1]))
    for slot, start in enumerate(starts):
        R[slot, :, : len(start.A)] = start.R
    return odes.OrderParameters(
        Q=np.stack([start.Q for start in starts]), R=R, v=np.stack([start.v for start in starts])
    )


def _lost(trial_id: int, step: int, *, stiff: bool) -> Outcome:
    if stiff:
        error = f"the equations are stiff: no step {step:,} within the steps of the integrator; lr is too large"
        return Outcome(trial_id=int(trial_id), reason=Reason.USER_ERROR, error=error)
    return Outcome(trial_id=int(trial_id), reason=Reason.DIVERGED, steps=step, diverged_at_step=step)


def _point(
    config: TrialConfig,
    ids: npt.NDArray[np.int64],
    step: int,
    dynamics: Dynamics,
    order: odes.OrderParameters,
    starts: Sequence[committee.OrderParameters],
    outcomes: list[Outcome],
    *,
    model_steps: int,
) -> Progress:
    """Rows of some trials, with what is undefined for a committee undefined here too. Legend of suffixes: P trials,
    K hidden units."""
    p = len(ids)
    undefined_P = np.full(p, np.nan)
    name, activation = config.rule.name, config.model.activation
    error_P = dynamics.generalisation_error(order)
    loss_P = 2 * error_P if config.train.loss == "mse" else error_P
    F = dynamics.F if name in ("fa", "dfa") else None
    readout_P = undefined_P if F is None else odes.readout_alignment(order.v, F)
    gradient_P = undefined_P if F is None else gradient_alignment(activation, order.Q, order.v, F)
    squares = dynamics.squared_signals(order)
    rank_P = undefined_P if name == "shallow" else _effective_rank(squares, order.v if F is None else F)
    own_PK = np.diagonal(order.Q, axis1=1, axis2=2)
    norms = (config.data.input_count * weighted(own_PK, np.ones_like(own_PK)), weighted(order.v, order.v))
    # A_2 is a number, the readout's component along the feedback.
    along_P = readout_P if name == "dfa" else undefined_P
    return Progress(
        metrics=MetricColumns(
            trial_id=ids,
            step=np.full(p, step, dtype=np.int64),
            epoch=np.full(p, step / config.data.input_count),
            train_loss=loss_P,
            train_accuracy=undefined_P,
            test_loss=loss_P,
            test_accuracy=undefined_P,
            weight_alignment=readout_P,
            weight_alignment_scaled=readout_P,
            gradient_alignment=gradient_P,
            gradient_alignment_published=undefined_P,
            generalisation_error=error_P,
        ),
        traces=TraceColumns(
            trial_id=ids.repeat(2),
            step=np.full(2 * p, step, dtype=np.int64),
            layer=np.tile(np.arange(1, 3), p),
            weight_alignment=_layers(undefined_P, readout_P),
            gradient_alignment=_layers(gradient_P, undefined_P),
            weight_gradient_alignment=_layers(undefined_P, undefined_P),
            delta_norm_ratio=_layers(undefined_P if F is None else _norm_ratio(squares, F, order.v), undefined_P),
            weight_norm=_layers(*map(np.sqrt, norms)),
            update_norm=_layers(undefined_P, undefined_P),
            delta_effective_rank=_layers(rank_P, np.where(error_P > 0, 1.0, np.nan)),
            alignment_condition=_layers(undefined_P, np.where(np.abs(along_P) > 0, 1.0, np.nan)),
            alignment_identity=_layers(undefined_P, np.sign(along_P)),
            alignment_residual=_layers(undefined_P, _residual(order.v, F) if name == "dfa" else undefined_P),
        ),
        orders=committee.rows(ids.tolist(), step, _present(order, starts)) if p else None,
        outcomes=outcomes,
        model_steps=model_steps,
    )


def _norm_ratio(squares: Array, F: Array, v: Array) -> Array:
    """Root mean square of feedback alignment's deltas over that of backpropagation's, (P,)."""
    own_PK = np.diagonal(squares, axis1=1, axis2=2)
    rule, true = weighted(F * F, own_PK), weighted(v * v, own_PK)
    defined = (rule >= 0) & (true > 0)
    ratio: Array = np.sqrt(np.divide(rule, true, out=np.full(len(v), np.nan), where=defined))
    return ratio


def _residual(v: Array, F: Array | None) -> Array:
    """Largest entry of v - A_2 F over that of v, (P,), with the number A_2 that fits best."""
    assert F is not None
    along_P = np.divide(weighted(v, F), weighted(F, F), out=np.zeros(len(v)), where=weighted(F, F) > 0)
    off_P, largest_P = np.abs(v - along_P[:, None] * F).max(axis=1), np.abs(v).max(axis=1)
    residual: Array = np.divide(off_P, largest_P, out=np.full(len(v), np.nan), where=largest_P > 0)
    return residual


def _effective_rank(squares: Array, signal: Array) -> Array:
    """Participation ratio (tr G)^2 / norm(G)^2 of the deltas' second moments G, (P,)."""
    G = signal[:, :, None] * signal[:, None, :] * squares
    diagonal_PK = np.diagonal(G, axis1=1, axis2=2)
    ones_PK = np.ones_like(signal)
    trace, norm = weighted(diagonal_PK, ones_PK), weighted(weighted(G * G, ones_PK), ones_PK)
    defined = (trace > 0) & (norm > 0)
    rank: Array = np.divide(trace * trace, norm, out=np.full(len(signal), np.nan), where=defined)
    return rank


def _layers(first_P: Array, second_P: Array) -> Array:
    """A column of traces: both layers of one trial after the other."""
    return np.stack([first_P, second_P], axis=1).reshape(-1)


def _present(
    order: odes.OrderParameters, starts: Sequence[committee.OrderParameters]
) -> list[committee.OrderParameters]:
    """Of each trial now, without what was added to its teacher."""
    return [
        replace(start, Q=order.Q[p], R=order.R[p, :, : len(start.A)], v=order.v[p]) for p, start in enumerate(starts)
    ]
