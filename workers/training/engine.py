"""The packed trainer: the only training loop. Trials of one pack differ in seeds, learning rate, label noise and
feedback scale; everything else they share. A trial's numbers do not depend on its pack-mates.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.domain.packability import shared_configuration
from services.domain.results import MetricColumns, Outcome, TraceColumns
from services.domain.schedule import trace_steps
from services.domain.spec import TrialSpec
from services.domain.states import Reason
from workers.training import alignment, losses, products
from workers.training.alignment import WeightDirections
from workers.training.data import DataLibrary, Dataset, Split, noisy_labels
from workers.training.network import Network, draw_network
from workers.training.rules import Rule, draw_feedback, make_rule, raw_scales, select_rule
from workers.training.streams import Purpose, seed_of, stream

_EVALUATION_CHUNK = 500
_STEPS_BETWEEN_LOOKS = 64
_NEVER = 2**62


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What one trace point gives, for the trials still in the pack; `outcomes` are of those that ended at it."""

    metrics: MetricColumns
    traces: TraceColumns
    outcomes: list[Outcome]
    model_steps: int
    """Updates since the trace point before, summed over trials."""


def train(
    trials: Sequence[TrialSpec],
    trial_ids: Sequence[int],
    *,
    library: DataLibrary,
    device: torch.device,
    dropped: Callable[[], Collection[int]] = frozenset,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Progress]:
    """Train the pack, one Progress per trace point.

    `dropped` names trials that need not go on; they leave without an outcome. Raises DataUnavailable, and ValueError
    for trials that cannot share a pack.
    """
    _require_one_shape(trials)
    products.choose(0)
    pack = Pack.start(trials, trial_ids, library.load(trials[0].config.data), device, dtype)
    total = pack.config.train.epochs * pack.steps_per_epoch
    due = trace_steps(total, pack.config.trace.points_per_decade)[::-1]
    ended: list[Outcome] = []
    model_steps = 0
    products.choose(pack.smallest_product)
    for step in range(total + 1):
        if step == due[-1] or step % _STEPS_BETWEEN_LOOKS == 0:
            pack.keep([trial_id not in dropped() for trial_id in pack.ids])
            ended += pack.remove_diverged()
        if step == due[-1]:
            due.pop()
            metrics, traces, diverged = pack.trace_point(step)
            ended += diverged
            if step == total:
                ended += [Outcome(trial_id=id_, reason=Reason.COMPLETED, steps=total) for id_ in pack.ids]
            yield Progress(metrics=metrics, traces=traces, outcomes=ended, model_steps=model_steps)
            products.choose(pack.smallest_product)  # others may have chosen meanwhile
            ended, model_steps = [], 0
        if not pack.ids:
            break
        if step < total:
            pack.step(step)
            model_steps += len(pack.ids)
    if ended:
        metrics, traces, _ = pack.trace_point(total)
        yield Progress(metrics=metrics, traces=traces, outcomes=ended, model_steps=model_steps)


