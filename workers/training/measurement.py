"""One trace point of a pack: what every trial's loss, accuracy, alignment and order parameters are now."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.domain.footprint import EVALUATION_BATCH
from services.domain.results import MetricColumns, OrderColumns, TraceColumns
from services.domain.spec import TrialSpec
from workers.training import alignment, committee, losses
from workers.training.alignment import LayerAlignment
from workers.training.data.sources import Online, Samples, Source
from workers.training.directions import Directions
from workers.training.network import Network, Signals
from workers.training.rules import DirectFeedbackAlignment, FeedbackAlignment, Rule


@dataclass(frozen=True, kw_only=True)
class TracePoint:
    """Rows of some trials, and which of them are finite, (P,) bool."""

    metrics: MetricColumns
    traces: TraceColumns
    orders: OrderColumns | None
    finite: npt.NDArray[np.bool_]

    def without(self, gone: Sequence[int]) -> "TracePoint":
        """The same without the rows of these trials."""
        stays = ~np.isin(self.metrics.trial_id, gone)
        return TracePoint(
            metrics=self.metrics.select(stays),
            traces=self.traces.select(~np.isin(self.traces.trial_id, gone)),
            orders=None if self.orders is None else self.orders.select(~np.isin(self.orders.trial_id, gone)),
            finite=self.finite[stays],
        )

    @classmethod
    def concatenate(cls, parts: "Sequence[TracePoint]") -> "TracePoint":
        """The rows of all parts, in order."""
        orders = [part.orders for part in parts if part.orders is not None]
        return cls(
            metrics=MetricColumns.concatenate([part.metrics for part in parts]),
            traces=TraceColumns.concatenate([part.traces for part in parts]),
            orders=OrderColumns.concatenate(orders) if orders else None,
            finite=np.concatenate([part.finite for part in parts]),
        )


def trace_point(
    trials: Sequence[TrialSpec],
    ids: Sequence[int],
    step: int,
    *,
    network: Network,
    rule: Rule,
    directions: Directions,
    source: Source,
    update_norm_PL: Tensor,
) -> TracePoint:
    """Measure trials after `step` updates. `update_norm_PL`: norms of the last update of each layer."""
    config, depth = trials[0].config, network.depth
    train = evaluate(network, source.train, config.train.loss, config.trace.evaluate_on)
    test = evaluate(network, source.test, config.train.loss, config.trace.evaluate_on)
    aligned = _alignment(trials, step, network, rule, directions, source)
    orders = _orders(trials, network, rule, source)
    finite = torch.isfinite(aligned.weight_norm).all(1)
    whole = np.array(ids, dtype=np.int64)
    return TracePoint(
        metrics=MetricColumns(
            trial_id=whole,
            step=np.full(len(whole), step, dtype=np.int64),
            epoch=np.full(len(whole), step / source.steps_per_epoch),
            train_loss=_numpy(train[0]),
            train_accuracy=_numpy(train[1]),
            test_loss=_numpy(test[0]),
            test_accuracy=_numpy(test[1]),
            weight_alignment=_numpy(aligned.total_weight_alignment),
            weight_alignment_scaled=_numpy(aligned.total_weight_alignment_scaled),
            gradient_alignment=_numpy(aligned.total_gradient_alignment),
            gradient_alignment_published=_numpy(aligned.total_gradient_alignment_published),
            generalisation_error=_exact_errors(trials, orders),
        ),
        traces=TraceColumns(
            trial_id=whole.repeat(depth),
            step=np.full(len(whole) * depth, step, dtype=np.int64),
            layer=np.tile(np.arange(1, depth + 1), len(whole)),
            weight_alignment=_numpy(aligned.weight_alignment),
            gradient_alignment=_numpy(aligned.gradient_alignment),
            weight_gradient_alignment=_numpy(aligned.weight_gradient_alignment),
            delta_norm_ratio=_numpy(aligned.delta_norm_ratio),
            weight_norm=_numpy(aligned.weight_norm),
            update_norm=_numpy(update_norm_PL),
            delta_effective_rank=_numpy(aligned.delta_effective_rank),
            alignment_condition=_numpy(aligned.alignment_condition),
            alignment_identity=_numpy(aligned.alignment_identity),
            alignment_residual=_numpy(aligned.alignment_residual),
        ),
        orders=committee.rows(ids, step, orders) if orders else None,
        finite=finite.cpu().numpy(),
    )


def evaluate(network: Network, samples: Samples, loss: str, wanted: int | str) -> tuple[Tensor, Tensor]:
    """Mean loss and accuracy of every trial on the first `wanted` samples, or on all for `full`, each (P,)."""
    n = min(len(samples), wanted) if isinstance(wanted, int) else len(samples)
    p = len(samples.y)
    like = network.parameters[1][0]
    loss_P, correct_P = like.new_zeros(p), like.new_zeros(p)
    for start in range(0, n, EVALUATION_BATCH):
        x_PBI, y = samples.part(slice(start, min(n, start + EVALUATION_BATCH)))
        output_PBC = network.outputs(x_PBI)
        loss_P += losses.per_sample_loss(loss, output_PBC, y).sum(1)
        correct_P += losses.correct(output_PBC, y).sum(1)
    return loss_P / n, correct_P / n


def evaluation_batches(samples: int, wanted: int | str) -> list[int]:
    """Sizes of the batches that `evaluate` forms."""
    n = min(samples, wanted) if isinstance(wanted, int) else samples
    return [size for size in (min(n, EVALUATION_BATCH), n % EVALUATION_BATCH) if size]


def update_norms(network: Network, before: Network | None) -> Tensor:
    """Norm of what the weights of every layer have changed by, (P, L); NaN without a before."""
    if before is None:
        like = network.parameters[1][0]
        return like.new_full((len(like), network.depth), torch.nan)
    changes = [
        alignment.total_norm([new - old for new, old in zip(network.weights(l), before.weights(l), strict=True)])
        for l in range(1, network.depth + 1)
    ]
    return torch.stack(changes, dim=1)


def _alignment(
    trials: Sequence[TrialSpec], step: int, network: Network, rule: Rule, directions: Directions, source: Source
) -> LayerAlignment:
    """Rule against backpropagation on the samples that the configuration names."""
    config = trials[0].config
    match config.trace.alignment_on:
        case "probe":
            x_PBI, y = source.train.part(slice(config.trace.probe))
        case "next_batch":
            x_PBI, y = source.batch(step)
        case "last_batch" | "paper":
            x_PBI, y = source.batch(max(0, step - 1))
    passed = network.forward(x_PBI)
    target_PBC = losses.target(passed.output_PBC, y)
    signals = Signals(passed, losses.error(config.train.loss, passed.output_PBC, y), target_PBC, step)
    return alignment.measure(network, rule, signals, directions, paper=config.trace.alignment_on == "paper")


def _orders(
    trials: Sequence[TrialSpec], network: Network, rule: Rule, source: Source
) -> list[committee.OrderParameters]:
    """Order parameters of every trial of a committee; nothing for other models."""
    if trials[0].config.model.kind != "committee" or not isinstance(source, Online):
        return []
    W_PNK, v_PK1 = (network.parameters[l][0].double().cpu().numpy() for l in (1, 2))
    F_PK: npt.NDArray[np.float64] | None
    match rule:
        case DirectFeedbackAlignment(F):
            F_PK = F[1][:, 0].double().cpu().numpy()
        case FeedbackAlignment(B):
            F_PK = B[2][:, :, 0].double().cpu().numpy()
        case _:
            F_PK = None
    return [
        committee.order_parameters(trial, teacher, W_PNK[p].T, v_PK1[p, :, 0], None if F_PK is None else F_PK[p])
        for p, (trial, teacher) in enumerate(zip(trials, source.teachers, strict=True))
    ]


def _exact_errors(trials: Sequence[TrialSpec], orders: Sequence[committee.OrderParameters]) -> npt.NDArray[np.float64]:
    """Generalisation error of students whose teacher has the same activation, NaN for others, (P,)."""
    errors = np.full(len(trials), np.nan)
    for p, (trial, order) in enumerate(zip(trials, orders, strict=False)):
        if trial.config.data.teacher.activation == trial.config.model.activation:
            errors[p] = committee.generalisation_error(order, trial.config.model.activation)
    return errors


def _numpy(x: Tensor) -> npt.NDArray[np.float64]:
    """Flat, in float64; what has overflowed is undefined."""
    x = x.double()
    return torch.where(torch.isfinite(x), x, torch.nan).cpu().numpy().reshape(-1)
