"""playerStatisticsEvent, spoken to as clients would."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from gameserver.apps import load_apps
from gameserver.domain.progress.statistics import global_statistics
from tests.conftest import Client, Game

SERVICE = "playerStatisticsEvent"
EVENTS = """
[virtualCurrency.currencies.coins]
[playerStatistics.statistics.wins]
[playerStatistics.statistics.lives]
initial = 3
[[playerStatistics.levels]]
experience = 100
rewards = { currency = { coins = 50 } }
[globalGameStatistics.statistics.rounds]
[playerStatisticsEvent.events.quiet]
statistics = { wins = 1 }
[playerStatisticsEvent.events.won]
statistics = { wins = "INC#2", lives = "SET#9" }
global_statistics = { rounds = 1 }
experience = 10
[playerStatisticsEvent.events.hoard]
rewards = { currency = { coins = 9007199254740992 } }
[playerStatisticsEvent.events.chest]
[playerStatisticsEvent.events.chest.rewards]
experience = 60
currency = { coins = 3 }
statistics = { lives = 1 }
global_statistics = { rounds = 5 }
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps, with events declared."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + EVENTS)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game in which nobody has touched what all players share; the run's database may be older."""
    async with game.core.database.write() as tx:
        await tx.run(delete(global_statistics))
    return game


async def trigger(player: Client, name: str, multiplier: float | None = 1) -> Any:
    return await player.call(SERVICE, "TRIGGER", eventName=name, eventMultiplier=multiplier)


async def progress(player: Client) -> dict[str, Any]:
    state = await player.call("playerState", "READ")
    return {
        **state["statistics"],
        "experience": state["experiencePoints"],
        "coins": state["currency"]["coins"]["balance"],
        **(await player.call("globalGameStatistics", "READ"))["statistics"],
    }


async def test_an_event_changes_what_it_says(game: Game) -> None:
    player = await game.player()
    assert await trigger(player, "won") == {"rewards": {}, "rewardDetails": {}, "currency": {}}
    assert await progress(player) == {"wins": 2, "lives": 9, "experience": 10, "coins": 0, "rounds": 1}


async def test_a_multiplier_multiplies_what_adds_up(game: Game) -> None:
    player = await game.player()
    await trigger(player, "won", 3.9)
    assert await progress(player) == {"wins": 6, "lives": 9, "experience": 30, "coins": 0, "rounds": 3}
    await trigger(player, "won", 0)
    assert (await progress(player))["wins"] == 6
    await player.call(SERVICE, "TRIGGER", eventName="quiet")
    await trigger(player, "quiet", None)
    assert (await progress(player))["wins"] == 8


@pytest.mark.parametrize("multiplier", [2, 1_000_000])
async def test_a_reward_beyond_what_a_balance_can_hold_is_refused(game: Game, multiplier: int) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "TRIGGER", eventName="hoard", eventMultiplier=multiplier)
    assert (refusal.status, refusal.reason_code) == (400, 40660)
    assert (await trigger(player, "hoard"))["currency"]["coins"]["balance"] == 2**53


async def test_an_event_pays_rewards(game: Game) -> None:
    player = await game.player()
    answer = await trigger(player, "chest")
    assert answer["rewards"] == {
        "experiencePoints": 60,
        "currency": {"coins": 3},
        "statistics": {"lives": 1},
        "globalStatistics": {"rounds": 5},
    }
    assert answer["rewardDetails"] == {"events": [{"eventName": "chest", "rewards": answer["rewards"]}]}
    assert answer["currency"] == {
        "coins": {"purchased": 0, "balance": 3, "consumed": 0, "awarded": 3, "revoked": 0}
    }
    assert await progress(player) == {"wins": 0, "lives": 4, "experience": 60, "coins": 3, "rounds": 5}


async def test_rewards_of_an_event_and_of_the_level_it_reaches_come_together(game: Game) -> None:
    player = await game.player()
    answer = await trigger(player, "chest", 2)
    assert answer["rewards"] == {
        "experienceLevels": [1],
        "experiencePoints": 120,
        "currency": {"coins": 56},
        "statistics": {"lives": 2},
        "globalStatistics": {"rounds": 10},
    }
    assert answer["rewardDetails"]["xp"] == {
        "experienceLevels": [{"level": 1, "rewards": {"currency": {"coins": 50}}}]
    }
    assert await progress(player) == {"wins": 0, "lives": 5, "experience": 120, "coins": 56, "rounds": 10}


async def test_several_events_in_turn(game: Game) -> None:
    player = await game.player()
    answer = await player.call(
        SERVICE,
        "TRIGGER_MULTIPLE",
        events=[{"eventName": "won", "eventMultiplier": 4}, {"eventName": "chest"}, {"eventName": "chest"}],
    )
    assert answer["rewards"]["experienceLevels"] == [1]
    assert answer["rewards"]["currency"] == {"coins": 56}
    assert answer["rewards"]["statistics"] == {"lives": 2}
    assert await progress(player) == {"wins": 8, "lives": 11, "experience": 160, "coins": 56, "rounds": 14}
    nothing: dict[str, Any] = {"rewards": {}, "rewardDetails": {}, "currency": {}}
    assert await player.call(SERVICE, "TRIGGER_MULTIPLE", events=[]) == nothing


