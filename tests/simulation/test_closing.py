"""The results of large tournaments: made in steps, right at every moment, whatever dies in between."""

import asyncio
import random
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from gameserver.app import open_server
from gameserver.domain.leaderboards.boards import entries
from gameserver.domain.leaderboards.store import FIND
from gameserver.players.passwords import Passwords
from gameserver.services.tournament.storage import CHUNK, enrolments, results
from gameserver.settings import Settings
from gameserver.storage import Database, open_database
from gameserver.storage.schema import migrate
from gameserver.wire.clock import FixedClock, SystemClock
from tests.conftest import APP_ID, APP_TOML, Game
from tests.processes import Process, serve
from tests.simulation.test_processes import Player, pause

DAY = 24 * 3600
MEMBERS = 3 * CHUNK + 200
APP = """
[session]
life_seconds = 2592000
[virtualCurrency.currencies.coins]
[tournament.templates.gold]
payouts = [
  {{ rank = 1, rewards = {{ currency = {{ coins = 1000 }} }} }},
  {{ percent = 50, rewards = {{ currency = {{ coins = 100 }} }} }},
  {{ rest = true, rewards = {{ currency = {{ coins = 1 }} }} }},
]
[tournament.templates.tin]
[leaderboard.boards.{board}]
type = "{kind}"
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
tournament = {{ codes = ["gold", "tin"] }}
"""

Results = dict[str, tuple[str, int, int, int]]
"""By member: code, score, rank, size of the tournament."""

ENTER, SCORE = insert(enrolments), insert(entries)


def best_of(kind: str, scores: list[int]) -> int:
    return min(scores) if kind == "ARCADE_LOW" else max(scores)


def expected(kind: str, played: Mapping[str, tuple[str, list[int]]]) -> Results:
    """Work out the results of what members have played, by member: code and scores."""
    found: Results = {}
    for code in ("gold", "tin"):
        bests = {m: best_of(kind, scores) for m, (c, scores) in played.items() if c == code and scores}
        for member, score in bests.items():
            better = [s for s in bests.values() if (s < score if kind == "ARCADE_LOW" else s > score)]
            found[member] = code, score, 1 + len(better), len(bests)
    return found


async def fill(database: Database, board: str, kind: str, members: list[str]) -> Results:
    """Let members take part: a few with scores alone, a few entered without one; returns the results to be."""
    chance = random.Random(7)
    async with database.read() as tx:
        row = await tx.one(FIND, app=APP_ID, board=board)
    assert row is not None
    of_version = {"board_uid": row["uid"], "version": row["version"]}
    played: dict[str, tuple[str, list[int]]] = {}
    entered, scored = [], []
    for number, member in enumerate(members):
        scores = [chance.randrange(200) for _ in range(chance.randint(1, 3) if "ARCADE" in kind else 1)]
        if number % 97 == 5:
            scores = []
        if number % 89 != 3:
            code = chance.choice(["gold", "gold", "tin"])
            played[member] = code, scores
            entered.append(
                {
                    **of_version,
                    "member_id": member,
                    "app_id": APP_ID,
                    "board_id": board,
                    "div_set_id": None,
                    "code": code,
                    "posted": True,
                    "joined_ms": 1,
                }
            )
        for count, score in enumerate(scores):
            scored.append(
                {
                    **of_version,
                    "entry_id": f"{member}:{count}" if "ARCADE" in kind else member,
                    "member_id": member,
                    "rank_key": score if kind == "ARCADE_LOW" else -score,
                    "seq": 10 * number + count,
                    "data": None,
                    "created_ms": 2,
                    "updated_ms": 3,
                }
            )
    async with database.write() as tx:
        await tx.run_many(ENTER, entered)
        await tx.run_many(SCORE, scored)
    return expected(kind, played)


async def stored(database: Database, board: str) -> Results:
    async with database.read() as tx:
        rows = await tx.all(select(results).where(results.c.board_id == board))
    return {row["member_id"]: (row["code"], row["score"], row["rank"], row["size"]) for row in rows}


async def left(database: Database, board: str) -> int:
    async with database.read() as tx:
        return len(await tx.all(select(enrolments.c.member_id).where(enrolments.c.board_id == board)))


