"""How statements are spelled: SQLAlchemy's two dialects, but a list of values (`IN`) is one argument.

Spelled `IN (?, ?, …)`, each length of a list would be a statement of its own: compiled here, prepared and
planned by the database, and kept by both.
"""

# ruff: noqa: ARG002 - hooks of SQLAlchemy, which decides what they are given

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import BindParameter, String, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect as AsyncpgDialect  # noqa: N812 - it is a class
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import dialect as PysqliteDialect  # noqa: N812 - it is a class
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine, UserDefinedType

from gameserver.storage.tables import Json


class _JsonArray(UserDefinedType[Any]):
    """How SQLite gets a list."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        return lambda values: msgspec.json.encode(values).decode()


class _SqliteCompiler(SQLiteCompiler):
    def visit_select(self, *arguments: Any, **kw: Any) -> str:
        # SQLAlchemy leaves the tables' names out of RETURNING, and of queries in it, where `profile_id =
        # profile_id` would compare a column with itself and find the rows of everybody.
        kw.pop("include_table", None)
        return str(super().visit_select(*arguments, **kw))  # type: ignore[no-untyped-call]

    def visit_in_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"{self.process(binary.left, **kw)} IN {_values(self, binary, **kw)}"

    def visit_not_in_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"({self.process(binary.left, **kw)} NOT IN {_values(self, binary, **kw)})"


class _PostgresCompiler(PGCompiler_asyncpg):
    def visit_in_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"{self.process(binary.left, **kw)} {_array(self, binary, '= ANY', 'IN', **kw)}"

    def visit_not_in_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"({self.process(binary.left, **kw)} {_array(self, binary, '<> ALL', 'NOT IN', **kw)})"

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:
        left, right = self.process(element.left, **kw), self.process(element.right, **kw)
        cast = "::json" if isinstance(element.left.type, Json) else ""  # which is text, until it is asked
        return f"{left}{cast} {operator.opstring} {right}"


def _values(compiler: SQLCompiler, binary: Any, **kw: Any) -> str:
    if not _is_list(binary):
        return compiler.process(binary.right, **kw)
    values = compiler.process(_whole(binary.right, _JsonArray()), **kw)
    return f"(SELECT value FROM json_each({values}))"  # noqa: S608 - `values` is a placeholder


def _array(compiler: SQLCompiler, binary: Any, word: str, otherwise: str, **kw: Any) -> str:
    if not _is_list(binary):
        return f"{otherwise} {compiler.process(binary.right, **kw)}"
    # A length would cut values off.
    item = Text() if isinstance(binary.right.type, String) else binary.right.type
    return f"{word} ({compiler.process(_whole(binary.right, ARRAY(item)), **kw)})"


def _is_list(binary: Any) -> bool:
    return isinstance(binary.right, BindParameter)  # otherwise a SELECT


def _whole(values: BindParameter[Any], kind: TypeEngine[Any]) -> BindParameter[Any]:
    """Return the parameter of a list, for the list as one value."""
    if values.required:
        return BindParameter(values.key, required=True, type_=kind)
    return BindParameter(values.key, values.value, type_=kind)


SQLITE: Dialect = PysqliteDialect(paramstyle="qmark")
SQLITE.statement_compiler = _SqliteCompiler
POSTGRESQL: Dialect = AsyncpgDialect()  # type: ignore[no-untyped-call]
POSTGRESQL.statement_compiler = _PostgresCompiler
