"""How the rule's learning signal aligns with the true gradient: two rules on the same activations.

Undefined is NaN, never 0 or 1: nothing is defined for backpropagation itself nor for layers that do not learn, and
gradient alignment not for the output layer, whose delta is the error under every rule. Legend of suffixes: P pack,
B batch, I and H widths, L weight layers, C outputs.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.domain import architecture as shapes
from workers.training.layers import LINEAR, Conv
from workers.training.network import Network, Signals, select
from workers.training.rules import (
    Backprop,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    Rule,
    TargetProjection,
    backward_weights,
)

Cosine = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]

_PAPER_ZERO = 1e-8
_MOST_OUTPUTS = 128
"""Beyond so many outputs, singular values of alignment matrices cost more than training."""


@dataclass(frozen=True, kw_only=True)
class LayerAlignment:
    """Per layer, all (P, L), column l - 1 for layer l; totals (P,)."""

    weight_alignment: Tensor
    gradient_alignment: Tensor
    weight_gradient_alignment: Tensor
    delta_norm_ratio: Tensor
    weight_norm: Tensor
    delta_effective_rank: Tensor
    alignment_condition: Tensor
    alignment_identity: Tensor
    total_weight_alignment: Tensor
    total_weight_alignment_scaled: Tensor
    total_gradient_alignment: Tensor
    total_gradient_alignment_published: Tensor


@dataclass(frozen=True, kw_only=True)
class Directions:
    """What the weights would align with, constant over training: B_l, or F_l F_{l-1}^T and F_{L-1}^T.

    At index l: `unit[l]` of the shape of W_l with the norm of its dense map 1, or None; `norm[l]` (P,) of the scaled
    and `raw_norm[l]` of the unscaled feedback; `inverse[l]` (P, n_l, n_L) the pseudo-inverse of F_l^T, float64.
    """

    unit: list[Tensor | None]
    norm: list[Tensor | None]
    raw_norm: list[Tensor | None]
    inverse: list[Tensor | None]

    @classmethod
    def of(cls, rule: Rule, network: Network, scales_PL: Tensor) -> "Directions":
        """`scales_PL` (P, L), column l: the factor on the feedback into layer l, taken out for the raw norms."""
        nothing: list[Tensor | None] = [None] * (network.depth + 1)
        if isinstance(rule, FeedbackAlignment):
            norms = [None if not B.numel() else _norm(B) for B in rule.B]
            return cls(
                unit=[None if n is None else B / n[:, None, None] for B, n in zip(rule.B, norms, strict=True)],
                norm=norms,
                raw_norm=[None if n is None else n / scales_PL[:, l - 1] for l, n in enumerate(norms)],
                inverse=nothing,
            )
        if not isinstance(rule, DirectFeedbackAlignment | TargetProjection):
            return cls(unit=nothing, norm=nothing, raw_norm=nothing, inverse=nothing)
        unit, norm, raw_norm, inverse = list(nothing), list(nothing), list(nothing), list(nothing)
        depth, F = network.depth, rule.F
        for l in range(2, depth + 1):
            shape = network.layers[l].shape
            if not _has_direction(shape, F[l] if l < depth else None, F[l - 1]):
                continue
            if l == depth:
                direction, norm_P, scale_P = F[l - 1].mT, _norm(F[l - 1]), scales_PL[:, l - 1]
            else:
                # F_l F_{l-1}^T through the layer: a batch of n_L samples, one per output.
                rows = Conv(shape, LINEAR).windows(F[l - 1]) if isinstance(shape, shapes.Conv) else F[l - 1]
                direction = torch.bmm(rows.mT, F[l].reshape(len(F[l]), rows.shape[1], -1))
                norm_P = (torch.bmm(F[l], F[l].mT) * torch.bmm(F[l - 1], F[l - 1].mT)).sum((1, 2)).sqrt()
                scale_P = scales_PL[:, l - 1] * scales_PL[:, l]
            unit[l] = direction / norm_P[:, None, None]
            norm[l] = norm_P
            raw_norm[l] = norm_P / scale_P
        if all(isinstance(layer.shape, shapes.Dense) for layer in network.layers[1:]):
            for l in range(1, depth):
                if F[l].shape[1] <= min(F[l].shape[2], _MOST_OUTPUTS):
                    inverse[l] = torch.linalg.pinv(F[l].double())
        return cls(unit=unit, norm=norm, raw_norm=raw_norm, inverse=inverse)

    def select(self, index: Tensor) -> "Directions":
        """The members at these indices; copies."""
        return Directions(
            unit=select(self.unit, index),
            norm=select(self.norm, index),
            raw_norm=select(self.raw_norm, index),
            inverse=select(self.inverse, index),
        )


def measure(
    network: Network, rule: Rule, signals: Signals, directions: Directions, *, paper: bool = False
) -> LayerAlignment:
    """Compare the rule with backpropagation on the samples of `signals`: the same weights, the same samples.

    `paper`: the cosine of the authors' code.
    """
    depth = network.depth
    own = network.deltas(rule, signals)
    true = own if isinstance(rule, Backprop) else network.deltas(Backprop(), signals)
    undefined_P = signals.e_PBC.new_full((len(signals.e_PBC),), torch.nan)
    columns: dict[str, list[Tensor]] = {
        name: [undefined_P] * depth for name in ("wa", "ga", "wga", "ratio", "norm", "rank", "condition", "identity")
    }
    backward = backward_weights(rule, network)
    cosine: Cosine = paper_cosine if paper else mean_sample_cosine
    for l in range(1, depth + 1):
        weights = network.parameters[l][0]
        columns["norm"][l - 1] = total_norm(network.weights(l))
        unit, backward_l = directions.unit[l], backward[l]
        if unit is not None:
            columns["wa"][l - 1] = _divide((weights * unit).sum((1, 2)), _dense_norm(network, l, weights))
        elif backward_l is not None and backward_l.numel():
            columns["wa"][l - 1] = _cosine(weights, backward_l)
        condition, identity = _alignment_matrix(network, directions, l, undefined_P)
        columns["condition"][l - 1], columns["identity"][l - 1] = condition, identity
        delta_own, delta_true = own[l], true[l]
        if delta_own is None or delta_true is None:
            continue
        columns["rank"][l - 1] = _participation(delta_own)
        if isinstance(rule, Backprop) or l == depth:
            continue
        columns["ga"][l - 1] = cosine([delta_own], [delta_true])
        columns["ratio"][l - 1] = _divide(_norm(delta_own), _norm(delta_true))
        layer, saved = network.layers[l], signals.passed.saved[l]
        columns["wga"][l - 1] = _cosine(
            layer.gradients(network.parameters[l], saved, delta_own)[0],
            layer.gradients(network.parameters[l], saved, delta_true)[0],
        )
    stacked = {
        name: torch.stack([value.to(undefined_P) for value in column], dim=1) for name, column in columns.items()
    }
    pairs = [(a, b) for a, b in zip(own[1:-1], true[1:-1], strict=True) if a is not None and b is not None]
    compared = [] if isinstance(rule, Backprop) else pairs
    return LayerAlignment(
        weight_alignment=stacked["wa"],
        gradient_alignment=stacked["ga"],
        weight_gradient_alignment=stacked["wga"],
        delta_norm_ratio=stacked["ratio"],
        weight_norm=stacked["norm"],
        delta_effective_rank=stacked["rank"],
        alignment_condition=stacked["condition"],
        alignment_identity=stacked["identity"],
        total_weight_alignment=_total_weight_alignment(network, stacked["wa"], directions.raw_norm, undefined_P),
        total_weight_alignment_scaled=_total_weight_alignment(network, stacked["wa"], directions.norm, undefined_P),
        total_gradient_alignment=_over_layers(cosine, compared, undefined_P),
        total_gradient_alignment_published=_over_layers(cosine, compared[:-1], undefined_P),
    )


def mean_sample_cosine(own: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean over samples of the cosine between deltas concatenated over layers, (P,).

    `own`, `true`: one (P, B, n_l) per layer. Samples of which one delta is zero have no cosine and are left out.
    """
    dot_PB = _sum([(a * b).sum(-1) for a, b in zip(own, true, strict=True)])
    norms_PB = _sum([a.square().sum(-1) for a in own]).sqrt() * _sum([b.square().sum(-1) for b in true]).sqrt()
    defined_PB = norms_PB > 0
    cosine_PB = torch.where(defined_PB, dot_PB / torch.where(defined_PB, norms_PB, 1.0), 0.0)
    return _divide(cosine_PB.sum(1), defined_PB.sum(1).to(cosine_PB.dtype))


