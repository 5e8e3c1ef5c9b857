"""An answer with blanks, which the database fills in while it stores it.

Most of an answer is known before its statement has run, but for a version or a time of creation. With these
left blank, the statement that changes the row can store the answer, too: one round trip, where reading the
row and then storing the answer takes two.
"""

import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Update

BLANKS_MAX = 8  # of an answer
_MIN = 10**14
# Numbers that nobody outside learns, so that nothing else in an answer looks like them.
_BLANKS = tuple(_MIN + secrets.randbelow(9 * _MIN) for _ in range(BLANKS_MAX))
_AS_TEXT = tuple(b"%d" % blank for blank in _BLANKS)


class RowNeeded(LookupError):
    """The answer depends on more of the row than whole numbers."""


class TemplateRow:
    """Stands in for the row that a statement will return, and leaves blanks where it does not know it.

    `known` are the values that do not depend on what is stored. Whole numbers may be left blank; asking for
    anything else raises `RowNeeded`.
    """

    __slots__ = ("_known", "_names", "_numbers")

    def __init__(self, statement: Update, known: Mapping[str, Any]) -> None:
        self._numbers = _numbers(statement)
        self._known = known
        self._names: list[str] = []  # of the blanks, in the order of `_BLANKS`

    def __getitem__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name not in self._numbers or len(self._names) == BLANKS_MAX:
            raise RowNeeded(name)
        self._names.append(name)
        return _BLANKS[len(self._names) - 1]

    def split(self, answer: bytes) -> tuple[tuple[str, ...], list[str]]:
        """Return the columns of the blanks in an answer, in their order, and the texts around them.

        Raises `RowNeeded` when the answer does not show each of them once, as it is.
        """
        used = _AS_TEXT[: len(self._names)]
        if any(answer.count(blank) != 1 for blank in used):
            raise RowNeeded("a blank")
        text, columns, texts, start = answer.decode(), [], [], 0
        for place, name in sorted(zip(map(answer.find, used), self._names, strict=True)):
            columns.append(name)
            texts.append(text[start:place])
            start = place + len(_AS_TEXT[0])
        return tuple(columns), [*texts, text[start:]]


@lru_cache(maxsize=1000)
def _numbers(statement: Update) -> frozenset[str]:
    return frozenset(c.name for c in statement.exported_columns if isinstance(c.type, Integer))
