"""Backendless REST: registering and logging in, also as a guest; every code."""

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from gameserver.players.passwords import Passwords
from tests.conftest import Game
from tests.faces.backendless.device import APPLICATION, LOGIN, PASSWORD, USER_TOKEN, Device, app_toml, reload

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
            started = time.process_time()  # of all threads; what else the machine does costs others
            assert await device.fails(login, "wrong") == (3003, 401)
            times.append(time.process_time() - started)
        return min(times)

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
        ("/OLD-APP/old-key", 2002),
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
    assert await studio.refused("POST", "/users/login", by_id) == (3090, 403)


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
