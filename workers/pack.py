"""One pack, from order to reports: what every executor runs, in whichever process."""

import math
import platform
import socket
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import version
from time import monotonic

import numpy as np
import torch

from services.domain.errors import DataUnavailable
from services.domain.ports import PackBroken, PackEnded, PackOrder, PackStarted, Report
from services.domain.results import Chunk, MetricColumns, OrderColumns, Outcome, Provenance, TraceColumns
from services.domain.states import Reason
from workers.training.data.library import DataLibrary
from workers.training.engine import Progress, train
from workers.training.sizing import PackSizes

_CHUNK_SECONDS = 0.25


def run_pack(
    order: PackOrder,
    library: DataLibrary,
    provenance: Provenance,
    dropped: Callable[[], Collection[int]],
    sizes: PackSizes | None = None,
) -> Iterator[Report]:
    """Train the pack and report: started, chunks, and an end. Failures are reports, never exceptions.

    `dropped` returns the ids of trials that need not be trained any further. With `sizes`, the trials are trained one
    part after the other, each of the size that is fastest.
    """
    yield PackStarted(pack_id=order.pack_id, provenance=provenance)
    try:
        size = sizes.best(order.trials, library) if sizes else len(order.trials)
        progress = _in_parts(order, size, library, torch.device(provenance.device), dropped)
        yield from _chunks(order.pack_id, progress)
    except DataUnavailable as error:
        outcomes = [
            Outcome(trial_id=trial_id, reason=Reason.USER_ERROR, error=str(error)) for trial_id in order.trial_ids
        ]
        yield Chunk(pack_id=order.pack_id, seq=0, outcomes=outcomes)
    except torch.OutOfMemoryError as error:
        yield PackBroken(pack_id=order.pack_id, reason=Reason.OUT_OF_MEMORY, error=str(error))
        return
    except Exception:
        yield PackBroken(pack_id=order.pack_id, reason=Reason.UNKNOWN_ERROR, error=traceback.format_exc(limit=20))
        return
    yield PackEnded(pack_id=order.pack_id)


def _in_parts(
    order: PackOrder,
    size: int,
    library: DataLibrary,
    device: torch.device,
    dropped: Callable[[], Collection[int]],
) -> Iterator[Progress]:
    """The progress of all parts. One that does not fit into memory is halved; raises OutOfMemoryError for one trial."""
    slots = range(len(order.trials))
    size = math.ceil(len(slots) / math.ceil(len(slots) / size))  # parts of equal size
    waiting = deque(slots[start : start + size] for start in range(0, len(slots), size))
    while waiting:
        part = waiting.popleft()
        begun = False
        try:
            for point in train(
                [order.trials[slot] for slot in part],
                [order.trial_ids[slot] for slot in part],
                library=library,
                device=device,
                dropped=dropped,
            ):
                begun = True
                yield point
        except torch.OutOfMemoryError:
            if begun or len(part) == 1:
                raise
            half = len(part) // 2
            waiting.extendleft((part[half:], part[:half]))


def describe(device: str, matmul: str, reproducibility: str, *, node: str | None = None) -> Provenance:
    """Where this process trains, and with what. `node`: the host's name unless the cluster has a better one."""
    return Provenance(
        node=node or socket.gethostname(),
        device=device,
        versions={
            "alignsweep": version("alignsweep"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        matmul=matmul,
        reproducibility=reproducibility,
    )


def _chunks(pack_id: int, progress: Iterator[Progress]) -> Iterator[Chunk]:
    """Trace points gathered into chunks of a few per second; the first one leaves at once."""
    gathered: list[Progress] = []
    seq, sent_at = 0, 0.0
    for point in progress:
        gathered.append(point)
        if monotonic() - sent_at >= _CHUNK_SECONDS:
            yield _chunk(pack_id, seq, gathered)
            gathered, seq, sent_at = [], seq + 1, monotonic()
    if gathered:
        yield _chunk(pack_id, seq, gathered)


def _chunk(pack_id: int, seq: int, gathered: list[Progress]) -> Chunk:
    orders = [point.orders for point in gathered if point.orders is not None]
    return Chunk(
        pack_id=pack_id,
        seq=seq,
        metrics=MetricColumns.concatenate([point.metrics for point in gathered]),
        traces=TraceColumns.concatenate([point.traces for point in gathered]),
        orders=OrderColumns.concatenate(orders) if orders else None,
        snapshots=[snapshot for point in gathered for snapshot in point.snapshots],
        outcomes=[outcome for point in gathered for outcome in point.outcomes],
        model_steps=sum(point.model_steps for point in gathered),
    )
