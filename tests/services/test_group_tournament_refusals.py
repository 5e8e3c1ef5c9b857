"""Refusals of tournaments and divisions for groups and for those whom servers post for: as for players."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.domain.leaderboards import NoLeaderboard
from gameserver.domain.leaderboards.boards import InvalidVersion
from gameserver.domain.leaderboards.tournaments import PlayEnded, PlayNotStarted
from gameserver.services.tournament.base import (
    InActiveDivision,
    NoTemplate,
    NotOnBoard,
    NoTournament,
    OutOfTime,
    TemplateOnly,
    TooEarlyToJoin,
    TooLateToJoin,
    UseDivisions,
    WrongEntryType,
)
from gameserver.wire.errors import GameError
from tests.conftest import Client, Game, Server
from tests.services.groups import put_group
from tests.services.tournaments import APP, DAY, HOUR, SERVICE

BOARD = "leaderboard"
OF_GROUPS = """
entries = "GROUP"
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
"""
BOARDS = f"""
[leaderboard.boards.team_cup]{OF_GROUPS}
tournament = {{ codes = ["teams", "later"] }}
[leaderboard.boards.team_model]{OF_GROUPS}
tournament = {{ codes = ["teams"], template_only = true }}
[leaderboard.boards.team_plain]{OF_GROUPS}
[leaderboard.boards.team_phases]{OF_GROUPS}
[leaderboard.boards.team_phases.tournament]
codes = ["teams"]
announcement_minutes = 60
enrol_minutes = 60
disallow_minutes = 60
buffer_minutes = 60
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app with boards and tournaments of groups."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + APP + BOARDS)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game that begins at the start of a day, with boards that nobody has used."""
    game.clock.advance(DAY - game.clock.ms() // 1000 % DAY)
    boards = ["daily", "phases", "model", "team_cup", "team_model", "team_plain", "team_phases"]
    await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=boards)
    for board in boards:
        await game.server.call(BOARD, "SYS_EDIT_LEADERBOARD", leaderboardId=board)
    return game


async def member(game: Game) -> tuple[Client, str]:
    """Return a player, and a group of just this one."""
    player = await game.player()
    return player, await put_group(game, game.core.new_id(), [player.profile_id])


async def make_set(game: Game, board: str, entry_type: str = "GROUP") -> str:
    set_id = game.unique("d")
    config = {"templateLeaderboardId": board, "maxPlayers": 2, "entryType": entry_type}
    await game.server.call(SERVICE, "SYS_CREATE_DIVISION_SET_CONFIG", divSetId=set_id, configJson=config)
    return set_id


async def expect(reason: type[GameError], caller: Client | Server, operation: str, **data: Any) -> None:
    refusal = await caller.refused(SERVICE, operation, **data)
    assert refusal.reason_code == reason.reason_code, (operation, data, refusal)


async def test_tournaments_that_no_group_enters_or_reads(game: Game) -> None:
    player, group = await member(game)
    reds = {"groupId": group}
    set_id = await make_set(game, "team_cup")
    entering = {**reds, "divSetId": set_id, "tournamentCode": "teams"}
    instance = (await player.call(SERVICE, "JOIN_GROUP_DIVISION", **entering))["leaderboardId"]
    for board, code, reason in (
        ("team_plain", "teams", NoTournament),
        ("team_cup", "other", NotOnBoard),
        ("team_cup", "later", NoTemplate),
        ("team_model", "teams", TemplateOnly),
        (instance, "teams", UseDivisions),
    ):
        data = {"leaderboardId": board, "tournamentCode": code}
        await expect(reason, player, "JOIN_GROUP_TOURNAMENT", **reds, **data)
    reading = "GET_GROUP_TOURNAMENT_STATUS"
    await expect(NoTournament, player, reading, **reds, leaderboardId="team_plain")
    await expect(InvalidVersion, player, reading, **reds, leaderboardId="team_cup", versionId=99)
    await expect(WrongEntryType, player, "GET_TOURNAMENT_STATUS", leaderboardId="team_cup")


