"""Rewards: what a result brings, and rewards that are paid without asking.

A reward is paid in the transaction that marks the result as claimed; the ledger's key would stop a second
payment as well.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog

from gameserver.apps import App
from gameserver.domain.leaderboards import Board
from gameserver.domain.leaderboards.hooks import REWARDED
from gameserver.domain.leaderboards.periods import DAY_MS
from gameserver.domain.progress import experience
from gameserver.domain.progress.experience import Progress, ProgressEvent
from gameserver.domain.progress.rewards import Paid, Rewards
from gameserver.jobs import Job, JobRun, forget
from gameserver.services.tournament import closing, storage, templates
from gameserver.services.tournament.base import AlreadyClaimed, service
from gameserver.storage import Aborted, Database, Row, StorageError, Transaction, locks
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

RESULTS_KEPT_MS = 90 * DAY_MS
PAID_MAX = 200  # between two turns of everybody else
AT_ONCE = 1000  # enrolments
POSTPONED_MS = 60_000


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


@service.on(REWARDED)
async def rewarded(tx: Transaction, board: Board, version: int, members: Sequence[str]) -> Iterable[str]:
    """Return which members have got their reward for a version of a board."""
    params = {"uid": board.uid, "of_version": version, "members": list(members)}
    return [row["member_id"] for row in await tx.all(storage.CLAIMED, **params)]


async def _pay_due(run: JobRun) -> None:
    """Pay what is due, each player in a transaction of their own."""
    while True:
        now_ms, of_id = run.now_ms, {app.id: app for app in run.apps}
        async with run.database.read() as tx:
            due = await tx.all(storage.TO_PAY, apps=list(of_id), now_ms=now_ms, most=PAID_MAX)
        for row in due:
            await _pay(run.database, of_id[row["app_id"]], row, now_ms)
        if len(due) < PAID_MAX:
            return
        if run.is_over:
            run.is_unfinished = True
            return


async def _pay(database: Database, app: App, row: Row, now_ms: int) -> None:
    of_result = {"uid": row["board_uid"], "of_version": row["version"], "member": row["member_id"]}
    about = {"app": app.id, "board": row["board_id"], "version": row["version"], "member": row["member_id"]}
    try:
        async with database.write() as tx:
            await claim(tx, app, row, now_ms)
    except (Aborted, AlreadyClaimed):
        pass  # the next run does it, or somebody else has done it
    except GameError as error:
        log.warning("reward_not_paid", **about, reason=str(error))
        async with database.write() as tx:
            await tx.run(storage.NOT_PAID, **of_result)
    except StorageError:
        raise
    except Exception:  # of this player: those who wait behind are paid first
        log.exception("reward_not_paid_yet", **about)
        async with database.write() as tx:
            await tx.run(storage.PAY_LATER, **of_result, later_ms=now_ms + POSTPONED_MS)


async def _is_any_to_pay(run: JobRun) -> bool:
    async with run.database.read() as tx:
        apps = [app.id for app in run.apps]
        return await tx.one(storage.TO_PAY, apps=apps, now_ms=run.now_ms, most=1) is not None


async def _forget_enrolments(run: JobRun) -> None:
    """Forget who takes part on boards that are gone."""
    await run.catch_up(lambda tx: tx.run(storage.ORPHANS, most=AT_ONCE), AT_ONCE)


JOBS = (
    Job("tournament.close", closing.go_on, every_seconds=60, wanted=closing.is_any),
    Job("tournament.pay", _pay_due, every_seconds=60, wanted=_is_any_to_pay),
    forget("tournament.forget_results", storage.old_results, RESULTS_KEPT_MS),
    forget("tournament.forget_instances", storage.old_instances),
    Job("tournament.forget_enrolments", _forget_enrolments, every_seconds=3600),
)
