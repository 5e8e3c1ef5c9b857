"""Players leave, and servers end their sessions."""

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.rpc import Caller, Origin
from gameserver.sessions import digest_of
from gameserver.wire.packet import read_packet
from tests import conftest
from tests.conftest import Client, Game
from tests.services.player_states import SERVICE, attributes_of, new_login, state_of


def add_settings(game: Game, apps_folder: Path, text: str) -> None:
    """Change the definition of the test app."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(f"{file.read_text()}\n{text}")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))


class _Waiter:
    def close(self) -> None:
        raise AssertionError("nobody else waits")

    is_gone = False

    def watch(self) -> None:
        pass

    def time_out(self) -> None:
        raise AssertionError("nothing takes long")


async def for_session(game: Game, player: Client, operation: str) -> dict[str, Any]:
    """Call an operation with a server's authority, on behalf of a player's session."""
    body = player.body((SERVICE, operation, None))
    packet = read_packet(body)
    answer, _ = await game.server_app.packets.answer(
        packet, "hash", game.app, Origin("dispatcher", "127.0.0.1"), _Waiter(), caller=Caller.SERVER
    )
    [entry] = json.loads(answer)["responses"]
    if conftest.EXAMPLES is not None and entry["status"] == 200:
        conftest.EXAMPLES.note(SERVICE, operation, {}, entry["data"])
    found: dict[str, Any] = entry
    return found


# Leaving


async def test_a_session_is_dead_after_logout(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "LOGOUT") is None
    refusal = await player.refused(SERVICE, "READ")
    assert (refusal.status, refusal.reason_code) == (403, 40304)


async def test_a_repeated_logout_gets_its_answer(game: Game) -> None:
    player = await game.player()
    body = player.body((SERVICE, "LOGOUT", None))
    first = await player.send(body)
    assert first.json()["responses"] == [{"status": 200, "data": None}]
    assert (await player.send(body)).content == first.content


async def test_messages_behind_a_logout_are_refused(game: Game) -> None:
    player = await game.player()
    entries = await player.packet((SERVICE, "READ", {}), (SERVICE, "LOGOUT", {}), (SERVICE, "READ", {}))
    assert [entry["status"] for entry in entries] == [200, 200, 403]
    assert entries[2]["reason_code"] == 40304


async def test_login_and_logout_in_one_packet_leave_no_session(game: Game) -> None:
    client = game.client()
    entries = await client.packet(login(game.unique("u")), (SERVICE, "LOGOUT", {}))
    assert [entry["status"] for entry in entries] == [200, 200]
    client.session_id = entries[0]["data"]["sessionId"]
    assert (await client.refused(SERVICE, "READ")).reason_code == 40304


def login(name: str) -> tuple[str, str, Any]:
    data = {"authenticationType": "Universal", "externalId": name, "authenticationToken": "secret"}
    return "authenticationV2", "AUTHENTICATE", data | {"forceCreate": True}


@pytest.mark.parametrize("operation", ["LOGOUT", "FULL_PLAYER_RESET"])
async def test_login_and_leaving_in_one_packet_free_the_place(
    game: Game, apps_folder: Path, operation: str
) -> None:
    add_settings(game, apps_folder, '[session]\nwhen_full = "refuse_newest"\n')
    name = game.unique("u")
    entries = await game.client().packet(login(name), (SERVICE, operation, {}))
    assert [entry["status"] for entry in entries] == [200, 200]
    await state_of(await new_login(game, name))


async def test_login_and_deletion_in_one_packet_end_all_sessions(game: Game, apps_folder: Path) -> None:
    add_settings(game, apps_folder, "[session]\nmost = 5\n")
    name = game.unique("u")
    other = await new_login(game, name)
    entries = await game.client().packet(
        login(name), (SERVICE, "FULL_PLAYER_RESET", {}), (SERVICE, "READ", {})
    )
    assert [entry["status"] for entry in entries] == [200, 200, 403]
    assert (await other.refused(SERVICE, "READ")).reason_code == 40304


async def test_deleting_a_player_leaves_nothing(game: Game) -> None:
    name = game.unique("u")
    player = await new_login(game, name)
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"a": "1"})
    body = player.body((SERVICE, "FULL_PLAYER_RESET", None))
    first = await player.send(body)
    assert first.json()["responses"] == [{"status": 200, "data": None}]
    assert (await player.send(body)).content == first.content
    assert (await player.refused(SERVICE, "READ")).reason_code == 40304
    gone = await game.client().refused(
        "authenticationV2",
        "AUTHENTICATE",
        authenticationType="Universal",
        externalId=name,
        authenticationToken="secret",
        forceCreate=False,
    )
    assert gone.reason_code == 40208
    again = await new_login(game, name)
    assert again.profile_id != player.profile_id
    assert await attributes_of(again) == {}


async def test_deleting_a_player_leaves_others_alone(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await bob.call(SERVICE, "UPDATE_NAME", playerName="Bob")
    await ada.call(SERVICE, "FULL_PLAYER_RESET")
    assert (await state_of(bob))["playerName"] == "Bob"


async def test_resetting_a_player_keeps_who_they_are(game: Game) -> None:
    name = game.unique("u")
    player = await new_login(game, name)
    await player.call(SERVICE, "UPDATE_NAME", playerName="Ada")
    await player.call(SERVICE, "UPDATE_ATTRIBUTES", attributes={"a": "1"})
    await player.call(SERVICE, "UPDATE_SUMMARY", summaryFriendData={"xp": 1})
    await player.call(SERVICE, "SET_USER_STATUS", statusName="s", durationSecs=60, details={})
    assert await player.call(SERVICE, "GAME_DATA_RESET") is None
    state = await state_of(player)
    assert (state["playerName"], state["statuses"], state["summaryFriendData"]) == ("Ada", {}, None)
    assert await attributes_of(player) == {}
    assert (await new_login(game, name)).profile_id == player.profile_id


# Servers end sessions


@pytest.fixture
def many_sessions(game: Game, apps_folder: Path) -> None:
    """Let a player of the test app have several sessions."""
    add_settings(game, apps_folder, "[session]\nmost = 5\n")


def invalidated(*clients: Client) -> dict[str, Any]:
    return {
        "invalidatedCount": len(clients),
        "invalidated": [digest_of(client.session_id) for client in clients],
        "verification": True,
    }


async def replaced(client: Client) -> bool:
    """Whether a session was ended by a server."""
    return (await client.refused(SERVICE, "READ")).reason_code == 40356


@pytest.mark.usefixtures("many_sessions")
async def test_servers_end_all_sessions_of_a_player(game: Game) -> None:
    name = game.unique("u")
    first, second = await new_login(game, name), await new_login(game, name)
    other = await game.player()
    answer = await game.server.call(
        SERVICE, "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", profileId=first.profile_id
    )
    assert {**answer, "invalidated": sorted(answer["invalidated"])} == {
        **invalidated(first, second),
        "invalidated": sorted(invalidated(first, second)["invalidated"]),
    }
    assert await replaced(first)
    assert await replaced(second)
    await state_of(other)
    again = await game.server.call(
        SERVICE, "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", profileId=first.profile_id
    )
    assert again == invalidated()


@pytest.mark.usefixtures("many_sessions")
@pytest.mark.parametrize("name_by", ["id", "digest"])
async def test_servers_end_or_keep_one_session(game: Game, name_by: str) -> None:
    name = game.unique("u")
    first, second, third = [await new_login(game, name) for _ in range(3)]

    def named(client: Client) -> Any:
        return client.session_id if name_by == "id" else digest_of(client.session_id)

    profile = {"profileId": first.profile_id}
    one = await game.server.call(
        SERVICE, "SYS_INVALIDATE_SESSION_FOR_USER", **profile, sessionId=named(first)
    )
    assert one == invalidated(first)
    assert await replaced(first)
    rest = await game.server.call(
        SERVICE, "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER_EXCEPT", **profile, sessionId=named(second)
    )
    assert rest == invalidated(third)
    assert await replaced(third)
    await state_of(second)


async def test_servers_cannot_end_a_session_under_another_players_name(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    for text in (ada.session_id, "no session", "s"):
        answer = await game.server.call(
            SERVICE, "SYS_INVALIDATE_SESSION_FOR_USER", profileId=bob.profile_id, sessionId=text
        )
        assert answer == invalidated()
    await state_of(ada)
    await state_of(bob)


@pytest.mark.usefixtures("many_sessions")
async def test_servers_act_for_a_session(game: Game) -> None:
    name = game.unique("u")
    first, second, third = [await new_login(game, name) for _ in range(3)]
    entry = await for_session(game, first, "SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION")
    assert entry["data"]["invalidatedCount"] == 2
    assert await replaced(second)
    assert await replaced(third)
    await state_of(first)
    assert (await for_session(game, first, "SYS_INVALIDATE_CURRENT_SESSION"))["data"] == invalidated(first)
    assert await replaced(first)


@pytest.mark.usefixtures("many_sessions")
async def test_servers_act_for_a_player(game: Game) -> None:
    name = game.unique("u")
    first, second = await new_login(game, name), await new_login(game, name)
    answer = await game.server.call(SERVICE, "SYS_INVALIDATE_ALL_SESSIONS", first.profile_id)
    assert answer["invalidatedCount"] == 2
    assert await replaced(first)
    assert await replaced(second)


async def test_a_server_without_a_session_has_no_current_one(game: Game) -> None:
    player = await game.player()
    for operation in ("SYS_INVALIDATE_CURRENT_SESSION", "SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION"):
        for profile_id in (None, player.profile_id):
            refusal = await game.server.refused(SERVICE, operation, profile_id)
            assert (refusal.status, refusal.reason_code) == (403, 40304)
    assert (await game.server.refused(SERVICE, "SYS_INVALIDATE_ALL_SESSIONS")).reason_code == 40304
    await state_of(player)


@pytest.mark.parametrize(
    ("operation", "data", "reason"),
    [
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {}, 40358),
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {"profileId": ""}, 40660),
        ("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER_EXCEPT", {"profileId": "p"}, 40358),
        ("SYS_INVALIDATE_SESSION_FOR_USER", {"profileId": "p", "sessionId": 5}, 40359),
    ],
)
async def test_servers_name_player_and_session(
    game: Game, operation: str, data: dict[str, Any], reason: int
) -> None:
    assert (await game.server.refused(SERVICE, operation, **data)).reason_code == reason


async def test_statuses_are_limited_however_they_are_set(game: Game) -> None:
    player = await game.player()
    for number in range(50):
        await player.call(SERVICE, "SET_USER_STATUS", statusName=f"s{number}", durationSecs=60, details={})
    for operation in ("EXTEND_USER_STATUS", "EXTEND_USER_STATUS_WITH_MAX"):
        refusal = await player.refused(
            SERVICE, operation, statusName="one more", additionalSecs=60, maxActiveSecs=600, details={}
        )
        assert refusal.reason_code == 40371
    await player.call(SERVICE, "EXTEND_USER_STATUS", statusName="s0", additionalSecs=60, details={})
