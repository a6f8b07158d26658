"""Reading stays fast by its plans, not by luck: which scans the statements of large tables use; and thinned curves."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, TextClause, event, text
from sqlalchemy.orm import Session

from benchmarks.reading import Load, load
from db.session import make_engine
from services import curves, measurements, phasing, results
from services.domain.results import Chunk
from services.lists import listing
from services.lists.columns import TRIALS
from services.lists.listing import Question
from services.queue_sql import SUMMARISE_LAYERS
from services.rollups import roll_up_next
from services.tidying import analyze_traces
from tests.conftest import DatabaseServer

LOAD = Load(groups=100, seeds=10, points=12, layers=3)
FEW = Load(groups=12, seeds=5, points=12, layers=3)


@pytest.fixture(scope="module", params=["analysed", "parts analysed"])
def loaded(database_server: DatabaseServer, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Two sweeps of 1000 trials, 36,000 rows of traces each."""
    name = f"reading_{request.param_index}"
    database_server.execute(f"CREATE DATABASE {name} TEMPLATE alignsweep_template")
    engine = make_engine(database_server.url_of(name))
    for _ in range(2):
        load(engine, LOAD, vacuum=request.param == "analysed")
    if request.param == "parts analysed":  # as autovacuum leaves it: it never looks at what partitions make up
        with engine.begin() as connection:
            connection.execute(text("ANALYZE sweeps, groups, trials, metrics, partitions.traces_0"))
    yield engine
    engine.dispose()
    database_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def curved(database_server: DatabaseServer) -> Iterator[Engine]:
    """Two small sweeps; the curves of neither are kept yet."""
    database_server.execute("CREATE DATABASE reading_curves TEMPLATE alignsweep_template")
    engine = make_engine(database_server.url_of("reading_curves"))
    for _ in range(2):
        load(engine, FEW, vacuum=False)
    yield engine
    engine.dispose()
    database_server.execute("DROP DATABASE reading_curves WITH (FORCE)")


def scans(connection: Connection, statement: str | TextClause, parameters: dict[str, Any]) -> set[tuple[str, str]]:
    """(kind of scan, table without the number of its partition) of all scans that the plan would execute."""
    sql = statement.text if isinstance(statement, TextClause) else statement
    return scans_of(connection.execute(text(f"EXPLAIN (FORMAT json) {sql}"), parameters).scalar_one())


def scans_of(explained: Any) -> set[tuple[str, str]]:
    """Those of this plan."""
    found: set[tuple[str, str]] = set()
    waiting = [explained[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if "Relation Name" in node:
            found.add((node["Node Type"], node["Relation Name"].rstrip("0123456789").rstrip("_")))
    return found


ONE_TRIAL = {"trial": 1234}
HUNDRED = "SELECT step, layer, avg(gradient_alignment) FROM v_alignment WHERE group_id IN (3, 4) GROUP BY step, layer"


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT * FROM traces WHERE trial_id = :trial ORDER BY step, layer", ONE_TRIAL),
        ("SELECT * FROM v_alignment WHERE trial_id = :trial", ONE_TRIAL),
        ("SELECT * FROM v_alignment WHERE trial_id = :trial AND step = 100 AND layer = 2", ONE_TRIAL),
        (phasing._READ_ALIGNMENTS, {"trials": [17, 18]}),
        (HUNDRED, {}),
        ("SELECT * FROM v_group_alignment_curves WHERE group_id = 3", {}),
        (SUMMARISE_LAYERS, {"ids": [17, 18]}),
        (
            "DELETE FROM traces USING unnest(:trials ::bigint[], :steps ::bigint[]) AS kept(trial_id, step) "
            "WHERE traces.trial_id = kept.trial_id AND traces.step > kept.step",
            {"trials": [1, 2, 3], "steps": [-1, -1, -1]},
        ),
    ],
)
def test_no_statement_about_some_trials_reads_all_traces(loaded: Engine, sql: Any, parameters: dict[str, Any]) -> None:
    with loaded.connect() as connection:
        used = scans(connection, sql, parameters)
        assert ("Seq Scan", "traces") not in used
        assert {table for _, table in used} & {"traces", "group_traces"}
        connection.rollback()


def test_the_summary_of_a_sweep_reads_no_traces(loaded: Engine) -> None:
    with loaded.connect() as connection:
        used = scans(connection, results._STATS, {"sweep": 1})
    assert "traces" not in {table for _, table in used}
    assert "metrics" not in {table for _, table in used}


@pytest.mark.parametrize("narrowed", [{}, {"filter": "state = succeeded"}, {"filter": "train.lr < 1"}])
def test_a_page_of_trials_is_found_by_an_index(loaded: Engine, narrowed: dict[str, str]) -> None:
    scope = {"trials.sweep_id = :sweep": {"sweep": 2}}
    asked: list[tuple[str, Any]] = []
    with Session(loaded) as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", lambda *seen: asked.append(seen[2:4]))
        cursor, ids = None, []
        for _ in range(3):
            question = Question(sort="position", limit=3, cursor=cursor, scope=scope, **narrowed)
            page = listing.page(session, TRIALS, question)
            ids += [trial.id for trial in results.trials(session, page.ids)]
            cursor = page.next_cursor
        assert ids == list(range(1001, 1010))
        pages = [(sql, values) for sql, values in asked if "FROM trials" in sql]
        assert len(pages) == 3
        for sql, values in pages:
            used = scans_of(connection.exec_driver_sql(f"EXPLAIN (FORMAT json) {sql}", values).scalar_one())
            assert ("Seq Scan", "trials") not in used
        session.rollback()


