"""Which values stand together in a sweep, and how many such combinations there are. Pure.

The axes form blocks that vary independently: the rows of `zip`, each axis of `grid`, the samples of `random`. A branch
(an entry of `when`) applies where each of its conditions holds, and a condition concerns one block. So every row of a
block has a mask, one bit for each branch that it does not rule out; the branches of a combination are the AND of the
masks of its rows, and combinations are counted by mask without being built.
"""

import functools
import itertools
import math
import operator
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.domain.errors import json_pointer
from services.domain.spec import SweepSpec, WhenSpec
from services.domain.spec.axes import identity
from services.planning.sampling import draw

Row = dict[str, Any]
"""Values by path."""
_ANY = object()


@dataclass(frozen=True, kw_only=True)
class Combination:
    """Values that stand together, and the branches they belong to, as indices into `when`."""

    varied: Row
    branches: tuple[int, ...]


def axes(spec: SweepSpec) -> Iterator[tuple[tuple[str | int, ...], str, Sequence[Any]]]:
    """(where it stands in the spec, path, values) of every axis whose values are listed."""
    for kind, listed in (("grid", spec.grid), ("zip", spec.zip)):
        for path, values in listed.items():
            yield (kind, path), path, values
    for index, branch in enumerate(spec.when):
        for kind, listed in (("grid", branch.grid), ("zip", branch.zip)):
            for path, values in listed.items():
                yield ("when", index, kind, path), path, values


def pointer_to(spec: SweepSpec, path: str, value: Any = _ANY) -> str:
    """Where the spec says that this path has this value: on an axis, in the random space, or in the base."""
    for place, axis, values in axes(spec):
        if axis == path and value is _ANY:
            return json_pointer(place)
        if axis == path and identity(value) in (keys := [identity(listed) for listed in values]):
            return json_pointer((*place, keys.index(identity(value))))
    drawn = spec.random is not None and path in spec.random.space
    return json_pointer(("random", "space", path) if drawn else ("base", *path.split(".")))


def main_combinations(spec: SweepSpec) -> int:
    """Combinations before `when` multiplies some of them."""
    samples = spec.random.samples if spec.random else 1
    return math.prod(len(values) for values in spec.grid.values()) * _zipped(spec.zip) * samples


def combination_count(spec: SweepSpec) -> int:
    """From arithmetic: what it costs depends on the number of values, not on that of their combinations."""
    sizes = [branch_size(branch) for branch in spec.when]
    conditions = _Conditions(spec)
    blocks = _concerned(spec, conditions.paths)
    free = main_combinations(spec) // math.prod(len(rows) for rows in blocks)
    tally = Counter({_base_mask(spec, conditions): free})
    for place, rows in enumerate(blocks):
        met = Counter[int]()
        shares = Counter(map(conditions.mask, rows))
        for (mask, n), (share, count) in itertools.product(tally.items(), shares.items()):
            met[mask & share] += n * count
        # Branches that no later block concerns are decided: they multiply now, and need their bit no more.
        open_ = conditions.open(blocks[place + 1 :])
        tally = Counter()
        for mask, n in met.items():
            tally[mask & open_] += n * _product(sizes, mask & ~open_)
    return sum(n * _product(sizes, mask) for mask, n in tally.items())


def branch_size(branch: WhenSpec) -> int:
    """Into how many combinations it turns one."""
    return math.prod(len(values) for values in branch.grid.values()) * _zipped(branch.zip)


def may_meet(spec: SweepSpec, first: int, second: int) -> bool:
    """Whether these two branches both apply to some combination."""
    both, conditions = 1 << first | 1 << second, _Conditions(spec)
    blocks = _concerned(spec, conditions.paths)
    return _base_mask(spec, conditions) & both == both and all(
        any(conditions.mask(row) & both == both for row in rows) for rows in blocks
    )


def combinations(spec: SweepSpec) -> Iterator[Combination]:
    """All of them in order: rows of `zip` slowest, then the axes of `grid`, the last of them faster, then samples of
    `random`, then branches, each with rows of its `zip` before its `grid`."""
    conditions = _Conditions(spec)
    base = _base_mask(spec, conditions)
    blocks = [
        [(row, conditions.mask(row)) for row in rows]
        for rows in (*_blocks(spec.zip, spec.grid), *([list(draw(spec.random))] if spec.random else []))
    ]
    inner = [[_merged(rows) for rows in itertools.product(*_blocks(when.zip, when.grid))] for when in spec.when]
    for chosen in itertools.product(*blocks):
        varied, mask = _merged([row for row, _ in chosen]), base
        for _, share in chosen:
            mask &= share
        branches = tuple(index for index in range(len(inner)) if mask >> index & 1)
        for rows in itertools.product(*(inner[index] for index in branches)):
            yield Combination(varied=_merged([varied, *rows]) if rows else varied, branches=branches)


def _blocks(zipped: dict[str, list[Any]], grid: dict[str, list[Any]]) -> list[list[Row]]:
    together = [dict(zip(zipped, values, strict=True)) for values in zip(*zipped.values(), strict=True)]
    return [*([together] if zipped else []), *([{path: value} for value in values] for path, values in grid.items())]


def _concerned(spec: SweepSpec, paths: Collection[str]) -> list[list[Row]]:
    """The blocks with one of these paths."""
    paths = set(paths)
    zipped = spec.zip if paths & spec.zip.keys() else {}
    blocks = _blocks(zipped, {path: values for path, values in spec.grid.items() if path in paths})
    return [*blocks, *([list(draw(spec.random))] if spec.random and paths & spec.random.space.keys() else [])]


def _base_mask(spec: SweepSpec, conditions: "_Conditions") -> int:
    """The branches that the values of the base do not rule out, where they are not varied."""
    varied = {*spec.zip, *spec.grid, *(spec.random.space if spec.random else ())}
    base = spec.base.model_dump(mode="json")
    return conditions.mask({path: _value(base, path) for path in conditions.paths - varied})


class _Conditions:
    """What the entries of `when` ask for."""

    def __init__(self, spec: SweepSpec) -> None:
        self._allowed = [
            {path: set(map(identity, values)) for path, values in branch.if_.items()} for branch in spec.when
        ]
        self.paths = {path for allowed in self._allowed for path in allowed}

    def mask(self, row: Row) -> int:
        """The branches that these values do not rule out."""
        mask = 0
        for index, allowed in enumerate(self._allowed):
            mask |= all(identity(row[path]) in allowed[path] for path in row.keys() & allowed.keys()) << index
        return mask

    def open(self, blocks: Sequence[list[Row]]) -> int:
        """The branches with a condition on one of these blocks."""
        paths = {path for rows in blocks for path in rows[0]}
        return sum(1 << index for index, allowed in enumerate(self._allowed) if paths & allowed.keys())


def _value(document: Any, path: str) -> Any:
    return functools.reduce(operator.getitem, path.split("."), document)


def _product(sizes: Sequence[int], mask: int) -> int:
    return math.prod(size for index, size in enumerate(sizes) if mask >> index & 1)


def _zipped(zipped: dict[str, list[Any]]) -> int:
    return len(next(iter(zipped.values()))) if zipped else 1


def _merged(rows: Sequence[Row]) -> Row:
    return {path: value for row in rows for path, value in row.items()}
