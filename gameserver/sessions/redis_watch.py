"""Listening to the ends of sessions that any process announces in Redis."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from redis.asyncio import RedisCluster

from gameserver.sessions.coalescer import unavailable
from gameserver.sessions.connection import AnyRedis
from gameserver.sessions.interface import OnEnd, OnGap

log = logging.getLogger(__name__)

CHANNEL: Final = "gs:ended"
LISTEN_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 0.2


class RedisWatch:
    """Listens on a connection of its own, and again when that one breaks."""

    def __init__(self, redis: AnyRedis, on_end: OnEnd, on_gap: OnGap | None) -> None:
        self._redis = redis
        self._on_end = on_end
        self._on_gap = on_gap
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> "asyncio.Task[None]":
        """Return when the subscription holds; raises `SessionsUnavailable`."""
        try:
            pubsub = await self._subscribe()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no subscription
            raise unavailable(error) from None
        self._task = asyncio.create_task(self._listen(pubsub))
        return self._task

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _subscribe(self) -> Any:
        if isinstance(self._redis, RedisCluster):
            await self._redis.initialize()  # which node to listen to depends on the cluster's slots
        pubsub: Any = self._redis.pubsub()
        try:
            await pubsub.subscribe(CHANNEL)
            if await pubsub.get_message(timeout=LISTEN_SECONDS) is None:
                raise TimeoutError  # noqa: TRY301 - the subscription was not confirmed; clean up as for any error
        except BaseException:
            await pubsub.aclose()
            raise
        return pubsub

    async def _listen(self, pubsub: Any) -> None:
        while True:
            try:
                while True:
                    message = await pubsub.get_message(timeout=LISTEN_SECONDS)
                    if message is not None and message["type"] == "message":
                        digest, _, reason = message["data"].decode().partition(" ")
                        self._tell(self._on_end, digest, reason)
            except Exception as error:  # noqa: BLE001 - whatever broke it, only a new one helps
                log.warning("the subscription to ended sessions broke (%s)", type(error).__name__)
            finally:
                with suppress(Exception):
                    await pubsub.aclose()
            pubsub = await self._again()
            if self._on_gap is not None:
                self._tell(self._on_gap)

    async def _again(self) -> Any:
        while True:
            try:
                return await self._subscribe()
            except Exception:  # noqa: BLE001 - Redis is away; so are sessions, and others report that
                await asyncio.sleep(RECONNECT_SECONDS)

    def _tell(self, callback: Callable[..., None], *args: str) -> None:
        try:
            callback(*args)
        except Exception:
            log.exception("a callback for ended sessions failed")
