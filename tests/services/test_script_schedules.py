"""script: schedules that an app declares, and what becomes of their turns."""

from pathlib import Path

import pytest

from gameserver.services.script.schedules import Schedule
from tests.conftest import APP_TOML, Game
from tests.services.test_script import turn, turns, write_script

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
APP = (
    APP_TOML
    + """
[script.schedules.often]
script = "count"
every_minutes = 15
data = { n = 7 }

[script.schedules.missing]
script = "nowhere"
every_minutes = 15
"""
)
COUNT = 'bridge.getGlobalEntityServiceProxy().createSystemEntity("turn", 0, null, {n: data.n});'


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP)
    write_script(apps_folder / "test", "count", COUNT)
    return apps_folder


async def test_a_script_runs_again_and_again(game: Game) -> None:
    before = await turns(game)
    await turn(game)  # from here on turns are counted
    assert await turns(game) == before
    await turn(game, 15 * 60)
    assert await turns(game) == before + 1
    await turn(game, 60)
    assert await turns(game) == before + 1
    await turn(game, 3 * 3600)  # nobody was there for twelve turns
    assert await turns(game) == before + 2


async def test_what_became_of_a_turn_is_kept_for_a_while(game: Game) -> None:
    await turn(game)
    await turn(game, 15 * 60)
    now = game.clock.ms()
    listed = await game.server.call("script", "GET_SCHEDULED_CLOUD_SCRIPTS", startDateUTC=now)
    assert [job for job in listed["scheduledJobs"] if job["scriptName"] == "nowhere"] == []
    game.clock.advance(8 * 24 * 3600)
    await game.run_jobs("script.forget")


@pytest.mark.parametrize(
    ("cron", "since", "now", "turn_ms"),
    [
        ("30 3 * * *", 0, 3 * 60 * MINUTE + 29 * MINUTE, None),
        ("30 3 * * *", 0, 3 * 60 * MINUTE + 30 * MINUTE, 210 * MINUTE),
        ("30 3 * * *", 210 * MINUTE, 5 * 60 * MINUTE, None),
        ("30 3 * * *", 210 * MINUTE, 3 * DAY, 2 * DAY + 210 * MINUTE),
        ("*/5 * * * *", 0, 12 * MINUTE + 1, 10 * MINUTE),
        ("0 0 1 1 *", 0, 10 * DAY, None),
    ],
)
def test_times_of_cron(cron: str, since: int, now: int, turn_ms: int | None) -> None:
    assert Schedule(script="x", cron=cron).last_turn(since + 1, now + 1) == turn_ms


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "exactly one of"),
        ({"cron": "0 0 * * *", "every_minutes": 1}, "exactly one of"),
        ({"cron": "soon"}, "is no time"),
        ({"cron": "0 0 31 2 *"}, "is no time"),
        ({"cron": "61 0 * * *"}, "is no time"),
    ],
)
def test_mistakes_in_schedules(facts: dict[str, object], words: str) -> None:
    schedule = Schedule(script="x", **facts)  # type: ignore[arg-type]  # as the definition says
    assert [words in message for _, message in schedule.mistakes(Path())] == [True]
