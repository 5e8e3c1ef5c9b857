"""Getting in and out of the console, and what nobody gets by other ways."""

import dataclasses
import re
from pathlib import Path

import pyotp
import pytest

from gameserver.admin import actions
from tests.conftest import APP_ID, Game
from tests.console.conftest import PASSWORD, Desk, hired
from tests.processes import request, serve


async def test_who_is_not_logged_in_sees_the_login_and_then_what_they_wanted(desk: Desk) -> None:
    stranger = Desk(desk.game, desk.name)
    await stranger.of_app("/players", q=desk.game.unique("nobody"))
    assert "Log in" in stranger.text
    to = re.search(r'name="to" value="([^"]+)"', stranger.page)
    assert to is not None
    await stranger.post("/console/login", name=desk.name, password=PASSWORD, to=to.group(1))
    assert (stranger.status, "Nobody fits" in stranger.text) == (200, True)


async def test_a_wrong_name_and_a_wrong_password_are_told_alike(desk: Desk) -> None:
    told = []
    for name, password in ((desk.name, "wrong"), (desk.game.unique("nobody"), PASSWORD)):
        stranger = Desk(desk.game, name)
        await stranger.post("/console/login", name=name, password=password)
        told.append((stranger.status, stranger.text.replace(name, "")))
    assert told[0] == told[1]
    assert told[0][0] == 403


async def test_guessing_is_locked_even_with_the_right_password_at_last(desk: Desk) -> None:
    stranger = Desk(desk.game, desk.name)
    for _ in range(9):
        await stranger.post("/console/login", name=desk.name, password="wrong")
    await stranger.post("/console/login", name=desk.name, password=PASSWORD)
    assert stranger.status == 403
    desk.game.clock.advance(901)
    await stranger.post("/console/login", name=desk.name, password=PASSWORD)
    assert stranger.status == 200


async def test_a_login_goes_nowhere_but_into_the_console(desk: Desk) -> None:
    for to in ("https://evil.test/", "//evil.test", "/console/\\evil.test", "javascript:alert(1)"):
        answer = await Desk(desk.game, "").http.post(
            "/console/login", data={"name": desk.name, "password": PASSWORD, "to": to}, follow_redirects=False
        )
        assert answer.headers["location"] == "/console/"


async def test_the_session_is_new_with_each_login_and_over_with_the_logout(desk: Desk) -> None:
    planted = Desk(desk.game, desk.name)
    planted.http.cookies.set("console_session", "planted", path="/console")
    await planted.post("/console/login", name=desk.name, password=PASSWORD)
    mine = [cookie.value for cookie in planted.http.cookies.jar if cookie.name == "console_session"]
    assert "planted" not in mine[-1:]
    await desk.go("/console/account")
    kept = dict(desk.http.cookies)
    await desk.post("/console/logout")
    assert "Log in" in desk.text
    thief = Desk(desk.game, "")
    thief.http.cookies.update(kept)
    await thief.go("/console/account")
    assert "Log in" in thief.text


async def test_a_cookie_that_scripts_and_other_sites_do_not_get(desk: Desk) -> None:
    answer = await Desk(desk.game, "").http.post(
        "/console/login", data={"name": desk.name, "password": PASSWORD}, follow_redirects=False
    )
    [cookie] = [each for each in answer.headers.get_list("set-cookie") if each.startswith("console_session")]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/console" in cookie
    assert "Secure" not in cookie  # loopback without TLS
    behind = await Desk(desk.game, "").http.post(
        "https://console.test/console/login",
        data={"name": desk.name, "password": PASSWORD},
        follow_redirects=False,
    )
    assert "Secure" in behind.headers["set-cookie"]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_a_form_of_another_site_changes_nothing(desk: Desk, headers: dict[str, str]) -> None:
    ada = await desk.game.player()
    page = await desk.of_app(f"/players/{ada.profile_id}")
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    path = f"/console/apps/{APP_ID}/players/{ada.profile_id}/disable"
    form = {"csrf": token.group(1), "days": "7", "reason": "x"}
    answer = await desk.http.post(path, data=form, headers=headers)
    assert answer.status_code == 400
    for wrong in ({**form, "csrf": "wrong"}, {"days": "7", "reason": "x"}):
        assert (await desk.http.post(path, data=wrong)).status_code == 400
    await desk.of_app(f"/players/{ada.profile_id}")
    assert "End sessions" in desk.text
    assert "disabled" not in desk.text


