"""The boards themselves: made, changed, declared, rotated; and their tournament settings."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.domain.leaderboards import Leaderboards, LeaderboardSettings
from tests.conftest import APP_TOML, Game

BOARD = "leaderboard"
MINUTE_MS, DAY_MS = 60_000, 24 * 3600 * 1000
NOW = 1_700_000_000_000
PLAIN = {"entryType": "PLAYER", "leaderboardType": "HIGH_VALUE", "rotationType": "NEVER", "retainedCount": 2}
DAILY = {**PLAIN, "rotationType": "DAILY", "resetAt": NOW + DAY_MS, "retainedCount": 3}
ADHOC = {**PLAIN, "rotationType": "ADHOC", "tEnabled": True}


@pytest.fixture
async def game(game: Game) -> Game:
    """The server, without the boards that other tests have left in a shared database."""
    listed = await game.server.call("leaderboard", "LIST_ALL_LEADERBOARDS")
    ids = [board["leaderboardId"] for board in listed["leaderboardList"]]
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=ids)
    return game


async def make(game: Game, config: dict[str, Any] = PLAIN, board: str = "b") -> dict[str, Any]:
    made = await game.server.call(
        BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=config
    )
    found: dict[str, Any] = made[board]
    return found


async def config_of(game: Game, board: str = "b") -> dict[str, Any]:
    found = await game.server.call(BOARD, "SYS_GET_LEADERBOARD_CONFIG", leaderboardId=board)
    config: dict[str, Any] = found[board]
    return config


async def refused(game: Game, operation: str, **data: Any) -> tuple[int, int]:
    refusal = await game.server.refused(BOARD, operation, **data)
    return refusal.status, refusal.reason_code


# Making, changing, deleting


@pytest.mark.parametrize("operation", ["CREATE_LEADERBOARD", "SYS_CREATE_LEADERBOARD"])
@pytest.mark.parametrize("name", ["rotationReset", "rotationResetTime", "rotationResetTimestampUtcMillis"])
async def test_making_and_editing_in_every_spelling(game: Game, operation: str, name: str) -> None:
    fields: dict[str, Any] = {
        "leaderboardId": "b",
        "leaderboardType": "LOW_VALUE",
        "rotationType": "DAYS",
        "retainedCount": 2,
    }
    fields |= {"numDaysToRotate": 5, name: NOW + 60_000, "data": {"street": "x"}}
    assert await game.server.call(BOARD, operation, **fields) is None
    assert await refused(game, operation, **fields) == (400, 40561)
    config = await config_of(game)
    assert (config["resetAt"], config["numDaysToRotate"], config["data"]) == (
        NOW + 60_000,
        5,
        {"street": "x"},
    )
    edit = operation.replace("CREATE", "EDIT")
    changed: dict[str, Any] = {**fields, "numDaysToRotate": 2, name: NOW + 70_000, "data": {"street": "y"}}
    assert await game.server.call(BOARD, edit, **changed) is None
    config = await config_of(game)
    assert (config["resetAt"], config["numDaysToRotate"], config["data"]) == (
        NOW + 70_000,
        2,
        {"street": "y"},
    )
    assert config["dbVersion"] == 2
    assert await refused(game, edit, **{**fields, "leaderboardId": "none"}) == (500, 40499)
    player = await game.player()
    assert (await player.refused(BOARD, edit, **fields)).reason_code == 40346
    assert (await player.refused(BOARD, operation, **fields)).reason_code == 40346
    assert await refused(game, operation, **{**fields, "leaderboardId": ""}) == (400, 40501)


async def test_a_configuration_is_answered_whole(game: Game) -> None:
    made = await make(game, {**DAILY, "data": {"a": 1}, "expireInMins": 10})
    assert made == {
        "leaderboardId": "b",
        "dbVersion": 1,
        "resetAt": NOW + DAY_MS,
        "leaderboardType": "HIGH_VALUE",
        "rotationType": "DAILY",
        "retainedCount": 3,
        "data": {"a": 1},
        "numDaysToRotate": 0,
        "entryType": "PLAYER",
        "tEnabled": False,
        "tTemplateOnly": False,
        "expiry": NOW + 600_000,
        "currentVersionId": 1,
        "createdAt": NOW,
        "currentPeriod": {
            "versionId": 1,
            "startingAt": NOW,
            "endingAt": NOW + DAY_MS,
            "rotationType": "DAILY",
            "numDaysToRotate": 0,
        },
    }
    assert await config_of(game) == made
    assert await refused(game, "SYS_GET_LEADERBOARD_CONFIG", leaderboardId="none") == (500, 40499)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"leaderboardType": "X"}, 40660),
        ({"entryType": "TEAM"}, 40660),
        ({"retainedCount": 9}, 40660),
        ({"rotationType": "NEVER", "tEnabled": True}, 40840),
        ({"rotationType": "ADHOC"}, 40840),
        ({"tTemplateOnly": True}, 40840),
        ({"retainedCount": "3"}, 40359),
        ({"data": "text"}, 40408),
    ],
)
async def test_wrong_configurations(game: Game, changed: dict[str, Any], code: int) -> None:
    request = {"leaderboardId": "b", "configJson": {**DAILY, **changed}}
    assert await refused(game, "SYS_CREATE_LEADERBOARD_CONFIG", **request) == (400, code)
    await make(game, DAILY)
    if changed != {"entryType": "TEAM"}:
        assert (await refused(game, "SYS_EDIT_LEADERBOARD_CONFIG", **request, dbVersion=-1))[0] == 400


async def test_creation_is_refused_as_documented(game: Game) -> None:
    await make(game)
    request = {"leaderboardId": "b", "configJson": PLAIN}
    assert await refused(game, "SYS_CREATE_LEADERBOARD_CONFIG", **request) == (400, 40561)
    assert await refused(game, "SYS_CREATE_LEADERBOARD_CONFIG", **{**request, "leaderboardId": ""}) == (
        400,
        40501,
    )


async def test_an_edit_keeps_scores_and_what_it_does_not_name(game: Game) -> None:
    await make(game, {**DAILY, "data": {"a": 1}})
    player = await game.player()
    await player.call(BOARD, "POST_SCORE", leaderboardId="b", score=5)
    edit = "SYS_EDIT_LEADERBOARD_CONFIG"
    edited = await game.server.call(
        BOARD,
        edit,
        leaderboardId="b",
        dbVersion=1,
        configJson={"retainedCount": 5, "leaderboardType": "CUMULATIVE"},
    )
    config = edited["b"]
    assert (config["dbVersion"], config["retainedCount"], config["resetAt"]) == (2, 5, NOW + DAY_MS)
    assert config["data"] == {"a": 1}
    await player.call(BOARD, "POST_SCORE", leaderboardId="b", score=5)
    score = await player.call(BOARD, "GET_PLAYER_SCORE", leaderboardId="b")
    assert score["score"]["score"] == 10
    assert await refused(game, edit, leaderboardId="b", dbVersion=1, configJson={}) == (400, 40844)
    assert await refused(game, edit, leaderboardId="none", dbVersion=1, configJson={}) == (500, 40499)
    wrong = {"configJson": {"tTemplateOnly": True}, "dbVersion": -1}
    assert await refused(game, edit, leaderboardId="b", **wrong) == (400, 40840)
    for kind in ("LOW_VALUE", "ARCADE_HIGH"):
        changed = {"leaderboardType": kind}
        assert await refused(game, edit, leaderboardId="b", dbVersion=-1, configJson=changed) == (400, 40842)
        assert await refused(game, "SYS_EDIT_LEADERBOARD", leaderboardId="b", **changed) == (400, 40842)
        assert await refused(game, "EDIT_LEADERBOARD", leaderboardId="b", **changed) == (400, 40842)


async def test_deleting(game: Game) -> None:
    player = await game.player()
    for board in ("a", "b", "c"):
        await make(game, PLAIN, board)
        await player.call(BOARD, "POST_SCORE", leaderboardId=board, score=5)
    deleted = await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=["a", "b", "none", "a"])
    assert deleted == {"deletedLeaderboardCount": 2, "message": "2 record(s) deleted successfully."}
    assert (
        await game.server.call(BOARD, "SYS_DELETE_LEADERBOARD_CONFIG", leaderboardId="c", forceDelete=False)
        == {}
    )
    assert await refused(game, "SYS_DELETE_LEADERBOARD_CONFIG", leaderboardId="c") == (500, 40499)
    assert (await player.refused(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=[])).reason_code == 40346
    await make(game, PLAIN, "a")
    count = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="a")
    assert count == {"entryCount": 0}
    await game.core.get(Leaderboards).upkeep.sweep()
    await player.call(BOARD, "POST_SCORE", leaderboardId="a", score=5)


async def test_beginning_anew(game: Game) -> None:
    await make(game)
    await make(game, DAILY, "daily")
    player = await game.player()
    await player.call(BOARD, "POST_SCORE", leaderboardId="b", score=5)
    game.clock.advance(60)
    reset = await game.server.call(BOARD, "SYS_RESET_NEVER_LEADERBOARD", leaderboardId="b")
    assert reset == {
        "leaderboardId": "b",
        "leaderboardType": "HIGH_VALUE",
        "entryType": "PLAYER",
        "rotationType": "NEVER",
        "numDaysToRotate": 0,
        "retainedCount": 2,
        "versionId": 2,
    }
    for version, count in ((-1, 0), (2, 0), (1, 1)):
        found = await player.call(
            BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="b", versionId=version
        )
        assert found == {"entryCount": count}
    versions = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_VERSIONS", leaderboardId="b")
    assert versions["versions"] == [
        {"versionId": 2, "startingAt": NOW + MINUTE_MS, "endingAt": None},
        {"versionId": 1, "startingAt": NOW, "endingAt": NOW + MINUTE_MS},
    ]
    assert await refused(game, "SYS_RESET_NEVER_LEADERBOARD", leaderboardId="daily") == (400, 40845)
    assert await refused(game, "SYS_RESET_NEVER_LEADERBOARD", leaderboardId="none") == (500, 40499)


async def test_an_app_has_only_so_many_boards(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(game.app.section(LeaderboardSettings), "boards_max", 2)
    await make(game, PLAIN, "a")
    await make(game, PLAIN, "b")
    player = await game.player()
    fields = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
    assert await refused(game, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId="c", configJson=PLAIN) == (
        400,
        40560,
    )
    for operation in ("CREATE_LEADERBOARD", "SYS_CREATE_LEADERBOARD"):
        assert await refused(game, operation, leaderboardId="c", **fields) == (400, 40560)
    for operation, data in (
        ("POST_SCORE_DYNAMIC", fields),
        ("POST_SCORE_DYNAMIC_USING_CONFIG", {"configJson": fields}),
    ):
        refusal = await player.refused(BOARD, operation, leaderboardId="c", score=1, **data)
        assert refusal.reason_code == 40560
        await player.call(BOARD, operation, leaderboardId="b", score=1, **data)


# Listing


async def test_lists(game: Game) -> None:
    await make(game, {**DAILY, "data": {"a": 1}}, "daily")
    await make(game, {**DAILY, "tEnabled": True}, "cup")
    await make(game, {**DAILY, "tEnabled": True, "tTemplateOnly": True}, "template")
    game.clock.advance(86_400)
    player = await game.player()
    listed = await player.call(BOARD, "LIST_ALL_LEADERBOARDS")
    assert listed["leaderboardListCount"] == 3
    assert listed["leaderboardList"][1] == {
        "leaderboardId": "daily",
        "leaderboardType": "HIGH_VALUE",
        "entryType": "PLAYER",
        "rotationType": "DAILY",
        "resetAt": NOW + 2 * DAY_MS,
        "currentVersionId": 2,
        "maxRetainedCount": 3,
        "retainedVersionsCount": 2,
        "data": {"a": 1},
    }
    for kind, found in (
        (None, ["daily"]),
        ("standard", ["daily"]),
        ("all", ["cup", "daily", "template"]),
        ("tournament", ["cup"]),
        ("templates", ["template"]),
        ("divisions", []),
        ("division", []),
    ):
        options: dict[str, Any] = {} if kind is None else {"optionsJson": {"filterType": kind}}
        answer = await game.server.call(BOARD, "SYS_LIST_LEADERBOARD_CONFIGS", **options)
        assert [board["leaderboardId"] for board in answer["leaderboardList"]] == found
        assert answer["leaderboardListCount"] == len(found)
    wrong = {"optionsJson": {"filterType": "none"}}
    assert await refused(game, "SYS_LIST_LEADERBOARD_CONFIGS", **wrong) == (400, 40660)
    assert (await game.client().refused(BOARD, "LIST_ALL_LEADERBOARDS")).reason_code == 40304


async def test_pages_of_boards(game: Game) -> None:
    for board in "abcde":
        await make(game, {**PLAIN, "leaderboardType": "LOW_VALUE" if board == "c" else "HIGH_VALUE"}, board)
    context = {
        "pagination": {"rowsPerPage": 2, "pageNumber": 1},
        "searchCriteria": {"leaderboardType": "HIGH_VALUE"},
    }
    first = await game.server.call(BOARD, "SYS_GET_LEADERBOARD_CONFIGS_PAGE", context=context)
    assert [item["leaderboardId"] for item in first["results"]["items"]] == ["a", "b"]
    assert (first["results"]["count"], first["results"]["moreAfter"]) == (4, True)
    following = await game.server.call(
        BOARD, "SYS_GET_LEADERBOARD_CONFIGS_PAGE_OFFSET", context=first["context"], pageOffset=1
    )
    assert [item["leaderboardId"] for item in following["results"]["items"]] == ["d", "e"]
    assert following["results"]["moreBefore"]
    assert (await refused(game, "SYS_GET_LEADERBOARD_CONFIGS_PAGE", context="?"))[1] == 40383
    wrong = {"searchCriteria": {"$where": 1}}
    assert (await refused(game, "SYS_GET_LEADERBOARD_CONFIGS_PAGE", context=wrong))[0] == 400
    unreadable = await refused(game, "SYS_GET_LEADERBOARD_CONFIGS_PAGE_OFFSET", context="?", pageOffset=1)
    assert unreadable[1] == 40383


# Declared boards


@pytest.fixture
def declared(apps_folder: Path) -> None:
    text = """
