"""All data of an app in lines, and such lines taken into an app."""

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.admin.moving import PARTS, export_page
from gameserver.admin.moving.lines import LINE_BYTES_MAX, LINES_MAX
from gameserver.admin.operators import Operator
from tests.conftest import APP_ID as COMMON_ID
from tests.conftest import APP_TOML, Client, Game

APP_ID, OTHER_ID = "10003", "10002"
MORE = """
[virtualCurrency.currencies.coins]
[playerStatistics]
create_unknown = true
levels = [{ experience = 10, rewards = { currency = { coins = 5 } } }]
[globalGameStatistics.statistics.kills]
[leaderboard.boards.best]
[leaderboard.boards.all]
type = "ARCADE_HIGH"
[leaderboard.boards.sum]
type = "CUMULATIVE"
[leaderboard.boards.teams]
entries = "GROUP"
"""
PASSWORD = "correct horse battery"


@pytest.fixture
def app_id() -> str:
    """Of these tests alone: they look at all that an app has."""
    return APP_ID


@pytest.fixture
def apps_folder(apps_folder: Path, app_id: str) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML.replace(COMMON_ID, app_id) + MORE)
    (apps_folder / "other").mkdir()
    other = APP_TOML.replace(COMMON_ID, OTHER_ID).replace("a-secret", "another-secret")
    (apps_folder / "other" / "app.toml").write_text(other)
    return apps_folder


async def exported(game: Game, players: set[str], limit: int = 500, **options: Any) -> list[dict[str, Any]]:
    """The lines of some players, and of nobody; on services other tests have players, too."""
    found: list[dict[str, Any]] = []
    for part in PARTS:
        after = None
        while True:
            page = await actions.run(
                game.server_app,
                "export_page",
                {"app": APP_ID, "part": part, "limit": limit, "after": after, **options},
            )
            assert len(page["lines"]) <= limit
            found += map(json.loads, page["lines"])
            after = page["after"]
            if after is None:
                break
    return [line for line in found if line.get("profileId", line.get("ownerId")) in {*players, None}]


async def imported(game: Game, *lines: Any, app: str = APP_ID, **options: Any) -> dict[str, Any]:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    told: dict[str, Any] = await actions.run(
        game.server_app, "import_lines", {"app": app, "texts": texts, **options}
    )
    return told


async def reasons(game: Game, *lines: Any, app: str = APP_ID) -> list[str]:
    told = await imported(game, *lines, app=app)
    return [f"{skipped['line']} {skipped['reason']}" for skipped in told["skipped"]]


async def full_player(game: Game) -> Client:
    player = game.client()
    await player.log_in("Universal", game.unique("name"), PASSWORD)
    await player.call("playerState", "UPDATE_NAME", playerName="Ada \u00e9")
    await player.call("playerState", "UPDATE_ATTRIBUTES", attributes={"hair": "red"})
    await player.call(
        "entity", "CREATE", entityType="card", data={"big": 2**60, "s": '\\"'}, acl={"other": 1}
    )
    await player.call("entity", "UPDATE_SINGLETON", entityType="settings", data={"a": [1.5, None]})
    await player.call("globalEntity", "CREATE", entityType="wall", data={"x": 1}, timeToLive=-1, acl={})
    await player.call("playerStatistics", "UPDATE", statistics={"wins": 5}, xp_points=30)
    await player.call("globalGameStatistics", "UPDATE_INCREMENT", statistics={"kills": 2})
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=50)
    await game.server.call("virtualCurrency", "CONSUME_VC", player.profile_id, vcId="coins", vcAmount=20)
    for board, scores in (("best", (7,)), ("all", (1, 3)), ("sum", (2, 2))):
        for score in scores:
            await player.call(
                "leaderboard", "POST_SCORE", leaderboardId=board, score=score, data={"n": score}
            )
    return player


