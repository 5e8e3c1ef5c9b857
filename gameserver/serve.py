"""Runs a server until it is told to stop: one process, or several over one Redis and PostgreSQL."""

import asyncio
import contextlib
import dataclasses
import errno
import gc
import ipaddress
import json
import multiprocessing
import multiprocessing.connection
import os
import shlex
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import structlog
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp

from gameserver import console, logs, sessions, storage, tracing
from gameserver.admin import link, staff
from gameserver.app import GameServer, open_server, registry
from gameserver.apps import App, load_apps, write_sample, write_schema
from gameserver.apps.schema import SCHEMA_NAME
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
from gameserver.players.providers import ProviderSettings
from gameserver.realtime import BadEndpoints, Connections, Endpoints
from gameserver.sessions import SessionsUnavailable
from gameserver.settings import Settings
from gameserver.storage import StorageError, Unavailable

log = structlog.get_logger(__name__)
T = TypeVar("T")

RESTART_PAUSE_SECONDS = 1.0
WORKERS_MAX = 64
PORT_MAX = 65535
ADMIN_CONNECTIONS_MAX = 200


class CannotServe(Exception):
    """The server cannot start; the text says why and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets that a server takes connections on; worker processes share them."""

    main: socket.socket
    admin: socket.socket | None


Ready = Callable[[list[App], str | None], None]
"""Called when the server answers: with its apps, and what opens the console for its first admin."""


class CannotReach(CannotServe):
    """The database does not answer."""


class BadOptions(CannotServe):
    """The options contradict each other."""


class BrokenApps(CannotServe):
    """No app is defined well; the text names the mistakes as `gameserver check` does."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; packets in flight are answered first. Raises `CannotServe`."""
    check_options(settings)
    with contextlib.ExitStack() as stack:
        if settings.ephemeral:
            settings = stack.enter_context(_throwaway(settings))
        main = stack.enter_context(_bind(settings.host, settings.port))
        admin = None
        if not settings.ephemeral:  # which is for tests, and has everything at one address
            port = settings.port and settings.port + 1 if settings.admin_port is None else settings.admin_port
            admin = stack.enter_context(_bind(settings.admin_host, port, "--admin-port"))
            settings = dataclasses.replace(settings, admin_port=admin.getsockname()[1])
        settings = dataclasses.replace(settings, port=main.getsockname()[1])
        listeners = Listeners(main, admin)
        sample = first_app(settings.apps)
        _renew_schemas(settings.apps)
        _check_apps(settings.apps)

        def ready(apps: list[App], invitation: str | None) -> None:
            _warn_of_open_doors(settings, apps)
            if admin is not None:
                log.info("admin_listening", url=settings.admin_url)
            if sample is not None:
                sys.stderr.write(introduction(sample, settings))
            sys.stderr.write(console_line(settings, invitation))
            sys.stdout.write(f"ready {settings.listening_url}\n")
            sys.stdout.flush()

        if settings.workers == 1:
            _run(_serve(settings, listeners, ready))
        else:
            _supervise(settings, listeners, ready)


def check_options(settings: Settings) -> None:
    """Refuse options that contradict each other. Raises `BadOptions`."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise BadOptions("--tls-cert and --tls-key are given together or not at all")
    if settings.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ValueError) as error:
            raise BadOptions(f"the certificate or its key cannot be used: {error}") from None
    if settings.admin_port is None and settings.port == PORT_MAX:
        raise BadOptions("there is no port after --port for operators; choose one with --admin-port")
    try:
        Proxies(settings.proxies)
    except ValueError as error:
        raise BadOptions(f"--proxies: {error}") from None
    try:
        Endpoints(settings.realtime_url, settings.public_url, settings.listening_url)
    except BadEndpoints as error:
        raise BadOptions(f"--realtime-url: {error}") from None
    if settings.ephemeral and (settings.redis or settings.database):
        raise BadOptions("--ephemeral keeps nothing; leave out --redis and --database")
    if not 1 <= settings.workers <= WORKERS_MAX:
        raise BadOptions(f"--workers is a number from 1 to {WORKERS_MAX}")
    if settings.workers > 1 and not settings.redis:
        raise BadOptions(
            "--workers above 1 needs --redis: without it every process would know only its own sessions, "
            "and a logout on one would not count on the others"
        )
    if settings.workers > 1 and not settings.database:
        raise BadOptions(
            "--workers above 1 needs --database with PostgreSQL: SQLite lets one process write at a time, "
            "so more of them would only wait for each other"
        )
    if settings.seed_file is not None and not settings.ephemeral:
        raise BadOptions("--seed-file works with --ephemeral; `gameserver import` fills a server that stays")
    if settings.seed and not settings.ephemeral:
        raise BadOptions("--seed makes ids and tokens predictable and so works with --ephemeral only")


@contextlib.contextmanager
def _throwaway(settings: Settings) -> Iterator[Settings]:
    """Keep data, and the sample app if there is no other, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="gameserver-") as folder:
        apps = settings.apps if _has_apps(settings.apps) else Path(folder) / "apps"
        yield dataclasses.replace(settings, data=Path(folder) / "data", apps=apps)


