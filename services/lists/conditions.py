"""Filters as SQL. A comparison with what is undefined does not hold, and its negation does: so `not` asks whether what
it negates `IS NOT TRUE`, and all else stays as plain as an index wants it.
"""

import difflib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.domain.spec import canonical_json
from services.lists.columns import Column, Kind, Noun
from services.lists.filters import Comparison, Expression, Group, Not, Value, refuse

MAX_PARAMETERS = 8
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_ORDERING = ("<", "<=", ">", ">=")
_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Operand:
    """What is compared. Of what may be text or a number, as parameters, `sql` is the text and `number` the number."""

    sql: str
    kind: Kind
    nullable: bool
    number: str | None = None
    column: Column | None = None


@dataclass
class Statement:
    """A query as it grows: the tables it needs beside the list's own, its conditions and its values."""

    noun: Noun
    joins: dict[str, str] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: object, kind: Kind, *, many: bool = False) -> str:
        """A parameter with this value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"(:{name} ::{kind}{'[]' if many else ''})"

    def operand(self, name: str) -> Operand:
        """A column or a parameter, by its full name."""
        column = self.noun.columns.get(name)
        if column is not None:
            self._join(column)
            return Operand(
                sql=column.sql, kind=column.kind, nullable=column.nullable, number=column.number, column=column
            )
        alias = self._parameter(name)
        kind = self.noun.parameters[name]
        return Operand(sql=f"{alias}.text", kind=kind, nullable=True, number=f"{alias}.number")

    def shown(self, name: str) -> str:
        """What a field shows: the column, or the parameter's value as JSON."""
        column = self.noun.columns.get(name)
        if column is not None:
            self._join(column)
            return column.sql
        self.joins.setdefault("groups", self.noun.joins["groups"])
        return f"groups.config #> {self.bind(name.split('.'), Kind.TEXT, many=True)}"

    def _join(self, column: Column) -> None:
        if column.join is not None:
            self.joins.setdefault(column.join, self.noun.joins[column.join])

    def _parameter(self, name: str) -> str:
        aliases = [key for key in self.joins if key.startswith("parameter:")]
        key = f"parameter:{name}"
        alias = f"p{aliases.index(key) if key in self.joins else len(aliases)}"
        if key not in self.joins:
            named = self.bind(name, Kind.TEXT)
            self.joins[key] = (
                f"LEFT JOIN group_params AS {alias} ON {alias}.group_id = trials.group_id AND {alias}.name = {named}"
            )
        return alias

    @property
    def parameter_count(self) -> int:
        return sum(key.startswith("parameter:") for key in self.joins)


def condition(statement: Statement, expression: Expression) -> str:
    """SQL for an expression. Raises InvalidQuery, with the position, for names and values that do not fit."""
    match expression:
        case Comparison():
            return _comparison(statement, expression)
        case Not(item=item):
            return f"(({condition(statement, item)}) IS NOT TRUE)"
        case Group(all_of=all_of, items=items):
            return "(" + (" AND " if all_of else " OR ").join(condition(statement, item) for item in items) + ")"


def _comparison(statement: Statement, comparison: Comparison) -> str:
    noun, operator = statement.noun, comparison.operator
    name = noun.full_name(comparison.name)
    if name is None:
        what = "parameter" if "." in comparison.name else "column"
        message = f"there is no {what} `{comparison.name}`"
        refuse("unknown_name", message, at=comparison.at, hint=noun.like(comparison.name))
    operand = statement.operand(name)
    if statement.parameter_count > MAX_PARAMETERS:
        refuse("too_many", f"a filter may name {MAX_PARAMETERS} parameters", at=comparison.at)
    if operand.kind is Kind.DOCUMENT:
        refuse("not_comparable", f"`{comparison.name}` is a document; compare its parameters", at=comparison.at)
    if operator in ("is null", "is not null"):
        undefined = f"cardinality({operand.sql}) = 0" if operand.kind is Kind.TAGS else f"{operand.sql} IS NULL"
        return f"({undefined})" if operator == "is null" else f"(NOT {undefined})"
    if operand.kind is Kind.TAGS:
        return _tagged(statement, operand, comparison)
    if operator in ("~", "!~"):
        return _containing(statement, operand, comparison)
    numeric = _is_numeric(operand, comparison)
    if operator in _ORDERING and not numeric and operand.kind is not Kind.TIME:
        wrong = comparison.values[0] if operand.kind in (Kind.NUMBER, Kind.INTEGER) or operand.number else None
        if wrong:
            refuse("not_a_number", f"`{operator}` needs a number, not {wrong.text!r}", at=wrong.at)
        refuse("not_ordered", f"`{comparison.name}` is text: it is compared with = != in ~", at=comparison.at)
    sql = operand.number if numeric and operand.number else operand.sql
    values = [_bound(statement, operand, value, numeric=numeric) for value in comparison.values]
    if operator in ("in", "not in"):
        return f"({sql} {operator.upper()} ({', '.join(values)}))"
    return f"({sql} {'<>' if operator == '!=' else operator} {values[0]})"


