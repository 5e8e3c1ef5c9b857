"""`gameserver segment`: who belongs to which segment, and a refresh of all players."""

import asyncio
from pathlib import Path

from gameserver.app import open_server
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.cli.running import command, json_of
from tests.conftest import APP_ID, APP_TOML, Game

SEGMENTS = """
[segment.segments.everybody]
id = 1
[segment.segments.strangers]
id = 2
criteria = { logins = { maximum = 0 } }
"""


def test_segments_are_listed_and_refreshed(tmp_path: Path, apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + SEGMENTS)

    async def play() -> str:
        settings = Settings(apps=apps_folder, data=tmp_path / "data")
        async with open_server(settings, clock=FixedClock(), with_jobs=False) as server:
            game = Game(server, FixedClock())
            me = (await game.player()).profile_id
            await game.http.aclose()
            return str(me)

    me = asyncio.run(play())
    listed = command(tmp_path, "segment", "list", APP_ID)
    assert [line.split()[:3] for line in listed.stdout.splitlines()[-2:]] == [
        ["1", "everybody", "1"],
        ["2", "strangers", "0"],
    ]
    [member] = json_of(command(tmp_path, "segment", "members", APP_ID, "1", "--json"))
    assert member["profile"] == me
    assert json_of(command(tmp_path, "segment", "refresh", APP_ID, "--json"))["isRunning"]
