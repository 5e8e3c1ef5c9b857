"""What tests of logins share."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.players import links
from gameserver.players.mail import Letter
from tests.conftest import APP_TOML, Client, Game, Refusal

SERVICE = "authenticationV2"

Define = Callable[..., None]


@pytest.fixture(autouse=True)
def own_address(game: Game) -> None:
    """Each test calls from its own network: failures are counted for it, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


@pytest.fixture
def define(game: Game, apps_folder: Path) -> Define:
    """Gives the test app further settings, as an edited definition would."""

    def define(settings: str = "", **files: str) -> None:
        for name, content in files.items():
            (apps_folder / "test" / name.replace("__", ".")).write_text(content)
        (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
        apps = load_apps(apps_folder, game.server_app.registry.sections())
        assert not apps.problems, apps.problems
        game.apps.replace(apps)

    return define


class Postbox:
    """Takes the place of the mail server."""

    def __init__(self) -> None:
        self.letters: asyncio.Queue[Letter] = asyncio.Queue()

    async def send(self, _: Any, letter: Letter) -> None:
        await self.letters.put(letter)

    async def next(self) -> Letter:
        async with asyncio.timeout(10):
            return await self.letters.get()

    def link(self, letter: Letter) -> str:
        [found] = [word for word in letter.text.split() if word.startswith("http")]
        return found


@pytest.fixture
def postbox(game: Game, monkeypatch: pytest.MonkeyPatch) -> Postbox:
    box = Postbox()
    monkeypatch.setattr(game.core, "mailer", box)
    return box


async def refused_login(
    client: Client, type_: str, external_id: str, token: str = "", **data: Any
) -> Refusal:
    try:
        answer = await client.log_in(type_, external_id, token, **data)
    except Refusal as refusal:
        return refusal
    raise AssertionError(f"the login was not refused: {answer}")


def outcome(refusal: Refusal) -> tuple[int, int]:
    return refusal.status, refusal.reason_code


async def mails_are_out() -> None:
    """Waits for mail that is on its way."""
    while links._posting:
        await asyncio.gather(*links._posting)


async def come_back(game: Game, device: str, profile_id: str) -> Client:
    """What the SDKs' wrappers do when a player returns."""
    client = game.client()
    await client.log_in("Anonymous", device, profileId=profile_id, anonymousId=device, forceCreate=False)
    assert client.profile_id == profile_id
    return client


async def outcome_of_return(game: Game, device: str, profile_id: str) -> tuple[int, int]:
    try:
        await come_back(game, device, profile_id)
    except Refusal as refusal:
        return outcome(refusal)
    return 200, 0
