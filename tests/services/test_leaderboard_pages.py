"""Pages and views of boards, of all players or some."""

from typing import Any

import pytest

from gameserver.domain.social.groups import Acl
from tests.conftest import Game
from tests.services.boards import BOARD, circles, create, fill, game, page, post, scores, view, with_ranks
from tests.services.groups import put_group

__all__ = ["game"]  # fixtures


# Pages


@pytest.mark.parametrize("built", [False, True])
async def test_pages(game: Game, built: bool) -> None:
    await create(game)
    players = await fill(game, 5)
    if built:
        await with_ranks(game, players[0])
    for first, last, before, after, found in [
        (0, 1, False, True, [100, 99]),
        (1, 3, True, True, [99, 98, 97]),
        (3, 99, True, False, [97, 96]),
        (5, 9, True, False, []),
        (2**52, 2**53, True, False, []),
    ]:
        answer = await page(players[0], first=first, last=last)
        assert [entry["score"] for entry in answer["leaderboard"]] == found
        assert [entry["index"] for entry in answer["leaderboard"]] == list(range(first, first + len(found)))
        assert [entry["rank"] for entry in answer["leaderboard"]] == list(
            range(first + 1, first + 1 + len(found))
        )
        assert (answer["moreBefore"], answer["moreAfter"], answer["leaderboardSize"]) == (before, after, 5)
    assert await scores(players[0], sort="LOW_TO_HIGH", last=1) == [96, 97]


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (3, 2), (-5, -1)])
async def test_impossible_pages(game: Game, first: int, last: int) -> None:
    await create(game)
    player = await game.player()
    refusal = await player.refused(
        BOARD,
        "GET_GLOBAL_LEADERBOARD_PAGE",
        leaderboardId="b",
        sort="HIGH_TO_LOW",
        startIndex=first,
        endIndex=last,
    )
    assert (refusal.status, refusal.reason_code) == (400, 40660)


async def test_no_page_is_larger_than_an_answer_may_be(game: Game) -> None:
    await create(game, kind="ARCADE_HIGH")
    player = await game.player()
    for start in range(0, 600, 50):
        await player.packet(
            *((BOARD, "POST_SCORE", {"leaderboardId": "b", "score": start + i}) for i in range(50))
        )
    answer = await page(player, last=10_000)
    assert (len(answer["leaderboard"]), answer["leaderboardSize"], answer["moreAfter"]) == (500, 600, True)
    mine = await player.call(BOARD, "GET_PLAYER_SCORES", leaderboardId="b", versionId=-1, maxResults=9999)
    assert len(mine["scores"]) == 500


async def test_a_page_tells_of_its_players(game: Game) -> None:
    await create(game)
    player = await game.player()
    await player.call("playerState", "UPDATE_NAME", playerName="Ada")
    await player.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"xp": 1})
    await post(player, 1)
    [entry] = (await page(player))["leaderboard"]
    assert (entry["name"], entry["summaryFriendData"], entry["playerId"]) == (
        "Ada",
        {"xp": 1},
        player.profile_id,
    )


OF_UNKNOWN_BOARDS = [
    ("GET_GLOBAL_LEADERBOARD_PAGE", {"startIndex": 0, "endIndex": 9}),
    ("GET_GLOBAL_LEADERBOARD_VIEW", {"beforeCount": 1, "afterCount": 1}),
    ("GET_GLOBAL_LEADERBOARD_VERSIONS", {}),
    ("GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", {}),
    ("GET_SOCIAL_LEADERBOARD", {"replaceName": False}),
    ("GET_SOCIAL_LEADERBOARD_BY_VERSION", {"replaceName": False, "versionId": 0}),
    ("GET_PLAYERS_SOCIAL_LEADERBOARD", {"profileIds": []}),
    ("GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION", {"profileIds": [], "versionId": 0}),
    ("GET_PLAYER_SCORE", {"versionId": -1}),
    ("GET_PLAYER_SCORES", {"versionId": -1, "maxResults": 5}),
    ("REMOVE_PLAYER_SCORE", {"versionId": -1}),
]
IF_EXISTS = [
    ("GET_GLOBAL_LEADERBOARD_PAGE_IF_EXISTS", {"startIndex": 0, "endIndex": 9}),
    ("GET_GLOBAL_LEADERBOARD_PAGE_BY_VERSION_IF_EXISTS", {"startIndex": 0, "endIndex": 9}),
    ("GET_GLOBAL_LEADERBOARD_VIEW_IF_EXISTS", {"beforeCount": 1, "afterCount": 1}),
    ("GET_GLOBAL_LEADERBOARD_VIEW_BY_VERSION_IF_EXISTS", {"beforeCount": 1, "afterCount": 1}),
    ("GET_SOCIAL_LEADERBOARD_IF_EXISTS", {"replaceName": False}),
    ("GET_SOCIAL_LEADERBOARD_BY_VERSION_IF_EXISTS", {"replaceName": False}),
    ("GET_PLAYERS_SOCIAL_LEADERBOARD_IF_EXISTS", {"profileIds": []}),
    ("GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION_IF_EXISTS", {"profileIds": []}),
]


