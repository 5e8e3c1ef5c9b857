"""Text that begins with some other text, or holds it: as conditions that both engines understand alike.

Letters are compared as they are: see `letters`, whose indexes find beginnings.
"""

from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from gameserver.storage.letters import Condition, before, not_before

_LAST = 0x10FFFF


class _Holds(Condition):
    inherit_cache = True


def starts_with(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that begins with a text: its parameters are those of `beginning`."""
    return _between(column, bindparam("at_least", type_=String), bindparam("below", type_=String))


def beginning(text: str) -> dict[str, str]:
    """Return the parameters of `starts_with` for a text that is not empty."""
    end = text.rstrip(chr(_LAST))
    following = ord(end[-1]) + 1 if end else _LAST
    if 0xD800 <= following <= 0xDFFF:  # noqa: PLR2004 - no character has these numbers
        following = 0xE000
    return {"at_least": text, "below": end[:-1] + chr(following)}


def starts_with_by_lower(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition of `starts_with`, for an index over the text in lower case.

    Its parameters are those of `beginning_by_lower`.
    """
    at_least = func.lower(bindparam("near", type_=String))
    below = at_least.concat(literal_column(f"'{chr(_LAST)}'", String))
    return and_(_between(func.lower(column), at_least, below), starts_with(column))


def beginning_by_lower(text: str) -> dict[str, str]:
    """Return the parameters of `starts_with_by_lower` for a text that is not empty."""
    # Where a Sigma ends a word, its lower case may be another than within.
    near = text[0] + text[1:].partition("\N{GREEK CAPITAL LETTER SIGMA}")[0]
    return {"near": near, **beginning(text)}


def holds(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for text that holds the parameter `part` anywhere, whatever the case of a to z."""
    return _Holds(column, bindparam("part", type_=String))


def _between(
    column: ColumnElement[str], least: ColumnElement[str], below: ColumnElement[str]
) -> ColumnElement[bool]:
    return and_(not_before(column, least), before(column, below))


@compiles(_Holds, "sqlite")
def _holds_on_sqlite(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    column, part = (compiler.process(clause, **words) for clause in element.clauses)
    return f"instr(lower({column}), lower({part})) > 0"


@compiles(_Holds, "postgresql")
def _holds_on_postgresql(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    column, part = (compiler.process(clause, **words) for clause in element.clauses)
    return f'strpos(lower({column} COLLATE "C"), lower({part} COLLATE "C")) > 0'
