"""Logins of browsers: the recipe, what is refused, the session's cookie, pages of others."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from gameserver.apps import load_apps
from tests.conftest import SECRET, Client, Game
from tests.faces.web_app import (
    PASSWORD,
    account,
    app_toml,
    browser,
    player,
    session_of,
    status,
)
from tests.faces.web_endpoints import apps_folder

__all__ = ["apps_folder"]  # fixtures


def cookie_of(response: httpx.Response) -> list[str]:
    return response.headers["set-cookie"].split("; ")


# The recipe


async def test_the_recipe(game: Game) -> None:
    user = await account(game)
    page = browser(game)
    refused = await page.get("/v1/me")
    assert refused.status_code == 401
    assert refused.json()["reason_code"] == 40304
    assert refused.headers["www-authenticate"] == "Bearer"
    login = await page.post("/v1/login", json={"user": user, "secret": PASSWORD})
    assert login.status_code == 200
    assert login.json()["data"]["newUser"] is False
    assert (await page.get("/v1/me")).json() == {"status": 200, "data": None}
    kept = session_of(page)
    assert (await page.get("/v1/logout_user")).status_code == 200
    assert session_of(page) == ""
    assert await status(page) == 401
    # the cookie is not what makes the difference
    assert await status(browser(game, Cookie=f"test_session={kept}")) == 401
    # again: no effect, and no complaint
    assert (await page.get("/v1/logout_user")).status_code == 200


async def test_a_login_is_the_same_player_in_the_dispatcher(game: Game) -> None:
    page: Any = await player(game)
    client = game.client()
    client.session_id = session_of(page)
    assert (await client.call("playerState", "READ"))["profileId"] == page.told["profileId"]
    await client.call("playerState", "LOGOUT")
    assert await status(page) == 401


async def test_a_session_of_the_dispatcher_works_as_bearer_token(game: Game) -> None:
    client = await game.player()
    page = browser(game, Authorization=f"Bearer {client.session_id}")
    assert await status(page) == 200
    assert (await page.post("/v1/logout")).status_code == 200
    assert (await client.refused("playerState", "READ")).reason_code == 40304


async def test_sessions_expire_and_are_renewed(game: Game) -> None:
    page = await player(game)
    for _ in range(3):
        game.clock.advance(1000)
        assert await status(page) == 200
    game.clock.advance(1201)
    response = await page.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (401, 40303)
    assert session_of(page) == ""


async def test_a_second_login_replaces_the_first(game: Game) -> None:
    user = await account(game)
    first, second = await player(game, user=user), await player(game, user=user)
    response = await first.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (401, 40356)
    assert await status(second) == 200


async def test_another_login_in_the_same_browser_ends_the_session_before(game: Game) -> None:
    page = await player(game)
    before = session_of(page)
    response = await page.post("/v1/login", json={"user": game.unique("bob"), "secret": PASSWORD})
    assert response.json()["data"]["newUser"] is True
    assert session_of(page) != before
    assert await status(page) == 200
    assert await status(browser(game, Cookie=f"test_session={before}")) == 401


async def test_a_login_may_be_a_form(game: Game) -> None:
    page = browser(game)
    user = await account(game)
    response = await page.post("/v1/login", data={"user": user, "secret": PASSWORD})
    assert response.status_code == 200
    assert await status(page) == 200


# Refused logins


async def test_unknown_players_and_wrong_passwords_look_alike(game: Game) -> None:
    user = await account(game)
    page = browser(game)
    wrong = await page.post("/v1/stay", json={"user": user, "secret": "guess"})
    unknown = await page.post("/v1/stay", json={"user": game.unique("nobody"), "secret": "guess"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["reason_code"] == 40307
    assert "set-cookie" not in wrong.headers


async def test_guessing_locks(game: Game) -> None:
    user = await account(game)
    page = browser(game)
    for _ in range(5):
        await page.post("/v1/stay", json={"user": user, "secret": "guess"})
    response = await page.post("/v1/stay", json={"user": user, "secret": PASSWORD})
    assert (response.status_code, response.json()["reason_code"]) == (429, 40788)
    assert response.headers["retry-after"]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"secret": "x"}, 40358, "body.user: required"),
        ({"user": "", "secret": "x"}, 40358, "body.user: required"),
        ({"user": "x"}, 40358, "body.secret: required"),
        ({"user": 5, "secret": "x"}, 40359, "body.user: expected text"),
        ([], 40359, "body: expected an object"),
    ],
)
async def test_logins_that_lack_something(game: Game, body: Any, code: int, words: str) -> None:
    response = await browser(game).post("/v1/login", json=body)
    assert response.status_code == 400
    assert (response.json()["reason_code"], response.json()["status_message"]) == (code, words)


@pytest.mark.parametrize(
    ("content", "kind", "status_code"),
    [
        (b"{", "application/json", 400),
        (b'{"user":"\\u0000","secret":"x"}', "application/json", 400),
        (b"user=%00&secret=x", "application/x-www-form-urlencoded", 400),
        (b"user=%ff&secret=x", "application/x-www-form-urlencoded", 400),
        ("user=ä".encode(), "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % i for i in range(200)), "application/x-www-form-urlencoded", 400),
        (b"<user/>", "text/xml", 400),
        (b"x" * 1_100_000, "application/json", 413),
    ],
)
async def test_bodies_that_cannot_be_read(game: Game, content: bytes, kind: str, status_code: int) -> None:
    response = await browser(game).post("/v1/login", content=content, headers={"Content-Type": kind})
    assert response.status_code == status_code
    assert response.json()["reason_code"]


async def test_the_newest_login_may_be_refused(game: Game, apps_folder: Path) -> None:
    text = app_toml("[session]\nwhen_full = 'refuse_newest'\n")
    (apps_folder / "test" / "app.toml").write_text(text)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    page = await player(game)
    second = browser(game)
    response = await second.post("/v1/login", json={"user": page.user, "secret": PASSWORD})  # type: ignore[attr-defined]
    assert response.json()["reason_code"] == 49102
    assert await status(page) == 200
    await page.post("/v1/logout")
    assert (await second.post("/v1/login", json={"user": page.user, "secret": PASSWORD})).status_code == 200  # type: ignore[attr-defined]


async def test_a_disabled_app_answers_nobody(game: Game, apps_folder: Path) -> None:
    page = await player(game)
    (apps_folder / "test" / "app.toml").write_text(
        app_toml().replace("[cookie]", "enabled = false\n[cookie]", 1)
    )
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    response = await page.get("/v1/me")
    assert (response.status_code, response.json()["reason_code"]) == (403, 40330)


@pytest.mark.parametrize(
    "settings",
    [
        '[redirect]\nurl = "https://eu.example.com/dispatcherv2"\napp_id = "1"\n',
        '[clients]\nplatforms = ["IOS"]\n',
        "[login]\nenabled = false\n",
    ],
)
async def test_apps_that_do_not_take_logins_of_browsers(game: Game, apps_folder: Path, settings: str) -> None:
    user = await account(game)
    (apps_folder / "test" / "app.toml").write_text(app_toml(settings))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_mail_addresses_that_are_not_validated(game: Game, apps_folder: Path) -> None:
    text = app_toml("[login]\nvalidated_email_only = true\n")
    text = text.replace("[web.profiles.players]", '[web.profiles.players]\ntype = "Email"')
    (apps_folder / "test" / "app.toml").write_text(text)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    user = f"{game.unique('ada')}@example.com"
    for _ in range(2):
        response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
        assert (response.status_code, response.json()["reason_code"]) == (403, 40214)


# The cookie


async def test_the_cookie(game: Game) -> None:
    user = await account(game)
    response = await browser(game).post("/v1/login", json={"user": user, "secret": PASSWORD})
    first, *attributes = cookie_of(response)
    assert first.startswith("test_session=")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax"]
    assert session_of(await player(game, user=user)) not in response.text
    secure = browser(game, "https://game.test")
    response = await secure.post("/v1/login", json={"user": user, "secret": PASSWORD})
    assert "Secure" in cookie_of(response)
    response = await secure.get("/v1/logout_user")
    assert {"test_session=", "Max-Age=0", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"} == set(
        cookie_of(response)
    )


async def test_a_cookie_of_another_app_or_no_session_is_none(game: Game, apps_folder: Path) -> None:
    (apps_folder / "other").mkdir()
    (apps_folder / "other" / "app.toml").write_text(f'id = "other"\nsecret = "{SECRET}"\n')
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    stranger = Client(game, "other")
    await stranger.log_in()
    for value in (stranger.session_id, "nonsense", "", "0123-"):
        page = browser(game, Cookie=f"test_session={value}")
        assert await status(page) == 401
        await page.post("/v1/logout")
    await stranger.call("playerState", "READ")  # the logouts were not for it


# Other origins


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://game.test"}, True),
        ({"Origin": "https://game.test"}, True),  # a proxy does the TLS
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://game.test.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://play.example.com"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://play.example.com"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/logout"), ("GET", "/v1/logout_user")])
async def test_pages_of_others_change_nothing(
    game: Game, method: str, path: str, headers: dict[str, str], allowed: bool
) -> None:
    page = await player(game)
    response = await page.request(method, path, headers=headers)
    assert response.status_code == (200 if allowed else 403)
    assert await status(page) == (401 if allowed else 200)


async def test_pages_of_others_cannot_log_anybody_in(game: Game) -> None:
    user = await account(game)
    response = await browser(game).post(
        "/v1/login", json={"user": user, "secret": PASSWORD}, headers={"Origin": "https://evil.example"}
    )
    assert (response.status_code, response.json()["reason_code"]) == (403, 40346)
    assert "set-cookie" not in response.headers


async def test_pages_of_named_origins_may_read(game: Game) -> None:
    page = await player(game)
    friend, stranger = {"Origin": "https://play.example.com"}, {"Origin": "https://evil.example"}
    response = await page.get("/v1/me", headers=friend)
    assert response.headers["access-control-allow-origin"] == friend["Origin"]
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["vary"] == "Origin"
    response = await page.get("/v1/me", headers=stranger)
    assert "access-control-allow-origin" not in response.headers
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    response = await page.options("/v1/players/1/name", headers=friend | asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-methods"] == "PUT"
    response = await page.options("/v1/players/1/name", headers=stranger | asked)
    assert "access-control-allow-methods" not in response.headers
