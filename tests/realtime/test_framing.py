"""What arrives on real-time connections in the shapes that clients, and nobody's clients, give it."""

import asyncio
import itertools
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from gameserver.realtime import Channels, Connections, connection, encode_frame, player_channel, websocket
from gameserver.realtime.connection import MESSAGE_BYTES_MAX
from gameserver.realtime.objects import ObjectCutter
from tests.conftest import APP_ID, Client, Game
from tests.realtime.sockets import PATIENCE_SECONDS, connect_frame, listening, secret_of, until_gone

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
OFFER = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
VERSION, KEY = "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
HEARTBEAT = b'{"operation":"HEARTBEAT","service":"rtt","data":null}'


@pytest.fixture
async def address(game: Game) -> AsyncIterator[str]:
    async with listening(game) as address:
        yield address


def ws_frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """A frame as clients send it: masked."""
    size = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class Raw:
    """A connection whose every byte the test decides."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """The next WebSocket frame: its first byte and what it holds."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                [size] = struct.unpack("!H", await self.reader.readexactly(2))
            return first, await self.reader.readexactly(size)

    async def hear(self) -> Any:
        """The next message, in one unfragmented binary frame."""
        first, payload = await self.frame()
        assert first == 0x80 | BINARY
        return json.loads(payload)

    async def hear_tcp(self) -> Any:
        """The next message of the bare form."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            [size] = struct.unpack("!I", await self.reader.readexactly(4))
            return json.loads(await self.reader.readexactly(size))

    async def ended(self) -> bytes:
        """Everything up to the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()


@asynccontextmanager
async def raw(address: str) -> AsyncIterator[Raw]:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def upgraded(address: str) -> AsyncIterator[Raw]:
    async with raw(address) as opened:
        await opened.write(
            f"GET /?X-APPID={APP_ID} HTTP/1.1\r\nHost: {address}\r\n{OFFER}{VERSION}{KEY}\r\n".encode()
        )
        head = await opened.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        yield opened


async def greeting(player: Client, **changes: Any) -> bytes:
    """The bytes of a CONNECT."""
    frame = connect_frame(player, await secret_of(player))
    return json.dumps(frame | changes).encode()


async def works(game: Game, player: Client, opened: Raw) -> None:
    """See that the connection is the player's, and lives."""
    frame = encode_frame("event", "GET_EVENTS", {"n": 1})
    game.core.get(Channels).publish(player_channel(APP_ID, player.profile_id), frame)
    assert await opened.hear() == json.loads(frame)


# WebSocket


def whole(hello: bytes) -> list[bytes]:
    return [ws_frame(hello)]


def binary(hello: bytes) -> list[bytes]:
    return [ws_frame(hello, BINARY)]


def with_a_trailing_newline(hello: bytes) -> list[bytes]:
    return [ws_frame(hello + b"\n")]


def pretty(hello: bytes) -> list[bytes]:
    return [ws_frame(json.dumps(json.loads(hello), indent=3).encode() + b"\r\n\r\n")]


def in_fragments_of_which_none_is_the_last(hello: bytes) -> list[bytes]:
    return [
        ws_frame(hello, BINARY, fin=False),
        ws_frame(HEARTBEAT, CONTINUATION, fin=False),
        ws_frame(HEARTBEAT, CONTINUATION, fin=False),
    ]


def in_fragments_that_cut_it(hello: bytes) -> list[bytes]:
    return [
        ws_frame(hello[:5], BINARY, fin=False),
        ws_frame(hello[5:90], CONTINUATION, fin=False),
        ws_frame(b"", CONTINUATION, fin=False),
        ws_frame(hello[90:] + HEARTBEAT[:7], CONTINUATION, fin=False),
        ws_frame(b"you there?", PING),
        ws_frame(HEARTBEAT[7:], CONTINUATION, fin=False),
    ]


def in_fragments_with_an_end(hello: bytes) -> list[bytes]:
    return [ws_frame(hello[:50], fin=False), ws_frame(hello[50:], CONTINUATION), ws_frame(HEARTBEAT)]


def behind_what_is_none(hello: bytes) -> list[bytes]:
    return [
        ws_frame(b""),
        ws_frame(b"{"),
        ws_frame(b"\xff\xfe", BINARY),
        ws_frame(b"[" * 50_000),
        ws_frame(b"null"),
        ws_frame(b'"CONNECT"'),
        ws_frame(b'{"operation":7}'),
        ws_frame(b'{"operation":"CONNECT","data":[]}'),
        ws_frame(b'{"operation":"DANCE","data":{}}'),
        ws_frame('{"operation":"HEARTBEAT","text":"\ud800"}'.encode(errors="surrogatepass")),
        ws_frame(hello),
    ]


