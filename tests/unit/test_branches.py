"""Branches: which combinations they apply to, and that counting agrees with building."""

import itertools
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import InvalidSpec
from services.domain.spec import SweepSpec
from services.planning.combinations import combination_count, combinations, main_combinations, may_meet
from services.planning.expansion import count, expand, parse

# Paths whose values go with any others, and values for them.
MAIN = {"rule.name": ["bp", "fa", "dfa"], "train.lr": [0.1, 0.2, 0.3], "train.epochs": [1, 2], "data.seed": [None, 1]}
INNER = {"rule.feedback.scale": [1.0, 2.0], "model.init_seed": [1, 2, 3], "train.order_seed": [4, 5]}

_main = st.dictionaries(st.sampled_from(list(MAIN)), st.integers(1, 2), max_size=4).map(
    lambda sizes: {path: MAIN[path][:size] for path, size in sizes.items()}
)


def _picked(values: list[Any], pick: int) -> list[Any]:
    return [value for index, value in enumerate(values) if pick >> index & 1] or values


_condition = st.dictionaries(st.sampled_from(list(MAIN)), st.integers(1, 5), min_size=1, max_size=3).map(
    lambda picks: {path: _picked(MAIN[path], pick) for path, pick in picks.items()}
)


@st.composite
def _specs(draw: st.DrawFn) -> dict[str, Any]:
    """Grids, perhaps random points, and branches over them; each branch has a path of its own."""
    document: dict[str, Any] = {"name": "test", "grid": draw(_main), "seeds": {"count": draw(st.integers(1, 3))}}
    if draw(st.booleans()):
        space = {
            "model.activation": {"choice": ["tanh", "relu", "erf"]},
            "data.test_samples": {"int_uniform": [10, 20]},
        }
        document["random"] = {"samples": draw(st.integers(1, 6)), "seed": draw(st.integers(0, 9)), "space": space}
    conditions = draw(st.lists(_condition, max_size=len(INNER)))
    if "random" in document and conditions:
        conditions[0] = conditions[0] | {"model.activation": ["tanh"]}
    document["when"] = [
        {"if": condition, "grid": {path: INNER[path]}} for condition, path in zip(conditions, INNER, strict=False)
    ]
    return document


@settings(deadline=None)  # machines are busy
@given(document=_specs())
def test_as_many_groups_as_counted_each_once_in_the_same_order(document: dict[str, Any]) -> None:
    spec = parse(document)
    groups = list(expand(spec))
    assert len(groups) * spec.seeds.count == count(spec)
    assert len({group.group_hash for group in groups}) == len(groups)
    assert [group.position for group in groups] == list(range(len(groups)))
    again = parse(spec.model_dump(mode="json"))
    assert again == spec
    assert [group.document for group in expand(again)] == [group.document for group in groups]


@settings(deadline=None)  # machines are busy
@given(document=_specs())
def test_a_branch_applies_exactly_where_its_conditions_hold(document: dict[str, Any]) -> None:
    spec = parse(document)
    for group in expand(spec):
        for index, branch in enumerate(spec.when):
            holds = all(_at(group.document, path) in values for path, values in branch.if_.items())
            assert (index in group.branches) is holds
            for path in branch.grid:
                assert (path in group.varied) is holds
                if not holds:
                    assert _at(group.document, path) == _at(spec.base.model_dump(mode="json"), path)


@settings(deadline=None)  # machines are busy
@given(document=_specs())
def test_two_branches_may_meet_where_some_combination_has_both(document: dict[str, Any]) -> None:
    spec = parse(document)
    together = {combination.branches for combination in combinations(spec)}
    for pair in itertools.combinations(range(len(spec.when)), 2):
        assert may_meet(spec, *pair) is any(set(pair) <= set(branches) for branches in together)


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document[part]
    return document


def test_bp_has_no_feedback_to_vary() -> None:
    spec = parse(
        {
            "name": "test",
            "grid": {"rule.name": ["bp", "fa", "dfa"]},
            "when": [{"if": {"rule.name": ["fa", "dfa"]}, "grid": {"rule.feedback.scale": ["inv_sqrt_width", 1.0]}}],
        }
    )
    assert [tuple(group.varied.values()) for group in expand(spec)] == [
        ("bp",),
        ("fa", "inv_sqrt_width"),
        ("fa", 1.0),
        ("dfa", "inv_sqrt_width"),
        ("dfa", 1.0),
    ]


def test_conditions_see_the_base_and_take_1_for_1_0() -> None:
    base = {"train": {"lr": 1.0}}
    branch = {"if": {"train.lr": [1], "rule.name": ["dfa"]}, "zip": {"data.seed": [1, 2], "model.init_seed": [1, 2]}}
    assert count(parse({"name": "test", "base": base, "when": [branch]})) == 2
    assert count(parse({"name": "test", "when": [branch]})) == 1


def test_branches_on_many_entangled_axes_are_counted_at_once() -> None:
    """Sixteen branches over ten thousand million combinations: exact, without building any."""
    paths = [f"trace.{name}" for name in ("probe", "points_per_decade", "snapshots_per_decade", "evaluate_on")]
    paths += [f"train.{name}" for name in ("lr", "epochs", "batch_size", "momentum", "weight_decay", "epsilon")]
    grid = {path: [value / 16 for value in range(10)] for path in paths}
    when = [
        {
            "if": {path: grid[path][: 1 + i % 3], paths[(7 * i + 3) % 10]: grid[path][2:]},
            "grid": {f"data.{name}": [1, 2]},
        }
        for i, (path, name) in enumerate(zip(paths * 2, "abcdefghijklmnop", strict=False))
    ]
    spec = SweepSpec.model_validate({"name": "test", "grid": grid, "when": when})
    assert main_combinations(spec) == 10**10
    started = time.perf_counter()
    exact = combination_count(spec)
    assert time.perf_counter() - started < 2
    small = spec.model_copy(update={"grid": {path: values[:3] for path, values in list(grid.items())[:6]}})
    assert exact > 10**10
    assert combination_count(small) == sum(1 for _ in combinations(small))


