"""Tables that are read as a list of what happened: the newest first, page by page, the oldest forgotten.

The ids of such a table begin with the time in 12 hexadecimal digits, so one index orders rows and pages.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from gameserver.storage import Row, Transaction
from gameserver.storage.expiry import Expiry

S = TypeVar("S", bound=Select[Any])

DAY_MS = 24 * 3600 * 1000


def first_id(ms: int) -> str:
    """What the ids of all rows begin with that were written for a time; ids sort by time."""
    return f"{max(ms, 0):012x}"


class Timeline:
    """A table with the columns `app_id` and `id`, and an index over the two.

    `expiry` are the rows of an `app` by their time; see `jobs.forget_of_apps`. `longest` says of columns with
    JSON how many characters a list shows: what is longer is told by its size, as `{"bytes": …}`.
    """

    def __init__(self, table: Table, longest: Mapping[str, int] = {}) -> None:
        self._table = table
        self._shown = [_within(column, longest.get(column.name)) for column in table.c]
        self.columns = tuple(table.c.keys())
        self.expiry = Expiry(table.c.id, table.c.app_id == bindparam("app", type_=String), value=first_id)

    async def find(
        self,
        tx: Transaction,
        app_id: str,
        most: int,
        *,
        after: str = "",
        since_ms: int | None = None,
        until_ms: int | None = None,
        oldest: bool = False,
        also: Sequence[ColumnElement[bool]] = (),
        **equal: str,
    ) -> Sequence[Row]:
        """Return rows of an app, the newest or the oldest first; `after` is the id of the last one seen.

        `equal` names columns and what must be in them, such as `profile_id` or `kind`; `also` are further
        conditions.
        """
        columns = self._table.c
        statement = select(*self._shown).where(columns.app_id == app_id, *also)
        for name, value in equal.items():
            statement = statement.where(columns[name] == value)
        if since_ms is not None:
            statement = statement.where(columns.id >= first_id(since_ms))
        if until_ms is not None:
            statement = statement.where(columns.id < first_id(until_ms))
        if after:
            statement = statement.where(columns.id > after if oldest else columns.id < after)
        order = columns.id if oldest else columns.id.desc()
        return await tx.all(statement.order_by(order).limit(most))


def _within(column: Column[Any], longest: int | None) -> ColumnElement[Any]:
    if longest is None:
        return column
    size = literal('{"bytes":', Text).concat(cast(func.length(column), Text)).concat("}")
    return case((func.length(column) > longest, size), else_=column).label(column.name)


def in_time(
    statement: S,
    at: Column[int],
    *keys: Column[str],
    last: Sequence[Any] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    oldest: bool = False,
) -> S:
    """Return a statement whose rows come in time, the newest or the `oldest` first; of one moment by `keys`.

    For tables whose ids say nothing of time. `last` are the moment and the keys of the last row already seen.
    """
    if since_ms is not None:
        statement = statement.where(at >= since_ms)
    if until_ms is not None:
        statement = statement.where(at < until_ms)
    if last is not None:
        moment, *place = last
        reached, further = (at >= moment, at > moment) if oldest else (at <= moment, at < moment)
        behind = and_(at == moment, tuple_(*keys) > tuple_(*map(literal, place)))
        # The first condition finds the place in the index; the second one alone would not.
        statement = statement.where(reached, or_(further, behind))
    return statement.order_by(at if oldest else at.desc(), *keys)
