"""Data sets: loaded once per process, resized, standardised, flat, shared by all packs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision import datasets

from services.domain.datasets import FACTS
from services.domain.errors import DataUnavailable
from services.domain.spec import DataName, DataSpec, TrialSpec
from workers.training.streams import Purpose, seed_of, stream

_TORCHVISION: dict[str, Callable[..., Any]] = {
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Inputs `x_NI` float32 and labels `y_N` int64. Read-only by convention: all packs share it."""

    x_NI: Tensor
    y_N: Tensor


@dataclass(frozen=True, kw_only=True)
class Dataset:
    train: Split
    test: Split
    classes: int


@dataclass(frozen=True)
class DataLibrary:
    """The data sets of this process. `root` holds them in torchvision's layout; `download` fetches what is missing."""

    root: Path | None = None
    download: bool = False
    _loaded: dict[tuple[DataName, int | None], Dataset] = field(default_factory=dict)

    def load(self, spec: DataSpec) -> Dataset:
        """The data set at the wanted size. Raises DataUnavailable when it is not on this machine."""
        key = (spec.name, spec.size)
        if key not in self._loaded:
            self._loaded[key] = _standardised(_digits() if spec.name == "digits" else self._images(spec.name), spec)
        return self._loaded[key]

    def _images(self, name: DataName) -> list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        """Images (N, H, W[, 3]) and labels (N,) of the training and the test split."""
        if self.root is None:
            raise DataUnavailable(f"{name} needs a data root: set ALIGNSWEEP_DATA_ROOT on the workers")
        splits = []
        for train in (True, False):
            try:
                split = _TORCHVISION[name](root=self.root, train=train, download=self.download)
            except (RuntimeError, OSError) as error:
                raise DataUnavailable(
                    f"{name} is not under {self.root} ({str(error).splitlines()[0]}): put it there in torchvision's "
                    "layout, or set ALIGNSWEEP_DATA_DOWNLOAD=1 on the workers"
                ) from error
            splits.append((np.asarray(split.data), np.asarray(split.targets, dtype=np.int64)))
        return splits


def noisy_labels(trial: TrialSpec, y_N: Tensor, classes: int) -> Tensor:
    """Training labels of one trial, shape (N,): each is redrawn uniformly with the probability of the noise.

    A label may be redrawn as itself, so the rate of wrong labels is p (1 - 1/C).
    """
    probability = trial.config.data.label_noise
    if probability == 0:
        return y_N
    generator = stream(seed_of(trial, Purpose.LABEL_NOISE), Purpose.LABEL_NOISE)
    redrawn = generator.random(len(y_N)) < probability
    labels = np.where(redrawn, generator.integers(0, classes, len(y_N)), y_N.numpy())
    return torch.from_numpy(labels)


def _digits() -> list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """scikit-learn's handwritten digits, shuffled once and for all, the last 360 for the test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = stream(0, Purpose.DATA_ORDER).permutation(len(bunch.target))
    images, labels = bunch.images[order].astype(np.uint8), bunch.target[order].astype(np.int64)
    cut = FACTS["digits"].train_samples
    return [(images[:cut], labels[:cut]), (images[cut:], labels[cut:])]


def _standardised(splits: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]], spec: DataSpec) -> Dataset:
    """Standardised by one mean and one deviation over all pixels and channels of the training split, then resized."""
    train_images = splits[0][0].astype(np.float32)
    mean, deviation = float(train_images.mean(dtype=np.float64)), float(train_images.std(dtype=np.float64))

    def split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Split:
        x = torch.from_numpy(images.astype(np.float32)).sub_(mean).div_(deviation)
        x_NCHW = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
        if spec.size is not None:
            size = (spec.size, spec.size)
            parts = [
                torch.nn.functional.interpolate(part, size=size, mode="bilinear", antialias=True)
                for part in torch.split(x_NCHW.contiguous(), 4096)
            ]
            x_NCHW = torch.cat(parts)
        return Split(x_NI=x_NCHW.reshape(len(x), -1).contiguous(), y_N=torch.from_numpy(labels))

    return Dataset(train=split(*splits[0]), test=split(*splits[1]), classes=FACTS[spec.name].classes)