@pytest.mark.parametrize(
    ("operation", "data"), OF_UNKNOWN_BOARDS, ids=[name for name, _ in OF_UNKNOWN_BOARDS]
)
async def test_a_board_that_is_not_there(game: Game, operation: str, data: dict[str, Any]) -> None:
    player = await game.player()
    refusal = await player.refused(BOARD, operation, leaderboardId="none", **data)
    assert (refusal.status, refusal.reason_code) == (500, 40499)


@pytest.mark.parametrize(("operation", "data"), IF_EXISTS, ids=[name for name, _ in IF_EXISTS])
async def test_a_board_that_need_not_be_there(game: Game, operation: str, data: dict[str, Any]) -> None:
    player = await game.player()
    assert await player.call(BOARD, operation, leaderboardId="none", **data) is None
    await create(game)
    await post(player, 3)
    lists = await player.call(BOARD, operation, leaderboardId="b", **data)
    found = lists.get("leaderboard", lists.get("social_leaderboard"))
    assert [entry["score"] for entry in found] == ([] if "profileIds" in data else [3])
    refusal = await player.refused(BOARD, operation, leaderboardId="b", **{**data, "versionId": 2})
    assert (refusal.status, refusal.reason_code) == (400, 40506)


@pytest.mark.parametrize(
    ("operation", "data"),
    [(name, data) for name, data in OF_UNKNOWN_BOARDS if "VERSIONS" not in name],
    ids=[name for name, _ in OF_UNKNOWN_BOARDS if "VERSIONS" not in name],
)
async def test_versions_that_have_been_and_those_that_have_not(
    game: Game, operation: str, data: dict[str, Any]
) -> None:
    await create(game)
    player = await game.player()
    await post(player, 3)
    if operation == "GET_PLAYER_SCORE":
        refusal = await player.refused(BOARD, operation, leaderboardId="b", versionId=0)
        assert (refusal.status, refusal.reason_code) == (400, 40528)
    else:
        await player.call(BOARD, operation, leaderboardId="b", **{**data, "versionId": 0})
    for version in (-2, 2, 2**53):
        refusal = await player.refused(BOARD, operation, leaderboardId="b", **{**data, "versionId": version})
        assert (refusal.status, refusal.reason_code) == (400, 40506)


# Views


@pytest.mark.parametrize("built", [False, True])
async def test_views(game: Game, built: bool) -> None:
    await create(game)
    players = await fill(game, 5)
    if built:
        await with_ranks(game, players[0])
    for index, before, after, found in [
        (2, 1, 1, [99, 98, 97]),
        (0, 3, 1, [100, 99]),
        (4, 1, 9, [97, 96]),
        (3, 0, 0, [97]),
    ]:
        answer = await view(players[index], before, after)
        listed = answer["leaderboard"]
        assert [entry["score"] for entry in listed] == found
        own = next(entry for entry in listed if entry["playerId"] == players[index].profile_id)
        assert own["index"] == index
        assert answer["moreBefore"] == (listed[0]["index"] > 0)
        assert answer["moreAfter"] == (listed[-1]["index"] < 4)
    backwards = await view(players[1], 1, 1, sort="LOW_TO_HIGH")
    assert [entry["score"] for entry in backwards["leaderboard"]] == [98, 99, 100]
    assert [entry["rank"] for entry in backwards["leaderboard"]] == [3, 4, 5]


async def test_a_view_around_nobody_is_empty(game: Game) -> None:
    await create(game)
    players = await fill(game, 2)
    stranger = await game.player()
    for _ in range(2):
        answer = await view(stranger)
        assert (answer["leaderboard"], answer["leaderboardSize"]) == ([], 2)
        await with_ranks(game, players[0])


async def test_a_view_on_an_arcade_board_is_around_the_best(game: Game) -> None:
    await create(game, kind="ARCADE_LOW")
    ada, bob = await game.player(), await game.player()
    for score in (30, 10):
        await post(ada, score)
    await post(bob, 20)
    for _ in range(2):
        answer = await view(ada, 1, 1, sort="LOW_TO_HIGH")
        assert [entry["score"] for entry in answer["leaderboard"]] == [10, 20]
        await with_ranks(game, ada)


@pytest.mark.parametrize("counts", [{"beforeCount": -1}, {"afterCount": -1}, {"sort": "UP"}])
async def test_impossible_views(game: Game, counts: dict[str, Any]) -> None:
    await create(game)
    player = await game.player()
    data = {"leaderboardId": "b", "beforeCount": 1, "afterCount": 1, **counts}
    assert (await player.refused(BOARD, "GET_GLOBAL_LEADERBOARD_VIEW", **data)).status == 400


