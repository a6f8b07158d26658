"""The JSON Schema of a spec, for editors: axes are completed by path, their values checked by what they set."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from services.domain.spec.sweep import SweepSpec, TrialConfig

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Of a sweep spec. What fits together, and how many trials there are, it does not tell."""
    schema = SweepSpec.model_json_schema()
    parts = schema["$defs"]
    ranges = [{"$ref": f"#/$defs/{name}"} for name in ("RangeAxis", "LinearAxis", "LogAxis")]
    parts["Axes"] = _object({path: _values(field, ranges) for path, field in _fields(TrialConfig)})
    when, random = parts["WhenSpec"]["properties"], parts["RandomSpec"]["properties"]
    for axes in (schema["properties"]["grid"], schema["properties"]["zip"], when["grid"], when["zip"], when["if"]):
        del axes["patternProperties"]
        axes["$ref"] = "#/$defs/Axes"
    [distribution] = random["space"].pop("patternProperties").values()
    random["space"] |= _object({path: distribution for path, _ in _fields(TrialConfig)})
    return {"$schema": _DIALECT, **schema}


def paths() -> list[str]:
    """All dotted paths to single values of a configuration."""
    found = [path for path, _ in _fields(TrialConfig)]
    return [path for path in found if not any(other.startswith(f"{path}.") for other in found)]


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, where the schema describes it) of every value of a configuration, and of every part of it."""
    for name, info in model.model_fields.items():
        yield prefix + name, f"#/$defs/{model.__name__}/properties/{name}"
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, f"{prefix}{name}.")


def _values(field: str, ranges: list[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": field}}, *ranges]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}
