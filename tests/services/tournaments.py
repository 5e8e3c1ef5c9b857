"""What tests of tournaments share."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Client, Game
from tests.services.groups import put_group

SERVICE = "tournament"
Teams = Callable[..., Awaitable[None]]
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


async def create(game: Game, code: str, **config: Any) -> Any:
    return await game.server.call(
        SERVICE, "SYS_CREATE_TOURNAMENT_TEMPLATE", tournamentCode=code, configJson=config
    )


@pytest.fixture
def teams(game: Game) -> Teams:
    """Make a group of players, the first of whom owns it, under a name of the test's own."""

    async def make(name: str, *profile_ids: str) -> None:
        await put_group(game, name, profile_ids, name=name.title(), summary_data=f'{{"motto":"{name}"}}')

    return make
