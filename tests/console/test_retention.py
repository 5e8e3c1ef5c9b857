"""How many players come and come back: counted by day from what logins store."""

import json
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from gameserver.admin import actions, retention
from gameserver.players.profiles import ACTIVE_DAYS, DAY_MS, players
from tests.conftest import Game
from tests.console.conftest import hired


@pytest.fixture
def app_id() -> str:
    return uuid.uuid4().hex


def to_hour(game: Game, day: int, hour: float) -> None:
    """Move the clock to an hour of a day, in UTC."""
    game.clock.advance((day * DAY_MS + hour * 3_600_000 - game.clock.ms()) / 1000)


async def shown(game: Game, **asked: Any) -> list[dict[str, Any]]:
    found = await actions.run(game.server_app, "retention_show", {"app": game.app_id, **asked})
    assert isinstance(found, list)
    return found


async def test_players_are_counted_who_come_back(game: Game) -> None:
    first = game.clock.ms() // DAY_MS + 1
    to_hour(game, first, 0.5)
    await game.run_jobs("players.countDay")  # the app is new: all of its first day counts
    names = [game.unique("id") for _ in range(4)]

    async def log_in(*whose: int) -> None:
        for number in whose:
            await game.client().log_in(external_id=names[number], **known.get(number, {}))

    known: dict[int, dict[str, Any]] = {}
    for number in range(4):
        client = await game.player(external_id=names[number])
        known[number] = {"profileId": client.profile_id}
    visits = {1: (0, 1), 7: (0,), 30: (0, 3), 31: (0, 2)}
    for day, whose in visits.items():
        to_hour(game, first + day, 0.01)  # at once after midnight, which is another day somewhere else
        await log_in(*whose)
        to_hour(game, first + day, 23.99)
        await log_in(*whose)  # once more on the same day
    to_hour(game, first + 32, 1)
    await game.run_jobs("players.countDay")
    rows = {row["day"]: row for row in await shown(game, days=33)}
    by_day = list(reversed(rows.values()))[:33]
    came = by_day[0]
    assert (came["new_players"], came["active"]) == (4, 4)
    assert [(came[f"back_{age}"], came[f"of_{age}"]) for age in retention.AGES] == [(2, 4), (1, 4), (2, 4)]
    assert [by_day[day]["active"] for day in (1, 2, 7, 30, 31)] == [2, 0, 1, 2, 2]
    assert [by_day[day]["active_month"] for day in (7, 29, 30, 31)] == [4, 4, 3, 3]
    assert by_day[32]["active"] is None, "today is not over"
    assert (by_day[31]["of_1"], by_day[5]["of_7"], by_day[5]["of_30"]) == (None, 0, None)
    desk = await hired(game)
    await desk.go(f"/console/apps/{game.app_id}")
    assert "not known yet" not in desk.text
    page = await desk.go(f"/console/apps/{game.app_id}/retention")
    assert "50.0 % <small>2 of 4</small>" in page
    rows_of_file = json.loads(await desk.go(f"/console/apps/{game.app_id}/retention", **{"as": "json"}))[
        "rows"
    ]
    assert rows_of_file[1]["active"] == 2


async def test_a_day_that_was_noted_in_part_is_not_known(game: Game) -> None:
    today = game.clock.ms() // DAY_MS + 2
    to_hour(game, today - 1, 12)
    name = game.unique("id")
    old, new = await game.player(), await game.player(external_id=name)
    async with game.core.database.write() as tx:  # as it was before days were noted
        await tx.run(
            update(players).where(players.c.app_id == game.app_id).values(active_day=None, active_days=None)
        )
    to_hour(game, today, 12)
    await game.run_jobs("players.countDay")
    await game.client().log_in(external_id=name, profileId=new.profile_id)
    to_hour(game, today + 2, 1)
    await game.run_jobs("players.countDay")
    rows = await shown(game, days=4)
    assert [row["active"] for row in rows] == [None, 0, None, None]
    assert rows[1]["active_month"] == 1, "whoever has not logged in since then is not known"
    desk = await hired(game)
    await desk.go(f"/console/apps/{game.app_id}/retention")
    assert "not known" in desk.text
    assert old.profile_id != new.profile_id


async def test_a_missed_job_makes_up_for_days_and_counts_each_once(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)  # several steps
    first = game.clock.ms() // DAY_MS + 1
    to_hour(game, first, 0.5)
    await game.run_jobs("players.countDay")
    for _ in range(5):
        await game.player()
    to_hour(game, first + 3, 0.01)
    await game.run_jobs("players.countDay")  # yesterday may have logins yet that are under way
    assert [row["active"] for row in await shown(game, days=4)] == [None, None, 0, 5]
    to_hour(game, first + 3, 1)
    await game.run_jobs("players.countDay")
    before = await shown(game, days=4)
    assert [row["active"] for row in before] == [None, 0, 0, 5]
    await game.player()
    await game.run_jobs("players.countDay")
    assert await shown(game, days=4) == before


async def test_days_are_noted_as_far_back_as_they_count(game: Game) -> None:
    first = game.clock.ms() // DAY_MS + 1
    to_hour(game, first, 1)
    name = game.unique("id")
    whose = await game.player(external_id=name)
    again = {"external_id": name, "profileId": whose.profile_id}

    async def noted() -> tuple[int, int]:
        async with game.core.database.read() as tx:
            row = await tx.one(players.select().where(players.c.profile_id == whose.profile_id))
        assert row is not None
        return row["active_day"] - first, row["active_days"]

    for day, bits in ((0, 1), (1, 3), (ACTIVE_DAYS, 1 + 2 ** (ACTIVE_DAYS - 1)), (3 * ACTIVE_DAYS, 1)):
        to_hour(game, first + day, 2)
        await game.client().log_in(**again)
        assert await noted() == (day, bits)
    async with game.core.database.write() as tx:  # by a process whose clock is a day ahead
        await tx.run(
            update(players)
            .where(players.c.profile_id == whose.profile_id)
            .values(active_day=players.c.active_day + 1, active_days=3)
        )
    await game.client().log_in(**again)
    assert await noted() == (3 * ACTIVE_DAYS + 1, 3)
