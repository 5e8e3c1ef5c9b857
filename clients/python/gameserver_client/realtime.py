"""Messages that arrive by themselves: a connection that stays open, and is opened again when it breaks.

Needs the extra `realtime`, which is the library `websockets`.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from websockets.asyncio import client as asynchronous
from websockets.exceptions import WebSocketException
from websockets.sync import client as blocking

from gameserver_client.asynchronous import AsyncClient
from gameserver_client.base import log
from gameserver_client.blocking import Client
from gameserver_client.errors import (
    NO_SESSION,
    SESSION_CODES,
    GameServerError,
    NoAnswerError,
    local_error,
)
from gameserver_client.protocol import Data, Session

OnMessage = Callable[[Data], object]
OnConnect = Callable[[str], object]
OnEnd = Callable[[GameServerError], object]
REQUEST = ("rttRegistration", "REQUEST_CLIENT_CONNECTION")
ANSWER_SECONDS_MAX = 10.0
WAITING_MAX = 1000  # messages that nobody has taken; then the connection is read no further
MESSAGE_BYTES_MAX = 1 << 20
HEARTBEAT = json.dumps({"service": "rtt", "operation": "HEARTBEAT", "data": None})
_BROKEN = (OSError, WebSocketException, TimeoutError, ValueError, KeyError, TypeError)


@dataclass
class Pauses:
    """How long to wait before the next try: each time about twice as long, never all clients at once."""

    first_seconds: float = 1.0
    longest_seconds: float = 30.0
    chance: Callable[[], float] = random.random
    _next: float = field(default=0.0, init=False)

    def next(self) -> float:
        """Return the seconds to wait."""
        self._next = min(self._next * 2 or self.first_seconds, self.longest_seconds)
        return self._next * (0.5 + self.chance() / 2)

    def reset(self) -> None:
        """Begin again: it went well."""
        self._next = 0.0


# What travels, whichever way it does


def _address(offered: Data) -> str:
    """Return where to connect. Raises `ValueError` when there is no WebSocket."""
    for endpoint in offered["endpoints"]:
        if endpoint["protocol"] == "ws":
            host = f"[{endpoint['host']}]" if ":" in endpoint["host"] else endpoint["host"]
            query = "&".join(f"{name}={value}" for name, value in offered["auth"].items())
            return f"{'wss' if endpoint['ssl'] else 'ws'}://{host}:{endpoint['port']}/?{query}"
    raise ValueError("the server offers no WebSocket")


def _hello(session: Session | None, offered: Data) -> str:
    """Return what is said first. Raises `SessionEndedError`."""
    if session is None:
        raise local_error(403, NO_SESSION, "nobody is signed in")
    data = {
        "appId": session.app_id,
        "profileId": session.profile_id,
        "sessionId": session.id,
        "system": {"protocol": "ws", "platform": "PYTHON"},
        "auth": offered["auth"],
    }
    return json.dumps({"service": "rtt", "operation": "CONNECT", "data": data})


def _read(frame: str | bytes) -> Data:
    message = json.loads(frame)
    if not isinstance(message, dict):
        raise TypeError("a message is an object")
    return message


def _welcome(message: Data) -> tuple[str, float]:
    """Return the id of the connection, and the seconds between heartbeats."""
    if message.get("operation") != "CONNECT":
        raise _goodbye(message)
    return str(message["data"]["cxId"]), float(message["data"]["heartbeatSeconds"])


def _goodbye(message: Data) -> Exception:
    """Return what the server's last words mean: the end, or a reason to connect again."""
    data = message.get("data")
    data = data if isinstance(data, dict) else {}
    code, text = data.get("reasonCode"), data.get("reason")
    if code in SESSION_CODES:
        return local_error(403, int(code), str(text))
    return ConnectionError(f"{code} {text}")


def _is_last(message: Data) -> bool:
    return message.get("service") == "rtt" and message.get("operation") == "DISCONNECT"


def _is_final(error: Exception) -> bool:
    """Tell whether a refusal stays one however often it is asked for."""
    return isinstance(error, GameServerError) and not isinstance(error, NoAnswerError)


def _call(callback: Callable[[Any], object] | None, value: object) -> None:
    if callback is not None:
        try:
            callback(value)
        except Exception:  # mistakes of the game stop nothing
            log.exception("a callback of the real-time connection failed")


