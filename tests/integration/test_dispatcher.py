"""The dispatcher with the inline executor on real PostgreSQL: whole sweeps, and what it does when things go away."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from db.session import make_dispatcher_engine
from recipes.catalogue import asked
from recipes.running import UNCOMPARED
from services import control, queue, sweeps
from services.comparisons import layers_of
from services.dispatcher import Dispatcher
from services.domain.ports import PackBroken
from services.domain.states import Reason
from services.planning.expansion import parse
from services.recording import Recorder
from services.store import SHELVES, Store
from tests import queueing
from workers.inline import InlineExecutor
from workers.pack import describe
from workers.training import numerics, products
from workers.training.data.library import DataLibrary

TTL = timedelta(seconds=30)


class FakeClock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def provenance() -> Any:
    matmul = products.configure()
    return describe("cpu", matmul, numerics.reproducibility(torch.device("cpu")))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def dispatcher(engine: Engine, provenance: Any, clock: FakeClock, store: Store) -> Dispatcher:
    return Dispatcher(
        engine=engine,
        executor=InlineExecutor(DataLibrary(), provenance),
        store=store,
        ttl=TTL,
        name="one",
        clock=clock,
    )


def submit(engine: Engine, **parts: Any) -> int:
    document = {
        "name": "test",
        "base": {"model": {"hidden": [8]}, "train": {"epochs": 1}, "trace": {"points_per_decade": 2}},
        "grid": {"rule.name": ["bp", "dfa"]},
        "seeds": {"count": 3},
        **parts,
    }
    with Session(engine) as session, session.begin():
        summary, _ = sweeps.submit(session, parse(document), idempotency_key=None, owner=None)
    return summary.id


def state(engine: Engine, sweep_id: int) -> str:
    with Session(engine) as session:
        return sweeps.get(session, sweep_id).state


def run_until_over(dispatcher: Dispatcher, sweep_id: int, ticks: int = 500) -> None:
    for _ in range(ticks):
        dispatcher.tick()
        if state(dispatcher.engine, sweep_id) not in ("queued", "running"):
            return
    raise AssertionError(f"sweep {sweep_id} is {state(dispatcher.engine, sweep_id)} after {ticks} ticks")


def count(engine: Engine, query: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {query}")).scalar_one())


def traces(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(
                text("""
                    SELECT rule, seed, step, layer, gradient_alignment, weight_alignment, weight_norm, update_norm
                    FROM v_alignment ORDER BY rule, seed, step, layer
                """)
            ).all()
        )


def test_a_sweep_is_trained_and_recorded_whole(dispatcher: Dispatcher, engine: Engine) -> None:
    sweep_id = submit(engine)
    run_until_over(dispatcher, sweep_id)
    assert state(engine, sweep_id) == "succeeded"
    dispatcher.tick()  # the end of the last pack
    dispatcher.tick()  # and what can wait
    points = 6  # steps 0, 1, 3, 10, 32, 45
    assert count(engine, "trial_summaries WHERE steps = 45") == 6
    rows = count(engine, "traces")
    assert rows == 2 * count(engine, "metrics") == 2 * 6 * points
    assert count(engine, "packs WHERE state = 'finished'") == 2
    assert count(engine, "attempts WHERE reason = 'completed' AND provenance ->> 'device' = 'cpu'") == 6
    assert count(engine, "v_group_stats WHERE n = 3 AND test_accuracy_sd IS NOT NULL") == 2
    assert count(engine, "v_phases WHERE rule = 'dfa' AND loss_halved_at_step > 0") == 3
    assert dispatcher.held == set()


def test_results_do_not_depend_on_how_trials_were_packed(dispatcher: Dispatcher, engine: Engine) -> None:
    run_until_over(dispatcher, submit(engine, seeds={"count": 4}))
    together = traces(engine)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE sweeps, traces, metrics CASCADE"))
    sweep_id = submit(engine, seeds={"count": 4})
    with engine.begin() as connection:
        connection.execute(text("UPDATE trials SET pack_limit = 1 + seed % 2"))
    run_until_over(dispatcher, sweep_id)
    assert count(engine, "packs WHERE size = 1") >= 4
    assert traces(engine) == together


def test_snapshots_are_kept_and_seeds_of_a_group_compared(dispatcher: Dispatcher, engine: Engine, store: Store) -> None:
    base = {
        "model": {"hidden": [8]},
        "rule": {"feedback": {"seed": 0}},
        "train": {"epochs": 20},
        "trace": {"points_per_decade": 1, "snapshots_per_decade": 1},
    }
    sweep_id = submit(engine, base=base, seeds={"count": 3})
    run_until_over(dispatcher, sweep_id)
    uncompared = text(asked(UNCOMPARED, {"sweep": sweep_id}))
    with engine.connect() as connection:
        left = connection.execute(uncompared).scalar_one()
        compared = connection.execute(text("SELECT count(*) FROM v_parameter_cosines WHERE layer = 0")).scalar_one()
    while count(engine, "comparisons_due"):
        dispatcher.tick()
    with engine.connect() as connection:
        assert connection.execute(uncompared).scalar_one() == 0
        kept = connection.execute(text("SELECT trial_id, step, sha256, bytes FROM v_snapshots")).all()
        pairs = connection.execute(text("SELECT * FROM v_parameter_cosines")).all()
    steps = {row.step for row in kept}
    assert len(kept) == 6 * len(steps)
    weights = {(row.trial_id, row.step): layers_of(store.get(row.sha256)) for row in kept}
    assert len(pairs) == 2 * 3 * len(steps) * 3  # rules, pairs of seeds, layers and their whole
    assert left + compared == 2 * 3 * len(steps)
    for pair in pairs:
        a, b = (
            np.concatenate(layers) if pair.layer == 0 else layers[pair.layer - 1]
            for layers in (weights[pair.trial_a, pair.step], weights[pair.trial_b, pair.step])
        )
        assert pair.cosine == pytest.approx(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    last = {
        rule: np.mean([p.cosine for p in pairs if p.step == max(steps) and p.layer == 0 and p.rule == rule])
        for rule in ("bp", "dfa")
    }
    assert last["dfa"] > last["bp"] + 0.05  # one feedback draws all seeds to one solution


def test_documents_that_no_row_names_go_after_a_day(
    dispatcher: Dispatcher, engine: Engine, clock: FakeClock, store: Store, tmp_path: Path
) -> None:
    base = {"model": {"hidden": [8]}, "train": {"epochs": 1}, "trace": {"snapshots_per_decade": 1}}
    run_until_over(dispatcher, submit(engine, base=base))
    named = documents(tmp_path)
    refused, unfinished, repeated = store.put(b"refused"), tmp_path / "store" / "00" / "00.cut-off", store.put(b"again")
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(b"half")
    two_days_ago = time.time() - 2 * 86_400
    for document in (tmp_path / "store").rglob("*"):
        os.utime(document, (two_days_ago, two_days_ago))
    fresh = store.put(b"its row is not yet written")
    store.put(b"again")
    assert {refused, unfinished.name, fresh, repeated} < documents(tmp_path)
    for _ in range(SHELVES):
        clock.now += 60
        dispatcher.tick()
    assert documents(tmp_path) == named | {fresh, repeated}


def documents(folder: Path) -> set[str]:
    return {path.name for path in (folder / "store").rglob("*") if path.is_file()}


def test_order_parameters_of_a_committee_reach_sql(dispatcher: Dispatcher, engine: Engine) -> None:
    base = {
        "data": {"name": "teacher", "inputs": 20, "test_samples": 50},
        "model": {"kind": "committee", "hidden": [2], "activation": "erf"},
        "train": {"epochs": 3, "batch_size": 1, "loss": "half_mse"},
    }
    run_until_over(dispatcher, submit(engine, base=base, seeds={"count": 1}))
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT rule, quantity, count(*) AS n FROM v_order_parameters WHERE step = 0 GROUP BY 1, 2")
        ).all()
        final = connection.execute(text("SELECT generalisation_error, test_accuracy, layers FROM v_trials")).all()
    counted = {(row.rule, row.quantity): row.n for row in rows}
    both = {"Q": 4, "R": 4, "T": 4, "v": 2, "A": 2}
    assert counted == {(rule, name): n for rule in ("bp", "dfa") for name, n in both.items()} | {("dfa", "F"): 2}
    assert all(row.generalisation_error > 0 and row.test_accuracy is None and row.layers == 2 for row in final)


def test_theory_and_simulation_meet_in_one_query(dispatcher: Dispatcher, engine: Engine) -> None:
    base = {
        "data": {"name": "teacher", "inputs": 400, "test_samples": 50},
        "model": {"kind": "committee", "hidden": [2], "activation": "erf", "init": "normal"},
        "train": {"lr": 0.2, "epochs": 3, "batch_size": 1, "loss": "half_mse"},
        "trace": {"points_per_decade": 4},
    }
    grid = {"model.kind": ["committee", "theory"], "rule.name": ["bp", "dfa"]}
    sweep_id = submit(engine, base=base, grid=grid, seeds={"count": 3})
    run_until_over(dispatcher, sweep_id)
    page = (Path(__file__).parents[2] / "docs" / "theory.md").read_text()
    assert sweep_id == 1
    with engine.connect() as connection:
        compared, overlaps = (
            connection.execute(text(query)).all() for query in re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
        )
        kinds = connection.execute(
            text(
                "SELECT model, count(DISTINCT pack_id) AS packs, bool_and(provenance -> 'versions' ? 'scipy') AS told "
                "FROM v_trials JOIN v_attempts USING (trial_id) GROUP BY 1 ORDER BY 1"
            )
        ).all()
    assert {row.rule for row in compared} == {"bp", "dfa"}
    assert {row.n for row in compared} == {3}
    assert max(row.step for row in compared) == 1200
    assert all(abs(row.simulation / row.theory - 1) < 0.1 for row in compared)
    first = [row for row in compared if row.step == 0]
    assert all(row.simulation == pytest.approx(row.theory, rel=1e-12) for row in first)
    assert {row.quantity for row in overlaps} == {"Q", "R", "v"}
    assert all(row.apart < 0.2 for row in overlaps)
    assert [tuple(row) for row in kinds] == [("committee", 2, True), ("theory", 2, True)]


def test_trials_of_a_killed_dispatcher_are_rescued_once_its_lease_is_over(
    dispatcher: Dispatcher, engine: Engine, clock: FakeClock
) -> None:
    sweep_id = submit(engine)
    dispatcher.tick()
    dispatcher.tick()  # one pack runs here, and nobody will speak for it any more
    assert count(engine, "trials WHERE state = 'running'") == 3
    with engine.begin() as connection:
        connection.execute(text("UPDATE packs SET lease_until = now() - interval '1 second'"))
    heir_clock = FakeClock()
    heir = Dispatcher(
        engine=engine,
        executor=dispatcher.executor.__class__(DataLibrary(), _provenance_of(dispatcher)),
        store=dispatcher.store,
        ttl=TTL,
        name="two",
        clock=heir_clock,
    )
    heir.tick()
    assert count(engine, "packs WHERE state = 'lost'") == 0  # just started: the living may renew first
    heir_clock.now = TTL.total_seconds() + 1
    run_until_over(heir, sweep_id)
    assert count(engine, "packs WHERE state = 'lost'") == 1
    assert count(engine, "trial_summaries") == 6
    for _ in range(20):
        dispatcher.tick()  # the zombie goes on, and is fenced
    assert dispatcher.held == set()
    assert count(engine, "events WHERE kind = 'trial.succeeded'") == 6
    assert count(engine, "attempts WHERE reason = 'lease_expired'") == 3


LONG = {"model": {"hidden": [8]}, "train": {"epochs": 30}, "trace": {"points_per_decade": 3}}


def test_draining_keeps_where_trials_are_and_gives_them_back_uncharged(dispatcher: Dispatcher, engine: Engine) -> None:
    submit(engine, base=LONG)
    dispatcher.tick()
    assert count(engine, "trials WHERE state = 'running'") == 3
    dispatcher.drain()
    assert count(engine, "trials WHERE state = 'queued' AND attempts = 0") == 6
    assert count(engine, "packs WHERE state = 'released'") == 1
    assert count(engine, "checkpoints WHERE step > 0") == 3
    assert count(engine, "dispatchers") == 0


def test_an_interrupted_trial_goes_on_to_the_same_bits(
    dispatcher: Dispatcher, engine: Engine, store: Store, tmp_path: Path
) -> None:
    """Drained and resumed, in other packs and from different steps: rows and weights equal an undisturbed run's."""
    base = {**LONG, "trace": {"points_per_decade": 3, "snapshots_per_decade": 1}}
    disturbed = submit(engine, base=base)
    for _ in range(4):
        dispatcher.tick()
        dispatcher.drain()
    dispatcher._draining = False
    run_until_over(dispatcher, disturbed)
    assert count(engine, "events WHERE kind = 'trial.requeued'") >= 9
    assert count(engine, "v_doctor WHERE violations > 0") == 0
    undisturbed = submit(engine, base=base)
    run_until_over(dispatcher, undisturbed)
    tables = ("metrics", "traces", "snapshots")
    with engine.connect() as connection:
        for table in tables:
            rows = {}
            for sweep_id in (disturbed, undisturbed):
                found = connection.execute(
                    text(f"""
                        SELECT seed, to_jsonb({table}) - 'trial_id' FROM {table}
                        JOIN trials ON trials.id = trial_id WHERE sweep_id = {sweep_id} ORDER BY seed, trial_id, step
                    """)
                )
                rows[sweep_id] = sorted(str(tuple(row)) for row in found)
            assert rows[disturbed] == rows[undisturbed]
    dispatcher.clock.now += TTL.total_seconds()  # type: ignore[attr-defined]
    dispatcher.tick()
    assert count(engine, "checkpoints") == 0
    kept = count(engine, "snapshots WHERE trial_id IN (SELECT id FROM trials WHERE sweep_id = 1)")
    assert len([file for file in (tmp_path / "store").rglob("*") if file.is_file()]) <= kept