async def test_scores_keep_to_the_board_and_its_phases_whoever_they_are_for(game: Game) -> None:
    player, group = await member(game)
    late = await put_group(game, game.core.new_id(), [player.profile_id])
    joining = {"leaderboardId": "team_phases", "groupId": group, "tournamentCode": "teams"}
    reds, ada = {"groupId": group, "score": 1}, {"profileId": player.profile_id, "score": 1}
    posts = (
        (player, "POST_GROUP_TOURNAMENT_SCORE", "team_phases", reds),
        (player, "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS", "team_phases", reds),
        (game.server, "POST_TOURNAMENT_SCORE_ON_BEHALF_OF", "phases", ada),
    )

    async def all_refused(reason: type[GameError], **more: Any) -> None:
        for caller, operation, board, data in posts:
            await expect(reason, caller, operation, **{"leaderboardId": board, **data, **more})

    game.clock.advance(DAY)  # the first period is as long as the others
    await expect(TooEarlyToJoin, player, "JOIN_GROUP_TOURNAMENT", **joining)
    game.clock.advance(HOUR)
    await player.call(SERVICE, "JOIN_GROUP_TOURNAMENT", **joining)
    await player.call(SERVICE, "JOIN_TOURNAMENT", leaderboardId="phases", tournamentCode="free")
    await all_refused(PlayNotStarted)
    game.clock.advance(HOUR)
    await all_refused(OutOfTime, roundStartedEpoch=game.clock.ms() - 1)
    game.clock.advance(20 * HOUR)
    await expect(TooLateToJoin, player, "JOIN_GROUP_TOURNAMENT", **{**joining, "groupId": late})
    game.clock.advance(HOUR)
    await all_refused(PlayEnded)
    for caller, operation, board, data in posts:
        others = "team_cup" if board == "phases" else "daily"
        await expect(WrongEntryType, caller, operation, leaderboardId=others, **data)
    for _, operation, _, data in posts[:2]:
        await expect(NoTournament, player, operation, leaderboardId="team_plain", **data)


async def test_divisions_that_no_group_enters_or_reads(game: Game) -> None:
    player, group = await member(game)
    reds, teams = {"groupId": group}, {"tournamentCode": "teams"}
    joining, reading = "JOIN_GROUP_DIVISION", "GET_GROUP_DIVISION_INFO"
    of_teams = await make_set(game, "team_model")
    await expect(WrongEntryType, player, "GET_DIVISION_INFO", divSetId=of_teams)
    await expect(NotOnBoard, player, joining, **reds, divSetId=of_teams, tournamentCode="other")
    await player.call(SERVICE, joining, **reds, **teams, divSetId=of_teams)
    await expect(InActiveDivision, player, joining, **reds, **teams, divSetId=of_teams)
    of_players = await make_set(game, "model", "PLAYER")
    await expect(WrongEntryType, player, joining, **reds, **teams, divSetId=of_players)
    await expect(WrongEntryType, player, reading, **reds, divSetId=of_players)
    phases = await make_set(game, "team_phases")
    game.clock.advance(DAY)
    await expect(TooEarlyToJoin, player, joining, **reds, **teams, divSetId=phases)
    game.clock.advance(22 * HOUR)
    await expect(TooLateToJoin, player, joining, **reds, **teams, divSetId=phases)


@pytest.mark.parametrize(("entry_type", "of_group"), [("PLAYER", ""), ("GROUP", "GROUP_")])
async def test_divisions_are_made_like_a_board_that_has_tournaments(
    game: Game, entry_type: str, of_group: str
) -> None:
    player, group = await member(game)
    board = game.unique("b")
    config = {
        "entryType": entry_type,
        "leaderboardType": "HIGH_VALUE",
        "rotationType": "DAILY",
        "tEnabled": True,
    }
    await game.server.call(BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=config)
    data = {"divSetId": await make_set(game, board, entry_type), **({"groupId": group} if of_group else {})}

    async def both_refused(reason: type[GameError]) -> None:
        await expect(reason, player, f"JOIN_{of_group}DIVISION", **data, tournamentCode="teams")
        await expect(reason, player, f"GET_{of_group}DIVISION_INFO", **data)

    await both_refused(NoTournament)
    await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=[board])
    await both_refused(NoLeaderboard)
