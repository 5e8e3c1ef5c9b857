"""Entities of groups: who may do what with them, versions, pages, and what becomes of them."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gameserver.apps import load_apps
from gameserver.services.group import entity_storage
from tests.conftest import APP_ID, APP_TOML, Client, Game

GROUP = "group"
PAGES = ("READ_GROUP_ENTITIES_PAGE", "READ_GROUP_ENTITIES_PAGE_BY_OFFSET")
TYPES = "[group.types.clan]\nmembers = 50\n"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app with a type of groups."""
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + TYPES)
    return apps_folder


class Clan(NamedTuple):
    """A group with one player of each kind."""

    group_id: str
    owner: Client
    admin: Client
    maker: Client  # a member, who makes the entities of most tests
    member: Client
    outsider: Client

    async def make(self, maker: Client | None = None, **data: Any) -> str:
        wanted = {"entityType": "castle", "isOwnedByGroupMember": True, "data": {"walls": 1}, **data}
        made = await (maker or self.maker).call(GROUP, "CREATE_GROUP_ENTITY", groupId=self.group_id, **wanted)
        entity_id: str = made["entityId"]
        return entity_id

    async def read(self, entity_id: str, reader: Client | None = None) -> Any:
        ids = {"groupId": self.group_id, "entityId": entity_id}
        return await (reader or self.owner).call(GROUP, "READ_GROUP_ENTITY", **ids)


async def clan(game: Game) -> Clan:
    owner, admin, maker, member, outsider = [await game.player() for _ in range(5)]
    made = await owner.call(GROUP, "CREATE_GROUP", name="Reds", groupType="clan", isOpenGroup=True)
    for player, role in ((admin, "ADMIN"), (maker, "MEMBER"), (member, "MEMBER")):
        ids = {"groupId": made["groupId"], "profileId": player.profile_id}
        await owner.call(GROUP, "ADD_MEMBER_TO_GROUP", **ids, role=role)
    return Clan(made["groupId"], owner, admin, maker, member, outsider)


# One entity


async def test_an_entity_of_a_group_is_made_read_changed_and_deleted(game: Game) -> None:
    reds = await clan(game)
    request = {"entityType": "castle", "isOwnedByGroupMember": False, "data": {"walls": 1}}
    made = await reds.maker.call(GROUP, "CREATE_GROUP_ENTITY", groupId=reds.group_id, **request)
    assert made == {
        "gameId": APP_ID,
        "groupId": reds.group_id,
        "entityId": made["entityId"],
        "ownerId": None,
        "entityType": "castle",
        "createdAt": game.clock.ms(),
        "updatedAt": game.clock.ms(),
        "version": 1,
        "data": {"walls": 1},
        "acl": {"member": 2, "other": 0},
    }
    game.clock.advance(1)
    one = {"groupId": reds.group_id, "entityId": made["entityId"]}
    assert await reds.member.call(GROUP, "UPDATE_GROUP_ENTITY_DATA", **one, version=1, data={"a": 1}) is None
    by = {"a": 1.5, "b": {"c": 2}}
    assert await reds.member.call(GROUP, "INCREMENT_GROUP_ENTITY_DATA", **one, data=by) is None
    read = await reds.read(made["entityId"], reds.maker)
    changed = {"version": 3, "updatedAt": game.clock.ms(), "data": {"a": 2.5, "b": {"c": 2}}}
    assert read == {**made, **changed, "_serverTime": game.clock.ms()}
    acl = {"member": 2, "other": 1}
    shared = await reds.owner.call(GROUP, "UPDATE_GROUP_ENTITY_ACL", **one, acl=acl)
    expected = {**read, "acl": acl, "version": 4}
    assert shared == {name: expected[name] for name in expected.keys() - {"data", "gameId", "_serverTime"}}
    for operation in ("UPDATE_GROUP_ENTITY_DATA", "DELETE_GROUP_ENTITY"):
        assert (await reds.maker.refused(GROUP, operation, **one, version=3)).reason_code == 40461
    assert await reds.maker.call(GROUP, "DELETE_GROUP_ENTITY", **one, version=4) is None
    assert (await reds.maker.refused(GROUP, "READ_GROUP_ENTITY", **one)).reason_code == 40345


