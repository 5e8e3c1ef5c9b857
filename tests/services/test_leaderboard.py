"""Posting, reading and removing scores."""

import asyncio
from typing import Any

import pytest

from gameserver.domain import social
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.domain.leaderboards.stamps import seq_at
from gameserver.domain.leaderboards.store import FIND
from gameserver.domain.social import Group
from gameserver.ranks import Change, MemoryRanks, Place, RanksAway
from tests.conftest import BACKENDS, Client, Game

BOARD = "leaderboard"
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def game(game: Game) -> Game:
    """The server, without the boards that other tests have left in a shared database."""
    listed = await game.server.call("leaderboard", "LIST_ALL_LEADERBOARDS")
    ids = [board["leaderboardId"] for board in listed["leaderboardList"]]
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=ids)
    return game


async def create(game: Game, board: str = "b", kind: str = "HIGH_VALUE", **config: Any) -> dict[str, Any]:
    fields = {
        "entryType": "PLAYER",
        "leaderboardType": kind,
        "rotationType": "NEVER",
        "retainedCount": 2,
        **config,
    }
    made = await game.server.call(
        BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=fields
    )
    config_of: dict[str, Any] = made[board]
    return config_of


async def post(player: Client, score: int, board: str = "b", **data: Any) -> None:
    await player.call(BOARD, "POST_SCORE", leaderboardId=board, score=score, data=data or None)


async def page(
    player: Client,
    board: str = "b",
    first: int = 0,
    last: int = 99,
    version: int = -1,
    sort: str | None = None,
) -> dict[str, Any]:
    data = {"leaderboardId": board, "startIndex": first, "endIndex": last, "versionId": version}
    found: dict[str, Any] = await player.call(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", **data, **({"sort": sort} if sort else {})
    )
    return found


async def scores(player: Client, board: str = "b", **options: Any) -> list[int]:
    return [entry["score"] for entry in (await page(player, board, **options))["leaderboard"]]


async def view(
    player: Client, before: int = 1, after: int = 1, board: str = "b", **options: Any
) -> dict[str, Any]:
    data = {
        "leaderboardId": board,
        "sort": "HIGH_TO_LOW",
        "beforeCount": before,
        "afterCount": after,
        **options,
    }
    found: dict[str, Any] = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_VIEW", **data)
    return found


async def settled(game: Game) -> None:
    """Wait until ranks come from the index."""
    builds = game.core.get(Leaderboards).index._builds
    while builds:
        await asyncio.gather(*builds.values())
        await asyncio.sleep(0)


async def with_ranks(game: Game, player: Client, board: str = "b") -> str:
    """Have the index built; returns the list's name."""
    await page(player, board)
    await settled(game)
    async with game.core.database.read() as tx:
        row = await tx.one(FIND, app=game.app.id, board=board)
    assert row is not None
    return list_name(row["uid"], row["version"])


def circles(
    game: Game, *, friends: dict[str, list[str]] | None = None, groups: dict[str, list[str]] | None = None
) -> None:
    """Friends and groups as their services will tell of them."""

    async def friends_of(_tx: Any, _app: str, profile: str) -> list[str]:
        return (friends or {}).get(profile, [])

    async def groups_of(_tx: Any, _app: str, ids: Any) -> dict[str, Group]:
        return {group: Group(group, group.upper()) for group in ids if group in (groups or {})}

    async def members(_tx: Any, _app: str, group: str) -> list[str]:
        return (groups or {})[group]

    game.core.hooks.subscribe(social.FRIENDS, friends_of)
    game.core.hooks.subscribe(social.GROUPS, groups_of)
    game.core.hooks.subscribe(social.MEMBERS, members)


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


# Pages


async def fill(game: Game, count: int, board: str = "b") -> list[Client]:
    players = [await game.player() for _ in range(count)]
    for index, player in enumerate(players):
        await post(player, 100 - index, board)
    return players


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


# The index of ranks mends itself


async def test_a_lost_index_is_built_again(game: Game) -> None:
    await create(game)
    players = await fill(game, 3)
    name = await with_ranks(game, players[0])
    await game.core.get(Leaderboards).index.ranks.forget(name)
    assert await scores(players[0]) == [100, 99, 98]
    await settled(game)
    found = await game.core.get(Leaderboards).index.ranks.page(name, 0, 9)
    assert found is not None
    assert [place.id for place in found.places] == [player.profile_id for player in players]


