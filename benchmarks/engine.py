"""The packed engine beside its peers, in one run: `python -m benchmarks.engine [out.json]`.

Batch 32 on random data, every model with a data order of its own. A model-step is one update of one model. Machines
are noisy: what counts are the ratios, all taken in this run.
"""

import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from workers.environment import WORKER_ENVIRONMENT

if __name__ == "__main__" and not WORKER_ENVIRONMENT.items() <= os.environ.items():
    # As in a worker: some of it is read only while a process starts.
    os.execve(
        sys.executable, [sys.executable, "-m", "benchmarks.engine", *sys.argv[1:]], os.environ | WORKER_ENVIRONMENT
    )

import torch

from benchmarks import peers
from services.domain import footprint
from services.domain.architecture import architecture
from services.domain.ports import PackEnded, PackOrder, Resources
from services.domain.schedule import total_steps, trace_steps
from services.domain.spec import TrialConfig, TrialSpec
from workers.pack import describe, run_pack
from workers.training import products
from workers.training.data.library import DataLibrary
from workers.training.data.sources import Resident, Samples
from workers.training.pack import Pack

SHAPES: dict[str, dict[str, Any]] = {
    "196-64-64-10": {"data": {"name": "mnist", "size": 14}, "model": {"hidden": [64, 64]}},
    "588-100-100-100-10": {"data": {"name": "cifar10", "size": 14}, "model": {"hidden": [100, 100, 100]}},
    "784-1000-1000-10": {"data": {"name": "mnist"}, "model": {"hidden": [1000, 1000]}},
    "cnn 14x14, 3 x 16 channels of 4x4": {
        "data": {"name": "mnist", "size": 14},
        "model": {"kind": "cnn", "conv": {"channels": [16, 16, 16], "kernel": 4}, "hidden": []},
    },
}
REFERENCE = "196-64-64-10"
RULES = ("dfa", "bp", "fa")
PACKS = (1, 4, 16, 32, 64)
SAMPLES = 6400
ROUNDS = 15
WINDOW = 0.04
SECONDS = 1.0

Step = Callable[[int], object]


def main() -> None:
    result: dict[str, Any] = {"matmul": products.configure(), "torch": torch.__version__, "batch": peers.BATCH}
    widths = architecture(configuration(SHAPES[REFERENCE], "dfa")).widths
    rates = side_by_side({**our_steps(SHAPES[REFERENCE]), **peer_steps(widths)})
    result["model-steps/s on one core"] = {REFERENCE: by_rule(rates)}
    for shape, document in SHAPES.items():
        if shape != REFERENCE:
            result["model-steps/s on one core"][shape] = by_rule(side_by_side(our_steps(document), rounds=5))
    product = fastest(rates, "product")
    result[f"peers on {REFERENCE}"] = {
        "DFA loop, modules and autograd, model-steps/s": round(median(rates["autograd loop"])),
        "DFA loop by hand, model-steps/s": round(median(rates["lean loop"])),
        "vmap(grad), model-steps/s": round(median(rates[fastest(rates, "vmap")])),
        "best product, GFLOP/s": round(median(rates[product]) * dfa_flops(widths) / 1e9, 1),
        "ceiling at the best product's rate, model-steps/s": round(median(rates[product])),
    }
    dfa, bp = fastest(rates, "dfa"), fastest(rates, "bp")
    result[f"ratios on {REFERENCE}"] = {
        "dfa over the loop with autograd": round(ratio(rates, dfa, "autograd loop"), 1),
        "dfa over the loop by hand": round(ratio(rates, dfa, "lean loop"), 1),
        "bp over vmap(grad)": round(ratio(rates, bp, fastest(rates, "vmap")), 1),
        "share of the best product's rate": round(ratio(rates, dfa, product), 2),
        "two processes over one": round(two_processes(), 2),
        "share of tracing at default settings": round(trace_share(), 3),
        "through a Ray actor over directly": round(through_ray(), 2),
    }
    result["memory of a pack, MiB"] = memory()
    text = json.dumps(result, indent=1)
    print(text)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n")


def our_steps(document: dict[str, Any]) -> dict[str, tuple[Step, float]]:
    """A step of each rule and pack size that fits into a GiB, and the model-steps in it."""
    steps: dict[str, tuple[Step, float]] = {}
    for rule, p in itertools.product(RULES, PACKS):
        if p * footprint.working_set(configuration(document, rule)) <= 2**30:
            pack = packed(document, rule, p)
            steps[f"{rule} P={p}"] = (lambda _, pack=pack: pack.advance()), p  # type: ignore[misc]
    return steps


def peer_steps(widths: list[int]) -> dict[str, tuple[Step, float]]:
    """The peers' steps and the model-steps in them; of a matrix product, as many as it has FLOPs for."""
    x_NI, y_N = random_data(widths[0], widths[-1])
    steps: dict[str, tuple[Step, float]] = {
        "autograd loop": (peers.autograd_loop(widths, x_NI, y_N), 1),
        "lean loop": (peers.lean_loop(widths, x_NI, y_N), 1),
    }
    for p in (16, 64):
        steps[f"vmap P={p}"] = peers.vmap_grad(widths, x_NI, y_N, p), p
        flops = 2 * p * peers.BATCH * widths[0] * widths[1]
        for library, smallest in (("mkl", 0), ("onednn", 2**40)):
            step = peers.product(smallest, (p, peers.BATCH, widths[0], widths[1]))
            steps[f"product P={p} {library}"] = step, flops / dfa_flops(widths)
    return steps


