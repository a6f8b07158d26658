"""The packed engine beside its peers, in one run on one core: `python -m benchmarks.engine [out.json]`.

196-64-64-10, batch 32, DFA on random data, every model with a data order of its own. A model-step is one update of one
model. Peers: a plain PyTorch loop over models, and `vmap(grad)` over the same number of models; and the rate of the
best matrix product of the engine's largest shape, as a share of which the engine's arithmetic is given.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from services.domain.spec import TrialConfig, TrialSpec
from workers.training import products
from workers.training.data import Dataset, Split
from workers.training.engine import Pack

WIDTHS = (196, 64, 64, 10)
BATCH = 32
SAMPLES = 3200
PACKS = (1, 8, 64)
SECONDS = 2.0


def main() -> None:
    matmul = products.configure()
    generator = torch.Generator().manual_seed(0)
    x_NI = torch.randn(SAMPLES, WIDTHS[0], generator=generator)
    split = Split(x_NI=x_NI, y_N=torch.randint(0, WIDTHS[-1], (SAMPLES,), generator=generator))
    dataset = Dataset(train=split, test=split, classes=WIDTHS[-1])
    rates = {f"packed {rule} P={p}": packed(dataset, rule, p) for rule in ("dfa", "bp", "fa") for p in PACKS}
    rates["plain loop dfa"] = plain_loop(split)
    rates["vmap(grad) bp P=64"] = vmap_grad(split, 64)
    product = product_flops()
    ours = rates["packed dfa P=64"]
    result = {
        "matmul": matmul,
        "model_steps_per_second": {name: round(rate) for name, rate in rates.items()},
        "packed dfa over plain loop": round(ours / rates["plain loop dfa"], 1),
        "packed bp over vmap(grad)": round(rates["packed bp P=64"] / rates["vmap(grad) bp P=64"], 1),
        "share of the best product's GFLOP/s": round(ours * dfa_flops() / product, 2),
        "best product GFLOP/s": round(product / 1e9),
    }
    print(json.dumps(result, indent=1))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")


def packed(dataset: Dataset, rule: str, p: int) -> float:
    """Model-steps per second of the engine with packs of p."""
    config = TrialConfig.model_validate({"model": {"hidden": list(WIDTHS[1:-1])}, "rule": {"name": rule}})
    trials = [TrialSpec(config=config, seed=seed) for seed in range(p)]
    pack = Pack.start(trials, range(p), dataset, torch.device("cpu"), torch.float32)
    products.choose(pack.smallest_product)
    return p * rate(pack.step)


def plain_loop(split: Split) -> float:
    """Model-steps per second of DFA as one writes it in PyTorch: one model, one Linear per layer."""
    layers = [torch.nn.Linear(i, o, bias=False) for i, o in itertools.pairwise(WIDTHS)]
    feedback = [torch.rand(WIDTHS[-1], width) * 2 - 1 for width in WIDTHS[1:-1]]

    @torch.no_grad()
    def step(number: int) -> None:
        chosen = torch.randperm(SAMPLES)[:BATCH] if number % 100 == 0 else _batch(number)
        x, y = split.x_NI[chosen], split.y_N[chosen]
        h1 = torch.tanh(layers[0](x))
        h2 = torch.tanh(layers[1](h1))
        e = torch.softmax(layers[2](h2), dim=1)
        e[torch.arange(len(y)), y] -= 1
        delta2 = (e @ feedback[1]) * (1 - h2**2)
        delta1 = (e @ feedback[0]) * (1 - h1**2)
        for layer, delta, below in zip(layers, (delta1, delta2, e), (x, h1, h2), strict=True):
            layer.weight -= 0.001 * delta.T @ below

    return rate(step)


def vmap_grad(split: Split, p: int) -> float:
    """Model-steps per second of backpropagation by `torch.func`, p models at once."""
    shapes = itertools.pairwise(WIDTHS)
    weights = tuple(torch.randn(p, i, o) / i**0.5 for i, o in shapes)

    def loss(W: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
        for w in W[:-1]:
            x = torch.tanh(x @ w)
        return torch.nn.functional.cross_entropy(x @ W[-1], y, reduction="sum")

    gradient: Callable[..., Any] = torch.func.vmap(torch.func.grad(loss))

    def step(number: int) -> None:
        chosen = torch.stack([_batch(number + member) for member in range(p)])
        for w, g in zip(weights, gradient(weights, split.x_NI[chosen], split.y_N[chosen]), strict=True):
            w.sub_(g, alpha=0.001)

    return p * rate(step)


def product_flops() -> float:
    """FLOP/s of the best batched product of the first layer's shape, over the two libraries."""
    x, w = torch.randn(64, BATCH, WIDTHS[0]), torch.randn(64, WIDTHS[0], WIDTHS[1])
    out = torch.empty(64, BATCH, WIDTHS[1])
    best = 0.0
    for smallest in (0, 2**40):
        products.choose(smallest)
        best = max(best, rate(lambda _: torch.bmm(x, w, out=out)))
    return best * 2 * 64 * BATCH * WIDTHS[0] * WIDTHS[1]


def dfa_flops() -> int:
    """FLOPs of one model-step: forward and weight gradients of all layers, and the projections of the error."""
    parameters = sum(i * o for i, o in itertools.pairwise(WIDTHS))
    return 4 * BATCH * parameters + 2 * BATCH * WIDTHS[-1] * sum(WIDTHS[1:-1])


def rate(step: Callable[[int], object]) -> float:
    """Calls per second, after a warm-up."""
    for number in range(10):
        step(number)
    number, started = 10, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        step(number)
        number += 1
    return (number - 10) / (time.perf_counter() - started)


def _batch(number: int) -> Tensor:
    return torch.arange(number * BATCH, (number + 1) * BATCH) % SAMPLES


if __name__ == "__main__":
    main()
