"""What is kept of players: which rows are whose, and what becomes of them in a player's life.

Whoever declares a table with rows of players says so with a `PlayerTable` beside it, and a service or a face
takes it on. Deleting, exporting and merging players follow from that; only what a row alone cannot tell needs
code.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    FromClause,
    Index,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    exists,
    literal,
    select,
    tuple_,
    update,
)

from gameserver.storage import Aborted, ConstraintBroken, Json, Row, Transaction
from gameserver.wire import json

Shown = Mapping[str, ColumnElement[Any]]
"""Names that clients know, and where the values come from; `acl.other` is the field of an object."""

_PLAYER = bindparam("player", type_=String)
_TARGET = bindparam("target", type_=String)


class PlayerTable:
    """A table in which players have rows, by the column that holds their profile id.

    - `shown`: what an export tells of a row, under the names clients know; no digests, nothing that opens a
      door. Empty where rows mean nothing to the player. `source` joins what else it needs.
    - `reset`: a reset of the player's game data deletes the rows.
    - `moves`: when the player becomes one with another, the rows become the other's. Where a unique key lets
      only one of them have a row, the other's stays. Rows that do not move are deleted with the player.
    - `stays`: why rows outlive their player; empty, and they are deleted.
    """

    def __init__(
        self,
        table: Table,
        player: str,
        shown: Shown,
        *,
        source: FromClause | None = None,
        reset: bool = False,
        moves: bool = True,
        stays: str = "",
    ) -> None:
        self.table = table
        self.player: Column[str] = table.c[player]
        self.shown = shown
        self.reset = reset
        self.moves = moves
        self.stays = stays
        self.one = list(table.primary_key) == [self.player]
        self._of_app = "app_id" in table.c
        self._owned = (self.player == _PLAYER, *self._app_condition(table))
        columns = [column.label(f"c{place}") for place, column in enumerate(shown.values())]
        chosen = select(*columns).select_from(table if source is None else source)
        self._read = chosen.where(*self._owned).order_by(*table.primary_key)
        self._delete = delete(table).where(*self._owned)
        self._yield = [self._make_way(*key) for key in _unique_keys(table, self.player)]
        self._move = update(table).where(*self._owned).values({self.player: _TARGET})

    @property
    def name(self) -> str:
        """What the table is called in an export."""
        return _camel(self.table.name)

    async def export(self, tx: Transaction, app_id: str, profile_id: str) -> Any:
        """Return what is kept of a player: a list of objects; one object or None where there is but one."""
        rows = await tx.all(self._read, **self._params(app_id, profile_id))
        found = [self._object(row) for row in rows]
        if self.one:
            return found[0] if found else None
        return found

    async def remove(self, tx: Transaction, app_id: str, profile_id: str) -> int:
        """Delete a player's rows; returns how many there were."""
        return await tx.run(self._delete, **self._params(app_id, profile_id))

    async def move(self, tx: Transaction, app_id: str, profile_id: str, target: str) -> int:
        """Make a player's rows another's, who keeps what only one may have; returns how many have moved."""
        both = {**self._params(app_id, profile_id), "target": target}
        for statement in self._yield:
            await tx.run(statement, **both)
        try:
            return await tx.run(self._move, **both)
        except ConstraintBroken as error:  # the target has just taken a place that was free
            raise Aborted("a row was added while another was to take its place") from error

    def _params(self, app_id: str, profile_id: str) -> dict[str, str]:
        return {"player": profile_id, "app": app_id} if self._of_app else {"player": profile_id}

    def _app_condition(self, table: FromClause) -> tuple[ColumnElement[bool], ...]:
        # A profile is of one app; the condition is for indexes that begin with the app.
        return (table.c.app_id == bindparam("app", type_=String),) if self._of_app else ()

    def _make_way(self, others: list[Column[Any]], where: ColumnElement[bool] | None) -> Delete:
        """Delete the rows whose place in a unique key is taken by one of the target's."""
        theirs = self.table.alias("theirs")
        conditions = [theirs.c[self.player.name] == _TARGET, *self._app_condition(theirs)]
        statement = self._delete
        if where is not None:  # written without the table's name, so that it means the nearest one
            conditions.append(where)
            statement = statement.where(where)
        if not others:
            return statement.where(exists(select(literal(1)).select_from(theirs).where(*conditions)))
        taken = select(*(theirs.c[column.name] for column in others)).where(*conditions)
        return statement.where(tuple_(*others).in_(taken))

    def _object(self, row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for value, (path, column) in zip(row, self.shown.items(), strict=True):
            *parents, name = path.split(".")
            place = shown
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = _value(column, value)
        return shown


def _unique_keys(
    table: Table, player: Column[str]
) -> Iterator[tuple[list[Column[Any]], ColumnElement[bool] | None]]:
    """Yield the other columns of each unique key with the player in it, and for which rows it holds."""
    keys: Iterable[Any] = chain(
        [table.primary_key],
        (constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)),
        (index for index in table.indexes if index.unique),
    )
    for key in keys:
        if player in list(key.columns):
            where = key.dialect_options["sqlite"]["where"] if isinstance(key, Index) else None
            yield [column for column in key.columns if column is not player], where


def _value(column: ColumnElement[Any], value: Any) -> Any:
    match value:
        case str() if isinstance(column.type, Json):
            return json.read_stored(value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