[leaderboard.boards.weekly]
rotation = "WEEKLY"
reset = 2023-11-20T00:00:00Z
retained = 4
data = { title = "Week" }

[leaderboard.boards.low]
type = "LOW_VALUE"
"""
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)


@pytest.mark.usefixtures("declared")
async def test_declared_boards_are_there_from_the_start(game: Game) -> None:
    player = await game.player()
    assert (await player.call(BOARD, "LIST_ALL_LEADERBOARDS"))["leaderboardListCount"] == 2
    versions = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_VERSIONS", leaderboardId="weekly")
    assert (versions["rotationType"], versions["retainedCount"]) == ("WEEKLY", 4)
    assert versions["versions"][0]["endingAt"] == 1_700_438_400_000
    await player.call(BOARD, "POST_SCORE", leaderboardId="weekly", score=1)
    await player.call(BOARD, "POST_SCORE", leaderboardId="low", score=5)
    await player.call(BOARD, "POST_SCORE", leaderboardId="low", score=4)
    found = await player.call(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId="low", startIndex=0, endIndex=9
    )
    assert [entry["score"] for entry in found["leaderboard"]] == [4]
    game.clock.advance(7 * 86_400)
    player = await game.player()
    await player.call(BOARD, "POST_SCORE", leaderboardId="weekly", score=1)
    assert (await config_of(game, "weekly"))["currentVersionId"] == 2
    await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=["low", "weekly"])
    versions = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_VERSIONS", leaderboardId="weekly")
    assert [version["versionId"] for version in versions["versions"]] == [1]


@pytest.mark.usefixtures("declared")
async def test_a_changed_declaration_changes_the_board(game: Game, apps_folder: Path) -> None:
    player = await game.player()
    await player.call(BOARD, "POST_SCORE", leaderboardId="weekly", score=1)
    before = await config_of(game, "weekly")
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text().replace("retained = 4", "retained = 6"))

    changed = load_apps(apps_folder, game.server_app.registry.sections())
    await game.core.get(Leaderboards).upkeep.adopt_declarations(changed)
    after = await config_of(game, "weekly")
    assert (before["retainedCount"], after["retainedCount"]) == (4, 6)
    count = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="weekly")
    assert count == {"entryCount": 1}


# Tournament settings

SETTINGS = {
    "tTournament": {
        "tConfigs": {"gold": {"tConfigCode": "gold", "activeUpUntil": -1}},
        "tAutoJoin": False,
        "tAutoClaim": True,
    },
    "tPhases": {"enrolMins": 60, "announcementMins": 15, "disallowMins": 30, "bufferMins": 10},
}
FUTURE = "SYS_EDIT_TOURNAMENT_SETTINGS_FOR_FUTURE_PERIODS_ONLY"
CURRENT = "SYS_EDIT_TOURNAMENT_SETTINGS_INCLUDING_CURRENT_PERIOD"


async def test_settings_of_periods_to_come(game: Game) -> None:
    await make(game, {**DAILY, "tEnabled": True})
    edited = await game.server.call(BOARD, FUTURE, leaderboardId="b", dbVersion=1, tSettingsJson=SETTINGS)
    config = edited["b"]
    assert config["tStates"] == {
        "enrolMins": 60,
        "disallowMins": 30,
        "minMins": 1425,
        "compMins": 1355,
        "bufferMins": 10,
        "announcementMins": 15,
    }
    assert (config["tConfigs"], config["tAutoClaim"], config["dbVersion"]) == (
        SETTINGS["tTournament"]["tConfigs"],  # type: ignore[index]
        True,
        2,
    )
    assert "tState" not in config["currentPeriod"]
    game.clock.advance(86_400)
    period = (await config_of(game))["currentPeriod"]
    end = NOW + 2 * DAY_MS
    assert period["endingAt"] == end
    assert period["tPlayStart"] == end - 1365 * MINUTE_MS
    assert period["tRegistrationStart"] == end - 1425 * MINUTE_MS
    assert period["tPlayEnd"] == end - 10 * MINUTE_MS
    assert period["tRegistrationEnd"] == end - 40 * MINUTE_MS
    assert period["tProcessingStartAt"] == end + 3 * MINUTE_MS


async def test_settings_of_the_running_period(game: Game) -> None:
    await make(game, {**DAILY, "tEnabled": True})
    edited = await game.server.call(BOARD, CURRENT, leaderboardId="b", dbVersion=-1, tSettingsJson=SETTINGS)
    assert edited["b"]["currentPeriod"]["tState"] == "ACTIVE"
    assert edited["b"]["currentPeriod"]["tConfigs"] == edited["b"]["tConfigs"]
    assert await refused(game, "SYS_DELETE_LEADERBOARD_CONFIG", leaderboardId="b") == (400, 40520)
    await game.server.call(BOARD, "SYS_DELETE_LEADERBOARD_CONFIG", leaderboardId="b", forceDelete=True)


@pytest.mark.parametrize("operation", [FUTURE, CURRENT])
async def test_wrong_settings(game: Game, operation: str) -> None:
    await make(game, {**DAILY, "tEnabled": True})
    await make(game, DAILY, "plain")
    await make(game, ADHOC, "adhoc")
    request = {"leaderboardId": "b", "dbVersion": -1, "tSettingsJson": SETTINGS}
    for changed, code in (
        ({"leaderboardId": "none"}, (500, 40499)),
        ({"leaderboardId": "plain"}, (400, 40845)),
        ({"leaderboardId": "adhoc"}, (400, 40845)),
        ({"dbVersion": 7}, (400, 40844)),
        ({"tSettingsJson": {"tPhases": {"enrolMins": 1440}}}, (400, 40840)),
        ({"tSettingsJson": {"tPhases": {"enrolMins": -1}}}, (400, 40660)),
        ({"tSettingsJson": {"tTournament": {"tAutoJoin": True}}}, (400, 40840)),
        ({"tSettingsJson": "no json"}, (400, 40408)),
    ):
        assert await refused(game, operation, **{**request, **changed}) == code


def period(starts_in_minutes: int, minutes: int, **more: Any) -> dict[str, Any]:
    times = {"startingAt": NOW + starts_in_minutes * MINUTE_MS, "durationMinutes": minutes}
    return {**SETTINGS, "tPhases": {}, "tPeriod": times, **more}


async def schedule(game: Game, settings: dict[str, Any]) -> dict[str, Any]:
    made = await game.server.call(
        BOARD, "SYS_CREATE_ADHOC_TOURNAMENT_PERIOD", leaderboardId="b", dbVersion=-1, tSettingsJson=settings
    )
    config: dict[str, Any] = made["b"]
    return config


async def test_periods_of_an_adhoc_board(game: Game) -> None:
    await make(game, ADHOC)
    player = await game.player()

    async def state() -> tuple[int, int | None, int, bool]:
        config = await config_of(game)
        running = config["currentPeriod"]
        reset = None if running["endingAt"] is None else (running["endingAt"] - NOW) // MINUTE_MS
        return running["versionId"], reset, len(config.get("tScheduled", [])), "tState" in running

    assert await state() == (1, None, 0, False)
    await schedule(game, period(60, 30))
    config = await schedule(game, period(10, 20))
    assert [p["startingAt"] for p in config["tScheduled"]] == [NOW + 10 * MINUTE_MS, NOW + 60 * MINUTE_MS]
    assert config["tScheduled"][0]["tStates"]["compMins"] == 20
    assert await state() == (1, 10, 2, False)
    await player.call(BOARD, "POST_SCORE", leaderboardId="b", score=1)
    game.clock.advance(600)
    assert await state() == (2, 30, 1, True)
    refusal = await player.refused(BOARD, "POST_SCORE", leaderboardId="b", score=2)
    assert refusal.reason_code == 40505  # who has not entered the tournament
    assert await state() == (2, 30, 1, True)
    longer = {"tPeriod": {"durationMinutes": 40}}
    await game.server.call(BOARD, CURRENT, leaderboardId="b", dbVersion=-1, tSettingsJson=longer)
    assert await state() == (2, 50, 1, True)
    too_long = {"tPeriod": {"durationMinutes": 51}}
    assert await refused(game, CURRENT, leaderboardId="b", dbVersion=-1, tSettingsJson=too_long) == (
        400,
        40840,
    )
    at = {"leaderboardId": "b", "dbVersion": -1, "periodStartingAtUtcMillis": NOW + 10 * MINUTE_MS}
    assert await refused(game, "SYS_DELETE_ADHOC_TOURNAMENT_PERIOD", **at) == (400, 40520)
    assert await refused(game, "SYS_EDIT_ADHOC_TOURNAMENT_PERIOD", **at, tSettingsJson={}) == (400, 40520)
    game.clock.advance(2400)
    assert await state() == (3, 60, 1, False)
    game.clock.advance(7200)
    assert await state() == (5, None, 0, False)
    player = await game.player()
    found = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_VERSIONS", leaderboardId="b")
    listed = [(v["versionId"], (v["startingAt"] - NOW) // MINUTE_MS) for v in found["versions"]]
    assert listed == [(5, 90), (4, 60)]


async def test_changing_scheduled_periods(game: Game) -> None:
    await make(game, ADHOC)
    await schedule(game, period(10, 20))
    await schedule(game, period(60, 30))
    at: dict[str, Any] = {
        "leaderboardId": "b",
        "dbVersion": -1,
        "periodStartingAtUtcMillis": NOW + 10 * MINUTE_MS,
    }
    edit, delete = "SYS_EDIT_ADHOC_TOURNAMENT_PERIOD", "SYS_DELETE_ADHOC_TOURNAMENT_PERIOD"
    edited = await game.server.call(
        BOARD,
        edit,
        **at,
        tSettingsJson={"tPeriod": {"startingAt": NOW + 20 * MINUTE_MS}, "tPhases": {"enrolMins": 5}},
    )
    [first, _] = edited["b"]["tScheduled"]
    assert (first["startingAt"], first["endingAt"]) == (NOW + 20 * MINUTE_MS, NOW + 40 * MINUTE_MS)
    assert (first["tStates"]["enrolMins"], list(first["tConfigs"])) == (5, ["gold"])
    assert edited["b"]["resetAt"] == NOW + 20 * MINUTE_MS
    moved: dict[str, Any] = {**at, "periodStartingAtUtcMillis": NOW + 20 * MINUTE_MS}
    overlapping = {"tPeriod": {"startingAt": NOW + 50 * MINUTE_MS}}
    await make(game, DAILY, "daily")
    for operation, data in ((edit, {"tSettingsJson": overlapping}), (delete, {})):
        for changed, code in (
            ({}, 40840),
            ({"leaderboardId": "none"}, 40499),
            ({"leaderboardId": "daily"}, 40845),
            ({"dbVersion": 99}, 40844),
        ):
            request = {**(at if operation == delete else moved), **data, **changed}
            assert (await refused(game, operation, **request))[1] == code
    deleted = await game.server.call(BOARD, delete, **moved)
    assert [p["startingAt"] for p in deleted["b"]["tScheduled"]] == [NOW + 60 * MINUTE_MS]
    assert deleted["b"]["resetAt"] == NOW + 60 * MINUTE_MS


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (period(-1, 20), 40840),
        (period(0, 20), 40840),
        (period(15, 20), 40840),
        (period(5, 6), 40840),
        (period(100, 0), 40840),
        (period(100, 20, tPhases={"enrolMins": 20}), 40840),
        (period(100, 20, tTournament={}), 40358),
        (period(100, 20, tPeriod={"durationMinutes": 5}), 40358),
        (SETTINGS, 40358),
        (period(100, 20, tPeriod={"startingAt": "soon", "durationMinutes": 5}), 40660),
    ],
)
async def test_periods_that_cannot_be(game: Game, settings: dict[str, Any], code: int) -> None:
    await make(game, ADHOC)
    await schedule(game, period(10, 20))
    operation = "SYS_CREATE_ADHOC_TOURNAMENT_PERIOD"
    request = {"leaderboardId": "b", "dbVersion": -1, "tSettingsJson": settings}
    assert (await refused(game, operation, **request))[1] == code


async def test_where_no_period_can_be_scheduled(game: Game) -> None:
    await make(game, ADHOC)
    await make(game, DAILY, "daily")
    operation = "SYS_CREATE_ADHOC_TOURNAMENT_PERIOD"
    request = {"leaderboardId": "b", "dbVersion": -1, "tSettingsJson": period(10, 20)}
    for changed, code in (
        ({"leaderboardId": "none"}, 40499),
        ({"leaderboardId": "daily"}, 40845),
        ({"dbVersion": 9}, 40844),
    ):
        assert (await refused(game, operation, **{**request, **changed}))[1] == code
