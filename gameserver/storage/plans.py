"""From a described statement to SQL text and positional arguments, worked out once per statement."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any
from weakref import ref

from sqlalchemy import BindParameter, Boolean, Executable, Insert, LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.sql.compiler import SQLCompiler

from gameserver.storage.dialects import SQLITE
from gameserver.storage.tables import Upsert

Statement = Executable | Upsert
Params = Mapping[str, Any]
Bind = Callable[[Params], tuple[str, Sequence[Any]]]
RowFactory = Callable[[sqlite3.Cursor, tuple[Any, ...]], sqlite3.Row]

SHAPES_MAX = 500
"""Compiled statements kept beyond the life of the statement they were compiled from."""


class Shape:
    """What statements that differ only in their values have in common: all that is worth keeping."""

    __slots__ = (
        "binds",
        "compiled",
        "locks",
        "pick",
        "plain_insert",
        "processors",
        "row_factory",
        "sql",
        "writes",
    )

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled = self.compiled = _compile(statement, dialect)
        self.sql = str(compiled)
        self.binds = {name: bind.key for name, bind in compiled.binds.items()}
        names = tuple(compiled.positiontup or ())
        self.pick = _picker(names)
        types = [compiled.binds[name].type.dialect_impl(dialect) for name in names]
        # Both databases take a bool as it is.
        self.processors = [
            None if isinstance(kind, Boolean) else kind.bind_processor(dialect) for kind in types
        ]
        self.writes: bool = statement.is_dml
        self.locks = self.writes or " FOR " in self.sql  # FOR UPDATE, FOR SHARE; a false alarm does no harm
        # Only such a statement may get ON CONFLICT DO NOTHING at its end.
        self.plain_insert = type(statement) is Insert and not compiled.effective_returning
        self.row_factory = _row_factory(statement, dialect) if dialect is SQLITE else None


class Plan:
    """A statement, ready to run.

    `bind` turns named parameters into the SQL text and its arguments; `writes` and `locks` say what the
    statement does to others; `row_factory` makes rows of results that sqlite3 does not return as what they
    are, such as booleans; None where its own rows will do.
    """

    __slots__ = ("bind", "locks", "plain_insert", "row_factory", "writes")

    def __init__(self, shape: Shape, values: Mapping[str, BindParameter[Any]]) -> None:
        """Join a shape with the statement's own parameters, by their keys in the shape."""
        known: dict[str, Any] = {}
        needed: set[str] = set()
        for name, key in shape.binds.items():
            bind = values.get(key, shape.compiled.binds[name])
            if bind.required:
                needed.add(name)
            else:
                known[name] = bind.effective_value
        self.bind = _binder(shape, known, needed)
        self.writes = shape.writes
        self.locks = shape.locks
        self.plain_insert = shape.plain_insert
        self.row_factory = shape.row_factory


class Plans:
    """The plans of one dialect, kept for as long as their statements live.

    Plans are found by the identity of their statement: one built at import is compiled once. A statement
    built for a single call goes away together with its plan, but its shape stays for the next of its kind, up
    to `SHAPES_MAX` of them, the least recently used going first.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._plans: dict[int, tuple[Plan, ref[Statement]]] = {}
        self._shapes: dict[tuple[Any, ...], tuple[Shape, CacheKey]] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def __getitem__(self, statement: Statement) -> Plan:
        found = self._plans.get(id(statement))
        return found[0] if found is not None else self._add(statement)

    def _add(self, statement: Statement) -> Plan:
        described: Executable
        if isinstance(statement, Upsert):
            described = statement.sqlite if self._dialect is SQLITE else statement.postgresql
        else:
            described = statement
        plan, plans, key = self._plan(described), self._plans, id(statement)
        plans[key] = plan, ref(statement, lambda _: plans.pop(key, None))
        return plan

    def _plan(self, statement: Executable) -> Plan:
        # The key SQLAlchemy's own engine finds compiled statements by: structure without values.
        key = statement._generate_cache_key()  # type: ignore[attr-defined]  # noqa: SLF001
        if key is None:  # something in it cannot be told from its like
            return Plan(Shape(statement, self._dialect), {})
        shape, first = self._shapes.pop(key.key, None) or (Shape(statement, self._dialect), key)
        self._shapes[key.key] = shape, first
        if len(self._shapes) > SHAPES_MAX:
            del self._shapes[next(iter(self._shapes))]
        own = zip(first.bindparams, key.bindparams, strict=True)
        return Plan(shape, {in_shape.key: bind for in_shape, bind in own})


def _compile(statement: Executable, dialect: Dialect) -> SQLCompiler:
    if isinstance(statement, Insert):
        statement = statement.inline()  # or PostgreSQL's dialect adds a RETURNING of the primary key
    compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # every executable has it
    assert isinstance(compiled, SQLCompiler)
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise TypeError(f"its text would depend on its values: {statement}")
    computed = [*compiled.insert_prefetch, *compiled.update_prefetch] if statement.is_dml else []
    if computed:
        names = ", ".join(str(column) for column in computed)
        raise TypeError(
            f"nobody computes the Python-side default of {names}: bind a value or use server_default"
        )
    return compiled


def _binder(shape: Shape, known: Params, needed: set[str]) -> Bind:
    sql, pick, count = shape.sql, shape.pick, len(needed)
    processors = [(at, process) for at, process in enumerate(shape.processors) if process is not None]

    def bind(params: Params) -> tuple[str, Sequence[Any]]:
        if len(params) != count:
            _check(sql, needed, known, params)
        try:
            return sql, pick({**known, **params} if known else params)
        except KeyError:
            _check(sql, needed, known, params)
            raise

    def bind_converted(params: Params) -> tuple[str, Sequence[Any]]:
        _, picked = bind(params)
        arguments = list(picked)
        for at, process in processors:
            arguments[at] = process(arguments[at])
        return sql, arguments

    return bind_converted if processors else bind


def _picker(names: tuple[str, ...]) -> Callable[[Params], tuple[Any, ...]]:
    if not names:
        return lambda _: ()
    if len(names) == 1:  # itemgetter would return the bare value
        (name,) = names
        return lambda params: (params[name],)
    return itemgetter(*names)


def _check(sql: str, needed: set[str], known: Params, params: Params) -> Params:
    missing, extra = needed - params.keys(), params.keys() - needed - known.keys()
    if missing or extra:
        raise TypeError(f"parameters missing: {sorted(missing)}, unknown: {sorted(extra)} in {sql!r}")
    return params


def _row_factory(statement: Executable, dialect: Dialect) -> RowFactory | None:
    if not (statement.is_select or statement.is_dml):
        return None
    converters: list[tuple[int, Callable[[Any], Any]]] = []
    for position, column in enumerate(statement.exported_columns):  # type: ignore[attr-defined]  # these have it
        kind = column.type
        if isinstance(kind, LargeBinary):  # already bytes
            continue
        convert = (
            bool if isinstance(kind, Boolean) else kind.dialect_impl(dialect).result_processor(dialect, None)
        )
        if convert is not None:
            converters.append((position, convert))
    if not converters:
        return None

    def make(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
        row = list(values)
        for position, convert in converters:
            value = row[position]
            if value is not None:
                row[position] = convert(value)
        return sqlite3.Row(cursor, tuple(row))

    return make
