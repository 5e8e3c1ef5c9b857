import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, select

from gameserver.admin import actions
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.players import termination
from gameserver.players.devices import DEVICES_MAX, devices
from gameserver.sessions import One
from gameserver.storage import Unavailable
from tests.conftest import APP_ID, APP_TOML, Client, Game

PUSH = "pushNotification"
OF_PLAYER = (
    select(devices.c.kind, devices.c.token)
    .where(devices.c.profile_id == bindparam("profile"))
    .order_by(devices.c.registered_ms, devices.c.device)
)


@pytest.fixture
def forgetting(apps_folder: Path) -> None:
    """The app forgets devices at logouts through the dispatcher and by the operator."""
    policy = '[pushNotification]\nforget_at_logout = ["dispatcher", "cli"]\n[session]\nmost = 3\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + policy)


async def registered(game: Game, player: Client) -> list[tuple[str, str]]:
    async with game.core.database.read() as tx:
        return [(row[0], row[1]) for row in await tx.all(OF_PLAYER, profile=player.profile_id)]


async def register(game: Game, player: Client) -> str:
    """Register a new device; returns its token."""
    token = game.unique("token")
    assert await player.call(PUSH, "REGISTER", deviceType="IOS", deviceToken=token) is None
    return token


class Away:
    """A database that cannot be written, for so many tries."""

    def __init__(self, game: Game, monkeypatch: pytest.MonkeyPatch, tries: int) -> None:
        self.tries = tries
        real = game.core.database.write

        @asynccontextmanager
        async def write(*payer: Any) -> AsyncIterator[Any]:
            if self.tries:
                self.tries -= 1
                raise Unavailable("away for the test")
            async with real(*payer) as tx:
                yield tx

        monkeypatch.setattr(game.core.database, "write", write)
        monkeypatch.setattr(termination, "RETRY_SECONDS", 0.001)


# Registering


async def test_a_device_is_registered_once(game: Game) -> None:
    player = await game.player()
    token = game.unique("t")
    for spelling in (
        {"deviceType": "IOS", "deviceToken": token},
        {"platform": "ios", "token": token},
        {"device": "IOS", "deviceToken": token},
    ):
        assert await player.call(PUSH, "REGISTER", **spelling) is None
    assert await registered(game, player) == [("IOS", token)]


async def test_a_device_moves_to_whoever_registers_it(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    shared, own = await register(game, ada), await register(game, ada)
    await bob.call(PUSH, "REGISTER", deviceType="IOS", deviceToken=shared)
    assert await registered(game, ada) == [("IOS", own)]
    assert await registered(game, bob) == [("IOS", shared)]
    await ada.call(PUSH, "DEREGISTER", deviceType="IOS", deviceToken=shared)  # no longer hers to take away
    assert await registered(game, bob) == [("IOS", shared)]


async def test_the_oldest_device_makes_room(game: Game) -> None:
    player = await game.player()
    tokens = []
    for _ in range(DEVICES_MAX + 2):
        tokens.append(await register(game, player))
        game.clock.advance(1)
    assert [token for _, token in await registered(game, player)] == tokens[2:]


async def test_devices_are_deregistered(game: Game) -> None:
    player, other = await game.player(), await game.player()
    first, second, third = [await register(game, player) for _ in range(3)]
    kept = await register(game, other)
    assert await player.call(PUSH, "DEREGISTER", deviceType="ios", deviceToken=second) is None
    assert await player.call(PUSH, "DEREGISTER", deviceType="ANG", deviceToken=first) is None  # another one
    assert {token for _, token in await registered(game, player)} == {first, third}
    assert await player.call(PUSH, "DEREGISTER_ALL") is None
    assert await player.call(PUSH, "DEREGISTER_ALL") is None
    assert await registered(game, player) == []
    assert await registered(game, other) == [("IOS", kept)]


@pytest.mark.parametrize("operation", ["REGISTER", "DEREGISTER"])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"deviceType": "IOS", "deviceToken": ""}, 40419),
        ({"deviceType": "IOS", "deviceToken": "a\nb"}, 40419),
        ({"deviceType": "IOS", "deviceToken": "x" * 4097}, 40419),
        ({"deviceType": "", "deviceToken": "x"}, 40557),
        ({"deviceType": "I OS", "deviceToken": "x"}, 40557),
        ({"deviceType": "Ä", "deviceToken": "x"}, 40557),
        ({"deviceType": "I" * 33, "deviceToken": "x"}, 40557),
        ({"deviceType": "IOS"}, 40358),
        ({"deviceToken": "x"}, 40358),
        ({"deviceType": 1, "deviceToken": "x"}, 40359),
    ],
)
async def test_what_is_no_device_is_refused(
    game: Game, operation: str, data: dict[str, Any], code: int
) -> None:
    player = await game.player()
    refusal = await player.refused(PUSH, operation, **data)
    assert (refusal.status, refusal.reason_code) == (400, code)
    assert await registered(game, player) == []


@pytest.mark.parametrize("operation", ["REGISTER", "DEREGISTER", "DEREGISTER_ALL"])
async def test_a_session_is_needed(game: Game, operation: str) -> None:
    refusal = await game.client().refused(PUSH, operation, deviceType="IOS", deviceToken="x")
    assert (refusal.status, refusal.reason_code) == (403, 40304)


