"""chat: lines in channels, kept for a while, and told in one order to all who listen."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gameserver.realtime import channels as realtime_channels
from gameserver.services.chat import storage
from gameserver.sessions import SessionsUnavailable
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.services.listening import Ear, ear

DAY = 24 * 3600
MAIN = f"{APP_ID}:gl:main"
APP = (
    APP_TOML
    + """
[chat]
history = 5
content_bytes = 2000

[chat.channels.main]
name = "Main"
description = "Talk."

[chat.channels.trade]
"""
)


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    declare(apps_folder)
    return apps_folder


def declare(apps_folder: Path, text: str = "") -> None:
    (apps_folder / "test" / "app.toml").write_text(APP + text)


async def named(game: Game, name: str) -> Client:
    player = await game.player()
    await player.call("playerState", "UPDATE_NAME", playerName=name)
    return player


def room(game: Game) -> str:
    """A dynamic channel that no other test uses."""
    return f"{APP_ID}:dy:{game.unique('room')}"


async def post(player: Client, channel: str, text: str = "hi", **data: Any) -> str:
    answer = await player.call("chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text=text, **data)
    msg_id: str = answer["msgId"]
    return msg_id


async def listen(player: Client, channel: str, most: int = 25) -> tuple[Ear, list[str]]:
    """Listen with a new connection; returns it, and the texts that were there."""
    one = await ear(player)
    answer = await player.call("chat", "CHANNEL_CONNECT", channelId=channel, maxReturn=most)
    return one, [message["content"]["text"] for message in answer["messages"]]


async def recent(player: Client, channel: str, most: int = 25) -> list[Any]:
    answer = await player.call("chat", "GET_RECENT_MESSAGES", channelId=channel, maxReturn=most)
    messages: list[Any] = answer["messages"]
    return messages


async def texts(player: Client, channel: str) -> list[str]:
    return [message["content"]["text"] for message in await recent(player, channel)]


async def heard(one: Ear, count: int) -> list[tuple[str, str]]:
    """Operations and texts of the next frames of the chat."""
    frames: list[Any] = []
    while len(frames) < count:
        frame = await one.next()
        frames += [frame] if frame["service"] == "chat" else []
    return [(each["operation"], each["data"]["content"].get("text", "")) for each in frames]


def left(one: Ear) -> list[Any]:
    """Frames of the chat that nobody has taken yet."""
    frames = [one.heard.get_nowait() for _ in range(one.heard.qsize())]
    return [frame for frame in frames if frame["service"] == "chat"]


HOMER = {"name": "Homer", "pic": "https://host.example/homer.jpg"}
FROM_HOMER: dict[str, Any] = {"from": HOMER}


# Posting, listening, reading


async def test_what_is_posted_is_heard_and_kept(game: Game) -> None:
    ada, bob = await named(game, "Ada"), await game.player()
    await ada.call("playerState", "UPDATE_PICTURE_URL", playerPictureUrl="https://host.example/a.png")
    channel = room(game)
    adas, _ = await listen(ada, channel)
    bobs, before = await listen(bob, channel)
    assert before == []
    content = {"text": "Grüße \U0001f600", "custom": {"a": [1, None]}}
    posted = await ada.call("chat", "POST_CHAT_MESSAGE", channelId=channel, content=content)
    now = game.clock.ms()
    message = {
        "chId": channel,
        "msgId": posted["msgId"],
        "date": now,
        "ver": 1,
        "from": {"id": ada.profile_id, "name": "Ada", "pic": "https://host.example/a.png"},
        "content": content,
        "updatedAt": now,
        "expiresAt": now + 30 * DAY * 1000,
    }
    for each in (adas, bobs):
        assert await each.next() == {"service": "chat", "operation": "INCOMING", "data": message}
    assert await recent(bob, channel) == [message]
    one = {"channelId": channel, "msgId": posted["msgId"]}
    assert await bob.call("chat", "GET_CHAT_MESSAGE", **one) == message
    assert await game.server.call("chat", "SYS_GET_CHAT_MESSAGE", **one) == message
    for msg_id in ("no-message", "1", "9" * 200):
        unknown = {"channelId": channel, "msgId": msg_id}
        assert await bob.call("chat", "GET_CHAT_MESSAGE", **unknown) == {}
        assert await game.server.call("chat", "SYS_GET_CHAT_MESSAGE", **unknown) == {}


async def test_only_who_listens_hears_and_only_what_is_behind_what_was_read(game: Game) -> None:
    ada, bob, cyd = [await game.player() for _ in range(3)]
    channel = room(game)
    cyds = await ear(cyd)
    await post(ada, channel, "one")
    bobs, before = await listen(bob, channel)
    assert before == ["one"]
    await post(ada, channel, "two")
    assert await heard(bobs, 1) == [("INCOMING", "two")]
    # Once more, and with the same connection.
    again = await bob.call("chat", "CHANNEL_CONNECT", channelId=channel, maxReturn=1)
    assert [message["content"]["text"] for message in again["messages"]] == ["two"]
    await bob.call("chat", "CHANNEL_DISCONNECT", channelId=channel)
    await post(ada, channel, "three")
    await bob.call("chat", "CHANNEL_CONNECT", channelId=channel, maxReturn=0)
    await post(ada, channel, "four")
    assert await heard(bobs, 1) == [("INCOMING", "four")]
    assert cyds.heard.empty()
    # A session without a connection reads, and listens to nothing.
    answer = await ada.call("chat", "CHANNEL_CONNECT", channelId=channel, maxReturn=2)
    assert [message["content"]["text"] for message in answer["messages"]] == ["three", "four"]


async def test_history_and_what_follows_hold_each_message_once(game: Game) -> None:
    """However often somebody joins while others post."""
    ada, bob = await game.player(), await game.player()
    channel, told = room(game), list[str]()

    async def write() -> None:
        for number in range(40):
            await post(ada, channel, str(number))

    writing = asyncio.create_task(write())
    while not writing.done():
        one = await ear(bob)
        answer = await bob.call("chat", "CHANNEL_CONNECT", channelId=channel, maxReturn=5)
        await asyncio.sleep(0)
        await bob.call("chat", "CHANNEL_DISCONNECT", channelId=channel)
        frames = [one.heard.get_nowait()["data"] for _ in range(one.heard.qsize())]
        ids = [message["msgId"] for message in answer["messages"] + frames]
        assert ids == sorted(set(ids)), "each once, in order"
        told += ids
        one.is_open = False
        for each in tuple(one.channels):
            game.core.get(realtime_channels.Channels).remove(one, each)
    await writing
    assert told


async def test_a_message_that_is_not_recorded_is_heard_and_not_kept(game: Game) -> None:
    ada = await game.player()
    channel = room(game)
    adas, _ = await listen(ada, channel)
    msg_id = await post(ada, channel, "joins", recordInHistory=False)
    assert (await adas.next())["data"]["msgId"] == msg_id
    assert await recent(ada, channel) == []
    change = {"channelId": channel, "msgId": msg_id, "version": 1}
    refusal = await ada.refused("chat", "UPDATE_CHAT_MESSAGE", **change, content={})
    assert refusal.reason_code == 40595
    assert await ada.call("chat", "DELETE_CHAT_MESSAGE", **change) == {"deleted": 0}
    await post(ada, channel, "kept", recordInHistory=True)
    assert await texts(ada, channel) == ["kept"]


async def test_so_many_messages_are_kept_of_each_channel(game: Game) -> None:
    ada = await game.player()
    channel, other = room(game), room(game)
    await post(ada, other, "other")
    ids = [await post(ada, channel, str(number)) for number in range(7)]
    assert await texts(ada, channel) == ["2", "3", "4", "5", "6"]
    assert [each["msgId"] for each in await recent(ada, channel, 2)] == ids[-2:]
    assert ids == sorted(ids)
    asked = {"channelId": channel, "maxReturn": 2}
    assert (await ada.call("chat", "GET_RECENT_CHAT_MESSAGES", **asked))["messages"] == await recent(
        ada, channel, 2
    )
    assert await recent(ada, channel, 0) == []
    assert await texts(ada, other) == ["other"]
    refusal = await ada.refused("chat", "GET_RECENT_CHAT_MESSAGES", channelId=channel, maxReturn=-1)
    assert refusal.reason_code == 40660


# Changing and deleting


async def test_an_author_changes_and_deletes(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    channel = room(game)
    bobs, _ = await listen(bob, channel)
    msg_id = await post(ada, channel, "one")
    one = {"channelId": channel, "msgId": msg_id}
    game.clock.advance(1)
    assert await ada.call("chat", "UPDATE_CHAT_MESSAGE", **one, version=1, content={"text": "two"}) == {}
    [message] = await recent(bob, channel)
    assert (message["ver"], message["content"]) == (2, {"text": "two"})
    assert (message["date"], message["updatedAt"]) == (game.clock.ms() - 1000, game.clock.ms())
    for operation, what in CHANGES:
        refusal = await ada.refused("chat", operation, **one, version=1, **what)
        assert refusal.reason_code == 40598
        refusal = await bob.refused("chat", operation, **one, version=2, **what)
        assert refusal.reason_code == 40346
    assert await ada.call("chat", "UPDATE_CHAT_MESSAGE", **one, version=-1, content={"text": "three"}) == {}
    assert await ada.call("chat", "DELETE_CHAT_MESSAGE", **one, version=3) == {"deleted": 1}
    assert await ada.call("chat", "DELETE_CHAT_MESSAGE", **one, version=3) == {"deleted": 0}
    assert await recent(bob, channel) == []
    refusal = await ada.refused("chat", "UPDATE_CHAT_MESSAGE", **one, version=-1, content={})
    assert refusal.reason_code == 40595
    frames = [await bobs.next() for _ in range(4)]
    assert [each["operation"] for each in frames] == ["INCOMING", "UPDATE", "UPDATE", "DELETE"]
    assert {each["data"]["msgId"] for each in frames} == {msg_id}
    assert frames[1]["data"] == message
    assert frames[3]["data"]["content"] == {}


async def test_of_two_changes_of_one_version_one_is_made_and_all_see_the_same(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    channel = room(game)
    bobs, _ = await listen(bob, channel)
    msg_id = await post(ada, channel, "begin")
    change: dict[str, Any] = {"channelId": channel, "msgId": msg_id, "version": 1}
    server = game.server
    outcomes = await asyncio.gather(
        *(
            server.call("chat", "SYS_UPDATE_CHAT_MESSAGE", **change, content={"text": str(number)})
            for number in range(5)
        ),
        return_exceptions=True,
    )
    refusals = [each for each in outcomes if isinstance(each, Exception)]
    assert [getattr(each, "reason_code", each) for each in refusals] == [40598] * 4
    [_, (operation, text)] = await heard(bobs, 2)
    assert (operation, [text]) == ("UPDATE", await texts(bob, channel))


async def test_all_hear_everything_in_the_order_in_which_it_is_kept(game: Game) -> None:
    players = [await game.player() for _ in range(4)]
    channel = room(game)
    ears = [(await listen(player, channel))[0] for player in players]

    async def write(player: Client) -> None:
        for number in range(5):
            await post(player, channel, str(number))

    await asyncio.gather(*map(write, players))
    orders = [[(await each.next())["data"]["msgId"] for _ in range(20)] for each in ears]
    assert orders == [sorted(orders[0])] * 4
    assert [each["msgId"] for each in await recent(players[0], channel)] == orders[0][-5:]


# Channels


async def test_which_channels_there_are(game: Game) -> None:
    ada = await game.player()
    await game.server.call("chat", "SYS_POST_CHAT_MESSAGE_SIMPLE", channelId=MAIN, text="x", **FROM_HOMER)
    count = len(await recent(ada, MAIN))
    main = {
        "id": MAIN,
        "type": "gl",
        "code": "main",
        "name": "Main",
        "desc": "Talk.",
        "stats": {"messageCount": count},
    }
    for wanted in ("gl", "all", "", None):
        found = (await ada.call("chat", "GET_SUBSCRIBED_CHANNELS", channelType=wanted))["channels"]
        assert found[0] == main
        assert [each["name"] for each in found] == ["Main", "trade"]
    assert (await ada.call("chat", "GET_SUBSCRIBED_CHANNELS", channelType="dy"))["channels"] == []
    assert (await ada.refused("chat", "GET_SUBSCRIBED_CHANNELS", channelType="x")).reason_code == 40660
    assert await ada.call("chat", "GET_CHANNEL_INFO", channelId=MAIN) == main
    assert await game.server.call("chat", "SYS_GET_CHANNEL_INFO", channelId=MAIN) == main
    channel = room(game)
    await listen(ada, channel)
    info = await ada.call("chat", "GET_CHANNEL_INFO", channelId=channel)
    assert info["stats"] == {"messageCount": 0, "listenerCount": 1}


async def test_ids_of_channels(game: Game) -> None:
    ada = await game.player()
    for kind, code in (("gl", "main"), ("dy", "a-b_C9")):
        wanted = {"channelType": kind, "channelSubId": code}
        for caller in (ada, game.server):
            assert await caller.call("chat", "GET_CHANNEL_ID", **wanted) == {
                "channelId": f"{APP_ID}:{kind}:{code}"
            }
    wrong: tuple[tuple[str, str], ...] = (
        ("gl", "none"),
        ("gr", "none"),
        ("gr", ":"),
        ("dy", "a b"),
        ("dy", ""),
        ("dy", "é"),
    )
    wrong = (*wrong, ("dy", "a" * 65), ("sy", "none"), ("xx", "main"), ("", ""))
    for kind, code in wrong:
        refusal = await ada.refused("chat", "GET_CHANNEL_ID", channelType=kind, channelSubId=code)
        assert (refusal.status, refusal.reason_code) == (400, 40603)


CONTENT: dict[str, Any] = {"content": {"text": "x"}}
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("UPDATE_CHAT_MESSAGE", {"content": {}}),
    ("DELETE_CHAT_MESSAGE", {}),
]
ONE: dict[str, Any] = {"msgId": "1", "version": -1}
PLAYERS: list[tuple[str, dict[str, Any]]] = [
    ("CHANNEL_CONNECT", {"maxReturn": 1}),
    ("CHANNEL_DISCONNECT", {}),
    ("GET_CHANNEL_INFO", {}),
    ("GET_RECENT_MESSAGES", {"maxReturn": 1}),
    ("GET_CHAT_MESSAGE", {"msgId": "1"}),
    ("POST_CHAT_MESSAGE", CONTENT),
    ("POST_CHAT_MESSAGE_SIMPLE", {"text": "x"}),
    ("UPDATE_CHAT_MESSAGE", {**ONE, **CONTENT}),
    ("DELETE_CHAT_MESSAGE", ONE),
]
SERVERS: list[tuple[str, dict[str, Any]]] = [
    ("SYS_CHANNEL_CONNECT", {"maxReturn": 1}),
    ("SYS_CHANNEL_DISCONNECT", {}),
    ("SYS_GET_CHANNEL_INFO", {}),
    ("SYS_GET_RECENT_CHAT_MESSAGES", {"maxReturn": 1}),
    ("SYS_GET_CHAT_MESSAGE", {"msgId": "1"}),
    ("SYS_POST_CHAT_MESSAGE", {**CONTENT, **FROM_HOMER}),
    ("SYS_POST_CHAT_MESSAGE_SIMPLE", {"text": "x", **FROM_HOMER}),
    ("SYS_UPDATE_CHAT_MESSAGE", {**ONE, **CONTENT}),
    ("SYS_DELETE_CHAT_MESSAGE", ONE),
    ("SYS_DELETE_CHANNEL", {}),
]


async def test_channels_that_are_none_are_refused_everywhere(game: Game) -> None:
    ada = await game.player()
    one = await ear(ada)
    wrong = (f"{APP_ID}:gl:none", f"{APP_ID}:gr:none", "10002:gl:main", "x", "::", f"{APP_ID}:sy:none")
    for operation, data in PLAYERS:
        for channel in wrong:
            refusal = await ada.refused("chat", operation, channelId=channel, **data)
            wanted = 40346 if ":sy:" in channel else 40603  # players are not told which there are
            assert refusal.reason_code == wanted, (operation, channel)
        assert (await game.client().refused("chat", operation, channelId=MAIN, **data)).reason_code == 40304
    for operation, data in SERVERS:
        for channel in wrong[: -1 if operation == "SYS_DELETE_CHANNEL" else None]:
            refusal = await game.server.refused("chat", operation, channelId=channel, **data)
            wanted = 40346 if channel.startswith("10002") else 40603  # of another app
            assert refusal.reason_code == wanted, (operation, channel)
        assert (await ada.refused("chat", operation, channelId=MAIN, **data)).reason_code == 40616
    assert {each.partition(":")[0] for each in one.channels} == {"player"}


async def test_a_connection_listens_to_so_many_channels(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_channels, "CHANNELS_PER_CONNECTION_MAX", 2)  # its player's is one
    ada = await game.player()
    await listen(ada, MAIN)
    connect = {"channelId": f"{APP_ID}:gl:trade", "maxReturn": 1}
    assert (await ada.refused("chat", "CHANNEL_CONNECT", **connect)).reason_code == 49126
    await ada.call("chat", "CHANNEL_DISCONNECT", channelId=MAIN)
    await ada.call("chat", "CHANNEL_CONNECT", **connect)


async def test_channels_that_servers_make_and_delete(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    code = game.unique("party")
    made = await game.server.call("chat", "SYS_CREATE_CHANNEL", channelType="dy", channelSubId=code)
    channel = made["channelId"]
    assert channel == f"{APP_ID}:dy:{code}"
    bobs, _ = await listen(bob, channel)
    await post(ada, channel, "one")
    again = await game.server.call("chat", "SYS_CREATE_CHANNEL", channelType="dy", channelSubId=code)
    assert (again, await texts(ada, channel)) == (made, ["one"])
    assert await heard(bobs, 1) == [("INCOMING", "one")]
    for _ in range(2):
        assert await game.server.call("chat", "SYS_DELETE_CHANNEL", channelId=channel) == {}
    assert await recent(ada, channel) == []
    game.clock.advance(1)
    await post(ada, channel, "another")
    assert await texts(ada, channel) == ["another"]
    assert bobs.heard.empty()
    for kind, sub_id in (("gl", "main"), ("gr", "x"), ("dy", "no code"), ("xx", "x")):
        wrong = {"channelType": kind, "channelSubId": sub_id}
        assert (await game.server.refused("chat", "SYS_CREATE_CHANNEL", **wrong)).reason_code == 40603
        assert (await ada.refused("chat", "SYS_CREATE_CHANNEL", **wrong)).reason_code == 40616
    refusal = await game.server.refused("chat", "SYS_DELETE_CHANNEL", channelId=MAIN)
    assert refusal.reason_code == 40603


async def test_channels_of_servers_are_not_for_players(game: Game) -> None:
    code = game.unique("servers")
    made = await game.server.call("chat", "SYS_CREATE_CHANNEL", channelType="sy", channelSubId=code)
    of = {"channelId": made["channelId"]}
    await game.server.call("chat", "SYS_POST_CHAT_MESSAGE", **of, **CONTENT, **FROM_HOMER)
    connected = await game.server.call("chat", "SYS_CHANNEL_CONNECT", **of, maxReturn=5)
    assert [message["content"] for message in connected["messages"]] == [CONTENT["content"]]
    assert await game.server.call("chat", "SYS_CHANNEL_DISCONNECT", **of) == {}
    ada = await game.player()
    for operation, data in PLAYERS:
        assert (await ada.refused("chat", operation, **of, **data)).reason_code == 40346
    wanted = {"channelType": "sy", "channelSubId": code}
    assert (await ada.refused("chat", "GET_CHANNEL_ID", **wanted)).reason_code == 40603
    assert await game.server.call("chat", "GET_CHANNEL_ID", **wanted) == made


@pytest.fixture
def made_by_servers(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(
        APP_TOML + "[chat]\nplayers_make_channels = false\n[quotas]\nchat_channels_per_day = 0\n"
    )


@pytest.mark.usefixtures("made_by_servers")
async def test_only_servers_make_channels_where_the_app_wants_that(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    for operation, data in PLAYERS:
        assert (await ada.refused("chat", operation, channelId=channel, **data)).reason_code == 40603
    wanted = {"channelType": "dy", "channelSubId": channel.rpartition(":")[2]}
    assert (await ada.refused("chat", "GET_CHANNEL_ID", **wanted)).reason_code == 40603
    await game.server.call("chat", "SYS_POST_CHAT_MESSAGE", channelId=channel, **CONTENT, **FROM_HOMER)
    await post(ada, channel, "two")
    assert await texts(ada, channel) == ["x", "two"]


@pytest.fixture
def disabled(apps_folder: Path) -> None:
    declare(apps_folder, "[rttRegistration]\nenabled = false\n")


@pytest.mark.usefixtures("disabled")
async def test_an_app_without_real_time_connections_has_no_chat(game: Game) -> None:
    ada = await game.player()
    for operation, data in PLAYERS:
        assert (await ada.refused("chat", operation, channelId=MAIN, **data)).reason_code == 40601
    kind = {"channelType": "dy", "channelSubId": "x"}
    for operation in ("GET_CHANNEL_ID", "GET_SUBSCRIBED_CHANNELS"):
        assert (await ada.refused("chat", operation, **kind)).reason_code == 40601
    for operation, data in (*SERVERS, ("SYS_CREATE_CHANNEL", kind)):
        refusal = await game.server.refused("chat", operation, **{"channelId": MAIN, **data})
        assert refusal.reason_code == 40601


# What the system says


async def test_messages_of_the_system(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    adas, _ = await listen(ada, channel)
    sent = await game.server.call("chat", "SYS_POST_CHAT_MESSAGE", channelId=channel, **CONTENT, **FROM_HOMER)
    assert (await adas.next())["data"]["from"] == {"id": None, **HOMER}
    one = {"channelId": channel, "msgId": sent["msgId"], "version": 1}
    for operation, what in CHANGES:
        assert (await ada.refused("chat", operation, **one, **what)).reason_code == 40346
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"id": "x", "name": "y"}, 40617),
        ({"pic": "y"}, 40618),
        ({"name": ""}, 40618),
    ]
    for sender, code in wrong:
        data: dict[str, Any] = {"channelId": channel, "from": sender, "text": "x", **CONTENT}
        for operation in ("SYS_POST_CHAT_MESSAGE", "SYS_POST_CHAT_MESSAGE_SIMPLE"):
            assert (await game.server.refused("chat", operation, **data)).reason_code == code


async def test_servers_change_and_delete_whatever_players_have_written(game: Game) -> None:
    ada, channel = await named(game, "Ada"), room(game)
    msg_id = await post(ada, channel, "rude")
    one = {"channelId": channel, "msgId": msg_id}
    server = game.server
    await server.call("chat", "SYS_UPDATE_CHAT_MESSAGE", **one, version=1, content={"text": "[moderated]"})
    [message] = (await server.call("chat", "SYS_GET_RECENT_CHAT_MESSAGES", channelId=channel, maxReturn=9))[
        "messages"
    ]
    assert (message["from"]["name"], message["content"]["text"], message["ver"]) == ("Ada", "[moderated]", 2)
    for operation, what in CHANGES:
        assert (
            await server.refused("chat", f"SYS_{operation}", **one, version=1, **what)
        ).reason_code == 40598
    assert await server.call("chat", "SYS_DELETE_CHAT_MESSAGE", **one, version=2) == {"deleted": 1}
    assert await server.call("chat", "SYS_DELETE_CHAT_MESSAGE", **one, version=2) == {"deleted": 0}
    gone = await server.refused("chat", "SYS_UPDATE_CHAT_MESSAGE", **one, version=-1, content={})
    assert gone.reason_code == 40595


# Limits


async def test_content_is_an_object_of_so_many_bytes(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    await ada.call("chat", "POST_CHAT_MESSAGE", channelId=channel, content='{"text": "as text"}')
    await ada.call("chat", "POST_CHAT_MESSAGE", channelId=channel, content={})
    assert [message["content"] for message in await recent(ada, channel)] == [{"text": "as text"}, {}]
    large = "é" * 1000
    wrong: list[tuple[Any, int]] = [
        ("no json", 40614),
        ("[1]", 40614),
        ([1], 40359),
        (None, 40358),
        ({"text": large}, 40600),
    ]
    one: dict[str, Any] = {"channelId": channel, "msgId": await post(ada, channel), "version": 1}
    for content, code in wrong:
        data: dict[str, Any] = {} if content is None else {"content": content}
        for operation, which in (("POST_CHAT_MESSAGE", {"channelId": channel}), ("UPDATE_CHAT_MESSAGE", one)):
            assert (await ada.refused("chat", operation, **which, **data)).reason_code == code
        for operation, which in (
            ("SYS_POST_CHAT_MESSAGE", {"channelId": channel, **FROM_HOMER}),
            ("SYS_UPDATE_CHAT_MESSAGE", one),
        ):
            assert (await game.server.refused("chat", operation, **which, **data)).reason_code == code
    simple: dict[str, Any] = {"channelId": channel, "text": large, **FROM_HOMER}
    assert (await ada.refused("chat", "POST_CHAT_MESSAGE_SIMPLE", **simple)).reason_code == 40600
    assert (await game.server.refused("chat", "SYS_POST_CHAT_MESSAGE_SIMPLE", **simple)).reason_code == 40600
    assert len(await recent(ada, channel)) == 3


async def test_text_of_any_unicode_is_delivered_or_refused_alone(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    channel = room(game)
    bobs, _ = await listen(bob, channel)
    strange = ["\u202egnp.exe", "a\u0301" * 50, "\U0001f468\u200d\U0001f469\u200d\U0001f467", "안녕"]
    strange += ["\ufeff", "\u2028", "\\", '"', "\x7f", "\U0010ffff"]
    for text in strange:
        await post(ada, channel, text)
        assert await heard(bobs, 1) == [("INCOMING", text)]
    assert await texts(ada, channel) == strange[-5:]
    for half in (b"\\ud800", b"\\u0000"):
        body = ada.body(
            ("chat", "POST_CHAT_MESSAGE_SIMPLE", {"channelId": channel, "text": "HALF"}),
            ("chat", "POST_CHAT_MESSAGE_SIMPLE", {"channelId": channel, "text": "after"}),
        )
        answers = (await ada.send(body.replace(b"HALF", half))).json()["responses"]
        assert [each["status"] for each in answers] == [400, 200]
        assert await heard(bobs, 1) == [("INCOMING", "after")]


@pytest.fixture
def few(apps_folder: Path) -> None:
    declare(apps_folder, "[quotas]\nchat_messages_per_minute = 3\nchat_channels_per_day = 2\n")


@pytest.mark.usefixtures("few")
async def test_a_player_posts_so_much_in_a_minute_over_all_sessions(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    channel = room(game)
    adas, _ = await listen(ada, channel)
    msg_id = await post(ada, channel)
    change = {"channelId": channel, "msgId": msg_id, "version": -1, **CONTENT}
    await ada.call("chat", "UPDATE_CHAT_MESSAGE", **change)
    await ada.call("chat", "POST_CHAT_MESSAGE", channelId=channel, **CONTENT)
    for operation, data in (
        ("POST_CHAT_MESSAGE", {"channelId": channel, **CONTENT}),
        ("POST_CHAT_MESSAGE_SIMPLE", {"channelId": channel, "text": "x"}),
        ("UPDATE_CHAT_MESSAGE", change),
    ):
        refusal = await ada.refused("chat", operation, **data)
        assert (refusal.status, refusal.reason_code) == (403, 40823)
        assert "chat_messages_per_minute" in refusal.message
    await post(bob, channel)
    assert [each for each, _ in await heard(adas, 4)] == ["INCOMING", "UPDATE", "INCOMING", "INCOMING"]
    game.clock.advance(61)
    await post(ada, room(game))
    refusal = await ada.refused("chat", "POST_CHAT_MESSAGE", channelId=room(game), **CONTENT)
    assert (refusal.reason_code, "chat_channels_per_day" in refusal.message) == (40823, True)
    await post(ada, MAIN)


# Words, and players who want nothing of each other


@pytest.fixture
def masking(apps_folder: Path) -> None:
    declare(apps_folder, '[profanity]\nchat = "mask"\nwords.en = ["darn"]\n')


@pytest.mark.usefixtures("masking")
async def test_words_are_hidden_where_the_app_wants_that(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    adas, _ = await listen(ada, channel)
    msg_id = await post(ada, channel, "oh darn")
    await ada.call(
        "chat", "UPDATE_CHAT_MESSAGE", channelId=channel, msgId=msg_id, version=1, content={"text": "d4rn it"}
    )
    assert await heard(adas, 2) == [("INCOMING", "oh ****"), ("UPDATE", "**** it")]
    for content in ({}, {"text": 1}, {"text": "안녕"}):
        await ada.call("chat", "POST_CHAT_MESSAGE", channelId=channel, content=content)
    await game.server.call(
        "chat", "SYS_POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text="darn", **FROM_HOMER
    )
    wanted = [{"text": "**** it"}, {}, {"text": 1}, {"text": "안녕"}, {"text": "darn"}]
    assert [message["content"] for message in await recent(ada, channel)] == wanted


@pytest.fixture
def refusing(apps_folder: Path) -> None:
    declare(apps_folder, '[profanity]\nchat = "refuse"\nwords.en = ["darn"]\n')


@pytest.mark.usefixtures("refusing")
async def test_words_are_refused_where_the_app_wants_that(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    msg_id = await post(ada, channel, "darning socks")
    one = {"channelId": channel, "msgId": msg_id, "version": 1}
    rude = {"content": {"text": "d.a.r.n"}}
    for operation, data in (
        ("POST_CHAT_MESSAGE", {"channelId": channel, **rude}),
        ("POST_CHAT_MESSAGE_SIMPLE", {"channelId": channel, "text": "darn"}),
        ("UPDATE_CHAT_MESSAGE", {**one, **rude}),
    ):
        assert (await ada.refused("chat", operation, **data)).reason_code == 40425
    assert await texts(ada, channel) == ["darning socks"]


async def test_nothing_of_who_is_blocked_reaches_the_blocker(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    channel = room(game)
    before = await post(bob, channel, "before")
    await ada.call("friend", "BLOCK_USERS", profileIds=[bob.profile_id])
    adas, there = await listen(ada, channel)
    bobs, _ = await listen(bob, channel)
    assert there == []
    msg_id = await post(bob, channel, "rude")
    change = {"channelId": channel, "msgId": msg_id, "version": 1}
    await bob.call("chat", "UPDATE_CHAT_MESSAGE", **change, content={"text": "ruder"})
    await bob.call("chat", "DELETE_CHAT_MESSAGE", channelId=channel, msgId=before, version=1)
    await post(ada, channel, "peace")
    assert await heard(adas, 1) == [("INCOMING", "peace")]
    assert [text for _, text in await heard(bobs, 4)] == ["rude", "ruder", "", "peace"]
    assert await texts(ada, channel) == ["peace"]
    assert await ada.call("chat", "GET_CHAT_MESSAGE", channelId=channel, msgId=msg_id) == {}
    await ada.call("friend", "UNBLOCK_USERS", profileIds=[bob.profile_id])
    assert await texts(ada, channel) == ["ruder", "peace"]
    await post(bob, channel, "sorry")
    assert await heard(adas, 1) == [("INCOMING", "sorry")]


async def test_who_is_blocked_while_the_blocker_listens_is_heard_no_more(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the process that blocks dies with the commit: a job sees to it once more."""
    ada, bob, cyd = [await game.player() for _ in range(3)]
    channel = room(game)
    adas, _ = await listen(ada, channel)
    await ada.call("friend", "BLOCK_USERS", profileIds=[bob.profile_id])
    await post(bob, channel, "rude")

    async def die(*_: Any) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(realtime_channels.Channels, "mute", die)
        await ada.call("friend", "BLOCK_USERS", profileIds=[cyd.profile_id])
    await game.run_jobs("friend.part")
    await post(cyd, channel, "ruder")
    await post(ada, channel, "peace")
    assert await heard(adas, 1) == [("INCOMING", "peace")]


