"""What is wrong below the packet: broken HTTP, on the sockets of a real server."""

import asyncio
import hashlib
import io
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver import logs
from gameserver.http_server import Incidents, Places, web_server
from gameserver.http_server import server as rules
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


@asynccontextmanager
async def connected(
    address: tuple[str, int], **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address, **options)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def address_of(server: Process) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


async def talk(address: tuple[str, int], sent: bytes, *, hang_up: bool = False) -> bytes:
    """Send bytes and read until the server closes; `hang_up` says beforehand that no more will come."""
    async with connected(address) as (reader, writer):
        with suppress(ConnectionError):  # the server may have heard enough before all is sent
            writer.write(sent)
            await writer.drain()
            if hang_up:
                with suppress(OSError):
                    writer.write_eof()
        with suppress(ConnectionError):
            return await reader.read()
    return b""


async def exchange(server: Process, sent: bytes, *, hang_up: bool = False) -> bytes:
    return await talk(address_of(server), sent, hang_up=hang_up)


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


# Requests that go beyond a limit, or against HTTP, with their status

PLAIN = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "101 headers": (PLAIN + b"".join(b"X-%d: 1\r\n" % number for number in range(100)) + b"\r\n", 431),
    "very many headers": (BROKEN["very many headers"], 431),
    "a header without end": (HEAD + b"X-A: " + b"a" * 1_000_000, 431),
    "a name without end": (HEAD + b"a" * 1_000_000, 431),
    "33 KiB of headers": (PLAIN + b"X-A: %b\r\n" % (b"a" * 11_000) * 3 + b"\r\n", 431),
    "an address without end": (b"GET /" + b"a" * 1_000_000, 414),
    "an address of 9000 letters": (PLAIN.replace(b"healthz", b"a" * 9000) + b"\r\n", 414),
    "trailers without end": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: " + b"a" * 1_000_000,
        431,
    ),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "two hosts": (PLAIN + b"Host: y\r\n\r\n", 400),
    "two hosts in the past": (PLAIN.replace(b"1.1", b"1.0") + b"Host: x\r\n\r\n", 400),
    "a tunnel": (b"CONNECT game.test:80 HTTP/1.1\r\nHost: game.test:80\r\n\r\n", 501),
    "a greeting of another protocol": (BROKEN["a greeting of another protocol"], 400),
    "a chunk of no size": (BROKEN["a chunk of no size"], 400),
}


