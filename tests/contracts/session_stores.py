"""What the suites over session stores share."""

from collections.abc import AsyncIterator, Iterator
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


async def make_store(request: pytest.FixtureRequest, clock: FixedClock) -> SessionStore:
    if request.param == "memory":
        return MemorySessions(clock, packets_per_minute_max=20)
    if request.param == "fake":
        return Sessions(FakeAsyncRedis(), clock, packets_per_minute_max=20)
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
