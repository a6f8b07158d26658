"""A dispatcher whose workers abort as soon as they have begun to train one certain seed; all else is the product's.

    python -m tests.faults.sabotage

The worker really dies, in the middle of a pack, as of a fault in native code. A spec cannot ask for that, so the actor
is replaced by one that looks at the seeds of its pack.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

from services.domain.ports import Executor, PackOrder, Report
from services.domain.results import Chunk
from services.settings import Settings
from workers import main

POISON = 666
_OPTIONS: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "concurrency_groups": {"control": 1}}


def saboteur() -> Any:
    """The actor: like any other, until the first chunk of a pack with the poisonous seed is out."""
    import ray

    from workers.cluster import actor

    class TrainingActor(actor.TrainingActor):
        def train(self, order: PackOrder) -> Iterator[Report]:
            poisonous = any(trial.seed == POISON for trial in order.trials)
            for report in super().train(order):
                yield report
                if poisonous and isinstance(report, Chunk):
                    os.abort()

    return ray.remote(**_OPTIONS)(TrainingActor)


def sabotaged(make_executor: Any, settings: Settings) -> Executor:
    made: Executor = make_executor(settings)  # imports Ray, after it has been told how to authenticate

    from workers.cluster import executor

    executor.RemoteTrainingActor = saboteur()
    return made


if __name__ == "__main__":
    product = main.make_executor
    main.make_executor = lambda settings: sabotaged(product, settings)
    sys.exit(main.main())
