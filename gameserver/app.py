"""Builds the server: opens the floors, joins them, and mounts the faces."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver import faces, services
from gameserver.apps import App, LiveApps, load_apps, watch
from gameserver.documents.list_counts import ListCounts, forget_unread
from gameserver.domain.leaderboards import Leaderboards
from gameserver.players import refresh_tokens, tokens
from gameserver.players.accounts import Accounts
from gameserver.players.audit import Audit
from gameserver.players.mail import Mail
from gameserver.players.passwords import Passwords
from gameserver.players.termination import Actor, SessionTermination, TerminationListener
from gameserver.ranks import MemoryRanks, RanksAway, RedisRanks
from gameserver.rpc import Core, Packets, Registry
from gameserver.rpc.orphans import OrphanSweeper
from gameserver.sessions import One, Selector, Sessions, SessionsUnavailable, session_store
from gameserver.settings import Settings
from gameserver.storage import StorageError, answers, open_database
from gameserver.storage.schema import check_schema, migrate
from gameserver.wire.clock import Clock, FixedClock, SystemClock

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
        self._leftovers = OrphanSweeper(self.packets)
        # The hot paths are plain ASGI callables in front of the framework: see gameserver/README.md.
        self._mounted: dict[str, ASGIApp] = {}
        routes: list[Route] = []
        admin_routes: list[Route] = []
        for face in faces.ALL:
            mounted = face.mount(core, apps, self.packets)
            if isinstance(mounted, Mapping):
                self._mounted |= mounted
            else:
                routes += mounted
            if face.mount_admin is not None:
                admin_routes += face.mount_admin(core, apps, self.packets)
        if isinstance(core.clock, FixedClock):  # a server for tests: one address is enough
            routes[:0] = admin_routes
        self._pages = _pages(routes)
        self.admin: ASGIApp = _pages(admin_routes)
        """The pages for operators and their tools, which have an address of their own."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand a request to the face that claims its path."""
        if scope["type"] == "http":
            mounted = self._mounted.get(scope["path"]) or self._mounted.get(_plain(scope["path"]))
            if mounted is not None:
                return mounted(scope, receive, send)
        return self._pages(scope, receive, send)

    async def housekeeping(self) -> None:
        """Keep house once a minute. Runs for ever."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            try:
                await self.keep_house()
            except (SessionsUnavailable, RanksAway, StorageError) as error:
                log.warning("housekeeping_postponed", reason=str(error))
            except Exception:
                log.exception("housekeeping_failed")

    async def keep_house(self) -> None:
        """Forget what nobody will ask for again."""
        for app in self.apps:
            await self.core.sessions.sweep(app.id)
        async with self.core.database.write() as tx:
            oldest = self.core.clock.ms() - ANSWERS_KEPT_MS
            await answers.forget_before(tx, oldest, ANSWERS_FORGOTTEN_AT_ONCE)
            await tokens.forget_expired(tx, self.core.clock.ms())
            await refresh_tokens.forget_expired(tx, self.core.clock.ms())
            await forget_unread(tx)
        for app in self.apps:
            await self.core.audit.forget(app)
            for chore in self.registry.chores:
                await chore(self.core, app)
            await self._leftovers.remove(app)


def _plain(path: str) -> str:
    """One client doubles the slash of a path, another may end with one."""
    return "/" + "/".join(part for part in path.split("/") if part)


def _pages(routes: list[Route]) -> Starlette:
    return Starlette(routes=routes, exception_handlers={404: _not_found})


async def _not_found(request: Request, _: Exception) -> Response:
    return JSONResponse({"status": 404, "status_message": f"there is nothing at {request.url.path}"}, 404)


def registry() -> Registry:
    """Everything that a server offers: its services and its faces."""
    return Registry(services.ALL, faces.ALL)


def _may_have_tokens(_: App, selector: Selector, by: Actor) -> bool:
    """Only logins over web endpoints found families of refresh tokens; ends of others cost no SQL.

    Families stay valid while an app has them switched off, so that does not count.
    """
    return not isinstance(selector, One) or by.home_face in ("", "endpoints", refresh_tokens.FACE)


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
    offered = registry()
    async with contextlib.AsyncExitStack() as stack:
        apps = LiveApps(load_apps(settings.apps, offered.sections()))
        settings.data.mkdir(parents=True, exist_ok=True)
        database = await open_database(settings.database_url)
        stack.push_async_callback(database.close)
        await asyncio.to_thread(check_schema if settings.database else migrate, database.url)
        sessions = await session_store(settings.redis or None, clock)
        stack.push_async_callback(sessions.close)
        audit = Audit(database, clock)
        stack.push_async_callback(audit.close)
        tokens_follow = TerminationListener(_may_have_tokens, refresh_tokens.forget_ended)
        endings = SessionTermination(sessions, database, audit, clock, [tokens_follow])
        stack.push_async_callback(endings.close)
        passwords = passwords or Passwords()
        stack.callback(passwords.close)
        mailer = Mail(settings.data / "outbox", clock)
        stack.callback(mailer.close)
        accounts = Accounts(database, sessions, passwords, audit)
        stack.push_async_callback(accounts.close)
        ranks = RedisRanks(sessions.calls) if isinstance(sessions, Sessions) else MemoryRanks()
        leaderboards = Leaderboards(database, ranks, clock, lambda: str(uuid.uuid4()))
        stack.push_async_callback(leaderboards.close)
        tallies = ListCounts(database)
        core = Core(
            database=database,
            sessions=sessions,
            clock=clock,
            accounts=accounts,
            passwords=passwords,
            mailer=mailer,
            audit=audit,
            endings=endings,
            leaderboards=leaderboards,
            tallies=tallies,
            player_hooks=offered.player_hooks,
            public_url=settings.public_url or settings.listening_url,
            **(core_options or {}),
        )
        server = GameServer(settings, core, apps, offered)
        for work in (
            server.packets.runs.keep_running(),
            audit.keep_writing(),
            server.housekeeping(),
            leaderboards.upkeep.run(apps),
            tallies.run(),
            watch(apps, settings.apps, offered.sections()),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        yield server


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
