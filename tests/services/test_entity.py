"""entity, spoken to as clients would: one entity, singletons, and what may be stored."""

import asyncio
import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.rpc import answer_template
from gameserver.sessions.interface import LEASE_SECONDS
from gameserver.wire.errors import PacketTooLarge
from tests.conftest import BACKENDS, SECRET, Client, Game
from tests.services.entities import HEAD, NOBODY, SERVICE, get, make, numbered, pair

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
        ("CREATE", {"entityType": "t", "data": {}, "acl": {"Other": 2}}, 40660),
        ("CREATE", {"entityType": "t", "data": {}, "acl": {"other": 1, "others": 2}}, 40660),
        ("CREATE", {"entityType": "t", "data": {}, "acl": '{"member":1}'}, 40660),
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
