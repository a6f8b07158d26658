"""Ranges and random points: which numbers they stand for, and that they are the same ones everywhere."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import InvalidSpec
from services.domain.spec import RandomSpec
from services.planning.expansion import expand, parse
from services.planning.sampling import draw


def _values(form: dict[str, Any], path: str = "data.noise") -> list[Any]:
    return parse({"name": "test", "grid": {path: form}}).grid[path]


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ({"range": [0, 0.5, 0.1]}, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # not 0.30000000000000004
        ({"range": [1, 10, 4]}, [1, 5, 9]),  # a step need not hit the last
        ({"range": [1, 0, -0.25]}, [1, 0.75, 0.5, 0.25, 0]),
        ({"range": [2, 2, 1]}, [2]),
        ({"linear": [0.1, 0.5, 5]}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"linear": [1, 2, 4]}, [1, 4 / 3, 5 / 3, 2]),
        ({"log": [1e-4, 1e-1, 4]}, [0.0001, 0.001, 0.01, 0.1]),
        ({"log": [1e-4, 1e-2, 5]}, [0.0001, 0.000316227766016838, 0.001, 0.00316227766016838, 0.01]),
        ({"log": [100, 1, 3]}, [100, 10, 1]),
    ],
)
def test_a_range_is_the_numbers_one_would_write(form: dict[str, Any], values: list[float]) -> None:
    assert _values(form) == values


def test_whole_ends_give_whole_numbers() -> None:
    for form in ({"range": [16, 64, 16]}, {"linear": [16, 64, 4]}, {"log": [16, 128, 4]}):
        assert all(isinstance(value, int) for value in _values(form, "train.epochs"))


@pytest.mark.parametrize(
    ("form", "code", "at"),
    [
        ({"range": [0, 1, 0]}, "zero_step", "/range"),
        ({"range": [0, 1, -0.1]}, "reversed_range", "/range"),
        ({"range": [0, 1, 1e-300]}, "tiny_step", "/range"),
        ({"range": [0, 1]}, "too_short", "/range"),
        ({"range": [0, "1", 1]}, "int_type", "/range/1"),
        ({"range": [0, True, 1]}, "int_type", "/range/1"),
        ({"linear": [0, 1, 1]}, "points", "/linear"),
        ({"linear": [0, 1, 2.5]}, "points", "/linear"),
        ({"linear": [0, 1, 10**9]}, "points", "/linear"),
        ({"linear": [1, 1, 3]}, "empty_interval", "/linear"),
        ({"linear": [0, 10**400, 3]}, "less_than_equal", "/linear/1"),  # no number of a computer
        ({"log": [0, 1, 3]}, "log_of_zero", "/log"),
        ({"log": [-1, 1, 3]}, "log_of_zero", "/log"),
        ({"geometric": [1, 2, 3]}, "unknown_range", ""),
        ({"range": [0, 1, 1], "log": [1, 2, 3]}, "unknown_range", ""),
        ({}, "unknown_range", ""),
    ],
)
def test_a_range_that_ends_nowhere_is_refused(form: dict[str, Any], code: str, at: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        _values(form)
    assert [(problem.pointer, problem.code) for problem in caught.value.problems] == [("/grid/data.noise" + at, code)]


@settings(deadline=None)  # machines are busy
@given(first=st.integers(0, 10**6), step=st.integers(1, 10**4), count=st.integers(0, 200))
def test_every_value_of_a_range_is_the_float_nearest_to_its_decimal(first: int, step: int, count: int) -> None:
    exact = [Fraction(first + i * step, 1000) for i in range(count + 1)]
    ends = [float(exact[0]), float(exact[-1]), step / 1000]
    assert _values({"range": ends}) == [float(value) for value in exact]


def _random(samples: int, seed: int = 0, **space: Any) -> RandomSpec:
    named = {path.replace("__", "."): distribution for path, distribution in space.items()}
    return RandomSpec.model_validate({"samples": samples, "seed": seed, "space": named})


def test_draws_stay_what_they_are() -> None:
    """As published: what was drawn once is drawn for ever, on every machine."""
    space = {
        "train__lr": {"log_uniform": [1e-4, 1e-1]},
        "train__epochs": {"int_uniform": [1, 9]},
        "data__noise": {"uniform": [0, 0.5]},
        "train__optimizer": {"choice": ["sgd", "adam"]},
    }
    assert list(draw(_random(2, **space))) == [
        {"train.lr": 0.000273647, "train.epochs": 9, "data.noise": 0.145124, "train.optimizer": "sgd"},
        {"train.lr": 0.000749467, "train.epochs": 5, "data.noise": 0.332446, "train.optimizer": "adam"},
    ]


@settings(deadline=None)  # machines are busy
@given(samples=st.integers(1, 30), more=st.integers(0, 30), seed=st.integers(0, 2**63 - 1))
def test_more_samples_or_paths_keep_those_that_were_there(samples: int, more: int, seed: int) -> None:
    rate = {"log_uniform": [1e-4, 1e-1]}
    few = list(draw(_random(samples, seed, train__lr=rate)))
    many = list(draw(_random(samples + more, seed, train__lr=rate, data__noise={"uniform": [0, 1]})))
    assert [point["train.lr"] for point in many[:samples]] == [point["train.lr"] for point in few]


def test_points_lie_in_their_space_and_spread_over_it() -> None:
    space = {"a": {"log_uniform": [1e-4, 1.0]}, "b": {"int_uniform": [1, 4]}, "c": {"choice": ["x", 1]}}
    points = list(draw(_random(2000, **space)))
    logs = [math.log10(point["a"]) for point in points]
    assert -4 <= min(logs) < -3.9 < -0.1 < max(logs) <= 0
    assert sum(logs) / 2000 == pytest.approx(-2, abs=0.1)
    for value in (1, 2, 3, 4):
        assert sum(point["b"] == value for point in points) == pytest.approx(500, abs=80)
    assert sum(point["c"] == "x" for point in points) == pytest.approx(1000, abs=100)


def test_samples_are_all_different_as_far_as_there_are_different_ones() -> None:
    whole = {"int_uniform": [1, 20]}
    assert sorted(point["x"] for point in draw(_random(20, x=whole))) == list(range(1, 21))
    with pytest.raises(InvalidSpec, match="different samples"):
        list(draw(_random(50, x={"log_uniform": [1, 1.0001]})))


def test_every_combination_of_the_rest_sees_the_same_points() -> None:
    spec = parse(
        {
            "name": "test",
            "grid": {"rule.name": ["bp", "dfa"]},
            "random": {"samples": 5, "space": {"train.lr": {"log_uniform": [1e-4, 1e-1]}}},
        }
    )
    groups = list(expand(spec))
    assert [group.varied["train.lr"] for group in groups[:5]] == [group.varied["train.lr"] for group in groups[5:]]
    assert len({group.group_hash for group in groups}) == 10


@pytest.mark.parametrize(
    ("samples", "space", "pointer", "code"),
    [
        (0, {"train.lr": {"uniform": [0.1, 1]}}, "/random/samples", "greater_than_equal"),
        (1, {}, "/random/space", "too_short"),
        (1, {"train.lr": {"uniform": [1, 0.1]}}, "/random/space/train.lr/uniform", "empty_interval"),
        (1, {"train.lr": {"log_uniform": [0, 1]}}, "/random/space/train.lr/log_uniform", "log_of_zero"),
        (1, {"train.lr": {"normal": [0, 1]}}, "/random/space/train.lr", "unknown_distribution"),
        (1, {"train.lr": {"uniform": [-1, 1]}}, "/random/space/train.lr", "greater_than"),
        (1, {"train.epochs": {"uniform": [1, 9]}}, "/random/space/train.epochs", "int_type"),
        (1, {"train.l": {"uniform": [1, 9]}}, "/random/space/train.l", "unknown_path"),
        (1, {"rule.name": {"choice": ["bp", "x"]}}, "/random/space/rule.name", "literal_error"),
        (3, {"rule.name": {"choice": ["bp", "fa"]}}, "/random/samples", "too_many_samples"),
    ],
)
def test_a_space_that_cannot_be_drawn_from_is_refused(
    samples: int, space: dict[str, Any], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse({"name": "test", "random": {"samples": samples, "space": space}})
    assert (pointer, code) in {(problem.pointer, problem.code) for problem in caught.value.problems}
