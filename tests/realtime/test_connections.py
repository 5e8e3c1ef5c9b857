"""Real-time connections: opened by a session, bound to it, ended with a reason."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from gameserver.http_server import Places, web_server
from gameserver.realtime import Channels, Connections, Roster, encode_frame, player_channel
from gameserver.realtime import connections as rules
from gameserver.realtime.connection import QUEUE_BYTES_MAX, SPENT_MAX
from gameserver.sessions import AllOf, AllOfApp, Ended, Session, SessionsUnavailable
from tests.conftest import APP_ID, Game
from tests.realtime.sockets import (
    PATIENCE_SECONDS,
    connect_frame,
    connected,
    listening,
    open_socket,
    secret_of,
    until,
    until_gone,
)


@pytest.fixture
async def address(game: Game) -> AsyncIterator[str]:
    async with listening(game) as address:
        yield address


def hello(number: int = 1) -> bytes:
    return encode_frame("event", "GET_EVENTS", {"n": number})


async def push(game: Game, profile_id: str, frame: bytes) -> None:
    game.core.get(Channels).publish(player_channel(APP_ID, profile_id), frame)


# Opening


async def test_a_client_connects_and_is_told_how(game: Game, address: str) -> None:
    player = await game.player()
    secret = await secret_of(player)
    opened = await open_socket(address, secret)
    await opened.say(connect_frame(player, secret))
    answer = await opened.hear()
    data = answer["data"]
    assert (answer["service"], answer["operation"]) == ("rtt", "CONNECT")
    assert data["heartbeatSeconds"] == rules.HEARTBEAT_SECONDS
    app_id, profile_id, suffix = data["cxId"].split(":")
    assert (app_id, profile_id) == (APP_ID, player.profile_id)
    assert player.session_id not in suffix
    await opened.say({"service": "rtt", "operation": "HEARTBEAT", "data": None})
    await push(game, player.profile_id, hello())
    assert await opened.hear() == json.loads(hello())
    await opened.close()
    await until_gone(game)


async def test_the_secret_of_the_url_is_enough(game: Game, address: str) -> None:
    player = await game.player()
    secret = await secret_of(player)
    opened = await open_socket(address, secret)
    await opened.say({"operation": "CONNECT", "data": {"sessionId": player.session_id}})
    assert (await opened.hear())["operation"] == "CONNECT"


async def test_the_secret_of_the_frame_is_enough(game: Game, address: str) -> None:
    player = await game.player()
    opened = await open_socket(address, path="//")  # one client doubles slashes
    await opened.say(connect_frame(player, await secret_of(player)))
    assert (await opened.hear())["operation"] == "CONNECT"


async def test_the_protocol_that_a_client_offers_is_taken(game: Game, address: str) -> None:
    opened = await open_socket(address, subprotocols=["brainCloud"])
    assert opened.inner.subprotocol == "brainCloud"
    other = await open_socket(address, subprotocols=["chat"])
    assert other.inner.subprotocol is None


async def test_other_paths_have_no_sockets(game: Game, address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(address, path="/dispatcherv2")
    assert refused.value.response.status_code == 405  # as to any GET


async def test_who_is_connected_is_known(game: Game, address: str) -> None:
    player = await game.player()

    async def is_connected() -> bool:
        told = await player.call("rttRegistration", "GET_CONNECTION_STATUS")
        return {"CONNECTED": True, "DISCONNECTED": False}[told["connectionStatus"]]

    async def is_away() -> bool:
        return not await is_connected()

    assert await is_away()
    opened = await connected(address, player)
    assert await is_connected()
    await opened.close()
    await until(is_away)


# Refusals


@pytest.mark.parametrize("secret", ["", "no-such-secret", "x" * 10_000, "geheimnis-ä"])
async def test_a_wrong_secret_opens_nothing(game: Game, address: str, secret: str) -> None:
    player = await game.player()
    opened = await open_socket(address)
    await opened.say(connect_frame(player, secret))
    assert (await opened.end())["reasonCode"] == 40307


async def test_a_secret_opens_one_connection(game: Game, address: str) -> None:
    player = await game.player()
    secret = await secret_of(player)
    sockets = [await open_socket(address, secret) for _ in range(50)]
    for each in sockets:
        await each.say(connect_frame(player, secret))
    answers = await asyncio.gather(*[each.hear() for each in sockets])
    assert sorted(answer["operation"] for answer in answers) == ["CONNECT"] + ["DISCONNECT"] * 49
    assert {answer["data"]["reasonCode"] for answer in answers if "reasonCode" in answer["data"]} == {40307}


async def test_a_secret_is_for_its_own_session(game: Game, address: str) -> None:
    ada, bob = await game.player(), await game.player()
    opened = await open_socket(address)
    await opened.say(connect_frame(bob, await secret_of(ada)))
    assert (await opened.end())["reasonCode"] == 40307


@pytest.mark.parametrize(
    "session_id", ["", "no session", "abcd-" + "x" * 24, None, 7, {"$ne": 1}, "\ud800", "x" * 9000]
)
async def test_a_session_that_is_none_opens_nothing(game: Game, address: str, session_id: Any) -> None:
    player = await game.player()
    opened = await open_socket(address)
    frame = connect_frame(player, await secret_of(player))
    frame["data"]["sessionId"] = session_id
    await opened.say(frame)
    if isinstance(session_id, str) and session_id != "\ud800":
        assert (await opened.end())["reasonCode"] == 40307
    else:  # no CONNECT at all
        await opened.say(connect_frame(player, await secret_of(player)))
        assert (await opened.hear())["operation"] == "CONNECT"


async def test_the_secret_of_an_ended_session_opens_nothing(game: Game, address: str) -> None:
    player = await game.player()
    secret = await secret_of(player)
    await player.call("playerState", "LOGOUT")
    opened = await open_socket(address)
    await opened.say(connect_frame(player, secret))
    assert (await opened.end())["reasonCode"] == 40304


async def test_the_secret_lapses(game: Game, address: str, services: dict[str, str]) -> None:
    if services:
        pytest.skip("Redis has a clock of its own")
    player = await game.player()
    secret = await secret_of(player)
    game.clock.advance(61)
    opened = await open_socket(address)
    await opened.say(connect_frame(player, secret))
    assert (await opened.end())["reasonCode"] == 40307


async def test_who_says_nothing_is_not_waited_for(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await open_socket(address)
    await opened.say({"service": "rtt", "operation": "HEARTBEAT"})
    monkeypatch.setattr(rules, "CONNECT_SECONDS_MAX", 0.1)
    silent = await open_socket(address)
    assert (await silent.end())["reasonCode"] == 40304
    connections = game.core.get(Connections)
    [connection] = connections._open
    connections._look_in(connection, 0)  # its time is over, too
    assert (await opened.end())["reasonCode"] == 40304


async def test_a_player_has_so_many_connections(game: Game, address: str) -> None:
    player = await game.player()
    sockets = [await connected(address, player) for _ in range(rules.CONNECTIONS_PER_PLAYER_MAX)]
    one_more = await open_socket(address)
    await one_more.say(connect_frame(player, await secret_of(player)))
    assert (await one_more.end())["reasonCode"] == 49120
    await sockets[0].close()
    await until_gone(game, rules.CONNECTIONS_PER_PLAYER_MAX - 1)
    await connected(address, player)


async def test_a_process_that_does_not_answer_keeps_nobody_from_connecting(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: str) -> list[str]:
        raise SessionsUnavailable

    monkeypatch.setattr(game.core.get(Channels), "connections", away)
    player = await game.player()
    for _ in range(rules.CONNECTIONS_PER_PLAYER_MAX):
        await connected(address, player)
    one_more = await open_socket(address)
    await one_more.say(connect_frame(player, await secret_of(player)))
    assert (await one_more.end())["reasonCode"] == 49120


# With the session


async def test_a_logout_ends_the_connection(game: Game, address: str) -> None:
    player, other = await game.player(), await game.player()
    opened, others = await connected(address, player), await connected(address, other)
    await player.call("playerState", "LOGOUT")
    assert await opened.end() == {"reasonCode": 40304, "reason": "there is no such session"}
    await push(game, other.profile_id, hello())
    assert await others.hear() == json.loads(hello())


async def test_another_login_ends_the_connection(game: Game, address: str) -> None:
    id_ = game.unique("id")
    player = await game.player(external_id=id_)
    opened = await connected(address, player)
    again = game.client()
    await again.log_in(external_id=id_, profileId=player.profile_id)
    assert (await opened.end())["reasonCode"] == 40356


@pytest.mark.parametrize("reason", ["revoked", "disabled"])
async def test_an_operator_ends_the_connection(game: Game, address: str, reason: str) -> None:
    player = await game.player()
    opened = await connected(address, player)
    await game.core.sessions.end(AllOf(APP_ID, player.profile_id), reason)
    assert (await opened.end())["reasonCode"] == 40356


async def test_the_end_of_all_sessions_of_an_app_ends_all_connections(game: Game, address: str) -> None:
    sockets = [await connected(address, await game.player()) for _ in range(20)]
    await game.core.sessions.end(AllOfApp(APP_ID), "disabled")
    for opened in sockets:
        assert (await opened.end())["reasonCode"] == 40356


async def test_a_session_that_lapses_ends_the_connection(
    game: Game, address: str, services: dict[str, str]
) -> None:
    player = await game.player()
    opened = await connected(address, player)
    life = game.app.session.life_seconds
    game.clock.advance(life - 10)
    await player.call("time", "READ")  # which renews it
    game.clock.advance(life - 10)
    await asyncio.sleep(3 * rules.LOOK_SECONDS)
    await push(game, player.profile_id, hello())
    assert await opened.hear() == json.loads(hello())
    game.clock.advance(11)
    assert (await opened.end())["reasonCode"] == 40303


async def test_an_end_that_was_missed_is_found(game: Game, address: str) -> None:
    player = await game.player()
    opened = await connected(address, player)
    connections = game.core.get(Connections)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "session_ended", lambda *_: None)
        await game.core.sessions.end(AllOf(APP_ID, player.profile_id), "revoked")
    connections.look_at_all_sessions()
    assert (await opened.end())["reasonCode"] == 40356


async def test_nothing_is_left_of_who_closes_while_it_connects(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would look at its session again."""
    sessions, connections = game.core.sessions, game.core.get(Connections)
    is_asked, may_answer, peek = asyncio.Event(), asyncio.Event(), sessions.peek_digest

    async def slowly(digest: str) -> Session | Ended:
        is_asked.set()
        await may_answer.wait()
        return await peek(digest)

    monkeypatch.setattr(sessions, "peek_digest", slowly)
    player = await game.player()
    secret = await secret_of(player)
    opened = await open_socket(address, secret)
    await opened.say(connect_frame(player, secret))
    await is_asked.wait()
    [admitting] = connections._tasks
    await opened.close()
    await until_gone(game)
    may_answer.set()
    await admitting
    assert (connections._by_session, connections._lapses._at) == ({}, {})

    async def is_forgotten() -> bool:
        [presence] = (await game.core.get(Roster).look(APP_ID, [player.profile_id])).values()
        return presence.cx_ids == ()

    await until(is_forgotten)