class Pack:
    """The state of a pack while it trains: every tensor has a leading axis over the trials that are still in it."""

    def __init__(
        self,
        *,
        trials: list[TrialSpec],
        ids: list[int],
        network: Network,
        rule: Rule,
        directions: WeightDirections,
        lr_P: Tensor,
        x_NI: Tensor,
        y_PN: Tensor,
        test: Split,
    ) -> None:
        self.trials = trials
        self.ids = ids
        self.config = trials[0].config
        self.network = network
        self.rule = rule
        self.directions = directions
        self.lr_P = lr_P
        self.x_NI = x_NI
        self.y_PN = y_PN
        self.test = test
        self.steps_per_epoch = math.ceil(len(x_NI) / self.config.train.batch_size)
        self._order_PN = torch.empty(0)
        self._bad_since_P = torch.full((len(ids),), _NEVER, device=x_NI.device)

    @classmethod
    def start(
        cls,
        trials: Sequence[TrialSpec],
        ids: Sequence[int],
        dataset: Dataset,
        device: torch.device,
        dtype: torch.dtype,
    ) -> "Pack":
        """Initial weights, feedback and labels, each from its named stream."""
        config = trials[0].config
        n = min(len(dataset.train.x_NI), config.data.train_samples or len(dataset.train.x_NI))
        widths = [dataset.train.x_NI.shape[1], *config.model.hidden, dataset.classes]
        network = draw_network(trials, widths, dtype).to(device)
        rule = make_rule(config.rule.name, [f.to(device) for f in draw_feedback(trials, widths, dtype)])
        return cls(
            trials=list(trials),
            ids=list(ids),
            network=network,
            rule=rule,
            directions=WeightDirections.of(rule, network.depth, raw_scales(trials, widths, dtype).to(device)),
            lr_P=torch.tensor([trial.config.train.lr for trial in trials], dtype=dtype, device=device),
            x_NI=dataset.train.x_NI[:n].to(device, dtype),
            y_PN=torch.stack([noisy_labels(trial, dataset.train.y_N[:n], dataset.classes) for trial in trials]).to(
                device
            ),
            test=Split(x_NI=dataset.test.x_NI.to(device, dtype), y_N=dataset.test.y_N.to(device)),
        )

    @property
    def smallest_product(self) -> int:
        """Multiplications in the smallest matrix product of one member: smallest batch, smallest layer."""
        trace, n = self.config.trace, len(self.x_NI)
        batches = [self.config.train.batch_size, n % self.config.train.batch_size, trace.probe, n]
        for split in (n, len(self.test.x_NI)):
            wanted = split if trace.evaluate_on == "full" else min(split, trace.evaluate_on)
            batches += [wanted, wanted % _EVALUATION_CHUNK]
        widths = [len(self.x_NI[0]), *self.config.model.hidden, self.network.W[-1].shape[-1]]
        smallest_layer = min(a * b for a, b in pairwise([*widths, min(widths)]))
        return min(batch for batch in batches if batch) * smallest_layer

    def step(self, step: int) -> None:
        """Update number `step` (from 0): the next batch of each trial's own order."""
        within = step % self.steps_per_epoch
        if within == 0:
            self._order_PN = self._orders(step // self.steps_per_epoch)
        size = self.config.train.batch_size
        chosen_PB = self._order_PN[:, within * size : (within + 1) * size]
        p, b = chosen_PB.shape
        x_PBI = self.x_NI.index_select(0, chosen_PB.reshape(-1)).view(p, b, -1)
        hs = self.network.forward(x_PBI)
        e_PBC = losses.error(self.config.train.loss, hs[-1], self.y_PN.gather(1, chosen_PB))
        self._watch(e_PBC, step)
        e_PBC.mul_((self.lr_P * losses.reduction_factor(self.config.train, b))[:, None, None])
        self.network.update(hs, self.network.deltas(self.rule, hs, e_PBC))

    def trace_point(self, step: int) -> tuple[MetricColumns, TraceColumns, list[Outcome]]:
        """Rows of all trials after `step` updates. Trials that turn out not finite leave, without a row."""
        train_PN = self._evaluate(self.x_NI, self.y_PN)
        test_PN = self._evaluate(self.test.x_NI, self.test.y_N.expand(len(self.ids), -1))
        aligned = self._alignment()
        finite_P = torch.isfinite(aligned.weight_norm).all(1) & torch.isfinite(train_PN[0]) & torch.isfinite(test_PN[0])
        keep = finite_P.tolist()
        diverged = [
            Outcome(trial_id=trial_id, reason=Reason.DIVERGED, steps=step, diverged_at_step=step)
            for trial_id, ok in zip(self.ids, keep, strict=True)
            if not ok
        ]
        ids = np.array(self.ids, dtype=np.int64)
        depth = self.network.depth
        size = self.config.train.batch_size
        factor = losses.reduction_factor(self.config.train, size) * size / min(self.config.trace.probe, len(self.x_NI))
        metrics = MetricColumns(
            trial_id=ids,
            step=np.full(len(ids), step, dtype=np.int64),
            epoch=np.full(len(ids), step / self.steps_per_epoch),
            train_loss=_numpy(train_PN[0]),
            train_accuracy=_numpy(train_PN[1]),
            test_loss=_numpy(test_PN[0]),
            test_accuracy=_numpy(test_PN[1]),
            weight_alignment=_numpy(aligned.total_weight_alignment),
            gradient_alignment=_numpy(aligned.total_gradient_alignment),
        )
        traces = TraceColumns(
            trial_id=ids.repeat(depth),
            step=np.full(len(ids) * depth, step, dtype=np.int64),
            layer=np.tile(np.arange(1, depth + 1), len(ids)),
            weight_alignment=_numpy(aligned.weight_alignment),
            gradient_alignment=_numpy(aligned.gradient_alignment),
            weight_gradient_alignment=_numpy(aligned.weight_gradient_alignment),
            delta_norm_ratio=_numpy(aligned.delta_norm_ratio),
            weight_norm=_numpy(aligned.weight_norm),
            update_norm=_numpy(aligned.gradient_norm * (self.lr_P * factor)[:, None]),
        )
        if diverged:
            finite = np.array(keep, dtype=bool)
            metrics, traces = metrics.select(finite), traces.select(finite.repeat(depth))
            self.keep(keep)
        return metrics, traces, diverged

    def remove_diverged(self) -> list[Outcome]:
        """The trials whose error was not finite at some step since the last look; they leave the pack."""
        since = self._bad_since_P.tolist()
        diverged = [
            Outcome(trial_id=trial_id, reason=Reason.DIVERGED, steps=step, diverged_at_step=step)
            for trial_id, step in zip(self.ids, since, strict=True)
            if step != _NEVER
        ]
        self.keep([step == _NEVER for step in since])
        return diverged

    def keep(self, wanted: Sequence[bool]) -> None:
        """Only these members stay; the numbers of those that stay do not change."""
        if all(wanted):
            return
        slots = [slot for slot, stays in enumerate(wanted) if stays]
        self.trials = [self.trials[slot] for slot in slots]
        self.ids = [self.ids[slot] for slot in slots]
        index = torch.tensor(slots, dtype=torch.long, device=self.lr_P.device)
        self.network = self.network.select(index)
        self.rule = select_rule(self.rule, index)
        self.directions = self.directions.select(index)
        self.lr_P = self.lr_P.index_select(0, index)
        self.y_PN = self.y_PN.index_select(0, index)
        self._bad_since_P = self._bad_since_P.index_select(0, index)
        if self._order_PN.numel():
            self._order_PN = self._order_PN.index_select(0, index)

    def _orders(self, epoch: int) -> Tensor:
        """Each trial's own order of the training samples in this epoch, (P, N)."""
        n = len(self.x_NI)
        orders = [
            stream(seed_of(trial, Purpose.DATA_ORDER), Purpose.DATA_ORDER, epoch).permutation(n)
            for trial in self.trials
        ]
        return torch.from_numpy(np.stack(orders)).to(self.x_NI.device)

    def _watch(self, e_PBC: Tensor, step: int) -> None:
        """Note the first step at which a trial's error is not finite, without waiting for the device."""
        fine_P = torch.isfinite(e_PBC.sum((1, 2)))
        self._bad_since_P = torch.where(fine_P, self._bad_since_P, self._bad_since_P.clamp(max=step))

    def _evaluate(self, x_NI: Tensor, y_PN: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of every trial on the first `evaluate_on` samples, each (P,)."""
        wanted = self.config.trace.evaluate_on
        n = len(x_NI) if wanted == "full" else min(wanted, len(x_NI))
        loss_P = torch.zeros_like(self.lr_P)
        correct_P = torch.zeros_like(self.lr_P)
        for start in range(0, n, _EVALUATION_CHUNK):
            part = slice(start, min(n, start + _EVALUATION_CHUNK))
            logits_PBC = self.network.forward(x_NI[part].expand(len(self.ids), -1, -1))[-1]
            y_PB = y_PN[:, part]
            loss_P += losses.per_sample_loss(self.config.train.loss, logits_PBC, y_PB).sum(1)
            correct_P += losses.correct(logits_PBC, y_PB).sum(1)
        return loss_P / n, correct_P / n

    def _alignment(self) -> alignment.LayerAlignment:
        """Rule against backpropagation on the probe: the first training samples, the same at every step."""
        n = min(self.config.trace.probe, len(self.x_NI))
        hs = self.network.forward(self.x_NI[:n].expand(len(self.ids), -1, -1))
        e_PBC = losses.error(self.config.train.loss, hs[-1], self.y_PN[:, :n])
        return alignment.measure(self.network, self.rule, hs, e_PBC, self.directions)


def _require_one_shape(trials: Sequence[TrialSpec]) -> None:
    if len({shared_configuration(trial.config) for trial in trials}) != 1:
        raise ValueError("these trials cannot share a pack: they differ in more than seeds, rates, noise and scale")


def _numpy(x: Tensor) -> npt.NDArray[np.float64]:
    """Flat, in float64."""
    return x.double().cpu().numpy().reshape(-1)
