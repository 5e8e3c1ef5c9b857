"""A Redis that answers and is of no use: full, a replica, or one that throws sessions away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gameserver.sessions import BadUrl, NewSession, Session, Sessions, SessionsUnavailable, session_store
from gameserver.wire.clock import FixedClock
from tests.servers import redis

NEW = NewSession(app_id="10001", profile_id="p1", face="test", facts={}, life_seconds=1200, packet_id=0)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Sessions]:
    store = await session_store(url, FixedClock())
    assert isinstance(store, Sessions)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def admin(url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()


async def test_a_full_redis(tmp_path: Path) -> None:
    with redis("--maxmemory", "4mb") as url:
        async with opened(url) as store, admin(url) as client:
            assert await store.ping() == ""
            await client.config_set("maxmemory", "100kb")
            for ask in (store.ping, lambda: store.open(NEW)):
                with pytest.raises(SessionsUnavailable, match=r"^Redis is full$"):
                    await ask()
            await client.config_set("maxmemory", "0")
            assert await store.ping() == ""


async def test_a_replica_is_left_for_the_master(tmp_path: Path) -> None:
    """One name leads to a replica, as after a fail-over, and then to the master again."""
    name = tmp_path / "redis.sock"
    with redis() as first, redis() as second:
        async with admin(second) as client:
            await client.replicaof("127.0.0.1", "1")  # a master that it never reaches
        name.symlink_to(second.removeprefix("unix://"))
        async with opened(f"unix://{name}") as store:
            for ask in (store.ping, lambda: store.open(NEW)):
                with pytest.raises(SessionsUnavailable, match=r"^Redis is a replica and takes no writes$"):
                    await ask()
            name.unlink()
            name.symlink_to(first.removeprefix("unix://"))
            opened_ones = await asyncio.gather(*(store.open(NEW) for _ in range(4)))
            for each in opened_ones:
                assert isinstance(await store.peek(each.session_id), Session)  # type: ignore[union-attr]


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_redis_that_throws_sessions_away(policy: str) -> None:
    with redis("--maxmemory", "100mb", "--maxmemory-policy", policy) as url:
        async with opened(url) as store, admin(url) as client:
            warning = await store.ping()
            assert policy in warning
            assert "set it to noeviction" in warning
            await client.config_set("maxmemory", "0")  # no limit: nothing is thrown away
            assert await store.ping() == ""


async def test_a_redis_that_asks_for_a_password() -> None:
    with redis("--requirepass", "secret") as url:
        async with opened(url) as store:
            with pytest.raises(SessionsUnavailable, match=r"^Redis refuses the password$"):
                await store.ping()
        async with opened(f"{url}?password=secret") as store:
            assert await store.ping() == ""


async def test_a_redis_that_is_not_there(tmp_path: Path) -> None:
    async with opened(f"unix://{tmp_path}/none.sock") as store:
        with pytest.raises(SessionsUnavailable, match=r"^Redis cannot be reached$"):
            await store.ping()


@pytest.mark.parametrize("url", ["redis://me:pass/word@host:x", "redis://host:port", "http://host", "host"])
async def test_a_bad_url_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(BadUrl, match="Redis URL") as refused:
        await session_store(url, FixedClock())
    assert "word" not in str(refused.value).replace("password", "")
