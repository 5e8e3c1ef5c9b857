"""Packets that change the same things in different orders do not wait for each other in a circle.

PostgreSQL looks for such circles only after a second, and ends them by rolling one transaction back. So no
packet may need that; SQLite has one writer, and shows that nothing else changes.
"""

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP_TOML, Client, Game

SHARED = ("rounds", "games", "stock")  # on services, others may have counted more
PLAYERS = 8
ROUNDS = 5

Message = tuple[str, str, dict[str, Any]]

APP = (
    APP_TOML
    + """
[session]
most = 100

[virtualCurrency.currencies.coins]

[playerStatistics.statistics.wins]

[[playerStatistics.levels]]
experience = 1
rewards = { global_statistics = { stock = 1 }, currency = { coins = 1 } }

[globalGameStatistics.statistics.rounds]
[globalGameStatistics.statistics.stock]
[globalGameStatistics.statistics.games]

[group.types.clan]
[leaderboard.boards.clans]
entries = "GROUP"
[leaderboard.boards.sums]
type = "CUMULATIVE"

[playerStatisticsEvent.events.won]
statistics = { wins = 1 }
global_statistics = { rounds = 1, games = 1 }
experience = 1
"""
)


@pytest.fixture(autouse=True)
def _app(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP)


def global_statistic(name: str) -> Message:
    return "globalGameStatistics", "UPDATE_INCREMENT", {"statistics": {name: 1}}


async def read_all(game: Game) -> dict[str, float]:
    """The statistics that all players share; those on services outlive a test."""
    read = await game.server.call("globalGameStatistics", "READ")
    values: dict[str, float] = read["statistics"]
    return values


async def in_every_order(game: Game, senders: list[Client], messages: list[Message]) -> list[str]:
    """Let everybody send the messages as one packet, each time in another order; nothing may be refused."""
    orders = list(itertools.permutations(messages))
    random.Random(1).shuffle(orders)
    seen = game.statements()
    numbers = itertools.cycle(range(len(orders)))

    async def play(client: Client) -> None:
        for _ in range(ROUNDS):
            entries = await client.packet(*orders[next(numbers)])
            assert [entry["status"] for entry in entries] == [200] * len(messages), entries

    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(play(sender))
    return seen


async def test_statistics_of_all_players_in_either_order(game: Game) -> None:
    players, before = [await game.player() for _ in range(PLAYERS)], await read_all(game)
    seen = await in_every_order(game, players, [global_statistic(name) for name in ("rounds", "stock")])
    assert "rollback" not in seen
    after = await read_all(game)
    assert [after[name] - before[name] for name in ("rounds", "stock")] == [PLAYERS * ROUNDS] * 2


