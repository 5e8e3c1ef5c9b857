"""Getting an action done: by the running server, or by this command over the same Redis and database."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gameserver import logs
from gameserver.admin import actions, link
from gameserver.admin.common import Refused
from gameserver.app import GameServer, open_server
from gameserver.cli.output import Exit, fail
from gameserver.sessions import SessionsUnavailable
from gameserver.settings import Settings
from gameserver.storage import StorageError

Do = Callable[..., Awaitable[Any]]
"""Does an action, by its name and with its arguments."""


def do(settings: Settings, action: str, *, needs_server: bool = False, **arguments: Any) -> Any:
    """Do an action and return what it gives; ends the command with a sentence when it cannot be done.

    With Redis, every process sees all sessions, this one too. Without, sessions live in the server's memory,
    so it is asked; when none runs there are no sessions, and what concerns only the database is done here
    unless `needs_server`.
    """

    async def once(act: Do) -> Any:
        return await act(action, **arguments)

    return _run(_reaching(settings, once, needs_server=needs_server))


def keep_doing(settings: Settings, work: Callable[[Do], Awaitable[None]]) -> None:
    """Do several actions, until the work is done or the operator interrupts it. Fails as `do` does."""
    with contextlib.suppress(KeyboardInterrupt):
        _run(_reaching(settings, work, needs_server=False))


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    logs.configure("error")
    try:
        return asyncio.run(work)
    except Refused as refused:
        fail(str(refused))
    except link.NotRunning as error:
        fail(f"{error}. Its sessions live in its memory; start it with `gameserver serve`.", Exit.AWAY)
    except SessionsUnavailable:
        fail("Redis does not answer", Exit.AWAY)
    except (StorageError, OSError, ValueError) as error:
        fail(str(error), Exit.AWAY)


async def _reaching(settings: Settings, work: Callable[[Do], Awaitable[Any]], *, needs_server: bool) -> Any:
    """Let work act on the server that runs, or on one that is opened for it over the same database."""
    async with contextlib.AsyncExitStack() as stack:
        opened: GameServer | None = None

        async def act(action: str, **arguments: Any) -> Any:
            nonlocal opened
            if opened is None and not settings.redis:
                try:
                    return await link.ask(settings.data, action, arguments)
                except link.NotRunning:
                    if needs_server:
                        raise
                    if not settings.database and not (settings.data / "gameserver.db").exists():
                        raise Refused(
                            f"there is no database in the data folder {settings.data}; "
                            "--data names another one"
                        ) from None
            if opened is None:
                opened = await stack.enter_async_context(open_server(settings, with_jobs=False))
            return await actions.run(opened, action, arguments)

        return await work(act)
