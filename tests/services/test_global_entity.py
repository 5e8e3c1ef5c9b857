"""globalEntity, spoken to as clients and servers would."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.services.global_entity import operations, storage
from tests.conftest import APP_TOML, Client, Game

SERVICE = "globalEntity"
NEVER = 2**63 - 1
HEAD = {
    "gameId",
    "entityId",
    "ownerId",
    "entityType",
    "entityIndexedId",
    "version",
    "acl",
    "expiresAt",
    "timeToLive",
    "createdAt",
    "updatedAt",
}
ADDRESS = {"street": "1309 Carling"}


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app that lets players do with their entities what they like."""
    settings = "[globalEntity]\nplayers_may_give_away = true\nplayers_may_make_system = true\n"
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
    return apps_folder


async def create(player: Client, **data: Any) -> Any:
    wanted = {"entityType": "address", "timeToLive": -1, "acl": {"other": 1}, "data": ADDRESS, **data}
    return await player.call(SERVICE, "CREATE", **wanted)


async def create_system(game: Game, **data: Any) -> Any:
    wanted = {"entityType": "address", "acl": {"other": 1}, "data": ADDRESS, **data}
    return await game.server.call(SERVICE, "CREATE_SYSTEM_ENTITY", **wanted)


async def data_of(player: Client, entity_id: str) -> Any:
    return (await player.call(SERVICE, "READ", entityId=entity_id))["data"]


def ids(answer: Any) -> list[str]:
    found = answer["entityList"] if "entityList" in answer else answer["results"]["items"]
    return [item["entityId"] for item in found]


def decoded(context: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(context + "=" * (-len(context) % 4)))


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


# Lists


