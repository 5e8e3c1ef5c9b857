"""Listening to the ends of sessions that any process announces in Redis.

The client library's way to listen takes longer for a message than Redis does for the login that sends it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from hiredis import PushNotification
from redis.asyncio.connection import AbstractConnection

from gameserver.frame import stop
from gameserver.sessions.coalescer import unavailable
from gameserver.sessions.connection import TIMEOUT_SECONDS, AnyRedis
from gameserver.sessions.interface import OnEnd, OnGap
from gameserver.sessions.link import Line, own_connection

log = logging.getLogger(__name__)

CHANNEL: Final = "gs:ended"
RECONNECT_SECONDS: Final = 0.2
WORDS: Final = 3  # of a message: its kind, the channel, and what it says


class RedisWatch:
    """Listens on a connection of its own, and again when that one breaks."""

    def __init__(self, redis: AnyRedis, on_end: OnEnd, on_gap: OnGap | None) -> None:
        self._redis = redis
        self._on_end = on_end
        self._on_gap = on_gap
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> "asyncio.Task[None]":
        """Return when the subscription holds; raises `SessionsUnavailable`."""
        try:
            line = await self._subscribe()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no subscription
            raise unavailable(error) from None
        self._task = asyncio.create_task(self._listen(line))
        return self._task

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            with suppress(Exception):
                await stop(self._task)
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                await self._connection.disconnect(nowait=True)

    async def _subscribe(self) -> Line:
        await self._disconnect()
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            self._connection = await own_connection(self._redis, self._connection)
            line = Line(self._connection, partial(self._hear, confirmed))
            try:
                line.say("SUBSCRIBE", CHANNEL)
                await asyncio.wait({confirmed, line.lost}, return_when=asyncio.FIRST_COMPLETED)
                if not confirmed.done():
                    raise ConnectionError("Redis has closed the connection")  # noqa: TRY301 - as any error
            except BaseException:
                line.abort()
                await self._disconnect()
                raise
        return line

    def _hear(self, confirmed: "asyncio.Future[None]", reply: Any) -> None:
        if not isinstance(reply, list | PushNotification) or len(reply) != WORDS:
            return
        kind, _, told = reply
        if kind == b"message":
            digest, _, reason = told.decode().partition(" ")
            self._tell(self._on_end, digest, reason)
        elif kind == b"subscribe" and not confirmed.done():
            confirmed.set_result(None)

    async def _listen(self, line: Line) -> None:
        while True:
            try:
                await line.until_lost()
            finally:
                line.abort()
            log.warning("the subscription to ended sessions broke")
            line = await self._again()
            if self._on_gap is not None:
                self._tell(self._on_gap)

    async def _again(self) -> Line:
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
