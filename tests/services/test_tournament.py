"""tournament, spoken to as clients and servers would: entering, leaving, rewards, groups."""

import asyncio
from typing import Any

import pytest

from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.social import notices
from gameserver.domain.social.notices import TournamentOver
from gameserver.storage import Transaction
from tests.conftest import Client, Game
from tests.services.tournaments import (
    DAY,
    HOUR,
    SERVICE,
    Teams,
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


# Entering and leaving


async def test_a_player_enters_posts_and_sees_it(game: Game) -> None:
    player = await game.player()
    before = await status(player)
    assert before["enrolled"] is False
    assert [c["tournamentCode"] for c in before["tournamentConfigs"]] == ["free", "paid"]
    assert before["tournamentTimetable"]["tState"] == "ACTIVE"
    answer = await join(player, score=5)
    assert (answer["enrolled"], answer["entryFee"]) == (True, {})
    assert answer["balance"]["currency"]["coins"]["balance"] == 0
    part = (await status(player))["leaderboardEnrollment"]
    assert (part["score"], part["tCode"], part["isInitialTScore"]) == (5, "free", True)
    posted = await post(player, 50, data={"nick": "a"})
    assert (posted["score"], posted["previousScore"], posted["data"]) == (50, 5, {"nick": "a"})
    assert posted["playerId"] == player.profile_id
    after = await status(player)
    assert after["leaderboardEnrollment"]["isInitialTScore"] is False
    assert after["versionId"] == posted["versionId"]


async def test_the_fee_is_collected_or_nothing_happens(game: Game) -> None:
    player = await game.player()
    joining = {"leaderboardId": "daily", "tournamentCode": "paid", "initialScore": 0}
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=29)
    assert await refused(player, "JOIN_TOURNAMENT", **joining) == (400, 40507)
    assert await coins(player) == 29
    assert (await status(player))["enrolled"] is False
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=31)
    answer = await join(player, "paid")
    assert answer["entryFee"] == {"currency": {"coins": 30}}
    assert answer["balance"]["currency"]["coins"]["balance"] == await coins(player) == 30
    assert await refused(player, "JOIN_TOURNAMENT", **joining) == (400, 40497)
    assert await coins(player) == 30


async def test_of_two_entries_at_once_one_pays(game: Game) -> None:
    player = await game.player()
    other = game.client()
    await other.log_in("Universal", game.unique("u"), "secret")
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=90)
    call = ("JOIN_TOURNAMENT", player.profile_id)
    joining = {"leaderboardId": "daily", "tournamentCode": "paid"}
    ends = await asyncio.gather(
        *(game.server.call(SERVICE, *call, **joining) for _ in range(3)), return_exceptions=True
    )
    assert sorted(getattr(end, "reason_code", 200) for end in ends) == [200, 40497, 40497]
    assert await coins(player) == 60


async def test_leaving_and_entering_again(game: Game) -> None:
    player = await game.player()
    for score in (3, 1):
        await join(player, score=score)
        part = (await status(player))["leaderboardEnrollment"]
        assert part["score"] == score
        left = await player.call(SERVICE, "LEAVE_TOURNAMENT", leaderboardId="daily")
        assert left == {"numScoresRemoved": 1}
        assert (await status(player))["enrolled"] is False
    left = await player.call(SERVICE, "LEAVE_TOURNAMENT", leaderboardId="daily")
    assert left == {"numScoresRemoved": 0}
    for board, refusal in (("none", (500, 40499)), ("plain", (400, 40495)), ("teams", (400, 40656))):
        assert await refused(player, "LEAVE_TOURNAMENT", leaderboardId=board) == refusal


