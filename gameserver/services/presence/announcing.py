"""Tells those who listen to a player what has become of them.

Whoever changes something says only that; what is told is looked up a moment later, and looked at again when
it was told: of two processes that tell at the same time the last word is right. Of one player each process
tells at most once in a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from gameserver.apps import LiveApps
from gameserver.frame import Parts
from gameserver.realtime import Channels, Presence, Roster, encode_frame
from gameserver.services.presence.base import PROFILES, PresenceSettings, presence_channel, service, shown
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Database, StorageError
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

INCOMING = "INCOMING"
PAUSE_SECONDS = 1.0
GOODBYE_SECONDS = 2.0  # for what is still to be told when the server ends
AGAIN_MAX = 3  # a player who changes faster than that has a next announcement anyway

Player = tuple[str, str]


class Announcer:
    """Tells what changes. One for each process."""

    def __init__(self, parts: Parts) -> None:
        self._apps = parts.get(LiveApps)
        self._channels = parts.get(Channels)
        self._roster = parts.get(Roster)
        self._database = parts.get(Database)
        self._clock = parts.get(Clock)
        self._due: dict[Player, asyncio.Task[None]] = {}
        self._told: dict[Player, float] = {}  # when, by the event loop's clock; of the last second
        self._is_closing = asyncio.Event()

    def changed(self, app_id: str, profile_id: str) -> None:
        """Tell soon what a player shows."""
        player = app_id, profile_id
        if player not in self._due and not self._is_closing.is_set():
            self._due[player] = asyncio.create_task(self._announce(player))

    async def close(self) -> None:
        """Tell at once what is still to be told."""
        self._is_closing.set()
        if self._due:
            await asyncio.wait(self._due.values(), timeout=GOODBYE_SECONDS)
        for task in self._due.values():
            task.cancel()

    async def _announce(self, player: Player) -> None:
        loop = asyncio.get_running_loop()
        wait = self._told.get(player, 0.0) + PAUSE_SECONDS - loop.time()
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._is_closing.wait()
            except TimeoutError:
                pass
        del self._due[player]  # what changes from here on is told once more
        self._told[player] = loop.time()
        loop.call_later(PAUSE_SECONDS, self._forget, player)
        try:
            await self._tell(*player)
        except (SessionsUnavailable, StorageError) as error:
            log.warning("presence_not_told", reason=str(error))
        except Exception:
            log.exception("presence_not_told")

    async def _tell(self, app_id: str, profile_id: str) -> None:
        app = self._apps.find(app_id)
        channel = presence_channel(app_id, profile_id)
        if app is None or not app.section(PresenceSettings).realtime_updates:
            return
        if not await self._channels.is_listening(channel):
            return
        told: Presence | None = None
        for _ in range(AGAIN_MAX):
            now = (await self._roster.look(app_id, [profile_id]))[profile_id]
            if now == told:
                return
            self._channels.publish(channel, await self._frame(app_id, profile_id, now))
            told = now

    async def _frame(self, app_id: str, profile_id: str, presence: Presence) -> bytes:
        async with self._database.read() as tx:
            row: Any = await tx.one(PROFILES, profiles=[profile_id], app=app_id)
        if row is None:  # deleted: those who listen are still to hear that the player is gone
            row = {"profile_id": profile_id, "name": "", "picture_url": None, "summary_friend_data": None}
        seen = shown(row, presence, self._clock.ms())
        data = {
            "from": seen.user,
            "online": seen.online,
            "summaryFriendData": seen.summary_friend_data,
            "activity": seen.activity,
        }
        return encode_frame(service.name, INCOMING, data)

    def _forget(self, player: Player) -> None:
        if self._told.get(player, 0.0) + PAUSE_SECONDS <= asyncio.get_running_loop().time():
            self._told.pop(player, None)


@service.lifespan
@asynccontextmanager
async def announcer(parts: Parts) -> AsyncIterator[Announcer]:
    """Tell what changes as long as the server lives."""
    made = Announcer(parts)
    parts.get(Roster).listen(made.changed)
    try:
        yield made
    finally:
        await made.close()
