"""playerStatistics, spoken to as clients and servers would."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from gameserver.apps import load_apps
from gameserver.domain.progress.experience import PlayerStatisticsSettings, player_progress
from gameserver.domain.progress.statistics import global_statistics
from tests.conftest import Client, Game

SERVICE = "playerStatistics"
LEVELS = """
[virtualCurrency.currencies.coins]
[virtualCurrency.currencies.gems]
[globalGameStatistics.statistics.veterans]
[playerStatistics]
experience_maximum = 1000
[playerStatistics.statistics.wins]
[playerStatistics.statistics.lives]
initial = 3
minimum = 0
maximum = 9
category = "round"
[playerStatistics.statistics.best]
initial = 25
[[playerStatistics.levels]]
experience = 100
title = "Squire"
rewards = { currency = { coins = 10 } }
[[playerStatistics.levels]]
experience = 200
title = "Knight"
[playerStatistics.levels.rewards]
experience = 50
currency = { coins = 5, gems = 1 }
statistics = { lives = "SET#7" }
global_statistics = { veterans = 1 }
[[playerStatistics.levels]]
experience = 250
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps, with statistics and levels declared."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + LEVELS)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game in which nobody has touched what all players share; the run's database may be older."""
    async with game.core.database.write() as tx:
        await tx.run(delete(global_statistics))
    return game


def redefine(game: Game, apps_folder: Path, old: str, new: str) -> None:
    """Change the definition of the test app while the server runs."""
    file = apps_folder / "test" / "app.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    apps = load_apps(apps_folder, game.server_app.registry.sections())
    assert apps.problems == []
    game.apps.replace(apps)


async def process(player: Client, **statistics: Any) -> Any:
    return await player.call(SERVICE, "PROCESS_STATISTICS", statistics=statistics)


async def refused(player: Client, **statistics: Any) -> int:
    refusal = await player.refused(SERVICE, "PROCESS_STATISTICS", statistics=statistics)
    assert refusal.status == 400
    assert next(iter(statistics)) in refusal.message
    return refusal.reason_code


# The grammar


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        (10, 35),
        (-5.5, 19.5),
        ("5", 30),
        ("-0.5", 24.5),
        ("INC#9", 34),
        ("INC#-9", 16),
        ("DEC#9", 16),
        ("SET#9", 9),
        ("SET#1.5e3", 1500),
        ("RESET", 25),
        ("INC_TO_LIMIT#9#30", 30),
        ("INC_TO_LIMIT#2#30", 27),
        ("INC_TO_LIMIT#1#20", 20),
        ("DEC_TO_LIMIT#9#-30", 16),
        ("DEC_TO_LIMIT#9#20", 20),
        ("DEC_TO_LIMIT#9#30", 30),
        ("MAX#20", 25),
        ("MAX#99", 99),
        ("MIN#20", 20),
        ("MIN#99", 25),
    ],
)
async def test_every_form_of_the_grammar(game: Game, operation: Any, result: float) -> None:
    player = await game.player()
    assert await process(player, best=operation) == {"statistics": {"best": result}}
    assert (await player.call(SERVICE, "READ"))["statistics"]["best"] == result


@pytest.mark.parametrize(
    "operation",
    [
        "",
        " 5",
        "5 ",
        "five",
        "INC",
        "INC#",
        "INC#x",
        "inc#1",
        "INC#1#2",
        "INC#1 ",
        "INC#1\n",
        "INC #1",
        "RESET#1",
        "SET",
        "INC_TO_LIMIT#1",
        "INC_TO_LIMIT#1#2#3",
        "MAX_TO_LIMIT#1#2",
        "ADD#1",
        "INC#nan",
        "INC#inf",
        "INC#1e99",
        "INC#9007199254740993",
        "SET#0x10",
        "INC#٣",
        1e300,
        True,
        None,
        [1],
        {"INC": 1},
    ],
)
async def test_what_almost_is_the_grammar_changes_nothing(game: Game, operation: Any) -> None:
    player = await game.player()
    assert await refused(player, best=operation) == 40660
    entries = await player.packet((SERVICE, "UPDATE", {"statistics": {"wins": 1, "best": operation}}))
    assert entries[0]["reason_code"] == 40660
    assert (await player.call(SERVICE, "READ"))["statistics"] == {"wins": 0, "lives": 3, "best": 25}