async def test_data_may_be_left_out_and_has_two_names(game: Game) -> None:
    reds = await clan(game)
    made = await reds.maker.call(GROUP, "CREATE_GROUP_ENTITY", groupId=reds.group_id, jsonData={"a": 1})
    assert (made["entityType"], made["ownerId"], made["data"]) == (None, None, {"a": 1})
    one = {"groupId": reds.group_id, "entityId": made["entityId"]}
    await reds.maker.call(GROUP, "UPDATE_GROUP_ENTITY_DATA", **one, version=-1)
    assert (await reds.read(made["entityId"]))["data"] == {}


TOO_MUCH = {"data": {"a": "x" * (100 << 10)}}
MISTAKES: list[tuple[str, dict[str, Any], int]] = [
    ("CREATE_GROUP_ENTITY", {"data": {"a.b": 1}}, 40347),
    ("CREATE_GROUP_ENTITY", TOO_MUCH, 40600),
    ("CREATE_GROUP_ENTITY", {"acl": {"member": 1, "other": 2}}, 40745),
    ("CREATE_GROUP_ENTITY", {"acl": {"member": 1, "other": 0}}, 40746),
    ("CREATE_GROUP_ENTITY", {"acl": {"other": 0}}, 40747),
    ("UPDATE_GROUP_ENTITY_ACL", {"acl": {"member": 0, "other": 1}}, 40745),
    ("UPDATE_GROUP_ENTITY_ACL", {"acl": {"member": 1, "other": 0}}, 40746),
    ("UPDATE_GROUP_ENTITY_ACL", {"acl": {"other": 0}}, 40747),
    ("UPDATE_GROUP_ENTITY_DATA", {"data": {"$a": 1}}, 40347),
    ("UPDATE_GROUP_ENTITY_DATA", TOO_MUCH, 40600),
    ("INCREMENT_GROUP_ENTITY_DATA", {"data": {"walls": "1"}}, 40459),
    ("INCREMENT_GROUP_ENTITY_DATA", {"data": {"walls": {"x": 1}}}, 40459),
    ("INCREMENT_GROUP_ENTITY_DATA", {"data": {"walls": 2**53}}, 40459),
    ("INCREMENT_GROUP_ENTITY_DATA", {"data": {"a.b": 1}}, 40347),
]


async def test_what_no_entity_may_hold(game: Game) -> None:
    reds = await clan(game)
    entity_id = await reds.make(isOwnedByGroupMember=False)
    before = await reds.read(entity_id)
    ids = {"groupId": reds.group_id, "entityId": entity_id}
    for operation, data, reason in MISTAKES:
        assert (await reds.owner.refused(GROUP, operation, **ids, **data)).reason_code == reason
        if reason != 40746:  # a server may let members read only
            refusal = await game.server.refused(GROUP, f"SYS_{operation}", **ids, **data)
            assert refusal.reason_code == reason
    assert await reds.read(entity_id) == before
    assert await page(reds, reds.owner) == [entity_id]


# Who may do what

CHANGES: dict[str, dict[str, Any]] = {
    "READ_GROUP_ENTITY": {},
    "UPDATE_GROUP_ENTITY_DATA": {"data": {}},
    "INCREMENT_GROUP_ENTITY_DATA": {"data": {"walls": 1}},
    "UPDATE_GROUP_ENTITY_ACL": {"acl": {"member": 2, "other": 0}},
    "DELETE_GROUP_ENTITY": {},
}
READS, WRITES, OWNS = {"READ_GROUP_ENTITY"}, set(CHANGES) - {"UPDATE_GROUP_ENTITY_ACL"}, set(CHANGES)


ALLOWED: dict[tuple[int, int], tuple[set[str], set[str]]] = {  # by ACL: to members, to others
    (0, 0): (set(), set()),
    (1, 0): (READS, set()),
    (1, 1): (READS, READS),
    (2, 0): (WRITES, set()),
    (2, 1): (WRITES, READS),
    (2, 2): (WRITES, WRITES),
}


async def test_the_acl_says_what_members_and_others_may_do(game: Game) -> None:
    reds = await clan(game)
    for (member, other), (members, others) in ALLOWED.items():
        everything = (reds.owner, reds.admin, reds.maker)
        expected = dict.fromkeys(everything, OWNS) | {reds.member: members, reds.outsider: others}
        acl = {"member": member, "other": other}
        entity_id = await reds.make(acl=acl)
        for player, may in expected.items():
            for operation, data in CHANGES.items():
                ids = {"groupId": reds.group_id, "entityId": entity_id}
                if operation not in may:
                    refusal = await player.refused(GROUP, operation, **ids, **data)
                    assert refusal.reason_code == (40453 if player is reds.outsider else 40346)
                    continue
                await player.call(GROUP, operation, **ids, **data | ({"acl": acl} if "acl" in data else {}))
                if operation == "DELETE_GROUP_ENTITY":
                    entity_id = await reds.make(acl=acl)


