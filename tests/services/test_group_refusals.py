"""Refusals of one rule, of each operation that it refuses: groups, their entities, and chat."""

from collections.abc import Callable
from typing import Any

from gameserver.documents.query import InvalidFieldInWhere
from gameserver.players.quotas import QuotaReached
from gameserver.services.group.base import (
    CannotAddOwner,
    GroupFull,
    InvalidGroupRole,
    MemberDiffers,
    UnknownGroupType,
)
from gameserver.wire.errors import NotAllowed, PacketTooLarge
from tests.conftest import APP_ID, Client, Game
from tests.services.conftest import Define
from tests.services.groups import SERVICE, apps_folder, make, mine, read, refused

__all__ = ["apps_folder"]  # a fixture


async def code(caller: Any, service: str, operation: str, **data: Any) -> int:
    reason: int = (await caller.refused(service, operation, **data)).reason_code
    return reason


async def entity(owner: Client, group: str) -> str:
    """Make an entity of a group; returns its id."""
    made = await owner.call(SERVICE, "CREATE_GROUP_ENTITY", groupId=group, entityType="t", data={"n": 1})
    entity_id: str = made["entityId"]
    return entity_id


async def test_what_servers_make_no_group_with(game: Game) -> None:
    owner = await game.player()
    for data, reason in (
        ({"groupType": "none"}, UnknownGroupType.reason_code),
        ({"acl": {"other": 1}}, 40747),
        ({"acl": {"member": 1, "other": 2}}, 40745),
        ({"data": {"a.b": 1}}, 40347),
        ({"summaryData": {"a": "x" * 11_000}}, PacketTooLarge.reason_code),
    ):
        asked: dict[str, Any] = {"name": "A", "groupType": "team", "ownerId": owner.profile_id, **data}
        assert await code(game.server, SERVICE, "SYS_CREATE_GROUP", **asked) == reason, data
    assert await mine(owner) == {"groups": [], "invited": [], "requested": []}


