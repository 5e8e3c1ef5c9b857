"""Tells those who listen to a player what has become of them.

Whoever changes something says only that; what is told is looked up a moment later, and looked at again when
it was told: of two processes that tell at the same time the last word is right. Of one player each process
tells at most once in a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from gameserver.apps import LiveApps
from gameserver.frame import Parts, stop
from gameserver.realtime import Channels, Presence, Roster, encode_frame
from gameserver.services.presence.base import PROFILES, PresenceSettings, presence_channel, service, shown
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Database, StorageError
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

INCOMING = "INCOMING"
PAUSE_SECONDS = 1.0
AT_ONCE = 20  # players of whom a process tells at the same time: more would wait for the database
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
        # Those of whom there is something to tell, and whether they have come or gone.
        self._changed: dict[Player, bool] = {}
        self._tasks: dict[Player, asyncio.Task[None]] = {}  # of those, and of who was told of just now
        self._places = asyncio.Semaphore(AT_ONCE)
        self._is_closing = asyncio.Event()

    def changed(self, app_id: str, profile_id: str) -> None:
        """Tell soon that a player has come or gone, as others see it."""
        self._note((app_id, profile_id), True)

    def shows(self, app_id: str, profile_id: str) -> None:
        """Tell soon what a player shows; nothing of who is not there, or hides."""
        self._note((app_id, profile_id), False)

    def _note(self, player: Player, has_moved: bool) -> None:
        if self._is_closing.is_set():
            return
        self._changed[player] = has_moved or self._changed.get(player, False)
        if player not in self._tasks:
            self._tasks[player] = asyncio.create_task(self._announce(player))

    async def close(self) -> None:
        """Tell at once what is still to be told; returns when nothing is told any more."""
        self._is_closing.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=GOODBYE_SECONDS)
        await asyncio.gather(*[stop(task) for task in tuple(self._tasks.values())])

    async def _announce(self, player: Player) -> None:
        try:
            while player in self._changed:
                async with self._places:
                    has_moved = self._changed.pop(player)  # what changes from here on is told once more
                    await self._try_to_tell(player, has_moved)
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await self._is_closing.wait()
        finally:
            del self._tasks[player]

    async def _try_to_tell(self, player: Player, has_moved: bool) -> None:
        try:
            await self._tell(*player, has_moved=has_moved)
        except (SessionsUnavailable, StorageError) as error:
            log.warning("presence_not_told", reason=str(error))
        except Exception:
            log.exception("presence_not_told")

    async def _tell(self, app_id: str, profile_id: str, *, has_moved: bool) -> None:
        app = self._apps.find(app_id)
        channel = presence_channel(app_id, profile_id)
        if app is None or not app.section(PresenceSettings).realtime_updates:
            return
        if not await self._channels.is_listening(channel):
            return
        told: Presence | None = None
        for _ in range(AGAIN_MAX):
            now = (await self._roster.look(app_id, [profile_id]))[profile_id]
            if now == told or (told is None and not has_moved and not now.is_online(self._clock.ms())):
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
