"""The transcripts of protocol/frames, played against the server byte for byte."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP_ID, Game
from tests.realtime.sockets import listening, secret_of
from tests.realtime.test_framing import (
    BINARY,
    CONTINUATION,
    KEY,
    OFFER,
    TEXT,
    VERSION,
    Raw,
    raw,
    tcp,
    ws_frame,
)

FOLDER = Path(__file__).parents[2] / "protocol" / "frames"
FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
OPCODES = {"text": TEXT, "binary": BINARY, "continuation": CONTINUATION}


@pytest.fixture
async def address(game: Game) -> AsyncIterator[str]:
    async with listening(game) as address:
        yield address


def fits(said: Any, pattern: Any) -> bool:
    match pattern:
        case str() if pattern.endswith("*"):
            return pattern == "*" or (isinstance(said, str) and said.startswith(pattern[:-1]))
        case dict():
            return said.keys() == pattern.keys() and all(fits(said[key], pattern[key]) for key in pattern)
        case _:
            return bool(said == pattern)


@pytest.mark.parametrize("name", FILES)
async def test_a_client_speaks_as_in_the_transcript(game: Game, address: str, name: str) -> None:
    player = await game.player()
    values = {
        "app": APP_ID,
        "profile": player.profile_id,
        "session": player.session_id,
        "secret": await secret_of(player),
    }

    def filled(value: Any) -> Any:
        text = json.dumps(value)
        for key, known in values.items():
            text = text.replace(f"${{{key}}}", known)
        return json.loads(text)

    played = FILES[name]

    async def opened(stack: contextlib.AsyncExitStack) -> Raw:
        connection = await stack.enter_async_context(raw(address))
        if played["form"] == "ws":
            headers = "".join(
                f"{key}: {value}\r\n" for key, value in filled(played.get("headers", {})).items()
            )
            url = filled(played["url"])
            head = f"GET {url} HTTP/1.1\r\nHost: {address}\r\n{OFFER}{VERSION}{KEY}{headers}\r\n"
            await connection.write(head.encode())
            answer = await connection.reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert ("brainCloud" in headers) == (b"Sec-WebSocket-Protocol: brainCloud\r\n" in answer)
        return connection

    async with contextlib.AsyncExitStack() as stack:
        connection = await opened(stack)
        for step in played["steps"]:
            match filled(step):
                case {"client": text, "opcode": opcode, "fin": fin}:
                    await connection.write(ws_frame(text.encode("ascii"), OPCODES[opcode], fin=fin))
                case {"client": text}:
                    await connection.write(tcp(text.encode("ascii")))
                case {"server": pattern}:
                    said = await (connection.hear() if played["form"] == "ws" else connection.hear_tcp())
                    assert fits(said, pattern), (said, pattern)
                case {"call": [service, operation, data]}:
                    answer = await player.call(service, operation, **data)
                    values |= {name: answer[name] for name in step.get("keep", ())}
                case {"again": True}:
                    connection = await opened(stack)
                case _:
                    raise AssertionError(f"no such step: {step}")


def test_each_official_client_has_a_transcript() -> None:
    assert FILES.keys() >= {"javascript", "java", "cpp", "csharp", "csharp_net", "tcp"}
