"""tournament, spoken to as clients and servers would."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.domain import notices, social
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.notices import TournamentOver
from gameserver.storage import Transaction
from tests.conftest import Client, Game

SERVICE = "tournament"
DAY, HOUR = 24 * 3600, 3600
APP = """
[session]
life_seconds = 2592000
[virtualCurrency.currencies.coins]
[[playerStatistics.levels]]
experience = 100
[tournament]
made_by_servers = ["later"]
[tournament.templates.free]
title = "Free cup"
payouts = [
  { rank = 1, rewards = { currency = { coins = 100 }, experience = 150 } },
  { up_to = 2, rewards = { currency = { coins = 10 } } },
  { rest = true, rewards = { experience = 5 } },
]
[tournament.templates.paid]
entry_fee = { coins = 30 }
exclude_initial_scores = true
payouts = [{ percent = 50, rewards = { currency = { coins = 1000 } } }]
[tournament.templates.teams]
entries = "GROUP"

[leaderboard.boards.daily]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
retained = 3
tournament = { codes = ["free", "paid", "later"] }
[leaderboard.boards.phases]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
[leaderboard.boards.phases.tournament]
codes = ["free"]
announcement_minutes = 60
enrol_minutes = 60
disallow_minutes = 60
buffer_minutes = 60
[leaderboard.boards.automatic]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
tournament = { codes = ["free"], auto_join = true, auto_claim = true }
[leaderboard.boards.plain]
[leaderboard.boards.teams]
entries = "GROUP"
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
tournament = { codes = ["teams", "free"] }
[leaderboard.boards.model]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
tournament = { codes = ["free", "paid"], template_only = true }
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps, with tournaments declared."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + APP)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game that begins at the start of a day, in the same state for every test of a run."""
    now = game.clock.ms() // 1000
    game.clock.advance(DAY - now % DAY)
    boards = ["daily", "phases", "automatic", "teams", "model"]
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=boards)
    for board in boards:
        await game.server.call("leaderboard", "SYS_EDIT_LEADERBOARD", leaderboardId=board)
    return game


async def join(player: Client, code: str = "free", board: str = "daily", score: int = 0) -> Any:
    return await player.call(
        SERVICE, "JOIN_TOURNAMENT", leaderboardId=board, tournamentCode=code, initialScore=score
    )


async def post(player: Client, score: int, board: str = "daily", **more: Any) -> Any:
    return await player.call(SERVICE, "POST_TOURNAMENT_SCORE", leaderboardId=board, score=score, **more)


async def status(player: Client, board: str = "daily", version: int = -1) -> Any:
    return await player.call(SERVICE, "GET_TOURNAMENT_STATUS", leaderboardId=board, versionId=version)


async def claim(player: Client, board: str = "daily", version: int = -1) -> Any:
    return await player.call(SERVICE, "CLAIM_TOURNAMENT_REWARD", leaderboardId=board, versionId=version)


async def coins(player: Client) -> int:
    found = await player.call("virtualCurrency", "GET_PLAYER_VC", vcId="coins")
    balance: int = found["currencyMap"]["coins"]["balance"]
    return balance


async def refused(player: Client, operation: str, **data: Any) -> tuple[int, int]:
    refusal = await player.refused(SERVICE, operation, **data)
    return refusal.status, refusal.reason_code


async def tick(game: Game) -> None:
    await game.run_jobs()


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
    for player, when in ((ada, game.clock.ms()), (bob, 0), (cyd, game.clock.ms())):
        part = (await status(player, board, version))["leaderboardEnrollment"]
        assert part["tNotifiedAt"] == when
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
    others = [name for name in game.server_app.jobs.jobs if name != "tournament.pay"]
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


async def test_scores_of_tournaments_are_not_removed_like_others(
    game: Game, teams: dict[str, list[str]]
) -> None:
    player = await game.player()
    await join(player)
    version = (await status(player))["versionId"]
    removing = ("leaderboard", "REMOVE_PLAYER_SCORE")
    assert (await player.refused(*removing, leaderboardId="daily")).reason_code == 40494
    teams["reds"] = [player.profile_id]
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


# Templates


async def create(game: Game, code: str, **config: Any) -> Any:
    return await game.server.call(
        SERVICE, "SYS_CREATE_TOURNAMENT_TEMPLATE", tournamentCode=code, configJson=config
    )


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


# Groups


@pytest.fixture
def teams(game: Game) -> dict[str, list[str]]:
    """Groups with their members, known to the rules that ask for groups."""
    known: dict[str, list[str]] = {}

    async def groups(tx: Transaction, app_id: str, ids: Any) -> dict[str, social.Group]:
        return {
            name: social.Group(name, name.title(), f'{{"motto":"{name}"}}') for name in ids if name in known
        }

    async def members(tx: Transaction, app_id: str, group_id: str) -> list[str]:
        return known[group_id]

    game.core.hooks.subscribe(social.GROUPS, groups)
    game.core.hooks.subscribe(social.MEMBERS, members)
    return known


async def test_a_group_enters_posts_and_leaves(game: Game, teams: dict[str, list[str]]) -> None:
    player = await game.player()
    teams["reds"] = [player.profile_id]
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
async def test_only_members_act_for_a_group(game: Game, teams: dict[str, list[str]], operation: str) -> None:
    player = await game.player()
    teams["reds"] = []
    data = {"leaderboardId": "none", "divSetId": "none", "tournamentCode": "teams", "score": 1}
    assert await refused(player, operation, **data, groupId="blues") == (400, 40345)
    assert await refused(player, operation, **data, groupId="reds") == (400, 40453)
    teams["reds"] = [player.profile_id]
    if "DIVISIONS" not in operation:
        reason = 40632 if "INSTANCE" in operation else 40625 if "DIVISION" in operation else 40499
        assert (await refused(player, operation, **data, groupId="reds"))[1] == reason
    if operation in {"JOIN_GROUP_TOURNAMENT", "GET_GROUP_TOURNAMENT_STATUS"}:
        assert (await refused(player, operation, **data | {"leaderboardId": "daily"}, groupId="reds"))[
            1
        ] == 40656


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


async def test_a_group_in_a_division(game: Game, teams: dict[str, list[str]]) -> None:
    player = await game.player()
    teams["reds"] = [player.profile_id]
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
