"""Direct feedback that knows of positions: repeated over them, or made of a convolution's connectivity."""

import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from services.domain import architecture as shapes
from services.domain.architecture import Architecture
from services.domain.spec import TrialSpec
from workers.training.layers import LINEAR, Conv
from workers.training.products import bmm
from workers.training.streams import Purpose, stream_of

Matrix = npt.NDArray[np.float64]


def repeated(trial: TrialSpec, l: int, layer: shapes.Layer, outputs: int, *, last: bool) -> Matrix:
    """The same at every position: a number per channel, or per entry of a token.

    As in the authors' code, the last hidden layer of a convolutional network has feedback of its own everywhere.
    """
    generator = stream_of(trial, Purpose.FEEDBACK, f"{l}")
    match layer:
        case shapes.Conv() if not last:
            return np.tile(generator.normal(size=(outputs, layer.filters)), (1, layer.pooled_side**2))
        case shapes.Embedding() | shapes.Block():
            return np.tile(generator.normal(size=(outputs, layer.width)), (1, layer.tokens))
        case _:
            return generator.normal(size=(outputs, layer.outputs))


def factors(trial: TrialSpec, network: Architecture, weights: Sequence[Matrix]) -> list[Matrix]:
    """F_l F_{l-1}^T near each convolution: factors of its dense map (svd) or of its connectivity (nmf).

    A layer between two convolutions takes the mean of its two factors; layers beside none are drawn at random.
    """
    outputs = network.widths[-1]
    found: dict[int, list[Matrix]] = {}
    for l in range(2, len(network.layers)):
        layer = network.layers[l - 1]
        if isinstance(layer, shapes.Conv):
            if trial.config.rule.feedback.distribution == "svd":
                into, out_of = _svd(dense_map(layer, weights[l - 1]), outputs)
            else:
                into, out_of = _nmf(layer, outputs)
            found.setdefault(l, []).append(out_of)
            found.setdefault(l - 1, []).append(into)
    return [
        np.mean(found[l], axis=0)
        if l in found
        else stream_of(trial, Purpose.FEEDBACK, f"{l}").normal(size=(outputs, n))
        for l, n in enumerate(network.widths[1:-1], start=1)
    ]


def _svd(matrix: Matrix, rank: int) -> tuple[Matrix, Matrix]:
    """Rows (rank, n_in) and (rank, n_out) whose product is the best approximation of the map (n_out, n_in)."""
    from scipy.sparse.linalg import svds

    u, s, v = svds(matrix, k=rank, v0=np.ones(min(matrix.shape)), solver="arpack")
    return np.sqrt(s)[:, None] * v, np.sqrt(s)[:, None] * u.T


@lru_cache(maxsize=16)
def _nmf(layer: shapes.Conv, rank: int) -> tuple[Matrix, Matrix]:
    """Non-negative factors of which outputs see which inputs; the same ones for the same layer, always.

    They need not be the best: what has not converged after so many iterations is near enough.
    """
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    mask = (dense_map(layer, np.ones(layer.parameters[0])) != 0).astype(float)
    model = NMF(n_components=rank, init="nndsvda", max_iter=200, tol=1e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        left = model.fit_transform(mask)
    return model.components_, left.T


def dense_map(layer: shapes.Layer, W: Matrix) -> Matrix:
    """The layer as one matrix (n_l, n_{l-1}), before any pooling."""
    if isinstance(layer, shapes.Dense):
        return W.T
    assert isinstance(layer, shapes.Conv)
    one_each = torch.eye(layer.inputs, dtype=torch.float64).unsqueeze(0)
    windows = Conv(layer, LINEAR).windows(one_each)
    mapped: Matrix = bmm(windows, torch.from_numpy(W).unsqueeze(0)).view(layer.inputs, -1).numpy()
    return mapped.T