def statuses(answer: bytes) -> list[int]:
    """The statuses of all answers in what came back; no body here holds what looks like one."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("name", REFUSED)
async def test_what_goes_beyond_a_limit_is_refused(server: Process, name: str) -> None:
    sent, status = REFUSED[name]
    answer = await exchange(server, sent)
    assert statuses(answer) == [status]
    assert b"\r\nconnection: close\r\n" in answer
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert told["status"] == status
    assert told["status_message"]


@pytest.mark.parametrize(
    "head",
    [
        PLAIN + b"".join(b"X-%d: 1\r\n" % number for number in range(98)),
        PLAIN + b"X-A: %b\r\n" % (b"a" * 10_000) * 3,
        PLAIN.replace(b"healthz", b"healthz?" + b"a" * 8000),
        b"GET /healthz HTTP/1.0\r\n",
    ],
    ids=["100 headers", "30 KiB of headers", "an address of 8000 letters", "no host in the past"],
)
async def test_what_stays_within_limits_is_answered(server: Process, head: bytes) -> None:
    assert statuses(await exchange(server, head + b"Connection: close\r\n\r\n")) == [200]


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_waits_for_the_answers_before_it(server: Process, name: str) -> None:
    """Otherwise the client would take it for the answer to its packet, which is lost."""
    sent, status = REFUSED[name]
    assert statuses(await exchange(server, GOOD + GOOD + sent)) == [200, 200, status]


def memory_peak_bytes(server: Process) -> int:
    status = Path(f"/proc/{server.popen.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


async def test_headers_without_end_are_not_kept(server: Process) -> None:
    before = memory_peak_bytes(server)
    async with connected(address_of(server)) as (reader, writer):
        writer.write(HEAD)
        with suppress(ConnectionError):
            for _ in range(4000):  # 40 MB
                writer.write(b"X-A: %b\r\n" % (b"a" * 10_000))
                await writer.drain()
        assert statuses(await reader.readuntil(b"}")) == [431]
    assert memory_peak_bytes(server) - before < 10 << 20


async def test_more_requests_at_once_than_anybody_has(server: Process) -> None:
    answers = statuses(await exchange(server, GOOD * 1000))
    assert answers[-1] == 429
    assert set(answers[:-1]) == {200}
    assert len(answers) < 300


# Offers of another protocol

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
OFFERS = {
    "sockets": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "sockets, whole": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n",
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
    "anything": b"connection: upgrade\r\nupgrade: anything\r\n",
}


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("pause", [False, True], ids=["at once", "body later"])
async def test_an_offer_of_another_protocol_is_ignored(server: Process, name: str, pause: bool) -> None:
    """As HTTP allows. Its body is its body: not the other protocol's, nor a request of its own."""
    head, _, body = GOOD.partition(b"\r\n\r\n")
    async with connected(address_of(server)) as (reader, writer):
        writer.write(head + b"\r\n" + OFFERS[name] + b"\r\n")
        if pause:
            await writer.drain()
            assert packet_in(await exchange(server, LAST))["packetId"] == 3  # by now it has come
        writer.write(body + LAST)
        answer = await reader.read()
    assert statuses(answer) == [200, 200]
    assert packet_in(answer)["packetId"] == 3


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_body_beside_an_offer_is_no_request(server: Process, name: str, framing: str) -> None:
    head = b"POST /dispatcherv2 HTTP/1.1\r\nHost: x\r\n" + OFFERS[name]
    if framing == "length":
        sent = head + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    else:
        sent = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    answer = await exchange(server, sent + LAST)
    assert statuses(answer) == [200, 200]  # 404 for what was smuggled
    assert b"40001" in answer or b"-1" in answer
    assert packet_in(answer)["packetId"] == 3


async def test_an_offer_without_a_body_is_a_request(server: Process) -> None:
    for offer in OFFERS.values():
        head = PLAIN + offer.replace(b"Upgrade\r\n", b"Upgrade, close\r\n", 1)
        assert statuses(await exchange(server, head + b"\r\n" + LAST)) in ([200], [200, 200])


async def test_a_line_feed_that_one_client_leaks_into_its_app_id(server: Process) -> None:
    leaked = HEAD + b"X-APPID: null\n\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    assert packet_in(await exchange(server, leaked))["packetId"] == 3
    async with connected(address_of(server)) as (reader, writer):
        for sent in (GOOD, leaked):  # also on a connection that has been used
            writer.write(sent)
            assert packet_in(await reader.readuntil(b"}]}"))["packetId"] == 3
    elsewhere = leaked.replace(b"X-APPID", b"X-OTHER")
    assert statuses(await exchange(server, elsewhere)) == [400]


# Places, and who keeps them


@asynccontextmanager
async def listening(app: ASGIApp, places: Places | None = None) -> AsyncIterator[tuple[str, int]]:
    """A server in process, on a socket; told to stop at the end, and waited for."""
    ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web = web_server(app, places or Places(100, 100), ready=ready.set, takes_signals=False)
        served = asyncio.create_task(web.serve([listener]))
        await ready.wait()
        yield listener.getsockname()
        web.should_exit = True
        async with asyncio.timeout(ANSWER_SECONDS):
            await served


async def much(_: Scope, __: Receive, send: Send) -> None:
    """Answers with more than any buffer on the way takes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(64 << 20)})


async def test_who_does_not_read_an_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "WRITE_SECONDS_MAX", 0.01)
    async with listening(much) as address, connected(address, limit=1) as (reader, writer):
        writer.write(PLAIN + b"\r\n")
        await reader.readexactly(1)  # the answer has begun; nothing more of it is read
        with suppress(ConnectionError):
            while True:
                writer.write(PLAIN + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)


async def test_who_does_not_read_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "CLOSING_WRITE_SECONDS_MAX", 0.01)
    async with connected_to(much, limit=1) as (reader, writer):
        writer.write(PLAIN + b"\r\n")
        await reader.readexactly(1)


async def test_who_does_not_send_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch, game: Game) -> None:
    monkeypatch.setattr(rules, "CLOSING_RECEIVE_SECONDS_MAX", 0.01)
    async with connected_to(game.server_app) as (reader, writer):
        writer.write(GOOD)
        await reader.readuntil(b"}]}")
        writer.write(GOOD[:-1])
        await writer.drain()


@asynccontextmanager
async def connected_to(
    app: ASGIApp, **options: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is still there when the server is told to stop."""
    async with AsyncExitStack() as stack, listening(app) as address:
        yield await stack.enter_async_context(connected(address, **options))