class AsyncRealtime:
    """The messages of one session, for asyncio: an async context manager to iterate.

    Entering waits for the connection, and raises `GameServerError` where there will be none. The iteration
    ends with `SessionEndedError` when the session does. A connection that breaks is opened again; what was
    published meanwhile is not repeated: `on_connect`, which is called with the new id each time, is the
    moment to read it. With `on_message` there is nothing to iterate.
    """

    def __init__(
        self,
        client: AsyncClient,
        on_message: OnMessage | None = None,
        on_connect: OnConnect | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.connection_id = ""
        self._client = client
        self._on_message, self._on_connect = on_message, on_connect
        self._pauses = pauses or Pauses()
        self._waiting: asyncio.Queue[Data] = asyncio.Queue(WAITING_MAX)
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stay_connected(), name="gameserver_client.realtime")
        connected = asyncio.ensure_future(self._connected.wait())
        try:
            await asyncio.wait({self._task, connected}, return_when=asyncio.FIRST_COMPLETED)
            if not connected.done():
                self._task.result()
        except BaseException:  # nobody will leave what was not entered
            await self.close()
            raise
        finally:
            connected.cancel()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()  # which was raised by `next`, or interests nobody any more

    async def __aiter__(self) -> AsyncIterator[Data]:
        """Yield each message as it comes."""
        while True:
            yield await self.next()

    async def next(self) -> Data:
        """Return the next message. Raises `SessionEndedError` when none will come."""
        if self._task is None:
            raise RuntimeError("enter the context first")
        if self._waiting.empty():
            getting = asyncio.ensure_future(self._waiting.get())
            try:
                await asyncio.wait({getting, self._task}, return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    return getting.result()
            finally:
                getting.cancel()
            self._task.result()
        return self._waiting.get_nowait()

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect()
            except GameServerError as error:
                if _is_final(error):
                    raise
                log.info("no real-time connection: %s", error)
            except _BROKEN as error:
                log.info("the real-time connection broke: %s", error)
            await asyncio.sleep(self._pauses.next())

    async def _connect(self) -> None:
        """Stay connected until the connection breaks, of which it raises the reason."""
        offered = await self._client.call(*REQUEST)
        hello = _hello(self._client.session, offered)
        async with asynchronous.connect(
            _address(offered), max_size=MESSAGE_BYTES_MAX, ping_interval=None, open_timeout=ANSWER_SECONDS_MAX
        ) as socket:
            await socket.send(hello)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                self.connection_id, seconds = _welcome(_read(await socket.recv()))
            self._pauses.reset()
            self._connected.set()
            _call(self._on_connect, self.connection_id)
            beating = asyncio.create_task(self._beat(socket, seconds))
            try:
                async for frame in socket:
                    await self._take(_read(frame))
            finally:
                beating.cancel()
                self.connection_id = ""
        raise ConnectionError("the server has closed the connection")

    async def _take(self, message: Data) -> None:
        if _is_last(message):
            raise _goodbye(message)
        if self._on_message is not None:
            _call(self._on_message, message)
        else:
            await self._waiting.put(message)

    async def _beat(self, socket: asynchronous.ClientConnection, seconds: float) -> None:
        with suppress(WebSocketException):
            while True:
                await asyncio.sleep(seconds)
                await socket.send(HEARTBEAT)


class Realtime:
    """The messages of one session, for threads: `on_message` is called for each, on a thread of its own.

    Use it in a `with` block, or `close` it. Entering waits for the connection, and raises `GameServerError`
    where there will be none. `on_end` is called when the session is over.
    """

    def __init__(
        self,
        client: Client,
        on_message: OnMessage,
        on_connect: OnConnect | None = None,
        on_end: OnEnd | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.connection_id = ""
        self._client = client
        self._on_message, self._on_connect, self._on_end = on_message, on_connect, on_end
        self._pauses = pauses or Pauses()
        self._settled = threading.Event()  # connected for the first time, or never
        self._closing = threading.Event()
        self._refusal: GameServerError | None = None
        self._socket: blocking.ClientConnection | None = None
        self._thread = threading.Thread(
            target=self._stay_connected, name="gameserver_client.realtime", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self._settled.wait()
        if self._refusal is not None:
            raise self._refusal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; returns when no further callback will come."""
        self._closing.set()
        socket = self._socket
        if socket is not None:
            socket.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _stay_connected(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._connect()
                except GameServerError as error:
                    if _is_final(error):
                        raise
                    log.info("no real-time connection: %s", error)
                except _BROKEN as error:
                    log.info("the real-time connection broke: %s", error)
                self._closing.wait(self._pauses.next())
        except GameServerError as error:
            if self._settled.is_set():
                _call(self._on_end, error)
            self._refusal = error
        finally:
            self._settled.set()

    def _connect(self) -> None:
        offered = self._client.call(*REQUEST)
        hello = _hello(self._client.session, offered)
        with blocking.connect(
            _address(offered), max_size=MESSAGE_BYTES_MAX, ping_interval=None, open_timeout=ANSWER_SECONDS_MAX
        ) as socket:
            self._socket = socket
            try:
                socket.send(hello)
                self.connection_id, seconds = _welcome(_read(socket.recv(ANSWER_SECONDS_MAX)))
                self._pauses.reset()
                _call(self._on_connect, self.connection_id)
                self._settled.set()
                self._receive(socket, seconds)
            finally:
                self._socket, self.connection_id = None, ""

    def _receive(self, socket: blocking.ClientConnection, seconds: float) -> None:
        due = time.monotonic() + seconds
        while not self._closing.is_set():
            try:
                message = _read(socket.recv(max(0.0, due - time.monotonic())))
            except TimeoutError:
                socket.send(HEARTBEAT)
                due += seconds
                continue
            if _is_last(message):
                raise _goodbye(message)
            _call(self._on_message, message)
