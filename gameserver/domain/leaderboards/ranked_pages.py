"""Who stands where: places from the index of ranks, each checked against SQL before anybody sees it.

The index follows SQL after each commit, so it may lag, and it may lose anything. A place whose row is gone or
says something else is put right, and never shown: the page is read again, at last from SQL alone.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from gameserver.domain.leaderboards import scores
from gameserver.domain.leaderboards.boards import Board
from gameserver.domain.leaderboards.store import Work
from gameserver.ranks import Change, Page, Place, Ranks, RanksAway
from gameserver.storage import Database, QueryTooSlow, Row, StorageError, Transaction

log = structlog.get_logger(__name__)

READS_MAX = 3  # of a page that others are changing
CHUNK_ROWS = 2000  # of a list that is being built, between two turns of everybody else
CHUNK_ROWS_MIN = 50
KEY_LIMIT = 2**63 - 1
BUILD_PATIENCE_SECONDS = 15  # of readers; a million rows take less
BUILDER_SECONDS = 60  # a builder that has died holds up the next one no longer
Progress = Callable[[int], None]
Seen = dict[str, Place | None]
"""Ids of places, and what the index said of them."""


class RankedEntry(NamedTuple):
    """An entry and its place, from 0, in the order that was asked for."""

    place: int
    row: Row


class RankedPages(NamedTuple):
    """Entries that follow each other, and how many there are in all."""

    size: int
    entries: list[RankedEntry]

    @property
    def more_before(self) -> bool:
        """Whether the list begins before them."""
        return bool(self.entries) and self.entries[0].place > 0

    @property
    def more_after(self) -> bool:
        """Whether the list goes on after them."""
        return bool(self.entries) and self.entries[-1].place < self.size - 1


def list_name(uid: str, version: int) -> str:
    """Return the name of a version's list in the index."""
    return f"{uid}.{version}"


class IndexUpdate:
    """What a packet changes in the index once it is committed. One for each packet.

    `placed` gets the rows of entries as they are stored.
    """

    def __init__(self, index: "Index") -> None:
        self._index = index
        self.placed: list[Row] = []
        self._changes: dict[str, list[Change]] = defaultdict(list)

    @property
    def changes(self) -> dict[str, list[Change]]:
        """By list, in order."""
        for row in self.placed:
            name = list_name(row["board_uid"], row["version"])
            self._changes[name].append(Change(row["entry_id"], row["seq"], row["rank_key"]))
        self.placed.clear()
        return self._changes

    async def __call__(self) -> None:
        """Do it."""
        lists = self.changes
        if len(lists) == 1:  # nearly always, and without a task of its own
            [(name, changes)] = lists.items()
            await self._index.change(name, changes)
            return
        if lists:
            await asyncio.gather(*(self._index.change(name, changes) for name, changes in lists.items()))


