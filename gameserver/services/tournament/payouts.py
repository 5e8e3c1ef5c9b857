"""Rewards: what a result brings, and rewards that are paid without asking.

A reward is paid in the transaction that marks the result as claimed; the ledger's key would stop a second
payment as well.
"""

from collections.abc import Iterable
from typing import NamedTuple

import structlog

from gameserver.apps import App
from gameserver.domain.leaderboards import tick_hooks
from gameserver.domain.leaderboards.periods import DAY_MS
from gameserver.domain.progress import experience
from gameserver.domain.progress.experience import Progress, ProgressEvent
from gameserver.domain.progress.rewards import Paid, Rewards
from gameserver.services.tournament import closing, storage, templates
from gameserver.services.tournament.base import AlreadyClaimed
from gameserver.storage import Aborted, Database, Row, Transaction, locks
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

RESULTS_KEPT_MS = 90 * DAY_MS
PAID_MAX = 200  # between two turns of everybody else
_HOUR_MS = 3_600_000


class _Ended:
    """When the period of a result was."""

    def __init__(self, row: Row) -> None:
        self.started_ms: int = row["started_ms"]
        self.ended_ms: int = row["ended_ms"]
        last = row["last_version"]
        self.last_versions: dict[str, int] = {} if last is None else {row["code"]: last}


class Reward(NamedTuple):
    """What a result brings, and the version of the template that says so."""

    rewards: Rewards
    version: int


async def reward_of(tx: Transaction, app: App, row: Row, now_ms: int) -> Reward:
    """Return what a result brings. Raises `NoTemplate`."""
    period = _Ended(row)
    template = await templates.one_of_period(tx, app, row["code"], period, now_ms=now_ms, over=True)
    return Reward(template.reward(row["rank"], row["size"], posted=row["posted"]), template.version)


async def claim(tx: Transaction, app: App, row: Row, now_ms: int) -> tuple[Reward, Progress, Paid]:
    """Pay the reward of a result, once. Raises `AlreadyClaimed`, `NoTemplate`, `NoSession`."""
    reward = await reward_of(tx, app, row, now_ms)
    of_result = {"uid": row["board_uid"], "of_version": row["version"], "member": row["member_id"]}
    await locks.take(tx, [locks.player_lock(row["member_id"])])
    if not await tx.run(storage.CLAIM, **of_result, now_ms=now_ms):
        raise AlreadyClaimed("the reward has been claimed")
    deed = ProgressEvent(name=row["code"], rewards=reward.rewards)
    key = f"tournament/{row['board_uid']}/{row['version']}"
    progress, paid = await experience.advance(tx, app, row["member_id"], [deed], key, now_ms)
    return reward, progress, paid


class Payer:
    """Makes results, pays what is to be paid without asking, forgets what is old. One for each process."""

    def __init__(self) -> None:
        self._swept = 0

    async def __call__(self, database: Database, apps: Iterable[App], now_ms: int) -> None:
        """Do what is due now."""
        await closing.go_on(database, now_ms)
        await self.pay(database, apps, now_ms)
        if now_ms // _HOUR_MS != self._swept:
            self._swept = now_ms // _HOUR_MS
            async with database.write() as tx:
                await tx.run(storage.OLD_RESULTS, before=now_ms - RESULTS_KEPT_MS)
                await tx.run(storage.OLD_INSTANCES, now_ms=now_ms)
                await tx.run(storage.ORPHANS)

    async def pay(self, database: Database, apps: Iterable[App], now_ms: int) -> None:
        """Pay what is due, each player in a transaction of their own; any number of processes may do this."""
        async with database.read() as tx:
            due = await tx.all(storage.TO_PAY, most=PAID_MAX)
        of_id = {app.id: app for app in apps} if due else {}
        for row in due:
            if (app := of_id.get(row["app_id"])) is None:
                continue
            try:
                async with database.write() as tx:
                    await claim(tx, app, row, now_ms)
            except (Aborted, AlreadyClaimed):
                continue  # the next tick does it, or somebody else has done it
            except GameError as error:
                log.warning("reward_not_paid", app=app.id, board=row["board_id"], reason=str(error))
                async with database.write() as tx:
                    await tx.run(
                        storage.NOT_PAID,
                        uid=row["board_uid"],
                        of_version=row["version"],
                        member=row["member_id"],
                    )


tick_hooks.append(Payer())
