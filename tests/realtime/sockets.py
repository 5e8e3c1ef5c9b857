"""A server in process that listens, and clients that open real-time connections to it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from gameserver.http_server import Places, web_server
from gameserver.realtime import Connections
from tests.conftest import Client, Game

PATIENCE_SECONDS = 20
OPENED: "ContextVar[list[Socket]]" = ContextVar("opened")  # by this test


@contextlib.asynccontextmanager
async def listening(game: Game) -> AsyncIterator[str]:
    """Let the server of a test listen on loopback; yields host and port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(2048)
        started = asyncio.Event()
        web = web_server(
            game.server_app,
            Places(10_000, 10_000),
            ready=started.set,
            takes_signals=False,
            realtime=game.core.get(Connections),
        )
        serving = asyncio.create_task(web.serve([bound]))
        await started.wait()
        opened: list[Socket] = []
        token = OPENED.set(opened)
        try:
            yield "{}:{}".format(*bound.getsockname())
        finally:
            for each in opened:
                each.inner.transport.abort()
            web.should_exit = True
            await serving
            OPENED.reset(token)


async def secret_of(player: Client) -> str:
    """A secret for a connection of a player's session."""
    offered = await player.call("rttRegistration", "REQUEST_CLIENT_CONNECTION")
    secret: str = offered["auth"]["X-RTT-SECRET"]
    return secret


def connect_frame(player: Client, secret: str) -> dict[str, Any]:
    """What a client says first."""
    return {
        "service": "rtt",
        "operation": "CONNECT",
        "data": {
            "appId": player.app_id,
            "profileId": player.profile_id,
            "sessionId": player.session_id,
            "system": {"protocol": "ws", "platform": "WEB"},
            "auth": {"X-APPID": player.app_id, "X-RTT-SECRET": secret},
        },
    }


class Socket:
    """A WebSocket as the official JavaScript client opens it."""

    def __init__(self, inner: ClientConnection) -> None:
        self.inner = inner
        self.cx_id = ""

    async def say(self, message: Any) -> None:
        """Send a message as text, as that client does."""
        await self.inner.send(json.dumps(message))

    async def hear(self, seconds: float = PATIENCE_SECONDS) -> Any:
        """The next message; frames are binary."""
        async with asyncio.timeout(seconds):
            frame = await self.inner.recv()
        assert isinstance(frame, bytes), "one official client drops text"
        return json.loads(frame)

    async def end(self) -> Any:
        """What the server says at the end, and nothing after it."""
        said = await self.hear()
        assert (said["service"], said["operation"]) == ("rtt", "DISCONNECT")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.inner.wait_closed()
        return said["data"]

    async def close(self) -> None:
        """Hang up."""
        await self.inner.close()


async def open_socket(address: str, secret: str = "", path: str = "/", **options: Any) -> Socket:
    """A WebSocket that has said nothing yet."""
    query = f"?X-APPID=10001&X-RTT-SECRET={secret}" if secret else ""
    made = Socket(await connect(f"ws://{address}{path}{query}", compression=None, **options))
    OPENED.get().append(made)
    return made


async def connected(address: str, player: Client) -> Socket:
    """A connection of a player."""
    secret = await secret_of(player)
    opened = await open_socket(address, secret)
    await opened.say(connect_frame(player, secret))
    answer = await opened.hear()
    assert (answer["service"], answer["operation"]) == ("rtt", "CONNECT"), answer
    opened.cx_id = answer["data"]["cxId"]
    return opened


async def until_gone(game: Game, most: int = 0) -> None:
    """Return when the server has so many connections at most."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(game.core.get(Connections)) > most:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is so. What other processes see of a connection follows a moment after its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await look():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
