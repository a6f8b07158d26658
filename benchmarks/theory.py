"""Solutions of the equations of online learning per second, in one run: `python -m benchmarks.theory [out.json]`.

Erf students of two units, teachers of two, direct feedback alignment, from random initial weights to t = 1000, with 8
points per decade. scipy's solvers take one initial condition at a time; `workers.theory` takes them side by side, each
with steps of its own. Machines are noisy: what counts are the ratios, all taken in this run.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from workers.environment import WORKER_ENVIRONMENT

os.environ |= WORKER_ENVIRONMENT  # one thread, as in a worker; read when numpy is imported

import numpy as np
from scipy.integrate import solve_ivp

from workers.theory import odes
from workers.theory.dop853 import ATOL, RTOL
from workers.theory.odes import Dynamics, OrderParameters

UNITS, INPUTS, RATE, END = 2, 500, 0.2, 1000.0
TIMES = np.geomspace(0.1, END, 33)
BATCHES = (1, 8, 64, 512)
METHODS = ("DOP853", "RK45", "LSODA", "Radau")
ROUNDS = 3


def main() -> None:
    figures: dict[str, float] = {}
    dynamics, initial = students(BATCHES[-1])
    for size in BATCHES:
        chosen = np.arange(size)
        part, start = dynamics.select(chosen), _part(initial, chosen)
        seconds = _seconds(lambda part=part, start=start: odes.solve(part, start, list(TIMES)))
        figures[f"batch of {size}"] = size / seconds
    for method in METHODS:
        figures[f"scipy {method}, alone"] = 1 / _seconds(lambda method=method: _scipy(dynamics, initial, method))
    base = figures[f"batch of {BATCHES[0]}"]
    for name, rate in figures.items():
        print(f"{name:24} {rate:8.1f} solutions/s {rate / base:8.2f} x")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps({"solutions_per_second": figures}, indent=2))


def students(members: int) -> tuple[Dynamics, OrderParameters]:
    """Independent students and teachers."""
    generator = np.random.default_rng(0)
    w = 0.1 * generator.normal(size=(members, UNITS, INPUTS))
    B = generator.normal(size=(members, UNITS, INPUTS))
    dynamics = Dynamics.online(
        "erf",
        T=B @ B.swapaxes(1, 2) / INPUTS,
        A=np.ones((members, UNITS)),
        F=generator.normal(size=(members, UNITS)),
        lr=RATE,
    )
    v = 0.1 * generator.normal(size=(members, UNITS))
    return dynamics, OrderParameters(Q=w @ w.swapaxes(1, 2) / INPUTS, R=w @ B.swapaxes(1, 2) / INPUTS, v=v)


def _part(initial: OrderParameters, chosen: np.ndarray) -> OrderParameters:
    return OrderParameters(Q=initial.Q[chosen], R=initial.R[chosen], v=initial.v[chosen])


def _scipy(dynamics: Dynamics, initial: OrderParameters, method: str) -> None:
    one = np.arange(1)
    own, start = dynamics.select(one), _part(initial, one).flat()[0]
    solve_ivp(
        lambda _, y: own.derivative(y[None])[0], (0, END), start, method=method, t_eval=TIMES, rtol=RTOL, atol=ATOL
    )


def _seconds(call: Callable[[], object]) -> float:
    """The median of a few calls, after one to warm up."""
    call()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return median(taken)


if __name__ == "__main__":
    main()
