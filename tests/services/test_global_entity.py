"""globalEntity, spoken to as clients and servers would: one entity."""

import asyncio
from typing import Any

import pytest

from gameserver.services.global_entity import operations
from gameserver.services.global_entity.rules import Expired, NotASystemEntity
from tests.conftest import Client, Game
from tests.services.global_entities import ADDRESS, HEAD, SERVICE, apps_folder, create, create_system, ids

__all__ = ["apps_folder"]  # fixtures

NEVER = 2**63 - 1


async def data_of(player: Client, entity_id: str) -> Any:
    return (await player.call(SERVICE, "READ", entityId=entity_id))["data"]


# Creating


async def test_create_answers_the_entity_without_its_data(game: Game) -> None:
    player = await game.player()
    made = await create(player, timeToLive=34567)
    assert set(made) == HEAD
    assert (made["gameId"], made["ownerId"]) == (game.app.id, player.profile_id)
    assert (made["entityType"], made["entityIndexedId"], made["acl"]) == ("address", None, {"other": 1})
    assert made["version"] == 1
    assert made["createdAt"] == made["updatedAt"] == game.clock.ms()
    assert (made["timeToLive"], made["expiresAt"]) == (34567, game.clock.ms() + 34567)
    assert await data_of(player, made["entityId"]) == ADDRESS


@pytest.mark.parametrize("life", [None, -1, 0, -7])
async def test_without_a_time_to_live_an_entity_stays(game: Game, life: int | None) -> None:
    made = await create(await game.player(), timeToLive=life)
    assert (made["timeToLive"] <= 0, made["expiresAt"]) == (True, NEVER)


@pytest.mark.parametrize(
    ("acl", "other"),
    [(None, 0), ("", 0), ({}, 0), ({"other": 2}, 2), ('{"other":1}', 1), ({"other": 1.0}, 1)],
)
async def test_the_acl_may_come_in_many_forms(game: Game, acl: Any, other: int) -> None:
    assert (await create(await game.player(), acl=acl))["acl"] == {"other": other}


@pytest.mark.parametrize("key", ["entityIndexedId", "indexedId"])
async def test_create_with_an_indexed_id(game: Game, key: str) -> None:
    player = await game.player()
    made = await player.call(
        SERVICE, "CREATE_WITH_INDEXED_ID", entityType="t", acl={"other": 1}, data={}, **{key: "my-id"}
    )
    assert (made["entityIndexedId"], made["ownerId"]) == ("my-id", player.profile_id)


async def test_an_indexed_id_is_required_where_the_operation_is_about_it(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "CREATE_WITH_INDEXED_ID", entityType="t", data={})
    assert refusal.reason_code == 40358
    refusal = await game.server.refused(
        SERVICE, "CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID", entityType="t", data={}
    )
    assert refusal.reason_code == 40358


CREATIONS = [
    "CREATE",
    "CREATE_WITH_INDEXED_ID",
    "CREATE_SYSTEM_ENTITY",
    "CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID",
]


@pytest.mark.parametrize("operation", CREATIONS)
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"data": {"a": [{"$b": 1}]}}, 40347),
        ({"data": {"a.b": 1}}, 40347),
        ({"data": {"a": "x" * (100 << 10)}}, 40600),
        ({"data": [1]}, 40359),
        ({"acl": {"other": 3}}, 40660),
        ({"acl": {"others": 1}}, 40660),
        ({"acl": {"other": "1"}}, 40359),
        ({"acl": "private"}, 40359),
        ({"acl": [1]}, 40359),
        ({"entityType": ""}, 40660),
        ({"entityType": None}, 40358),
        ({"timeToLive": "soon"}, 40359),
    ],
)
async def test_creation_refuses_what_cannot_be_stored(
    game: Game, operation: str, wrong: dict[str, Any], code: int
) -> None:
    data = {"entityType": "t", "entityIndexedId": "i", "acl": {"other": 1}, "data": {}, **wrong}
    if "SYSTEM" in operation:
        refusal = await game.server.refused(SERVICE, operation, **data)
    else:
        refusal = await (await game.player()).refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (400, code)