async def test_a_result_outside_of_the_rule_is_cut_and_said_so(game: Game) -> None:
    player = await game.player()
    assert await process(player, lives="INC#6", wins=1) == {"statistics": {"lives": 9, "wins": 1}}
    answer = await process(player, lives="INC#1", wins=1)
    assert answer == {"statistics": {"lives": 9, "wins": 2}, "statisticsExceptions": {"lives": "maxApplied"}}
    answer = await process(player, lives="SET#-1")
    assert answer == {"statistics": {"lives": 0}, "statisticsExceptions": {"lives": "minApplied"}}
    answer = await process(player, wins=2**53)
    assert answer == {"statistics": {"wins": 2**53}, "statisticsExceptions": {"wins": "maxApplied"}}


async def test_unknown_statistics_are_refused_by_name(game: Game) -> None:
    player = await game.player()
    assert await refused(player, losses=1) == 40369
    refusal = await player.refused(SERVICE, "UPDATE", statistics={"wins": 1, "losses": "MAX#1"})
    assert refusal.reason_code == 40369
    assert "losses" in refusal.message
    assert (await player.call(SERVICE, "READ"))["statistics"]["wins"] == 0


async def test_an_app_may_create_statistics_as_they_come(game: Game, apps_folder: Path) -> None:
    redefine(game, apps_folder, "[playerStatistics]", "[playerStatistics]\ncreate_unknown = true")
    player = await game.player()
    assert await process(player, losses="INC#2") == {"statistics": {"losses": 2}}
    generated = await player.call(SERVICE, "READ_FOR_CATEGORY", category="generated")
    assert generated == {"statistics": {"losses": 2}}
    assert (await player.refused(SERVICE, "UPDATE", statistics={"x" * 65: 1})).reason_code == 40369
    assert (await player.refused(SERVICE, "UPDATE", statistics={"a\nb": 1})).reason_code == 40369
    for part in range(3):
        entries = await player.packet(
            (SERVICE, "UPDATE", {"statistics": {f"{part}-{i}": 1 for i in range(200)}})
        )
        assert entries[0]["status"] == (200 if part < 2 else 400)
    assert len((await player.call(SERVICE, "READ"))["statistics"]) == 3 + 1 + 400


async def test_a_request_has_a_limit(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "UPDATE", statistics={str(i): 1 for i in range(501)})
    assert refusal.reason_code == 40660


# Reading and resetting


async def test_reading_all_some_and_a_category(game: Game) -> None:
    player = await game.player()
    await process(player, wins=2)
    assert await player.call(SERVICE, "READ") == {"statistics": {"wins": 2, "lives": 3, "best": 25}}
    some = await player.call(SERVICE, "READ_SUBSET", statistics=["best", "wins", "losses"])
    assert some == {"statistics": {"best": 25, "wins": 2}}
    assert await player.call(SERVICE, "READ_FOR_CATEGORY", category="round") == {"statistics": {"lives": 3}}
    assert await player.call(SERVICE, "READ_FOR_CATEGORY", category="none") == {"statistics": {}}


async def test_reading_is_one_statement(game: Game) -> None:
    player = await game.player()
    seen = game.statements()
    for operation, data in (
        ("READ", {}),
        ("READ_SUBSET", {"statistics": ["wins"]}),
        ("READ_FOR_CATEGORY", {"category": "round"}),
        ("READ_NEXT_XPLEVEL", {}),
    ):
        seen.clear()
        await player.call(SERVICE, operation, **data)
        assert seen == ["one"]


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("READ", {}),
        ("READ_SUBSET", {"statistics": []}),
        ("READ_FOR_CATEGORY", {"category": ""}),
        ("READ_NEXT_XPLEVEL", {}),
        ("RESET", {}),
        ("UPDATE", {"xp_points": 1}),
        ("UPDATE_INCREMENT", {"statistics": {"wins": 1}}),
        ("PROCESS_STATISTICS", {"statistics": {"wins": 1}}),
        ("SET_XPPOINTS", {"xp_points": 1}),
    ],
)
async def test_nothing_without_a_session(game: Game, operation: str, data: dict[str, Any]) -> None:
    assert (await game.client().refused(SERVICE, operation, **data)).reason_code == 40304
    unknown = "00000000-0000-4000-8000-000000000000"
    assert (await game.server.refused(SERVICE, operation, unknown, **data)).reason_code == 40304