async def test_what_belongs_to_the_group_is_shared_by_those_who_lead_it(game: Game) -> None:
    reds = await clan(game)
    entity_id = await reds.make(isOwnedByGroupMember=False)
    share = {"groupId": reds.group_id, "entityId": entity_id, "acl": {"member": 2, "other": 1}}
    assert (await reds.maker.refused(GROUP, "UPDATE_GROUP_ENTITY_ACL", **share)).reason_code == 40346
    await reds.admin.call(GROUP, "UPDATE_GROUP_ENTITY_ACL", **share)
    assert (await reds.read(entity_id, reds.outsider))["acl"] == share["acl"]


async def test_only_members_make_entities(game: Game) -> None:
    reds = await clan(game)
    ids = {"groupId": reds.group_id}
    assert (await reds.outsider.refused(GROUP, "CREATE_GROUP_ENTITY", **ids)).reason_code == 40453
    for caller in (reds.owner, game.server):
        operation = "CREATE_GROUP_ENTITY" if caller is reds.owner else "SYS_CREATE_GROUP_ENTITY"
        assert (await caller.refused(GROUP, operation, groupId="none")).reason_code == 40345


async def test_who_has_left_is_an_outsider_to_what_they_own(game: Game) -> None:
    reds = await clan(game)
    entity_id = await reds.make(acl={"member": 1, "other": 0})
    await reds.maker.call(GROUP, "LEAVE_GROUP", groupId=reds.group_id)
    for operation, data in CHANGES.items():
        ids = {"groupId": reds.group_id, "entityId": entity_id}
        assert (await reds.maker.refused(GROUP, operation, **ids, **data)).reason_code == 40453
    assert await page(reds, reds.maker) == []
    await reds.maker.call(GROUP, "JOIN_MEMBER_TO_GROUP", groupId=reds.group_id)
    assert (await reds.read(entity_id, reds.maker))["ownerId"] == reds.maker.profile_id


async def test_an_entity_is_found_in_its_own_group_alone(game: Game) -> None:
    reds, blues = await clan(game), await clan(game)
    entity_id = await reds.make()
    for operation, data in CHANGES.items():
        ids = {"groupId": blues.group_id, "entityId": entity_id}
        assert (await blues.owner.refused(GROUP, operation, **ids, **data)).reason_code == 40345
        refusal = await game.server.refused(GROUP, f"SYS_{operation}", **ids, **data)
        assert refusal.reason_code == 40345


# Servers


async def test_servers_do_everything_whatever_the_acl_says(game: Game) -> None:
    reds = await clan(game)
    made = await game.server.call(
        GROUP,
        "SYS_CREATE_GROUP_ENTITY",
        groupId=reds.group_id,
        entityType="ranks",
        acl={"member": 1, "other": 0},
        jsonData={"best": 1},
    )
    assert (made["ownerId"], made["acl"], made["data"]) == (None, {"member": 1, "other": 0}, {"best": 1})
    one = {"groupId": reds.group_id, "entityId": made["entityId"]}
    refusal = await reds.member.refused(GROUP, "UPDATE_GROUP_ENTITY_DATA", **one, version=1, data={})
    assert refusal.reason_code == 40346
    sys = "SYS_UPDATE_GROUP_ENTITY_DATA"
    assert (await game.server.refused(GROUP, sys, **one, version=7, data={})).reason_code == 40461
    await game.server.call(GROUP, sys, **one, version=1, data={"best": 2})
    await game.server.call(GROUP, "SYS_INCREMENT_GROUP_ENTITY_DATA", **one, data={"best": 3})
    acl = {"member": 0, "other": 0}
    head = await game.server.call(GROUP, "SYS_UPDATE_GROUP_ENTITY_ACL", **one, acl=acl)
    assert (head["acl"], head["version"]) == (acl, 4)
    read = await game.server.call(GROUP, "SYS_READ_GROUP_ENTITY", **one)
    assert (read["data"], read["_serverTime"]) == ({"best": 5}, game.clock.ms())
    delete = "SYS_DELETE_GROUP_ENTITY"
    assert (await game.server.refused(GROUP, delete, **one, version=3)).reason_code == 40461
    await game.server.call(GROUP, delete, **one, version=-1)
    assert (await game.server.refused(GROUP, delete, **one, version=-1)).reason_code == 40345


