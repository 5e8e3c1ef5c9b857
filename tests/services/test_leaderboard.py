"""Posting and removing scores, and what boards tell of one player."""

import asyncio
from typing import Any

import pytest

from gameserver.domain.leaderboards import Leaderboards
from tests.conftest import Game
from tests.services.boards import BOARD, circles, create, game, page, post, scores, settled, with_ranks

__all__ = ["game"]  # fixtures


# What a post does


@pytest.mark.parametrize(
    ("kind", "posts", "left"),
    [
        ("HIGH_VALUE", [5, 9, 7], [9]),
        ("LOW_VALUE", [5, 9, 3, 4], [3]),
        ("LAST_VALUE", [5, 9, 7], [7]),
        ("CUMULATIVE", [5, 9, -20], [-6]),
        ("ARCADE_HIGH", [5, 9, 7], [9, 7, 5]),
        ("ARCADE_LOW", [5, 9, 7], [5, 7, 9]),
    ],
)
async def test_the_type_says_what_a_further_score_does(
    game: Game, kind: str, posts: list[int], left: list[int]
) -> None:
    await create(game, kind=kind)
    player = await game.player()
    for score in posts:
        await post(player, score)
    assert await scores(player) == left
    await settled(game)
    assert await scores(player) == left
    assert (await player.call(BOARD, "GET_PLAYER_SCORE", leaderboardId="b"))["score"]["score"] == left[0]


async def test_a_score_keeps_its_data_until_there_is_other(game: Game) -> None:
    await create(game, kind="LAST_VALUE")
    player = await game.player()
    await post(player, 1, nick="first")
    game.clock.advance(5)
    await post(player, 2)
    [entry] = (await page(player))["leaderboard"]
    assert entry["data"] == {"nick": "first"}
    assert entry["updatedAt"] - entry["createdAt"] == 5000
    await post(player, 2, nick="other")
    assert (await page(player))["leaderboard"][0]["data"] == {"nick": "other"}


@pytest.mark.parametrize(
    "score",
    [2**53 + 1, -(2**53) - 1, 1.5, "7", None, True, [1]],
    ids=["high", "low", "half", "text", "null", "bool", "list"],
)
async def test_scores_are_whole_numbers_a_double_can_hold(game: Game, score: Any) -> None:
    await create(game)
    player = await game.player()
    response = await player.send(player.body((BOARD, "POST_SCORE", {"leaderboardId": "b", "score": score})))
    body = response.json()
    refused = body["responses"][0]["status"] if "responses" in body else body["status"]
    assert refused == 400
    assert await scores(player) == []


@pytest.mark.parametrize("score", [2**53, -(2**53), 0, 7.0])
async def test_extreme_scores(game: Game, score: float) -> None:
    await create(game)
    player = await game.player()
    await post(player, score)  # type: ignore[arg-type]
    await with_ranks(game, player)
    assert await scores(player) == [score]


async def test_nan_is_no_score(game: Game) -> None:
    await create(game)
    player = await game.player()
    body = player.body((BOARD, "POST_SCORE", {"leaderboardId": "b", "score": 12345}))
    response = await player.send(body.replace(b"12345", b"NaN"))
    assert response.status_code == 200
    assert b'"status":200' not in response.content


async def test_a_sum_out_of_range_is_refused_and_changes_nothing(game: Game) -> None:
    await create(game, kind="CUMULATIVE")
    player = await game.player()
    await post(player, 2**53)
    refusal = await player.refused(BOARD, "POST_SCORE", leaderboardId="b", score=1)
    assert (refusal.status, refusal.reason_code) == (400, 40660)
    assert await scores(player) == [2**53]


async def test_a_thousand_posts_of_one_player_at_once(game: Game) -> None:
    await create(game, "sum", "CUMULATIVE")
    await create(game, "best")
    player = await game.player()

    async def one(number: int) -> None:
        for board in ("sum", "best"):
            await game.server.call(BOARD, "POST_SCORE", player.profile_id, leaderboardId=board, score=number)

    await asyncio.gather(*(one(number) for number in range(1000)))
    assert await scores(player, "sum") == [999 * 500]
    assert await scores(player, "best") == [999]
    await settled(game)
    assert await scores(player, "sum") == [999 * 500]
    assert await scores(player, "best") == [999]


