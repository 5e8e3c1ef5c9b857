"""Backendless REST: its sessions are those of the other faces, and may be looked at and ended."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.players import audit, users
from gameserver.rpc import Core
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import Unavailable
from tests.conftest import APP_ID, Game
from tests.faces.backendless.device import (
    APPLICATION,
    JS,
    LOGIN,
    PASSWORD,
    USER_TOKEN,
    Device,
    app_toml,
    reload,
)

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
    response = await device.send("GET", "/users/logout")
    assert (response.status_code, response.content) == (200, b""), "who sends no token is logged out"


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
    assert await device.refused("GET", "/users/userroles") == (3064, 401)
    response = await device.send("GET", "/users/logout")
    assert (response.status_code, response.content) == (200, b""), "logged out, which is what was asked for"
    assert await device.fails(user["email"]) == (3090, 403)
    assert await device.fails(user["email"], "wrong") == (3003, 401), "only the owner learns of it"
    assert (await studio.get(f"/data/Users/{user['objectId']}"))["userStatus"] == "DISABLED"
    await studio.put(path, {"userStatus": "ENABLED"})
    assert (await device.log_in(user["email"]))["userStatus"] == "ENABLED"
    assert await studio.refused("PUT", path, {"userStatus": "GONE"}) == (400, 400)
    assert await studio.refused("PUT", "/users/nobody/status", {"userStatus": "DISABLED"}) == (3030, 404)


async def test_a_user_whom_the_operator_disabled_is_told_so(
    game: Game, device: Device, studio: Device
) -> None:
    user = await device.user()
    await actions.player_disable(game.server_app, APP_ID, user["objectId"])
    assert await device.fails(user["email"]) == (3000, 403)
    assert await studio.refused("POST", "/users/login", {"objectId": user["objectId"]}) == (3000, 403)
    assert (await device.send("GET", "/users/logout")).status_code == 200
    await actions.player_enable(game.server_app, APP_ID, user["objectId"])
    await studio.put(f"/users/{user['objectId']}/status", {"userStatus": "DISABLED"})
    assert await device.fails(user["email"]) == (3090, 403)
    assert await studio.refused("POST", "/users/login", {"objectId": user["objectId"]}) == (3090, 403)


@pytest.mark.parametrize(("through", "code"), [("backendless", 3090), (None, 3000)])
async def test_a_session_of_a_disabled_user_is_refused_and_ended(
    device: Device, through: str | None, code: int
) -> None:
    user = await device.user()
    async with device.game.core.database.write() as tx:  # as a crash leaves it: the sessions are not ended
        await users.set_disabled(tx, APP_ID, user["objectId"], disabled=True, through=through)
    assert await device.refused("GET", "/users/userroles") == (code, 403)
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
    assert await device.fails(user["email"]) == (3090, 403)
    assert await core.sessions.list(APP_ID, user["objectId"]) == []


async def test_the_requests_of_a_user_count_with_their_packets(
    game: Game, device: Device, definition: Path
) -> None:
    reload(game, definition, f"{app_toml()}\n[quotas]\npackets_per_minute = 3\n")
    await device.user()
    client = game.client()
    client.session_id = device.token
    await client.call("playerState", "READ")
    for _ in range(2):
        await device.get("/users/userroles")
    assert await device.refused("GET", "/users/userroles") == (429, 429)
    assert (await client.refused("playerState", "READ")).reason_code == 40823
    await device.get("/users/logout")  # whoever wants to go may go
    assert await device.is_valid() is False
