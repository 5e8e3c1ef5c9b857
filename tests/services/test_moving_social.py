"""Who belongs together, and what they say to each other, in lines: out, and in again as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from gameserver.admin.moving import PARTS
from tests.conftest import APP_ID as COMMON_ID
from tests.conftest import APP_TOML, Client, Game
from tests.plans import Plans

APP_ID = "10005"
MORE = """
[group.types.clan]
members = 3
[chat]
history = 3
[chat.channels.main]
[messaging]
content_bytes = 1000
[event]
data_bytes = 1000
[leaderboard.boards.teams]
entries = "GROUP"
[leaderboard.boards.best]
"""
HOMER = {"name": "Homer", "pic": "p", "id": None}
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def app_id() -> str:
    """Of these tests alone: they look at all that an app has."""
    return APP_ID


@pytest.fixture
def apps_folder(apps_folder: Path, app_id: str) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML.replace(COMMON_ID, app_id) + MORE)
    return apps_folder


async def exported(game: Game, *names: str, limit: int = 500) -> list[dict[str, Any]]:
    """The lines that name somebody or something of a test."""
    found: list[str] = []
    for part in PARTS:
        after = None
        while True:
            asked = {"app": APP_ID, "part": part, "limit": limit, "after": after}
            page = await actions.run(game.server_app, "export_page", asked)
            assert len(page["lines"]) <= limit
            found += page["lines"]
            after = page["after"]
            if after is None:
                break
    return [json.loads(line) for line in found if any(name in line for name in names)]


async def imported(game: Game, *lines: dict[str, Any], **options: Any) -> dict[str, Any]:
    asked = {"app": APP_ID, "texts": [json.dumps(line) for line in lines], **options}
    told: dict[str, Any] = await actions.run(game.server_app, "import_lines", asked)
    return told


async def reasons(game: Game, *lines: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in (await imported(game, *lines))["skipped"]]


async def society(game: Game) -> tuple[list[Client], str]:
    """Four players who have all of it, and their group: one is invited, and one has left again."""
    ada, bob, cat, dan = players = [await game.player() for _ in range(4)]
    await ada.call("playerState", "UPDATE_NAME", playerName="Ada")
    await ada.call("friend", "ADD_FRIENDS", profileIds=[bob.profile_id, cat.profile_id])
    await cat.call("friend", "BLOCK_USERS", profileIds=[dan.profile_id])
    made = await ada.call(
        "group",
        "CREATE_GROUP",
        name="Red \u00e9",
        groupType="clan",
        acl={"member": 1, "other": 1},
        data={"indexedId": "red", "n": [2**60, 0.5]},
        summaryData={"s": 1},
        ownerAttributes={"o": 1},
        defaultMemberAttributes={"d": 1},
    )
    group = made["groupId"]
    await game.server.call(
        "group", "SYS_ADD_GROUP_MEMBER", groupId=group, profileId=bob.profile_id, role="ADMIN", attributes={}
    )
    await ada.call("group", "INVITE_GROUP_MEMBER", groupId=group, profileId=cat.profile_id, role="MEMBER")
    await dan.call("group", "JOIN_GROUP", groupId=group)
    for owned, member in ((True, ada), (False, bob)):
        await member.call(
            "group",
            "CREATE_GROUP_ENTITY",
            groupId=group,
            entityType="base",
            isOwnedByGroupMember=owned,
            data={"x": 1},
            acl={"member": 2, "other": 1},
        )
    for channel in (f"gr:{group}", "gl:main", f"dy:{ada.profile_id}"):
        where = {"channelId": f"{APP_ID}:{channel}"}
        for text in ("1", "2", "3", "4"):
            posted = await ada.call("chat", "POST_CHAT_MESSAGE_SIMPLE", text=text, **where)
        await ada.call("chat", "UPDATE_CHAT_MESSAGE", version=1, content={"a": 5}, **where, **posted)
    to = [bob.profile_id, cat.profile_id, ada.profile_id]
    sent = await ada.call("messaging", "SEND_MESSAGE", toProfileIds=to, contentJson={"text": "hi"})
    one = {"msgIds": [sent["msgId"]], "msgbox": "inbox"}
    await bob.call("messaging", "MARK_MESSAGES_READ", **one)
    await cat.call("messaging", "DELETE_MESSAGES", **one)
    await game.server.call(
        "messaging", "SYS_SEND_MESSAGE_SIMPLE", toProfileIds=[dan.profile_id], text="d'oh", fromJson=HOMER
    )
    await ada.call("event", "SEND", toId=bob.profile_id, eventType="gift", eventData={"n": 2})
    await game.server.call("event", "SEND", toId=dan.profile_id, eventType="tax", eventData={})
    await game.server.call(
        "leaderboard",
        "POST_GROUP_SCORE",
        ada.profile_id,
        leaderboardId="teams",
        groupId=group,
        score=7,
        data={},
    )
    return players, group


async def test_what_goes_out_comes_in_again_as_it_was(game: Game) -> None:
    """All of it is told, deleted, and comes back: as often as wanted."""
    players, group = await society(game)
    ids = [player.profile_id for player in players]
    lines = await exported(game, *ids, group)
    assert await exported(game, *ids, group, limit=1) == lines
    kinds = [line["type"] for line in lines]
    assert kinds == sorted(kinds, key=PARTS.index)
    expected = {"friend": 2, "block": 1, "group": 1, "groupMember": 3, "groupEntity": 2, "chatChannel": 2}
    expected |= {"chatMessage": 9, "message": 2, "event": 2, "score": 1, "player": 4}
    assert {kind: kinds.count(kind) for kind in kinds} == expected
    before = await game.server.call("group", "SYS_READ_GROUP", groupId=group)
    for profile_id in ids:
        await actions.player_delete(game.server_app, APP_ID, profile_id)
    [left] = await exported(game, *ids, group)  # a channel is nobody's
    assert left["channelType"] == "dy"

    told = await imported(game, *lines)
    assert told["skipped"] == []
    assert told["taken"] == expected | {"chatChannel": 1}
    assert await exported(game, *ids, group) == lines
    again = await imported(game, *lines)
    assert (again["taken"], again["there"], again["skipped"]) == ({}, expected, [])
    assert await exported(game, *ids, group) == lines
    assert await game.server.call("group", "SYS_READ_GROUP", groupId=group) == before
    counts = ("memberCount", "invitedPendingMemberCount", "requestingPendingMemberCount")
    assert [before[name] for name in counts] == [2, 1, 1]


async def test_players_find_what_has_moved(game: Game) -> None:
    """Friends, groups, chat, mail and events, as clients read them; and all of it goes on."""
    players, group = await society(game)
    ids = [player.profile_id for player in players]
    lines = await exported(game, *ids, group)
    for profile_id in ids:
        await actions.player_delete(game.server_app, APP_ID, profile_id)
    names = {line["profileId"]: f"{line['profileId']}!" for line in lines if line["type"] == "player"}
    for line in lines:
        if line["type"] == "player":
            line["identities"] = [{"authenticationType": "Anonymous", "externalId": names[line["profileId"]]}]
    assert (await imported(game, *lines))["skipped"] == []
    ada, bob, cat, dan = [game.client() for _ in range(4)]
    states = [
        await client.log_in("Anonymous", names[profile_id], "", forceCreate=False, profileId=profile_id)
        for client, profile_id in zip((ada, bob, cat, dan), ids, strict=True)
    ]
    found = await bob.call("friend", "LIST_FRIENDS", friendPlatform="All", includeSummaryData=False)
    assert [friend["playerId"] for friend in found["friends"]] == [ids[0]]
    await cat.call("group", "ACCEPT_GROUP_INVITATION", groupId=group)
    shown = await ada.call("group", "READ_GROUP", groupId=group)
    assert shown["memberCount"] == 3
    assert shown["members"][ids[1]]["role"] == "ADMIN"
    where = {"channelId": f"{APP_ID}:gr:{group}"}
    old = await bob.call("chat", "GET_RECENT_CHAT_MESSAGES", maxReturn=9, **where)
    posted = await bob.call("chat", "POST_CHAT_MESSAGE_SIMPLE", text="on", **where)
    assert int(posted["msgId"]) == int(old["messages"][-1]["msgId"]) + 2  # the change has had a number
    boxes = await bob.call("messaging", "GET_MESSAGE_COUNTS")
    assert boxes["inbox"] == {"total": 1, "unread": 0}
    assert (await cat.call("messaging", "GET_MESSAGE_COUNTS"))["inbox"]["total"] == 0
    [event] = states[1]["incoming_events"]
    assert (event["fromPlayerId"], event["eventType"]) == (ids[0], "gift")
    rows = await ada.call(
        "leaderboard",
        "GET_GLOBAL_LEADERBOARD_PAGE",
        leaderboardId="teams",
        sort="HIGH_TO_LOW",
        startIndex=0,
        endIndex=50,
    )
    assert group in [row["groupId"] for row in rows["leaderboard"]]


async def test_what_is_wrong_is_told_and_spoils_no_other(game: Game) -> None:
    ada, bob = [(await game.player()).profile_id for _ in range(2)]
    nobody, group, other = game.core.new_id(), game.core.new_id(), game.core.new_id()
    now = game.core.clock.ms()
    friend = {"type": "friend", "profileId": ada, "friendId": bob}
    clan = {"type": "group", "groupId": group, "groupType": "clan", "ownerId": ada}
    member = {"type": "groupMember", "groupId": group, "profileId": bob}
    entity = {"type": "groupEntity", "groupId": group, "entityId": "e", "data": {}}
    channel = {"type": "chatChannel", "channelType": "gr", "channelCode": group}
    line = {**channel, "type": "chatMessage", "msgId": "7", "content": {"text": "x"}, "date": now}
    box = {"profileId": bob}
    message = {"type": "message", "msgId": game.core.new_id(), "content": {}, "msgCr": now, "boxes": [box]}
    event = {"type": "event", "evId": "0" * 24, "toPlayerId": ada, "createdAt": now}
    score = {"type": "score", "leaderboardId": "teams", "score": 1, "groupId": group}
    no_player, no_group = f"app {APP_ID} has no player {nobody}", f"app {APP_ID} has no group {other}"
    long = {"text": "x" * 1000}
    cases: list[tuple[dict[str, Any], str]] = [
        ({**friend, "friendId": nobody}, no_player),
        ({**friend, "friendId": ada}, "these are two players"),
        ({**friend, "platforms": ["MySpace"]}, "platforms: expected brainCloud, Facebook"),
        ({**friend, "platforms": []}, "platforms: "),
        ({"type": "block", "profileId": ada, "blockedId": ada}, "these are two players"),
        ({"type": "block", "profileId": nobody, "blockedId": ada}, no_player),
        ({**clan, "groupId": other, "ownerId": nobody}, no_player),
        ({**clan, "groupId": other, "groupType": "guild"}, "the app has no group type 'guild'"),
        ({**clan, "groupId": other, "acl": {"other": 1}}, "acl.member: required"),
        ({**clan, "groupId": other, "acl": {"member": 0, "other": 1}}, "acl: members may not be allowed"),
        ({**clan, "groupId": other, "data": {"a.b": 1}}, "data: the field name 'a.b'"),
        ({**clan, "groupId": other, "ownerAttributes": {"x": "x" * 2048}}, "ownerAttributes: at most"),
        ({**clan, "groupId": other, "summaryData": {"x": "x" * 10240}}, "summaryData: "),
        ({**member, "groupId": other}, no_group),
        ({**member, "profileId": nobody}, no_player),
        ({**member, "role": "OWNER"}, "role: expected ADMIN or MEMBER"),
        ({**member, "pendingReason": "BORED"}, "pendingReason: expected "),
        ({**entity, "groupId": other}, no_group),
        ({**entity, "ownerId": nobody}, no_player),
        ({**entity, "acl": {"member": 3}}, "acl.member: expected 0, 1 or 2"),
        ({**channel, "channelCode": other}, no_group),
        ({**channel, "channelType": "xx"}, "channelType: expected "),
        ({**channel, "channelType": "gl", "channelCode": "none"}, "there is no channel gl:'none'"),
        ({**channel, "channelType": "dy", "usedAt": now - 31 * DAY_MS}, "usedAt: the app keeps these for 30"),
        ({**line, "channelCode": other}, no_group),
        ({**line, "msgId": "-1"}, "msgId: "),
        ({**line, "from": {"id": nobody}}, no_player),
        ({**line, "content": "x"}, "content: expected object, got text"),
        ({**line, "content": {"text": "x" * 10240}}, "content: at most 10240 bytes"),
        ({**line, "date": now - 30 * DAY_MS}, "date: the app keeps these for 30 days"),
        ({**message, "from": {"id": nobody}}, no_player),
        ({**message, "boxes": [{"profileId": nobody}]}, f"boxes: app {APP_ID} has none of these"),
        ({**message, "boxes": []}, "boxes: "),
        ({**message, "content": long}, "content: at most 1000 bytes"),
        ({**message, "msgCr": now - 366 * DAY_MS}, "msgCr: the app keeps these for 365 days"),
        ({**event, "toPlayerId": nobody}, no_player),
        ({**event, "fromPlayerId": nobody}, no_player),
        ({**event, "evId": "x"}, "evId: "),
        ({**event, "eventData": long}, "eventData: at most 1000 bytes"),
        ({**event, "createdAt": now - 31 * DAY_MS}, "createdAt: the app keeps these for 30 days"),
        ({**score, "groupId": other}, no_group),
        ({**score, "profileId": ada}, "profileId: a score is of a player or of a group"),
        ({**score, "leaderboardId": "best"}, "profileId: on this leaderboard players have scores"),
        ({"type": "score", "leaderboardId": "best", "score": 1}, "profileId: a score is of a player or"),
    ]
    told = await imported(game, clan, *(wrong for wrong, _ in cases), member, first=10)
    assert told["taken"] == {"group": 1, "groupMember": 1}
    skipped = {each["line"]: each["reason"] for each in told["skipped"]}
    for number, (wrong, words) in enumerate(cases, 11):
        assert skipped.get(number, "").startswith(words), (wrong, skipped.get(number))
    assert len(skipped) == len(cases)

    told = await imported(game, {**message, "boxes": [{"profileId": nobody}, box]})
    assert told["taken"] == {"message": 1}
    assert told["skipped"] == [
        {"line": 1, "reason": f"boxes[0]: app {APP_ID} has no player {nobody}; taken without it"}
    ]


async def test_limits_hold_for_what_is_imported(game: Game) -> None:
    """A group has no more members than its type allows, and a channel keeps no more messages than it may."""
    ids = [(await game.player()).profile_id for _ in range(5)]
    group, now = game.core.new_id(), game.core.clock.ms()
    clan = {"type": "group", "groupId": group, "groupType": "clan", "ownerId": ids[0]}
    members = [{"type": "groupMember", "groupId": group, "profileId": each} for each in ids[1:]]
    full = "a group of the type 'clan' has 3 members at most"
    assert await reasons(game, clan, *members) == [full, full]
    assert await reasons(game, {**members[-1], "pendingReason": "ASKED_TO_JOIN"}) == []
    shown = await game.server.call("group", "SYS_READ_GROUP", groupId=group)
    assert (shown["memberCount"], shown["requestingPendingMemberCount"], len(shown["members"])) == (3, 1, 3)

    line = {"type": "chatMessage", "channelType": "gr", "channelCode": group, "content": {}, "date": now}
    chat = [{**line, "msgId": str(number)} for number in (5, 6, 7, 8)]
    assert (await imported(game, *chat))["taken"] == {"chatMessage": 4}
    assert await reasons(game, *chat) == ["the channel keeps 3 messages, and has newer ones"]
    said: dict[str, Any] = {"from": HOMER, "channelId": f"{APP_ID}:gr:{group}"}
    posted = await game.server.call("chat", "SYS_POST_CHAT_MESSAGE", content={}, **said)
    assert posted == {"msgId": "9"}
    kept = [line["msgId"] for line in await exported(game, group) if line["type"] == "chatMessage"]
    assert kept == ["7", "8", "9"]


async def test_a_dry_run_knows_what_its_earlier_lines_bring(game: Game) -> None:
    player = game.core.new_id()
    group = game.core.new_id()
    first = [
        {"type": "player", "profileId": player},
        {"type": "group", "groupId": group, "groupType": "clan", "ownerId": player},
    ]
    channel = {"channelType": "gr", "channelCode": group}
    now = game.core.clock.ms()
    chat = {"type": "chatMessage", **channel, "msgId": "1", "content": {}, "date": now}
    later: list[dict[str, Any]] = [
        {"type": "groupEntity", "groupId": group, "entityId": "e", "data": {}, "ownerId": player},
        {"type": "chatChannel", **channel},
        {**chat, "from": {"id": player}},
        {"type": "score", "leaderboardId": "teams", "groupId": group, "score": 1},
    ]
    assert (await imported(game, *first, *later, dry_run=True))["skipped"] == []
    told = await imported(game, *later, dry_run=True, promised=[player, group])
    assert (sum(told["taken"].values()), told["skipped"]) == (4, [])
    assert len(await reasons(game, *later)) == 4  # nothing of it was done
    assert await reasons(game, *first, *later) == []


async def test_each_page_is_found_by_an_index(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an export would read all of an app for each of its pages."""
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    plans = Plans(game, monkeypatch)
    await exported(game, limit=1)
    slow = plans.slow()
    for sql, steps in plans.each():
        slow += [f"{step}: {sql}" for step in steps if step == "USE TEMP B-TREE FOR ORDER BY"]
    assert len(plans.statements) > len(PARTS) // 2
    # Those values are one page, and what is looked up by ids is not many rows.
    assert [each for each in slow if "global_statistics" not in each and " IN (" not in each] == []
