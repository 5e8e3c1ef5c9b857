"""One suite for channels: within a process, and between two over a real Redis."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gameserver.realtime import (
    FRAME_BYTES_MAX,
    Channels,
    Frame,
    FrameTooLarge,
    MemoryBus,
    Place,
    RedisBus,
    TooManyChannels,
    encode_frame,
    player_channel,
)
from gameserver.realtime import channels as channels_module
from gameserver.realtime.channels import CHANNELS_PER_CONNECTION_MAX, INVITED_MAX, LISTENERS_AT_ONCE
from gameserver.realtime.reasons import Reason
from gameserver.sessions import Session, SessionsUnavailable, connect
from gameserver.sessions.connection import disconnect
from tests import servers

APP = "10001"
ADA, BOB = player_channel(APP, "ada"), player_channel(APP, "bob")


@dataclass(eq=False)
class Socket:
    """A connection that keeps what it is sent."""

    session_digest: str = "ada.1"
    profile_id: str = ""
    cx_id: str = ""
    channels: set[str] = field(default_factory=set)
    muted: frozenset[str] = frozenset()
    is_open: bool = True
    got: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    frames: list[Frame] = field(default_factory=list)

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.got.put_nowait(frame.payload)

    def end(self, reason: Reason) -> None:
        self.is_open = False
        self.got.put_nowait(reason.text.encode())

    async def next(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.got.get()


def session(digest: str = "ada.1", player: str = "ada") -> Session:
    return Session(digest, APP, player, APP, player, "dispatcher", 0, 1200, {})


@dataclass
class Pair:
    """Two processes, or one that is both."""

    here: Channels
    there: Channels
    buses: list[RedisBus]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    """A cluster of one node, which has all slots."""
    port, bus = (
        str(servers.free_port()),
        str(servers.free_port()),
    )  # the nodes' own is 10,000 above, unless it is named
    options = ("--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", bus)
    with servers.redis(*options):
        node = ["redis-cli", "-p", port, "cluster"]
        subprocess.run([*node, "addslotsrange", "0", "16383"], check=True, capture_output=True)
        while (
            b"cluster_state:ok" not in subprocess.run([*node, "info"], check=True, capture_output=True).stdout
        ):
            time.sleep(0.05)
        yield f"redis+cluster://127.0.0.1:{port}"


@pytest.fixture(params=["memory", "redis", "cluster"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    if request.param == "memory":
        bus = MemoryBus()
        channels = Channels(bus, "one")
        bus.listen(channels.receive)
        await channels.open()
        yield Pair(channels, channels, [])
        return
    client = await connect(request.getfixturevalue(f"{request.param}_url"))
    buses = [RedisBus(client), RedisBus(client)]
    both = []
    for number, redis_bus in enumerate(buses):
        channels = Channels(redis_bus, f"process-{number}")
        redis_bus.listen(channels.receive)
        await channels.open()
        both.append(channels)
    yield Pair(both[0], both[1], buses)
    for redis_bus in buses:
        await redis_bus.close()
    await disconnect(client)


def frame(number: int) -> bytes:
    return encode_frame("chat", "INCOMING", {"n": number})


async def test_what_is_published_reaches_those_who_listen_and_nobody_else(pair: Pair) -> None:
    ada, bob, cyd = Socket(), Socket(), Socket()
    assert await pair.here.add(ada, "room")
    assert await pair.there.add(bob, "room")
    assert await pair.there.add(cyd, "other room")
    pair.here.publish("room", frame(1))
    assert await ada.next() == await bob.next() == frame(1)
    pair.here.publish("other room", frame(2))
    assert await cyd.next() == frame(2)
    assert ada.got.empty()


async def test_all_connections_of_an_app_are_ended_wherever_they_are(pair: Pair) -> None:
    here = [Socket(cx_id=str(number)) for number in range(3)]
    there, other = Socket(), Socket()
    for number, socket_ in enumerate(here):
        await pair.here.add(socket_, player_channel(APP, f"player {number}"))
    await pair.there.add(there, ADA)
    await pair.there.add(other, player_channel(f"{APP}0", "ada"))
    assert await pair.there.end_all(APP) == 4
    for socket_ in (*here, there):
        assert b"ended all connections" in await socket_.next()
    assert other.is_open
    assert await pair.here.end_all("nobody") == 0


async def test_who_has_left_receives_nothing_more(pair: Pair) -> None:
    ada, bob = Socket(), Socket()
    assert await pair.there.add(ada, "room")
    assert await pair.there.add(bob, "room")
    pair.there.remove(ada, "room")
    pair.here.publish("room", frame(1))
    assert await bob.next() == frame(1)
    assert (ada.got.empty(), ada.channels) == (True, set())


async def test_leaving_and_coming_back_at_once_misses_nothing(pair: Pair) -> None:
    ada = Socket()
    for number in range(50):
        assert await pair.there.add(ada, "room")
        pair.here.publish("room", frame(number))
        assert await ada.next() == frame(number)
        pair.there.remove(ada, "room")
        adding = asyncio.ensure_future(pair.there.add(ada, "room"))
        await asyncio.sleep(0)
        pair.there.remove(ada, "room")
        await adding


async def test_messages_of_a_channel_arrive_in_one_order_for_all(pair: Pair) -> None:
    ada, bob = Socket(), Socket()
    await pair.here.add(ada, "room")
    await pair.there.add(bob, "room")
    for number in range(500):
        (pair.here if number % 2 else pair.there).publish("room", frame(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    by_ada = [await ada.next() for _ in range(500)]
    by_bob = [await bob.next() for _ in range(500)]
    assert by_ada == by_bob
    for parity in (0, 1):  # and for each publisher in the order in which it spoke
        spoken = [frame(number) for number in range(500) if number % 2 == parity]
        assert [heard for heard in by_ada if heard in set(spoken)] == spoken


async def test_a_listener_that_fails_keeps_nobody_from_hearing(pair: Pair) -> None:
    class Broken(Socket):
        def send(self, frame: Frame) -> None:
            raise OSError("no transport")

    sockets = [Socket(), Broken(), Socket(), Broken(), Socket()]
    for each in sockets:
        await pair.there.add(each, "room")
    pair.here.publish("room", frame(1))
    assert [await each.next() for each in sockets[::2]] == [frame(1)] * 3


async def test_a_message_is_made_once_for_all_connections_of_a_process(pair: Pair) -> None:
    sockets = [Socket() for _ in range(20)]
    for each in sockets:
        await pair.there.add(each, "room")
    pair.here.publish("room", frame(1))
    pair.here.publish("room", frame(2), Place(2))
    for each in sockets:
        await each.next()
        await each.next()
    for number in range(2):
        assert len({id(each.frames[number].websocket) for each in sockets}) == 1


async def test_what_goes_to_very_many_keeps_nobody_from_the_event_loop(pair: Pair) -> None:
    """Each hears it all in one order, up to the end of the channel, or until it leaves."""
    turns: list[int] = []
    turn = 0

    class Counting(Socket):
        def send(self, frame: Frame) -> None:
            super().send(frame)
            turns.append(turn)

    def count() -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(count)

    many = [Counting(cx_id=str(number)) for number in range(2 * LISTENERS_AT_ONCE + 1)]
    for each in many:
        await pair.there.add(each, "room")
    await pair.there.add(many[0], BOB)
    loop = asyncio.get_running_loop()
    loop.call_soon(count)
    for number in range(3):
        pair.here.publish("room", frame(number))
    pair.here.disband("room")
    pair.here.publish("room", frame(3))
    heard = [[await each.next() for _ in range(3)] for each in many]
    assert heard == [[frame(0), frame(1), frame(2)]] * len(many)
    assert max(turns.count(each) for each in set(turns)) <= LISTENERS_AT_ONCE
    await until(lambda: not many[-1].channels)
    pair.here.publish(BOB, frame(4))
    assert await many[0].next() == frame(4)
    assert (many[0].channels, many[1].got.empty()) == ({BOB}, True)


async def test_who_leaves_while_a_message_goes_to_very_many_is_left_out(pair: Pair) -> None:
    many = [Socket(cx_id=str(number)) for number in range(2 * LISTENERS_AT_ONCE)]
    for each in many:
        await pair.there.add(each, "room")
    pair.here.publish("room", frame(1))
    async with asyncio.timeout(5):
        while not any(each.frames for each in many):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
    late = [each for each in many if not each.frames]
    for each in late:
        pair.there.remove(each, "room")
    pair.here.publish("room", frame(2))
    early = [each for each in many if each not in late]
    assert [[await each.next(), await each.next()] for each in early] == [[frame(1), frame(2)]] * len(early)
    assert late
    assert not any(each.frames for each in late)


async def test_a_session_joins_wherever_its_connection_is(pair: Pair) -> None:
    ada, other_device, bob = Socket(), Socket("ada.2"), Socket("bob.1")
    await pair.there.add(ada, ADA)
    await pair.here.add(other_device, ADA)
    await pair.there.add(bob, BOB)
    assert await pair.here.join(session(), "room") == 1
    pair.here.publish("room", frame(1))
    assert await ada.next() == frame(1)
    assert other_device.got.empty()
    assert bob.got.empty()
    assert await pair.here.leave(session(), "room") == 1
    assert ada.channels == {ADA}


async def test_a_session_without_a_connection_joins_nothing(pair: Pair) -> None:
    assert await pair.here.join(session(), "room") == 0
    assert not await pair.here.is_listening("room")


async def test_a_player_is_expelled_on_every_device(pair: Pair) -> None:
    devices = Socket("ada.1"), Socket("ada.2"), Socket("ada.3")
    for number, device in enumerate(devices):
        channels = pair.there if number else pair.here
        await channels.add(device, ADA)
        await channels.add(device, "room")
    bob = Socket("bob.1")
    await pair.there.add(bob, "room")
    assert await pair.here.expel(APP, "ada", "room") == 3
    pair.here.publish("room", frame(1))
    assert await bob.next() == frame(1)
    assert all(device.got.empty() and device.channels == {ADA} for device in devices)


async def test_the_connections_of_a_player_are_known_in_all_processes(pair: Pair) -> None:
    assert await pair.here.connections(APP, "ada") == []
    await pair.here.add(Socket(cx_id="cx-1"), ADA)
    await pair.there.add(Socket(cx_id="cx-2"), ADA)
    await pair.there.add(Socket(cx_id="cx-3"), BOB)
    assert sorted(await pair.here.connections(APP, "ada")) == ["cx-1", "cx-2"]


async def test_a_process_that_stops_knows_whether_there_is_another(pair: Pair) -> None:
    there_is_another = pair.here is not pair.there
    assert await pair.here.resign() == there_is_another
    assert not await pair.there.resign()


async def test_a_channel_is_disbanded_behind_what_was_published(pair: Pair) -> None:
    ada, bob = Socket(), Socket()
    await pair.here.add(ada, "room")
    await pair.there.add(bob, "room")
    await pair.there.add(bob, BOB)
    pair.here.publish("room", frame(1))
    pair.here.disband("room")
    pair.here.publish("room", frame(2))
    pair.here.publish(BOB, frame(3))
    assert [await bob.next(), await bob.next()] == [frame(1), frame(3)]
    assert await ada.next() == frame(1)
    assert (ada.channels, bob.channels) == (set(), {BOB})


async def test_it_is_known_whether_anybody_listens(pair: Pair) -> None:
    ada = Socket()
    assert not await pair.here.is_listening(ADA)
    await pair.there.add(ada, ADA)
    assert await pair.here.is_listening(ADA)
    pair.there.remove(ada, ADA)
    assert not await pair.there.is_listening(ADA)


async def test_a_connection_that_closes_while_it_joins_does_not_listen(pair: Pair) -> None:
    ada = Socket()
    joining = asyncio.ensure_future(pair.there.add(ada, "room"))
    ada.is_open = False
    assert not await joining
    assert not pair.there.listeners("room")


async def test_a_connection_listens_to_so_many_channels(pair: Pair) -> None:
    ada = Socket()
    await pair.there.add(ada, ADA)
    for number in range(CHANNELS_PER_CONNECTION_MAX - 1):
        assert await pair.there.add(ada, f"room {number}")
    assert not await pair.there.add(ada, "one more")
    assert await pair.there.add(ada, "room 0")
    with pytest.raises(TooManyChannels):
        await pair.here.join(session(), "one more")
    assert await pair.here.join(session(), "room 0") == 1


async def test_invitations_leave_room_for_what_a_client_asks_for_itself(pair: Pair) -> None:
    ada = Socket()
    await pair.there.add(ada, ADA)
    for number in range(INVITED_MAX):
        followed = await pair.here.invite(APP, "ada", f"stranger {number}")
        assert followed == (number + 1 < INVITED_MAX), number
    assert len(ada.channels) == INVITED_MAX
    assert await pair.here.join(session(), "room") == 1


# Messages with numbers


async def reader(channels: Channels, name: str, after: int, *, of: Channels | None = None) -> Socket:
    """A connection that has joined, whose client has read what is stored up to a number."""
    one = Socket(f"{name}.1", name)
    await channels.add(one, player_channel(APP, name))
    assert await (of or channels).join(session(f"{name}.1", name), "room", held=True) >= 1
    (of or channels).release(session(f"{name}.1", name), "room", after)
    return one


async def heard(socket: Socket, count: int) -> list[int]:
    return [json.loads(await socket.next())["data"]["n"] for _ in range(count)]


async def test_numbered_messages_arrive_in_order_whoever_publishes_first(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "GAP_SECONDS", 60)
    ada = await reader(pair.here, "ada", 100)
    bob = await reader(pair.there, "bob", 100)
    for number in (102, 101, 104, 105, 103):
        (pair.here if number % 2 else pair.there).publish("room", frame(number), Place(number))
        await asyncio.sleep(0.01)
    for each in (ada, bob):
        assert await heard(each, 5) == [101, 102, 103, 104, 105]


async def test_who_joins_gets_what_is_behind_what_was_read(pair: Pair) -> None:
    """Some of it is published before the client has read, and some of what it has read comes afterwards."""
    await reader(pair.there, "ada", 100)
    pair.here.publish("room", frame(101), Place(101))
    bob = Socket("bob.1", "bob")
    await pair.there.add(bob, BOB)
    assert await pair.here.join(session("bob.1", "bob"), "room", held=True) >= 1
    for number in (102, 103, 104):
        pair.here.publish("room", frame(number), Place(number))
    assert bob.got.empty()
    pair.here.release(session("bob.1", "bob"), "room", 103)
    assert await heard(bob, 1) == [104]
    cyd = await reader(pair.there, "cyd", 106, of=pair.here)
    await until(lambda: "room" in cyd.channels)
    for number in (105, 106, 107):
        pair.here.publish("room", frame(number), Place(number))
    assert await heard(cyd, 1) == [107]
    assert await heard(bob, 3) == [105, 106, 107]


async def test_a_message_that_is_lost_is_waited_for_a_moment(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "GAP_SECONDS", 0.05)
    ada = await reader(pair.there, "ada", 1)
    for number in (3, 5):
        pair.here.publish("room", frame(number), Place(number))
    assert await heard(ada, 2) == [3, 5]
    for number in (4, 6):  # 4 is too late: others have gone on without it
        pair.here.publish("room", frame(number), Place(number))
    assert await heard(ada, 1) == [6]


async def test_a_channel_that_begins_anew_waits_for_nothing(pair: Pair) -> None:
    ada = await reader(pair.there, "ada", 0)
    for place in (Place(7, is_first=True), Place(8), Place(1000, is_first=True), Place(1001)):
        pair.here.publish("room", frame(place.number), place)
    assert await heard(ada, 4) == [7, 8, 1000, 1001]


async def test_authors_whom_a_player_does_not_want(pair: Pair) -> None:
    """Muted with the release, whose order of messages they share, or later; and heard again."""
    ada, bob = await reader(pair.there, "ada", 0), await reader(pair.there, "bob", 0)
    pair.here.publish("room", frame(1), Place(1, is_first=True, author="cyd"))
    assert (await heard(ada, 1), await heard(bob, 1)) == ([1], [1])
    await pair.here.mute(APP, "ada", ["cyd", "dan"])
    pair.here.publish("room", frame(2), Place(2, author="cyd"))
    await pair.here.unmute(APP, "ada", ["cyd"])
    for number, author in ((3, "dan"), (4, "cyd"), (5, "")):
        pair.here.publish("room", frame(number), Place(number, author=author))
    assert (await heard(ada, 2), await heard(bob, 4)) == ([4, 5], [2, 3, 4, 5])
    await pair.here.join(session(), "room", held=True)
    pair.here.publish("room", frame(6), Place(6, author="eve"))
    pair.here.release(session(), "room", 5, ["eve"])
    for number, author in ((7, "eve"), (8, "bob")):
        pair.here.publish("room", frame(number), Place(number, author=author))
    assert (await heard(ada, 1), await heard(bob, 3)) == ([8], [6, 7, 8])


async def test_a_listener_that_nobody_releases_hears_everything(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "HOLD_SECONDS", 0.05)
    ada = Socket("ada.1", "ada")
    await pair.there.add(ada, ADA)
    await pair.there.join(session(), "room", held=True)
    for number in (1, 2):
        pair.here.publish("room", frame(number), Place(number))
    assert await heard(ada, 2) == [1, 2]


async def test_who_joins_again_is_held_as_long_as_who_joins_first(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels_module, "HOLD_SECONDS", 0.05)
    ada = await reader(pair.there, "ada", 0)
    pair.here.publish("room", frame(1), Place(1))
    assert await heard(ada, 1) == [1]
    monkeypatch.setattr(channels_module, "HOLD_SECONDS", 60)
    assert await pair.there.join(session("ada.1", "ada"), "room", held=True) == 1
    pair.here.publish("room", frame(2), Place(2))
    await asyncio.sleep(0.1)  # the end of the first time, which is over already
    assert ada.got.empty()
    pair.here.release(session("ada.1", "ada"), "room", 2)
    pair.here.publish("room", frame(3), Place(3))
    assert await heard(ada, 1) == [3]


async def test_players_who_listen_are_counted_in_all_processes(pair: Pair) -> None:
    assert await pair.here.count_listeners("room") == 0
    await reader(pair.here, "ada", 0)
    await reader(pair.there, "bob", 0)
    await reader(pair.there, "bob", 0)
    assert await pair.here.count_listeners("room") == 2


def test_a_frame_has_both_forms_and_is_ascii() -> None:
    payload = encode_frame("chat", "INCOMING", {"text": "héllo \\ 🎲"})
    assert payload.isascii()
    sent = Frame(payload)
    assert sent.tcp == len(payload).to_bytes(4, "big") + payload
    assert sent.websocket == bytes([0x82, len(payload)]) + payload
    long = Frame(encode_frame("chat", "INCOMING", "x" * 200))
    assert long.websocket[:4] == b"\x82\x7e" + len(long.payload).to_bytes(2, "big")


def test_a_frame_is_not_larger_than_clients_can_take() -> None:
    around = len(encode_frame("chat", "INCOMING", ""))
    assert len(encode_frame("chat", "INCOMING", "x" * (FRAME_BYTES_MAX - around))) == FRAME_BYTES_MAX
    with pytest.raises(FrameTooLarge):
        encode_frame("chat", "INCOMING", "x" * (FRAME_BYTES_MAX - around + 1))


# Redis in trouble


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


async def test_channels_are_joined_again_when_redis_is_back(tmp_path: Path) -> None:
    port = servers.free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1")
    with servers.redis(*options):
        client = await connect(f"redis://127.0.0.1:{port}")
        bus = RedisBus(client)
        channels = Channels(bus, "one")
        bus.listen(channels.receive)
        await channels.open()
        ada, late = Socket(), Socket()
        await channels.add(ada, ADA)
        for number in range(1500):
            await channels.add(ada if number < 100 else Socket(), f"room {number}")
    with pytest.raises(SessionsUnavailable):
        await channels.add(late, "another room")
    assert late.channels == set()
    with pytest.raises(SessionsUnavailable):
        await channels.is_listening(ADA)
    with pytest.raises(SessionsUnavailable):
        await bus.publish(ADA, frame(0))
    assert "Redis" in channels.trouble()
    with servers.redis(*options):
        await until(lambda: not channels.trouble())
        for channel in (ADA, "room 0", "room 99"):
            channels.publish(channel, frame(1))
            assert await ada.next() == frame(1)
        assert await channels.add(late, "another room")
        assert await channels.join(session(), "a new room") == 1
        await bus.close()
        await disconnect(client)


async def test_redis_that_hangs_is_noticed_and_found_again() -> None:
    """A machine that vanished closes no connection."""
    port = servers.free_port()
    with servers.redis("--port", str(port), "--bind", "127.0.0.1"):
        client = await connect(f"redis://127.0.0.1:{port}")
        bus = RedisBus(client)
        channels = Channels(bus, "one")
        bus.listen(channels.receive)
        await channels.open()
        ada = Socket()
        await channels.add(ada, ADA)
        pid = (await client.info("server"))["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: bool(channels.trouble()), 5)
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: not channels.trouble(), 5)
        channels.publish(ADA, frame(1))
        assert await ada.next() == frame(1)
        await bus.close()
        await disconnect(client)


async def test_a_subscription_that_is_cut_is_made_again() -> None:
    port = servers.free_port()
    with servers.redis("--port", str(port), "--bind", "127.0.0.1"):
        client, other = [await connect(f"redis://127.0.0.1:{port}") for _ in range(2)]
        bus = RedisBus(client)
        channels = Channels(bus, "one")
        bus.listen(channels.receive)
        await channels.open()
        ada = Socket()
        await channels.add(ada, ADA)
        await other.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: bool(channels.trouble()))
        await until(lambda: not channels.trouble())
        channels.publish(ADA, frame(1))
        assert await ada.next() == frame(1)
        await bus.close()
        await disconnect(client)
        await disconnect(other)
