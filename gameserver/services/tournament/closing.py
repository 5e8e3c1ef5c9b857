"""The results of a period that has ended: counted, ranked and written some hundred members at a time.

Whoever stores the rotation begins, in the same transaction, and is mostly done there. What is left is noted,
and a job goes on with it, each step in a transaction of its own: nobody waits long for the writer of SQLite,
and a process that dies has lost nothing. A result is there as soon as it is right: first all members of each
tournament are counted, then they get their ranks in the order of their scores.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta

from gameserver.apps import LiveApps
from gameserver.domain.leaderboards import AFTER_ROTATION, IS_NEEDED, Board, EntryType, Version
from gameserver.domain.leaderboards.tournaments import read_settings
from gameserver.domain.social.notices import TOURNAMENT_OVER, TournamentOver, tell_over
from gameserver.frame import Hook, Hooks, Parts
from gameserver.jobs import JobRun
from gameserver.players.webhooks import EventData, emit
from gameserver.services.tournament import storage, templates
from gameserver.services.tournament.base import service
from gameserver.storage import Row, Transaction

log = structlog.get_logger(__name__)

STEPS_AT_ONCE = 3  # of the transaction that stores the rotation: all of a small tournament
KEY_LIMIT = 2**63 - 1


class Ranks(msgspec.Struct):
    """The ranks of a tournament given so far. Equal scores share one."""

    given: int = 0
    last_key: int = 0
    last_rank: int = 0

    def next(self, key: int) -> int:
        """Return the rank of the next one in order."""
        self.given += 1
        if self.given == 1 or key != self.last_key:
            self.last_key, self.last_rank = key, self.given
        return self.last_rank


class Reached(msgspec.Struct):
    """How far the results of a period are."""

    counted: bool = False
    member: str = ""  # the last one counted
    sizes: dict[str, int] = msgspec.field(default_factory=dict)  # of the tournaments, by code
    ranked: bool = False
    place: tuple[int, int, str] = (-KEY_LIMIT, 0, "")  # the last one ranked
    ranks: dict[str, Ranks] = msgspec.field(default_factory=dict)
    last_versions: dict[str, int] = msgspec.field(default_factory=dict)  # of templates, by code
    of_groups: bool = False


class Closing(msgspec.Struct):
    """A period whose results are being made, as it is stored."""

    board_uid: str
    version: int
    app_id: str
    board_id: str
    started_ms: int
    ended_ms: int
    sign: int
    pays: bool
    reached: Reached

    @property
    def key(self) -> dict[str, Any]:
        """What names it in statements."""
        return {"uid": self.board_uid, "of_version": self.version}

    @property
    def last_versions(self) -> dict[str, int]:
        """The last versions of templates to take, by code, where not any will do."""
        return self.reached.last_versions

    async def step(self, hooks: Hooks, tx: Transaction, now_ms: int) -> bool:
        """Do the next part; True when nothing is left."""
        if not self.reached.counted:
            await self._count(tx)
        elif not self.reached.ranked:
            await self._rank(hooks, tx, now_ms)
        else:  # who has entered and has no score any more
            return await tx.run(storage.CLEAR, **self.key) < storage.CHUNK
        return False

    async def closed(self, hooks: Hooks, tx: Transaction, now_ms: int) -> None:
        """Tell that all results are there, if there are any."""
        if self.reached.sizes:
            for tell in hooks.of(CLOSED):
                await tell(tx, self, now_ms)

    async def _count(self, tx: Transaction) -> None:
        reached = self.reached
        rows = await tx.all(storage.COUNTED, **self.key, after=reached.member)
        for row in rows:
            if row["scored"]:
                reached.sizes[row["code"]] = reached.sizes.get(row["code"], 0) + 1
            reached.member = row["member_id"]
        reached.counted = len(rows) < storage.CHUNK
        reached.ranked = reached.counted and not reached.sizes

    async def _rank(self, hooks: Hooks, tx: Transaction, now_ms: int) -> None:
        reached = self.reached
        key, seq, entry_id = reached.place
        rows = await tx.all(storage.RANKED, **self.key, key=key, seq=seq, entry_id=entry_id)
        results: dict[str, dict[str, Any]] = {}
        for row in rows:
            reached.place = row["rank_key"], row["seq"], row["entry_id"]
            # Of the many scores of a member on an arcade board the best one comes first.
            if row["code"] is not None and row["member_id"] not in results:
                results[row["member_id"]] = self._result(row)
        if hooks.of(TOURNAMENT_OVER) and results:
            for member_id in await self._tell(hooks, tx, results, now_ms):
                results[member_id]["notified_ms"] = now_ms
        await tx.run_many(storage.ADD_RESULT, list(results.values()))
        if results:
            await tx.run(storage.DONE_WITH, **self.key, members=list(results))
        reached.ranked = len(rows) < storage.CHUNK

    async def _tell(
        self, hooks: Hooks, tx: Transaction, results: dict[str, dict[str, Any]], now_ms: int
    ) -> set[str]:
        """Tell those who have got a result; returns whom somebody tells."""
        of_code: dict[str, list[str]] = {}
        for member_id, result in results.items():
            of_code.setdefault(result["code"], []).append(member_id)
        stored = await templates.stored(tx, self.app_id, list(of_code), self, now_ms=now_ms, over=True)
        told: set[str] = set()
        for code, member_ids in of_code.items():
            how = templates.notification(stored.get(code), "complete")
            told |= await tell_over(
                hooks,
                tx,
                TournamentOver(
                    app_id=self.app_id,
                    board_id=self.board_id,
                    version=self.version,
                    code=code,
                    of_groups=self.reached.of_groups,
                    member_ids=member_ids,
                    push_id=how.push_id,
                    mail=how.mail,
                    now_ms=now_ms,
                ),
            )
        return told & results.keys()

    def _result(self, row: Row) -> dict[str, Any]:
        code, key = row["code"], row["rank_key"]
        ranks = self.reached.ranks.setdefault(code, Ranks())
        of_member = ("member_id", "div_set_id", "code", "posted", "data", "created_ms", "updated_ms")
        of_period = ("board_uid", "version", "app_id", "board_id", "started_ms", "ended_ms")
        return {name: row[name] for name in of_member} | {
            **{name: getattr(self, name) for name in of_period},
            "score": self.sign * key,
            "rank": ranks.next(key),
            # Somebody may have got a score by a merge since all were counted.
            "size": max(self.reached.sizes.get(code, 0), ranks.given),
            "claimed_ms": 0,
            "last_version": self.last_versions.get(code),
            "notified_ms": None,
            "pay_ms": self.ended_ms if self.pays else None,
        }


ClosedHook = Callable[[Transaction, Closing, int], Awaitable[None]]
CLOSED: Hook[ClosedHook] = Hook("tournament.closed")
"""All results of a period are there: the transaction, the period, now in ms."""


@service.emits
class TournamentIsOver(EventData):
    """The results of the tournaments of a leaderboard's period are there. It is no single player's event."""

    event = "tournament.over"

    leaderboard_id: Annotated[str, Meta(description="The id of the leaderboard.")]
    version_id: Annotated[int, Meta(description="The period, as leaderboards number them.")]
    started_at: Annotated[int, Meta(description="When the period began: ms since 1970-01-01 UTC.")]
    ended_at: Annotated[int, Meta(description="When it ended: ms since 1970-01-01 UTC.")]
    participants: Annotated[
        dict[str, int], Meta(description="How many have a result, by the code of the tournament.")
    ]


@service.lifespan
@asynccontextmanager
async def _tell_webhooks(parts: Parts) -> AsyncIterator[None]:
    """Tell the webhooks of an app what is over: the hook does not know the apps, and a server does."""
    apps = parts.get(LiveApps)

    async def tell(tx: Transaction, closing: Closing, now_ms: int) -> None:
        app = apps.find(closing.app_id)
        if app is None:
            return
        event = TournamentIsOver(
            profile_id="",
            leaderboard_id=closing.board_id,
            version_id=closing.version,
            started_at=closing.started_ms,
            ended_at=closing.ended_ms,
            participants=closing.reached.sizes,
        )
        await emit(tx, app, event, now_ms)

    parts.get(Hooks).subscribe(CLOSED, tell)
    yield


@service.on(AFTER_ROTATION)
async def begin(hooks: Hooks, tx: Transaction, board: Board, ended: Sequence[Version], now_ms: int) -> None:
    """Make results of the enrolments in versions that have ended, or begin to."""
    for version in ended:
        settings = read_settings(version.t_period)
        if settings is None:
            continue
        closing = Closing(
            board_uid=board.uid,
            version=version.version,
            app_id=board.app_id,
            board_id=board.board_id,
            started_ms=version.started_ms,
            ended_ms=version.ended_ms,
            sign=board.key(1),
            pays=settings.t_auto_claim and board.entry_type is EntryType.PLAYER,
            reached=Reached(
                last_versions=settings.last_versions, of_groups=board.entry_type is EntryType.GROUP
            ),
        )
        for _ in range(STEPS_AT_ONCE):
            if await closing.step(hooks, tx, now_ms):
                await closing.closed(hooks, tx, now_ms)
                break
        else:
            values = msgspec.structs.asdict(closing) | {"reached": _encode(closing.reached)}
            await tx.run(storage.ADD_CLOSING, **values)


async def go_on(run: JobRun) -> None:
    """Go on with what has been begun. A period that fails does not keep the others waiting."""
    failed: Exception | None = None
    async with run.database.read() as tx:
        waiting = [(row["board_uid"], row["version"]) for row in await tx.all(storage.CLOSINGS)]
    for uid, version in waiting:
        try:
            while await _step(run, uid, version):
                if run.is_over:  # the others have a step as well
                    run.is_unfinished = True
                    break
        except Exception as error:  # noqa: BLE001 - raised below
            log.warning("tournament_not_closed", board_uid=uid, version=version, reason=str(error))
            failed = error
    if failed is not None:
        raise failed


async def is_any(run: JobRun) -> bool:
    """Tell whether something has been begun."""
    async with run.database.read() as tx:
        return await tx.one(storage.ANY_CLOSING) is not None


async def _step(run: JobRun, uid: str, version: int) -> bool:
    """Do the next part of a period, in a transaction; tell whether something is left."""
    async with run.database.write() as tx:
        row = await tx.one(storage.THIS_CLOSING, uid=uid, of_version=version)
        if row is None:
            return False
        values = {name: row[name] for name in Closing.__struct_fields__}
        closing = Closing(**values | {"reached": _decode(row["reached"])})
        hooks = run.get(Hooks)
        if not await closing.step(hooks, tx, run.now_ms):
            await tx.run(storage.REACHED, **closing.key, now_reached=_encode(closing.reached))
            return True
        await closing.closed(hooks, tx, run.now_ms)
        await tx.run(storage.CLOSED, **closing.key)
    log.info("tournament_closed", board=closing.board_id, version=closing.version)
    return False


@service.on(IS_NEEDED)
async def is_closing(tx: Transaction, uid: str, version: int) -> bool:
    """Tell whether the scores of a version are still needed."""
    return await tx.one(storage.IS_CLOSING, uid=uid, of_version=version) is not None


def _encode(reached: Reached) -> str:
    return msgspec.json.encode(reached).decode()


_decode = msgspec.json.Decoder(Reached).decode
