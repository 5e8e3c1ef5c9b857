"""entity, spoken to as clients would."""

import asyncio
import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.rpc import answer_template
from gameserver.sessions.interface import LEASE_SECONDS
from gameserver.wire.errors import PacketTooLarge
from tests.conftest import BACKENDS, SECRET, Client, Game, Refusal

SERVICE = "entity"
HEAD = {"entityId", "entityType", "version", "acl", "createdAt", "updatedAt"}
NOBODY = "00000000-0000-4000-8000-000000000000"


async def make(player: Client, type_: str = "address", acl: Any = None, **data: Any) -> str:
    """Create an entity; returns its id."""
    made = await player.call(SERVICE, "CREATE", entityType=type_, data=data, acl=acl)
    found: str = made["entityId"]
    return found


async def get(player: Client, entity_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await player.call(SERVICE, "READ", entityId=entity_id)
    return found


async def pair(game: Game) -> tuple[Client, Client]:
    return await game.player(), await game.player()


async def numbered(game: Game, player: Client, count: int, type_: str = "thing") -> list[str]:
    """Create entities that are a millisecond apart."""
    made = []
    for number in range(count):
        made.append(await make(player, type_, number=number))
        game.clock.advance(0.001)
    return made


# Create, read, update, delete


async def test_the_app_says_how_large_data_may_be(game: Game, apps_folder: Path) -> None:
    """A client that tries its compression sends 700 KB of data that packs 128:1."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + "[entity]\ndata_bytes_max = 1048576\n")
    player = await game.player()
    data = {"blocks": ["x" * 1000 for _ in range(700)], "count": 0}
    message = ("entity", "CREATE", {"entityType": "large", "data": data, "acl": {"other": 0}})

    async def send() -> dict[str, Any]:
        body = player.body(message)
        packed = gzip.compress(body)
        assert len(packed) * 128 < len(body)
        signature = hashlib.md5(body + SECRET.encode()).hexdigest()
        answer = await game.packet(packed, **{"X-SIG": signature, "Content-Encoding": "gzip"})
        [entry] = answer.json()["responses"]
        return dict(entry)

    assert (await send())["reason_code"] == PacketTooLarge.reason_code  # of 100 KiB unless the app says more
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    made = (await send())["data"]
    read = await player.call("entity", "READ", entityId=made["entityId"])
    assert read["data"] == data
    more = {"entityId": made["entityId"], "data": {"count": 1}}
    assert (await player.call("entity", "INCREMENT_USER_ENTITY_DATA", **more))["version"] == 2


async def test_a_new_entity_has_version_1_and_belongs_to_its_player(game: Game) -> None:
    player = await game.player()
    made = await player.call(
        SERVICE, "CREATE", entityType="address", data={"street": "Rue Žižka 5 \U0001f3e0"}, acl={"other": 1}
    )
    now = game.clock.ms()
    assert made == {
        "entityId": made["entityId"],
        "entityType": "address",
        "version": 1,
        "acl": {"other": 1},
        "createdAt": now,
        "updatedAt": now,
    }
    assert await get(player, made["entityId"]) == made | {
        "data": {"street": "Rue Žižka 5 \U0001f3e0"},
        "_serverTime": now,
    }


@pytest.mark.parametrize("acl", [None, "", {}, {"other": None}, {"other": 0}, '{"other":0}'])
async def test_without_an_acl_nobody_else_sees_an_entity(game: Game, acl: Any) -> None:
    player, other = await pair(game)
    made = await player.call(SERVICE, "CREATE", entityType="secret", data={}, acl=acl)
    assert made["acl"] == {"other": 0}
    refusal = await other.refused(
        SERVICE, "READ_SHARED_ENTITY", targetPlayerId=player.profile_id, entityId=made["entityId"]
    )
    assert (refusal.status, refusal.reason_code) == (403, 40346)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"whole": 2**53, "below": -(2**53), "half": 0.5, "yes": True, "none": None, "": "empty name"},
        {"back\\slash": 'quo"te', "list": [1, [2, {"deep": [3]}]], "text": "a\u2028b\\"},
    ],
)
async def test_data_comes_back_as_it_was_sent(game: Game, data: dict[str, Any]) -> None:
    player = await game.player()
    made = await player.call(SERVICE, "CREATE", entityType="any", data=data)
    assert (await get(player, made["entityId"]))["data"] == data


async def test_an_update_replaces_data_and_acl_and_counts_the_version(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, acl={"other": 2}, street="old", number=1)
    made = game.clock.ms()
    game.clock.advance(5)
    updated = await player.call(
        SERVICE,
        "UPDATE",
        entityId=entity_id,
        entityType="address",
        data={"street": "new"},
        acl={"other": 1},
        version=1,
    )
    assert updated == {
        "entityId": entity_id,
        "entityType": "address",
        "version": 2,
        "acl": {"other": 1},
        "createdAt": made,
        "updatedAt": made + 5000,
        "data": {"street": "new"},
    }
    assert await get(player, entity_id) == updated | {"_serverTime": game.clock.ms()}


@pytest.mark.parametrize("version", [{}, {"version": -1}, {"version": None}])
async def test_an_update_without_a_version_replaces_whatever_is_there(
    game: Game, version: dict[str, Any]
) -> None:
    player = await game.player()
    entity_id = await make(player)
    for expected in (2, 3):
        updated = await player.call(SERVICE, "UPDATE", entityId=entity_id, data={}, **version)
        assert updated["version"] == expected
    assert updated["entityType"] == "address"


UPDATES: list[tuple[str, dict[str, Any]]] = [
    ("UPDATE", {"entityType": "address", "acl": {"other": 2}, "version": -1}),
    ("UPDATE", {"entityType": "home", "acl": None, "version": 1}),
    ("UPDATE", {"version": -1}),  # the type is the database's to tell
    ("UPDATE_SHARED", {"entityType": "home"}),
    ("UPDATE_SHARED", {}),
]


async def start_update(game: Game, operation: str, more: dict[str, Any], data: Any) -> tuple[Client, bytes]:
    """A player with an entity, and a packet that changes it."""
    player = await game.player()
    target = {"targetPlayerId": player.profile_id} if operation == "UPDATE_SHARED" else {}
    given = {"entityId": await make(player, acl={"other": 2}), "data": data, **target, **more}
    return player, player.body((SERVICE, operation, given))


@pytest.mark.parametrize(("operation", "more"), UPDATES)
async def test_the_answer_of_an_update_outlives_its_process(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, more: dict[str, Any]
) -> None:
    """Its claim lapses; the next copy of the packet gets what the database kept."""
    player, body = await start_update(game, operation, more, {"über": "\\", "n": [100000000000001, 2**53]})
    with monkeypatch.context() as dying:
        dying.setattr(game.core.sessions, "finish", lambda *_: asyncio.sleep(0, True))
        first = await player.send(body)
    [entry] = first.json()["responses"]
    game.clock.advance(LEASE_SECONDS + 1)
    again = await player.send(body)
    assert again.content == first.content
    shown = await get(player, entry["data"]["entityId"])
    assert {name: value for name, value in shown.items() if name != "_serverTime"} == entry["data"]
    assert entry["data"]["version"] == 2


@pytest.mark.parametrize(("operation", "more"), UPDATES)
async def test_data_that_looks_like_what_an_answer_leaves_blank(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, more: dict[str, Any]
) -> None:
    monkeypatch.setattr(answer_template, "_BLANKS", tuple(range(100, 108)))
    monkeypatch.setattr(answer_template, "_AS_TEXT", tuple(b"%d" % number for number in range(100, 108)))
    for data in ({"here": 100, "there": "1011"}, {"n": 1001}, {}):
        player, body = await start_update(game, operation, more, data)
        [entry] = (await player.send(body)).json()["responses"]
        assert entry["data"]["data"] == data
        assert entry["data"]["version"] == 2
        shown = await get(player, entry["data"]["entityId"])
        assert {name: value for name, value in shown.items() if name != "_serverTime"} == entry["data"]


@pytest.mark.skipif(BACKENDS == "embedded", reason="round trips are what costs with services alone")
async def test_an_update_is_one_statement(game: Game) -> None:
    for operation, more in UPDATES:
        player, body = await start_update(game, operation, more, {"n": 1})
        seen = game.statements()
        assert (await player.send(body)).json()["responses"][0]["status"] == 200
        assert seen == (["only"] if "entityType" in more else ["one", "later", "commit"])


async def test_an_update_beside_other_messages(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player)
    update = {"entityId": entity_id, "entityType": "address", "data": {"n": 1}, "acl": None}
    entries = await player.packet(
        (SERVICE, "UPDATE", update | {"version": -1}),
        (SERVICE, "UPDATE", update | {"version": 1}),
        (SERVICE, "UPDATE", update | {"version": 2}),
        (SERVICE, "READ", {"entityId": entity_id}),
    )
    assert [entry["status"] for entry in entries] == [200, 400, 200, 200]
    assert [entries[0]["data"]["version"], entries[2]["data"]["version"]] == [2, 3]
    assert entries[3]["data"]["version"] == 3


async def test_an_update_may_change_the_type(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, "address")
    await player.call(SERVICE, "UPDATE", entityId=entity_id, entityType="home", data={}, acl="", version=-1)
    assert (await get(player, entity_id))["entityType"] == "home"
    assert await player.call(SERVICE, "READ_SINGLETON", entityType="address") is None


@pytest.mark.parametrize("version", [0, 1, 3, 2**53])
@pytest.mark.parametrize("operation", ["UPDATE", "DELETE"])
async def test_another_version_is_refused_and_changes_nothing(
    game: Game, operation: str, version: int
) -> None:
    player = await game.player()
    entity_id = await make(player)
    await player.call(SERVICE, "UPDATE", entityId=entity_id, data={"at": 2})
    before = await get(player, entity_id)
    refusal = await player.refused(
        SERVICE, operation, entityId=entity_id, entityType="address", data={}, version=version
    )
    assert (refusal.status, refusal.reason_code) == (400, 40344)
    assert "version 2" in refusal.message
    assert await get(player, entity_id) == before


async def test_a_deleted_entity_is_gone(game: Game) -> None:
    player = await game.player()
    kept, entity_id = await make(player), await make(player)
    assert await player.call(SERVICE, "DELETE", entityId=entity_id, version=1) is None
    assert (await player.refused(SERVICE, "READ", entityId=entity_id)).reason_code == 40345
    again = await player.refused(SERVICE, "DELETE", entityId=entity_id, version=-1)
    assert (again.status, again.reason_code) == (404, 40332)
    assert (await get(player, kept))["version"] == 1


@pytest.mark.parametrize(
    ("operation", "data", "expected"),
    [
        ("READ", {}, (400, 40345)),
        ("UPDATE", {"data": {}, "version": -1}, (404, 40332)),
        ("UPDATE", {"data": {}, "version": 1}, (404, 40332)),
        ("DELETE", {"version": -1}, (404, 40332)),
        ("DELETE", {"version": 1}, (404, 40332)),
        ("INCREMENT_USER_ENTITY_DATA", {"data": {"n": 1}}, (400, 40345)),
    ],
)
@pytest.mark.parametrize("whose", ["unknown", "another player's"])
async def test_only_the_owner_reaches_an_entity_by_its_id(
    game: Game, operation: str, data: dict[str, Any], expected: tuple[int, int], whose: str
) -> None:
    player, other = await pair(game)
    entity_id = await make(other, acl={"other": 2}, n=1)
    refusal = await player.refused(
        SERVICE, operation, entityId=NOBODY if whose == "unknown" else entity_id, **data
    )
    assert (refusal.status, refusal.reason_code) == expected
    assert (await get(other, entity_id))["version"] == 1


async def test_entities_of_a_type_are_read_together_the_oldest_first(game: Game) -> None:
    player = await game.player()
    made = await numbered(game, player, 3)
    await make(player, "other")
    await make(await game.player(), "thing")
    answer = await player.call(SERVICE, "READ_BY_TYPE", entityType="thing")
    assert [item["entityId"] for item in answer["entities"]] == made
    assert [item["data"] for item in answer["entities"]] == [{"number": number} for number in range(3)]
    assert set(answer["entities"][0]) == HEAD | {"data"}
    assert answer["_serverTime"] == game.clock.ms()
    unknown = await player.call(SERVICE, "READ_BY_TYPE", entityType="unknown")
    assert unknown["entities"] == []


async def fill(player: Client, count: int) -> None:
    """Create many entities that others may read."""
    message = (SERVICE, "CREATE", {"entityType": "many", "data": {}, "acl": {"other": 1}})
    for start in range(0, count, 50):
        entries = await player.packet(*[message] * min(50, count - start))
        assert all(entry["status"] == 200 for entry in entries)


async def test_more_entities_than_fit_one_answer_are_read_in_pages(game: Game) -> None:
    player, other = await pair(game)
    await fill(player, 1000)
    assert len((await player.call(SERVICE, "READ_BY_TYPE", entityType="many"))["entities"]) == 1000
    await fill(player, 1)
    refusal = await player.refused(SERVICE, "READ_BY_TYPE", entityType="many")
    assert (refusal.status, refusal.reason_code) == (400, 40600)
    shared = await other.refused(SERVICE, "READ_SHARED", targetPlayerId=player.profile_id)
    assert shared.reason_code == 40600
    assert (await player.call(SERVICE, "GET_LIST_COUNT", where={}))["entityListCount"] == 1001
    assert (await player.call(SERVICE, "GET_LIST", where={}, maxReturn=5000))["entityListCount"] == 500


# What may be stored

WRITES = [
    ("CREATE", {"entityType": "t"}),
    ("UPDATE", {"entityId": "$id", "version": -1}),
    ("UPDATE_SINGLETON", {"entityType": "t", "version": -1}),
    ("UPDATE_SHARED", {"entityId": "$id", "targetPlayerId": "$me", "version": -1}),
    ("INCREMENT_USER_ENTITY_DATA", {"entityId": "$id"}),
    ("INCREMENT_SHARED_USER_ENTITY_DATA", {"entityId": "$id", "targetPlayerId": "$me"}),
]
BIG = "x" * (100 << 10)


def nested(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {"n": 1}
    for _ in range(levels - 1):
        data = {"in": data}
    return data


@pytest.mark.parametrize(("operation", "request_"), WRITES)
@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        ({"$set": 1}, {40347}),
        ({"a.b": 1}, {40347}),
        ({"fine": {"in$side": 1}}, {40347}),
        ({BIG: 1}, {40600}),
        (nested(25), {40660}),
        (None, {40358}),
        ([1], {40359}),
        ("text", {40359}),
        (7, {40359}),
    ],
    ids=["dollar", "dot", "dollar inside", "big", "deep", "null", "list", "text", "number"],
)
async def test_what_cannot_be_stored_is_refused(
    game: Game, operation: str, request_: dict[str, Any], data: Any, reasons: set[int]
) -> None:
    player = await game.player()
    entity_id = await make(player, n=1)
    values = {"$id": entity_id, "$me": player.profile_id}
    request_ = {key: values.get(value, value) for key, value in request_.items()}
    refusal = await player.refused(SERVICE, operation, **request_, data=data)
    assert (refusal.status, {refusal.reason_code}) == (400, reasons), refusal.message
    assert (await get(player, entity_id))["version"] == 1
    assert (await player.call(SERVICE, "GET_LIST_COUNT", where=None))["entityListCount"] == 1


async def test_the_largest_and_the_deepest_data_fit(game: Game) -> None:
    player = await game.player()
    full = {"x": "x" * ((100 << 10) - len('{"x":""}'))}
    assert (await get(player, await make(player, **full)))["data"] == full
    assert (await get(player, await make(player, **nested(24))))["data"] == nested(24)
    refusal = await player.refused(SERVICE, "CREATE", entityType="t", data={"x": full["x"] + "x"})
    assert refusal.reason_code == 40600


@pytest.mark.parametrize(
    ("operation", "data", "reason"),
    [
        ("CREATE", {"data": {}}, 40358),
        ("CREATE", {"entityType": None, "data": {}}, 40358),
        ("CREATE", {"entityType": "", "data": {}}, 40660),
        ("CREATE", {"entityType": "x" * 257, "data": {}}, 40660),
        ("CREATE", {"entityType": 5, "data": {}}, 40359),
        ("CREATE", {"entityType": "t"}, 40358),
        ("CREATE", {"entityType": "t", "data": {}, "acl": {"other": 3}}, 40660),
        ("CREATE", {"entityType": "t", "data": {}, "acl": {"other": "1"}}, 40359),
        ("CREATE", {"entityType": "t", "data": {}, "acl": [1]}, 40359),
        ("CREATE", {"entityType": "t", "data": {}, "acl": "{"}, 40359),
        ("CREATE", {"entityType": "t", "data": {}, "acl": "[" * 100_000}, 40359),
        ("CREATE", {"entityType": "t", "data": {}, "acl": '{"other":1e999}'}, 40359),
        ("READ", {}, 40358),
        ("READ", {"entityId": ""}, 40660),
        ("READ", {"entityId": {"$ne": ""}}, 40359),
        ("READ", {"entityId": "x" * 257}, 40660),
        ("READ_BY_TYPE", {}, 40358),
        ("READ_SINGLETON", {}, 40358),
        ("UPDATE", {"entityId": "x", "data": {}, "version": -2}, 40660),
        ("UPDATE", {"entityId": "x", "data": {}, "version": "1"}, 40359),
        ("UPDATE", {"entityId": "x", "data": {}, "version": 1.5}, 40359),
        ("DELETE", {"entityId": "x", "version": True}, 40359),
        ("DELETE_SINGLETON", {"entityType": "t", "version": -2}, 40660),
        ("READ_SHARED", {}, 40358),
        ("READ_SHARED", {"targetPlayerId": ""}, 40660),
        ("READ_SHARED_ENTITY", {"entityId": "x"}, 40358),
        ("READ_SHARED_ENTITY", {"targetPlayerId": "x"}, 40358),
        ("GET_LIST", {"where": {}, "maxReturn": 0}, 40660),
        ("GET_LIST", {"where": {}, "maxReturn": "all"}, 40359),
        ("GET_PAGE_BY_OFFSET", {"context": {}, "pageOffset": "next"}, 40359),
    ],
)
async def test_bad_requests_are_refused_by_name(
    game: Game, operation: str, data: dict[str, Any], reason: int
) -> None:
    refusal = await (await game.player()).refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (400, reason), refusal.message


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("CREATE", {"entityType": "t", "data": {}}),
        ("READ", {"entityId": "x"}),
        ("GET_LIST", {"where": {}}),
        ("READ_SHARED", {"targetPlayerId": "x"}),
    ],
)
async def test_entities_need_a_session(game: Game, operation: str, data: dict[str, Any]) -> None:
    refusal = await game.client().refused(SERVICE, operation, **data)
    assert (refusal.status, refusal.reason_code) == (403, 40304)


# Singletons


async def test_a_singleton_is_made_by_its_first_update(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "READ_SINGLETON", entityType="settings") is None
    first = await player.call(
        SERVICE, "UPDATE_SINGLETON", entityType="settings", data={"level": 1}, acl={"other": 1}, version=-1
    )
    assert (first["version"], first["data"], first["acl"]) == (1, {"level": 1}, {"other": 1})
    second = await player.call(
        SERVICE, "UPDATE_SINGLETON", entityType="settings", data={"level": 2}, acl=None, version=1
    )
    assert second == first | {"version": 2, "data": {"level": 2}, "acl": {"other": 0}}
    read = await player.call(SERVICE, "READ_SINGLETON", entityType="settings")
    assert read == second | {"_serverTime": game.clock.ms()}
    assert await player.call(SERVICE, "READ", entityId=first["entityId"]) == read


async def test_singletons_of_players_and_types_are_apart(game: Game) -> None:
    player, other = await pair(game)
    for client, type_, value in ((player, "a", 1), (player, "b", 2), (other, "a", 3)):
        await client.call(SERVICE, "UPDATE_SINGLETON", entityType=type_, data={"v": value})
    for client, type_, value in ((player, "a", 1), (player, "b", 2), (other, "a", 3)):
        assert (await client.call(SERVICE, "READ_SINGLETON", entityType=type_))["data"] == {"v": value}


async def test_an_entity_that_was_created_counts_as_the_singleton_of_its_type(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, "address", street="old")
    assert (await player.call(SERVICE, "READ_SINGLETON", entityType="address"))["entityId"] == entity_id
    updated = await player.call(
        SERVICE, "UPDATE_SINGLETON", entityType="address", data={"street": "new"}, version=1
    )
    assert (updated["entityId"], updated["version"]) == (entity_id, 2)
    assert await player.call(SERVICE, "DELETE_SINGLETON", entityType="address", version=2) is None
    assert (await player.refused(SERVICE, "READ", entityId=entity_id)).reason_code == 40345


async def test_what_was_made_as_a_singleton_stays_the_singleton(game: Game) -> None:
    player = await game.player()
    made = await player.call(SERVICE, "UPDATE_SINGLETON", entityType="settings", data={"v": 1})
    await make(player, "settings", v=2)
    assert (await player.call(SERVICE, "READ_SINGLETON", entityType="settings"))["data"] == {"v": 1}
    await player.call(SERVICE, "UPDATE", entityId=made["entityId"], entityType="old settings", data={"v": 3})
    assert (await player.call(SERVICE, "READ_SINGLETON", entityType="settings"))["data"] == {"v": 2}
    await player.call(SERVICE, "DELETE_SINGLETON", entityType="settings")
    renewed = await player.call(SERVICE, "UPDATE_SINGLETON", entityType="settings", data={"v": 4})
    assert (renewed["version"], renewed["entityId"] != made["entityId"]) == (1, True)
    assert (await get(player, made["entityId"]))["data"] == {"v": 3}


async def test_a_singleton_of_another_version_is_refused_and_stays(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE_SINGLETON", entityType="settings", data={"v": 1}, version=7)
    for operation, data in (("UPDATE_SINGLETON", {"data": {"v": 2}}), ("DELETE_SINGLETON", {})):
        refusal = await player.refused(SERVICE, operation, entityType="settings", version=7, **data)
        assert (refusal.status, refusal.reason_code) == (400, 40344)
    read = await player.call(SERVICE, "READ_SINGLETON", entityType="settings")
    assert (read["version"], read["data"]) == (1, {"v": 1})


async def test_deleting_a_singleton_that_is_not_there_is_refused(game: Game) -> None:
    refusal = await (await game.player()).refused(
        SERVICE, "DELETE_SINGLETON", entityType="settings", version=-1
    )
    assert (refusal.status, refusal.reason_code) == (404, 40332)


async def test_clients_that_make_a_singleton_at_once_make_one(game: Game) -> None:
    player = await game.player()
    calls = [
        game.server.call(
            SERVICE, "UPDATE_SINGLETON", player.profile_id, entityType="settings", data={"by": number}
        )
        for number in range(12)
    ]
    answers = await asyncio.gather(*calls)
    assert sorted(answer["version"] for answer in answers) == list(range(1, 13))
    assert len({answer["entityId"] for answer in answers}) == 1
    assert (await player.call(SERVICE, "GET_LIST_COUNT", where={}))["entityListCount"] == 1


# Sharing


async def test_others_see_what_the_acl_lets_them_see(game: Game) -> None:
    player, other = await pair(game)
    hidden, readable, writable = [await make(player, acl={"other": acl}, acl_is=acl) for acl in (0, 1, 2)]
    shared = await other.call(SERVICE, "READ_SHARED", targetPlayerId=player.profile_id)
    assert {item["entityId"] for item in shared["entities"]} == {readable, writable}
    assert shared["entityListCount"] == 2
    own = await player.call(SERVICE, "READ_SHARED", targetProfileId=player.profile_id)
    assert {item["entityId"] for item in own["entities"]} == {hidden, readable, writable}
    for entity_id in (readable, writable):
        read = await other.call(
            SERVICE, "READ_SHARED_ENTITY", targetProfileId=player.profile_id, entityId=entity_id
        )
        assert read == await get(player, entity_id)
    owners = await player.call(
        SERVICE, "READ_SHARED_ENTITY", targetPlayerId=player.profile_id, entityId=hidden
    )
    assert owners["data"] == {"acl_is": 0}


async def test_others_list_what_they_may_see(game: Game) -> None:
    player, other = await pair(game)
    for acl, number in ((0, 1), (1, 2), (1, 3), (2, 4)):
        await make(player, acl={"other": acl}, number=number)
    request = {"where": {"data.number": {"$lt": 4}}, "orderBy": {"data.number": -1}, "maxReturn": 10}
    listed = await other.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetPlayerId=player.profile_id, **request
    )
    assert [item["data"]["number"] for item in listed["entities"]] == [3, 2]
    assert listed["entityListCount"] == 2
    own = await player.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetProfileId=player.profile_id, **request
    )
    assert [item["data"]["number"] for item in own["entities"]] == [3, 2, 1]
    most = await other.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetPlayerId=player.profile_id, **request | {"maxReturn": 1}
    )
    assert [item["data"]["number"] for item in most["entities"]] == [3]


async def test_a_player_nobody_knows_shares_nothing(game: Game) -> None:
    player = await game.player()
    for operation in ("READ_SHARED", "READ_SHARED_ENTITIES_LIST"):
        answer = await player.call(SERVICE, operation, targetPlayerId=NOBODY)
        assert (answer["entities"], answer["entityListCount"]) == ([], 0)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("READ_SHARED_ENTITY", (400, 40345)),
        ("UPDATE_SHARED", (404, 40332)),
        ("INCREMENT_SHARED_USER_ENTITY_DATA", (400, 40345)),
    ],
)
async def test_a_shared_entity_is_found_with_its_owner_only(
    game: Game, operation: str, expected: tuple[int, int]
) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": 2}, n=1)
    for owner, entity in ((NOBODY, entity_id), (other.profile_id, entity_id), (player.profile_id, NOBODY)):
        refusal = await other.refused(
            SERVICE, operation, targetPlayerId=owner, entityId=entity, data={"n": 1}, entityType="address"
        )
        assert (refusal.status, refusal.reason_code) == expected
    assert (await get(player, entity_id))["version"] == 1


@pytest.mark.parametrize("operation", ["UPDATE_SHARED", "INCREMENT_SHARED_USER_ENTITY_DATA"])
@pytest.mark.parametrize("acl", [0, 1])
async def test_others_change_nothing_without_the_right_to(game: Game, operation: str, acl: int) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": acl}, n=1)
    before = await get(player, entity_id)
    for version in (-1, 1, 9):
        refusal = await other.refused(
            SERVICE,
            operation,
            targetProfileId=player.profile_id,
            entityId=entity_id,
            entityType="address",
            data={"n": 2},
            version=version,
        )
        assert (refusal.status, refusal.reason_code) == (403, 40346)
    assert await get(player, entity_id) == before


@pytest.mark.parametrize("key", ["targetPlayerId", "targetProfileId"])
async def test_others_change_data_where_they_may_and_never_the_acl(game: Game, key: str) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": 2}, n=1)
    target = {key: player.profile_id, "entityId": entity_id}
    updated = await other.call(
        SERVICE,
        "UPDATE_SHARED",
        **target,
        entityType="address",
        data={"n": 5},
        acl={"other": 0},
        version=1,
    )
    assert (updated["version"], updated["acl"], updated["data"]) == (2, {"other": 2}, {"n": 5})
    stale = await other.refused(
        SERVICE, "UPDATE_SHARED", **target, entityType="address", data={"n": 6}, version=1
    )
    assert (stale.status, stale.reason_code) == (400, 40344)
    raised = await other.call(SERVICE, "INCREMENT_SHARED_USER_ENTITY_DATA", **target, data={"n": -1.5})
    assert (raised["data"], raised["version"]) == ({"n": 3.5}, 3)
    assert (raised["playerId"], raised["gameId"]) == (player.profile_id, player.app_id)


async def test_sharing_with_oneself_works_whatever_the_acl(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, n=1)
    target = {"targetPlayerId": player.profile_id, "entityId": entity_id}
    await player.call(SERVICE, "UPDATE_SHARED", **target, entityType="address", data={"n": 2}, version=-1)
    raised = await player.call(SERVICE, "INCREMENT_SHARED_USER_ENTITY_DATA", **target, data={"n": 1})
    assert (raised["data"], raised["version"]) == ({"n": 3}, 3)


async def test_entities_of_another_app_are_out_of_reach(game: Game, apps_folder: Any) -> None:
    folder = apps_folder / "second"
    folder.mkdir()
    (folder / "app.toml").write_text('id = "10002"\nsecret = "another-secret-for-tests-123"\n')
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    owner = await game.player()
    entity_id = await make(owner, acl={"other": 2}, n=1)
    stranger = game.client("10002", "another-secret-for-tests-123")
    await stranger.log_in()
    target = {"targetPlayerId": owner.profile_id}
    assert (await stranger.call(SERVICE, "READ_SHARED", **target))["entities"] == []
    assert (await stranger.call(SERVICE, "READ_SHARED_ENTITIES_LIST", **target))["entities"] == []
    for operation, reason in (
        ("READ_SHARED_ENTITY", 40345),
        ("UPDATE_SHARED", 40332),
        ("INCREMENT_SHARED_USER_ENTITY_DATA", 40345),
    ):
        refusal = await stranger.refused(SERVICE, operation, **target, entityId=entity_id, data={"n": 1})
        assert refusal.reason_code == reason


# Increments


async def test_an_increment_adds_to_numbers_and_starts_missing_ones_at_0(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, acl={"other": 1}, gold=5, inside={"wood": 1, "name": "x"}, kept=[1])
    game.clock.advance(1)
    answer = await player.call(
        SERVICE,
        "INCREMENT_USER_ENTITY_DATA",
        entityId=entity_id,
        data={"gold": -1.5, "inside": {"wood": 6, "new": 63.6}, "fresh": 3, "deep": {"er": 1}},
    )
    assert answer["data"] == {
        "gold": 3.5,
        "inside": {"wood": 7, "name": "x", "new": 63.6},
        "kept": [1],
        "fresh": 3,
        "deep": {"er": 1},
    }
    assert set(answer) == HEAD | {"data", "gameId", "playerId"}
    assert (answer["version"], answer["updatedAt"], answer["acl"]) == (2, game.clock.ms(), {"other": 1})
    read = await get(player, entity_id)
    assert {key: read[key] for key in HEAD | {"data"}} == {key: answer[key] for key in HEAD | {"data"}}


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ({"gold": "1"}, 40359),
        ({"gold": True}, 40359),
        ({"gold": None}, 40359),
        ({"gold": {"coins": 1}}, 40359),
        ({"name": 1}, 40359),
        ({"gold": 1, "name": 1}, 40359),
        ({"gold": 2**53}, 40660),
        ({"low": -1}, 40660),
        ({"$inc": 1}, 40347),
        ({"inside.wood": 1}, 40347),
    ],
)
async def test_an_increment_happens_whole_or_not_at_all(game: Game, by: dict[str, Any], reason: int) -> None:
    player = await game.player()
    data: dict[str, Any] = {"gold": 5, "name": "x", "low": -(2**53), "inside": {"wood": 1}}
    entity_id = await make(player, **data)
    refusal = await player.refused(SERVICE, "INCREMENT_USER_ENTITY_DATA", entityId=entity_id, data=by)
    assert (refusal.status, refusal.reason_code) == (400, reason), refusal.message
    read = await get(player, entity_id)
    assert (read["data"], read["version"]) == (data, 1)


async def test_an_increment_may_reach_the_largest_number(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, n=2**53 - 1)
    answer = await player.call(SERVICE, "INCREMENT_USER_ENTITY_DATA", entityId=entity_id, data={"n": 1})
    assert answer["data"] == {"n": 2**53}


async def test_an_increment_adds_to_a_number_beyond_what_whole_ones_may_be(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, n=1e20, least=-1e300)
    answer = await player.call(
        SERVICE, "INCREMENT_USER_ENTITY_DATA", entityId=entity_id, data={"n": 1e20, "least": 1}
    )
    assert {name: float(value) for name, value in answer["data"].items()} == {"n": 2e20, "least": -1e300}


async def test_an_increment_does_not_grow_data_beyond_its_limit(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, x="x" * ((100 << 10) - 20))
    refusal = await player.refused(
        SERVICE, "INCREMENT_USER_ENTITY_DATA", entityId=entity_id, data={"a-rather-long-name": 1}
    )
    assert (refusal.status, refusal.reason_code) == (400, 40600)


async def test_increments_that_happen_at_once_all_count(game: Game) -> None:
    owner = await game.player()
    players = [await game.player() for _ in range(4)]
    entity_id = await make(owner, acl={"other": 2}, n=0)
    request = {"targetPlayerId": owner.profile_id, "entityId": entity_id, "data": {"n": 1}}
    calls = [
        game.server.call(SERVICE, "INCREMENT_SHARED_USER_ENTITY_DATA", player.profile_id, **request)
        for player in players * 5
    ]
    answers = await asyncio.gather(*calls)
    assert sorted(answer["data"]["n"] for answer in answers) == list(range(1, 21))
    read = await get(owner, entity_id)
    assert (read["data"], read["version"]) == ({"n": 20}, 21)


async def test_of_updates_that_saw_the_same_version_one_wins(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player)
    calls = [
        game.server.call(
            SERVICE, "UPDATE", player.profile_id, entityId=entity_id, data={"by": number}, version=1
        )
        for number in range(8)
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert len(won) == 1
    assert {outcome.reason_code for outcome in outcomes if isinstance(outcome, Refusal)} == {40344}
    assert (await get(player, entity_id))["data"] == won[0]["data"]


# Lists


async def numbers(player: Client, **request: Any) -> list[int]:
    answer = await player.call(SERVICE, "GET_LIST", **request)
    assert answer["entityListCount"] == len(answer["entityList"])
    return [item["data"]["number"] for item in answer["entityList"]]


async def test_a_list_shows_what_matches_in_the_order_asked_for(game: Game) -> None:
    player, other = await pair(game)
    made = await numbered(game, player, 4)
    await make(other, "thing", acl={"other": 2}, number=2)
    await make(player, "other", number=2)
    where = {"entityType": "thing", "data.number": {"$gte": 1}}
    assert await numbers(player, where=where) == [1, 2, 3]
    assert await numbers(player, where=where, orderBy={"data.number": -1}, maxReturn=2) == [3, 2]
    assert await numbers(player, where=json.dumps(where), orderBy="", maxReturn=1000) == [1, 2, 3]
    assert await numbers(player, where={"entityId": made[2]}) == [2]
    assert await numbers(player, where={"createdAt": {"$lt": game.clock.ms() - 3}}) == [0]
    count = await player.call(SERVICE, "GET_LIST_COUNT", where=where)
    assert count == {"entityListCount": 3}


async def test_a_listed_entity_names_its_owner(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, street="x")
    answer = await player.call(SERVICE, "GET_LIST", where={}, orderBy={}, maxReturn=50)
    assert answer["_serverTime"] == game.clock.ms()
    read = await get(player, entity_id)
    del read["_serverTime"]
    assert answer["entityList"] == [read | {"gameId": player.app_id, "ownerId": player.profile_id}]


async def test_a_clause_may_ask_for_all_that_a_listed_entity_shows(game: Game) -> None:
    player, other = await pair(game)
    await numbered(game, player, 2)
    await make(player, "shown", acl={"other": 1}, number=7)
    await make(other, "shown", acl={"other": 1}, number=8)
    me = {"ownerId": player.profile_id, "gameId": player.app_id}
    assert await numbers(player, where=me | {"acl.other": 0}) == [0, 1]
    assert await numbers(player, where={"acl.other": {"$gte": 1}}, orderBy={"acl.other": -1}) == [7]
    assert await numbers(player, where={"ownerId": other.profile_id}) == []
    shared = {"targetPlayerId": other.profile_id, "where": {"ownerId": other.profile_id, "acl.other": 1}}
    answer = await player.call(SERVICE, "READ_SHARED_ENTITIES_LIST", **shared)
    assert [item["data"]["number"] for item in answer["entities"]] == [8]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("GET_LIST", {"where": {}}),
        ("READ_BY_TYPE", {"entityType": "thing"}),
        ("READ_SHARED", {"targetPlayerId": "$me"}),
        ("READ_SHARED_ENTITIES_LIST", {"targetPlayerId": "$me", "where": {}}),
        ("GET_PAGE", {"context": {}}),
        ("GET_PAGE_BY_OFFSET", {"context": {}}),
    ],
)
async def test_lists_hold_as_much_data_as_an_answer_may(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, request_: dict[str, Any]
) -> None:
    player = await game.player()
    request_ = {key: player.profile_id if value == "$me" else value for key, value in request_.items()}
    for _ in range(2):
        await make(player, "thing", x="x" * 100)
    monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 500)
    entries = await player.packet(*((SERVICE, operation, request_),) * 3, (SERVICE, "GET_LIST_COUNT", {}))
    assert [entry["status"] for entry in entries] == [200, 200, 400, 200]
    assert entries[2]["reason_code"] == 40600


@pytest.mark.parametrize("empty", [{}, {"where": None}, {"where": ""}, {"where": {}}])
async def test_without_a_clause_everything_matches(game: Game, empty: dict[str, Any]) -> None:
    player = await game.player()
    await numbered(game, player, 2)
    assert await numbers(player, **empty) == [0, 1]
    assert (await player.call(SERVICE, "GET_LIST_COUNT", **empty))["entityListCount"] == 2


def deep_clause(levels: int) -> dict[str, Any]:
    clause: dict[str, Any] = {"data.n": 1}
    for _ in range(levels):
        clause = {"$and": [clause]}
    return clause


BAD_CLAUSES = [
    ({"data.n": {"$where": "sleep(1)"}}, 40349),
    ({"$expr": {"data.n": 1}}, 40349),
    ({"$or": {"data.n": 1}}, 40349),
    (deep_clause(9), 40349),
    ({"$and": [{f"data.n{number}": number} for number in range(65)]}, 40349),
    ({"data.n": {"$in": list(range(501))}}, 40349),
    ({"data.n": {"$regex": "(a+)+$"}}, 40349),
    ("{not json", 40349),
    ("[1]", 40349),
    ({"data.$n": 1}, 40347),
]


@pytest.mark.parametrize(("clause", "reason"), BAD_CLAUSES)
@pytest.mark.parametrize(
    "operation",
    ["GET_LIST", "GET_LIST_COUNT", "READ_SHARED_ENTITIES_LIST", "GET_PAGE", "GET_PAGE_BY_OFFSET"],
)
async def test_clauses_that_are_none_or_too_costly_are_refused(
    game: Game, operation: str, clause: Any, reason: int
) -> None:
    player = await game.player()
    request: dict[str, Any] = {"where": clause, "targetPlayerId": player.profile_id}
    if "PAGE" in operation:
        request = {"context": {"searchCriteria": clause}, "pageOffset": 1}
    refusal = await player.refused(SERVICE, operation, **request)
    assert (refusal.status, refusal.reason_code) == (400, reason), refusal.message


@pytest.mark.parametrize("order", [{"data.n": "up"}, {"createdAt": 2}, "{", [1]])
async def test_orders_that_are_none_are_refused(game: Game, order: Any) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "GET_LIST", where={}, orderBy=order)
    assert refusal.reason_code == (40359 if isinstance(order, list) else 40349)


@pytest.mark.parametrize(
    "clause",
    [
        {"ownerId": {"$ne": ""}},
        {"$or": [{"ownerId": {"$exists": False}}, {"acl.other": {"$gte": 0}}, {"entityType": {"$ne": ""}}]},
        {"app_id": "10001"},
        {"data') OR 1=1 --": 1},
        {"entityType": "x' OR '1'='1"},
        {"$nor": [{"entityType": "nothing"}]},
    ],
)
async def test_no_clause_reaches_the_entities_of_others(game: Game, clause: dict[str, Any]) -> None:
    player, other = await pair(game)
    await make(other, "thing", acl={"other": 2}, n=1)
    assert (await player.call(SERVICE, "GET_LIST", where=clause))["entityList"] == []
    page = await player.call(SERVICE, "GET_PAGE", context={"searchCriteria": clause})
    assert (page["results"]["items"], page["results"]["count"]) == ([], 0)
    shared = await other.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetPlayerId=player.profile_id, where=clause
    )
    assert shared["entities"] == []


# Pages


def page_of(answer: dict[str, Any]) -> tuple[list[int], int, bool, bool]:
    results = answer["results"]
    return (
        [item["data"]["number"] for item in results["items"]],
        results["page"],
        results["moreBefore"],
        results["moreAfter"],
    )


def decoded(context: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(context + "=" * (-len(context) % 4)))
    return found


def encoded(context: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(context).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "sort", [{"createdAt": 1}, {"createdAt": 1, "updatedAt": -1}, {"data.number": 1}, None]
)
async def test_pages_go_forth_and_back(game: Game, sort: Any) -> None:
    player = await game.player()
    await numbered(game, player, 5)
    context = {
        "pagination": {"rowsPerPage": 2, "pageNumber": 1},
        "searchCriteria": {"entityType": "thing"},
        "sortCriteria": sort,
    }
    first = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page_of(first) == ([0, 1], 1, False, True)
    assert first["results"]["count"] == 5
    assert set(first["results"]["items"][0]) == HEAD | {"data"}
    assert first["_serverTime"] == game.clock.ms()
    assert re.fullmatch(r"[A-Za-z0-9_-]+", first["context"])

    async def turn(answer: dict[str, Any], offset: int) -> dict[str, Any]:
        found: dict[str, Any] = await player.call(
            SERVICE, "GET_PAGE_BY_OFFSET", context=answer["context"], pageOffset=offset
        )
        return found

    second = await turn(first, 1)
    assert page_of(second) == ([2, 3], 2, True, True)
    third = await turn(second, 1)
    assert page_of(third) == ([4], 3, True, False)
    assert third["results"]["count"] == 5
    assert page_of(await turn(first, 2)) == page_of(third)
    assert page_of(await turn(third, -1)) == page_of(second)
    assert page_of(await turn(third, -2)) == page_of(first)
    assert (await turn(third, 3))["results"]["items"] == []


@pytest.mark.parametrize(
    "context",
    [None, {}, "{}", {"pagination": None}, {"pagination": {"pageNumber": None}, "searchCriteria": None}],
)
async def test_a_context_that_says_little_gets_defaults(game: Game, context: Any) -> None:
    player = await game.player()
    await numbered(game, player, 3)
    answer = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page_of(answer) == ([0, 1, 2], 1, False, False)
    assert decoded(answer["context"])["pagination"] == {"rowsPerPage": 50, "pageNumber": 1, "doCount": True}


async def test_a_page_without_a_count_does_not_count(game: Game) -> None:
    player = await game.player()
    await numbered(game, player, 3)
    context = {"pagination": {"rowsPerPage": 2, "pageNumber": 1, "doCount": False}}
    answer = await player.call(SERVICE, "GET_PAGE", context=context)
    assert "count" not in answer["results"]
    assert answer["results"]["moreAfter"] is True


@pytest.mark.parametrize("operation", ["GET_PAGE", "GET_PAGE_BY_OFFSET"])
@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ("no context", 40383),
        ("", 40383),
        ("AAAA", 40383),
        (encoded([1]), 40383),
        (encoded("text"), 40383),
        (base64.urlsafe_b64encode(b'{"a":"\xff"}').decode(), 40383),
        (encoded({"searchCriteria": {"n": 2**70}}), 40383),
        ({"pagination": 7}, 40384),
        ({"pagination": {"rowsPerPage": 0}}, 40384),
        ({"pagination": {"rowsPerPage": "many"}}, 40384),
        ({"pagination": {"pageNumber": 1.5}}, 40384),
        ({"searchCriteria": 7}, 40349),
        ({"sortCriteria": {"createdAt": "up"}}, 40349),
    ],
)
async def test_what_is_no_context_is_refused(game: Game, operation: str, context: Any, reason: int) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, operation, context=context, pageOffset=1)
    assert (refusal.status, refusal.reason_code) == (400, reason), refusal.message


async def test_a_context_made_elsewhere_shows_the_callers_own(game: Game) -> None:
    player, other = await pair(game)
    await numbered(game, player, 2)
    await make(other, "thing", acl={"other": 2}, number=77)
    theirs = await other.call(SERVICE, "GET_PAGE", context={"searchCriteria": {"entityType": "thing"}})
    answer = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=theirs["context"], pageOffset=0)
    assert page_of(answer) == ([0, 1], 1, False, False)


async def test_a_context_of_another_player_tells_neither_places_nor_counts(game: Game) -> None:
    player, other = await pair(game)
    await numbered(game, player, 5)
    await numbered(game, other, 30)  # all of them behind the player's own
    context = {"pagination": {"rowsPerPage": 2}, "searchCriteria": {"data.number": {"$gte": 0}}}
    theirs = await other.call(SERVICE, "GET_PAGE", context=context)
    answer = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=theirs["context"], pageOffset=1)
    assert page_of(answer) == ([2, 3], 2, True, True)
    assert answer["results"]["count"] == 5


async def test_a_context_of_the_reference_finds_the_callers_own(game: Game) -> None:
    """It holds what the reference itself adds to the search."""
    player, other = await pair(game)
    await numbered(game, player, 2)
    await make(other, "thing", acl={"other": 2}, number=77)
    search = {
        "entityType": "thing",
        "gameId": player.app_id,
        "$or": [{"ownerId": player.profile_id}, {"acl.other": {"$ne": 0}}],
    }
    context = {
        "searchCriteria": search,
        "sortCriteria": {"createdAt": 1, "updatedAt": -1},
        "pagination": {"rowsPerPage": 50, "pageNumber": 1, "doCount": True, "skipRecount": False},
        "options": None,
        "resultCount": 3171,
    }
    answer = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=encoded(context), pageOffset=0)
    assert page_of(answer) == ([0, 1], 1, False, False)
    assert answer["results"]["count"] == 2
    assert decoded(answer["context"])["pagination"] == context["pagination"]


@pytest.mark.parametrize(
    ("skip", "counts"), [({}, [3, 3]), ({"skipRecount": True}, [3, 3]), ({"skipRecount": False}, [3, 4])]
)
async def test_pages_count_anew_as_the_context_says(
    game: Game, skip: dict[str, bool], counts: list[int]
) -> None:
    player = await game.player()
    await numbered(game, player, 3)
    first = await player.call(SERVICE, "GET_PAGE", context={"pagination": {"rowsPerPage": 1, **skip}})
    await numbered(game, player, 1)
    second = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=first["context"], pageOffset=1)
    assert [first["results"]["count"], second["results"]["count"]] == counts


@pytest.mark.parametrize(
    "change",
    [
        {"searchCriteria": {"$or": [{"ownerId": "$other"}, {"acl.other": {"$ne": 0}}]}},
        {"searchCriteria": {"ownerId": "$other"}},
        {"pagination": {"rowsPerPage": 2**53, "pageNumber": None}, "options": {"owner": "$other"}},
        {"pagination": {"rowsPerPage": 1, "pageNumber": 2**53}},
        {"pagination": {"rowsPerPage": 1, "pageNumber": -5}},
        {"position": {"first": ["x"], "last": [None, {}]}},
        {"position": {"first": [0, ""], "last": [0, ""]}},
        {"position": 7, "resultCount": "many"},
    ],
)
@pytest.mark.parametrize("offset", [0, 1, -1, 2**53, -(2**53)])
async def test_a_tampered_context_reaches_nothing_new(
    game: Game, change: dict[str, Any], offset: int
) -> None:
    player, other = await pair(game)
    own = set(await numbered(game, player, 2))
    await make(other, "thing", acl={"other": 2}, number=77)
    first = await player.call(SERVICE, "GET_PAGE", context={"pagination": {"rowsPerPage": 1}})
    text = json.dumps(decoded(first["context"]) | change).replace("$other", other.profile_id)
    answer = await player.call(
        SERVICE, "GET_PAGE_BY_OFFSET", context=encoded(json.loads(text)), pageOffset=offset
    )
    assert {item["entityId"] for item in answer["results"]["items"]} <= own
    assert answer["results"]["page"] >= 1


# A player's life and the packet


@pytest.mark.parametrize("operation", ["GAME_DATA_RESET", "FULL_PLAYER_RESET"])
async def test_a_reset_removes_all_entities_of_that_player(game: Game, operation: str) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": 1})
    await player.call(SERVICE, "UPDATE_SINGLETON", entityType="settings", data={})
    kept = await make(other)
    await player.call("playerState", operation)
    shared = await other.call(SERVICE, "READ_SHARED", targetPlayerId=player.profile_id)
    assert shared["entities"] == []
    refusal = await other.refused(
        SERVICE, "READ_SHARED_ENTITY", targetPlayerId=player.profile_id, entityId=entity_id
    )
    assert refusal.reason_code == 40345
    assert (await get(other, kept))["version"] == 1


async def test_a_packet_goes_on_after_a_refused_change(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, n=1)
    update = {"entityId": entity_id, "data": {"n": 2}}
    entries = await player.packet(
        (SERVICE, "UPDATE", update | {"version": 1}),
        (SERVICE, "UPDATE", update | {"version": 1, "data": {"n": 3}}),
        (SERVICE, "INCREMENT_USER_ENTITY_DATA", {"entityId": entity_id, "data": {"n": 1, "other": "x"}}),
        (SERVICE, "INCREMENT_USER_ENTITY_DATA", {"entityId": entity_id, "data": {"n": 1}}),
    )
    assert [entry.get("reason_code", 200) for entry in entries] == [200, 40344, 40359, 200]
    assert (await get(player, entity_id))["data"] == {"n": 3}


async def test_a_repeated_packet_increments_once(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, n=0)
    body = player.body((SERVICE, "INCREMENT_USER_ENTITY_DATA", {"entityId": entity_id, "data": {"n": 1}}))
    first, again = await player.send(body), await player.send(body)
    assert first.content == again.content
    assert (await get(player, entity_id))["data"] == {"n": 1}