async def test_what_is_completed_again_after_a_data_reset_is_rewarded_again(game: Game) -> None:
    player = await game.player()
    first = await trigger(player, "won", 10)
    assert first["rewards"] == {"experienceLevels": [1], "currency": {"coins": 50}}
    assert (await trigger(player, "won", 10))["rewards"] == {}
    await player.call("playerState", "GAME_DATA_RESET")
    again = await trigger(player, "won", 10)
    assert again["rewards"] == first["rewards"]
    assert again["currency"]["coins"]["balance"] == 100


async def test_concurrent_events_of_a_player_reach_a_level_once(game: Game) -> None:
    player = await game.player()
    calls = [
        game.server.call(SERVICE, "TRIGGER", player.profile_id, eventName="won", eventMultiplier=4)
        for _ in range(8)
    ]
    answers = await asyncio.gather(*calls)
    assert [answer["rewards"] for answer in answers if answer["rewards"]] == [
        {"experienceLevels": [1], "currency": {"coins": 50}}
    ]
    assert await progress(player) == {"wins": 64, "lives": 9, "experience": 320, "coins": 50, "rounds": 32}


async def test_a_repeated_packet_pays_once(game: Game) -> None:
    player = await game.player()
    body = player.body((SERVICE, "TRIGGER", {"eventName": "chest"}))
    first, second = await player.send(body), await player.send(body)
    assert first.content == second.content
    assert (await progress(player))["coins"] == 3


async def test_unknown_events_are_refused_and_nothing_happens(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "TRIGGER", eventName="lost", eventMultiplier=1)
    assert (refusal.status, refusal.reason_code) == (400, 40321)
    assert "lost" in refusal.message
    refusal = await player.refused(
        SERVICE, "TRIGGER_MULTIPLE", events=[{"eventName": "quiet"}, {"eventName": "lost"}]
    )
    assert refusal.reason_code == 40321
    assert (await progress(player))["wins"] == 0


@pytest.mark.parametrize(
    ("operation", "data", "code"),
    [
        ("TRIGGER", {}, 40358),
        ("TRIGGER", {"eventName": "won", "eventMultiplier": "2"}, 40359),
        ("TRIGGER", {"eventName": "won", "eventMultiplier": -1}, 40660),
        ("TRIGGER", {"eventName": "won", "eventMultiplier": 1_000_001}, 40660),
        ("TRIGGER_MULTIPLE", {}, 40358),
        ("TRIGGER_MULTIPLE", {"events": [{}]}, 40358),
        ("TRIGGER_MULTIPLE", {"events": [{"eventName": "quiet"}] * 51}, 40660),
    ],
)
async def test_what_a_request_lacks(game: Game, operation: str, data: dict[str, Any], code: int) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, operation, **data)).reason_code == code


@pytest.mark.parametrize("operation", ["TRIGGER", "TRIGGER_MULTIPLE"])
async def test_nothing_without_a_session(game: Game, operation: str) -> None:
    data = {"eventName": "won", "events": []}
    assert (await game.client().refused(SERVICE, operation, **data)).reason_code == 40304


async def test_what_an_event_names_is_declared(game: Game, apps_folder: Path) -> None:
    """A name nobody declared is a mistake of the file, and the server goes on with the last good one."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(
        file.read_text() + "[playerStatisticsEvent.events.odd]\nstatistics = { odd = 1 }\n"
        "global_statistics = { odder = 1 }\nrewards = { currency = { oddest = 2 } }\n"
    )
    loaded = load_apps(apps_folder, game.server_app.registry.sections())
    assert [problem.key for problem in loaded.problems] == [
        "playerStatisticsEvent.events.odd.statistics.odd",
        "playerStatisticsEvent.events.odd.global_statistics.odder",
        "playerStatisticsEvent.events.odd.rewards.currency.oddest",
    ]
    game.apps.replace(loaded)
    player = await game.player()
    assert (await player.refused(SERVICE, "TRIGGER", eventName="odd", eventMultiplier=1)).reason_code == 40321


async def test_mistakes_of_an_event_are_named(game: Game, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "app.toml").write_text(
        f'id = "1"\nsecret = "{"s" * 20}"\nplayerStatistics.create_unknown = true\n'
        "globalGameStatistics.create_unknown = true\n[playerStatisticsEvent.events.e]\n"
        'statistics = { a = "INC" }\nglobal_statistics = { b = "MAX#" }\n'
    )
    problems = load_apps(folder, game.server_app.registry.sections()).problems
    assert [problem.key for problem in problems] == [
        "playerStatisticsEvent.events.e.statistics.a",
        "playerStatisticsEvent.events.e.global_statistics.b",
    ]
