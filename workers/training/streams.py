"""Named random streams. Each is keyed by seed, purpose and index, never by the slot in a pack or by library state."""

import hashlib
from enum import StrEnum

import numpy as np

from services.domain.spec import TrialSpec


class Purpose(StrEnum):
    WEIGHT_INIT = "weight_init"
    DATA_ORDER = "data_order"
    FEEDBACK = "feedback"
    LABEL_NOISE = "label_noise"


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The stream of a purpose: Philox under a key that is a hash of all three. `index`: layer or epoch."""
    digest = hashlib.blake2b(f"{purpose}/{seed}/{index}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))


def seed_of(trial: TrialSpec, purpose: Purpose) -> int:
    """The trial's seed, unless its configuration pins the stream."""
    config = trial.config
    match purpose:
        case Purpose.WEIGHT_INIT:
            pinned = config.model.init_seed
        case Purpose.DATA_ORDER:
            pinned = config.train.order_seed
        case Purpose.FEEDBACK:
            pinned = config.rule.feedback.seed
        case Purpose.LABEL_NOISE:
            pinned = config.data.label_noise_seed
    return trial.seed if pinned is None else pinned
