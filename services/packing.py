"""Which trials can be trained together, and how many. Pure."""

import math
from typing import Any

from services.domain.architecture import architecture
from services.domain.packability import shared_configuration
from services.domain.ports import Resources
from services.domain.spec import DIRECT_RULES, SEQUENTIAL_RULES, TrialConfig, content_hash

# On a CPU the working set of a pack should stay in the core's share of the cache, about: workers divide a pack further
# into the size that they find fastest. On a GPU launches dominate.
_CACHE_BYTES = 16_000_000
_MAX_PACK_CPU = 64
_MAX_PACK_GPU = 1024


def pack_key(document: dict[str, Any], resources: Resources) -> str:
    """Equal for trials that one batched program can train on the same kind of worker."""
    return content_hash([shared_configuration(document), resources.cpu, resources.gpu])[:32]


def member_bytes(config: TrialConfig) -> int:
    """Working set of one trial while it trains, in bytes of float32: weights, feedback, activations, deltas."""
    network = architecture(config)
    widths = network.widths
    rules = {config.rule.name, config.rule.switch.to if config.rule.switch else None}
    direct = sum(widths[1:-1]) * widths[-1] if rules & DIRECT_RULES else 0
    sequential = network.parameter_count if rules & SEQUENTIAL_RULES else 0
    activations = config.train.batch_size * (widths[0] + 2 * sum(widths[1:]) + sum(x.saved for x in network.layers))
    return 4 * (network.parameter_count + direct + sequential + activations)


def pack_limit(config: TrialConfig, resources: Resources) -> int:
    """The largest pack of such trials that one worker trains efficiently."""
    if resources.gpu:
        return _MAX_PACK_GPU
    return max(1, min(_MAX_PACK_CPU, _CACHE_BYTES // member_bytes(config)))


def spread(unfinished: int, capacity: int, limit: int) -> int:
    """Size of the next pack: at the end of a sweep all workers share what is left.

    `unfinished` trials wait or run already; each worker is due an equal share of them.
    """
    return max(1, min(limit, math.ceil(unfinished / max(1, capacity))))
