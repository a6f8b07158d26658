"""Reading request bodies: a size limit before anything is parsed, and JSON without its usual leniency."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError

from api.client.specfile import NotYaml, Positions, load_yaml
from services.domain.errors import InvalidSpec, Problem, json_pointer

M = TypeVar("M", bound=BaseModel)
MAX_BODY_BYTES = 2**20
MAX_DEPTH = 32
_YAML = {"application/yaml", "application/x-yaml", "text/yaml"}


async def document(request: Request) -> object:
    """The body as plain values. 413: too large; 415: another media type; 422: not strict JSON or YAML.

    Refused: NaN and infinities, duplicate keys, nesting deeper than 32, text that is not Unicode, NUL.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json" and media_type not in _YAML:
        raise HTTPException(415, "Send application/json or application/yaml")
    raw = await _read(request)
    try:
        text = raw.decode()
        if media_type in _YAML:
            value = await run_in_threadpool(load_yaml, text)  # others are served meanwhile: large ones take seconds
            request.state.yaml = text
        else:
            value = strict_json(text)
        _check(value)
    except RecursionError:
        raise _invalid("too_deep", f"nested deeper than {MAX_DEPTH}") from None
    except NotYaml as error:
        raise _invalid("not_parsed", str(error), error.line, error.column) from None
    except ValueError as error:
        raise _invalid("not_parsed", str(error)) from None
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
    """The body as the model has it. Raises InvalidSpec with everything that is wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidSpec(
            [Problem(pointer=json_pointer(e["loc"]), code=e["type"], message=e["msg"]) for e in error.errors()]
        ) from None


def body_of(name: str) -> dict[str, Any]:
    """What OpenAPI says of a body that is read here: it has the schema of this name."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"requestBody": {"required": True, "content": content}}


def strict_json(text: str) -> object:
    """RFC 8259 JSON with unique keys and finite numbers. Raises ValueError, RecursionError when nested too deep."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


async def _read(request: Request) -> bytes:
    too_large = HTTPException(413, f"The body may have {MAX_BODY_BYTES:,} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_BODY_BYTES:
        raise too_large
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > MAX_BODY_BYTES:
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
    """Depth and text, level by level."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _invalid("too_deep", f"nested deeper than {MAX_DEPTH}")
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    if not isinstance(key, str):
                        raise ValueError(f"the key {key!r} is not text")
                    _check_text(key)
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text may not contain NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("text may not contain lone surrogates")


def _invalid(code: str, message: str, line: int | None = None, column: int | None = None) -> InvalidSpec:
    return InvalidSpec([Problem(pointer="", code=code, message=message, line=line, column=column)])
