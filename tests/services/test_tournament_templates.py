"""Templates of tournaments."""

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from tests.conftest import Client, Game
from tests.services.tournaments import (
    DAY,
    SERVICE,
    apps_folder,
    claim,
    coins,
    create,
    game,
    join,
    post,
    refused,
    status,
    teams,
    tick,
)

__all__ = ["apps_folder", "game", "teams"]  # fixtures


RULES = [
    {"rank": {"rankAbs": 1}, "reward": {"experiencePoints": 10, "currency": {"coins": 100}}},
    {"rank": {"rankToPercent": 50}, "reward": {"currency": {"coins": 5}}},
    {"rank": {"rankRemainder": -1}, "reward": {}},
]


async def test_templates_live_and_die(game: Game) -> None:
    code = game.unique("t")
    made = await create(game, code, description={"name": {"en": "T"}}, payoutRules=RULES)
    assert (made["version"], made["payoutRules"], made["entryType"]) == (1, RULES, "PLAYER")
    edited = await game.server.call(
        SERVICE,
        "SYS_EDIT_TOURNAMENT_TEMPLATE",
        tournamentCode=code,
        configJson={"entryFee": {"currency": {"coins": 1}}},
        version=1,
        applyChangesToLiveLeaderboards=False,
    )
    assert (edited["version"], edited["payoutRules"]) == (2, RULES)
    read = await game.server.call(SERVICE, "SYS_READ_TOURNAMENT_TEMPLATE", tournamentCode=code, version=-1)
    assert read == edited
    old = await game.server.call(SERVICE, "SYS_READ_TOURNAMENT_TEMPLATE", tournamentCode=code, version=1)
    assert old == made
    listed = await game.server.call(
        SERVICE, "SYS_LIST_TOURNAMENT_TEMPLATES", optionsJson={"sort": "DESCENDING"}
    )
    codes = [template["tournamentCode"] for template in listed["tournamentTemplates"]]
    assert codes == sorted(codes, reverse=True)
    assert {code, "free", "paid", "teams"} <= set(codes)
    named: dict[str, Any] = {"tournamentCode": code}
    for operation, more, reason in (
        ("SYS_CREATE_TOURNAMENT_TEMPLATE", {"configJson": {}}, 40563),
        ("SYS_EDIT_TOURNAMENT_TEMPLATE", {"configJson": {}, "version": 1}, 40344),
        ("SYS_DELETE_TOURNAMENT_TEMPLATE", {"version": 1}, 40344),
    ):
        assert (await game.server.refused(SERVICE, operation, **named, **more)).reason_code == reason
    assert await game.server.call(SERVICE, "SYS_DELETE_TOURNAMENT_TEMPLATE", **named) == {}
    requests: dict[str, dict[str, Any]] = {
        "SYS_EDIT_TOURNAMENT_TEMPLATE": {"configJson": {}},
        "SYS_DELETE_TOURNAMENT_TEMPLATE": {},
        "SYS_READ_TOURNAMENT_TEMPLATE": {},
    }
    for operation, data in requests.items():
        assert (await game.server.refused(SERVICE, operation, **named, **data)).reason_code == 40524
    assert (await create(game, code))["version"] == 3


@pytest.mark.parametrize("operation", ["SYS_CREATE_TOURNAMENT_TEMPLATE", "SYS_EDIT_TOURNAMENT_TEMPLATE"])
async def test_templates_that_are_none(game: Game, operation: str) -> None:
    code = game.unique("t")
    if operation.startswith("SYS_EDIT"):
        await create(game, code)
    for config, reason in (
        ({"entryFee": {"currency": {"stones": 1}}}, 40546),
        ({"payoutRules": [{"rank": {"rankAbs": 1}, "reward": {"currency": {"stones": 1}}}]}, 40546),
        ({"payoutRules": [{"rank": {"rankAbs": 1}, "reward": {"statistics": {"winz": 1}}}]}, 40369),
        ({"payoutRules": [{"rank": {"rankAbs": 1}, "reward": {"globalStatistics": {"x": 1}}}]}, 40369),
        ({"payoutRules": [{"rank": {}, "reward": {}}]}, 40660),
        ({"payoutRules": [{"rank": {"rankAbs": 0}, "reward": {}}]}, 40660),
        ({"payoutRules": [{"rank": {"rankAbs": 1}, "reward": {"achievement": "a"}}]}, 40660),
        ({"notifications": {"midnight": {}}}, 40660),
        ({"notifications": {"start": {"enabled": 1}}}, 40359),
        ({"notifications": {"start": {"mail": {"en": 7}}}}, 40359),
        ({"payoutRules": 1}, 40359),
        ("[]", 40359),
    ):
        refusal = await game.server.refused(SERVICE, operation, tournamentCode=code, configJson=config)
        assert refusal.reason_code == reason, config
    refusal = await game.server.refused(SERVICE, operation, tournamentCode="free", configJson={})
    assert refusal.reason_code == (40660 if operation.startswith("SYS_EDIT") else 40563)
    refusal = await game.server.refused(
        SERVICE, "SYS_LIST_TOURNAMENT_TEMPLATES", optionsJson={"sort": "SIDEWAYS"}
    )
    assert refusal.reason_code == 40660


