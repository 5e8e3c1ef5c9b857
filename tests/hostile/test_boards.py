"""Boards under what clients, clocks and other processes do to them at the worst moment."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.boards import CURRENT
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.domain.leaderboards.store import FIND
from gameserver.ranks import Page, Ranks
from tests.conftest import Client, Game

BOARD = "leaderboard"
DAY_MS = 24 * 3600 * 1000
SESSIONS = 20


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps; players may have many sessions."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(f"{file.read_text()}[session]\nmost = {SESSIONS}\n")
    return apps_folder


async def make(game: Game, **config: Any) -> str:
    board = game.unique("b")
    fields = {"entryType": "PLAYER", "leaderboardType": "HIGH_VALUE", "rotationType": "NEVER", **config}
    await game.server.call(BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=fields)
    return board


async def post(player: Client, board: str, score: int) -> None:
    await player.call(BOARD, "POST_SCORE", leaderboardId=board, score=score)


async def page(player: Client, board: str, version: int = CURRENT) -> tuple[int, list[int]]:
    found = await player.call(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId=board, startIndex=0, endIndex=9, versionId=version
    )
    return found["versionId"], [entry["score"] for entry in found["leaderboard"]]


READS = {
    "GET_GLOBAL_LEADERBOARD_PAGE": {"startIndex": 0, "endIndex": 9},
    "GET_GLOBAL_LEADERBOARD_VIEW": {"beforeCount": 1, "afterCount": 1},
}


class Between:
    """An index of ranks between whose answer and SQL's something happens, once."""

    def __init__(self, ranks: Ranks, happens: Any) -> None:
        self.ranks, self.happens = ranks, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ranks, name)

    async def page(self, *words: Any, **more: Any) -> Page | None:
        return await self._answer(await self.ranks.page(*words, **more))

    async def around(self, *words: Any, **more: Any) -> Page | None:
        return await self._answer(await self.ranks.around(*words, **more))

    async def _answer(self, answer: Page | None) -> Page | None:
        happens, self.happens = self.happens, None
        if happens is not None:
            await happens()
        return answer


@pytest.mark.parametrize("operation", READS)
async def test_a_version_that_ends_while_it_is_read(
    game: Game, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = await make(game, retainedCount=2)
    player = await game.player()
    await post(player, board, 7)
    assert await page(player, board) == (1, [7])  # and the board is remembered

    async def begin_anew() -> None:
        await game.server.call(BOARD, "SYS_RESET_NEVER_LEADERBOARD", leaderboardId=board)
        await post(player, board, 3)

    index = game.core.get(Leaderboards).index
    monkeypatch.setattr(index, "ranks", Between(index.ranks, begin_anew))
    found = await player.call(BOARD, operation, leaderboardId=board, versionId=CURRENT, **READS[operation])
    assert (found["versionId"], [entry["score"] for entry in found["leaderboard"]]) == (2, [3])
    assert await page(player, board, 1) == (1, [7])


async def test_a_board_that_is_deleted_while_it_is_read(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    board = await make(game)
    player = await game.player()
    await post(player, board, 7)

    async def delete() -> None:
        await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=[board])

    index = game.core.get(Leaderboards).index
    monkeypatch.setattr(index, "ranks", Between(index.ranks, delete))
    refusal = await player.refused(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId=board, startIndex=0, endIndex=9
    )
    assert (refusal.status, refusal.reason_code) == (500, 40499)


class Forgetful:
    """Lets a process think that boards are as they were: what happens in between, another process did."""

    def __init__(self, game: Game) -> None:
        self._known = game.core.get(Leaderboards).boards._known
        self._then = dict(self._known)

    def look_away(self) -> None:
        self._known.update(self._then)


async def test_a_score_for_a_version_that_ended_elsewhere_goes_to_the_next(game: Game) -> None:
    board, total = await make(game, retainedCount=2), await make(game, leaderboardType="CUMULATIVE")
    player = await game.player()
    for each in (board, total):
        await post(player, each, 7)
    memory = Forgetful(game)
    for each in (board, total):
        await game.server.call(BOARD, "SYS_RESET_NEVER_LEADERBOARD", leaderboardId=each)
    memory.look_away()
    posts = [(BOARD, "POST_SCORE", {"leaderboardId": each, "score": 3}) for each in (board, total) * 2]
    assert [entry["status"] for entry in await player.packet(*posts)] == [200] * 4
    assert await page(player, board) == (2, [3])
    assert await page(player, total) == (2, [6])
    assert await page(player, board, 1) == (1, [7])


async def test_a_score_for_a_board_that_was_deleted_elsewhere_is_refused_alone(game: Game) -> None:
    gone, kept = await make(game), await make(game)
    player = await game.player()
    for each in (gone, kept):
        await post(player, each, 7)
    memory = Forgetful(game)
    await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=[gone])
    for boards in ([kept, gone], [gone, kept], [gone]):
        memory.look_away()
        posts = [(BOARD, "POST_SCORE", {"leaderboardId": each, "score": 9}) for each in boards]
        codes = [entry.get("reason_code") for entry in await player.packet(*posts)]
        assert codes == [40499 if each == gone else None for each in boards]
    assert await page(player, kept) == (1, [9])