async def test_clients_do_not_call_for_the_system(game: Game) -> None:
    player = await game.player()
    for operation in (*CHANGES, "CREATE_GROUP_ENTITY", *PAGES):
        assert (await player.refused(GROUP, f"SYS_{operation}")).reason_code == 40346


# Pages


async def page(reds: Clan, player: Client, **criteria: Any) -> list[str]:
    context = {"searchCriteria": {"groupId": reds.group_id, **criteria}}
    found = await player.call(GROUP, "READ_GROUP_ENTITIES_PAGE", context=context)
    return [item["entityId"] for item in found["results"]["items"]]


async def test_a_page_holds_what_the_caller_may_read(game: Game) -> None:
    reds = await clan(game)
    made = {}
    for member, other in ((0, 0), (1, 0), (1, 1)):
        game.clock.advance(0.001)
        made[member, other] = await reds.make(acl={"member": member, "other": other})
    all_of_them = list(made.values())
    for player in (reds.owner, reds.admin, reds.maker):
        assert await page(reds, player) == all_of_them
    assert await page(reds, reds.member) == all_of_them[1:]
    assert await page(reds, reds.outsider) == all_of_them[2:]
    assert await page(reds, reds.outsider, ownerId=reds.maker.profile_id) == all_of_them[2:]
    # A context from somebody who reads more, or that names another group, gives nobody more.
    first = {
        "searchCriteria": {"groupId": reds.group_id},
        "sortCriteria": {"createdAt": -1},
        "pagination": {"rowsPerPage": 1, "pageNumber": 1},
    }
    of_owner = await reds.owner.call(GROUP, "READ_GROUP_ENTITIES_PAGE", context=first)
    assert of_owner["results"]["count"] == 3
    second = {"context": of_owner["context"], "pageOffset": 1}
    operation = "READ_GROUP_ENTITIES_PAGE_BY_OFFSET"
    of_outsider = (await reds.outsider.call(GROUP, operation, **second))["results"]
    assert (of_outsider["items"], of_outsider["moreAfter"]) == ([], False)
    following = (await reds.owner.call(GROUP, operation, **second))["results"]
    assert [item["entityId"] for item in following["items"]] == [made[1, 0]]
    by_system = await game.server.call(GROUP, "SYS_READ_GROUP_ENTITIES_PAGE", context=first)
    assert by_system["results"]["count"] == 3
    by_system = await game.server.call(
        GROUP, "SYS_READ_GROUP_ENTITIES_PAGE_BY_OFFSET", context=by_system["context"], pageOffset=2
    )
    assert [item["entityId"] for item in by_system["results"]["items"]] == [made[0, 0]]
    assert by_system["_serverTime"] == game.clock.ms()


async def test_pages_search_types_and_data(game: Game) -> None:
    reds, blues = await clan(game), await clan(game)
    await blues.make(entityType="tower", data={"walls": 9})
    tower = await reds.make(entityType="tower", data={"walls": 9}, isOwnedByGroupMember=False)
    await reds.make()
    assert await page(reds, reds.member, entityType="tower") == [tower]
    assert await page(reds, reds.member, **{"data.walls": {"$gt": 1}, "acl.member": 2}) == [tower]
    assert await page(reds, reds.member, ownerId=None) == [tower]


NO_PAGES: list[tuple[Any, int]] = [
    (None, 40384),
    ({"searchCriteria": {"entityType": "x"}}, 40384),
    ({"searchCriteria": {"groupId": {"$ne": ""}}}, 40384),
    ({"searchCriteria": {"groupId": "none"}}, 40345),
    ({"searchCriteria": []}, 40349),
    ({"searchCriteria": "{"}, 40349),
    ({"pagination": []}, 40384),
    ("no context", 40383),
]


async def test_pages_of_no_group(game: Game) -> None:
    player = await game.player()
    for context, reason in NO_PAGES:
        for operation in PAGES:
            refusal = await player.refused(GROUP, operation, context=context)
            assert refusal.reason_code == reason
            refusal = await game.server.refused(GROUP, f"SYS_{operation}", context=context)
            assert refusal.reason_code == reason


