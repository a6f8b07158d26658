"""Pure decisions: packing, retries, the schedule of trace points."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.footprint import working_set
from services.domain.ports import Resources
from services.domain.schedule import total_steps, trace_steps
from services.domain.spec import DataSpec, ModelSpec, RuleSpec, TrainSpec, TrialConfig
from services.domain.states import Reason
from services.packing import pack_key, pack_limit, spread
from services.retries import Decision, Fail, Requeue, Standing, decide

CPU = Resources(cpu=1, gpu=0)


def _key(config: TrialConfig, resources: Resources = CPU) -> str:
    return pack_key(config.model_dump(mode="json"), resources)


def test_rates_noise_and_seeds_share_a_pack_shapes_and_rules_do_not() -> None:
    base = TrialConfig()
    together = [
        TrialConfig(train=TrainSpec(lr=0.5, order_seed=3)),
        TrialConfig(data=DataSpec(label_noise=0.5)),
        TrialConfig(rule=RuleSpec.model_validate({"feedback": {"seed": 1, "scale": 2.0}})),
    ]
    apart = [
        TrialConfig(rule=RuleSpec(name="bp")),
        TrialConfig(model=ModelSpec(hidden=[64])),
        TrialConfig(train=TrainSpec(batch_size=16)),
        TrialConfig(data=DataSpec(name="mnist")),
    ]
    assert {_key(config) for config in together} == {_key(base)}
    assert _key(base) not in {_key(config) for config in apart}
    assert _key(base) != _key(base, Resources(cpu=1, gpu=1))


def test_packs_fit_the_cache_on_cpu_and_grow_on_gpu() -> None:
    small, large = TrialConfig(), TrialConfig(model=ModelSpec(hidden=[1000, 1000]), data=DataSpec(name="mnist"))
    assert pack_limit(small, CPU) == 64
    assert pack_limit(large, CPU) == 2
    assert working_set(large) > 4 * (784 * 1000 + 1000 * 1000)
    assert pack_limit(large, Resources(cpu=1, gpu=0.5)) > 64


@pytest.mark.parametrize(("units", "limit"), [(2, 64), (16, 1)])
def test_packs_of_theory_go_by_the_integrals_they_take(units: int, limit: int) -> None:
    data = {"name": "teacher", "teacher": {"hidden": units}}
    model = {"kind": "theory", "hidden": [units], "activation": "erf"}
    config = TrialConfig.model_validate({"data": data, "model": model, "train": {"loss": "half_mse"}})
    assert pack_limit(config, CPU) == limit
    assert working_set(config) == 32 * 4 * units**4


@pytest.mark.parametrize(
    ("total", "unfinished", "capacity", "limit", "size"),
    [
        (100_000, 1000, 2, 64, 64),  # plenty: full packs
        (400, 400, 2, 64, 50),  # four rounds of two packs
        (400, 130, 2, 64, 50),  # and so to the end
        (1100, 1100, 16, 64, 35),  # two rounds, not a full one and a small one
        (10, 10, 2, 64, 5),  # fewer than a pack for each: they share it
        (400, 10, 2, 64, 5),  # what failed and waits again
        (3, 3, 2, 64, 2),
        (1, 1, 8, 64, 1),
        (5, 5, 0, 64, 5),  # no worker is up yet
    ],
)
def test_a_sweep_is_divided_evenly_among_the_workers(
    total: int, unfinished: int, capacity: int, limit: int, size: int
) -> None:
    assert spread(total, unfinished, capacity, limit) == size


@pytest.mark.parametrize(
    ("reason", "attempts", "pack_size", "crashes_alone", "decision"),
    [
        (Reason.USER_ERROR, 1, 8, 0, Fail(reason=Reason.USER_ERROR)),
        (Reason.WORKER_LOST, 1, 16, 0, Requeue(charged=False, pack_limit=8)),  # bisect
        (Reason.WORKER_LOST, 1, 1, 1, Requeue(charged=False, pack_limit=1)),
        (Reason.WORKER_LOST, 1, 1, 2, Fail(reason=Reason.POISON)),
        (Reason.OUT_OF_MEMORY, 1, 4, 0, Requeue(charged=False, pack_limit=2)),
        (Reason.OUT_OF_MEMORY, 3, 1, 0, Fail(reason=Reason.OUT_OF_MEMORY)),
        (Reason.RELEASED, 3, 4, 0, Requeue(charged=False)),
        (Reason.LEASE_EXPIRED, 3, 4, 0, Requeue(charged=False)),
        (Reason.NODE_LOST, 3, 4, 0, Requeue(charged=False)),  # nobody's fault: no bisection
        (Reason.UNKNOWN_ERROR, 3, 4, 0, Requeue(charged=False, pack_limit=2)),  # not for what a neighbour did
        (Reason.UNKNOWN_ERROR, 3, 1, 0, Fail(reason=Reason.UNKNOWN_ERROR)),
        (Reason.TIMEOUT, 1, 4, 0, Fail(reason=Reason.TIMEOUT)),
    ],
)
def test_what_becomes_of_a_trial(
    reason: Reason, attempts: int, pack_size: int, crashes_alone: int, decision: Decision
) -> None:
    standing = Standing(attempts=attempts, max_attempts=3, pack_size=pack_size, crashes_alone=crashes_alone)
    assert decide(reason, standing) == decision


def test_charged_attempts_wait_longer_each_time() -> None:
    delays = []
    for attempts in range(1, 12):
        decision = decide(
            Reason.UNKNOWN_ERROR, Standing(attempts=attempts, max_attempts=99, pack_size=1, crashes_alone=0)
        )
        assert isinstance(decision, Requeue)
        assert decision.charged
        delays.append(decision.delay)
    assert delays == sorted(delays)
    assert delays[0] < delays[3] < delays[-1] == delays[-2]


@given(total=st.integers(0, 10**7), points_per_decade=st.integers(1, 50))
def test_trace_points_are_log_spaced_from_step_0_to_the_last(total: int, points_per_decade: int) -> None:
    steps = trace_steps(total, points_per_decade)
    assert steps[0] == 0
    assert steps[-1] == total
    assert steps == sorted(set(steps))
    ratio = 10 ** (1 / points_per_decade)
    assert all(b <= (a + 0.5) * ratio + 0.51 for a, b in pairwise(steps[1:]))


def test_a_short_last_batch_is_a_step() -> None:
    assert total_steps(TrialConfig(train=TrainSpec(epochs=2, batch_size=1000))) == 2 * 2