class Index:
    """Keeps the index of ranks in step with SQL."""

    def __init__(self, ranks: Ranks, database: Database) -> None:
        self.ranks = ranks
        self.database = database
        self._builds: dict[str, asyncio.Task[None]] = {}

    def update(self, work: Work) -> IndexUpdate:
        """Return what takes up the packet's changes of the index."""
        update = next((effect for effect in work.outbox if isinstance(effect, IndexUpdate)), None)
        if update is None:
            update = IndexUpdate(self)
            work.outbox.append(update)
        return update

    def queue(self, work: Work, name: str, change: Change) -> None:
        """Change the index when the packet is committed."""
        self.update(work).changes[name].append(change)

    async def pending(self, work: Work, name: str) -> list[Change]:
        """Return what the packet has changed so far, in a form that can be applied in one go."""
        await work.tx.settle()
        latest: dict[str, Change] = {}
        for effect in work.outbox:
            if isinstance(effect, IndexUpdate):
                for change in effect.changes.get(name, ()):
                    latest[change.id] = change
        return list(latest.values())

    async def change(self, name: str, changes: Sequence[Change]) -> None:
        """Change a list; build it when it is lost. Upkeep makes up for what the index did not get to know."""
        try:
            whole = await self.ranks.change(name, changes)
        except RanksAway as error:
            log.warning("ranks_not_changed", list=name, reason=str(error))
            return
        if not whole:
            self.start_build(name)

    def start_build(self, name: str) -> None:
        """Build a list in the background, unless this process is at it."""
        if name not in self._builds:
            task = self._builds[name] = asyncio.create_task(self._build_quietly(name))
            task.add_done_callback(lambda _: self._builds.pop(name, None))

    async def _build_quietly(self, name: str) -> None:
        try:
            await self.build(name)
        except (RanksAway, StorageError) as error:
            log.warning("ranks_not_built", list=name, reason=str(error))
        except Exception:
            log.exception("ranks_not_built", list=name)

    async def build(self, name: str, progress: Progress | None = None) -> bool:
        """Build a list from SQL; False when it is whole, or somebody else builds it.

        `progress` is called with the number of rows done since the last call.
        """
        token = secrets.token_hex(8)
        if not await self.ranks.begin(name, token, BUILDER_SECONDS):
            return False
        uid, _, version = name.rpartition(".")
        last = Place("", 0, -KEY_LIMIT)
        try:
            while True:
                rows = await self._chunk(uid, int(version), last)
                if not rows:
                    return await self.ranks.finish(name, token)
                await self.ranks.change(name, [Change(*place) for place in rows])
                last = rows[-1]
                if progress is not None:
                    progress(len(rows))
                if not await self.ranks.extend(name, token, BUILDER_SECONDS):
                    return False
                await asyncio.sleep(0)
        except BaseException:
            await self.ranks.forget(name)
            raise

    async def _chunk(self, uid: str, version: int, last: Place) -> list[Place]:
        """Read the places that follow; fewer at a time when the database is busy."""
        most = CHUNK_ROWS
        place = {"rank_key": last.key, "seq": last.seq, "entry_id": last.id}
        while True:
            try:
                async with self.database.read() as tx:
                    rows = await tx.all(scores.CHUNK, uid=uid, version=version, most=most, **place)
            except QueryTooSlow:
                if most < CHUNK_ROWS_MIN:
                    raise
                most //= 2
            else:
                return [Place(row["entry_id"], row["seq"], row["rank_key"]) for row in rows]

    def queue_repair(self, work: Work, name: str, seen: Seen) -> None:
        """After the packet, compare places with SQL."""

        async def repair() -> None:
            await self.repair(name, seen)

        work.outbox.append(repair)

    async def repair(self, name: str, seen: Seen) -> None:
        """Put in what SQL says, where the index still says what was seen."""
        uid, _, version = name.rpartition(".")
        async with self.database.read() as tx:
            rows = await tx.all(scores.TRUTH, uid=uid, version=int(version), ids=list(seen))
        truth = {row["entry_id"]: Place(row["entry_id"], row["seq"], row["rank_key"]) for row in rows}
        for place, then in seen.items():
            right = truth.get(place)
            if right != then:
                await self.ranks.repair(name, place, None if then is None else then.seq, right)

    async def close(self) -> None:
        """Give up what is being built."""
        builds = list(self._builds.values())
        for task in builds:
            task.cancel()
        await asyncio.gather(*builds, return_exceptions=True)

    # Reading

    async def page(
        self, work: Work, board: Board, version: int, first: int, last: int, *, backwards: bool
    ) -> RankedPages:
        """Return entries by index, from `first` to `last`. Raises `Stale`."""
        name = list_name(board.uid, version)

        async def ask() -> Page | None:
            pending = await self.pending(work, name)
            return await self.ranks.page(name, first, last, backwards=backwards, pending=pending)

        found = await self._checked(work, board, version, ask, None)
        if found is not None:
            return found
        size = await self._size(work.tx, board, version)
        return await _slice(work.tx, board, version, size, (first, last), backwards=backwards)

    async def around(
        self,
        work: Work,
        board: Board,
        version: int,
        entry_id: str,
        before: int,
        after: int,
        *,
        backwards: bool,
    ) -> RankedPages:
        """Return an entry with those around it; nothing when there is no such entry. Raises `Stale`."""
        name = list_name(board.uid, version)

        async def ask() -> Page | None:
            pending = await self.pending(work, name)
            return await self.ranks.around(
                name, entry_id, before, after, backwards=backwards, pending=pending
            )

        found = await self._checked(work, board, version, ask, entry_id)
        if found is not None:
            return found
        size = await self._size(work.tx, board, version)
        rows = await scores.read(work.tx, scores.ONE, board, version, entry_id=entry_id)
        if not rows:
            return RankedPages(size, [])
        [row] = rows
        place = {"rank_key": row["rank_key"], "seq": row["seq"], "entry_id": row["entry_id"]}
        ahead = await work.tx.one(scores.AHEAD, uid=board.uid, version=version, **place)
        assert ahead is not None
        index = size - 1 - ahead[0] if backwards else ahead[0]
        window = (max(0, index - before), index + after)
        return await _slice(work.tx, board, version, size, window, backwards=backwards)

    async def size(self, work: Work, board: Board, version: int) -> int:
        """Return how many entries a version has."""
        name = list_name(board.uid, version)
        try:
            page = await self.ranks.page(name, 0, -1, pending=await self.pending(work, name))
            if page is None and board.uid:
                self.start_build(name)
                if await self._is_built(work.tx, name):
                    page = await self.ranks.page(name, 0, -1, pending=await self.pending(work, name))
        except RanksAway:
            page = None
        return await self._size(work.tx, board, version) if page is None else page.size

    async def _size(self, tx: Transaction, board: Board, version: int) -> int:
        counted = await tx.one(scores.SIZE, uid=board.uid, version=version)
        return 0 if counted is None else counted[0]

    async def _is_built(self, tx: Transaction, name: str) -> bool:
        """Wait for a list that this process builds, if nobody waits for the transaction meanwhile.

        Without the list, SQL counts a million rows for every reader: the builder would hardly get a turn.
        """
        build = self._builds.get(name)
        if build is None or not tx.holds_nothing:
            return False
        await asyncio.wait({build}, timeout=BUILD_PATIENCE_SECONDS)
        return build.done()

    async def _checked(
        self,
        work: Work,
        board: Board,
        version: int,
        ask: Callable[[], Awaitable[Page | None]],
        wanted: str | None,
    ) -> RankedPages | None:
        """Ask the index and compare with SQL; None when the index cannot tell."""
        if not board.uid:
            return RankedPages(0, [])
        name = list_name(board.uid, version)
        wrong: Seen = {}
        for _ in range(READS_MAX):
            try:
                page = await ask()
            except RanksAway:
                return None
            if page is None:
                self.start_build(name)
                if await self._is_built(work.tx, name):
                    continue
                return None
            rows = await _rows_of(work.tx, board, version, page.places, wanted)
            wrong = _differences(page.places, rows)
            if not wrong:
                standings = [
                    RankedEntry(page.first + i, rows[place.id]) for i, place in enumerate(page.places)
                ]
                return RankedPages(page.size, standings)
        self.queue_repair(work, name, wrong)
        return None