def side_by_side(steps: Mapping[str, tuple[Step, float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Model-steps per second of each, round by round: all take turns, so that a slow moment is slow for all."""
    calls = {name: max(1, round(WINDOW * rate(step, WINDOW))) for name, (step, _) in steps.items()}
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name, (step, models) in steps.items():
            started = time.perf_counter()
            for call in range(calls[name]):
                step(number * calls[name] + call)
            rates[name].append(models * calls[name] / (time.perf_counter() - started))
    return rates


def ratio(rates: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """Median over rounds."""
    return median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True))


def fastest(rates: Mapping[str, list[float]], kind: str) -> str:
    """The fastest entry whose name begins so."""
    return max((name for name in rates if name.startswith(kind)), key=lambda name: median(rates[name]))


def by_rule(rates: Mapping[str, list[float]]) -> dict[str, dict[str, int]]:
    """Median model-steps per second by rule and pack size."""
    return {
        rule: {
            name.removeprefix(f"{rule} "): round(median(rates[name])) for name in rates if name.startswith(f"{rule} ")
        }
        for rule in RULES
    }


def packed(document: dict[str, Any], rule: str, p: int) -> Pack:
    """A pack of p trials on random data."""
    config = configuration(document, rule)
    trials = [TrialSpec(config=config, seed=seed) for seed in range(p)]
    network = architecture(config)
    x_NI, y_N = random_data(network.widths[0], network.widths[-1])
    samples = Samples(x_NI, y_N.expand(p, -1))
    products.choose(0)
    source = Resident(trials, samples, samples)
    pack = Pack.start(trials, range(p), network, source, torch.device("cpu"), torch.float32)
    products.choose(pack.smallest_product)
    return pack


def configuration(document: dict[str, Any], rule: str) -> TrialConfig:
    return TrialConfig.model_validate({**document, "rule": {"name": rule}})


def random_data(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, inputs, generator=generator), torch.randint(0, outputs, (SAMPLES,), generator=generator)


def two_processes() -> float:
    """Model-steps per second of two workers at once, over those of one alone."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(_worker, [0.1, 0.1])  # both have started
        [alone] = pool.map(_worker, [3 * SECONDS])
        together = sum(pool.map(_worker, [3 * SECONDS] * 2, chunksize=1))
    return together / alone


def _worker(seconds: float) -> float:
    products.configure()
    pack = packed(SHAPES[REFERENCE], "dfa", 64)
    return rate(lambda _: pack.advance(), seconds)


def trace_share() -> float:
    """Time of all trace points of a default training over the whole, from the times of one point and one step."""
    pack = packed(SHAPES[REFERENCE], "dfa", 64)
    step, point = (1 / rate(call) for call in (lambda _: pack.advance(), lambda _: pack.trace_point()))
    total = total_steps(pack.config)
    points = len(trace_steps(total, pack.config.trace.points_per_decade))
    return points * point / (points * point + total * step)


def through_ray() -> float:
    """Speed of a pack run by an actor over that of the same pack run here; the actor is up already."""
    import logging
    import warnings

    import ray

    from workers.cluster.executor import RayExecutor

    document = {"model": {"hidden": [64, 64]}, "train": {"epochs": 60}, "trace": {"points_per_decade": 4}}
    trials = [TrialSpec(config=configuration(document, "dfa"), seed=seed) for seed in range(64)]
    resources = Resources(cpu=1, gpu=0)
    library = DataLibrary()
    order = PackOrder(pack_id=1, trial_ids=range(64), trials=trials, resources=resources)
    provenance = describe("cpu", "", "")
    warnings.simplefilter("ignore")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    executor = RayExecutor(library)
    try:
        while not executor.has_room(resources):
            executor.poll()
            time.sleep(0.05)
        ratios = []
        for _ in range(3):
            started = time.perf_counter()
            list(run_pack(order, library, provenance))
            here = time.perf_counter() - started
            started = time.perf_counter()
            executor.start(order)
            while not any(isinstance(report, PackEnded) for report in executor.poll()):
                time.sleep(0.02)
            ratios.append(here / (time.perf_counter() - started))
    finally:
        executor.close()
        ray.shutdown()
    return sorted(ratios)[1]


def memory() -> dict[str, dict[str, float]]:
    """Peak of a process that trains and traces a pack of 64, above one with the data alone; and by the formula."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for shape in (REFERENCE, "588-100-100-100-10"):
        with context.Pool(1, maxtasksperchild=1) as pool:
            peak = pool.apply(_peak, (SHAPES[shape],))
        config = configuration(SHAPES[shape], "dfa")
        formula = footprint.peak(config, 64, together=footprint.measured_together(config)) / 2**20
        found[shape] = {"while training": peak[0], "with trace points": peak[1], "formula": round(formula, 1)}
    return found


def _peak(document: dict[str, Any]) -> tuple[float, float]:
    products.configure()
    small = packed(document, "dfa", 1)
    small.advance()
    small.trace_point()
    base = _memory("VmRSS")
    pack = packed(document, "dfa", 64)
    peaks = []
    for measured in (pack.advance, pack.trace_point):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
        for _ in range(5):
            measured()
        peaks.append(round(_memory("VmHWM") - base, 1))
    return peaks[0], peaks[1]


def _memory(name: str) -> float:
    """Resident memory of this process now (VmRSS) or at its peak (VmHWM), MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def dfa_flops(widths: list[int]) -> int:
    """FLOPs of one model-step: forward and weight gradients of all layers, and the projections of the error."""
    parameters = sum(i * o for i, o in itertools.pairwise(widths))
    return 4 * peers.BATCH * parameters + 2 * peers.BATCH * widths[-1] * sum(widths[1:-1])


def rate(step: Step, seconds: float = SECONDS) -> float:
    """Calls per second, after a warm-up."""
    for number in range(5):
        step(number)
    number, started = 5, time.perf_counter()
    while time.perf_counter() - started < seconds:
        step(number)
        number += 1
    return (number - 5) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