def _is_numeric(operand: Operand, comparison: Comparison) -> bool:
    """Whether numbers are compared: always where there are only numbers, else where all values are written as such."""
    if operand.kind in (Kind.INTEGER, Kind.NUMBER) and operand.number is None:
        return True
    written = all(not value.quoted and _NUMBER.fullmatch(value.text) for value in comparison.values)
    return operand.number is not None and written


def _bound(statement: Statement, operand: Operand, value: Value, *, numeric: bool) -> str:
    if numeric:
        number = _number(value)
        return statement.bind(number, Kind.INTEGER if isinstance(number, int) else Kind.NUMBER)
    if operand.kind is Kind.TIME:
        return statement.bind(_time(value), Kind.TIME)
    words = operand.column.words if operand.column is not None else None
    if words is not None and value.text not in set(words):
        close = difflib.get_close_matches(value.text, list(words), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(words)}"
        refuse("unknown_word", f"there is no {operand.sql.rpartition('.')[2]} {value.text!r}", at=value.at, hint=hint)
    return statement.bind(_canonical(value.text) if operand.number is not None else value.text, Kind.TEXT)


def _tagged(statement: Statement, operand: Operand, comparison: Comparison) -> str:
    if comparison.operator not in ("=", "!=", "in", "not in"):
        refuse("not_comparable", f"`{comparison.name}` is compared with = != in", at=comparison.at)
    tags = statement.bind([value.text for value in comparison.values], Kind.TEXT, many=True)
    return f"({'NOT ' if comparison.operator in ('!=', 'not in') else ''}{operand.sql} && {tags})"


def _containing(statement: Statement, operand: Operand, comparison: Comparison) -> str:
    if operand.kind is not Kind.TEXT and operand.number is None:
        refuse("not_text", f"`{comparison.name}` is not text: ~ asks what a text contains", at=comparison.at)
    part = statement.bind(comparison.values[0].text, Kind.TEXT)
    sign = ">" if comparison.operator == "~" else "="
    return f"(strpos(lower({operand.sql}), lower({part})) {sign} 0)"


def _number(value: Value) -> int | float:
    if not _NUMBER.fullmatch(value.text):
        refuse("not_a_number", f"{value.text!r} is not a number", at=value.at)
    if re.fullmatch(r"[+-]?\d{1,19}", value.text) and abs(int(value.text)) <= _MAX_INTEGER:
        return int(value.text)
    number = float(value.text)
    if not math.isfinite(number):
        refuse("not_a_number", f"{value.text} is too large a number", at=value.at)
    return number


def _time(value: Value) -> datetime:
    """ISO 8601, in UTC where it does not say."""
    try:
        time = datetime.fromisoformat(value.text)
    except ValueError:
        refuse("not_a_time", f"{value.text!r} is not a time", at=value.at, hint="write 2026-11-01 or 2026-11-01T12:00Z")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _canonical(text: str) -> str:
    """Lists as configurations have them, however they were spaced."""
    if not text.startswith("["):
        return text
    try:
        return canonical_json(json.loads(text))
    except (ValueError, RecursionError):
        return text
