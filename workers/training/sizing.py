"""How many trials one batched program should hold: what memory allows, and what is fastest on this machine."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from services.domain import footprint
from services.domain.packability import shared_configuration
from services.domain.spec import TrialSpec, content_hash
from workers.training import engine, products
from workers.training.data.library import DataLibrary

_SIZES = (8, 16, 32, 64)
_WHOLE = 16
"""So few trials are one pack: launches of small programs cost more than their cache misses."""
_SECONDS_PER_SIZE = 0.2
_WARM_UP_STEPS = 3
_GAIN = 1.03
"""A larger pack must be so much faster: smaller ones answer sooner and spread better."""
_GPU_FILL = 0.8


@dataclass(frozen=True)
class _Found:
    """The fastest `size` of those up to `tried`."""

    size: int
    tried: int

    def answers(self, trials: int) -> bool:
        """Whether more sizes would tell nothing new: all are tried, or a larger one was slower already."""
        return trials <= self.tried or self.size < self.tried


@dataclass
class PackSizes:
    """The fastest pack size of each program: on a CPU measured once and kept in `folder` for every worker of the
    machine, on a GPU as many as fit into memory. It never changes a number: trials do not depend on their pack.
    """

    folder: Path | None
    device: torch.device
    gpu_share: float = 1.0
    """Of the GPU's memory, what belongs to this process."""
    _known: dict[str, _Found] = field(default_factory=dict)

    def best(self, trials: Sequence[TrialSpec], library: DataLibrary) -> int:
        """Size of the packs to train these trials in; measured when the program is new and they are many.

        Theory is solved as it comes. Raises DataUnavailable when the data is not on this machine.
        """
        if trials[0].config.model.kind == "theory":
            return len(trials)
        if self.device.type == "cuda":
            _, total = torch.cuda.mem_get_info(self.device)
            room = int(_GPU_FILL * self.gpu_share * total)
            return max(1, min(len(trials), room // footprint.peak(trials[0].config)))
        if len(trials) <= _WHOLE:
            return len(trials)
        key = content_hash([shared_configuration(trials[0].config), os.cpu_count(), torch.__version__])[:32]
        found = self._known.get(key) or self._read(key)
        if found is None or not found.answers(len(trials)):
            found = self._measure(trials, library)
            self._write(key, found)
        self._known[key] = found
        return min(found.size, len(trials))

    def _measure(self, trials: Sequence[TrialSpec], library: DataLibrary) -> _Found:
        sizes = [*(size for size in _SIZES if size < len(trials)), len(trials)]
        rates = [_rate(trials[:size], library, self.device) for size in sizes]
        fastest = next(size for size, rate in zip(sizes, rates, strict=True) if rate * _GAIN >= max(rates))
        return _Found(fastest, len(trials))

    def _read(self, key: str) -> _Found | None:
        if self.folder is None:
            return None
        try:
            size, tried = json.loads((self.folder / f"{key}.json").read_text())
            return _Found(int(size), int(tried))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _write(self, key: str, found: _Found) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False) as unfinished:
            unfinished.write(json.dumps([found.size, found.tried]))
        Path(unfinished.name).rename(self.folder / f"{key}.json")


def _rate(trials: Sequence[TrialSpec], library: DataLibrary, device: torch.device) -> float:
    """Model-steps per second of a pack of these trials."""
    products.choose(0)
    pack = engine.start(trials, range(len(trials)), library=library, device=device)
    products.choose(pack.smallest_product)
    for _ in range(_WARM_UP_STEPS):
        pack.advance()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < _SECONDS_PER_SIZE:
        pack.advance()
        steps += 1
    return steps * len(trials) / (time.perf_counter() - started)