SHAPES = [
    whole,
    binary,
    with_a_trailing_newline,
    pretty,
    in_fragments_of_which_none_is_the_last,
    in_fragments_that_cut_it,
    in_fragments_with_an_end,
    behind_what_is_none,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("pieces", ["together", "frame by frame", "byte by byte"])
async def test_a_connect_arrives_in_many_shapes(game: Game, address: str, shape: Any, pieces: str) -> None:
    player = await game.player()
    frames = shape(await greeting(player))
    async with upgraded(address) as opened:
        match pieces:
            case "together":
                await opened.write(b"".join(frames))
            case "frame by frame":
                for frame in frames:
                    await opened.write(frame)
                    await asyncio.sleep(0)
            case _:
                data = b"".join(frames)
                step = max(1, len(data) // 300)
                for begin in range(0, len(data), step):
                    await opened.write(data[begin : begin + step])
                    await asyncio.sleep(0)
        answers = [await opened.frame()]
        if shape is in_fragments_that_cut_it:
            answers.append(await opened.frame())
            assert (0x80 | PONG, b"you there?") in answers
        assert any(b'"operation":"CONNECT"' in payload for _, payload in answers)
        await works(game, player, opened)


async def test_fragments_without_an_end_go_on_for_ever(game: Game, address: str) -> None:
    """A heartbeat every half a minute is four megabytes in a year: nothing of it is kept."""
    player = await game.player()
    async with upgraded(address) as opened:
        await opened.write(ws_frame(await greeting(player), BINARY, fin=False))
        assert (await opened.hear())["operation"] == "CONNECT"
        for _ in range(400):
            padded = HEARTBEAT + b" " * 400
            await opened.write(ws_frame(padded, CONTINUATION, fin=False))
        await works(game, player, opened)


@pytest.mark.parametrize(
    "data",
    [
        ws_frame(b"x" * (MESSAGE_BYTES_MAX + 1)),
        bytes([0x82, 0x80 | 127]) + struct.pack("!Q", 10 << 20) + b"mask" + b"x" * 4000,
        bytes([0x82, 0x80 | 127]) + struct.pack("!Q", (1 << 63) - 1),
        b"\x81\x05hello",  # unmasked
        b"\xf1\x80mask",  # reserved bits
        b"\x83\x80mask",  # no such opcode
        ws_frame(b"x", CONTINUATION),  # of nothing
        ws_frame(b'{"a":"' + b"x" * 60_000, fin=False) + ws_frame(b"x" * 60_000, CONTINUATION, fin=False),
        ws_frame(b"x" * 200, PING),
        ws_frame(b"", CLOSE),
        ws_frame(b"\x03\xe8", CLOSE),
    ],
    ids=range(11),  # the frames themselves are masked at random
)
async def test_what_is_no_message_ends_the_connection_and_nothing_else(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.05)  # the client reads to the end, and closes then
    player = await game.player()
    async with upgraded(address) as opened:
        await opened.write(data)
        said = await opened.ended()
        assert bytes([0x80 | CLOSE]) in said
    async with upgraded(address) as opened:
        await opened.write(ws_frame(await greeting(player)))
        assert (await opened.hear())["operation"] == "CONNECT"
        await works(game, player, opened)
    await until_gone(game)


@pytest.mark.parametrize("form", ["ws", "tcp"])
async def test_a_flood_is_neither_read_to_its_end_nor_waited_for(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Of what comes in one turn of the event loop, tiny messages would keep everybody waiting."""
    monkeypatch.setattr(connection, "LINGER_SECONDS", 1000)
    connections, said = game.core.get(Connections), []
    monkeypatch.setattr(connections, "said", lambda _, message: said.append(message))
    message = ws_frame(b"") if form == "ws" else tcp(b"")
    async with upgraded(address) if form == "ws" else raw(address) as opened:
        with suppress(ConnectionError):
            await opened.write(message * (1 << 16))
            await opened.write(message * (1 << 18))
        with suppress(ConnectionError):
            await opened.ended()
    assert len(said) < 2 * connection.SPENT_MAX


@pytest.mark.parametrize("end", [1, 7, 60, 200])
async def test_half_a_message_is_forgotten_with_its_connection(game: Game, address: str, end: int) -> None:
    player = await game.player()
    async with upgraded(address) as opened:
        await opened.write(ws_frame(await greeting(player))[:end])
    await until_gone(game)


@pytest.mark.parametrize(
    "head",
    [
        f"GET / HTTP/1.1\r\nHost: x\r\n{OFFER}",
        f"GET / HTTP/1.1\r\nHost: x\r\n{OFFER}{KEY}Sec-WebSocket-Version: 8\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\n{OFFER}{VERSION}Sec-WebSocket-Key: short\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{OFFER}{VERSION}{KEY}",
    ],
)
async def test_a_handshake_that_is_none_is_refused(address: str, head: str) -> None:
    async with raw(address) as opened:
        await opened.write(f"{head}\r\n".encode())
        assert (await opened.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 4")


async def test_a_handshake_follows_requests_of_the_same_connection(game: Game, address: str) -> None:
    player = await game.player()
    async with raw(address) as opened:
        await opened.write(f"GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        assert b"alive" in await opened.reader.readuntil(b"}")
        await opened.write(
            f"GET / HTTP/1.1\r\nHost: x\r\n{OFFER}{VERSION}{KEY}\r\n".encode()
            + ws_frame(await greeting(player))
        )
        await opened.reader.readuntil(b"\r\n\r\n")
        assert (await opened.hear())["operation"] == "CONNECT"
        await works(game, player, opened)


# Bare TCP


def tcp(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize("step", [1, 3, 1000])
async def test_the_bare_form(game: Game, address: str, step: int) -> None:
    player = await game.player()
    data = tcp(await greeting(player)) + tcp(HEARTBEAT) + tcp(b"no json") + tcp(b"") + tcp(HEARTBEAT + b"\n")
    async with raw(address) as opened:
        for begin in range(0, len(data), step):
            await opened.write(data[begin : begin + step])
            if begin < 400:
                await asyncio.sleep(0)
        answer = await opened.hear_tcp()
        assert (answer["operation"], answer["data"]["heartbeatSeconds"]) == ("CONNECT", 30)
        frame = encode_frame("event", "GET_EVENTS", {"n": 1})
        game.core.get(Channels).publish(player_channel(APP_ID, player.profile_id), frame)
        assert await opened.hear_tcp() == json.loads(frame)
        await player.call("playerState", "LOGOUT")
        end = await opened.hear_tcp()
        assert (end["operation"], end["data"]["reasonCode"]) == ("DISCONNECT", 40304)
        assert await opened.ended() == b""


@pytest.mark.parametrize("data", [(10 << 20).to_bytes(4, "big") + b"x" * 100, b"\x00\xff\xff\xff"])
async def test_a_bare_message_that_is_too_large_ends_the_connection(address: str, data: bytes) -> None:
    async with raw(address) as opened:
        await opened.write(data)
        assert (await opened.hear_tcp())["data"]["reasonCode"] == 40600
        assert await opened.ended() == b""


# Objects


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=4),
    st.lists(st.integers(0, 300), max_size=6),
    st.booleans(),
)
def test_objects_are_found_wherever_the_stream_is_cut(
    objects: list[Any], cuts: list[int], is_ascii: bool
) -> None:
    stream = b"\n".join(
        json.dumps(each, ensure_ascii=is_ascii).encode("utf-8", "replace") for each in objects
    )
    cutter = ObjectCutter(1 << 16)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    found = [each for a, b in itertools.pairwise(places) for each in cutter.feed(stream[a:b])]
    assert found == stream.split(b"\n")[: len(objects)]
    assert cutter.is_empty


def test_an_object_does_not_grow_without_end() -> None:
    cutter = ObjectCutter(1000)
    for _ in range(500):
        assert cutter.feed(b'{"') == cutter.feed(b'":') == []
        if len(cutter._buffer) > 990:
            break
    with pytest.raises(ValueError, match="too large"):
        cutter.feed(b"{" * 11)


HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just(b"upgrade"), st.sampled_from([b"websocket", b"WebSocket", b"h2c", b""])),
        st.tuples(
            st.just(b"connection"),
            st.sampled_from([b"Upgrade", b"keep-alive, Upgrade", b"upgrade ,x", b"close"]),
        ),
        st.tuples(st.just(b"sec-websocket-version"), st.sampled_from([b"13", b"8", b"13, 8"])),
        st.tuples(
            st.just(b"sec-websocket-key"),
            st.sampled_from([b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAAAAAAAAAAAAAAAAAAAB==", b"AAAA", b"\xff"]),
        ),
        st.tuples(
            st.just(b"sec-websocket-protocol"),
            st.sampled_from([b"brainCloud", b"x, brainCloud", b"x", b"brainCloud\x00"]),
        ),
        st.tuples(st.just(b"x-more"), st.binary(max_size=3)),
    ),
    min_size=4,
    max_size=7,
)


USUAL = [
    (b"host", b"x"),
    (b"upgrade", b"websocket"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
]


def test_what_clients_usually_ask_is_granted_at_once() -> None:
    assert websocket._granted(USUAL) is not None
    assert websocket._granted([*USUAL, USUAL[1]]) is None


@example(USUAL)
@example([*USUAL, (b"sec-websocket-protocol", b"brainCloud")])
@given(HEADERS)
def test_what_is_granted_at_once_the_library_would_grant_as_well(headers: list[tuple[bytes, bytes]]) -> None:
    answer = websocket._granted(headers)
    if answer is None:
        return
    asked = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
    judged = ServerProtocol(select_subprotocol=websocket._select).accept(Request("/", asked))
    head, *told = answer.decode().removesuffix("\r\n\r\n").split("\r\n")
    wanted = {name: value for name, value in judged.headers.raw_items() if name != "Date"}
    assert judged.status_code == 101
    assert head == "HTTP/1.1 101 Switching Protocols"
    assert dict(line.split(": ", 1) for line in told) == wanted
