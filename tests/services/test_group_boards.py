"""Groups on leaderboards and in tournaments: who posts for them, what is shown, what goes with them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gameserver.domain.leaderboards.boards import entries
from gameserver.services.tournament.storage import enrolments, results
from tests.conftest import Client, Game
from tests.services import boards
from tests.services.boards import settled
from tests.services.tournaments import APP, DAY, tick

BOARD, TOURNAMENT = "leaderboard", "tournament"
TYPES = """
[group.types.clan]
[leaderboard.boards.clans]
entries = "GROUP"
[leaderboard.boards.cups]
entries = "GROUP"
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
retained = 3
tournament = { codes = ["teams"] }
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app with boards and tournaments of groups."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + APP + TYPES)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game that begins at the start of a day, with boards that nobody has used."""
    game.clock.advance(DAY - game.clock.ms() // 1000 % DAY)
    for board in ("clans", "cups"):
        await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=[board])
        await game.server.call(BOARD, "SYS_EDIT_LEADERBOARD", leaderboardId=board)
    return game


async def make(owner: Client, name: str, *members: Client, **more: Any) -> str:
    request = {"name": name, "groupType": "clan", "isOpenGroup": True, **more}
    group_id: str = (await owner.call("group", "CREATE_GROUP", **request))["groupId"]
    for member in members:
        await member.call("group", "JOIN_MEMBER_TO_GROUP", groupId=group_id)
    return group_id


async def post(player: Client, group_id: str, score: int) -> None:
    await player.call(BOARD, "POST_GROUP_SCORE", leaderboardId="clans", groupId=group_id, score=score)


async def shown(player: Client) -> list[tuple[Any, ...]]:
    found = (await boards.page(player, "clans"))["leaderboard"]
    return [(e["rank"], e["score"], e["groupName"], e["groupSummaryData"]) for e in found]


