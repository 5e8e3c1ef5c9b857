"""Places in a JSON column, as expressions that SQLite and PostgreSQL both understand.

A *node* is a `SearchedJson` column, a `Member` of a node, or an `Element` of an array `AnyElement` walks
through. SQLite speaks of a container and a path in it, PostgreSQL of `jsonb` values; everything else is the
same. Whatever asks about a node that is not there is NULL or false.

All classes can be found in SQLAlchemy's cache by their structure, so a query is compiled once for all values
and all names of fields.
"""

# ruff: noqa: S608 - what is put together here are names of functions and what SQLAlchemy has compiled

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import BindParameter, Boolean, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from gameserver.storage import Jsonb
from gameserver.storage.tables import TWIN

Kind = Literal[
    "any", "null", "true", "false", "boolean", "number", "int", "long", "double", "text", "array", "object"
]

INT_MAX, LONG_MAX = 2**31 - 1, 2**63 - 1

_CLAUSE = InternalTraversal.dp_clauseelement
_STRING = InternalTraversal.dp_string
_BOOLEAN = InternalTraversal.dp_boolean

# Values


class Key(UserDefinedType[str]):
    """The name of a member; SQLite wants a path, in which no quotes and backslashes can be written."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: D102 - SQLAlchemy's name for the type in DDL
        return "TEXT"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:  # noqa: D102 - SQLAlchemy's hook
        return _member_path if dialect.name == "sqlite" else _as_it_is


class Position(UserDefinedType[int]):
    """A place in an array, counted from 0."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: D102 - SQLAlchemy's name for the type in DDL
        return "INTEGER"

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:  # noqa: D102 - SQLAlchemy's hook
        return _index_path if dialect.name == "sqlite" else _as_it_is


class JsonValue(UserDefinedType[Any]):
    """A value to compare a node with: a `jsonb` on PostgreSQL, a number or text as it is on SQLite."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: D102 - SQLAlchemy's name for the type in DDL
        return "JSONB"

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:  # noqa: ARG002, D102 - SQLAlchemy's hook
        return self

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:  # noqa: D102 - SQLAlchemy's hook
        return _sqlite_number if dialect.name == "sqlite" else _json_text


def _member_path(name: Any) -> Any:
    return f'$."{name}"'


def _index_path(index: Any) -> Any:
    return f"$[{index}]"


def _json_text(value: Any) -> Any:
    return msgspec.json.encode(value).decode()


def _sqlite_number(value: Any) -> Any:
    """SQLite takes larger whole numbers, in documents as well, for doubles."""
    return float(value) if isinstance(value, int) and not -LONG_MAX - 1 <= value <= LONG_MAX else value


def _as_it_is(value: Any) -> Any:
    return value


# Nodes


class Member(ColumnElement[Any]):
    """A member of an object by name, an element of an array by index, or whichever of the two there is."""

    inherit_cache = True
    type = NullType()
    _traverse_internals = [("parent", _CLAUSE), ("name", _CLAUSE), ("index", _CLAUSE)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, parent: ColumnElement[Any], name: str | None, index: int | None = None) -> None:
        assert name is not None or index is not None, "a member has a name or an index"
        self.parent = parent
        self.name = None if name is None else BindParameter(None, name, type_=Key(), unique=True)
        self.index = None if index is None else BindParameter(None, index, type_=Position(), unique=True)


class Element(ColumnElement[Any]):
    """The element that the `AnyElement` of the same alias is looking at."""

    inherit_cache = True
    type = NullType()
    _traverse_internals = [("alias", _STRING)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, alias: str) -> None:
        self.alias = alias


# Questions


class Question(ColumnElement[bool]):
    """Is or is not; needs no parentheses."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: Any = None) -> "Question":  # noqa: ARG002 - SQLAlchemy's hook
        """Return itself: SQLAlchemy would add `= 1` on SQLite."""
        return self


class Is(Question):
    """Whether a node is there and of a kind.

    Numbers are of three kinds by their value, however they were written: `int` and `long` are whole and fit
    into 32 and 64 bits, `double` is the rest.
    """

    inherit_cache = True
    _traverse_internals = [("node", _CLAUSE), ("kind", _STRING)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, node: ColumnElement[Any], kind: Kind) -> None:
        self.node = node
        self.kind = kind