async def test_where_nobody_can_enter(game: Game) -> None:
    player = await game.player()
    for board, code, reason in (
        ("none", "free", 40499),
        ("plain", "free", 40495),
        ("daily", "other", 40496),
        ("daily", "later", 40524),
        ("model", "free", 40640),
        ("teams", "teams", 40656),
    ):
        joining = {"leaderboardId": board, "tournamentCode": code, "initialScore": 0}
        assert (await refused(player, "JOIN_TOURNAMENT", **joining))[1] == reason, board
    assert await refused(player, "GET_TOURNAMENT_STATUS", leaderboardId="none") == (500, 40499)
    assert await refused(player, "GET_TOURNAMENT_STATUS", leaderboardId="plain") == (400, 40495)
    assert (await refused(player, "GET_TOURNAMENT_STATUS", leaderboardId="daily", versionId=99))[1] == 40506


async def test_phases_decide_who_may_do_what(game: Game) -> None:
    player, late = await game.player(), await game.player()
    joining = {"leaderboardId": "phases", "tournamentCode": "free"}
    posting = {"leaderboardId": "phases", "score": 1}
    game.clock.advance(DAY)  # the first period is as long as the others
    assert await refused(player, "JOIN_TOURNAMENT", **joining) == (400, 40498)
    game.clock.advance(HOUR)
    await join(player, board="phases")
    assert (await status(player, "phases"))["tournamentTimetable"]["tState"] == "PENDING"
    assert await refused(player, "POST_TOURNAMENT_SCORE", **posting) == (400, 40581)
    game.clock.advance(HOUR)
    began = game.clock.ms()
    await post(player, 1, "phases")
    early = {"roundStartedEpoch": began - 1}
    assert await refused(player, "POST_TOURNAMENT_SCORE", **posting, **early) == (400, 40500)
    game.clock.advance(20 * HOUR)
    assert await refused(late, "JOIN_TOURNAMENT", **joining) == (400, 40516)
    game.clock.advance(HOUR)
    assert (await status(player, "phases"))["tournamentTimetable"]["tState"] == "COMPLETE"
    assert await refused(player, "POST_TOURNAMENT_SCORE", **posting) == (400, 40582)
    assert (await post(player, 7, "phases", roundStartedEpoch=str(began)))["score"] == 7


async def test_posting_needs_entering(game: Game) -> None:
    player = await game.player()
    posting = {"leaderboardId": "daily", "score": 1}
    for operation in ("POST_TOURNAMENT_SCORE", "POST_TOURNAMENT_SCORE_WITH_RESULTS"):
        assert await refused(player, operation, **posting) == (400, 40505)
        assert await refused(player, operation, leaderboardId="none", score=1) == (500, 40499)
        assert await refused(player, operation, leaderboardId="plain", score=1) == (400, 40495)
        assert await refused(player, operation, leaderboardId="teams", score=1) == (400, 40656)
    refusal = await player.refused("leaderboard", "POST_SCORE", **posting)
    assert refusal.reason_code == 40505
    await join(player)
    await player.call("leaderboard", "POST_SCORE", **posting)


