"""Groups: their data, how they are found, and joined by chance."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Client, Game
from tests.services.groups import SERVICE, add, apps_folder, make, read, refused

__all__ = ["apps_folder"]  # a fixture

# Changing


async def test_data_is_written_as_the_acl_says(game: Game) -> None:
    owner, member, other = [await game.player() for _ in range(3)]
    group = await make(owner, member, acl={"member": 1, "other": 0})
    writing: dict[str, Any] = {"groupId": group, "version": 1, "data": {"n": 1}}
    assert await refused(member, "UPDATE_GROUP_DATA", **writing) == (403, 40346)
    assert await refused(other, "UPDATE_GROUP_DATA", **writing) == (400, 40453)
    game.clock.advance(1)
    written = await owner.call(SERVICE, "UPDATE_GROUP_DATA", **writing)
    assert (written["data"], written["version"], written["updatedAt"]) == ({"n": 1}, 2, game.clock.ms())
    assert await refused(owner, "UPDATE_GROUP_DATA", **writing) == (400, 40460)
    await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl={"member": 2, "other": 2})
    for player in (member, other):
        data = {"by": player.profile_id}
        written = await player.call(SERVICE, "UPDATE_GROUP_DATA", groupId=group, data=data)
        assert written["data"] == data
        adding = {"by": {"one": 1}}
        assert (await refused(player, "INCREMENT_GROUP_DATA", groupId=group, data=adding))[1] == 40359
    by_system = await game.server.call(SERVICE, "SYS_UPDATE_GROUP_DATA", **{**writing, "version": -1})
    assert (by_system["version"], by_system["data"]) == (6, {"n": 1})
    summary: dict[str, Any] = {"groupId": group, "version": 6, "summaryData": {"s": 1}}
    written = await member.call(SERVICE, "UPDATE_GROUP_SUMMARY_DATA", **summary)
    assert (written["summaryData"], written["version"], written["data"]) == ({"s": 1}, 7, {"n": 1})
    for operation in ("UPDATE_GROUP_SUMMARY_DATA", "SYS_UPDATE_GROUP_SUMMARY_DATA", "SYS_UPDATE_GROUP_DATA"):
        caller: Any = game.server if operation.startswith("SYS") else owner
        field = "summaryData" if "SUMMARY" in operation else "data"
        for change, reason in (
            ({"version": 3}, 40460),
            ({"groupId": "none"}, 40345),
            ({field: {"a.b": 1}}, 40347),
            ({field: {"a": "x" * (110 << 10)}}, 40600),
        ):
            refusal = await caller.refused(SERVICE, operation, **{**summary, "version": -1, **change})
            assert refusal.reason_code == reason
    written = await game.server.call(SERVICE, "SYS_UPDATE_GROUP_SUMMARY_DATA", groupId=group, summaryData={})
    assert (written["summaryData"], written["version"]) == ({}, 8)
    await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl=None)
    assert await refused(other, "UPDATE_GROUP_SUMMARY_DATA", **summary) == (400, 40453)
    assert (await refused(owner, "UPDATE_GROUP_DATA", groupId=group, data={"$a": 1}))[1] == 40347
    large = {"a": "x" * (110 << 10)}
    assert (await refused(owner, "UPDATE_GROUP_DATA", groupId=group, data=large))[1] == 40600


async def test_numbers_are_added_up(game: Game) -> None:
    owner, member, other = [await game.player() for _ in range(3)]
    group = await make(owner, member, data={"a": 1, "b": {"c": 2}, "indexedId": "x"})
    assert await member.call(SERVICE, "INCREMENT_GROUP_DATA", groupId=group, data={"a": -1.5}) is None
    adding = {"b": {"c": 6, "new": 63.6}, "d": 3}
    await game.server.call(SERVICE, "SYS_INCREMENT_GROUP_DATA", groupId=group, data=adding)
    found = await read(owner, group)
    assert found["data"] == {"a": -0.5, "b": {"c": 8, "new": 63.6}, "d": 3, "indexedId": "x"}
    assert found["version"] == 3
    assert await refused(other, "INCREMENT_GROUP_DATA", groupId=group, data={"a": 1}) == (400, 40453)
    for data, reason in (
        ({"a": "x"}, 40359),
        ({"d": 2**53 - 1}, 40660),
        ({"x.y": 1}, 40347),
        ({"x" * (110 << 10): 1}, 40600),
    ):
        assert (await refused(owner, "INCREMENT_GROUP_DATA", groupId=group, data=data))[1] == reason
        refusal = await game.server.refused(SERVICE, "SYS_INCREMENT_GROUP_DATA", groupId=group, data=data)
        assert refusal.reason_code == reason
    callers: list[tuple[Any, str]] = [(owner, ""), (game.server, "SYS_")]
    for caller, prefix in callers:
        refusal = await caller.refused(SERVICE, f"{prefix}INCREMENT_GROUP_DATA", groupId="none", data={})
        assert refusal.reason_code == 40345
    shown = await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl={"member": 1})
    assert shown["groupFileTree"] is None
    assert await refused(member, "INCREMENT_GROUP_DATA", groupId=group, data={"a": 1}) == (403, 40346)


CHANGES: dict[str, dict[str, Any]] = {
    "UPDATE_GROUP_NAME": {"name": "B"},
    "UPDATE_GROUP_ACL": {"acl": {"member": 1, "other": 1}},
    "SET_GROUP_OPEN": {"isOpenGroup": True},
}


@pytest.mark.parametrize("operation", CHANGES)
async def test_owner_and_admins_change_a_group(game: Game, operation: str) -> None:
    owner, admin, member, other = [await game.player() for _ in range(4)]
    group = await make(owner, member)
    await add(owner, group, admin, role="ADMIN")
    change: dict[str, Any] = {"groupId": group, **CHANGES[operation]}
    assert await refused(member, operation, **change) == (403, 40346)
    assert await refused(other, operation, **change) == (400, 40453)
    assert await refused(owner, operation, **{**change, "groupId": "none"}) == (400, 40345)
    await admin.call(SERVICE, operation, **change)
    await game.server.call(SERVICE, f"SYS_{operation}", **change)
    refusal = await game.server.refused(SERVICE, f"SYS_{operation}", **{**change, "groupId": "none"})
    assert refusal.reason_code == 40345
    found = await read(owner, group)
    assert found["version"] == 3
    assert found.items() >= CHANGES[operation].items()
    for acl, reason in (({"other": 1}, 40747), ({"member": 0, "other": 1}, 40745)):
        if "ACL" in operation:
            assert await refused(owner, operation, groupId=group, acl=acl) == (400, reason)
            refusal = await game.server.refused(SERVICE, f"SYS_{operation}", groupId=group, acl=acl)
            assert refusal.reason_code == reason


async def test_servers_change_the_type(game: Game) -> None:
    owner, *others = [await game.player() for _ in range(3)]
    group = await make(owner, *others)
    change = {"groupId": group, "groupType": "official"}
    assert await game.server.call(SERVICE, "SYS_CHANGE_GROUP_TYPE", **change) is None
    assert (await read(owner, group))["groupType"] == "official"
    for data, reason in (
        ({"groupType": "pair"}, 40748),
        ({"groupType": "none"}, 40467),
        ({"groupId": "x"}, 40345),
    ):
        refusal = await game.server.refused(SERVICE, "SYS_CHANGE_GROUP_TYPE", **{**change, **data})
        assert refusal.reason_code == reason


# Finding


async def page(caller: Any, search: Any, prefix: str = "", **more: Any) -> dict[str, Any]:
    context = {"pagination": {"rowsPerPage": 2, "pageNumber": 1}, "searchCriteria": search, **more}
    found: dict[str, Any] = await caller.call(SERVICE, f"{prefix}LIST_GROUPS_PAGE", context=context)
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [item["name"] for item in found["results"]["items"]]


async def test_groups_are_listed(game: Game) -> None:
    owner, other, tag = await game.player(), await game.player(), game.unique("tag")
    for name in "abc":
        await make(owner, name=name, data={"indexedId": tag, "n": 1}, summaryData={"tag": tag})
        game.clock.advance(1)
    callers: list[tuple[Any, str]] = [(other, ""), (game.server, "SYS_")]
    for caller, prefix in callers:
        first = await page(caller, {"data.indexedId": tag}, prefix)
        assert names(first) == ["a", "b"]
        results = first["results"]
        assert (results["count"], results["page"], results["moreAfter"]) == (3, 1, True)
        assert "data" not in results["items"][0]
        by_offset = f"{prefix}LIST_GROUPS_PAGE_BY_OFFSET"
        second = await caller.call(SERVICE, by_offset, context=first["context"], pageOffset=1)
        assert names(second) == ["c"]
        for context, reason in (("?", 40383), ({"pagination": 5}, 40384), ({"searchCriteria": 5}, 40349)):
            for operation in (f"{prefix}LIST_GROUPS_PAGE", by_offset):
                refusal = await caller.refused(SERVICE, operation, context=context, pageOffset=0)
                assert refusal.reason_code == reason
        sought = {"summaryData.tag": tag, "groupType": "team", "isOpenGroup": False, "memberCount": 1}
        assert names(await page(caller, sought, prefix, sortCriteria={"name": -1})) == ["c", "b"]
        random = f"{prefix}GET_RANDOM_GROUPS_MATCHING"
        found = await caller.call(SERVICE, random, where={"data.indexedId": tag}, maxReturn=2)
        assert found["count"] == len({group["groupId"] for group in found["groups"]}) == 2
        members = found["groups"][0]["members"]
        assert members == ({} if caller is other else {owner.profile_id: {"role": "OWNER", "attributes": {}}})
        refusal = await caller.refused(SERVICE, random, where={"$x": []}, maxReturn=2)
        assert refusal.reason_code == 40349


async def test_a_search_tells_nothing_of_data_that_the_caller_may_not_read(game: Game) -> None:
    owner, member, other, tag = *[await game.player() for _ in range(3)], game.unique("tag")
    group = await make(owner, member, name="a", data={"secret": tag})
    searches: list[Any] = [
        {"data.secret": tag},
        {"$or": [{"data.secret": tag}]},
        {"groupId": group, "data.secret": {"$not": {"$eq": "x"}}},
        f'{{"data.secret": "{tag}"}}',
    ]
    for search in searches:
        assert names(await page(other, search)) == []
        found = await other.call(SERVICE, "GET_RANDOM_GROUPS_MATCHING", where=search)
        assert found == {"groups": [], "count": 0}
        assert names(await page(member, search)) == ["a"]
        assert names(await page(game.server, search, "SYS_")) == ["a"]
    assert names(await page(other, {"groupId": group}, sortCriteria={"data.secret": 1})) == []
    await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl={"member": 0, "other": 0})
    assert names(await page(member, searches[0])) == []
    assert names(await page(owner, searches[0])) == ["a"]
    await owner.call(SERVICE, "UPDATE_GROUP_ACL", groupId=group, acl={"member": 1, "other": 1})
    assert names(await page(other, searches[0])) == ["a"]


# Joining any


async def auto(player: Client, where: Any, strategy: str = "JoinFirstGroup", kind: str = "pair") -> Any:
    data = {"groupType": kind, "autoJoinStrategy": strategy, "where": where}
    return await player.call(SERVICE, "AUTO_JOIN_GROUP", **data)


@pytest.mark.parametrize("strategy", ["JoinFirstGroup", "JoinRandomGroup"])
async def test_any_group_that_fits_is_joined(game: Game, strategy: str) -> None:
    owner, player, tag = await game.player(), await game.player(), game.unique("tag")
    where = {"data.indexedId": tag}
    await make(owner, name="closed", data={"indexedId": tag})
    await make(owner, name="another", kind="pair", data={"indexedId": tag, "n": 1}, isOpenGroup=True)
    full = await make(await game.player(), await game.player(), kind="pair", data={"indexedId": tag})
    await game.server.call(SERVICE, "SYS_SET_GROUP_OPEN", groupId=full, isOpenGroup=True)
    joined = await auto(player, {**where, "data.n": 1}, strategy)
    assert (joined["name"], joined["memberCount"]) == ("another", 2)
    assert joined["members"][player.profile_id] == {"role": "MEMBER", "attributes": {}}
    late = await game.player()
    asked: dict[str, Any] = {"autoJoinStrategy": strategy, "where": where}
    assert await refused(late, "AUTO_JOIN_GROUP", **asked, groupType="pair") == (400, 40468)
    assert await refused(late, "AUTO_JOIN_GROUP", **asked, groupType="none") == (400, 40467)
    several = {**asked, "groupTypes": ["pair", "team"]}
    assert await refused(late, "AUTO_JOIN_GROUP_MULTI", **several) == (400, 40468)
    assert await refused(late, "AUTO_JOIN_GROUP_MULTI", **{**asked, "groupTypes": ["none"]}) == (400, 40467)
    team = await make(owner, name="open", data={"indexedId": tag}, isOpenGroup=True)
    found = await late.call(SERVICE, "AUTO_JOIN_GROUP_MULTI", **several)
    assert (found["groupId"], found["memberCount"], "members" in found) == (team, 2, False)
    assert await refused(late, "AUTO_JOIN_GROUP_MULTI", **several) == (400, 40468)  # they are in it
    of_js = {"groupType": "team", "autoJoinStrategy": strategy, "dataQueryJson": where}
    assert (await player.call(SERVICE, "AUTO_JOIN_GROUP", **of_js))["groupId"] == team
    for where_, reason in (({"$x": []}, 40349), ({"data.$x": 1}, 40347)):
        bad = {**asked, "where": where_}
        assert (await refused(late, "AUTO_JOIN_GROUP", **bad, groupType="pair"))[1] == reason
        assert (await refused(late, "AUTO_JOIN_GROUP_MULTI", **bad, groupTypes=["pair"]))[1] == reason


async def test_no_group_is_joined_by_data_that_its_members_may_not_read(game: Game) -> None:
    owner, player, tag = await game.player(), await game.player(), game.unique("tag")
    data = {"indexedId": tag, "secret": tag}
    group = await make(owner, data=data, isOpenGroup=True, acl={"member": 0, "other": 0})
    asked: dict[str, Any] = {"groupType": "team", "autoJoinStrategy": "JoinFirstGroup"}
    assert await refused(player, "AUTO_JOIN_GROUP", **asked, where={"data.secret": tag}) == (400, 40468)
    assert (await auto(player, {"data.indexedId": tag}, kind="team"))["groupId"] == group


async def test_joining_any_keeps_to_the_limits(game: Game) -> None:
    player, tag = await game.player(), game.unique("tag")
    for _ in range(2):
        await make(await game.player(), kind="pair", data={"indexedId": tag}, isOpenGroup=True)
        await auto(player, {"data.indexedId": tag})
    await make(await game.player(), kind="pair", data={"indexedId": tag}, isOpenGroup=True)
    asked = {"autoJoinStrategy": "JoinFirstGroup", "where": {"data.indexedId": tag}}
    assert await refused(player, "AUTO_JOIN_GROUP", **asked, groupType="pair") == (403, 40371)
    assert await refused(player, "AUTO_JOIN_GROUP_MULTI", **asked, groupTypes=["pair"]) == (403, 40371)


@pytest.mark.parametrize("strategy", ["JoinFirstGroup", "JoinRandomGroup"])
async def test_many_join_at_once(game: Game, strategy: str) -> None:
    """Each group takes as many as it has room for, and nobody is refused while there is room."""
    tag = game.unique("tag")
    owners = [await game.player() for _ in range(4)]
    groups = [await make(owner, data={"indexedId": tag}, isOpenGroup=True) for owner in owners]
    players = [await game.player() for _ in range(14)]
    asked = {"groupType": "team", "autoJoinStrategy": strategy, "where": {"data.indexedId": tag}}
    answers = await asyncio.gather(
        *(player.packet((SERVICE, "AUTO_JOIN_GROUP", asked)) for player in players)
    )
    outcomes = [answer[0].get("reason_code", 200) for answer in answers]
    assert (outcomes.count(200), outcomes.count(40468)) == (12, 2)
    for group, owner in zip(groups, owners, strict=True):
        found = await read(owner, group)
        assert (found["memberCount"], len(found["members"])) == (4, 4)