class Value(ColumnElement[Any]):
    """A node to compare with numbers. It means something only beside `Is(node, "number")`."""

    inherit_cache = True
    type = JsonValue()
    _traverse_internals = [("node", _CLAUSE)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, node: ColumnElement[Any]) -> None:
        self.node = node


class Words(ColumnElement[str]):
    """The text of a node, ordered by code points; NULL for anything but text."""

    inherit_cache = True
    type = Text()
    _traverse_internals = [("node", _CLAUSE)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, node: ColumnElement[Any]) -> None:
        self.node = node


class Size(ColumnElement[int]):
    """How many elements an array or, on SQLite, members an object has; NULL for anything else."""

    inherit_cache = True
    type = Integer()
    _traverse_internals = [("node", _CLAUSE)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, node: ColumnElement[Any]) -> None:
        self.node = node


class Rank(ColumnElement[int]):
    """Where a node's kind comes: missing and null, numbers, text, objects, arrays, false, true."""

    inherit_cache = True
    type = Integer()
    _traverse_internals = [("node", _CLAUSE)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, node: ColumnElement[Any]) -> None:
        self.node = node


class AnyElement(Question):
    """Whether a condition holds for an element of an array.

    `steps` are arrays with the alias of their element, each array a node that may begin at an element of one
    before it. One question with many steps, since SQLite's parser does not take many within each other.
    `or_itself`: a node that is an object stands for an array of only that.
    """

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy has it
        ("nodes", InternalTraversal.dp_clauseelement_list),
        ("aliases", InternalTraversal.dp_string_list),
        ("condition", _CLAUSE),
        ("or_itself", _BOOLEAN),
    ]

    def __init__(
        self,
        steps: Sequence[tuple[ColumnElement[Any], str]],
        condition: ColumnElement[bool],
        *,
        or_itself: bool = False,
    ) -> None:
        self.nodes = [node for node, _ in steps]
        self.aliases = [alias for _, alias in steps]
        self.condition = condition
        self.or_itself = or_itself


class InList(Question):
    """Whether something is one of a list of values, which is a single parameter however long it is.

    `what`: `number` for a `Value`, `text`, or `bigint` for a column.
    """

    inherit_cache = True
    _traverse_internals = [("left", _CLAUSE), ("values", _CLAUSE), ("what", _STRING)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, left: ColumnElement[Any], values: list[Any], what: str) -> None:
        self.left = left
        self.values = BindParameter(None, msgspec.json.encode(values).decode(), type_=Jsonb(), unique=True)
        self.what = what


class Either(Question):
    """One question in two forms, where the engines have nothing in common."""

    inherit_cache = True
    _traverse_internals = [("sqlite", _CLAUSE), ("postgresql", _CLAUSE)]  # noqa: RUF012 - as SQLAlchemy has it

    def __init__(self, sqlite: ColumnElement[bool], postgresql: ColumnElement[bool]) -> None:
        self.sqlite = sqlite
        self.postgresql = postgresql


# SQLite: json_type(container, path), json_extract(container, path); of an element the columns of json_each


def _sqlite_container(node: ColumnElement[Any], compiler: SQLCompiler) -> str:
    """JSON text that may be asked for members; NULL if there is none."""
    if isinstance(node, Element):
        return f"CASE WHEN {node.alias}.type IN ('object', 'array') THEN {node.alias}.value END"
    if isinstance(node, Member):
        container = _sqlite_container(node.parent, compiler)
        if isinstance(node.parent, Element):
            container = f"({container})"  # else the arrows may follow each other: the parser's stack is small
        return _sqlite_first(node, compiler, lambda path: f"{container} -> {path}")
    return compiler.process(node)


def _sqlite_ask(function: str, node: ColumnElement[Any], compiler: SQLCompiler) -> str:
    if isinstance(node, Member):
        container = _sqlite_container(node.parent, compiler)
        return _sqlite_first(node, compiler, lambda path: f"{function}({container}, {path})")
    return f"{function}({compiler.process(node)}, '$')"


def _sqlite_first(node: Member, compiler: SQLCompiler, ask: Callable[[str], str]) -> str:
    ways = [ask(compiler.process(key)) for key in (node.name, node.index) if key is not None]
    return ways[0] if len(ways) == 1 else f"coalesce({', '.join(ways)})"