async def test_of_equal_scores_the_one_posted_last_stands_first(game: Game) -> None:
    await create(game, kind="LAST_VALUE")
    players = [await game.player() for _ in range(4)]
    for player in players:
        await post(player, 5)
    await post(players[0], 6)
    await post(players[0], 5)  # posted again, later than the others
    await post(players[1], 5)
    wanted = [players[i].profile_id for i in (1, 0, 3, 2)]
    for _ in range(2):
        found = (await page(players[0]))["leaderboard"]
        assert [entry["playerId"] for entry in found] == wanted
        backwards = (await page(players[0], sort="LOW_TO_HIGH"))["leaderboard"]
        assert [entry["playerId"] for entry in backwards] == wanted[::-1]
        assert [entry["rank"] for entry in backwards] == [1, 2, 3, 4]
        await settled(game)


async def test_posting_to_what_is_not_there(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused(BOARD, "POST_SCORE", leaderboardId="none", score=1)
    assert (refusal.status, refusal.reason_code) == (500, 40499)


@pytest.mark.parametrize("data", [[1], 7, "text", {"a": "x" * 11000}])
async def test_data_is_a_small_object(game: Game, data: Any) -> None:
    await create(game)
    player = await game.player()
    refusal = await player.refused(BOARD, "POST_SCORE", leaderboardId="b", score=1, data=data)
    assert refusal.status == 400


async def test_a_packet_sees_its_own_posts_and_nobody_else_does_if_it_is_undone(game: Game) -> None:
    await create(game)
    ada, bob = await game.player(), await game.player()
    await post(bob, 50)
    await with_ranks(game, ada)
    read = {"leaderboardId": "b", "sort": "HIGH_TO_LOW"}
    entries = await ada.packet(
        (BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", {**read, "startIndex": 0, "endIndex": 9}),
        (BOARD, "POST_SCORE", {"leaderboardId": "b", "score": 100}),
        (BOARD, "GET_GLOBAL_LEADERBOARD_VIEW", {**read, "beforeCount": 5, "afterCount": 5}),
        (BOARD, "POST_SCORE", {"leaderboardId": "b", "score": 200}),
        (BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", {**read, "startIndex": 0, "endIndex": 9}),
        (BOARD, "REMOVE_PLAYER_SCORE", {"leaderboardId": "b"}),
        (BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", {**read, "startIndex": 0, "endIndex": 9}),
        (BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", {"leaderboardId": "b"}),
    )
    seen = [
        [e["score"] for e in entry["data"]["leaderboard"]] for entry in (entries[i] for i in (0, 2, 4, 6))
    ]
    assert seen == [[50], [100, 50], [200, 50], [50]]
    assert entries[7]["data"] == {"entryCount": 1}
    assert await scores(bob) == [50]


# One player


async def test_scores_of_one_player(game: Game) -> None:
    await create(game, "one")
    await create(game, "two", "ARCADE_LOW")
    await create(game, "three")
    player = await game.player()
    await post(player, 5, "one", a=1)
    for score in (9, 3, 6):
        await post(player, score, "two")
    found = await player.call(BOARD, "GET_PLAYER_SCORES", leaderboardId="two", versionId=-1, maxResults=2)
    assert [score["score"] for score in found["scores"]] == [3, 6]
    assert (found["leaderboardId"], found["versionId"]) == ("two", 1)
    ids = ["two", "none", "three", "one", "two"]
    found = await player.call(BOARD, "GET_PLAYER_SCORES_FROM_LEADERBOARDS", leaderboardIds=ids)
    listed = [(score["leaderboardId"], score["score"], score["data"]) for score in found["scores"]]
    assert listed == [("two", 3, None), ("one", 5, {"a": 1})]
    refusal = await player.refused(BOARD, "GET_PLAYER_SCORE", leaderboardId="three", versionId=-1)
    assert (refusal.status, refusal.reason_code) == (400, 40528)
    for data in ({}, {"leaderboardIds": ["x"] * 501}):
        assert (await player.refused(BOARD, "GET_PLAYER_SCORES_FROM_LEADERBOARDS", **data)).status == 400


async def test_on_behalf_of(game: Game) -> None:
    await create(game, kind="CUMULATIVE")
    player = await game.player()
    request: dict[str, Any] = {
        "leaderboardId": "b",
        "profileId": player.profile_id,
        "score": 1,
        "data": {"by": "vote"},
    }
    operation = "POST_SCORE_TO_LEADERBOARD_ON_BEHALF_OF"
    refusal = await game.server.refused(BOARD, operation, **request, forceCreate=False)
    assert refusal.reason_code == 40528
    for force in (True, False, None):
        forced: dict[str, Any] = {} if force is None else {"forceCreate": force}
        await game.server.call(BOARD, operation, **request, **forced)
    assert await scores(player) == [3]
    for changed, code in (({"profileId": "nobody"}, 40374), ({"leaderboardId": "none"}, 40499)):
        assert (await game.server.refused(BOARD, operation, **{**request, **changed})).reason_code == code
    assert (await player.refused(BOARD, operation, **request)).reason_code == 40346
    await create(game, "g", entryType="GROUP")
    assert (
        await game.server.refused(BOARD, operation, **{**request, "leaderboardId": "g"})
    ).reason_code == 40656


async def test_removing(game: Game) -> None:
    await create(game, kind="ARCADE_HIGH")
    ada, bob = await game.player(), await game.player()
    for score in (1, 2):
        await post(ada, score)
    await post(bob, 3)
    await with_ranks(game, ada)
    for count in (2, 0):
        removed = await ada.call(BOARD, "REMOVE_PLAYER_SCORE", leaderboardId="b", versionId=-1)
        assert removed == {"numScoresRemoved": count}
    assert await scores(ada) == [3]
    await post(ada, 4)
    assert await scores(ada) == [4, 3]


@pytest.mark.parametrize("operation", ["GAME_DATA_RESET", "FULL_PLAYER_RESET"])
async def test_scores_go_with_their_player(game: Game, operation: str) -> None:
    await create(game)
    ada, bob = await game.player(), await game.player()
    await post(ada, 2)
    await post(bob, 1)
    await with_ranks(game, ada)
    await ada.call("playerState", operation)
    assert await scores(bob) == [1]


# Boards that a post makes

CONFIG = {"leaderboardType": "HIGH_VALUE", "rotationType": "DAYS", "numDaysToRotate": 4, "retainedCount": 2}


@pytest.mark.parametrize(
    "reset", [None, 1_600_000_000_000, "1600000000000", "2030-01-01T00:00:00Z", "24-12-2030 18:00"]
)
async def test_a_post_makes_its_board(game: Game, reset: Any) -> None:
    player = await game.player()
    for board in ("fields", "fields", "config", "text"):
        if board == "fields":
            data = {
                "leaderboardId": board,
                "score": 5,
                **CONFIG,
                "rotationResetTime": reset,
                "data": {"a": 1},
            }
            await player.call(BOARD, "POST_SCORE_DYNAMIC", **data)
        else:
            config: Any = {**CONFIG, "resetAt": reset, "expireInMins": None}
            if board == "text":
                config = str(config).replace("'", '"').replace("None", "null")
            data = {"leaderboardId": board, "score": 5, "scoreData": {"a": 1}, "configJson": config}
            await player.call(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", **data)
        answer = await page(player, board)
        assert [(e["score"], e["data"]) for e in answer["leaderboard"]] == [(5, {"a": 1})]
        assert answer["timeBeforeReset"] > 0


async def test_a_post_to_a_board_that_exists_may_name_any_rotation(game: Game) -> None:
    await create(game)
    player = await game.player()
    data = {"leaderboardId": "b", "score": 5, "leaderboardType": "HIGH_VALUE", "retainedCount": 99}
    await player.call(BOARD, "POST_SCORE_DYNAMIC", **data, rotationType="DAYS", rotationResetTime=1)
    config = {"rotationType": "NONE", "retainedCount": -1}
    await player.call(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", leaderboardId="b", score=6, configJson=config)
    assert await scores(player) == [6]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"rotationType": "NONE"}, 40660),
        ({"leaderboardType": "BEST"}, 40660),
        ({"leaderboardType": None}, 40358),
        ({"rotationType": None}, 40358),
        ({"numDaysToRotate": 1}, 40660),
        ({"numDaysToRotate": 15}, 40660),
        ({"numDaysToRotate": None}, 40660),
        ({"retainedCount": 0}, 40660),
        ({"retainedCount": 9}, 40660),
        ({"resetAt": "soon"}, 40660),
        ({"resetAt": -1}, 40660),
        ({"rotationType": "ADHOC"}, 40840),
    ],
)
async def test_what_no_board_can_be_made_from(game: Game, wrong: dict[str, Any], code: int) -> None:
    player = await game.player()
    config = {**CONFIG, "resetAt": 1, **wrong}
    request = {"leaderboardId": "new", "score": 1, "configJson": config}
    assert (await player.refused(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", **request)).reason_code == code
    config["rotationResetTime"] = config.pop("resetAt")
    request = {"leaderboardId": "new", "score": 1, **config}
    assert (await player.refused(BOARD, "POST_SCORE_DYNAMIC", **request)).reason_code == code
    assert (await player.refused(BOARD, "POST_SCORE", leaderboardId="new", score=1)).reason_code == 40499


@pytest.mark.parametrize("name", ["rotationResetTime", "rotationReset"])
async def test_a_wrong_time_is_told_under_the_name_it_came_with(game: Game, name: str) -> None:
    request: dict[str, Any] = {"leaderboardId": game.unique("b"), **CONFIG, name: "soon"}
    refusal = await (await game.player()).refused(BOARD, "POST_SCORE_DYNAMIC", **request, score=1)
    assert refusal.message.startswith(f"data.{name}: expected ")
    for name_of_servers in (name, "rotationResetTimestampUtcMillis"):
        request = {"leaderboardId": game.unique("b"), **CONFIG, name_of_servers: "soon"}
        refusal = await game.server.refused(BOARD, "SYS_CREATE_LEADERBOARD", **request)
        assert refusal.message.startswith(f"data.{name_of_servers}: expected ")


@pytest.mark.parametrize("board", ["", "x" * 129, "a\nb"])
async def test_ids_that_no_board_can_have(game: Game, board: str) -> None:
    player = await game.player()
    request = {"leaderboardId": board, "score": 1, "configJson": {**CONFIG, "resetAt": 1}}
    assert (await player.refused(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", **request)).reason_code == 40501
    request = {"leaderboardId": board, "score": 1, **CONFIG, "rotationResetTime": 1}
    assert (await player.refused(BOARD, "POST_SCORE_DYNAMIC", **request)).reason_code == 40501


async def test_a_board_that_is_made_by_many_at_once(game: Game) -> None:
    players = [await game.player() for _ in range(20)]
    request = {"leaderboardId": "new", "score": 1, "configJson": {**CONFIG, "resetAt": 1}}
    await asyncio.gather(*(p.call(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", **request) for p in players))
    assert len(await scores(players[0], "new")) == 20


async def test_an_expired_board_is_gone_and_may_be_made_again(game: Game) -> None:
    player = await game.player()
    config = {**CONFIG, "resetAt": 1, "expireInMins": 5}
    request = {"leaderboardId": "new", "score": 1, "configJson": config}
    await player.call(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", **request)
    game.clock.advance(301)
    assert (await player.refused(BOARD, "POST_SCORE", leaderboardId="new", score=1)).reason_code == 40499
    await player.call(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", **request)
    assert await scores(player, "new") == [1]
    game.clock.advance(301)
    await game.core.get(Leaderboards).upkeep.rotate_due()
    assert (await player.call(BOARD, "LIST_ALL_LEADERBOARDS"))["leaderboardList"] == []


async def test_clients_make_no_boards_with_tournaments(game: Game) -> None:
    player = await game.player()
    config = {
        "leaderboardType": "HIGH_VALUE",
        "rotationType": "DAILY",
        "retainedCount": 1,
        "tEnabled": True,
        "tTemplateOnly": True,
        "data": {"a": 1},
    }
    await player.call(BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", leaderboardId="d", score=1, configJson=config)
    made = (await game.server.call(BOARD, "SYS_GET_LEADERBOARD_CONFIG", leaderboardId="d"))["d"]
    assert (made["tEnabled"], made["tTemplateOnly"], made["data"]) == (False, False, {})
    adhoc = {**config, "rotationType": "ADHOC"}
    refusal = await player.refused(
        BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", leaderboardId="e", score=1, configJson=adhoc
    )
    assert refusal.reason_code == 40840


async def test_groups_make_boards_too(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await create(game, "p")
    await circles(game, groups={"red": [ada.profile_id]})
    fields = {**CONFIG, "rotationResetTime": 1, "score": 3, "groupId": "red"}
    config = {"configJson": {**CONFIG, "resetAt": 1}, "score": 4, "groupId": "red"}
    posts = (("POST_GROUP_SCORE_DYNAMIC", fields), ("POST_GROUP_SCORE_DYNAMIC_USING_CONFIG", config))
    for operation, data in (*posts, ("POST_SCORE_DYNAMIC", fields)):
        board = f"of {operation}"
        for _ in range(2):
            await ada.call(BOARD, operation, leaderboardId=board, **data)
        assert [entry["groupId"] for entry in (await page(ada, board))["leaderboard"]] == ["red"]
    for operation, data in posts:
        assert (await bob.refused(BOARD, operation, leaderboardId="x", **data)).reason_code == 40453
        wrong = {**data, "groupId": "none"}
        assert (await ada.refused(BOARD, operation, leaderboardId="x", **wrong)).reason_code == 40345
        assert (await ada.refused(BOARD, operation, leaderboardId="p", **data)).reason_code == 40656
    group_board = "of POST_GROUP_SCORE_DYNAMIC"
    for operation, data in (
        ("POST_SCORE_DYNAMIC", {**CONFIG, "score": 1}),
        ("POST_SCORE_DYNAMIC_USING_CONFIG", {"configJson": {}, "score": 1}),
    ):
        assert (await ada.refused(BOARD, operation, leaderboardId=group_board, **data)).reason_code == 40656
