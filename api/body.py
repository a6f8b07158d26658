"""Reading request bodies: limits of size and time before anything is parsed, and JSON without its usual leniency."""

import asyncio
import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError

from api.client.specfile import NotYaml, Positions, load_yaml
from services.domain.errors import InvalidBody, InvalidSpec, Problem, json_pointer
from services.settings import Settings

M = TypeVar("M", bound=BaseModel)
MAX_BODY_BYTES = 2**20
# What is written by hand is short, and reading YAML takes long.
MAX_YAML_BYTES = 2**14
MAX_DEPTH = 32
MAX_KEYS = 10_000
MAX_VALUES = 2**18
MAX_PROBLEMS = 100
_YAML = {"application/yaml", "application/x-yaml", "text/yaml"}


async def document(request: Request) -> object:
    """The body as plain values. 408: too slow; 413: too large; 415: another media type; 422: not strict JSON or YAML.

    Refused: NaN and infinities, duplicate keys, nesting deeper than 32, text that is not Unicode, NUL.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and media_type not in _YAML:
        raise HTTPException(415, "Send application/json or application/yaml")
    settings: Settings = request.app.state.settings
    try:
        async with asyncio.timeout(settings.request_timeout.total_seconds()):
            raw = await _read(request, MAX_YAML_BYTES if media_type in _YAML else MAX_BODY_BYTES)
    except TimeoutError:
        raise HTTPException(408, "The body did not come in time", headers={"Connection": "close"}) from None
    # Not on the event loop: what takes long to parse keeps nobody else waiting.
    value = await run_in_threadpool(parsed, raw, load_yaml if media_type in _YAML else strict_json)
    if media_type in _YAML:
        request.state.yaml = raw.decode()
    return value


def parsed(raw: bytes, load: Callable[[str], object]) -> object:
    """The plain values of a document. Raises InvalidSpec."""
    try:
        value = load(raw.decode())
        _check(value)
    except RecursionError:
        raise _invalid("too_deep", f"nested deeper than {MAX_DEPTH}") from None
    except NotYaml as error:
        raise _invalid("not_parsed", str(error), error.line, error.column) from None
    except ValueError as error:
        raise _invalid("not_parsed", str(error).split(";")[0][:500]) from None
    return value


def located(request: Request, problems: Sequence[Problem]) -> list[Problem]:
    """The problems with their lines in the body, if it was YAML."""
    text = getattr(request.state, "yaml", None)
    if text is None or not problems:
        return list(problems)
    positions = Positions(text)
    found = ((problem, *positions.of(problem.pointer)) for problem in problems)
    return [replace(problem, line=line, column=column) for problem, line, column in found]


def validated(model: type[M], body: object) -> M:
    """The body as the model has it. Raises InvalidBody with everything that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidBody(
            [
                Problem(pointer=json_pointer(entry["loc"]), code=entry["type"], message=entry["msg"])
                for entry in error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]
            ]
        ) from None


def body_of(name: str) -> dict[str, Any]:
    """What OpenAPI says of a body that is read here: it has the schema of this name."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"requestBody": {"required": True, "content": content}}


def strict_json(text: str) -> object:
    """RFC 8259 JSON with unique keys and finite numbers. Raises ValueError, RecursionError when nested too deep."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


async def _read(request: Request, limit: int) -> bytes:
    too_large = HTTPException(413, f"The body may have {limit:,} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise too_large
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > limit:
            raise too_large
    return bytes(received)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits} is too large a number")
    return number


def _check(value: object) -> None:
    """Depth, number and kind of values, level by level. What stands under several aliases counts as often."""
    level, depth, values = [value], 0, 1
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _invalid("too_deep", f"nested deeper than {MAX_DEPTH}")
        below: list[object] = []
        for item in level:
            inside = _inside(item)
            values += len(inside)
            if values > MAX_VALUES:
                raise _invalid("too_many_values", f"more than {MAX_VALUES:,} values")
            below += inside
        level = below


def _inside(item: object) -> Collection[object]:
    """The values in a value. Raises ValueError for what JSON has not."""
    match item:
        case str():
            _check_text(item)
        case float() if not math.isfinite(item):
            raise ValueError(f"{item} is not a number")
        case dict():
            if len(item) > MAX_KEYS:
                raise ValueError(f"more than {MAX_KEYS:,} keys in one object")
            for key in item:
                if not isinstance(key, str):
                    raise ValueError(f"the key {key!r} is not text")
                _check_text(key)
            return item.values()
        case list():
            return item
        case None | bool() | int() | float():
            pass
        case _:
            raise ValueError(f"{item!r:.80} is neither text, number, list nor object")
    return ()


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text may not contain NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("text may not contain lone surrogates")


def _invalid(code: str, message: str, line: int | None = None, column: int | None = None) -> InvalidSpec:
    return InvalidSpec([Problem(pointer="", code=code, message=message, line=line, column=column)])
