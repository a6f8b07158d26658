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

from workers.training.directions import (
    Directions,
    alignment_matrix,
    alignment_residual,
    conditioning,
    dense_norm,
    dense_unit,
    quotient,
)
from workers.training.network import Network, Signals
from workers.training.products import bmm
from workers.training.rules import Backprop, Rule, backward_weights

_PAPER_ZERO = 1e-8


@dataclass(frozen=True)
class Overlap:
    """Sums over one layer's units of the rule's deltas and the true ones, sample by sample, each (P, B) in float64."""

    dot_PB: Tensor
    own_PB: Tensor
    """Of the squares of the rule's deltas."""
    true_PB: Tensor
    """Of the squares of backpropagation's."""
    entries_PB: Tensor
    """Of all entries of both."""

    @classmethod
    def of(cls, own_PBH: Tensor, true_PBH: Tensor, *, without_small: bool = False) -> "Overlap":
        """`without_small`: entries up to 1e-8 count as 0, as in the authors' code."""
        a, b = own_PBH.double(), true_PBH.double()  # the squares of small deltas would underflow
        if without_small:
            a, b = (torch.where(x.abs() > _PAPER_ZERO, x, 0.0) for x in (a, b))
        return cls((a * b).sum(-1), a.square().sum(-1), b.square().sum(-1), a.sum(-1) + b.sum(-1))


Cosine = Callable[[Sequence[Overlap]], Tensor]


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
    alignment_residual: Tensor
    total_weight_alignment: Tensor
    total_weight_alignment_scaled: Tensor
    total_gradient_alignment: Tensor
    total_gradient_alignment_published: Tensor


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
        name: [undefined_P] * depth
        for name in ("overlap", "wa", "ga", "wga", "ratio", "norm", "rank", "condition", "identity", "residual")
    }
    backward = backward_weights(rule, network)
    cosine: Cosine = paper_cosine if paper else mean_sample_cosine
    compared: list[Overlap] = []
    for l in range(1, depth + 1):
        weights = network.parameters[l][0]
        columns["norm"][l - 1] = total_norm(network.weights(l))
        unit, backward_l = directions.unit[l], backward[l]
        if unit is None and backward_l is not None and backward_l.numel():
            unit = dense_unit(network, l, backward_l.expand_as(weights))
        if unit is not None:
            columns["overlap"][l - 1] = (weights * unit).sum((1, 2))
            columns["wa"][l - 1] = quotient(columns["overlap"][l - 1], dense_norm(network, l, weights))
        if (A := alignment_matrix(network, directions, l)) is not None:
            columns["residual"][l - 1] = alignment_residual(network, rule, A, l)
            if l > 1:
                columns["condition"][l - 1], columns["identity"][l - 1] = conditioning(A)
        delta_own, delta_true = own[l], true[l]
        if delta_own is None or delta_true is None:
            continue
        columns["rank"][l - 1] = _participation(delta_own)
        if isinstance(rule, Backprop) or l == depth:
            continue
        overlap = Overlap.of(delta_own, delta_true)
        columns["ratio"][l - 1] = quotient(overlap.own_PB.sum(1).sqrt(), overlap.true_PB.sum(1).sqrt())
        compared.append(Overlap.of(delta_own, delta_true, without_small=True) if paper else overlap)
        columns["ga"][l - 1] = cosine(compared[-1:])
        layer, saved = network.layers[l], signals.passed.saved[l]
        weights_alone = slice(len(network.weights(l)))
        columns["wga"][l - 1] = _cosine(
            layer.gradients(network.parameters[l], saved, delta_own)[weights_alone],
            layer.gradients(network.parameters[l], saved, delta_true)[weights_alone],
        )
    stacked = {
        name: torch.stack([value.to(undefined_P) for value in column], dim=1) for name, column in columns.items()
    }
    return LayerAlignment(
        weight_alignment=stacked["wa"],
        gradient_alignment=stacked["ga"],
        weight_gradient_alignment=stacked["wga"],
        delta_norm_ratio=stacked["ratio"],
        weight_norm=stacked["norm"],
        delta_effective_rank=stacked["rank"],
        alignment_condition=stacked["condition"],
        alignment_identity=stacked["identity"],
        alignment_residual=stacked["residual"],
        total_weight_alignment=_total_weight_alignment(network, stacked["overlap"], directions.raw_norm, undefined_P),
        total_weight_alignment_scaled=_total_weight_alignment(
            network, stacked["overlap"], directions.norm, undefined_P
        ),
        total_gradient_alignment=cosine(compared) if compared else undefined_P,
        total_gradient_alignment_published=cosine(compared[:-1]) if compared[1:] else undefined_P,
    )


