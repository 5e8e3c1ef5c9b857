"""Divisions of tournaments."""

import asyncio
from typing import Any

from tests.conftest import Client, Game
from tests.services.tournaments import (
    DAY,
    HOUR,
    SERVICE,
    Teams,
    apps_folder,
    claim,
    coins,
    game,
    join,
    post,
    refused,
    status,
    teams,
    tick,
)

__all__ = ["apps_folder", "game", "teams"]  # fixtures


# Divisions


async def make_set(game: Game, **config: Any) -> str:
    set_id = game.unique("d")
    await game.server.call(
        SERVICE,
        "SYS_CREATE_DIVISION_SET_CONFIG",
        divSetId=set_id,
        configJson={"desc": "Gold", "templateLeaderboardId": "model", "maxPlayers": 2, **config},
    )
    return set_id


async def enter(player: Client, set_id: str, code: str = "free") -> Any:
    return await player.call(SERVICE, "JOIN_DIVISION", divSetId=set_id, tournamentCode=code, initialScore=0)


async def my_divisions(player: Client) -> Any:
    found = await player.call(SERVICE, "GET_MY_DIVISIONS")
    return {state: sets for state, sets in found.items() if sets}


async def test_divisions_fill_up_one_after_the_other(game: Game) -> None:
    set_id = await make_set(game)
    players = [await game.player() for _ in range(3)]
    boards = [(await enter(player, set_id))["leaderboardId"] for player in players]
    assert boards == [f"^D^{set_id}^1", f"^D^{set_id}^1", f"^D^{set_id}^2"]
    ada, bob, _ = players
    joining = {"divSetId": set_id, "tournamentCode": "free"}
    assert await refused(ada, "JOIN_DIVISION", **joining) == (400, 40629)
    direct = {"leaderboardId": boards[2], "tournamentCode": "free"}
    assert await refused(ada, "JOIN_TOURNAMENT", **direct) == (400, 40638)
    assert (await post(ada, 10, boards[0]))["versionId"] == 1
    info = await ada.call(SERVICE, "GET_DIVISION_INFO", divSetId=set_id)
    assert (info["enrolled"], info["leaderboardEnrollment"]["score"]) == (True, 10)
    assert await my_divisions(ada) == {"ACTIVE": {set_id: [boards[0]]}}
    assert await refused(bob, "LEAVE_TOURNAMENT", leaderboardId=boards[0]) == (400, 40638)
    left = await bob.call(SERVICE, "LEAVE_DIVISION_INSTANCE", leaderboardId=boards[0])
    assert left == {"numScoresRemoved": 1}
    assert await my_divisions(bob) == {}
    assert (await enter(bob, set_id))["leaderboardId"] == boards[0]
    game.clock.advance(DAY)
    await tick(game)
    assert await my_divisions(ada) == {"CLAIMABLE": {set_id: [boards[0]]}}
    assert (await claim(ada, boards[0], 1))["rewards"]["currency"] == {"coins": 100}
    assert await my_divisions(ada) == {"COMPLETE": {set_id: [boards[0]]}}
    assert (await enter(ada, set_id))["leaderboardId"] == f"^D^{set_id}^3"


async def test_players_who_join_at_once_find_room(game: Game) -> None:
    set_id = await make_set(game)
    players = [await game.player() for _ in range(4)]
    boards = [
        answer["leaderboardId"] for answer in await asyncio.gather(*(enter(p, set_id) for p in players))
    ]
    assert sorted(boards) == [f"^D^{set_id}^{number}" for number in (1, 1, 2, 2)]


async def test_the_fee_of_a_division(game: Game) -> None:
    set_id = await make_set(game)
    player = await game.player()
    joining = {"divSetId": set_id, "tournamentCode": "paid"}
    assert await refused(player, "JOIN_DIVISION", **joining) == (400, 40507)
    assert await refused(player, "JOIN_DIVISION", **joining | {"tournamentCode": "other"}) == (400, 40496)
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=31)
    answer = await enter(player, set_id, "paid")
    assert answer["entryFee"] == {"currency": {"coins": 30}}
    assert await coins(player) == 1


