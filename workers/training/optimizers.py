"""Optimisers over stacked parameters; every number of theirs may differ from trial to trial.

`rate_P11` (P, 1, 1) is the learning rate of this step. Which of them runs is decided by the pack's shared
configuration, so a trial's arithmetic never depends on its pack-mates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from services.domain.spec import TrainSpec, TrialSpec
from workers.training.layers import Layer
from workers.training.members import Members, listed, select
from workers.training.streams import Purpose, stream_of

Parameters = list[Tensor]
State = dict[str, list[Tensor]]


class Optimizer(Protocol):
    """Updates the parameters of one layer in place.

    `key` names them, the same at every step: the layer's number, and what else belongs to it ("2", "2 feedback").
    """

    folds_rate: bool
    """Whether deltas come multiplied by the learning rate already."""
    state: State

    def update(
        self, key: str, layer: Layer, parameters: Parameters, saved: Any, delta: Tensor, rate_P11: Tensor, step: int
    ) -> None: ...

    def select(self, members: Members) -> "Optimizer": ...


@dataclass
class PlainSgd:
    """W -= rate * gradient, in one product; weight decay apart."""

    decay_P11: Tensor | None
    state: State = field(default_factory=dict)
    folds_rate: bool = True

    def update(
        self, key: str, layer: Layer, parameters: Parameters, saved: Any, delta: Tensor, rate_P11: Tensor, step: int
    ) -> None:
        if self.decay_P11 is None:
            layer.descend(parameters, saved, delta)
            return
        decays = [parameter * (rate_P11 * self.decay_P11) for parameter in parameters]
        layer.descend(parameters, saved, delta)
        for parameter, decay in zip(parameters, decays, strict=True):
            parameter.sub_(decay)

    def select(self, members: Members) -> "PlainSgd":
        return PlainSgd(select(self.decay_P11, members))


@dataclass
class _Gradients:
    """What the optimisers below share: the gradient, perturbed if asked for, with weight decay."""

    trials: list[TrialSpec]
    decay_P11: Tensor | None
    perturbation_P11: Tensor | None

    def of(self, key: str, layer: Layer, parameters: Parameters, saved: Any, delta: Tensor, step: int) -> list[Tensor]:
        gradients = layer.gradients(parameters, saved, delta)
        if self.perturbation_P11 is not None:
            gradients = [
                gradient + self._perturbation(f"{key.split()[0]}/{place}/{step}", gradient)
                for place, gradient in enumerate(gradients)
            ]
        if self.decay_P11 is not None:
            gradients = [
                gradient.add(parameter * self.decay_P11)
                for gradient, parameter in zip(gradients, parameters, strict=True)
            ]
        return gradients

    def _perturbation(self, index: str, gradient: Tensor) -> Tensor:
        """A direction of the norm of the gradient, times the size asked for."""
        assert self.perturbation_P11 is not None
        if self.trials[0].config.rule.perturbation.kind == "fixed":
            direction = torch.ones_like(gradient)
        else:
            shape = gradient.shape[1:]
            draws = [stream_of(t, Purpose.PERTURBATION, index).standard_normal(shape) for t in self.trials]
            direction = torch.from_numpy(np.stack(draws)).to(gradient)
        norms = gradient.square().sum((1, 2), keepdim=True).sqrt()
        return direction * (self.perturbation_P11 * norms / direction.square().sum((1, 2), keepdim=True).sqrt())

    def select(self, members: Members) -> "_Gradients":
        return _Gradients(
            listed(self.trials, members),
            select(self.decay_P11, members),
            select(self.perturbation_P11, members),
        )


@dataclass
class Sgd:
    """Stochastic gradient descent with momentum, as PyTorch has it: v = m v + g; W -= rate v (Nesterov: g + m v)."""

    gradients: _Gradients
    momentum_P11: Tensor | None
    nesterov: bool
    state: State = field(default_factory=dict)
    folds_rate: bool = False

    def update(
        self, key: str, layer: Layer, parameters: Parameters, saved: Any, delta: Tensor, rate_P11: Tensor, step: int
    ) -> None:
        gradients = self.gradients.of(key, layer, parameters, saved, delta, step)
        if self.momentum_P11 is not None:
            velocity = self.state.setdefault(key, [torch.zeros_like(gradient) for gradient in gradients])
            for v, gradient in zip(velocity, gradients, strict=True):
                v.mul_(self.momentum_P11).add_(gradient)
            gradients = [
                gradient + self.momentum_P11 * v if self.nesterov else v
                for v, gradient in zip(velocity, gradients, strict=True)
            ]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(rate_P11 * gradient)

    def select(self, members: Members) -> "Sgd":
        return Sgd(
            self.gradients.select(members),
            select(self.momentum_P11, members),
            self.nesterov,
            select(self.state, members),
        )


@dataclass
class Adam:
    """Adam (Kingma & Ba 2015) with bias correction, as PyTorch has it."""

    gradients: _Gradients
    betas_P11: list[Tensor]
    epsilon_P11: Tensor
    state: State = field(default_factory=dict)
    folds_rate: bool = False

    def update(
        self, key: str, layer: Layer, parameters: Parameters, saved: Any, delta: Tensor, rate_P11: Tensor, step: int
    ) -> None:
        beta1, beta2 = self.betas_P11
        correction1, correction2 = 1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)
        gradients = self.gradients.of(key, layer, parameters, saved, delta, step)
        means = self.state.setdefault(f"{key}/mean", [torch.zeros_like(gradient) for gradient in gradients])
        squares = self.state.setdefault(f"{key}/square", [torch.zeros_like(gradient) for gradient in gradients])
        for parameter, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
            mean.mul_(beta1).add_((1 - beta1) * gradient)
            square.mul_(beta2).add_((1 - beta2) * gradient.square())
            parameter.sub_(rate_P11 / correction1 * mean / ((square / correction2).sqrt() + self.epsilon_P11))

    def select(self, members: Members) -> "Adam":
        return Adam(
            self.gradients.select(members),
            select(self.betas_P11, members),
            select(self.epsilon_P11, members),
            select(self.state, members),
        )


def make_optimizer(trials: Sequence[TrialSpec], like: Tensor) -> Optimizer:
    """The optimiser of a pack, its numbers on the device and in the dtype of `like`."""
    specs = [trial.config.train for trial in trials]
    perturbations = [trial.config.rule.perturbation.size for trial in trials]

    def column(values: Sequence[float]) -> Tensor:
        return like.new_tensor(values)[:, None, None]

    decay = column([spec.weight_decay for spec in specs]) if specs[0].weight_decay else None
    perturbation = column(perturbations) if perturbations[0] else None
    gradients = _Gradients(list(trials), decay, perturbation)
    if specs[0].optimizer == "adam":
        betas = [column([spec.betas[which] for spec in specs]) for which in (0, 1)]
        return Adam(gradients, betas, column([spec.epsilon for spec in specs]))
    if not specs[0].momentum and perturbation is None:
        return PlainSgd(decay)
    momentum = column([spec.momentum for spec in specs]) if specs[0].momentum else None
    return Sgd(gradients, momentum, specs[0].nesterov)


def rate_factor(train: TrainSpec, step: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied by at update number `step`, from 0."""
    schedule = train.schedule
    match schedule.kind:
        case "constant":
            return 1.0
        case "step":
            return schedule.factor ** (step // (schedule.every_epochs * steps_per_epoch))
        case "cosine":
            done = step / max(1, train.epochs * steps_per_epoch)
            return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * done)) / 2