async def test_a_changed_template_holds_for_later_periods(game: Game) -> None:
    player = await game.player()
    row = await game.server.refused(SERVICE, "SYS_READ_TOURNAMENT_TEMPLATE", tournamentCode="later")
    assert row.reason_code == 40524
    await create(game, "later", payoutRules=RULES)
    try:
        game.clock.advance(60)
        await join(player, "later")
        await edit_fee(game, 7, live=False)
        assert await fee(player) == {}
        await edit_fee(game, 8, live=True)
        assert await fee(player) == {"currency": {"coins": 8}}
        game.clock.advance(DAY)
        await tick(game)
        assert await fee(player) == {"currency": {"coins": 8}}
    finally:
        await game.server.call(SERVICE, "SYS_DELETE_TOURNAMENT_TEMPLATE", tournamentCode="later")
    assert (await claim(player))["rewards"]["currency"] == {"coins": 100}  # promised is promised


async def test_servers_read_the_templates_of_a_board_as_they_hold(game: Game) -> None:
    async def configs(board: str = "daily", version: int | None = -1) -> dict[str, Any]:
        told = await game.server.call(
            SERVICE, "GET_TOURNAMENT_CONFIGS", leaderboardId=board, leaderboardVersionId=version
        )
        assert told["tournamentConfigsCount"] == len(told["tournamentConfigs"])
        return {config["tournamentCode"]: config for config in told["tournamentConfigs"]}

    declared = await configs()
    assert list(declared) == ["free", "paid"]
    assert (declared["free"]["calcScript"], declared["free"]["postScript"]) == ("", "")
    game.clock.advance(60)
    made = await create(game, "later", payoutRules=RULES)
    try:
        player = await game.player()
        await join(player, "later")
        was = (await player.call(SERVICE, "GET_TOURNAMENT_STATUS", leaderboardId="daily"))["versionId"]
        await edit_fee(game, 7, live=False)  # holds for periods that begin later
        found = await configs(version=None)
        assert list(found) == ["free", "paid", "later"]
        assert found["later"]["payoutRules"] == RULES
        assert found["later"] == made
        game.clock.advance(DAY)
        await tick(game)
        assert (await configs())["later"]["version"] == made["version"] + 1
        assert (await configs(version=was))["later"] == made
    finally:
        await game.server.call(SERVICE, "SYS_DELETE_TOURNAMENT_TEMPLATE", tournamentCode="later")
    for board, version, reason in (("nowhere", -1, 40499), ("plain", -1, 40495), ("daily", 99_999, 40506)):
        refusal = await game.server.refused(
            SERVICE, "GET_TOURNAMENT_CONFIGS", leaderboardId=board, leaderboardVersionId=version
        )
        assert refusal.reason_code == reason
    refusal = await (await game.player()).refused(SERVICE, "GET_TOURNAMENT_CONFIGS", leaderboardId="daily")
    assert refusal.reason_code == 40346


