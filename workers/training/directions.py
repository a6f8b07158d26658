"""What the weights would align with, and how far they follow it through an alignment matrix.

Legend of suffixes: P pack, I and H widths below and above, L weight layers, C outputs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from services.domain import architecture as shapes
from workers.training.layers import LINEAR, Conv
from workers.training.members import Members, select
from workers.training.network import Network
from workers.training.products import bmm
from workers.training.rules import DirectFeedbackAlignment, FeedbackAlignment, Rule, TargetProjection

_MOST_OUTPUTS = 128
"""Beyond so many outputs, singular values of alignment matrices cost more than training."""


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
            norms = [None if not B.numel() else dense_norm(network, l, B) for l, B in enumerate(rule.B)]
            return cls(
                unit=[dense_unit(network, l, B) if B.numel() else None for l, B in enumerate(rule.B)],
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
                direction, norm_P, scale_P = F[l - 1].mT, frobenius(F[l - 1]), scales_PL[:, l - 1]
            else:
                # F_l F_{l-1}^T through the layer: a batch of n_L samples, one per output.
                rows = Conv(shape, LINEAR).windows(F[l - 1]) if isinstance(shape, shapes.Conv) else F[l - 1]
                direction = bmm(rows.mT, F[l].reshape(len(F[l]), rows.shape[1], -1))
                norm_P = (bmm(F[l], F[l].mT) * bmm(F[l - 1], F[l - 1].mT)).sum((1, 2)).sqrt()
                scale_P = scales_PL[:, l - 1] * scales_PL[:, l]
            unit[l] = direction / norm_P[:, None, None]
            norm[l] = norm_P
            raw_norm[l] = norm_P / scale_P
        if all(isinstance(layer.shape, shapes.Dense) for layer in network.layers[1:]):
            for l in range(1, depth):
                if F[l].shape[1] <= min(F[l].shape[2], _MOST_OUTPUTS):
                    inverse[l] = torch.linalg.pinv(F[l].double())
        return cls(unit=unit, norm=norm, raw_norm=raw_norm, inverse=inverse)

    def select(self, members: Members) -> "Directions":
        """The directions of these members."""
        return Directions(
            unit=select(self.unit, members),
            norm=select(self.norm, members),
            raw_norm=select(self.raw_norm, members),
            inverse=select(self.inverse, members),
        )


def alignment_matrix(network: Network, directions: Directions, l: int) -> Tensor | None:
    """A_l^T in float64: the least-squares solution of W_l = F_l A_l F_{l-1}^T; W_1 = F_1 A_1 and W_L = A_L F_{L-1}^T.

    (P, n_L, n_L), of layer 1 (P, n_0, n_L); None where it is not defined. It is the alignment matrix of deep linear
    networks that start from zero, exactly, and the best one for others.
    """
    left, right = directions.inverse[l - 1], directions.inverse[l]
    if network.depth == 1 or (left is None and l > 1) or (right is None and l < network.depth):
        return None
    A = network.parameters[l][0].double()
    if left is not None:
        A = bmm(left.mT, A)
    return A if right is None else bmm(A, right)


def conditioning(A: Tensor) -> tuple[Tensor, Tensor]:
    """Condition number and identity, tr(A) / (norm(A) sqrt(n_L)), of alignment matrices (P, n_L, n_L), each (P,)."""
    finite_P = torch.isfinite(A).all(-1).all(-1)
    singular = torch.linalg.svdvals(torch.where(finite_P[:, None, None], A, 0.0))
    condition_P = torch.where(singular[:, -1] > 0, singular[:, 0] / singular[:, -1], torch.nan)
    trace_P = A.diagonal(dim1=-2, dim2=-1).sum(-1)
    return condition_P, quotient(trace_P, frobenius(A) * A.shape[-1] ** 0.5)


def alignment_residual(network: Network, rule: Rule, A: Tensor, l: int) -> Tensor:
    """Largest entry of W_l - F_l A_l F_{l-1}^T over that of W_l, (P,). `A`: of `alignment_matrix`.

    0 in the form of weak weight alignment (Refinetti et al. 2021, Sec. 3), about 1 for weights without the feedback.
    """
    assert isinstance(rule, DirectFeedbackAlignment | TargetProjection)
    weights = network.parameters[l][0].double()
    form = A if l == network.depth else bmm(A, rule.F[l].double())
    if l > 1:
        form = bmm(rule.F[l - 1].double().mT, form)
    return quotient((weights - form).abs().amax((1, 2)), weights.abs().amax((1, 2)))


def dense_norm(network: Network, l: int, weights: Tensor) -> Tensor:
    """Frobenius norm of the layer as one dense matrix, (P,): of a convolution, each weight counts once per position."""
    counts_K1 = _positions(network, l, weights)
    if counts_K1 is None:
        return frobenius(weights)
    return (weights.double().square() * counts_K1).sum((1, 2)).sqrt().to(weights.dtype)


def dense_unit(network: Network, l: int, matrix: Tensor) -> Tensor:
    """What W_l is multiplied by entry by entry, (P, rows, n_l), to give the product of two dense matrices: that of W_l,
    and that of the given one with norm 1."""
    counts_K1 = _positions(network, l, matrix)
    unit = matrix / dense_norm(network, l, matrix)[:, None, None]
    return unit if counts_K1 is None else unit * counts_K1


def _positions(network: Network, l: int, like: Tensor) -> Tensor | None:
    """At how many positions each entry of a window lies inside the image, (K, 1); None where there are no windows."""
    shape = network.layers[l].shape
    if not isinstance(shape, shapes.Conv):
        return None
    return Conv(shape, LINEAR).windows(like.new_ones(1, 1, shape.inputs)).sum(1).mT


def _has_direction(shape: shapes.Layer, F_l: Tensor | None, F_below: Tensor) -> bool:
    """Whether W_l is a map between the spaces that the feedback of both its ends leads into."""
    match shape:
        case shapes.Dense():
            return True
        case shapes.Conv():
            return F_l is not None and shape.pool == 1
        case _:
            return False


def frobenius(x: Tensor) -> Tensor:
    """Frobenius norm of each member, (P,). The squares of weights that have just left zero underflow in float32."""
    return x.double().square().sum((1, 2)).sqrt().to(x.dtype)


def quotient(numerator_P: Tensor, denominator_P: Tensor) -> Tensor:
    """The quotient, NaN where the denominator is zero."""
    return torch.where(denominator_P > 0, numerator_P / denominator_P, torch.nan)
