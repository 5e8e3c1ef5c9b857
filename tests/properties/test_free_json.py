"""Free JSON is given back as it was sent, letter by letter where it is stored, and can be sent again."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gameserver.players import users
from gameserver.services import data_stream
from tests.conftest import Client, Game
from tests.protocol.dialect import check_bundle

Place = Callable[[Game, Client, dict[str, Any]], Awaitable[Any]]

numbers = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [-0.0, 1e16, -1e20, 1e308, 5e-324, 1e-7, 1.0, 2**53 + 1, 76561198000000001, 2**63, 1e23]
    )
)
names = st.text(st.characters(codec="utf-8", exclude_characters="$.\0"), min_size=1, max_size=6)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
free_data = st.dictionaries(names, values, min_size=1, max_size=4)
TRICKY: dict[str, Any] = {
    "z": [1e16, -1e20, 1e308, -0.0, 0.0, 1.0, 5e-324],
    "a": {"steam": 76561198000000001, "ticks": 638000000000000001, "most": 2**64 - 1, "least": -(2**63)},
    "text": 'a: b, "c": \\ {"d": 1, "e": 1E16} 😀 é',
    "10": None,
    "9": [[], {}, [True, False]],
}


async def call(player: Client, service: str, operation: str, **data: Any) -> Any:
    """Call with data written as Python writes JSON, blanks and all."""
    body = player.body((service, operation, {}))
    text = json.dumps(data, ensure_ascii=False)
    response = await player.send(body.replace(b'"data":{}', b'"data":' + text.encode()))
    [entry] = check_bundle(response.content)["responses"]
    assert entry["status"] == 200, entry
    return entry["data"]


async def entity(game: Game, player: Client, value: dict[str, Any]) -> Any:
    made = await call(player, "entity", "CREATE", entityType="t", data=value)
    assert letters(made["data"]) == letters(value) if "data" in made else True
    read = await call(player, "entity", "READ", entityId=made["entityId"])
    listed = await call(player, "entity", "GET_LIST", where={"entityId": made["entityId"]})
    paged = await call(
        player, "entity", "GET_PAGE", context={"searchCriteria": {"entityId": made["entityId"]}}
    )
    assert letters(listed["entityList"][0]["data"]) == letters(read["data"])
    assert letters(paged["results"]["items"][0]["data"]) == letters(read["data"])
    return read["data"]


async def updated_entity(game: Game, player: Client, value: dict[str, Any]) -> Any:
    made = await call(player, "entity", "CREATE", entityType="t", data={})
    await call(player, "entity", "UPDATE", entityId=made["entityId"], entityType="t", data=value, version=-1)
    return (await call(player, "entity", "READ", entityId=made["entityId"]))["data"]


async def singleton(game: Game, player: Client, value: dict[str, Any]) -> Any:
    await call(player, "entity", "UPDATE_SINGLETON", entityType="single", data=value, version=-1)
    return (await call(player, "entity", "READ_SINGLETON", entityType="single"))["data"]


async def global_entity(game: Game, player: Client, value: dict[str, Any]) -> Any:
    made = await call(player, "globalEntity", "CREATE", entityType="t", timeToLive=10_000, data=value)
    return (await call(player, "globalEntity", "READ", entityId=made["entityId"]))["data"]


async def summary(game: Game, player: Client, value: dict[str, Any]) -> Any:
    await call(player, "playerState", "UPDATE_SUMMARY", summaryFriendData=value)
    return (await call(player, "playerState", "READ"))["summaryFriendData"]


async def status(game: Game, player: Client, value: dict[str, Any]) -> Any:
    await call(player, "playerState", "SET_USER_STATUS", statusName="s", durationSecs=60, details=value)
    return (await call(player, "playerState", "GET_USER_STATUS", statusName="s"))["s"]["details"]


async def score(game: Game, player: Client, value: dict[str, Any]) -> Any:
    board = game.unique("b")
    config = {"leaderboardType": "LAST_VALUE", "rotationType": "NEVER", "retainedCount": 1}
    place = {"leaderboardId": board, "score": 1}
    await call(
        player, "leaderboard", "POST_SCORE_DYNAMIC_USING_CONFIG", **place, scoreData=value, configJson=config
    )
    page = {"leaderboardId": board, "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 1}
    [entry] = (await call(player, "leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", **page))["leaderboard"]
    return entry["data"]


async def board_config(game: Game, player: Client, value: dict[str, Any]) -> Any:
    board = game.unique("b")
    config = {"leaderboardType": "LAST_VALUE", "rotationType": "NEVER", "retainedCount": 1, "data": value}
    text = json.dumps(config)  # a text within the data, as some clients send it
    await game.server.call(
        "leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=text
    )
    found = await game.server.call("leaderboard", "SYS_GET_LEADERBOARD_CONFIG", leaderboardId=board)
    return found[board]["data"]


async def template(game: Game, player: Client, value: dict[str, Any]) -> Any:
    code = game.unique("t")
    await game.server.call(
        "tournament", "SYS_CREATE_TOURNAMENT_TEMPLATE", tournamentCode=code, configJson={"customJson": value}
    )
    found = await game.server.call("tournament", "SYS_READ_TOURNAMENT_TEMPLATE", tournamentCode=code)
    return next(iter(_members(found, "customJson")))


async def handoff(game: Game, player: Client, value: dict[str, Any]) -> Any:
    code = await game.server.call(
        "identity", "CREATE_HANDOFF_ID", player.profile_id, numChars=12, validSecs=60, handoffJson=value
    )
    login = {"authenticationType": "SettopHandoff", "externalId": code["handoffCode"], "forceCreate": False}
    return (await game.client().call("authenticationV2", "AUTHENTICATE", **login))["handoffJson"]


async def report(game: Game, player: Client, value: dict[str, Any]) -> Any:
    await call(player, "dataStream", "CUSTOM_TRACK_EVENT", eventName="e", eventProperties=value)
    async with game.core.database.read() as tx:
        table = data_stream.data_stream_reports
        rows = await tx.all(
            table.select().where(table.c.profile_id == player.profile_id).order_by(table.c.id)
        )
    return json.loads(rows[-1]["data"])


async def properties(game: Game, player: Client, value: dict[str, Any]) -> Any:
    """What Backendless keeps of its users."""
    async with game.core.database.write() as tx:
        await users.change_properties(tx, player.profile_id, None, {"p": value}, 0)
    async with game.core.database.read() as tx:
        table = users.user_properties
        row = await tx.one(table.select().where(table.c.profile_id == player.profile_id))
    assert row is not None
    return users.properties_of(row["properties"])["p"]


PLACES: list[Place] = [
    entity,
    updated_entity,
    singleton,
    global_entity,
    summary,
    status,
    score,
    board_config,
    template,
    handoff,
    report,
    properties,
]


def letters(value: Any) -> str:
    """JSON text, in which 1 and 1.0, 0.0 and -0.0, 1e16 and its digits, and orders of keys differ."""
    return json.dumps(value)


def _members(value: Any, name: str) -> list[Any]:
    """Everything under a name, however deep."""
    if isinstance(value, dict):
        return (
            [value[name]] if name in value else [found for v in value.values() for found in _members(v, name)]
        )
    return [found for item in value for found in _members(item, name)] if isinstance(value, list) else []


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@given(value=free_data)
@example(value=TRICKY)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_what_was_written_is_read_and_can_be_written_again(
    game: Game, place: Place, value: dict[str, Any]
) -> None:
    player = await game.player()
    read = await place(game, player, value)
    assert letters(read) == letters(value)
    assert letters(await place(game, player, read)) == letters(value)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("100000000000000000000", 1e20),  # JavaScript's 1e20
        ("-18446744073709551617", -(2.0**64)),
        ("1" + "0" * 308, 1e308),
        ("9223372036854775808", 2**63),
        ("-9223372036854775809", -(2.0**63)),
        ("0.10000000000000000000001", 0.1),
    ],
)
async def test_whole_numbers_beyond_64_bits_are_the_doubles_they_stand_for(
    game: Game, sent: str, kept: float
) -> None:
    player = await game.player()
    body = player.body(("entity", "CREATE", {"entityType": "t", "data": {"n": 0}}))
    response = await player.send(body.replace(b'"n":0', b'"n":' + sent.encode()))
    [entry] = check_bundle(response.content)["responses"]
    read = await call(player, "entity", "READ", entityId=entry["data"]["entityId"])
    assert repr(read["data"]["n"]) == repr(kept)


async def test_clauses_find_numbers_of_64_bits_exactly(game: Game) -> None:
    player = await game.player()
    for number in (76561198000000001, 76561198000000003, 1e16, -0.0):
        await call(player, "entity", "CREATE", entityType="t", data={"n": number, "in": {"n": [number]}})

    async def found(where: Any) -> list[Any]:
        listed = await call(player, "entity", "GET_LIST", where=where)
        return sorted(entry["data"]["n"] for entry in listed["entityList"])

    assert await found({"data.n": 76561198000000001}) == [76561198000000001]
    assert await found(json.dumps({"data.in.n": 76561198000000003})) == [76561198000000003]
    assert await found({"data.n": {"$gt": 76561198000000001}}) == [76561198000000003]
    assert await found({"data.n": {"$in": [10**16, 76561198000000001]}}) == [1e16, 76561198000000001]
    assert await found({"data.n": 0}) == [-0.0]
    for beyond in (2**63, 2**64, 10**30, -(10**30)):
        assert await found({"data.n": beyond}) == []
        assert await found({"version": {"$lt": beyond}}) == ([] if beyond < 0 else await found({}))
