"""rttRegistration: asking for a real-time connection. The connections themselves: `tests/realtime`."""

from pathlib import Path

import pytest

from gameserver.realtime import Channels, player_channel
from tests.conftest import APP_ID, APP_TOML, Game
from tests.contracts.test_channels import Socket


async def test_a_player_asks_for_a_connection(game: Game) -> None:
    player = await game.player()
    one = await player.call("rttRegistration", "REQUEST_CLIENT_CONNECTION")
    other = await player.call("rttRegistration", "REQUEST_CLIENT_CONNECTION")
    assert [endpoint["protocol"] for endpoint in one["endpoints"]] == ["ws", "tcp"]
    assert (one["auth"]["X-APPID"], one["heartbeatSeconds"]) == (APP_ID, 30)
    assert one["auth"]["X-RTT-SECRET"] != other["auth"]["X-RTT-SECRET"]


async def test_a_connection_is_for_sessions_alone(game: Game) -> None:
    player = await game.player()
    assert (await game.client().refused("rttRegistration", "REQUEST_CLIENT_CONNECTION")).reason_code == 40304
    refusal = await game.server.refused("rttRegistration", "REQUEST_CLIENT_CONNECTION", player.profile_id)
    assert refusal.reason_code == 40304
    assert (await game.server.refused("rttRegistration", "REQUEST_SYSTEM_CONNECTION")).reason_code == 40304
    refusal = await player.refused("rttRegistration", "REQUEST_SYSTEM_CONNECTION")
    assert refusal.reason_code == 40346


async def test_the_status_tells_of_connections(game: Game) -> None:
    player = await game.player()
    assert await player.call("rttRegistration", "GET_CONNECTION_STATUS") == {
        "connectionStatus": "DISCONNECTED"
    }
    channel = player_channel(APP_ID, player.profile_id)
    await game.core.get(Channels).add(Socket(), channel)
    assert await player.call("rttRegistration", "GET_CONNECTION_STATUS") == {"connectionStatus": "CONNECTED"}
    refusal = await game.client().refused("rttRegistration", "GET_CONNECTION_STATUS")
    assert refusal.reason_code == 40304


class TestWithout:
    """An app that has none."""

    @pytest.fixture
    def apps_folder(self, apps_folder: Path) -> Path:
        """Turn them off."""
        (apps_folder / "test" / "app.toml").write_text(
            APP_TOML + "[rttRegistration]\nenabled = false\n[servers.s1]\nsecret = 'a-long-enough-secret'\n"
        )
        return apps_folder

    async def test_an_app_may_have_no_connections(self, game: Game) -> None:
        player = await game.player()
        for operation in ("REQUEST_CLIENT_CONNECTION", "GET_CONNECTION_STATUS"):
            assert (await player.refused("rttRegistration", operation)).reason_code == 40601
        refusal = await game.server.refused("rttRegistration", "REQUEST_SYSTEM_CONNECTION")
        assert refusal.reason_code == 40601
