"""Rewards that are paid without asking: everybody once, whatever dies in between."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from gameserver.app import open_server
from gameserver.players.passwords import Passwords
from gameserver.settings import Settings
from gameserver.storage.schema import migrate
from gameserver.wire.clock import FixedClock
from tests.conftest import APP_TOML, Game
from tests.processes import Process, serve
from tests.simulation.test_processes import Player, pause

PLAYERS = 8
APP = """
[virtualCurrency.currencies.coins]
[tournament.templates.{code}]
payouts = [
  {{ rank = 1, rewards = {{ currency = {{ coins = 1000 }}, experience = 7 }} }},
  {{ rest = true, rewards = {{ currency = {{ coins = 10 }}, experience = 7 }} }},
]
[leaderboard.boards.{code}]
rotation = "DAILY"
reset = 2023-01-05T00:00:00Z
tournament = {{ codes = ["{code}"], auto_join = true, auto_claim = true }}
"""


async def play(folder: Path, services: dict[str, Any], code: str) -> list[str]:
    """Let players post in a tournament that is long over by the clock of this machine."""
    names = [f"{code}-{number}" for number in range(PLAYERS)]
    settings = Settings(apps=folder / "apps", data=folder / "data", **services)
    clock = FixedClock()
    async with open_server(
        settings, clock=clock, passwords=Passwords(memory_kib=8, passes=1), with_jobs=False
    ) as server:
        game = Game(server, clock)
        for score, name in enumerate(names):
            player = game.client()
            await player.log_in("Universal", name, "secret")
            await player.call("tournament", "POST_TOURNAMENT_SCORE", leaderboardId=code, score=score)
        await game.http.aclose()
    return names


def possessions(server: Process, name: str) -> tuple[int, int]:
    """Return a player's coins and experience points."""
    player = Player(name)
    player.log_in(server)
    state = player.call(server, "playerState", "READ")["data"]
    return state["currency"]["coins"]["balance"], state["experiencePoints"]


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_everybody_is_paid_once_though_the_payer_dies(
    tmp_path: Path, services: dict[str, str], migrated: object, moment: str
) -> None:
    code = f"cup-{uuid.uuid4().hex[:8]}"  # the database is shared by the tests of a run
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML + APP.format(code=code))
    (tmp_path / "data").mkdir()
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    if not services:
        migrate(f"sqlite:///{tmp_path / 'data' / 'gameserver.db'}")
    names = asyncio.run(play(tmp_path, services, code))
    with serve(
        tmp_path, *options, environment={"DIE_AT": moment}, module="tests.simulation.mortal_payer"
    ) as mortal:
        # The tests of a run share the database: somebody who was killed may hold the lease for 15 s more.
        assert mortal.popen.wait(60) == -9
    with serve(tmp_path, *options) as again:
        for _ in range(300):  # the lease of who died lapses after 15 s
            found = [possessions(again, name) for name in names]
            if all(coins for coins, _ in found):
                break
            pause()
        assert found == [(10, 7)] * (PLAYERS - 1) + [(1000, 7)]
