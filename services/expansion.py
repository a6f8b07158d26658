"""From a document to trials: parse, count, expand. Pure; the same spec gives the same trials in the same order."""

import difflib
import itertools
import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from services.domain.errors import InvalidSpec, Problem, json_pointer
from services.domain.spec import (
    MAX_TRIALS_PER_SWEEP,
    SweepSpec,
    TrialConfig,
    TrialSpec,
    canonical_json,
    content_hash,
)

_MISSING = object()
_MAX_PROBLEMS = 100
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 100


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
    seeds: range

    def trial(self, seed: int) -> TrialSpec:
        return TrialSpec(config=self.config, seed=seed)

    def config_hash(self, seed: int) -> str:
        """Identifies the trial's full configuration, seed included."""
        return content_hash([self.group_hash, seed])


def parse(document: object) -> SweepSpec:
    """A validated spec, every axis value included. Raises InvalidSpec with all problems found, a hundred at most."""
    try:
        spec = SweepSpec.model_validate(document)
    except ValidationError as error:
        entries = error.errors(include_url=False)[:_MAX_PROBLEMS]
        raise InvalidSpec([_problem(entry, SweepSpec, document) for entry in entries]) from None
    found = itertools.chain(_zip_problems(spec), _axis_problems(spec))
    problems = [*_size_problems(spec)] or [*itertools.islice(found, _MAX_PROBLEMS)]
    if problems:
        raise InvalidSpec(problems)
    return spec


def count(spec: SweepSpec) -> int:
    """Trials in the sweep, from arithmetic alone."""
    return group_count(spec) * spec.seeds.count


def group_count(spec: SweepSpec) -> int:
    """Configurations in the sweep, from arithmetic alone."""
    zipped = len(next(iter(spec.zip.values()))) if spec.zip else 1
    return math.prod(len(values) for values in spec.grid.values()) * zipped


def expand(spec: SweepSpec) -> Iterator[ExpandedGroup]:
    """All groups, the last grid axis varying fastest, zipped axes slower than the grid.

    Raises InvalidSpec when a combination of valid values is not a valid configuration, or stands twice.
    """
    seen: dict[str, dict[str, Any]] = {}
    base = spec.base.model_dump(mode="json")
    zipped = [dict(zip(spec.zip, values, strict=True)) for values in zip(*spec.zip.values(), strict=True)] or [{}]
    grid = itertools.product(*spec.grid.values())
    seeds = range(spec.seeds.base, spec.seeds.base + spec.seeds.count)
    for position, (together, combination) in enumerate(itertools.product(zipped, grid)):
        varied = {**together, **dict(zip(spec.grid, combination, strict=True))}
        config = _configuration(base, varied)
        document = config.model_dump(mode="json")
        group_hash = content_hash(document)
        if group_hash in seen:
            raise InvalidSpec([_same_configuration(seen[group_hash], varied)])
        seen[group_hash] = varied
        yield ExpandedGroup(
            position=position,
            config=config,
            document=document,
            group_hash=group_hash,
            varied=varied,
            seeds=seeds,
        )


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


def _configuration(base: dict[str, Any], varied: dict[str, Any]) -> TrialConfig:
    document = base
    for path, value in varied.items():
        document = _with_value(document, path.split("."), value)
    try:
        return TrialConfig.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(
            [
                Problem(
                    pointer=json_pointer(("base", *entry["loc"])),
                    code=entry["type"],
                    message=f"{entry['msg']} (at {_setting(varied)})",
                )
                for entry in error.errors()
            ]
        ) from None


def _same_configuration(first: dict[str, Any], second: dict[str, Any]) -> Problem:
    return Problem(
        pointer="/zip",
        code="duplicate_configuration",
        message=f"{_setting(first)} and {_setting(second)} are the same configuration",
    )


def _setting(varied: dict[str, Any]) -> str:
    return ", ".join(f"{path} = {value}" for path, value in varied.items())


def _with_value(document: dict[str, Any], path: list[str], value: object) -> dict[str, Any]:
    """A copy of the document with the value at the path; what the path does not touch is shared."""
    head, *rest = path
    return {**document, head: _with_value(document[head], rest, value) if rest else value}


