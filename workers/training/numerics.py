"""How this process multiplies matrices, chosen once at worker start and recorded with every attempt."""

import torch
from torch import Tensor

from services.domain.spec import DataSpec, ModelSpec, RuleSpec, TraceSpec, TrainSpec, TrialConfig, TrialSpec
from workers.training.data import DataLibrary
from workers.training.engine import train

_TOLERATED_ERROR = 5e-6


def configure() -> str:
    """One thread, and the faster of two exact matrix products. Returns its name.

    On CPUs with AVX-512 but no matrix unit, oneDNN's `bf16` precision still multiplies in float32, and faster than MKL
    does on AMD. It is taken only where a probe product is as accurate as float32 can be.
    """
    torch.set_num_threads(1)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
    if _probe_error() < _TOLERATED_ERROR:
        return "onednn"
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # type: ignore[attr-defined]
    return "mkl"


def reproducibility(device: torch.device) -> str:
    """`bitwise` when trials of odd shapes give the same bits alone and in a pack on this machine, else `tolerance`."""
    for width in (37, 64):
        config = TrialConfig(
            data=DataSpec(train_samples=75),
            model=ModelSpec(hidden=[width, width]),
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


def _probe_error() -> float:
    """Largest relative error of a float32 product against float64."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 64, 196, generator=generator), torch.randn(4, 196, 64, generator=generator)
    exact = torch.bmm(a.double(), b.double())
    return float((torch.bmm(a, b).double() - exact).abs().max() / exact.abs().max())
