"""What the suites over session stores share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis

from gameserver.sessions import (
    Admitted,
    LoginLimit,
    MemorySessions,
    NewSession,
    Opened,
    Session,
    Sessions,
    SessionStore,
    connect,
)
from gameserver.sessions.redis_watch import CHANNEL, RedisWatch
from gameserver.wire.clock import FixedClock
from tests.servers import redis

APP = "20001"
LIFE = 60
TOMBSTONE = 900
ONE = LoginLimit(most=1)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "fake", "redis"])
async def store(request: pytest.FixtureRequest, clock: FixedClock) -> AsyncIterator[SessionStore]:
    made = await make_store(request, clock)
    yield made
    await made.close()


class _ImitatedLine:
    """What `Line` is, over an imitation that has no wire: the client library listens."""

    def __init__(self, pubsub: Any, hear: Callable[[Any], None]) -> None:
        self._pubsub = pubsub
        self._hear = hear

    async def until_lost(self) -> None:
        while True:
            message = await self._pubsub.get_message(timeout=1.0)
            if message is not None:
                self._hear([message["type"].encode(), message["channel"], message["data"]])

    def abort(self) -> None:
        pass


class _ImitatedWatch(RedisWatch):
    async def _subscribe(self) -> Any:
        pubsub: Any = self._redis.pubsub()
        await pubsub.subscribe(CHANNEL)
        await pubsub.get_message(timeout=1.0)
        return _ImitatedLine(pubsub, partial(self._hear, asyncio.get_running_loop().create_future()))


def imitated(clock: FixedClock) -> Sessions:
    """The scripts on an imitation of Redis."""
    store = Sessions(FakeAsyncRedis(), clock, packets_per_minute_max=20)
    store.watch_kind = _ImitatedWatch
    return store


async def make_store(request: pytest.FixtureRequest, clock: FixedClock) -> SessionStore:
    if request.param == "memory":
        return MemorySessions(clock, packets_per_minute_max=20)
    if request.param == "fake":
        return imitated(clock)
    client = await connect(request.getfixturevalue("redis_url"))
    await client.flushall()
    return Sessions(client, clock, packets_per_minute_max=20)


async def log_in(
    store: SessionStore,
    profile: str = "ada",
    limit: LoginLimit | None = None,
    app: str = APP,
    **changes: Any,
) -> Opened:
    new = NewSession(app, profile, "dispatcher", **{"life_seconds": LIFE, "packet_id": 0} | changes)
    opened = await (store.open(new) if limit is None else store.open(new, limit))
    assert isinstance(opened, Opened)
    return opened


async def claim(store: SessionStore, opened: Opened, packet: int = 1, body: str = "h1") -> Session:
    admitted = await store.admit(opened.session_id, packet, body, APP)
    assert isinstance(admitted, Admitted)
    return admitted.session
