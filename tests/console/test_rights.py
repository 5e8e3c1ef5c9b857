"""Every role asks for every page of the console, by raw requests: what it may not do does not happen."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import func, select

from gameserver.admin.operators import staff_actions
from gameserver.admin.rights import ROLES
from gameserver.console import PAGES
from gameserver.console.web import COOKIE, csrf_of
from tests.conftest import APP_ID, Game
from tests.console.conftest import Desk, hired

PARTS = {"app": APP_ID, "line": "1", "operation": "time.READ", "table": "devices"}


def filled(path: str) -> str:
    """The address of a page, about things that are not there."""
    parts = [each.strip("{}") for each in path.split("/") if each.startswith("{")]
    return "/console" + path.format(**{part: PARTS.get(part, "none") for part in parts})


@pytest.fixture(params=ROLES)
async def somebody(request: pytest.FixtureRequest, game: Game) -> AsyncIterator[tuple[str, Desk]]:
    desk = await hired(game, request.param, APP_ID)
    yield request.param, desk
    await desk.http.aclose()


async def ask(desk: Desk, method: str, path: str) -> httpx.Response:
    form = {"reason": "a test", "confirm": "none"}
    if method == "GET":
        return await desk.http.get(path, follow_redirects=False)
    session = next((each.value for each in desk.http.cookies.jar if each.name == COOKIE), None)
    form["csrf"] = csrf_of(session or "")
    return await desk.http.post(path, data=form, follow_redirects=False)


async def test_each_role_opens_what_it_may_and_nothing_else(somebody: tuple[str, Desk]) -> None:
    role, desk = somebody
    for page in PAGES:
        if page.path == "/logout":
            continue
        answer = await ask(desk, page.method, filled(page.path))
        allowed = page.right is None or page.right in ROLES[role]
        if not allowed:
            assert answer.status_code == 403, (role, page.method, page.path)
        assert answer.status_code != 400, (role, page.method, page.path)
        assert answer.status_code < 500, (role, page.method, page.path, answer.text)
        if allowed and page.right is not None and page.method == "GET":
            assert answer.status_code in (200, 303, 403, 422), (role, page.path)


async def test_who_has_no_session_sees_the_login_whatever_they_ask_for(game: Game) -> None:
    stranger = Desk(game, "")
    async with game.core.database.read() as tx:
        before = (await tx.all(select(func.count().label("n")).select_from(staff_actions)))[0]["n"]
    for page in PAGES:
        answer = await ask(stranger, page.method, filled(page.path))
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/console/login")
    async with game.core.database.read() as tx:
        after = (await tx.all(select(func.count().label("n")).select_from(staff_actions)))[0]["n"]
    assert before == after


async def test_a_change_that_is_asked_for_by_hand_is_refused_and_noted(game: Game) -> None:
    viewer = await hired(game, "viewer", APP_ID)
    answer = await ask(viewer, "POST", f"/console/apps/{APP_ID}/players/none/disable")
    assert answer.status_code == 403
    async with game.core.database.read() as tx:
        rows = await tx.all(
            select(staff_actions).where(
                staff_actions.c.staff == viewer.name, staff_actions.c.outcome == "denied"
            )
        )
    assert [(row["action"], row["profile_id"]) for row in rows] == [("page disable", "none")]
    await viewer.http.aclose()