# Friends, players by name, groups


async def test_friends(game: Game) -> None:
    await create(game)
    ada, bob, cyd = [await game.player() for _ in range(3)]
    for player, score in ((ada, 1), (bob, 2), (cyd, 3)):
        await post(player, score)
    await circles(game, friends={ada.profile_id: [bob.profile_id, ada.profile_id, "gone"]})
    for operation in ("GET_SOCIAL_LEADERBOARD", "GET_SOCIAL_LEADERBOARD_BY_VERSION"):
        found = await ada.call(BOARD, operation, leaderboardId="b", replaceName=True, versionId=1)
        listed = [(entry["playerId"], entry["score"]) for entry in found["social_leaderboard"]]
        assert listed == [(bob.profile_id, 2), (ada.profile_id, 1)]
        assert [entry["name"] for entry in found["social_leaderboard"]] == ["", "You"]
    several = await ada.call(
        BOARD,
        "GET_MULTI_SOCIAL_LEADERBOARD",
        leaderboardIds=["b", "none", "b"],
        leaderboardResultCount=1,
        replaceName=False,
    )
    [found] = several["leaderboards"]
    assert [entry["score"] for entry in found["leaderboard"]] == [2]
    assert (found["self"]["score"], found["selfIndex"]) == (1, 1)
    dan = await game.player()
    found = await dan.call(BOARD, "GET_SOCIAL_LEADERBOARD", leaderboardId="b", replaceName=False)
    [own] = found["social_leaderboard"]
    assert (own["playerId"], own["score"], own["createdAt"]) == (dan.profile_id, None, None)


async def test_several_boards_have_limits(game: Game) -> None:
    player = await game.player()
    for data in ({"leaderboardResultCount": -1}, {"leaderboardIds": ["b"] * 51}):
        wrong = {"leaderboardIds": [], "leaderboardResultCount": 1, **data}
        assert (await player.refused(BOARD, "GET_MULTI_SOCIAL_LEADERBOARD", **wrong)).reason_code == 40660


async def test_players_by_name(game: Game) -> None:
    await create(game, kind="ARCADE_HIGH")
    ada, bob = await game.player(), await game.player()
    for player, score in ((ada, 1), (bob, 2), (ada, 3)):
        await post(player, score)
    for operation in ("GET_PLAYERS_SOCIAL_LEADERBOARD", "GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION"):
        ids = [bob.profile_id, ada.profile_id, "nobody", bob.profile_id]
        found = await ada.call(BOARD, operation, leaderboardId="b", profileIds=ids, versionId=1)
        assert [(e["playerId"], e["score"]) for e in found["leaderboard"]] == [
            (ada.profile_id, 3),
            (bob.profile_id, 2),
        ]


SOCIAL_OF_GROUP = ("GET_GROUP_SOCIAL_LEADERBOARD", "GET_GROUP_SOCIAL_LEADERBOARD_BY_VERSION")


async def test_members_of_a_group(game: Game) -> None:
    await create(game)
    ada, bob, cyd = [await game.player() for _ in range(3)]
    for player, score in ((ada, 1), (bob, 2), (cyd, 3)):
        await post(player, score)
    await circles(game, groups={"g": [ada.profile_id, cyd.profile_id]})
    for operation in SOCIAL_OF_GROUP:
        for reader in (ada, game.server):
            found = await reader.call(BOARD, operation, leaderboardId="b", groupId="g", versionId=1)
            assert [entry["score"] for entry in found["leaderboard"]] == [3, 1]
        for wrong, reason in (
            ({"groupId": "none"}, 40345),
            ({"leaderboardId": "none"}, 40499),
            ({"versionId": 7}, 40506),
        ):
            request = {"leaderboardId": "b", "groupId": "g", "versionId": 1, **wrong}
            assert (await ada.refused(BOARD, operation, **request)).reason_code == reason


async def test_who_is_in_a_group_its_acl_says(game: Game) -> None:
    await create(game)
    ada, bob, cyd = [await game.player() for _ in range(3)]
    for operation in SOCIAL_OF_GROUP:
        for acl, refusals in (
            (Acl(2, 0), [(bob, 40453)]),
            (Acl(0, 0), [(bob, 40453), (cyd, 40346)]),
            (Acl(1, 1), []),
        ):
            await put_group(game, "g", [ada.profile_id, cyd.profile_id], acl=acl)
            request = {"leaderboardId": "b", "groupId": "g", "versionId": 1}
            for player, reason in refusals:
                assert (await player.refused(BOARD, operation, **request)).reason_code == reason
            for player in {ada, bob, cyd} - {player for player, _ in refusals}:
                await player.call(BOARD, operation, **request)


