"""Many callers, few round trips: commands given in one turn of the event loop travel in one pipeline."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from hashlib import sha1
from importlib import resources
from time import perf_counter
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from gameserver.sessions.connection import TIMEOUT_SECONDS, AnyRedis, disconnect
from gameserver.sessions.interface import SessionsUnavailable
from gameserver.sessions.link import Arg, Command, Link

log = logging.getLogger(__name__)

BATCH_MAX = 256
FLIGHTS_MAX = 2
SCAN_COUNT = 1000

Call = tuple[Command, "asyncio.Future[Any]"]

_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.NoPermissionError,
    exceptions.RedisClusterException,
    exceptions.ClusterError,
    TimeoutError,
    OSError,
)
_AWAY_PREFIXES = {
    "MISCONF": "Redis takes no writes: it cannot save to its disk",
    "NOREPLICAS": "Redis takes no writes: it has too few replicas",
    "MASTERDOWN": "Redis is a replica that has lost its master",
    "CLUSTERDOWN": "the Redis cluster is down",
    "LOADING": "Redis is loading its data",
    "BUSY": "Redis is busy with a script",
    "UNKILLABLE": "Redis is busy with a script",
    "TRYAGAIN": "the Redis cluster is moving data",
}
_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (exceptions.ReadOnlyError, "Redis is a replica and takes no writes"),
    (exceptions.OutOfMemoryError, "Redis is full"),
    (exceptions.AuthenticationError, "Redis refuses the password"),
    (exceptions.NoPermissionError, "Redis does not permit its user what the server needs"),
    (exceptions.BusyLoadingError, "Redis is loading its data"),
    ((exceptions.TimeoutError, TimeoutError), "Redis does not answer in time"),
    ((exceptions.ConnectionError, OSError), "Redis cannot be reached"),
)


class LuaText(Protocol):
    """A script that Redis can run. `sha` is the SHA-1 of its text."""

    text: str
    sha: str


class Script:
    """A script kept beside this module, with the functions of `common.lua` in front."""

    def __init__(self, name: str) -> None:
        folder = resources.files("gameserver.sessions").joinpath("scripts")
        parts = [folder.joinpath(file).read_text("utf-8") for file in ("common.lua", f"{name}.lua")]
        self.text = "\n".join(parts)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Coalescer:
    """Sends commands in pipelines. While `FLIGHTS_MAX` of them are under way, further commands gather.

    `observe`, when it is set, is told how many seconds each flight took.
    """

    def __init__(
        self, redis: AnyRedis, *, flights_max: int = FLIGHTS_MAX, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.observe: Callable[[float], None] | None = None
        self._redis = redis
        self._is_cluster = isinstance(redis, RedisCluster)
        # A cluster client that lost a node is made to look again, with no other flight under way.
        self._flights_max = 1 if self._is_cluster else flights_max
        self._timeout_seconds = timeout_seconds
        self._waiting: list[Call] = []
        self._flights = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = False
        self._quiet: asyncio.Future[None] | None = None
        self._texts: dict[str, str] = {}
        self._links: list[Link] = []  # those that no flight uses

    def command(self, *command: Arg) -> "asyncio.Future[Any]":
        """Return the raw reply to a command. Raises `SessionsUnavailable`, or Redis's own refusal."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, reply))
        if not self._due:
            self._due = True
            loop.call_soon(self._depart)
        return reply

    def script(self, script: LuaText, keys: tuple[str, ...], *args: Arg) -> "asyncio.Future[Any]":
        """Return the reply of a script; loads it when the server does not know it."""
        self._texts[script.sha] = script.text
        return self.command("EVALSHA", script.sha, len(keys), *keys, *args)

    async def scan(self, pattern: str, page: int) -> AsyncIterator[list[bytes]]:
        """Yield the keys of a pattern, about `page` at a time, on every node. One may come twice.

        Raises `SessionsUnavailable`. A trip for each thousand keys of the server: not for every day.
        """
        keys: list[bytes] = []
        try:
            async for key in self._redis.scan_iter(match=pattern, count=SCAN_COUNT):
                keys.append(key)
                if len(keys) == page:
                    yield keys
                    keys = []
        except Exception as error:
            if _is_away(error):
                raise unavailable(error) from None
            raise
        if keys:
            yield keys

    async def settle(self) -> None:
        """Wait for what is under way."""
        while self._waiting or self._flights:
            self._quiet = asyncio.get_running_loop().create_future()
            await self._quiet

    async def close(self) -> None:
        """Wait for what is under way, then disconnect."""
        await self.settle()
        self.drop_links()
        await disconnect(self._redis)

    def drop_links(self) -> None:
        """Part from Redis on connections of its own: for who shares the client with others."""
        for link in self._links:
            link.close()

    def _depart(self) -> None:
        self._due = False
        while self._waiting and self._flights < self._flights_max:
            batch = [call for call in self._waiting[:BATCH_MAX] if not call[1].done()]
            del self._waiting[:BATCH_MAX]
            if not batch:
                continue
            self._flights += 1
            if self._links and self._links[-1].is_open:
                link = self._links.pop()
                landed = partial(self._landed, batch, link, perf_counter())
                link.send([command for command, _ in batch], landed, self._timeout_seconds)
            else:
                self._start(self._fly(batch))
        if self._quiet is not None and not self._flights and not self._quiet.done():
            self._quiet.set_result(None)

    def _start(self, flight: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(flight)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _landed(
        self, batch: list[Call], link: Link | None, started: float, replies: list[Any] | Exception
    ) -> None:
        if link is not None:
            self._links.append(link)
        if self.observe is not None:
            self.observe(perf_counter() - started)
        again: list[Call] = []
        if isinstance(replies, Exception):
            if _is_away(replies):  # who waits behind this flight would only wait as long again
                batch = batch + self._waiting
                self._waiting = []
            for _, future in batch:
                _settle(future, replies)
        else:
            for call, reply in zip(batch, replies, strict=True):
                if isinstance(reply, exceptions.NoScriptError):
                    again.append(call)
                else:
                    _settle(call[1], reply)
        if again:  # EVAL runs a script and makes the server remember it, whichever node that is
            self._start(self._fly([(self._spelled_out(command), future) for command, future in again]))
            return
        self._flights -= 1
        self._depart()

    async def _fly(self, batch: list[Call]) -> None:
        """Let a batch go where there is no link that could take it at once."""
        started = perf_counter()
        replies: list[Any] | Exception
        try:
            async with asyncio.timeout(self._timeout_seconds):
                replies = await self._send([command for command, _ in batch])
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            replies = error
        if (
            self._is_cluster
            and isinstance(replies, list)
            and any(isinstance(reply, exceptions.ConnectionError) for reply in replies)
        ):
            await self._look_again()
        self._landed(batch, None, started, replies)

    async def _send(self, commands: list[Command]) -> list[Any]:
        if type(self._redis) is not Redis:  # a cluster finds each command's node; the imitation has no wire
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)
        if not self._links:
            pool = self._redis.connection_pool
            self._links.append(Link(await pool.get_connection()))  # type: ignore[no-untyped-call]  # the library says nothing of its types
        link = self._links.pop()
        try:
            if not link.is_open:
                link = await Link.again(link.connection)
            arrived: asyncio.Future[list[Any] | Exception] = asyncio.get_running_loop().create_future()
            link.send(commands, partial(_arrive, arrived), self._timeout_seconds)
            replies = await arrived
        except BaseException:
            link.close()  # replies that nobody waits for any more must not be the next flight's
            raise
        finally:
            self._links.append(link)
        if isinstance(replies, Exception):
            raise replies
        return replies

    def _spelled_out(self, command: Command) -> Command:
        return ("EVAL", self._texts[str(command[1])], *command[2:])

    async def _look_again(self) -> None:
        try:
            await self._redis.aclose()  # the next command asks for the cluster's nodes afresh
        except Exception:  # the connections were broken already
            log.debug("closing connections of a lost node failed", exc_info=True)


def _arrive(future: "asyncio.Future[list[Any] | Exception]", replies: list[Any] | Exception) -> None:
    if not future.done():
        future.set_result(replies)


def _is_away(error: BaseException) -> bool:
    return isinstance(error, _AWAY) or (
        isinstance(error, exceptions.ResponseError) and str(error).startswith(tuple(_AWAY_PREFIXES))
    )


def unavailable(error: BaseException) -> SessionsUnavailable:
    """Say why Redis cannot be used. The error's own text may name hosts or users."""
    for kinds, reason in _REASONS:
        # A connection that cannot be made says why in its cause.
        if isinstance(error, kinds) or isinstance(error.__cause__, kinds):
            return SessionsUnavailable(reason)
    for prefix, reason in _AWAY_PREFIXES.items():
        if str(error).startswith(prefix):
            return SessionsUnavailable(reason)
    return SessionsUnavailable(f"Redis cannot be used now ({type(error).__name__})")


def _settle(future: "asyncio.Future[Any]", reply: object) -> None:
    if future.done():
        return
    if not isinstance(reply, BaseException):
        future.set_result(reply)
    elif _is_away(reply):
        future.set_exception(unavailable(reply))
    else:
        future.set_exception(reply)
