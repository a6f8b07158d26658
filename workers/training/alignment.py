"""How the rule's learning signal aligns with the true gradient: two rules on the same activations.

Undefined is NaN, never 0 or 1: nothing is defined for backpropagation itself nor for layers that do not learn, and
gradient alignment not for the output layer, whose delta is the error under every rule. Legend of suffixes: P pack,
B batch, I and H widths, L weight layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.training.network import Network
from workers.training.rules import Backprop, Rule, direction_scale, weight_direction

_EPS = 1e-12


@dataclass(frozen=True, kw_only=True)
class LayerAlignment:
    """Per layer, all (P, L), column l - 1 for layer l; totals (P,)."""

    weight_alignment: Tensor
    gradient_alignment: Tensor
    weight_gradient_alignment: Tensor
    delta_norm_ratio: Tensor
    weight_norm: Tensor
    gradient_norm: Tensor
    """Norm of the rule's weight gradient, summed over the batch."""
    total_weight_alignment: Tensor
    total_gradient_alignment: Tensor


@dataclass(frozen=True, kw_only=True)
class WeightDirections:
    """The constant matrices that weights would align with, at unit norm, and their norms before scaling by `scale`.

    `unit[l]` (P, n_{l-1}, n_l) or None; `raw_norm[l]` (P,).
    """

    unit: list[Tensor | None]
    raw_norm: list[Tensor | None]

    @classmethod
    def of(cls, rule: Rule, depth: int, scales_PL: Tensor) -> "WeightDirections":
        """`scales_PL` (P, L), column l: the factor on the feedback into layer l, taken out for the totals."""
        unit: list[Tensor | None] = [None]
        raw_norm: list[Tensor | None] = [None]
        for layer in range(1, depth + 1):
            direction = weight_direction(rule, layer, depth)
            if direction is None:
                unit.append(None)
                raw_norm.append(None)
                continue
            norm_P = _norm(direction)
            unit.append(direction / norm_P[:, None, None])
            raw_norm.append(norm_P / direction_scale(rule, layer, depth, scales_PL))
        return cls(unit=unit, raw_norm=raw_norm)

    def select(self, keep: Tensor) -> "WeightDirections":
        """The members at these indices; copies."""
        return WeightDirections(
            unit=[None if unit is None else unit.index_select(0, keep) for unit in self.unit],
            raw_norm=[None if norm is None else norm.index_select(0, keep) for norm in self.raw_norm],
        )


def measure(
    network: Network, rule: Rule, hs: Sequence[Tensor], e_PBC: Tensor, directions: WeightDirections
) -> LayerAlignment:
    """Compare the rule with backpropagation on one probe batch.

    `hs`: activations from `network.forward`; `e_PBC`: error of the batch sum. Both rules see the same weights and
    samples.
    """
    depth = network.depth
    own = network.deltas(rule, hs, e_PBC)
    true = own if isinstance(rule, Backprop) else network.deltas(Backprop(), hs, e_PBC)
    undefined_P = torch.full_like(e_PBC[:, 0, 0], torch.nan)
    columns: dict[str, list[Tensor]] = {name: [] for name in ("wa", "ga", "wga", "ratio", "w", "g")}
    for layer in range(1, depth + 1):
        delta_own, delta_true = own[layer], true[layer]
        assert delta_true is not None
        unit = directions.unit[layer]
        weight_norm_P = _norm(network.W[layer])
        columns["w"].append(weight_norm_P)
        columns["wa"].append(
            undefined_P if unit is None else _divide((network.W[layer] * unit).sum((1, 2)), weight_norm_P)
        )
        if delta_own is None:
            columns["g"].append(torch.zeros_like(undefined_P))
            for name in ("ga", "wga", "ratio"):
                columns[name].append(undefined_P)
            continue
        gradient_PIH = torch.bmm(hs[layer - 1].transpose(1, 2), delta_own)
        gradient_norm_P = _norm(gradient_PIH)
        columns["g"].append(gradient_norm_P)
        if isinstance(rule, Backprop) or layer == depth:
            for name in ("ga", "wga", "ratio"):
                columns[name].append(undefined_P)
            continue
        true_PIH = torch.bmm(hs[layer - 1].transpose(1, 2), delta_true)
        columns["ga"].append(mean_sample_cosine([delta_own], [delta_true]))
        columns["wga"].append(_divide((gradient_PIH * true_PIH).sum((1, 2)), gradient_norm_P * _norm(true_PIH)))
        columns["ratio"].append(_divide(_norm(delta_own), _norm(delta_true)))
    stacked = {name: torch.stack(column, dim=1) for name, column in columns.items()}
    return LayerAlignment(
        weight_alignment=stacked["wa"],
        gradient_alignment=stacked["ga"],
        weight_gradient_alignment=stacked["wga"],
        delta_norm_ratio=stacked["ratio"],
        weight_norm=stacked["w"],
        gradient_norm=stacked["g"],
        total_weight_alignment=_total_weight_alignment(stacked["wa"], stacked["w"], directions, undefined_P),
        total_gradient_alignment=_total_gradient_alignment(rule, own, true, undefined_P),
    )