def paper_cosine(own: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """The same as the authors' code has it, (P,): entries up to 1e-8 are set to 0, norms are at least 1e-8, and a
    sample whose entries sum to 0 counts as aligned."""
    a, b = (
        torch.cat([torch.where(part.abs() > _PAPER_ZERO, part, 0.0) for part in parts], -1) for parts in (own, true)
    )
    norms_PB = a.square().sum(-1).sqrt().clamp(min=_PAPER_ZERO) * b.square().sum(-1).sqrt().clamp(min=_PAPER_ZERO)
    cosine_PB = (a * b).sum(-1) / norms_PB
    return torch.where(a.sum(-1) + b.sum(-1) == 0, 1.0, cosine_PB).mean(1)


def _has_direction(shape: shapes.Layer, F_l: Tensor | None, F_below: Tensor) -> bool:
    """Whether W_l is a map between the spaces that the feedback of both its ends leads into."""
    match shape:
        case shapes.Dense():
            return True
        case shapes.Conv():
            return F_l is not None and shape.pool == 1
        case _:
            return False


def _alignment_matrix(
    network: Network,
    directions: Directions,
    l: int,
    undefined_P: Tensor,
) -> tuple[Tensor, Tensor]:
    """Condition number and identity of A_l: the least-squares solution of W_l = F_l A_l F_{l-1}^T, l > 1.

    It is the alignment matrix of deep linear networks that start from zero, exactly, and the best one for others.
    """
    left, right = directions.inverse[l - 1], directions.inverse[l] if l < network.depth else None
    if left is None or (right is None and l < network.depth):
        return undefined_P, undefined_P
    A = torch.bmm(left.mT, network.parameters[l][0].double())
    if right is not None:
        A = torch.bmm(A, right)
    finite_P = torch.isfinite(A).all(-1).all(-1)
    singular = torch.linalg.svdvals(torch.where(finite_P[:, None, None], A, 0.0))
    condition_P = torch.where(singular[:, -1] > 0, singular[:, 0] / singular[:, -1], torch.nan)
    trace_P = A.diagonal(dim1=-2, dim2=-1).sum(-1)
    return condition_P, _divide(trace_P, _norm(A) * A.shape[-1] ** 0.5)


def _total_weight_alignment(
    network: Network, alignment_PL: Tensor, norms: Sequence[Tensor | None], undefined_P: Tensor
) -> Tensor:
    """Cosine of all weights and all directions, each concatenated over layers.

    It depends on the relative norms of the directions, hence on the scale of the feedback.
    """
    layers = [(l, norm) for l, norm in enumerate(norms) if norm is not None]
    if not layers:
        return undefined_P
    weights = {l: _dense_norm(network, l, network.parameters[l][0]) for l, _ in layers}
    dot_P = _sum([alignment_PL[:, l - 1] * weights[l] * norm for l, norm in layers])
    weight_P = _sum([weights[l].square() for l, _ in layers]).sqrt()
    direction_P = _sum([norm.square() for _, norm in layers]).sqrt()
    return _divide(dot_P, weight_P * direction_P)


def _over_layers(cosine: Cosine, pairs: Sequence[tuple[Tensor, Tensor]], undefined_P: Tensor) -> Tensor:
    return cosine([a for a, _ in pairs], [b for _, b in pairs]) if pairs else undefined_P


def _participation(delta_PBH: Tensor) -> Tensor:
    """(tr G)^2 / norm(G)^2 of the deltas' Gram matrix G, (P,): how many directions they span, evenly weighted."""
    batch, width = delta_PBH.shape[1:]
    gram = torch.bmm(delta_PBH, delta_PBH.mT) if batch < width else torch.bmm(delta_PBH.mT, delta_PBH)
    trace_P = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    # Normalised first: the squares of small deltas would underflow.
    scaled = gram / torch.where(trace_P > 0, trace_P, 1.0)[:, None, None]
    return torch.where(trace_P > 0, 1 / scaled.square().sum((1, 2)), torch.nan)


def _dense_norm(network: Network, l: int, weights: Tensor) -> Tensor:
    """Frobenius norm of the layer as one dense matrix, (P,): of a convolution, each weight counts once per position."""
    shape = network.layers[l].shape
    if not isinstance(shape, shapes.Conv):
        return _norm(weights)
    seen_1TK = Conv(shape, LINEAR).windows(weights.new_ones(1, 1, shape.inputs))
    return (weights.square() * seen_1TK.sum(1).unsqueeze(-1)).sum((1, 2)).sqrt()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Of each member's matrices, flattened, (P,)."""
    return _divide((a * b).sum((1, 2)), _norm(a) * _norm(b))


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Norm of each member's tensors together, (P,)."""
    return _sum([tensor.square().sum((1, 2)) for tensor in tensors]).sqrt()


def _sum(terms: Sequence[Tensor]) -> Tensor:
    """One after the other: a reduction over a stack would round differently for a pack of one."""
    return functools.reduce(torch.add, terms)


def _norm(x: Tensor) -> Tensor:
    """Frobenius norm of each member, (P,)."""
    return x.square().sum((1, 2)).sqrt()


def _divide(numerator_P: Tensor, denominator_P: Tensor) -> Tensor:
    """The quotient, NaN where the denominator is zero."""
    return torch.where(denominator_P > 0, numerator_P / denominator_P, torch.nan)
