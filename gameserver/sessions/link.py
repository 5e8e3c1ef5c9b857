"""A connection to Redis that hands over all replies to a batch of commands at once.

The client library makes the connection: it knows Sentinels, TLS and how to log in. Then this takes it over.
The library's streams wake a task for every read and pass each reply through five calls, which takes longer
than everything Redis does for a packet.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self, cast

from hiredis import PushNotification, Reader, pack_command
from redis import exceptions
from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection

from gameserver.sessions.connection import AnyRedis

Arg = str | bytes | int
Command = tuple[Arg, ...]
Land = Callable[[list[Any] | Exception], None]

SILENT_SECONDS: Final = 1.5
"""After which Redis is asked whether it is still there; twice as long, and it is not."""

_MORE = object()  # what the parser returns when a reply is not complete


class Link(asyncio.Protocol):
    """One connection, for one batch at a time. `is_open`: whether it still leads anywhere."""

    def __init__(self, connection: AbstractConnection) -> None:
        """Take over a connection that has been made."""
        inner: Any = connection  # what it holds is nobody else's to know; see pyproject.toml for the versions
        self.connection = connection
        self._parser = Reader(
            protocolError=exceptions.ConnectionError,
            replyError=inner._parser.parse_error,  # noqa: SLF001 - the kinds of errors that callers know
            notEnoughData=_MORE,
        )
        self._parser.feed(bytes(inner._reader._buffer))  # noqa: SLF001 - it may have read on
        self._replies: list[Any] = []
        self._wanted = 0
        self._land: Land | None = None
        self._timer: asyncio.TimerHandle
        self._transport: asyncio.Transport = inner._writer.transport  # noqa: SLF001 - to be the one it talks to
        self._stream = cast("asyncio.Protocol", self._transport.get_protocol())
        self._transport.set_protocol(self)
        self.is_open = not self._transport.is_closing()

    @classmethod
    async def again(cls, connection: AbstractConnection) -> Self:
        """Make a connection that was lost anew. Raises what the client library raises."""
        await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]  # the library says nothing of it
        return cls(connection)

    def send(self, commands: Sequence[Command], land: Land, timeout_seconds: float) -> None:
        """Send commands; `land` gets their replies, or why there are none."""
        self._land, self._wanted = land, len(commands)
        self._timer = asyncio.get_running_loop().call_later(timeout_seconds, self._time_out)
        self._transport.write(b"".join([pack(command) for command in commands]))

    def close(self) -> None:
        """Part from Redis. A batch under way gets no replies."""
        if self.is_open:
            self.is_open = False
            self._transport.close()

    def _time_out(self) -> None:
        self._fail(exceptions.TimeoutError("no reply in time"))

    def _fail(self, error: Exception) -> None:
        # Replies that nobody read must not be the next batch's.
        self.is_open = False
        self._transport.abort()
        self._end(error)

    def _end(self, outcome: list[Any] | Exception) -> None:
        land, self._land = self._land, None
        if land is not None:
            self._timer.cancel()
            land(outcome)

    def parse(self, data: bytes) -> Iterator[Any]:
        """Yield the replies that are complete. Raises what the client library raises for what is none."""
        self._parser.feed(data)
        while (reply := self._parser.gets()) is not _MORE:
            yield reply

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        """Collect replies."""
        replies = self._replies
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not _MORE:
                if type(reply) is not PushNotification:
                    replies.append(reply)
                if isinstance(reply, exceptions.ReadOnlyError):
                    self.close()  # it has become a replica: another connection leads to the new master
        except exceptions.RedisError as error:
            self._fail(error)
            return
        if self._land is not None and len(replies) == self._wanted:
            self._replies = []
            self._end(replies)
        elif len(replies) > (self._wanted if self._land is not None else 0):
            self._fail(exceptions.ConnectionError("more replies than commands"))

    def eof_received(self) -> None:
        """Redis has closed the connection; the event loop does so in its next turn."""
        self.is_open = False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits: for replies, or for the library's stream to be closed."""
        self.is_open = False
        self._stream.connection_lost(error)
        self._end(exceptions.ConnectionError("the connection was lost"))

    def pause_writing(self) -> None:
        """Write on: what is under way is bounded by the number and size of batches."""

    def resume_writing(self) -> None:
        """Nothing was held back."""


class Line(Link):
    """A connection on which Redis speaks by itself. `on_reply` gets all that it says."""

    def __init__(self, connection: AbstractConnection, on_reply: Callable[[Any], None]) -> None:
        super().__init__(connection)
        self.on_reply = on_reply
        self.heard = True
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def say(self, *words: str) -> None:
        """Send a command; what it brings comes among the other messages."""
        self._transport.write(pack(words))

    def abort(self) -> None:
        """Give up the connection."""
        self._transport.abort()

    async def until_lost(self) -> None:
        """Return when Redis has hung up, or is no longer there."""
        while not self.lost.done():
            self.heard = False
            await asyncio.wait({self.lost}, timeout=SILENT_SECONDS)
            if not self.heard and not self.lost.done():
                self.say("PING")
                await asyncio.wait({self.lost}, timeout=SILENT_SECONDS)
                if not self.heard:
                    return

    def data_received(self, data: bytes) -> None:
        """Hand over what Redis says."""
        self.heard = True
        try:
            for reply in self.parse(data):
                self.on_reply(reply)
        except exceptions.RedisError:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits for the end."""
        super().connection_lost(error)
        if not self.lost.done():
            self.lost.set_result(None)


async def own_connection(redis: AnyRedis, known: AbstractConnection | None) -> AbstractConnection:
    """Make a connection that is nobody else's: `known`, which was made before, or another one."""
    if isinstance(redis, RedisCluster):
        await redis.initialize()
        node = redis.get_random_node()
        known = node.connection_class(**node.connection_kwargs)
    elif known is None:  # the library says nothing of its types
        known = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        await known.connect()
    except Exception:
        await _end_if_cancelled(known)
        raise
    await _end_if_cancelled(known)
    return known


async def _end_if_cancelled(connection: AbstractConnection) -> None:
    """End the task if it was cancelled meanwhile: the library takes that for a failure of the connection."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        await connection.disconnect(nowait=True)
        raise asyncio.CancelledError


def pack(command: Command) -> bytes:
    """Return a command as it travels."""
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its hint speaks of one word only
    return packed