async def test_a_board_shows_groups_as_they_are_now(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    reds = await make(ada, "Reds", bob, summaryData={"flag": "red"})
    blues = await make(bob, "Blues")
    await post(bob, reds, 5)  # any member does
    await post(bob, blues, 7)
    assert await shown(ada) == [(1, 7, "Blues", {}), (2, 5, "Reds", {"flag": "red"})]
    await ada.call("group", "UPDATE_GROUP_NAME", groupId=reds, name="Scarlets")
    await ada.call("group", "UPDATE_GROUP_SUMMARY_DATA", groupId=reds, version=-1, summaryData={"flag": 1})
    around = {
        "leaderboardId": "clans",
        "groupId": reds,
        "sort": "HIGH_TO_LOW",
        "beforeCount": 0,
        "afterCount": 0,
    }
    [entry] = (await bob.call(BOARD, "GET_GROUP_LEADERBOARD_VIEW", **around))["leaderboard"]
    assert (entry["groupName"], entry["groupSummaryData"], entry["rank"]) == ("Scarlets", {"flag": 1}, 2)


async def test_who_leaves_posts_no_more_and_the_scores_stay(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    reds = await make(ada, "Reds", bob)
    await post(bob, reds, 5)
    await bob.call("group", "LEAVE_GROUP", groupId=reds)
    request = {"leaderboardId": "clans", "groupId": reds, "score": 9}
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER", "retainedCount": 2}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("POST_GROUP_SCORE", request),
        ("POST_GROUP_SCORE_DYNAMIC", request | config),
        ("POST_SCORE_DYNAMIC", request | config),
        ("POST_GROUP_SCORE_DYNAMIC_USING_CONFIG", request | {"configJson": config}),
        ("REMOVE_GROUP_SCORE", {"leaderboardId": "clans", "groupId": reds, "versionId": -1}),
    ]
    for operation, data in calls:
        assert (await bob.refused(BOARD, operation, **data)).reason_code == 40453
    assert await shown(bob) == [(1, 5, "Reds", {})]


async def test_scores_go_with_their_group_and_ranks_close_up(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    reds, blues, greens = [await make(ada, name) for name in ("Reds", "Blues", "Greens")]
    for score, group_id in enumerate((reds, blues, greens), start=1):
        await post(ada, group_id, score)
    await boards.with_ranks(game, bob, "clans")
    assert [rank for rank, *_ in await shown(bob)] == [1, 2, 3]
    await ada.call("group", "DELETE_GROUP", groupId=blues, version=-1)
    await settled(game)
    assert await shown(bob) == [(1, 3, "Greens", {}), (2, 1, "Reds", {})]
    around = {"leaderboardId": "clans", "sort": "HIGH_TO_LOW", "beforeCount": 9, "afterCount": 9}
    view = await bob.call(BOARD, "GET_GROUP_LEADERBOARD_VIEW", groupId=reds, **around)
    assert [(e["rank"], e["groupId"]) for e in view["leaderboard"]] == [(1, greens), (2, reds)]
    assert view["leaderboardSize"] == 2
    await ada.call("group", "LEAVE_GROUP_AUTO", groupId=greens)  # its last member
    await settled(game)
    assert await shown(bob) == [(1, 1, "Reds", {})]


async def test_nobody_posts_for_a_group_while_it_goes(game: Game) -> None:
    ada = await game.player()
    others = [await game.player() for _ in range(3)]
    for _ in range(5):
        reds = await make(ada, "Reds", *others)
        data = {"leaderboardId": "clans", "groupId": reds, "score": 1}
        going = ada.call("group", "DELETE_GROUP", groupId=reds, version=-1)
        await asyncio.gather(*(each.packet((BOARD, "POST_GROUP_SCORE", data)) for each in others), going)
        async with game.core.database.read() as tx:
            rows = await tx.all(entries.select().where(entries.c.member_id == reds))
        assert rows == []


async def test_members_hear_that_a_tournament_of_their_group_is_over(game: Game) -> None:
    ada, bob, cyd, dan = [await game.player() for _ in range(4)]
    reds, blues = await make(ada, "Reds", bob), await make(cyd, "Blues")
    for player, group_id in ((ada, reds), (cyd, blues)):
        data = {"leaderboardId": "cups", "groupId": group_id}
        join = {"tournamentCode": "teams", "initialScore": 0}
        await player.call(TOURNAMENT, "JOIN_GROUP_TOURNAMENT", **data, **join)
        await player.call(TOURNAMENT, "POST_GROUP_TOURNAMENT_SCORE", **data, score=3)
    of_reds = {"leaderboardId": "cups", "groupId": reds, "versionId": -1}
    before = await ada.call(TOURNAMENT, "GET_GROUP_TOURNAMENT_STATUS", **of_reds)
    assert before["leaderboardEnrollment"]["tNotifiedAt"] == 0
    await bob.call("group", "LEAVE_GROUP", groupId=reds)
    await dan.call("group", "JOIN_MEMBER_TO_GROUP", groupId=reds)
    game.clock.advance(DAY)
    await tick(game)
    await cyd.call("group", "DELETE_GROUP", groupId=blues, version=-1)  # before anybody is told
    await game.run_jobs("event.tellGroup")
    version = before["versionId"]
    expected = {"leaderboardId": "cups", "versionId": version, "groupId": reds}
    for player in (ada, dan):
        found = (await player.call("event", "GET_EVENTS"))["incoming_events"]
        assert [(e["eventType"], e["eventData"], e["fromPlayerId"]) for e in found] == [
            ("SYSTEM_TOURNAMENT_COMPLETE", expected, "")
        ]
    for player in (bob, cyd):
        assert (await player.call("event", "GET_EVENTS"))["incoming_events"] == []
    after = await ada.call(TOURNAMENT, "GET_GROUP_TOURNAMENT_STATUS", **{**of_reds, "versionId": version})
    assert after["leaderboardEnrollment"]["tNotifiedAt"] == game.clock.ms()


async def test_a_group_that_goes_leaves_its_tournaments(game: Game) -> None:
    ada = await game.player()
    reds = await make(ada, "Reds")
    data = {"leaderboardId": "cups", "groupId": reds}
    for _ in range(2):  # a result, and a part in what runs
        join = {"tournamentCode": "teams", "initialScore": 0}
        await ada.call(TOURNAMENT, "JOIN_GROUP_TOURNAMENT", **data, **join)
        await ada.call(TOURNAMENT, "POST_GROUP_TOURNAMENT_SCORE", **data, score=3)
        if not await rows_of(game, reds, results):
            game.clock.advance(DAY)
            await tick(game)
    assert await rows_of(game, reds, results) == await rows_of(game, reds, enrolments) == 1
    await ada.call("group", "DELETE_GROUP", groupId=reds, version=-1)
    assert [await rows_of(game, reds, table) for table in (results, enrolments, entries)] == [0, 0, 0]


async def rows_of(game: Game, member_id: str, table: Any) -> int:
    async with game.core.database.read() as tx:
        return len(await tx.all(table.select().where(table.c.member_id == member_id)))
