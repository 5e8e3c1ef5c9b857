"""Backendless REST: every call, every code, and that its users and sessions are those of the other faces."""

import asyncio
import json
import re
import secrets
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, select

from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.faces.backendless.rest import CALLS
from gameserver.game import audit, links, users
from gameserver.game.passwords import Passwords
from gameserver.rpc import Core
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Unavailable
from tests.conftest import APP_ID, APP_TOML, Game

APPLICATION = "B5D2-APP"
JS, REST, SERVER = "js-key", "rest-key", "server-key-0123456789"
BASE = f"/{APPLICATION}/{JS}"
PASSWORD = "qwerty"
USER_TOKEN = "user-token"

KEPT = select(users.user_properties).where(users.user_properties.c.profile_id == bindparam("profile"))

VERSIONS = f"""
[backendless.versions.release]
application_id = "{APPLICATION}"
keys = {{ js = "{JS}", rest = "{REST}" }}
server_key = "{SERVER}"
domains = ["api.game.test"]

[backendless.versions.old]
application_id = "OLD-APP"
keys = {{ js = "old-key" }}
enabled = false

[backendless.versions.closed]
application_id = "CLOSED-APP"
keys = {{ js = "closed-key" }}
logins = false

[backendless.properties.city]
max_length = 10
public = true

[backendless.properties.level]
type = "integer"
"""
LOGIN = "\n[backendless.login]\n"


def app_toml(
    backendless: str = 'roles = ["Moderator", "Guard"]', login: str = LOGIN, others: str = ""
) -> str:
    return f"{APP_TOML}{others}\n[backendless]\n{backendless}\n{login}{VERSIONS}"


@pytest.fixture(autouse=True)
def definition(apps_folder: Path) -> Path:
    file = apps_folder / "test" / "app.toml"
    file.write_text(app_toml())
    return file


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


class Device:
    """A client with one API key, and the user-token it was given."""

    def __init__(self, game: Game, base: str = BASE) -> None:
        self.game = game
        self.base = base
        self.token = ""
        self.id = ""

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        if self.token:
            headers.setdefault(USER_TOKEN, self.token)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.game.http.request(method, self.base + path, content=content, headers=headers)

    async def get(self, path: str) -> Any:
        return self.good(await self.send("GET", path))

    async def post(self, path: str, body: Any = None) -> Any:
        return self.good(await self.send("POST", path, body))

    async def put(self, path: str, body: Any = None) -> Any:
        return self.good(await self.send("PUT", path, body))

    def good(self, response: httpx.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json() if response.content else None

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, int]:
        """The code and the HTTP status of a refusal, whose form is the one clients read."""
        response = await self.send(method, path, body)
        refusal = response.json()
        assert set(refusal) == {"code", "message", "errorData"}, refusal
        assert refusal["errorData"] == {}
        assert refusal["message"]
        assert response.status_code not in (200, 502)
        assert response.headers["access-control-allow-origin"] == "*"
        return refusal["code"], response.status_code

    async def register(self, **properties: Any) -> Any:
        user = {"email": f"{self.game.unique('u')}@example.com", "password": PASSWORD, **properties}
        return await self.post("/users/register", user)

    async def log_in(self, login: str, password: str = PASSWORD) -> Any:
        user = await self.post("/users/login", {"login": login, "password": password})
        self.token, self.id = user[USER_TOKEN], user["objectId"]
        return user

    async def user(self, **properties: Any) -> Any:
        """Register and log in."""
        return await self.log_in((await self.register(**properties))["email"])

    async def fails(self, login: Any, password: Any = PASSWORD) -> tuple[int, int]:
        return await self.refused("POST", "/users/login", {"login": login, "password": password})

    async def is_valid(self, token: str = "") -> Any:
        return await self.get(f"/users/isvalidusertoken/{token or self.token}")


@pytest.fixture
def device(game: Game) -> Device:
    return Device(game)


@pytest.fixture
def studio(game: Game) -> Device:
    return Device(game, f"/{APPLICATION}/{SERVER}")


def reload(game: Game, definition: Path, text: str) -> None:
    definition.write_text(text)
    result = game.apps.replace(load_apps(definition.parents[1], registry().sections()))
    assert not result.problems, result.problems


async def mails(game: Game) -> list[str]:
    """The mail sent so far; it leaves after the answer that says so."""
    while links._posting:
        await asyncio.gather(*links._posting)
    outbox = game.server_app.settings.data / "outbox"
    return [path.read_text() for path in outbox.glob("*.eml")] if outbox.exists() else []


async def link_in_mail(game: Game, path: str) -> str:
    """The path of the link in the one mail that was sent."""
    [text] = await mails(game)
    found = re.search(rf"{path}[\w-]+", text.replace("=\n", ""))
    assert found is not None, text
    return found[0]


# Registering


async def test_registering_makes_a_user_without_a_session(device: Device) -> None:
    user = await device.register(city="Oslo", level=3, pet={"name": "Rex"}, blUserLocale="no")
    assert user["___class"] == "Users"
    assert user["userStatus"] == "ENABLED"
    assert (user["city"], user["level"], user["pet"]) == ("Oslo", 3, {"name": "Rex"})
    assert user["blUserLocale"] == "no"
    assert user["created"] == device.game.clock.ms()
    assert user["ownerId"] == user["objectId"]
    assert not {"password", USER_TOKEN} & set(user)


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [
        ({"password": ""}, 3011, 400),
        ({"password": None}, 3011, 400),
        ({"email": ""}, 3013, 400),
        ({"email": None}, 3013, 400),
        ({"email": "no address"}, 3040, 400),
        ({"email": ["a@example.com"]}, 3021, 400),
        ({"id": 1}, 3039, 400),
        ({"city": "x" * 11}, 8000, 400),
        ({"email": "x" * 250 + "@example.com"}, 8000, 400),
        ({"password": "x" * 1025}, 8000, 400),
        ({"pet": "x" * 501}, 8000, 400),
        ({"level": "three"}, 3021, 400),
        ({"level": True}, 3021, 400),
        ({"a b": 1}, 3021, 400),
        ({f"p{n}": n for n in range(101)}, 3021, 400),
    ],
)
async def test_what_cannot_be_registered(device: Device, given: Any, code: int, status: int) -> None:
    user = {"email": f"{device.game.unique('u')}@example.com", "password": PASSWORD, **given}
    assert await device.refused("POST", "/users/register", user) == (code, status)


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"", 3038, 400),
        (b"null", 3038, 400),
        (b"[]", 400, 400),
        (b"{", 400, 400),
        (b'{"email": "\\ud800"}', 400, 400),
        (b"[" * 5000, 400, 400),
        (b'{"pet": "' + b"x" * (1 << 20) + b'"}', 413, 413),
    ],
)
async def test_bodies_that_are_no_user(device: Device, body: bytes, code: int, status: int) -> None:
    assert await device.refused("POST", "/users/register", body) == (code, status)


