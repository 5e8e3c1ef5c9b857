"""What is left behind of players who are gone.

A packet that runs while its player is deleted, or becomes one with another, may commit after that has
happened, rows that nobody removes any more. To make every packet look whether its player is still there would
cost all of them; so it is the rare deletion that is done once more, when no such packet can run any longer.
"""

import structlog

from gameserver.apps import App
from gameserver.jobs import Job, JobRun
from gameserver.players import audit, users
from gameserver.rpc.caller import Origin
from gameserver.rpc.context import Context
from gameserver.rpc.runner import Runner
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

RUN_MS_MAX = 10 * 60 * 1000
"""No packet runs longer: statements are cancelled after seconds, and clients give up after a minute."""
EVENTS_AT_ONCE = 500
DELETED, MERGED_INTO = "deleted", "merged_into"


async def _sweep(run: JobRun) -> None:
    """Find players in the audit who went some minutes ago, after the last run; remove what has come since.

    Twice does no harm. An app without an audit leaves it to whoever repeats the command.
    """
    until = run.now_ms - RUN_MS_MAX
    since = until - RUN_MS_MAX
    if run.memo:  # a clock may have been ahead
        since = min(int(run.memo), since)

    async def of_app(app: App) -> None:
        await _sweep_app(run, app, since, until)

    await run.for_each_app(of_app)
    run.memo = str(until)


async def _sweep_app(run: JobRun, app: App, since_ms: int, until_ms: int) -> None:
    runner, last = run.get(Runner), ""
    failed: Exception | None = None
    while True:
        async with run.database.read() as tx:
            events = await audit.find(
                tx, app.id, EVENTS_AT_ONCE, after=last, since_ms=since_ms, until_ms=until_ms, kind="player"
            )
        for event in events:
            what, _, target = event["reason"].partition(":")
            if what not in (DELETED, MERGED_INTO):
                continue
            try:
                await _remove(runner, app, event["profile_id"], target)
            except Exception as error:  # noqa: BLE001 - raised below, when all others have had their turn
                log.warning("orphan_not_removed", profile=event["profile_id"], reason=str(error))
                failed = error
        if len(events) < EVENTS_AT_ONCE:
            break
        last = events[-1]["id"]
    if failed is not None:
        raise failed


async def _remove(runner: Runner, app: App, profile_id: str, target: str) -> None:
    hooks = runner.core.player_hooks

    async def work(ctx: Context) -> None:
        if await users.lock(ctx.tx, app.id, profile_id):
            return  # whoever is there is not gone
        if not (target and await hooks.merge_players(ctx, profile_id, target)):
            await hooks.delete_player(ctx, profile_id)

    try:
        await runner.do(work, app, Origin("job", ""))
    except GameError as error:  # what came late does not go together with what the target has
        log.warning("leftover_not_merged", reason=str(error))


SWEEP = Job("players.sweep_orphans", _sweep, every_seconds=60)
