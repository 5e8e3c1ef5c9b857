"""Single sign-on of staff, with a stand-in that speaks OpenID Connect and signs with its own keys."""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.admin.operators import staff_actions
from gameserver.admin.staff import SignOn, first_invitation, read_settings
from gameserver.admin.staff.storage import staff
from tests.conftest import APP_ID, Game
from tests.console.conftest import PASSWORD, Desk, hired
from tests.stand_ins import Asked, StandIn, claims, signed, stand_in

HOST = "login.studio.test"
ISSUER = f"https://{HOST}"
SECRET = "between the two"
FILE = """
issuer = "https://login.studio.test"
client_id = "console"
client_secret_file = "secret"
console_url = "http://console.test"
label = "Studio"
stand_in = "{stand_in}"
timeout_seconds = 1.0

[[roles]]
group = "admins"
role = "admin"

[[roles]]
group = "helpers"
role = "support"
app = "{app}"
also = ["contacts.read"]

[[roles]]
group = "everybody"
role = "viewer"
app = "{app}"
"""


class Provider:
    """The studio's provider: who is logged in there, and what it makes of codes."""

    def __init__(self, web: StandIn, game: Game) -> None:
        self.web, self.game = web, game
        self.person: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.more: dict[str, Any] = {}
        self.kid, self.name = "k1", "right"
        self.told: dict[str, Any] = {}
        web.publish(f"{HOST}/keys", "k1")
        web.routes[f"{HOST}/.well-known/openid-configuration"] = lambda _: (200, self.description())
        web.routes[f"{HOST}/token"] = self.token
        web.routes[f"{HOST}/me"] = lambda _: (200, self.told)

    def description(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "userinfo_endpoint": f"{ISSUER}/me",
            "jwks_uri": f"{ISSUER}/keys",
        }

    def authorize(self, url: str) -> str:
        """Log the person in; returns where their browser is sent."""
        parts = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ISSUER}/authorize"
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = self.game.unique("code")
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def token(self, request: Asked) -> tuple[int, Any]:
        """Take a code once, from whom it was made for, with what fits its challenge."""
        form = request.values
        asked = self.codes.pop(form["code"], None)
        basic = base64.b64encode(f"console:{SECRET.replace(' ', '%20')}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return 401, {"error": "invalid_client"}
        made = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if asked is None or made.decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        told = claims(ISSUER, asked["client_id"], "", self.game.clock.ms(), nonce=asked["nonce"])
        token = signed(told | self.person | self.more, kid=self.kid, name=self.name)
        return 200, {"id_token": token, "access_token": "for /me", "token_type": "Bearer"}


@pytest.fixture
async def provider(game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    async with stand_in() as web:
        file = tmp_path / "sign-on.toml"
        file.write_text(FILE.format(stand_in=web.url, app=APP_ID))
        monkeypatch.setitem(game.core.parts._parts, SignOn, SignOn(read_settings(file)))
        yield Provider(web, game)


async def goes(desk: Desk, to: str = "") -> str:
    """Begin to sign on; returns the provider's address."""
    answer = await desk.http.get("/console/sign-on", params={"to": to}, follow_redirects=False)
    desk.page, desk.status = answer.text, answer.status_code
    return str(answer.headers.get("location", ""))


async def signs_on(provider: Provider, name: str, *groups: str, to: str = "", **more: Any) -> Desk:
    desk = Desk(provider.game, name)
    provider.person = {"sub": f"id of {name}", "preferred_username": name, "groups": list(groups), **more}
    await desk.go(provider.authorize(await goes(desk, to)))
    return desk


async def noted(game: Game, name: str) -> list[Any]:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(staff_actions).where(staff_actions.c.staff == name))
    return [(row["action"], row["outcome"], json.loads(row["after"] or "null")) for row in rows]


async def test_groups_are_roles_at_each_sign_on(game: Game, provider: Provider) -> None:
    assert "Log in with Studio" in await Desk(game, "").go("/console/login")
    name = game.unique("ada")
    ada = await signs_on(provider, name, "helpers", "everybody", to=f"/console/apps/{APP_ID}/players?q=x")
    assert (ada.status, "Nobody fits" in ada.text) == (200, True), ada.text
    [told] = [each for each in await actions.run(game.server_app, "staff_list", {}) if each["name"] == name]
    assert (told["roles"], told["also"]) == ({APP_ID: "support"}, ["contacts.read"])
    await ada.of_app("/staff")
    assert ada.status == 403
    await signs_on(provider, name, "admins")
    await ada.of_app("/staff")
    assert ada.status == 200  # also where they were in already
    again = await signs_on(provider, name, "strangers")
    assert "None of your groups" in again.text
    await ada.of_app("/players")
    assert "Log in" in ada.text
    assert await noted(game, name) == [
        ("staff_sign_on", "done", {APP_ID: "support"}),
        ("staff_sign_on", "done", {"*": "admin"}),
        ("staff_sign_on", "denied", {}),
    ]


async def test_who_may_not_come_in(game: Game, provider: Provider, desk: Desk) -> None:
    taken = await signs_on(provider, desk.name, "admins")
    assert (taken.status, "logs in with a password" in taken.text) == (403, True)
    name = game.unique("bob")
    bob = await signs_on(provider, name, "everybody")
    assert bob.status == 200
    for action in ("staff_reset", "staff_add"):
        with pytest.raises(Refused, match="provider"):
            await actions.run(
                game.server_app, action, {"name": name} | ({"role": "admin"} if action == "staff_add" else {})
            )
    await desk.of_app("/staff")
    await desk.act("/staff/disable", name=name)
    assert "is shut out" in desk.text
    await bob.of_app("/players")
    assert "Log in" in bob.text
    assert "shut you out" in (await signs_on(provider, name, "everybody")).text
    await desk.of_app("/staff")
    await desk.act("/staff/enable", name=name)
    assert (await signs_on(provider, name, "everybody")).status == 200


async def test_who_is_shut_out_has_neither_password_nor_key(game: Game) -> None:
    somebody = await hired(game)
    made = await actions.run(
        game.server_app, "key_add", {"label": "x", "role": "viewer", "app": APP_ID, "owner": somebody.name}
    )
    headers = {"Authorization": f"Bearer {made['token']}"}
    path = f"/api/v1/apps/{APP_ID}/players"
    assert (await Desk(game, "").http.get(path, headers=headers)).status_code == 200
    await actions.run(game.server_app, "staff_disable", {"name": somebody.name})
    assert (await Desk(game, "").http.get(path, headers=headers)).status_code == 401
    await somebody.post("/console/login", name=somebody.name, password=PASSWORD)
    assert somebody.status == 403


async def test_a_local_admin_comes_in_while_the_provider_is_away(
    game: Game, provider: Provider, desk: Desk
) -> None:
    for weather in ("broken", "slow", "garbage", "list", "huge"):
        provider.web.weather = weather
        game.clock.advance(2)
        stranger = Desk(game, "")
        assert await goes(stranger) == ""
        assert (stranger.status, "does not answer just now" in stranger.text) == (503, True), weather
        asked = len(provider.web.asked)
        await goes(stranger)
        assert (stranger.status, len(provider.web.asked)) == (503, asked)  # it is left alone for a moment
    local = Desk(game, desk.name)
    await local.post("/console/login", name=desk.name, password=PASSWORD)
    assert local.status == 200
    provider.web.weather = "fair"
    game.clock.advance(2)
    ada = Desk(game, "ada")
    back = provider.authorize(await goes(ada))
    provider.web.weather = "broken"  # between the two
    await ada.go(back)
    assert (ada.status, "does not answer just now" in ada.text) == (503, True)
    provider.web.weather = "fair"


async def test_a_sign_on_counts_once_and_only_in_the_browser_that_began_it(
    game: Game, provider: Provider
) -> None:
    name = game.unique("eve")
    provider.person = {"sub": name, "preferred_username": name, "groups": ["admins"]}
    mine, victim = Desk(game, name), Desk(game, "victim")
    back = provider.authorize(await goes(mine))
    await victim.go(back)  # as somebody would who has been sent the link
    assert (victim.status, "did not begin in this browser" in victim.text) == (403, True)
    await goes(victim)
    await victim.go(back)
    assert victim.status == 403
    mine.http.cookies.set("console_session", "planted", path="/console")
    kept = dict(mine.http.cookies)
    answer = await mine.http.get(back, follow_redirects=False)
    [session] = [
        each for each in answer.headers.get_list("set-cookie") if each.startswith("console_session=")
    ]
    assert (answer.status_code, "planted" in session) == (303, False)
    again = Desk(game, name)
    again.http.cookies.update({name: value for name, value in kept.items() if name != "console_session"})
    await again.go(back)
    assert (again.status, "used already" in again.text) == (403, True)
    refused = Desk(game, name)
    state = parse_qs(urlsplit(provider.authorize(await goes(refused))).query)["state"][0]
    await refused.go("/console/sign-on/callback", error="access_denied", state=state)
    assert (refused.status, "not done to its end" in refused.text) == (403, True)


@pytest.mark.parametrize("to", ["https://evil.test/", "//evil.test", "/console/\\evil.test", "/other"])
async def test_a_sign_on_leads_nowhere_but_into_the_console(provider: Provider, to: str) -> None:
    desk = Desk(provider.game, "x")
    name = provider.game.unique("to")
    provider.person = {"sub": name, "preferred_username": name, "groups": ["admins"]}
    far = {"to": "/console/" + "x" * 9000}
    begun = await desk.http.get("/console/sign-on", params=far, follow_redirects=False)
    assert len(begun.headers["set-cookie"]) < 2000
    answer = await desk.http.get(provider.authorize(await goes(desk, to)), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    cookies = {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}
    assert "HttpOnly" in cookies["console_session"]
    assert "Path=/console;" in cookies["console_session"]


@pytest.mark.parametrize(
    ("more", "kid", "key"),
    [
        ({"nonce": "another"}, "k1", "right"),
        ({"aud": "another"}, "k1", "right"),
        ({"iss": "https://another.test"}, "k1", "right"),
        ({"azp": "another"}, "k1", "right"),
        ({"exp": 1}, "k1", "right"),
        ({"sub": ""}, "k1", "right"),
        ({"sub": 7}, "k1", "right"),
        ({}, "k2", "right"),
        ({}, "k1", "wrong"),
    ],
)
async def test_a_token_that_is_not_for_us_opens_nothing(
    provider: Provider, more: dict[str, Any], kid: str, key: str
) -> None:
    provider.more, provider.kid, provider.name = more, kid, key
    desk = await signs_on(provider, provider.game.unique("mallory"), "admins")
    assert (desk.status, "Begin again" in desk.text) == (403, True)


async def test_groups_stand_in_the_token_in_a_part_of_it_or_are_told_beside_it(
    game: Game, provider: Provider
) -> None:
    settings = game.core.get(SignOn).settings
    assert settings is not None
    settings.groups_claim = "realm_access.roles"
    name = game.unique("kim")
    kim = await signs_on(provider, name, realm_access={"roles": ["everybody"]})
    assert kim.status == 200
    settings.groups_claim = "groups_of_studio"
    provider.told = {"sub": f"id of {name}", "groups_of_studio": "admins"}
    kim = await signs_on(provider, name)
    await kim.of_app("/staff")
    assert kim.status == 200
    provider.told = {"sub": "somebody else", "groups_of_studio": "admins"}
    assert "None of your groups" in (await signs_on(provider, name)).text


async def test_a_session_ends_so_that_groups_are_asked_for_again(game: Game, provider: Provider) -> None:
    ada = await signs_on(provider, game.unique("ada"), "everybody")
    for _ in range(11):
        game.clock.advance(3600)
        await ada.of_app("/players")
        assert "Players" in ada.text
    game.clock.advance(3601)
    await ada.of_app("/players")
    assert "Log in" in ada.text


async def test_who_comes_by_the_provider_is_not_the_local_admin(game: Game, provider: Provider) -> None:
    async with game.core.database.write() as tx:
        kept = [dict(row) for row in await tx.all(select(staff))]
        await tx.run(staff.delete())
    try:
        await signs_on(provider, game.unique("first"), "admins")
        assert await first_invitation(game.server_app) is not None
    finally:
        async with game.core.database.write() as tx:
            await tx.run(staff.delete())
            if kept:
                await tx.run_many(staff.insert(), kept)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("console", "con\nsole"), "line 3"),
        (('role = "admin"', 'role = "king"'), "a role is one of viewer"),
        (('client_secret_file = "secret"', 'client_secret_file = "nothing"'), "cannot be read"),
        (('client_secret_file = "secret"', 'client_secret_env = "NO_SUCH_SECRET"'), "is not set"),
        (('client_id = "console"', 'client_id = "x"\nclient_secret = "y"'), "give one of"),
        (('label = "Studio"', 'colour = "red"'), "colour"),
        (("https://login", "http://login"), "https"),
        (('label = "Studio"', 'scopes = ["email"]'), "openid"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], text: str
) -> None:
    (tmp_path / "secret").write_text("x")
    file = tmp_path / "sign-on.toml"
    file.write_text(FILE.format(stand_in="", app="*").replace(*change))
    with pytest.raises(ValueError, match=text) as caught:
        read_settings(file)
    assert re.search(r"sign-on\.toml", str(caught.value))