async def test_data_may_be_as_large_and_deep_as_said(game: Game) -> None:
    player = await game.player()
    full = {"a": "x" * ((100 << 10) - len('{"a":""}'))}
    made = await create(player, data=full)
    assert await data_of(player, made["entityId"]) == full
    deep: Any = 1
    for _ in range(24):
        deep = {"a": deep}
    assert await data_of(player, (await create(player, data=deep))["entityId"]) == deep
    refusal = await player.refused(SERVICE, "CREATE", entityType="t", data={"a": deep})
    assert refusal.reason_code == 40660


async def test_system_entities_belong_to_nobody(game: Game) -> None:
    made = await create_system(game)
    assert (made["ownerId"], made["version"], made["acl"]) == (None, 1, {"other": 1})
    made = await game.server.call(
        SERVICE,
        "CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID",
        entityType="t",
        entityIndexedId="my-id",
        acl=None,
        data={},
    )
    assert (made["ownerId"], made["entityIndexedId"], made["acl"]) == (None, "my-id", {"other": 0})


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("CREATE_SYSTEM_ENTITY", {"entityType": "t", "data": {}}),
        ("CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID", {"entityType": "t", "entityIndexedId": "i", "data": {}}),
        ("READ_SYSTEM_ENTITY", {"entityId": "e"}),
        ("GET_SYSTEM_ENTITY_LIST", {"where": {}, "maxReturn": 5}),
        ("GET_SYSTEM_ENTITY_LIST_COUNT", {"where": {}}),
        ("GET_SYSTEM_ENTITY_PAGE", {"context": {}}),
        ("GET_SYSTEM_ENTITY_PAGE_BY_OFFSET", {"context": "e30", "pageOffset": 1}),
    ],
)
async def test_what_is_for_servers_is_refused_to_clients(
    game: Game, operation: str, data: dict[str, Any]
) -> None:
    refusal = await (await game.player()).refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (403, 40346)


@pytest.mark.parametrize(
    "operation",
    ["CREATE", "READ", "UPDATE", "DELETE", "GET_LIST", "GET_PAGE", "GET_SYSTEM_ENTITY_LIST_WITH_HINT"],
)
async def test_clients_need_a_session(game: Game, operation: str) -> None:
    data = {"entityType": "t", "entityId": "e", "data": {}}
    refusal = await game.client().refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (403, 40304)


# Reading


