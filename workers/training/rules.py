"""Learning rules, in the notation of Refinetti et al. 2021. A rule is data and one method.

Stacked tensors: weights (P, n_{l-1}, n_l), so that a_l = h_{l-1} W_l. Backward weights B_l have the shape of the
weights whose transpose they replace; direct feedback F_l is stored as the rows through which the error comes down,
(P, n_L, n_l). Layers count from 1; index 0 is unused. Legend of suffixes: P pack, B batch, H width, C outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from services.domain.spec import RuleName, TrialSpec
from workers.training.members import Members, listed, select
from workers.training.network import Network, Signals
from workers.training.products import bmm
from workers.training.streams import Purpose, stream_of


class Rule(Protocol):
    """How the learning signal reaches hidden layer l."""

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        """dL/dh_l as the rule has it, (P, B, n_l), or None where the layer does not learn.

        `delta_above`: delta of layer l + 1.
        """
        ...

    def select(self, members: Members) -> "Rule":
        """The rule of these members."""
        ...


@dataclass(frozen=True)
class Backprop:
    """The true gradient: W_{l+1}^T delta_{l+1}."""

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return network.layers[l + 1].input_grad(network.parameters[l + 1], signals.passed.saved[l + 1], delta_above)

    def select(self, members: Members) -> "Backprop":
        return self


@dataclass(frozen=True)
class Shallow:
    """Only the output layer learns, on random features."""

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return None

    def select(self, members: Members) -> "Shallow":
        return self


@dataclass(frozen=True)
class FeedbackAlignment:
    """B_{l+1}^T delta_{l+1} with fixed random B (Lillicrap et al. 2016)."""

    B: list[Tensor]

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return network.layers[l + 1].input_grad([self.B[l + 1]], signals.passed.saved[l + 1], delta_above)

    def select(self, members: Members) -> "FeedbackAlignment":
        return FeedbackAlignment(select(self.B, members))


@dataclass(frozen=True)
class KolenPollack:
    """Feedback alignment whose B_l receives every update of W_l, with the same decay (Kolen & Pollack 1994).

    Under SGD B - W then decays as fast as the weights do (Akrout et al. 2019, eqs. 16-17); Adam scales each by its own
    history.
    """

    B: list[Tensor]

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return network.layers[l + 1].input_grad([self.B[l + 1]], signals.passed.saved[l + 1], delta_above)

    def select(self, members: Members) -> "KolenPollack":
        return KolenPollack(select(self.B, members))


@dataclass(frozen=True)
class WeightMirror:
    """Feedback alignment whose B_l is turned towards W_l by noise sent through the layer (Akrout et al. 2019).

    A mirror step: noise x, y = x W_l, B_l <- (1 - decay) B_l + lr mean(x^T y), for l > 1. The mean of x^T y is
    noise^2 W_l.
    """

    B: list[Tensor]
    trials: list[TrialSpec]

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return network.layers[l + 1].input_grad([self.B[l + 1]], signals.passed.saved[l + 1], delta_above)

    def mirror(self, network: Network, step: int) -> None:
        """One mirror step, in place."""
        specs = [trial.config.rule.mirror for trial in self.trials]
        if step % specs[0].every:
            return
        like = self.B[-1]
        keep_P = like.new_tensor([1 - spec.decay for spec in specs])[:, None, None]
        rate_P = like.new_tensor([spec.lr * spec.noise**2 / spec.batch for spec in specs])[:, None, None]
        for l in range(2, network.depth + 1):
            W = network.parameters[l][0]
            shape = (specs[0].batch, W.shape[1])
            draws = [stream_of(trial, Purpose.MIRROR, f"{l}/{step}").standard_normal(shape) for trial in self.trials]
            x = torch.from_numpy(np.stack(draws)).to(W)
            self.B[l].mul_(keep_P).add_(bmm(x.mT, bmm(x, W)) * rate_P)

    def select(self, members: Members) -> "WeightMirror":
        return WeightMirror(select(self.B, members), listed(self.trials, members))


@dataclass(frozen=True)
class SignSymmetry:
    """B = magnitude * sign(W): the weights' signs without their sizes (Liao et al. 2016; Moskovitz et al. 2018).

    `magnitude[l]` (P, n_{l-1}, n_l) or (P, 1, 1). usf: one number per layer; frsf: fixed random; brsf: drawn anew for
    every batch, from `trials`, uniform on [0, bound].
    """

    magnitude: list[Tensor]
    redrawn_for: list[TrialSpec] = field(default_factory=list)

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        B = self._magnitude(l + 1, network, signals.step) * network.parameters[l + 1][0].sign()
        return network.layers[l + 1].input_grad([B], signals.passed.saved[l + 1], delta_above)

    def _magnitude(self, l: int, network: Network, step: int) -> Tensor:
        if not self.redrawn_for:
            return self.magnitude[l]
        shape = network.parameters[l][0].shape[1:]
        draws = [
            stream_of(trial, Purpose.MAGNITUDE, f"{l}/{step}").random(shape, dtype=np.float32)
            for trial in self.redrawn_for
        ]
        return torch.from_numpy(np.stack(draws)).to(self.magnitude[l]) * self.magnitude[l]

    def select(self, members: Members) -> "SignSymmetry":
        trials = listed(self.redrawn_for, members) if self.redrawn_for else []
        return SignSymmetry(select(self.magnitude, members), trials)


@dataclass(frozen=True)
class DirectFeedbackAlignment:
    """F_l e: the output error straight to every layer (Nokland 2016)."""

    F: list[Tensor]

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return bmm(signals.e_PBC, self.F[l])

    def select(self, members: Members) -> "DirectFeedbackAlignment":
        return DirectFeedbackAlignment(select(self.F, members))


@dataclass(frozen=True)
class TargetProjection:
    """-F_l y: the target in place of the error, whose sign it gives (direct random target projection, Frenkel 2021)."""

    F: list[Tensor]

    def signal(self, l: int, delta_above: Tensor, signals: Signals, network: Network) -> Tensor | None:
        return bmm(signals.target_PBC, self.F[l]).neg_()

    def select(self, members: Members) -> "TargetProjection":
        return TargetProjection(select(self.F, members))


def make_rule(name: RuleName, feedback: Sequence[Tensor], trials: Sequence[TrialSpec]) -> Rule:
    """The rule over its feedback: `feedback[l]` is F_l for direct rules, B_l or magnitudes for sequential ones."""
    matrices = list(feedback)
    match name:
        case "bp":
            return Backprop()
        case "shallow":
            return Shallow()
        case "fa":
            return FeedbackAlignment(matrices)
        case "kp":
            return KolenPollack(matrices)
        case "wm":
            return WeightMirror(matrices, list(trials))
        case "usf" | "frsf":
            return SignSymmetry(matrices)
        case "brsf":
            return SignSymmetry(matrices, list(trials))
        case "dfa":
            return DirectFeedbackAlignment(matrices)
        case "drtp":
            return TargetProjection(matrices)


def backward_weights(rule: Rule, network: Network) -> Sequence[Tensor | None]:
    """What each W_l (index l) would align with now, of rules whose feedback changes; None where nothing.

    Of brsf, whose B_l is drawn anew for every batch, with its mean but for a factor.
    """
    match rule:
        case KolenPollack(B) | WeightMirror(B, _):
            return B
        case SignSymmetry(magnitude):
            signs = [None, None, *(parameters[0].sign() for parameters in network.parameters[2:])]
            return [None if sign is None else sign * m for sign, m in zip(signs, magnitude, strict=True)]
        case _:
            return [None] * (network.depth + 1)
