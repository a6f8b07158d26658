"""The language of filters: what is understood, and what is said of what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import InvalidQuery
from services.lists.columns import SWEEPS, TRIALS
from services.lists.conditions import Statement, condition
from services.lists.filters import MAX_COMPARISONS, Comparison, Group, Not, parse


def names(text: str) -> object:
    """The shape of an expression, with names for comparisons."""

    def shape(expression: object) -> object:
        match expression:
            case Comparison(name=name, operator=operator, values=values):
                return f"{name} {operator} {','.join(value.text for value in values)}".strip()
            case Not(item=item):
                return ("not", shape(item))
            case Group(all_of=all_of, items=items):
                return ("and" if all_of else "or", *map(shape, items))

    return shape(parse(text))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("a = 1", "a = 1"),
        ("a == 1", "a = 1"),
        ("a <> 1", "a != 1"),
        ("a=1 or b=2 and c=3", ("or", "a = 1", ("and", "b = 2", "c = 3"))),
        ("(a=1 or b=2) and c=3", ("and", ("or", "a = 1", "b = 2"), "c = 3")),
        ("not a=1 and b=2", ("and", ("not", "a = 1"), "b = 2")),
        ("NOT (a=1 OR b=2)", ("not", ("or", "a = 1", "b = 2"))),
        ("rule in (fa, dfa)", "rule in fa,dfa"),
        ("rule not in (fa)", "rule not in fa"),
        ("x is null or y is not null", ("or", "x is null", "y is not null")),
        ("train.lr<1e-3", "train.lr < 1e-3"),
        ("t > 2026-11-01T00:00:00+01:00", "t > 2026-11-01T00:00:00+01:00"),
        ("n = 'two words'", "n = two words"),
        ("n = 'it''s'", "n = it's"),
        ('n ~ "a (b), c"', "n ~ a (b), c"),
        ("android = not", "android = not"),  # a keyword is one only where it can stand
        ("and = or and or = and", ("and", "and = or", "or = and")),
        ("(" * 900 + "a=1" + ")" * 900, "a = 1"),
    ],
)
def test_what_is_understood(text: str, shape: object) -> None:
    assert names(text) == shape


@pytest.mark.parametrize(
    ("text", "at", "said", "hint"),
    [
        ("", 1, "expected", None),
        ("a", 2, "a comparison", None),
        ("a =", 4, "a name or a value", None),
        ("a = 1 && b = 2", 7, "found '&&'", "write `and`"),
        ("a = 1 b = 2", 7, "expected `and` or `or` or the end", None),
        ("(a = 1", 7, "`)`", None),
        ("a = 1)", 6, "the end", None),
        ("a in 1", 6, "expected `(`", None),
        ("a in ()", 7, "a name or a value", None),
        ("a = [64, 64]", 8, "found ','", "quotes"),
        ("a = 'x", 5, 'found "\'"', None),
        ("a = 1 and", 10, "a name or a value", None),
        ("a = 1\x00", 6, "control characters", None),
    ],
)
def test_what_is_not_understood_is_shown_where_it_stands(text: str, at: int, said: str, hint: str | None) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        parse(text)
    [problem] = refusal.value.problems
    assert problem.message.startswith(f"at character {at}: ")
    assert said in problem.message
    assert (hint or "") in (problem.hint or "")


@pytest.mark.parametrize(
    "text",
    ["a" * 2001, "not " * 400 + "a=1", " or ".join(["a=1"] * (MAX_COMPARISONS + 1)), "((a=1 or b=1) and c=1) or "],
)
def test_what_is_too_much_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("acuracy > 1", "at character 1: there is no column `acuracy`", "did you mean test_accuracy?"),
        ("id = 1 or train.lrr < 1", "at character 11: there is no parameter `train.lrr`", "did you mean train.lr?"),
        ("epsilon = 1", "at character 1: there is no column `epsilon`", "did you mean train.epsilon?"),
        ("state = succeded", "at character 9: there is no state 'succeded'", "did you mean succeeded?"),
        ("attempts > many", "at character 12: 'many' is not a number", None),
        ("train.lr < small", "at character 12: `<` needs a number, not 'small'", None),
        ("attempts > 1e999", "at character 12: 1e999 is too large a number", None),
        ("attempts > ²", "at character 12: '²' is not a number", None),
        ("attempts > NaN", "at character 12: 'NaN' is not a number", None),
        ("sweep < m", "at character 1: `sweep` is text: it is compared with = != in ~", None),
        ("created_at > yesterday", "at character 14: 'yesterday' is not a time", "write 2026-11-01"),
        ("config = 1", "at character 1: `config` is a document; compare its parameters", None),
        ("attempts ~ 1", "at character 1: `attempts` is not text: ~ asks what a text contains", None),
    ],
)
def test_names_and_values_are_checked(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        condition(Statement(TRIALS), parse(text))
    [problem] = refusal.value.problems
    assert problem.message == message
    assert (hint or "") in (problem.hint or "")


def test_tags_are_compared_as_a_set() -> None:
    with pytest.raises(InvalidQuery, match="compared with = != in"):
        condition(Statement(SWEEPS), parse("tag ~ x"))


def test_nine_parameters_are_too_many() -> None:
    paths = list(TRIALS.parameters)[:9]
    condition(Statement(TRIALS), parse(" and ".join(f"{path} = 1" for path in paths[:8] * 2)))
    with pytest.raises(InvalidQuery, match="8 parameters"):
        condition(Statement(TRIALS), parse(" and ".join(f"{path} = 1" for path in paths)))


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["id", "=", "1", "and", "or", "not", "(", ")", "in", ",", "is", "null", "'"])).map(
        " ".join
    )
)
def test_whatever_is_sent_is_understood_or_refused_and_values_never_become_sql(text: str) -> None:
    statement = Statement(TRIALS)
    try:
        expression = parse(text)
        sql = condition(statement, expression)
    except InvalidQuery:
        return
    assert all(f":{name} " in sql + "".join(statement.joins.values()) for name in statement.values)
    assert "'" not in sql.replace("'{model", "").replace("}'", "").replace("'transformer'", "").replace("'cnn'", "")
