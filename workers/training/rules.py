"""Learning rules, in the notation of Refinetti et al. 2021. A rule is data and one method.

Stacked tensors: weights `W[l]` (P, n_{l-1}, n_l), so that a_l = h_{l-1} W_l; feedback into layer l is stored as the
rows through which a signal comes down, (P, n_from, n_l). Layers count from 1; index 0 is unused.
Legend of suffixes: P pack, B batch, I and H widths below and above, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from services.domain.spec import FeedbackSpec, RuleName, TrialSpec
from workers.training.streams import Purpose, seed_of, stream


class Rule(Protocol):
    """How the learning signal reaches hidden layer l."""

    def signal(self, l: int, delta_above_PBH: Tensor, e_PBC: Tensor, W: Sequence[Tensor]) -> Tensor | None:  # noqa: E741
        """dL/dh_l as the rule has it, (P, B, n_l), or None where the layer does not learn.

        `delta_above_PBH`: delta of layer l + 1; `e_PBC`: delta of the output layer.
        """
        ...


@dataclass(frozen=True)
class Backprop:
    """The true gradient: delta_{l+1} W_{l+1}^T."""

    def signal(self, l: int, delta_above_PBH: Tensor, e_PBC: Tensor, W: Sequence[Tensor]) -> Tensor | None:  # noqa: E741
        return torch.bmm(delta_above_PBH, W[l + 1].transpose(1, 2))


@dataclass(frozen=True)
class FeedbackAlignment:
    """Fixed random matrices in place of the transposed weights: delta_{l+1} B_{l+1} (Lillicrap et al. 2016)."""

    B: Sequence[Tensor]

    def signal(self, l: int, delta_above_PBH: Tensor, e_PBC: Tensor, W: Sequence[Tensor]) -> Tensor | None:  # noqa: E741
        return torch.bmm(delta_above_PBH, self.B[l])


@dataclass(frozen=True)
class DirectFeedbackAlignment:
    """The output error straight to every layer: e F_l (Nokland 2016)."""

    F: Sequence[Tensor]

    def signal(self, l: int, delta_above_PBH: Tensor, e_PBC: Tensor, W: Sequence[Tensor]) -> Tensor | None:  # noqa: E741
        return torch.bmm(e_PBC, self.F[l])


@dataclass(frozen=True)
class Shallow:
    """Only the output layer learns, on random features."""

    def signal(self, l: int, delta_above_PBH: Tensor, e_PBC: Tensor, W: Sequence[Tensor]) -> Tensor | None:  # noqa: E741
        return None


def make_rule(name: RuleName, feedback: Sequence[Tensor]) -> Rule:
    """The rule with its feedback; `feedback[l]` leads into layer l (unused by bp and shallow)."""
    match name:
        case "bp":
            return Backprop()
        case "fa":
            return FeedbackAlignment(feedback)
        case "dfa":
            return DirectFeedbackAlignment(feedback)
        case "shallow":
            return Shallow()


def select_rule(rule: Rule, keep: Tensor) -> Rule:
    """The rule of the members at these indices; feedback is copied."""
    match rule:
        case FeedbackAlignment(B):
            return FeedbackAlignment([B[0], *(matrix.index_select(0, keep) for matrix in B[1:])])
        case DirectFeedbackAlignment(F):
            return DirectFeedbackAlignment([F[0], *(matrix.index_select(0, keep) for matrix in F[1:])])
        case _:
            return rule


def feedback_scale(spec: FeedbackSpec, width: int) -> float:
    """The factor on the drawn entries, for feedback into a layer of this width."""
    return width**-0.5 if spec.scale == "inv_sqrt_width" else float(spec.scale)


def draw_feedback(trials: Sequence[TrialSpec], widths: Sequence[int], dtype: torch.dtype) -> list[Tensor]:
    """Scaled feedback into each hidden layer; entry l is (P, n_from, n_l), entry 0 empty.

    n_from is the number of classes for dfa, n_{l+1} for fa: with one hidden layer both rules draw the same matrix.
    """
    feedback = [torch.empty(0, dtype=dtype)]
    for layer in range(1, len(widths) - 1):
        members = []
        for trial in trials:
            spec = trial.config.rule.feedback
            shape = (widths[-1] if trial.config.rule.name == "dfa" else widths[layer + 1], widths[layer])
            generator = stream(seed_of(trial, Purpose.FEEDBACK), Purpose.FEEDBACK, layer)
            drawn = generator.uniform(-1, 1, shape) if spec.distribution == "uniform" else generator.normal(size=shape)
            members.append(drawn * feedback_scale(spec, widths[layer]))
        feedback.append(torch.from_numpy(np.stack(members)).to(dtype))
    return feedback


def raw_scales(trials: Sequence[TrialSpec], widths: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The factor on the feedback into each hidden layer, (P, L); column l for layer l, column 0 unused."""
    scales = [[1.0, *(feedback_scale(t.config.rule.feedback, width) for width in widths[1:-1])] for t in trials]
    return torch.tensor(scales, dtype=dtype)


def weight_direction(rule: Rule, l: int, depth: int) -> Tensor | None:  # noqa: E741
    """What W_l would align with, (P, n_{l-1}, n_l), or None where weight alignment is undefined.

    dfa: F_l F_{l-1}^T for 1 < l < L and F_{L-1}^T for l = L (Refinetti et al. 2021); fa: B_l for l > 1. Transposed
    here as the weights are.
    """
    match rule:
        case DirectFeedbackAlignment(F) if 1 < l < depth:
            return torch.bmm(F[l - 1].transpose(1, 2), F[l])
        case DirectFeedbackAlignment(feedback) | FeedbackAlignment(feedback) if l > 1:
            return feedback[l - 1].transpose(1, 2)
        case _:
            return None


def direction_scale(rule: Rule, l: int, depth: int, scales_PL: Tensor) -> Tensor:  # noqa: E741
    """The power of the feedback's scale contained in `weight_direction`, (P,)."""
    between = isinstance(rule, DirectFeedbackAlignment) and l < depth
    return scales_PL[:, l - 1] * scales_PL[:, l] if between else scales_PL[:, l - 1]
