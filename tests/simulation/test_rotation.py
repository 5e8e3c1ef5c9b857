"""Rotation: once for any number of processes, across restarts, whatever the clocks say."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gameserver.app import GameServer, open_server
from gameserver.domain.leaderboards import AFTER_ROTATION, Board, Leaderboards, Rotation, Version
from gameserver.domain.leaderboards.periods import next_reset, read_time
from gameserver.domain.leaderboards.store import FIND
from gameserver.frame import Hooks
from gameserver.players.passwords import Passwords
from gameserver.settings import Settings
from gameserver.storage import Transaction
from gameserver.wire.clock import FixedClock
from tests.conftest import BACKENDS, Game

BOARD = "leaderboard"
DAY = 86_400
DAILY = {
    "entryType": "PLAYER",
    "leaderboardType": "ARCADE_HIGH",
    "rotationType": "DAILY",
    "resetAt": 1_700_000_000_000 + DAY * 1000,
    "retainedCount": 8,
}


Told = list[tuple[str, int]]


@pytest.fixture
def rotations(processes: list[Game]) -> Told:
    """The versions whose end was told of, by board and by whichever process."""
    return listen(*processes)


def listen(*games: Game) -> Told:
    """Note the versions whose end is told of."""
    told: Told = []

    async def hook(_: Hooks, _tx: Transaction, board: Board, ended: Sequence[Version], _now_ms: int) -> None:
        told.extend((board.uid, version.version) for version in ended)

    for game in games:
        game.core.hooks.subscribe(AFTER_ROTATION, hook)
    return told


@pytest.fixture
async def processes(
    game: Game, migrated: dict[str, Any], apps_folder: Path, tmp_path: Path
) -> AsyncIterator[list[Game]]:
    """Three servers over the same services, each with a clock of its own; the first is `game`."""
    if BACKENDS == "embedded":
        pytest.skip("one process is all there is without services")
    games = [game]
    async with AsyncExitStack() as stack:
        for _ in range(2):
            clock = FixedClock()
            options = Settings(apps=apps_folder, data=tmp_path / "data", **migrated)
            server: GameServer = await stack.enter_async_context(
                open_server(
                    options, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
                )
            )
            games.append(Game(server, clock))
            stack.push_async_callback(games[-1].http.aclose)
        yield games


async def make(game: Game) -> str:
    board = game.unique("daily")
    await game.server.call(BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=DAILY)
    return board


async def versions(game: Game, board: str) -> list[int]:
    found = await game.server.call(BOARD, "GET_GLOBAL_LEADERBOARD_VERSIONS", leaderboardId=board)
    return [version["versionId"] for version in found["versions"]]


async def scores(game: Game, board: str, version: int) -> list[int]:
    page: dict[str, Any] = {"leaderboardId": board, "startIndex": 0, "endIndex": 499, "versionId": version}
    found = await game.server.call(BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", **page)
    return [entry["score"] for entry in found["leaderboard"]]


async def stored_version(game: Game, board: str) -> tuple[str, int]:
    async with game.core.database.read() as tx:
        row = await tx.one(FIND, app=game.app.id, board=board)
    assert row is not None
    return row["uid"], row["version"]


async def test_of_many_processes_one_rotates(processes: list[Game], rotations: Told) -> None:
    board = await make(processes[0])
    for game in processes:
        game.clock.advance(DAY)
    upkeeps = [game.core.get(Leaderboards).upkeep for game in processes for _ in range(3)]
    await asyncio.gather(*(upkeep.rotate_due() for upkeep in upkeeps))
    uid, version = await stored_version(processes[0], board)
    assert version == 2
    assert [ended for told, ended in rotations if told == uid] == [1]
    assert [await versions(game, board) for game in processes] == [[2, 1]] * 3


async def test_of_many_tasks_one_rotates(game: Game) -> None:
    rotations = listen(game)
    board = await make(game)
    player = await game.player()
    game.clock.advance(DAY)

    async def post(score: int) -> None:
        await game.server.call(BOARD, "POST_SCORE", player.profile_id, leaderboardId=board, score=score)

    rotate = game.core.get(Leaderboards).upkeep.rotate_due
    await asyncio.gather(*(post(i) if i % 2 else rotate() for i in range(40)))
    uid, version = await stored_version(game, board)
    assert version == 2
    assert [ended for told, ended in rotations if told == uid] == [1]
    count = await game.server.call(BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId=board)
    assert count == {"entryCount": 20}


async def test_posts_at_the_moment_of_rotation_go_to_exactly_one_version(
    processes: list[Game], rotations: Told
) -> None:
    board = await make(processes[0])
    player = await processes[0].player()
    for game in processes[1:]:
        game.clock.advance(DAY)  # their clocks are ahead

    async def post(game: Game, score: int) -> None:
        await game.server.call(BOARD, "POST_SCORE", player.profile_id, leaderboardId=board, score=score)

    await asyncio.gather(
        *(post(processes[i % 3], i) for i in range(60)),
        *(game.core.get(Leaderboards).upkeep.rotate_due() for game in processes),
    )
    uid, version = await stored_version(processes[0], board)
    assert version == 2
    assert [ended for told, ended in rotations if told == uid] == [1]
    found: list[int] = []
    for version_id in (1, 2):
        found += await scores(processes[0], board, version_id)
    assert sorted(found) == list(range(60))


async def test_scores_of_players_are_kept_once_however_often_their_board_begins_anew(
    processes: list[Game],
) -> None:
    board, resets = processes[0].unique("reset"), 7  # as many versions are kept, and the running one
    config = {
        "entryType": "PLAYER",
        "leaderboardType": "ARCADE_HIGH",
        "rotationType": "NEVER",
        "retainedCount": resets + 1,
    }
    await processes[0].server.call(
        BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=config
    )
    players = [await game.player() for game in processes for _ in range(4)]

    async def play(number: int) -> None:
        for turn in range(10):
            mine = [number * 100 + turn * 3 + i for i in range(3)]
            posts = [(BOARD, "POST_SCORE", {"leaderboardId": board, "score": score}) for score in mine]
            assert [entry["status"] for entry in await players[number].packet(*posts)] == [200] * 3

    async def begin_anew() -> None:
        for turn in range(resets):
            game = processes[turn % 3]
            await game.server.call(BOARD, "SYS_RESET_NEVER_LEADERBOARD", leaderboardId=board)

    await asyncio.gather(begin_anew(), *(play(number) for number in range(len(players))))
    found: list[int] = []
    for version_id in await versions(processes[0], board):
        found += await scores(processes[1], board, version_id)
    assert sorted(found) == sorted(n * 100 + m for n in range(len(players)) for m in range(30))


async def test_a_clock_that_is_behind_sees_what_the_others_have_done(processes: list[Game]) -> None:
    board = await make(processes[0])
    processes[1].clock.advance(DAY)
    assert [await versions(game, board) for game in processes] == [[1], [2, 1], [1]]  # nobody has stored it
    await processes[1].core.get(Leaderboards).upkeep.rotate_due()
    assert [await versions(game, board) for game in processes] == [[2, 1]] * 3
    page: dict[str, Any] = {"leaderboardId": board, "startIndex": 0, "endIndex": 9}
    behind = await processes[0].server.call(BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", **page)
    assert (behind["versionId"], behind["timeBeforeReset"]) == (2, 2 * DAY * 1000)


async def test_days_without_anybody_are_empty_versions(game: Game) -> None:
    rotations = listen(game)
    board = await make(game)
    game.clock.advance(3 * DAY + 5)
    before = await versions(game, board)
    await game.core.get(Leaderboards).upkeep.rotate_due()
    assert before == await versions(game, board) == [4, 3, 2, 1]
    uid, _ = await stored_version(game, board)
    assert [ended for told, ended in rotations if told == uid] == [1, 2, 3]


@pytest.mark.skipif(BACKENDS != "embedded", reason="one server after another in the same folder")
async def test_a_restart_changes_nothing(
    migrated: dict[str, str], schema_template: Path, apps_folder: Path, tmp_path: Path
) -> None:
    clock = FixedClock()
    options = Settings(apps=apps_folder, data=tmp_path / "restarted")
    seen: list[Any] = []
    for step in range(4):
        async with open_server(
            options, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
        ) as server:
            game = Game(server, clock)
            if not step:
                await game.server.call(
                    BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId="d", configJson=DAILY
                )
            player = await game.player()
            await player.call(BOARD, "POST_SCORE", leaderboardId="d", score=step)
            count = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="d")
            seen.append((await versions(game, "d"), count["entryCount"]))
            await game.http.aclose()
        if step % 2:
            clock.advance(DAY)
    assert seen == [([1], 1), ([1], 2), ([2, 1], 1), ([2, 1], 2)]


@pytest.mark.parametrize(
    ("rotation", "days", "first", "now", "following"),
    [
        ("MONTHLY", 0, "2024-01-31T12:00:00Z", "2024-02-28T00:00:00Z", "2024-02-29T12:00:00Z"),
        ("MONTHLY", 0, "2024-01-31T12:00:00Z", "2024-03-01T00:00:00Z", "2024-03-31T12:00:00Z"),
        ("YEARLY", 0, "2024-02-29T00:00:00Z", "2025-01-01T00:00:00Z", "2025-02-28T00:00:00Z"),
        ("YEARLY", 0, "2024-02-29T00:00:00Z", "2027-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("WEEKLY", 0, "2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z", "2024-01-15T00:00:00Z"),
        ("DAYS", 3, "2024-01-01T00:00:00Z", "2024-01-03T23:59:59Z", "2024-01-04T00:00:00Z"),
        ("DAILY", 0, "2024-06-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z"),
    ],
)
def test_the_calendar(rotation: str, days: int, first: str, now: str, following: str) -> None:
    anchor, at, wanted = (read_time(text, "t") for text in (first, now, following))
    assert anchor is not None
    assert at is not None
    assert next_reset(Rotation(rotation), days, anchor, at) == wanted
