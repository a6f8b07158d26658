"""The Ray actor: one process that trains one pack at a time and streams what it measures."""

from collections.abc import Iterator, Sequence
from typing import Any

import ray
import torch

from services.domain.ports import PackOrder, Report
from services.domain.results import Provenance
from workers.pack import Control, describe, run_pack
from workers.training import numerics, products
from workers.training.data.library import DataLibrary
from workers.training.sizing import PackSizes


class TrainingActor:
    """Knows tensors and data sets; holds no database connection, calls nobody."""

    def __init__(self, library: DataLibrary, gpu: float) -> None:
        self._library = library
        self._device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
        share = min(1.0, gpu)
        if self._device == "cuda":
            torch.cuda.set_per_process_memory_fraction(share)  # the rest is its neighbours'
        matmul = products.configure()
        reproducibility = numerics.reproducibility(torch.device(self._device))
        node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._provenance = describe(self._device, matmul, reproducibility, node=node)
        folder = library.cache / "pack-sizes" if library.cache else None
        self._sizes = PackSizes(folder, torch.device(self._device), gpu_share=share)
        self._control = Control()

    def ready(self) -> tuple[Provenance, str]:
        """Answers once the worker can train: what it trains with, and the id of its Ray node."""
        return self._provenance, ray.get_runtime_context().get_node_id()

    def train(self, order: PackOrder) -> Iterator[Report]:
        """Stream the pack's reports; blocks while the dispatcher has not taken the earlier ones."""
        self._control = Control()
        yield from run_pack(order, self._library, self._provenance, self._control, self._sizes)

    @ray.method(concurrency_group="control")
    def drop(self, trial_ids: Sequence[int]) -> None:
        """Stop these trials of the running pack at their next trace point."""
        self._control.drop(trial_ids)

    @ray.method(concurrency_group="control")
    def ping(self) -> None:
        """Answers while the process lives."""

    @ray.method(concurrency_group="control")
    def checkpoint(self) -> None:
        """Report a checkpoint of the running pack soon."""
        self._control.checkpoint()


# Ray's own recovery is off: only the queue knows whether a pack may run again.
RemoteTrainingActor: Any = ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})(  # type: ignore[call-overload]  # Ray's stubs lack concurrency_groups
    TrainingActor
)
