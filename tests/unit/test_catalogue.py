"""The recipes: every one is complete, its specs valid at every size, its questions about its own sweeps."""

import re

import pytest

from recipes.catalogue import Recipe, Size, asked, catalogue, chosen, sweeps_of
from services.planning.expansion import count, expand, parse

RECIPES = catalogue()


@pytest.fixture(params=RECIPES.values(), ids=lambda recipe: recipe.id)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    found: Recipe = request.param
    return found


def test_it_is_complete(recipe: Recipe) -> None:
    assert recipe.title
    assert recipe.claim
    assert recipe.questions
    assert callable(recipe.decide)
    assert callable(recipe.draw)


def test_questions_are_about_its_sweeps(recipe: Recipe) -> None:
    ids = dict.fromkeys([*recipe.own, *recipe.borrowed], 1)
    for question in recipe.questions.values():
        assert not re.search(r"(?<!:):[a-z]", asked(question, ids))


@pytest.mark.parametrize("size", Size)
def test_specs_are_valid(recipe: Recipe, size: Size) -> None:
    for name, sweep in sweeps_of(recipe, size, RECIPES).items():
        if name in recipe.own:
            spec = parse(sweep.spec)
            assert sum(len(group.seeds) for group in expand(spec)) == count(spec)


def test_no_claim_rests_on_one_seed(recipe: Recipe) -> None:
    for size in Size:
        for sweep in sweeps_of(recipe, size, RECIPES).values():
            assert parse(sweep.spec).seeds.count >= 2


def test_names_of_sweeps_are_unique() -> None:
    names = [
        sweep.name
        for each in RECIPES.values()
        for name, sweep in sweeps_of(each, Size.CI, RECIPES).items()
        if name in each.own
    ]
    assert len(names) == len(set(names))


def test_choosing() -> None:
    assert [each.id for each in chosen(["p11"], RECIPES)] == ["P11"]
    assert list(chosen(["all"], RECIPES)) == list(RECIPES.values())
    with pytest.raises(ValueError, match="no recipe P99; there are "):
        list(chosen(["P99"], RECIPES))


def test_casts_are_no_placeholders() -> None:
    assert (
        asked("SELECT x::int FROM t WHERE sweep_id = :grid", {"grid": 7}) == "SELECT x::int FROM t WHERE sweep_id = 7"
    )
