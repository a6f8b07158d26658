"""Pages of lists: filtered, sorted by any column, and continued by cursors that stay right whatever is inserted.

First the ids of a page are found with as few tables as the question needs, then what is shown of them is read. All
that users send reaches SQL as parameters; names are looked up in `services.lists.columns`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.errors import InvalidQuery, Problem
from services.lists import cursors
from services.lists.columns import Kind, Noun
from services.lists.conditions import Statement, condition
from services.lists.filters import parse

MAX_FIELDS = 50
_MAX_KEY = 1000


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which rows, in which order, from where on.

    `sort`: a column or parameter, `-` before it for the greatest first; undefined values come last. `scope`: conditions
    in SQL, with their values, besides the filter.
    """

    sort: str
    limit: int
    filter: str | None = None
    cursor: str | None = None
    scope: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Ids in order; `next_cursor` is None on the last page."""

    ids: list[int]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class _Order:
    """By `sql`, then by id in the same direction. `nullable`: undefined values follow the others."""

    sql: str
    cast: str
    nullable: bool
    descending: bool

    def clause(self, key: str) -> str:
        direction = "DESC" if self.descending else "ASC"
        nulls = " NULLS LAST" if self.nullable else ""
        return f"{self.sql} {direction}{nulls}, {key} {direction}"

    def after(self, statement: Statement, key: str, last: cursors.Place) -> str:
        """What holds of the rows that follow the last one."""
        sign = "<" if self.descending else ">"
        id_ = statement.bind(last.id, Kind.INTEGER)
        if last.key is None:
            return f"{self.sql} IS NULL AND {key} {sign} {id_}"
        value = f"({statement.bind(last.key, Kind.TEXT)} ::{self.cast})"
        following = f"({self.sql}, {key}) {sign} ({value}, {id_})"
        return f"({following} OR {self.sql} IS NULL)" if self.nullable else following


def page(session: Session, noun: Noun, question: Question) -> Page:
    """The ids of one page. Raises InvalidQuery for names, values and cursors that are not right."""
    statement, order = _statement(noun, question)
    asked = (noun.table, question.sort, question.filter, [(k, dict(v)) for k, v in question.scope.items()])
    key = f"{noun.table}.id"
    if question.cursor is not None:
        last = cursors.read(session, question.cursor, asked)
        statement.conditions.append(order.after(statement, key, last))
    limit = statement.bind(question.limit + 1, Kind.INTEGER)
    where = f"WHERE {' AND '.join(statement.conditions)}" if statement.conditions else ""
    rows = session.execute(
        text(
            f"SELECT {key} AS id, ({order.sql}) ::text AS key FROM {noun.table} {' '.join(statement.joins.values())} "
            f"{where} ORDER BY {order.clause(key)} LIMIT {limit}"
        ),
        statement.values,
    ).all()
    more = len(rows) > question.limit
    shown = rows[: question.limit]
    return Page(ids=[row.id for row in shown], next_cursor=_cursor(session, shown[-1], asked) if more else None)


def field_names(noun: Noun, fields: str) -> list[str]:
    """The names in a list like `id,state,train.lr`. Raises InvalidQuery."""
    names = list(dict.fromkeys(name.strip() for name in fields.split(",")))
    if len(names) > MAX_FIELDS:
        raise _invalid("fields", "too_many", f"a row may show {MAX_FIELDS} fields")
    for name in names:
        if noun.full_name(name) is None:
            raise _invalid("fields", "unknown_name", f"there is no column `{name}`", noun.like(name))
    return names


def rows(session: Session, noun: Noun, ids: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    """These fields of these rows, in the order of the ids. Parameters are as in the configuration."""
    statement = Statement(noun)
    shown = [statement.shown(noun.full_name(name) or name) for name in names]
    wanted = statement.bind(list(ids), Kind.INTEGER, many=True)
    found = session.execute(
        text(
            f"SELECT {noun.table}.id, {', '.join(shown)} FROM {noun.table} {' '.join(statement.joins.values())} "
            f"WHERE {noun.table}.id = ANY({wanted})"
        ),
        statement.values,
    )
    by_id = {row[0]: dict(zip(names, row[1:], strict=True)) for row in found}
    return [by_id[id_] for id_ in ids if id_ in by_id]


def _cursor(session: Session, row: Any, asked: object) -> str:
    if row.key is not None and len(row.key.encode()) > _MAX_KEY:
        raise _invalid("sort", "not_sortable", "some values are too long to sort by")
    return cursors.make(session, cursors.Place(key=row.key, id=row.id), asked)


def _statement(noun: Noun, question: Question) -> tuple[Statement, _Order]:
    statement = Statement(noun)
    for sql, values in question.scope.items():
        statement.conditions.append(sql)
        statement.values.update(values)
    if question.filter is not None and question.filter.strip():
        statement.conditions.append(f"({condition(statement, parse(question.filter))})")
    return statement, _order(statement, question.sort)


def _order(statement: Statement, sort: str) -> _Order:
    name = sort.removeprefix("-")
    full = statement.noun.full_name(name)
    if full is None:
        raise _invalid("sort", "unknown_name", f"there is no column `{name}`", statement.noun.like(name))
    operand = statement.operand(full)
    if operand.kind in (Kind.TAGS, Kind.DOCUMENT):
        raise _invalid("sort", "not_sortable", f"nothing is sorted by `{name}`")
    sql = operand.sql if operand.kind is not Kind.NUMBER or operand.number is None else operand.number
    return _Order(sql=sql, cast=operand.kind, nullable=operand.nullable, descending=sort.startswith("-"))


def _invalid(name: str, code: str, message: str, hint: str | None = None) -> InvalidQuery:
    return InvalidQuery([Problem(pointer=f"/query/{name}", code=code, message=message, hint=hint)])