# In time, and in a player's life


async def test_old_messages_are_forgotten_and_channels_that_nobody_uses(game: Game) -> None:
    ada, channel, other = await game.player(), room(game), room(game)
    await post(ada, channel, "old")
    await post(ada, other, "old")
    await post(ada, MAIN, "old")
    game.clock.advance(20 * DAY)
    await ada.log_in()
    await post(ada, channel, "new")
    game.clock.advance(11 * DAY)
    await game.run_jobs("chat.forget", "chat.forget_channels")
    await ada.log_in()
    assert [await texts(ada, each) for each in (channel, other, MAIN)] == [["new"], [], []]
    one, before = await listen(ada, other)
    assert before == []
    await post(ada, other, "begins anew")
    assert await heard(one, 1) == [("INCOMING", "begins anew")]


async def test_a_repeated_packet_posts_once(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    adas, _ = await listen(ada, channel)
    body = ada.body(("chat", "POST_CHAT_MESSAGE_SIMPLE", {"channelId": channel, "text": "once"}))
    answers = [(await ada.send(body)).content for _ in range(3)]
    assert len(set(answers)) == 1
    await post(ada, channel, "twice")
    assert await texts(ada, channel) == ["once", "twice"]
    assert await heard(adas, 2) == [("INCOMING", "once"), ("INCOMING", "twice")]


async def test_what_is_refused_in_a_packet_tells_nobody_and_leaves_no_gap(game: Game) -> None:
    ada, channel = await game.player(), room(game)
    adas, _ = await listen(ada, channel)
    simple = "POST_CHAT_MESSAGE_SIMPLE"
    entries = await ada.packet(
        ("chat", simple, {"channelId": channel, "text": "one"}),
        ("chat", simple, {"channelId": channel, "text": "x" * 5000}),
        ("chat", "UPDATE_CHAT_MESSAGE", {"channelId": channel, **ONE, **CONTENT}),
        ("chat", simple, {"channelId": channel, "text": "two"}),
    )
    assert [entry["status"] for entry in entries] == [200, 400, 400, 200]
    assert await heard(adas, 2) == [("INCOMING", "one"), ("INCOMING", "two")]
    assert await texts(ada, channel) == ["one", "two"]


# Channels of groups


@pytest.fixture
def with_groups(apps_folder: Path) -> None:
    declare(apps_folder, "[group.types.team]\n")


async def group_of(owner: Client, *others: Client, name: str = "Reds") -> str:
    """Make a group; returns its id."""
    made = await owner.call("group", "CREATE_GROUP", name=name, groupType="team")
    group_id: str = made["groupId"]
    for other in others:
        await owner.call("group", "ADD_GROUP_MEMBER", groupId=group_id, profileId=other.profile_id)
    return group_id


@pytest.mark.usefixtures("with_groups")
async def test_a_group_has_a_channel_for_its_members(game: Game) -> None:
    ada, bob, cyd = [await game.player() for _ in range(3)]
    group = await group_of(ada, bob)
    channel = f"{APP_ID}:gr:{group}"
    wanted = {"channelType": "gr", "channelSubId": group}
    assert await ada.call("chat", "GET_CHANNEL_ID", **wanted) == {"channelId": channel}
    bobs, _ = await listen(bob, channel)
    await post(ada, channel, "hi")
    assert await heard(bobs, 1) == [("INCOMING", "hi")]
    stats = {"messageCount": 1, "memberCount": 2, "listenerCount": 1}
    shown = {"id": channel, "type": "gr", "code": "Reds", "name": "Reds", "desc": "", "stats": stats}
    assert await bob.call("chat", "GET_SUBSCRIBED_CHANNELS", channelType="gr") == {"channels": [shown]}
    assert await ada.call("chat", "GET_CHANNEL_INFO", channelId=channel) == shown
    assert await game.server.call("chat", "SYS_GET_CHANNEL_INFO", channelId=channel) == shown
    await game.server.call("chat", "SYS_POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text="x", **FROM_HOMER)
    assert await cyd.call("chat", "GET_SUBSCRIBED_CHANNELS", channelType="gr") == {"channels": []}
    cyds = await ear(cyd)
    for operation, data in PLAYERS:
        refusal = await cyd.refused("chat", operation, channelId=channel, **data)
        assert (refusal.status, refusal.reason_code) == (403, 40346), operation
    await post(ada, channel, "still among us")
    assert left(cyds) == []


@pytest.mark.usefixtures("with_groups")
@pytest.mark.parametrize("end", ["removed", "leaves", "deleted", "job"])
async def test_who_is_in_a_group_no_more_hears_nothing_more(
    game: Game, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await game.player(), await game.player()
    group = await group_of(ada, bob)
    channel, of_group = f"{APP_ID}:gr:{group}", {"groupId": group}
    adas, bobs = (await listen(ada, channel))[0], (await listen(bob, channel))[0]
    await post(ada, channel, "before")
    assert await heard(bobs, 1) == [("INCOMING", "before")]
    if end == "removed":
        await ada.call("group", "REMOVE_GROUP_MEMBER", **of_group, profileId=bob.profile_id)
    elif end == "leaves":
        await bob.call("group", "LEAVE_GROUP", **of_group)
    elif end == "deleted":
        await ada.call("group", "DELETE_GROUP", **of_group)
    else:  # right after the commit nothing could be done

        async def fail(*_: str) -> int:
            raise SessionsUnavailable("Redis is away")

        with monkeypatch.context() as patch:
            patch.setattr(realtime_channels.Channels, "expel", fail)
            await bob.call("group", "LEAVE_GROUP", **of_group)
        await game.run_jobs("chat.expel")
    refusal = await bob.refused("chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text="x")
    assert refusal.reason_code == (40603 if end == "deleted" else 40346)
    if end == "deleted":
        for operation, data in PLAYERS:
            assert (await ada.refused("chat", operation, channelId=channel, **data)).reason_code == 40603
        assert not [each for each in adas.channels if each.startswith("chat:")]
        async with game.core.database.read() as tx:
            assert await tx.one(storage.CHANNEL, channel=channel) is None
    else:
        await post(ada, channel, "after")
        assert await heard(adas, 2) == [("INCOMING", "before"), ("INCOMING", "after")]
    assert left(bobs) == []


@pytest.mark.usefixtures("with_groups")
async def test_a_post_does_not_bring_back_the_channel_of_a_group_that_goes(game: Game) -> None:
    for _ in range(5):
        ada, bob = await game.player(), await game.player()
        group = await group_of(ada, bob)
        channel = f"{APP_ID}:gr:{group}"
        await asyncio.gather(
            bob.packet(*[("chat", "POST_CHAT_MESSAGE", {"channelId": channel, **CONTENT})] * 3),
            ada.call("group", "DELETE_GROUP", groupId=group),
        )
        async with game.core.database.read() as tx:
            assert await tx.one(storage.CHANNEL, channel=channel) is None
