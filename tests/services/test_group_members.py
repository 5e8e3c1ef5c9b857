"""Groups: who is invited, asks, is let in, changed and removed."""

from typing import Any

import pytest

from gameserver.players.quotas import QuotaSettings
from tests.conftest import Client, Game
from tests.services.groups import SERVICE, add, apps_folder, make, mine, read, refused, roles

__all__ = ["apps_folder"]  # a fixture
NOTHING: dict[str, list[str]] = {"groups": [], "invited": [], "requested": []}


def counts(group: dict[str, Any]) -> tuple[int, int, int]:
    names = ("memberCount", "invitedPendingMemberCount", "requestingPendingMemberCount")
    members, invited, requested = (group[name] for name in names)
    return members, invited, requested


# Invitations


async def test_an_invitation_is_accepted_rejected_or_cancelled(game: Game) -> None:
    owner, member, first, second = [await game.player() for _ in range(4)]
    group = await make(owner, member)
    for other in (first, second):
        inviting = {"groupId": group, "profileId": other.profile_id}
        assert await refused(member, "INVITE_GROUP_MEMBER", **inviting) == (403, 40346)
        assert await refused(other, "INVITE_GROUP_MEMBER", **inviting) == (400, 40453)
        wanted = {"role": "ADMIN", "attributes": {"n": 1}}
        for _ in range(2):
            assert await owner.call(SERVICE, "INVITE_GROUP_MEMBER", **inviting, **wanted) is None
    found = await read(member, group)
    assert counts(found) == (2, 2, 0)
    pending = {"role": "ADMIN", "attributes": {"n": 1}, "pendingReason": "INVITED_TO_JOIN"}
    assert found["pendingMembers"] == {first.profile_id: pending, second.profile_id: pending}
    assert await mine(first) == {**NOTHING, "invited": [group]}
    assert await first.call(SERVICE, "ACCEPT_GROUP_INVITATION", groupId=group) is None
    assert (await read(first, group))["members"][first.profile_id] == {
        "role": "ADMIN",
        "attributes": {"n": 1},
    }
    assert await second.call(SERVICE, "REJECT_GROUP_INVITATION", groupId=group) is None
    assert await mine(second) == NOTHING
    inviting = {"groupId": group, "profileId": second.profile_id}
    await first.call(SERVICE, "INVITE_MEMBER_TO_GROUP", **inviting)
    assert await refused(member, "CANCEL_GROUP_INVITATION", **inviting) == (403, 40346)
    assert await first.call(SERVICE, "CANCEL_GROUP_INVITATION", **inviting) is None
    assert await refused(first, "CANCEL_GROUP_INVITATION", **inviting) == (400, 40456)
    for operation in ("ACCEPT_GROUP_INVITATION", "REJECT_GROUP_INVITATION"):
        for player in (second, first):
            assert await refused(player, operation, groupId=group) == (400, 40456)
        assert await refused(second, operation, groupId="none") == (400, 40345)
    assert counts(await read(first, group)) == (3, 0, 0)


