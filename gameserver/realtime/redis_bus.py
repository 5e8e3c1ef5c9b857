"""The bus of several processes: publish and subscribe of Redis, on two connections of its own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, Final

import structlog
from hiredis import PushNotification
from redis import exceptions
from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection

from gameserver.frame import stop
from gameserver.realtime.bus import OnMessage
from gameserver.sessions import SessionsUnavailable
from gameserver.sessions.coalescer import Coalescer, unavailable
from gameserver.sessions.connection import TIMEOUT_SECONDS, AnyRedis
from gameserver.sessions.link import Line, own_connection

log = structlog.get_logger(__name__)

PREFIX: Final = "gs:rt:"
CHANNELS_AT_ONCE: Final = 1000  # in one command
RECONNECT_SECONDS: Final = 0.2
WORDS: Final = 3  # of a message: its kind, the channel, and what it says
# On a cluster the slot of the channel decides which node passes messages on. So there is one order for all.
PUBLISH_AT_SLOT: Final = "return redis.call('PUBLISH', KEYS[1], ARGV[1])"


class RedisBus:
    """The `Bus` over Redis, one for each process."""

    def __init__(self, redis: AnyRedis) -> None:
        self._redis = redis
        # One flight after the other: what a process publishes arrives in the order in which it did so.
        self._calls = Coalescer(redis, flights_max=1)
        self._is_cluster = isinstance(redis, RedisCluster)
        self._on_message: OnMessage = lambda _, __: None
        self._wanted: dict[str, None] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}  # those that Redis has not confirmed
        self._asked: Counter[str] = Counter()  # how many confirmations are still to come
        self._unsaid: list[tuple[str, str]] = []
        self._line: Line | None = None
        self._is_listening = False  # everything that is wanted was confirmed on this line
        self._connection: AbstractConnection | None = None
        self._task: asyncio.Task[None] | None = None

    def listen(self, on_message: OnMessage) -> None:
        """Say who gets the messages, and begin to listen. Redis need not be up yet."""
        self._on_message = on_message
        self._task = asyncio.create_task(self._keep_listening())

    def publish(self, channel: str, data: bytes) -> Awaitable[Any]:
        """Send a message."""
        if self._is_cluster:
            return self._calls.command("EVAL", PUBLISH_AT_SLOT, 1, PREFIX + channel, data)
        return self._calls.command("PUBLISH", PREFIX + channel, data)

    async def ask(self, channel: str, data: bytes) -> int:
        """Send a message, and tell how many processes it reaches."""
        if self._is_cluster:  # of which a node counts only who listens to itself
            reached = await self.count(channel)
            await self.publish(channel, data)
            return reached
        return int(await self.publish(channel, data))

    def subscribe(self, channel: str) -> Awaitable[None]:
        """Receive what is published from now on; returns when Redis has confirmed it."""
        if channel in self._wanted and channel not in self._waiting:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        if channel not in self._wanted:
            self._wanted[channel] = None
            self._waiting[channel] = asyncio.get_running_loop().create_future()
            if self._line is not None:
                self._say("SUBSCRIBE", channel)
        return self._confirmed(self._waiting[channel])

    async def _confirmed(self, future: "asyncio.Future[None]") -> None:
        done, _ = await asyncio.wait({future}, timeout=TIMEOUT_SECONDS)
        if not done:
            raise SessionsUnavailable("Redis does not confirm a subscription in time")

    def unsubscribe(self, channel: str) -> None:
        """Receive no more of a channel."""
        if channel in self._wanted:
            del self._wanted[channel]
            self._settle(channel)
            if self._line is not None:
                self._say("UNSUBSCRIBE", channel)

    async def count(self, channel: str) -> int:
        """Count the processes that receive a channel."""
        if isinstance(self._redis, RedisCluster):
            try:
                [(_, receivers)] = await self._redis.pubsub_numsub(PREFIX + channel)
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                raise unavailable(error) from None
            return int(receivers)
        _, count = await self._calls.command("PUBSUB", "NUMSUB", PREFIX + channel)
        return int(count)

    def trouble(self) -> str:
        """Say whether Redis is away, as seen from the connection on which messages arrive."""
        return "" if self._is_listening else "the subscription to Redis is broken; it is tried again"

    async def close(self) -> None:
        """Stop listening. The client is its owner's to close."""
        if self._task is not None:
            await stop(self._task)
        await self._disconnect()
        await self._calls.settle()
        self._calls.drop_links()
        for channel in list(self._waiting):
            self._settle(channel)

    # Speaking

    def _say(self, word: str, channel: str) -> None:
        """Collect what is said in one turn of the event loop."""
        if not self._unsaid:
            asyncio.get_running_loop().call_soon(self._say_it)
        self._unsaid.append((word, channel))

    def _say_it(self) -> None:
        unsaid, self._unsaid = self._unsaid, []
        if self._line is None:
            return  # the next line begins with all that is wanted
        begin = 0
        for index in range(1, len(unsaid) + 1):
            is_same = index < len(unsaid) and unsaid[index][0] == unsaid[begin][0]
            if not is_same or index - begin == CHANNELS_AT_ONCE:
                self._command(unsaid[begin][0], [channel for _, channel in unsaid[begin:index]])
                begin = index

    def _command(self, word: str, channels: list[str]) -> None:
        assert self._line is not None, "asked by the caller"
        if word == "SUBSCRIBE":
            self._asked.update(channels)
        self._line.say(word, *[PREFIX + channel for channel in channels])

    # Listening

    def _hear(self, reply: Any) -> None:
        if not isinstance(reply, list | PushNotification) or len(reply) != WORDS:
            return
        kind, name, value = reply
        channel = name.decode()[len(PREFIX) :] if name else ""
        if kind == b"message":
            try:
                self._on_message(channel, value)
            except Exception:
                log.exception("realtime_message_failed", channel=channel)
        elif kind == b"subscribe":
            self._asked[channel] -= 1
            if not self._asked[channel]:
                del self._asked[channel]
                self._settle(channel)

    def _settle(self, channel: str) -> None:
        future = self._waiting.pop(channel, None)
        if future is not None and not future.done():
            future.set_result(None)

    async def _keep_listening(self) -> None:
        was_lost = False
        while True:
            try:
                await self._hold_line(is_again=was_lost)
            except (exceptions.RedisError, OSError, TimeoutError, SessionsUnavailable) as error:
                if not was_lost:
                    log.warning("realtime_bus_away", reason=type(error).__name__)
            except Exception:
                log.exception("realtime_bus_failed")
            was_lost = True
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hold_line(self, *, is_again: bool) -> None:
        """Listen until the line breaks."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._disconnect()
            self._connection = await own_connection(self._redis, self._connection)
            line = self._line = Line(self._connection, self._hear)
        try:
            self._asked.clear()
            wanted = list(self._wanted)
            for channel in wanted:
                self._waiting.setdefault(channel, asyncio.get_running_loop().create_future())
            for begin in range(0, len(wanted), CHANNELS_AT_ONCE):
                self._command("SUBSCRIBE", wanted[begin : begin + CHANNELS_AT_ONCE])
            await self._all_confirmed(line, [self._waiting[channel] for channel in wanted])
            if is_again:
                log.info("realtime_bus_back", channels=len(wanted))
            self._is_listening = True
            await line.until_lost()
        finally:
            self._line, self._is_listening = None, False
            line.abort()
        log.warning("realtime_bus_lost")

    async def _all_confirmed(self, line: Line, futures: "Iterable[asyncio.Future[None]]") -> None:
        confirmed: asyncio.Future[Any] = asyncio.gather(*futures)
        waits: set[asyncio.Future[Any]] = {confirmed, line.lost}
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise SessionsUnavailable("Redis does not confirm subscriptions in time") from None
        finally:
            confirmed.add_done_callback(partial(_forget))
        if line.lost.done():
            raise SessionsUnavailable("Redis has closed the connection")

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)


def _forget(_: "asyncio.Future[Any]") -> None:
    """Let nobody ask for the outcome."""
