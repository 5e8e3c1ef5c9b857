"""Real-time connections of the studio's own servers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from gameserver.realtime import Channels, TooManyChannels, encode_frame
from gameserver.realtime import channels as realtime_channels
from gameserver.realtime.connections import CONNECTIONS_PER_PLAYER_MAX
from gameserver.sessions import One
from tests import conftest
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.faces.test_s2s import packet, post
from tests.realtime.sockets import Socket, connect_frame, connected, listening, open_socket

SECRET = "a-room-secret-0123456789"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + f'[servers.room]\nsecret = "{SECRET}"\n')
    return apps_folder


@pytest.fixture
async def address(game: Game) -> AsyncIterator[str]:
    async with listening(game) as address:
        yield address


class Server(Client):
    """A server with a session. Its profile is called `s`."""

    profile_id = "s"
    packets = 0

    async def log_in_as_server(self) -> None:
        credentials = {"appId": APP_ID, "serverName": "room", "serverSecret": SECRET}
        answer = await post(self.game, packet(None, 0, ("authenticationV2", "AUTHENTICATE", credentials)))
        self.session_id = answer["messageResponses"][0]["data"]["sessionId"]
        self.packets = 0

    async def request(self) -> str:
        self.packets += 1
        asked = ("rttRegistration", "REQUEST_SYSTEM_CONNECTION", None)
        [entry] = (await post(self.game, packet(self.session_id, self.packets, asked)))["messageResponses"]
        assert entry["status"] == 200, entry
        if conftest.EXAMPLES is not None:
            conftest.EXAMPLES.note(*asked, entry["data"])
        secret: str = entry["data"]["auth"]["X-RTT-SECRET"]
        return secret

    async def open(self, address: str) -> Socket:
        secret = await self.request()
        opened = await open_socket(address, secret)
        await opened.say(connect_frame(self, secret))
        return opened


async def server(game: Game) -> Server:
    made = Server(game)
    made.profile_id = "s"
    await made.log_in_as_server()
    return made


async def test_a_server_connects_and_listens_to_channels(game: Game, address: str) -> None:
    room, player = await server(game), await game.player()
    opened, others = await room.open(address), await connected(address, player)
    answer = (await opened.hear())["data"]
    assert answer["cxId"].startswith(f"{APP_ID}:s:")
    assert answer["heartbeatSeconds"] == 30
    session = await game.core.sessions.peek(room.session_id)
    channels = game.core.get(Channels)
    assert await channels.join(session, f"{APP_ID}:sy:news") == 1  # type: ignore[arg-type]  # it is there
    channels.publish(f"{APP_ID}:sy:news", encode_frame("chat", "INCOMING", {"n": 1}))
    assert (await opened.hear())["data"] == {"n": 1}
    assert others.inner.state.name == "OPEN"
    await game.core.sessions.end(One(session_id=room.session_id), "revoked")
    assert (await opened.end())["reasonCode"] == 40356


async def test_a_connection_of_a_server_listens_to_so_many_channels(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_channels, "CHANNELS_PER_CONNECTION_MAX", 1)  # that of its profile
    room, news = await server(game), {"channelType": "sy", "channelSubId": game.unique("news")}
    made = await game.server.call("chat", "SYS_CREATE_CHANNEL", **news)
    await (await room.open(address)).hear()
    connect = ("chat", "SYS_CHANNEL_CONNECT", {"channelId": made["channelId"], "maxReturn": 1})
    answer = await post(game, packet(room.session_id, room.packets + 1, connect))
    [refusal] = answer["messageResponses"]
    assert (refusal["status"], refusal["reason_code"]) == (400, TooManyChannels.reason_code)


async def test_a_server_that_is_refused_what_is_there_does_not_listen(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, news = await server(game), {"channelType": "sy", "channelSubId": game.unique("news")}
    made = (await game.server.call("chat", "SYS_CREATE_CHANNEL", **news))["channelId"]
    content: dict[str, Any] = {"content": {"text": "hi"}, "from": {"name": "Homer"}}
    await game.server.call("chat", "SYS_POST_CHAT_MESSAGE", channelId=made, **content)
    await (await room.open(address)).hear()
    monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 1)
    connect = ("chat", "SYS_CHANNEL_CONNECT", {"channelId": made, "maxReturn": 1})
    [refusal] = (await post(game, packet(room.session_id, room.packets + 1, connect)))["messageResponses"]
    assert refusal["status"] == 400
    assert not await game.core.get(Channels).is_listening(f"chat:{made}")


async def test_each_server_has_connections_of_its_own(game: Game, address: str) -> None:
    """All of an app share a profile; one that takes all it may have leaves the others theirs."""
    greedy, other = await server(game), await server(game)
    for _ in range(CONNECTIONS_PER_PLAYER_MAX):
        assert (await (await greedy.open(address)).hear())["operation"] == "CONNECT"
    assert (await (await greedy.open(address)).end())["reasonCode"] == 49120
    assert (await (await other.open(address)).hear())["operation"] == "CONNECT"


async def test_a_server_ends_all_connections_of_its_app(game: Game, address: str) -> None:
    ada, bob = await game.player(), await game.player()
    connections = [await connected(address, player) for player in (ada, bob)]
    assert await game.server.call("superRtt", "DISCONNECT_ALL_APP_SESSIONS") == {"processed": 2}
    for connection in connections:
        assert (await connection.end())["reasonCode"] == 49125
    assert await game.server.call("superRtt", "DISCONNECT_ALL_APP_SESSIONS") == {"processed": 0}
    assert (await connected(address, ada)).inner.state.name == "OPEN"  # the session is there still
    refusal = await ada.refused("superRtt", "DISCONNECT_ALL_APP_SESSIONS")
    assert refusal.reason_code == 40346


async def test_a_server_has_the_state_written_into_the_log(game: Game, address: str) -> None:
    await connected(address, await game.player())
    written = asyncio.Event()

    def note(_: object, __: str, line: EventDict) -> EventDict:
        if line["event"] == "realtime_state":
            written.set()
        return line

    with structlog.testing.capture_logs(processors=[note]) as lines:
        nobody = [{"serverId": "nobody", "serverType": "evs"}]
        assert await game.server.call("superRtt", "LOG_STATE", servers=nobody) == {}
        assert await game.server.call("superRtt", "LOG_STATE", servers=[]) == {}
        await asyncio.wait_for(written.wait(), 5)
    [told] = [line for line in lines if line["event"] == "realtime_state"]
    assert (told["process_id"], told["connections"]) == (game.core.get(Channels).process_id, 1)
