"""Builds the server: opens the floors, joins them, and mounts the faces."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver import admin, console, faces, scripts, services
from gameserver.admin import api
from gameserver.admin.history import History
from gameserver.admin.staff import SignOn, read_settings
from gameserver.apps import LiveApps, load_apps, watch
from gameserver.frame import Hooks, Lifespans, running
from gameserver.jobs import Scheduler
from gameserver.players.links import PublicUrl
from gameserver.players.mail import Mail
from gameserver.players.passwords import Passwords
from gameserver.players.quotas import Quotas
from gameserver.ranks import MemoryRanks, Ranks, RedisRanks
from gameserver.realtime import Endpoints
from gameserver.rpc import Core, Packets, Registry, Runner
from gameserver.rpc.floors import FLOORS
from gameserver.rpc.site import Site
from gameserver.scripts import Processes
from gameserver.sessions import Sessions, SessionStore, session_store
from gameserver.settings import Settings, prepare_data
from gameserver.storage import Database, open_database
from gameserver.storage.schema import check_schema, migrate
from gameserver.wire.clock import Clock, SystemClock


class GameServer:
    """A running server: an ASGI application, and the parts that tests and the command line reach."""

    def __init__(self, settings: Settings, core: Core, apps: LiveApps, registry: Registry) -> None:
        self.settings = settings
        self.core = core
        self.apps = apps
        self.registry = registry
        self.runner = Runner(core, registry)
        self.packets = Packets(self.runner)
        core.parts.add(Runner, self.runner)
        jobs = Scheduler(registry.jobs, core.database, core.clock, apps, core.parts)
        self.jobs = core.parts.add(Scheduler, jobs)
        self.site = Site(faces.ALL, core, apps, self.packets, self._pages_for_staff)

    @property
    def admin(self) -> ASGIApp:
        """The pages for operators and their tools, which have an address of their own."""
        return self.site.admin

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand a request to the face that claims its path."""
        return self.site(scope, receive, send)

    def _pages_for_staff(self) -> list[BaseRoute]:
        return [*console.routes(self), *api.routes(self)]


def registry() -> Registry:
    """Everything that a server offers: its services, its faces and its floors."""
    return Registry(services.ALL, faces.ALL, FLOORS.below(scripts.FLOOR).below(admin.FLOOR))


@contextlib.asynccontextmanager
async def open_server(
    settings: Settings,
    *,
    clock: Clock | None = None,
    passwords: Passwords | None = None,
    core_options: dict[str, Any] | None = None,
    database: Database | None = None,
    with_jobs: bool = True,
) -> AsyncIterator[GameServer]:
    """Open a server and everything below it; closes in the opposite order.

    `database` is an open one with its tables in place, instead of the one that the settings name; it closes
    with the server. Without jobs it does only what it is asked for, and looks at no file twice: a command
    over the database of a running server, a test.
    Raises `SchemaMismatch`, `AppsInvalid`-like errors of the floors with a sentence that says what to do.
    """
    offered = registry()
    sections = offered.sections()
    async with Lifespans() as lifespans:
        parts = lifespans.parts
        parts.add(Hooks, offered.hooks)
        clock = parts.add(Clock, clock or SystemClock())
        apps = parts.add(LiveApps, LiveApps(load_apps(settings.apps, sections), clock))
        prepare_data(settings)
        is_ready = database is not None
        database = parts.add(Database, database or await open_database(settings.database_url))
        lifespans.push_async_callback(database.close)
        if not is_ready:
            await asyncio.to_thread(check_schema if settings.database else migrate, database.url)
        sessions = parts.add(SessionStore, await session_store(settings.redis or None, clock))
        lifespans.push_async_callback(sessions.close)
        parts.add(Ranks, RedisRanks(sessions.calls) if isinstance(sessions, Sessions) else MemoryRanks())
        passwords = parts.add(Passwords, passwords or Passwords())
        lifespans.callback(passwords.close)
        parts.add(Endpoints, Endpoints(settings.realtime_url, settings.public_url, settings.listening_url))
        parts.add(Quotas, Quotas())
        parts.add(PublicUrl, PublicUrl(settings.public_url or settings.listening_url))
        mailer = parts.add(Mail, Mail(settings.data / "outbox", clock))
        lifespans.callback(mailer.close)
        parts.add(SignOn, SignOn(read_settings(settings.sign_on) if settings.sign_on else None))
        parts.add(Processes, Processes(settings.script_processes))
        for lifespan in offered.lifespans:
            await lifespans.open(lifespan)
        core = Core.joined(parts, offered.hooks, offered.player_hooks, **(core_options or {}))
        server = GameServer(settings, core, apps, offered)
        await lifespans.enter_async_context(running(server.packets.runs.keep_running()))
        if with_jobs:
            await lifespans.enter_async_context(running(watch(apps, settings.apps, sections)))
            await lifespans.enter_async_context(running(server.jobs.run()))
            await lifespans.enter_async_context(running(parts.get(History).keep_writing()))
        yield server
