"""The order of text by the numbers of its letters, which an index for beginnings has on both engines.

On PostgreSQL that index has `text_pattern_ops` (see `beginnings`), whatever order the database has.
Equal text is equal in each order: `==` goes with these.
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Order(FunctionElement[str]):
    type = String()
    inherit_cache = True


class _NotBefore(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True  # or SQLite would compare it with 1, and use no index


class _Behind(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True


def by_letters(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return what rows are ordered by."""
    return _Order(column)


def not_before(column: ColumnElement[str], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that is another, or comes behind it in this order."""
    return _NotBefore(column, text)


def behind(column: ColumnElement[str], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that comes behind another in this order."""
    return _Behind(column, text)


@compiles(_Order, "sqlite")
def _order_on_sqlite(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    [column] = (compiler.process(clause, **words) for clause in element.clauses)
    return str(column)


@compiles(_Order, "postgresql")
def _order_on_postgresql(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    [column] = (compiler.process(clause, **words) for clause in element.clauses)
    return f"{column} USING ~<~"


@compiles(_NotBefore, "sqlite")
def _not_before_on_sqlite(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    return _compared(element, compiler, ">=", words)


@compiles(_NotBefore, "postgresql")
def _not_before_on_postgresql(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    return _compared(element, compiler, "~>=~", words)


@compiles(_Behind, "sqlite")
def _behind_on_sqlite(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    return _compared(element, compiler, ">", words)


@compiles(_Behind, "postgresql")
def _behind_on_postgresql(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    return _compared(element, compiler, "~>~", words)


def _compared(element: Any, compiler: SQLCompiler, sign: str, words: dict[str, Any]) -> str:
    column, text = (compiler.process(clause, **words) for clause in element.clauses)
    return f"({column} {sign} {text})"