async def test_an_identity_is_taken_once_also_by_two_at_once(device: Device) -> None:
    user = {"email": f"{device.game.unique('u')}@example.com", "password": PASSWORD}
    answers = await asyncio.gather(*(device.send("POST", "/users/register", user) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {3033}
    user["email"] = user["email"].upper()
    assert await device.refused("POST", "/users/register", user) == (3033, 409)


async def test_registration_can_be_switched_off(device: Device, definition: Path) -> None:
    reload(device.game, definition, app_toml("registration = false"))
    user = {"email": "a@example.com", "password": PASSWORD}
    assert await device.refused("POST", "/users/register", user) == (3009, 403)


async def test_declared_properties_may_be_required_and_others_be_dropped(
    device: Device, definition: Path
) -> None:
    text = app_toml("dynamic_properties = false") + "required = true\n"
    reload(device.game, definition, text)
    user = {"email": f"{device.game.unique('u')}@example.com", "password": PASSWORD, "pet": "Rex"}
    assert await device.refused("POST", "/users/register", user) == (3012, 400)
    user = await device.post("/users/register", {**user, "level": 1})
    assert user["level"] == 1
    assert "pet" not in user


async def test_passwords_follow_the_rules_of_the_app(device: Device, definition: Path) -> None:
    reload(device.game, definition, app_toml(others="\n[login]\npassword_min_length = 8\n"))
    user = {"email": f"{device.game.unique('u')}@example.com", "password": "short"}
    assert await device.refused("POST", "/users/register", user) == (3021, 400)


# Logging in


async def test_login_answers_with_the_user_and_a_token(device: Device) -> None:
    registered = await device.register(city="Oslo")
    user = await device.log_in(registered["email"])
    assert {name: user[name] for name in ("objectId", "email", "city")} == {
        name: registered[name] for name in ("objectId", "email", "city")
    }
    assert isinstance(user[USER_TOKEN], str)
    assert "password" not in user
    assert await device.is_valid() is True


async def test_unknown_identity_and_wrong_password_are_one_refusal(device: Device, definition: Path) -> None:
    known = (await device.register())["email"]
    for text in (app_toml(), app_toml(others="\n[login]\nconceal_accounts = true\n")):
        reload(device.game, definition, text)
        bodies = []
        for login in (known, "nobody@example.com", "no mail address", "x" * 256):
            response = await device.send("POST", "/users/login", {"login": login, "password": "wrong"})
            assert response.status_code == 401
            bodies.append((response.content, sorted(set(response.headers) - {"date"})))
        assert bodies.count(bodies[0]) == len(bodies)
        assert json.loads(bodies[0][0])["code"] == 3003


async def test_unknown_identity_and_wrong_password_take_the_same_time(
    device: Device, definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reload(
        device.game,
        definition,
        app_toml(others="\n[login]\nfailures_per_account = 1000\nfailures_per_address = 1000\n"),
    )
    slow = Passwords(memory_kib=4096, passes=3)
    accounts: Any = device.game.core.accounts
    monkeypatch.setattr(accounts, "_passwords", slow)
    monkeypatch.setattr(device.game.core, "passwords", slow)
    known = (await device.register())["email"]

    async def seconds(login: str) -> float:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            assert await device.fails(login, "wrong") == (3003, 401)
            times.append(time.perf_counter() - started)
        return median(times)

    wrong = await seconds(known)
    assert wrong > 0.004, "the digest must be what takes the time, or this test sees nothing"
    for login in ("nobody@example.com", "no mail address"):
        assert 0.4 < await seconds(login) / wrong < 2.5
    slow.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"login": "", "password": "x"}, 3006),
        ({"login": "a@example.com", "password": ""}, 3006),
        ({"login": " ", "password": "x"}, 3006),
        ({"login": None, "password": "x"}, 3038),
        ({"login": "a@example.com", "password": None}, 3038),
        ({"login": "a@example.com"}, 3038),
        ({"password": "x"}, 3038),
        ({}, 3038),
        (None, 3038),
        ({"login": "x" * 257, "password": "x"}, 8000),
        ({"login": "a@example.com", "password": "x" * 1025}, 8000),
        ({"login": ["a"], "password": "x"}, 400),
    ],
)
async def test_logins_that_cannot_be(device: Device, body: Any, code: int) -> None:
    assert await device.refused("POST", "/users/login", body) == (code, 400)


@pytest.mark.parametrize(
    ("base", "code"),
    [
        ("/UNKNOWN/js-key", 2002),
        (f"/{APPLICATION}/wrong-key", 2002),
        ("/OLD-APP/old-key", 2002),
        (f"/{APPLICATION}/old-key", 2002),
        ("/null/js-key", 3038),
        ("/undefined/js-key", 3038),
    ],
)
async def test_login_needs_an_application_and_its_key(game: Game, base: str, code: int) -> None:
    assert await Device(game, base).fails("a@example.com") == (code, 400)