async def test_packets_and_single_calls_that_change_several_of_them(game: Game) -> None:
    players, before = [await game.player() for _ in range(PLAYERS)], await read_all(game)
    service, operation = "globalGameStatistics", "UPDATE_INCREMENT"
    several = {"statistics": {"games": 1, "rounds": 1, "stock": 1}}

    async def play_alone(player: Client) -> None:
        for _ in range(ROUNDS):
            await player.call(service, operation, **several)

    async with asyncio.TaskGroup() as group:
        for player in players[: PLAYERS // 2]:
            group.create_task(play_alone(player))
        messages = [global_statistic(name) for name in ("stock", "rounds", "games")]
        seen = await in_every_order(game, players[PLAYERS // 2 :], messages)
    assert "rollback" not in seen
    after = await read_all(game)
    assert {after[name] - before[name] for name in SHARED} == {PLAYERS * ROUNDS}


async def test_rewards_and_changes_of_what_all_players_share(game: Game) -> None:
    players, before = [await game.player() for _ in range(PLAYERS)], await read_all(game)
    event = ("playerStatisticsEvent", "TRIGGER", {"eventName": "won"})
    messages = [event, global_statistic("stock"), global_statistic("games")]
    assert "rollback" not in await in_every_order(game, players, messages)
    after, played = await read_all(game), PLAYERS * ROUNDS
    changes = {name: after[name] - before[name] for name in SHARED}
    assert changes == {"rounds": played, "games": 2 * played, "stock": played + PLAYERS}


async def test_entities_of_everybody(game: Game) -> None:
    players = [await game.player() for _ in range(PLAYERS)]
    create = {"entityType": "flag", "data": {"n": 0}, "acl": {"other": 2}}
    entities = [(await players[0].call("globalEntity", "CREATE", **create))["entityId"] for _ in range(3)]
    messages: list[Message] = [
        ("globalEntity", "INCREMENT_GLOBAL_ENTITY_DATA", {"entityId": entity, "data": {"n": 1}})
        for entity in entities
    ]
    assert "rollback" not in await in_every_order(game, players, messages)
    for entity in entities:
        read = await players[0].call("globalEntity", "READ", entityId=entity)
        assert read["data"]["n"] == PLAYERS * ROUNDS


async def test_entities_of_each_other(game: Game) -> None:
    players = [await game.player() for _ in range(4)]
    create = {"entityType": "camp", "data": {"n": 0}, "acl": {"other": 2}}
    messages: list[Message] = []
    for player in players:
        entity = (await player.call("entity", "CREATE", **create))["entityId"]
        raid = {"targetPlayerId": player.profile_id, "entityId": entity, "data": {"n": 1}}
        messages.append(("entity", "INCREMENT_SHARED_USER_ENTITY_DATA", raid))
    assert "rollback" not in await in_every_order(game, players, messages)


async def test_what_members_change_of_their_groups(game: Game) -> None:
    players, messages = [await game.player() for _ in range(6)], list[Message]()
    score = ("leaderboard", "POST_SCORE", {"leaderboardId": "sums", "score": 1})
    wells = []
    for owner in players[:2]:
        group = await owner.call("group", "CREATE_GROUP", name="Reds", groupType="clan", isOpenGroup=True)
        well = {"groupId": group["groupId"]}
        made = await owner.call("group", "CREATE_GROUP_ENTITY", **well, data={"n": 0})
        well["entityId"] = made["entityId"]
        wells.append(well)
        post = {"leaderboardId": "clans", "groupId": group["groupId"], "score": 1}
        messages += [
            ("group", "INCREMENT_GROUP_ENTITY_DATA", {**well, "data": {"n": 1}}),
            ("leaderboard", "POST_GROUP_SCORE", post),
        ]
    for player in players:
        for well in wells:
            await player.call("group", "JOIN_MEMBER_TO_GROUP", groupId=well["groupId"])
    assert "rollback" not in await in_every_order(game, players, [*messages, score])
    for well in wells:
        read = await players[0].call("group", "READ_GROUP_ENTITY", **well)
        assert read["data"]["n"] == len(players) * ROUNDS


async def test_sessions_of_one_player(game: Game) -> None:
    device = game.unique("device")
    sessions = [game.client() for _ in range(PLAYERS)]
    for session in sessions:
        await session.log_in(external_id=device, profileId=sessions[0].profile_id)
    entity = (await sessions[0].call("entity", "CREATE", entityType="bag", data={"n": 0}))["entityId"]
    messages: list[Message] = [
        ("playerState", "UPDATE_NAME", {"playerName": "Ada"}),
        ("playerState", "UPDATE_ATTRIBUTES", {"attributes": {"a": "1"}, "wipeExisting": False}),
        ("entity", "INCREMENT_USER_ENTITY_DATA", {"entityId": entity, "data": {"n": 1}}),
        ("playerStatistics", "UPDATE", {"statistics": {"wins": 1}}),
        ("entity", "UPDATE_SINGLETON", {"entityType": "hat", "data": {"n": 1}, "version": -1}),
    ]
    assert "rollback" not in await in_every_order(game, sessions, messages)
    read = await sessions[0].call("playerStatistics", "READ")
    assert read["statistics"]["wins"] == PLAYERS * ROUNDS


async def test_logins_beside_packets_of_the_same_player(game: Game) -> None:
    device = game.unique("device")
    player = game.client()
    await player.log_in(external_id=device)
    rename: Message = ("playerState", "UPDATE_NAME", {"playerName": "Ada"})
    count: Message = ("playerStatistics", "UPDATE", {"statistics": {"wins": 1}})
    login = {
        "authenticationType": "Anonymous",
        "externalId": device,
        "authenticationToken": "",
        "profileId": player.profile_id,
        "forceCreate": False,
        "gameId": player.app_id,
    }

    async def log_in() -> None:
        for _ in range(ROUNDS):
            message = ("authenticationV2", "AUTHENTICATE", login)
            entries = await game.client().packet(message, count, rename)
            assert [entry["status"] for entry in entries] == [200, 200, 200], entries

    async with asyncio.TaskGroup() as group:
        for _ in range(PLAYERS // 2):
            group.create_task(log_in())
        seen = await in_every_order(game, [player], [rename, count])
    assert "rollback" not in seen