async def test_whom_servers_do_not_add(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    group = await make(owner)
    for data, reason in (
        ({"role": "OWNER"}, CannotAddOwner.reason_code),
        ({"role": "KING"}, InvalidGroupRole.reason_code),
        ({"attributes": {"a": "x" * 3_000}}, PacketTooLarge.reason_code),
        ({"profileId": "nobody"}, 40374),
        ({"profileId": owner.profile_id, "role": "ADMIN"}, MemberDiffers.reason_code),
    ):
        asked: dict[str, Any] = {"groupId": group, "profileId": other.profile_id, **data}
        assert await code(game.server, SERVICE, "SYS_ADD_GROUP_MEMBER", **asked) == reason, data
    assert list((await read(owner, group))["members"]) == [owner.profile_id]


async def test_members_who_only_read_do_not_write_what_a_group_shows(game: Game) -> None:
    owner, member = await game.player(), await game.player()
    group = await make(owner, member, acl={"member": 1, "other": 0})
    summary = {"groupId": group, "version": -1, "summaryData": {"n": 1}}
    assert await refused(member, "UPDATE_GROUP_SUMMARY_DATA", **summary) == (403, NotAllowed.reason_code)
    assert (await read(owner, group))["summaryData"] == {}


async def test_who_waits_for_a_full_group_is_not_let_in_by_an_invitation(game: Game) -> None:
    owner, second, waiting = [await game.player() for _ in range(3)]
    group = await make(owner, kind="pair")
    await waiting.call(SERVICE, "JOIN_GROUP", groupId=group)
    adding = {"groupId": group, "profileId": second.profile_id}
    await owner.call(SERVICE, "ADD_GROUP_MEMBER", **adding)
    inviting = {"groupId": group, "profileId": waiting.profile_id}
    for operation in ("INVITE_GROUP_MEMBER", "INVITE_MEMBER_TO_GROUP"):
        assert await refused(owner, operation, **inviting) == (400, GroupFull.reason_code)
    assert (await mine(waiting))["requested"] == [group]


async def test_an_invitation_does_not_lift_the_limit_of_groups(game: Game) -> None:
    owners, player = [await game.player() for _ in range(3)], await game.player()
    first, *others = [await make(owner, kind="pair") for owner in owners]
    await owners[0].call(SERVICE, "INVITE_GROUP_MEMBER", groupId=first, profileId=player.profile_id)
    for owner, group in zip(owners[1:], others, strict=True):
        await owner.call(SERVICE, "ADD_GROUP_MEMBER", groupId=group, profileId=player.profile_id)
    assert await refused(player, "ACCEPT_GROUP_INVITATION", groupId=first) == (403, QuotaReached.reason_code)
    assert (await mine(player))["invited"] == [first]


async def test_increments_count_towards_the_size_and_the_quota_of_entities(
    game: Game, define: Define
) -> None:
    owner = await game.player()
    group = await make(owner)
    define("[quotas]\ngroup_entity_bytes = 100\n")
    adding = {"groupId": group, "entityId": await entity(owner, group), "data": {"a" * 2000: 1}}
    operation = "INCREMENT_GROUP_ENTITY_DATA"
    assert await refused(owner, operation, **adding) == (403, QuotaReached.reason_code)
    define("[group]\ndata_bytes_max = 1024\n")
    assert await code(owner, SERVICE, operation, **adding) == PacketTooLarge.reason_code
    assert await code(game.server, SERVICE, f"SYS_{operation}", **adding) == PacketTooLarge.reason_code
    del adding["data"]
    assert (await owner.call(SERVICE, "READ_GROUP_ENTITY", **adding))["data"] == {"n": 1}


async def test_searches_for_fields_that_there_are_not(game: Game) -> None:
    owner = await game.player()
    where = {"data.$x": 1}
    of_group = {"searchCriteria": {"groupId": await make(owner), **where}}
    requests: list[tuple[str, dict[str, Any]]] = [
        ("READ_GROUP_ENTITIES_PAGE", {"context": of_group}),
        ("READ_GROUP_ENTITIES_PAGE_BY_OFFSET", {"context": of_group, "pageOffset": 0}),
        ("LIST_GROUPS_PAGE", {"context": {"searchCriteria": where}}),
        ("LIST_GROUPS_PAGE_BY_OFFSET", {"context": {"searchCriteria": where}, "pageOffset": 0}),
        ("GET_RANDOM_GROUPS_MATCHING", {"where": where, "maxReturn": 1}),
    ]
    for operation, data in requests:
        for caller, name in ((owner, operation), (game.server, f"SYS_{operation}")):
            assert await code(caller, SERVICE, name, **data) == InvalidFieldInWhere.reason_code, name


async def test_what_groups_have_may_be_more_than_an_answer_holds(
    game: Game, little: Callable[[], None]
) -> None:
    owner, player, tag = await game.player(), await game.player(), game.unique("tag")
    group = await make(owner, isOpenGroup=True, data={"indexedId": tag})
    await entity(owner, group)
    of, where = {"groupId": group}, {"data.indexedId": tag}
    entities, groups = {"context": {"searchCriteria": of}}, {"context": {"searchCriteria": where}}
    both: list[tuple[str, dict[str, Any]]] = [
        ("READ_GROUP", of),
        ("READ_GROUP_DATA", of),
        ("READ_GROUP_MEMBERS", of),
        ("READ_GROUP_ENTITIES_PAGE", entities),
        ("READ_GROUP_ENTITIES_PAGE_BY_OFFSET", {**entities, "pageOffset": 0}),
        ("LIST_GROUPS_PAGE", groups),
        ("LIST_GROUPS_PAGE_BY_OFFSET", {**groups, "pageOffset": 0}),
        ("GET_RANDOM_GROUPS_MATCHING", {"where": where, "maxReturn": 1}),
    ]
    requests: list[tuple[Any, str, dict[str, Any]]] = [
        *((owner, operation, data) for operation, data in both),
        *((game.server, f"SYS_{operation}", data) for operation, data in both),
        (owner, "READ_MEMBERS_OF_GROUP", of),
        (owner, "GET_MY_GROUPS", {}),
        (owner, "LIST_GROUPS_WITH_MEMBER", {"profileId": owner.profile_id}),
        (
            player,
            "AUTO_JOIN_GROUP",
            {"groupType": "team", "autoJoinStrategy": "JoinFirstGroup", "where": where},
        ),
    ]
    little()
    for caller, operation, data in requests:
        assert await code(caller, SERVICE, operation, **data) == PacketTooLarge.reason_code, operation
    assert (await player.call(SERVICE, "GET_MY_GROUPS"))["groups"] == []


async def test_what_a_channel_keeps_may_be_more_than_an_answer_holds(
    game: Game, little: Callable[[], None]
) -> None:
    player = await game.player()
    channel = f"{APP_ID}:dy:{game.unique('room')}"
    await player.call("chat", "POST_CHAT_MESSAGE_SIMPLE", channelId=channel, text="hi")
    little()
    requests: list[tuple[Any, str]] = [
        (player, "CHANNEL_CONNECT"),
        (player, "GET_RECENT_MESSAGES"),
        (player, "GET_RECENT_CHAT_MESSAGES"),
        (game.server, "SYS_CHANNEL_CONNECT"),
        (game.server, "SYS_GET_RECENT_CHAT_MESSAGES"),
    ]
    for caller, operation in requests:
        reason = await code(caller, "chat", operation, channelId=channel, maxReturn=9)
        assert reason == PacketTooLarge.reason_code, operation
