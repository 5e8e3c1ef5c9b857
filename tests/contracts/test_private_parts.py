"""What the installed versions of libraries must go on doing where their private parts are used.

gameserver/README.md lists these places. What is joined to asyncpg and to Redis' client has suites of its own,
on real servers: `storage/test_pipeline.py` and `test_sessions_redis.py`.
"""

import inspect
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
import pytest
from asyncpg.protocol import Protocol
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from sqlalchemy import Select, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.engine import Dialect

from gameserver.storage.dialects import POSTGRESQL, SQLITE
from gameserver.storage.plans import Plans, Shape
from gameserver.wire.errors import InvalidParameterType, InvalidParameterValue, MissingParameter
from gameserver.wire.shapes import Request, RequestReader
from tests.contracts.storage.tables import players

# SQLAlchemy: what statements with the same cache key have in common

NAMES = st.sampled_from(["id", "name", "coins"])
VALUES = st.one_of(st.integers(0, 5), st.sampled_from(["a", "b"]))


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> Any:
    column = players.c[draw(NAMES)]
    match draw(st.integers(0, 5 if depth else 3)):
        case 0:
            return column == draw(VALUES)
        case 1:
            return column != bindparam(None, draw(VALUES), type_=column.type)
        case 2:
            return column.in_(draw(st.lists(VALUES, max_size=3)))
        case 3:
            return column.is_(None)
        case 4:
            return and_(draw(conditions(depth - 1)), draw(conditions(depth - 1)))
        case _:
            return or_(draw(conditions(depth - 1)), draw(conditions(depth - 1)))


@st.composite
def statements(draw: st.DrawFn) -> Any:
    where = draw(conditions())
    match draw(st.integers(0, 4)):
        case 0:
            return select(players.c[draw(NAMES)]).where(where)
        case 1:
            statement: Select[Any] = select(players).where(where).order_by(players.c[draw(NAMES)].desc())
            return statement.limit(draw(st.integers(1, 3))) if draw(st.booleans()) else statement
        case 2:
            return update(players).where(where).values({draw(NAMES): draw(VALUES)})
        case 3:
            return delete(players).where(where)
        case _:
            return insert(players).values(id=draw(VALUES), name=draw(VALUES))


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
@given(earlier=st.lists(statements(), max_size=6), statement=statements())
def test_a_statement_runs_as_it_would_alone(dialect: Dialect, earlier: list[Any], statement: Any) -> None:
    """Shapes are shared by cache key: what was compiled before must not change what a statement says."""
    plans = Plans(dialect)
    for other in earlier:
        plans[other].bind({})
    alone = Plans(dialect)[statement].bind({})
    sql, arguments = plans[statement].bind({})
    assert (sql, list(arguments)) == (alone[0], list(alone[1]))
    assert sql == Shape(statement, dialect).sql


# msgspec: the words of its complaints


class Small(msgspec.Struct):
    number: int


class Asked(Request):
    whole: Annotated[int, Meta(ge=0, le=9)]
    broken: float
    text: Annotated[str, Meta(min_length=2, max_length=4, pattern="^[a-z]*$")]
    flag: bool
    word: Literal["up", "down"]
    some: Annotated[list[int], Meta(max_length=2)]
    by_name: dict[str, int]
    inner: Small
    maybe: int | None = None


GOOD: dict[str, Any] = {
    "whole": 1,
    "broken": 1.5,
    "text": "abc",
    "flag": True,
    "word": "up",
    "some": [1],
    "byName": {"a": 1},
    "inner": {"number": 1},
}


@pytest.mark.parametrize(
    ("field", "value", "kind", "said"),
    [
        ("whole", "1", InvalidParameterType, "data.whole: expected whole number, got text"),
        ("whole", 10, InvalidParameterValue, "data.whole: expected whole number <= 9"),
        ("whole", -1, InvalidParameterValue, "data.whole: expected whole number >= 0"),
        ("whole", None, MissingParameter, "data.whole: expected whole number, got null"),
        ("broken", [], InvalidParameterType, "data.broken: expected number, got array"),
        ("text", 5, InvalidParameterType, "data.text: expected text, got whole number"),
        ("text", "a", InvalidParameterValue, "data.text: expected text of length >= 2"),
        ("text", "abcde", InvalidParameterValue, "data.text: expected text of length <= 4"),
        ("flag", "yes", InvalidParameterType, "data.flag: expected true or false, got text"),
        ("word", "left", InvalidParameterValue, "data.word: expected down or up, got 'left'"),
        ("some", {}, InvalidParameterType, "data.some: expected array, got object"),
        ("some", [1, 2, 3], InvalidParameterValue, "data.some: expected array of length <= 2"),
        ("some", [1, "2"], InvalidParameterType, "data.some[1]: expected whole number, got text"),
        ("byName", {"a": "b"}, InvalidParameterType, "data.byName[...]: expected whole number, got text"),
        ("inner", {}, MissingParameter, "data.inner.number: required"),
        ("inner", {"number": "x"}, InvalidParameterType, "data.inner.number: expected whole number"),
        ("maybe", "x", InvalidParameterType, "data.maybe: expected whole number or null, got text"),
    ],
)
def test_what_is_wrong_with_a_value_is_put_into_words(
    field: str, value: object, kind: type[Exception], said: str
) -> None:
    reader = RequestReader(Asked)
    reader.read(msgspec.json.encode(GOOD))
    with pytest.raises(kind) as refused:
        reader.read(msgspec.json.encode({**GOOD, field: value}))
    assert type(refused.value) is kind
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_what_is_missing_is_named(field: str) -> None:
    less = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(MissingParameter, match=f"^data.{field}: required$"):
        RequestReader(Asked).read(msgspec.json.encode(less))


# asyncpg and redis: what is called and taken over is there


def test_asyncpg_has_what_is_joined() -> None:
    """Before the suites on a real server: a version that renames these says so in one line."""
    assert {"bind_execute", "is_in_transaction"} <= set(dir(Protocol))
    assert {"_protocol", "_transport"} <= set(asyncpg.Connection.__slots__)
    assert "loop" in inspect.signature(asyncpg.connect).parameters


def test_redis_has_what_is_taken_over() -> None:
    connection = UnixDomainSocketConnection(path="none")
    assert isinstance(connection, AbstractConnection)
    assert {"_reader", "_writer", "_parser"} <= set(dir(connection))
    assert callable(connection._parser.parse_error)