@contextlib.contextmanager
def _bind(host: str, port: int, option: str = "--port") -> Iterator[socket.socket]:
    """Take the address before anything else is opened, so that a second start changes nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise CannotServe(f"{host} is no address of this machine") from None
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            raise CannotServe(_why_not_bound(error, host, port, option)) from None
        yield listener


def _why_not_bound(error: OSError, host: str, port: int, option: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use by another program; choose another with {option}"
        case errno.EACCES:
            return f"port {port} is reserved for privileged programs; choose one above 1023 with {option}"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine"
        case _:
            return f"cannot listen on port {port} of {host}: {error.strerror}"


# First steps


def _has_apps(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def first_app(folder: Path) -> App | None:
    """Write the sample app into a folder that is empty or missing; None when there was something."""
    if _has_apps(folder):
        return None
    try:
        offered = registry()
        return write_sample(folder, offered.sections())
    except OSError as error:
        raise CannotServe(f"the sample app cannot be written into {folder}: {error.strerror}") from None


def _renew_schemas(folder: Path) -> None:
    """Bring the schemas that editors read up to date: another version of the server has other settings."""
    for path in sorted(folder.glob(f"*/{SCHEMA_NAME}")):
        try:
            if write_schema(path.parent, registry().sections()):
                log.info("app_schema_renewed", file=str(path))
        except OSError as error:  # a folder that only others write
            log.info("app_schema_stale", file=str(path), reason=error.strerror)


def _check_apps(folder: Path) -> None:
    """Log which apps cannot be served. Raises `BrokenApps` when that is all of them."""
    loaded = load_apps(folder, registry().sections())
    mistakes = [str(problem) for problem in loaded.problems]
    if not len(loaded):
        raise BrokenApps("\n".join([*mistakes, f"no app of {folder} can be served; see `gameserver check`"]))
    for name in sorted(loaded.broken or ()):
        own = [str(problem) for problem in loaded.problems if Path(problem.file).parent.name == name]
        log.error("app_not_served", app=name, mistakes=own)
    for remark in loaded.remarks:
        log.error("app_file_broken", mistake=str(remark))


def introduction(app: App, settings: Settings) -> str:
    """Tell a newcomer which app there is and how to log in; the line works when it is pasted into a shell."""
    packet = {
        "packetId": 0,
        "gameId": app.id,
        "messages": [
            {
                "service": "authenticationV2",
                "operation": "AUTHENTICATE",
                "data": {
                    "authenticationType": "Anonymous",
                    "externalId": str(uuid.uuid4()),
                    "authenticationToken": "",
                    "forceCreate": True,
                },
            }
        ],
    }
    words = [
        "curl",
        "-s",
        f"{_reachable(settings)}/dispatcher",
        "-d",
        json.dumps(packet, separators=(",", ":")),
    ]
    if settings.tls_cert:
        words.insert(1, "-k")
    return (
        f"\nThere was no app yet, so here is one: {app.path / 'app.toml'}\n"
        f"  app id  {app.id}\n"
        f"  secret  {app.secret}\n"
        f"  url     {_reachable(settings)}\n"
        "Clients take these three; docs/first-player.md shows it for each engine.\n"
        f"Log a first player in:\n  {shlex.join(words)}\n\n"
    )


def console_line(settings: Settings, invitation: str | None) -> str:
    """Tell where the console is; as long as nobody of the studio is there, by a link that lets one in."""
    url = _reachable(settings) if settings.ephemeral else settings.admin_url
    if invitation is None:
        return f"console {url}{console.BASE}/\n"
    link = f"{url}{console.BASE}/welcome/{invitation}"
    return f"console {link}  (for the first admin, who names themselves there)\n"


def _reachable(settings: Settings) -> str:
    """Return the address as a program here can use it: "all interfaces" is no destination."""
    if settings.host in ("", "0.0.0.0"):  # noqa: S104 - compared, not bound
        settings = dataclasses.replace(settings, host="127.0.0.1")
    elif settings.host == "::":
        settings = dataclasses.replace(settings, host="::1")
    return settings.listening_url


def _warn_of_open_doors(settings: Settings, apps: list[App]) -> None:
    for app in apps:
        providers = app.section(ProviderSettings)
        where = f"[providers] of {app.path / 'app.toml'}"
        if providers.dev_tokens:  # also on this machine alone, which may stand behind a proxy
            types = sorted(providers.dev_tokens)
            log.warning(
                "test_accounts_may_log_in", app=app.id, types=types, advice=f"delete dev_tokens from {where}"
            )
        if providers.stand_in:
            log.warning(
                "platforms_are_not_asked",
                app=app.id,
                stand_in=providers.stand_in,
                advice=f"delete stand_in from {where}",
            )
    if _is_loopback(settings.host):
        return
    for app in apps:
        if app.signature == "optional":
            log.warning(
                "unsigned_packets_from_other_machines",
                app=app.id,
                host=settings.host,
                advice=f'say signature = "required" in {app.path / "app.toml"}',
            )
        if app.login.anonymous_id_alone:
            log.warning(
                "anonymous_ids_alone_from_other_machines",
                app=app.id,
                host=settings.host,
                advice=f"delete anonymous_id_alone from [login] in {app.path / 'app.toml'}",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# One process


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


async def _serve(settings: Settings, listeners: Listeners, ready: Ready, *, invites: bool = True) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if settings.ephemeral:
            emulator = await stack.enter_async_context(emulated(settings))
            invitation = await _invitation(emulator.server)
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
        invitation = await _invitation(server) if invites else None
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


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on the fast event loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


# Several processes


def _supervise(settings: Settings, listeners: Listeners, ready: Ready) -> None:
    """Keep the wanted number of workers running until a signal comes. Raises `CannotServe`."""
    invitation = _run(_try_opening(settings))  # one clear sentence now, not one from every worker
    with contextlib.ExitStack() as stack:
        metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not metrics:  # where workers add up what they count
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="gameserver-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            stack.callback(os.environ.pop, "PROMETHEUS_MULTIPROC_DIR")
        _Workers(settings, listeners, metrics).run(
            lambda: ready(list(load_apps(settings.apps, registry().sections())), invitation)
        )


async def _try_opening(settings: Settings) -> str | None:
    async with opened(settings) as server:
        return await _invitation(server)


async def _invitation(server: GameServer) -> str | None:
    """Return what opens the console for its first admin; None when there is one, or the database is away."""
    try:
        return await staff.first_invitation(server)
    except StorageError:
        return None


class _Workers:
    """Worker processes that share a listening socket; one that dies is replaced."""

    def __init__(self, settings: Settings, listeners: Listeners, metrics: str) -> None:
        self._settings = settings
        self._listeners = listeners
        self._metrics = metrics
        self._spawn = multiprocessing.get_context("spawn")
        self._running: dict[multiprocessing.process.BaseProcess, multiprocessing.connection.Connection] = {}
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> None:
        """Return when a signal has come and every worker has finished."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        for _ in range(self._settings.workers):
            self._start()
        starting = set(self._running)
        while self._running:
            self._wait()
            for process, pipe in list(self._running.items()):
                if process in starting and pipe.poll() and _says_ready(pipe):
                    starting.discard(process)
                    if not starting and not self._stopping:
                        ready()
                if not process.is_alive():
                    self._bury(process)
                    if process in starting and not self._stopping:
                        self._end_all()
                        raise CannotServe("a worker process ended while it started; its log says why")
                    if not self._stopping:
                        log.error("worker_ended", pid=process.pid, exit_code=process.exitcode)
                        time.sleep(RESTART_PAUSE_SECONDS)
                        self._start()

    def _start(self) -> None:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=_work, args=(self._settings, self._listeners, theirs))
        process.start()
        theirs.close()
        self._running[process] = ours

    def _wait(self) -> None:
        """Sleep until a worker speaks or ends; not for long, because a signal wakes nobody here."""
        pipes = [pipe for pipe in self._running.values() if not pipe.closed]
        multiprocessing.connection.wait(
            [*pipes, *(process.sentinel for process in self._running)], timeout=0.2
        )

    def _bury(self, process: multiprocessing.process.BaseProcess) -> None:
        process.join()
        self._running.pop(process).close()
        mark_process_dead(process.pid, self._metrics)  # type: ignore[no-untyped-call]

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Pass a wish to stop on; a second SIGINT makes workers drop what they do, as in a single process."""
        self._stopping = True
        for process in self._running:
            if process.is_alive() and process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def _end_all(self) -> None:
        self._stop(signal.SIGTERM, None)
        for process in list(self._running):
            self._bury(process)


def _says_ready(pipe: multiprocessing.connection.Connection) -> bool:
    try:
        return bool(pipe.recv() == "ready")
    except (EOFError, OSError):
        return False


def _work(settings: Settings, listeners: Listeners, pipe: multiprocessing.connection.Connection) -> None:
    """Run a worker process."""
    logs.configure(settings.log_level)
    threading.Thread(target=_follow, args=(pipe,), daemon=True).start()
    try:
        _run(_serve(settings, listeners, lambda *_: pipe.send("ready"), invites=False))
    except CannotServe as error:
        log.error("worker_cannot_serve", reason=str(error))  # noqa: TRY400 - the sentence says it all
        sys.exit(1)


def _follow(pipe: multiprocessing.connection.Connection) -> None:
    """End with the process that started this one, however it ended."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGTERM)