def test_a_spoilt_checkpoint_is_noticed_and_the_trial_starts_again(
    dispatcher: Dispatcher, engine: Engine, store: Store, tmp_path: Path
) -> None:
    sweep_id = submit(engine, base=LONG, seeds={"count": 3}, grid={})
    dispatcher.tick()
    dispatcher.drain()
    [spoilt, *_] = sorted(file for file in (tmp_path / "store").rglob("*") if file.is_file())
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 1  # one bit
    spoilt.write_bytes(bytes(content))
    dispatcher._draining = False
    dispatcher.tick()
    assert count(engine, "checkpoints") == 2
    run_until_over(dispatcher, sweep_id)
    assert count(engine, "v_doctor WHERE violations > 0") == 0


def test_a_paused_sweep_lets_its_trials_go_at_their_next_checkpoint(
    dispatcher: Dispatcher, engine: Engine, clock: FakeClock
) -> None:
    sweep_id = submit(engine, base={**LONG, "train": {"epochs": 1000}})
    dispatcher.tick()
    with Session(engine) as session, session.begin():
        control.pause(session, sweep_id)
    for _ in range(200):
        clock.now += TTL.total_seconds() / 3
        dispatcher.tick()
        if not dispatcher.held:
            break
    assert not dispatcher.held
    assert count(engine, "trials WHERE state = 'queued' AND attempts = 0") == 6
    assert count(engine, "checkpoints") == 3