async def test_posting_with_results(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await join(ada, score=10)
    await join(bob)
    answer = await bob.call(
        SERVICE,
        "POST_TOURNAMENT_SCORE_WITH_RESULTS",
        leaderboardId="daily",
        score=20,
        data={},
        roundStartedEpoch=game.clock.ms(),
        sort="HIGH_TO_LOW",
        beforeCount=3,
        afterCount=4,
        initialScore=0,
    )
    told = answer["postScore"]
    assert (told["score"], told["previousScore"], told["rank"]) == (20, 0, 1)
    assert told["isInitialTScore"] is False
    before = told["previousLeaderboard"]
    assert (before["playerId"], before["score"], before["index"], before["rank"]) == (bob.profile_id, 0, 1, 2)
    assert (before["tCode"], before["isInitialTScore"]) == ("free", True)
    assert [
        (e["playerId"], e["score"], e["rank"], e["tCode"], e["isInitialTScore"]) for e in answer["scores"]
    ] == [(bob.profile_id, 20, 1, "free", False), (ada.profile_id, 10, 2, "free", True)]
    assert set(before) == set(answer["scores"][0])


@pytest.mark.parametrize("operation", ["POST_TOURNAMENT_SCORE_WITH_RESULTS"])
async def test_posting_with_results_keeps_to_the_phases(game: Game, operation: str) -> None:
    player = await game.player()
    game.clock.advance(DAY + HOUR)
    await join(player, board="phases")
    posting = {"leaderboardId": "phases", "score": 1}
    assert await refused(player, operation, **posting) == (400, 40581)
    game.clock.advance(HOUR)
    early = {"roundStartedEpoch": game.clock.ms() - 1}
    assert await refused(player, operation, **posting, **early) == (400, 40500)
    game.clock.advance(21 * HOUR)
    assert await refused(player, operation, **posting) == (400, 40582)


async def test_a_server_posts_for_a_player(game: Game) -> None:
    player = await game.player()
    posting: dict[str, Any] = {"profileId": player.profile_id, "score": 9}
    operation = "POST_TOURNAMENT_SCORE_ON_BEHALF_OF"
    for board, reason in (("daily", 40505), ("none", 40499), ("plain", 40495)):
        refusal = await game.server.refused(SERVICE, operation, leaderboardId=board, **posting)
        assert refusal.reason_code == reason
    refusal = await game.server.refused(
        SERVICE, operation, leaderboardId="automatic", forceCreate=False, **posting
    )
    assert refusal.reason_code == 40505
    nobody: dict[str, Any] = {"profileId": "nobody", "score": 1, "leaderboardId": "daily"}
    assert (await game.server.refused(SERVICE, operation, **nobody)).reason_code == 40374
    await join(player)
    posted = await game.server.call(SERVICE, operation, leaderboardId="daily", **posting)
    assert (posted["score"], posted["playerId"]) == (9, player.profile_id)


# Rewards


async def test_places_are_paid_once(game: Game) -> None:
    ada, bob, cyd, dan = [await game.player() for _ in range(4)]
    for player, score in ((ada, 30), (bob, 20), (cyd, 20), (dan, 10)):
        await join(player)
        await post(player, score)
    version = (await status(ada))["versionId"]
    assert (await ada.call(SERVICE, "VIEW_CURRENT_REWARD", leaderboardId="daily"))["rewards"] == {
        "experiencePoints": 150,
        "currency": {"coins": 100},
    }
    tied = await cyd.call(SERVICE, "VIEW_CURRENT_REWARD", leaderboardId="daily")
    assert (tied["tRank"], tied["rewards"]) == (2, {"currency": {"coins": 10}})
    for operation in ("VIEW_REWARD", "CLAIM_TOURNAMENT_REWARD"):
        of_version = {"leaderboardId": "daily", "versionId": version}
        assert await refused(ada, operation, **of_version) == (400, 40517)
        assert await refused(ada, operation, leaderboardId="daily", versionId=-1) == (400, 40505)
        assert (await refused(ada, operation, leaderboardId="daily", versionId=version + 9))[1] == 40506
        assert (await refused(ada, operation, leaderboardId="none", versionId=1))[1] == 40499
    game.clock.advance(DAY)
    assert await refused(ada, "CLAIM_TOURNAMENT_REWARD", leaderboardId="daily", versionId=version) == (
        400,
        40517,
    )
    await game.core.get(Leaderboards).upkeep.rotate_due()
    seen = await bob.call(SERVICE, "VIEW_REWARD", leaderboardId="daily", versionId=version)
    assert (seen["tRank"], seen["rewards"], seen["tClaimedAt"]) == (2, {"currency": {"coins": 10}}, 0)
    answer = await claim(ada, version=version)
    assert answer["rewards"]["currency"] == {"coins": 100}
    assert (answer["experiencePoints"], answer["experienceLevel"]) == (150, 1)
    assert answer["currency"]["coins"]["balance"] == await coins(ada) == 100
    [told] = answer["rewardDetails"]["tournaments"]
    assert (told["tRank"], told["tCode"], told["leaderboardVersion"]) == (1, "free", version)
    assert await refused(ada, "CLAIM_TOURNAMENT_REWARD", leaderboardId="daily", versionId=version) == (
        400,
        40523,
    )
    assert await coins(ada) == 100
    assert (await claim(dan))["experiencePoints"] == 5
    over = await status(ada, version=version)
    assert over["leaderboardEnrollment"]["tClaimedAt"] == game.clock.ms()
    assert over["tournamentTimetable"]["tState"] == "COMPLETE"


async def test_the_status_of_a_period_goes_on_while_its_results_are_made(game: Game) -> None:
    player = await game.player()
    await join(player)
    await post(player, 7)
    version = (await status(player))["versionId"]
    game.clock.advance(DAY)
    for rank in (0, 1):
        told = await status(player, version=version)
        assert (told["enrolled"], told["tournamentTimetable"]["tState"]) == (True, "COMPLETE")
        assert (told["leaderboardEnrollment"]["score"], told["leaderboardEnrollment"]["tRank"]) == (7, rank)
        assert (await status(player))["enrolled"] is False
        await tick(game)


OFF: dict[str, Any] = {"enabled": False, "pushId": None, "mail": {}}


async def test_players_are_told_of_the_end(game: Game) -> None:
    code, quiet = game.unique("t"), game.unique("t")
    pushed = {"enabled": True, "pushId": 3, "mail": {"en": "m-1"}}
    made = await create(game, code, notifications={"complete": pushed, "start": pushed})
    assert made["notifications"] == {
        "startingSoon": OFF,
        "start": pushed,
        "scorePassed": OFF,
        "endingSoon": OFF,
        "complete": pushed,
    }
    await create(game, quiet, notifications={"complete": {**pushed, "enabled": False}})
    ada, bob, cyd, dan = [await game.player() for _ in range(4)]
    board = game.unique("b")
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "DAILY", "tEnabled": True, "retainedCount": 2}
    await game.server.call(
        "leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=config
    )
    codes = {name: {"tConfigCode": name} for name in (code, quiet)}
    await game.server.call(
        "leaderboard",
        "SYS_EDIT_TOURNAMENT_SETTINGS_INCLUDING_CURRENT_PERIOD",
        leaderboardId=board,
        tSettingsJson={"tTournament": {"tConfigs": codes}},
    )
    game.clock.advance(60)
    for player, tournament in ((ada, code), (bob, code), (cyd, quiet)):
        await join(player, tournament, board)
    assert (await status(ada, board))["leaderboardEnrollment"]["tNotifiedAt"] == 0
    version = (await status(ada, board))["versionId"]
    told: list[TournamentOver] = []

    async def tell(_: Transaction, over: TournamentOver) -> list[str]:
        told.append(over)
        return [ada.profile_id, cyd.profile_id, dan.profile_id]

    game.core.hooks.subscribe(notices.TOURNAMENT_OVER, tell)
    game.clock.advance(DAY)
    await tick(game)
    await tick(game)
    mine = [over for over in told if over.board_id == board]
    assert {(over.code, over.version, over.push_id, *over.mail.values()) for over in mine} == {
        (code, version, 3, "m-1"),
        (quiet, version, None),
    }
    assert sorted(one for over in mine for one in over.member_ids) == sorted(
        player.profile_id for player in (ada, bob, cyd)
    )
    for player in (ada, bob, cyd):  # of bob nobody else knows than the events that all are sent
        part = (await status(player, board, version))["leaderboardEnrollment"]
        assert part["tNotifiedAt"] == game.clock.ms()
    assert (await ada.call(SERVICE, "VIEW_REWARD", leaderboardId=board, versionId=version))["tNotifiedAt"] > 0


