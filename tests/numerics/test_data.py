"""Where samples come from, and what feedback and initial weights are made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from services.domain.architecture import architecture
from services.domain.errors import DataUnavailable
from services.domain.spec import DataSpec
from tests.numerics.trials import CNN, LIBRARY, start, trial
from workers.training import connectivity
from workers.training.connectivity import dense_map
from workers.training.data.library import DataLibrary
from workers.training.data.random import Teacher, regression
from workers.training.data.sources import noisy_labels
from workers.training.feedback import draw_direct
from workers.training.initial import draw_parameters

# --- images -----------------------------------------------------------------------------------------------------------


def test_digits_are_standardised_and_split_once_and_for_all() -> None:
    data = LIBRARY.load(DataSpec())
    assert data.train.x_NI.shape == (1437, 64)
    assert data.test.x_NI.shape == (360, 64)
    assert abs(float(data.train.x_NI.mean())) < 1e-5
    assert abs(float(data.train.x_NI.std()) - 1) < 1e-3
    assert np.bincount(data.test.y_N.numpy()).min() > 20


def test_splits_may_be_standardised_each_on_its_own_as_in_the_authors_code() -> None:
    shared, own = LIBRARY.load(DataSpec()), LIBRARY.load(DataSpec(standardise="by_split"))
    assert abs(float(own.test.x_NI.mean())) < 1e-5
    assert abs(float(shared.test.x_NI.mean())) > 1e-4
    raw = LIBRARY.load(DataSpec(standardise="none"))
    assert float(raw.train.x_NI.min()) == 0


def test_classes_are_merged_modulo() -> None:
    merged, plain = LIBRARY.load(DataSpec(classes=3)), LIBRARY.load(DataSpec())
    assert torch.equal(merged.train.y_N, plain.train.y_N % 3)


def test_the_first_samples_are_used() -> None:
    part, whole = LIBRARY.load(DataSpec(train_samples=10, test_samples=7)), LIBRARY.load(DataSpec())
    assert torch.equal(part.train.x_NI, whole.train.x_NI[:10])
    assert len(part.test.x_NI) == 7


def test_label_noise_redraws_at_its_rate_in_the_splits_it_is_meant_for() -> None:
    y = LIBRARY.load(DataSpec()).train.y_N
    noisy = noisy_labels(trial(3, data={"label_noise": 0.5}), y, 10)
    assert abs(float((noisy != y).float().mean()) - 0.5 * 0.9) < 4 * (0.25 / len(y)) ** 0.5
    assert torch.equal(noisy, noisy_labels(trial(3, data={"label_noise": 0.5}), y, 10))
    assert noisy_labels(trial(3), y, 10) is y
    clean = start(trial()).source.test.y
    for on, touched in (("train", False), ("both", True)):
        test = start(trial(data={"label_noise": 0.5, "label_noise_on": on})).source.test.y
        assert torch.equal(test, clean) is not touched


def test_a_cache_gives_the_same_arrays_to_every_worker(tmp_path: Path) -> None:
    first, second = (DataLibrary(cache=tmp_path).load(DataSpec(size=4)) for _ in range(2))
    assert len(list((tmp_path / "data").iterdir())) == 1
    for split in ("train", "test"):
        assert torch.equal(getattr(first, split).x_NI, getattr(second, split).x_NI)
        assert torch.equal(getattr(first, split).x_NI, getattr(LIBRARY.load(DataSpec(size=4)), split).x_NI)


def test_a_folder_of_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for name, shade in (("dark", 20), ("light", 220)):
            folder = tmp_path / "shades" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(shade - 20, shade + 20, (9, 7, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    spec = DataSpec(name="folder", path="shades", size=5, classes=2, train_samples=12)
    data = DataLibrary(root=tmp_path).load(spec)
    assert data.train.x_NI.shape == (12, 75)
    light = data.train.y_N == 1
    assert float(data.train.x_NI[light].min()) > float(data.train.x_NI[~light].max())
    assert data.train.y_N[:6].unique().tolist() == [0, 1]  # shuffled, not class by class
    with pytest.raises(DataUnavailable, match="the spec asks 13"):
        DataLibrary(root=tmp_path).load(spec.model_copy(update={"train_samples": 13}))


def arrays(**changed: Any) -> dict[str, Any]:
    return {
        "x_train": np.arange(12.0).reshape(6, 2),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": np.ones((2, 2)),
        "y_test": np.array([0, 1]),
        **changed,
    }


def test_arrays_of_the_operator(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays())
    spec = DataSpec(name="npz", path="mine.npz", classes=3, inputs=2, train_samples=6, standardise="none")
    data = DataLibrary(root=tmp_path).load(spec)
    assert data.train.x_NI.tolist() == arrays()["x_train"].tolist()
    assert data.test.y_N.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"x_train": np.arange(18.0).reshape(6, 3)}, "samples of 3 numbers"),
        ({"y_train": np.array([0.5] * 6)}, "integers from 0"),
        ({"y_train": np.array([0, -1, 0, 0, 0, 0])}, "integers from 0"),
        ({"x_test": np.array([[np.nan, 1], [1, 1]])}, "not finite"),
        ({"x_train": np.array([{}] * 6, dtype=object)}, "allow_pickle"),
    ],
)
def test_arrays_that_are_not_as_the_spec_says(tmp_path: Path, broken: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "mine.npz", **arrays(**broken))
    spec = DataSpec(name="npz", path="mine.npz", classes=3, inputs=2, train_samples=6)
    with pytest.raises(DataUnavailable, match=message):
        DataLibrary(root=tmp_path).load(spec)


def test_a_link_out_of_the_data_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    np.savez(tmp_path / "secret.npz", **arrays())
    (root / "innocent.npz").symlink_to(tmp_path / "secret.npz")
    spec = DataSpec(name="npz", path="innocent.npz", classes=3, inputs=2, train_samples=6)
    with pytest.raises(DataUnavailable, match="not inside the data root"):
        DataLibrary(root=root).load(spec)


# --- random data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.2, 0.4), (0.6, 0.0)])
def test_regression_targets_have_the_covariance_of_alpha_and_beta(alpha: float, beta: float) -> None:
    x, y = regression(
        trial(data={"name": "regression", "alpha": alpha, "beta": beta}, train={"loss": "mse"}), "a", 50_000
    )
    expected = [[1, alpha * (1 - beta)], [alpha * (1 - beta), alpha**2]]
    assert np.abs(np.cov(y.T) - expected).max() < 0.03
    assert np.abs(np.cov(x.T) - np.eye(9)).max() < 0.03
    assert np.abs(np.corrcoef(x.T, y.T)[:9, 9:]).max() < 0.03


@pytest.mark.parametrize("spectrum", [2.0, [4.0, 1.0, 1.0, 0.0]])
def test_inputs_have_their_spectrum(spectrum: Any) -> None:
    data = {"name": "regression", "inputs": 4, "spectrum": spectrum}
    x, _ = regression(trial(data=data, train={"loss": "mse"}), "a", 50_000)
    eigenvalues = np.asarray(spectrum if isinstance(spectrum, list) else [1, 1 / 4, 1 / 9, 1 / 16])
    assert np.abs(np.diag(np.cov(x.T)) - eigenvalues / eigenvalues.mean()).max() < 0.1


def test_a_teacher_labels_fresh_samples_at_every_step() -> None:
    sections: dict[str, Any] = {
        "data": {"name": "teacher", "inputs": 10, "noise": 0.5, "teacher": {"hidden": 3, "second_layer": [1, 2, 3]}},
        "train": {"loss": "half_mse", "batch_size": 2000},
        "model": {"hidden": [4]},
    }
    pack = start(trial(0, **sections), trial(1, **sections))
    x, y = pack.source.batch(5)
    again, other = pack.source.batch(5), pack.source.batch(6)
    assert torch.equal(x, again[0])
    assert not torch.equal(x, other[0])
    assert not torch.equal(x[0], x[1])
    for p, spec in enumerate(pack.trials):
        teacher = Teacher.of(spec)
        residual = y[p].numpy() - teacher.outputs(x[p].numpy())
        assert abs(residual.std() - 0.5) < 0.05
        assert np.abs(pack.source.test.y[p].numpy() - teacher.outputs(pack.source.test.x.numpy())).max() < 1e-12


def test_a_pinned_teacher_is_the_same_for_all_seeds() -> None:
    data = {"name": "teacher", "teacher": {"seed": 4}}
    first, second = (Teacher.of(trial(seed, data=data, train={"loss": "mse"})) for seed in (0, 1))
    assert np.array_equal(first.B, second.B)


# --- feedback ---------------------------------------------------------------------------------------------------------


def direct(feedback: dict[str, Any], seed: int = 0, **sections: Any) -> list[Any]:
    """F_l^T (n_L, n_l) of each hidden layer."""
    spec = trial(seed, **{"model": {"hidden": [30, 40]}, **sections, "rule": {"name": "dfa", "feedback": feedback}})
    network = architecture(spec.config)
    return draw_direct(spec, network, [layer[0] for layer in draw_parameters(spec, network)])


@pytest.mark.parametrize(
    ("feedback", "deviation", "largest"),
    [
        ({"distribution": "uniform", "scale": 1.0}, 3**-0.5, 1),
        ({"distribution": "normal", "scale": 2.0}, 2.0, 12),
        ({"distribution": "uniform"}, (3 * 40) ** -0.5, 40**-0.5),
        ({"distribution": "uniform", "scale": "inv_sqrt_outputs"}, 30**-0.5, 10**-0.5),
        ({"distribution": "normal", "scale": 1.0, "rank": 3}, 1.0, 30),
    ],
    ids=str,
)
def test_feedback_has_its_distribution_and_scale(feedback: dict[str, Any], deviation: float, largest: float) -> None:
    F = np.stack([direct(feedback, seed)[1] for seed in range(50)])
    assert F.std() == pytest.approx(deviation, rel=0.05)
    assert abs(F.mean()) < 0.05 * deviation
    assert np.abs(F).max() <= largest


def test_positive_feedback_is_positive() -> None:
    assert min(F.min() for F in direct({"distribution": "positive"})) >= 0


def test_orthogonal_feedback() -> None:
    for F in direct({"distribution": "orthogonal"}):
        assert np.abs(F @ F.T - np.eye(10)).max() < 1e-12
    whole = np.concatenate(direct({"distribution": "orthogonal_across"}), axis=1)
    assert np.abs(whole @ whole.T - np.eye(10)).max() < 1e-12


@pytest.mark.parametrize("distribution", ["uniform", "normal", "orthogonal"])
def test_feedback_has_its_rank(distribution: str) -> None:
    for F in direct({"distribution": distribution, "rank": 4}):
        assert np.linalg.matrix_rank(F) == 4


def test_matched_feedback_is_the_path_to_the_output() -> None:
    spec = trial(model={"hidden": [5, 6]}, rule={"name": "dfa", "feedback": {"distribution": "matched"}})
    network = architecture(spec.config)
    _, W2, W3 = (layer[0] for layer in draw_parameters(spec, network))
    F1, F2 = draw_direct(spec, network, [W for (W, *_) in draw_parameters(spec, network)])
    assert np.array_equal(F2, W3.T)
    assert np.allclose(F1, (W2 @ W3).T)


def test_unit_rows_are_the_authors_normalisation_of_convolutions() -> None:
    F = direct({"distribution": "normal", "scale": "unit_rows"}, model={**CNN})
    widest = max(f.shape[1] for f in F)
    for f in F:
        assert np.allclose(np.linalg.norm(f, axis=1), widest**-0.5)


def test_repeated_feedback_is_the_same_everywhere_in_a_channel() -> None:
    first, last = direct({"distribution": "repeated"}, model={**CNN})
    maps = first.reshape(10, -1, 3)  # channels last
    assert np.ptp(maps, axis=1).max() == 0
    assert np.ptp(maps, axis=2).min() > 0
    assert np.ptp(last.reshape(10, -1, 4), axis=1).min() > 0


def test_aligned_feedback_approximates_the_convolution() -> None:
    """svd: F_2 F_1^T is the best approximation of rank n_L; nmf: non-negative factors of the connectivity."""
    model = {**CNN}
    spec = trial(model=model, rule={"name": "dfa", "feedback": {"distribution": "svd", "scale": 1.0}})
    network = architecture(spec.config)
    weights = [layer[0] for layer in draw_parameters(spec, network)]
    F1, F2 = draw_direct(spec, network, weights)
    dense = dense_map(network.layers[1], weights[1])
    singular = np.linalg.svd(dense, compute_uv=False)
    assert np.linalg.norm(dense - F2.T @ F1) == pytest.approx(np.linalg.norm(singular[10:]), rel=1e-6)
    for F in direct({"distribution": "nmf", "scale": 1.0}, model=model):
        assert F.min() >= 0
        assert F.max() > 0


def test_factored_feedback_depends_on_nothing_else_in_the_process() -> None:
    spec = {"distribution": "nmf"}
    first = direct(spec, model={**CNN})
    connectivity._nmf.cache_clear()
    np.random.random()
    again = direct(spec, model={**CNN})
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_feedback_given_by_its_values() -> None:
    spec = {"distribution": "uniform", "values": [[1.0, -2.0]] * 10}
    assert direct(spec, model={"hidden": [2]})[0].tolist() == spec["values"]


# --- initial weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "deviation"),
    [
        ({}, (3 * 64) ** -0.5),
        ({"init": "uniform", "init_scale": 2.0}, 2 * 3**-0.5),
        ({"init": "normal"}, 64**-0.5),
        ({"init": "normal", "init_scale": "inv_sqrt_fan_out"}, 50**-0.5),
        ({"init": "orthogonal"}, 64**-0.5),
        ({"init": "zero"}, 0.0),
    ],
    ids=str,
)
def test_initial_weights_have_their_deviation(model: dict[str, Any], deviation: float) -> None:
    spec = trial(model={"hidden": [50, 40], **model})
    W = draw_parameters(spec, architecture(spec.config))[0][0]
    assert W.shape == (64, 50)
    assert W.std() == pytest.approx(deviation, rel=0.05)
    if model.get("init") == "orthogonal":
        assert np.abs(W.T @ W - np.eye(50)).max() < 1e-12


def test_aligned_weights_follow_the_feedback() -> None:
    model = {"hidden": [12, 9, 8], "init": "aligned"}
    point = start(trial(model=model)).trace_point()[0]
    assert (point.traces.weight_alignment[1:] > 0.9).all()
    readout = start(trial(model={**model, "init": "aligned_readout"})).trace_point()[0]
    assert readout.traces.weight_alignment[3] > 0.9
    assert abs(readout.traces.weight_alignment[1]) < 0.5