def _sqlite_type(node: ColumnElement[Any], compiler: SQLCompiler) -> str:
    return f"{node.alias}.type" if isinstance(node, Element) else _sqlite_ask("json_type", node, compiler)


def _sqlite_scalar(node: ColumnElement[Any], compiler: SQLCompiler) -> str:
    return f"{node.alias}.value" if isinstance(node, Element) else _sqlite_ask("json_extract", node, compiler)


_SQLITE_TYPES = {
    "number": "'integer', 'real'",
    "boolean": "'true', 'false'",
    "null": "'null'",
    "true": "'true'",
    "false": "'false'",
    "text": "'text'",
    "array": "'array'",
    "object": "'object'",
}


@compiles(Is, "sqlite")
def _is_on_sqlite(asked: Is, compiler: SQLCompiler, **_: Any) -> str:
    found = _sqlite_type(asked.node, compiler)
    if asked.kind == "any":
        return f"({found} IS NOT NULL)"
    if asked.kind in _SQLITE_TYPES:
        return f"({found} IN ({_SQLITE_TYPES[asked.kind]}))"
    value = _sqlite_scalar(asked.node, compiler)
    whole = f"{value} = CAST({value} AS INTEGER)"
    return f"({found} IN ({_SQLITE_TYPES['number']}) AND {_range(asked.kind, value, whole)})"


def _range(kind: str, value: str, whole: str) -> str:
    int_ = f"{value} BETWEEN {-INT_MAX - 1} AND {INT_MAX}"
    if kind == "int":
        return f"({whole} AND {int_})"
    long = f"{value} BETWEEN {-LONG_MAX - 1} AND {LONG_MAX}"
    return f"({whole} AND {long} AND NOT {int_})" if kind == "long" else f"NOT ({whole} AND {long})"


@compiles(Value, "sqlite")
def _value_on_sqlite(asked: Value, compiler: SQLCompiler, **_: Any) -> str:
    return _sqlite_scalar(asked.node, compiler)


@compiles(Words, "sqlite")
def _words_on_sqlite(asked: Words, compiler: SQLCompiler, **_: Any) -> str:
    found, value = _sqlite_type(asked.node, compiler), _sqlite_scalar(asked.node, compiler)
    return f"(CASE {found} WHEN 'text' THEN {value} END)"


@compiles(Size, "sqlite")
def _size_on_sqlite(asked: Size, compiler: SQLCompiler, **_: Any) -> str:
    found, text = _sqlite_type(asked.node, compiler), _sqlite_container(asked.node, compiler)
    return f"(SELECT count(*) FROM json_each(CASE WHEN {found} IN ('object', 'array') THEN {text} END))"


@compiles(Rank, "sqlite")
def _rank_on_sqlite(asked: Rank, compiler: SQLCompiler, **_: Any) -> str:
    found = _sqlite_type(asked.node, compiler)
    return (
        f"CASE {found} WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2 WHEN 'object' THEN 3"
        " WHEN 'array' THEN 4 WHEN 'false' THEN 5 WHEN 'true' THEN 6 ELSE 0 END"
    )


@compiles(AnyElement, "sqlite")
def _any_on_sqlite(asked: AnyElement, compiler: SQLCompiler, **_: Any) -> str:
    arrays = []
    for node, alias in zip(asked.nodes, asked.aliases, strict=True):
        found, text = _sqlite_type(node, compiler), _sqlite_container(node, compiler)
        itself = f" WHEN 'object' THEN json_array(json({text}))" if asked.or_itself else ""
        arrays.append(f"json_each(CASE {found} WHEN 'array' THEN {text}{itself} END) AS {alias}")
    return f"EXISTS (SELECT 1 FROM {', '.join(arrays)} WHERE {compiler.process(asked.condition)})"


@compiles(InList, "sqlite")
def _in_list_on_sqlite(asked: InList, compiler: SQLCompiler, **_: Any) -> str:
    left, values = compiler.process(asked.left), compiler.process(asked.values)
    return f"({left} IN (SELECT value FROM json_each({values})))"


@compiles(Either, "sqlite")
def _either_on_sqlite(asked: Either, compiler: SQLCompiler, **_: Any) -> str:
    return f"({compiler.process(asked.sqlite)})"