@pytest.mark.parametrize(
    ("base", "code"),
    [
        ("/UNKNOWN/js-key", 3007),
        ("/OLD-APP/old-key", 3007),
        (f"/{APPLICATION}/wrong-key", 2002),
    ],
)
async def test_logout_needs_them_too(game: Game, device: Device, base: str, code: int) -> None:
    await device.user()
    other = Device(game, base)
    other.token = device.token
    assert await other.refused("GET", "/users/logout") == (code, 400)
    assert await device.is_valid() is True


async def test_logins_are_off_without_settings_and_for_a_version(device: Device, definition: Path) -> None:
    user = await device.user()
    assert await Device(device.game, "/CLOSED-APP/closed-key").fails(user["email"]) == (3034, 403)
    reload(device.game, definition, app_toml(others="\n[login]\nenabled = false\n"))
    assert await device.fails(user["email"]) == (3034, 403)
    reload(device.game, definition, app_toml(login=""))
    assert await device.fails(user["email"]) == (3001, 400)
    reload(device.game, definition, app_toml(others='\n[login]\ntypes = ["Anonymous"]\n'))
    assert await device.fails(user["email"]) == (3001, 400)
    assert await device.is_valid() is True, "who is logged in stays so"


async def test_a_disabled_app_is_no_app(device: Device, definition: Path) -> None:
    reload(device.game, definition, app_toml().replace('title = "Test"', "enabled = false"))
    assert await device.fails("a@example.com") == (2002, 400)


async def test_too_many_failures_lock_an_account_whether_it_exists_or_not(device: Device) -> None:
    known = (await device.register())["email"]
    for login in (known, f"{device.game.unique('nobody')}@example.com"):
        for _ in range(5):
            assert await device.fails(login, "wrong") == (3003, 401)
        assert await device.fails(login, PASSWORD) == (3036, 423)
    device.game.clock.advance(61)
    await device.log_in(known)


async def test_a_lock_of_the_address_covers_texts_that_are_no_address(device: Device) -> None:
    for n in range(20):
        assert await device.fails(f"nobody {n}", "wrong") == (3003, 401)
    assert await device.fails("nobody 21", "wrong") == (3036, 423)


async def test_servers_log_in_as_a_user(device: Device, studio: Device) -> None:
    user = await device.user()
    by_id = {"objectId": user["objectId"]}
    assert await device.refused("POST", "/users/login", by_id) == (2014, 403)
    as_user = await studio.post("/users/login", by_id)
    assert (as_user["objectId"], as_user["email"]) == (user["objectId"], user["email"])
    assert await studio.is_valid(as_user[USER_TOKEN]) is True
    assert await studio.refused("POST", "/users/login", {"objectId": "nobody"}) == (3003, 401)
    await studio.put(f"/users/{user['objectId']}/status", {"userStatus": "DISABLED"})
    assert await studio.refused("POST", "/users/login", by_id) == (3000, 403)


# Several logins


async def test_by_default_the_newest_login_wins(game: Game, device: Device) -> None:
    user, second = await device.user(), Device(game)
    await second.log_in(user["email"])
    assert await device.is_valid() is False
    assert await device.refused("GET", "/users/userroles") == (3064, 401)
    assert await second.is_valid() is True


async def test_the_second_login_may_be_blocked(game: Game, device: Device, definition: Path) -> None:
    reload(game, definition, app_toml(login=LOGIN + 'multiple_logins = "block_second"\n'))
    user, second = await device.user(), Device(game)
    assert await second.fails(user["email"]) == (3002, 409)
    assert await second.fails(user["email"], "wrong") == (3003, 401)
    assert await device.is_valid() is True
    await device.get("/users/logout")
    await second.log_in(user["email"])


async def test_up_to_a_number_of_logins(game: Game, device: Device, studio: Device, definition: Path) -> None:
    reload(game, definition, app_toml(login=LOGIN + 'multiple_logins = "up_to"\nmost = 2\n'))
    user, second, third = await device.user(), Device(game), Device(game)
    await second.log_in(user["email"])
    assert await third.fails(user["email"]) == (3044, 409)
    assert await studio.refused("POST", "/users/login", {"objectId": user["objectId"]}) == (3044, 409)
    assert (await device.is_valid(), await second.is_valid()) == (True, True)
    await device.get("/users/logout")
    await third.log_in(user["email"])
    assert (await second.is_valid(), await third.is_valid()) == (True, True)


async def test_of_logins_at_once_no_more_than_allowed_succeed(
    game: Game, device: Device, definition: Path
) -> None:
    text = app_toml(login=LOGIN + 'multiple_logins = "up_to"\nmost = 3\n')
    reload(
        game,
        definition,
        text.replace("[backendless]", "[login]\nfailures_per_account = 50\n[backendless]", 1),
    )
    body = {"login": (await device.register())["email"], "password": PASSWORD}
    answers = await asyncio.gather(*(device.send("POST", "/users/login", body) for _ in range(8)))
    tokens = [answer.json()[USER_TOKEN] for answer in answers if answer.status_code == 200]
    assert len(tokens) == 3
    assert {answer.json()["code"] for answer in answers if answer.status_code != 200} == {3044}
    assert all([await device.is_valid(token) for token in tokens])


# Sessions


async def test_a_session_lives_as_long_as_it_is_used(device: Device, definition: Path) -> None:
    reload(device.game, definition, app_toml(login=LOGIN + "life_seconds = 2592000\n"))
    user = await device.user()
    for _ in range(3):
        device.game.clock.advance(29 * 86400)
        assert (await device.get(f"/data/Users/{user['objectId']}"))["email"] == user["email"]
    device.game.clock.advance(30 * 86400 + 1)
    assert await device.refused("GET", "/users/userroles") == (3091, 401)
    assert await device.is_valid() is False


