"""How tables and statements are described: one description serves SQLite and PostgreSQL.

Columns are `Text` or `String` (ids, names), `BigInteger` (numbers; times in milliseconds since 1970),
`Boolean`, `Float`, `LargeBinary` and `Json`. Defaults that Python would compute are refused: the statement
binds the value, or the column has a `server_default`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Case,
    Column,
    Executable,
    Insert,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    case,
    insert,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import ColumnElement, KeyedColumnElement
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import TypeEngine, UserDefinedType

metadata = MetaData(
    naming_convention={  # a migration can only change what has a name
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class StoredBy(StrEnum):
    """Which rows of a table belong together; stands in its `info` as `stored_by`.

    The first column of the primary key, and of every unique key, is the one that says so: `profile_id` or
    `owner_id`, `app_id`, `group_id`, `board_uid`. So rows of one owner may lie in one place when the tables
    are spread over several databases, and a packet of one player finds all of theirs there.
    """

    PLAYER = "player"
    APP = "app"
    GROUP = "group"
    BOARD = "board"
    KEY = "key"  # one column: a session, a token, what two players have between them
    RUN = "run"  # what one run of a packet or a job has done so far
    PARENT = "parent"  # rows of a row: the parent's id comes first, with a foreign key that cascades
    SERVER = "server"  # small, and the same for all: a copy in each database


class Json(UserDefinedType[str]):
    """JSON as *text*, kept letter by letter: bound and returned as `str`; who stores it also parses it.

    A member as text, on both engines: `column.op("->>", return_type=Text())(name)`.
    """

    cache_ok = True
    render_bind_cast = True  # PostgreSQL would take an untyped parameter of an expression for anything

    def get_col_spec(self, **_: Any) -> str:  # noqa: D102 - SQLAlchemy's name for the type in DDL
        return "TEXT"

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:  # noqa: D102 - SQLAlchemy's hook
        # `data ->> key` works on both engines, with a key that is text (or a position), not JSON.
        if isinstance(op, custom_op):
            return Integer() if isinstance(value, int) else Text()
        return self


class SearchedJson(Json):
    """JSON that where-clauses look into.

    `jsonb`, which PostgreSQL searches, changes numbers (1e16, -0.0) and the order of keys. So there the text
    has a `jsonb` twin beside it, a column that PostgreSQL computes and nobody else knows: its name is that of
    the column with `TWIN` behind it. A migration adds it.
    """

    cache_ok = True


TWIN = "_json"


class Jsonb(UserDefinedType[str]):
    """A parameter that PostgreSQL takes apart; so were columns, before `Json` kept JSON letter by letter."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: D102 - SQLAlchemy's name for the type in DDL
        return "JSONB"


@compiles(Jsonb, "sqlite")
def _jsonb_on_sqlite(*_: Any, **__: Any) -> str:
    return "TEXT"


class json_rows(FunctionElement[str]):  # noqa: N801 - used like a function of SQL
    """`select(json_rows(a, b, …))`: the columns of all rows as one JSON text, a list of lists.

    Null or an empty list when there are no rows. As a scalar subquery it reads the rows of another table
    together with a row of its own table, in one statement, and always by key.
    """

    type = Text()
    inherit_cache = True


@compiles(json_rows, "sqlite")
def _json_rows_on_sqlite(element: Any, compiler: Any, **words: Any) -> str:
    parts = [
        f"json({compiler.process(clause, **words)})"
        if isinstance(clause.type, Json)
        else compiler.process(clause, **words)
        for clause in element.clauses
    ]
    return f"json_group_array(json_array({', '.join(parts)}))"


@compiles(json_rows, "postgresql")
def _json_rows_on_postgresql(element: Any, compiler: Any, **words: Any) -> str:
    parts = [
        compiler.process(clause, **words) + ("::json" if isinstance(clause.type, Json) else "")
        for clause in element.clauses
    ]
    return f"json_agg(json_build_array({', '.join(parts)}))"


_guarded: set[str] = set()


def fail_unless(column: Column[Any], condition: ColumnElement[bool], value: ColumnElement[Any]) -> Case[Any]:
    """Return a new value for a column that may not be null, for statements that nobody waits for.

    When the condition does not hold for the row that is there, the statement fails and its transaction ends
    with `Conflict`: the value is null then, which the column refuses.
    """
    assert not column.nullable, f"{column} would take null"
    _guarded.add(str(column))
    return case((condition, value))


def is_guarded(column: str) -> bool:
    """Tell whether null for a column, written `table.column`, means `Conflict`."""
    return column in _guarded


def insert_row(table: Table) -> Insert:
    """Describe: insert a row, each column bound under its own name."""
    return insert(table).values({column.name: bindparam(column.name) for column in table.c})


@dataclass(frozen=True, eq=False)
class Upsert:
    """An `INSERT … ON CONFLICT` in both dialects; made by `upsert`, run like any other statement."""

    sqlite: Executable
    postgresql: Executable


def upsert(
    table: Table,
    index_elements: Iterable[str],
    set_: Mapping[str, Any] | Iterable[str] | None,
    *,
    values: Mapping[str, Any] | None = None,
    where: ColumnElement[bool] | None = None,
    index_where: ColumnElement[bool] | None = None,
    returning: Iterable[ColumnElement[Any]] = (),
) -> Upsert:
    """Describe: insert a row, or change the one that holds the same unique key.

    `index_elements` name the columns of the unique index. `set_` says what happens to the row that is there:
    names of columns that take the new value, or a mapping from column to expression, in which the table's
    columns are the old values and `excluded(table)` the new ones; None leaves that row alone. `where` lets
    the change happen only if it holds. `values` are the columns to insert, all columns when left out, each
    bound under its own name. The row count is 0 when nothing was inserted or changed, and RETURNING is empty.
    """
    keys = list(index_elements)
    changes: Mapping[str, Any] | None
    if set_ is None or isinstance(set_, Mapping):
        changes = set_
    else:
        changes = {name: excluded(table)[name] for name in set_}
    if changes is None and where is not None:
        raise ValueError("`where` needs a change to guard")
    on_sqlite: sqlite.Insert = sqlite.insert(table)
    on_postgresql: postgresql.Insert = postgresql.insert(table)
    if values is not None:
        on_sqlite, on_postgresql = on_sqlite.values(values), on_postgresql.values(values)
    if changes is None:
        on_sqlite = on_sqlite.on_conflict_do_nothing(keys, index_where)
        on_postgresql = on_postgresql.on_conflict_do_nothing(index_elements=keys, index_where=index_where)
    else:
        on_sqlite = on_sqlite.on_conflict_do_update(keys, index_where, changes, where)
        on_postgresql = on_postgresql.on_conflict_do_update(
            index_elements=keys, index_where=index_where, set_=changes, where=where
        )
    columns = list(returning)
    if columns:
        return Upsert(on_sqlite.returning(*columns), on_postgresql.returning(*columns))
    return Upsert(on_sqlite, on_postgresql)


def excluded(table: Table) -> ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]:
    """Return the row an `upsert` wanted to insert, for the expressions of its `set_` and `where`."""
    return table.alias("excluded").columns
