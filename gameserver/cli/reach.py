"""Getting an action done: by the running server, or by this command over the same Redis and database."""

import asyncio
from typing import Any

from gameserver import logs
from gameserver.admin import actions, link
from gameserver.app import open_server
from gameserver.cli.output import Exit, fail
from gameserver.sessions import SessionsUnavailable
from gameserver.settings import Settings
from gameserver.storage import StorageError


def do(settings: Settings, action: str, *, needs_server: bool = False, **arguments: Any) -> Any:
    """Do an action and return what it gives; ends the command with a sentence when it cannot be done.

    With Redis, every process sees all sessions, this one too. Without, sessions live in the server's memory,
    so it is asked; when none runs there are no sessions, and what concerns only the database is done here
    unless `needs_server`.
    """
    logs.configure("error")
    try:
        return asyncio.run(_do(settings, action, arguments, needs_server=needs_server))
    except actions.Refused as refused:
        fail(str(refused))
    except link.NotRunning as error:
        fail(f"{error}. Its sessions live in its memory; start it with `gameserver serve`.", Exit.AWAY)
    except SessionsUnavailable:
        fail("Redis does not answer", Exit.AWAY)
    except (StorageError, OSError, ValueError) as error:
        fail(str(error), Exit.AWAY)


async def _do(settings: Settings, action: str, arguments: dict[str, Any], *, needs_server: bool) -> Any:
    if not settings.redis:
        try:
            return await link.ask(settings.data, action, arguments)
        except link.NotRunning:
            if needs_server:
                raise
            if not settings.database and not (settings.data / "gameserver.db").exists():
                raise actions.Refused(
                    f"there is no database in the data folder {settings.data}; --data names another one"
                ) from None
    async with open_server(settings, with_jobs=False) as server:
        return await actions.run(server, action, arguments)
