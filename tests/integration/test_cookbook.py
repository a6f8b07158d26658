"""Every query of the cookbook runs as the reader, and answers in the columns that the page shows."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sqlalchemy import Engine, text

from db.session import make_engine, make_reader_engine, reader_url
from services.query import run_query
from services.transfer.exports import export
from services.transfer.formats import Format
from tests.conftest import DatabaseServer
from tests.cookbook import Recipe, recipes, train

SMALL = {
    "name": "quickstart",
    "base": {
        "data": {"name": "digits"},
        "train": {"lr": 0.005, "batch_size": 32, "epochs": 2},
        "trace": {"points_per_decade": 4, "probe": 64, "evaluate_on": 200},
    },
    "grid": {
        "model.activation": ["tanh", "relu"],
        "model.hidden": [[64], [64, 64, 64]],
        "rule.name": ["bp", "fa", "dfa", "shallow"],
    },
    "seeds": {"count": 4},
}

SCALES = {
    "name": "scales",
    "base": {
        "data": {"name": "digits"},
        "model": {"hidden": [16, 16]},
        "train": {"lr": 0.005, "batch_size": 32, "epochs": 1},
        "trace": {"points_per_decade": 2, "probe": 32, "evaluate_on": 100},
    },
    "grid": {"rule.name": ["bp", "dfa"]},
    "when": [{"if": {"rule.name": ["dfa"]}, "grid": {"rule.feedback.scale": [0.01, 0.1, 1, 10]}}],
    "seeds": {"count": 5},
}
"""One backpropagation beside four feedbacks."""

ALONE = {
    "name": "alone",
    "base": {
        "data": {"name": "regression"},
        "rule": {"name": "bp"},
        "model": {"hidden": [4]},
        "train": {"lr": 0.01, "epochs": 1, "loss": "mse"},
        "trace": {"points_per_decade": 1},
    },
}
"""One trial, with nothing to align with and no accuracy."""

EMPTY = {
    "Which seeds diverged, and when?",
    "Do the seeds of a configuration end in one solution?",
    "Who waits, and for how long?",
}
"""What the quickstart has nothing of."""

RARE = {"Which trials are far from the others of their configuration?"}
"""What a smaller one may have nothing of."""


@pytest.fixture(scope="module")
def trained(database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A smaller quickstart, of which all groups have kept curves."""
    database_server.execute("CREATE DATABASE cookbook TEMPLATE alignsweep_template")
    url = database_server.url_of("cookbook")
    engine = make_engine(url)
    for spec in (SMALL, SCALES, ALONE):
        train(engine, spec, tmp_path_factory.mktemp("store"), reproducibility="tolerance")
    yield make_reader_engine(reader_url(url, password=None))
    engine.dispose()
    database_server.execute("DROP DATABASE cookbook WITH (FORCE)")


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.question)
def test_a_recipe_answers_in_the_columns_it_shows(trained: Engine, recipe: Recipe) -> None:
    found = run_query(trained, recipe.sql, max_rows=100)
    names, _, *rows, count = recipe.answer.splitlines()
    assert found.columns == [name.strip() for name in names.split("|")]
    assert count == f"({len(rows)} rows)"
    assert bool(rows) == (recipe.question not in EMPTY)
    assert found.rows or not rows or recipe.question in RARE
    assert not found.truncated


def test_the_cookbook_is_no_smaller_than_it_says() -> None:
    assert len(recipes()) >= 25


def asked(engine: Engine, question: str, sweep: int) -> list[dict[str, Any]]:
    """The answer to a question of the cookbook about another sweep than the quickstart."""
    [recipe] = [recipe for recipe in recipes() if recipe.question == question]
    found = run_query(engine, about(recipe.sql, sweep), max_rows=1000)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def about(sql: str, sweep: int) -> str:
    return sql.replace("sweep_id = 1", f"sweep_id = {sweep}")


def test_pairs_are_of_seeds_and_of_one_configuration_each(trained: Engine) -> None:
    rows = asked(trained, "Is the gap to backpropagation real?", 2)
    assert [row["setting"] for row in rows] == [{"rule.feedback.scale": scale} for scale in (0.01, 0.1, 1, 10)]
    accuracies = run_query(
        trained, "SELECT feedback_scale, seed, test_accuracy FROM v_trials WHERE sweep_id = 2", max_rows=100
    )
    of = {(scale, seed): accuracy for scale, seed, accuracy in accuracies.rows}
    for row, scale in zip(rows, ("0.01", "0.1", "1.0", "10.0"), strict=True):
        gaps = [100 * (of[None, seed] - of[scale, seed]) for seed in range(5)]
        low, high = stats.t.interval(0.95, 4, loc=np.mean(gaps), scale=stats.sem(gaps))
        assert row["pairs"] == 5
        assert float(row["gap"]) == pytest.approx(np.mean(gaps), abs=0.006)
        assert float(row["half_width"]) == pytest.approx((high - low) / 2, abs=0.006)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.question)
def test_no_row_pools_configurations(trained: Engine, recipe: Recipe) -> None:
    found = run_query(trained, about(recipe.sql, 2), max_rows=1000)
    counts = {"n", "trials", "pairs"} & set(found.columns)
    if "setting" in found.columns and counts:
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        assert all(row[name] <= 5 for row in rows for name in counts)


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.question)
def test_a_question_says_why_it_has_no_rows(trained: Engine, recipe: Recipe) -> None:
    assert run_query(trained, about(recipe.sql, 3), max_rows=100).rows or recipe.no_rows


def test_axes_are_columns_of_frames(trained: Engine, database_server: DatabaseServer) -> None:
    engine = make_engine(database_server.url_of("cookbook"))
    for table in ("traces", "layer_summaries", "metrics", "group_stats", "group_alignment"):
        with closing(export(engine, table, [2], Format.ARROW)) as stream:
            rows = pa.ipc.open_stream(b"".join(stream)).read_all()
        assert str(rows.schema.field("rule.feedback.scale").type) == "double"
        scales = set(zip(rows["rule"].to_pylist(), rows["rule.feedback.scale"].to_pylist(), strict=True))
        assert scales == {("bp", None), *(("dfa", scale) for scale in (0.01, 0.1, 1.0, 10.0))}
        assert rows["rule.name"].to_pylist() == rows["rule"].to_pylist()
    engine.dispose()


def test_kept_curves_are_what_the_rows_say(trained: Engine, database_server: DatabaseServer) -> None:
    engine = make_engine(database_server.url_of("cookbook"))
    with engine.connect() as connection:
        for view, places in (
            ("v_group_curves", "group_id, step"),
            ("v_group_alignment_curves", "group_id, step, layer"),
        ):
            kept = connection.execute(text(f"SELECT * FROM {view} ORDER BY {places}")).all()
            connection.execute(text("UPDATE groups SET rolled_up = false"))
            connection.execute(text("DELETE FROM group_curves"))
            connection.execute(text("DELETE FROM group_traces"))
            computed = connection.execute(text(f"SELECT * FROM {view} ORDER BY {places}")).all()
            connection.rollback()
            assert len(kept) == len(computed) > 0
            for one, other in zip(kept, computed, strict=True):
                assert len(one) == len(other)
                for value, again in zip(one, other, strict=True):
                    assert value == (pytest.approx(again, rel=1e-9) if isinstance(again, float) else again)
    engine.dispose()
