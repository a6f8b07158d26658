"""The axes of a sweep: values written out or as a range, spaces to draw from, branches for some combinations only."""

import decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag, TypeAdapter
from pydantic_core import PydanticCustomError

from services.domain.spec.base import Seed, SpecModel

MAX_VALUES_PER_AXIS = 100_000
MAX_BRANCHES = 16
MAX_AXES = 100

_EXACT = decimal.Context(prec=30)
_ROUNDED = decimal.Context(prec=15)
_MAX_POINTS = 10_000

Whole = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Number = Whole | float


def _range_is_finite(range_: list[Number]) -> list[Number]:
    first, last, step = map(_fraction, range_)
    if step == 0:
        raise PydanticCustomError("zero_step", "a step of 0 never arrives")
    if (last - first) / step < 0:
        raise PydanticCustomError("reversed_range", "the step leads away from the last value")
    if (last - first) // step >= MAX_VALUES_PER_AXIS:
        raise PydanticCustomError("tiny_step", f"more than {MAX_VALUES_PER_AXIS:,} steps lead to the last value")
    return range_


def _points_are_some(range_: list[Number]) -> list[Number]:
    first, last, points = range_
    if not isinstance(points, int) or not 2 <= points <= _MAX_POINTS:
        raise PydanticCustomError("points", f"the third number is how many: a whole number from 2 to {_MAX_POINTS:,}")
    if first == last:
        raise PydanticCustomError("empty_interval", "the two ends are the same number")
    return range_


def _ends_are_positive(range_: list[Number]) -> list[Number]:
    if min(range_[:2]) <= 0:
        raise PydanticCustomError("log_of_zero", "both ends of a logarithmic axis must be above 0")
    return range_


_THREE = Field(min_length=3, max_length=3, description="[first, last, how many]")


