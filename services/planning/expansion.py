"""From a document to trials: parse, count, expand. Pure; the same spec gives the same trials in the same order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeGuard

from pydantic import ValidationError

from services.domain.errors import InvalidSpec, Problem
from services.domain.spec import SweepSpec, TrialConfig, TrialSpec, WhenSpec, canonical_json, content_hash
from services.domain.spec.axes import MAX_BRANCHES
from services.planning import checks
from services.planning.combinations import combination_count, combinations
from services.planning.misfits import Misfits
from services.planning.problems import MAX_PROBLEMS, merged, translated


@dataclass(frozen=True, kw_only=True)
class ExpandedGroup:
    """One configuration of a sweep with all its seeds."""

    position: int
    config: TrialConfig
    document: dict[str, Any]
    """The configuration as JSON, all defaults written out."""
    group_hash: str
    varied: dict[str, Any]
    """This group's value on each axis, by dotted path."""
    branches: tuple[int, ...]
    """The entries of `when` that apply to it."""
    seeds: range

    def trial(self, seed: int) -> TrialSpec:
        return TrialSpec(config=self.config, seed=seed)

    def config_hash(self, seed: int) -> str:
        """Identifies the trial's full configuration, seed included."""
        return content_hash([self.group_hash, seed])


def parse(document: object) -> SweepSpec:
    """A validated spec, every axis value included, ranges written out. Raises InvalidSpec with all problems found."""
    try:
        spec = SweepSpec.model_validate(document)
    except ValidationError as error:
        problems = translated(error, SweepSpec)
        rest = _without_what_is_wrong(document, error) if len(problems) < MAX_PROBLEMS else None
        raise InvalidSpec(_told([*problems, *_checked(rest)])) from None
    if problems := _checked(spec):
        raise InvalidSpec(_told(problems))
    return spec


def count(spec: SweepSpec) -> int:
    """Trials in the sweep, from arithmetic alone."""
    return group_count(spec) * spec.seeds.count


def group_count(spec: SweepSpec) -> int:
    """Configurations in the sweep, from arithmetic alone."""
    return combination_count(spec)


def expand(spec: SweepSpec) -> Iterator[ExpandedGroup]:
    """All groups, in the order of `combinations`.

    Raises InvalidSpec when combinations of valid values are no valid configurations, or the same one, once it has found
    all that are.
    """
    seen: dict[str, dict[str, Any]] = {}
    misfits = Misfits(spec)
    seeds = range(spec.seeds.base, spec.seeds.base + spec.seeds.count)
    for position, combination in enumerate(combinations(spec)):
        config = misfits.configuration(combination.varied)
        if config is None:
            if misfits.enough:
                break
            continue
        document = config.model_dump(mode="json")
        group_hash = content_hash(document)
        if group_hash in seen:
            misfits.note_twice(seen[group_hash], combination.varied)
        elif not misfits.found:
            seen[group_hash] = combination.varied
            yield ExpandedGroup(
                position=position,
                config=config,
                document=document,
                group_hash=group_hash,
                varied=combination.varied,
                branches=combination.branches,
                seeds=seeds,
            )
    if misfits.found:
        raise InvalidSpec(misfits.problems())


def flatten(document: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None, str | None]]:
    """(dotted name, value as a number, value as text) of every leaf; lists are JSON text."""
    for key, value in document.items():
        name = prefix + key
        match value:
            case dict():
                yield from flatten(value, name + ".")
            case bool():
                yield name, float(value), str(value).lower()
            case int() | float():
                yield name, float(value), canonical_json(value)
            case str():
                yield name, None, value
            case None:
                yield name, None, None
            case _:
                yield name, None, canonical_json(value)


def _without_what_is_wrong(document: object, error: ValidationError) -> SweepSpec | None:
    """What can be examined all the same, so that the user learns of everything at once."""
    if not isinstance(document, dict):
        return None
    wrong = {entry["loc"][:2] for entry in error.errors(include_url=False)}
    rest: dict[str, Any] = {key: value for key, value in document.items() if (key,) not in wrong}
    branches = rest.pop("when", None)
    for part in {key for key, *_ in wrong if key in rest}:
        if part in ("grid", "zip") and isinstance(rest[part], dict):
            rest[part] = {path: values for path, values in rest[part].items() if (part, path) not in wrong}
        else:
            del rest[part]
    try:
        spec = SweepSpec.model_validate(rest | {"name": "unnamed"})
    except ValidationError:
        return None
    return spec.model_copy(update={"when": [_branch(branch) for branch in branches]}) if _few(branches) else spec


def _few(branches: object) -> TypeGuard[list[Any]]:
    return isinstance(branches, list) and len(branches) <= MAX_BRANCHES


def _branch(document: object) -> WhenSpec:
    """The entry of `when`, or one that says nothing in its place."""
    try:
        return WhenSpec.model_validate(document)
    except ValidationError:
        return WhenSpec.model_construct(if_={}, grid={}, zip={})


def _checked(spec: SweepSpec | None) -> list[Problem]:
    return list(islice(checks.problems(spec), MAX_PROBLEMS)) if spec else []


def _told(problems: list[Problem]) -> list[Problem]:
    return merged(problems)[:MAX_PROBLEMS]
