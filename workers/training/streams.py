"""Named random streams. Each is keyed by seed, purpose and index, never by the slot in a pack or by library state."""

import hashlib
from enum import StrEnum

import numpy as np

from services.domain.spec import TrialSpec


class Purpose(StrEnum):
    """What a stream is for; each may be pinned apart from the others, or follows the trial's seed."""

    WEIGHT_INIT = "weight_init"
    DATA_ORDER = "data_order"
    FEEDBACK = "feedback"
    LABEL_NOISE = "label_noise"
    SAMPLES = "samples"
    TEACHER = "teacher"
    MAGNITUDE = "magnitude"
    MIRROR = "mirror"
    PERTURBATION = "perturbation"


def stream(seed: int, purpose: Purpose, index: int | str = 0) -> np.random.Generator:
    """The stream of a purpose: Philox under a key that is a hash of all three. `index`: layer, epoch or step."""
    digest = hashlib.blake2b(f"{purpose}/{seed}/{index}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))


def stream_of(trial: TrialSpec, purpose: Purpose, index: int | str = 0) -> np.random.Generator:
    """The trial's stream: under its seed, unless its configuration pins the purpose."""
    return stream(seed_of(trial, purpose), purpose, index)


def seeds_of(trial: TrialSpec) -> dict[str, int]:
    """The seed of every stream of the trial, by purpose."""
    return {str(purpose): seed_of(trial, purpose) for purpose in Purpose}


def seed_of(trial: TrialSpec, purpose: Purpose) -> int:
    """The trial's seed, unless its configuration pins the stream."""
    config = trial.config
    match purpose:
        case Purpose.WEIGHT_INIT:
            pinned = config.model.init_seed
        case Purpose.DATA_ORDER:
            pinned = config.train.order_seed
        case Purpose.FEEDBACK | Purpose.MAGNITUDE | Purpose.MIRROR:
            pinned = config.rule.feedback.seed
        case Purpose.LABEL_NOISE:
            pinned = config.data.label_noise_seed
        case Purpose.SAMPLES:
            pinned = config.data.seed
        case Purpose.TEACHER:
            pinned = config.data.teacher.seed
        case Purpose.PERTURBATION:
            pinned = None
    return trial.seed if pinned is None else pinned
