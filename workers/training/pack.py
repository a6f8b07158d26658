"""The state of a pack while it trains: every tensor has a leading axis over the trials that are still in it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.domain.architecture import Architecture
from services.domain.footprint import measured_together
from services.domain.results import Outcome
from services.domain.spec import TrialConfig, TrialSpec
from services.domain.states import Reason
from workers.training import losses, measurement
from workers.training.activations import ACTIVATIONS
from workers.training.data.sources import Source
from workers.training.directions import Directions
from workers.training.feedback import raw_scales, stacked_feedback
from workers.training.initial import draw_parameters, stacked_parameters
from workers.training.layers import LINEAR, Layer, make_layer
from workers.training.measurement import TracePoint
from workers.training.network import Network, Signals
from workers.training.optimizers import Optimizer, make_optimizer, rate_factor
from workers.training.rules import Backprop, KolenPollack, Rule, Shallow, TargetProjection, WeightMirror, make_rule

_RING = 64
"""Steps whose errors are kept for a later look at whether they were finite."""


class Pack:
    """Trials in one batched program. Their numbers do not depend on each other."""

    def __init__(
        self,
        *,
        trials: list[TrialSpec],
        ids: list[int],
        architecture: Architecture,
        network: Network,
        rule: Rule,
        later_rule: Rule | None,
        directions: Directions,
        optimizer: Optimizer,
        source: Source,
    ) -> None:
        self.trials = trials
        self.ids = ids
        self.architecture = architecture
        self.network = network
        self.rule = rule
        self.later_rule = later_rule
        self.directions = directions
        self.optimizer = optimizer
        self.source = source
        self.step = 0
        """Updates made."""
        self._before: Network | None = None
        self._error_sums = network.parameters[1][0].new_zeros(_RING, len(ids))
        self._looked_until = 0
        self._set_rates()

    @classmethod
    def start(
        cls,
        trials: Sequence[TrialSpec],
        ids: Sequence[int],
        architecture: Architecture,
        source: Source,
        device: torch.device,
        dtype: torch.dtype,
    ) -> "Pack":
        """Initial weights and feedback, each from its named stream."""
        config = trials[0].config
        drawn = [draw_parameters(trial, architecture) for trial in trials]
        weights = [[layer[0] for layer in member] for member in drawn]
        network = Network(
            layers=_layers(architecture, config),
            parameters=[[p.to(device) for p in layer] for layer in stacked_parameters(drawn, dtype)],
            input_scale=architecture.input_scale,
        )
        feedback = [f.to(device) for f in stacked_feedback(trials, architecture, weights, dtype)]
        rule = make_rule(config.rule.name, feedback, trials)
        switch = config.rule.switch
        later_rule = make_rule(switch.to, feedback, trials) if switch else None
        scales_PL = raw_scales(trials, architecture, dtype).to(device)
        return cls(
            trials=list(trials),
            ids=list(ids),
            architecture=architecture,
            network=network,
            rule=rule,
            later_rule=later_rule,
            directions=Directions.of(_measured(rule, later_rule), network, scales_PL),
            optimizer=make_optimizer(trials, network.parameters[1][0]),
            source=source,
        )

    @property
    def config(self) -> TrialConfig:
        """Of the first trial: what it shares with the others may be read from it."""
        return self.trials[0].config

    @property
    def smallest_product(self) -> int:
        """Multiplications in the smallest matrix product of one member: smallest batch, smallest layer."""
        trace, n = self.config.trace, len(self.source.train)
        size = self.config.train.batch_size
        probes = [min(trace.probe, n)] if trace.alignment_on == "probe" else [size, n % size]
        grams = [min(b, w) ** 2 * max(b, w) for w in self.architecture.widths[1:] for b in probes if b]
        batches = [size, n % size, *probes]
        for samples in (self.source.train, self.source.test):
            batches += measurement.evaluation_batches(len(samples), trace.evaluate_on)
        widths = self.architecture.widths
        per_sample = [layer.smallest_product for layer in self.architecture.layers]
        per_sample.append(min(widths[1:-1], default=widths[-1]) * widths[-1])
        return min(*grams, min(batch for batch in batches if batch) * min(per_sample))

    def advance(self, *, remember: bool = False) -> None:
        """The next update of every trial. `remember` the weights before it, for the norm of the update."""
        if remember:
            self._before = self.network.clone()
        config, step = self.config, self.step
        x_PBI, y = self.source.batch(step)
        passed = self.network.forward(x_PBI)
        rule = self._rule_now()
        e_PBC = losses.error(config.train.loss, passed.output_PBC, y)
        torch.sum(e_PBC, dim=(1, 2), out=self._error_sums[step % _RING])
        target_PBC = losses.target(passed.output_PBC, y) if isinstance(rule, TargetProjection) else e_PBC
        rate_P11, scale_P11 = self._rates(step), self._reduction(x_PBI.shape[1])
        if self.optimizer.folds_rate:
            scale_P11 = rate_P11 if scale_P11 is None else scale_P11 * rate_P11
        if scale_P11 is not None:
            e_PBC = e_PBC.mul_(scale_P11)
            target_PBC = target_PBC * scale_P11 if isinstance(rule, TargetProjection) else e_PBC
        deltas = self.network.deltas(rule, Signals(passed, e_PBC, target_PBC, step))
        for l, delta in enumerate(deltas):
            if delta is not None:
                self._update(l, rule, passed.saved[l], delta, rate_P11)
        if isinstance(rule, WeightMirror):
            rule.mirror(self.network, step)
        self.step += 1

    def trace_point(self) -> tuple[TracePoint, list[Outcome]]:
        """Rows of all trials now. Trials that turn out not finite leave, without a row."""
        everyone = len(self.ids)
        together = measured_together(self.config) if self._error_sums.device.type == "cpu" else everyone
        parts = [slice(start, start + together) for start in range(0, everyone, together)]
        point = TracePoint.concatenate([self._measure(part) for part in parts])
        keep = (point.finite & self._finite_on_next_batch()).tolist()
        if all(keep):
            return point, []
        gone = [trial_id for trial_id, ok in zip(self.ids, keep, strict=True) if not ok]
        self.keep(keep)
        diverged = [
            Outcome(trial_id=trial_id, reason=Reason.DIVERGED, steps=self.step, diverged_at_step=self.step)
            for trial_id in gone
        ]
        return point.without(gone), diverged

    def remove_diverged(self) -> list[Outcome]:
        """The trials whose error was not finite at some step since the last look; they leave the pack."""
        first = max(self._looked_until, self.step - _RING)
        rows = [step % _RING for step in range(first, self.step)]
        self._looked_until = self.step
        if not rows:
            return []
        bad_SP = ~torch.isfinite(self._error_sums[rows])
        if not bool(bad_SP.any()):
            return []
        at_P = [column.index(True) if True in column else None for column in bad_SP.T.tolist()]
        diverged = [
            Outcome(trial_id=id_, reason=Reason.DIVERGED, steps=first + at, diverged_at_step=first + at)
            for id_, at in zip(self.ids, at_P, strict=True)
            if at is not None
        ]
        self.keep([at is None for at in at_P])
        return diverged

    def keep(self, wanted: Sequence[bool]) -> None:
        """Only these members stay; the numbers of those that stay do not change."""
        if all(wanted):
            return
        slots = [slot for slot, stays in enumerate(wanted) if stays]
        self.ids = [self.ids[slot] for slot in slots]
        if not slots:
            return
        self.trials = [self.trials[slot] for slot in slots]
        index = torch.tensor(slots, dtype=torch.long, device=self._error_sums.device)
        self.network = self.network.select(index)
        self.rule = self.rule.select(index)
        self.later_rule = None if self.later_rule is None else self.later_rule.select(index)
        self.directions = self.directions.select(index)
        self.optimizer = self.optimizer.select(index)
        self.source = self.source.select(index)
        self._before = None if self._before is None else self._before.select(index)
        self._error_sums = self._error_sums.index_select(1, index)
        self._set_rates()

    def tensors(self) -> dict[str, Tensor]:
        """Stacked tensors that change while training, by what they belong to and their number there."""
        tensors = {
            f"parameters:{l}:{place}": parameter
            for l, layer in enumerate(self.network.parameters)
            for place, parameter in enumerate(layer)
        }
        learned = self.rule.B if isinstance(self.rule, KolenPollack | WeightMirror) else []
        tensors |= {f"feedback:{l}:0": B for l, B in enumerate(learned) if B.numel()}
        for key, buffers in self.optimizer.state.items():
            tensors |= {f"optimizer:{key}:{place}": buffer for place, buffer in enumerate(buffers)}
        return tensors

    def resume_at(self, step: int) -> None:
        """Count from this step: the tensors are those after so many updates."""
        self.step = self._looked_until = step

    def _set_rates(self) -> None:
        """What follows from the trials alone: their base rates, and whether they sum or average over the batch."""
        specs = [trial.config.train for trial in self.trials]
        self._constant_rate = all(spec.schedule.kind == "constant" for spec in specs)
        self._rate_P11 = self._error_sums.new_tensor([spec.lr for spec in specs])[:, None, None]
        self._averages = [spec.reduction == "mean" for spec in specs]

    def _rates(self, step: int) -> Tensor:
        """Learning rates of this step, (P, 1, 1)."""
        if self._constant_rate:
            return self._rate_P11
        per_epoch = self.source.steps_per_epoch
        rates = [t.config.train.lr * rate_factor(t.config.train, step, per_epoch) for t in self.trials]
        return self._rate_P11.new_tensor(rates)[:, None, None]

    def _reduction(self, batch: int) -> Tensor | None:
        """1 for trials that sum over the batch, 1/B for those that average, (P, 1, 1); None where all sum."""
        if not any(self._averages):
            return None
        return self._rate_P11.new_tensor([1 / batch if mean else 1.0 for mean in self._averages])[:, None, None]

    def _rule_now(self) -> Rule:
        switch = self.config.rule.switch
        if self.later_rule is not None and switch is not None and self.step >= switch.at_step:
            return self.later_rule
        return self.rule

    def _finite_on_next_batch(self) -> npt.NDArray[np.bool_]:
        """Whose error is finite at this step: what training will look at, however densely one traces. (P,)"""
        x_PBI, y = self.source.batch(self.step)
        e_PBC = losses.error(self.config.train.loss, self.network.outputs(x_PBI), y)
        finite: npt.NDArray[np.bool_] = torch.isfinite(e_PBC.sum((1, 2))).cpu().numpy()
        return finite

    def _measure(self, part: slice) -> TracePoint:
        """Rows of some members."""
        network = self.network.select(part)
        before = None if self._before is None else self._before.select(part)
        return measurement.trace_point(
            self.trials[part],
            self.ids[part],
            self.step,
            network=network,
            rule=_measured(self._rule_now(), self.later_rule, self.rule).select(part),
            directions=self.directions.select(part),
            source=self.source.select(part),
            update_norm_PL=measurement.update_norms(network, before),
        )

    def _update(self, l: int, rule: Rule, saved: object, delta: Tensor, rate_P11: Tensor) -> None:
        layer, factor = self.network.layers[l], self.architecture.lr_factors[l - 1]
        if factor != 1:
            rate_P11 = rate_P11 * factor
            delta = delta * factor if self.optimizer.folds_rate else delta
        self.optimizer.update(f"{l}", layer, self.network.parameters[l], saved, delta, rate_P11, self.step)
        if isinstance(rule, KolenPollack) and l > 1:
            self.optimizer.update(f"{l} feedback", layer, [rule.B[l]], saved, delta, rate_P11, self.step)


def _layers(architecture: Architecture, config: TrialConfig) -> list[Layer]:
    """Layers at index l; the last one has no activation. Index 0 is a place holder."""
    activation = ACTIVATIONS[config.model.activation]
    made = [make_layer(shape, activation) for shape in architecture.layers[:-1]]
    last = make_layer(architecture.layers[-1], LINEAR)
    return [last, *made, last]


def _measured(rule: Rule, *others: Rule | None) -> Rule:
    """Of the rules between which a trial switches, the one with feedback."""
    return next((r for r in (rule, *others) if r is not None and not isinstance(r, Backprop | Shallow)), rule)
