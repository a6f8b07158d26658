"""Which data sets lie under a data root: what is told before a sweep asks for one that is not there."""

from dataclasses import dataclass
from pathlib import Path

from services.domain.spec import DataSpec
from services.settings import Settings

_FOLDERS = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
}
"""Where torchvision keeps them."""


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The data root of this machine. Workers elsewhere may have another: what is not here need not be wrong."""

    root: Path
    download: bool

    @classmethod
    def of(cls, settings: Settings) -> "Shelf":
        return cls(root=settings.data_root, download=settings.data_download)

    def has(self, data: DataSpec) -> bool:
        """Whether it is here, drawn, part of the packages, or fetched when it is asked for. Nothing is opened."""
        if data.path is not None:
            return (self.root / data.path).exists()
        return data.name not in _FOLDERS or self.download or self._holds(data.name)

    def names(self) -> list[str]:
        """The sets of images that are here."""
        return ["digits", *(name for name in _FOLDERS if self._holds(name))]

    def describe(self) -> str:
        """What is here and what is not, in one line."""
        missing = [name for name in _FOLDERS if not self._holds(name)]
        if not missing:
            return f"{', '.join(self.names())} (under {self.root})"
        then = "fetched when asked for" if self.download else "not here; ALIGNSWEEP_DATA_DOWNLOAD=1 would fetch them"
        return f"{', '.join(self.names())}; {', '.join(missing)}: {then} (under {self.root})"

    def _holds(self, name: str) -> bool:
        return (self.root / _FOLDERS[name]).is_dir()
