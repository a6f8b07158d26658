"""The language of filters: what a list should show, in one line. Parsed here; `services.lists.listing` knows the names.

rule in (fa, dfa) and train.lr < 0.01 and (state = succeeded or not attempts > 1)
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args

from services.domain.errors import InvalidQuery, Problem

MAX_LENGTH = 2000
MAX_COMPARISONS = 50
MAX_NESTING = 16

# A keyword ends where a word would; where only a word can stand, it is one.
_GRAMMAR = r"""
    ?start: any
    ?any: all (_OR all)*
    ?all: one (_AND one)*
    ?one: _NOT one -> negated
        | "(" any ")"
        | WORD COMPARE value -> compared
        | WORD _IN values -> among
        | WORD _NOT _IN values -> not_among
        | WORD _IS _NULL -> undefined
        | WORD _IS _NOT _NULL -> defined
    values: "(" value ("," value)* ")"
    value: WORD | TEXT

    _AND.2: /and(?=[\s(]|$)/i
    _OR.2: /or(?=[\s(]|$)/i
    _NOT.2: /not(?=[\s(]|$)/i
    _IN.2: /in(?=[\s(]|$)/i
    _IS.2: /is(?=\s|$)/i
    _NULL.2: /null(?=[\s)]|$)/i
    COMPARE: "==" | "=" | "!=" | "<>" | "<=" | "<" | ">=" | ">" | "!~" | "~"
    TEXT: /'(?:[^']|'')*'/ | /"(?:[^"]|"")*"/
    WORD: /[^\s(),=<>!~'"]+/
    %ignore /\s+/
"""
_SAME = {"==": "=", "<>": "!="}
_NAMES = {
    "WORD": "a name or a value",
    "TEXT": "a text in quotes",
    "COMPARE": "a comparison (= != < <= > >= ~ !~)",
    "_AND": "`and`",
    "_OR": "`or`",
    "_NOT": "`not`",
    "_IN": "`in`",
    "_IS": "`is`",
    "_NULL": "`null`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "a comma",
    "$END": "the end",
}
_HINTS = {
    "&": "write `and`",
    "|": "write `or`",
    "%": "write `~` for texts that contain another",
    ",": "values with commas, spaces or brackets stand in quotes",
}


@dataclass(frozen=True, kw_only=True)
class Value:
    """As it was written; `quoted`: it stood in quotes, and is text whatever it looks like."""

    text: str
    quoted: bool
    at: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`operator`: = != < <= > >= ~ !~ (contains, whatever the case), `in`, `not in`, `is null`, `is not null`."""

    name: str
    operator: str
    values: tuple[Value, ...]
    at: int
    """Where it stands in the text, in characters from 0."""


@dataclass(frozen=True, kw_only=True)
class Not:
    item: "Expression"
    nesting: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Of `items`, all must hold, or any."""

    all_of: bool
    items: tuple["Expression", ...]
    nesting: int


Expression = Comparison | Not | Group


def parse(text: str) -> Expression:
    """The expression. Raises InvalidQuery with the position of what is wrong."""
    if len(text) > MAX_LENGTH:
        raise InvalidQuery([_problem("too_long", f"a filter may have {MAX_LENGTH} characters")])
    if strange := re.search(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]", text):
        refuse("not_text", "control characters are not text", at=strange.start())
    try:
        expression: Expression = _parser.parse(text)  # type: ignore[assignment]
    except UnexpectedToken as error:
        at = len(text) if error.token.type == "$END" else error.token.start_pos or 0
        _misread(str(error.token), at, error.accepts or error.expected)
    except UnexpectedCharacters as error:
        at = error.pos_in_stream or 0
        _misread(text[at], at, error.allowed or set())
    if _comparisons(expression) > MAX_COMPARISONS:
        raise InvalidQuery([_problem("too_many", f"a filter may have {MAX_COMPARISONS} comparisons")])
    return expression


def refuse(code: str, message: str, *, at: int, hint: str | None = None) -> NoReturn:
    """Raise InvalidQuery for what stands at a position, counted from 0."""
    raise InvalidQuery([_problem(code, f"at character {at + 1}: {message}", hint)])


def _misread(found: str, at: int, expected: set[str]) -> NoReturn:
    names = sorted({_NAMES.get(name, name) for name in expected})
    message = f"expected {' or '.join(names)}, found {found!r}" if found else f"expected {' or '.join(names)}"
    refuse("not_parsed", message, at=at, hint=_HINTS.get(found[:1]))


def _problem(code: str, message: str, hint: str | None = None) -> Problem:
    return Problem(pointer="/query/filter", code=code, message=message, hint=hint)


def _comparisons(expression: Expression) -> int:
    match expression:
        case Comparison():
            return 1
        case Not(item=item):
            return _comparisons(item)
        case Group(items=items):
            return sum(map(_comparisons, items))


def _deeper(*items: Expression) -> int:
    nesting = 1 + max(0 if isinstance(item, Comparison) else item.nesting for item in items)
    if nesting > MAX_NESTING:
        raise InvalidQuery([_problem("too_deep", f"a filter may be nested {MAX_NESTING} deep")])
    return nesting


@v_args(inline=True)
class _Builder(Transformer[Token, Expression]):
    """Builds while it is parsed, from the leaves up: nothing recurses into what a user nests."""

    def any(self, *items: Expression) -> Expression:
        return Group(all_of=False, items=items, nesting=_deeper(*items))

    def all(self, *items: Expression) -> Expression:
        return Group(all_of=True, items=items, nesting=_deeper(*items))

    def negated(self, item: Expression) -> Expression:
        return Not(item=item, nesting=_deeper(item))

    def compared(self, name: Token, operator: Token, value: Value) -> Expression:
        return _comparison(name, _SAME.get(operator, str(operator)), value)

    def among(self, name: Token, values: tuple[Value, ...]) -> Expression:
        return _comparison(name, "in", *values)

    def not_among(self, name: Token, values: tuple[Value, ...]) -> Expression:
        return _comparison(name, "not in", *values)

    def undefined(self, name: Token) -> Expression:
        return _comparison(name, "is null")

    def defined(self, name: Token) -> Expression:
        return _comparison(name, "is not null")

    def values(self, *values: Value) -> tuple[Value, ...]:
        return values

    def value(self, token: Token) -> Value:
        quoted = token.type == "TEXT"
        quote = token[0]
        text = token[1:-1].replace(quote * 2, quote) if quoted else str(token)
        return Value(text=text, quoted=quoted, at=token.start_pos or 0)


def _comparison(name: Token, operator: str, *values: Value) -> Comparison:
    return Comparison(name=str(name), operator=operator, values=values, at=name.start_pos or 0)


_parser = Lark(_GRAMMAR, parser="lalr", transformer=_Builder(), maybe_placeholders=False)
