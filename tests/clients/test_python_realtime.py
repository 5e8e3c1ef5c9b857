"""Real-time connections of the Python client, against the server in process over real sockets."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gameserver_client import AsyncClient, Client, GameServerError, SessionEndedError
from gameserver_client.realtime import AsyncRealtime, Pauses, Realtime

from gameserver.realtime import Channels, Connections, encode_frame, player_channel
from gameserver.sessions import AllOf
from tests.conftest import APP_ID, APP_TOML, SECRET, Game
from tests.realtime.sockets import PATIENCE_SECONDS, listening, until_gone


def quick() -> Pauses:
    """Pauses for who has no time."""
    return Pauses(first_seconds=0.02, longest_seconds=0.1)


@pytest.fixture
async def url(game: Game) -> AsyncIterator[str]:
    async with listening(game) as address:
        yield f"http://{address}"


@pytest.fixture
async def client(game: Game, url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url, APP_ID, SECRET) as client:
        await client.authenticate_universal(game.unique("ada"), "secret")
        yield client


def publish(game: Game, client: AsyncClient | Client, number: int) -> None:
    assert client.session is not None
    channel = player_channel(APP_ID, client.session.profile_id)
    game.core.get(Channels).publish(channel, encode_frame("event", "GET_EVENTS", {"n": number}))


def cut(game: Game) -> None:
    """Let all connections break, as when a router between is turned off."""
    for connection in list(game.core.get(Connections)._open):
        connection.transport.abort()


async def test_messages_arrive_one_after_the_other(game: Game, client: AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncRealtime(client) as messages:
        assert messages.connection_id.startswith(f"{APP_ID}:")
        for number in range(3):
            publish(game, client, number)
        seen = []
        async for message in messages:
            seen.append(message["data"]["n"])
            if len(seen) == 3:
                break
        assert seen == [0, 1, 2]
    await until_gone(game)


async def test_messages_are_handed_to_a_callback(game: Game, client: AsyncClient) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()

    def take(message: Any) -> None:
        seen.put_nowait(message["data"]["n"])
        raise RuntimeError("a mistake of the game, which stops nothing")

    async with asyncio.timeout(PATIENCE_SECONDS), AsyncRealtime(client, take):
        publish(game, client, 1)
        publish(game, client, 2)
        assert [await seen.get(), await seen.get()] == [1, 2]


async def test_a_connection_that_breaks_is_opened_again(game: Game, client: AsyncClient) -> None:
    connects: asyncio.Queue[str] = asyncio.Queue()
    async with (
        asyncio.timeout(2 * PATIENCE_SECONDS),
        AsyncRealtime(client, on_connect=connects.put_nowait, pauses=quick()) as messages,
    ):
        first = await connects.get()
        for number in range(3):
            cut(game)
            assert await connects.get() != first
            publish(game, client, number)
            assert (await messages.next())["data"] == {"n": number}


async def test_a_server_that_stops_is_left_and_found_again(game: Game, client: AsyncClient) -> None:
    connects: asyncio.Queue[str] = asyncio.Queue()
    async with (
        asyncio.timeout(2 * PATIENCE_SECONDS),
        AsyncRealtime(client, on_connect=connects.put_nowait, pauses=quick()) as messages,
    ):
        await connects.get()
        connections = game.core.get(Connections)
        await connections.move()
        connections._is_moving = False  # another server, in place of the one that stops
        await connects.get()
        publish(game, client, 1)
        assert (await messages.next())["data"] == {"n": 1}


async def test_the_end_of_the_session_is_the_end_of_the_messages(game: Game, client: AsyncClient) -> None:
    assert client.session is not None
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncRealtime(client) as messages:
        await game.core.sessions.end(AllOf(APP_ID, client.session.profile_id), "revoked")
        with pytest.raises(SessionEndedError) as ended:
            await anext(aiter(messages))
        assert ended.value.reason_code == 40356


async def test_who_is_not_logged_in_has_no_connection(url: str) -> None:
    async with AsyncClient(url, APP_ID, SECRET) as client:
        with pytest.raises(SessionEndedError):
            async with AsyncRealtime(client):
                raise AssertionError("it was entered")


async def test_who_no_longer_waits_for_a_connection_leaves_nothing_running(
    game: Game, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    monkeypatch.setattr(game.core.get(Connections), "said", lambda *_: asked.set())
    entering = asyncio.create_task(AsyncRealtime(client).__aenter__())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asked.wait()
    entering.cancel()
    await asyncio.wait({entering})
    assert entering.cancelled()
    assert "gameserver_client.realtime" not in {task.get_name() for task in asyncio.all_tasks()}


class TestWithout:
    """An app that has no real-time connections."""

    @pytest.fixture
    def apps_folder(self, apps_folder: Path) -> Path:
        """Turn them off."""
        (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[rttRegistration]\nenabled = false\n")
        return apps_folder

    async def test_a_refusal_is_not_tried_again(self, client: AsyncClient) -> None:
        with pytest.raises(GameServerError) as refusal:
            async with asyncio.timeout(PATIENCE_SECONDS), AsyncRealtime(client):
                raise AssertionError("it was entered")
        assert refusal.value.reason_code == 40601


async def test_threads_have_callbacks(game: Game, url: str) -> None:
    seen: list[int] = []
    connects: list[str] = []
    arrived, connected, ended = threading.Event(), threading.Semaphore(0), threading.Event()
    reasons: list[int] = []

    def take(message: Any) -> None:
        seen.append(message["data"]["n"])
        arrived.set()

    def greet(connection_id: str) -> None:
        connects.append(connection_id)
        connected.release()

    def end(error: GameServerError) -> None:
        reasons.append(error.reason_code)
        ended.set()

    with Client(url, APP_ID, SECRET) as client:
        await asyncio.to_thread(client.authenticate_universal, game.unique("ada"), "secret")
        realtime = Realtime(client, take, greet, end, quick())
        await asyncio.to_thread(realtime.__enter__)
        assert await asyncio.to_thread(connected.acquire, timeout=PATIENCE_SECONDS)
        publish(game, client, 1)
        assert await asyncio.to_thread(arrived.wait, PATIENCE_SECONDS)
        cut(game)
        assert await asyncio.to_thread(connected.acquire, timeout=PATIENCE_SECONDS)
        arrived.clear()
        publish(game, client, 2)
        assert await asyncio.to_thread(arrived.wait, PATIENCE_SECONDS)
        assert (seen, len(set(connects))) == ([1, 2], 2)
        await asyncio.to_thread(client.logout)
        assert await asyncio.to_thread(ended.wait, PATIENCE_SECONDS)
        assert reasons == [40304]
        await asyncio.to_thread(realtime.close)
    await until_gone(game)


async def test_a_thread_learns_at_once_that_there_will_be_no_connection(url: str) -> None:
    with Client(url, APP_ID, SECRET) as client, pytest.raises(SessionEndedError):
        await asyncio.to_thread(Realtime(client, print).__enter__)


def test_pauses_grow_and_differ() -> None:
    pauses = Pauses(first_seconds=1, longest_seconds=10, chance=lambda: 1.0)
    assert [pauses.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    pauses.reset()
    assert pauses.next() == 1
    assert Pauses(chance=lambda: 0.0).next() == 0.5
