"""A player's real-time connection, without a socket: what the server's channels hand to it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gameserver.realtime import Channels, Frame, player_channel
from gameserver.realtime.reasons import Reason
from tests.conftest import Client


@dataclass(eq=False)
class Ear:
    """Listens to a player's channel and keeps what it hears."""

    session_digest: str = ""
    profile_id: str = ""
    cx_id: str = ""
    channels: set[str] = field(default_factory=set)
    muted: frozenset[str] = frozenset()
    is_open: bool = True
    heard: "asyncio.Queue[Any]" = field(default_factory=asyncio.Queue)

    def send(self, frame: Frame) -> None:
        self.heard.put_nowait(msgspec.json.decode(frame.payload))

    def end(self, reason: Reason) -> None:
        self.is_open = False
        self.heard.put_nowait(reason.code)

    async def next(self) -> Any:
        """The next message; waits for it."""
        async with asyncio.timeout(5):
            return await self.heard.get()


async def ear(player: Client) -> Ear:
    """Let a connection of the player listen."""
    listening = Ear(player.game.core.sessions.digest(player.session_id) or "", player.profile_id)
    channel = player_channel(player.app_id, player.profile_id)
    assert await player.game.core.get(Channels).add(listening, channel)
    return listening