async def test_asking_whether_a_token_is_good_does_not_renew_it(device: Device) -> None:
    await device.user()
    device.game.clock.advance(3000)
    assert await device.is_valid() is True
    device.game.clock.advance(601)
    assert await device.is_valid() is False


async def test_logout_ends_the_session_and_a_dead_token_says_so(device: Device) -> None:
    await device.user()
    response = await device.send("GET", "/users/logout")
    assert (response.status_code, response.content) == (200, b"")
    assert await device.is_valid() is False
    assert await device.refused("GET", "/users/logout") == (3064, 401)
    assert await device.refused("GET", "/users/userroles") == (3064, 401)
    device.token = "nonsense"
    assert await device.refused("GET", "/users/logout") == (3064, 401)
    device.token = ""
    assert await device.refused("GET", "/users/logout") == (3064, 401)


async def test_logout_of_a_session_that_timed_out(device: Device) -> None:
    await device.user()
    device.game.clock.advance(3601)
    assert await device.refused("GET", "/users/logout") == (3064, 401)


async def test_of_two_logouts_at_once_one_ends_the_session(device: Device) -> None:
    await device.user()
    answers = await asyncio.gather(*(device.send("GET", "/users/logout") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_a_logout_that_fails_has_the_code_that_makes_clients_log_out(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise SessionsUnavailable("away")

    await device.user()
    monkeypatch.setattr(device.game.core.sessions, "end", away)
    assert await device.refused("GET", "/users/logout") == (3023, 500)


async def test_what_is_away_is_told_as_such(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_sessions(*_: Any, **__: Any) -> Any:
        raise SessionsUnavailable("away")

    def no_database() -> Any:
        raise Unavailable("away")

    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    user = await device.user()
    with monkeypatch.context() as patch:
        patch.setattr(device.game.core.sessions, "touch", no_sessions)
        assert await device.refused("GET", "/users/userroles") == (503, 503)
    with monkeypatch.context() as patch:
        patch.setattr(device.game.core.database, "read", no_database)
        assert await device.fails(user["email"]) == (503, 503)
    with monkeypatch.context() as patch:
        patch.setattr(device.game.core.sessions, "touch", broken)
        response = await device.send("GET", "/users/userroles")
        assert response.status_code == 500
        assert response.json() == {"code": 500, "message": "Internal error.", "errorData": {}}
    assert await device.is_valid() is True


async def test_a_dead_token_keeps_nobody_from_starting_again(device: Device) -> None:
    """The client goes on sending what it once stored."""
    email = (await device.user())["email"]
    await device.get("/users/logout")
    assert isinstance(await device.get("/info"), dict)
    assert await device.get("/users/isvalidusertoken/whatever") is False
    assert (await device.register())["objectId"]
    assert await device.get(f"/users/restorepassword/{email}") is None
    assert (await device.post("/users/register/guest"))[USER_TOKEN]
    assert (await device.log_in(email))[USER_TOKEN]


async def test_one_user_in_all_faces(game: Game, device: Device) -> None:
    user = await device.user()
    client = game.client()
    client.session_id = device.token
    state = await client.call("playerState", "READ")
    assert (state["profileId"], state["emailAddress"]) == (user["objectId"], user["email"])
    await client.call("playerState", "LOGOUT")
    assert await device.is_valid() is False

    await device.log_in(user["email"])
    client.session_id = device.token
    await device.get("/users/logout")
    assert (await client.refused("playerState", "READ")).reason_code == 40304

    await client.log_in("Email", user["email"], PASSWORD, forceCreate=False)
    assert client.profile_id == user["objectId"]
    other = Device(game)
    other.token = client.session_id
    assert await other.get("/users/userroles") == ["AuthenticatedUser"]
    await other.log_in(user["email"])
    assert (await client.refused("playerState", "READ")).reason_code == 40356


async def test_a_token_is_good_for_its_own_app_only(game: Game, device: Device, definition: Path) -> None:
    await device.user()
    other = definition.parents[1] / "other" / "app.toml"
    other.parent.mkdir()
    other.write_text(
        app_toml().replace(APP_ID, "10002").replace(JS, "other-js").replace("api.game", "other.game")
    )
    game.apps.replace(load_apps(definition.parents[1], registry().sections()))
    stranger = Device(game, f"/{APPLICATION}/other-js")  # the application id was copied; the key decides
    stranger.token = device.token
    assert await stranger.is_valid() is False
    assert await stranger.refused("GET", "/users/userroles") == (3064, 401)
    assert await stranger.refused("GET", "/users/logout") == (3064, 401)
    assert await device.is_valid() is True


async def test_players_who_came_another_way_are_users_too(game: Game, device: Device) -> None:
    client = await game.player()
    device.token = client.session_id
    user = await device.get(f"/data/Users/{client.profile_id}")
    assert (user["userStatus"], user["email"]) == ("GUEST", None)
    user = await device.put(f"/users/{client.profile_id}", {"city": "Oslo"})
    assert user["city"] == "Oslo"


async def test_the_audit_tells_logins_refusals_and_ends(
    game: Game, device: Device, studio: Device, definition: Path
) -> None:
    user, second = await device.user(), Device(game)
    await device.fails(user["email"], "wrong")
    await second.log_in(user["email"])
    await second.get("/users/logout")
    await second.log_in(user["email"])
    await studio.put(f"/users/{user['objectId']}/status", {"userStatus": "DISABLED"})
    await device.fails(user["email"])
    await game.core.audit.flush()
    async with game.core.database.read() as tx:
        rows = await audit.find(tx, APP_ID, 50, profile_id=user["objectId"])
    assert {row["face"] for row in rows} == {"backendless"}
    told = [(row["kind"], row["reason"]) for row in reversed(rows)]
    assert told == [
        ("login", "Email"),
        ("refusal", "40307"),
        ("logout", "replaced"),
        ("login", "Email"),
        ("logout", "logged_out"),
        ("login", "Email"),
        ("revocation", "disabled"),
        ("refusal", "40790"),
    ]


# Guests


async def test_guests_become_users_and_keep_what_they_had(device: Device) -> None:
    guest = await device.post("/users/register/guest")
    device.token = guest[USER_TOKEN]
    assert (guest["userStatus"], guest["___class"]) == ("GUEST", "Users")
    assert await device.get("/users/userroles") == ["NotAuthenticatedUser"]
    await device.put(f"/users/{guest['objectId']}", {"pet": "Rex"})
    assert await device.refused("PUT", f"/users/{guest['objectId']}", {"password": "x"}) == (3024, 400)
    user = await device.register(objectId=guest["objectId"], city="Oslo")
    assert user["objectId"] == guest["objectId"]
    assert (user["userStatus"], user["pet"], user["city"]) == ("ENABLED", "Rex", "Oslo")
    assert await device.get("/users/userroles") == ["AuthenticatedUser"]
    body = {"email": "other@example.com", "password": PASSWORD, "objectId": guest["objectId"]}
    assert await device.refused("POST", "/users/register", body) == (3033, 409)
    assert (await device.log_in(user["email"]))["objectId"] == guest["objectId"]


async def test_a_guest_becomes_nobody_else(game: Game, device: Device) -> None:
    taken = (await device.register())["email"]
    guest = await device.post("/users/register/guest")
    body = {"email": "someone@example.com", "password": PASSWORD, "objectId": guest["objectId"]}
    assert await device.refused("POST", "/users/register", body) == (3028, 401)
    device.token = guest[USER_TOKEN]
    assert await device.refused("POST", "/users/register", {**body, "objectId": "x"}) == (3029, 403)
    assert await device.refused("POST", "/users/register", {**body, "email": taken}) == (3033, 409)


async def test_guests_may_be_unwanted(device: Device, definition: Path) -> None:
    reload(device.game, definition, app_toml(login=LOGIN + "guests = false\n"))
    assert await device.refused("POST", "/users/register/guest") == (3034, 403)


# Another property as identity


async def test_users_may_log_in_with_another_property(game: Game, device: Device, definition: Path) -> None:
    reload(game, definition, app_toml('identity = "nickname"'))
    nickname = game.unique("Ada")
    body = {"nickname": nickname, "password": PASSWORD, "email": "ada@example.com"}
    user = await device.post("/users/register", body)
    assert (user["nickname"], user["email"]) == (nickname, "ada@example.com")
    assert (await device.log_in(nickname))["objectId"] == user["objectId"]
    assert await device.refused("POST", "/users/register", {"password": "x"}) == (3013, 400)
    body = {"nickname": game.unique("Bob"), "password": PASSWORD, "email": "no address"}
    assert await device.refused("POST", "/users/register", body) == (3040, 400)
    client = game.client()
    await client.log_in("Universal", nickname, PASSWORD, forceCreate=False)
    assert client.profile_id == user["objectId"]


async def test_numbers_are_identities_too(game: Game, device: Device, definition: Path) -> None:
    reload(game, definition, app_toml('identity = "phone"'))
    number = secrets.randbelow(10**12)
    await device.post("/users/register", {"phone": number, "password": 1234})
    user = await device.post("/users/login", {"login": number, "password": 1234})
    assert user["phone"] == str(number)


# Changing users


async def test_users_change_themselves(game: Game, device: Device) -> None:
    user = await device.user(pet="Rex")
    game.clock.advance(5)
    changed = await device.put(f"/users/{user['objectId']}", {**user, "city": "Oslo", "pet": None})
    assert changed["city"] == "Oslo"
    assert "pet" not in changed
    assert changed["updated"] == game.clock.ms()
    assert (await device.get(f"/data/Users/{user['objectId']}")) == changed
    assert await device.is_valid() is True


async def test_changes_at_once_are_all_kept(device: Device) -> None:
    user = await device.user()
    path = f"/users/{user['objectId']}"
    await asyncio.gather(*(device.put(path, {f"p{n}": n}) for n in range(10)))
    after = await device.get(f"/data/Users/{user['objectId']}")
    assert [after[f"p{n}"] for n in range(10)] == list(range(10))


async def test_nobody_changes_others_but_servers_do(game: Game, device: Device, studio: Device) -> None:
    user, other = await device.user(), await Device(game).user()
    path = f"/users/{other['objectId']}"
    assert await device.refused("PUT", path, {"city": "Oslo"}) == (3029, 403)
    assert await Device(game).refused("PUT", path, {"city": "Oslo"}) == (3028, 401)
    assert (await studio.put(path, {"city": "Oslo"}))["city"] == "Oslo"
    assert await studio.refused("PUT", "/users/nobody", {"city": "Oslo"}) == (3030, 404)
    path = f"/users/{user['objectId']}"
    assert await device.refused("PUT", path, {"city": "x" * 11}) == (8000, 400)
    assert await device.refused("PUT", path, {"level": "x"}) == (3024, 400)
    assert await device.refused("PUT", path, None) == (3038, 400)


async def test_a_new_identity(game: Game, device: Device) -> None:
    user, other = await device.user(), await device.register()
    path, new = f"/users/{user['objectId']}", f"{game.unique('new')}@example.com"
    assert await device.refused("PUT", path, {"email": other["email"]}) == (3018, 409)
    assert await device.refused("PUT", path, {"email": "no address"}) == (3040, 400)
    assert (await device.put(path, {"email": new}))["email"] == new
    assert await device.fails(user["email"]) == (3003, 401)
    assert (await device.log_in(new))["objectId"] == user["objectId"]


async def test_a_new_password_logs_the_others_out(game: Game, device: Device, definition: Path) -> None:
    reload(game, definition, app_toml(login=LOGIN + 'multiple_logins = "up_to"\nmost = 5\n'))
    user, second = await device.user(), Device(game)
    await second.log_in(user["email"])
    await device.put(f"/users/{user['objectId']}", {"password": "another"})
    assert (await device.is_valid(), await second.is_valid()) == (True, False)
    assert await second.fails(user["email"], PASSWORD) == (3003, 401)
    await second.log_in(user["email"], "another")


async def test_a_server_that_sets_a_password_logs_everybody_out(device: Device, studio: Device) -> None:
    user = await device.user()
    await studio.put(f"/users/{user['objectId']}", {"password": "another"})
    assert await device.is_valid() is False
    await device.log_in(user["email"], "another")


async def test_others_see_what_is_public(game: Game, device: Device, studio: Device) -> None:
    user = await device.user(city="Oslo", level=3)
    other = Device(game)
    path = f"/data/Users/{user['objectId']}"
    assert await other.refused("GET", path) == (3028, 401)
    await other.user()
    assert await other.get(path) == {"objectId": user["objectId"], "___class": "Users", "city": "Oslo"}
    assert (await studio.get(path))["email"] == user["email"]
    assert await device.refused("GET", "/data/Users/nobody") == (1000, 404)


async def test_the_class_of_users_is_described(device: Device) -> None:
    columns = {column["name"]: column for column in await device.get("/users/userclassprops")}
    assert columns["level"]["type"] == "INT"
    assert columns["email"]["identity"] is True
    assert columns["city"]["required"] is False
    assert columns["objectId"]["isPrimaryKey"] is True


# Roles


async def test_roles_come_and_go(game: Game, device: Device, studio: Device) -> None:
    user = await device.user(city="Oslo", level=3)
    for name in (user["email"], user["objectId"]):
        assert await studio.post("/users/assignRole", {"user": name, "roleName": "Moderator"}) is None
    await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    assert await device.get("/users/userroles") == ["AuthenticatedUser", "Guard", "Moderator"]
    assert await studio.get(f"/users/userroles/{user['objectId']}") == [
        "AuthenticatedUser",
        "Guard",
        "Moderator",
    ]
    assert await Device(game).get("/users/userroles") == ["NotAuthenticatedUser"]
    await studio.post("/users/unassignRole", {"user": user["email"], "roleName": "Guard"})
    assert await device.get("/users/userroles") == ["AuthenticatedUser", "Moderator"]
    await device.get("/users/logout")
    device.token = ""
    assert await device.get("/users/userroles") == ["NotAuthenticatedUser"]


async def test_a_role_that_is_not_declared_any_more_is_nobodys(
    device: Device, studio: Device, definition: Path
) -> None:
    user = await device.user()
    await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    reload(device.game, definition, app_toml('roles = ["Moderator"]'))
    assert await device.get("/users/userroles") == ["AuthenticatedUser"]
    assert await device.refused("GET", "/users/role/Guard") == (2005, 404)


@pytest.mark.parametrize("what", ["assignRole", "unassignRole"])
async def test_role_changes_that_are_refused(device: Device, studio: Device, what: str) -> None:
    user = await device.user()
    path, email = f"/users/{what}", user["email"]
    system = 2007 if what == "assignRole" else 2008
    assert await device.refused("POST", path, {"user": email, "roleName": "Guard"}) == (2011, 403)
    for body, refusal in (
        ({"user": email, "roleName": "AuthenticatedUser"}, (system, 403)),
        ({"user": email, "roleName": "Unknown"}, (2005, 404)),
        ({"user": "nobody@example.com", "roleName": "Guard"}, (3057, 404)),
        ({"user": None, "roleName": "Guard"}, (3038, 400)),
        ({"user": email}, (3038, 400)),
        ({"user": email, "roleName": 5}, (400, 400)),
    ):
        assert await studio.refused("POST", path, body) == refusal


async def test_users_with_a_role_page_by_page(game: Game, device: Device, studio: Device) -> None:
    ids = []
    for _ in range(3):
        user = await device.user(city="Oslo", level=1)
        ids.append(user["objectId"])
        await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    await studio.post("/users/assignRole", {"user": ids[0], "roleName": "Moderator"})
    mine = [
        u for u in await studio.get("/users/role/Guard?pageSize=100&loadRoles=true") if u["objectId"] in ids
    ]
    assert sorted(u["objectId"] for u in mine) == sorted(ids)
    assert {u["objectId"]: u["roles"] for u in mine}[ids[0]] == ["Guard", "Moderator"]
    assert all("email" in u for u in mine)
    if game.core.database.dialect == "sqlite":  # where no other test's users are
        pages = [await studio.get(f"/users/role/Guard?pageSize=2&offset={offset}") for offset in (0, 2)]
        assert [[u["objectId"] for u in page] for page in pages] == [sorted(ids)[:2], sorted(ids)[2:]]
    seen = await device.get("/users/role/Guard?pageSize=100")
    others = [u for u in seen if u["objectId"] != device.id]
    assert all(set(u) == {"objectId", "___class", "city"} for u in others)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("Guard?pageSize=0", (400, 400)),
        ("Guard?pageSize=101", (400, 400)),
        ("Guard?pageSize=x", (400, 400)),
        ("Guard?offset=-1", (400, 400)),
        ("Guard?where=level%3D1", (400, 400)),
        ("Unknown", (2005, 404)),
        ("AuthenticatedUser", (2005, 404)),
    ],
)
async def test_queries_for_roles_that_are_refused(
    game: Game, studio: Device, query: str, refusal: tuple[int, int]
) -> None:
    assert await studio.refused("GET", f"/users/role/{query}") == refusal
    assert await Device(game).refused("GET", f"/users/role/{query}") == (3028, 401)


async def test_roles_of_nobody(game: Game, device: Device, studio: Device) -> None:
    assert await studio.refused("GET", "/users/userroles/nobody") == (3057, 404)
    assert await device.refused("GET", "/users/userroles/nobody") == (3028, 401)


async def test_a_deleted_player_leaves_nothing(game: Game, device: Device, studio: Device) -> None:
    user = await device.user(city="Oslo")
    await studio.post("/users/assignRole", {"user": user["email"], "roleName": "Guard"})
    client = game.client()
    client.session_id = device.token
    await client.call("playerState", "FULL_PLAYER_RESET")
    assert all(u["objectId"] != user["objectId"] for u in await studio.get("/users/role/Guard?pageSize=100"))
    async with game.core.database.read() as tx:
        assert await tx.one(KEPT, profile=user["objectId"]) is None
    assert await device.fails(user["email"]) == (3003, 401)


# Status


async def test_a_disabled_user_is_out_in_all_faces(game: Game, device: Device, studio: Device) -> None:
    user = await device.user()
    client = game.client()
    client.session_id = device.token
    path = f"/users/{user['objectId']}/status"
    assert await device.refused("PUT", path, {"userStatus": "DISABLED"}) == (3054, 403)
    assert await studio.put(path, {"userStatus": "DISABLED"}) is None
    assert await device.is_valid() is False
    assert (await client.refused("playerState", "READ")).reason_code == 40356
    assert await device.fails(user["email"]) == (3000, 403)
    assert await device.fails(user["email"], "wrong") == (3003, 401), "only the owner learns of it"
    assert (await studio.get(f"/data/Users/{user['objectId']}"))["userStatus"] == "DISABLED"
    await studio.put(path, {"userStatus": "ENABLED"})
    assert (await device.log_in(user["email"]))["userStatus"] == "ENABLED"
    assert await studio.refused("PUT", path, {"userStatus": "GONE"}) == (400, 400)
    assert await studio.refused("PUT", "/users/nobody/status", {"userStatus": "DISABLED"}) == (3030, 404)


async def test_a_session_of_a_disabled_user_is_refused_and_ended(device: Device) -> None:
    user = await device.user()
    async with device.game.core.database.write() as tx:  # as a crash leaves it: the sessions are not ended
        await users.set_disabled(tx, APP_ID, user["objectId"], disabled=True)
    assert await device.refused("GET", "/users/userroles") == (3090, 403)
    assert await device.is_valid() is False
    assert await device.refused("GET", "/users/userroles") == (3064, 401)


@pytest.mark.parametrize("policy", ["newest_wins", "block_second"])
async def test_a_login_does_not_outlive_a_ban_of_the_same_moment(
    device: Device, studio: Device, definition: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """The ban comes when the login is committed, and its session is not open yet."""
    core: Core = device.game.core
    reload(device.game, definition, app_toml(login=f'{LOGIN}multiple_logins = "{policy}"\n'))
    user = await device.register()
    step = "open" if policy == "newest_wins" else "confirm"
    original = getattr(core.sessions, step)

    async def after_ban(*args: Any) -> Any:
        monkeypatch.undo()
        await studio.put(f"/users/{user['objectId']}/status", {"userStatus": "DISABLED"})
        return await original(*args)

    monkeypatch.setattr(core.sessions, step, after_ban)
    assert await device.fails(user["email"]) == (3000, 403)
    assert await core.sessions.list(APP_ID, user["objectId"]) == []


# Passwords and mail


async def test_servers_verify_passwords(device: Device, studio: Device) -> None:
    await device.user()
    right = {"password": PASSWORD}
    assert await device.refused("POST", "/users/verifypassowrd", right) == (3122, 403)
    assert await studio.refused("POST", "/users/verifypassowrd", right) == (3028, 401)
    studio.token = device.token
    assert await studio.refused("POST", "/users/verifypassowrd", {}) == (3038, 400)
    assert await studio.post("/users/verifypassowrd", right) == {"valid": True}
    for _ in range(5):
        assert await studio.post("/users/verifypassowrd", {"password": "wrong"}) == {"valid": False}
    assert await studio.refused("POST", "/users/verifypassowrd", right) == (3036, 423)
    studio.token = "nonsense"
    assert await studio.refused("POST", "/users/verifypassowrd", right) == (3064, 401)


async def test_a_restored_password(game: Game, device: Device) -> None:
    user = await device.user()
    assert await device.get(f"/users/restorepassword/{user['email']}") is None
    page = await link_in_mail(game, "/reset/")
    response = await game.http.post(page, content=b"password=another")
    assert response.status_code == 200
    assert await device.is_valid() is False
    await device.log_in(user["email"], "another")


async def test_whose_password_cannot_be_restored(game: Game, device: Device, definition: Path) -> None:
    path = "/users/restorepassword/nobody@example.com"
    assert await device.refused("GET", path) == (3020, 404)
    reload(game, definition, app_toml(others="\n[login]\nconceal_accounts = true\n"))
    assert await device.get(path) is None
    reload(game, definition, app_toml("restore_mail = false"))
    assert await device.refused("GET", path) == (3020, 404)
    reload(game, definition, app_toml('identity = "nickname"'))
    nickname = game.unique("Ada")
    await device.post("/users/register", {"nickname": nickname, "password": PASSWORD})
    assert await device.refused("GET", f"/users/restorepassword/{nickname}") == (3020, 404)
    assert await mails(game) == []


async def test_an_address_is_proven_before_the_first_login(
    game: Game, device: Device, definition: Path
) -> None:
    reload(game, definition, app_toml(others="\n[login]\nvalidated_email_only = true\n"))
    user = await device.register()
    assert user["userStatus"] == "EMAIL_CONFIRMATION_PENDING"
    assert await device.fails(user["email"]) == (3087, 403)
    page = await link_in_mail(game, "/validate/")
    assert (await game.http.post(page)).status_code == 200
    assert (await device.log_in(user["email"]))["userStatus"] == "ENABLED"


async def test_a_confirmation_is_mailed_again(game: Game, device: Device) -> None:
    assert await device.post("/users/resendconfirmation/nobody@example.com") == {}
    assert await mails(game) == []
    user = await device.register()
    assert await device.post(f"/users/resendconfirmation/{user['email']}") == {}
    assert await link_in_mail(game, "/validate/")


async def test_a_confirmation_link_for_servers(game: Game, device: Device, studio: Device) -> None:
    user = await device.register()
    path = f"/users/createEmailConfirmationURL/{user['email']}"
    assert await device.refused("POST", path) == (3054, 403)
    url = (await studio.post(path))["confirmationURL"]
    assert url.startswith(game.core.public_url)
    response = await game.http.post(url.removeprefix(game.core.public_url))
    assert response.status_code == 200
    missing = "/users/createEmailConfirmationURL/nobody@example.com"
    assert await studio.refused("POST", missing) == (3057, 404)


# Addresses


async def test_a_domain_stands_for_id_and_key(game: Game, device: Device) -> None:
    user = await device.user()
    at_home = {"Host": "api.game.test", USER_TOKEN: device.token}
    response = await game.http.get("/api/users/userroles", headers=at_home)
    assert response.json() == ["AuthenticatedUser"]
    body = {"user": user["email"], "roleName": "Guard"}
    response = await game.http.post("/api/users/assignRole", json=body, headers=at_home)
    assert response.json()["code"] == 2011
    response = await game.http.get("/api/info", headers={"Host": "elsewhere.test"})
    assert (response.status_code, response.json()["code"]) == (400, 2002)
    response = await game.http.get("/api/users/logout", headers={"Host": "elsewhere.test"})
    assert response.json()["code"] == 3007


async def test_browsers_of_any_page_may_call(device: Device) -> None:
    response = await device.game.http.options(
        f"{BASE}/users/login",
        headers={
            "Origin": "https://game.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,user-token",
        },
    )
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    allowed = {name.strip().lower() for name in response.headers["access-control-allow-headers"].split(",")}
    assert {"content-type", USER_TOKEN} <= allowed
    assert {"GET", "POST", "PUT"} <= set(response.headers["access-control-allow-methods"].split(", "))
    response = await device.send("GET", "/info")
    assert response.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/users/nothing"), ("POST", "/users/logout"), ("DELETE", "/users/x"), ("GET", "/data/Orders/1")],
)
async def test_what_there_is_not_is_said_in_the_same_form(device: Device, method: str, path: str) -> None:
    assert await device.refused(method, path) == (404, 404)


@pytest.mark.parametrize(("method", "path"), [(m, path) for m, path, _ in CALLS if "{" in path])
@pytest.mark.parametrize("part", ["%00", "%FF", "a%2Fb", "x" * 5000, "%F0%9F%9A%80", "' OR 1=1 --"])
async def test_strange_addresses_are_refused_or_find_nothing(
    device: Device, studio: Device, method: str, path: str, part: str
) -> None:
    await device.user()
    for caller in (device, studio):
        path = re.sub(r"\{[^}]*\}", part, path)
        response = await caller.send(method, path, {"userStatus": "DISABLED"})
        assert response.status_code < 500
        assert response.status_code != 502
        assert response.content == b"" or response.json() is not None


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in CALLS])
async def test_every_call_needs_an_application(game: Game, method: str, path: str) -> None:
    stranger = Device(game, "/UNKNOWN/js-key")
    path = path.replace(":path", "").replace("{", "").replace("}", "")
    expected = 3007 if path == "/users/logout" else 2002
    assert await stranger.refused(method, path, {}) == (expected, 400)


