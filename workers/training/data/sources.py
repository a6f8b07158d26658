"""Where batches come from: resident samples in each trial's own order, given batches, or a stream of fresh ones.

Legend of suffixes: P pack, B batch, N samples, I inputs. Targets are labels (P, N) int64 or real (P, N, C).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from services.domain.spec import TrialSpec
from workers.training.data.library import DataLibrary, Split
from workers.training.data.random import Teacher, evaluation_inputs, regression
from workers.training.members import Members, listed, select
from workers.training.streams import Purpose, stream_of

_NUMBERS_PER_BLOCK = 65_536
"""Of an online stream, drawn at once: fewer draws cost more, more cost memory."""


@dataclass(frozen=True)
class Samples:
    """`x` (N, I), shared by the pack, or (P, N, I); `y` per trial."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.x.shape[-2]

    def part(self, rows: slice) -> tuple[Tensor, Tensor]:
        """(P, B, I) and targets (P, B, ...) of these samples; views."""
        return self.x[..., rows, :].expand(len(self.y), -1, -1), self.y[:, rows]

    def gather(self, chosen_PB: Tensor) -> tuple[Tensor, Tensor]:
        """The chosen samples of each trial; copies."""
        p, b = chosen_PB.shape
        if self.x.ndim == 2:
            x_PBI = self.x.index_select(0, chosen_PB.reshape(-1)).view(p, b, -1)
        else:
            x_PBI = self.x.gather(1, chosen_PB.unsqueeze(-1).expand(-1, -1, self.x.shape[-1]))
        if self.y.ndim == 2:
            return x_PBI, self.y.gather(1, chosen_PB)
        return x_PBI, self.y.gather(1, chosen_PB.unsqueeze(-1).expand(-1, -1, self.y.shape[-1]))

    def select(self, members: Members) -> "Samples":
        return Samples(self.x if self.x.ndim == 2 else select(self.x, members), select(self.y, members))


class Source(Protocol):
    """Batches of a pack by step, and fixed samples to evaluate on."""

    @property
    def train(self) -> Samples: ...

    @property
    def test(self) -> Samples: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (P, B, I) and targets of update number `step`, from 0: a function of the step alone."""
        ...

    def select(self, members: Members) -> "Source":
        """The batches of these members."""
        ...


@dataclass
class Resident:
    """All samples in memory; every epoch visits each once, in an order of the trial's own."""

    trials: list[TrialSpec]
    train: Samples
    test: Samples
    _epoch: int = -1
    _order_PN: Tensor | None = None

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.train) / self._batch_size)

    @property
    def _batch_size(self) -> int:
        return self.trials[0].config.train.batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        epoch, within = divmod(step, self.steps_per_epoch)
        rows = slice(within * self._batch_size, (within + 1) * self._batch_size)
        if not self.trials[0].config.train.shuffle:
            return self.train.part(rows)
        if epoch != self._epoch or self._order_PN is None:
            orders = [stream_of(t, Purpose.DATA_ORDER, epoch).permutation(len(self.train)) for t in self.trials]
            self._epoch, self._order_PN = epoch, torch.from_numpy(np.stack(orders)).to(self.train.x.device)
        return self.train.gather(self._order_PN[:, rows])

    def select(self, members: Members) -> "Resident":
        return Resident(
            listed(self.trials, members),
            self.train.select(members),
            self.test.select(members),
            self._epoch,
            select(self._order_PN, members),
        )


@dataclass(frozen=True)
class Scripted:
    """Batches given from outside: `batches_SB` (steps, B) are indices into the training samples."""

    batches_SB: Tensor
    train: Samples
    test: Samples

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.batches_SB))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        row = self.batches_SB[min(step, len(self.batches_SB) - 1)]
        return self.train.gather(row.expand(len(self.train.y), -1))

    def select(self, members: Members) -> "Scripted":
        return replace(self, train=self.train.select(members), test=self.test.select(members))


