"""What happens to boards without anybody asking: rotation, expiry, removal of old scores, repairs.

Any number of processes may do this at the same time: SQL decides. Jobs (see `jobs`) let one of them do it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Integer, bindparam, delete, func, or_, select

from gameserver.apps import App
from gameserver.domain.leaderboards import removals, scores
from gameserver.domain.leaderboards.boards import boards, entries, read_board, versions
from gameserver.domain.leaderboards.hooks import is_needed
from gameserver.domain.leaderboards.ranked_pages import Index, list_name
from gameserver.domain.leaderboards.stamps import seq_at, seq_before
from gameserver.domain.leaderboards.store import FIND, Boards, Stale, declared
from gameserver.frame import Hooks
from gameserver.ranks import Change
from gameserver.storage import Aborted, Database, Transaction
from gameserver.wire.clock import Clock
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

DUE_MAX = 100
RECENT_MAX = 1000
SLACK_MS = (
    120_000  # posts are looked at again for this long: a commit may come late, a Redis may lose a moment
)
SWEEP_VERSIONS_MAX = 20
SWEEP_ROWS = 500
COUNTED_MAX = 10_000

_IS_DUE = or_(boards.c.reset_ms <= bindparam("now_ms"), boards.c.expires_ms <= bindparam("now_ms"))
DUE = select(boards).where(_IS_DUE).limit(DUE_MAX)
ANY_DUE = select(boards.c.uid).where(_IS_DUE).limit(1)
# Versions whose board is gone, or has moved on beyond what it retains.
FORGOTTEN = (
    select(versions.c.board_uid, versions.c.version)
    .select_from(versions.outerjoin(boards, boards.c.uid == versions.c.board_uid))
    .where(or_(boards.c.uid.is_(None), versions.c.version <= boards.c.version - boards.c.retained))
    .limit(bindparam("most", type_=Integer))
)
COUNT_FORGOTTEN = select(func.count()).select_from(FORGOTTEN.subquery())
_some = (
    select(entries.c.entry_id)
    .where(entries.c.board_uid == bindparam("uid"), entries.c.version == bindparam("of_version"))
    .limit(SWEEP_ROWS)
)
SWEEP = delete(entries).where(
    entries.c.board_uid == bindparam("uid"),
    entries.c.version == bindparam("of_version"),
    entries.c.entry_id.in_(_some),
)
SWEPT = delete(versions).where(
    versions.c.board_uid == bindparam("uid"), versions.c.version == bindparam("of_version")
)
ALL_VERSIONS = select(boards.c.uid, boards.c.version, boards.c.retained)


@dataclass
class _Creation:
    """What stands in for a packet."""

    app: App
    now_ms: int
    tx: Transaction
    outbox: list[Callable[[], Awaitable[None]]]
    is_retry: bool = False


class Upkeep:
    """What the jobs of leaderboards do."""

    def __init__(self, store: Boards, index: Index, database: Database, clock: Clock, hooks: Hooks) -> None:
        self._hooks = hooks
        self._boards = store
        self._index = index
        self._database = database
        self._clock = clock
        self._declared: dict[str, Any] = {}

    async def is_any_due(self) -> bool:
        """Tell whether there is a board whose time has come."""
        async with self._database.read() as tx:
            return await tx.one(ANY_DUE, now_ms=self._clock.ms()) is not None

    async def rotate_due(self) -> int:
        """Rotate boards whose time has come, delete those that have expired; returns how many.

        One that fails does not keep the others waiting; what it has raised is raised in the end.
        """
        now_ms, done = self._clock.ms(), 0
        failed: Exception | None = None
        async with self._database.read() as tx:
            due = [read_board(row) for row in await tx.all(DUE, now_ms=now_ms)]
        for board in due:
            try:
                async with self._database.write() as tx:
                    if board.expires_ms is not None and board.expires_ms <= now_ms:
                        await self._boards.delete(tx, board, now_ms)
                    else:
                        await self._boards.rotate(tx, board, now_ms)
                done += 1
            except (Stale, Aborted):
                continue  # somebody else did it, or the next run does
            except Exception as error:  # noqa: BLE001 - raised below
                log.warning("board_not_rotated", app=board.app_id, board=board.board_id, reason=str(error))
                failed = error
        if failed is not None:
            raise failed
        return done

    def has_new_declarations(self, apps: Iterable[App]) -> bool:
        """Tell whether this process has not seen to what is declared now."""
        return any(self._declared.get(app.id) != declared(app) for app in apps)

    async def adopt_declarations(self, apps: Iterable[App]) -> None:
        """Make the boards that are declared, and change those whose declarations have changed."""
        for app in apps:
            configs = declared(app)
            if self._declared.get(app.id) == configs:
                continue
            for board_id, config in configs.items():
                async with self._database.read() as tx:
                    row = await tx.one(FIND, app=app.id, board=board_id)
                if row is not None and row["declared"] == config.declared:
                    continue
                try:
                    async with self._database.write() as tx:
                        if row is not None:
                            await self._boards.edit(tx, read_board(row), config, self._clock.ms())
                        else:
                            creation = _Creation(app, self._clock.ms(), tx, [])
                            await self._boards.create(creation, board_id, config, exist_ok=True)
                except (GameError, Stale, Aborted) as error:
                    log.warning("declaration_not_adopted", app=app.id, board=board_id, reason=str(error))
            self._declared[app.id] = configs

    async def is_another_index(self, identity: str) -> bool:
        """Tell whether the index is another than the one of this identity: it holds nothing yet."""
        return await self._index.ranks.identity() != identity

    async def repair_index(self, seq: int, identity: str) -> tuple[int, str]:
        """Put into the index what a process that died, or an index that lost a moment, has not kept.

        All posts up to a number are in the index of an identity already; returns the two as they are now.
        """
        now_is = await self._index.ranks.identity()
        if identity != now_is:
            await self.forget_all()
        below = seq_before(seq, SLACK_MS)
        while True:
            async with self._database.read() as tx:
                rows = await tx.all(scores.RECENT, below=below, most=RECENT_MAX)
            lists: dict[str, list[Change]] = defaultdict(list)
            for row in rows:
                name = list_name(row["board_uid"], row["version"])
                lists[name].append(Change(row["entry_id"], row["seq"], row["rank_key"]))
            for name, changes in lists.items():
                await self._index.ranks.change(name, changes)
            if rows:
                below = rows[-1]["seq"]
            if len(rows) < RECENT_MAX:
                break
        await self._repair_removals()
        return min(below, seq), now_is

    async def _repair_removals(self) -> None:
        async with self._database.read() as tx:
            rows = await tx.all(removals.NOTED, most=RECENT_MAX)
        for row in rows:
            change = Change(row["entry_id"], row["seq"], None)
            await self._index.ranks.change(list_name(row["board_uid"], row["version"]), [change])
        if rows:
            async with self._database.write() as tx:
                for row in rows:
                    await tx.run(
                        removals.DONE,
                        uid=row["board_uid"],
                        of_version=row["version"],
                        entry=row["entry_id"],
                        of_seq=row["seq"],
                    )

    async def forget_all(self) -> None:
        """Forget the index of every board; each list is built again when it is needed."""
        async with self._database.read() as tx:
            rows = await tx.all(ALL_VERSIONS)
        for row in rows:
            for version in range(max(1, row["version"] - row["retained"] + 1), row["version"] + 1):
                await self._index.ranks.forget(list_name(row["uid"], version))

    async def sweep(self) -> int:
        """Remove the scores of some versions that nobody can read any more, a few rows at a time.

        Returns of how many versions.
        """
        async with self._database.read() as tx:
            rows = [tuple(row) for row in await tx.all(FORGOTTEN, most=SWEEP_VERSIONS_MAX)]
            gone = [
                (uid, version) for uid, version in rows if not await is_needed(self._hooks, tx, uid, version)
            ]
        for uid, version in gone:
            await self._index.ranks.forget(list_name(uid, version))
            swept = SWEEP_ROWS
            while swept == SWEEP_ROWS:
                async with self._database.write() as tx:
                    swept = await tx.run(SWEEP, uid=uid, of_version=version)
                    if swept < SWEEP_ROWS:
                        await tx.run(SWEPT, uid=uid, of_version=version)
        return len(gone)

    async def count_forgotten(self) -> int:
        """Count the versions that nobody can read any more."""
        async with self._database.read() as tx:
            row = await tx.one(COUNT_FORGOTTEN, most=COUNTED_MAX)
        return 0 if row is None else int(row[0])

    @property
    def first_seq(self) -> int:
        """The number of posts that are long in the index, unless it is another: of some minutes ago."""
        return seq_at(max(0, self._clock.ms() - SLACK_MS))