async def test_a_server_registers_for_a_player(game: Game) -> None:
    player = await game.player()
    await game.server.call(PUSH, "REGISTER", player.profile_id, deviceType="WEB", deviceToken="by-a-server")
    assert await registered(game, player) == [("WEB", "by-a-server")]


async def test_a_deleted_player_has_no_devices(game: Game) -> None:
    player = await game.player()
    await register(game, player)
    await player.call("playerState", "FULL_PLAYER_RESET")
    assert await registered(game, player) == []


# The end of the session


async def test_a_logout_leaves_devices_unless_the_app_wants_otherwise(game: Game) -> None:
    player = await game.player()
    token = await register(game, player)
    await player.call("playerState", "LOGOUT")
    await game.core.endings.settled()
    assert await registered(game, player) == [("IOS", token)]


@pytest.mark.usefixtures("forgetting")
async def test_a_logout_takes_the_devices_of_its_session(game: Game) -> None:
    name = game.unique("u")
    phone, tablet = game.client(), game.client()
    await phone.log_in("Anonymous", name)
    await tablet.log_in("Anonymous", name, profileId=phone.profile_id)
    await register(game, phone)
    kept = await register(game, tablet)
    await phone.call("playerState", "LOGOUT")
    assert await registered(game, phone) == [("IOS", kept)]


@pytest.mark.usefixtures("forgetting")
async def test_so_does_the_end_of_all_sessions(game: Game) -> None:
    player, other = await game.player(), await game.player()
    await register(game, player)
    await game.server.call(PUSH, "REGISTER", player.profile_id, deviceType="WEB", deviceToken="unbound")
    kept = await register(game, other)
    await actions.session_end(game.server_app, APP_ID, profile=player.profile_id)
    assert await registered(game, player) == []
    assert await registered(game, other) == [("IOS", kept)]
    await actions.session_end(game.server_app, APP_ID, all_of_app=True)
    assert await registered(game, other) == []


@pytest.mark.usefixtures("forgetting")
async def test_a_session_that_yields_to_a_login_takes_its_devices(game: Game) -> None:
    name = game.unique("u")
    clients = []
    for _ in range(4):  # three are allowed at once
        clients.append(game.client())
        await clients[-1].log_in("Anonymous", name, profileId=clients[0].profile_id)
        game.clock.advance(1)
        if len(clients) == 1:
            await register(game, clients[0])
            assert len(await registered(game, clients[0])) == 1
    assert await registered(game, clients[0]) == []


@pytest.mark.usefixtures("forgetting")
async def test_a_logout_does_not_wait_for_sql_but_sql_catches_up(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    await register(game, player)
    monkeypatch.setattr(termination, "PATIENCE_SECONDS", 0)
    away = Away(game, monkeypatch, tries=3)
    assert await player.call("playerState", "LOGOUT") is None
    assert (await player.refused("playerState", "READ")).reason_code == 40304
    await game.core.endings.settled()
    assert away.tries == 0
    assert await registered(game, player) == []


@pytest.mark.usefixtures("forgetting")
async def test_what_is_registered_after_the_end_stays(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    name = game.unique("u")
    player, again = game.client(), game.client()
    await player.log_in("Anonymous", name)
    await register(game, player)
    monkeypatch.setattr(termination, "PATIENCE_SECONDS", 0)
    real, held = game.core.database.write, asyncio.Event()

    @asynccontextmanager
    async def write(*payer: Any) -> AsyncIterator[Any]:
        monkeypatch.setattr(game.core.database, "write", real)
        await held.wait()
        raise Unavailable("away for the test")
        yield

    monkeypatch.setattr(game.core.database, "write", write)
    await actions.session_end(game.server_app, APP_ID, profile=player.profile_id)
    await asyncio.sleep(0)  # the follow-up takes its turn, and waits
    game.clock.advance(1)
    await again.log_in("Anonymous", name, profileId=player.profile_id)
    kept = await register(game, again)
    held.set()
    await game.core.endings.settled()
    assert await registered(game, player) == [("IOS", kept)]


@pytest.mark.usefixtures("forgetting")
async def test_a_registration_does_not_outlive_a_logout_that_overtook_it(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    real = game.core.database.write

    @asynccontextmanager
    async def write(*payer: Any) -> AsyncIterator[Any]:
        async with real(*payer) as tx:
            yield tx
        monkeypatch.setattr(game.core.database, "write", real)
        await game.core.sessions.end(One(session_id=player.session_id), "logged_out")

    monkeypatch.setattr(game.core.database, "write", write)
    await player.call(PUSH, "REGISTER", deviceType="IOS", deviceToken=game.unique("t"))
    assert await registered(game, player) == []


def test_a_setting_that_names_no_face_is_refused(apps_folder: Path) -> None:
    policy = '[pushNotification]\nforget_at_logout = ["nowhere"]\n'
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + policy)
    problems = load_apps(apps_folder, registry().sections()).problems
    assert [problem.key for problem in problems] == ["pushNotification.forget_at_logout[0]"]
