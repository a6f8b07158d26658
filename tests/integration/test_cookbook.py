"""Every query of the cookbook runs as the reader, and answers in the columns that the page shows."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from db.session import make_engine, make_reader_engine, reader_url
from services.query import run_query
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
    train(engine, SMALL, tmp_path_factory.mktemp("store"), reproducibility="tolerance")
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