@pytest.mark.parametrize(
    "values", [list(range(1, 10_001)), {"range": [1, 10_000, 1]}, {"linear": [1, 10_000, 10_000]}], ids=str
)
def test_a_million_million_trials_are_refused_before_they_are_thought_of(values: object) -> None:
    axes = dict.fromkeys(("train.batch_size", "train.epochs", "trace.probe"), values)
    started = time.process_time()
    with pytest.raises(InvalidSpec, match="1,000,000,000,000 trials"):
        parse({"name": "test", "grid": axes})
    assert time.process_time() - started < 0.2


def _branch(conditions: dict[str, Any], **axes: Any) -> dict[str, Any]:
    return {"if": conditions, **axes}


@pytest.mark.parametrize(
    ("when", "pointer", "code"),
    [
        ([{"grid": {"train.lr": [1]}}], "/when/0/if", "missing"),
        (["dfa"], "/when/0", "model_type"),
        ([_branch({})], "/when/0/if", "too_short"),
        ([_branch({"rule.name": ["dfa"]})], "/when/0", "empty_branch"),
        ([_branch({"rule.nam": ["dfa"]}, grid={"train.lr": [1]})], "/when/0/if/rule.nam", "unknown_path"),
        ([_branch({"rule.name": ["dfaa"]}, grid={"train.lr": [1]})], "/when/0/if/rule.name/0", "literal_error"),
        ([_branch({"rule.name": "dfa"}, grid={"train.lr": [1]})], "/when/0/if/rule.name", "list_type"),
        ([_branch({"rule.name": ["dfa"]}, grid={"train.lrr": [1]})], "/when/0/grid/train.lrr", "unknown_path"),
        ([_branch({"rule.name": ["dfa"]}, grid={"train.lr": [0]})], "/when/0/grid/train.lr/0", "greater_than"),
        ([_branch({"rule.name": ["dfa"]}, grid={"train.lr": [1, 1.0]})], "/when/0/grid/train.lr/1", "duplicate_value"),
        ([_branch({"rule.name": ["dfa"]}, grid={"rule.name": ["fa"]})], "/when/0/grid/rule.name", "axis_twice"),
        (
            [_branch({"rule.name": ["dfa"]}, zip={"train.lr": [1], "train.epochs": [1, 2]})],
            "/when/0/zip",
            "zip_lengths",
        ),
        (  # both apply to dfa
            [
                _branch({"rule.name": ["fa", "dfa"]}, grid={"train.lr": [1]}),
                _branch({"rule.name": ["dfa"]}, grid={"train.lr": [2]}),
            ],
            "/when/1/grid/train.lr",
            "axis_twice",
        ),
        (  # what is set by the other branch is not known when the condition is looked at
            [
                _branch({"rule.name": ["fa"]}, grid={"train.lr": [1]}),
                _branch({"train.lr": [1]}, grid={"train.epochs": [2]}),
            ],
            "/when/1/if/train.lr",
            "condition_on_branch",
        ),
        (
            [_branch({"rule.name": ["dfa"]}, grid={"rule.feedback": [{}], "rule.feedback.seed": [1]})],
            "/when/0/grid/rule.feedback.seed",
            "axis_twice",
        ),
    ],
)
def test_a_branch_that_cannot_be_is_refused(when: list[Any], pointer: str, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse({"name": "test", "grid": {"rule.name": ["bp", "fa", "dfa"]}, "when": when})
    assert (pointer, code) in {(problem.pointer, problem.code) for problem in caught.value.problems}


def test_what_is_wrong_in_different_parts_comes_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(
            {
                "base": {"model": {"activation": "tnah"}},
                "grid": {"rule.nmae": ["bp"], "train.lr": [0.1, 0.1], "train.epochs": []},
                "when": [{"if": {"rule.name": ["dfa"]}}],
                "seeds": {"count": 0},
            }
        )
    assert {problem.pointer for problem in caught.value.problems} == {
        "/name",
        "/base/model/activation",
        "/grid/rule.nmae",
        "/grid/train.lr/1",
        "/grid/train.epochs",
        "/when/0",
        "/seeds/count",
    }


def test_all_combinations_that_do_not_fit_are_told_once_each_with_the_values_to_blame() -> None:
    spec = parse(
        {
            "name": "test",
            "grid": {"rule.name": ["bp", "fa"], "model.hidden": [[], [8]], "train.lr": [0.1, 0.2]},
            "zip": {"train.epochs": [10**6, 1], "train.batch_size": [1, 8]},
        }
    )
    with pytest.raises(InvalidSpec) as caught:
        list(expand(spec))
    assert [(problem.pointer, problem.code, problem.message) for problem in caught.value.problems] == [
        (
            "/zip/train.batch_size/0",
            "too_many_steps",
            "1,437,000,000 updates; a trial may have 1,000,000,000 (train.epochs = 1000000, train.batch_size = 1), "
            "and in 5 more combinations",
        ),
        (
            "/grid/model.hidden/0",
            "value_error",
            "rule fa needs at least one hidden layer (model.hidden = []), and in 3 more combinations",
        ),
    ]
