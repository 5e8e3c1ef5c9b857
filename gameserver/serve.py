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
import random
import shlex
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gameserver import logs
from gameserver.app import GameServer, open_server, registry
from gameserver.apps import App, load_apps, write_sample
from gameserver.cli import link
from gameserver.faces import ops
from gameserver.rpc.metrics import settle as settle_counts
from gameserver.settings import Settings
from gameserver.storage import StorageError
from gameserver.wire.clock import FixedClock

log = structlog.get_logger(__name__)

GRACE_SECONDS = 65  # a little more than the longest a packet runs
RECEIVE_SECONDS_MAX = 60  # from the first byte of a request, or from the connection on, to its last byte
TICKS_PER_SECOND = 10  # of uvicorn's main loop
KEEP_ALIVE_SECONDS = 75  # longer than balancers keep idle connections: who closes first must not be this end
RESTART_PAUSE_SECONDS = 1.0
WORKERS_MAX = 64


class CannotServe(Exception):
    """The server cannot start; the text says why and what to do."""


class BadOptions(CannotServe):
    """The options contradict each other."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; packets in flight are answered first. Raises `CannotServe`."""
    check_options(settings)
    with contextlib.ExitStack() as stack:
        if settings.ephemeral:
            settings = stack.enter_context(_throwaway(settings))
        listener = stack.enter_context(_bind(settings.host, settings.port))
        settings = dataclasses.replace(settings, port=listener.getsockname()[1])
        sample = first_app(settings.apps)

        def ready(apps: list[App]) -> None:
            _warn_of_unsigned(settings, apps)
            if sample is not None:
                sys.stderr.write(introduction(sample, settings))
            sys.stdout.write(f"ready {settings.listening_url}\n")
            sys.stdout.flush()

        if settings.workers == 1:
            _run(_serve(settings, listener, ready))
        else:
            _supervise(settings, listener, ready)


def check_options(settings: Settings) -> None:
    """Refuse options that contradict each other. Raises `BadOptions`."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise BadOptions("--tls-cert and --tls-key are given together or not at all")
    if settings.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ValueError) as error:
            raise BadOptions(f"the certificate or its key cannot be used: {error}") from None
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
    if settings.seed and not settings.ephemeral:
        raise BadOptions("--seed makes ids and tokens predictable and so works with --ephemeral only")


@contextlib.contextmanager
def _throwaway(settings: Settings) -> Iterator[Settings]:
    """Keep data, and the sample app if there is no other, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="gameserver-") as folder:
        apps = settings.apps if _has_apps(settings.apps) else Path(folder) / "apps"
        yield dataclasses.replace(settings, data=Path(folder) / "data", apps=apps)


@contextlib.contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
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
            raise CannotServe(_why_not_bound(error, host, port)) from None
        yield listener


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use by another program; choose another with --port"
        case errno.EACCES:
            return f"port {port} is reserved for privileged programs; choose one above 1023 with --port"
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
        return write_sample(folder, offered.sections(), offered.samples())
    except OSError as error:
        raise CannotServe(f"the sample app cannot be written into {folder}: {error.strerror}") from None


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
        f"Log a first player in:\n  {shlex.join(words)}\n\n"
    )


def _reachable(settings: Settings) -> str:
    """Return the address as a program here can use it: "all interfaces" is no destination."""
    if settings.host in ("", "0.0.0.0"):  # noqa: S104 - compared, not bound
        settings = dataclasses.replace(settings, host="127.0.0.1")
    elif settings.host == "::":
        settings = dataclasses.replace(settings, host="::1")
    return settings.listening_url


def _warn_of_unsigned(settings: Settings, apps: list[App]) -> None:
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# One process


