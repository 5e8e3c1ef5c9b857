"""The first page's last opened things, and the search of every page, which finds more than players."""

from urllib.parse import quote

import pytest

from gameserver.console.opened import COOKIE, OPENED_MAX
from gameserver.console.web import segment
from tests.conftest import APP_ID, Game
from tests.console.conftest import Desk, hired

LAST = "Last opened"


async def named(game: Game, name: str) -> str:
    player = await game.player()
    await player.call("playerState", "UPDATE_NAME", playerName=name)
    return player.profile_id


async def test_what_was_opened_last_is_on_the_first_page_until_the_logout(game: Game, desk: Desk) -> None:
    ada, bob = await named(game, game.unique("Ada")[:20]), await named(game, game.unique("Bob")[:20])
    board = game.unique("board/of é")
    player = await game.player()
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
    await player.call("leaderboard", "POST_SCORE_DYNAMIC", leaderboardId=board, score=7, **config)
    await desk.of_app()
    assert LAST not in desk.text
    for path in (
        f"/players/{ada}",
        f"/players/{bob}/mail",
        f"/boards/{segment(board)}",
        f"/players/{ada}",
    ):
        await desk.of_app(path)
        assert desk.status == 200, desk.text
    await desk.of_app("/players/nobody")
    await desk.of_app()
    shown = desk.page.partition(LAST)[2].partition("</section>")[0]
    places = [shown.index(each) for each in (f"/players/{ada}", segment(board), f"/players/{bob}")]
    assert places == sorted(places), shown
    assert "nobody" not in shown
    await desk.post("/console/logout")
    assert COOKIE not in desk.http.cookies


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[",
        "7",
        "[[1,2,3]]",
        '[["10001","profile"]]',
        '[["10001","profile","nobody"],["10001","x","y"]]',
        "[" * 9000,
    ],
)
async def test_what_a_browser_says_of_it_is_believed_only_as_far_as_it_is_so(desk: Desk, told: str) -> None:
    desk.http.cookies.set(COOKIE, quote(told), domain="console.test", path="/console")
    await desk.of_app()
    assert (desk.status, LAST in desk.text) == (200, False)


async def test_it_does_not_grow(game: Game, desk: Desk) -> None:
    for _ in range(OPENED_MAX + 2):
        await desk.of_app(f"/players/{(await game.player()).profile_id}")
    kept = [cookie for cookie in desk.http.cookies.jar if cookie.name == COOKIE]
    assert len(kept) == 1
    assert len(kept[0].value or "") <= 2000


async def test_a_search_finds_boards_and_groups_beside_players(game: Game, desk: Desk) -> None:
    name = game.unique("Zeppelin")[:30]
    player = await game.player()
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
    await player.call("leaderboard", "POST_SCORE_DYNAMIC", leaderboardId=f"{name}-race", score=7, **config)
    await desk.of_app("/search", q=name)
    assert ("Boards" in desk.text, f"{name}-race" in desk.text) == (True, True)
    ada = await named(game, f"{name} Ada")
    await desk.of_app("/search", q=name)  # both begin so
    assert (f"{name}-race" in desk.text, ada in desk.text, "Players" in desk.text) == (True, True, True)
    await desk.of_app("/search", q=f"{name} Ada")  # exactly that one
    assert f"/players/{ada}" in desk.page
    assert "<h1>“" not in desk.page
    somebody = await hired(game, "viewer", APP_ID)
    await somebody.of_app("/search", q=name)
    assert f"{name}-race" in somebody.text
