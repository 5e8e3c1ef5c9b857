"""Refusals of one rule, of each operation that it refuses: events, friends, messages, system entities."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

from gameserver.players.profiles import players
from gameserver.players.quotas import QuotaReached
from gameserver.wire.errors import NoSession, PacketTooLarge
from tests.conftest import Client, Game
from tests.services.conftest import Define
from tests.services.global_entities import create_system

LARGE = {"text": "x" * 200_000}


async def friends(game: Game) -> tuple[Client, Client]:
    ada, bob = await game.player(), await game.player()
    await bob.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"town": "Ulm"})
    await ada.call("friend", "ADD_FRIENDS", profileIds=[bob.profile_id])
    return ada, bob


async def test_events_have_a_size_and_a_quota(game: Game, define: Define) -> None:
    define("[quotas]\nevent_bytes = 100\n")
    ada, bob = await game.player(), await game.player()
    to_many: dict[str, Any] = {"toIds": [bob.profile_id], "eventType": "a", "eventData": LARGE}
    refusal = await game.server.refused("event", "SYS_SEND_EVENT_TO_PROFILES", **to_many)
    assert refusal.reason_code == PacketTooLarge.reason_code
    sent = await ada.call("event", "SEND", toId=bob.profile_id, eventType="a", eventData={"n": 1})
    for operation in ("UPDATE_EVENT_DATA", "UPDATE_EVENT_DATA_IF_EXISTS"):
        refusal = await bob.refused("event", operation, evId=sent["evId"], eventData={"text": "x" * 200})
        assert refusal.reason_code == QuotaReached.reason_code
    [event] = (await bob.call("event", "GET_EVENTS"))["incoming_events"]
    assert event["eventData"] == {"n": 1}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (("event", "SEND_EVENT_TO_PROFILES", "toIds", {"eventType": "x"}), 40735),
        (("messaging", "SEND_MESSAGE", "toProfileIds", {"contentJson": {}}), 40621),
        (("messaging", "SEND_MESSAGE_SIMPLE", "toProfileIds", {"text": "x"}), 40621),
        (("friend", "ADD_FRIENDS", "profileIds", {}), 40471),
        (("friend", "REMOVE_FRIENDS", "profileIds", {}), 40471),
        (("friend", "BLOCK_USERS", "profileIds", {}), 40471),
    ],
)
async def test_who_names_too_many_players_is_refused_and_locks_none(
    game: Game, message: tuple[str, str, str, dict[str, Any]], reason: int
) -> None:
    """A database has room for some thousands of locks, of all players."""
    ada = await game.player()
    service, operation, name, more = message
    too_many = (service, operation, {**more, name: [f"{number:x}" for number in range(60_000)]})
    entries = await ada.packet(too_many, ("event", "DELETE_INCOMING_EVENTS", {"evIds": []}))
    assert [entry.get("reason_code") for entry in entries] == [reason, None]
    assert [entry["status"] for entry in entries] == [entries[0]["status"], 200]


async def test_fields_that_there_are_not(game: Game) -> None:
    ada, _ = await friends(game)
    where = {"summaryFriendData.$x": 1}
    refusal = await game.server.refused("friend", "FIND_USERS_BY_USER_SUMMARY", where=where, maxResults=1)
    assert refusal.reason_code == 40347
    refusal = await ada.refused("friend", "GET_FRIENDS_PAGE", context={"searchCriteria": where})
    assert refusal.reason_code == 40347


async def test_what_friends_have_may_be_more_than_an_answer_holds(
    game: Game, little: Callable[[], None]
) -> None:
    ada, bob = await friends(game)
    await bob.call("entity", "CREATE", entityType="card", data={"n": 1}, acl={"other": 1})
    little()
    summary = {"includeSummaryData": True}
    for operation, data in (
        ("LIST_FRIENDS", summary),
        ("GET_FRIENDS_PAGE", summary),
        ("READ_FRIENDS_ENTITIES", {}),
        ("READ_FRIEND_PLAYER_STATE", {"friendId": bob.profile_id}),
    ):
        refusal = await ada.refused("friend", operation, **data)
        assert refusal.reason_code == PacketTooLarge.reason_code, operation


async def test_a_player_who_is_gone_is_told_so(game: Game) -> None:
    """Between the end of a player and that of the session there is a moment."""
    ada = await game.player()
    async with game.core.database.write() as tx:
        await tx.run(delete(players).where(players.c.profile_id == ada.profile_id))
    refusal = await ada.refused("friend", "GET_MY_SOCIAL_INFO")
    assert refusal.reason_code == NoSession.reason_code


async def test_boxes_may_hold_more_than_an_answer(
    game: Game, define: Define, little: Callable[[], None]
) -> None:
    ada, bob = await game.player(), await game.player()
    message = {"toProfileIds": [bob.profile_id], "contentJson": {"text": "hi"}}
    sent = await ada.call("messaging", "SEND_MESSAGE", **message)
    context = (await bob.call("messaging", "GET_MESSAGES_PAGE", context={}))["context"]
    servers = (await game.server.call("messaging", "SYS_GET_MESSAGES_PAGE", context={}))["context"]
    owner = {"ownerId": bob.profile_id}
    owners = await game.server.call("messaging", "SYS_GET_MESSAGES_FOR_OWNER_PAGE", **owner, context={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gameserver.rpc.context.ANSWER_MAX", 1)
        for caller, operation, data in (
            (bob, "GET_MESSAGES", {"msgbox": "inbox", "msgIds": [sent["msgId"]]}),
            (bob, "GET_MESSAGES_PAGE", {"context": {}}),
            (bob, "GET_MESSAGES_PAGE_OFFSET", {"context": context, "pageOffset": 0}),
            (game.server, "SYS_GET_MESSAGES", {"msgIds": [sent["msgId"]]}),
            (game.server, "SYS_GET_MESSAGES_PAGE", {"context": {}}),
            (game.server, "SYS_GET_MESSAGES_PAGE_OFFSET", {"context": servers, "pageOffset": 0}),
            (game.server, "SYS_GET_MESSAGES_FOR_OWNER_PAGE", {**owner, "context": {}}),
            (
                game.server,
                "SYS_GET_MESSAGES_FOR_OWNER_PAGE_OFFSET",
                {**owner, "context": owners["context"], "pageOffset": 0},
            ),
        ):
            more: dict[str, Any] = data
            refusal = await caller.refused("messaging", operation, **more)
            assert refusal.reason_code == PacketTooLarge.reason_code, operation
    define("[quotas]\nmessages = 0\n")
    cyd = await game.player()
    refusal = await cyd.refused("messaging", "SEND_MESSAGE", **message)
    assert refusal.reason_code == QuotaReached.reason_code


async def test_a_system_entity_has_a_size(game: Game) -> None:
    made = await create_system(game, acl={"other": 0})
    of = {"entityId": made["entityId"], "version": -1}
    refusal = await game.server.refused("globalEntity", "UPDATE_SYSTEM_ENTITY", **of, data=LARGE)
    assert refusal.reason_code == PacketTooLarge.reason_code