async def test_of_many_members_the_best_are_there(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    await create(game)
    players = [await game.player() for _ in range(4)]
    in_order = sorted(player.profile_id for player in players)
    for player in players:
        await post(player, in_order.index(player.profile_id))
    await circles(game, groups={"g": in_order})
    for name in ("IDS_MAX", "ROWS_MAX"):
        monkeypatch.setattr(f"gameserver.services.leaderboard.social.{name}", 2, raising=False)
    request = {"leaderboardId": "b", "groupId": "g"}
    found = await players[0].call(BOARD, "GET_GROUP_SOCIAL_LEADERBOARD", **request)
    assert [entry["score"] for entry in found["leaderboard"]] == [3, 2]


async def test_boards_of_groups(game: Game) -> None:
    await create(game, "g", entryType="GROUP")
    await create(game, "p")
    ada, bob = await game.player(), await game.player()
    await circles(game, groups={"red": [ada.profile_id], "blue": [bob.profile_id]})
    await ada.call(BOARD, "POST_GROUP_SCORE", leaderboardId="g", groupId="red", score=5, data={"a": 1})
    await bob.call(BOARD, "POST_GROUP_SCORE", leaderboardId="g", groupId="blue", score=7)
    found = await ada.call(
        BOARD,
        "GET_GROUP_LEADERBOARD_VIEW",
        leaderboardId="g",
        groupId="red",
        sort="HIGH_TO_LOW",
        beforeCount=1,
        afterCount=1,
    )
    listed = [(e["groupId"], e["groupName"], e["score"], e["rank"]) for e in found["leaderboard"]]
    assert listed == [("blue", "BLUE", 7, 1), ("red", "RED", 5, 2)]
    assert (await page(ada, "g"))["leaderboard"] == found["leaderboard"]

    around = {"sort": "HIGH_TO_LOW", "beforeCount": 1, "afterCount": 1}
    for operation, data in (
        ("POST_GROUP_SCORE", {"score": 1}),
        ("REMOVE_GROUP_SCORE", {"versionId": -1}),
        ("GET_GROUP_LEADERBOARD_VIEW", around),
    ):
        for changed, code in (
            ({"groupId": "none"}, 40345),
            ({"leaderboardId": "none"}, 40499),
            ({"leaderboardId": "p"}, 40656),
            ({"groupId": "blue"}, 40453),
            ({"versionId": 9}, 40506),
        ):
            reading, posting = operation.startswith("GET"), operation.startswith("POST")
            if (reading and code == 40453) or (posting and code == 40506):
                continue
            request = {"leaderboardId": "g", "groupId": "red", **data, **changed}
            refusal = await ada.refused(BOARD, operation, **request)
            assert refusal.reason_code == code
    refusal = await ada.refused(BOARD, "POST_SCORE", leaderboardId="g", score=1)
    assert refusal.reason_code == 40656
    requests: list[tuple[str, dict[str, Any]]] = [
        ("GET_SOCIAL_LEADERBOARD", {}),
        ("GET_SOCIAL_LEADERBOARD_BY_VERSION", {}),
        ("GET_SOCIAL_LEADERBOARD_IF_EXISTS", {}),
        ("GET_SOCIAL_LEADERBOARD_BY_VERSION_IF_EXISTS", {}),
        ("GET_PLAYERS_SOCIAL_LEADERBOARD", {"profileIds": []}),
        ("GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION", {"profileIds": []}),
        ("GET_PLAYERS_SOCIAL_LEADERBOARD_IF_EXISTS", {"profileIds": []}),
        ("GET_PLAYERS_SOCIAL_LEADERBOARD_BY_VERSION_IF_EXISTS", {"profileIds": []}),
        ("GET_GROUP_SOCIAL_LEADERBOARD", {"groupId": "red"}),
        ("REMOVE_PLAYER_SCORE", {}),
        ("GET_PLAYER_SCORE", {}),
        ("GET_PLAYER_SCORES", {"maxResults": 1}),
        ("GET_GLOBAL_LEADERBOARD_VIEW", around),
        ("GET_GLOBAL_LEADERBOARD_VIEW_IF_EXISTS", around),
        ("GET_GLOBAL_LEADERBOARD_VIEW_BY_VERSION_IF_EXISTS", around),
    ]
    for operation, data in requests:
        assert (await ada.refused(BOARD, operation, leaderboardId="g", **data)).reason_code == 40656

    removed = await ada.call(BOARD, "REMOVE_GROUP_SCORE", leaderboardId="g", groupId="red", versionId=-1)
    assert removed == {"numScoresRemoved": 1}
    assert [entry["groupId"] for entry in (await page(ada, "g"))["leaderboard"]] == ["blue"]
    await game.server.call(BOARD, "POST_GROUP_SCORE", leaderboardId="g", groupId="red", score=1)