async def test_claims_at_once_are_paid_once(game: Game) -> None:
    player = await game.player()
    await join(player)
    await post(player, 1)
    game.clock.advance(DAY)
    await tick(game)
    ends = await asyncio.gather(
        *(
            game.server.call(
                SERVICE, "CLAIM_TOURNAMENT_REWARD", player.profile_id, leaderboardId="daily", versionId=-1
            )
            for _ in range(3)
        ),
        return_exceptions=True,
    )
    assert sorted(getattr(end, "reason_code", 200) for end in ends) == [200, 40523, 40523]
    assert await coins(player) == 100


async def test_initial_scores_may_be_worth_nothing(game: Game) -> None:
    idle, busy = await game.player(), await game.player()
    for player, score in ((idle, 99), (busy, 98)):
        await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=30)
        await join(player, "paid", score=score)
    await post(busy, 100)
    game.clock.advance(DAY)
    await tick(game)
    assert (await claim(idle))["rewards"] == {}
    assert (await claim(busy))["rewards"] == {"currency": {"coins": 1000}}


async def test_a_score_counts_as_ones_own_whichever_service_took_it(game: Game) -> None:
    player = await game.player()
    await game.server.call("virtualCurrency", "AWARD_VC", player.profile_id, vcId="coins", vcAmount=30)
    await join(player, "paid")
    assert (await status(player))["leaderboardEnrollment"]["isInitialTScore"] is True
    await player.call("leaderboard", "POST_SCORE", leaderboardId="daily", score=1)
    assert (await status(player))["leaderboardEnrollment"]["isInitialTScore"] is False
    game.clock.advance(DAY)
    await tick(game)
    assert (await claim(player))["rewards"] == {"currency": {"coins": 1000}}


