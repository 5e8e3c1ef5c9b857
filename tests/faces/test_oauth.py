"""Refresh tokens: they work once, and a token that comes back ends its family."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from gameserver.apps import load_apps
from gameserver.players import profiles, refresh_tokens
from gameserver.sessions import AllOf, One, SessionsUnavailable
from gameserver.storage import Aborted
from tests.conftest import APP_ID, Game
from tests.faces.web_app import account, app_toml, audited, browser, player, session_of, status

SEVERAL = "\n[session]\nmost = 5\n"
DAY = 86_400


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(app_toml(SEVERAL))
    return apps_folder


def redefine(game: Game, apps_folder: Path, text: str) -> None:
    (apps_folder / "test" / "app.toml").write_text(text)
    loaded = load_apps(apps_folder, game.server_app.registry.sections())
    assert not loaded.problems
    game.apps.replace(loaded)


async def ask(page: httpx.AsyncClient, token: str, **more: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, **more}
    return await page.post("/oauth2/token", data=form)


async def refreshed(page: httpx.AsyncClient, token: str) -> Any:
    response = await ask(page, token)
    assert response.status_code == 200, response.text
    return response.json()


async def is_dead(page: httpx.AsyncClient, token: str) -> bool:
    response = await ask(page, token)
    assert response.headers["cache-control"] == "no-store"
    return (response.status_code, response.json()["error"]) == (400, "invalid_grant")


async def works(game: Game, session_id: str) -> bool:
    return await status(browser(game, Authorization=f"Bearer {session_id}")) == 200


@pytest.fixture
async def page(game: Game) -> Any:
    """A program, not a browser: it keeps no cookie."""
    page: Any = await player(game, path="/v1/stay")
    page.cookies.clear()
    return page


async def test_a_login_gives_a_token_where_its_profile_says_so(game: Game, page: Any) -> None:
    assert page.told["token_type"] == "Bearer"
    assert page.told["expires_in"] == 1200
    assert await works(game, page.told["access_token"])
    other: Any = await player(game, path="/v1/login")
    assert "refresh_token" not in other.told
    assert "access_token" not in other.told


async def test_refreshing(game: Game, page: Any) -> None:
    response = await ask(page, page.told["refresh_token"])
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"
    assert "set-cookie" not in response.headers
    first = response.json()
    assert set(first) == {"access_token", "expires_in", "refresh_token", "token_type"}
    assert first["refresh_token"] != page.told["refresh_token"]
    assert await works(game, first["access_token"])
    assert not await works(game, page.told["access_token"])  # replaced by the new one
    second = await refreshed(page, first["refresh_token"])
    assert await works(game, second["access_token"])
    assert (await audited(game, page.told["profileId"])).count(("login", "oauth", "refresh_token")) == 2
    # the same player, everywhere
    client = game.client()
    client.session_id = second["access_token"]
    assert (await client.call("playerState", "READ"))["profileId"] == page.told["profileId"]


async def test_refreshing_after_the_session_has_lapsed(game: Game, page: Any) -> None:
    game.clock.advance(20 * DAY)
    assert not await works(game, page.told["access_token"])
    fresh = await refreshed(page, page.told["refresh_token"])
    assert await works(game, fresh["access_token"])


async def test_a_token_that_comes_back_ends_the_family(game: Game, page: Any) -> None:
    bystander: Any = await player(game, user=page.user, path="/v1/stay")
    stolen = page.told["refresh_token"]
    first = await refreshed(page, stolen)
    second = await refreshed(page, first["refresh_token"])
    assert await is_dead(page, stolen)
    assert await is_dead(page, second["refresh_token"])
    assert not await works(game, second["access_token"])
    # another login of the same player is another family
    assert await status(bystander) == 200
    assert await works(game, (await refreshed(page, bystander.told["refresh_token"]))["access_token"])


async def test_of_many_at_once_at_most_one_gets_a_session_and_the_family_ends(game: Game, page: Any) -> None:
    answers = await asyncio.gather(*(ask(page, page.told["refresh_token"]) for _ in range(8)))
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) <= 1
    for answer in good:
        assert await is_dead(page, answer["refresh_token"])
        assert not await works(game, answer["access_token"])
    assert await is_dead(page, page.told["refresh_token"])
    assert await game.core.sessions.list(APP_ID, page.told["profileId"]) == []


async def test_tokens_expire(game: Game, page: Any) -> None:
    game.clock.advance(30 * DAY - 1)
    fresh = await refreshed(page, page.told["refresh_token"])
    game.clock.advance(10 * DAY + 1)  # the login is 40 days old
    assert await is_dead(page, fresh["refresh_token"])


async def test_a_token_that_is_not_used_expires(game: Game, page: Any) -> None:
    game.clock.advance(30 * DAY)
    assert await is_dead(page, page.told["refresh_token"])


async def test_a_browser_gets_the_cookie(game: Game) -> None:
    page: Any = await player(game, path="/v1/stay")
    before = session_of(page)
    response = await page.post(
        "/oauth2/token",
        data={"grant_type": "refresh_token", "refresh_token": page.told["refresh_token"]},
        headers={"Origin": "http://game.test", "Sec-Fetch-Site": "same-origin"},
    )
    assert response.status_code == 200
    assert "HttpOnly" in response.headers["set-cookie"]
    assert session_of(page) not in ("", before)
    assert await status(page) == 200


async def test_a_page_of_somebody_else_gets_none(game: Game, page: Any) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": page.told["refresh_token"]}
    response = await page.post("/oauth2/token", data=form, headers={"Origin": "https://evil.example"})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    friend = {"Origin": "https://play.example.com"}
    response = await page.post("/oauth2/token", data=form, headers=friend)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == friend["Origin"]


# What ends a token


@pytest.mark.parametrize("path", ["/v1/logout", "/v1/logout_user"])
async def test_logging_out(game: Game, page: Any, path: str) -> None:
    other: Any = await player(game, user=page.user, path="/v1/stay")
    method = "POST" if path == "/v1/logout" else "GET"
    bearer = {"Authorization": f"Bearer {page.told['access_token']}"}
    assert (await page.request(method, path, headers=bearer)).status_code == 200
    game.clock.advance(3 * DAY)
    assert await is_dead(page, page.told["refresh_token"])
    await refreshed(page, other.told["refresh_token"])


async def test_logging_out_in_the_dispatcher(game: Game, page: Any) -> None:
    client = game.client()
    client.session_id = page.told["access_token"]
    await client.call("playerState", "LOGOUT")
    game.clock.advance(3 * DAY)
    assert await is_dead(page, page.told["refresh_token"])


async def test_a_logout_whose_traces_in_sql_have_to_wait(game: Game, page: Any) -> None:
    await game.core.sessions.end(One(page.told["access_token"]), "logged_out")
    assert await is_dead(page, page.told["refresh_token"])


async def test_a_login_that_takes_the_place(game: Game, page: Any, apps_folder: Path) -> None:
    redefine(game, apps_folder, app_toml())
    newer: Any = await player(game, user=page.user, path="/v1/stay")
    assert await is_dead(page, page.told["refresh_token"])
    fresh = await refreshed(page, newer.told["refresh_token"])
    assert await works(game, fresh["access_token"])


async def test_refreshing_takes_the_place_of_another_session(
    game: Game, page: Any, apps_folder: Path
) -> None:
    game.clock.advance(DAY)
    redefine(game, apps_folder, app_toml())
    newer: Any = await player(game, user=page.user, path="/v1/stay")
    fresh = await refreshed(page, page.told["refresh_token"])
    assert await works(game, fresh["access_token"])
    assert await status(newer) == 401
    assert await is_dead(page, newer.told["refresh_token"])


async def test_no_place_for_another_session(game: Game, page: Any, apps_folder: Path) -> None:
    redefine(game, apps_folder, app_toml("\n[session]\nwhen_full = 'refuse_newest'\n"))
    fresh = await refreshed(page, page.told["refresh_token"])  # in the place of its own
    game.clock.advance(DAY)
    client = await player(game, user=page.user)
    response = await ask(page, fresh["refresh_token"])
    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    await client.post("/v1/logout")
    await refreshed(page, fresh["refresh_token"])


async def test_a_new_epoch_of_the_player(game: Game, page: Any) -> None:
    """As after a new password, or when an operator disables the player."""
    async with game.core.database.write() as tx:
        epoch = await profiles.raise_epoch(tx, APP_ID, page.told["profileId"])
    await game.core.sessions.end(AllOf(APP_ID, page.told["profileId"]), "revoked", epoch=epoch)
    game.clock.advance(DAY)
    assert await is_dead(page, page.told["refresh_token"])
    # those of later logins are good
    later: Any = await player(game, user=page.user, path="/v1/stay")
    await refreshed(page, later.told["refresh_token"])


async def test_a_player_who_is_deleted(game: Game, page: Any) -> None:
    client = game.client()
    client.session_id = page.told["access_token"]
    await client.call("playerState", "FULL_PLAYER_RESET")
    assert await is_dead(page, page.told["refresh_token"])
    count = select(func.count().label("n")).where(
        refresh_tokens.families.c.profile_id == page.told["profileId"]
    )
    async with game.core.database.read() as tx:
        row = await tx.one(count)
    assert row is not None
    assert row["n"] == 0


async def test_switched_off_for_a_while(game: Game, page: Any, apps_folder: Path) -> None:
    changes: list[Callable[[str], str]] = [
        lambda text: text.replace("enabled = true", "enabled = false"),
        lambda text: text + "\n[login]\nenabled = false\n",
    ]
    for change in changes:
        redefine(game, apps_folder, change(app_toml()))
        response = await ask(page, page.told["refresh_token"])
        assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    redefine(game, apps_folder, app_toml())
    await refreshed(page, page.told["refresh_token"])


async def test_no_more_families_than_a_player_may_have(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await account(game)
    oldest: Any = await player(game, user=user, path="/v1/stay")
    async with game.core.database.write() as tx:
        for _ in range(refresh_tokens.FAMILIES_PER_PLAYER_MAX):
            game.clock.advance(1)
            await refresh_tokens.issue(
                tx,
                refresh_tokens.RefreshSettings(),
                APP_ID,
                oldest.told["profileId"],
                session_of(oldest),
                0,
                now_ms=game.clock.ms(),
                random=game.core.random_bytes,
            )
    count = select(func.count().label("n")).where(
        refresh_tokens.families.c.profile_id == oldest.told["profileId"]
    )
    async with game.core.database.read() as tx:
        row = await tx.one(count)
    assert row is not None
    assert row["n"] == refresh_tokens.FAMILIES_PER_PLAYER_MAX
    assert await is_dead(oldest, oldest.told["refresh_token"])


async def test_expired_families_are_forgotten(game: Game, page: Any) -> None:
    game.clock.advance(30 * DAY + 0.001)
    await game.run_jobs("refreshTokens.forget")
    mine = select(refresh_tokens.families).where(
        refresh_tokens.families.c.profile_id == page.told["profileId"]
    )
    async with game.core.database.read() as tx:
        assert await tx.all(mine) == []


async def test_only_digests_are_stored(game: Game, page: Any) -> None:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(*refresh_tokens.families.c))
    told = [*page.told["refresh_token"].split("."), page.told["access_token"]]
    assert rows
    assert not [value for row in rows for value in row if value in told]


# Revoking


async def revoke(page: httpx.AsyncClient, **form: str) -> httpx.Response:
    return await page.post("/oauth2/revoke", data=form)


async def test_revoking_a_refresh_token(game: Game, page: Any) -> None:
    token = page.told["refresh_token"]
    response = await revoke(page, token=token, token_type_hint="refresh_token")
    assert (response.status_code, response.content) == (200, b"")
    assert await is_dead(page, token)
    assert not await works(game, page.told["access_token"])


async def test_revoking_an_access_token(game: Game, page: Any) -> None:
    assert (await revoke(page, token=page.told["access_token"])).status_code == 200
    assert not await works(game, page.told["access_token"])
    game.clock.advance(DAY)
    assert await is_dead(page, page.told["refresh_token"])


async def test_revoking_a_used_token_ends_what_came_of_it(game: Game, page: Any) -> None:
    fresh = await refreshed(page, page.told["refresh_token"])
    assert (await revoke(page, token=page.told["refresh_token"])).status_code == 200
    assert await is_dead(page, fresh["refresh_token"])
    assert not await works(game, fresh["access_token"])


@pytest.mark.parametrize("token", ["nonsense", "a.b", ".", "0123-" + "x" * 24, "x" * 2000, "ä.ö"])
async def test_revoking_what_is_no_token(game: Game, page: Any, token: str) -> None:
    assert (await revoke(page, token=token)).status_code == 200
    assert (await revoke(page, token=token)).status_code == 200
    assert await is_dead(page, token)
    assert await works(game, page.told["access_token"])


# Requests that will not do


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "a.b"}, "invalid_grant"),
        ({"grant_type": ["refresh_token", "refresh_token"], "refresh_token": "a"}, "invalid_request"),
        ({f"a{i}": "1" for i in range(50)}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 9000}, "invalid_request"),
    ],
)
async def test_forms_that_will_not_do(game: Game, form: dict[str, str], error: str) -> None:
    response = await browser(game).post("/oauth2/token", data=form)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert response.json()["error_description"]


async def test_revoking_nothing(game: Game) -> None:
    response = await revoke(browser(game))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke"])
async def test_other_requests(game: Game, path: str) -> None:
    page = browser(game)
    assert await status(page, path) == 405
    response = await page.post(path, json={"token": "x"})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    for content in (b"a", b"token=%ff%fe", b"x" * 2_000_000):
        response = await page.post(
            path, content=content, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_a_token_for_another_client(game: Game, page: Any) -> None:
    response = await ask(page, page.told["refresh_token"], client_id="another")
    assert response.json()["error"] == "invalid_grant"
    response = await ask(page, page.told["refresh_token"], client_id=APP_ID)
    assert response.status_code == 200


async def test_stores_that_are_away_cost_no_token(
    game: Game, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sql(*_: Any, **__: Any) -> Any:
        raise Aborted("the database is away")

    async def sessions(*_: Any, **__: Any) -> Any:
        raise SessionsUnavailable("the store is away")

    for target, name, away in (
        (game.core.database, "read", sql),
        (game.core.database, "write", sql),
        (game.core.sessions, "peek_digest", sessions),
        (game.core.sessions, "open", sessions),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(target, name, away)
            response = await ask(page, page.told["refresh_token"])
        assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
        assert response.headers["retry-after"]
    assert await works(game, page.told["access_token"])
    await refreshed(page, page.told["refresh_token"])


async def test_a_logout_everywhere_beats_refreshes_on_their_way(game: Game) -> None:
    for _ in range(20):
        page: Any = await player(game, path="/v1/stay")
        refresh = asyncio.create_task(ask(page, page.told["refresh_token"]))
        logout = asyncio.create_task(page.post("/mobileservices/sessions/v2/logout"))
        answer, _ = await asyncio.gather(refresh, logout)
        assert await game.core.sessions.list(APP_ID, page.told["profileId"]) == []
        if answer.status_code == 200:
            assert await is_dead(page, answer.json()["refresh_token"])
