"""Text compared and ordered by the numbers of its letters, whatever order of letters a database has.

SQLite compares so anyway. An index serves it; on PostgreSQL it needs `text_pattern_ops`
(`postgresql_ops={"name": "text_pattern_ops"}`). Equal text is equal in each order: `==` goes with these.
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class Condition(FunctionElement[bool]):
    """A condition that each engine has its own words for."""

    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True  # or SQLite would compare it with 1, and use no index


class _Before(Condition):
    inherit_cache = True
    signs = ("<", "~<~")


class _NotBefore(Condition):
    inherit_cache = True
    signs = (">=", "~>=~")


class _Behind(Condition):
    inherit_cache = True
    signs = (">", "~>~")


class _Order(FunctionElement[str]):
    type = String()
    inherit_cache = True


def before(column: ColumnElement[str], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that comes before another."""
    return _Before(column, text)


def not_before(column: ColumnElement[str], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that is another, or comes behind it."""
    return _NotBefore(column, text)


def behind(column: ColumnElement[str], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that comes behind another."""
    return _Behind(column, text)


def by_letters(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return what rows are ordered by."""
    return _Order(column)


@compiles(_Before)
@compiles(_NotBefore)
@compiles(_Behind)
def _compared(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    column, text = (compiler.process(clause, **words) for clause in element.clauses)
    return f"({column} {element.signs[compiler.dialect.name == 'postgresql']} ({text}))"


@compiles(_Order)
def _ordered(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    [column] = (compiler.process(clause, **words) for clause in element.clauses)
    return f"{column} USING ~<~" if compiler.dialect.name == "postgresql" else str(column)
