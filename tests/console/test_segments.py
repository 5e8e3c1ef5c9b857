"""Segments in the console, in the API and on the command line: who belongs to them, and a refresh of all."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from gameserver.admin import actions
from gameserver.admin import segments as admin
from gameserver.admin.common import Refused
from gameserver.admin.operators import staff_actions
from gameserver.domain.segments import refreshing, storage
from tests.conftest import APP_ID, APP_TOML, Game
from tests.console.conftest import Desk, hired

APP = """
[playerStatistics.statistics.wins]
[segment.segments.everybody]
id = 1
[segment.segments."<b>winners</b>"]
id = 2
description = "They win"
testers_only = false
criteria = { statistics.wins = { minimum = 10 }, not = { tester = true } }
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + APP)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game without what other tests, which had other definitions, have left."""
    async with game.core.database.write() as tx:
        for table in (storage.memberships, storage.refreshes, storage.records):
            await tx.run(delete(table).where(table.c.app_id == APP_ID))
    return game


async def ask(game: Game, name: str, **arguments: Any) -> Any:
    return await actions.run(game.server_app, name, {"app": APP_ID, **arguments})


async def test_who_belongs_to_what(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [await game.player() for _ in range(3)]
    await found[0].call("playerStatistics", "UPDATE", statistics={"wins": 10})
    await found[0].call("playerState", "UPDATE_NAME", playerName="Ada")
    await game.server.call("segment", "REFRESH_MY_SEGMENTS", found[0].profile_id)
    everybody, winners = await ask(game, "segment_list")
    assert (everybody["members"], everybody["has_more"], everybody["criteria"]) == (3, False, {})
    assert (winners["segment"], winners["members"], winners["version"]) == (2, 1, None)
    assert winners["criteria"] == {"statistics": {"wins": {"minimum": 10}}, "not": {"tester": True}}
    monkeypatch.setattr(admin, "COUNT_MAX", 2)
    [everybody, _] = await ask(game, "segment_list")
    assert (everybody["members"], everybody["has_more"]) == (2, True)
    rows = await ask(game, "segment_members", segment=1, limit=2)
    rows += await ask(game, "segment_members", segment=1, limit=2, after=rows[-1]["profile"])
    assert [row["profile"] for row in rows] == sorted(each.profile_id or "" for each in found)
    [ada] = await ask(game, "segment_members", segment=2)
    assert ada == {"profile": found[0].profile_id, "name": "Ada", "since_ms": game.clock.ms()}
    mine = await ask(game, "player_segments", profile=found[0].profile_id)
    assert [each["segment"] for each in mine] == [1, 2]
    with pytest.raises(Refused, match="no segment 9"):
        await ask(game, "segment_members", segment=9)


async def test_a_refresh_of_all(game: Game) -> None:
    await game.player()
    async with game.core.database.write() as tx:
        await tx.run(delete(storage.memberships))
    begun = await ask(game, "segment_refresh")
    assert begun["is_running"]
    with pytest.raises(Refused, match="SEGMENT_REFRESH_RUNNING"):
        await ask(game, "segment_refresh")
    for _ in range(3):
        await game.server_app.jobs.tick()
        await game.server_app.jobs.settled()
    done = await ask(game, "segment_progress")
    assert done["is_whole"]
    assert not done["is_running"]
    assert done["players"] >= done["changed"] >= 1
    assert {row["version"] for row in await ask(game, "segment_list")} == {1}
    async with game.core.database.read() as tx:
        noted = await tx.all(select(staff_actions).where(staff_actions.c.action == "segment_refresh"))
    assert noted


async def test_pages(game: Game, desk: Desk) -> None:
    player = await game.player()
    await game.server.call("segment", "REFRESH_MY_SEGMENTS", player.profile_id)
    await desk.of_app("/data/segments")
    assert "&lt;b&gt;winners&lt;/b&gt;" in desk.page
    assert "They win" in desk.text
    assert "begins by itself" in desk.text
    await desk.act("/data/segments/refresh")
    assert "A refresh of all players runs" in desk.text
    await desk.of_app("/data/segments/1")
    assert player.profile_id in desk.text
    await desk.of_app("/data/segments/1", **{"as": "csv"})
    assert str(player.profile_id) in desk.page
    for wrong in ("9", "x", "²", "9" * 30):
        await desk.of_app(f"/data/segments/{wrong}")
        assert desk.status == 422, wrong
    await desk.of_app(f"/players/{player.profile_id}/progress")
    assert "everybody" in desk.text
    async with game.core.database.write() as tx:
        await refreshing.record(tx, game.app, game.clock.ms())


async def test_who_may_only_look_begins_no_refresh(game: Game) -> None:
    looker = await hired(game, role="viewer")
    await looker.of_app("/data/segments")
    assert "Look at all players now" not in looker.page
    await looker.act("/data/segments/refresh")
    assert looker.status == 403