class _OneWrite:
    """A transport that sends what is written in one turn of the event loop at once.

    uvicorn writes the head of an answer and its body one after the other. Each write is a system call that
    wakes the other side: together they cost as much as everything else in a small packet.
    """

    __slots__ = ("_loop", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            if not self._transport.is_closing():
                self._transport.write(data)


class _Protocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with answers in one piece, and a way to drop a connection without any."""

    receiving_since = 0.0  # by the loop's clock; 0 while the server is to speak, or nobody

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in its base
        super().connection_made(_OneWrite(transport))  # type: ignore[arg-type]  # looks like one
        self.receiving_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        if not self.receiving_since:
            self.receiving_since = self.loop.time()
        super().data_received(data)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.receiving_since = 0.0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.receiving_since = self.receiving_since or self.loop.time()  # it may follow another in one piece
        self.scope["extensions"] = {"gameserver.abort": self.transport.abort}  # type: ignore[dict-item]


class _Web(uvicorn.Server):
    """Serves on a socket that is bound already; tells when it does, and leaves signals to its owner."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Settle what was counted, and hang up on clients whose request never ends: they would stay."""
        if counter % TICKS_PER_SECOND == 0:
            try:
                settle_counts()
            except Exception:  # a full disk under the files of several workers must not end the server
                log.exception("counts_not_settled")
            begun_before = asyncio.get_running_loop().time() - RECEIVE_SECONDS_MAX
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, _Protocol) and 0 < connection.receiving_since < begun_before:
                    connection.transport.abort()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take a signal as a wish to stop in good order: unlike in uvicorn, the process ends with 0."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[GameServer]:
    """Open the server that the options describe. Raises `CannotServe`."""
    clock, options = None, None
    if settings.ephemeral:
        clock = FixedClock()
        options = seeded(settings.seed) if settings.seed else None
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(open_server(settings, clock=clock, core_options=options))
        except (StorageError, OSError, ValueError) as error:
            raise CannotServe(str(error)) from None
        yield server


def seeded(seed: int) -> dict[str, Any]:
    """Make ids and tokens depend on the seed alone, for runs that can be repeated. No secret is safe then."""
    chance = random.Random(seed)  # noqa: S311 - predictable on purpose
    return {
        "random_bytes": chance.randbytes,
        "new_id": lambda: str(uuid.UUID(bytes=chance.randbytes(16), version=4)),
    }


async def _serve(settings: Settings, listener: socket.socket, ready: Callable[[list[App]], None]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(opened(settings))
        ops.observe(server.core)
        if not settings.redis and not settings.ephemeral:
            try:
                await stack.enter_async_context(link.listen(server, settings.data))
            except RuntimeError as error:
                raise CannotServe(str(error)) from None
        gc.collect()
        gc.freeze()  # what a server begins with lives as long: nobody needs to look for garbage in it
        await web_server(settings, server, lambda: ready(list(server.apps))).serve([listener])


def web_server(settings: Settings, server: GameServer, ready: Callable[[], None]) -> uvicorn.Server:
    """Make what speaks HTTP in front of a server."""
    return _Web(
        uvicorn.Config(
            logs.with_request_ids(server),
            interface="asgi3",
            http=_Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=settings.tls_cert or None,
            ssl_keyfile=settings.tls_key or None,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=settings.proxies or None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        ),
        ready,
    )


def _run(work: Any) -> None:
    """Run on the fast event loop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        asyncio.run(work)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


# Several processes


def _supervise(settings: Settings, listener: socket.socket, ready: Callable[[list[App]], None]) -> None:
    """Keep the wanted number of workers running until a signal comes. Raises `CannotServe`."""
    _run(_try_opening(settings))  # one clear sentence now, not one from every worker
    with contextlib.ExitStack() as stack:
        metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not metrics:  # where workers add up what they count
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="gameserver-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            stack.callback(os.environ.pop, "PROMETHEUS_MULTIPROC_DIR")
        _Workers(settings, listener, metrics).run(
            lambda: ready(list(load_apps(settings.apps, registry().sections())))
        )


async def _try_opening(settings: Settings) -> None:
    async with opened(settings):
        pass


class _Workers:
    """Worker processes that share a listening socket; one that dies is replaced."""

    def __init__(self, settings: Settings, listener: socket.socket, metrics: str) -> None:
        self._settings = settings
        self._listener = listener
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
        process = self._spawn.Process(target=_work, args=(self._settings, self._listener, theirs))
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


def _work(settings: Settings, listener: socket.socket, pipe: multiprocessing.connection.Connection) -> None:
    """Run a worker process."""
    logs.configure(settings.log_level)
    threading.Thread(target=_follow, args=(pipe,), daemon=True).start()
    try:
        _run(_serve(settings, listener, lambda _: pipe.send("ready")))
    except CannotServe as error:
        log.error("worker_cannot_serve", reason=str(error))  # noqa: TRY400 - the sentence says it all
        sys.exit(1)


def _follow(pipe: multiprocessing.connection.Connection) -> None:
    """End with the process that started this one, however it ended."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGTERM)