async def test_who_is_not_invited(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    group = await make(owner)
    inviting: dict[str, Any] = {"groupId": group, "profileId": other.profile_id}
    for data, reason in (
        ({"role": "OWNER"}, 40452),
        ({"role": "KING"}, 40454),
        ({"profileId": "nobody"}, 40374),
        ({"groupId": "none"}, 40345),
        ({"attributes": {"a": "x" * 3000}}, 40600),
        ({"profileId": owner.profile_id}, 40749),
    ):
        assert (await refused(owner, "INVITE_GROUP_MEMBER", **{**inviting, **data}))[1] == reason
    await other.call("friend", "BLOCK_USERS", profileIds=[owner.profile_id])
    assert (await refused(owner, "INVITE_GROUP_MEMBER", **inviting))[1] == 40790
    assert counts(await read(owner, group)) == (1, 0, 0)


async def test_so_many_wait(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, first, second, third = [await game.player() for _ in range(4)]
    group = await make(owner, kind="pair")
    await owner.call(SERVICE, "INVITE_GROUP_MEMBER", groupId=group, profileId=first.profile_id)
    inviting = {"groupId": group, "profileId": second.profile_id}
    assert await refused(owner, "INVITE_GROUP_MEMBER", **inviting) == (403, 40371)
    assert await refused(second, "JOIN_GROUP", groupId=group) == (403, 40371)
    # The room that there is counts when the invitation is accepted.
    await add(owner, group, third)
    assert await refused(first, "ACCEPT_GROUP_INVITATION", groupId=group) == (400, 40457)
    assert counts(await read(owner, group)) == (2, 1, 0)
    monkeypatch.setattr(game.app.section(QuotaSettings), "group_requests", 1)
    others = [await make(await game.player()) for _ in range(2)]
    await second.call(SERVICE, "JOIN_GROUP", groupId=others[0])
    assert await refused(second, "JOIN_GROUP", groupId=others[1]) == (403, 40371)
    monkeypatch.setattr(game.app.section(QuotaSettings), "groups", 0)
    await game.server.call(SERVICE, "SYS_SET_GROUP_OPEN", groupId=others[1], isOpenGroup=True)
    assert await refused(second, "JOIN_GROUP", groupId=others[1]) == (403, 40371)


async def test_a_player_joins_and_leaves_so_often(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, other = await game.player(), await game.player()
    group = await make(owner, isOpenGroup=True)
    monkeypatch.setattr(game.app.section(QuotaSettings), "group_changes_per_minute", 2)
    for operation in ("JOIN_GROUP", "LEAVE_GROUP"):
        await other.call(SERVICE, operation, groupId=group)
    refusal = await other.refused(SERVICE, "JOIN_GROUP", groupId=group)
    assert (refusal.status, refusal.reason_code) == (403, 40823)
    assert "(group_changes_per_minute)" in refusal.message
    await game.server.call(SERVICE, "JOIN_GROUP", other.profile_id, groupId=group)  # servers are free
    game.clock.advance(60)
    await other.call(SERVICE, "LEAVE_GROUP", groupId=group)


# Requests


async def test_a_request_is_approved_rejected_or_withdrawn(game: Game) -> None:
    owner, member, first, second = [await game.player() for _ in range(4)]
    group = await make(owner, member, defaultMemberAttributes={"n": 9})
    for other in (first, second):
        await other.call(SERVICE, "JOIN_GROUP", groupId=group)
    approving: dict[str, Any] = {"groupId": group, "profileId": first.profile_id}
    for operation in ("APPROVE_GROUP_JOIN_REQUEST", "REJECT_GROUP_JOIN_REQUEST"):
        assert await refused(member, operation, **approving) == (403, 40346)
        assert await refused(second, operation, **approving) == (400, 40453)
        assert await refused(owner, operation, **approving | {"groupId": "none"}) == (400, 40345)
    for role, reason in (("OWNER", 40452), ("KING", 40454)):
        assert await refused(owner, "APPROVE_GROUP_JOIN_REQUEST", **approving, role=role) == (400, reason)
    large = {"attributes": {"a": "x" * 3000}}
    assert await refused(owner, "APPROVE_GROUP_JOIN_REQUEST", **approving, **large) == (400, 40600)
    assert await owner.call(SERVICE, "APPROVE_GROUP_JOIN_REQUEST", **approving, role="ADMIN") is None
    assert (await read(first, group))["members"][first.profile_id] == {
        "role": "ADMIN",
        "attributes": {"n": 9},
    }
    of_second = {"groupId": group, "profileId": second.profile_id}
    assert await first.call(SERVICE, "REJECT_GROUP_JOIN_REQUEST", **of_second) is None
    assert await mine(second) == NOTHING
    await second.call(SERVICE, "JOIN_GROUP", groupId=group)
    assert await second.call(SERVICE, "DELETE_GROUP_JOIN_REQUEST", groupId=group) is None
    assert await refused(second, "DELETE_GROUP_JOIN_REQUEST", groupId=group) == (400, 40734)
    assert await refused(second, "DELETE_GROUP_JOIN_REQUEST", groupId="none") == (400, 40345)
    for operation in ("APPROVE_GROUP_JOIN_REQUEST", "REJECT_GROUP_JOIN_REQUEST"):
        assert await refused(owner, operation, **of_second) == (400, 40734)
    assert counts(await read(owner, group)) == (3, 0, 0)


async def test_approval_needs_room(game: Game) -> None:
    owner, first, second = [await game.player() for _ in range(3)]
    group = await make(owner, kind="pair")
    await first.call(SERVICE, "JOIN_GROUP", groupId=group)
    await add(owner, group, second)
    approving = {"groupId": group, "profileId": first.profile_id}
    assert await refused(owner, "APPROVE_GROUP_JOIN_REQUEST", **approving) == (400, 40457)
    another = await make(owner)
    for _ in range(2):
        busy = await game.player()
        await make(busy, first, kind="pair")
    await game.server.call(SERVICE, "SYS_REMOVE_GROUP_MEMBER", groupId=group, profileId=second.profile_id)
    assert await refused(owner, "APPROVE_GROUP_JOIN_REQUEST", **approving) == (403, 40371)
    adding = {"groupId": group, "profileId": first.profile_id}
    assert await refused(owner, "ADD_GROUP_MEMBER", **adding) == (403, 40371)
    await add(owner, another, first)


async def test_who_is_invited_and_asks_is_in(game: Game) -> None:
    owner, first, second = [await game.player() for _ in range(3)]
    group = await make(owner)
    inviting = {"groupId": group, "role": "ADMIN"}
    await owner.call(SERVICE, "INVITE_GROUP_MEMBER", **inviting, profileId=first.profile_id)
    await first.call(SERVICE, "JOIN_GROUP", groupId=group)
    await second.call(SERVICE, "JOIN_GROUP", groupId=group)
    await owner.call(SERVICE, "INVITE_GROUP_MEMBER", **inviting, profileId=second.profile_id)
    assert sorted((await roles(owner, group)).values()) == ["ADMIN", "ADMIN", "OWNER"]
    assert counts(await read(owner, group)) == (3, 0, 0)


# Members


async def test_members_are_changed(game: Game) -> None:
    owner, admin, member, other = [await game.player() for _ in range(4)]
    group = await make(owner, member)
    await add(owner, group, admin, role="ADMIN")

    def of(player: Client, **data: Any) -> dict[str, Any]:
        return {"groupId": group, "profileId": player.profile_id, **data}

    update = "UPDATE_GROUP_MEMBER"
    assert await refused(member, update, **of(member)) == (403, 40346)
    assert await refused(other, update, **of(member)) == (400, 40453)
    assert await refused(admin, update, **of(other)) == (400, 40385)
    assert await refused(admin, update, **of(member, role="KING")) == (400, 40454)
    assert await refused(admin, update, **of(member, role="OWNER")) == (403, 40346)
    assert await refused(admin, update, **of(owner, role="MEMBER")) == (400, 40454)
    assert (await refused(admin, update, **of(member, attributes={"a": "x" * 3000})))[1] == 40600
    await admin.call(SERVICE, update, **of(owner, attributes={"n": 1}))
    await admin.call(SERVICE, "UPDATE_MEMBER_OF_GROUP", **of(member, role="ADMIN", attributes={"n": 2}))
    await owner.call(SERVICE, update, **of(member, role="OWNER"))
    found = await read(owner, group)
    assert found["ownerId"] == member.profile_id
    assert found["members"] == {
        owner.profile_id: {"role": "ADMIN", "attributes": {"n": 1}},
        admin.profile_id: {"role": "ADMIN", "attributes": {}},
        member.profile_id: {"role": "OWNER", "attributes": {"n": 2}},
    }
    system = ("SYS_UPDATE_GROUP_MEMBER", None)
    await game.server.call(SERVICE, *system, **of(admin, role="OWNER"))
    assert (await read(owner, group))["ownerId"] == admin.profile_id
    for data, reason in (
        (of(other), 40385),
        (of(admin, role="ADMIN"), 40454),
        (of(member, attributes={"a": "x" * 3000}), 40600),
        (of(member, groupId="none"), 40345),
    ):
        refusal = await game.server.refused(SERVICE, *system, **{**of(admin), **data})
        assert refusal.reason_code == reason


async def test_members_are_removed(game: Game) -> None:
    owner, admin, member, other = [await game.player() for _ in range(4)]
    group = await make(owner, member)
    await add(owner, group, admin, role="ADMIN")

    def of(player: Client) -> dict[str, Any]:
        return {"groupId": group, "profileId": player.profile_id}

    remove = "REMOVE_GROUP_MEMBER"
    assert await refused(member, remove, **of(admin)) == (403, 40346)
    assert await refused(other, remove, **of(admin)) == (400, 40453)
    assert await refused(admin, remove, **of(owner)) == (400, 40455)
    assert await refused(admin, remove, **of(other)) == (400, 40385)
    for reason, player in ((40455, owner), (40385, other)):
        refusal = await game.server.refused(SERVICE, "SYS_REMOVE_GROUP_MEMBER", **of(player))
        assert refusal.reason_code == reason
    refusal = await game.server.refused(SERVICE, "SYS_REMOVE_GROUP_MEMBER", groupId="none", profileId="x")
    assert refusal.reason_code == 40345
    assert await admin.call(SERVICE, remove, **of(member)) is None
    assert await game.server.call(SERVICE, "SYS_REMOVE_GROUP_MEMBER", **of(admin)) is None
    assert await roles(owner, group) == {owner.profile_id: "OWNER"}
    is_member = "SYS_IS_GROUP_MEMBER"
    found = await game.server.call(SERVICE, is_member, **of(owner))
    assert found == {"isGroupMember": True, "role": "OWNER", "attributes": {}}
    found = await game.server.call(SERVICE, is_member, **of(member))
    assert found == {"isGroupMember": False, "role": None, "attributes": None}
    assert (await game.server.refused(SERVICE, is_member, groupId="none", profileId="x")).reason_code == 40345


async def test_members_are_read(game: Game) -> None:
    owner, member, other = [await game.player() for _ in range(3)]
    await owner.call("playerState", "UPDATE_NAME", playerName="Ada")
    await owner.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"xp": 12})
    await owner.call("playerState", "UPDATE_CONTACT_EMAIL", contactEmail="ada@example.com")
    group = await make(owner, member, data={"n": 1})
    expected: dict[str, dict[str, Any]] = {
        owner.profile_id: {
            "role": "OWNER",
            "attributes": {},
            "playerName": "Ada",
            "emailAddress": None,
            "pic": None,
            "summaryFriendData": {"xp": 12},
        },
        member.profile_id: {
            "role": "MEMBER",
            "attributes": {},
            "playerName": "",
            "emailAddress": None,
            "pic": None,
            "summaryFriendData": None,
        },
    }
    assert await member.call(SERVICE, "READ_GROUP_MEMBERS", groupId=group) == expected
    expected[owner.profile_id]["emailAddress"] = "ada@example.com"
    assert await game.server.call(SERVICE, "SYS_READ_GROUP_MEMBERS", groupId=group) == expected
    assert await member.call(SERVICE, "READ_GROUP_DATA", groupId=group) == {"data": {"n": 1}}
    assert await game.server.call(SERVICE, "SYS_READ_GROUP_DATA", groupId=group) == {"data": {"n": 1}}
    for operation in ("READ_MEMBERS_OF_GROUP", "READ_GROUP_DATA"):
        assert await refused(other, operation, groupId=group) == (400, 40453)
        assert await refused(other, operation, groupId="none") == (400, 40345)
        await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl={"member": 0, "other": 0})
        assert await refused(member, operation, groupId=group) == (403, 40346)
        await owner.call(SERVICE, operation, groupId=group)
        await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl={"member": 1, "other": 1})
        await other.call(SERVICE, operation, groupId=group)
        await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl=None)
    for operation in ("SYS_READ_GROUP", "SYS_READ_GROUP_MEMBERS", "SYS_READ_GROUP_DATA"):
        assert (await game.server.refused(SERVICE, operation, groupId="none")).reason_code == 40345
    listed = await other.call(SERVICE, "LIST_GROUPS_WITH_MEMBER", profileId=member.profile_id)
    assert [(one["groupId"], one["memberCount"]) for one in listed["groups"]] == [(group, 2)]
