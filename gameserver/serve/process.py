"""One process that serves until it is told to stop."""

import asyncio
import contextlib
import dataclasses
import gc
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import structlog
from starlette.types import ASGIApp

from gameserver import logs, sessions, storage, tracing
from gameserver.admin import link, staff
from gameserver.app import GameServer, open_server
from gameserver.apps import App
from gameserver.emulator import Emulator, EmulatorRealtime, Refused
from gameserver.faces import ops
from gameserver.http_server import (
    CONNECTIONS_PER_ADDRESS_MAX,
    Places,
    Proxies,
    Realtime,
    WebServer,
    behind,
    connections_max,
    raise_descriptor_limit,
    web_server,
)
from gameserver.realtime import Connections
from gameserver.serve.errors import BadOptions, CannotReach, CannotServe
from gameserver.sessions import SessionsUnavailable
from gameserver.settings import Settings
from gameserver.storage import StorageError, Unavailable

log = structlog.get_logger(__name__)
T = TypeVar("T")

ADMIN_CONNECTIONS_MAX = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets that a server takes connections on; worker processes share them."""

    main: socket.socket
    admin: socket.socket | None


Ready = Callable[[list[App], str | None], None]
"""Called when the server answers: with its apps, and what opens the console for its first admin."""


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[GameServer]:
    """Open the server that the options describe. Raises `CannotServe`."""
    async with contextlib.AsyncExitStack() as stack:
        with _told():
            server = await stack.enter_async_context(open_server(settings))
        await look_at_sessions(server)
        yield server


@contextlib.asynccontextmanager
async def emulated(settings: Settings) -> AsyncIterator[Emulator]:
    """Open the server that keeps nothing. Raises `CannotServe`."""
    emulator = Emulator(settings, lambda server: ops.observe(server.core))
    with _told():
        await emulator.open()
    try:
        yield emulator
    finally:
        await emulator.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say what an operator can do about it that a server does not open."""
    try:
        yield
    except storage.BadUrl as error:
        raise BadOptions(f"--database: {error}") from None
    except sessions.BadUrl as error:
        raise BadOptions(f"--redis: {error}") from None
    except Unavailable as error:
        raise CannotReach(str(error)) from None
    except Refused as error:
        raise CannotServe(f"--seed-file: {error}") from None
    except (StorageError, OSError, ValueError) as error:
        raise CannotServe(str(error)) from None


async def look_at_sessions(server: GameServer) -> None:
    """Say at once what is wrong with Redis. The server starts nevertheless: it may come up later."""
    try:
        warning = await server.core.sessions.ping()
    except SessionsUnavailable as error:
        log.error("sessions_unavailable", reason=str(error))  # noqa: TRY400 - the sentence says it all
    except Exception as error:  # noqa: BLE001 - what answers there is no Redis
        log.error("sessions_unavailable", reason=f"what answers is no Redis ({type(error).__name__})")  # noqa: TRY400 - the trace would tell nothing more
    else:
        if warning:
            log.error("sessions_at_risk", reason=warning)


async def serve_here(settings: Settings, listeners: Listeners, ready: Ready, *, invites: bool = True) -> None:
    """Serve in this process until a signal comes. Raises `CannotServe`."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.ephemeral:
            emulator = await stack.enter_async_context(emulated(settings))
            invitation = await invitation_of(emulator.server)
            realtime, apps = EmulatorRealtime(emulator), emulator.server.apps
            web = _web_server(settings, emulator, realtime, lambda: ready(list(apps), invitation))
            await web.serve([listeners.main])
            return
        server = await stack.enter_async_context(opened(settings))
        ops.observe(server.core)
        untraced = contextlib.nullcontext[ASGIApp](server.site)
        application = stack.enter_context(tracing.traced(server) if settings.traces else untraced)
        if not settings.redis:
            try:
                await stack.enter_async_context(link.listen(server, settings.data))
            except RuntimeError as error:
                raise CannotServe(str(error)) from None
        if listeners.admin is not None:
            await stack.enter_async_context(_serving_admin(server, listeners.admin))
        invitation = await invitation_of(server) if invites else None
        gc.collect()
        gc.freeze()  # what a server begins with lives as long: nobody needs to look for garbage in it
        found = server.core.get(Connections)
        web = _web_server(settings, application, found, lambda: ready(list(server.apps), invitation))
        await web.serve([listeners.main])


@contextlib.asynccontextmanager
async def _serving_admin(server: GameServer, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the operators' pages until the end of the block: also while packets in flight are answered."""
    app, proxies = logs.with_request_ids(server.admin), Proxies(server.settings.proxies)
    listening = asyncio.Event()
    web = web_server(
        behind(proxies, app) if proxies else app,
        Places(ADMIN_CONNECTIONS_MAX, ADMIN_CONNECTIONS_MAX),
        ready=listening.set,
        takes_signals=False,
    )
    serving = asyncio.create_task(web.serve([listener]))
    await listening.wait()
    try:
        yield
    finally:
        web.should_exit = True
        await serving


def _web_server(
    settings: Settings, application: ASGIApp, realtime: Realtime, ready: Callable[[], None]
) -> WebServer:
    app, proxies = logs.with_request_ids(application), Proxies(settings.proxies)
    most = connections_max(raise_descriptor_limit())
    return web_server(
        behind(proxies, app) if proxies else app,
        Places(most, min(CONNECTIONS_PER_ADDRESS_MAX, most // 2), proxies.trusts),
        ready=ready,
        tls=(settings.tls_cert, settings.tls_key) if settings.tls_cert else None,
        realtime=realtime,
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on the fast event loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def invitation_of(server: GameServer) -> str | None:
    """Return what opens the console for its first admin; None when there is one, or the database is away."""
    try:
        return await staff.first_invitation(server)
    except StorageError:
        return None