async def test_divisions_that_cannot_be_joined(game: Game) -> None:
    player = await game.player()
    unknown = {"divSetId": "none", "tournamentCode": "free"}
    assert await refused(player, "JOIN_DIVISION", **unknown) == (400, 40625)
    assert await refused(player, "GET_DIVISION_INFO", divSetId="none") == (400, 40625)
    assert await refused(player, "LEAVE_DIVISION_INSTANCE", leaderboardId="daily") == (400, 40632)
    teams = await make_set(game, templateLeaderboardId="teams", entryType="GROUP")
    assert await refused(player, "JOIN_DIVISION", divSetId=teams, tournamentCode="teams") == (400, 40656)
    phases = await make_set(game, templateLeaderboardId="phases")
    game.clock.advance(DAY)
    joining = {"divSetId": phases, "tournamentCode": "free"}
    assert await refused(player, "JOIN_DIVISION", **joining) == (400, 40498)
    game.clock.advance(HOUR)
    board = (await enter(player, phases))["leaderboardId"]
    assert await my_divisions(player) == {"PENDING": {phases: [board]}}
    game.clock.advance(21 * HOUR)
    late = await game.player()
    assert await refused(late, "JOIN_DIVISION", **joining) == (400, 40516)


async def test_a_group_in_a_division(game: Game, teams: Teams) -> None:
    player = await game.player()
    await teams("reds", player.profile_id)
    set_id = await make_set(game, templateLeaderboardId="teams", entryType="GROUP")
    reds = {"groupId": "reds"}
    answer = await player.call(
        SERVICE, "JOIN_GROUP_DIVISION", **reds, divSetId=set_id, tournamentCode="teams", initialScore=0
    )
    board = answer["leaderboardId"]
    info = await player.call(SERVICE, "GET_GROUP_DIVISION_INFO", **reds, divSetId=set_id)
    assert info["enrolled"] is True
    expected = {"ACTIVE": {set_id: [board]}, "PENDING": {}, "COMPLETE": {}}
    found = await player.call(SERVICE, "GET_GROUP_DIVISIONS", **reds)
    assert found["ACTIVE"][set_id] == [board]
    assert set(found) == set(expected)
    assert (await game.server.call(SERVICE, "SYS_GET_GROUP_DIVISIONS", **reds))["ACTIVE"] == found["ACTIVE"]
    unknown = await game.server.refused(SERVICE, "SYS_GET_GROUP_DIVISIONS", groupId="blues")
    assert unknown.reason_code == 40345
    for other, reason in ((board, 40638), ("plain", 40656), ("teamless", 40495)):
        await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=["teamless"])
        config = {"entryType": "GROUP", "leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
        await game.server.call(
            "leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId="teamless", configJson=config
        )
        assert await refused(player, "LEAVE_GROUP_TOURNAMENT", **reds, leaderboardId=other) == (400, reason)
    left = await player.call(SERVICE, "LEAVE_GROUP_DIVISION_INSTANCE", **reds, leaderboardId=board)
    assert left == {"numScoresRemoved": 1}


async def test_division_sets_live_and_die(game: Game) -> None:
    set_id = await make_set(game)
    named = {"divSetId": set_id}
    read = await game.server.call(SERVICE, "SYS_READ_DIVISION_SET_CONFIG", **named)
    assert (read["lbTemplate"], read["max"], read["version"], read["expiryDays"]) == ("model", 2, 1, 15)
    edited = await game.server.call(
        SERVICE, "SYS_EDIT_DIVISION_SET_CONFIG", **named, version=1, configJson={"maxPlayers": 80}
    )
    assert (edited["max"], edited["version"], edited["desc"]) == (80, 2, "Gold")
    listed = await game.server.call(
        SERVICE, "SYS_LIST_DIVISION_SET_CONFIGS", optionsJson={"sort": "DESCENDING"}
    )
    assert edited in listed["divSetConfigs"]
    assert listed["count"] == len(listed["divSetConfigs"])
    for operation, more, reason in (
        ("SYS_CREATE_DIVISION_SET_CONFIG", {"configJson": {"templateLeaderboardId": "model"}}, 40770),
        ("SYS_CREATE_DIVISION_SET_CONFIG", {"configJson": {"templateLeaderboardId": "none"}}, 40499),
        ("SYS_CREATE_DIVISION_SET_CONFIG", {"configJson": {"templateLeaderboardId": "plain"}}, 40495),
        ("SYS_CREATE_DIVISION_SET_CONFIG", {"configJson": {}}, 40358),
        (
            "SYS_CREATE_DIVISION_SET_CONFIG",
            {"configJson": {"templateLeaderboardId": "model", "scheduleType": "Later"}},
            40633,
        ),
        ("SYS_EDIT_DIVISION_SET_CONFIG", {"configJson": {"scheduleType": "Later"}}, 40633),
        ("SYS_EDIT_DIVISION_SET_CONFIG", {"configJson": {}, "version": 1}, 40344),
        ("SYS_DELETE_DIVISION_SET_CONFIG", {"version": 1}, 40344),
        ("SYS_LIST_DIVISION_SET_CONFIGS", {"optionsJson": {"sort": "SIDEWAYS"}}, 40660),
    ):
        assert (await game.server.refused(SERVICE, operation, **named, **more)).reason_code == reason
    player = await game.player()
    await enter(player, set_id)
    refusal = await game.server.refused(SERVICE, "SYS_DELETE_DIVISION_SET_CONFIG", **named)
    assert refusal.reason_code == 40771
    assert await game.server.call(SERVICE, "SYS_DELETE_DIVISION_SET_CONFIG", **named, force=True) is None
    for operation in (
        "SYS_READ_DIVISION_SET_CONFIG",
        "SYS_EDIT_DIVISION_SET_CONFIG",
        "SYS_DELETE_DIVISION_SET_CONFIG",
    ):
        refusal = await game.server.refused(SERVICE, operation, **named, configJson={})
        assert refusal.reason_code == 40625


async def test_an_instance_is_told_as_the_board_it_is_made_like(game: Game) -> None:
    set_id = await make_set(game)
    board = (await enter(await game.player(), set_id))["leaderboardId"]

    async def config() -> dict[str, Any]:
        answer = await game.server.call("leaderboard", "SYS_GET_LEADERBOARD_CONFIG", leaderboardId=board)
        found: dict[str, Any] = answer[board]
        return found

    told = await config()
    assert (told["rotationType"], told["numDaysToRotate"]) == ("DAILY", 0)
    assert told["tConfigs"].keys() == {"free", "paid"}
    assert (told["tAutoJoin"], told["tAutoClaim"]) == (False, False)
    assert (told["tStates"]["minMins"], told["tStates"]["compMins"]) == (24 * 60, 24 * 60)
    period = told["currentPeriod"]
    assert (period["rotationType"], period["tProcessingJobId"]) == ("DAILY", None)
    game.clock.advance(DAY)
    await tick(game)
    over = await config()
    for key in ("rotationType", "tConfigs", "tStates", "tAutoJoin", "tAutoClaim"):
        assert over[key] == told[key], key


async def test_pages_tell_who_was_rewarded(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    for player in (ada, bob):
        await join(player, score=5)
    page = {"leaderboardId": "daily", "startIndex": 0, "endIndex": 9}

    async def told(**more: Any) -> dict[str, bool]:
        rows = (await ada.call("leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", **page, **more))["leaderboard"]
        return {row["playerId"]: row["rewarded"] for row in rows}

    assert await told() == {ada.profile_id: False, bob.profile_id: False}
    version = (await status(ada))["versionId"]
    game.clock.advance(DAY)
    await tick(game)
    assert await told(versionId=version) == {ada.profile_id: False, bob.profile_id: False}
    await claim(ada)
    assert await told(versionId=version) == {ada.profile_id: True, bob.profile_id: False}


async def test_boards_tell_their_division_set(game: Game) -> None:
    set_id, other_set = await make_set(game), await make_set(game)
    player = await game.player()
    board = (await enter(player, set_id))["leaderboardId"]
    other = (await enter(player, other_set))["leaderboardId"]

    async def listed(**options: Any) -> list[str]:
        found = await game.server.call("leaderboard", "SYS_LIST_LEADERBOARD_CONFIGS", optionsJson=options)
        boards = found["leaderboardList"]
        assert found["leaderboardListCount"] == len(boards)
        return [
            entry["leaderboardId"] for entry in boards if entry.get("divSet") in {None, set_id, other_set}
        ]

    config = await game.server.call("leaderboard", "SYS_GET_LEADERBOARD_CONFIG", leaderboardId=board)
    assert (config[board]["divSet"], config[board]["tTemplateOnly"]) == (set_id, False)
    assert (
        "divSet"
        not in (await game.server.call("leaderboard", "SYS_GET_LEADERBOARD_CONFIG", leaderboardId="model"))[
            "model"
        ]
    )
    for name in ("division", "divisions"):
        assert await listed(filterType=name) == sorted([board, other])
        assert await listed(filterType=name, divisionSetId=set_id) == [board]
        assert await listed(filterType=name, divisionSetId="none") == []
    assert "model" in await listed(filterType="templates")
    tournaments = await listed(filterType="tournament")
    assert "daily" in tournaments
    assert not {"model", board, other} & set(tournaments)
    context = {"searchCriteria": {"divSet": set_id}}
    page = await game.server.call("leaderboard", "SYS_GET_LEADERBOARD_CONFIGS_PAGE", context=context)
    assert [(item["leaderboardId"], item["divSet"]) for item in page["results"]["items"]] == [(board, set_id)]
    game.clock.advance(DAY)
    assert board in await listed(filterType="divisions")
    assert await listed(filterType="divisions", divisionSetId=set_id) == []  # none runs any more


async def test_the_model_of_a_division_set_stays(game: Game) -> None:
    set_id = await make_set(game)
    named: dict[str, Any] = {"leaderboardId": "model", "forceDelete": True}
    refusal = await game.server.refused("leaderboard", "SYS_DELETE_LEADERBOARD_CONFIG", **named)
    assert (refusal.status, refusal.reason_code) == (400, 40847)
    listed = await game.server.call(SERVICE, "SYS_LIST_DIVISION_SET_CONFIGS")
    for config in listed["divSetConfigs"]:
        if config["lbTemplate"] == "model":
            of_set = {"divSetId": config["divSetId"], "force": True}
            await game.server.call(SERVICE, "SYS_DELETE_DIVISION_SET_CONFIG", **of_set)
    assert set_id in [config["divSetId"] for config in listed["divSetConfigs"]]
    assert await game.server.call("leaderboard", "SYS_DELETE_LEADERBOARD_CONFIG", **named) == {}


async def test_an_instance_whose_board_is_gone(game: Game) -> None:
    set_id = await make_set(game)
    player = await game.player()
    board = (await enter(player, set_id))["leaderboardId"]
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=[board])
    assert await my_divisions(player) == {}
    assert (await enter(player, set_id))["leaderboardId"] == f"^D^{set_id}^2"


async def test_results_of_a_division_expire(game: Game) -> None:
    set_id = await make_set(game, expireResultsAfterDays=1)
    player = await game.player()
    board = (await enter(player, set_id))["leaderboardId"]
    game.clock.advance(DAY)
    await tick(game)
    assert await my_divisions(player) == {"CLAIMABLE": {set_id: [board]}}
    game.clock.advance(DAY)
    assert await my_divisions(player) == {}
    assert await refused(player, "CLAIM_TOURNAMENT_REWARD", leaderboardId=board, versionId=1) == (500, 40499)


async def test_a_template_board_without_tournaments(game: Game) -> None:
    player = await game.player()
    assert (await game.client().refused(SERVICE, "GET_MY_DIVISIONS")).reason_code == 40304
    board = game.unique("b")
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "DAILY", "tEnabled": True}
    await game.server.call(
        "leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=config
    )
    set_id = await make_set(game, templateLeaderboardId=board)
    joining = {"divSetId": set_id, "tournamentCode": "free"}
    assert await refused(player, "GET_DIVISION_INFO", divSetId=set_id) == (400, 40495)
    assert await refused(player, "JOIN_DIVISION", **joining) == (400, 40495)
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=[board])
    assert await refused(player, "GET_DIVISION_INFO", divSetId=set_id) == (500, 40499)


async def test_somebody_else_has_taken_the_id_of_an_instance(game: Game) -> None:
    set_id = await make_set(game)
    player = await game.player()
    await player.call(
        "leaderboard",
        "POST_SCORE_DYNAMIC",
        leaderboardId=f"^D^{set_id}^1",
        score=1,
        leaderboardType="HIGH_VALUE",
        rotationType="NEVER",
        retainedCount=1,
    )
    assert (await enter(player, set_id))["leaderboardId"] == f"^D^{set_id}^2"