async def test_a_page_refuses_what_is_no_clause(game: Game) -> None:
    reds = await clan(game)
    for criteria, reason in (({"$x": 1}, 40349), ({"data.$x": 1}, 40347)):
        context = {"searchCriteria": {"groupId": reds.group_id, **criteria}}
        refusal = await reds.owner.refused(GROUP, "READ_GROUP_ENTITIES_PAGE", context=context)
        assert refusal.reason_code == reason


# Limits, and what becomes of entities


async def test_a_group_has_so_many_entities_and_so_much_data(game: Game, apps_folder: Path) -> None:
    reds = await clan(game)
    quotas = "[quotas]\ngroup_entities = 3\ngroup_entity_bytes = 300\n"
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + TYPES + quotas)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    made = [await reds.make(player, data={"a": "x" * 80}) for player in (reds.maker, reds.owner, reds.member)]
    ids = {"groupId": reds.group_id}
    assert (await reds.admin.refused(GROUP, "CREATE_GROUP_ENTITY", **ids)).reason_code == 40371
    long = {**ids, "entityId": made[0], "data": {"a": "x" * 200}}
    for player, entity_id, reason in (
        (reds.maker, made[0], 40371),
        (reds.outsider, made[0], 40453),  # how full a group is, is not for everybody
        (reds.maker, "none", 40345),
    ):
        change = {**long, "entityId": entity_id}
        assert (await player.refused(GROUP, "UPDATE_GROUP_ENTITY_DATA", **change)).reason_code == reason
    assert len(await page(reds, reds.owner)) == 3
    await game.server.call(GROUP, "SYS_CREATE_GROUP_ENTITY", **ids)  # servers have no limits
    await reds.maker.call(GROUP, "DELETE_GROUP_ENTITY", **ids, entityId=made[0])
    await reds.owner.call(GROUP, "DELETE_GROUP_ENTITY", **ids, entityId=made[1])
    await reds.make(reds.admin)


async def test_entities_go_with_their_group_and_with_their_owner(game: Game) -> None:
    reds, blues = await clan(game), await clan(game)
    for group in (reds, blues):
        await group.make()
        await group.make(isOwnedByGroupMember=False)
    await reds.owner.call(GROUP, "DELETE_GROUP", groupId=reds.group_id, version=-1)
    async with game.core.database.read() as tx:
        rows = await tx.all(entity_storage.entities.select())
    assert {row["group_id"] for row in rows} & {reds.group_id, blues.group_id} == {blues.group_id}
    await blues.maker.call("playerState", "FULL_PLAYER_RESET")
    assert [item["ownerId"] for item in await items(game, blues)] == [None]


async def items(game: Game, group: Clan) -> list[dict[str, Any]]:
    context = {"searchCriteria": {"groupId": group.group_id}}
    found = await game.server.call(GROUP, "SYS_READ_GROUP_ENTITIES_PAGE", context=context)
    listed: list[dict[str, Any]] = found["results"]["items"]
    return listed


async def test_nobody_adds_to_a_group_while_it_goes(game: Game) -> None:
    owner, *others = [await game.player() for _ in range(4)]
    for _ in range(5):
        made = await owner.call(GROUP, "CREATE_GROUP", name="Reds", groupType="clan", isOpenGroup=True)
        ids = {"groupId": made["groupId"]}
        for player in others:
            await player.call(GROUP, "JOIN_MEMBER_TO_GROUP", **ids)
        adding = [player.packet((GROUP, "CREATE_GROUP_ENTITY", ids)) for player in others]
        await asyncio.gather(*adding, owner.call(GROUP, "DELETE_GROUP", **ids, version=-1))
        async with game.core.database.read() as tx:
            rows = await tx.all(entity_storage.entities.select())
        assert made["groupId"] not in {row["group_id"] for row in rows}


async def test_no_addition_is_lost(game: Game) -> None:
    reds = await clan(game)
    entity_id = await reds.make(acl={"member": 2, "other": 0})
    ids = {"groupId": reds.group_id, "entityId": entity_id, "data": {"walls": 1}}
    players = (reds.owner, reds.admin, reds.maker, reds.member)
    await asyncio.gather(*(player.call(GROUP, "INCREMENT_GROUP_ENTITY_DATA", **ids) for player in players))
    assert (await reds.read(entity_id))["data"] == {"walls": 5}


async def test_a_read_is_one_statement_and_so_is_a_page(game: Game) -> None:
    reds = await clan(game)
    entity_id = await reds.make()
    seen = game.statements()
    await reds.read(entity_id, reds.member)
    assert len(seen) == 1
    seen.clear()
    await page(reds, reds.member)
    assert len(seen) == 1
