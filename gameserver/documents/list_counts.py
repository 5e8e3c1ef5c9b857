"""ListCounts of long lists: how many rows a list has, and which row of it has a given number.

By themselves both databases find that out by going through the rows. So a list that turns out to be long
gets a tally: *marks*, at every thousandth row or so in the order of creation, each with the number of rows up
to the next mark. From then on triggers (migration 0003) note every row that comes into the list or leaves it
as a *change*, +1 or -1 at its place, in the transaction of the row itself. So marks and changes together
are exact, for every reader and whatever it sees as committed; and since a change is a row of its own,
writers do not wait for each other. `ListCounts` turns changes into marks when there are many of them.

A list that is not long has no tally, and costs its writers no more than a look whether it has one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    ScalarSelect,
    Select,
    String,
    Subquery,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    true,
    tuple_,
    update,
)

from gameserver.frame import Parts, running
from gameserver.storage import Database, Row, StorageError, Transaction, metadata, upsert
from gameserver.storage.tables import StoredBy

log = structlog.get_logger(__name__)

LONG = 10_000
"""A list with more rows is long; those of others are counted and skipped one by one."""
MARK_EVERY = 1000  # rows
CHANGES_MAX = 1000  # that stay beside the marks
ROWS_AT_ONCE = 5_000  # that are marked in one transaction: some 10 ms
WORN_OUT = 20_000  # changes with which a tally is forgotten, and made anew if somebody still reads it
STRETCHES_AT_ONCE = 20  # that are counted again in one transaction
SPARSE = MARK_EVERY // 2  # a stretch with fewer rows is joined with the next

tallies = Table(
    "tallies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("list", Text, nullable=False),
    Column("entity_type", Text, nullable=False),  # "" for all
    Column("owner_id", String(36)),  # the player whose rows they are; null: of several
    Column("is_ready", Boolean, nullable=False),  # false: the marks do not reach the end yet
    Column(
        "mended", BigInteger, nullable=False
    ),  # times; that two processes change it makes one of them stop
    UniqueConstraint("list", "entity_type"),
    Index("tallies_by_owner", "owner_id"),
    info={"stored_by": StoredBy.SERVER},
)
tally_rows = Table(
    "tally_rows",
    metadata,
    Column("tally_id", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("is_change", Boolean, nullable=False),  # otherwise it is a mark
    Column("rows", Integer, nullable=False),
    # All columns, so that nothing but the index is read.
    Index("tally_rows_in_order", "tally_id", "created_ms", "entity_id", "is_change", "rows"),
    info={"stored_by": StoredBy.SERVER},
)
_t, _r = tallies.c, tally_rows.c
_ORDER = (_r.created_ms, _r.entity_id, _r.is_change)


class Place(NamedTuple):
    """A place between rows: before the row with this time and id, if there is one, and behind all lower."""

    created_ms: int
    entity_id: str


BEGINNING = Place(-(2**63), "")


Columns = Any
"""The columns of a table, or of a query that has those a condition is about."""


@dataclass(frozen=True)
class Part:
    """Rows that get a tally of their own when they are many: those of a list, or of a type among them.

    `list` is what the triggers call it; `members` tells which rows are in it, by columns that they watch.
    """

    table: Table
    list: str
    members: Callable[[Columns], ColumnElement[bool]]
    owner_id: str | None = None
    entity_type: str = ""

    @property
    def name(self) -> dict[str, str]:
        """The parameters that find its tally."""
        return {"of_list": self.list, "of_type": self.entity_type}

    def has(self, columns: Columns) -> ColumnElement[bool]:
        """Return the condition for its rows."""
        if not self.entity_type:
            return self.members(columns)
        return and_(self.members(columns), columns.entity_type == self.entity_type)

    def count(self, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
        """Return the number of its rows that meet conditions."""
        rows = select(func.count()).select_from(self.table)
        return rows.where(self.has(self.table.c), *conditions).scalar_subquery()


def behind(columns: Columns, place: Place) -> ColumnElement[bool]:
    """Return the condition for rows behind a place."""
    # Of pairs PostgreSQL cannot tell how many there will be, and would read the whole table. The pair comes
    # first, since SQLite takes the first that an index serves.
    return and_(_key(columns) >= _values(place), columns.created_ms >= place.created_ms)


def _before(columns: Columns, place: Place) -> ColumnElement[bool]:
    return and_(_key(columns) < _values(place), columns.created_ms <= place.created_ms)


def _key(columns: Columns) -> ColumnElement[Any]:
    return tuple_(columns.created_ms, columns.entity_id)


def _values(place: Place) -> ColumnElement[Any]:
    return tuple_(literal(place.created_ms, BigInteger), literal(place.entity_id, String))


# Reading


@dataclass(frozen=True)
class Listing:
    """A list that is shown in pages: parts that have no row in common, but for the few rows it hides.

    `shown` is the condition for rows that are not hidden. `hidden` are those that are, with the columns that
    parts and places are about; found by themselves, not among the rows of a part.
    """

    tallies: "ListCounts"
    parts: Sequence[Part]
    shown: ColumnElement[bool] | None = None
    hidden: CTE | None = None

    async def measure(self, tx: Transaction) -> "Measures":
        """Find out how long the list is, by its tallies or, where it is short, by its rows."""
        found = await tx.one(select(*(column for part in self.parts for column in self._sizes(part))))
        assert found is not None, "a row of numbers is always there"
        sizes = [_Size(*tuple(found)[at : at + 3]) for at in range(0, len(found), 3)]
        for part, size in zip(self.parts, sizes, strict=True):
            if size.is_unknown or size.changes > CHANGES_MAX:
                self.tallies.tend(part)
        return Measures(self, sizes)

    async def count(self, tx: Transaction, measures: "Measures | None" = None) -> int:
        """Count the rows that are shown: one by one when a long part has no tally yet."""
        measures = measures or await self.measure(tx)
        if measures.count is not None:
            return measures.count
        found = await tx.one(select(*(part.count(*self.conditions) for part in self.parts)))
        assert found is not None, "a row of numbers is always there"
        return sum(found)

    @property
    def columns(self) -> Columns:
        """The columns of the table; the order of creation is that of `created_ms` and `entity_id`."""
        return self.parts[0].table.c

    @property
    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """What rows of a part must meet to be shown."""
        return () if self.shown is None else (self.shown,)

    def count_hidden(self, part: Part, before: Place | None = None) -> ColumnElement[int] | None:
        """Return the number of the hidden rows of a part that are before a place; None when it hides none."""
        if self.hidden is None:
            return None
        columns = self.hidden.c
        conditions = [part.has(columns), *([] if before is None else [_before(columns, before)])]
        return select(func.count()).select_from(self.hidden).where(*conditions).scalar_subquery()

    def _sizes(self, part: Part) -> list[ColumnElement[Any]]:
        named = (_t.list == part.list, _t.entity_type == part.entity_type)
        tally = select(_t.id).where(*named, _t.is_ready).scalar_subquery()
        tallied: ColumnElement[Any] = select(func.sum(_r.rows)).where(_r.tally_id == tally).scalar_subquery()
        hidden = self.count_hidden(part)
        some = select(literal(1).label("one")).where(part.has(part.table.c), *self.conditions)
        counted = select(func.count()).select_from(some.limit(LONG + 1).subquery()).scalar_subquery()
        changes = select(func.count()).where(_r.tally_id == tally, _r.is_change).scalar_subquery()
        rows = case((tally.is_(None), counted), else_=tallied if hidden is None else tallied - hidden)
        return [tally, rows, changes]


class _Size(NamedTuple):
    tally_id: int | None
    rows: int
    changes: int

    @property
    def is_unknown(self) -> bool:
        return self.tally_id is None and self.rows > LONG


@dataclass(frozen=True)
class Measures:
    """How long the parts of a list are."""

    listing: Listing
    sizes: Sequence[_Size]

    @property
    def count(self) -> int | None:
        """How many rows the list shows; None when a long part has no tally yet."""
        return None if any(size.is_unknown for size in self.sizes) else sum(size.rows for size in self.sizes)

    async def find(self, tx: Transaction, number: int, *, whole_ms: bool) -> tuple[Place, int]:
        """Find a place with at most `number` rows before it, and not many less; and how many they are.

        `whole_ms`: no rows of the same time are on both sides of the place.
        """
        parts = list(zip(self.listing.parts, self.sizes, strict=True))
        untallied = sum(size.rows for _, size in parts if size.tally_id is None)
        marks = _marks([size.tally_id for _, size in parts if size.tally_id is not None])
        # What changes and other parts add may be too many, never too few: their rows follow the marks.
        mark, before = await _last(tx, marks, marks.c.before <= literal(number - untallied, BigInteger))
        place = Place(mark.created_ms, "") if whole_ms else mark
        if place == mark and len(parts) == 1 and self.listing.hidden is None:
            return place, before
        return place, sum([await self._before(tx, part, size, place, mark) for part, size in parts])

    async def _before(self, tx: Transaction, part: Part, size: _Size, place: Place, mark: Place) -> int:
        """Count the rows of a part before a place: by its marks up to one nearby, from there one by one."""
        listing, columns, start, before = self.listing, part.table.c, BEGINNING, 0
        if size.tally_id is not None:
            marks = _marks([size.tally_id])
            start, before = await _last(tx, marks, _key(marks.c) <= _values(mark))
        low, high = min(start, place), max(start, place)
        between: ColumnElement[int] = part.count(behind(columns, low), _before(columns, high))
        hidden = listing.count_hidden(part, place)
        found = await tx.one(select(between, literal(0) if hidden is None else hidden))
        assert found is not None, "a row of numbers is always there"
        return before + int(found[0] if start <= place else -found[0]) - int(found[1])


def _marks(ids: Sequence[int]) -> Subquery:
    """Return the marks and changes of tallies, each with the number of rows before it."""
    before = func.sum(_r.rows).over(order_by=_ORDER, rows=(None, 0)) - _r.rows
    return select(*_ORDER, before.label("before")).where(_r.tally_id.in_(ids)).subquery()


async def _last(tx: Transaction, marks: Subquery, condition: ColumnElement[bool]) -> tuple[Place, int]:
    """Return the last mark that meets a condition, and the number of rows before it."""
    statement = (
        select(marks.c.created_ms, marks.c.entity_id, marks.c.before)
        .where(~marks.c.is_change, condition)
        .order_by(marks.c.created_ms.desc(), marks.c.entity_id.desc())
        .limit(1)
    )
    row = await tx.one(statement)
    return (BEGINNING, 0) if row is None else (Place(row[0], row[1]), int(row[2]))


async def forget_unread(tx: Transaction) -> None:
    """Forget tallies that nobody has read for so long that changes pile up. A reader makes them anew."""
    for row in await tx.all(_WORN_OUT, most=WORN_OUT):
        await tx.run(_FORGET, tally=row[0])
    await tx.run(_FORGET_ROWS_OF_NONE)


# Upkeep


class ListCounts:
    """Makes tallies for lists that turn out to be long, and mends those with many changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[str, str], Part] = {}
        self._wanted = asyncio.Event()
        self._working = asyncio.Lock()

    def tend(self, part: Part) -> None:
        """Have the tally of a part made or mended soon."""
        self._waiting[part.list, part.entity_type] = part
        self._wanted.set()

    async def run(self) -> None:
        """Do what is wanted. Runs for ever."""
        while True:
            await self._wanted.wait()
            try:
                await self.work()
            except StorageError as error:  # whoever reads the list next will want it again
                log.info("tally_postponed", reason=str(error))
            except Exception:
                log.exception("tally_failed")

    async def work(self) -> None:
        """Do what is wanted by now."""
        async with self._working:
            while self._waiting:
                part = self._waiting.pop(next(iter(self._waiting)))
                await self._forget_worn_out(part)
                await self._begin(part)
                while await self._mend(part):  # in turns with others who want the database
                    pass
            self._wanted.clear()

    async def _forget_worn_out(self, part: Part) -> None:
        async with self._database.read() as tx:
            changes = await tx.one(_CHANGES, **part.name)
        if changes is not None and changes[1] > WORN_OUT:
            async with self._database.write() as tx:
                await tx.run(_FORGET, tally=changes[0])

    async def _begin(self, part: Part) -> None:
        async with self._database.read() as tx:
            if await tx.one(_FIND, **part.name) is not None:
                return
        async with self._database.write() as tx:
            if self._database.dialect == "postgresql":
                # Whoever writes to the table now did not see the tally and would note no change. While this
                # waits for them, others wait for this: not for long, then.
                await tx.run(text("SET LOCAL lock_timeout = '100ms'"))
                await tx.run(text(f"LOCK TABLE {part.table.name} IN SHARE MODE"))
            await tx.run(_FORGET_ROWS_OF_NONE)  # SQLite gives the number of a tally that is gone to a new one
            await tx.run(_BEGIN, **part.name, owner_id=part.owner_id)

    async def _mend(self, part: Part) -> bool:
        """Mark rows without a mark, or count some stretches again; tell whether there is more to do."""
        async with self._database.write() as tx:
            if self._database.dialect == "postgresql":  # rows and changes must be those of one moment
                await tx.run(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            tally = await tx.one(_TAKE, **part.name)
            if tally is None:
                return False
            tally_id, is_ready = tally
            found = await tx.all(_ROWS, tally=tally_id)
            if not is_ready:
                return await self._go_on(tx, part, tally_id, found)
            if sum(row["rows"] for row in found) < LONG // 2:
                await tx.run(_FORGET, tally=tally_id)
                return False
            worn, is_all = _worn(found)
            for start, end in worn:
                await _replace(tx, tally_id, start, end, await tx.all(_places(part, start, end)))
            return not is_all

    async def _go_on(self, tx: Transaction, part: Part, tally_id: int, found: Sequence[Row]) -> bool:
        """Mark the rows behind the last mark, up to a new one that is the last then."""
        places = [Place(row["created_ms"], row["entity_id"]) for row in found if not row["is_change"]]
        start = places[-1] if places else BEGINNING
        rows = await tx.all(_places(part, start).limit(ROWS_AT_ONCE + 1))
        end = Place(*rows[-1]) if len(rows) > ROWS_AT_ONCE else None
        await _replace(tx, tally_id, start, end, rows[:ROWS_AT_ONCE])
        if end is None:
            await tx.run(_READY, tally=tally_id)
        else:
            await tx.run(_ADD, tally=tally_id, rows=0, **end._asdict())
        return end is not None


def _places(part: Part, start: Place, end: Place | None = None) -> Select[Any]:
    """Return the places of the rows of a part between two places."""
    columns = part.table.c
    within = [behind(columns, start), *([] if end is None else [_before(columns, end)])]
    key = (columns.created_ms, columns.entity_id)
    return select(*key).where(part.has(columns), *within).order_by(*key)


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[ListCounts]:
    """Make and mend tallies as long as the server lives."""
    counts = ListCounts(parts.get(Database))
    async with running(counts.run()):
        yield counts


async def _replace(
    tx: Transaction, tally_id: int, start: Place, end: Place | None, rows: Sequence[Row]
) -> None:
    """Put marks for rows in the place of the marks and changes between two places."""
    within = [behind(_r, start), *([] if end is None else [_before(_r, end)])]
    await tx.run(delete(tally_rows).where(_r.tally_id == tally_id, *within))
    marks = [
        {"tally": tally_id, "rows": min(MARK_EVERY, len(rows) - first)}
        | (Place(*rows[first]) if first else start)._asdict()
        for first in range(0, len(rows), MARK_EVERY)
    ]
    if not marks and start == BEGINNING:  # where changes before all rows belong
        marks = [{"tally": tally_id, "rows": 0, **start._asdict()}]
    await tx.run_many(_ADD, marks)


def _worn(rows: Sequence[Row]) -> tuple[list[tuple[Place, Place | None]], bool]:
    """Return the stretches with the most changes that should be counted again; and whether these are all."""
    stretches: list[list[Any]] = []  # place, rows, changes
    for row in rows:
        if row["is_change"]:
            stretches[-1][1] += row["rows"]
            stretches[-1][2] += 1
        else:
            stretches.append([Place(row["created_ms"], row["entity_id"]), row["rows"], 0])
    changed = [index for index, (_, _, changes) in enumerate(stretches) if changes]
    changed.sort(key=lambda index: -stretches[index][2])
    chosen: list[tuple[Place, Place | None]] = []
    last = -1
    for index in sorted(changed[:STRETCHES_AT_ONCE]):
        if index <= last:
            continue
        last = index + 1 if stretches[index][1] < SPARSE else index
        end = stretches[last + 1][0] if last + 1 < len(stretches) else None
        chosen.append((stretches[index][0], end))
    left = sum(stretches[index][2] for index in changed[STRETCHES_AT_ONCE:])
    return chosen, left <= CHANGES_MAX // 2


_tally = bindparam("tally", type_=Integer)
_NAMED = and_(_t.list == bindparam("of_list"), _t.entity_type == bindparam("of_type"))
_FIND = select(_t.id).where(_NAMED)
_CHANGES = (
    select(_t.id, func.count())
    .join_from(tallies, tally_rows, _t.id == _r.tally_id)
    .where(_NAMED, _r.is_change)
    .group_by(_t.id)
)
_BEGIN = upsert(
    tallies,
    ["list", "entity_type"],
    None,
    values={
        "list": bindparam("of_list"),
        "entity_type": bindparam("of_type"),
        "owner_id": bindparam("owner_id"),
        "is_ready": false(),
        "mended": literal_column("0"),
    },
)
_TAKE = update(tallies).where(_NAMED).values(mended=_t.mended + 1).returning(_t.id, _t.is_ready)
_READY = update(tallies).where(_t.id == _tally).values(is_ready=true())
_ROWS = select(*_ORDER, _r.rows).where(_r.tally_id == _tally).order_by(*_ORDER)
_ADD = insert(tally_rows).values(
    tally_id=_tally,
    created_ms=bindparam("created_ms"),
    entity_id=bindparam("entity_id"),
    is_change=false(),
    rows=bindparam("rows"),
)
_FORGET = delete(tallies).where(_t.id == _tally)
_FORGET_ROWS_OF_NONE = delete(tally_rows).where(_r.tally_id.not_in(select(_t.id)))
_WORN_OUT = (
    select(_r.tally_id).where(_r.is_change).group_by(_r.tally_id).having(func.count() > bindparam("most"))
)