def test_trials_find_room_for_their_traces(engine: Engine) -> None:
    width = 16384
    with engine.begin() as connection:
        connection.execute(text("SELECT setval('trials_id_seq', 5 * 16384 - 3)"))
    load(engine, Load(groups=1, seeds=5, points=1, layers=2))
    with engine.connect() as connection:
        parts = connection.execute(text("SELECT tableoid::regclass::text, count(*) FROM traces GROUP BY 1 ORDER BY 1"))
        assert [tuple(part) for part in parts] == [("partitions.traces_4", 4), ("partitions.traces_5", 6)]
        bounds = connection.execute(
            text("""
                SELECT pg_get_expr(relpartbound, oid) FROM pg_class
                WHERE relispartition AND relkind = 'r' ORDER BY oid
            """)
        ).scalars()
        numbers = [bound.replace("MINVALUE", "'0'").split("'")[1::2] for bound in bounds]
        assert sorted(int(first) for first, _ in numbers) == [n * width for n in range(6)]
    with Session(engine) as session:  # rows of the oldest trials and of the newest travel in one chunk
        _, traces = _columns([1, 5 * width + 1])
        measurements.write(session, Chunk(pack_id=0, seq=0, traces=traces), {1, 5 * width + 1})
        measurements.write(session, Chunk(pack_id=0, seq=0, traces=traces), {1, 5 * width + 1})
        measurements.take_back(session, {1: -1, 5 * width + 1: 0})


def _columns(trials: list[int]) -> Any:
    from benchmarks.simulated import Script, columns

    return columns(tuple(trials), first=0, script=Script(points=2, layers=2))


def test_the_planner_learns_of_traces_that_have_grown(loaded: Engine) -> None:
    count = "SELECT reltuples FROM pg_class WHERE oid = 'traces'::regclass"
    with Session(loaded) as session, session.begin():
        session.execute(text("ANALYZE partitions.traces_0"))
        analyze_traces(session)
        assert session.execute(text(count)).scalar_one() == 2 * 1000 * 12 * 3


@pytest.mark.parametrize("sweep", [1, 2], ids=["kept", "computed"])
@pytest.mark.parametrize("read", [curves.curves, curves.alignment])
def test_thinned_curves_are_some_of_the_points_and_say_so(curved: Engine, sweep: int, read: Any) -> None:
    with Session(curved) as session:
        if sweep == 1:
            while roll_up_next(session):
                pass
        else:
            session.execute(text("DELETE FROM rollups_due"))
            session.execute(text("UPDATE groups SET rolled_up = false WHERE sweep_id = 2"))
            session.execute(text("DELETE FROM group_curves USING groups WHERE groups.id = group_id AND sweep_id = 2"))
            session.execute(text("DELETE FROM group_traces USING groups WHERE groups.id = group_id AND sweep_id = 2"))
        whole = read(session, sweep)
        assert (whole.points_total, whole.points_shown, whole.sampled) == (FEW.groups * 12, FEW.groups * 12, False)
        for most, shown in ((2, 2), (5, 5), (11, 11), (12, 12), (100, 12)):
            some = read(session, sweep, max_points=most)
            assert (some.points_total, some.points_shown) == (FEW.groups * 12, FEW.groups * shown)
            assert some.sampled == (shown < 12)
            first = [row for row in some.items if row["group_hash"] == some.items[0]["group_hash"]]
            steps = sorted({row["step"] for row in first})
            assert (steps[0], steps[-1]) == (0, whole.items[-1]["step"])
            assert max(np.diff([list(_steps(whole)).index(step) for step in steps])) <= -(-11 // (shown - 1))
            _are_among(some.items, whole.items)
        session.rollback()


def _steps(whole: curves.Curves) -> list[int]:
    return sorted({row["step"] for row in whole.items})


def _are_among(some: list[dict[str, Any]], whole: list[dict[str, Any]]) -> None:
    place = {(row["group_hash"], row["step"], row.get("layer")): row for row in whole}
    for row in some:
        other = place[row["group_hash"], row["step"], row.get("layer")]
        assert json.dumps(row["varied"]) == json.dumps(other["varied"])
        numbers = [name for name, value in row.items() if isinstance(value, float)]
        assert [row[name] for name in numbers] == pytest.approx([other[name] for name in numbers], rel=1e-9)


def test_curves_of_a_retried_sweep_are_forgotten(curved: Engine) -> None:
    with Session(curved) as session:
        while roll_up_next(session):
            pass
        count = text("SELECT count(*) FROM group_curves JOIN groups ON groups.id = group_id WHERE sweep_id = 1")
        assert session.execute(count).scalar_one() == FEW.groups * 12
        session.execute(text("UPDATE sweeps SET state = 'running', finished_at = NULL WHERE id = 1"))
        assert session.execute(count).scalar_one() == 0
        whole = session.execute(text("SELECT count(*) FROM v_group_curves WHERE sweep_id = 1")).scalar_one()
        assert whole == FEW.groups * 12
        session.execute(text("UPDATE sweeps SET state = 'partial', finished_at = now() WHERE id = 1"))
        assert session.execute(text("SELECT count(*) FROM rollups_due")).scalar_one() == FEW.groups
        session.rollback()