def mean_sample_cosine(overlaps: Sequence[Overlap]) -> Tensor:
    """Mean over samples of the cosine between deltas concatenated over layers, (P,).

    Samples of which one delta is zero have no cosine and are left out.
    """
    norms_PB = _sum([o.own_PB for o in overlaps]).sqrt() * _sum([o.true_PB for o in overlaps]).sqrt()
    defined_PB = norms_PB > 0
    dot_PB = _sum([o.dot_PB for o in overlaps])
    cosine_PB = torch.where(defined_PB, dot_PB / torch.where(defined_PB, norms_PB, 1.0), 0.0)
    return quotient(cosine_PB.sum(1), defined_PB.sum(1).to(cosine_PB.dtype))


def paper_cosine(overlaps: Sequence[Overlap]) -> Tensor:
    """The same as the authors' code has it, (P,), of overlaps without small entries: norms are at least 1e-8, and a
    sample whose entries sum to 0 counts as aligned."""
    own_PB, true_PB = (
        _sum(squares).sqrt().clamp(min=_PAPER_ZERO)
        for squares in ([o.own_PB for o in overlaps], [o.true_PB for o in overlaps])
    )
    cosine_PB = _sum([o.dot_PB for o in overlaps]) / (own_PB * true_PB)
    return torch.where(_sum([o.entries_PB for o in overlaps]) == 0, 1.0, cosine_PB).mean(1)


def _total_weight_alignment(
    network: Network, overlap_PL: Tensor, norms: Sequence[Tensor | None], undefined_P: Tensor
) -> Tensor:
    """Cosine of all weights and all directions, each concatenated over layers; `overlap_PL`: with unit directions.

    It depends on the relative norms of the directions, hence on the scale of the feedback.
    """
    layers = [(l, norm) for l, norm in enumerate(norms) if norm is not None]
    if not layers:
        return undefined_P
    dot_P = _sum([overlap_PL[:, l - 1] * norm for l, norm in layers])
    weight_P = _sum([dense_norm(network, l, network.parameters[l][0]).double().square() for l, _ in layers]).sqrt()
    direction_P = _sum([norm.square() for _, norm in layers]).sqrt()
    return quotient(dot_P, weight_P * direction_P).to(undefined_P)


def _participation(delta_PBH: Tensor) -> Tensor:
    """(tr G)^2 / frobenius(G)^2 of the deltas' Gram matrix G, (P,): how many directions they span, evenly weighted."""
    batch, width = delta_PBH.shape[1:]
    delta_PBH = delta_PBH.double()  # the squares of small deltas would underflow
    gram = bmm(delta_PBH, delta_PBH.mT) if batch < width else bmm(delta_PBH.mT, delta_PBH)
    trace_P = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    scaled = gram / torch.where(trace_P > 0, trace_P, 1.0)[:, None, None]
    return torch.where(trace_P > 0, 1 / scaled.square().sum((1, 2)), torch.nan)


def _cosine(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Of each member's tensors, flattened and concatenated, (P,)."""
    dot_P = _sum([(x.double() * y.double()).sum((1, 2)) for x, y in zip(a, b, strict=True)])
    return quotient(dot_P, total_norm(a) * total_norm(b))


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Norm of each member's tensors together, (P,) float64, in which no finite weights overflow."""
    return _sum([tensor.double().square().sum((1, 2)) for tensor in tensors]).sqrt()


def _sum(terms: Sequence[Tensor]) -> Tensor:
    """One after the other: a reduction over a stack would round differently for a pack of one."""
    return functools.reduce(torch.add, terms)
