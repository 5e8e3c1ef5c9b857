"""What is kept of players: which rows are whose, and what becomes of them in a player's life.

Whoever declares a table with rows of players says so with a `PlayerTable` beside it, and a service or a face
takes it on. Deleting, exporting and merging players follow from that; only what a row alone cannot tell needs
code.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    FromClause,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    UniqueConstraint,
    Update,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
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
_MOST, _SKIP = bindparam("most", type_=Integer), bindparam("skip", type_=Integer)
_TIMES = ("created_ms", "at_ms", "registered_ms", "since_ms", "updated_ms")
"""Columns that tell when a row came, the best first."""


class Child(NamedTuple):
    """A table whose rows belong to rows of a player table, by the column that holds their key.

    An export tells them with their row: every column under its name as clients write it, but for those in
    `untold`, which says why not.
    """

    table: Table
    column: str
    untold: Mapping[str, str] = {}

    @property
    def told(self) -> Shown:
        """What an export tells of a row."""
        return _all_columns(self.table, {**self.untold, self.column: "told by the row it belongs to"})


class PlayerTable:
    """A table in which players have rows, by the column that holds their profile id.

    - `player`: that column, or several where a row is of more than one player, such as from and to. It is
      then deleted when any of them goes, and told to each of them. Rows between two players who become one
      are deleted, for nobody is their own friend; what somebody has sent to themselves moves.
    - `shown`: what an export tells of a row, under the names clients know; no digests, nothing that opens a
      door. Empty where rows mean nothing to the player. `source` joins what else it needs. When left out,
      every column is told under its own name, but for those in `untold`.
    - `untold`: why an export does not tell a column, by its name.
    - `children`: tables whose rows go, and are told, with a row of this one.
    - `reset`: a reset of the player's game data deletes the rows.
    - `moves`: when the player becomes one with another, the rows become the other's. Where a unique key lets
      only one of them have a row, the other's stays. Rows that do not move are deleted with the player.
    - `stays`: why rows outlive their player; empty, and they are deleted.

    Each of the columns, and the one of a child, begins an index: a test looks.
    """

    def __init__(
        self,
        table: Table,
        player: str | Sequence[str],
        shown: Shown | None = None,
        *,
        source: FromClause | None = None,
        children: Iterable[Child] = (),
        untold: Mapping[str, str] = {},
        reset: bool = False,
        moves: bool = True,
        stays: str = "",
    ) -> None:
        names = [player] if isinstance(player, str) else list(player)
        self.table = table
        self.players: tuple[Column[str], ...] = tuple(table.c[name] for name in names)
        self.untold = untold
        self.shown = _all_columns(table, untold) if shown is None else shown
        self.children = tuple(children)
        self.reset = reset
        self.moves = moves
        self.stays = stays
        self.one = list(table.primary_key) == [self.players[0]]  # what two share may be many
        self._of_app = "app_id" in table.c
        if self.children and len(table.primary_key) != 1:
            raise ValueError(f"{table.name}: rows with children have a key of one column")
        columns = [column.label(f"c{place}") for place, column in enumerate(self.shown.values())]
        keys = [column.label(f"k{place}") for place, column in enumerate(table.primary_key)]
        chosen = select(*columns, *keys).select_from(table if source is None else source)
        theirs = or_(*(column == _PLAYER for column in self.players))
        # Sorted here: or SQLite goes through all rows of an app, which an index has in that order.
        self._read = chosen.where(theirs, *self._app_condition(table))
        # A player's rows are found first and sorted then: "+ 0" keeps an index of times out of the choice.
        newest = [(table.c[name] + 0).desc() for name in _TIMES if name in table.c][:1]
        self._page = self._read.order_by(*newest, *table.primary_key).limit(_MOST).offset(_SKIP)
        some = select(literal(1)).select_from(table).where(theirs, *self._app_condition(table)).limit(_MOST)
        self._count = select(func.count()).select_from(some.subquery())
        self._read_children = [self._children_of(child, theirs) for child in self.children]
        self._delete: list[Delete] = []
        self._between: list[Delete] = []
        self._move: list[tuple[list[Delete], Update]] = []  # for each column: what makes way, what moves
        for column in self.players:
            owned = (column == _PLAYER, *self._app_condition(table))
            self._delete += self._delete_where(*owned)
            for other in self.players:
                if other is not column:
                    self._between += self._delete_where(*owned, other == _TARGET)
            ways = [self._make_way(column, *key) for key in _unique_keys(table, column)]
            self._move.append(([*chain(*ways)], update(table).where(*owned).values({column: _TARGET})))

    @property
    def name(self) -> str:
        """What the table is called in an export."""
        return _camel(self.table.name)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The table and those of its children."""
        return (self.table, *(child.table for child in self.children))

    async def export(self, tx: Transaction, app_id: str, profile_id: str) -> Any:
        """Return what is kept of a player: a list of objects; one object or None where there is but one."""
        params = self._params(app_id, profile_id)
        count = len(self.shown)
        rows = sorted(await tx.all(self._read, **params), key=lambda row: tuple(row)[count:])
        found = [_object(self.shown, row) for row in rows]
        for child, statement in zip(self.children, self._read_children, strict=True):
            name, told = (
                _camel(child.table.name),
                _all_columns(child.table, {**child.untold, child.column: ""}),
            )
            of_key: dict[Any, list[Any]] = {}
            for row in await tx.all(statement, **params):
                of_key.setdefault(row["parent_key"], []).append(_object(told, row))
            for row, one in zip(rows, found, strict=True):
                one[name] = of_key.get(row["k0"], [])
        if self.one:
            return found[0] if found else None
        return found

    async def page(
        self, tx: Transaction, app_id: str, profile_id: str, most: int, skip: int = 0
    ) -> list[dict[str, Any]]:
        """Return some of a player's rows as an export tells them, the newest first, without children."""
        params = self._params(app_id, profile_id)
        rows = await tx.all(self._page, **params, most=most, skip=skip)
        return [_object(self.shown, row) for row in rows]

    async def count(self, tx: Transaction, app_id: str, profile_id: str, most: int) -> int:
        """Return how many rows are a player's; `most` when there are as many, or more."""
        row = await tx.one(self._count, **self._params(app_id, profile_id), most=most)
        return 0 if row is None else int(row[0])

    async def remove(self, tx: Transaction, app_id: str, profile_id: str) -> int:
        """Delete a player's rows, children first; returns how many rows there were."""
        params = self._params(app_id, profile_id)
        return sum([await tx.run(statement, **params) for statement in self._delete])

    async def move(self, tx: Transaction, app_id: str, profile_id: str, target: str) -> int:
        """Make a player's rows another's, who keeps what only one may have; returns how many have moved."""
        both = {**self._params(app_id, profile_id), "target": target}
        moved = 0
        for statement in self._between:
            await tx.run(statement, **both)
        try:
            for make_way, move in self._move:
                for statement in make_way:
                    await tx.run(statement, **both)
                moved += await tx.run(move, **both)
        except ConstraintBroken as error:  # the target has just taken a place that was free
            raise Aborted("a row was added while another was to take its place") from error
        return moved

    def _params(self, app_id: str, profile_id: str) -> dict[str, str]:
        return {"player": profile_id, "app": app_id} if self._of_app else {"player": profile_id}

    def _app_condition(self, table: FromClause) -> tuple[ColumnElement[bool], ...]:
        """The rows of one app. Where an index begins with the player, no other may seem as good for it.

        SQLite knows nothing of how many rows an app has, and would as soon read all of them.
        """
        if not self._of_app:
            return ()
        keys: list[PrimaryKeyConstraint | Index] = [self.table.primary_key, *self.table.indexes]
        by_player = all(any(next(iter(key.columns)) is each for key in keys) for each in self.players)
        app_id = table.c.app_id.concat("") if by_player else table.c.app_id
        return (app_id == bindparam("app", type_=String),)

    def _delete_where(self, *conditions: ColumnElement[bool]) -> list[Delete]:
        """Delete rows, and before them what belongs to them."""
        keys = [select(*self.table.primary_key).where(*conditions)] if self.children else []
        belonging = [
            delete(child.table).where(child.table.c[child.column].in_(chosen))
            for chosen in keys
            for child in self.children
        ]
        return [*belonging, delete(self.table).where(*conditions)]

    def _children_of(self, child: Child, theirs: ColumnElement[bool]) -> Select[Any]:
        [key] = self.table.primary_key
        columns = [column.label(f"c{place}") for place, column in enumerate(child.told.values())]
        parent = child.table.c[child.column]
        return (
            select(*columns, parent.label("parent_key"))
            .select_from(self.table.join(child.table, parent == key))
            .where(theirs, *self._app_condition(self.table))
            .order_by(*child.table.primary_key)
        )

    def _make_way(
        self, column: Column[str], others: list[Column[Any]], where: ColumnElement[bool] | None
    ) -> list[Delete]:
        """Delete the rows whose place in a unique key is taken by one of the target's."""
        theirs = self.table.alias("theirs")
        conditions = [theirs.c[column.name] == _TARGET, *self._app_condition(theirs)]
        own = [column == _PLAYER, *self._app_condition(self.table)]
        if where is not None:  # written without the table's name, so that it means the nearest one
            conditions.append(where)
            own.append(where)
        if not others:
            return self._delete_where(*own, exists(select(literal(1)).select_from(theirs).where(*conditions)))
        taken = select(*(theirs.c[each.name] for each in others)).where(*conditions)
        return self._delete_where(*own, tuple_(*others).in_(taken))


def _all_columns(table: Table, untold: Mapping[str, str]) -> Shown:
    names = [column.name for column in table.c if column.name not in {"app_id", *untold}]
    return {_camel(name.removesuffix("_ms")): table.c[name] for name in names}


def _object(told: Shown, row: Row) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for value, (path, column) in zip(row, told.items(), strict=False):  # keys follow
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