def _zip_problems(spec: SweepSpec) -> Iterator[Problem]:
    lengths = {path: len(values) for path, values in spec.zip.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{path} has {length}" for path, length in lengths.items())
        yield Problem(
            pointer="/zip", code="zip_lengths", message=f"values that change together must be equally many: {told}"
        )
    for path in spec.zip.keys() & spec.grid.keys():
        yield Problem(
            pointer=json_pointer(("zip", path)), code="axis_twice", message=f"{path} is an axis of grid already"
        )


def _axis_problems(spec: SweepSpec) -> Iterator[Problem]:
    """Each value alone, put into the base, must be valid where the axis points; and no value stands twice."""
    base = spec.base.model_dump(mode="json")
    for kind, axes in (("grid", spec.grid), ("zip", spec.zip)):
        for path, values in axes.items():
            if unknown := _unknown_path(path):
                message, hint = unknown
                yield Problem(pointer=json_pointer((kind, path)), code="unknown_path", message=message, hint=hint)
                continue
            seen: set[str] = set()
            for index, value in enumerate(values):
                pointer = json_pointer((kind, path, index))
                key = content_hash(value)
                if kind == "grid" and key in seen:
                    yield Problem(
                        pointer=pointer, code="duplicate_value", message=f"{_shown(value)} stands twice on this axis"
                    )
                seen.add(key)
                try:
                    TrialConfig.model_validate(_with_value(base, path.split("."), value))
                except ValidationError as error:
                    for entry in error.errors():
                        if ".".join(str(part) for part in entry["loc"]).startswith(path):
                            problem = _problem(entry, TrialConfig, value, at=value)
                            yield Problem(
                                pointer=pointer, code=problem.code, message=problem.message, hint=problem.hint
                            )


def _size_problems(spec: SweepSpec) -> Iterator[Problem]:
    trials = count(spec)
    if trials > MAX_TRIALS_PER_SWEEP:
        yield Problem(
            pointer="",
            code="too_many_trials",
            message=f"this spec has {trials:,} trials; a sweep may have {MAX_TRIALS_PER_SWEEP:,}",
            hint="split it into several sweeps, or thin out an axis",
        )


def _unknown_path(path: str) -> tuple[str, str | None] | None:
    """Message and hint for an axis path, or None where it leads to a value of the configuration."""
    model: Any = TrialConfig
    walked: list[str] = []
    for part in path.split("."):
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if part not in fields:
            return (
                f"there is no {path}" + (f" ({'.'.join(walked)} has no {part})" if walked else ""),
                _did_you_mean(path, _paths(TrialConfig)),
            )
        walked.append(part)
        model = fields[part].annotation
    return None


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted paths to values of a configuration."""
    paths: list[str] = []
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            paths += _paths(annotation, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def _problem(entry: Any, model: type[BaseModel], document: object, at: object = _MISSING) -> Problem:
    """One pydantic error in our words, with what is allowed and a suggestion."""
    location = tuple(part for part in entry["loc"] if not _is_union_branch(part))
    message, hint = str(entry["msg"]), None
    if entry["type"] == "extra_forbidden":
        *parents, key = location
        message = f"there is no field {_shown(key)} here"
        hint = _did_you_mean(str(key), _fields_at(model, parents))
    elif entry["type"] == "literal_error":
        allowed = [word.strip("' ") for word in entry["ctx"]["expected"].replace(" or ", ",").split(",")]
        message = f"{_shown(entry['input'])} is not one of {', '.join(allowed)}"
        hint = _did_you_mean(str(entry["input"]), allowed)
    elif entry["type"] in {"int_type", "float_type", "string_type", "bool_type"}:
        message = f"{message}, not {_shown(entry['input'])}"
    return Problem(pointer=json_pointer(location), code=entry["type"], message=message, hint=hint)


def _shown(value: object) -> str:
    """The value as a message quotes it: not at length, and without invisible characters."""
    return _brief.repr(value)


def _is_union_branch(part: object) -> bool:
    """Pydantic names the branch of a union in its locations; that name is not in the document."""
    return isinstance(part, str) and ("[" in part or "(" in part or part in {"float", "int"})


def _fields_at(model: type[BaseModel], path: list[Any]) -> list[str]:
    for part in path:
        info = model.model_fields.get(part)
        if info is None or not (isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)):
            return []
        model = info.annotation
    return list(model.model_fields)


def _did_you_mean(word: str, allowed: list[str]) -> str | None:
    close = difflib.get_close_matches(word[:100], allowed, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]}?"
    return f"allowed: {', '.join(allowed)}" if allowed else None
