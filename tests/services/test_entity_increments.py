"""Numbers in entities that grow."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Game, Refusal
from tests.services.entities import HEAD, SERVICE, get, make

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
