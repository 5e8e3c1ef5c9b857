"""Clients that take all they can get: what they may fill has limits, which the refusals name."""

import asyncio
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.players import quotas
from tests.conftest import APP_TOML, Client, Game, Refusal

RATE, QUOTA = 40823, 40371
DATA = {"text": "x" * 1000}
Define = Callable[[str], None]


@pytest.fixture
def define(game: Game, apps_folder: Path) -> Define:
    """Give the app quotas while it runs."""

    def change(text: str) -> None:
        (apps_folder / "test" / "app.toml").write_text(f"{APP_TOML}[quotas]\n{text}\n")
        apps = load_apps(apps_folder, game.server_app.registry.sections())
        assert not apps.problems, apps.problems
        game.apps.replace(apps)

    return change


def entity(kind: str, data: Any = DATA) -> tuple[str, str, dict[str, Any]]:
    return kind, "CREATE", {"entityType": "t", "data": data}


def noise(size: int) -> dict[str, str]:
    """Data that no database makes smaller."""
    return {"text": "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=size))}


def create(client: Client, kind: str, data: Any = DATA) -> Any:
    return client.call(kind, "CREATE", entityType="t", data=data)


async def codes(client: Client, *messages: tuple[str, str, Any]) -> list[int | None]:
    return [entry.get("reason_code") for entry in await client.packet(*messages)]


# What players keep


@pytest.mark.parametrize(("kind", "limit"), [("entity", "entities"), ("globalEntity", "global_entities")])
async def test_a_player_has_as_many_as_the_app_allows(
    game: Game, define: Define, kind: str, limit: str
) -> None:
    define(f"{limit} = 3")
    player, other = await game.player(), await game.player()
    assert await codes(player, *[entity(kind)] * 5) == [None] * 3 + [QUOTA] * 2
    refusal = await player.refused(kind, "CREATE", entityType="t", data=DATA)
    assert f"({limit})" in refusal.message
    assert "3" in refusal.message
    await create(other, kind)  # each has their own
    count = await player.call(kind, "GET_LIST_COUNT", where={"ownerId": player.profile_id})
    assert count["entityListCount"] == 3


@pytest.mark.parametrize("kind", ["entity", "globalEntity"])
async def test_what_is_deleted_may_be_made_again(game: Game, define: Define, kind: str) -> None:
    define("entities = 2\nglobal_entities = 2")
    player = await game.player()
    first = await create(player, kind)
    assert await codes(player, entity(kind), entity(kind)) == [None, QUOTA]
    await player.call(kind, "DELETE", entityId=first["entityId"], version=-1)
    assert await codes(player, entity(kind), entity(kind)) == [None, QUOTA]


@pytest.mark.parametrize("kind", ["entity", "globalEntity"])
async def test_data_comes_to_no_more_bytes_than_the_app_allows(game: Game, define: Define, kind: str) -> None:
    define("entity_bytes = 20_000\nglobal_entity_bytes = 20_000")
    player = await game.player()
    large = noise(5000)
    outcome = await codes(player, *[entity(kind, large)] * 8)
    assert outcome == [None] * outcome.count(None) + [QUOTA] * outcome.count(QUOTA)
    assert 2 <= outcome.count(None) <= 5  # PostgreSQL counts what it stores
    refusal = await player.refused(kind, "CREATE", entityType="t", data=large)
    assert "bytes" in refusal.message
    assert "_bytes)" in refusal.message
    await create(player, kind, {})  # as many as one likes, of next to nothing


async def test_changes_count_as_well(game: Game, define: Define) -> None:
    """Many small ones that grow later are as much as large ones."""
    define("entity_bytes = 10_000")
    player = await game.player()
    large = noise(3000)
    made = [await create(player, "entity", {}) for _ in range(8)]
    outcome = []
    for each in made:
        change = {"entityId": each["entityId"], "data": large, "version": -1}
        outcome += await codes(player, ("entity", "UPDATE", change))
    assert outcome.count(QUOTA) >= 3
    less = {**change, "data": {"a": 1}}
    assert await codes(player, ("entity", "UPDATE", less)) == [None]
    define("entity_bytes = 10")
    singleton = ("entity", "UPDATE_SINGLETON", {"entityType": "s", "data": large, "version": -1})
    increment = {"entityId": made[0]["entityId"], "data": {"number": 1}}
    for message in (singleton, ("entity", "INCREMENT_USER_ENTITY_DATA", increment)):
        assert (await codes(player, message, message))[1] == QUOTA


async def test_a_limit_is_passed_by_no_more_than_a_part_of_it(game: Game, define: Define) -> None:
    """What may be added between two looks; and who is refused is looked at each time."""
    define("entities = 64")
    player = await game.player()
    outcome = []
    for _ in range(4):
        outcome += await codes(player, *[entity("entity", {})] * 25)
    assert 64 <= outcome.count(None) <= 64 + 64 // quotas.PARTS
    assert set(outcome[70:]) == {QUOTA}


async def test_packets_at_once_pass_no_small_limit(game: Game, define: Define) -> None:
    define("entities = 5")
    player = await game.player()
    numbers = range(100, 112)
    await asyncio.gather(
        *(player.packet(*[entity("entity", {})] * 3, packet_id=number) for number in numbers)
    )
    entries = await player.packet(("entity", "GET_LIST_COUNT", {"where": {}}), packet_id=200)
    assert entries[0]["data"]["entityListCount"] <= 5


async def test_counting_costs_no_statement_of_its_own(game: Game) -> None:
    player = await game.player()
    await create(player, "entity")
    seen = game.statements()
    await create(player, "entity")
    assert sorted(set(seen) - {"commit"}) == ["later"]


async def test_servers_have_no_quotas(game: Game, define: Define) -> None:
    define("entities = 1\nglobal_entities = 1")
    player = await game.player()
    for _ in range(3):
        await game.server.call("globalEntity", "CREATE", player.profile_id, entityType="t", data={})
    assert await codes(player, entity("globalEntity")) == [QUOTA]  # but what they made is there


# Packets


async def test_the_packets_of_a_player_count_over_all_logins(game: Game, define: Define) -> None:
    """Who logs in again is still the same player; others are others."""
    define("packets_per_minute = 5")
    name, other = game.unique("ada"), await game.player()
    player = game.client()
    for _ in range(5):
        await player.log_in("Universal", name, "secret")
        await player.call("heartbeat", "READ")
    refusal = await player.refused("heartbeat", "READ")
    assert refusal.reason_code == RATE
    assert "(packets_per_minute)" in refusal.message
    await player.log_in("Universal", name, "secret")
    assert (await player.refused("heartbeat", "READ")).reason_code == RATE
    await other.call("heartbeat", "READ")
    game.clock.advance(60)
    await player.call("heartbeat", "READ")


async def test_a_packet_that_was_one_too_many_may_be_sent_again(game: Game, define: Define) -> None:
    define("packets_per_minute = 1")
    player = await game.player()
    await player.packet(("heartbeat", "READ", {}), packet_id=1)
    body = player.body(("heartbeat", "READ", {}), packet_id=2)
    refused = (await player.send(body)).json()["responses"]
    assert [entry["reason_code"] for entry in refused] == [RATE]
    game.clock.advance(60)
    assert (await player.send(body)).json()["responses"][0]["status"] == 200
    assert (await player.send(body)).json()["responses"][0]["status"] == 200  # a repeat is no further packet


# New players and logins


async def test_an_address_makes_so_many_players_in_an_hour(game: Game, define: Define) -> None:
    define("new_players_per_address = 3")
    for _ in range(3):
        await game.player()
    for type_ in ("Anonymous", "Universal"):
        with pytest.raises(Refusal) as refused:
            await game.client().log_in(type_, game.unique("one-more"), "secret")
        assert refused.value.reason_code == RATE
        assert "(new_players_per_address)" in refused.value.message
    game.clock.advance(3600)
    await game.player()


async def test_who_is_known_logs_in_whatever_new_players_come(game: Game, define: Define) -> None:
    name, device = game.unique("ada"), game.unique("device")
    await game.client().log_in("Universal", name, "secret")
    known = game.client()
    await known.log_in("Anonymous", device)
    define("new_players_per_address = 0")
    await game.client().log_in("Universal", name, "secret")
    await game.client().log_in("Anonymous", device, profileId=known.profile_id)


async def test_an_address_logs_in_so_often_in_a_minute(game: Game, define: Define) -> None:
    define("logins_per_address = 5")
    name = game.unique("ada")
    for _ in range(5):
        await game.client().log_in("Universal", name, "secret")
    with pytest.raises(Refusal) as refused:
        await game.client().log_in("Universal", name, "secret")
    assert refused.value.reason_code == RATE
    assert "(logins_per_address)" in refused.value.message
    game.clock.advance(60)
    await game.client().log_in("Universal", name, "secret")


async def test_a_packet_has_one_login(game: Game, define: Define) -> None:
    def login() -> tuple[str, str, dict[str, Any]]:
        data = {"authenticationType": "Anonymous", "externalId": game.unique("id"), "forceCreate": True}
        return "authenticationV2", "AUTHENTICATE", data

    [first, *others] = await game.client().packet(*[login() for _ in range(50)])
    assert first["status"] == 200
    assert {entry["reason_code"] for entry in others} == {RATE}
    assert "(logins_per_packet)" in others[0]["status_message"]
    define("logins_per_packet = 2")
    assert await codes(game.client(), login(), login(), login()) == [None, None, RATE]


# Boards


async def test_a_player_makes_so_many_boards_in_a_day(game: Game, define: Define) -> None:
    define("boards_per_day = 2")
    player = await game.player()

    def post(board: str) -> tuple[str, str, dict[str, Any]]:
        data = {"leaderboardId": board, "score": 1, "leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
        return "leaderboard", "POST_SCORE_DYNAMIC", data

    names = [game.unique("board") for _ in range(3)]
    assert await codes(player, *map(post, names)) == [None, None, RATE]
    assert await codes(player, post(names[0])) == [None]  # it is there already
    game.clock.advance(86_400)
    await player.log_in()
    assert await codes(player, post(names[2])) == [None]
