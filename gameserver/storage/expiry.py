"""Rows that are worth nothing after a time: deleted in bounded steps, the oldest first.

There has to be an index that begins with the time, behind what `conditions` fix.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, bindparam, delete, func, literal, select, tuple_
from sqlalchemy.sql import visitors

from gameserver.storage.transaction import Transaction


class Expiry:
    """The rows of a table, by the column that says how old they are or when they lapse.

    `conditions` say which rows; their parameters go to each call. `value` makes of a time what the column
    holds, where that is no time.
    """

    def __init__(
        self,
        column: Column[Any],
        *conditions: ColumnElement[bool],
        value: Callable[[int], Any] = lambda ms: ms,
    ) -> None:
        table, self._value = column.table, value
        fixed = {part for condition in conditions for part in visitors.iterate(condition)}
        # For the test that asks for an index.
        table.info.setdefault("expires", []).append((fixed & set(table.c), column))
        old = (*conditions, column < bindparam("before", type_=column.type))
        keys = list(table.primary_key)
        some = select(*keys).where(*old).order_by(column).limit(bindparam("most", type_=BigInteger()))
        key: Any = keys[0] if len(keys) == 1 else tuple_(*keys)
        # The condition once more, for a row that was changed while this statement waited for it.
        self._delete = delete(table).where(key.in_(some), *old)
        self._count = select(func.count()).select_from(
            select(literal(1)).where(*old).limit(bindparam("most", type_=BigInteger())).subquery()
        )

    async def forget(self, tx: Transaction, before_ms: int, most: int, **params: str) -> int:
        """Delete rows of before a time, at most so many; returns how many."""
        return await tx.run(self._delete, before=self._value(before_ms), most=most, **params)

    async def count(self, tx: Transaction, before_ms: int, most: int, **params: str) -> int:
        """Count the rows of before a time, up to so many."""
        row = await tx.one(self._count, before=self._value(before_ms), most=most, **params)
        return 0 if row is None else int(row[0])