async def test_reading_follows_the_acl(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    hidden = (await create(owner, acl=None))["entityId"]
    shown = (await create(owner))["entityId"]
    answer = await owner.call(SERVICE, "READ", entityId=hidden)
    assert set(answer) == HEAD | {"data", "_serverTime"}
    assert answer["_serverTime"] == game.clock.ms()
    assert await data_of(other, shown) == ADDRESS
    refusal = await other.refused(SERVICE, "READ", entityId=hidden)
    assert (refusal.status, refusal.reason_code) == (403, 40346)
    assert (await game.server.call(SERVICE, "READ", entityId=shown))["data"] == ADDRESS
    assert (await game.server.refused(SERVICE, "READ", entityId=hidden)).reason_code == 40346
    assert (await game.server.call(SERVICE, "READ", owner.profile_id, entityId=hidden))["data"] == ADDRESS


async def test_reading_what_is_not_there(game: Game) -> None:
    refusal = await (await game.player()).refused(SERVICE, "READ", entityId="nothing")
    assert (refusal.status, refusal.reason_code) == (400, 40345)
    refusal = await game.server.refused(SERVICE, "READ_SYSTEM_ENTITY", entityId="nothing")
    assert (refusal.status, refusal.reason_code) == (400, 40345)


async def test_system_entities_are_read_whatever_their_acl(game: Game) -> None:
    made = await create_system(game, acl=None)
    found = await game.server.call(SERVICE, "READ_SYSTEM_ENTITY", entityId=made["entityId"])
    assert (found["data"], found["ownerId"]) == (ADDRESS, None)
    owned = await create(await game.player())
    refusal = await game.server.refused(SERVICE, "READ_SYSTEM_ENTITY", entityId=owned["entityId"])
    assert (refusal.status, refusal.reason_code) == (400, 40537)


async def test_reading_takes_one_statement(game: Game) -> None:
    player = await game.player()
    made = await create(player)
    count = game.statements()
    await player.call(SERVICE, "READ", entityId=made["entityId"])
    assert count == ["one"]


# Changing


async def test_an_update_replaces_the_data_and_counts_versions(game: Game) -> None:
    player = await game.player()
    made = await create(player, timeToLive=10_000)
    game.clock.advance(5)
    changed = await player.call(
        SERVICE, "UPDATE", entityId=made["entityId"], version=1, data={"city": "Ottawa"}
    )
    assert set(changed) == HEAD
    assert (changed["version"], changed["createdAt"]) == (2, made["createdAt"])
    assert changed["updatedAt"] == game.clock.ms()
    assert changed["expiresAt"] == game.clock.ms() + 10_000  # a change renews the time to live
    assert await data_of(player, made["entityId"]) == {"city": "Ottawa"}


async def test_a_change_takes_one_statement_beside_the_stored_answer(game: Game) -> None:
    player = await game.player()
    made = await create(player)
    seen = game.statements()
    await player.call("heartbeat", "READ")
    nothing_changed = len(seen)
    await player.call(SERVICE, "UPDATE", entityId=made["entityId"], version=1, data={})
    assert nothing_changed == 0
    # The change itself, and the answer of the packet.
    assert len([kind for kind in seen if kind != "commit"]) <= 2, seen


CHANGES: dict[str, dict[str, Any]] = {
    "UPDATE": {"data": {"a": 1}},
    "UPDATE_ACL": {"acl": {"other": 2}},
    "UPDATE_ENTITY_OWNER_AND_ACL": {"acl": {"other": 1}, "ownerId": "self"},
    "MAKE_SYSTEM_ENTITY": {"acl": {"other": 1}},
    "UPDATE_INDEXED_ID": {"entityIndexedId": "new"},
    "UPDATE_TIME_TO_LIVE": {"timeToLive": 5000},
    "DELETE": {},
}
FOR_OWNERS = ("UPDATE_ACL", "UPDATE_ENTITY_OWNER_AND_ACL", "MAKE_SYSTEM_ENTITY")


def change_of(operation: str, player: Client) -> dict[str, Any]:
    data = dict(CHANGES[operation])
    if "ownerId" in data:
        data["ownerId"] = player.profile_id
    return data


@pytest.mark.parametrize("operation", CHANGES)
async def test_changes_look_at_the_version(game: Game, operation: str) -> None:
    player = await game.player()
    made = await create(player)
    data = change_of(operation, player)
    refusal = await player.refused(SERVICE, operation, entityId=made["entityId"], version=7, **data)
    assert (refusal.status, refusal.reason_code) == (400, 40344)
    assert (await player.call(SERVICE, "READ", entityId=made["entityId"]))["version"] == 1
    await player.call(SERVICE, operation, entityId=made["entityId"], version=1, **data)


@pytest.mark.parametrize("version", [{}, {"version": None}, {"version": -1}])
@pytest.mark.parametrize("operation", CHANGES)
async def test_the_version_may_be_left_open(game: Game, operation: str, version: dict[str, Any]) -> None:
    player = await game.player()
    made = await create(player)
    answer = await player.call(
        SERVICE, operation, entityId=made["entityId"], **version, **change_of(operation, player)
    )
    assert answer is None if operation == "DELETE" else answer["version"] == 2


@pytest.mark.parametrize("operation", [*CHANGES, "INCREMENT_GLOBAL_ENTITY_DATA"])
async def test_changes_of_what_is_not_there(game: Game, operation: str) -> None:
    player = await game.player()
    data = change_of(operation, player) if operation in CHANGES else {"data": {"a": 1}}
    refusal = await player.refused(SERVICE, operation, entityId="nothing", **data)
    assert (refusal.status, refusal.reason_code) == (400, 40345)


@pytest.mark.parametrize("operation", [*CHANGES, "INCREMENT_GLOBAL_ENTITY_DATA"])
async def test_changes_of_what_has_expired(game: Game, operation: str) -> None:
    player = await game.player()
    made = await create(player, timeToLive=1000)
    game.clock.advance(1)
    data = change_of(operation, player) if operation in CHANGES else {"data": {"a": 1}}
    refusal = await player.refused(SERVICE, operation, entityId=made["entityId"], **data)
    assert (refusal.status, refusal.reason_code) == (400, 40348)


@pytest.mark.parametrize("operation", [*CHANGES, "INCREMENT_GLOBAL_ENTITY_DATA"])
async def test_changes_follow_the_acl(game: Game, operation: str) -> None:
    owner, other = await game.player(), await game.player()
    data = change_of(operation, other) if operation in CHANGES else {"data": {"a": 1}}
    readable = (await create(owner, acl={"other": 1}))["entityId"]
    refusal = await other.refused(SERVICE, operation, entityId=readable, **data)
    assert (refusal.status, refusal.reason_code) == (403, 40346)
    writable = (await create(owner, acl={"other": 2}))["entityId"]
    if operation in FOR_OWNERS:
        refusal = await other.refused(SERVICE, operation, entityId=writable, **data)
        assert (refusal.status, refusal.reason_code) == (403, 40346)
    else:
        await other.call(SERVICE, operation, entityId=writable, **data)


@pytest.mark.parametrize("operation", CHANGES)
async def test_servers_change_system_entities_whatever_their_acl(game: Game, operation: str) -> None:
    player = await game.player()
    data = change_of(operation, player)
    for on_behalf in (None, player.profile_id):
        made = await create_system(game, acl=None)
        await game.server.call(SERVICE, operation, on_behalf, entityId=made["entityId"], **data)
    refusal = await player.refused(
        SERVICE, operation, entityId=(await create_system(game))["entityId"], **data
    )
    assert refusal.reason_code == 40346


async def test_a_server_on_a_players_behalf_has_that_players_rights(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    made = await create(owner)
    change = {"entityId": made["entityId"], "data": {}}
    assert (await game.server.refused(SERVICE, "UPDATE", other.profile_id, **change)).reason_code == 40346
    assert (await game.server.call(SERVICE, "UPDATE", owner.profile_id, **change))["version"] == 2
    assert (await game.server.call(SERVICE, "UPDATE", None, **change))["version"] == 3


@pytest.mark.parametrize(
    ("wrong", "code"), [({"a$": 1}, 40347), ({"a": "x" * (100 << 10)}, 40600), ("text", 40359)]
)
async def test_updates_refuse_what_cannot_be_stored(game: Game, wrong: Any, code: int) -> None:
    player = await game.player()
    made = await create(player)
    refusal = await player.refused(SERVICE, "UPDATE", entityId=made["entityId"], data=wrong)
    assert (refusal.status, refusal.reason_code) == (400, code)
    assert await data_of(player, made["entityId"]) == ADDRESS


async def test_the_acl_changes(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    made = await create(owner, acl={"other": 2})
    changed = await owner.call(SERVICE, "UPDATE_ACL", entityId=made["entityId"], version=1, acl={"other": 0})
    assert (set(changed), changed["acl"]) == (HEAD, {"other": 0})
    assert (await other.refused(SERVICE, "READ", entityId=made["entityId"])).reason_code == 40346


async def test_an_entity_gets_another_owner(game: Game) -> None:
    owner, heir = await game.player(), await game.player()
    made = await create(owner)
    change = {"entityId": made["entityId"], "version": 1, "acl": {"other": 0}}
    refusal = await owner.refused(SERVICE, "UPDATE_ENTITY_OWNER_AND_ACL", ownerId="nobody", **change)
    assert (refusal.status, refusal.reason_code) == (400, 40532)
    given = await owner.call(SERVICE, "UPDATE_ENTITY_OWNER_AND_ACL", ownerId=heir.profile_id, **change)
    assert (given["ownerId"], given["acl"], given["data"]) == (heir.profile_id, {"other": 0}, ADDRESS)
    assert (await owner.refused(SERVICE, "READ", entityId=made["entityId"])).reason_code == 40346
    assert await data_of(heir, made["entityId"]) == ADDRESS


async def test_an_entity_becomes_a_system_entity_and_outlives_its_maker(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    kept, lost = await create(owner), await create(owner)
    refusal = await owner.refused(SERVICE, "MAKE_SYSTEM_ENTITY", entityId=kept["entityId"], acl=None)
    assert (refusal.status, refusal.reason_code) == (400, 40531)
    made = await owner.call(SERVICE, "MAKE_SYSTEM_ENTITY", entityId=kept["entityId"], acl={"other": 1})
    assert (made["ownerId"], made["data"], made["version"]) == (None, ADDRESS, 2)
    await owner.call("playerState", "FULL_PLAYER_RESET")
    assert await data_of(other, kept["entityId"]) == ADDRESS
    assert (await other.refused(SERVICE, "READ", entityId=lost["entityId"])).reason_code == 40345


async def test_a_data_reset_leaves_what_others_use(game: Game) -> None:
    owner = await game.player()
    made = await create(owner)
    await owner.call("playerState", "GAME_DATA_RESET")
    assert await data_of(owner, made["entityId"]) == ADDRESS


async def test_the_indexed_id_changes(game: Game) -> None:
    player, new = await game.player(), game.unique("indexed")
    made = await create(player)
    changed = await player.call(SERVICE, "UPDATE_INDEXED_ID", entityId=made["entityId"], entityIndexedId=new)
    assert (set(changed), changed["entityIndexedId"]) == (HEAD, new)
    assert ids(await by_indexed_id(player, new)) == [made["entityId"]]
    removed = await player.call(SERVICE, "UPDATE_INDEXED_ID", entityId=made["entityId"], entityIndexedId="")
    assert removed["entityIndexedId"] is None
    assert ids(await by_indexed_id(player, new)) == []


async def by_indexed_id(player: Client, indexed_id: str) -> Any:
    return await player.call(SERVICE, "GET_LIST_BY_INDEXED_ID", entityIndexedId=indexed_id, maxReturn=5)


# Time to live


async def test_what_has_expired_is_gone(game: Game) -> None:
    player = await game.player()
    made = await create(player, timeToLive=1000, entityType="short")
    system = await create_system(game, timeToLive=1000, entityType="short")
    where: dict[str, Any] = {"where": {"entityType": "short"}}
    game.clock.advance(0.999)
    assert (await player.call(SERVICE, "GET_LIST_COUNT", **where))["entityListCount"] == 2
    game.clock.advance(0.001)
    assert (await player.call(SERVICE, "GET_LIST_COUNT", **where))["entityListCount"] == 0
    assert ids(await player.call(SERVICE, "GET_LIST", **where)) == []
    assert ids(await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST", **where)) == []
    refusal = await player.refused(SERVICE, "READ", entityId=made["entityId"])
    assert (refusal.status, refusal.reason_code) == (400, 40348)
    refusal = await game.server.refused(SERVICE, "READ_SYSTEM_ENTITY", entityId=system["entityId"])
    assert (refusal.status, refusal.reason_code) == (400, 40348)


async def test_the_time_to_live_changes(game: Game) -> None:
    player = await game.player()
    made = await create(player)
    change = {"entityId": made["entityId"], "version": -1}
    changed = await player.call(SERVICE, "UPDATE_TIME_TO_LIVE", timeToLive=2000, **change)
    assert (changed["timeToLive"], changed["expiresAt"]) == (2000, game.clock.ms() + 2000)
    assert changed["data"] == ADDRESS
    game.clock.advance(1.5)
    await player.call(SERVICE, "UPDATE", data={}, **change)
    game.clock.advance(1.5)
    assert await data_of(player, made["entityId"]) == {}
    changed = await player.call(SERVICE, "UPDATE_TIME_TO_LIVE", timeToLive=-1, **change)
    assert changed["expiresAt"] == NEVER


async def test_expired_rows_are_removed_in_time(game: Game) -> None:
    player = await game.player()
    short, long = await create(player, timeToLive=1000), await create(player, timeToLive=10**12)
    game.clock.advance(operations.KEPT_MS / 1000 + 1.001)
    await game.run_jobs("globalEntity.forget")
    fresh = await game.player()
    refusal = await fresh.refused(SERVICE, "READ", entityId=short["entityId"])
    assert refusal.reason_code == 40345
    assert await data_of(fresh, long["entityId"]) == ADDRESS


# Increments


async def test_an_increment_adds_to_numbers(game: Game) -> None:
    player = await game.player()
    made = await create(player, data={"field1": 2, "field2": {"a": 1, "text": "x"}, "other": True})
    changed = await player.call(
        SERVICE,
        "INCREMENT_GLOBAL_ENTITY_DATA",
        entityId=made["entityId"],
        data={"field1": -1.5, "field2": {"a": 6, "b": 63.6}, "field3": 3, "field4": {"c": 1}},
    )
    assert changed["version"] == 2
    assert changed["data"] == {
        "field1": 0.5,
        "field2": {"a": 7, "text": "x", "b": 63.6},
        "other": True,
        "field3": 3,
        "field4": {"c": 1},
    }
    assert await data_of(player, made["entityId"]) == changed["data"]


@pytest.mark.parametrize(
    ("by", "code"),
    [
        ({"text": 1}, 40359),
        ({"yes": 1}, 40359),
        ({"number": "1"}, 40359),
        ({"number": True}, 40359),
        ({"number": None}, 40359),
        ({"number": {"a": 1}}, 40359),
        ({"nested": 1}, 40359),
        ({"large": 1}, 40660),
        ({"new$": 1}, 40347),
        ([1], 40359),
    ],
)
async def test_an_increment_of_something_else_is_refused(game: Game, by: Any, code: int) -> None:
    player = await game.player()
    before = {"text": "x", "yes": True, "number": 1, "nested": {"a": 1}, "large": 2**53}
    made = await create(player, data=before)
    refusal = await player.refused(
        SERVICE, "INCREMENT_GLOBAL_ENTITY_DATA", entityId=made["entityId"], data=by
    )
    assert (refusal.status, refusal.reason_code) == (400, code)
    assert await data_of(player, made["entityId"]) == before


async def test_no_increment_is_lost_when_many_come_at_once(game: Game) -> None:
    players = [await game.player() for _ in range(8)]
    made = await create(players[0], acl={"other": 2}, data={"n": 0})

    async def add(player: Client) -> None:
        for _ in range(5):
            await player.call(
                SERVICE, "INCREMENT_GLOBAL_ENTITY_DATA", entityId=made["entityId"], data={"n": 1}
            )

    await asyncio.gather(*map(add, players))
    found = await players[0].call(SERVICE, "READ", entityId=made["entityId"])
    assert (found["data"], found["version"]) == ({"n": 40}, 41)


async def test_of_updates_at_once_with_one_version_a_single_one_wins(game: Game) -> None:
    players = [await game.player() for _ in range(6)]
    made = await create(players[0], acl={"other": 2})

    async def change(player: Client) -> int:
        [answer] = await player.packet(
            (SERVICE, "UPDATE", {"entityId": made["entityId"], "version": 1, "data": {}})
        )
        return int(answer.get("reason_code", 200))

    assert sorted(await asyncio.gather(*map(change, players))) == [200, *[40344] * 5]


async def test_servers_change_and_delete_what_belongs_to_nobody(game: Game) -> None:
    made = await create_system(game, acl={"other": 0})
    of = {"entityId": made["entityId"]}
    changed = await game.server.call(SERVICE, "UPDATE_SYSTEM_ENTITY", **of, version=1, data={"a": 1})
    assert changed.keys() == HEAD
    assert changed["version"] == 2
    acl = await game.server.call(SERVICE, "UPDATE_SYSTEM_ENTITY_ACL", **of, version=2, acl={"other": 1})
    assert (acl["version"], acl["acl"]) == (3, {"other": 1})
    read = await game.server.call(SERVICE, "READ_SYSTEM_ENTITY", **of)
    assert (read["data"], read["acl"]) == ({"a": 1}, {"other": 1})
    assert await game.server.call(SERVICE, "DELETE_SYSTEM_ENTITY", **of, version=-1) is None
    assert (await game.server.refused(SERVICE, "READ_SYSTEM_ENTITY", **of)).reason_code == 40345


@pytest.mark.parametrize(
    "operation", ["UPDATE_SYSTEM_ENTITY", "UPDATE_SYSTEM_ENTITY_ACL", "DELETE_SYSTEM_ENTITY"]
)
async def test_system_entities_that_cannot_be_changed(game: Game, operation: str) -> None:
    player = await game.player()
    mine = await create(player, acl={"other": 2})  # whatever its ACL allows
    system = await create_system(game, timeToLive=1000)

    async def reason(entity_id: str, version: int = -1) -> int:
        data: dict[str, Any] = {"data": {}, "acl": {"other": 1}}
        refusal = await game.server.refused(SERVICE, operation, entityId=entity_id, version=version, **data)
        return refusal.reason_code

    assert await reason(mine["entityId"]) == NotASystemEntity.reason_code
    assert await reason("nothing") == 40345
    assert await reason(system["entityId"], 7) == 40344
    game.clock.advance(2)
    assert await reason(system["entityId"]) == Expired.reason_code
    refusal = await player.refused(SERVICE, operation, entityId=system["entityId"], data={}, acl={})
    assert (refusal.status, refusal.reason_code) == (403, 40346)