def test_a_cancelled_sweep_stops_and_the_dispatcher_goes_on(dispatcher: Dispatcher, engine: Engine) -> None:
    long = submit(engine, base={"model": {"hidden": [8]}, "train": {"epochs": 1000}})
    for _ in range(5):
        dispatcher.tick()
    with Session(engine) as session, session.begin():
        control.cancel(session, long)
    short = submit(engine, name="short")
    run_until_over(dispatcher, short)
    assert count(engine, f"trials WHERE sweep_id = {long} AND state = 'cancelled'") == 6


def test_a_database_outage_is_survived_and_leases_end_in_time(
    dispatcher: Dispatcher, engine: Engine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = submit(engine)
    dispatcher.tick()
    assert len(dispatcher.held) == 1
    with monkeypatch.context() as away:
        away.setattr(queue, "record_provenance", _unreachable)
        away.setattr(queue, "record", _unreachable)
        away.setattr(queue, "heartbeat", _unreachable)
        assert dispatcher.tick() > timedelta(milliseconds=500)
        assert len(dispatcher.held) == 1  # the lease still holds
        clock.now += 0.9 * TTL.total_seconds()
        dispatcher.tick()
        assert dispatcher.held == set()
    with engine.begin() as connection:
        connection.execute(text("UPDATE packs SET lease_until = now() - interval '1 second' WHERE state = 'running'"))
    clock.now += 2 * TTL.total_seconds()
    run_until_over(dispatcher, sweep_id)
    assert count(engine, "trial_summaries") == 6


def test_a_lock_that_another_holds_does_not_cost_the_leases(
    database_url: str, provenance: Any, store: Store, engine: Engine
) -> None:
    ttl = timedelta(seconds=3)
    impatient = make_dispatcher_engine(database_url, ttl=ttl)
    executor = InlineExecutor(DataLibrary(), provenance)
    dispatcher = Dispatcher(engine=impatient, executor=executor, store=store, ttl=ttl, name="one")
    sweep_id = submit(engine)
    dispatcher.tick()
    with engine.begin() as other:
        other.execute(text("SELECT FROM packs FOR UPDATE"))
        for _ in range(3):
            dispatcher.tick()  # returns, and does not raise
        assert count(engine, "metrics") == 0
    run_until_over(dispatcher, sweep_id)
    assert count(engine, "attempts") == 6  # nobody's lease was lost
    impatient.dispose()


def test_a_pack_whose_rows_are_locked_keeps_no_other_waiting(database_url: str, store: Store, engine: Engine) -> None:
    impatient = make_dispatcher_engine(database_url, ttl=timedelta(seconds=1))
    with Session(engine) as session:
        submit(engine, seeds={"count": 128})
        locked, free = queueing.claim(session), queueing.claim(session)
    reports = [[queueing.chunk(locked, 0), queueing.chunk(free, 0), queueing.chunk(locked, 1, step=1)], [], []]
    executor = Mock(poll=lambda: reports.pop(0))
    held = {locked.pack_id, free.pack_id}
    recorder = Recorder(sessions=sessionmaker(impatient), executor=executor, store=store, held=held)
    with engine.begin() as other:
        other.execute(text(f"SELECT FROM packs WHERE id = {locked.pack_id} FOR UPDATE"))
        assert recorder.collect(lambda: None) == 1
    assert count(engine, f"packs WHERE id = {free.pack_id} AND next_seq = 1") == 1
    assert recorder.collect(lambda: None) == 2
    assert count(engine, f"packs WHERE id = {locked.pack_id} AND next_seq = 2") == 1
    impatient.dispose()


def test_draining_tries_again_where_another_holds_a_lock(
    database_url: str, provenance: Any, store: Store, engine: Engine
) -> None:
    impatient = make_dispatcher_engine(database_url, ttl=timedelta(seconds=3))
    executor = InlineExecutor(DataLibrary(), provenance)
    dispatcher = Dispatcher(engine=impatient, executor=executor, store=store, ttl=timedelta(seconds=3), name="one")
    submit(engine, base=LONG)
    dispatcher.tick()
    with ThreadPoolExecutor() as pool:
        with engine.begin() as other:
            other.execute(text("SELECT FROM packs FOR UPDATE"))
            draining = pool.submit(dispatcher.drain)
            time.sleep(0.7)  # longer than one try waits
        draining.result()
    assert count(engine, "trials WHERE state = 'queued' AND attempts = 0") == 6
    assert count(engine, "dispatchers") == 0
    impatient.dispose()


def test_a_sweep_that_cannot_be_claimed_is_paused_and_the_others_go_on(dispatcher: Dispatcher, engine: Engine) -> None:
    spoilt, sound = submit(engine), submit(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE groups SET config = '{{\"seed\": 1}}' WHERE sweep_id = {spoilt}"))
    run_until_over(dispatcher, sound)
    with Session(engine) as session:
        paused = sweeps.get(session, spoilt)
    assert paused.state == "paused"
    assert "cannot be claimed" in (paused.pause_reason or "")


def test_a_report_that_the_database_will_not_have_fails_its_trials_only(
    dispatcher: Dispatcher, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = submit(engine, retries={"max_attempts": 1})
    dispatcher.tick()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE metrics ADD CONSTRAINT refused CHECK (step < 0)"))
    for _ in range(5):
        dispatcher.tick()
        if count(engine, "trials WHERE state = 'failed'"):
            break
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE metrics DROP CONSTRAINT refused"))
    run_until_over(dispatcher, sweep_id)
    assert state(engine, sweep_id) == "partial"
    assert count(engine, "trials WHERE state = 'failed' AND reason = 'unknown_error'") == 1


def test_an_error_that_the_database_cannot_hold_is_written_out(
    dispatcher: Dispatcher, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = PackBroken(pack_id=1, reason=Reason.UNKNOWN_ERROR, error="no image in \udcff\x00")
    monkeypatch.setattr(dispatcher.executor, "poll", lambda: [said])
    submit(engine, retries={"max_attempts": 1}, seeds={"count": 1}, grid={})
    dispatcher.tick()
    dispatcher.tick()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT error FROM attempts")).scalar_one() == "no image in \\udcff\\x00"


def test_comparing_many_snapshots_keeps_nobody_waiting(
    dispatcher: Dispatcher, engine: Engine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store takes its time; in each round the dispatcher also rescues."""
    base = {"model": {"hidden": [4]}, "train": {"epochs": 1}, "trace": {"snapshots_per_decade": 1}}
    sweep_id = submit(engine, base=base, seeds={"count": 4}, grid={})
    run_until_over(dispatcher, sweep_id)
    compared = [count(engine, "parameter_cosines")]
    rescues = 0

    def rescue(session: Session) -> dict[int, list[int]]:
        nonlocal rescues
        rescues += 1
        return {}

    monkeypatch.setattr(queue, "rescue", rescue)
    while count(engine, "comparisons_due"):
        clock.now += TTL.total_seconds()
        dispatcher.tick()
        compared.append(count(engine, "parameter_cosines"))
        assert rescues == len(compared) - 1
    steps, pairs, layers = 3, 6, 3  # steps 0, 10 and the last; layer 0 is both together
    assert compared[-1] >= steps * pairs * layers
    assert max(later - earlier for earlier, later in pairwise(compared)) <= 3 * layers


def test_workers_are_shown_with_the_heartbeat(dispatcher: Dispatcher, engine: Engine, clock: FakeClock) -> None:
    clock.now += TTL.total_seconds()
    dispatcher.tick()
    assert count(engine, "workers WHERE dispatcher = 'one' AND cpu = 1") == 1
    dispatcher.drain()
    assert count(engine, "workers") == 0


def test_the_embedded_database_has_one_owner(tmp_path: Path) -> None:
    from db.embedded import EmbeddedPostgres
    from services.domain.errors import EmbeddedDatabaseInUse

    with (
        EmbeddedPostgres.start(tmp_path),
        pytest.raises(EmbeddedDatabaseInUse, match="already served by process"),
        EmbeddedPostgres.start(tmp_path),
    ):
        raise AssertionError("two owners")
    with EmbeddedPostgres.start(tmp_path):
        pass  # free again, and the data are still there


def _provenance_of(dispatcher: Dispatcher) -> Any:
    executor = dispatcher.executor
    assert isinstance(executor, InlineExecutor)
    return executor._provenance


def _unreachable(*_: Any, **__: Any) -> Any:
    from sqlalchemy.exc import OperationalError

    raise OperationalError("SELECT", {}, Exception("server closed the connection"))
