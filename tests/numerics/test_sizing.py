"""Pack sizes change how fast trials are trained, and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import workers.pack
from services.domain.ports import PackBroken, PackOrder, Report, Resources
from services.domain.states import Reason
from tests.numerics.trials import CPU, LIBRARY, run, trial
from workers.pack import describe, run_pack
from workers.training.progress import Progress
from workers.training.sizing import PackSizes

ORDER = PackOrder(
    pack_id=1,
    trial_ids=range(6),
    trials=[trial(seed) for seed in range(6)],
    resources=Resources(cpu=1, gpu=0),
)


def reports(sizes: PackSizes | None = None) -> list[Report]:
    return list(run_pack(ORDER, LIBRARY, describe("cpu", "mkl", "bitwise"), sizes=sizes))


def results(found: Sequence[Report | Progress], trial_id: int) -> str:
    """All metrics and traces of a trial, however they were cut into chunks, to the last bit."""
    values: dict[str, list[float]] = {}
    for part in found:
        for columns in (getattr(part, "metrics", None), getattr(part, "traces", None)):
            if columns is not None:
                mine = columns.select(columns.trial_id == trial_id)
                for name in columns.names():
                    values.setdefault(f"{type(columns).__name__}.{name}", []).extend(getattr(mine, name).tolist())
    return repr(values)


class _Known(PackSizes):
    """A size that needs no measurement."""

    def best(self, trials: Any, library: Any) -> int:
        return 4


def test_a_pack_trained_in_parts_gives_the_same_numbers() -> None:
    whole, parts = reports(), reports(_Known(None, CPU))
    alone = run(ORDER.trials)
    for trial_id in ORDER.trial_ids:
        assert results(parts, trial_id) == results(whole, trial_id) == results(alone, trial_id)


def test_the_fastest_size_is_found_once_and_kept_for_other_workers(tmp_path: Path) -> None:
    trials = [trial(seed) for seed in range(64)]
    size = PackSizes(tmp_path, CPU).best(trials, LIBRARY)
    assert size in (8, 16, 32, 64)
    [kept] = tmp_path.iterdir()
    assert kept.read_text() == f"[{size}, 64]"
    kept.write_text("[7, 64]")
    assert PackSizes(tmp_path, CPU).best(trials, LIBRARY) == 7
    assert PackSizes(tmp_path, CPU).best(trials[:20], LIBRARY) == 7
    kept.write_text("no numbers")
    assert PackSizes(tmp_path, CPU).best(trials, LIBRARY) in (8, 16, 32, 64)


def test_more_trials_than_were_tried_are_tried_again(tmp_path: Path) -> None:
    trials = [trial(seed) for seed in range(64)]
    assert PackSizes(tmp_path, CPU).best(trials[:16], LIBRARY) == 16
    assert not list(tmp_path.iterdir())
    PackSizes(tmp_path, CPU).best(trials[:24], LIBRARY)
    [kept] = tmp_path.iterdir()
    kept.write_text("[24, 24]")
    PackSizes(tmp_path, CPU).best(trials, LIBRARY)
    assert kept.read_text().endswith(", 64]")


def test_a_part_that_does_not_fit_into_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it fits; nothing is reported twice."""
    tried: list[int] = []

    def small_memory(trials: Any, ids: Any, **options: Any) -> Iterator[Progress]:
        tried.append(len(trials))
        if len(trials) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(trials, ids, **options)

    train, fits = workers.pack.train, 2
    whole = reports()
    monkeypatch.setattr(workers.pack, "train", small_memory)
    halved = reports()
    assert tried == [6, 3, 1, 2, 3, 1, 2]
    for trial_id in ORDER.trial_ids:
        assert results(halved, trial_id) == results(whole, trial_id)
    fits = 0
    last = reports()[-1]
    assert isinstance(last, PackBroken)
    assert last.reason is Reason.OUT_OF_MEMORY