async def _rows_of(
    tx: Transaction, board: Board, version: int, places: list[Place], wanted: str | None
) -> dict[str, Row]:
    """Return as many entries as there are places, from the first one on, by id; of no places, the one wanted.

    Neighbours stand together in SQL's own index, where a list of ids would be scattered; and an entry that
    the index of ranks lacks shows, because it pushes another one out. Raises `Stale`.
    """
    if places:
        most = len(places)
        first = min(places[0], places[-1], key=_in_order)
        statement = next(s for most_known, s in scores.FROM_PLACE.items() if most <= most_known)
        place = {"rank_key": first.key, "seq": first.seq, "entry_id": first.id}
        rows = await scores.read(tx, statement, board, version, most=most, **place)
    else:
        rows = await scores.read(tx, scores.ONE, board, version, entry_id=wanted or "")
    return {row["entry_id"]: row for row in rows}


def _in_order(place: Place) -> tuple[int, int, str]:
    return place.key, place.seq, place.id


def _differences(places: list[Place], rows: dict[str, Row]) -> Seen:
    """Return the places that are not what SQL says, with what the index said of them."""
    wrong: Seen = {}
    for place in places:
        row = rows.get(place.id)
        if row is None or row["seq"] != place.seq or row["rank_key"] != place.key:
            wrong[place.id] = place
    if len(rows) > len(places) - len(wrong):  # among them are some that the index does not know
        known = {place.id for place in places}
        wrong |= {entry_id: None for entry_id in rows if entry_id not in known}
    return wrong


async def _slice(
    tx: Transaction, board: Board, version: int, size: int, window: tuple[int, int], *, backwards: bool
) -> RankedPages:
    first, last = window
    most = max(0, min(last, size - 1) - first + 1)
    rows = await scores.read(tx, scores.SLICE[backwards], board, version, most=most, skip=first)
    in_order = sorted(rows, key=lambda row: (row["rank_key"], row["seq"], row["entry_id"]), reverse=backwards)
    return RankedPages(size, [RankedEntry(first + i, row) for i, row in enumerate(in_order)])
