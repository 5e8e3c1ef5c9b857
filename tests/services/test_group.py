"""Groups: made and ended, joined and left, and what is read of them."""

import itertools
from typing import Any

import pytest

from tests.conftest import Game
from tests.services.groups import SERVICE, add, apps_folder, make, mine, read, refused, roles

__all__ = ["apps_folder"]  # a fixture


# Making, and ending


async def test_a_group_is_made_and_read(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    asked = {
        "name": "Reds",
        "groupType": "team",
        "isOpenGroup": True,
        "acl": {"member": 1, "other": 0},
        "ownerAttributes": {"rank": 1},
        "defaultMemberAttributes": {"rank": 9},
        "data": {"indexedId": "red", "n": 1.50},
        "summaryData": {"motto": "go"},
    }
    made = await owner.call(SERVICE, "CREATE_GROUP", **asked)
    expected = {
        "gameId": game.app.id,
        "groupId": made["groupId"],
        "ownerId": owner.profile_id,
        "name": "Reds",
        "groupType": "team",
        "createdAt": game.clock.ms(),
        "updatedAt": game.clock.ms(),
        "members": {owner.profile_id: {"role": "OWNER", "attributes": {"rank": 1}}},
        "pendingMembers": {},
        "version": 1,
        "data": {"indexedId": "red", "n": 1.50},
        "summaryData": {"motto": "go"},
        "isOpenGroup": True,
        "defaultMemberAttributes": {"rank": 9},
        "memberCount": 1,
        "invitedPendingMemberCount": 0,
        "requestingPendingMemberCount": 0,
        "acl": {"member": 1, "other": 0},
    }
    assert made == expected
    assert await read(owner, made["groupId"]) == expected
    of_others = await read(other, made["groupId"])
    assert of_others == {**{k: v for k, v in expected.items() if k != "data"}, "members": {}}
    by_server = await game.server.call(SERVICE, "SYS_READ_GROUP", groupId=made["groupId"])
    assert by_server == expected
    summary = {
        name: expected[name]
        for name in (
            "groupId",
            "groupType",
            "name",
            "ownerId",
            "version",
            "isOpenGroup",
            "summaryData",
            "memberCount",
            "invitedPendingMemberCount",
            "requestingPendingMemberCount",
        )
    }
    assert await owner.call(SERVICE, "GET_MY_GROUPS") == {"groups": [summary], "invited": [], "requested": []}


async def test_others_read_what_the_acl_lets_them(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    group = await make(owner, acl={"member": 2, "other": 1}, data={"n": 1})
    found = await read(other, group)
    assert (found["data"], list(found["members"])) == ({"n": 1}, [owner.profile_id])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"groupType": "none"}, 40467),
        ({"groupType": "official"}, 40346),
        ({"acl": {"other": 1}}, 40747),
        ({"acl": {}}, 40747),
        ({"acl": {"member": 1, "other": 2}}, 40745),
        ({"acl": {"member": 3, "other": 0}}, 40660),
        ({"acl": {"member": 1, "others": 0}}, 40660),
        ({"acl": {"member": True}}, 40359),
        ({"acl": "[]"}, 40359),
        ({"acl": "{"}, 40359),
        ({"data": {"a.b": 1}}, 40347),
        ({"summaryData": {"a": "x" * 11_000}}, 40600),
        ({"ownerAttributes": {"a": "x" * 3_000}}, 40600),
    ],
)
async def test_what_no_group_is_made_with(game: Game, data: dict[str, Any], reason: int) -> None:
    owner = await game.player()
    asked = {"name": "A", "groupType": "team", **data}
    assert (await refused(owner, "CREATE_GROUP", **asked))[1] == reason
    assert await mine(owner) == {"groups": [], "invited": [], "requested": []}


