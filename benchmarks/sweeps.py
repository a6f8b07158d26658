"""A whole sweep through the service, beside the same training in one process: `python -m benchmarks.sweeps [out.json]`.

The service is the real one, with one worker and with two; what is compared is the time from the submit to the last
recorded result, with the workers up, against training in a plain process that records nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.cli.stack import running
from api.client import Client
from services.settings import Settings
from tests.ports import free_port
from workers.environment import WORKER_ENVIRONMENT

SPEC: dict[str, Any] = {
    "name": "overhead",
    "base": {"model": {"hidden": [64, 64]}, "train": {"epochs": 80}},
    "grid": {"data.label_noise": [0, 0.1, 0.2, 0.5, 0.9], "rule.feedback.scale": [0.3, 1.0]},
    "seeds": {"count": 40},
}
WARM_UP: dict[str, Any] = {**SPEC, "name": "warm-up", "seeds": {"count": 8}}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        direct = in_processes(cache)
        apart = in_processes(cache, 2)
        one, two = (through_the_service(Path(folder) / f"home-{workers}", cache, workers) for workers in (1, 2))
        direct_again, apart_again = in_processes(cache), in_processes(cache, 2)
    alone, both = (direct + direct_again) / 2, (apart + apart_again) / 2
    result = {
        "trials": 400,
        "in one process, s": [round(direct, 1), round(direct_again, 1)],
        "in two processes with half of the trials each, s": [round(apart, 1), round(apart_again, 1)],
        "through the service with one worker, s": round(one, 1),
        "through the service with two workers, s": round(two, 1),
        "service with one worker over one process": round(one / alone, 3),
        "two workers over one": round(one / two, 2),
        "two processes over one, which is what the machine has": round(alone / both, 2),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n")


def in_processes(cache: Path, count: int = 1) -> float:
    """Seconds to train the sweep's trials in packs, in fresh processes with a worker's environment."""
    commands = [
        [sys.executable, "-m", "benchmarks.sweeps", "--train", cache, str(part), str(count)] for part in range(count)
    ]
    environment = {**os.environ, **WORKER_ENVIRONMENT}
    with ThreadPoolExecutor(count) as pool:
        answers = pool.map(lambda command: subprocess.check_output(command, env=environment, text=True), commands)
    return max(map(float, answers))


def train(cache: Path, part: int, parts: int) -> float:
    """The same trials, packs and parts of packs as the service's, every `parts`-th trial, with nothing recorded."""
    import torch

    from services.domain.ports import PackOrder, Resources
    from services.packing import pack_limit
    from services.planning.expansion import expand, parse
    from workers.pack import describe, run_pack
    from workers.training import products
    from workers.training.data.library import DataLibrary
    from workers.training.sizing import PackSizes

    products.configure()
    resources = Resources(cpu=1, gpu=0)
    library = DataLibrary(cache=cache)
    sizes = PackSizes(cache / "pack-sizes", torch.device("cpu"))
    trials = [group.trial(seed) for group in expand(parse(SPEC)) for seed in group.seeds][part::parts]
    limit = pack_limit(trials[0].config, resources)
    orders = [
        PackOrder(pack_id=start, trial_ids=range(start, start + len(pack)), trials=pack, resources=resources)
        for start in range(0, len(trials), limit)
        if (pack := trials[start : start + limit])
    ]
    sizes.best(trials[:limit], library)  # measured once a machine
    started = time.perf_counter()
    for order in orders:
        for _ in run_pack(order, library, describe("cpu", "", ""), sizes=sizes):
            pass
    return time.perf_counter() - started


def through_the_service(home: Path, cache: Path, workers: int) -> float:
    """Seconds from the submit to the last result, by the database's clock; the workers are up."""
    with service(home, cache, workers) as client:
        list(client.wait(client.submit(WARM_UP)["id"]))
        while len(client.workers()) < workers:
            list(client.wait(client.submit(WARM_UP)["id"]))
        sweep_id = client.submit(SPEC)["id"]
        *_, sweep = client.wait(sweep_id)
        assert sweep["state"] == "succeeded", sweep
        took = f"SELECT extract(epoch FROM finished_at - created_at) FROM v_sweeps WHERE sweep_id = {sweep_id}"
        return float(client.sql(took)["rows"][0][0])


@contextmanager
def service(home: Path, cache: Path, workers: int) -> Iterator[Client]:
    """The whole service on a folder of its own."""
    os.environ["ALIGNSWEEP_MAX_WORKERS"] = str(workers)
    os.environ["ALIGNSWEEP_CACHE"] = str(cache)
    settings = replace(Settings.from_environment(), home=home, database_url=None, token=None, port=free_port())
    with running(settings) as stack, Client(stack.url) as client:
        yield client


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        print(train(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    else:
        main()
