"""What pydantic finds wrong, in our words: where it stands, what is allowed there, what may have been meant."""

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from services.domain.errors import Problem, json_pointer
from services.domain.spec import TrialConfig
from services.domain.spec.schema import paths

MAX_PROBLEMS = 100
"""More are not told: nobody reads them."""
_FEW = 30
_NUMBERS = {"int", "float"}
_RANGES = {"range": "[first, last, step]", "linear": "[first, last, how many]", "log": "[first, last, how many]"}


def translated(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """What is wrong with a document that should have become this model, one problem for each place."""
    return merged(_problem(entry, model) for entry in error.errors(include_url=False)[:MAX_PROBLEMS])


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """One problem for each place: what every branch of a union says of a value is joined."""
    found: dict[str, Problem] = {}
    for problem in problems:
        earlier = found.get(problem.pointer)
        if earlier is None:
            found[problem.pointer] = problem
        elif problem.message not in earlier.message:
            message = f"{earlier.message}; {problem.message}"
            found[problem.pointer] = Problem(
                pointer=problem.pointer, code=earlier.code, message=message, hint=earlier.hint or problem.hint
            )
    return list(found.values())


def of_value(base: dict[str, Any], path: str, value: object, pointer: str) -> Problem | None:
    """What is wrong with a value where this dotted path of a configuration leads, whatever stands elsewhere."""
    *parents, leaf = path.split(".")
    model: Any = TrialConfig
    for part in parents:
        model, base = model.model_fields[part].annotation, base[part]
    try:
        model.model_validate({**base, leaf: value})
    except ValidationError as error:
        entries = [entry for entry in error.errors(include_url=False) if entry["loc"][:1] == (leaf,)]
        found = [_problem(entry, model) for entry in entries]
        messages = list(dict.fromkeys(problem.message for problem in found))
        hints = [problem.hint for problem in found if problem.hint]
        if found:
            code, message = found[0].code, "; ".join(messages)
            return Problem(pointer=pointer, code=code, message=message, hint=hints[0] if hints else None)
    return None


def unknown_path(path: str) -> tuple[str, str | None] | None:
    """Message and hint for an axis path, or None where it leads to a value of the configuration."""
    model: Any = TrialConfig
    walked: list[str] = []
    for part in path.split("."):
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if part not in fields:
            return (
                f"there is no {path}" + (f" ({'.'.join(walked)} has no {part})" if walked else ""),
                did_you_mean(path, paths()),
            )
        walked.append(part)
        model = fields[part].annotation
    return None


def did_you_mean(word: str, allowed: Sequence[str]) -> str | None:
    """The nearest allowed word, or path that ends in such a word, or in its initials; none: all, where they are few."""
    endings = {path.rsplit(".", 1)[-1]: path for path in allowed}
    for candidates, sought, cutoff in ((allowed, word, 0.75), (endings, word.rsplit(".", 1)[-1], 0.6)):
        if close := difflib.get_close_matches(sought, candidates, n=1, cutoff=cutoff):
            return f"did you mean {endings.get(close[0], close[0])}?"
    initials = "".join(part[:1] for part in word.rsplit(".", 1)[-1].split("_"))
    if len(initials) > 1 and initials in endings:
        return f"did you mean {endings[initials]}?"
    return f"allowed: {', '.join(allowed)}" if 0 < len(allowed) <= _FEW else None


def _problem(entry: Any, model: type[BaseModel]) -> Problem:
    """One pydantic error, with what is allowed and a suggestion."""
    location = tuple(part for part in entry["loc"] if not _is_union_branch(part))
    message, hint = str(entry["msg"]).removeprefix("Value error, "), None
    match entry["type"]:
        case "extra_forbidden":
            *parents, key = location
            message = f"there is no field {key!r} here"
            head, _, rest = str(key).partition(".")
            fields = _fields_at(model, parents)
            hint = f"write {_nested(head, rest)}" if rest and head in fields else did_you_mean(str(key), fields)
        case "literal_error":
            allowed = [word.strip("' ") for word in entry["ctx"]["expected"].replace(" or ", ",").split(",")]
            message = f"{_told(entry['input'])} is not one of {', '.join(allowed)}"
            suggestion = did_you_mean(str(entry["input"]), allowed) or ""
            hint = None if suggestion.startswith("allowed: ") else suggestion  # they are told already
        case "missing":
            message = f"{location[-1]} must be given"
        case "int_type" | "float_type" if _is_number(entry["input"]):
            message, hint = f"{message}, not the text {entry['input']!r}", f"write {entry['input']}, without quotes"
        case "int_type" | "float_type" | "string_type" | "bool_type":
            message = f"{message}, not {_told(entry['input'])}"
        case "model_type" | "dict_type":
            message = f"it must be a mapping of fields, not {_told(entry['input'])}"
            hint = _as_mapping(entry["input"], _fields_at(model, list(location)))
        case "list_type" if not isinstance(entry["input"], dict | list):
            bare = _told(entry["input"], bare=True)
            message = f"{message}, not {_told(entry['input'])}"
            hint = "write {range: [first, last, step]}" if ".." in bare else f"write [{bare}]"
        case "list_type":
            hint = "write one entry or more, each after a dash"
        case "too_short" | "too_long" if location and location[-1] in _RANGES:
            message, hint = f"{location[-1]} takes three numbers", f"write {{{location[-1]}: {_RANGES[location[-1]]}}}"
    return Problem(pointer=json_pointer(location), code=entry["type"], message=message, hint=hint)


def _nested(head: str, rest: str) -> str:
    """A dotted path as fields within fields."""
    inner, _, further = rest.partition(".")
    return f"{head}: {{{_nested(inner, further) if further else f'{inner}: ...'}}}"


def _as_mapping(value: object, fields: Sequence[str]) -> str | None:
    """How a value may be meant where fields are wanted, of which one is what people think of first."""
    match value:
        case str() if "name" in fields:
            return f"write {{name: {_told(value, bare=True)}}}"
        case int() if "count" in fields:
            return f"write {{count: {value}}}"
        case list() if "count" in fields:
            return f"write {{count: {len(value)}}}"
        case _:
            return None


def _told(value: object, *, bare: bool = False) -> str:
    """A value in a sentence: cut where it is long."""
    text = str(value) if bare else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_number(value: object) -> bool:
    """Whether it is a number in quotes."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _is_union_branch(part: object) -> bool:
    """Pydantic names the branch of a union in its locations; that name is not in the document."""
    return isinstance(part, str) and ("[" in part or "(" in part or part.removeprefix("constrained-") in _NUMBERS)


def _fields_at(model: type[BaseModel], path: list[Any]) -> list[str]:
    """What an object at this place may hold."""
    for part in path:
        if isinstance(part, int):  # of a list, whose model is at hand already
            continue
        info = model.model_fields.get(part)
        annotations: list[Any] = [info.annotation, *get_args(info.annotation)] if info else []
        nested = [part for part in annotations if isinstance(part, type) and issubclass(part, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return [info.alias or name for name, info in model.model_fields.items()]