class RangeAxis(SpecModel):
    """From the first number in equal steps up to the last, which belongs to it when a step hits it."""

    range: Annotated[
        list[Number],
        Field(min_length=3, max_length=3, description="[first, last, step]"),
        AfterValidator(_range_is_finite),
    ]

    def values(self) -> list[Number]:
        first, last, step = map(_fraction, self.range)
        whole = all(isinstance(number, int) for number in self.range)
        over = first.denominator * step.denominator
        start, stride = int(first * over), int(step * over)
        return [_number(start + i * stride, over, whole) for i in range(int((last - first) // step) + 1)]


class LinearAxis(SpecModel):
    """So many numbers at equal distances, both ends among them."""

    linear: Annotated[list[Number], _THREE, AfterValidator(_points_are_some)]

    def values(self) -> list[Number]:
        first, last, points = map(_fraction, self.linear)
        whole = all(isinstance(number, int) for number in self.linear)
        over = first.denominator * last.denominator * int(points - 1)
        start, stride = int(first * over), int((last - first) / (points - 1) * over)
        return [_number(start + i * stride, over, whole) for i in range(int(points))]


class LogAxis(SpecModel):
    """So many numbers at equal ratios, both ends among them; those between have 15 significant digits."""

    log: Annotated[list[Number], _THREE, AfterValidator(_ends_are_positive), AfterValidator(_points_are_some)]

    def values(self) -> list[Number]:
        first, last, points = self.log
        whole = all(isinstance(number, int) for number in self.log)
        start, end = (_EXACT.ln(decimal.Decimal(repr(number))) for number in (first, last))
        stride = _EXACT.divide(_EXACT.subtract(end, start), decimal.Decimal(points - 1))
        between = (_ROUNDED.plus(_EXACT.exp(_EXACT.fma(stride, i, start))) for i in range(1, int(points) - 1))
        return [first, *(_number(*value.as_integer_ratio(), whole) for value in between), last]


def _form(value: object) -> str | None:
    """The one key of `{range: ...}` and its like. Tags stand in parentheses: they are no part of a location."""
    match value:
        case dict() if len(value) == 1:
            return f"({next(iter(value))})"
        case RangeAxis() | LinearAxis() | LogAxis() | Uniform() | LogUniform() | IntUniform() | Choice():
            return f"({next(iter(type(value).model_fields))})"
        case _:
            return None


_RANGES: TypeAdapter[RangeAxis | LinearAxis | LogAxis] = TypeAdapter(
    Annotated[
        Annotated[RangeAxis, Tag("(range)")]
        | Annotated[LinearAxis, Tag("(linear)")]
        | Annotated[LogAxis, Tag("(log)")],
        Discriminator(
            _form,
            custom_error_type="unknown_range",
            custom_error_message="write a list, or one of {range: [first, last, step]}, "
            "{linear: [first, last, how many]}, {log: [first, last, how many]}",
        ),
    ]
)


def _written_out(values: object) -> object:
    """A range as the list it stands for. What is stored and hashed is the list: it means the same for ever."""
    return _RANGES.validate_python(values).values() if isinstance(values, dict) else values


def _few(axes: object) -> object:
    """Said once, before each of too many is examined."""
    if isinstance(axes, dict) and len(axes) > MAX_AXES:
        raise PydanticCustomError("too_many_axes", f"there may be {MAX_AXES} axes")
    return axes


def _fraction(number: Number) -> Fraction:
    """What is written, exactly: 0.1 is a tenth."""
    return Fraction(repr(number))


def _number(numerator: int, denominator: int, whole: bool) -> Number:
    """The nearest number; of whole ends, whole where it can be."""
    if whole and numerator % denominator == 0:
        return numerator // denominator
    return numerator / denominator


def _is_interval(ends: list[Number]) -> list[Number]:
    if ends[0] >= ends[1]:
        raise PydanticCustomError("empty_interval", "the first end must be below the second")
    return ends


def _is_positive(ends: list[Number]) -> list[Number]:
    if ends[0] <= 0:
        raise PydanticCustomError("log_of_zero", "both ends of a logarithmic interval must be above 0")
    return ends


_TWO = Field(min_length=2, max_length=2, description="[lowest, highest]")


class Uniform(SpecModel):
    """Any number of the interval is as likely; to one part in a million of its length."""

    uniform: Annotated[list[float], _TWO, AfterValidator(_is_interval)]


class LogUniform(SpecModel):
    """Any order of magnitude is as likely; six significant digits."""

    log_uniform: Annotated[list[float], _TWO, AfterValidator(_is_positive), AfterValidator(_is_interval)]


class IntUniform(SpecModel):
    """Any whole number of the interval is as likely, both ends among them."""

    int_uniform: Annotated[list[Whole], _TWO, AfterValidator(_is_interval)]


class Choice(SpecModel):
    """Any of the values is as likely."""

    choice: Annotated[list[JsonValue], Field(min_length=2, max_length=10_000)]


Distribution = Annotated[
    Annotated[Uniform, Tag("(uniform)")]
    | Annotated[LogUniform, Tag("(log_uniform)")]
    | Annotated[IntUniform, Tag("(int_uniform)")]
    | Annotated[Choice, Tag("(choice)")],
    Discriminator(
        _form,
        custom_error_type="unknown_distribution",
        custom_error_message="write one of {uniform: [a, b]}, {log_uniform: [a, b]}, {int_uniform: [a, b]}, "
        "{choice: [...]}",
    ),
]

# A path of dots into the configuration of a trial: `rule.feedback.scale`.
AxisPath = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[a-z_]+(\.[a-z_]+)*$")]
AxisValues = Annotated[
    list[JsonValue],
    Field(min_length=1, max_length=MAX_VALUES_PER_AXIS),
    BeforeValidator(_written_out, json_schema_input_type=list[JsonValue] | RangeAxis | LinearAxis | LogAxis),
]
Axes = Annotated[dict[AxisPath, AxisValues], Field(max_length=MAX_AXES), BeforeValidator(_few)]


class WhenSpec(SpecModel):
    """Axes for some combinations only; the others keep the values of the base."""

    model_config = ConfigDict(serialize_by_alias=True)

    if_: Annotated[dict[AxisPath, AxisValues], Field(min_length=1, max_length=MAX_AXES)] = Field(
        alias="if",
        description="It applies where every one of these values, varied or of the base, is among those listed.",
    )
    grid: Axes = Field({}, description="Every combination of these values.")
    zip: Axes = Field({}, description="Values that change together; all lists equally long.")


class RandomSpec(SpecModel):
    """Points drawn at random, the same for every combination of the other axes."""

    samples: Annotated[int, Field(ge=1, le=MAX_VALUES_PER_AXIS)]
    seed: Seed = Field(0, description="Of the draws; more samples keep those that were there.")
    space: Annotated[dict[AxisPath, Distribution], Field(min_length=1, max_length=MAX_AXES)]


def identity(value: Any) -> Any:
    """Hashable, and equal for values that mean the same: 1 and 1.0, not 1 and true."""
    match value:
        case bool() | None | str():
            return type(value), value
        case list():
            return tuple(map(identity, value))
        case dict():
            return frozenset((key, identity(item)) for key, item in value.items())
        case _:
            return value
