"""presence: who is there, what they do, and who hears of it, over real connections."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gameserver.realtime import Channels, Connections, Roster
from gameserver.realtime.connections import SILENT_SECONDS_MAX
from gameserver.services.presence.announcing import AT_ONCE, Announcer
from gameserver.services.presence.base import PROFILES_MAX, presence_channel
from gameserver.wire.errors import NoSession
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.realtime.sockets import Socket, connected, listening, until, until_gone
from tests.services.groups import put_group
from tests.services.test_friend import befriend, named


@pytest.fixture
def apps_folder(apps_folder: Path, request: pytest.FixtureRequest) -> Path:
    usual = "activity_bytes = 40\nlistened_to = 2\nstay_more_seconds = 60"
    text = getattr(request, "param", usual)
    (apps_folder / "test" / "app.toml").write_text(f"{APP_TOML}[presence]\n{text}\n")
    return apps_folder


@pytest.fixture
async def address(game: Game) -> AsyncIterator[str]:
    async with listening(game) as address:
        yield address


async def present(asker: Client, *others: Client, offline: bool = False) -> dict[str, Any]:
    ids = [other.profile_id for other in others]
    told = await asker.call("presence", "GET_PRESENCE_OF_USERS", profileIds=ids, includeOffline=offline)
    return {each["user"]["id"]: each for each in told["presence"]}


async def is_online(asker: Client, other: Client) -> bool:
    """Whether the friend service calls a player online."""
    told = await asker.call("friend", "GET_USERS_ONLINE_STATUS", profileIds=[other.profile_id])
    [status] = told["onlineStatus"]
    assert status["userValid"]
    return bool(status["isOnline"])


async def refused(caller: Any, code: int, operation: str, **data: Any) -> None:
    assert (await caller.refused("presence", operation, **data)).reason_code == code, operation


async def told_of(socket: Socket) -> dict[str, Any]:
    said = await socket.hear()
    assert (said["service"], said["operation"]) == ("presence", "INCOMING")
    data: dict[str, Any] = said["data"]
    return data


async def listen_to(player: Client, *others: Client, both_ways: bool = False) -> list[str]:
    ids = [other.profile_id for other in others]
    told = await player.call(
        "presence", "REGISTER_LISTENERS_FOR_PROFILES", profileIds=ids, bidirectional=both_ways
    )
    return [each["user"]["id"] for each in told["presence"]]


async def test_a_player_who_connects_is_there_with_what_they_show(game: Game, address: str) -> None:
    ada, bob = await named(game, "Ada", level=3), await game.player()
    assert await present(bob, ada) == {}
    away = {
        "user": {"id": ada.profile_id, "name": "Ada", "pic": None},
        "online": False,
        "summaryFriendData": {"level": 3},
        "activity": {},
    }
    assert (await present(bob, ada, offline=True)) == {ada.profile_id: away}
    one, two = await connected(address, ada), await connected(address, ada)
    await ada.call("presence", "UPDATE_ACTIVITY", activity={"at": "table 7"})
    there = (await present(bob, ada))[ada.profile_id]
    assert there["user"]["cxs"] == sorted([one.cx_id, two.cx_id])
    assert (there["online"], there["activity"]) == (True, {"at": "table 7"})
    assert await is_online(bob, ada)
    await ada.call("presence", "SET_VISIBILITY", visible=False)
    assert (await present(bob, ada, offline=True)) == {ada.profile_id: away}
    assert not await is_online(bob, ada)
    await ada.call("presence", "SET_VISIBILITY", visible=True)

    async def is_there(*connections: Socket) -> bool:
        there = await present(bob, ada)
        return [cx_id for each in there.values() for cx_id in each["user"]["cxs"]] == [
            each.cx_id for each in connections
        ]

    await one.close()
    await until(lambda: is_there(two))
    await ada.call("playerState", "LOGOUT")
    await until(is_there)
    assert await present(bob, ada) == {}


async def test_friends_are_found_by_their_platform(game: Game, address: str) -> None:
    ada, bob, cyd = [await game.player() for _ in range(3)]
    await befriend(ada, bob, cyd)
    await connected(address, bob)
    for platform in ({}, {"platform": "all"}, {"friendPlatform": "brainCloud"}, {"platform": "braincloud"}):
        told = await ada.call("presence", "GET_PRESENCE_OF_FRIENDS", **platform)
        assert [each["user"]["id"] for each in told["presence"]] == [bob.profile_id]
    told = await ada.call("presence", "GET_PRESENCE_OF_FRIENDS", platform="all", includeOffline=True)
    assert {each["user"]["id"]: each["online"] for each in told["presence"]} == {
        bob.profile_id: True,
        cyd.profile_id: False,
    }
    told = await ada.call("presence", "GET_PRESENCE_OF_FRIENDS", platform="Facebook", includeOffline=True)
    assert told == {"presence": []}
    await refused(ada, 40462, "GET_PRESENCE_OF_FRIENDS", platform="Orkut")
    await refused(ada, 40462, "REGISTER_LISTENERS_FOR_FRIENDS", platform="Orkut")


async def test_those_who_listen_hear_who_comes_goes_and_what_they_do(game: Game, address: str) -> None:
    ada, bob = await named(game, "Ada", level=3), await game.player()
    await befriend(bob, ada)
    ear = await connected(address, bob)
    told = await bob.call("presence", "REGISTER_LISTENERS_FOR_FRIENDS", platform="all")
    assert told == {"presence": []}
    one = await connected(address, ada)
    assert await told_of(ear) == {
        "from": {"id": ada.profile_id, "name": "Ada", "pic": None, "cxs": [one.cx_id]},
        "online": True,
        "summaryFriendData": {"level": 3},
        "activity": {},
    }
    for number in range(20):
        await ada.call("presence", "UPDATE_ACTIVITY", activity={"at": number})
    assert (await told_of(ear))["activity"] == {"at": 19}  # of twenty in a second one is told, the last
    two = await connected(address, ada)
    await one.close()
    await until_gone(game, 2)
    await two.close()
    gone = await told_of(ear)  # and nothing of the first that closed
    assert (gone["online"], "cxs" in gone["from"], gone["activity"]) == (False, False, {})
    await connected(address, ada)
    assert (await told_of(ear))["online"]
    await bob.call("presence", "STOP_LISTENING")
    await ada.call("presence", "FORCE_PUSH")
    channel = presence_channel(APP_ID, ada.profile_id)
    assert not await game.core.get(Channels).is_listening(channel)


async def test_who_is_frozen_is_gone_for_all_who_listen_and_ask(game: Game, address: str) -> None:
    """It says neither farewell nor anything: its silence is noticed, and told once."""
    ada, bob = await game.player(), await game.player()
    ear = await connected(address, bob)
    both = {(await connected(address, ada)).cx_id for _ in range(2)}
    assert await listen_to(bob, ada) == [ada.profile_id]
    connections = game.core.get(Connections)
    for one in [each for each in connections._open if each.cx_id in both]:
        connections._look_at(one, one.heard + SILENT_SECONDS_MAX)
    while (await told_of(ear))["online"]:
        pass
    assert await present(bob, ada) == {}
    assert not await is_online(bob, ada)
    await game.core.get(Announcer).close()
    await bob.call("event", "SEND", toId=bob.profile_id, eventType="x", eventData={})
    assert (await ear.hear())["service"] == "event"
    game.clock.advance(1)
    await ada.call("time", "READ")
    assert await is_online(bob, ada)


async def test_both_ways_lets_the_others_hear(game: Game, address: str) -> None:
    ada, bob, cyd = [await game.player() for _ in range(3)]
    ears = [await connected(address, player) for player in (ada, bob)]
    assert await listen_to(ada, bob, cyd, both_ways=True) == [bob.profile_id]
    await ada.call("presence", "FORCE_PUSH")
    assert (await told_of(ears[1]))["from"]["id"] == ada.profile_id
    await bob.call("presence", "FORCE_PUSH")
    assert (await told_of(ears[0]))["from"]["id"] == bob.profile_id


async def test_who_is_blocked_sees_nobody_and_reaches_nobody(game: Game, address: str) -> None:
    ada, bob = await game.player(), await game.player()
    ear = await connected(address, bob)
    await connected(address, ada)
    await bob.call("friend", "BLOCK_USERS", profileIds=[ada.profile_id])
    assert (await present(ada, bob, offline=True))[bob.profile_id]["online"] is False
    assert not await is_online(ada, bob)
    assert await listen_to(ada, bob, both_ways=True) == []
    assert not await game.core.get(Channels).is_listening(presence_channel(APP_ID, ada.profile_id))
    assert not await game.core.get(Channels).is_listening(presence_channel(APP_ID, bob.profile_id))
    await listen_to(bob, ada, both_ways=True)  # whoever blocks lets nobody hear of them, either
    assert not await game.core.get(Channels).is_listening(presence_channel(APP_ID, bob.profile_id))
    await bob.call("presence", "STOP_LISTENING")
    await bob.call("friend", "UNBLOCK_USERS", profileIds=[ada.profile_id])
    assert list(await present(ada, bob)) == [bob.profile_id]
    assert await listen_to(ada, bob) == [bob.profile_id]
    await bob.call("presence", "FORCE_PUSH")
    await bob.call("event", "SEND", toId=bob.profile_id, eventType="x", eventData={})
    assert (await ear.hear())["service"] == "event"


async def test_who_is_blocked_while_they_listen_hears_nothing_more(game: Game, address: str) -> None:
    ada, bob, cyd = [await game.player() for _ in range(3)]
    for player in (ada, bob, cyd):
        await connected(address, player)
    await listen_to(ada, bob, cyd, both_ways=True)
    await bob.call("friend", "BLOCK_USERS", profileIds=[ada.profile_id])
    channels = game.core.get(Channels)
    heard = [channels.listeners(presence_channel(APP_ID, each.profile_id)) for each in (ada, bob, cyd)]
    names = {ada.profile_id: "ada", bob.profile_id: "bob", cyd.profile_id: "cyd"}
    assert [[names[one.profile_id] for one in listening] for listening in heard] == [["cyd"], [], ["ada"]]


async def test_who_is_blocked_in_the_midst_of_listening_hears_nothing(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await game.player(), await game.player()
    await connected(address, ada)
    await connected(address, bob)
    join_all = Channels.join_all

    async def block_first(self: Channels, *listening: Any) -> int:
        await bob.call("friend", "BLOCK_USERS", profileIds=[ada.profile_id])
        return await join_all(self, *listening)

    monkeypatch.setattr(Channels, "join_all", block_first)
    assert await listen_to(ada, bob, both_ways=True) == []
    channels = game.core.get(Channels)
    for each in (ada, bob):
        assert not await channels.is_listening(presence_channel(APP_ID, each.profile_id))


async def test_what_a_player_does_who_hides_is_not_heard(
    game: Game, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.services.presence.announcing.PAUSE_SECONDS", 0)
    ada, bob = await game.player(), await game.player()
    ear = await connected(address, bob)
    await connected(address, ada)
    await listen_to(bob, ada)
    await ada.call("presence", "SET_VISIBILITY", visible=False)
    while (await told_of(ear))["online"]:  # from when Ada came
        pass
    await ada.call("presence", "UPDATE_ACTIVITY", activity={"at": 1})
    await ada.call("presence", "FORCE_PUSH")
    await game.core.get(Announcer).close()
    await bob.call("event", "SEND", toId=bob.profile_id, eventType="x", eventData={})
    assert (await ear.hear())["service"] == "event"


async def test_a_deleted_player_is_gone_for_those_who_listen(game: Game, address: str) -> None:
    ada, bob = await game.player(), await game.player()
    ear = await connected(address, bob)
    await connected(address, ada)
    await listen_to(bob, ada)
    await ada.call("playerState", "FULL_PLAYER_RESET")
    gone = await told_of(ear)
    assert (gone["from"]["id"], gone["online"]) == (ada.profile_id, False)
    assert await present(bob, ada, offline=True) == {}


async def test_servers_let_players_be_present_without_a_connection(game: Game, address: str) -> None:
    ada, bob = await game.player(), await game.player()
    ear = await connected(address, bob)
    await listen_to(bob, ada)
    of_ada = {"profileId": ada.profile_id}
    initial = {"activity": {"at": 1}, "expirySecs": 100, **of_ada}
    await game.server.call("presence", "SYS_INITIALIZE_PRESENCE", None, **initial)
    assert (await told_of(ear))["activity"] == {"at": 1}
    assert "cxs" in (await present(bob, ada))[ada.profile_id]["user"]
    await ada.call("presence", "UPDATE_ACTIVITY", activity={"at": 2})
    assert (await told_of(ear))["activity"] == {"at": 2}
    await game.server.call("presence", "SYS_EXTEND_PX_EXPIRY", None, seconds=500, **of_ada)  # by 60 at most
    game.clock.advance(150)
    assert list(await present(bob, ada)) == [ada.profile_id]
    game.clock.advance(11)
    assert await present(bob, ada) == {}
    roster: Any = game.core.get(Roster)
    await roster.look_around()
    assert (await told_of(ear))["online"] is False
    await refused(game.server, 40627, "SYS_EXTEND_PX_EXPIRY", **of_ada)
    await refused(game.server, 40627, "SYS_TERMINATE_PRESENCE", **of_ada)
    await game.server.call("presence", "SYS_INITIALIZE_PRESENCE", None, visible=False, **of_ada)
    assert await present(bob, ada) == {}
    await game.server.call("presence", "SYS_TERMINATE_PRESENCE", None, **of_ada)
    await refused(ada, 40627, "FORCE_PUSH")
    unknown = {"profileId": "00000000-0000-4000-8000-000000000000"}
    await refused(game.server, 40374, "SYS_INITIALIZE_PRESENCE", **unknown)


async def test_refusals(game: Game, address: str) -> None:
    ada, *others = [await game.player() for _ in range(4)]
    ids = [other.profile_id for other in others]
    for operation, data in (
        ("SET_VISIBILITY", {"visible": True}),
        ("UPDATE_ACTIVITY", {"activity": {}}),
        ("FORCE_PUSH", {}),
        ("STOP_LISTENING", {}),
        ("REGISTER_LISTENERS_FOR_FRIENDS", {"platform": "all"}),
        ("REGISTER_LISTENERS_FOR_PROFILES", {"profileIds": ids[:1]}),
    ):
        await refused(ada, 40627, operation, **data)
    await connected(address, ada)
    await refused(ada, 40600, "UPDATE_ACTIVITY", activity={"text": "x" * 40})
    await refused(ada, 40658, "REGISTER_LISTENERS_FOR_PROFILES", profileIds=ids)
    channels = game.core.get(Channels)
    assert not any([await channels.is_listening(presence_channel(APP_ID, each)) for each in ids])
    many = [f"p{number}" for number in range(PROFILES_MAX + 1)]
    await refused(ada, 40471, "GET_PRESENCE_OF_USERS", profileIds=many)
    await refused(ada, 40471, "REGISTER_LISTENERS_FOR_PROFILES", profileIds=many)
    for operation in ("GET_PRESENCE_OF_GROUP", "REGISTER_LISTENERS_FOR_GROUP"):
        await refused(ada, 40462, operation, groupId="nowhere")


async def test_a_connection_listens_to_so_many_players_and_no_more(game: Game, address: str) -> None:
    ada = await game.player()
    others = [await game.player() for _ in range(4)]
    await connected(address, ada)
    channels = game.core.get(Channels)
    [session] = await game.core.sessions.list(APP_ID, ada.profile_id)
    await channels.join_all(session, [f"room {number}" for number in range(196)])
    await listen_to(ada, *others[:2])
    await listen_to(ada, *others[:2])
    await listen_to(ada, others[2])
    ids = [each.profile_id for each in others[2:]]
    await refused(ada, 40658, "REGISTER_LISTENERS_FOR_PROFILES", profileIds=ids)
    listened = [await channels.is_listening(presence_channel(APP_ID, each.profile_id)) for each in others]
    assert listened == [True, True, True, False]


SHOWING = ["FORCE_PUSH", "SET_VISIBILITY", "UPDATE_ACTIVITY"]
LISTENING = [f"REGISTER_LISTENERS_FOR_{whom}" for whom in ("FRIENDS", "GROUP", "PROFILES")]
LOOKING = [f"GET_PRESENCE_OF_{whom}" for whom in ("FRIENDS", "GROUP", "USERS")]
SYSTEM = ["SYS_INITIALIZE_PRESENCE", "SYS_EXTEND_PX_EXPIRY", "SYS_TERMINATE_PRESENCE"]


@pytest.mark.parametrize(
    ("apps_folder", "code", "operations"),
    [
        (
            "enabled = false",
            40628,
            [
                "FORCE_PUSH",
                "SET_VISIBILITY",
                "UPDATE_ACTIVITY",
                "STOP_LISTENING",
                *LOOKING,
                *LISTENING,
                *SYSTEM,
            ],
        ),
        ("realtime_updates = false", 40635, ["FORCE_PUSH", "STOP_LISTENING", *LISTENING]),
        ("rich_activity = false", 40634, ["UPDATE_ACTIVITY", "SYS_INITIALIZE_PRESENCE"]),
    ],
    indirect=["apps_folder"],
)
async def test_an_app_may_do_without(game: Game, address: str, code: int, operations: list[str]) -> None:
    ada = await game.player()
    await connected(address, ada)
    data = {
        "visible": True,
        "activity": {"at": 1},
        "profileIds": [],
        "profileId": ada.profile_id,
        "groupId": "g",
    }
    for operation in operations:
        await refused(game.server if operation in SYSTEM else ada, code, operation, **data)


async def test_each_way_to_listen_has_the_same_limits(game: Game, address: str) -> None:
    ada, *others = [await game.player() for _ in range(4)]
    ids = [each.profile_id for each in others]
    await befriend(ada, *others)
    group_id = await put_group(game, "g1", [ada.profile_id, *ids])
    data = {"platform": "all", "groupId": group_id, "profileIds": ids}
    for operation in LISTENING:
        refusal = await game.server.refused("presence", operation, ada.profile_id, **data)
        assert refusal.reason_code == NoSession.reason_code, operation
    refusal = await game.server.refused("presence", "STOP_LISTENING", ada.profile_id)
    assert refusal.reason_code == NoSession.reason_code
    await refused(
        ada, 40627, "REGISTER_LISTENERS_FOR_GROUP", groupId=await put_group(game, "g2", [ada.profile_id])
    )
    await connected(address, ada)
    for operation in LISTENING:
        await refused(ada, 40658, operation, **data)
    large = {"profileId": ada.profile_id, "activity": {"text": "x" * 40}}
    await refused(game.server, 40600, "SYS_INITIALIZE_PRESENCE", **large)


async def test_two_who_tell_at_once_end_with_the_last_word(game: Game, address: str) -> None:
    ada, bob = await game.player(), await game.player()
    ear = await connected(address, bob)
    await connected(address, ada)
    await listen_to(bob, ada)
    await asyncio.gather(
        *[ada.call("presence", "UPDATE_ACTIVITY", activity={"at": number}) for number in range(3)],
        return_exceptions=True,
    )
    last = (await present(bob, ada))[ada.profile_id]["activity"]
    told = await told_of(ear)
    while told["activity"] != last:
        told = await told_of(ear)


async def some_turns() -> None:
    """Let whatever can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_so_many_are_told_of_at_once_and_an_end_waits_for_all(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcer, asked, may_go_on = Announcer(game.core.parts), list[str](), asyncio.Event()

    async def slowly(channel: str) -> bool:
        asked.append(channel)
        await may_go_on.wait()
        return False

    monkeypatch.setattr(game.core.get(Channels), "is_listening", slowly)
    for number in range(AT_ONCE + 5):
        announcer.changed(APP_ID, f"player{number}")
    await some_turns()
    assert len(asked) == AT_ONCE
    announcer.changed(APP_ID, "player0")  # whom it is just telling of: once more, and not beside that
    await some_turns()
    assert len(asked) == AT_ONCE
    closing = asyncio.create_task(announcer.close())
    await some_turns()
    assert not closing.done()
    may_go_on.set()
    await closing
    assert (len(asked), asked.count(presence_channel(APP_ID, "player0"))) == (AT_ONCE + 6, 2)


async def test_members_of_a_group_are_found_and_heard(game: Game, address: str) -> None:
    ada, bob, cyd = [await game.player() for _ in range(3)]
    group_id = await put_group(game, "g1", [ada.profile_id, bob.profile_id])
    ear = await connected(address, ada)
    await connected(address, bob)
    told = await ada.call("presence", "GET_PRESENCE_OF_GROUP", groupId=group_id)
    assert sorted(each["user"]["id"] for each in told["presence"]) == sorted([ada.profile_id, bob.profile_id])
    told = await ada.call("presence", "REGISTER_LISTENERS_FOR_GROUP", groupId=group_id, bidirectional=False)
    assert len(told["presence"]) == 2
    await bob.call("presence", "UPDATE_ACTIVITY", activity={"at": 1})
    heard = await told_of(ear)
    assert (heard["from"]["id"], heard["activity"]) == (bob.profile_id, {"at": 1})
    for operation in ("GET_PRESENCE_OF_GROUP", "REGISTER_LISTENERS_FOR_GROUP"):
        await refused(cyd, 40453, operation, groupId=group_id)