@pytest.mark.parametrize(
    ("operation", "data", "code"),
    [
        ("READ_SUBSET", {}, 40358),
        ("READ_SUBSET", {"statistics": "wins"}, 40359),
        ("READ_FOR_CATEGORY", {}, 40358),
        ("UPDATE", {}, 40358),
        ("UPDATE", {"statistics": [1]}, 40359),
        ("UPDATE", {"xp_points": -1}, 40660),
        ("UPDATE", {"xp_points": 1.5}, 40359),
        ("UPDATE", {"xp_points": "1"}, 40359),
        ("PROCESS_STATISTICS", {}, 40358),
        ("PROCESS_STATISTICS", {"statistics": None}, 40358),
        ("SET_XPPOINTS", {}, 40358),
        ("SET_XPPOINTS", {"xp_points": -1}, 40660),
    ],
)
async def test_what_a_request_lacks(game: Game, operation: str, data: dict[str, Any], code: int) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, operation, **data)).reason_code == code


async def test_reset_goes_back_to_initial_values_and_leaves_experience(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", statistics={"wins": 4, "lives": 1}, xp_points=120)
    assert await player.call(SERVICE, "RESET") == {
        "statistics": {"wins": 0, "lives": 3, "best": 25},
        "experiencePoints": 120,
        "experienceLevel": 1,
        "xpCapped": False,
        "milestones": {},
        "quests": {},
        "playerAchievements": [],
    }
    assert (await player.call(SERVICE, "READ"))["statistics"] == {"wins": 0, "lives": 3, "best": 25}


# Updates


async def test_an_update_tells_the_whole_progress(game: Game) -> None:
    player = await game.player()
    expected = {
        "experiencePoints": 0,
        "experienceLevel": 0,
        "xpCapped": False,
        "statistics": {"wins": 1, "lives": 3, "best": 25},
        "rewards": {},
        "rewardDetails": {},
        "currency": {},
    }
    assert await player.call(SERVICE, "UPDATE", statistics={"wins": 1}) == expected
    again = await player.call(SERVICE, "UPDATE_INCREMENT", statistics={"wins": 1, "lives": "INC#99"})
    expected["statistics"] = {"wins": 2, "lives": 9, "best": 25}
    assert again == expected | {"statisticsExceptions": {"lives": "maxApplied"}}


async def test_an_update_of_many_statistics_is_two_statements(game: Game) -> None:
    player = await game.player()
    seen = game.statements()
    await player.call(SERVICE, "UPDATE", statistics={"wins": 1, "lives": 1, "best": 1})
    assert [kind for kind in seen if kind in {"one", "all", "run", "later"}][:2] == ["one", "later"]
    first = len(seen)
    seen.clear()
    await player.call(SERVICE, "UPDATE", statistics={"wins": 1})
    assert len(seen) == first


async def test_concurrent_sessions_of_a_player_lose_nothing(game: Game) -> None:
    player = await game.player()
    others = [
        game.server.call(SERVICE, "UPDATE", player.profile_id, statistics={"wins": 1}, xp_points=1)
        for _ in range(20)
    ]
    await asyncio.gather(*others)
    answer = await player.call(SERVICE, "UPDATE", statistics={"wins": 1}, xp_points=1)
    assert (answer["statistics"]["wins"], answer["experiencePoints"]) == (21, 21)


# Experience


async def test_a_level_pays_its_rewards(game: Game) -> None:
    player = await game.player()
    assert (await player.call(SERVICE, "UPDATE", xp_points=99))["rewards"] == {}
    answer = await player.call(SERVICE, "UPDATE", xp_points=1)
    assert (answer["experiencePoints"], answer["experienceLevel"]) == (100, 1)
    assert answer["rewards"] == {"experienceLevels": [1], "currency": {"coins": 10}}
    details = {"experienceLevels": [{"level": 1, "rewards": {"currency": {"coins": 10}}}]}
    assert answer["rewardDetails"] == {"xp": details}
    nothing = {"purchased": 0, "balance": 0, "consumed": 0, "awarded": 0, "revoked": 0}
    assert answer["currency"] == {"coins": nothing | {"balance": 10, "awarded": 10}, "gems": nothing}
    assert (await player.call(SERVICE, "UPDATE", xp_points=0))["rewards"] == {}


async def test_rewards_of_a_level_may_reach_the_next(game: Game) -> None:
    player = await game.player()
    answer = await player.call(SERVICE, "UPDATE", xp_points=200)
    assert (answer["experiencePoints"], answer["experienceLevel"]) == (250, 3)
    assert answer["rewards"] == {
        "experienceLevels": [1, 2, 3],
        "experiencePoints": 50,
        "currency": {"coins": 15, "gems": 1},
        "statistics": {"lives": "SET#7"},
        "globalStatistics": {"veterans": 1},
    }
    assert answer["statistics"]["lives"] == 7
    assert answer["currency"]["coins"]["balance"] == 15
    everybody = await player.call("globalGameStatistics", "READ")
    assert everybody == {"statistics": {"veterans": 1}}


async def test_experience_ends_at_its_maximum(game: Game) -> None:
    player = await game.player()
    answer = await player.call(SERVICE, "UPDATE", xp_points=2**53)
    assert (answer["experiencePoints"], answer["xpCapped"]) == (1000, True)
    assert (await player.call("playerState", "READ"))["xpCapped"] is True


async def test_the_next_level(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", xp_points=100)
    answer = await player.call(SERVICE, "READ_NEXT_XPLEVEL")
    assert answer["xp_level"] == {
        "gameId": game.app.id,
        "numericLevel": 2,
        "experience": 200,
        "rewards": {
            "globalGameStatistics": {"veterans": 1},
            "experiencePoints": 50,
            "playerStatistics": {"lives": "SET#7"},
            "achievement": None,
            "currencies": {"coins": 5, "gems": 1},
        },
        "facebookAction": "",
        "statusTitle": "Knight",
        "key": {"gameId": game.app.id, "numericLevel": 2, "primaryKey": True},
    }
    await player.call(SERVICE, "UPDATE", xp_points=500)
    assert await player.call(SERVICE, "READ_NEXT_XPLEVEL") == {"xp_level": None}


async def test_setting_experience_rewards_nobody(game: Game) -> None:
    player = await game.player()
    assert await player.call(SERVICE, "SET_XPPOINTS", xp_points=150) is None
    state = await player.call("playerState", "READ")
    assert (state["experiencePoints"], state["experienceLevel"]) == (150, 1)
    assert state["currency"]["coins"]["balance"] == 0
    assert (await player.call(SERVICE, "UPDATE", xp_points=1))["rewards"] == {}


async def test_a_client_cannot_collect_a_level_twice(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", xp_points=100)
    await player.call(SERVICE, "SET_XPPOINTS", xp_points=0)
    assert (await player.call("playerState", "READ"))["experienceLevel"] == 0
    answer = await player.call(SERVICE, "UPDATE", xp_points=120)
    assert (answer["experienceLevel"], answer["rewards"]) == (1, {})
    answer = await player.call(SERVICE, "UPDATE", xp_points=80)
    assert answer["rewards"]["experienceLevels"] == [2, 3]
    assert answer["currency"]["coins"]["balance"] == 15


async def test_a_level_that_a_server_took_back_pays_again(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", xp_points=100)
    lower = ("SYS_RESET_EXPERIENCE_POINTS_AND_LEVEL", player.profile_id)
    await game.server.call(SERVICE, *lower, xp_points=0, recalculateXPLevel=False)
    assert (await player.call(SERVICE, "UPDATE", xp_points=100))["rewards"] == {}
    await game.server.call(SERVICE, *lower, xp_points=0, recalculateXPLevel=True)
    answer = await player.call(SERVICE, "UPDATE", xp_points=100)
    assert answer["rewards"] == {"experienceLevels": [1], "currency": {"coins": 10}}
    assert answer["currency"]["coins"]["balance"] == 20


async def test_thresholds_that_fall_are_reached_with_the_next_points(game: Game, apps_folder: Path) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", xp_points=60)
    redefine(game, apps_folder, "experience = 100", "experience = 50")
    assert (await player.call(SERVICE, "UPDATE", statistics={"wins": 1}))["experienceLevel"] == 0
    assert (await player.call(SERVICE, "UPDATE", xp_points=0))["rewards"]["experienceLevels"] == [1]


async def test_servers_lower_experience(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", xp_points=150)
    name = "SYS_RESET_EXPERIENCE_POINTS_AND_LEVEL"
    assert await game.server.call(SERVICE, name, player.profile_id, xp_points=5) == {
        "experiencePoints": 5,
        "experienceLevel": 1,
        "xpCapped": False,
        "sessionInvalidations": {"invalidatedCount": 0, "invalidated": [], "verification": True},
    }
    answer = await game.server.call(SERVICE, name, player.profile_id, xp_points=4, recalculateXPLevel=True)
    assert (answer["experiencePoints"], answer["experienceLevel"]) == (4, 0)
    refusal = await game.server.refused(SERVICE, name, player.profile_id, xp_points=5)
    assert refusal.reason_code == 40660
    answer = await game.server.call(
        SERVICE, name, player.profile_id, xp_points=5, skipResetIfUserXPPointsAlreadyLower=True
    )
    assert answer["experiencePoints"] == 4
    assert (await player.refused(SERVICE, name, xp_points=0)).reason_code == 40346


async def test_servers_lower_the_experience_of_any_player(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", xp_points=150)
    name = "SYS_RESET_EXPERIENCE_POINTS_AND_LEVEL_FOR_USER"
    answer = await game.server.call(
        SERVICE, name, profileId=player.profile_id, xp_points=0, recalculateXPLevel=True
    )
    assert answer == {"experiencePoints": 0, "experienceLevel": 0, "xpCapped": False}
    refusal = await game.server.refused(SERVICE, name, profileId="nobody", xp_points=0)
    assert refusal.reason_code == 40374
    refusal = await game.server.refused(SERVICE, name, profileId=player.profile_id, xp_points=1)
    assert refusal.reason_code == 40660


# A player's life


async def test_login_and_read_tell_the_progress(game: Game) -> None:
    player = game.client()
    answer = await player.log_in("Universal", "ada", "secret")
    expected = {
        "statistics": {"wins": 0, "lives": 3, "best": 25},
        "experiencePoints": 0,
        "experienceLevel": 0,
        "xpCapped": False,
    }
    assert {key: answer[key] for key in expected} == expected
    await player.call(SERVICE, "UPDATE", statistics={"wins": 1}, xp_points=100)
    expected |= {
        "statistics": {"wins": 1, "lives": 3, "best": 25},
        "experiencePoints": 100,
        "experienceLevel": 1,
    }
    answer = await game.client().log_in("Universal", "ada", "secret")
    assert {key: answer[key] for key in expected} == expected
    assert answer["currency"]["coins"]["balance"] == 10


async def test_a_data_reset_goes_back_to_the_start_and_levels_pay_again(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE", statistics={"wins": 1}, xp_points=100)
    await player.call("playerState", "GAME_DATA_RESET")
    state = await player.call("playerState", "READ")
    assert (state["experiencePoints"], state["experienceLevel"]) == (0, 0)
    assert state["statistics"] == {"wins": 0, "lives": 3, "best": 25}
    assert state["currency"]["coins"]["balance"] == 10
    answer = await player.call(SERVICE, "UPDATE", xp_points=100)
    assert answer["rewards"] == {"experienceLevels": [1], "currency": {"coins": 10}}


async def test_a_deleted_player_leaves_nothing(game: Game) -> None:
    player = game.client()
    await player.log_in("Universal", "ada", "secret")
    await player.call(SERVICE, "UPDATE", statistics={"wins": 1}, xp_points=100)
    gone = player.profile_id
    await player.call("playerState", "FULL_PLAYER_RESET")
    async with game.core.database.read() as tx:
        assert await tx.all(select(player_progress).where(player_progress.c.profile_id == gone)) == []
    refusal = await game.server.refused(SERVICE, "READ", gone)
    assert refusal.reason_code == 40304
    answer = await player.log_in("Universal", "ada", "secret")
    assert (answer["experiencePoints"], answer["statistics"]["wins"]) == (0, 0)


# The definition

LEVEL = "[[playerStatistics.levels]]\nexperience = 5\n"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (
            "[playerStatistics.statistics.a]\ninitial = 1\nmaximum = 0",
            "playerStatistics.statistics.a.initial",
        ),
        (
            "[playerStatistics.statistics.a]\nminimum = 1\nmaximum = 0",
            "playerStatistics.statistics.a.minimum",
        ),
        ("[playerStatistics.statistics.a]\ninitial = nan", "playerStatistics.statistics.a.initial"),
        ("[playerStatistics.statistics.a]\ninitial = 1e99", "playerStatistics.statistics.a.initial"),
        (
            "[[playerStatistics.levels]]\nexperience = 5\n[[playerStatistics.levels]]\nexperience = 5",
            "playerStatistics.levels[1].experience",
        ),
        (
            "[[playerStatistics.levels]]\nexperience = 0\nrewards = { experience = 1 }",
            "playerStatistics.levels[0].rewards",
        ),
        (
            "[playerStatistics]\nexperience_maximum = 4\n[[playerStatistics.levels]]\nexperience = 5",
            "playerStatistics.levels[0].experience",
        ),
        (
            LEVEL + 'rewards.statistics.a = "INC"\n[playerStatistics.statistics.a]',
            "playerStatistics.levels[0].rewards.statistics.a",
        ),
        (
            LEVEL + "rewards.currency.a = 0\n[virtualCurrency.currencies.a]",
            "playerStatistics.levels[0].rewards.currency.a",
        ),
    ],
)
async def test_mistakes_of_a_definition_are_named(game: Game, tmp_path: Path, text: str, key: str) -> None:
    folder = tmp_path / "wrong"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "app.toml").write_text(f'id = "1"\nsecret = "{"s" * 20}"\n{text}\n')
    [problem] = load_apps(folder, game.server_app.registry.sections()).problems
    assert problem.key == key


async def test_the_sample_is_right_where_it_is_commented_out(game: Game, tmp_path: Path) -> None:
    registry = game.server_app.registry
    names = ("playerStatistics", "playerStatisticsEvent", "globalGameStatistics", "virtualCurrency")
    samples = {name: registry.samples()[name] for name in names}
    folder = tmp_path / "sample"
    (folder / "app").mkdir(parents=True)
    text = re.sub(r"(?m)^#(?=[\[a-z])", "", "\n".join(samples.values()))
    (folder / "app" / "app.toml").write_text(f'id = "1"\nsecret = "{"s" * 20}"\n{text}')
    apps = load_apps(folder, registry.sections())
    assert apps.problems == []
    app = apps.find("1")
    assert app is not None
    settings = app.section(PlayerStatisticsSettings)
    assert [level.title for level in settings.levels] == ["Squire", "Knight"]
    assert settings.statistics["lives"].category == "round"


async def test_whoever_comes_back_is_told_of_their_own(game: Game) -> None:
    ids = [game.unique("back") for _ in range(3)]
    profiles = []
    for wins, external_id in enumerate(ids):
        player = await game.player(external_id=external_id)
        await player.call("playerStatistics", "UPDATE", statistics={"wins": wins})
        profiles.append(player.profile_id)
    for wins, external_id in enumerate(ids):
        told = await game.client().log_in(external_id=external_id, profileId=profiles[wins])
        assert told["statistics"]["wins"] == wins