async def test_servers_make_groups_for_players(game: Game) -> None:
    owner = await game.player()
    asked: dict[str, Any] = {"name": "A", "groupType": "official", "ownerId": owner.profile_id}
    asked["jsonData"] = {"n": 1}
    made = await game.server.call(SERVICE, "SYS_CREATE_GROUP", **asked)
    assert (made["ownerId"], made["data"]) == (owner.profile_id, {"n": 1})
    unknown = await game.server.refused(SERVICE, "SYS_CREATE_GROUP", **{**asked, "ownerId": "nobody"})
    assert unknown.reason_code == 40374


async def test_only_the_owner_deletes_a_group(game: Game) -> None:
    owner, admin, other = [await game.player() for _ in range(3)]
    group = await make(owner)
    await add(owner, group, admin, role="ADMIN")
    assert await refused(other, "DELETE_GROUP", groupId=group, version=-1) == (400, 40453)
    assert await refused(admin, "DELETE_GROUP", groupId=group, version=-1) == (403, 40346)
    assert await refused(owner, "DELETE_GROUP", groupId=group, version=7) == (400, 40460)
    assert await owner.call(SERVICE, "DELETE_GROUP", groupId=group, version=1) is None
    for player in (owner, admin):
        assert await mine(player) == {"groups": [], "invited": [], "requested": []}
    assert await refused(owner, "READ_GROUP", groupId=group) == (400, 40345)
    assert (await game.server.refused(SERVICE, "SYS_DELETE_GROUP", groupId=group)).reason_code == 40345
    another = await make(owner)
    refusal = await game.server.refused(SERVICE, "SYS_DELETE_GROUP", groupId=another, version=2)
    assert refusal.reason_code == 40460
    await game.server.call(SERVICE, "SYS_DELETE_GROUP", groupId=another, version=-1)
    assert await refused(owner, "JOIN_GROUP", groupId=another) == (400, 40345)


# Joining, and leaving


