"""How messages get from the process that publishes them to those in which somebody listens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

OnMessage = Callable[[str, bytes], None]


class Bus(Protocol):
    """Named channels between processes. Delivery is at most once, and in one order for all, by channel."""

    def listen(self, on_message: OnMessage) -> None:
        """Say who gets the messages."""

    def publish(self, channel: str, data: bytes) -> Awaitable[Any]:
        """Send a message. It leaves whether or not that is awaited.

        Raises `SessionsUnavailable` when it could not be handed over.
        """

    async def ask(self, channel: str, data: bytes) -> int:
        """Send a message, and tell how many processes it reaches. Raises `SessionsUnavailable`."""

    def subscribe(self, channel: str) -> Awaitable[None]:
        """Receive what is published from now on; returns when that is certain.

        Raises `SessionsUnavailable` when it took too long. It is tried on until `unsubscribe`.
        """

    def unsubscribe(self, channel: str) -> None:
        """Receive no more of a channel."""

    def count(self, channel: str) -> Awaitable[int]:
        """Count the processes that receive a channel. Raises `SessionsUnavailable`."""

    def trouble(self) -> str:
        """Say why messages of other processes do not arrive just now, or nothing."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryBus:
    """The bus of a server that is one process."""

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._on_message: OnMessage = lambda _, __: None

    def listen(self, on_message: OnMessage) -> None:
        """Say who gets the messages."""
        self._on_message = on_message

    def publish(self, channel: str, data: bytes) -> Awaitable[Any]:
        """Hand a message over at once."""
        if channel in self._channels:
            self._on_message(channel, data)
        return _done(None)

    async def ask(self, channel: str, data: bytes) -> int:
        """Hand a message over, and tell whether anybody is there to take it."""
        reached = int(channel in self._channels)
        await self.publish(channel, data)
        return reached

    def subscribe(self, channel: str) -> Awaitable[None]:
        """Receive what is published from now on."""
        self._channels.add(channel)
        return _done(None)

    def unsubscribe(self, channel: str) -> None:
        """Receive no more of a channel."""
        self._channels.discard(channel)

    def count(self, channel: str) -> Awaitable[int]:
        """Tell whether this process receives a channel."""
        return _done(int(channel in self._channels))

    def trouble(self) -> str:
        """Say nothing: there are no other processes."""
        return ""

    async def close(self) -> None:
        """Forget everything."""
        self._channels.clear()


def _done(value: T) -> "asyncio.Future[T]":
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future
