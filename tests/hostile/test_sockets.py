"""What is wrong below the packet: broken HTTP, on the sockets of a real server."""

import asyncio
import hashlib
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gameserver import serve as serving
from gameserver.wire.http import BODY_BYTES_MAX
from tests.conftest import APP_ID, APP_TOML, SECRET, Game
from tests.processes import Process, serve
from tests.protocol.dialect import check_bundle

BODY = b'{"packetId":3,"gameId":"%s","messages":[{"service":"time","operation":"READ"}]}' % APP_ID.encode()
SIGNATURE = hashlib.md5(BODY + SECRET.encode()).hexdigest().encode()
HEAD = b"POST /dispatcherv2 HTTP/1.1\r\nHost: game.test\r\nX-SIG: %s\r\n" % SIGNATURE
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LAST = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
ANSWER_SECONDS = 10

BROKEN = {
    "nothing": b"",
    "an empty line": b"\r\n\r\n",
    "a greeting of another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"POST /dispatcherv2\r\n\r\n",
    "a version of the future": b"POST /dispatcherv2 HTTP/9.9\r\n\r\n",
    "half a head": HEAD,
    "a head without end": HEAD + b"X-A: " + b"a" * 300_000,
    "very many headers": HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(5000)) + b"\r\n",
    "a header without a name": HEAD + b": x\r\n\r\n",
    "a header with NUL": HEAD + b"X-A: a\0b\r\n\r\n",
    "a length below zero": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length that is no number": HEAD + b"Content-Length: many\r\n\r\n" + BODY,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + BODY,
    "a body that ends early": HEAD + b"Content-Length: 100000\r\n\r\n" + BODY,
    "a chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
    "a chunk that ends early": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n" + BODY,
    "an encoding nobody knows": HEAD + b"Transfer-Encoding: rot13\r\n\r\n" + BODY,
    "a path of a hundred thousand letters": b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path that is no text": b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "an upgrade to a socket": b"GET /dispatcherv2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("sockets")
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(APP_TOML)
    with serve(folder, "--ephemeral") as process:
        yield process
    for log in Path(folder).glob("*.log"):
        assert "Traceback" not in log.read_text(), "something broke inside the server"


async def exchange(server: Process, sent: bytes, *, hang_up: bool = False) -> bytes:
    """Send bytes and read until the server closes; `hang_up` says beforehand that no more will come."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        with suppress(ConnectionError):  # the server may have heard enough before all is sent
            writer.write(sent)
            await writer.drain()
            if hang_up:
                writer.write_eof()
        async with asyncio.timeout(ANSWER_SECONDS):
            with suppress(ConnectionError):
                return await reader.read()
        return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def packet_in(answer: bytes) -> dict[str, object]:
    """The answer to the last packet in what came back."""
    head, _, body = answer[answer.rfind(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"HTTP/1.1 200 OK", answer
    return check_bundle(body, messages=1)


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_requests_harm_nobody(server: Process, name: str) -> None:
    answer = await exchange(server, BROKEN[name], hang_up=True)
    if answer.startswith(b"HTTP/1.1 200"):  # HTTP can be read that way; then it is a packet that cannot
        assert packet_in(answer)["packetId"] == -1
    else:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:300]
    assert packet_in(await exchange(server, LAST))["packetId"] == 3


async def test_a_body_that_is_too_long_is_refused_before_its_end(server: Process) -> None:
    endless = HEAD + b"Connection: close\r\nContent-Length: 99999999999\r\n\r\n" + b" " * (BODY_BYTES_MAX + 1)
    answer = await exchange(server, endless)
    assert b"40600" in answer


async def test_packets_that_follow_each_other_on_one_connection(server: Process) -> None:
    answer = await exchange(server, GOOD + GOOD + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert packet_in(answer)["packetId"] == 3


async def test_a_client_that_asks_before_it_sends_its_body(server: Process) -> None:
    head, _, body = LAST.partition(b"\r\n\r\n")
    answer = await exchange(server, head + b"\r\nExpect: 100-continue\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert packet_in(answer)["packetId"] == 3


async def test_a_body_in_chunks(server: Process) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:1], BODY[1:9], BODY[9:]))
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert packet_in(await exchange(server, head + chunks + b"0\r\n\r\n"))["packetId"] == 3


async def test_many_connections_that_say_nothing(server: Process) -> None:
    address = urlsplit(server.url)
    silent = [await asyncio.open_connection(address.hostname, address.port) for _ in range(200)]
    try:
        assert packet_in(await exchange(server, LAST))["packetId"] == 3
    finally:
        for _, writer in silent:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize("first", [b"", GOOD], ids=["at once", "after a packet"])
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /" + b"a" * 10, HEAD, GOOD[:-1]])
async def test_a_request_that_does_not_arrive_is_given_up(
    game: Game, monkeypatch: pytest.MonkeyPatch, first: bytes, sent: bytes
) -> None:
    """Otherwise clients that begin and never end take all places there are."""
    monkeypatch.setattr(serving, "RECEIVE_SECONDS_MAX", 0.01)
    monkeypatch.setattr(serving, "KEEP_ALIVE_SECONDS", 0.01 if not sent else 1000)
    ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web = serving.web_server(game.server_app.settings, game.server_app, ready.set)
        served = asyncio.create_task(web.serve([listener]))
        await ready.wait()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(ANSWER_SECONDS):
            if first:
                writer.write(first)
                assert packet_in(await reader.readuntil(b"}]}"))["packetId"] == 3
            writer.write(sent)
            with suppress(ConnectionError):
                assert await reader.read() == b""  # returns when the server hangs up
        writer.close()
        web.should_exit = True
        await served
