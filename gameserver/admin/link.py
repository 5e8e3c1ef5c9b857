"""How commands reach an embedded server, whose sessions live in its memory alone.

The server listens on a free port of the loopback address and writes port and token into a file of its data
folder that only its owner can read. One line of JSON asks, one line answers.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gameserver.admin import actions
from gameserver.admin.common import Refused, Server

log = structlog.get_logger(__name__)

FILE_NAME = "server.json"
LINE_BYTES_MAX = 16 << 20  # a batch of an import has 5 MiB, and its quotes and backslashes are escaped
ASK_SECONDS_MAX = 120.0
READ_SECONDS_MAX = 10.0  # for a connection to say what it wants
_LOOPBACK = "127.0.0.1"
_HELLO = "hello"  # asks nothing but whether somebody is there


class NotRunning(Exception):
    """No server works on this data folder."""


class Place(msgspec.Struct):
    """Where the server listens, and what it wants to hear. Content of the file."""

    port: int
    token: str
    pid: int


class Ask(msgspec.Struct):
    """The line that asks."""

    token: str
    action: str
    arguments: dict[str, Any]


class Answer(msgspec.Struct, omit_defaults=True):
    """The line that answers; `refused` is the sentence for the operator."""

    result: Any = None
    refused: str = ""


_read_ask = msgspec.json.Decoder(Ask).decode
_read_answer = msgspec.json.Decoder(Answer).decode
_read_place = msgspec.json.Decoder(Place).decode


# The server's side


@contextlib.asynccontextmanager
async def listen(server: Server, data: Path) -> AsyncIterator[None]:
    """Answer commands while the block runs. Raises `RuntimeError` when another server works on the folder."""
    if await is_running(data):
        raise RuntimeError(f"another server works on {data} already; stop it, or use another --data")
    token = secrets.token_urlsafe(32)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS_MAX):
                line = await reader.readline()
            if line:
                writer.write(msgspec.json.encode(await _answer(server, token, line)) + b"\n")
                await writer.drain()
        except (ValueError, OSError, TimeoutError):  # too long a line, or a caller that is gone
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, _LOOPBACK, 0, limit=LINE_BYTES_MAX)
    path = data / FILE_NAME
    place = Place(listener.sockets[0].getsockname()[1], token, os.getpid())
    _write(path, msgspec.json.encode(place))
    try:
        yield
    finally:
        listener.close()
        path.unlink(missing_ok=True)


async def is_running(data: Path) -> bool:
    """Tell whether a server works on a data folder.

    A file may be left from a crash, and its port be anybody's by now: only the right answer counts.
    """
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            return bool(await ask(data, _HELLO, {}) == _HELLO)
    except (NotRunning, Refused, TimeoutError):
        return False


async def _answer(server: Server, token: str, line: bytes) -> Answer:
    try:
        ask = _read_ask(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Answer(refused="this is no question the server understands")
    if not hmac.compare_digest(ask.token.encode(), token.encode()):
        return Answer(refused="the token is wrong")
    if ask.action == _HELLO:
        return Answer(result=_HELLO)
    try:
        return Answer(result=await actions.run(server, ask.action, ask.arguments))
    except Refused as error:
        return Answer(refused=str(error))
    except Exception:
        log.exception("action_failed", action=ask.action)
        return Answer(refused="the server failed; its log says why")


def _write(path: Path, content: bytes) -> None:
    """Put a file in place that never was readable by others, nor half written."""
    fresh = path.with_suffix(".tmp")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


# The command's side


async def ask(data: Path, action: str, arguments: dict[str, Any]) -> Any:
    """Have the running server do an action. Raises `NotRunning`, or `Refused`."""
    place, reader, writer = await _connect(data)
    try:
        async with asyncio.timeout(ASK_SECONDS_MAX):
            writer.write(msgspec.json.encode(Ask(place.token, action, arguments)) + b"\n")
            await writer.drain()
            answer = _read_answer(await reader.read())  # of any length: an export holds all of a player
    except (OSError, TimeoutError, ValueError, msgspec.DecodeError):
        raise NotRunning("the server went away, or is too busy to answer") from None
    finally:
        writer.close()
    if answer.refused:
        raise Refused(answer.refused)
    return answer.result


async def _connect(data: Path) -> tuple[Place, asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        place = _read_place((data / FILE_NAME).read_bytes())
        return place, *await asyncio.open_connection(_LOOPBACK, place.port, limit=LINE_BYTES_MAX)
    except (OSError, msgspec.DecodeError):
        raise NotRunning(f"no server is running on the data folder {data}") from None