async def test_an_open_group_is_joined_and_left(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    group = await make(owner, isOpenGroup=True, defaultMemberAttributes={"rank": 9})
    for _ in range(2):
        assert await other.call(SERVICE, "JOIN_GROUP", groupId=group) is None
    found = await read(owner, group)
    assert found["members"][other.profile_id] == {"role": "MEMBER", "attributes": {"rank": 9}}
    assert (found["memberCount"], found["version"]) == (2, 1)
    assert await refused(owner, "LEAVE_GROUP", groupId=group) == (400, 40458)
    assert await other.call(SERVICE, "LEAVE_GROUP", groupId=group) is None
    assert await refused(other, "LEAVE_GROUP", groupId=group) == (400, 40453)
    assert await roles(owner, group) == {owner.profile_id: "OWNER"}
    await owner.call(SERVICE, "LEAVE_GROUP", groupId=group)
    assert await refused(owner, "READ_GROUP", groupId=group) == (400, 40345)


async def test_a_closed_group_is_asked(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    group = await make(owner)
    for _ in range(2):
        await other.call(SERVICE, "JOIN_MEMBER_TO_GROUP", groupId=group)
    assert await mine(other) == {"groups": [], "invited": [], "requested": [group]}
    found = await read(owner, group)
    assert found["pendingMembers"] == {
        other.profile_id: {"role": "MEMBER", "attributes": {}, "pendingReason": "ASKED_TO_JOIN"}
    }
    assert (found["memberCount"], found["requestingPendingMemberCount"]) == (1, 1)
    assert (await read(other, group))["pendingMembers"] == {}


async def test_the_owner_who_leaves_has_a_successor(game: Game) -> None:
    owner, admin, late = [await game.player() for _ in range(3)]
    known = game.unique("id")
    active = await game.player(external_id=known)
    group = await make(owner, active, late)
    await add(owner, group, admin, role="ADMIN")
    game.clock.advance(10)
    await active.log_in(external_id=known, profileId=active.profile_id)
    heirs = [owner, admin, active, late]  # an admin first, then the member who has logged in last
    for leaves, heir in itertools.pairwise(heirs):
        assert await leaves.call(SERVICE, "LEAVE_GROUP_AUTO", groupId=group) == {}
        found = await read(heir, group)
        assert (found["ownerId"], found["members"][heir.profile_id]["role"]) == (heir.profile_id, "OWNER")
        assert list((await roles(heir, group)).values()).count("OWNER") == 1
        assert await refused(leaves, "LEAVE_GROUP_AUTO", groupId=group) == (400, 40453)
    await late.call(SERVICE, "LEAVE_GROUP_AUTO", groupId=group)
    assert await refused(late, "LEAVE_GROUP_AUTO", groupId=group) == (400, 40345)


async def test_a_group_has_so_many_members(game: Game) -> None:
    owner, second, third = [await game.player() for _ in range(3)]
    group = await make(owner, second, kind="pair", isOpenGroup=True)
    assert await refused(third, "JOIN_GROUP", groupId=group) == (400, 40457)
    adding = {"groupId": group, "profileId": third.profile_id}
    assert await refused(owner, "ADD_GROUP_MEMBER", **adding) == (400, 40457)
    refusal = await game.server.refused(SERVICE, "SYS_ADD_GROUP_MEMBER", **adding)
    assert refusal.reason_code == 40457


async def test_a_player_is_in_so_many_groups(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    await make(owner, kind="pair")
    assert await refused(owner, "CREATE_GROUP", name="B", groupType="pair") == (403, 40371)
    two = [await make(await game.player(), kind="pair", isOpenGroup=True) for _ in range(3)]
    for group in two[:2]:
        await other.call(SERVICE, "JOIN_GROUP", groupId=group)
    assert await refused(other, "JOIN_GROUP", groupId=two[2]) == (403, 40371)
    await make(other)  # a group of another type


# Adding


async def test_owner_and_admins_add_members(game: Game) -> None:
    owner, admin, member, other = [await game.player() for _ in range(4)]
    group = await make(owner, member, defaultMemberAttributes={"rank": 9})
    await add(owner, group, admin, role="ADMIN", attributes={"rank": 2})
    adding = {"groupId": group, "profileId": other.profile_id, "role": "MEMBER"}
    assert await refused(other, "ADD_GROUP_MEMBER", **adding) == (400, 40453)
    assert await refused(member, "ADD_GROUP_MEMBER", **adding) == (403, 40346)
    for role, reason in (("OWNER", 40452), ("OTHER", 40454)):
        assert await refused(admin, "ADD_GROUP_MEMBER", **{**adding, "role": role}) == (400, reason)
    unknown = {**adding, "profileId": "nobody"}
    assert (await refused(admin, "ADD_GROUP_MEMBER", **unknown))[1] == 40374
    large = {**adding, "attributes": {"a": "x" * 3000}}
    assert (await refused(admin, "ADD_GROUP_MEMBER", **large))[1] == 40600
    await other.call("friend", "BLOCK_USERS", profileIds=[admin.profile_id])
    assert (await refused(admin, "ADD_GROUP_MEMBER", **adding))[1] == 40790
    await other.call("friend", "UNBLOCK_USERS", profileIds=[admin.profile_id])
    for _ in range(2):
        await admin.call(SERVICE, "ADD_MEMBER_TO_GROUP", **adding)
    assert await refused(admin, "ADD_GROUP_MEMBER", **{**adding, "role": "ADMIN"}) == (400, 40749)
    differs = {**adding, "attributes": {"rank": 1}}
    assert await refused(admin, "ADD_GROUP_MEMBER", **differs) == (400, 40749)
    assert await game.server.call(SERVICE, "SYS_ADD_GROUP_MEMBER", **adding) is None
    found = await read(other, group)
    assert found["members"][admin.profile_id] == {"role": "ADMIN", "attributes": {"rank": 2}}
    assert found["members"][other.profile_id] == {"role": "MEMBER", "attributes": {"rank": 9}}
