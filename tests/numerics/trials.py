"""Small trials for the numerical tests, run without any service."""

from collections.abc import Sequence
from typing import Any

import torch

from services.domain.spec import TrialConfig, TrialSpec
from workers.training import engine
from workers.training.data.library import DataLibrary
from workers.training.pack import Pack
from workers.training.progress import Progress

CPU = torch.device("cpu")
LIBRARY = DataLibrary()

SMALL: dict[str, Any] = {
    "data": {"train_samples": 75},
    "model": {"hidden": [12, 9]},
    "rule": {"name": "dfa"},
    "train": {"epochs": 2},
    "trace": {"evaluate_on": 50, "probe": 20},
}

CNN = {"kind": "cnn", "conv": {"channels": [3, 4], "kernel": 3}, "hidden": []}
TRANSFORMER = {"kind": "transformer", "transformer": {"patch": 4, "width": 6, "blocks": 1, "heads": 2}}
COMMITTEE: dict[str, Any] = {
    "data": {"name": "teacher", "inputs": 20, "test_samples": 50},
    "model": {"kind": "committee", "hidden": [3], "activation": "erf", "init": "normal", "init_scale": 0.1},
    "train": {"epochs": 6, "lr": 0.1, "batch_size": 1, "loss": "half_mse"},
}


def trial(seed: int = 0, **sections: dict[str, Any]) -> TrialSpec:
    """A small trial on digits; each section's values replace or join the small ones."""
    document = {name: {**SMALL.get(name, {}), **sections.get(name, {})} for name in {*SMALL, *sections}}
    if document["data"].get("name", "digits") not in ("digits", "mnist"):
        document["data"].pop("train_samples", None)
    return TrialSpec(config=TrialConfig.model_validate(document), seed=seed)


def run(trials: Sequence[TrialSpec], **options: Any) -> list[Progress]:
    return list(engine.train(trials, list(range(len(trials))), library=LIBRARY, device=CPU, **options))


def start(*trials: TrialSpec, dtype: torch.dtype = torch.float64) -> Pack:
    return engine.start(trials, range(len(trials)), library=LIBRARY, device=CPU, dtype=dtype)


def rows_of(points: Sequence[Progress], trial_id: int) -> str:
    """All rows of one trial, to the last bit: metrics, traces, order parameters."""
    rows = []
    for point in points:
        for columns in (point.metrics, point.traces, point.orders):
            if columns is not None:
                mine = columns.select(columns.trial_id == trial_id)
                rows += [getattr(mine, name).tolist() for name in columns.names() if name != "trial_id"]
    return repr(rows)
