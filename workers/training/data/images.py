"""Images and arrays from disk: standardised, resized, flat with channels last."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision import datasets

from services.domain.errors import DataUnavailable
from services.domain.spec import DataSpec
from workers.training.streams import Purpose, stream

_TORCHVISION: dict[str, Callable[..., Any]] = {
    "mnist": datasets.MNIST,
    "fashion_mnist": datasets.FashionMNIST,
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
}
_DIGITS_FOR_TEST = 360


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One split as it lies on disk: images (N, H, W, C) uint8, or arrays (N, I) float; labels (N,)."""

    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]


def read(spec: DataSpec, root: Path | None, *, download: bool) -> tuple[Raw, Raw]:
    """Training and test split. Raises DataUnavailable when they are not on this machine, or not as the spec says."""
    if spec.name == "digits":
        return _digits()
    if root is None:
        raise DataUnavailable(f"{spec.name} needs a data root: set ALIGNSWEEP_DATA_ROOT on the workers")
    match spec.name:
        case "folder" | "npz":
            path = _inside(root, spec)
            try:
                train, test = (
                    _npz(path, spec)
                    if spec.name == "npz"
                    else tuple(_folder(path / split, spec) for split in ("train", "test"))
                )
            except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
                raise DataUnavailable(f"{spec.path} cannot be read as {spec.name}: {error}") from error
        case name:
            return _torchvision(name, root, train=True, download=download), _torchvision(
                name, root, train=False, download=download
            )
    assert spec.train_samples is not None
    if len(train.x) < spec.train_samples:
        raise DataUnavailable(f"{spec.path} has {len(train.x)} training samples; the spec asks {spec.train_samples}")
    return train, test


def prepare(raw: tuple[Raw, Raw], spec: DataSpec) -> tuple[Tensor, Tensor]:
    """Standardised inputs of both splits, resized if the spec says so, (N, I) float32 with channels last.

    One mean and one deviation over all pixels and channels, as in the authors' code.
    """
    shifts = []
    for split in raw:
        values = split.x.astype(np.float32)
        shifts.append((float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)) or 1.0))
    match spec.standardise:
        case "by_train":
            shifts = [shifts[0], shifts[0]]
        case "none":
            shifts = [(0.0, 255.0 if split.x.dtype == np.uint8 else 1.0) for split in raw]
        case "by_split":
            pass
    train, test = (
        _resized(torch.from_numpy(split.x.astype(np.float32)).sub_(mean).div_(deviation), spec.size)
        for split, (mean, deviation) in zip(raw, shifts, strict=True)
    )
    return train, test


def _resized(x: Tensor, size: int | None) -> Tensor:
    """Images (N, H, W, C) at size x size pixels, bilinear with antialiasing; flat."""
    if x.ndim == 4 and size is not None and x.shape[1:3] != (size, size):
        parts = [
            torch.nn.functional.interpolate(
                part.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", antialias=True
            ).permute(0, 2, 3, 1)
            for part in torch.split(x, 4096)
        ]
        x = torch.cat(parts)
    return x.reshape(len(x), -1).contiguous()


def _digits() -> tuple[Raw, Raw]:
    """scikit-learn's handwritten digits, shuffled once and for all, the last 360 for the test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = stream(0, Purpose.DATA_ORDER).permutation(len(bunch.target))
    x, y = bunch.images[order].astype(np.uint8)[..., None], bunch.target[order].astype(np.int64)
    return Raw(x=x[:-_DIGITS_FOR_TEST], y=y[:-_DIGITS_FOR_TEST]), Raw(x=x[-_DIGITS_FOR_TEST:], y=y[-_DIGITS_FOR_TEST:])


def _torchvision(name: str, root: Path, *, train: bool, download: bool) -> Raw:
    try:
        split = _TORCHVISION[name](root=root, train=train, download=download)
    except (RuntimeError, OSError) as error:
        raise DataUnavailable(
            f"{name} is not under {root} ({str(error).splitlines()[0]}): put it there in torchvision's layout, or set "
            "ALIGNSWEEP_DATA_DOWNLOAD=1 on the workers"
        ) from error
    x = np.asarray(split.data)
    return Raw(x=x if x.ndim == 4 else x[..., None], y=np.asarray(split.targets, dtype=np.int64))


def _folder(path: Path, spec: DataSpec) -> Raw:
    """One folder of images per class, as torchvision's ImageFolder reads it; shuffled once and for all."""
    folder = datasets.ImageFolder(str(path))
    assert spec.size is not None
    order = stream(0, Purpose.DATA_ORDER, path.name).permutation(len(folder))
    wanted = spec.train_samples if path.name == "train" else spec.test_samples
    order = order[:wanted]
    x = np.empty((len(order), spec.size, spec.size, 3), dtype=np.uint8)
    y = np.empty(len(order), dtype=np.int64)
    for place, index in enumerate(order.tolist()):
        image, y[place] = folder[index]
        x[place] = np.asarray(image.convert("RGB").resize((spec.size, spec.size)))
    return Raw(x=x, y=y)


def _npz(path: Path, spec: DataSpec) -> tuple[Raw, Raw]:
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    splits = []
    for split in ("train", "test"):
        x, y = found[f"x_{split}"], found[f"y_{split}"]
        if x.ndim < 2 or not len(x) or x.dtype.kind not in "fiu":
            raise DataUnavailable(f"{spec.path}: x_{split} must hold samples of real numbers, one a row")
        x = x.reshape(len(x), -1)
        if x.shape[1] != spec.inputs:
            raise DataUnavailable(f"{spec.path}: samples of {x.shape[1]} numbers; the spec says inputs {spec.inputs}")
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or (len(y) and y.min() < 0):
            raise DataUnavailable(f"{spec.path}: y_{split} must be {len(x)} labels, integers from 0")
        if not np.isfinite(x).all():
            raise DataUnavailable(f"{spec.path}: x_{split} holds numbers that are not finite")
        splits.append(Raw(x=x, y=y.astype(np.int64)))
    return splits[0], splits[1]


def _inside(root: Path, spec: DataSpec) -> Path:
    """The path under the data root. Raises DataUnavailable where a link leads out of it."""
    assert spec.path is not None
    path = (root / spec.path).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DataUnavailable(f"{spec.path} is not inside the data root")
    return path
