"""What a condition of a where clause may be about: a column, a place in a document, or nothing at all.

Each answers for "a value that is found there, or one of its elements".
"""

# ruff: noqa: ARG002, D102 - what the methods ask stands at Target, which does not look at its arguments

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, and_, false, or_, true
from sqlalchemy.sql.elements import ColumnElement

from gameserver.documents import patterns
from gameserver.documents.json_nodes import (
    INT_MAX,
    LONG_MAX,
    AnyElement,
    Either,
    Element,
    InList,
    Is,
    Kind,
    Member,
    Size,
    Value,
    Words,
)

Condition = ColumnElement[bool]
Node = ColumnElement[Any]
Alias = Callable[[], str]
"""Gives out names that nothing else in the clause has."""


def all_of(parts: list[Condition]) -> Condition:
    """Return whether all hold; of nothing, all do."""
    return and_(true(), *parts)


def any_of(parts: list[Condition]) -> Condition:
    """Return whether at least one holds; of nothing, none does."""
    return or_(false(), *parts)


def not_so(condition: Condition) -> Condition:
    """Return whether a condition does not hold; one that is NULL does not."""
    return condition.is_not(true())


class Target:
    """What a condition is about. As it stands: a field that no row has, of which no condition holds.

    `is_nothing`: the value is null, or nothing is found. `exists`: something is found. `matches`: it is text
    of one of the sequences. `has_size`: it is an array of so many elements. `any_element`: it is an array,
    and what `check` makes of one of its elements holds.
    """

    def __init__(self, alias: Alias) -> None:
        self.alias = alias

    def is_nothing(self) -> Condition:
        return true()

    def exists(self) -> Condition:
        return false()

    def equals(self, value: Any) -> Condition:
        return false()

    def compares(self, operator: str, value: float | str) -> Condition:
        return false()

    def among_numbers(self, values: list[float]) -> Condition:
        return false()

    def among_texts(self, values: list[str]) -> Condition:
        return false()

    def is_of(self, kind: Kind) -> Condition:
        return false()

    def matches(self, sequences: list[patterns.Sequence], *, fold: bool) -> Condition:
        return false()

    def has_size(self, size: int) -> Condition:
        return false()

    def any_element(self, check: Callable[[Node], Condition]) -> Condition:
        check(Element(self.alias()))  # for its refusals
        return false()


class OnColumn(Target):
    """A column of the row."""

    def __init__(self, alias: Alias, column: Column[Any]) -> None:
        super().__init__(alias)
        self.column = column
        kind = column.type
        self.kinds: tuple[Kind, ...]
        self.room: range | None = None
        if isinstance(kind, Boolean):
            self.kinds = ("boolean",)
        elif isinstance(kind, BigInteger):
            self.kinds, self.room = ("number",), range(-LONG_MAX - 1, LONG_MAX + 1)
        elif isinstance(kind, Integer):
            self.kinds, self.room = ("number", "int"), range(-INT_MAX - 1, INT_MAX + 1)
        elif isinstance(kind, Float):
            self.kinds = ("number", "double")
        else:
            self.kinds = ("text",)

    def fits(self, value: Any) -> bool:
        if isinstance(value, bool):
            return self.kinds[0] == "boolean"
        if isinstance(value, str):
            return self.kinds[0] == "text"
        return isinstance(value, int | float) and self.kinds[0] == "number"

    def is_nothing(self) -> Condition:
        return self.column.is_(None) if self.column.nullable else false()

    def exists(self) -> Condition:
        return self.column.is_not(None) if self.column.nullable else true()

    def equals(self, value: Any) -> Condition:
        if not self.fits(value):
            return false()
        return self.numbers("$eq", value) if self.kinds[0] == "number" else self.column == value

    def compares(self, operator: str, value: float | str) -> Condition:
        if not self.fits(value):
            return false()
        return (
            self.numbers(operator, value)
            if not isinstance(value, str)
            else _COMPARE[operator](self.column, value)
        )

    def numbers(self, operator: str, value: float) -> Condition:
        """Compare with any number, although the column may have room for some whole ones only."""
        if self.room is None:
            return _COMPARE[operator](self.column, value)
        whole = math.floor(value)
        if operator == "$eq":
            return self.column == whole if whole == value and whole in self.room else false()
        upward = operator in ("$gt", "$gte")
        if whole not in self.room:
            return self.exists() if (whole < 0) == upward else false()
        if whole != value:
            operator = "$gt" if upward else "$lte"
        return _COMPARE[operator](self.column, whole)

    def among_numbers(self, values: list[float]) -> Condition:
        if self.kinds[0] != "number":
            return false()
        if self.room is None:
            return any_of([self.column == value for value in values])
        whole = [int(value) for value in values if math.floor(value) == value and int(value) in self.room]
        return InList(self.column, whole, "bigint")

    def among_texts(self, values: list[str]) -> Condition:
        return InList(self.column, values, "text") if self.kinds[0] == "text" else false()

    def is_of(self, kind: Kind) -> Condition:
        if kind == "null":
            return self.is_nothing()
        if isinstance(self.column.type, BigInteger) and kind in ("int", "long"):
            small = self.column.between(-INT_MAX - 1, INT_MAX)
            return small if kind == "int" else ~small
        return self.exists() if kind in self.kinds else false()

    def matches(self, sequences: list[patterns.Sequence], *, fold: bool) -> Condition:
        if self.kinds[0] != "text":
            return false()
        return any_of([patterns.Matches(self.column, sequence, fold=fold) for sequence in sequences])