@pytest.mark.parametrize("places", [Places(2, 100), Places(100, 2)], ids=["in all", "of an address"])
async def test_there_are_places_for_so_many(places: Places, game: Game) -> None:
    async with listening(game.server_app, places) as address:
        async with connected(address) as first, connected(address) as second:
            for reader, writer in (first, second):
                writer.write(GOOD)
                await reader.readuntil(b"}]}")
            assert await talk(address, LAST) == b""
        answer = b""
        while not answer:  # the server hears of their end in its own time
            answer = await talk(address, LAST)
        assert packet_in(answer)["packetId"] == 3


def test_places_of_one_network_are_counted_together() -> None:
    places = Places(100, 1, lambda address: address == "10.0.0.1")
    assert [
        places.take(a) for a in ("2001:db8::1", "2001:db8:0:1::1", "10.0.0.2", "10.0.0.1", "10.0.0.1")
    ] == [""] * 5
    assert places.take("2001:db8::2:1") == "too many connections of one address"
    places.leave("2001:db8::2:1")
    places.leave("2001:db8::1")
    assert places.take("2001:db8::3") == ""


def test_the_log_hears_of_trouble_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    logs.configure("info", console=False, stream=out)
    incidents = Incidents()
    for second in range(100):
        incidents.count("a request that is not HTTP")
        incidents.tell(float(second))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["kind"], line["times"]) for line in lines] == [
        ("a request that is not HTTP", 1),
        ("a request that is not HTTP", 60),
    ]


async def test_offers_of_sockets_do_not_spoil_the_end(tmp_path: Path) -> None:
    """A packet in flight is answered, and the process ends with 0, whoever else is there."""
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML)
    with serve(tmp_path, "--ephemeral") as process:
        offer = HEAD + OFFERS["sockets, whole"] + b"Content-Length: %d\r\n\r\n" % len(BODY)
        async with AsyncExitStack() as stack:
            answered = [await stack.enter_async_context(connected(address_of(process))) for _ in range(300)]
            reader, writer = answered.pop()
            writer.write(offer + BODY[:-1])
            for _, other in answered:
                other.write(offer + BODY)
            for answers, _ in answered:
                await answers.readuntil(b"}]}")
            process.popen.send_signal(signal.SIGTERM)
            for answers, _ in answered:
                assert await answers.read() == b""  # closed, now that the server ends
            writer.write(BODY[-1:])
            assert packet_in(await reader.read())["packetId"] == 3
        assert process.popen.wait(ANSWER_SECONDS) == 0


# Requests that do not arrive


@pytest.mark.parametrize("first", [b"", GOOD], ids=["at once", "after a packet"])
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /" + b"a" * 10, HEAD, GOOD[:-1]])
async def test_a_request_that_does_not_arrive_is_given_up(
    game: Game, monkeypatch: pytest.MonkeyPatch, first: bytes, sent: bytes
) -> None:
    """Otherwise clients that begin and never end take all places there are."""
    monkeypatch.setattr(rules, "KEEP_ALIVE_SECONDS", 0.01 if not sent else 1000)
    ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web = web_server(game.server_app, Places(100, 100), ready=ready.set)
        served = asyncio.create_task(web.serve([listener]))
        await ready.wait()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(ANSWER_SECONDS):
            if first:
                writer.write(first)
                assert packet_in(await reader.readuntil(b"}]}"))["packetId"] == 3
            monkeypatch.setattr(rules, "RECEIVE_SECONDS_MAX", 0.01)
            writer.write(sent)
            with suppress(ConnectionError):
                assert await reader.read() == b""  # returns when the server hangs up
        writer.close()
        web.should_exit = True
        await served