async def test_answers_are_kept_by_no_cache(device: Device) -> None:
    for path in ("/info", "/users/userroles", "/users/nothing"):
        assert (await device.send("GET", path)).headers["cache-control"] == "no-store"


# The definition


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[backendless]\nidentity = "password"', "backendless.identity"),
        ('[backendless]\nidentity = "objectId"', "backendless.identity"),
        ('[backendless]\nroles = ["AuthenticatedUser"]', "backendless.roles[0]"),
        ("[backendless.properties.created]", "backendless.properties.created"),
        ('[backendless.properties.email]\ntype = "integer"', "backendless.properties.email"),
        ("[backendless.properties.email]\nmax_length = 257", "backendless.properties.email"),
        ("[backendless.login]\nmost = 2", "backendless.login.most"),
        ("[backendless.login]\nlife_seconds = 2592001", "backendless.login.life_seconds"),
        ('[backendless.versions.a]\napplication_id = "A"', "backendless.versions.a.keys"),
        (
            '[backendless.versions.a]\napplication_id = "A"\nkeys = { js = "x", rest = "x" }',
            "backendless.versions.a.keys.rest",
        ),
        (
            '[backendless.versions.a]\napplication_id = "A"\nkeys = { server = "x" }',
            "backendless.versions.a.keys.server",
        ),
        (
            '[backendless.versions.a]\napplication_id = "A"\nserver_key = "short"',
            "backendless.versions.a.server_key",
        ),
        (
            """\
[backendless.versions]
a = { application_id = "A", keys = { js = "x" } }
b = { application_id = "A", keys = { js = "y" } }""",
            "backendless.versions.b",
        ),
    ],
)
def test_mistakes_in_a_definition_are_named(definition: Path, text: str, key: str) -> None:
    definition.write_text(f"{APP_TOML}\n{text}\n")
    problems = load_apps(definition.parents[1], registry().sections()).problems
    assert [problem.key for problem in problems] == [key]


def test_the_sample_shows_settings_that_work(definition: Path) -> None:
    sample = registry().samples()["backendless"]
    wanted = re.sub(r"^#(?! )", "", sample, flags=re.MULTILINE)
    definition.write_text(APP_TOML + wanted)
    loaded = load_apps(definition.parents[1], registry().sections())
    assert not loaded.problems
    app = loaded.find(APP_ID)
    assert app is not None
    [version] = app.section(registry().sections()["backendless"]).versions.values()  # type: ignore[attr-defined]
    assert version.kind_of("js-key") == "js"
