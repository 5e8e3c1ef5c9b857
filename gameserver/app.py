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
from gameserver.documents.list_counts import ListCounts
from gameserver.domain.leaderboards import Leaderboards
from gameserver.frame import Hooks
from gameserver.jobs import Scheduler
from gameserver.players import refresh_tokens
from gameserver.players.accounts import Accounts
from gameserver.players.audit import Audit
from gameserver.players.mail import Mail
from gameserver.players.passwords import Passwords
from gameserver.players.termination import Actor, SessionTermination, TerminationListener
from gameserver.ranks import MemoryRanks, RedisRanks
from gameserver.rpc import Core, Packets, Registry, Runner, floor_jobs
from gameserver.sessions import One, Selector, Sessions, SessionStore, session_store
from gameserver.settings import DATABASE_NAME, Settings
from gameserver.storage import open_database
from gameserver.storage.private_files import keep_others_out, private_file, private_folder
from gameserver.storage.schema import check_schema, migrate
from gameserver.wire.clock import Clock, FixedClock, SystemClock

log = structlog.get_logger(__name__)


class GameServer:
    """A running server: an ASGI application, and the parts that tests and the command line reach."""

    def __init__(self, settings: Settings, core: Core, apps: LiveApps, registry: Registry) -> None:
        self.settings = settings
        self.core = core
        self.apps = apps
        self.registry = registry
        self.runner = Runner(core, registry)
        self.packets = Packets(self.runner)
        parts = core.parts
        parts.add(Hooks, core.hooks)
        parts.add(SessionStore, core.sessions)
        parts.add(Leaderboards, core.leaderboards)
        parts.add(Runner, self.runner)
        self.jobs = Scheduler(registry.jobs, core.database, core.clock, apps, parts)
        parts.add(Scheduler, self.jobs)
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


def _plain(path: str) -> str:
    """One client doubles the slash of a path, another may end with one."""
    return "/" + "/".join(part for part in path.split("/") if part)


def _pages(routes: list[Route]) -> Starlette:
    return Starlette(routes=routes, exception_handlers={404: _not_found})


async def _not_found(request: Request, _: Exception) -> Response:
    return JSONResponse({"status": 404, "status_message": f"there is nothing at {request.url.path}"}, 404)


def registry() -> Registry:
    """Everything that a server offers: its services, its faces, and the jobs of its floors."""
    return Registry(services.ALL, faces.ALL, floor_jobs.ALL)


def _may_have_tokens(_: App, selector: Selector, by: Actor) -> bool:
    """Only logins over web endpoints found families of refresh tokens; ends of others cost no SQL.

    Families stay valid while an app has them switched off, so that does not count.
    """
    return not isinstance(selector, One) or by.home_face in ("", "endpoints", refresh_tokens.FACE)


def prepare_data(settings: Settings) -> None:
    """Make what the data folder needs, readable by its owner alone. Raises `OSError`."""
    private_folder(settings.data)
    if not settings.database and not settings.ephemeral:
        database = settings.data / DATABASE_NAME
        private_file(database)
        for suffix in ("-wal", "-shm"):  # SQLite gives them the database's permissions, when it makes them
            keep_others_out(database.with_name(database.name + suffix))


@contextlib.asynccontextmanager
async def open_server(
    settings: Settings,
    *,
    clock: Clock | None = None,
    passwords: Passwords | None = None,
    core_options: dict[str, Any] | None = None,
    with_jobs: bool = True,
) -> AsyncIterator[GameServer]:
    """Open a server and everything below it; closes in the opposite order.

    Without jobs it does only what it is asked for: a command over the database of a running server, a test.
    Raises `SchemaMismatch`, `AppsInvalid`-like errors of the floors with a sentence that says what to do.
    """
    clock = clock or SystemClock()
    offered = registry()
    async with contextlib.AsyncExitStack() as stack:
        apps = LiveApps(load_apps(settings.apps, offered.sections()))
        prepare_data(settings)
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
        leaderboards = Leaderboards(database, ranks, clock, lambda: str(uuid.uuid4()), offered.hooks)
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
            hooks=offered.hooks,
            player_hooks=offered.player_hooks,
            public_url=settings.public_url or settings.listening_url,
            **(core_options or {}),
        )
        server = GameServer(settings, core, apps, offered)
        for work in (
            server.packets.runs.keep_running(),
            audit.keep_writing(),
            *([server.jobs.run()] if with_jobs else []),
            tallies.run(),
            watch(apps, settings.apps, offered.sections()),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(work))
        yield server


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