async def test_a_first_score_enters_and_the_end_pays(game: Game) -> None:
    first, second = await game.player(), await game.player()
    await post(first, 10, "automatic")
    answer = await second.call(
        SERVICE,
        "POST_TOURNAMENT_SCORE_WITH_RESULTS",
        leaderboardId="automatic",
        score=5,
        initialScore=0,
    )
    assert [entry["score"] for entry in answer["scores"]] == [10, 5]
    assert answer["postScore"]["rank"] == 2
    assert "previousLeaderboard" not in answer["postScore"]  # they have just entered
    game.clock.advance(DAY)
    await tick(game)
    await tick(game)
    assert (await coins(first), await coins(second)) == (100, 10)
    assert await refused(first, "CLAIM_TOURNAMENT_REWARD", leaderboardId="automatic", versionId=-1) == (
        400,
        40523,
    )


async def test_a_reward_that_waits_to_be_paid_is_not_forgotten(game: Game) -> None:
    """However long no server has run that pays."""
    player = await game.player()
    await post(player, 10, "automatic")
    jobs = game.server_app.jobs.jobs.values()
    others = [job.name for job in jobs if job.every_seconds is not None and job.name != "tournament.pay"]
    game.clock.advance(DAY)
    await game.run_jobs(*others)
    game.clock.advance(100 * DAY)
    await game.run_jobs(*others)
    assert await owned(game, player) == 0
    await game.run_jobs("tournament.pay")
    assert await owned(game, player) == 100


async def owned(game: Game, player: Client) -> int:
    told = await game.server.call("virtualCurrency", "GET_PLAYER_VC", player.profile_id, vcId="coins")
    balance: int = told["currencyMap"]["coins"]["balance"]
    return balance


async def test_view_of_the_current_reward_needs_a_tournament(game: Game) -> None:
    player = await game.player()
    for board, reason in (("daily", 40505), ("plain", 40495), ("none", 40499), ("teams", 40656)):
        assert (await refused(player, "VIEW_CURRENT_REWARD", leaderboardId=board))[1] == reason


async def test_scores_of_tournaments_are_not_removed_like_others(game: Game, teams: Teams) -> None:
    player = await game.player()
    await join(player)
    version = (await status(player))["versionId"]
    removing = ("leaderboard", "REMOVE_PLAYER_SCORE")
    assert (await player.refused(*removing, leaderboardId="daily")).reason_code == 40494
    await teams("reds", player.profile_id)
    reds = {"leaderboardId": "teams", "groupId": "reds"}
    await player.call(SERVICE, "JOIN_GROUP_TOURNAMENT", **reds, tournamentCode="teams", initialScore=0)
    assert (await player.refused("leaderboard", "REMOVE_GROUP_SCORE", **reds)).reason_code == 40494
    game.clock.advance(DAY)
    for _ in range(2):
        refusal = await player.refused(*removing, leaderboardId="daily", versionId=version)
        assert (refusal.status, refusal.reason_code) == (400, 40494)
        await tick(game)
    await player.call("leaderboard", "POST_SCORE", leaderboardId="plain", score=1)
    assert await player.call(*removing, leaderboardId="plain") == {"numScoresRemoved": 1}


