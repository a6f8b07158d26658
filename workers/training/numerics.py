"""The self-test at worker start: do a trial's numbers depend on its pack on this machine?"""

import torch
from torch import Tensor

from services.domain.spec import (
    ConvSpec,
    DataSpec,
    ModelSpec,
    RuleSpec,
    TraceSpec,
    TrainSpec,
    TrialConfig,
    TrialSpec,
)
from workers.training.data.library import DataLibrary
from workers.training.engine import train

_MODELS = (
    ModelSpec(hidden=[37, 37]),
    ModelSpec(hidden=[64, 64], activation="relu"),
    ModelSpec(hidden=[7, 1]),
    ModelSpec(kind="cnn", conv=ConvSpec(channels=[5, 7], kernel=3), hidden=[], activation="sigmoid"),
)


def reproducibility(device: torch.device) -> str:
    """`bitwise` when trials of odd shapes give the same bits alone and in a pack on this machine, else `tolerance`."""
    for model in _MODELS:
        config = TrialConfig(
            data=DataSpec(train_samples=75),
            model=model,
            rule=RuleSpec(name="dfa"),
            train=TrainSpec(epochs=2),
            trace=TraceSpec(evaluate_on=100, probe=50),
        )
        trials = [TrialSpec(config=config, seed=seed) for seed in range(5)]
        packed = _final_norms(trials, device)
        alone = torch.cat([_final_norms([trial], device) for trial in trials])
        if not torch.equal(packed, alone):
            return "tolerance"
    return "bitwise"


def _final_norms(trials: list[TrialSpec], device: torch.device) -> Tensor:
    """Weight norms of every layer at the end, (P L,) float64."""
    *_, last = train(trials, list(range(len(trials))), library=DataLibrary(), device=device)
    return torch.from_numpy(last.traces.weight_norm)
