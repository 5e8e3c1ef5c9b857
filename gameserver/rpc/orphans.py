"""What is left behind of players who are gone.

A packet that runs while its player is deleted, or becomes one with another, may commit after that has
happened, rows that nobody removes any more. To make every packet look whether its player is still there would
cost all of them; so it is the rare deletion that is done once more, when no such packet can run any longer.
"""

import structlog

from gameserver.apps import App
from gameserver.players import audit, users
from gameserver.rpc.context import Context, Origin
from gameserver.rpc.packets import Packets
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

RUN_MS_MAX = 10 * 60 * 1000
"""No packet runs longer: statements are cancelled after seconds, and clients give up after a minute."""
EVENTS_AT_ONCE = 500
DELETED, MERGED_INTO = "deleted", "merged_into"


class OrphanSweeper:
    """Finds players who went a while ago in the audit, and removes what has come after them.

    Each process does so, and twice does no harm. An app without an audit leaves it to whoever repeats the
    command.
    """

    def __init__(self, packets: Packets) -> None:
        self._packets = packets
        self._core = packets.core
        self._seen_ms: dict[str, int] = {}

    async def remove(self, app: App) -> None:
        """Remove what is left of the players of an app who went since the last time, some minutes ago."""
        until = self._core.clock.ms() - RUN_MS_MAX
        since = self._seen_ms.get(app.id, until - RUN_MS_MAX)
        self._seen_ms[app.id] = until
        last = ""
        while True:
            async with self._core.database.read() as tx:
                events = await audit.find(
                    tx, app.id, EVENTS_AT_ONCE, after=last, since_ms=since, until_ms=until, kind="player"
                )
            for event in events:
                what, _, target = event["reason"].partition(":")
                if what in (DELETED, MERGED_INTO):
                    await self._remove(app, event["profile_id"], target)
            if len(events) < EVENTS_AT_ONCE:
                return
            last = events[-1]["id"]

    async def _remove(self, app: App, profile_id: str, target: str) -> None:
        hooks = self._core.player_hooks

        async def work(ctx: Context) -> None:
            if await users.lock(ctx.tx, app.id, profile_id):
                return  # whoever is there is not gone
            if not (target and await hooks.merge_players(ctx, profile_id, target)):
                await hooks.delete_player(ctx, profile_id)

        try:
            await self._packets.run(work, app, Origin("housekeeping", ""))
        except GameError as error:  # what came late does not go together with what the target has
            log.warning("leftover_not_merged", reason=str(error))