@dataclass
class Online:
    """A fresh batch at every step, labelled by each trial's teacher. An epoch is as many steps as inputs."""

    trials: list[TrialSpec]
    teachers: list[Teacher]
    train: Samples
    test: Samples
    _block: int = -1
    _x_PBI: Tensor | None = None
    _y_PB1: Tensor | None = None

    @property
    def steps_per_epoch(self) -> int:
        return self.train.x.shape[-1]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        size = self.trials[0].config.train.batch_size
        steps = max(1, _NUMBERS_PER_BLOCK // (size * self.train.x.shape[-1]))
        block, within = divmod(step, steps)
        if block != self._block or self._x_PBI is None or self._y_PB1 is None:
            drawn = [
                teacher.samples(trial, f"block {block}", steps * size)
                for trial, teacher in zip(self.trials, self.teachers, strict=True)
            ]
            self._block = block
            self._x_PBI, self._y_PB1 = (
                torch.from_numpy(np.stack(arrays)).to(self.train.x) for arrays in zip(*drawn, strict=True)
            )
        rows = slice(within * size, (within + 1) * size)
        return self._x_PBI[:, rows], self._y_PB1[:, rows]

    def select(self, members: Members) -> "Online":
        return Online(
            listed(self.trials, members),
            listed(self.teachers, members),
            self.train.select(members),
            self.test.select(members),
            self._block,
            select(self._x_PBI, members),
            select(self._y_PB1, members),
        )


def make_source(trials: Sequence[TrialSpec], library: DataLibrary, device: torch.device, dtype: torch.dtype) -> Source:
    """The data of a pack. Raises DataUnavailable when it is not on this machine."""
    spec = trials[0].config.data
    match spec.name:
        case "teacher":
            return _online(trials, device, dtype)
        case "regression":
            count = {"train": spec.train_count, "test": spec.test_count}
            drawn = {split: [regression(trial, split, count[split]) for trial in trials] for split in count}
            train, test = (
                Samples(*(torch.from_numpy(np.stack(part)).to(device, dtype) for part in zip(*split, strict=True)))
                for split in (drawn["train"], drawn["test"])
            )
            return Resident(list(trials), train, test)
        case _:
            dataset = library.load(spec, device, dtype)
            y_train = _labels(trials, dataset.train, "train", noisy=True)
            y_test = _labels(trials, dataset.test, "test", noisy=spec.label_noise_on == "both")
            return Resident(list(trials), Samples(dataset.train.x_NI, y_train), Samples(dataset.test.x_NI, y_test))


def noisy_labels(trial: TrialSpec, y_N: Tensor, classes: int, split: str = "train") -> Tensor:
    """Labels of one trial, shape (N,): each is redrawn uniformly with the probability of the noise.

    A label may be redrawn as itself, so the rate of wrong labels is p (1 - 1/C).
    """
    probability = trial.config.data.label_noise
    if probability == 0:
        return y_N
    generator = stream_of(trial, Purpose.LABEL_NOISE, split)
    redrawn = generator.random(len(y_N)) < probability
    labels = np.where(redrawn, generator.integers(0, classes, len(y_N)), y_N.cpu().numpy())
    return torch.from_numpy(labels).to(y_N.device)


def _labels(trials: Sequence[TrialSpec], split: Split, name: str, *, noisy: bool) -> Tensor:
    """Labels of every trial, (P, N)."""
    if not noisy or all(trial.config.data.label_noise == 0 for trial in trials):
        return split.y_N.expand(len(trials), -1)
    classes = trials[0].config.data.output_count
    return torch.stack([noisy_labels(trial, split.y_N, classes, name) for trial in trials])


def _online(trials: Sequence[TrialSpec], device: torch.device, dtype: torch.dtype) -> Online:
    spec = trials[0].config.data
    teachers = [Teacher.of(trial) for trial in trials]

    def fixed(split: str) -> Samples:
        x = evaluation_inputs(spec, split, spec.test_count)
        y = np.stack([teacher.outputs(x) for teacher in teachers])
        return Samples(torch.from_numpy(x).to(device, dtype), torch.from_numpy(y).to(device, dtype))

    return Online(list(trials), teachers, fixed("train"), fixed("test"))
