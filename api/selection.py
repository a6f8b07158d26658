"""Which groups of a sweep a request is about, and how they are pooled: as it stands in the query string."""

from typing import Annotated, Any

from fastapi import Depends, Query

from api.body import parsed, strict_json
from services.domain.errors import InvalidQuery, InvalidSpec, Problem
from services.groups import ALL, Selection

MAX_AXES = 8

By = Annotated[
    str | None,
    Query(
        description="Axes, with commas between: groups that are alike on them are pooled. Empty: all in one series.",
        examples=["rule.name,train.lr"],
    ),
]
Where = Annotated[
    str | None,
    Query(description="A JSON object of axes and values: those groups alone.", examples=['{"rule.name": "dfa"}']),
]
MaxSeries = Annotated[int | None, Query(ge=1, le=100_000, description="At most so many series, the first ones.")]


def _selection(by: By = None, where: Where = None, max_series: MaxSeries = None) -> Selection:
    if by is None and where is None and max_series is None:
        return ALL
    axes = None if by is None else [name.strip() for name in by.split(",") if name.strip()]
    if axes is not None and len(axes) > MAX_AXES:
        raise _invalid("by", "too_many", f"groups are pooled by {MAX_AXES} axes at most")
    return Selection(by=axes, where=None if where is None else _object(where), most=max_series)


def _object(where: str) -> dict[str, Any]:
    try:
        found = parsed(where.encode(), strict_json)
    except InvalidSpec as error:
        raise _invalid("where", "not_parsed", str(error)) from None
    if not isinstance(found, dict):
        raise _invalid("where", "not_an_object", "`where` is a JSON object", 'write {"rule.name": "dfa"}')
    if len(found) > MAX_AXES:
        raise _invalid("where", "too_many", f"`where` may name {MAX_AXES} axes")
    return found


def _invalid(name: str, code: str, message: str, hint: str | None = None) -> InvalidQuery:
    return InvalidQuery([Problem(pointer=f"/query/{name}", code=code, message=message, hint=hint)])


Selected = Annotated[Selection, Depends(_selection)]