async def test_posts_wait_for_nothing_but_their_commit(game: Game) -> None:
    board = await make(game)
    player = await game.player()
    await post(player, board, 1)
    seen = game.statements()
    posts = [(BOARD, "POST_SCORE", {"leaderboardId": board, "score": score}) for score in (5, 3, 8)]
    assert [entry["status"] for entry in await player.packet(*posts)] == [200] * 3
    assert set(seen) <= {"lock", "later", "commit"}
    seen.clear()
    entries = await player.packet(
        (BOARD, "POST_SCORE", {"leaderboardId": board, "score": 9}),
        (BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", {"leaderboardId": board, "startIndex": 0, "endIndex": 9}),
    )
    assert [entry["score"] for entry in entries[1]["data"]["leaderboard"]] == [9]


async def test_a_clock_that_jumps_and_comes_back(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    started = game.clock.ms()
    board = await make(game, rotationType="DAILY", resetAt=started + DAY_MS, retainedCount=3)
    player = await game.player()

    async def post_at(ms: int, score: int) -> tuple[int, list[int]]:
        monkeypatch.setattr(game.clock, "_ms", ms)
        await game.server.call(BOARD, "POST_SCORE", player.profile_id, leaderboardId=board, score=score)
        found = await game.server.call(
            BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId=board, startIndex=0, endIndex=9
        )
        assert found["timeBeforeReset"] > 0
        return found["versionId"], [entry["score"] for entry in found["leaderboard"]]

    assert await post_at(started, 1) == (1, [1])
    assert await post_at(started + 400 * DAY_MS, 2) == (401, [2])
    for late in (started + DAY_MS, started, 0):  # what has begun goes on
        assert await post_at(late, 3) == (401, [3])
    assert await post_at(started + 401 * DAY_MS, 1) == (402, [1])


async def test_scores_of_a_clock_that_came_back_keep_their_order(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = await make(game, leaderboardType="LAST_VALUE")
    players = [await game.player() for _ in range(3)]
    for seconds, player in zip((100_000, 50_000, 0), players, strict=True):
        monkeypatch.setattr(game.clock, "_ms", 1_700_000_000_000 + seconds * 1000)
        await game.server.call(BOARD, "POST_SCORE", player.profile_id, leaderboardId=board, score=5)
    found = await game.server.call(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId=board, startIndex=0, endIndex=9
    )
    newest_first = [player.profile_id for player in reversed(players)]
    assert [entry["playerId"] for entry in found["leaderboard"]] == newest_first


async def test_a_thousand_packets_of_one_player_at_once(game: Game) -> None:
    total, best = await make(game, leaderboardType="CUMULATIVE"), await make(game)
    name = game.unique("ada")
    clients = [game.client() for _ in range(SESSIONS)]
    for client in clients:
        await client.log_in("Universal", name, "secret")

    async def play(client: Client, number: int) -> None:
        for turn in range(50):
            score = number * 50 + turn
            entries = await client.packet(
                (BOARD, "POST_SCORE", {"leaderboardId": total, "score": 1}),
                (BOARD, "POST_SCORE", {"leaderboardId": best, "score": score}),
                (
                    BOARD,
                    "GET_GLOBAL_LEADERBOARD_PAGE",
                    {"leaderboardId": best, "startIndex": 0, "endIndex": 9},
                ),
            )
            assert [entry["status"] for entry in entries] == [200] * 3
            [shown] = entries[2]["data"]["leaderboard"]
            assert shown["score"] >= score

    async with asyncio.timeout(60):
        await asyncio.gather(*(play(client, number) for number, client in enumerate(clients)))
    assert await page(clients[0], total) == (1, [1000])
    assert await page(clients[0], best) == (1, [999])


@pytest.mark.parametrize("backwards", [False, True])
async def test_an_entry_that_the_index_of_ranks_lacks_is_shown(game: Game, backwards: bool) -> None:
    board = await make(game)
    players = [await game.player() for _ in range(5)]
    for score, player in enumerate(players):
        await post(player, board, score)
    index = game.core.get(Leaderboards).index
    sort = "LOW_TO_HIGH" if backwards else "HIGH_TO_LOW"
    read = {"leaderboardId": board, "startIndex": 0, "endIndex": 9, "sort": sort}
    await players[0].call(BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", **read)
    while index._builds:
        await asyncio.gather(*index._builds.values())
        await asyncio.sleep(0)
    found = await index.ranks.page(await list_of(game, board), 0, 9)
    assert found is not None
    gone = found.places[2]
    for _ in range(2):
        await index.ranks.repair(await list_of(game, board), gone.id, gone.seq, None)
        shown = await players[0].call(BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", **read)
        assert [entry["score"] for entry in shown["leaderboard"]] == sorted(range(5), reverse=not backwards)
        assert await index.ranks.page(await list_of(game, board), 0, 9) == found  # and put right


async def list_of(game: Game, board: str) -> str:
    stored = await game.server.call(BOARD, "GET_GLOBAL_LEADERBOARD_VERSIONS", leaderboardId=board)
    async with game.core.database.read() as tx:
        row = await tx.one(FIND, app=game.app.id, board=board)
    assert row is not None
    return list_name(row["uid"], stored["versions"][0]["versionId"])
