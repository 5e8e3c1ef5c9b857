"""Refusals of operations that reach into other apps: parents, children, peers, and what players own there."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.domain.economy.wallet import AMOUNT_MAX, BalanceOutOfRange
from gameserver.players.accounts import (
    AccountDisabled,
    EmailNotValidated,
    InvalidEmail,
    UnknownAuthenticationType,
    WeakPassword,
    WrongCredentials,
)
from gameserver.players.external import UnknownExternalLogin
from gameserver.players.lockout import LockedOut
from gameserver.players.passwords import Busy
from gameserver.players.profile_links import CHILDREN_MAX, InvalidPeer
from gameserver.players.providers import ProviderUnavailable, UnableToValidate, UnknownAuthenticationError
from gameserver.players.quotas import QuotaReached
from gameserver.services.identity.base import UnsupportedType
from gameserver.wire.errors import DisabledApp, GameError, RateLimited
from tests.conftest import APP_ID, Game
from tests.services.relatives import (
    ARCADE,
    KEYS,
    MASTER,
    PASSWORD,
    apps_folder,
    disable,
    identity,
    parent,
    to_child,
    to_parent,
)
from tests.stand_ins import stand_in

__all__ = ["apps_folder"]

Define = Callable[[str, str], None]
ELSEWHERE = """
[external.discord]
kind = "discord"
application_id = "99"
[external.silent]
kind = "webhook"
url = "http://127.0.0.1:1/vouch"
secret = "a-secret-of-the-web-service"
"""


@pytest.fixture
def define(game: Game, apps_folder: Path) -> Define:
    """Give an app more settings while it runs, and let peers attach logins of any type."""
    known = {folder: (apps_folder / folder / "app.toml").read_text() for folder in ("master", "arcade")}
    mine = apps_folder / "test" / "app.toml"
    mine.write_text(mine.read_text().replace('types = ["Universal"], ', ""))

    def change(folder: str, text: str) -> None:
        (apps_folder / folder / "app.toml").write_text(known[folder] + text)
        apps = load_apps(apps_folder, game.server_app.registry.sections())
        assert not apps.problems, apps.problems
        game.apps.replace(apps)

    return change


def own_address(game: Game) -> None:
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


@pytest.mark.parametrize(
    ("operation", "folder", "app"),
    [
        ("ATTACH_PARENT_WITH_IDENTITY", "master", MASTER),
        ("ATTACH_PEER_PROFILE", "arcade", ARCADE),
        ("MERGE_PEER_PROFILE", "arcade", ARCADE),
    ],
)
async def test_credentials_are_refused_as_at_a_login_there(
    game: Game,
    define: Define,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    folder: str,
    app: str,
) -> None:
    own_address(game)
    client, name = await game.player(), game.unique("ada")
    mail = f"{name}@example.com"
    makes, more = operation != "MERGE_PEER_PROFILE", {} if folder == "master" else {"peer": "arcade"}
    if not makes:
        await client.call("identity", "ATTACH_PEER_PROFILE", **more, **identity(game.unique("mine")))

    async def refused(kind: type[GameError], **data: Any) -> None:
        asked = {**more, **identity(name, **data)}
        if makes:
            refusal = await client.refused("identity", operation, **asked)
        else:
            refusal = await game.server.refused("identity", operation, client.profile_id, **asked)
        assert refusal.reason_code == kind.reason_code

    there = game.client(app, KEYS[app])
    await there.log_in("Email", mail, PASSWORD)
    if makes:
        define(folder, "[login]\npassword_min_length = 8\n")
        await refused(WeakPassword, authenticationToken="short")
        define(folder, "[quotas]\nnew_players_per_address = 0\n")
        await refused(RateLimited)
    define(folder, "[login]\nvalidated_email_only = true\n")
    await refused(EmailNotValidated, authenticationType="Email", externalId=mail)
    await refused(InvalidEmail, authenticationType="Email", externalId="no address")
    define(folder, "[login]\nenabled = false\n")
    await refused(DisabledApp)
    async with stand_in() as platform:
        platform.weather = "garbage"
        define(folder, f'[providers]\nstand_in = "{platform.url}"\n{ELSEWHERE}')
        await refused(UnknownAuthenticationError, authenticationType="External", externalAuthName="discord")
    await refused(UnsupportedType, authenticationType="Anonymous")
    await refused(UnknownAuthenticationType, authenticationType="Sorcery")
    await refused(UnknownExternalLogin, authenticationType="External", externalAuthName="nobody")
    await refused(UnableToValidate, authenticationType="Steam")
    await refused(ProviderUnavailable, authenticationType="External", externalAuthName="silent")

    async def busy(*_: Any) -> bool:
        raise Busy

    with monkeypatch.context() as patch:
        patch.setattr(game.core.passwords, "verify", busy)
        await refused(RateLimited, authenticationType="Email", externalId=mail)
    await disable(game, app, there.profile_id)
    await refused(AccountDisabled, authenticationType="Email", externalId=mail)
    await game.client(app, KEYS[app]).log_in("Universal", name, PASSWORD)
    for _ in range(5):
        await refused(WrongCredentials, authenticationToken="guess")
    await refused(LockedOut, authenticationToken="guess")


async def test_an_address_makes_no_children_without_end(game: Game, apps_folder: Path) -> None:
    client = await parent(game)
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + "[quotas]\nnew_players_per_address = 0\n")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    refusal = await client.refused("identity", "SWITCH_TO_CHILD_PROFILE", gameId=APP_ID, forceCreate=True)
    assert refusal.reason_code == RateLimited.reason_code


async def test_a_player_makes_no_children_without_end(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await parent(game)
    monkeypatch.setattr("gameserver.players.profile_links.CHILDREN_MAX", 1)
    assert CHILDREN_MAX > 1
    await to_child(client)
    await to_parent(client)
    again = {"gameId": APP_ID, "forceCreate": True}
    refusal = await client.refused("identity", "SWITCH_TO_CHILD_PROFILE", **again)
    assert refusal.reason_code == QuotaReached.reason_code


# Currencies


@pytest.mark.parametrize("where", ["PARENT", "PEER"])
async def test_balances_elsewhere_have_an_end(game: Game, where: str) -> None:
    client, vc_id = await game.player(), "gems" if where == "PARENT" else "tickets"
    attach = "ATTACH_PARENT_WITH_IDENTITY" if where == "PARENT" else "ATTACH_PEER_PROFILE"
    peer = {} if where == "PARENT" else {"peer": "arcade"}
    await client.call("identity", attach, **peer, **identity(game.unique("ada")))
    most: dict[str, Any] = {"vcId": vc_id, "vcAmount": AMOUNT_MAX, **peer}
    for operation in (f"AWARD_{where}_VC", f"REVOKE_{where}_VC"):
        await game.server.call("virtualCurrency", operation, client.profile_id, **most)
        refusal = await game.server.refused("virtualCurrency", operation, client.profile_id, **most)
        assert refusal.reason_code == BalanceOutOfRange.reason_code


async def test_a_peer_that_is_none_has_no_balances(game: Game) -> None:
    refusal = await (await game.player()).refused("virtualCurrency", "GET_PARENT_VC", peer="nowhere")
    assert refusal.reason_code == InvalidPeer.reason_code