async def test_what_goes_out_comes_in_again_as_it_was(game: Game) -> None:
    """Two players with everything are told, deleted, and come back: as often as wanted."""
    players = [await full_player(game) for _ in range(2)]
    ids = {player.profile_id for player in players}
    names = {row["profile_id"]: row for row in await actions.player_list(game.server_app, APP_ID, 500)}
    lines = await exported(game, ids, with_passwords=True)
    assert await exported(game, ids, limit=1, with_passwords=True) == lines
    kinds = [line["type"] for line in lines]
    assert kinds == sorted(kinds, key=PARTS.index)
    assert {kind: kinds.count(kind) for kind in ("player", "entity", "score")} == {
        "player": 2, "entity": 4, "score": 8
    }  # fmt: skip
    for profile_id in ids:
        await actions.player_delete(game.server_app, APP_ID, profile_id)
    told = await imported(game, *lines)
    assert told["skipped"] == []
    assert told["taken"]["player"] == 2
    assert told["taken"]["score"] == 8
    again = await exported(game, ids, with_passwords=True)
    assert again == lines
    told = await imported(game, *lines)
    assert (told["taken"], told["skipped"]) == ({}, [])
    assert told["there"]["player"] == 2
    assert await exported(game, ids, with_passwords=True) == lines
    [player, other] = players
    [line] = [line for line in lines if line["type"] == "player" and line["profileId"] == player.profile_id]
    back = game.client()
    state = await back.log_in("Universal", line["identities"][0]["externalId"], PASSWORD, forceCreate=False)
    assert state["profileId"] == player.profile_id
    assert (state["playerName"], state["loginCount"]) == ("Ada \u00e9", line["loginCount"] + 1)
    assert (state["experiencePoints"], state["experienceLevel"]) == (30, 1)
    assert state["statistics"]["wins"] == 5
    assert state["currency"]["coins"]["balance"] == 35
    page = await back.call(
        "leaderboard",
        "GET_GLOBAL_LEADERBOARD_VIEW",
        leaderboardId="all",
        sort="HIGH_TO_LOW",
        beforeCount=0,
        afterCount=0,
    )
    assert [(row["playerId"], row["score"]) for row in page["leaderboard"]] == [(player.profile_id, 3)]
    await back.call("leaderboard", "POST_SCORE", leaderboardId="best", score=9)
    assert names.keys() >= ids
    await back.call("playerStatistics", "UPDATE", statistics={}, xp_points=1)  # its level is not paid again
    assert (await back.call("playerState", "READ"))["currency"]["coins"]["balance"] == 35
    assert other.profile_id in ids


async def test_equal_scores_stay_in_their_order(game: Game) -> None:
    players = [await game.player() for _ in range(3)]
    board = game.unique("board")
    settings: dict[str, Any] = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER", "retainedCount": 1}
    await game.server.call("leaderboard", "SYS_CREATE_LEADERBOARD", leaderboardId=board, **settings)
    for player in players:
        await player.call("leaderboard", "POST_SCORE", leaderboardId=board, score=5)

    async def order() -> list[str]:
        page = await game.server.call(
            "leaderboard",
            "GET_GLOBAL_LEADERBOARD_PAGE",
            leaderboardId=board,
            sort="HIGH_TO_LOW",
            startIndex=0,
            endIndex=9,
        )
        return [row["playerId"] for row in page["leaderboard"]]

    before = await order()
    lines = await exported(game, {player.profile_id for player in players})
    mine = [line for line in lines if line["type"] == "score" and line["leaderboardId"] == board]
    definition = [line for line in lines if line["type"] == "leaderboard" and line["leaderboardId"] == board]
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=[board])
    told = await imported(game, *definition, *mine)
    assert told["taken"] == {"leaderboard": 1, "score": 3}
    assert await order() == before