class InDocument(Target):
    """A path in a document. `whole`: the node as it is, without a look at its elements."""

    def __init__(self, alias: Alias, root: Node, path: list[str], *, whole: bool = False) -> None:
        super().__init__(alias)
        self.root = root
        self.path = path
        self.whole = whole

    def is_nothing(self) -> Condition:
        return any_of([self.found(lambda node: Is(node, "null")), not_so(self.exists())])

    def exists(self) -> Condition:
        return self.reach(lambda node: Is(node, "any"))

    def equals(self, value: Any) -> Condition:
        return self.found(lambda node: _equal(node, value))

    def compares(self, operator: str, value: float | str) -> Condition:
        compare = _COMPARE[operator]
        if isinstance(value, str):
            return self.found(lambda node: compare(Words(node), value))
        return self.found(lambda node: and_(Is(node, "number"), compare(Value(node), value)))

    def among_numbers(self, values: list[float]) -> Condition:
        return self.found(lambda node: and_(Is(node, "number"), InList(Value(node), values, "number")))

    def among_texts(self, values: list[str]) -> Condition:
        return self.found(lambda node: InList(Words(node), values, "text"))

    def is_of(self, kind: Kind) -> Condition:
        return self.found(lambda node: Is(node, kind))

    def matches(self, sequences: list[patterns.Sequence], *, fold: bool) -> Condition:
        def check(node: Node) -> Condition:
            return any_of([patterns.Matches(Words(node), sequence, fold=fold) for sequence in sequences])

        return self.found(check)

    def has_size(self, size: int) -> Condition:
        # A size no array has must not be more than the column type of a size has room for.
        return self.reach(lambda node: and_(Is(node, "array"), Size(node) == max(-1, min(size, INT_MAX))))

    def any_element(self, check: Callable[[Node], Condition]) -> Condition:
        return self.reach(partial(self.elements, check))

    def elements(self, check: Callable[[Node], Condition], node: Node) -> Condition:
        alias = self.alias()
        return AnyElement([(node, alias)], check(Element(alias)))

    def found(self, check: Callable[[Node], Condition]) -> Condition:
        """Return whether a value that is found, or an element of it, passes a check."""
        if self.whole:
            return self.reach(check)
        return self.reach(lambda node: or_(check(node), self.elements(check, node)))

    def reach(self, check: Callable[[Node], Condition]) -> Condition:
        """Return whether a value that is found passes a check."""
        if not self.path:
            return check(self.root)
        node: Node = self.root
        steps: list[tuple[Node, str]] = []
        for index, name in enumerate(self.path):
            position = position_of(name)
            if index and position is None:  # what came before may be an array of objects
                alias = self.alias()
                steps.append((node, alias))
                node = Element(alias)
            node = Member(node, name, position)
        return AnyElement(steps, check(node), or_itself=True) if steps else check(node)


def _equal(node: Node, value: Any) -> Condition:
    match value:
        case None:
            return Is(node, "null")
        case bool():
            return Is(node, "true" if value else "false")
        case str():
            return Words(node) == value
        case int() | float():
            return and_(Is(node, "number"), Value(node) == value)
        case _:
            return Either(_equal_in_parts(node, value), Value(node) == value)


def _equal_in_parts(node: Node, value: Any) -> Condition:
    """Compare arrays and objects part by part, for an engine that knows JSON as text only."""
    if isinstance(value, list):
        parts = [
            _equal_in_parts_or_plain(Member(node, None, index), part) for index, part in enumerate(value)
        ]
        return and_(Is(node, "array"), Size(node) == len(value), *parts)
    parts = [_equal_in_parts_or_plain(Member(node, name), part) for name, part in value.items()]
    return and_(Is(node, "object"), Size(node) == len(value), *parts)


def _equal_in_parts_or_plain(node: Node, value: Any) -> Condition:
    return _equal_in_parts(node, value) if isinstance(value, list | dict) else _equal(node, value)


_COMPARE: dict[str, Callable[[Any, Any], Condition]] = {
    "$eq": lambda left, right: left == right,
    "$gt": lambda left, right: left > right,
    "$gte": lambda left, right: left >= right,
    "$lt": lambda left, right: left < right,
    "$lte": lambda left, right: left <= right,
}


_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def position_of(name: str) -> int | None:
    """Return which element of an array a name in a path would be."""
    return int(name) if _INDEX.fullmatch(name) else None
