"""The job that goes through the list of a bulk action, a part at a time."""

import structlog

from gameserver.admin.bulk.kinds import KINDS, One, Skip
from gameserver.admin.bulk.storage import (
    ADD_PLAYER,
    CHANGED,
    COUNT,
    DONE,
    END,
    FIRST,
    FORGET_PART,
    PART,
    READ,
    REFUSED,
    RUNNING,
    SET_BEFORE,
    SKIPPED,
)
from gameserver.admin.common import FACE, ORIGIN, Refused
from gameserver.admin.operators import Operator
from gameserver.apps import App
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.players.termination import Actor
from gameserver.rpc import Context, Runner
from gameserver.sessions import AllOf, SessionsUnavailable
from gameserver.storage import Row, StorageError, Transaction
from gameserver.wire import json
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

VIA = "bulk"


async def _run(run: JobRun) -> None:
    """Go through a part of a list; whoever had their turn before a crash is not changed again."""
    app_id, bulk_id, number = run.payload["app"], run.payload["bulk"], run.payload["part"]
    app = next((each for each in run.apps if each.id == app_id), None)
    async with run.database.read() as tx:
        bulk = await tx.one(READ, app=app_id, id=bulk_id)
        part = await tx.one(PART, app=app_id, bulk=bulk_id, number=number)
    if bulk is None or bulk["state"] != RUNNING or part is None:
        return
    if app is None:
        raise Refused(f"app {app_id} is not served just now")
    ids, is_whole = json.read_stored(part["ids"]), True
    for profile in ids:
        if run.is_over:
            is_whole = False
            break
        if not await _turn(run, app, bulk, profile):
            return  # cancelled
    turn = int(run.key.rpartition("/")[2])
    following, again = (number + 1, 0) if is_whole else (number, turn + 1)

    async def go_on(tx: Transaction) -> None:
        await run.done(tx)
        if is_whole:
            await tx.run(FORGET_PART, app=app_id, bulk=bulk_id, number=number)
        if is_whole and await tx.one(PART, app=app_id, bulk=bulk_id, number=following) is None:
            await tx.run(END, app=app_id, id=bulk_id, new_state=DONE, now=run.now_ms)
            return
        payload = {"app": app_id, "bulk": bulk_id, "part": following}
        await enqueue(tx, JOB, f"{bulk_id}/{following}/{again}", payload, at_ms=run.now_ms, lane=app_id)

    await run.database.transact(go_on)


async def _turn(run: JobRun, app: App, bulk: Row, profile: str) -> bool:
    """Do it for a player, once; False when nothing is to be done any more."""
    runner, kind = run.get(Runner), KINDS[bulk["kind"]]
    by = Operator(bulk["staff"], VIA, bulk["address"], bulk["id"], bulk["reason"])

    async def work(ctx: Context) -> tuple[str, int | None]:
        if not await _mark(ctx.tx, bulk, profile, CHANGED, "", ctx.now_ms):
            had = await ctx.tx.one(FIRST, app=app.id, bulk=bulk["id"], profile=profile)
            return ("" if had is None else had["outcome"]), None
        before = None
        if bulk["undoes"]:
            first = await ctx.tx.one(FIRST, app=app.id, bulk=bulk["undoes"], profile=profile)
            before = None if first is None else json.read_stored(first["before"] or "null")
        kept = await kind.do(One(ctx, bulk, by, profile, before))
        if kept is not None:
            text = json.encode(kept).decode()
            await ctx.tx.run(SET_BEFORE, app=app.id, bulk=bulk["id"], profile=profile, kept=text)
        return CHANGED, (kept or {}).get("epoch")

    async def end(epoch: int | None = None) -> None:
        reason = "disabled" if kind.ends == "disabled" else "revoked"
        by_whom = Actor(FACE, why=kind.ends)
        await runner.core.endings.end(app, AllOf(app.id, profile), reason, by_whom, epoch=epoch)

    try:
        if kind.ends == "deleted":  # or packets that still come in would write what nobody removes any more
            await end()
        outcome, epoch = await runner.do(work, app, ORIGIN)
    except _Cancelled:
        return False
    except Skip as error:
        return await _not_done(run, bulk, profile, SKIPPED, str(error))
    except (Refused, GameError) as error:
        return await _not_done(run, bulk, profile, REFUSED, str(error))
    except (StorageError, SessionsUnavailable):
        raise  # the part is tried again
    except Exception:  # of one player: the others have their turn nevertheless
        log.exception("bulk_action_failed", bulk=bulk["id"], profile=profile)
        return await _not_done(run, bulk, profile, REFUSED, "the server failed; its log says why")
    if kind.ends and outcome == CHANGED:  # also by a process that then died: ending twice does no harm
        await end(epoch)
    return True


async def _not_done(run: JobRun, bulk: Row, profile: str, outcome: str, why: str) -> bool:
    try:
        await run.database.transact(lambda tx: _mark(tx, bulk, profile, outcome, why[:200], run.now_ms))
    except _Cancelled:
        return False
    return True


class _Cancelled(Exception):
    """The bulk action has ended meanwhile."""


async def _mark(tx: Transaction, bulk: Row, profile: str, outcome: str, why: str, now_ms: int) -> bool:
    """Note a player's turn and count it; False when it was noted already. Raises when all is over."""
    key = {"app_id": bulk["app_id"], "bulk_id": bulk["id"], "profile_id": profile}
    if not await tx.unless_taken(ADD_PLAYER, **key, outcome=outcome, why=why, at_ms=now_ms, before=None):
        return False
    if not await tx.run(COUNT[outcome], app=bulk["app_id"], id=bulk["id"]):
        raise _Cancelled
    return True


JOB = Job("staff.bulk", _run, at_once=2, at_once_in_lane=1, expected=(StorageError, SessionsUnavailable))
