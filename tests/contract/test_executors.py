"""One suite for every Executor: in process and on Ray."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.domain.ports import Executor, PackBroken, PackEnded, PackOrder, PackStarted, Report, Resources
from services.domain.results import Checkpoint, Chunk, TraceColumns
from services.domain.spec import TrialConfig, TrialSpec
from services.domain.states import Reason
from services.settings import Settings
from workers.main import make_executor, refusal

CPU = Resources(cpu=1, gpu=0)
_PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module", params=["inline", "ray"])
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    folder = tmp_path_factory.mktemp("home")
    settings = replace(
        Settings.from_environment(),
        lease_ttl=timedelta(seconds=2),
        home=folder,
        data_root=folder / "data",
        executor=request.param,
        ray_address=None,
    )
    executor = make_executor(settings)
    yield executor
    executor.close()
    if request.param == "ray":
        import ray

        ray.shutdown()


def order(pack_id: int, trials: int = 2, *, epochs: int = 2, **data: Any) -> PackOrder:
    config = TrialConfig.model_validate({"data": data, "model": {"hidden": [16]}, "train": {"epochs": epochs}})
    return PackOrder(
        pack_id=pack_id,
        trial_ids=[100 * pack_id + slot for slot in range(trials)],
        trials=[TrialSpec(config=config, seed=slot) for slot in range(trials)],
        resources=CPU,
    )


def start(executor: Executor, order: PackOrder) -> None:
    wait_for(lambda: executor.poll() == [] and executor.has_room(CPU))
    executor.start(order)


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds; fail loudly when it never does."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def collect(executor: Executor, until: Callable[[list[Report]], bool]) -> list[Report]:
    reports: list[Report] = []

    def enough() -> bool:
        reports.extend(executor.poll())
        return until(reports)

    wait_for(enough)
    return reports


def ended(reports: list[Report]) -> bool:
    return any(isinstance(report, PackEnded | PackBroken) for report in reports)


def test_a_pack_is_reported_from_start_to_end_in_order(executor: Executor) -> None:
    pack = order(1)
    start(executor, pack)
    first, *chunks, last = collect(executor, ended)
    assert isinstance(first, PackStarted)
    assert first.provenance.reproducibility == "bitwise"
    assert last == PackEnded(pack_id=1)
    parts = [chunk for chunk in chunks if isinstance(chunk, Chunk)]
    assert len(parts) == len(chunks)
    assert [chunk.seq for chunk in parts] == list(range(len(parts)))
    assert {o.trial_id: o.reason for chunk in parts for o in chunk.outcomes} == dict.fromkeys(
        pack.trial_ids, Reason.COMPLETED
    )
    assert sum(chunk.model_steps for chunk in parts) == 2 * 2 * 45
    metrics = [chunk.metrics for chunk in parts if chunk.metrics is not None]
    assert set(metrics[0].trial_id.tolist()) == set(pack.trial_ids)
    assert executor.poll() == []
    assert executor.has_room(CPU)


def test_a_pack_of_theory_is_reported_as_any_other(executor: Executor) -> None:
    document = {
        "data": {"name": "teacher", "inputs": 50},
        "model": {"kind": "theory", "hidden": [2], "activation": "erf"},
        "train": {"epochs": 4, "lr": 0.2, "batch_size": 1, "loss": "half_mse"},
    }
    trials = [TrialSpec(config=TrialConfig.model_validate(document), seed=seed) for seed in range(20)]
    start(executor, replace(order(20), trial_ids=range(2000, 2020), trials=trials))
    first, *chunks, last = collect(executor, ended)
    assert isinstance(first, PackStarted)
    assert first.provenance.versions["scipy"]
    assert first.seeds[2001]["weight_init"] == 1
    assert last == PackEnded(pack_id=20)
    parts = [chunk for chunk in chunks if isinstance(chunk, Chunk)]
    assert [chunk.seq for chunk in parts] == list(range(len(parts)))
    outcomes = {o.trial_id: (o.reason, o.steps) for chunk in parts for o in chunk.outcomes}
    assert outcomes == dict.fromkeys(range(2000, 2020), (Reason.COMPLETED, 200))
    assert {2000, 2019} <= {id_ for chunk in parts if chunk.orders is not None for id_ in chunk.orders.trial_id}


def test_a_busy_executor_is_seen_in_its_workers(executor: Executor) -> None:
    assert executor.capacity(CPU) >= 1
    start(executor, order(2, epochs=200))
    collect(executor, lambda reports: any(isinstance(report, Chunk) for report in reports))
    assert 2 in [worker.pack_id for worker in executor.workers()]
    executor.abandon(2)
    assert 2 not in [worker.pack_id for worker in executor.workers()]
    assert not any(report.pack_id == 2 for report in executor.poll())
    executor.abandon(2)  # unknown by now, ignored


def test_a_dropped_trial_is_reported_no_further(executor: Executor) -> None:
    pack = order(3, epochs=100)
    start(executor, pack)
    collect(executor, lambda reports: any(isinstance(report, Chunk) for report in reports))
    executor.drop(3, [300])
    reports = collect(executor, ended)
    assert [o.trial_id for r in reports if isinstance(r, Chunk) for o in r.outcomes] == [301]


def test_a_checkpoint_is_reported_when_asked_for_and_trials_go_on_from_it(executor: Executor) -> None:
    start(executor, order(8, epochs=100))
    collect(executor, lambda reports: any(isinstance(report, Chunk) for report in reports))
    executor.checkpoint(8)
    saved = collect(executor, lambda reports: bool(checkpoints(reports)))
    rest = collect(executor, ended)
    resume = {checkpoint.trial_id: checkpoint.safetensors for checkpoint in checkpoints(saved)}
    assert set(resume) == {800, 801}
    again = replace(order(8, epochs=100), resume={801: resume[801]})  # one goes on, the other starts anew
    start(executor, again)
    resumed = collect(executor, ended)
    step = checkpoints(saved)[0].step
    undisturbed = saved + rest
    assert traces(resumed, 801) == [row for row in traces(undisturbed, 801) if row[0] > step]
    assert traces(resumed, 800)[-2:] == traces(undisturbed, 800)[-2:]
    assert traces(resumed, 800)[0][0] == 0


def checkpoints(reports: list[Report]) -> list[Checkpoint]:
    return [checkpoint for report in reports if isinstance(report, Chunk) for checkpoint in report.checkpoints]


def traces(reports: list[Report], trial_id: int) -> list[tuple[int, float]]:
    """Step and weight norm of every row of a trial."""
    tables = [report.traces for report in reports if isinstance(report, Chunk) and report.traces is not None]
    whole = TraceColumns.concatenate(tables)
    mine = whole.select(whole.trial_id == trial_id)
    return list(zip(mine.step.tolist(), mine.weight_norm.tolist(), strict=True))


def test_data_that_is_not_there_fails_the_trials_not_the_worker(executor: Executor) -> None:
    start(executor, order(4, name="mnist"))
    reports = collect(executor, ended)
    outcomes = [o for r in reports if isinstance(r, Chunk) for o in r.outcomes]
    assert {outcome.reason for outcome in outcomes} == {Reason.USER_ERROR}
    assert "ALIGNSWEEP_DATA_ROOT" in (outcomes[0].error or "") or "torchvision" in (outcomes[0].error or "")
    assert reports[-1] == PackEnded(pack_id=4)


def test_an_error_in_training_breaks_the_pack_with_its_traceback(executor: Executor) -> None:
    mixed = order(5)
    other = TrialSpec(config=TrialConfig(), seed=0)
    start(executor, replace(mixed, trials=[mixed.trials[0], other]))
    broken = collect(executor, ended)[-1]
    assert isinstance(broken, PackBroken)
    assert broken.reason is Reason.UNKNOWN_ERROR
    assert "cannot share a pack" in broken.error


def test_a_killed_worker_is_a_report_and_is_replaced(executor: Executor) -> None:
    pids = training_processes()
    if not pids:
        pytest.skip("the inline executor has no process that could be killed")
    start(executor, order(6, epochs=2000))
    collect(executor, lambda reports: any(isinstance(report, Chunk) for report in reports))
    for pid in training_processes():
        os.kill(pid, signal.SIGKILL)
    broken = collect(executor, ended)[-1]
    assert isinstance(broken, PackBroken)
    assert broken.reason is Reason.WORKER_LOST
    assert trains_again(executor, 70)


def test_a_stopped_worker_is_found_out_by_its_silence(executor: Executor) -> None:
    if not training_processes():
        pytest.skip("the inline executor has no process that could be stopped")
    start(executor, order(9, epochs=2000))
    collect(executor, lambda reports: any(isinstance(report, Chunk) for report in reports))
    for pid in training_processes():
        os.kill(pid, signal.SIGSTOP)
    broken = collect(executor, ended)[-1]
    assert isinstance(broken, PackBroken)
    assert "not answered" in broken.error
    assert trains_again(executor, 10)


def trains_again(executor: Executor, first: int) -> bool:
    """Whether a pack soon ends as it should; idle workers may have suffered the same, and are found out when used."""
    for pack_id in range(first, first + 4):
        start(executor, order(pack_id))
        if collect(executor, ended)[-1] == PackEnded(pack_id=pack_id):
            return True
    return False


def training_processes() -> list[int]:
    """Actor processes of this test's own Ray, by the title that Ray gives them."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "TrainingActor" in " ".join(child.cmdline())]


def test_a_cluster_of_others_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    remote = replace(Settings.from_environment(), executor="ray", ray_address="10.0.0.1:6379")
    assert "without a token" in (refusal(remote) or "")
    assert refusal(replace(remote, ray_address=None)) is None
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    assert refusal(remote) is None


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ray or inline"):
        make_executor(replace(Settings.from_environment(), executor="threads"))