async def test_a_dry_run_changes_nothing(game: Game) -> None:
    player = {"type": "player", "profileId": game.core.new_id()}
    entity: dict[str, Any] = {"type": "entity", "profileId": player["profileId"], "entityId": "e1"}
    entity |= {"entityType": "card", "data": {}}
    board = {"type": "leaderboard", "leaderboardId": game.unique("b"), "leaderboardType": "LOW_VALUE"}
    score: dict[str, Any] = {"type": "score", "profileId": player["profileId"]}
    score |= {"leaderboardId": board["leaderboardId"]}
    score |= {"score": 1}
    told = await imported(game, player, entity, board, score, dry_run=True)
    assert (sum(told["taken"].values()), told["skipped"]) == (4, [])
    promised = [player["profileId"], board["leaderboardId"]]
    told = await imported(game, entity, score, dry_run=True, promised=promised)
    assert told["taken"] == {"entity": 1, "score": 1}
    assert len(await reasons(game, entity, score)) == 2  # nobody is there
    assert await reasons(game, player, entity, board, score) == []


async def test_what_is_wrong_is_told_with_its_line_and_spoils_no_other(game: Game) -> None:
    player = game.client()
    await player.log_in("Universal", game.unique("name"), PASSWORD)
    mine: dict[str, Any] = {"type": "player", "profileId": game.core.new_id()}
    new = {**mine, "profileId": game.core.new_id()}
    entity = {
        "type": "entity",
        "entityId": "e1",
        "profileId": mine["profileId"],
        "entityType": "x",
        "data": {},
    }
    board = {"type": "leaderboard", "leaderboardId": game.unique("b"), "leaderboardType": "LOW_VALUE"}
    score = {"type": "score", "profileId": mine["profileId"], "leaderboardId": "best", "score": 1}
    wall = {"type": "globalEntity", "entityId": game.core.new_id(), "entityType": "wall", "data": {}}
    digest = "$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQxMjM0$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"
    cases: list[tuple[Any, str]] = [
        ("{", "this is no JSON object"),
        ("[1]", "this is no JSON object"),
        ("7", "this is no JSON object"),
        ('{"type":"player","profileId":"\\ud800"}', "this is no JSON object"),
        ('{"type":"player","playerName":"\\u0000"}', "this is no JSON object"),
        ("[" * 1000, "this is no JSON object"),
        ("x" * (LINE_BYTES_MAX + 1), "a line has at most"),
        ({"type": "palyer"}, "type: expected one of globalStatistics, player,"),
        ({}, "type: expected one of"),
        ({"type": "player"}, "profileId: required"),
        ({**new, "profileId": "x" * 37}, "profileId: "),
        ({**new, "profileId": 7}, "profileId: expected text, got whole number"),
        ({**new, "playerName": "a\nb"}, "playerName: the character U+000A is not allowed"),
        ({**new, "createdAt": -1}, "createdAt: "),
        ({**new, "identities": [{"authenticationType": "Telepathy", "externalId": "x"}]}, "there is no auth"),
        ({**new, "statistics": {"wins": "many"}}, "statistics[...]: expected number, got text"),
        ({**new, "currency": {"coins": {"balance": 0, "consumed": 2**53}, "x": {}}}, "currency[...].balance"),
        ({**new, "properties": {str(n): n for n in range(101)}}, "properties: a user has at most 100"),
        ({**entity, "profileId": game.core.new_id()}, f"app {APP_ID} has no player"),
        ({**entity, "data": {"a.b": 1}}, "data: the field name 'a.b' contains $ or a dot"),
        ({**entity, "acl": {"Other": 1}}, "acl.Other: expected"),
        ({**entity, "acl": {"other": 3}}, "acl.other: expected 0, 1 or 2"),
        ({**entity, "data": [1]}, "data: expected object, got array"),
        ({**entity, "version": 0}, "version: "),
        ({**wall, "ownerId": game.core.new_id()}, f"app {APP_ID} has no player"),
        ({**wall, "expiresAt": 1}, "expiresAt: its time to live is over"),
        ({**board, "leaderboardType": "BEST"}, "leaderboardType: expected HIGH_VALUE or"),
        ({**board, "rotationType": "WEEKLY"}, "resetAt: a board that rotates needs a moment"),
        ({**board, "rotationType": "ADHOC"}, "rotationType: boards of tournaments"),
        ({**board, "rotationType": "DAYS", "resetAt": 5}, "numDaysToRotate: DAYS needs"),
        ({**score, "leaderboardId": game.unique("none")}, "there is no leaderboard"),
        ({**score, "leaderboardId": "all"}, "entryId: players have many scores"),
        ({**score, "leaderboardId": "teams"}, "groupId: on this leaderboard groups have"),
        ({**score, "score": 2**53 + 1}, "score: "),
        ({**score, "score": 1.5}, "score: expected whole number, got number"),
        ({"type": "globalProperty", "name": "x"}, "this server has no global properties"),
        ({"type": "customEntity"}, "this server has no custom entities"),
    ]  # fmt: skip
    told = await imported(game, mine, *(line for line, _ in cases), entity, first=10)
    assert told["taken"] == {"player": 1, "entity": 1}
    skipped = {each["line"]: each["reason"] for each in told["skipped"]}
    for number, (line, words) in enumerate(cases, 11):
        assert skipped[number].startswith(words), (line, skipped.get(number))
    assert len(skipped) == len(cases)

    partly: dict[str, Any] = {**new, "profileId": game.core.new_id(), "currency": {"gold": {"balance": 1}}}
    known = (await player.call("identity", "GET_IDENTITIES"))["identities"]
    [(type_, external_id)] = known.items()
    partly["identities"] = [
        {"authenticationType": type_, "externalId": external_id},
        {"authenticationType": "Universal", "externalId": game.unique("u"), "passwordDigest": digest},
    ]
    assert await reasons(game, partly) == [
        "1 identities[0]: another player has this identity; the player is taken without it",
        "1 identities[1].passwordDigest: no argon2id digest of a bearable cost; taken without it",
        f"1 currency: app {APP_ID} declares no currency 'gold'; taken without it",
    ]
    assert (await actions.player_show(game.server_app, APP_ID, partly["profileId"]))["identities"]
    assert await reasons(game, mine, app=OTHER_ID) == [f"1 {mine['profileId']} is a player of another app"]


