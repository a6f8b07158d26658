"""The data sets of a machine: prepared once, memory-mapped, shared by all packs and all workers."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.domain.errors import DataUnavailable
from services.domain.spec import DataSpec, content_hash
from workers.training.data import images

_FORMAT = 1
_FIELDS = frozenset({"name", "path", "size", "standardise", "classes", "inputs", "train_samples", "test_samples"})


@dataclass(frozen=True, kw_only=True)
class Split:
    """Inputs `x_NI` float32, channels last, and labels `y_N` int64. Read-only by convention: all packs share it."""

    x_NI: Tensor
    y_N: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "Split":
        return Split(x_NI=self.x_NI.to(device, dtype), y_N=self.y_N.to(device))


@dataclass(frozen=True, kw_only=True)
class Dataset:
    train: Split
    test: Split


@dataclass(frozen=True)
class DataLibrary:
    """The data sets of this process.

    `root` holds them in torchvision's layout, as image folders or npz; `download` fetches what is missing; `cache`
    holds prepared arrays that the workers of one machine share through memory maps.
    """

    root: Path | None = None
    download: bool = False
    cache: Path | None = None
    _loaded: dict[tuple[str, torch.device, torch.dtype], Dataset] = field(default_factory=dict)

    def load(
        self, spec: DataSpec, device: torch.device = torch.device("cpu"), dtype: torch.dtype = torch.float32
    ) -> Dataset:
        """The data set on a device. Raises DataUnavailable when it is not on this machine."""
        key = content_hash([_FORMAT, spec.model_dump(mode="json", include=set(_FIELDS)), self._stamp(spec)])
        place = (key, device, dtype)
        if place not in self._loaded:
            on_cpu = self._mapped(key, spec)
            self._loaded[place] = Dataset(train=on_cpu.train.to(device, dtype), test=on_cpu.test.to(device, dtype))
        return self._loaded[place]

    def _mapped(self, key: str, spec: DataSpec) -> Dataset:
        if self.cache is None:
            return _dataset(_prepared(spec, self.root, download=self.download))
        folder = self.cache / "data" / key
        if not folder.exists():
            _store(_prepared(spec, self.root, download=self.download), folder)
        # Copy-on-write maps: the pages are the machine's, shared as long as nobody writes.
        return _dataset({name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in _ARRAYS})

    def _stamp(self, spec: DataSpec) -> list[object]:
        """Tells one state of the operator's own files from another."""
        if spec.path is None or self.root is None:
            return []
        path = self.root / spec.path
        try:
            files = [file.stat() for file in (path.rglob("*") if path.is_dir() else [path])]
        except OSError as error:
            raise DataUnavailable(f"{spec.path} is not under the data root: {error.strerror}") from error
        return [
            len(files),
            sum(status.st_size for status in files),
            max((status.st_mtime_ns for status in files), default=0),
        ]


_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def _prepared(spec: DataSpec, root: Path | None, *, download: bool) -> dict[str, np.ndarray]:
    raw = images.read(spec, root, download=download)
    labels = [split.y for split in raw]
    if spec.classes is None and max(int(y.max()) for y in labels) >= spec.output_count:
        raise DataUnavailable(f"{spec.name} has labels above {spec.output_count - 1}")
    if spec.classes is not None:
        labels = [y % spec.classes for y in labels]
    x_train, x_test = images.prepare(raw, spec)
    train, test = slice(spec.train_samples), slice(spec.test_samples)
    return {
        "x_train": x_train[train].numpy(),
        "y_train": labels[0][train],
        "x_test": x_test[test].numpy(),
        "y_test": labels[1][test],
    }


def _store(arrays: dict[str, np.ndarray], folder: Path) -> None:
    """Write the arrays so that another worker sees all of them or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "arrays"
        made.mkdir()
        for name, array in arrays.items():
            np.save(made / f"{name}.npy", array)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # another worker was faster: then its arrays are as good
                raise


def _dataset(arrays: dict[str, np.ndarray]) -> Dataset:
    tensors = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    return Dataset(
        train=Split(x_NI=tensors["x_train"], y_N=tensors["y_train"]),
        test=Split(x_NI=tensors["x_test"], y_N=tensors["y_test"]),
    )
