"""What of realtime lives as long as the server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gameserver.frame import Parts
from gameserver.realtime.bus import Bus, MemoryBus
from gameserver.realtime.channels import Channels
from gameserver.realtime.redis_bus import RedisBus
from gameserver.sessions import Sessions, SessionStore


@asynccontextmanager
async def channels(parts: Parts) -> AsyncIterator[Channels]:
    """Publish and listen as long as the server lives: through Redis where sessions are there."""
    sessions = parts.get(SessionStore)
    bus: Bus = RedisBus(sessions.redis) if isinstance(sessions, Sessions) else MemoryBus()
    made = Channels(bus, secrets.token_hex(8))
    bus.listen(made.receive, lambda: None)
    await made.open()
    try:
        yield made
    finally:
        await bus.close()