async def test_an_action_that_cannot_be_done_is_refused(game: Game) -> None:
    with pytest.raises(Refused, match="there is no app 7"):
        await imported(game, app="7")
    with pytest.raises(Refused, match="at most 500 lines"):
        await imported(game, *["{}"] * (LINES_MAX + 1))
    somebody = Operator(name="ada", via="console", reason="a test")
    whose = {"app": APP_ID, "part": "player", "limit": 1, "with_passwords": True}
    with pytest.raises(Refused, match="on the command line alone"):
        await actions.run(game.server_app, "export_page", whose, somebody)
    with pytest.raises(Refused, match="an export has the parts"):
        await export_page(game.server_app, APP_ID, "mail", 10)


@pytest.mark.parametrize(
    ("part", "after"),
    [
        ("player", []),
        ("player", ["", 1]),
        ("player", [1]),
        ("player", [1, "", ""]),
        ("player", [True, ""]),
        ("player", [2**63, ""]),
        ("entity", [1, ""]),
        ("score", ["board", "place"]),
        ("score", [["board"]]),
        ("leaderboard", [None]),
        ("globalStatistics", [""]),
    ],
)
async def test_a_page_begins_only_where_one_has_ended(game: Game, part: str, after: list[Any]) -> None:
    with pytest.raises(Refused, match="after is what the page before has told"):
        await actions.run(
            game.server_app, "export_page", {"app": APP_ID, "part": part, "limit": 5, "after": after}
        )


async def test_who_begins_in_the_middle_is_in_the_journal_too(game: Game) -> None:
    whose = {"app": APP_ID, "part": "player", "limit": 1, "after": [-1, ""]}
    ada = game.unique("ada")
    await actions.run(game.server_app, "export_page", whose, Operator(ada, "api", reason="asked"))
    [row] = await actions.run(game.server_app, "journal_list", {"app": APP_ID, "equal": {"staff": ada}})
    assert (row["action"], row["after"]) == ("export_page", {"after": [-1, ""]})
