"""Logging out as SAP Mobile Services has it: always 204, and the cookie says who."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, select

from gameserver.apps import load_apps
from gameserver.faces import sap
from gameserver.players import termination
from gameserver.players.devices import devices
from gameserver.sessions import Ended, NewSession, SessionsUnavailable
from gameserver.storage import Aborted
from tests.conftest import APP_ID, SECRET, Client, Game
from tests.faces.web_app import account, app_toml, browser, player, session_of, status

SEVERAL = "\n[session]\nmost = 5\n"
V1 = [
    ("POST", "/mobileservices/sessions/logout"),
    ("DELETE", "/mobileservices/sessions"),
    ("POST", "/mobileservices/sessions/logout/"),
    ("DELETE", "/mobileservices/sessions/"),
]
V2 = [
    ("POST", "/mobileservices/sessions/v2/logout"),
    ("DELETE", "/mobileservices/sessions/v2"),
    ("POST", "/mobileservices/sessions/v2/logout/"),
    ("DELETE", "/mobileservices/sessions/v2/"),
]


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(app_toml(SEVERAL))
    return apps_folder


async def log_out(page: httpx.AsyncClient, how: tuple[str, str], **headers: str) -> httpx.Response:
    response = await page.request(*how, headers=headers)
    assert response.status_code == 204
    assert response.content == b""
    return response


async def refresh(page: httpx.AsyncClient, token: str) -> int:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return (await page.post("/oauth2/token", data=form)).status_code


async def registered(game: Game, profile_id: str, session_id: str, device: str) -> None:
    client = game.client()
    client.session_id = session_id
    await client.call("pushNotification", "REGISTER", deviceType="IOS", deviceToken=device)


async def devices_of(game: Game, profile_id: str) -> set[str]:
    found = select(devices.c.token).where(devices.c.profile_id == bindparam("profile"))
    async with game.core.database.read() as tx:
        return {row["token"] for row in await tx.all(found, profile=profile_id)}


@pytest.mark.parametrize("how", V1)
async def test_version_1_ends_the_session_of_the_cookie(game: Game, how: tuple[str, str]) -> None:
    user = await account(game)
    page: Any = await player(game, user=user, path="/v1/stay")
    other: Any = await player(game, user=user, path="/v1/stay")
    ended = session_of(page)
    await registered(game, page.told["profileId"], session_of(page), f"phone-{user}")
    await registered(game, page.told["profileId"], session_of(other), f"tablet-{user}")
    response = await log_out(page, how)
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert session_of(page) == ""
    assert await status(browser(game, Cookie=f"test_session={ended}")) == 401
    assert await status(other) == 200
    assert await refresh(page, page.told["refresh_token"]) == 400
    assert await refresh(other, other.told["refresh_token"]) == 200
    assert await devices_of(game, page.told["profileId"]) == {f"tablet-{user}"}


@pytest.mark.parametrize("how", V2)
async def test_version_2_ends_everything_of_the_user(game: Game, how: tuple[str, str]) -> None:
    user = await account(game)
    pages: list[Any] = [await player(game, user=user, path="/v1/stay") for _ in range(3)]
    bystander: Any = await player(game, path="/v1/stay")
    client = game.client()
    client.session_id = session_of(pages[2])
    await registered(game, pages[0].told["profileId"], session_of(pages[1]), f"phone-{user}")
    await registered(game, bystander.told["profileId"], session_of(bystander), f"phone-{bystander.user}")
    await log_out(pages[0], how)
    for page in pages:
        assert await status(page) == 401
        assert await refresh(page, page.told["refresh_token"]) == 400
    assert (await client.refused("playerState", "READ")).reason_code == 40304
    assert await devices_of(game, pages[0].told["profileId"]) == set()
    assert await status(bystander) == 200
    assert await refresh(bystander, bystander.told["refresh_token"]) == 200
    assert await devices_of(game, bystander.told["profileId"]) == {f"phone-{bystander.user}"}
    # logging in again works as ever
    assert await status(await player(game, user=user)) == 200


async def test_version_2_stops_a_login_on_its_way(game: Game) -> None:
    page: Any = await player(game)
    profile_id = page.told["profileId"]
    await log_out(page, V2[0])
    late = NewSession(app_id=APP_ID, profile_id=profile_id, face="endpoints", life_seconds=60, epoch=0)
    assert isinstance(await game.core.sessions.open(late), Ended)


@pytest.mark.parametrize("how", V1 + V2)
async def test_without_a_session_it_is_204_as_well(game: Game, how: tuple[str, str]) -> None:
    page: Any = await player(game)
    kept = session_of(page)
    await log_out(browser(game), how)
    for value in ("nonsense", "", "0123-abc", "0123-" + "x" * 24):
        await log_out(browser(game, Cookie=f"test_session={value}; other={kept}"), how)
    assert await status(page) == 200  # nobody was guessed
    await log_out(page, how)
    await log_out(browser(game, Cookie=f"test_session={kept}"), how)
    assert await status(page) == 401


@pytest.mark.parametrize("how", V1 + V2)
async def test_a_session_that_has_lapsed(game: Game, how: tuple[str, str]) -> None:
    page: Any = await player(game, path="/v1/stay")
    bystander: Any = await player(game, path="/v1/stay")
    game.clock.advance(1201)
    response = await log_out(page, how)
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert await refresh(page, page.told["refresh_token"]) == 400
    assert await refresh(bystander, bystander.told["refresh_token"]) == 200


async def test_version_2_with_a_lapsed_session_ends_the_others(game: Game) -> None:
    user = await account(game)
    page: Any = await player(game, user=user, path="/v1/stay")
    game.clock.advance(1201)
    other: Any = await player(game, user=user, path="/v1/stay")
    await log_out(page, V2[0])
    assert await status(other) == 401
    assert await refresh(other, other.told["refresh_token"]) == 400


@pytest.mark.parametrize("how", V1 + V2)
async def test_a_page_of_somebody_else_ends_nothing(game: Game, how: tuple[str, str]) -> None:
    page = await player(game)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        response = await log_out(page, how, **headers)
        assert "set-cookie" not in response.headers
    assert await status(page) == 200
    await log_out(page, how, Origin="http://game.test")
    assert await status(page) == 401


@pytest.mark.parametrize("how", V1 + V2)
async def test_apps_may_share_the_name_of_the_cookie(
    game: Game, apps_folder: Path, how: tuple[str, str]
) -> None:
    for name in ("aaa", "zzz"):
        (apps_folder / name).mkdir()
        text = f'id = "{name}"\nsecret = "{SECRET}"\n[cookie]\nname = "test_session"\n'
        (apps_folder / name / "app.toml").write_text(text)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    for name in ("aaa", "zzz", APP_ID):
        client = Client(game, name)
        await client.log_in()
        await log_out(browser(game, Cookie=f"test_session={client.session_id}"), how)
        assert (await client.refused("playerState", "READ")).reason_code == 40304


async def test_other_methods_are_not_allowed(game: Game) -> None:
    page = await player(game)
    assert await status(page, "/mobileservices/sessions/logout") == 405
    assert await status(page) == 200


@pytest.mark.parametrize("how", V1 + V2)
async def test_the_end_does_not_wait_for_the_database(
    game: Game, monkeypatch: pytest.MonkeyPatch, how: tuple[str, str]
) -> None:
    page: Any = await player(game, path="/v1/stay")
    monkeypatch.setattr(sap, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(sap, "SQL_SECONDS_MAX", 0.05)
    monkeypatch.setattr(termination, "PATIENCE_SECONDS", 0.05)
    database = game.core.database

    def away() -> Any:
        raise Aborted("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(database, "write", away)
        await log_out(page, how)
        assert await game.core.sessions.list(APP_ID, page.told["profileId"]) == []
        waiting = [*sap._retrying, *game.core.endings._following]
        assert waiting
    # the database is back
    await asyncio.gather(*waiting)
    await game.core.endings.settled()
    assert await refresh(page, page.told["refresh_token"]) == 400


@pytest.mark.parametrize("how", V1 + V2)
async def test_a_session_ends_as_soon_as_the_store_is_back(
    game: Game, monkeypatch: pytest.MonkeyPatch, how: tuple[str, str]
) -> None:
    page: Any = await player(game, path="/v1/stay")
    kept = session_of(page)
    with monkeypatch.context() as broken:
        without_store(game, broken)
        response = await log_out(page, how)
        assert "Max-Age=0" in response.headers["set-cookie"]
        await log_out(browser(game, Cookie=f"test_session={kept}"), how)  # asked for again
        await game.server_app.jobs.tick()
        await game.server_app.jobs.settled()  # in vain
    game.clock.advance(sap.END_SECONDS_MAX * 2)
    await game.server_app.jobs.tick()
    await game.server_app.jobs.settled()
    assert await status(browser(game, Cookie=f"test_session={kept}")) == 401
    await game.core.endings.settled()
    assert await refresh(page, page.told["refresh_token"]) == 400
    [job] = [job for job in await game.server_app.jobs.list() if job["name"] == sap.LOG_OUT.name]
    assert job["waiting"] == 0


@pytest.mark.parametrize("how", V1 + V2)
async def test_sessions_that_cannot_be_ended_are_not_said_to_be(
    game: Game, monkeypatch: pytest.MonkeyPatch, how: tuple[str, str]
) -> None:
    """Neither the session store nor the database is there."""
    page = await player(game)

    def away() -> Any:
        raise Aborted("the database is away")

    with monkeypatch.context() as broken:
        without_store(game, broken)
        broken.setattr(game.core.database, "write", away)
        response = await page.request(*how)
        assert response.status_code == 503
        assert response.json()["status"] == 503
        assert response.headers["retry-after"]
    assert await status(page) == 200


def without_store(game: Game, broken: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise SessionsUnavailable("the store is away")

    for step in ("end", "peek_digest"):
        broken.setattr(game.core.sessions, step, away)