# Alive or not


async def test_a_client_that_answers_pings_stays(game: Game, address: str) -> None:
    """A browser that lets pages in the background sleep sends no heartbeats, but answers by itself."""
    player = await game.player()
    opened = await connected(address, player)
    connections = game.core.get(Connections)
    [connection] = connections._open
    silent_since = connection.heard
    connections._look_at(connection, silent_since + rules.PING_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while connection.heard == silent_since:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    connections._look_at(connection, silent_since + rules.SILENT_SECONDS_MAX)
    await push(game, player.profile_id, hello())
    assert await opened.hear() == json.loads(hello())


async def test_a_client_that_is_frozen_is_hung_up_on(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    opened = await connected(address, player)
    monkeypatch.setattr(rules, "PING_SECONDS", 0.2)
    monkeypatch.setattr(rules, "SILENT_SECONDS_MAX", 1.0)
    monkeypatch.setattr(rules, "LOOK_SECONDS", 0.05)
    connections = game.core.get(Connections)
    [connection] = connections._open
    connections._look_in(connection, 0)
    opened.inner.transport.pause_reading()
    await until_gone(game)

    async def nobody_listens() -> bool:
        return not await game.core.get(Channels).is_listening(player_channel(APP_ID, player.profile_id))

    await until(nobody_listens)


async def test_a_slow_reader_is_cut_off_and_nobody_else_waits(game: Game, address: str) -> None:
    slow, *readers = [await connected(address, await game.player()) for _ in range(5)]
    channels, connections = game.core.get(Channels), game.core.get(Connections)
    for connection in list(connections._open):
        await channels.add(connection, "room")
    slow.inner.transport.pause_reading()
    frames = 6 * QUEUE_BYTES_MAX // 1000
    body = "x" * 950

    async def read(reader: Any) -> list[int]:
        return [(await reader.hear(30))["data"]["n"] for _ in range(frames)]

    reading = [asyncio.create_task(read(reader)) for reader in readers]
    for number in range(frames):
        channels.publish("room", encode_frame("chat", "INCOMING", {"n": number, "text": body}))
        if number % 50 == 0:
            await asyncio.sleep(0.002)
    assert await asyncio.gather(*reading) == [list(range(frames))] * len(readers)
    await until_gone(game, len(readers))


async def test_a_client_that_says_too_much_is_hung_up_on(game: Game, address: str) -> None:
    player = await game.player()
    opened = await connected(address, player)
    for _ in range(SPENT_MAX + 20):
        await opened.say({"service": "rtt", "operation": "HEARTBEAT"})
    assert (await opened.end())["reasonCode"] == 40823


# The end of the server


async def test_connections_are_asked_to_move_one_after_the_other(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def yes() -> bool:
        return True

    monkeypatch.setattr(rules, "MOVES_PER_SECOND", 10)
    monkeypatch.setattr(game.core.get(Channels), "resign", yes)  # there is another server
    sockets = [await connected(address, await game.player()) for _ in range(10)]
    connections = game.core.get(Connections)
    moving = asyncio.create_task(connections.move())
    await until_gone(game, 9)
    assert len(connections) > 0
    await moving
    for opened in sockets:
        assert (await opened.end())["reasonCode"] == 49121
    late = await open_socket(address)
    assert (await late.end())["reasonCode"] == 49121


async def test_without_another_server_all_are_asked_at_once(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOVES_PER_SECOND", 0.1)
    sockets = [await connected(address, await game.player()) for _ in range(10)]
    async with asyncio.timeout(10):
        await game.core.get(Connections).move()
    for opened in sockets:
        assert (await opened.end())["reasonCode"] == 49121


async def test_who_wishes_twice_that_the_server_stops_does_not_wait_for_clients_to_move(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, moves = asyncio.Event(), asyncio.Event()

    async def move() -> None:
        moves.set()
        await asyncio.Future()

    connections = game.core.get(Connections)
    monkeypatch.setattr(connections, "move", move)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        web = web_server(
            game.server_app, Places(9, 9), ready=started.set, takes_signals=False, realtime=connections
        )
        serving = asyncio.create_task(web.serve([bound]))
        await started.wait()
        web.handle_exit(signal.SIGINT, None)
        await moves.wait()
        web.handle_exit(signal.SIGINT, None)
        async with asyncio.timeout(5):
            await serving
