"""What of realtime lives as long as the server."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gameserver.frame import Lifespan, Parts, running
from gameserver.realtime.bus import Bus, MemoryBus
from gameserver.realtime.channels import Channels
from gameserver.realtime.connections import Connections
from gameserver.realtime.redis_bus import RedisBus
from gameserver.realtime.roster import MemoryRoster, RedisRoster, Roster
from gameserver.realtime.tickets import MemoryTickets, RedisTickets, Tickets
from gameserver.sessions import Sessions, SessionStore, SessionsUnavailable
from gameserver.wire.clock import Clock

RETRY_SECONDS = 1.0


@asynccontextmanager
async def channels(parts: Parts) -> AsyncIterator[Channels]:
    """Publish and listen as long as the server lives: through Redis where sessions are there."""
    sessions = parts.get(SessionStore)
    bus: Bus = RedisBus(sessions.redis) if isinstance(sessions, Sessions) else MemoryBus()
    made = Channels(bus, secrets.token_hex(8))
    bus.listen(made.receive)
    await made.open()
    try:
        yield made
    finally:
        await bus.close()


@asynccontextmanager
async def roster(parts: Parts) -> AsyncIterator[None]:
    """Know who is connected as long as the server lives."""
    sessions, clock = parts.get(SessionStore), parts.get(Clock)
    made: MemoryRoster | RedisRoster
    if isinstance(sessions, Sessions):
        made = RedisRoster(sessions.calls, clock, secrets.token_hex(8))
    else:
        made = MemoryRoster(clock)
    parts.add(Roster, made)
    try:
        async with running(made.run()):
            yield
    finally:
        await made.close()


@asynccontextmanager
async def connections(parts: Parts) -> AsyncIterator[Connections]:
    """Take connections as long as the server lives."""
    sessions, clock = parts.get(SessionStore), parts.get(Clock)
    tickets: Tickets = (
        RedisTickets(sessions.calls) if isinstance(sessions, Sessions) else MemoryTickets(clock)
    )
    made = Connections(sessions, parts.get(Channels), parts.get(Roster), tickets, clock)
    async with running(_watch(sessions, made)), running(made.run()):
        try:
            yield made
        finally:
            await made.close()


async def _watch(sessions: SessionStore, connections: Connections) -> None:
    """Hear of sessions that any process ends. Redis need not be up yet."""
    while True:
        try:
            watch = await sessions.watch(connections.session_ended, connections.look_at_all_sessions)
            break
        except SessionsUnavailable:
            await asyncio.sleep(RETRY_SECONDS)
    try:
        connections.look_at_all_sessions()
        await asyncio.Future()
    finally:
        await watch.close()


LIFESPANS: tuple[Lifespan, ...] = (channels, roster, connections)