@pytest.mark.parametrize("percent", ["10", "10.0", "1e1"])
async def test_numbers_are_told_as_clients_write_them(game: Game, apps_folder: Path, percent: str) -> None:
    """A client that reads whole numbers stumbles over 10.0."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(
        file.read_text()
        + f"[playerStatistics.statistics.won]\n[leaderboard.boards.fine]\nrotation = 'DAILY'\n"
        f"reset = 2023-01-05T00:00:00Z\ntournament = {{ codes = ['fine'] }}\n[tournament.templates.fine]\n"
        f"payouts = [{{ percent = {percent}, rewards = {{ statistics = {{ won = 1.0 }} }} }}]\n"
    )
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    [config] = (await status(await game.player(), "fine"))["tournamentConfigs"]
    told = {"rank": {"rankToPercent": 10}, "reward": {"statistics": {"won": 1}}}
    assert repr(config["payoutRules"]) == repr([told])
    rules = json.loads(f'[{{"rank":{{"rankToPercent":{percent}}},"reward":{{"statistics":{{"won":1.0}}}}}}]')
    made = await create(game, game.unique("t"), payoutRules=rules)
    assert repr(made["payoutRules"]) == repr([{**told, "rank": made["payoutRules"][0]["rank"]}])
    assert repr(made["payoutRules"][0]["rank"]["rankToPercent"]) == "10"


async def test_what_is_no_longer_declared_is_not_granted(game: Game, apps_folder: Path) -> None:
    """A template that servers made outlives the currency it promises; the rest of the reward is paid."""
    reward = {"currency": {"gems": 7, "coins": 1}, "statistics": {"won": 1}, "globalStatistics": {"cups": 1}}
    file = apps_folder / "test" / "app.toml"
    without = file.read_text()
    more = ["virtualCurrency.currencies.gems", "playerStatistics.statistics.won"]
    more.append("globalGameStatistics.statistics.cups")
    sections = game.server_app.registry.sections()
    file.write_text(without + "".join(f"[{name}]\n" for name in more))
    game.apps.replace(load_apps(apps_folder, sections))
    await create(game, "later", payoutRules=[{"rank": {"rankAbs": 1}, "reward": reward}])
    try:
        player = await game.player()
        game.clock.advance(60)
        await join(player, "later")
        game.clock.advance(DAY)
        await tick(game)
        file.write_text(without)
        game.apps.replace(load_apps(apps_folder, sections))
        seen = await player.call(SERVICE, "VIEW_REWARD", leaderboardId="daily", versionId=-1)
        assert seen["rewards"] == {"currency": {"coins": 1}}
        got = await claim(player)
        assert got["rewards"]["currency"] == {"coins": 1}
        assert "gems" not in got["currency"]
        assert "won" not in got["statistics"]
    finally:
        await game.server.call(SERVICE, "SYS_DELETE_TOURNAMENT_TEMPLATE", tournamentCode="later")


async def test_a_board_may_take_a_template_up_to_a_version(game: Game) -> None:
    player = await game.player()
    board, code = game.unique("b"), game.unique("t")
    await create(game, code, payoutRules=[{"rank": {"rankAbs": 1}, "reward": {"currency": {"coins": 1}}}])
    for coins_won in (2, 3):
        await game.server.call(
            SERVICE,
            "SYS_EDIT_TOURNAMENT_TEMPLATE",
            tournamentCode=code,
            configJson={
                "payoutRules": [{"rank": {"rankAbs": 1}, "reward": {"currency": {"coins": coins_won}}}]
            },
            applyChangesToLiveLeaderboards=True,
        )
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "DAILY", "tEnabled": True, "retainedCount": 2}
    named = {"leaderboardId": board}
    await game.server.call("leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", **named, configJson=config)
    configs = {"a": {"tConfigCode": code, "activeUpUntil": 2}, "b": {"tConfigCode": "free"}}
    settings = {"tTournament": {"tConfigs": configs}}
    edited = await game.server.call(
        "leaderboard",
        "SYS_EDIT_TOURNAMENT_SETTINGS_INCLUDING_CURRENT_PERIOD",
        **named,
        tSettingsJson=settings,
    )
    assert edited[board]["currentPeriod"]["tConfigVers"] == {code: 2, "free": 1}
    game.clock.advance(3 * DAY)  # it is not the board's versions that are counted
    await join(player, code, board)
    shown = (await status(player, board))["tournamentConfigs"][0]
    assert shown["payoutRules"][0]["reward"] == {"currency": {"coins": 2}}
    version = (await post(player, 1, board))["versionId"]
    game.clock.advance(DAY)
    await tick(game)
    seen = await player.call(SERVICE, "VIEW_REWARD", **named, versionId=version)
    assert seen["rewards"] == {"currency": {"coins": 2}}
    answer = await claim(player, board, version)
    assert answer["rewards"] == {"currency": {"coins": 2}}
    assert answer["rewardDetails"]["tournaments"][0]["tCVersion"] == 2


async def test_nobody_pays_who_did_not_ask(game: Game) -> None:
    board, code = game.unique("b"), game.unique("t")
    await create(game, code)
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "DAILY", "tEnabled": True}
    named = {"leaderboardId": board}
    await game.server.call("leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", **named, configJson=config)

    def settings(name: str) -> dict[str, Any]:
        return {"tTournament": {"tConfigs": {"a": {"tConfigCode": name}}, "tAutoJoin": True}}

    for periods in ("FOR_FUTURE_PERIODS_ONLY", "INCLUDING_CURRENT_PERIOD"):
        edit = ("leaderboard", f"SYS_EDIT_TOURNAMENT_SETTINGS_{periods}")
        refusal = await game.server.refused(*edit, **named, tSettingsJson=settings("paid"))
        assert (refusal.status, refusal.reason_code) == (400, 40840)
        await game.server.call(*edit, **named, tSettingsJson=settings(code))
    player, other = await game.player(), await game.player()
    await post(player, 1, board)
    await game.server.call(
        SERVICE,
        "SYS_EDIT_TOURNAMENT_TEMPLATE",
        tournamentCode=code,
        configJson={"entryFee": {"currency": {"coins": 5}}},
        applyChangesToLiveLeaderboards=True,
    )
    await game.server.call("virtualCurrency", "AWARD_VC", other.profile_id, vcId="coins", vcAmount=5)
    assert await refused(other, "POST_TOURNAMENT_SCORE", leaderboardId=board, score=1) == (400, 40505)
    assert await coins(other) == 5
    await join(other, code, board)
    assert await coins(other) == 0


async def edit_fee(game: Game, amount: int, *, live: bool) -> None:
    await game.server.call(
        SERVICE,
        "SYS_EDIT_TOURNAMENT_TEMPLATE",
        tournamentCode="later",
        configJson={"entryFee": {"currency": {"coins": amount}}},
        applyChangesToLiveLeaderboards=live,
    )


async def fee(player: Client) -> Any:
    configs = (await status(player))["tournamentConfigs"]
    return next(config["entryFee"] for config in configs if config["tournamentCode"] == "later")
