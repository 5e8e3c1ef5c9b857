"""Builds the server: opens the floors, joins them, and mounts the faces."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver.apps import LiveApps, load_apps, watch
from gameserver.faces import dispatcher, ops, pages, s2s
from gameserver.game import tokens
from gameserver.game.accounts import Accounts
from gameserver.game.mail import Mail
from gameserver.game.passwords import Passwords
from gameserver.rpc import Core, Packets, Registry
from gameserver.services import ALL
from gameserver.sessions import session_store
from gameserver.settings import Settings
from gameserver.storage import answers, open_database
from gameserver.storage.schema import check_schema, migrate
from gameserver.wire.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

HOUSEKEEPING_SECONDS = 60
ANSWERS_KEPT_MS = 24 * 3600 * 1000  # SDKs repeat a packet minutes later at most
ANSWERS_FORGOTTEN_AT_ONCE = 1000


class GameServer:
    """A running server: an ASGI application, and the parts that tests and the command line reach."""

    def __init__(self, settings: Settings, core: Core, apps: LiveApps, registry: Registry) -> None:
        self.settings = settings
        self.core = core
        self.apps = apps
        self.registry = registry
        self.packets = Packets(core, registry)
        face = dispatcher.Dispatcher(apps, self.packets)
        # The hot paths are plain ASGI callables in front of the framework: see gameserver/README.md.
        self._mounted: dict[str, ASGIApp] = dict.fromkeys(dispatcher.PATHS, face)
        self._mounted[s2s.PATH] = s2s.ServerDispatcher(apps, self.packets)
        self._pages = Starlette(
            routes=[*ops.routes(core, apps), *pages.routes(core, apps)],
            exception_handlers={404: _not_found},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the face that claims its path."""
        if scope["type"] == "http":
            mounted = self._mounted.get(scope["path"]) or self._mounted.get(_plain(scope["path"]))
            if mounted is not None:
                await mounted(scope, receive, send)
                return
        await self._pages(scope, receive, send)

    async def housekeeping(self) -> None:
        """Forget what nobody will ask for again. Runs for ever."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            try:
                for app in self.apps:
                    await self.core.sessions.sweep(app.id)
                async with self.core.database.write() as tx:
                    oldest = self.core.clock.ms() - ANSWERS_KEPT_MS
                    await answers.forget_before(tx, oldest, ANSWERS_FORGOTTEN_AT_ONCE)
                    await tokens.forget_expired(tx, self.core.clock.ms())
            except Exception:
                log.exception("housekeeping_failed")


def _plain(path: str) -> str:
    """One client doubles the slash of a path, another may end with one."""
    return "/" + "/".join(part for part in path.split("/") if part)


async def _not_found(request: Request, _: Exception) -> Response:
    return JSONResponse({"status": 404, "status_message": f"there is nothing at {request.url.path}"}, 404)


@contextlib.asynccontextmanager
async def open_server(
    settings: Settings,
    *,
    clock: Clock | None = None,
    passwords: Passwords | None = None,
    core_options: dict[str, Any] | None = None,
) -> AsyncIterator[GameServer]:
    """Open a server and everything below it; closes in the opposite order.

    Raises `SchemaMismatch`, `AppsInvalid`-like errors of the floors with a sentence that says what to do.
    """
    clock = clock or SystemClock()
    registry = Registry(ALL)
    async with contextlib.AsyncExitStack() as stack:
        apps = LiveApps(load_apps(settings.apps, registry.sections()))
        settings.data.mkdir(parents=True, exist_ok=True)
        database = await open_database(settings.database_url)
        stack.push_async_callback(database.close)
        await asyncio.to_thread(check_schema if settings.database else migrate, database.url)
        sessions = await session_store(settings.redis or None, clock)
        stack.push_async_callback(sessions.close)
        passwords = passwords or Passwords()
        stack.callback(passwords.close)
        mailer = Mail(settings.data / "outbox", clock)
        stack.callback(mailer.close)
        accounts = Accounts(database, sessions, passwords)
        stack.push_async_callback(accounts.close)
        core = Core(
            database=database,
            sessions=sessions,
            clock=clock,
            accounts=accounts,
            passwords=passwords,
            mailer=mailer,
            player_hooks=registry.player_hooks,
            public_url=settings.public_url or settings.listening_url,
            **(core_options or {}),
        )
        server = GameServer(settings, core, apps, registry)
        for work in (
            server.packets.keep_running(),
            server.housekeeping(),
            watch(apps, settings.apps, registry.sections()),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        yield server


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