async def test_lists_show_what_the_caller_may_read(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    kind = game.unique("kind")
    own = await create(ada, entityType=kind, acl=None)
    game.clock.advance(1)
    shown = await create(bob, entityType=kind)
    game.clock.advance(1)
    await create(bob, entityType=kind, acl=None)
    system = await create_system(game, entityType=kind)
    await create_system(game, entityType=kind, acl=None)
    wanted = [own["entityId"], shown["entityId"], system["entityId"]]
    answer = await ada.call(SERVICE, "GET_LIST", where={"entityType": kind}, orderBy={}, maxReturn=50)
    assert ids(answer) == wanted
    assert (answer["entityListCount"], answer["_serverTime"]) == (3, game.clock.ms())
    assert set(answer["entityList"][0]) == HEAD | {"data"}
    by_server = await game.server.call(SERVICE, "GET_LIST", where={"entityType": kind})
    assert ids(by_server) == wanted[1:]
    of_ada = await game.server.call(SERVICE, "GET_LIST", ada.profile_id, where={"entityType": kind})
    assert ids(of_ada) == wanted


@pytest.fixture
async def cards(game: Game) -> tuple[Client, str]:
    """Five entities of a player, with `data.n` from 0 to 4."""
    player, kind = await game.player(), game.unique("card")
    for number in range(5):
        await create(player, entityType=kind, data={"n": number, "team": "Red" if number % 2 else "Blue"})
        game.clock.advance(1)
    return player, kind


async def test_lists_are_searched_sorted_and_cut(game: Game, cards: tuple[Client, str]) -> None:
    player, kind = cards
    where = {"entityType": kind, "data.n": {"$gte": 1}, "ownerId": player.profile_id}
    asked = {"where": where, "orderBy": {"data.n": -1}, "maxReturn": 2}
    answer = await player.call(SERVICE, "GET_LIST", **asked)
    assert [item["data"]["n"] for item in answer["entityList"]] == [4, 3]
    hinted = await player.call(SERVICE, "GET_LIST_WITH_HINT", **asked, hintJson={"data.n": 1})
    assert hinted == answer
    assert (await player.call(SERVICE, "GET_LIST", **asked | {"maxReturn": 10**6}))["entityListCount"] == 4
    as_text = {"where": json.dumps(where), "orderBy": '{"data.n":-1}', "maxReturn": 2}
    assert await player.call(SERVICE, "GET_LIST", **as_text) == answer


async def test_counts(game: Game, cards: tuple[Client, str]) -> None:
    player, kind = cards
    asked = {"where": {"entityType": kind, "data.team": "Red"}}
    assert await player.call(SERVICE, "GET_LIST_COUNT", **asked) == {"entityListCount": 2}
    hinted = await player.call(SERVICE, "GET_LIST_COUNT_WITH_HINT", **asked, hintJson={"data.team": 1})
    assert hinted == {"entityListCount": 2}


@pytest.mark.parametrize(
    "operation", ["GET_RANDOM_ENTITIES_MATCHING", "GET_RANDOM_ENTITIES_MATCHING_WITH_HINT"]
)
async def test_chance_chooses_each_but_none_twice(
    game: Game, cards: tuple[Client, str], operation: str
) -> None:
    player, kind = cards
    chosen = set()
    for _ in range(60):  # one of five is never chosen in 60 pairs with a chance of 1 to 10^13
        answer = await player.call(SERVICE, operation, where={"entityType": kind}, maxReturn=2)
        found = ids(answer)
        assert answer["entityListCount"] == len(set(found)) == 2
        chosen |= set(found)
    assert len(chosen) == 5


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("GET_LIST", {"where": {"entityType": "$kind"}}),
        ("GET_LIST_WITH_HINT", {"where": {"entityType": "$kind"}}),
        ("GET_LIST_BY_INDEXED_ID", {"entityIndexedId": "$kind"}),
        ("GET_RANDOM_ENTITIES_MATCHING", {"where": {"entityType": "$kind"}}),
        ("GET_RANDOM_ENTITIES_MATCHING_WITH_HINT", {"where": {"entityType": "$kind"}}),
        ("GET_SYSTEM_ENTITY_LIST", {"where": {"entityType": "$kind"}}),
        ("GET_SYSTEM_ENTITY_LIST_WITH_HINT", {"where": {"entityType": "$kind"}}),
        ("GET_PAGE", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
        ("GET_PAGE_BY_OFFSET", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
        ("GET_SYSTEM_ENTITY_PAGE", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
        ("GET_SYSTEM_ENTITY_PAGE_BY_OFFSET", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
    ],
)
async def test_lists_hold_as_much_data_as_an_answer_may(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, asked: dict[str, Any]
) -> None:
    kind = game.unique("kind")
    asked = json.loads(json.dumps(asked).replace("$kind", kind))
    for _ in range(2):
        await game.server.call(
            SERVICE,
            "CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID",
            entityType=kind,
            entityIndexedId=kind,
            acl={"other": 1},
            data={"x": "x" * 100},
        )
    await game.server.call(SERVICE, operation, **asked)
    monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 200)
    refusal = await game.server.refused(SERVICE, operation, **asked)
    assert (refusal.status, refusal.reason_code) == (400, 40600)


async def test_system_lists(game: Game) -> None:
    player, kind = await game.player(), game.unique("kind")
    await create(player, entityType=kind)
    hidden = await create_system(game, entityType=kind, acl=None, data={"n": 2})
    shown = await create_system(game, entityType=kind, data={"n": 1})
    asked: dict[str, Any] = {"where": {"entityType": kind}}
    sorted_: dict[str, Any] = {**asked, "orderBy": {"data.n": 1}}
    both = [shown["entityId"], hidden["entityId"]]
    assert ids(await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST", **sorted_)) == both
    assert ids(await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_WITH_HINT", **sorted_)) == both
    assert ids(await player.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_WITH_HINT", **sorted_)) == both[:1]
    two, one = {"entityListCount": 2}, {"entityListCount": 1}
    assert await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_COUNT", **asked) == two
    assert await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT", **asked) == two
    assert await player.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT", **asked) == one


LISTS = [
    "GET_LIST",
    "GET_LIST_WITH_HINT",
    "GET_LIST_COUNT",
    "GET_LIST_COUNT_WITH_HINT",
    "GET_RANDOM_ENTITIES_MATCHING",
    "GET_RANDOM_ENTITIES_MATCHING_WITH_HINT",
    "GET_SYSTEM_ENTITY_LIST",
    "GET_SYSTEM_ENTITY_LIST_WITH_HINT",
    "GET_SYSTEM_ENTITY_LIST_COUNT",
    "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT",
]


@pytest.mark.parametrize("operation", LISTS)
@pytest.mark.parametrize(
    ("where", "code"),
    [
        ({"data.n": {"$where": "1"}}, 40349),
        ({"$and": []}, 40349),
        ("{", 40349),
        ("[]", 40349),
        ({"data.$n": 1}, 40347),
        ([1], 40359),
    ],
)
async def test_lists_refuse_what_is_no_clause(game: Game, operation: str, where: Any, code: int) -> None:
    refusal = await game.server.refused(SERVICE, operation, where=where)
    assert (refusal.status, refusal.reason_code) == (400, code)


@pytest.mark.parametrize("operation", [name for name in LISTS if "HINT" in name])
async def test_a_hint_is_an_object(game: Game, operation: str) -> None:
    assert (await game.server.refused(SERVICE, operation, hintJson="x")).reason_code == 40349


async def test_a_list_by_indexed_id_needs_one(game: Game) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, "GET_LIST_BY_INDEXED_ID", maxReturn=5)).reason_code == 40358
    refusal = await player.refused(SERVICE, "GET_LIST_BY_INDEXED_ID", entityIndexedId="i", maxReturn=0)
    assert refusal.reason_code == 40660


@pytest.mark.parametrize("order", [{"data.n": 2}, {"data.n": "up"}, {"": 1}, {"data.n": True}])
async def test_lists_refuse_what_is_no_order(game: Game, order: Any) -> None:
    assert (await game.server.refused(SERVICE, "GET_LIST", orderBy=order)).reason_code == 40349


# Pages


async def test_pages_go_forth_and_back(game: Game, cards: tuple[Client, str]) -> None:
    player, kind = cards
    context = {
        "pagination": {"rowsPerPage": 2, "pageNumber": 1},
        "searchCriteria": {"entityType": kind},
        "sortCriteria": {"createdAt": 1, "updatedAt": -1},
    }
    page = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page["_serverTime"] == game.clock.ms()
    seen = []
    for number in (1, 2, 3):
        results = page["results"]
        assert (results["page"], results["count"]) == (number, 5)
        assert (results["moreBefore"], results["moreAfter"]) == (number > 1, number < 3)
        seen.append([item["data"]["n"] for item in results["items"]])
        page = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=page["context"], pageOffset=1)
    assert seen == [[0, 1], [2, 3], [4]]
    assert (page["results"]["items"], page["results"]["page"], page["results"]["count"]) == ([], 4, 5)
    back = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=page["context"], pageOffset=-2)
    assert [item["data"]["n"] for item in back["results"]["items"]] == [2, 3]


@pytest.mark.parametrize("context", [None, {}, "{}", {"pagination": {"pageNumber": None}}, {"options": {}}])
async def test_a_context_may_say_little(game: Game, cards: tuple[Client, str], context: Any) -> None:
    player, _ = cards
    page = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page["results"]["page"] == 1
    assert len(page["results"]["items"]) == min(page["results"]["count"], 50) >= 5


PAGES = ["GET_PAGE", "GET_PAGE_BY_OFFSET", "GET_SYSTEM_ENTITY_PAGE", "GET_SYSTEM_ENTITY_PAGE_BY_OFFSET"]


@pytest.mark.parametrize("operation", PAGES)
@pytest.mark.parametrize(
    ("context", "code"),
    [
        ("no context", 40383),
        ("eyJ", 40383),
        ("e30.x", 40383),
        ({"pagination": 5}, 40384),
        ({"pagination": {"rowsPerPage": "many"}}, 40384),
        ({"pagination": {"rowsPerPage": 0}}, 40384),
        ({"searchCriteria": {"data.a": {"$x": 1}}}, 40349),
        ({"searchCriteria": {"data.$a": 1}}, 40347),
        ({"sortCriteria": {"data.a": "x"}}, 40349),
    ],
)
async def test_pages_refuse_what_is_no_context(game: Game, operation: str, context: Any, code: int) -> None:
    refusal = await game.server.refused(SERVICE, operation, context=context, pageOffset=1)
    assert (refusal.status, refusal.reason_code) == (400, code)


async def test_a_context_cannot_widen_what_its_reader_may_see(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    kind = game.unique("kind")
    mine = await create(ada, entityType=kind, acl=None)
    await create(bob, entityType=kind, acl=None)
    parts = {
        "searchCriteria": {
            "gameId": game.app.id,
            "entityType": kind,
            "$or": [{"acl.other": {"$gte": 0}}, {"ownerId": bob.profile_id}],
        },
        "sortCriteria": {"createdAt": 1},
        "pagination": {"rowsPerPage": 500, "pageNumber": None, "doCount": True},
        "options": None,
        "position": {"first": [0, ""], "last": [0, ""]},
        "resultCount": 10**9,
    }
    text = base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()
    for context in (parts, text):
        page = await ada.call(SERVICE, "GET_PAGE", context=context)
        assert ids(page) == [mine["entityId"]]
        page = await ada.call(SERVICE, "GET_PAGE_BY_OFFSET", context=context, pageOffset=1)
        assert set(ids(page)) <= {mine["entityId"]}
    bobs = await bob.call(SERVICE, "GET_PAGE", context={"searchCriteria": {"entityType": kind}})
    page = await ada.call(SERVICE, "GET_PAGE_BY_OFFSET", context=bobs["context"], pageOffset=0)
    assert ids(page) == [mine["entityId"]]


async def test_system_pages(game: Game) -> None:
    kind = game.unique("kind")
    await create(await game.player(), entityType=kind)
    made = [await create_system(game, entityType=kind, acl=None, data={"n": n}) for n in range(3)]
    context = {
        "pagination": {"rowsPerPage": 2},
        "searchCriteria": {"entityType": kind},
        "sortCriteria": {"data.n": 1},
    }
    page = await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_PAGE", context=context)
    assert ids(page) == [item["entityId"] for item in made[:2]]
    assert page["results"]["count"] == 3
    assert decoded(page["context"])["pagination"] == {"rowsPerPage": 2, "pageNumber": 1, "doCount": True}
    page = await game.server.call(
        SERVICE, "GET_SYSTEM_ENTITY_PAGE_BY_OFFSET", context=page["context"], pageOffset=1
    )
    assert ids(page) == [made[2]["entityId"]]
    assert page["results"]["moreAfter"] is False


async def test_entities_of_another_app_are_not_there(game: Game) -> None:
    player = await game.player()
    made = await create(player, acl={"other": 2})
    async with game.core.database.read() as tx:
        row = await tx.one(storage.READ, player=player.profile_id, entity=made["entityId"], app="another app")
    assert row is None


async def test_players_give_nothing_away_unless_the_app_says_so(game: Game, apps_folder: Path) -> None:
    """What is given comes to whom did not ask, and what is nobody's counts for nobody."""
    owner, other = await game.player(), await game.player()
    kept = await create(owner)
    (apps_folder / "test" / "app.toml").write_text(APP_TOML)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    change = {"entityId": kept["entityId"], "version": -1, "acl": {"other": 1}}
    for operation, setting in (
        ("UPDATE_ENTITY_OWNER_AND_ACL", "players_may_give_away"),
        ("MAKE_SYSTEM_ENTITY", "players_may_make_system"),
    ):
        refusal = await owner.refused(SERVICE, operation, ownerId=other.profile_id, **change)
        assert (refusal.status, refusal.reason_code) == (403, 40346)
        assert setting in refusal.message
    assert (await owner.call(SERVICE, "READ", entityId=kept["entityId"]))["ownerId"] == owner.profile_id
    given = await game.server.call(
        SERVICE, "UPDATE_ENTITY_OWNER_AND_ACL", owner.profile_id, ownerId=other.profile_id, **change
    )
    assert given["ownerId"] == other.profile_id  # servers may
