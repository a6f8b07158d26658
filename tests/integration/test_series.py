"""Groups pooled into series: what SQL puts together is what all their trials say, kept or not. The axes there are."""

import json
from collections.abc import Iterator
from statistics import mean, stdev
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from api.app import create_app
from api.client import Client
from benchmarks.reading import Load, load
from db.session import make_engine, reader_url
from services import curves, groups
from services.domain.errors import InvalidQuery, NotFound
from services.groups import Selection
from services.rollups import roll_up_next
from tests.conftest import DatabaseServer
from tests.integration.test_api import settings
from tests.serving import served

POINTS = 12
GRID = {"rule.name": ["dfa", "bp"], "train.lr": [0.01, 0.1, 0.001]}
SHORT = "step > 50 AND trial_id IN (SELECT trial_id FROM v_trials WHERE lr = 0.1)"


@pytest.fixture(scope="module", params=["kept", "computed"])
def url(database_server: DatabaseServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A sweep of six groups with four trials each. Those with the highest rate end early, with a step of their own."""
    name = f"series_{request.param}"
    database_server.execute(f"CREATE DATABASE {name} TEMPLATE alignsweep_template")
    url = database_server.url_of(name)
    engine = make_engine(url)
    load(engine, Load(groups=6, seeds=4, points=POINTS, layers=3), vacuum=False, grid=GRID)
    with Session(engine) as session, session.begin():
        for table in ("metrics", "traces"):
            session.execute(text(f"DELETE FROM {table} WHERE {SHORT}"))
            session.execute(text(f"UPDATE {table} SET step = 47 WHERE step = 50 AND {SHORT.partition('AND')[2]}"))
        if request.param == "kept":
            while roll_up_next(session):
                pass
    yield url
    engine.dispose()
    database_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    engine: Engine = make_engine(url)
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_the_axes_are_those_of_the_spec_from_the_outermost(session: Session) -> None:
    found = groups.axes(session, 1)
    assert found.groups == 6
    assert [(axis.name, axis.count, axis.values) for axis in found.items] == [
        ("rule.name", 2, ["dfa", "bp"]),
        ("train.lr", 3, [0.001, 0.01, 0.1]),
    ]
    with pytest.raises(NotFound):
        groups.axes(session, 2)


def test_a_series_is_what_its_trials_say(session: Session) -> None:
    found = curves.alignment(session, 1, selection=Selection(by=["rule.name"], where={"lr": 0.01}))
    assert (found.series_total, found.points_total, found.sampled) == (2, 2 * POINTS, False)
    assert [row["varied"] for row in found.items[:: POINTS * 3]] == [{"rule.name": "dfa"}, {"rule.name": "bp"}]
    for row in found.items:
        _agrees(session, row, "v_alignment", "gradient_alignment", lrs=(0.01,))


def test_groups_are_pooled_over_all_their_trials(session: Session) -> None:
    found = curves.curves(session, 1, selection=Selection(by=["rule.name"]))
    assert {row["groups"] for row in found.items} == {3}
    assert {row["n"] for row in found.items if row["step"] < 47} == {12}
    for row in found.items:
        _agrees(session, row, "v_curves", "test_accuracy", lrs=(0.1, 0.01, 0.001))


def test_a_step_of_few_groups_between_those_of_more_is_left_out(session: Session) -> None:
    found = curves.curves(session, 1, selection=Selection(by=[]))
    steps = [row["step"] for row in found.items]
    assert steps == [0, 10, 20, 30, 40, *range(50, 10 * POINTS, 10)]  # 47, where the others have no value, is not
    assert [row["n"] for row in found.items] == [24] * 5 + [16] * (POINTS - 5)
    alone = curves.curves(session, 1, selection=Selection(by=[], where={"train.lr": 0.1}))
    assert [row["step"] for row in alone.items] == [0, 10, 20, 30, 40, 47]


def _agrees(session: Session, row: dict[str, Any], view: str, measure: str, lrs: tuple[float, ...]) -> None:
    """n, mean and deviation over the trials' own rows."""
    layer = f"AND rows.layer = {row['layer']}" if "layer" in row else ""
    values = list(
        session.execute(
            text(f"""
                SELECT rows.{measure} FROM {view} AS rows JOIN v_trials AS trials USING (trial_id)
                WHERE trials.rule = :rule AND trials.lr = ANY(:lrs) AND rows.step = :step {layer}
                    AND rows.{measure} IS NOT NULL
            """),
            {"rule": row["varied"]["rule.name"], "lrs": list(lrs), "step": row["step"]},
        ).scalars()
    )
    assert row[f"{measure}_n"] == len(values) > 0
    assert row[f"{measure}_mean"] == pytest.approx(mean(values), rel=1e-9)
    assert row[f"{measure}_sd"] == pytest.approx(stdev(values), rel=1e-7)


def test_what_is_undefined_in_a_group_counts_for_nothing(session: Session) -> None:
    found = curves.alignment(session, 1, selection=Selection(by=[]))
    bottom = [row for row in found.items if row["layer"] == 1]
    assert {
        (row["weight_alignment_n"], row["weight_alignment_mean"], row["weight_alignment_sd"]) for row in bottom
    } == {(0, None, None)}


def test_series_and_points_are_as_many_as_asked_for(session: Session) -> None:
    found = curves.alignment(session, 1, max_points=4, selection=Selection(by=["train.lr", "rule.name"], most=2))
    assert (found.series_total, found.series_shown, found.points_shown, found.sampled) == (6, 2, 8, True)
    assert len(found.items) == 8 * 3
    each = curves.alignment(session, 1, selection=Selection(most=2))
    assert {row["group_hash"] for row in each.items} == set(
        session.execute(text("SELECT group_hash FROM groups WHERE position < 2")).scalars()
    )
    none = curves.alignment(session, 1, selection=Selection(by=["rule"], where={"train.lr": 5}))
    assert (none.items, none.series_total) == ([], 0)


def test_groups_that_lack_an_axis_are_a_series_of_their_own(session: Session) -> None:
    session.execute(text("UPDATE groups SET varied = varied - 'train.lr' WHERE position = 0"))
    found = curves.curves(session, 1, selection=Selection(by=["train.lr"]))
    assert [value for value in dict.fromkeys(row["varied"]["train.lr"] for row in found.items)] == [
        None,
        0.1,
        0.001,
        0.01,
    ]
    lacking = curves.curves(session, 1, selection=Selection(where={"train.lr": None}))
    assert lacking.series_total == 1
    assert [axis.count for axis in groups.axes(session, 1).items] == [2, 3]
    session.rollback()


def test_parameters_that_do_not_exist_are_refused(session: Session) -> None:
    with pytest.raises(InvalidQuery) as refused:
        curves.curves(session, 1, selection=Selection(by=["train.rl"]))
    assert refused.value.problems[0].hint == "did you mean train.lr?"


def test_series_are_asked_for_over_http(url: str) -> None:
    with TestClient(create_app(settings(url, reader_url(url, password=None), token=None))) as client:
        path = "/api/v1/sweeps/1/curves"
        asked = {"by": "rule.name", "where": json.dumps({"train.lr": 0.01}), "max_points": 3, "max_series": 1}
        answer = client.get(path, params=asked).json()
        assert {key: value for key, value in answer.items() if key != "items"} == {
            "points_total": POINTS, "points_shown": 3, "sampled": True, "series_total": 2, "series_shown": 1,
        }  # fmt: skip
        assert client.get("/api/v1/sweeps/1/axes").json()["items"][0] == {
            "name": "rule.name", "count": 2, "values": ["dfa", "bp"],
        }  # fmt: skip
        for query, code in (
            ({"where": "{"}, "not_parsed"),
            ({"where": '{"train.lr": NaN}'}, "not_parsed"),
            ({"where": '{"train.lr": "\\u0000"}'}, "not_parsed"),
            ({"where": "[1]"}, "not_an_object"),
            ({"where": '{"none": 1}'}, "unknown_name"),
            ({"by": "none"}, "unknown_name"),
            ({"by": ",".join("abcdefghi")}, "too_many"),
        ):
            refused = client.get(path, params=query)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, code), query


def test_the_client_asks_as_well(url: str) -> None:
    app = create_app(settings(url, reader_url(url, password=None), token=None))
    with served(app) as address, Client(address) as client:
        assert [axis["name"] for axis in client.axes(1)] == ["rule.name", "train.lr"]
        (row,) = client.alignment(1, max_points=2, by=[], where={"lr": 0.1, "rule": "bp"}, max_series=5)[:1]
        assert (row["varied"], row["groups"], row["gradient_alignment_n"]) == ({}, 1, 4)
        assert len({row["varied"]["train.lr"] for row in client.curves(1, max_points=2, by=["train.lr"])}) == 3
