"""Lists as files: all rows, streamed, bounded, in the journal; the same over the API."""

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from sqlalchemy import select
from starlette.types import Message

from gameserver.admin import actions, downloads
from gameserver.admin.common import Refused, Server
from gameserver.admin.declaring import Action, Do, Rows
from gameserver.admin.operators import CLI, staff_actions
from gameserver.admin.rights import Right
from gameserver.players.profiles import players
from tests.conftest import APP_ID, Game
from tests.console.conftest import Desk
from tests.console.test_api import program


async def many(game: Game, count: int) -> str:
    """Players whose names begin with what is returned."""
    ada, name, start = await game.player(), game.unique("many"), game.core.new_id()[:-4]
    async with game.core.database.write() as tx:
        row = dict(await tx.one(select(players).where(players.c.profile_id == ada.profile_id)) or {})
        added = [
            row | {"profile_id": f"{start}{number:04d}", "name": f"{name}{number}"} for number in range(count)
        ]
        await tx.run_many(players.insert(), added)
    return name


async def test_a_list_is_taken_along_whole_as_csv_json_and_lines(game: Game, desk: Desk) -> None:
    name = await many(game, 1203)
    await desk.of_app("/players", q=name.upper(), **{"as": "csv"})
    table = list(csv.DictReader(io.StringIO(desk.page)))
    assert [*table.pop().values()][:2] == ["# count", "1203"]
    assert len({row["profile_id"] for row in table}) == 1203
    told = json.loads(await desk.of_app("/players", q=name, **{"as": "json"}))
    assert (told["count"], len(told["rows"])) == (1203, 1203)
    lines = (await desk.of_app("/players", **{"as": "jsonl"})).splitlines()
    assert json.loads(lines[-1]) == {"count": len(lines) - 1}
    assert len(lines) > 1203
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.staff == desk.name))
    noted = [json.loads(row["after"]) for row in rows if row["action"] == "list_export"]
    assert noted[:2] == [{"as": "csv", "text": name.upper()}, {"rows": 1203, "whole": True}]


async def test_the_api_gives_the_same_files(game: Game) -> None:
    name = await many(game, 502)
    boss = await program(game, "viewer")
    path = f"/api/v1/apps/{APP_ID}"
    answer = await boss.http.get(f"{path}/players/search", params={"text": name, "as": "jsonl"})
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert json.loads(answer.text.splitlines()[-1]) == {"count": 502}
    for where, params, status in (
        ("/players/search", {"text": name, "as": "pdf"}, 422),
        ("/players/nobody", {"as": "csv"}, 400),  # no list
        ("/mails", {"as": "csv"}, 200),
        ("/pushes", {"as": "csv"}, 200),
    ):
        assert (await boss.http.get(path + where, params=params)).status_code == status, where
    assert (await (await program(game, "viewer")).ask("GET", "/jobs", params={"as": "csv"}))[0] == 403


async def test_formulas_are_no_formulas_in_csv_and_themselves_in_json(game: Game, desk: Desk) -> None:
    ada = await game.player()
    await ada.call("playerState", "UPDATE_NAME", playerName="=1+1")
    await desk.of_app("/players", q="=1+1", **{"as": "csv"})
    assert ",'=1+1," in desk.page
    told = json.loads(await desk.of_app("/players", q="=1+1", **{"as": "json"}))
    assert {row["name"] for row in told["rows"]} == {"=1+1"}


PAGES = 2000


def endless(asked: list[int], broken_at: int = -1) -> Action:
    """A list of a million rows."""

    async def pages(_: Do, __: Server, ___: Mapping[str, Any]) -> AsyncIterator[Rows]:
        for number in range(PAGES):
            asked.append(number)
            if number == broken_at:
                raise Refused("it broke")
            yield [{"number": number, "text": "x" * 20}] * 500

    return Action(actions.ACTIONS["player_list"].do, Right.PLAYERS_READ, "GET", "/x", False, pages)


async def begun(game: Game, asked: list[int], kind: str = "jsonl", **more: Any) -> Any:
    return await downloads.download(
        game.server_app, endless(asked, **more), {"app": APP_ID}, CLI, kind, "x", {}
    )


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_million_rows_take_the_memory_of_a_page(game: Game) -> None:
    asked: list[int] = []
    answer = await begun(game, asked)
    assert asked == [0]  # it begins before the rest is read
    seen, last = 0, b""

    async def send(message: Message) -> None:
        nonlocal seen, last
        body = message.get("body", b"")
        seen, last = seen + body.count(b"\n"), body or last

    tracemalloc.start()
    try:
        await answer({}, never, send)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (seen, json.loads(last)) == (500 * PAGES + 1, {"count": 500 * PAGES})
    assert most < 2 << 20


async def test_a_reader_who_goes_away_is_not_read_for_and_gives_the_place_back(game: Game) -> None:
    asked: list[int] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        if len(asked) > 3:
            gone.set()

    for _ in range(downloads.AT_ONCE_EACH + 1):
        asked.clear()
        gone.clear()
        await (await begun(game, asked))({}, receive, send)
        assert len(asked) < 10


async def test_few_run_at_once(game: Game) -> None:
    running = [await begun(game, []) for _ in range(downloads.AT_ONCE_EACH)]
    with pytest.raises(Refused, match="wait until one is done"):
        await begun(game, [])

    async def send(_: Message) -> None:
        raise OSError

    for each in running:
        await each({}, never, send)
    await (await begun(game, []))({}, never, send)


@pytest.mark.parametrize("kind", downloads.KINDS)
async def test_what_breaks_off_says_so_in_its_last_line(game: Game, kind: str) -> None:
    answer, got = await begun(game, [], kind, broken_at=2), []

    async def send(message: Message) -> None:
        got.append(message.get("body", b""))

    await answer({}, never, send)
    last = b"".join(got).splitlines()[-1]
    assert b"it broke" in last
    assert b"1000" in last
