"""Leaderboards in the console: who stands where, and a cheater's score removed and put back."""

import asyncio
import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.admin.operators import staff_actions
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.boards import entries
from gameserver.domain.leaderboards.ranked_pages import Progress
from tests.conftest import APP_ID, Client, Game
from tests.console.conftest import Desk, hired


async def posted(game: Game, board: str, *scores: int) -> list[Client]:
    """Players with these scores on a board of their own."""
    players = [await game.player() for _ in scores]
    for player, score in zip(players, scores, strict=True):
        await player.call(
            "leaderboard",
            "POST_SCORE_DYNAMIC",
            leaderboardId=board,
            score=score,
            data={"run": score, "exact": 1e16},
            leaderboardType="HIGH_VALUE",
            rotationType="NEVER",
        )
    return players


async def ranks(game: Game, player: Client, board: str) -> list[tuple[int, int]]:
    page = await player.call(
        "leaderboard",
        "GET_GLOBAL_LEADERBOARD_PAGE",
        leaderboardId=board,
        sort="HIGH_TO_LOW",
        startIndex=0,
        endIndex=9,
    )
    return [(each["rank"], each["score"]) for each in page["leaderboard"]]


async def stored(game: Game, member: str) -> list[dict[str, Any]]:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(entries).where(entries.c.member_id == member))
    return [{column.name: row[column.name] for column in entries.c} for row in rows]


async def test_a_fake_score_goes_and_comes_back_exactly(game: Game, desk: Desk) -> None:
    board = game.unique("scores")
    first, cheater, last = await posted(game, board, 30, 9_000_000, 10)
    before = await stored(game, cheater.profile_id)
    assert await ranks(game, first, board) == [(1, 9_000_000), (2, 30), (3, 10)]

    page = await desk.of_app(f"/players/{cheater.profile_id}/boards")
    assert "1 of 3" in desk.text
    form = dict(re.findall(r'name="(member|entry|version|back)" value="([^"]*)"', page))
    await desk.act(f"/boards/{board}/scores/remove", **form)
    assert "the ranks have closed up" in desk.text
    assert await ranks(game, first, board) == [(1, 30), (2, 10)]
    assert await stored(game, cheater.profile_id) == []

    undo = re.search(r'action="([^"]+/scores/[^"]+/restore)"', desk.page)
    assert undo is not None
    back = form["back"]
    await desk.post(undo.group(1), back=back)
    assert "Put back" in desk.text
    assert await stored(game, cheater.profile_id) == before
    assert await ranks(game, last, board) == [(1, 9_000_000), (2, 30), (3, 10)]

    await desk.of_app(f"/players/{cheater.profile_id}/boards")
    await desk.post(undo.group(1), back=back)
    assert "a score in this place again" in desk.text  # twice puts nothing back twice
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.profile_id == cheater.profile_id))
    by_name = {row["action"]: row for row in rows}
    assert set(by_name) == {"score_remove", "score_restore"}
    assert json.loads(by_name["score_remove"]["before"])["entries"] == before


async def test_who_has_played_on_keeps_the_new_score(game: Game, desk: Desk) -> None:
    board = game.unique("scores")
    [cheater] = await posted(game, board, 500)
    page = await desk.of_app(f"/boards/{board}")
    form = dict(re.findall(r'name="(member|entry|version|back)" value="([^"]*)"', page))
    await desk.act(f"/boards/{board}/scores/remove", **form)
    undo = re.search(r'action="([^"]+/scores/[^"]+/restore)"', desk.page)
    assert undo is not None
    await cheater.call("leaderboard", "POST_SCORE", leaderboardId=board, score=7, data=None)
    await desk.post(undo.group(1), back="")
    assert "nothing was put back" in desk.text
    assert await ranks(game, cheater, board) == [(1, 7)]
    await desk.act(f"/boards/{board}/scores/remove", member="nobody", entry="x", version="1")
    assert desk.status == 422
    removed = await actions.run(
        game.server_app, "score_remove", {"app": APP_ID, "board": board, "member": cheater.profile_id}
    )
    other = await game.player()
    merging = {"app": APP_ID, "profile": cheater.profile_id, "target": other.profile_id}
    await actions.run(game.server_app, "player_merge", merging)
    with pytest.raises(Refused, match="no such removal any more"):  # the player is gone
        await actions.run(game.server_app, "score_restore", {"app": APP_ID, "change": removed["change"]})


async def test_ranks_page_by_page_and_around_somebody(
    game: Game, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = game.unique("scores")
    players = await posted(game, board, *range(100, 160))
    await desk.of_app("/boards")
    assert board in desk.text or "Next page" in desk.text
    await desk.of_app("/boards", go=board)
    assert "60 scores in version 1" in desk.text
    assert "Ranks after" in desk.text
    await desk.of_app(f"/boards/{board}", first="50")
    assert ("Ranks before" in desk.text, " 51 " in desk.text) == (True, True)
    await desk.of_app(f"/boards/{board}", around=players[0].profile_id)
    assert " 60 " in desk.text
    await desk.of_app(f"/boards/{board}", around="nobody")
    assert "Nobody with this id" in desk.text
    rows = json.loads(await desk.of_app(f"/boards/{board}", **{"as": "json"}))["rows"]
    assert (len(rows), rows[0]["score"]) == (60, 159)
    await desk.of_app(f"/boards/{board}")
    await desk.act(f"/boards/{board}/rebuild")
    assert "of 60 scores" in desk.text
    built, going_on = asyncio.Event(), asyncio.Event()
    build = game.core.get(Leaderboards).index.build

    async def slowly(name: str, progress: Progress | None = None) -> bool:
        done = await build(name, progress)
        built.set()
        await going_on.wait()
        return done

    monkeypatch.setattr("gameserver.console.boards.PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(game.core.get(Leaderboards).index, "build", slowly)
    await desk.act(f"/boards/{board}/rebuild")
    assert "this page tells how far it is" in desk.text
    await built.wait()
    await desk.of_app(f"/boards/{board}")
    assert "60 scores so far" in desk.text
    going_on.set()
    await desk.of_app(f"/boards/{board}", version="9")
    assert (desk.status, "versions 1 to 1" in desk.text) == (422, True)


@pytest.mark.parametrize("number", ["9" * 20, "-1e9", str(2**53), str(-(2**53)), "1" * 5000, "\u0661", "no"])
async def test_no_number_is_too_much_for_a_page(game: Game, desk: Desk, number: str) -> None:
    board = game.unique("board")
    await posted(game, board, 3)
    for asked in ({"first": number}, {"version": number}):
        await desk.of_app(f"/boards/{board}", **asked)
        assert desk.status in (200, 422), (asked, desk.status)
    await desk.of_app(f"/data/segments/{number}")
    assert desk.status == 422
    await desk.of_app("/bulk/new", segment=number)
    assert desk.status == 422
    await desk.act("/bulk/new", kind="balance", expected=number, reason="x", amount=number, currency="coins")
    assert desk.status in (409, 422)


async def test_a_viewer_sees_no_button_and_removes_nothing(game: Game) -> None:
    board = game.unique("scores")
    [player] = await posted(game, board, 500)
    bob = await hired(game, role="viewer", app=APP_ID)
    await bob.of_app(f"/boards/{board}")
    assert ("500" in bob.text, "Remove" in bob.text) == (True, False)
    await bob.go("/console/account")
    await bob.act(f"/boards/{board}/scores/remove", member=player.profile_id, version="1")
    assert bob.status == 403
    assert await ranks(game, player, board) == [(1, 500)]
