"""Many callers, few round trips: commands given in one turn of the event loop travel in one pipeline."""

import asyncio
import logging
import math
from hashlib import sha1
from importlib import resources
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection

from gameserver.sessions.connection import TIMEOUT_SECONDS, AnyRedis, disconnect
from gameserver.sessions.interface import SessionsUnavailable

log = logging.getLogger(__name__)

BATCH_MAX = 256
FLIGHTS_MAX = 2

Arg = str | bytes | int
Command = tuple[Arg, ...]
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
_AWAY_PREFIXES = (
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "LOADING",
    "BUSY",
    "UNKILLABLE",
    "TRYAGAIN",
)


class Script:
    """A script kept beside this module, with the functions of `common.lua` in front."""

    def __init__(self, name: str) -> None:
        folder = resources.files("gameserver.sessions").joinpath("scripts")
        parts = [folder.joinpath(file).read_text("utf-8") for file in ("common.lua", f"{name}.lua")]
        self.text = "\n".join(parts)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Coalescer:
    """Sends commands in pipelines. While `FLIGHTS_MAX` of them are under way, further commands gather."""

    def __init__(
        self, redis: AnyRedis, *, flights_max: int = FLIGHTS_MAX, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._redis = redis
        self._is_cluster = isinstance(redis, RedisCluster)
        # A cluster client that lost a node is made to look again, with no other flight under way.
        self._flights_max = 1 if self._is_cluster else flights_max
        self._timeout_seconds = timeout_seconds
        self._waiting: list[Call] = []
        self._flights: set[asyncio.Task[None]] = set()
        self._due = False
        self._texts: dict[str, str] = {}
        self._idle: list[AbstractConnection] = []

    def command(self, *command: Arg) -> "asyncio.Future[Any]":
        """Return the raw reply to a command. Raises `SessionsUnavailable`, or Redis's own refusal."""
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, reply))
        if not self._due:
            self._due = True
            loop.call_soon(self._depart)
        return reply

    def script(self, script: Script, keys: tuple[str, ...], *args: Arg) -> "asyncio.Future[Any]":
        """Return the reply of a script; loads it when the server does not know it."""
        self._texts[script.sha] = script.text
        return self.command("EVALSHA", script.sha, len(keys), *keys, *args)

    async def close(self) -> None:
        """Wait for what is under way, then disconnect."""
        while self._waiting or self._flights:
            await asyncio.sleep(0)
            await asyncio.gather(*self._flights, return_exceptions=True)
        await disconnect(self._redis)

    def _depart(self) -> None:
        self._due = False
        while self._waiting and len(self._flights) < self._flights_max:
            batch = [call for call in self._waiting[:BATCH_MAX] if not call[1].done()]
            del self._waiting[:BATCH_MAX]
            if batch:
                flight = asyncio.create_task(self._fly(batch))
                self._flights.add(flight)
                flight.add_done_callback(self._landed)

    def _landed(self, flight: "asyncio.Task[None]") -> None:
        self._flights.discard(flight)
        self._depart()

    async def _fly(self, batch: list[Call]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                replies = await self._send([command for command, _ in batch])
                unknown = [
                    i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)
                ]
                if unknown:  # EVAL runs a script and makes the server remember it, whichever node that is
                    again = await self._send([self._spelled_out(batch[i][0]) for i in unknown])
                    for i, reply in zip(unknown, again, strict=True):
                        replies[i] = reply
        except Exception as error:  # noqa: BLE001 - it belongs to the callers
            if _is_away(error):  # who waits behind this flight would only wait as long again
                batch = batch + self._waiting
                self._waiting = []
            replies = [error] * len(batch)
        if self._is_cluster and any(isinstance(reply, exceptions.ConnectionError) for reply in replies):
            await self._look_again()
        for (_, future), reply in zip(batch, replies, strict=True):
            _settle(future, reply)

    async def _send(self, commands: list[Command]) -> list[Any]:
        if type(self._redis) is not Redis:  # a cluster finds each command's node; the imitation has no wire
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)
        # Straight to a connection: the client's pipeline costs several times what packing and reading do. And
        # the connection stays here, because its pool takes a third of a command to lend it.
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await _reconnect_if_closed(connection)
            await connection.send_packed_command(b"".join(_pack(command) for command in commands))
            return [await _reply(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)  # replies that nobody read must not be the next caller's
            raise
        finally:
            self._idle.append(connection)

    def _spelled_out(self, command: Command) -> Command:
        return ("EVAL", self._texts[str(command[1])], *command[2:])

    async def _look_again(self) -> None:
        try:
            await self._redis.aclose()  # the next command asks for the cluster's nodes afresh
        except Exception:  # the connections were broken already
            log.debug("closing connections of a lost node failed", exc_info=True)


def _pack(command: Command) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its hint speaks of one word only
    return packed


async def _reconnect_if_closed(connection: AbstractConnection) -> None:
    reader = connection._reader  # noqa: SLF001 - nothing else tells
    if reader is None or reader.at_eof():
        await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)  # the whole flight has a time limit
    except exceptions.ResponseError as refusal:
        return refusal


def _is_away(error: BaseException) -> bool:
    return isinstance(error, _AWAY) or (
        isinstance(error, exceptions.ResponseError) and str(error).startswith(_AWAY_PREFIXES)
    )


def _settle(future: "asyncio.Future[Any]", reply: object) -> None:
    if future.done():
        return
    if not isinstance(reply, BaseException):
        future.set_result(reply)
    elif _is_away(reply):
        # The kind of the error is enough: its text may name hosts or users.
        away = SessionsUnavailable(f"Redis cannot be used now ({type(reply).__name__})")
        future.set_exception(away)
    else:
        future.set_exception(reply)
