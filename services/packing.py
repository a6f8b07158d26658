"""Which trials can be trained together, and how many. Pure."""

import math
from typing import Any

from services.domain.footprint import working_set
from services.domain.packability import shared_configuration
from services.domain.ports import Resources
from services.domain.spec import TrialConfig, content_hash

# On a CPU the working set of a pack should stay in the core's share of the cache, about: workers divide a pack further
# into the size that they find fastest. On a GPU launches dominate.
_CACHE_BYTES = 16_000_000
MAX_PACK_CPU = 64
MAX_PACK_GPU = 1024


def pack_key(document: dict[str, Any], resources: Resources) -> str:
    """Equal for trials that one batched program can train on the same kind of worker."""
    return content_hash([shared_configuration(document), resources.cpu, resources.gpu])[:32]


def pack_limit(config: TrialConfig, resources: Resources) -> int:
    """The largest pack of such trials that one worker trains efficiently."""
    if resources.gpu:
        return MAX_PACK_GPU
    return max(1, min(MAX_PACK_CPU, _CACHE_BYTES // working_set(config)))


def spread(total: int, unfinished: int, capacity: int, limit: int) -> int:
    """Size of the next pack: all workers are to come to the end of a sweep at the same time.

    `total` trials of the sweeps at hand are divided into full rounds of equal packs, one for each worker. Of the
    `unfinished`, which wait or run, nobody gets more than an equal share.
    """
    workers = max(1, capacity)
    rounds = math.ceil(total / (workers * limit))
    return max(1, min(math.ceil(total / (workers * max(1, rounds))), math.ceil(unfinished / workers)))
