"""Leaderboards as services use them: boards, scores and standings together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from gameserver.domain.leaderboards import merging, removals, scores
from gameserver.domain.leaderboards.boards import Board, BoardConfig, BoardType, read_board
from gameserver.domain.leaderboards.hooks import before_post
from gameserver.domain.leaderboards.ranked_pages import Index, RankedPages, list_name
from gameserver.domain.leaderboards.stamps import Stamps
from gameserver.domain.leaderboards.store import (
    FIND,
    TRIES_MAX,
    Boards,
    Stale,
    Work,
    lock_name,
)
from gameserver.domain.leaderboards.upkeep import Upkeep
from gameserver.frame import Hooks, Parts
from gameserver.ranks import Change, Ranks
from gameserver.storage import Aborted, Database, Row
from gameserver.wire.clock import Clock
from gameserver.wire.errors import InvalidParameterValue
from gameserver.wire.ids import new_id

T = TypeVar("T")


class Leaderboards:
    """All boards of a server. `work` is the packet's context: its app, time, transaction and effects."""

    def __init__(
        self, database: Database, ranks: Ranks, clock: Clock, new_id: Callable[[], str], hooks: Hooks
    ) -> None:
        self._hooks = hooks
        self._numbers = Stamps()
        self._clock = clock
        self._new_id = new_id
        self._database = database
        self.boards = Boards(new_id, lambda: self._numbers.next(clock.ms()), hooks)
        self.index = Index(ranks, database)
        self.rebuilding: dict[tuple[str, str], int] = {}
        """Boards of which this process builds the ranks again, by app and id: how many scores are done."""
        self.upkeep = Upkeep(self.boards, self.index, database, clock, hooks)

    async def close(self) -> None:
        """Give up what runs in the background."""
        await self.index.close()

    # Writing

    async def post(
        self,
        work: Work,
        board_id: str,
        member_id: str,
        score: int,
        data: str | None,
        *,
        check: Callable[[Board], None],
        ask: bool = True,
    ) -> Board:
        """Post a score of a member; returns the board it goes to. `check` may refuse the board.

        `data` is JSON text; None keeps what is there. Without `ask`, the caller has seen to who may post.
        Raises `NoLeaderboard`, and `InvalidParameterValue` for a sum out of range. When the board has changed
        since it was read, the packet runs again.
        """
        for attempt in range(TRIES_MAX):
            board = await self.boards.find(work, board_id, fresh=attempt > 0)
            if board is None or not board.uid:
                board = await self.boards.store(work, board_id)
            check(board)
            try:
                board = await self.boards.rotate(work.tx, board, work.now_ms)
            except Stale:
                continue
            if ask:
                await before_post(self._hooks, work.tx, board, member_id, work.now_ms)
            await self._store(work, board, member_id, score, data)
            return board
        raise Aborted("the board changes all the time")

    async def _store(self, work: Work, board: Board, member_id: str, score: int, data: str | None) -> None:
        placed = self.index.update(work).placed
        await work.tx.lock(lock_name(board.uid), shared=True)
        statement = scores.POST[board.board_type]
        params = {
            "board_uid": board.uid,
            "stamp": board.stamp,
            "version": board.version,
            "entry_id": f"{member_id}:{self._new_id()}" if board.board_type.is_arcade else member_id,
            "member_id": member_id,
            "rank_key": board.key(score),
            "seq": self._numbers.next(self._clock.ms()),
            "data": data,
            "now_ms": work.now_ms,
        }
        if board.board_type is not BoardType.CUMULATIVE:
            await work.tx.defer(statement, placed, **params)
            return
        row = await work.tx.one(statement, **params)
        if row is None:
            raise InvalidParameterValue("data.score: the sum is beyond 2^53")
        placed.append(row)

    async def place(
        self,
        work: Work,
        board: Board,
        member_id: str,
        entry_id: str,
        score: int,
        data: str | None,
        *,
        created_ms: int,
        updated_ms: int,
    ) -> bool:
        """Store an entry as it was elsewhere; False when it is there already, and stays as it is.

        The board is stored, and not due to rotate. When it has changed meanwhile the packet runs again.
        """
        placed = self.index.update(work).placed
        await work.tx.lock(lock_name(board.uid), shared=True)
        row = await work.tx.one(
            scores.PLACE,
            board_uid=board.uid,
            stamp=board.stamp,
            version=board.version,
            entry_id=entry_id,
            member_id=member_id,
            rank_key=board.key(score),
            seq=self._numbers.next(self._clock.ms()),
            data=data,
            created_ms=created_ms,
            updated_ms=updated_ms,
        )
        if row is not None:
            placed.append(row)
        return row is not None

    async def post_or_create(
        self,
        work: Work,
        board_id: str,
        member_id: str,
        score: int,
        data: str | None,
        config: Callable[[], BoardConfig],
        *,
        check: Callable[[Board], None],
    ) -> Board:
        """Post a score; a board that does not exist is made first. `config` is asked only then."""
        if await self.boards.find(work, board_id) is None:
            await self.boards.create(work, board_id, config(), exist_ok=True)
        return await self.post(work, board_id, member_id, score, data, check=check)

    async def remove(self, work: Work, board: Board, version: int, member_id: str) -> int:
        """Remove a member's scores from a version; returns how many there were."""
        return len(await self.take_out(work, board, version, member_id))

    async def take_out(
        self, work: Work, board: Board, version: int, member_id: str, entry_id: str = ""
    ) -> Sequence[Row]:
        """Remove a member's scores from a version, or one of them; returns what `put_back` takes."""
        if not board.uid:
            return []
        key = {"uid": board.uid, "of_version": version, "member": member_id}
        if entry_id:
            rows = await work.tx.all(scores.REMOVE_ONE, **key, entry=entry_id)
        else:
            rows = await work.tx.all(scores.REMOVE, **key)
        await self._note_removed(work, rows)
        return rows

    async def put_back(self, work: Work, board: Board, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Store scores exactly as they were when they were removed: their ranks, times and data.

        False, and the caller gives up the transaction, when one of the members has another score by now.
        """
        await work.tx.lock(lock_name(board.uid), shared=True)
        for row in rows:
            if not await work.tx.unless_taken(scores.PUT_BACK, **row):
                return False
            await work.tx.run(
                removals.FORGET, uid=row["board_uid"], of_version=row["version"], entry=row["entry_id"]
            )
            # Not as a change: the index knows a later one, which took the score out.
            self.index.queue_repair(
                work, list_name(row["board_uid"], row["version"]), {row["entry_id"]: None}
            )
        return True

    async def remove_member(self, work: Work, member_id: str) -> None:
        """Remove all scores of a member, from all boards."""
        await self._note_removed(work, await work.tx.all(scores.REMOVE_MEMBER, member=member_id))

    async def merge_member(self, work: Work, member_id: str, target: str) -> None:
        """Give all scores of a member to another one, as the types of the boards want it."""
        rows = await merging.of_member(work.tx, member_id)
        await self.remove_member(work, member_id)
        for row in rows:
            joined = await merging.join(work.tx, row, target, self._numbers.next(self._clock.ms()))
            if joined is not None:
                place, entry = joined
                change = Change(place, entry["seq"], entry["rank_key"])
                self.index.queue(work, list_name(row["board_uid"], row["version"]), change)

    async def _note_removed(self, work: Work, rows: Sequence[Row]) -> None:
        noted = []
        for row in rows:
            # Later than the post that is undone, earlier than the next one.
            seq = min(row["seq"] - 1, self._numbers.next(self._clock.ms()))
            uid, version, place = row["board_uid"], row["version"], row["entry_id"]
            self.index.queue(work, list_name(uid, version), Change(place, seq, None))
            noted.append({"board_uid": uid, "version": version, "entry_id": place, "seq": seq})
        await work.tx.run_many(removals.NOTE, noted)

    async def rebuild(self, app_id: str, board_id: str) -> int | None:
        """Build the ranks of a board again, all versions that can be read; returns the number of entries.

        None when there is no such board.
        """
        async with self._database.read() as tx:
            row = await tx.one(FIND, app=app_id, board=board_id)
        if row is None:
            return None
        board, place = read_board(row).at(self._clock.ms())[0], (app_id, board_id)
        self.rebuilding[place] = 0

        def add(entries: int) -> None:
            self.rebuilding[place] = self.rebuilding.get(place, 0) + entries

        try:
            for version in range(max(1, board.version - board.retained + 1), board.version + 1):
                name = list_name(board.uid, version)
                await self.index.ranks.forget(name)
                await self.index.build(name, add)
        finally:
            count = self.rebuilding.pop(place, 0)
        return count

    # Reading

    async def reading(self, work: Work, board_id: str, read: Callable[[Board], Awaitable[T]]) -> T | None:
        """Read a board as it is now: `read` is called again when the board has changed meanwhile.

        None when there is no such board.
        """
        for attempt in range(TRIES_MAX):
            board = await self.boards.find(work, board_id, fresh=attempt > 0)
            if board is None:
                return None
            try:
                return await read(board.at(work.now_ms)[0])
            except Stale:
                self.boards.forget(board)
        raise Aborted("the board changes all the time")

    async def page(
        self, work: Work, board: Board, version: int, first: int, last: int, *, backwards: bool = False
    ) -> RankedPages:
        """Return the entries from one index to another. Raises `Stale`; use inside `reading`."""
        return await self.index.page(work, board, version, first, last, backwards=backwards)

    async def around(
        self,
        work: Work,
        board: Board,
        version: int,
        member_id: str,
        before: int,
        after: int,
        *,
        backwards: bool = False,
    ) -> RankedPages:
        """Return a member's best entry and those around it. Raises `Stale`; use inside `reading`."""
        place = member_id
        if board.board_type.is_arcade:
            own = await self.entries_of(work, board, version, member_id, 1)
            if own:
                place = own[0]["entry_id"]
        return await self.index.around(work, board, version, place, before, after, backwards=backwards)

    async def best_of(self, work: Work, board: Board, version: int, member_ids: Sequence[str]) -> list[Row]:
        """Return the best entries of some members, the best first. Raises `Stale`; use inside `reading`."""
        members = list(dict.fromkeys(member_ids))
        found = await scores.read(work.tx, scores.BY_MEMBER, board, version, members=members)
        return scores.best_first(found)

    async def entries_of(
        self, work: Work, board: Board, version: int, member_id: str, most: int
    ) -> list[Row]:
        """Return entries of a member, the best first. Raises `Stale`; use inside `reading`."""
        found = await scores.read(work.tx, scores.OF_MEMBER, board, version, member=member_id, most=most)
        return scores.best_first(found)

    async def everywhere(self, work: Work, member_id: str, most: int) -> list[tuple[Board, int, str]]:
        """Return where a member has entries: the board as it is now, the version, and the entry's id."""
        rows = await work.tx.all(scores.ENTRIES_OF, member=member_id, app=work.app.id, most=most)
        return [(read_board(row).at(work.now_ms)[0], row["of_version"], row["entry_id"]) for row in rows]

    async def bests_on(self, work: Work, boards: Sequence[Board], member_id: str) -> list[tuple[Board, Row]]:
        """Return a member's best entries in the running versions of several boards, in their order."""
        uids = [board.uid for board in boards if board.uid]
        rows = await work.tx.all(scores.BEST_ON_BOARDS, uids=uids, member=member_id) if uids else []
        found = {(row["board_uid"], row["version"]): row for row in rows}
        running = [board.at(work.now_ms)[0] for board in boards]
        return [(b, found[b.uid, b.version]) for b in running if (b.uid, b.version) in found]


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[Leaderboards]:
    """Keep boards as long as the server lives."""
    found = (parts.get(Database), parts.get(Ranks), parts.get(Clock))
    leaderboards = Leaderboards(*found, new_id, parts.get(Hooks))
    try:
        yield leaderboards
    finally:
        await leaderboards.close()
