"""The packed trainer: the only training loop. Trials of one pack share a program; seeds and numbers are their own.

A trial's numbers do not depend on its pack-mates, nor on where a training was interrupted and resumed.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from services.domain.architecture import architecture
from services.domain.packability import shared_configuration
from services.domain.results import MetricColumns, Outcome, TraceColumns
from services.domain.schedule import trace_steps
from services.domain.spec import TrialSpec
from services.domain.states import Reason
from workers.training import products, solving
from workers.training.data.library import DataLibrary
from workers.training.data.sources import make_source
from workers.training.pack import Pack
from workers.training.progress import Progress
from workers.training.state import TrialState, checkpoints, restore, snapshots

_STEPS_BETWEEN_LOOKS = 64


def train(
    trials: Sequence[TrialSpec],
    trial_ids: Sequence[int],
    *,
    library: DataLibrary,
    device: torch.device,
    dropped: Callable[[], Collection[int]] = frozenset,
    checkpoint_due: Callable[[], bool] = lambda: False,
    dtype: torch.dtype = torch.float32,
    resume: Sequence[TrialState] = (),
) -> Iterator[Progress]:
    """Train the pack, one Progress per trace point.

    `dropped` names trials that need not go on; they leave without an outcome. `checkpoint_due` is asked now and then.
    `resume`: states of all trials, at one step; trace points up to that step are not given again. Raises
    DataUnavailable, and ValueError for trials that cannot share a pack. The theory is solved in place of training, from
    its start.
    """
    _require_one_shape(trials)
    if trials[0].config.model.kind == "theory":
        yield from solving.solve(trials, trial_ids, dropped=dropped)
        return
    products.choose(0)
    pack = start(trials, trial_ids, library=library, device=device, dtype=dtype)
    if resume:
        restore(pack, resume)
    yield from run(pack, dropped=dropped, checkpoint_due=checkpoint_due)


def start(
    trials: Sequence[TrialSpec],
    trial_ids: Sequence[int],
    *,
    library: DataLibrary,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Pack:
    """The pack before its first step: data, weights and feedback, each from its named stream."""
    network = architecture(trials[0].config)
    return Pack.start(trials, trial_ids, network, make_source(trials, library, device, dtype), device, dtype)


def run(
    pack: Pack,
    *,
    dropped: Callable[[], Collection[int]] = frozenset,
    checkpoint_due: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Train the pack from where it stands to the end of its last epoch."""
    config = pack.config
    total = config.train.epochs * pack.source.steps_per_epoch
    kept = set(trace_steps(total, config.trace.snapshots_per_decade)) if config.trace.snapshots_per_decade else set()
    due = {*trace_steps(total, config.trace.points_per_decade), *kept}
    if pack.step:
        due = {step for step in due if step > pack.step}
    ended: list[Outcome] = []
    model_steps = 0
    products.choose(pack.smallest_product)
    while pack.ids:
        step = pack.step
        if step in due or step % _STEPS_BETWEEN_LOOKS == 0:
            pack.keep([trial_id not in dropped() for trial_id in pack.ids])
            ended += pack.remove_diverged()
        if step in due and pack.ids:
            point, diverged = pack.trace_point()
            ended += diverged
            if step == total:
                ended += [Outcome(trial_id=id_, reason=Reason.COMPLETED, steps=total) for id_ in pack.ids]
            yield Progress(
                metrics=point.metrics,
                traces=point.traces,
                orders=point.orders,
                snapshots=snapshots(pack) if step in kept else [],
                outcomes=ended,
                model_steps=model_steps,
            )
            products.choose(pack.smallest_product)  # others may have chosen meanwhile
            ended, model_steps = [], 0
        if step == total or not pack.ids:
            break
        if step and step % _STEPS_BETWEEN_LOOKS == 0 and checkpoint_due():
            yield Progress(
                metrics=MetricColumns.empty(),
                traces=TraceColumns.empty(),
                checkpoints=checkpoints(pack),
                model_steps=model_steps,
            )
            products.choose(pack.smallest_product)
            model_steps = 0
        pack.advance(remember=step + 1 in due)
        model_steps += len(pack.ids)
    if ended:
        yield Progress(
            metrics=MetricColumns.empty(), traces=TraceColumns.empty(), outcomes=ended, model_steps=model_steps
        )


def _require_one_shape(trials: Sequence[TrialSpec]) -> None:
    if len({shared_configuration(trial.config) for trial in trials}) != 1:
        raise ValueError("these trials cannot share a pack: they differ in what a pack has in common")
