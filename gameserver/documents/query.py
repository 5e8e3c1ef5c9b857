"""Where clauses and sort orders as clients write them, translated into SQL for SQLite and PostgreSQL.

A clause is an object of field to condition; all of them must hold. A condition is a value, or an object of
operators: `$eq $ne $gt $gte $lt $lte $in $nin $exists $type $regex $options $elemMatch $all $size $not`.
`$and`, `$or` and `$nor` stand in place of a field and join clauses.

A field is the name of a column, or the path of a member in a document: `data.position.x`. On its way through
a path, an array of objects stands for the members of all of them, and a number picks one element of an array.
A condition holds when a value that is found meets it, or, if that is an array, one of its elements. Values of
different kinds are never equal and neither is more than the other; `null` also means that nothing is found.
A field that nobody knows is nowhere found.

Every value is bound as a parameter, and names of members too. What a clause may cost has limits.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from msgspec import Meta
from sqlalchemy import Column, case, false
from sqlalchemy.sql.elements import ColumnElement

from gameserver.documents import patterns
from gameserver.documents.conditions import (
    Condition,
    InDocument,
    Node,
    OnColumn,
    Target,
    all_of,
    any_of,
    not_so,
    position_of,
)
from gameserver.documents.json_nodes import (
    Is,
    Kind,
    Member,
    Rank,
    Value,
    Words,
)
from gameserver.wire import json
from gameserver.wire.errors import GameError, UnreadableJson
from gameserver.wire.shapes import FreeObjectOrText

DEPTH_MAX = 8  # clauses within clauses
TERMS_MAX = 64  # conditions; a value with an inner structure counts as many as it has parts
NAMES_OF_TERM = 4  # a path of more names counts as several conditions, for all of it becomes SQL
LIST_MAX = 500  # values of $in, $nin, $all
PATH_MAX = 16  # names in a path
# How deep SQLite's parser has to go; with all of these at once it is nearly full.
ELEMENTS_MAX = 2  # $elemMatch within each other
POSITIONS_MAX = 4  # numbers in a path
VALUE_DEPTH_MAX = 4  # arrays and objects within a value that is compared
SORT_MAX = 8  # fields of an order


# Types for requests

WhereField = Annotated[
    FreeObjectOrText | None,
    Meta(
        description="What to look for: an object of fields and conditions, as protocol/data.md tells, or the"
        " same as JSON text. Null, {} or nothing: everything."
    ),
]
OrderBy = Annotated[
    dict[str, Any] | str | None,
    Meta(
        description="Fields to sort by, with 1 for the smallest first and -1 for the largest first; such as"
        ' `{"data.level": -1, "createdAt": 1}`. Null or nothing: the oldest first.'
    ),
]


class InvalidWhere(GameError):
    """The where clause or the sort order is not understood, or goes beyond a limit."""

    reason_code = 40349


class InvalidFieldInWhere(GameError):
    """A field name of the where clause contains `$`."""

    reason_code = 40347


@dataclass(frozen=True)
class Fields:
    """What a clause may speak of.

    `columns`: columns by the name clients know. `documents`: `Json` columns by the first part of a path, such
    as `data`. `unique`: the column that decides the order of rows that are otherwise alike.
    """

    columns: Mapping[str, Column[Any]]
    documents: Mapping[str, Column[str]]
    unique: Column[Any]
    default_order: Sequence[tuple[str, int]] = field(default=())
    """The order when none is asked for: names of columns, with 1 or -1."""


def where(criteria: Any, fields: Fields, name: str = "data.where") -> Condition:
    """Translate a clause; None, "" and {} hold for every row. A clause may come as JSON text.

    Raises `InvalidWhere`, `InvalidFieldInWhere`; `name` is what the message calls the clause.
    """
    return _Translator(fields, name).clause(as_object(criteria, name), name, 1)


def as_object(value: Any, name: str) -> dict[str, Any]:
    """Return an object that may come as JSON text, or as None or "" for none. Raises `InvalidWhere`."""
    if isinstance(value, str) and value.strip():
        text = value.encode()
        try:
            value = json.read_text(text)
        except UnreadableJson as error:
            raise InvalidWhere(f"{name}: {error}") from None
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise InvalidWhere(f"{name}: expected an object")
    return cast("dict[str, Any]", value)


def asks_only(criteria: Mapping[str, Any], name: str) -> bool:
    """Return whether a clause asks for nothing, or for some text in one field and for nothing else."""
    return not criteria or (
        list(criteria) == [name] and isinstance(criteria[name], str) and criteria[name] != ""
    )


# Orders


@dataclass(frozen=True)
class SortKey:
    """A part of an order: an expression and its direction. `name`: of a column; None in a document."""

    expression: ColumnElement[Any]
    descending: bool
    name: str | None
    nullable: bool


def order(sort: Any, fields: Fields, name: str = "data.orderBy") -> list[ColumnElement[Any]]:
    """Translate `{field: 1 or -1, …}` to expressions for ORDER BY that leave no two rows alike.

    Of a document, missing and null come first, then numbers, text, objects, arrays, false, true.
    Raises `InvalidWhere`.
    """
    return [directed(key) for key in sort_keys(sort, fields, name)]


def directed(key: SortKey, *, backward: bool = False) -> ColumnElement[Any]:
    """Return a part of an order for ORDER BY, or for the same rows from the last to the first."""
    descending = key.descending != backward
    expression: ColumnElement[Any] = key.expression.desc() if descending else key.expression.asc()
    if key.nullable:  # the engines disagree where null belongs
        return expression.nulls_last() if descending else expression.nulls_first()
    return expression


def sort_keys(sort: Any, fields: Fields, name: str = "data.orderBy") -> list[SortKey]:
    """Translate an order to its parts; the last one is the unique column. Raises `InvalidWhere`."""
    asked = _sort_pairs(sort, name) or list(fields.default_order)
    keys: list[SortKey] = []
    for path, direction in asked:
        if path in fields.columns:
            column = fields.columns[path]
            keys.append(SortKey(column, direction < 0, path, bool(column.nullable)))
            if column is fields.unique:
                return keys
        else:
            head, *rest = _names(path, name)
            document = fields.documents.get(head)
            if document is not None:
                keys += [SortKey(part, direction < 0, None, True) for part in _sort_parts(document, rest)]
    last = keys[-1].descending if keys else False
    return [*keys, SortKey(fields.unique, last, fields.unique.name, False)]


def _sort_pairs(sort: Any, name: str) -> list[tuple[str, int]]:
    found = as_object(sort, name)
    if len(found) > SORT_MAX:
        raise InvalidWhere(f"{name}: at most {SORT_MAX} fields")
    for path, direction in found.items():
        if isinstance(direction, bool) or direction not in (1, -1):
            raise InvalidWhere(f"{name}.{path[:64]}: expected 1 or -1")
    return [(path, int(direction)) for path, direction in found.items()]


def _sort_parts(document: Column[str], path: list[str]) -> list[ColumnElement[Any]]:
    node: Node = document
    for name in path:
        node = Member(node, name, position_of(name))
    numbers = case((Is(node, "number"), Value(node)), else_=None)
    return [Rank(node), numbers, Words(node)]


# Clauses


class _Translator:
    def __init__(self, fields: Fields, name: str) -> None:
        self.fields = fields
        self.name = name
        self.terms = 0
        self.aliases = 0
        self.elements = 0

    def clause(self, criteria: Any, place: str, depth: int, element: Node | None = None) -> Condition:
        """Translate a clause about a row, or about an element of an array."""
        if not isinstance(criteria, dict):
            raise InvalidWhere(f"{place}: expected an object")
        if depth > DEPTH_MAX:
            raise InvalidWhere(f"{self.name}: clauses deeper than {DEPTH_MAX} levels")
        parts = [
            self.part(name, value, f"{place}.{name[:64]}", depth, element) for name, value in criteria.items()
        ]
        return all_of(parts)

    def part(self, name: str, value: Any, place: str, depth: int, element: Node | None) -> Condition:
        if not name.startswith("$"):
            return self.conditions(self.target(name, place, element), value, place, depth)
        if name not in ("$and", "$or", "$nor"):
            raise InvalidWhere(f"{place}: no such operator; here stand fields, $and, $or and $nor")
        if not isinstance(value, list) or not value:
            raise InvalidWhere(f"{place}: expected a list of clauses")
        clauses = [
            self.clause(item, f"{place}[{index}]", depth + 1, element) for index, item in enumerate(value)
        ]
        if name == "$and":
            return all_of(clauses)
        return any_of(clauses) if name == "$or" else not_so(any_of(clauses))

    def target(self, path: str, place: str, element: Node | None) -> Target:
        column = self.fields.columns.get(path)
        if element is None and column is not None:
            return OnColumn(self.alias, column)
        names = _names(path, place)
        self.count(place, (len(names) - 1) // NAMES_OF_TERM)
        if element is not None:
            return InDocument(self.alias, element, names)
        head, *rest = names
        document = self.fields.documents.get(head)
        return Target(self.alias) if document is None else InDocument(self.alias, document, rest)

    def conditions(self, target: Target, value: Any, place: str, depth: int) -> Condition:
        """Translate what is said about one field: a value, or operators that must all hold."""
        if not (isinstance(value, dict) and any(name.startswith("$") for name in value)):
            return self.equals(target, value, place)
        if depth > DEPTH_MAX:
            raise InvalidWhere(f"{self.name}: clauses deeper than {DEPTH_MAX} levels")
        if "$options" in value and "$regex" not in value:
            raise InvalidWhere(f"{place}: $options goes with $regex")
        return all_of(
            [
                self.operator(target, name, operand, value, f"{place}.{name[:64]}", depth)
                for name, operand in value.items()
                if name != "$options"
            ]
        )

    def operator(
        self, target: Target, name: str, operand: Any, beside: dict[str, Any], place: str, depth: int
    ) -> Condition:
        self.count(place)
        match name:
            case "$eq" | "$ne":
                equal = self.equals(target, operand, place)
                return equal if name == "$eq" else not_so(equal)
            case "$gt" | "$gte" | "$lt" | "$lte":
                if isinstance(operand, bool) or not isinstance(operand, int | float | str):
                    raise InvalidWhere(f"{place}: expected a number or text")
                return target.compares(name, operand)
            case "$in" | "$nin":
                among = self.among(target, operand, place)
                return among if name == "$in" else not_so(among)
            case "$all":
                return self.has_all(target, operand, place)
            case "$exists":
                if not isinstance(operand, bool | int):
                    raise InvalidWhere(f"{place}: expected true or false")
                return target.exists() if operand else not_so(target.exists())
            case "$type":
                kinds = self.a_list(operand, place) if isinstance(operand, list) else [operand]
                self.count(place, len(kinds[1:]))
                return any_of([target.is_of(_kind(kind, place)) for kind in kinds])
            case "$regex":
                return self.matches(target, operand, beside.get("$options", ""), place)
            case "$size":
                if isinstance(operand, bool) or not isinstance(operand, int):
                    raise InvalidWhere(f"{place}: expected a whole number")
                return target.has_size(operand)
            case "$elemMatch":
                return self.element_matches(target, operand, place, depth)
            case "$not":
                if not (isinstance(operand, dict) and any(key.startswith("$") for key in operand)):
                    raise InvalidWhere(f"{place}: expected an object of operators")
                return not_so(self.conditions(target, operand, place, depth + 1))
            case _:
                raise InvalidWhere(f"{place}: no such operator")

    def equals(self, target: Target, value: Any, place: str) -> Condition:
        self.count(place)
        self.check_value(value, place)
        return target.is_nothing() if value is None else target.equals(value)

    def among(self, target: Target, values: Any, place: str) -> Condition:
        numbers: list[float] = []
        texts: list[str] = []
        others: list[Condition] = []
        for value in self.a_list(values, place):
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                numbers.append(value)
            else:
                others.append(self.equals(target, value, place))
        if numbers:
            others.append(target.among_numbers(numbers))
        if texts:
            others.append(target.among_texts(texts))
        return any_of(others)

    def has_all(self, target: Target, values: Any, place: str) -> Condition:
        wanted = [self.equals(target, value, place) for value in self.a_list(values, place)]
        return all_of(wanted) if wanted else false()

    def matches(self, target: Target, pattern: Any, options: Any, place: str) -> Condition:
        if not isinstance(pattern, str):
            raise InvalidWhere(f"{place}: expected text")
        if not isinstance(options, str) or set(options) - {"i", "s"}:
            raise InvalidWhere(f"{place}: of $options only i and s are understood")
        try:
            sequences = patterns.parse(pattern, fold="i" in options)
        except patterns.PatternError as error:
            raise InvalidWhere(f"{place}: {error}") from None
        self.count(place, len(sequences) - 1)
        return target.matches(sequences, fold="i" in options)

    def element_matches(self, target: Target, criteria: Any, place: str, depth: int) -> Condition:
        if not isinstance(criteria, dict) or not criteria:
            raise InvalidWhere(f"{place}: expected an object of fields or operators")
        about_itself = all(name.startswith("$") and name not in ("$and", "$or", "$nor") for name in criteria)

        def check(element: Node) -> Condition:
            if about_itself:
                return self.conditions(
                    InDocument(self.alias, element, [], whole=True), criteria, place, depth + 1
                )
            return self.clause(criteria, place, depth + 1, element)

        if self.elements == ELEMENTS_MAX:
            raise InvalidWhere(f"{place}: deeper than {ELEMENTS_MAX} $elemMatch")
        self.elements += 1
        found = target.any_element(check)
        self.elements -= 1
        return found

    def a_list(self, values: Any, place: str) -> list[Any]:
        if not isinstance(values, list):
            raise InvalidWhere(f"{place}: expected a list")
        if len(values) > LIST_MAX:
            raise InvalidWhere(f"{place}: at most {LIST_MAX} values")
        return values

    def check_value(self, value: Any, place: str) -> None:
        """Count the parts of a value, and refuse names that no stored document has."""
        pending = [(value, 0)]
        while pending:
            part, depth = pending.pop()
            if depth > VALUE_DEPTH_MAX:
                raise InvalidWhere(f"{place}: a value deeper than {VALUE_DEPTH_MAX} levels")
            if isinstance(part, dict):
                for name in part:
                    _check_name(name, place, dots=True)
                pending += [(child, depth + 1) for child in part.values()]
                self.count(place, len(part))
            elif isinstance(part, list):
                pending += [(child, depth + 1) for child in part]
                self.count(place, len(part))

    def count(self, place: str, terms: int = 1) -> None:
        self.terms += terms
        if self.terms > TERMS_MAX:
            raise InvalidWhere(f"{place}: more than {TERMS_MAX} conditions")

    def alias(self) -> str:
        self.aliases += 1
        return f"q{self.aliases}"


_KINDS: dict[int | str, Kind] = {
    1: "double",
    2: "text",
    3: "object",
    4: "array",
    8: "boolean",
    10: "null",
    16: "int",
    18: "long",
    "double": "double",
    "string": "text",
    "object": "object",
    "array": "array",
    "bool": "boolean",
    "null": "null",
    "int": "int",
    "long": "long",
    "number": "number",
}

_UNQUOTABLE = re.compile(r'["\\\x00-\x1f]')


def _kind(wanted: Any, place: str) -> Kind:
    kind = _KINDS.get(wanted) if isinstance(wanted, int | str) and not isinstance(wanted, bool) else None
    if kind is None:
        raise InvalidWhere(f"{place}: no such type of value")
    return kind


def _names(path: str, place: str) -> list[str]:
    names = path.split(".")
    if len(names) > PATH_MAX:
        raise InvalidWhere(f"{place}: a path of more than {PATH_MAX} names")
    if sum(position_of(name) is not None for name in names) > POSITIONS_MAX:
        raise InvalidWhere(f"{place}: a path of more than {POSITIONS_MAX} numbers")
    for name in names:
        if not name:
            raise InvalidWhere(f"{place}: an empty name in a path")
        _check_name(name, place)
    return names


def _check_name(name: str, place: str, *, dots: bool = False) -> None:
    if "$" in name or (dots and "." in name):
        raise InvalidFieldInWhere(f"{place}: the field name {name[:64]!r} contains $ or a dot")
    if _UNQUOTABLE.search(name):
        raise InvalidWhere(f"{place}: a field name with quotes, backslashes or control characters")
