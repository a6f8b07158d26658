"""Which library multiplies the matrices of this process.

On Intel's CPUs MKL is the faster one. On others it stops at AVX2 and oneDNN is faster, whose `bf16` precision still
multiplies in float32 on CPUs without a matrix unit. Who made the CPU decides, not a stopwatch: bits must not change
from one day to the next. But torch hands a batched product to oneDNN only from a total size on, batch included: a
trial could change library with the size of its pack. So a pack may take oneDNN only where even one member's smallest
product is large enough.
"""

from pathlib import Path

import torch
from torch import Tensor

_TOLERATED_ERROR = 5e-6
_ONEDNN_FROM = 16**3
"""Multiplications in one product from which torch considers oneDNN."""

_prefers_onednn = False


def configure() -> str:
    """One thread, and the faster of two exact matrix products where it may be used. Returns its name."""
    global _prefers_onednn
    torch.set_num_threads(1)
    _use_onednn(True)
    _prefers_onednn = not _made_by_intel() and _probe_error() < _TOLERATED_ERROR
    _use_onednn(False)
    return "onednn" if _prefers_onednn else "mkl"


def choose(smallest_product: int) -> None:
    """Choose the library for a pack, given the multiplications in the smallest product of one member."""
    _use_onednn(_prefers_onednn and smallest_product > _ONEDNN_FROM)


def bmm(a: Tensor, b: Tensor) -> Tensor:
    """The batched product. A lone one with an extent of 1 would go to routines that round differently: it is taken
    twice, as in a pack."""
    if len(a) == 1 and _thin(a, b):
        return torch.bmm(a.expand(2, -1, -1), b.expand(2, -1, -1))[:1]
    return torch.bmm(a, b)


def subtract_bmm(c: Tensor, a: Tensor, b: Tensor) -> None:
    """c -= a b, in place, as `bmm` has it."""
    if len(a) == 1 and _thin(a, b):
        twice = c.repeat(2, 1, 1).baddbmm_(a.expand(2, -1, -1), b.expand(2, -1, -1), alpha=-1)
        c.copy_(twice[:1])
    else:
        c.baddbmm_(a, b, alpha=-1)


def _thin(a: Tensor, b: Tensor) -> bool:
    return a.shape[1] == 1 or a.shape[2] == 1 or b.shape[2] == 1


def _use_onednn(wanted: bool) -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "bf16" if wanted else "none"  # type: ignore[attr-defined]


def _made_by_intel() -> bool:
    cpus = Path("/proc/cpuinfo")
    return cpus.exists() and "GenuineIntel" in cpus.read_text()


def _probe_error() -> float:
    """Largest relative error of a float32 product against float64."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(4, 64, 196, generator=generator), torch.randn(4, 196, 64, generator=generator)
    exact = torch.bmm(a.double(), b.double())
    return float((torch.bmm(a, b).double() - exact).abs().max() / exact.abs().max())
