"""Deep linear networks from zero weights follow their alignment matrices."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from workers.theory.deep_linear import AlignmentMatrices
from workers.training.arrays import train_arrays

STEPS, BATCH, RATE = 80, 8, 0.005


def trained(feedback: Sequence[Any], targets: Any, *, dtype: str = "float64") -> tuple[Any, AlignmentMatrices]:
    """A network trained by the engine, and its alignment matrices after the same updates."""
    generator = np.random.default_rng(2)
    inputs, (n_samples, outputs) = 7, targets.shape
    x = generator.normal(size=(n_samples, inputs))
    batches = generator.integers(0, n_samples, (STEPS, BATCH))
    widths = [inputs, *(len(F) for F in feedback), outputs]
    run = train_arrays(
        {
            "model": {"activation": "linear"},
            "rule": {"name": "dfa"},
            "train": {"lr": RATE, "loss": "half_mse"},
            "trace": {"probe": n_samples},
        },
        weights=[np.zeros((out, below)) for below, out in pairwise(widths)],
        feedback=feedback,
        x=x,
        y=targets,
        batches=batches,
        measure_at=[STEPS],
        dtype=dtype,
    )
    matrices = AlignmentMatrices(feedback, inputs)
    for batch in batches:
        matrices.update(x[batch], targets[batch], RATE)
    assert np.allclose(matrices.outputs(x), _outputs(matrices.weights(), x))
    return run, matrices


def _outputs(weights: Sequence[Any], x: Any) -> Any:
    for W in weights:
        x = x @ W.T
    return x


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_the_weights_keep_the_form_of_weak_alignment(depth: int, outputs: int) -> None:
    generator = np.random.default_rng(1)
    feedback = [generator.normal(size=(12 + l, outputs)) / 3 for l in range(depth - 1)]
    run, matrices = trained(feedback, generator.normal(size=(40, outputs)))
    for found, expected in zip(run.weights, matrices.weights(), strict=True):
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
        assert np.linalg.matrix_rank(found) <= outputs
    assert run.traces.alignment_identity[1:] == pytest.approx(matrices.identity(), rel=1e-6)
    assert run.traces.alignment_condition[1:] == pytest.approx(matrices.conditions(), rel=1e-6)


def test_well_conditioned_targets_give_strong_alignment() -> None:
    """With orthonormal feedback the weight alignment is the identity of A_l: it falls with the condition number."""
    generator = np.random.default_rng(3)
    feedback = [np.linalg.qr(generator.normal(size=(20, 4)))[0] for _ in range(3)]
    white = np.linalg.qr(generator.normal(size=(16, 4)))[0] * 4
    aligned = []
    for deviations in (np.ones(4), np.array([1.0, 0.6, 0.3, 0.1])):
        run, matrices = trained(feedback, white * deviations)
        assert run.traces.weight_alignment[1:] == pytest.approx(matrices.identity(), rel=1e-6)
        aligned.append((max(matrices.conditions()), min(matrices.identity())))
    (good, strong), (bad, weak) = aligned
    assert good < bad
    assert strong > 1.2 * weak
