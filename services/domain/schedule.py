"""When a trial is measured. A step is one update; trace point s shows the weights after s updates."""

import math

from services.domain.spec import TrialConfig


def steps_per_epoch(config: TrialConfig) -> int:
    """Updates per epoch; a last, smaller batch is kept. Of online data, one step per input dimension."""
    if config.data.name == "teacher":
        return config.data.train_count
    return math.ceil(config.data.train_count / config.train.batch_size)


def total_steps(config: TrialConfig) -> int:
    """Updates of the whole training."""
    return config.train.epochs * steps_per_epoch(config)


def trace_steps(total: int, points_per_decade: int) -> list[int]:
    """Step 0, steps evenly spaced in the logarithm, and the last step; unique and increasing."""
    points = 1 + math.ceil(points_per_decade * math.log10(max(1, total)))
    spaced = (round(10 ** (point / points_per_decade)) for point in range(points))
    return sorted({0, total, *(step for step in spaced if step < total)})
