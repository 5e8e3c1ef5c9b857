"""An app with web endpoints, and clients that keep cookies as browsers do."""

import secrets
from typing import Any

import httpx

from gameserver.players import audit
from tests.conftest import APP_ID, APP_TOML, Game

PASSWORD = "correct horse"

RECIPE = """
[cookie]
name = "test_session"
origins = ["https://play.example.com"]

[oauth]
enabled = true
life_days = 30
total_days = 40

[web.profiles.players]
login_field = "user"
password_field = "secret"
create = true

[web.profiles.staying]
login_field = "user"
password_field = "secret"
refresh_tokens = true

[web.endpoints.login]
path = "/v1/login"
description = "Log in."
[web.actions.log_in]
trigger = "login"
events = [{ do = "login", profile = "players" }]

[web.endpoints.stay]
path = "/v1/stay"
[web.actions.stay]
trigger = "stay"
events = [{ do = "login", profile = "staying" }]

[web.endpoints.me]
path = "/v1/me"
method = "GET"
requires_login = true

[web.endpoints.logout_user]
path = "/v1/logout_user"
method = "GET"
description = "Log out."
get_changes_state = true
[web.actions.log_out]
trigger = "logout_user"
events = [{ do = "logout" }]

[web.endpoints.logout_post]
path = "/v1/logout"
[web.actions.log_out_by_post]
trigger = "logout_post"
events = [{ do = "logout" }]
"""


def app_toml(more: str = "") -> str:
    return APP_TOML + RECIPE + more


def browser(game: Game, base_url: str = "http://game.test", **headers: str) -> httpx.AsyncClient:
    """A client with a jar of its own. It comes from a network of its own: failures are counted for it."""
    transport: Any = httpx.ASGITransport(
        game.server_app, client=(f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)
    )
    return httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers)


async def player(game: Game, path: str = "/v1/login", user: str = "", **client: Any) -> httpx.AsyncClient:
    """A browser that is logged in as a player, a new one unless named. `told` is the login's answer."""
    user = user or await account(game)
    page = browser(game, **client)
    page.user = user  # type: ignore[attr-defined]
    response = await page.post(path, json={"user": user, "secret": PASSWORD})
    assert response.status_code == 200, response.text
    page.told = response.json()["data"]  # type: ignore[attr-defined]
    return page


async def account(game: Game) -> str:
    """A new player's login."""
    user = game.unique("web")
    async with browser(game) as page:
        response = await page.post("/v1/login", json={"user": user, "secret": PASSWORD})
        assert response.status_code == 200, response.text
        assert (await page.post("/v1/logout")).status_code == 200
    return user


async def audited(game: Game, profile_id: str) -> list[tuple[str, str, str]]:
    """Kind, face and reason of what the audit knows of a player, the newest first."""
    await game.core.audit.flush()
    async with game.core.database.read() as tx:
        events = await audit.find(tx, APP_ID, 100, profile_id=profile_id)
    return [(event["kind"], event["face"], event["reason"]) for event in events]


async def status(page: httpx.AsyncClient, path: str = "/v1/me") -> int:
    return (await page.get(path)).status_code


def session_of(page: httpx.AsyncClient) -> str:
    return page.cookies.get("test_session") or ""