async def test_pages_are_in_no_frame_and_in_no_cache(desk: Desk) -> None:
    for path in ("/console/", "/console/login", "/console/static/console.js"):
        answer = await desk.http.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_second_factor(game: Game) -> None:
    desk = await hired(game, role="support", app=APP_ID, needs_second_factor=True)
    await desk.of_app("/players")
    assert "Your role needs a second factor" in desk.text
    secret = re.search(r'name="secret" value="([A-Z2-7]+)"', desk.page)
    assert secret is not None
    totp = pyotp.TOTP(secret.group(1))
    await desk.post("/console/account/second-factor", secret=secret.group(1), code="000000")
    assert "not the code" in desk.text
    code = totp.at(game.clock.ms() // 1000)
    await desk.go("/console/account/second-factor")
    await desk.post("/console/account/second-factor", secret=secret.group(1), code=code)
    recovery = re.findall(r"^([0-9a-f]{10})$", re.sub(r"<[^>]*>", "\n", desk.page), re.MULTILINE)
    assert len(recovery) == 8
    await desk.of_app("/players")
    assert "Players" in desk.text

    again = Desk(game, desk.name)
    await again.post("/console/login", name=desk.name, password=PASSWORD)
    assert "Your code" in again.text
    await again.of_app("/players")
    assert "Log in" in again.text  # half of a login opens nothing
    await again.post("/console/login", name=desk.name, password=PASSWORD)
    game.clock.advance(60)
    code = totp.at(game.clock.ms() // 1000)
    await again.post("/console/code", code=code)
    assert again.status == 200

    twice = Desk(game, desk.name)
    await twice.post("/console/login", name=desk.name, password=PASSWORD)
    await twice.post("/console/code", code=code)
    assert twice.status == 403  # a code works once
    await twice.post("/console/code", code=recovery[0])
    assert twice.status == 200
    third = Desk(game, desk.name)
    await third.post("/console/login", name=desk.name, password=PASSWORD)
    await third.post("/console/code", code=recovery[0])
    assert third.status == 403


async def test_who_is_reset_or_removed_is_out_at_once(game: Game, desk: Desk) -> None:
    bob = await hired(game, role="viewer", app=APP_ID)
    await bob.of_app("/players")
    assert bob.status == 200
    await actions.run(game.server_app, "staff_reset", {"name": bob.name})
    await bob.of_app("/players")
    assert "Log in" in bob.text
    await actions.run(game.server_app, "staff_remove", {"name": desk.name})
    await desk.of_app("/players")
    assert "Log in" in desk.text


async def test_an_invitation_works_once(game: Game) -> None:
    added = await actions.run(game.server_app, "staff_add", {"name": game.unique("ada"), "role": "viewer"})
    path = f"/console/welcome/{added['invitation']}"
    first, second = Desk(game, ""), Desk(game, "")
    await first.go(path)
    await second.go(path)
    await first.post(path, password="short", repeat="short")
    assert "at least 10 characters" in first.text
    await first.post(path, password="0123456789", repeat="0123456789")
    assert "first that anybody would try" in first.text
    await first.post(path, password=PASSWORD, repeat=f"{PASSWORD}!")
    assert "differ" in first.text
    await first.post(path, password=PASSWORD, repeat=PASSWORD)
    assert first.status == 200
    await second.post(path, password=PASSWORD, repeat=PASSWORD)
    assert (second.status, "does not work any more" in second.text) == (404, True)


def test_a_proxy_tells_that_tls_ends_there_and_who_asks(tmp_path: Path) -> None:
    form = {"name": "ada", "password": PASSWORD, "repeat": PASSWORD}
    with serve(tmp_path, "--proxies", "127.0.0.1") as server:
        log = next(tmp_path.glob("server-*.log")).read_text()
        link = re.search(r"console (http://\S+/welcome/\S+)", log)
        assert link is not None
        assert request("GET", f"{server.url}/console/login").status_code == 404  # where players are
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        answer = request("POST", link.group(1), data=form, headers=headers)
        assert (answer.status_code, server.url.startswith("http://")) == (303, True)
        assert "Secure" in answer.headers["set-cookie"]
        wrong = {"name": "nobody", "password": "wrong"}
        login = link.group(1).partition("/welcome/")[0] + "/login"
        for _ in range(9):  # whoever guesses from elsewhere locks themselves out
            request("POST", login, data=wrong, headers=headers)
        own = {**headers, "X-Forwarded-For": "203.0.113.8"}
        right = {"name": "ada", "password": PASSWORD}
        assert request("POST", login, data=right, headers=headers).status_code == 403
        assert request("POST", login, data=right, headers=own).status_code == 303


async def test_the_environment_is_on_every_page(desk: Desk) -> None:
    settings = desk.game.server_app.settings
    for name, marked in (("Production", True), ("staging", False), ("", False)):
        desk.game.server_app.settings = dataclasses.replace(settings, environment=name)
        await desk.of_app("/players")
        assert (f">{name}</b>" in desk.page) is bool(name)
        assert ('class="environment production"' in desk.page) is marked