async def test_a_reset_takes_the_player_out(game: Game) -> None:
    player = await game.player()
    await join(player)
    await player.call("playerState", "GAME_DATA_RESET")
    assert (await status(player))["enrolled"] is False


# Groups


async def test_a_group_enters_posts_and_leaves(game: Game, teams: Teams) -> None:
    player = await game.player()
    await teams("reds", player.profile_id)
    reds = {"leaderboardId": "teams", "groupId": "reds"}
    joining = {"tournamentCode": "teams", "initialScore": 1}
    assert await player.call(SERVICE, "JOIN_GROUP_TOURNAMENT", **reds, **joining) == {"enrolled": True}
    assert await refused(player, "JOIN_GROUP_TOURNAMENT", **reds, **joining) == (400, 40497)
    posted = await player.call(SERVICE, "POST_GROUP_TOURNAMENT_SCORE", **reds, score=20)
    assert (posted["groupId"], posted["score"], posted["previousScore"]) == ("reds", 20, 1)
    answer = await player.call(
        SERVICE, "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS", **reds, score=30, beforeCount=1, afterCount=1
    )
    [entry] = answer["scores"]
    assert (entry["groupId"], entry["groupName"], entry["score"], entry["rank"]) == ("reds", "Reds", 30, 1)
    assert (entry["groupSummaryData"], entry["isInitialTScore"]) == ({"motto": "reds"}, False)
    told = answer["postScore"]
    assert (told["rank"], told["previousLeaderboard"]["score"]) == (1, 20)
    assert told["previousLeaderboard"]["groupName"] == "Reds"
    page = await player.call(
        "leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId="teams", startIndex=0, endIndex=9
    )
    assert page["leaderboard"][0]["groupSummaryData"] == {"motto": "reds"}
    found = await player.call(SERVICE, "GET_GROUP_TOURNAMENT_STATUS", **reds, versionId=-1)
    assert (found["enrolled"], found["leaderboardEnrollment"]["score"]) == (True, 30)
    left = await player.call(SERVICE, "LEAVE_GROUP_TOURNAMENT", **reds)
    assert left == {"numScoresRemoved": 1}
    for operation in ("POST_GROUP_TOURNAMENT_SCORE", "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS"):
        assert await refused(player, operation, **reds, score=1) == (400, 40505)


GROUP_OPERATIONS = [
    "JOIN_GROUP_TOURNAMENT",
    "LEAVE_GROUP_TOURNAMENT",
    "GET_GROUP_TOURNAMENT_STATUS",
    "POST_GROUP_TOURNAMENT_SCORE",
    "POST_GROUP_TOURNAMENT_SCORE_WITH_RESULTS",
    "JOIN_GROUP_DIVISION",
    "LEAVE_GROUP_DIVISION_INSTANCE",
    "GET_GROUP_DIVISION_INFO",
    "GET_GROUP_DIVISIONS",
]


@pytest.mark.parametrize("operation", GROUP_OPERATIONS)
async def test_only_members_act_for_a_group(game: Game, teams: Teams, operation: str) -> None:
    player = await game.player()
    await teams("reds")
    data = {"leaderboardId": "none", "divSetId": "none", "tournamentCode": "teams", "score": 1}
    assert await refused(player, operation, **data, groupId="blues") == (400, 40345)
    assert await refused(player, operation, **data, groupId="reds") == (400, 40453)
    await teams("reds", player.profile_id)
    if "DIVISIONS" not in operation:
        reason = 40632 if "INSTANCE" in operation else 40625 if "DIVISION" in operation else 40499
        assert (await refused(player, operation, **data, groupId="reds"))[1] == reason
    if operation in {"JOIN_GROUP_TOURNAMENT", "GET_GROUP_TOURNAMENT_STATUS"}:
        assert (await refused(player, operation, **data | {"leaderboardId": "daily"}, groupId="reds"))[
            1
        ] == 40656
