"""The Executor in this very process: one worker, one trace point at a time, no threads.

For tests, debugging, and machines without Ray.
"""

import os
from collections.abc import Iterator, Sequence

from services.domain.ports import PackOrder, Report, Resources, WorkerStatus
from services.domain.results import Provenance
from workers.pack import Control, run_pack
from workers.training.data.library import DataLibrary


class InlineExecutor:
    """Each `poll` advances the running pack by one chunk."""

    def __init__(self, library: DataLibrary, provenance: Provenance) -> None:
        self._library = library
        self._provenance = provenance
        self._reports: Iterator[Report] | None = None
        self._pack_id: int | None = None
        self._control = Control()

    def capacity(self, resources: Resources) -> int:
        return 1

    def has_room(self, resources: Resources) -> bool:
        return self._pack_id is None and resources.gpu == 0

    def start(self, order: PackOrder) -> None:
        assert self._pack_id is None, "has_room was not asked"
        self._pack_id = order.pack_id
        self._control = Control()
        self._reports = run_pack(order, self._library, self._provenance, self._control)

    def poll(self) -> list[Report]:
        report = next(self._reports, None) if self._reports else None
        if report is None:
            self._reports = self._pack_id = None
            return []
        return [report]

    def drop(self, pack_id: int, trial_ids: Sequence[int]) -> None:
        if pack_id == self._pack_id:
            self._control.drop(trial_ids)

    def checkpoint(self, pack_id: int) -> None:
        if pack_id == self._pack_id:
            self._control.checkpoint()

    def abandon(self, pack_id: int) -> None:
        if pack_id == self._pack_id:
            self._reports = self._pack_id = None

    def workers(self) -> list[WorkerStatus]:
        return [
            WorkerStatus(
                name=f"inline:{os.getpid()}",
                node=self._provenance.node,
                resources=Resources(cpu=1, gpu=0),
                pack_id=self._pack_id,
            )
        ]

    def close(self) -> None:
        self._reports = self._pack_id = None
