"""Which trials can be trained together, and how many. Pure."""

import itertools
import math
from typing import Any

from services.domain.datasets import layer_widths
from services.domain.packability import shared_configuration
from services.domain.ports import Resources
from services.domain.spec import TrialConfig, content_hash

# On a CPU the working set of a pack should stay in the core's share of the cache; on a GPU launches dominate.
_CACHE_BYTES = 6_000_000
_MAX_PACK_CPU = 64
_MAX_PACK_GPU = 1024


def pack_key(document: dict[str, Any], resources: Resources) -> str:
    """Equal for trials that one batched program can train on the same kind of worker."""
    return content_hash([shared_configuration(document), resources.cpu, resources.gpu])[:32]


def member_bytes(config: TrialConfig) -> int:
    """Working set of one trial while it trains, in bytes of float32: weights, feedback, activations, deltas."""
    widths = layer_widths(config)
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    feedback = weights - widths[0] * widths[1] if config.rule.name == "fa" else sum(widths[1:-1]) * widths[-1]
    activations = config.train.batch_size * (widths[0] + 2 * sum(widths[1:]))
    return 4 * (weights + feedback + activations)


def pack_limit(config: TrialConfig, resources: Resources) -> int:
    """The largest pack of such trials that one worker trains efficiently."""
    if resources.gpu:
        return _MAX_PACK_GPU
    return max(1, min(_MAX_PACK_CPU, _CACHE_BYTES // member_bytes(config)))


def spread(waiting: int, capacity: int, limit: int) -> int:
    """Size of the next pack when `waiting` trials are due: at the end of a sweep all workers share what is left."""
    return max(1, min(limit, math.ceil(waiting / max(1, capacity))))