# PostgreSQL: every node is a jsonb


def _jsonb(node: ColumnElement[Any], compiler: SQLCompiler) -> str:
    if isinstance(node, Element):
        return f"{node.alias}.value"
    if not isinstance(node, Member):
        return compiler.process(node) + TWIN
    parent = _jsonb(node.parent, compiler)
    ways = [f"({parent} -> {compiler.process(key)})" for key in (node.name, node.index) if key is not None]
    if len(ways) == 1:
        return ways[0]
    # Asked for a position, PostgreSQL takes a plain value for an array of one.
    return f"(CASE jsonb_typeof({parent}) WHEN 'array' THEN {ways[1]} ELSE {ways[0]} END)"


@compiles(Is, "postgresql")
def _is_on_postgresql(asked: Is, compiler: SQLCompiler, **_: Any) -> str:
    node = _jsonb(asked.node, compiler)
    match asked.kind:
        case "any":
            return f"({node} IS NOT NULL)"
        case "true" | "false":
            return f"({node} = '{asked.kind}'::jsonb)"
        case "int" | "long" | "double":
            value = f"({node} #>> '{{}}')::numeric"
            among = _range(asked.kind, value, f"{value} = trunc({value})")
            return f"(CASE jsonb_typeof({node}) WHEN 'number' THEN {among} ELSE false END)"
        case _:
            name = "string" if asked.kind == "text" else asked.kind
            return f"(jsonb_typeof({node}) = '{name}')"


@compiles(Value, "postgresql")
def _value_on_postgresql(asked: Value, compiler: SQLCompiler, **_: Any) -> str:
    return _jsonb(asked.node, compiler)


@compiles(Words, "postgresql")
def _words_on_postgresql(asked: Words, compiler: SQLCompiler, **_: Any) -> str:
    node = _jsonb(asked.node, compiler)
    return f"""(CASE jsonb_typeof({node}) WHEN 'string' THEN {node} #>> '{{}}' END COLLATE "C")"""


@compiles(Size, "postgresql")
def _size_on_postgresql(asked: Size, compiler: SQLCompiler, **_: Any) -> str:
    node = _jsonb(asked.node, compiler)
    return f"CASE jsonb_typeof({node}) WHEN 'array' THEN jsonb_array_length({node}) END"


@compiles(Rank, "postgresql")
def _rank_on_postgresql(asked: Rank, compiler: SQLCompiler, **_: Any) -> str:
    node = _jsonb(asked.node, compiler)
    return (
        f"CASE jsonb_typeof({node}) WHEN 'number' THEN 1 WHEN 'string' THEN 2 WHEN 'object' THEN 3"
        " WHEN 'array' THEN 4"
        f" WHEN 'boolean' THEN CASE {node} WHEN 'false'::jsonb THEN 5 ELSE 6 END ELSE 0 END"
    )


@compiles(AnyElement, "postgresql")
def _any_on_postgresql(asked: AnyElement, compiler: SQLCompiler, **_: Any) -> str:
    arrays = []
    for step, alias in zip(asked.nodes, asked.aliases, strict=True):
        node = _jsonb(step, compiler)
        itself = f" WHEN 'object' THEN jsonb_build_array({node})" if asked.or_itself else ""
        array = f"CASE jsonb_typeof({node}) WHEN 'array' THEN {node}{itself} END"
        arrays.append(f"jsonb_array_elements({array}) AS {alias}(value)")
    return f"EXISTS (SELECT 1 FROM {', '.join(arrays)} WHERE {compiler.process(asked.condition)})"


@compiles(InList, "postgresql")
def _in_list_on_postgresql(asked: InList, compiler: SQLCompiler, **_: Any) -> str:
    left, values = compiler.process(asked.left), compiler.process(asked.values)
    if asked.what == "number":
        return f"({left} IN (SELECT jsonb_array_elements({values})))"
    cast = "::bigint" if asked.what == "bigint" else ""
    return f"({left} IN (SELECT jsonb_array_elements_text({values}){cast}))"


@compiles(Either, "postgresql")
def _either_on_postgresql(asked: Either, compiler: SQLCompiler, **_: Any) -> str:
    return f"({compiler.process(asked.postgresql)})"
