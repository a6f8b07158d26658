"""Expansion: the same spec gives the same trials in the same order, counted without building them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import InvalidSpec
from services.domain.spec import TrialConfig
from services.planning.expansion import count, expand, flatten, parse


def _spec(**parts: Any) -> dict[str, Any]:
    return {"name": "test", **parts}


def test_an_empty_spec_is_one_trial_of_the_paper_s_defaults() -> None:
    (group,) = expand(parse(_spec()))
    assert group.config == TrialConfig()
    assert list(group.seeds) == [0]
    assert group.varied == {}


def test_grid_combines_zip_goes_together_and_the_last_axis_varies_fastest() -> None:
    spec = parse(
        _spec(
            grid={"rule.name": ["bp", "dfa"], "train.lr": [0.1, 0.01]},
            zip={"model.hidden": [[8], [8, 8]], "train.epochs": [1, 2]},
            seeds={"count": 3, "base": 7},
        )
    )
    groups = list(expand(spec))
    assert [(len(g.config.model.hidden), g.config.train.epochs) for g in groups] == [(1, 1)] * 4 + [(2, 2)] * 4
    assert [(g.config.rule.name, g.config.train.lr) for g in groups[:4]] == [
        ("bp", 0.1),
        ("bp", 0.01),
        ("dfa", 0.1),
        ("dfa", 0.01),
    ]
    assert count(spec) == 24
    assert list(groups[0].seeds) == [7, 8, 9]
    assert groups[1].varied == {"model.hidden": [8], "train.epochs": 1, "rule.name": "bp", "train.lr": 0.01}


@given(
    rules=st.lists(st.sampled_from(["bp", "fa", "dfa", "shallow"]), min_size=1, unique=True),
    rates=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=5, unique=True),
    widths=st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=3), min_size=1, max_size=4, unique_by=tuple),
    seeds=st.integers(1, 5),
)
def test_expansion_is_deterministic_distinct_and_as_long_as_counted(
    rules: list[str], rates: list[float], widths: list[list[int]], seeds: int
) -> None:
    document = _spec(grid={"rule.name": rules, "train.lr": rates}, zip={"model.hidden": widths}, seeds={"count": seeds})
    spec = parse(document)
    groups = list(expand(spec))
    assert [g.document for g in groups] == [g.document for g in expand(parse(document))]
    hashes = {g.config_hash(seed) for g in groups for seed in g.seeds}
    assert len(hashes) == count(spec) == len(rules) * len(rates) * len(widths) * seeds
    assert all(parse(spec.model_dump(mode="json")) == spec for _ in [0])


def test_the_hash_depends_on_the_values_not_on_how_they_are_written() -> None:
    (written,) = expand(parse(_spec(base={"train": {"lr": 1}, "data": {"name": "digits"}})))
    (defaulted,) = expand(parse(_spec(base={"train": {"lr": 1.0}})))
    assert written.group_hash == defaulted.group_hash
    assert written.config_hash(0) != written.config_hash(1)


@pytest.mark.parametrize(
    ("document", "pointer", "code"),
    [
        ({}, "/name", "missing"),
        ([], "", "model_type"),
        (_spec(base={"rul": {}}), "/base/rul", "extra_forbidden"),
        (_spec(base={"train": {"lr": "0.1"}}), "/base/train/lr", "float_type"),
        (_spec(base={"train": {"batch_size": 1.0}}), "/base/train/batch_size", "int_type"),
        (_spec(base={"train": {"batch_size": True}}), "/base/train/batch_size", "int_type"),
        (_spec(base={"model": {"hidden": [0]}}), "/base/model/hidden/0", "greater_than_equal"),
        (_spec(base={"rule": {"feedback": {"scale": -1}}}), "/base/rule/feedback/scale", "literal_error"),
        (_spec(base={"model": {"hidden": []}, "rule": {"name": "fa"}}), "/base", "value_error"),
        (_spec(seeds={"base": 2**63}), "/seeds/base", "less_than_equal"),
        (_spec(seeds={"base": 2**63 - 1, "count": 2}), "/seeds", "value_error"),
        (_spec(seeds={"base": -1}), "/seeds/base", "greater_than_equal"),
        (_spec(grid={"rule.name": ["bpp"]}), "/grid/rule.name/0", "literal_error"),
        (_spec(grid={"rule.name": ["bp", "bp"]}), "/grid/rule.name/1", "duplicate_value"),
        (_spec(grid={"rule.name": []}), "/grid/rule.name", "too_short"),
        (_spec(grid={"rule.nmae": ["bp"]}), "/grid/rule.nmae", "unknown_path"),
        (_spec(grid={"train.lr": [float("nan")]}), "/grid/train.lr/0", "finite_number"),
        (_spec(zip={"train.lr": [0.1], "train.epochs": [1, 2]}), "/zip", "zip_lengths"),
        (_spec(zip={"train.lr": [0.1]}, grid={"train.lr": [0.2]}), "/zip/train.lr", "axis_twice"),
        (_spec(seeds={"count": 1000}, grid={"train.epochs": list(range(2000))}), "", "too_many_trials"),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(document: object, pointer: str, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(document)
    assert (pointer, code) in {(problem.pointer, problem.code) for problem in caught.value.problems}


def test_all_problems_come_at_once_with_a_suggestion() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(_spec(base={"model": {"activation": "tnah"}, "train": {"learning_rate": 1}, "rul": {}}))
    hints = {problem.pointer: problem.hint for problem in caught.value.problems}
    assert hints["/base/model/activation"] == "did you mean tanh?"
    assert hints["/base/rul"] == "did you mean rule?"
    assert len(hints) == 3


def test_a_sweep_too_large_to_build_is_refused_from_arithmetic() -> None:
    axes = {path: list(range(1, 10_001)) for path in ("train.batch_size", "train.epochs", "trace.probe")}
    with pytest.raises(InvalidSpec, match="1,000,000,000,000 trials"):
        parse(_spec(grid=axes))


def test_two_ways_to_the_same_configuration_are_an_error() -> None:
    spec = parse(_spec(zip={"model.hidden": [[8], [8]], "train.lr": [0.1, 0.1]}))
    with pytest.raises(InvalidSpec, match="the same configuration"):
        list(expand(spec))


def test_flat_parameters_are_numbers_where_they_can_be() -> None:
    flat = {name: (number, text) for name, number, text in flatten(TrialConfig().model_dump(mode="json"))}
    assert flat["train.lr"] == (0.001, "0.001")
    assert flat["rule.name"] == (None, "dfa")
    assert flat["model.hidden"] == (None, "[64,64]")
    assert flat["model.bias"] == (0.0, "false")
    assert flat["data.size"] == (None, None)