def names(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


@pytest.fixture
def board() -> str:
    """A board that no other test knows: databases are shared by the tests of a run."""
    return f"cup-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def kind() -> str:
    """The type of the board."""
    return "HIGH_VALUE"


@pytest.fixture
def apps_folder(apps_folder: Path, board: str, kind: str) -> Path:
    """The folder of apps, with the board declared."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + APP.format(board=board, kind=kind))
    return apps_folder


@pytest.mark.parametrize("kind", ["HIGH_VALUE", "ARCADE_LOW"])
async def test_results_are_right_at_every_step(
    game: Game, board: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = game.core.database
    monkeypatch.setattr("gameserver.jobs.declaring.STEPS_SHARE", 0)  # one step at a time
    await game.server.call("leaderboard", "SYS_EDIT_LEADERBOARD", leaderboardId=board)
    player = await game.player()
    wanted = await fill(database, board, kind, [*names(MEMBERS), player.profile_id])
    game.clock.advance(DAY)
    steps, seen = 0, set()
    while len(found := await stored(database, board)) < len(wanted) or await left(database, board):
        assert found.items() <= wanted.items()
        answer = await player.packet(("tournament", "VIEW_REWARD", {"leaderboardId": board, "versionId": -1}))
        done = player.profile_id in found
        assert answer[0].get("reason_code", 200) == (200 if done else 40517 if steps else 40505)
        seen.add(done)
        await game.run_jobs()  # the version is not retained, but needed
        steps += 1
        assert steps < 50
    assert await stored(database, board) == wanted
    assert steps > MEMBERS // CHUNK
    assert False in seen
    claimed = await player.call("tournament", "CLAIM_TOURNAMENT_REWARD", leaderboardId=board, versionId=-1)
    rank, size = wanted[player.profile_id][2:]
    coins = 1000 if rank == 1 else 100 if rank <= size / 2 else 1
    if wanted[player.profile_id][0] == "gold":
        assert claimed["currency"]["coins"]["balance"] == coins


async def begin(
    folder: Path, services: dict[str, Any], board: str, players: list[str]
) -> tuple[Results, list[str]]:
    """Let players take part in a tournament that has ended by the clock of this machine.

    Returns the results to be, and the profiles of the players.
    """
    clock = FixedClock(SystemClock().ms() - 2 * DAY * 1000)
    settings = Settings(apps=folder / "apps", data=folder / "data", **services)
    async with open_server(
        settings, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
    ) as server:
        game = Game(server, clock)
        await game.server.call("leaderboard", "SYS_EDIT_LEADERBOARD", leaderboardId=board)
        profiles = []
        for name in players:
            player = game.client()
            await player.log_in("Universal", name, "secret")
            profiles.append(player.profile_id)
        wanted = await fill(game.core.database, board, "HIGH_VALUE", [*profiles, *names(MEMBERS)])
        await game.http.aclose()
    return wanted, profiles


async def look(folder: Path, services: dict[str, str], board: str) -> tuple[Results, int]:
    url = services.get("database") or f"sqlite:///{folder / 'data' / 'gameserver.db'}"
    database = await open_database(url)
    try:
        waiting = await left(database, board)  # first: none waiting then means that all results are there now
        return await stored(database, board), waiting
    finally:
        await database.close()


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_results_are_finished_though_the_process_dies_between_two_steps(
    tmp_path: Path, services: dict[str, str], migrated: object, board: str, moment: str
) -> None:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    app = APP_TOML + APP.format(board=board, kind="HIGH_VALUE")
    (tmp_path / "apps" / "test" / "app.toml").write_text(app)
    (tmp_path / "data").mkdir()
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    if not services:
        migrate(f"sqlite:///{tmp_path / 'data' / 'gameserver.db'}")
    own = [f"{board}-{number}" for number in range(3)]
    wanted, profiles = asyncio.run(begin(tmp_path, services, board, own))
    with serve(
        tmp_path, *options, environment={"DIE_AT": moment}, module="tests.simulation.mortal_closer"
    ) as mortal:
        assert mortal.popen.wait(30) == -9
    found, waiting = asyncio.run(look(tmp_path, services, board))
    assert found.items() < wanted.items()
    assert waiting
    with serve(tmp_path, *options) as again:
        for _ in range(60):
            found, waiting = asyncio.run(look(tmp_path, services, board))
            if not waiting:
                break
            pause()
        assert found == wanted
        for name, profile in zip(own, profiles, strict=True):
            assert claims(again, board, name) == (None, *wanted[profile][1:3], 40523)


def claims(server: Process, board: str, name: str) -> tuple[object, ...]:
    """Claim a player's reward twice; returns what comes back: refusal, score and rank, refusal."""
    player = Player(name)
    player.log_in(server)
    of_board = {"leaderboardId": board, "versionId": -1}
    first, second = (player.call(server, "tournament", "CLAIM_TOURNAMENT_REWARD", **of_board) for _ in "12")
    [shown] = first["data"]["rewardDetails"]["tournaments"]
    return first.get("reason_code"), shown["score"], shown["tRank"], second.get("reason_code")