def mean_sample_cosine(own: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean over samples of the cosine between deltas concatenated over layers, (P,).

    `own`, `true`: one (P, B, n_l) per layer. Samples of which one delta is zero have no cosine and are left out.
    """
    dot_PB = sum((a * b).sum(-1) for a, b in zip(own, true, strict=True))
    own_PB = sum(a.square().sum(-1) for a in own)
    true_PB = sum(b.square().sum(-1) for b in true)
    norms_PB = torch.sqrt(torch.as_tensor(own_PB)) * torch.sqrt(torch.as_tensor(true_PB))
    defined_PB = norms_PB > 0
    cosine_PB = torch.where(defined_PB, dot_PB / torch.where(defined_PB, norms_PB, 1.0), 0.0)
    return _divide(cosine_PB.sum(1), defined_PB.sum(1).to(cosine_PB.dtype))


def _total_gradient_alignment(
    rule: Rule, own: Sequence[Tensor | None], true: Sequence[Tensor | None], undefined_P: Tensor
) -> Tensor:
    """Over all hidden layers; undefined where the rule is backpropagation or no hidden layer learns."""
    pairs = [(a, b) for a, b in zip(own[1:-1], true[1:-1], strict=True) if a is not None and b is not None]
    if isinstance(rule, Backprop) or not pairs:
        return undefined_P
    return mean_sample_cosine([a for a, _ in pairs], [b for _, b in pairs])


def _total_weight_alignment(
    alignment_PL: Tensor, norm_PL: Tensor, directions: WeightDirections, undefined_P: Tensor
) -> Tensor:
    """Cosine of all weights and all directions, each concatenated over layers, with the raw feedback.

    The total depends on the relative norms of the directions, hence on the scale of the feedback: the convention
    is the feedback as it was drawn, before scaling.
    """
    layers = [(layer, raw) for layer, raw in enumerate(directions.raw_norm) if raw is not None]
    if not layers:
        return undefined_P
    dot_P = sum(alignment_PL[:, layer - 1] * norm_PL[:, layer - 1] * raw for layer, raw in layers)
    weights_P = torch.as_tensor(sum(norm_PL[:, layer - 1].square() for layer, _ in layers)).sqrt()
    raw_P = torch.as_tensor(sum(raw.square() for _, raw in layers)).sqrt()
    return _divide(torch.as_tensor(dot_P), weights_P * raw_P)


def _norm(x_PIH: Tensor) -> Tensor:
    """Frobenius norm of each member, (P,)."""
    return x_PIH.square().sum((1, 2)).sqrt()


def _divide(numerator_P: Tensor, denominator_P: Tensor) -> Tensor:
    """The quotient, NaN where the denominator is zero."""
    return torch.where(denominator_P > _EPS, numerator_P / denominator_P, torch.nan)
