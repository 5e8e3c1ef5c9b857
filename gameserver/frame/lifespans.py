"""What lives as long as the server: opened once, found by its type, closed in the opposite order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar

T = TypeVar("T")

STOP_AGAIN_SECONDS = 0.1
STOP_AGAIN_SECONDS_MAX = 5.0  # what a task still has to do when it ends may take longer than a moment


class Parts:
    """The parts of one server, by their types. Whoever opens a part may use those that were opened before."""

    def __init__(self) -> None:
        self._parts: dict[type[Any], Any] = {}

    def get(self, kind: type[T]) -> T:
        """Return the part of a type. Raises `LookupError` when the server has none."""
        try:
            part: T = self._parts[kind]
        except KeyError:
            raise LookupError(f"nothing that lives as long as the server is a {kind.__name__}") from None
        return part

    def add(self, kind: type[T], part: T) -> T:
        """Let a part be found by a type, which may be the interface it is known by. Returns the part.

        Raises `ValueError` when there is one of this type already.
        """
        if kind in self._parts:
            raise ValueError(f"two parts of one server are a {kind.__name__}")
        self._parts[kind] = part
        return part


Lifespan = Callable[[Parts], AbstractAsyncContextManager[Any]]
"""Opens a part and closes it again. What it yields is found by its type; None is not kept."""


class Lifespans(AsyncExitStack):
    """Opens parts one after the other; on the way out they are closed in the opposite order."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = Parts()

    async def __aenter__(self) -> Self:
        """Open the stack itself."""
        await super().__aenter__()
        return self

    async def open(self, lifespan: Lifespan) -> None:
        """Open a part, to be found by its type."""
        part = await self.enter_async_context(lifespan(self.parts))
        if part is not None:
            self.parts.add(type(part), part)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something beside the rest, until the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await stop(task)


async def stop(task: "asyncio.Task[None]") -> None:
    """End a task, and wait for its end. Raises what it ended with, unless that is the cancellation.

    It is said again until it is heard: a cancellation that comes while a library waits for Redis is lost in
    there, and what goes on as if nothing had been would keep a server from ending.
    """
    pause = STOP_AGAIN_SECONDS
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=pause)
        pause = min(2 * pause, STOP_AGAIN_SECONDS_MAX)
    if not task.cancelled():
        task.result()