@pytest.mark.skipif(BACKENDS != "embedded", reason="elsewhere a reader would hold a connection meanwhile")
async def test_readers_wait_for_a_list_that_is_being_built(game: Game) -> None:
    """Counting the rows for each of them would leave the builder no time."""
    await create(game)
    players = await fill(game, 3)
    index = game.core.get(Leaderboards).index
    name = await with_ranks(game, players[0])
    await index.ranks.forget(name)
    assert [await scores(player) for player in players] == [[100, 99, 98]] * 3
    assert await index.ranks.page(name, 0, 9) is not None
    await index.ranks.forget(name)
    count = await players[0].call("leaderboard", "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="b")
    assert count == {"entryCount": 3}
    assert await index.ranks.page(name, 0, 9) is not None


async def test_lists_that_were_built_since_the_index_began_anew_stay(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(game)
    players = await fill(game, 3)
    leaderboards = game.core.get(Leaderboards)
    await game.run_jobs("leaderboard.index")
    if BACKENDS == "embedded":
        leaderboards.index.ranks = MemoryRanks()  # as after a restart
    else:

        async def another() -> str:
            return "another Redis"

        monkeypatch.setattr(leaderboards.index.ranks, "identity", another)
        name = await with_ranks(game, players[0])
        await game.server_app.jobs.tick()  # at once, though its turn is not over
        await game.server_app.jobs.settled()
        assert await leaderboards.index.ranks.page(name, 0, 9) is None, "what the old one had is not trusted"
    name = await with_ranks(game, players[0])
    game.clock.advance(61)
    await game.run_jobs("leaderboard.index")
    assert await leaderboards.index.ranks.page(name, 0, 9) is not None


@pytest.mark.parametrize("wrong", ["missing", "stale", "ghost", "future"])
async def test_a_wrong_place_is_never_shown_and_put_right(game: Game, wrong: str) -> None:
    await create(game)
    players = await fill(game, 3)
    ranks = game.core.get(Leaderboards).index.ranks
    name = await with_ranks(game, players[0])
    whole = await ranks.page(name, 0, 9)
    assert whole is not None
    last = whole.places[-1]
    match wrong:
        case "missing":
            await ranks.repair(name, last.id, last.seq, None)
        case "stale":
            await ranks.repair(name, last.id, last.seq, Place(last.id, last.seq - 5, -999))
        case "future":
            await ranks.repair(name, last.id, last.seq, Place(last.id, last.seq + 5, -999))
        case "ghost":
            await ranks.change(name, [Change("nobody", 1, -999)])
    for _ in range(2):
        answer = await view(players[2], 9, 9)  # the caller's own row tells that a place is missing
        assert [entry["score"] for entry in answer["leaderboard"]] == [100, 99, 98]
        assert answer["leaderboardSize"] == 3
    assert await ranks.page(name, 0, 9) == whole


async def test_ranks_come_from_sql_while_the_index_is_away(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(game)
    players = await fill(game, 3)
    await with_ranks(game, players[0])

    async def away(*_: Any, **__: Any) -> Any:
        raise RanksAway

    for step in ("page", "around", "change"):
        monkeypatch.setattr(game.core.get(Leaderboards).index.ranks, step, away)
    await post(players[2], 500)
    assert await scores(players[0]) == [500, 100, 99]
    assert [entry["index"] for entry in (await view(players[0]))["leaderboard"]] == [0, 1, 2]
    count = await players[0].call(BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="b")
    assert count == {"entryCount": 3}


async def test_upkeep_puts_in_what_a_dead_process_did_not(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(game)
    players = await fill(game, 3)
    board, ranks = game.core.get(Leaderboards), game.core.get(Leaderboards).index.ranks
    name = await with_ranks(game, players[0])

    async def dead(*_: Any) -> Any:
        raise RanksAway

    with monkeypatch.context() as patch:
        patch.setattr(ranks, "change", dead)
        await post(players[2], 500)
        await players[1].call(BOARD, "REMOVE_PLAYER_SCORE", leaderboardId="b")
    before = await ranks.page(name, 0, 9)
    assert before is not None
    assert [place.key for place in before.places] == [-100, -99, -98]
    await board.upkeep.repair_index(seq_at(0), await ranks.identity())
    after = await ranks.page(name, 0, 9)
    assert after is not None
    assert [place.key for place in after.places] == [-500, -100]


async def test_another_index_than_before_is_built_again(game: Game) -> None:
    await create(game)
    [player] = await fill(game, 1)
    name = await with_ranks(game, player)
    await game.core.get(Leaderboards).upkeep.repair_index(seq_at(0), "another run of the server")
    assert await game.core.get(Leaderboards).index.ranks.page(name, 0, 9) is None


# Friends, players by name, groups


async def test_friends(game: Game) -> None:
    await create(game)
    ada, bob, cyd = [await game.player() for _ in range(3)]
    for player, score in ((ada, 1), (bob, 2), (cyd, 3)):
        await post(player, score)
    circles(game, friends={ada.profile_id: [bob.profile_id, ada.profile_id, "gone"]})
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


async def test_members_of_a_group(game: Game) -> None:
    await create(game)
    ada, bob, cyd = [await game.player() for _ in range(3)]
    for player, score in ((ada, 1), (bob, 2), (cyd, 3)):
        await post(player, score)
    circles(game, groups={"g": [ada.profile_id, cyd.profile_id]})
    for operation in ("GET_GROUP_SOCIAL_LEADERBOARD", "GET_GROUP_SOCIAL_LEADERBOARD_BY_VERSION"):
        found = await bob.call(BOARD, operation, leaderboardId="b", groupId="g", versionId=1)
        assert [entry["score"] for entry in found["leaderboard"]] == [3, 1]
        refusal = await bob.refused(BOARD, operation, leaderboardId="b", groupId="none", versionId=1)
        assert (refusal.status, refusal.reason_code) == (400, 40345)
        refusal = await bob.refused(BOARD, operation, leaderboardId="none", groupId="g", versionId=1)
        assert refusal.reason_code == 40499
        refusal = await bob.refused(BOARD, operation, leaderboardId="b", groupId="g", versionId=7)
        assert refusal.reason_code == 40506


async def test_boards_of_groups(game: Game) -> None:
    await create(game, "g", entryType="GROUP")
    await create(game, "p")
    ada, bob = await game.player(), await game.player()
    circles(game, groups={"red": [ada.profile_id], "blue": [bob.profile_id]})
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
    circles(game, groups={"red": [ada.profile_id]})
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
