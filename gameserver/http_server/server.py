"""Serves on sockets that are bound, hangs up on who is stuck, and ends in good order."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from gameserver.frame import stop
from gameserver.http_server.places import Incidents, Places
from gameserver.http_server.protocol import Config, HttpProtocol, Realtime
from gameserver.rpc import metrics

log = structlog.get_logger(__name__)

RECEIVE_SECONDS_MAX = 60  # from the first byte of a request, or from the connection on, to its last byte
WRITE_SECONDS_MAX = 60  # without a byte of an answer being taken
KEEP_ALIVE_SECONDS = 75  # longer than balancers keep idle connections: who closes first must not be this end
TLS_HANDSHAKE_SECONDS_MAX = 10

GRACE_SECONDS = 65  # for the end of the server; a little more than the longest a packet runs
CLOSING_RECEIVE_SECONDS_MAX = 10  # from the wish to stop on, to the last byte of a request that has begun
CLOSING_WRITE_SECONDS_MAX = 5

TICKS_PER_SECOND = 10  # of uvicorn's main loop


class WebServer(uvicorn.Server):
    """Serves on a socket that is bound already, tells when it does, and ends in good order on a signal."""

    config: Config

    def __init__(self, config: Config, ready: Callable[[], None], *, takes_signals: bool) -> None:
        super().__init__(config)
        self._ready = ready
        self._takes_signals = takes_signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. As the base does on sockets that are bound, with less patience for TLS."""
        loop = asyncio.get_running_loop()
        patience: dict[str, Any] = {}
        if self.config.ssl:
            patience = {
                "ssl_handshake_timeout": TLS_HANDSHAKE_SECONDS_MAX,
                "ssl_shutdown_timeout": CLOSING_WRITE_SECONDS_MAX,
            }

        def connect() -> asyncio.Protocol:
            return HttpProtocol(self.config, self.server_state, {}, loop)

        self.servers = [
            await loop.create_server(connect, sock=bound, ssl=self.config.ssl, backlog=2048, **patience)
            for bound in sockets or []
        ]
        self.started = True
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Settle what was counted, and hang up on clients that are stuck: they would stay."""
        if counter % TICKS_PER_SECOND == 0:
            try:
                metrics.settle()
            except Exception:  # a full disk under the files of several workers must not end the server
                log.exception("counts_not_settled")
            self._drop_stuck(RECEIVE_SECONDS_MAX, WRITE_SECONDS_MAX)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight, and let clients connect elsewhere. A second wish to stop ends both.

        Who does not send or read any more is not waited for.
        """
        hurry, moving = asyncio.create_task(self._hurry()), asyncio.create_task(self._move())
        try:
            await super().shutdown(sockets)
            while not (moving.done() or self.force_exit):
                await asyncio.wait({moving}, timeout=1 / TICKS_PER_SECOND)
        finally:
            await stop(hurry)
            await stop(moving)

    async def _move(self) -> None:
        if self.config.realtime is not None:
            await self.config.realtime.move()

    async def _hurry(self) -> None:
        loop = asyncio.get_running_loop()
        stopped = loop.time()
        while True:
            await asyncio.sleep(1 / TICKS_PER_SECOND)
            waited = loop.time() - stopped
            # What was on its way when the wish to stop came has that long from then on.
            is_over = waited > CLOSING_RECEIVE_SECONDS_MAX
            self._drop_stuck(0 if is_over else RECEIVE_SECONDS_MAX, CLOSING_WRITE_SECONDS_MAX)

    def _drop_stuck(self, receive_seconds_max: float, write_seconds_max: float) -> None:
        now = asyncio.get_running_loop().time()
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, HttpProtocol) and (
                trouble := connection.is_stuck(now, receive_seconds_max, write_seconds_max)
            ):
                self.config.incidents.count(trouble)
                connection.transport.abort()
        self.config.incidents.tell(now)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take a signal as a wish to stop in good order: unlike in uvicorn, the process ends with 0."""
        if not self._takes_signals:
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def web_server(
    app: ASGIApp,
    places: Places,
    *,
    ready: Callable[[], None] = lambda: None,
    tls: tuple[str, str] | None = None,
    takes_signals: bool = True,
    realtime: Realtime | None = None,
) -> WebServer:
    """Make a server for sockets that are bound. `tls` are the files of the certificate and its key.

    Without `realtime` it speaks HTTP alone.
    """
    config = Config(
        app,
        interface="asgi3",
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.places, config.incidents, config.realtime = places, Incidents(), realtime
    return WebServer(config, ready, takes_signals=takes_signals)
