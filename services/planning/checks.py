"""What is wrong with a spec whose parts are each well formed: axes that do not exist, clash, or hold invalid values."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from services.domain.errors import Problem, json_pointer
from services.domain.spec import (
    MAX_TRIALS_PER_SWEEP,
    Choice,
    Distribution,
    IntUniform,
    LogUniform,
    SweepSpec,
    Uniform,
)
from services.domain.spec.axes import identity
from services.planning.combinations import axes, combination_count, main_combinations, may_meet
from services.planning.problems import of_value, unknown_path
from services.planning.sampling import points

_EXAMINED = 1000
"""Values of each axis that are looked at in a sweep that is too large anyhow."""

Place = tuple[str | int, ...]


def problems(spec: SweepSpec) -> Iterator[Problem]:
    """Everything wrong with it that can be told without building a combination."""
    shape = [*_unknown(spec), *_zipped(spec), *_twice(spec), *_branches(spec), *_samples(spec)]
    size = [] if shape else list(_size(spec))
    yield from shape
    yield from size
    yield from _values(spec, most=_EXAMINED if size else None)


def _places(spec: SweepSpec) -> Iterator[tuple[Place, str]]:
    """Every axis, random ones too, and its path."""
    yield from ((place, path) for place, path, _ in axes(spec))
    if spec.random:
        yield from ((("random", "space", path), path) for path in spec.random.space)


def _conditions(spec: SweepSpec) -> Iterator[tuple[Place, str, Sequence[Any]]]:
    for index, branch in enumerate(spec.when):
        for path, values in branch.if_.items():
            yield ("when", index, "if", path), path, values


def _unknown(spec: SweepSpec) -> Iterator[Problem]:
    for place, path in (*_places(spec), *((place, path) for place, path, _ in _conditions(spec))):
        if unknown := unknown_path(path):
            message, hint = unknown
            yield Problem(pointer=json_pointer(place), code="unknown_path", message=message, hint=hint)


def _zipped(spec: SweepSpec) -> Iterator[Problem]:
    zips: list[tuple[Place, dict[str, list[Any]]]] = [(("zip",), spec.zip)]
    zips += [(("when", index, "zip"), branch.zip) for index, branch in enumerate(spec.when)]
    for place, zipped in zips:
        lengths = {path: len(values) for path, values in zipped.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{path} has {length}" for path, length in lengths.items())
            yield Problem(
                pointer=json_pointer(place),
                code="zip_lengths",
                message=f"values that change together must be equally many: {told}",
            )


def _twice(spec: SweepSpec) -> Iterator[Problem]:
    """Axes that set one value twice: the same path, or one within another. Branches that never meet may."""
    for (place, path), (other_place, other) in itertools.combinations(_places(spec), 2):
        if not _overlap(path, other) or _never_meet(spec, place, other_place):
            continue
        what = f"{other} is" if path == other else f"{path} and {other} overlap: the first is"
        yield Problem(
            pointer=json_pointer(other_place),
            code="axis_twice",
            message=f"{what} an axis of {json_pointer(place[:-1])[1:].replace('/', '.')} already",
        )


def _never_meet(spec: SweepSpec, place: Place, other: Place) -> bool:
    if place[0] != "when" or other[0] != "when" or place[1] == other[1]:
        return False
    if any(unknown_path(path) for _, path, _ in _conditions(spec)):
        return True  # told already
    return not may_meet(spec, int(place[1]), int(other[1]))


def _branches(spec: SweepSpec) -> Iterator[Problem]:
    """Entries of `when` without axes, and conditions on what cannot be known before the branches are."""
    for index, branch in enumerate(spec.when):
        if branch.if_ and not branch.grid and not branch.zip:
            yield Problem(
                pointer=json_pointer(("when", index)), code="empty_branch", message="it varies nothing: give it a grid"
            )
    for place, path, _ in _conditions(spec):
        for axis, other in _places(spec):
            if axis[0] == "when" and _overlap(path, other):
                message = f"{other} is varied by a branch: conditions look at base, grid, zip and random"
            elif path != other and _overlap(path, other):
                message = f"{other} is an axis: a condition names it, not {path}"
            else:
                continue
            yield Problem(pointer=json_pointer(place), code="condition_on_branch", message=message)


def _samples(spec: SweepSpec) -> Iterator[Problem]:
    if spec.random and spec.random.samples > points(spec.random):
        yield Problem(
            pointer="/random/samples",
            code="too_many_samples",
            message=f"this space has no more than {points(spec.random):,} different points",
            hint="take fewer samples, or a grid",
        )


def _size(spec: SweepSpec) -> Iterator[Problem]:
    """From arithmetic. Branches only add: what is too large without them need not be counted with them."""
    least = main_combinations(spec) * spec.seeds.count
    exact = least > MAX_TRIALS_PER_SWEEP and not spec.when
    trials = least if least > MAX_TRIALS_PER_SWEEP else combination_count(spec) * spec.seeds.count
    if trials > MAX_TRIALS_PER_SWEEP:
        yield Problem(
            pointer="",
            code="too_many_trials",
            message=f"this spec has {'' if exact else 'at least '}{trials:,} trials; "
            f"a sweep may have {MAX_TRIALS_PER_SWEEP:,}",
            hint="split it into several sweeps, or thin out an axis",
        )


def _values(spec: SweepSpec, *, most: int | None) -> Iterator[Problem]:
    """Each value alone must be valid where its axis points; and no value stands twice on an axis of a grid."""
    base = spec.base.model_dump(mode="json")
    for place, path, values in (*axes(spec), *_conditions(spec), *_spaces(spec)):
        if unknown_path(path):
            continue
        seen = Counter[Any]()
        for index, value in enumerate(values[:most]):
            pointer = json_pointer(place if place[0] == "random" else (*place, index))
            key = identity(value)
            seen[key] += 1
            if "zip" not in place and seen[key] > 1:
                if seen[key] == 2:
                    yield Problem(pointer=pointer, code="duplicate_value", message=f"{value!r} stands twice here")
            elif wrong := of_value(base, path, value, pointer):
                yield wrong


def _spaces(spec: SweepSpec) -> Iterator[tuple[Place, str, Sequence[Any]]]:
    """Values that decide whether all of an interval are valid: its ends."""
    for path, distribution in spec.random.space.items() if spec.random else ():
        yield ("random", "space", path), path, _ends(distribution)


def _ends(distribution: Distribution) -> Sequence[Any]:
    match distribution:
        case Uniform(uniform=ends) | LogUniform(log_uniform=ends):
            return ends
        case IntUniform(int_uniform=whole):
            return whole
        case Choice(choice=choice):
            return choice


def _overlap(path: str, other: str) -> bool:
    """Whether both lead to one value, or one into the other."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")
