"""What happens to boards without anybody asking: rotation, expiry, removal of old scores, repairs.

Any number of processes may do this at the same time. Rotations are decided by SQL; of the rest, a lease lets
one process do it each minute.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import BigInteger, Column, String, Table, Text, bindparam, delete, or_, select, update

from gameserver.apps import App
from gameserver.domain.leaderboards import removals, scores
from gameserver.domain.leaderboards.boards import boards, entries, read_board, versions
from gameserver.domain.leaderboards.hooks import is_needed, tick_hooks
from gameserver.domain.leaderboards.ranked_pages import Index, list_name
from gameserver.domain.leaderboards.stamps import seq_at, seq_before
from gameserver.domain.leaderboards.store import FIND, Boards, Stale, declared
from gameserver.ranks import Change, RanksAway
from gameserver.storage import Aborted, CommitUnknown, Database, Transaction, metadata, upsert
from gameserver.wire.clock import Clock
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
DUE_MAX = 100
LEASE_MS = 60_000
RECENT_MAX = 1000
SLACK_MS = (
    120_000  # posts are looked at again for this long: a commit may come late, a Redis may lose a moment
)
SWEEP_VERSIONS_MAX = 20
SWEEP_ROWS = 500

chores = Table(
    "leaderboard_chores",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("until_ms", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),  # posts up to here are in the index
    Column("identity", Text, nullable=False),  # of the index at that time
)
_NAME = "index"
START = upsert(chores, ["name"], None)
LEASE = select(chores.c.until_ms).where(chores.c.name == _NAME)
TAKE = (
    update(chores)
    .where(chores.c.name == _NAME, chores.c.until_ms <= bindparam("now_ms"))
    .values(until_ms=bindparam("until"))
    .returning(chores.c.seq, chores.c.identity)
)
FINISH = (
    update(chores).where(chores.c.name == _NAME).values(seq=bindparam("to_seq"), identity=bindparam("now_is"))
)
DUE = (
    select(boards)
    .where(or_(boards.c.reset_ms <= bindparam("now_ms"), boards.c.expires_ms <= bindparam("now_ms")))
    .limit(DUE_MAX)
)
# Versions whose board is gone, or has moved on beyond what it retains.
FORGOTTEN = (
    select(versions.c.board_uid, versions.c.version)
    .select_from(versions.outerjoin(boards, boards.c.uid == versions.c.board_uid))
    .where(or_(boards.c.uid.is_(None), versions.c.version <= boards.c.version - boards.c.retained))
    .limit(SWEEP_VERSIONS_MAX)
)
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
class _Chore:
    """What stands in for a packet."""

    app: App
    now_ms: int
    tx: Transaction
    outbox: list[Callable[[], Awaitable[None]]]
    is_retry: bool = False


class Upkeep:
    """Does the chores of one process."""

    def __init__(self, store: Boards, index: Index, database: Database, clock: Clock) -> None:
        self._boards = store
        self._index = index
        self._database = database
        self._clock = clock
        self._declared: dict[str, Any] = {}
        self._identity = ""  # of the index, as this process knows it

    async def run(self, apps: Iterable[App]) -> None:
        """Do what is due, for ever."""
        while True:
            try:
                await self.tick(apps)
            except (RanksAway, Aborted, CommitUnknown) as error:
                log.info("leaderboard_upkeep_later", reason=str(error))
            except Exception:
                log.exception("leaderboard_upkeep_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self, apps: Iterable[App]) -> None:
        """Do what is due now."""
        await self.adopt_declarations(apps)
        await self.rotate_due()
        taken = await self._take_lease(at_once=await self._is_another_index())
        if taken is not None:
            await self.repair_index(*taken)
            await self.sweep()
        for hook in tick_hooks:
            await hook(self._database, apps, self._clock.ms())

    async def rotate_due(self) -> int:
        """Rotate the boards whose time has come, delete those that have expired; returns how many."""
        now_ms, done = self._clock.ms(), 0
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
                continue  # somebody else did it, or the next tick does
        return done

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
                            chore = _Chore(app, self._clock.ms(), tx, [])
                            await self._boards.create(chore, board_id, config, exist_ok=True)
                except (GameError, Stale, Aborted) as error:
                    log.warning("declaration_not_adopted", app=app.id, board=board_id, reason=str(error))
            self._declared[app.id] = configs

    async def _is_another_index(self) -> bool:
        """Tell whether the index has begun anew: what is built from now on should not be forgotten later."""
        before = self._identity
        with contextlib.suppress(RanksAway):
            self._identity = await self._index.ranks.identity()
        return before not in ("", self._identity)

    async def _take_lease(self, *, at_once: bool) -> tuple[int, str] | None:
        """Become the one who repairs the index; `at_once`, because the index is another, also out of turn."""
        now_ms = self._clock.ms()
        async with self._database.read() as tx:
            held = await tx.one(LEASE)
        ended_by = now_ms
        if held is not None and held["until_ms"] > now_ms:
            if not at_once:
                return None
            ended_by = held["until_ms"]
        async with self._database.write() as tx:
            if held is None:
                first = seq_at(
                    max(0, now_ms - SLACK_MS)
                )  # a list that nobody has begun will be read from SQL
                await tx.run(START, name=_NAME, until_ms=0, seq=first, identity="")
            row = await tx.one(TAKE, now_ms=ended_by, until=now_ms + LEASE_MS)
        return None if row is None else (row["seq"], row["identity"])

    async def repair_index(self, seq: int, identity: str) -> None:
        """Put into the index what a process that died, or an index that lost a moment, has not kept."""
        now_is = await self._index.ranks.identity()
        if identity and identity != now_is:
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
        async with self._database.write() as tx:
            await tx.run(FINISH, to_seq=min(below, seq), now_is=now_is)

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

    async def sweep(self) -> None:
        """Remove the scores of versions that nobody can read any more, a few rows at a time."""
        async with self._database.read() as tx:
            rows = [tuple(row) for row in await tx.all(FORGOTTEN)]
            gone = [(uid, version) for uid, version in rows if not await is_needed(tx, uid, version)]
        for uid, version in gone:
            await self._index.ranks.forget(list_name(uid, version))
            swept = SWEEP_ROWS
            while swept == SWEEP_ROWS:
                async with self._database.write() as tx:
                    swept = await tx.run(SWEEP, uid=uid, of_version=version)
                    if swept < SWEEP_ROWS:
                        await tx.run(SWEPT, uid=uid, of_version=version)
