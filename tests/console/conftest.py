"""Somebody of the studio, in front of the console of the real server in process."""

import itertools
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import httpx
import pytest

from gameserver.admin import actions
from tests.browser import open_browser
from tests.conftest import APP_ID, Game

__all__ = ["open_browser"]  # the fixture `browser`
PASSWORD = "a long enough password"
_numbers = itertools.count(1)


class Desk:
    """Somebody's browser, as far as it needs no script."""

    def __init__(self, game: Game, name: str) -> None:
        self.game = game
        self.name = name
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(game.server_app.admin),
            base_url="http://console.test",
            follow_redirects=True,
        )
        self.page = ""
        self.status = 0

    @property
    def text(self) -> str:
        """What the last page says, without its marks."""
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.page)))

    async def go(self, path: str, **query: Any) -> str:
        """Open a page; returns its HTML."""
        answer = await self.http.get(path, params=query or None)
        self.page, self.status = answer.text, answer.status_code
        return self.page

    async def of_app(self, path: str = "", **query: Any) -> str:
        """Open a page of the test app."""
        return await self.go(f"/console/apps/{APP_ID}{path}", **query)

    async def post(self, path: str, /, **form: str) -> str:
        """Send a form of the last page; returns the page that follows."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.page)
        if token is not None:
            form["csrf"] = token.group(1)
        answer = await self.http.post(path, data=form)
        self.page, self.status = answer.text, answer.status_code
        return self.page

    async def act(self, path: str, /, **form: str) -> str:
        """Send a form of a page of the test app."""
        return await self.post(f"/console/apps/{APP_ID}{path}", **form)


async def hired(game: Game, role: str = "admin", app: str = "*", **more: Any) -> Desk:
    """Somebody with a role, who has just chosen a password."""
    desk = Desk(game, f"somebody-{next(_numbers)}-{game.unique('x')[-8:]}")
    added = await actions.run(
        game.server_app, "staff_add", {"name": desk.name, "role": role, "app": app, **more}
    )
    await desk.go(f"/console/welcome/{added['invitation']}")
    await desk.post(f"/console/welcome/{added['invitation']}", password=PASSWORD, repeat=PASSWORD)
    assert desk.status == 200, desk.text
    return desk


@pytest.fixture
async def desk(game: Game) -> AsyncIterator[Desk]:
    """An admin of every app."""
    somebody = await hired(game)
    yield somebody
    await somebody.http.aclose()
