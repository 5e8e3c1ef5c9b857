"""Devices that come back without a password."""

from typing import Any

import jwt
import pytest

from gameserver.players import pairs, profiles
from tests.conftest import APP_ID, Game
from tests.services.logins import (
    Define,
    come_back,
    define,
    outcome,
    outcome_of_return,
    own_address,
    refused_login,
)

__all__ = ["define", "own_address"]  # fixtures


@pytest.mark.parametrize("type_", ["Universal", "Email", "External", "Handoff"])
async def test_after_a_login_of_any_type_its_device_may_come_back(
    game: Game, define: Define, type_: str
) -> None:
    key = "0123456789abcdef0123456789abcdef"
    define(
        '[external.studio]\nkind = "token"\nissuer = "i"\naudience = "a"\n'
        f'algorithm = "HS256"\nkey = "{key}"\n'
    )
    device, player = game.unique("device"), await game.player()
    subject = game.unique("ada")
    vouched = {"iss": "i", "aud": "a", "sub": subject, "exp": game.clock.ms() // 1000 + 60}
    credentials = {
        "Universal": (game.unique("ada"), "secret"),
        "Email": (f"{game.unique('ada')}@example.com", "secret"),
        "External": (subject, jwt.encode(vouched, key)),
    }
    if type_ == "Handoff":
        made = await game.server.call("identity", "CREATE_HANDOFF_ID", player.profile_id)
        credentials["Handoff"] = (made["handoffId"], made["securityToken"])
    client = game.client()
    name: dict[str, Any] = {"externalAuthName": "studio"} if type_ == "External" else {}
    await client.log_in(type_, *credentials[type_], anonymousId=device, **name)
    await client.call("playerState", "LOGOUT")
    again = await come_back(game, device, client.profile_id)
    await again.call("playerState", "READ")


async def test_a_device_is_good_for_each_player_who_used_it(game: Game) -> None:
    device = game.unique("device")
    own = game.client()
    await own.log_in("Anonymous", device, anonymousId=device)
    profiles = [own.profile_id]
    for _ in range(2):
        client = game.client()
        await client.log_in("Universal", game.unique("ada"), "secret", anonymousId=device)
        profiles.append(client.profile_id)
    for profile_id in profiles * 2:
        await come_back(game, device, profile_id)
    stranger, other_device = await game.player(), game.unique("device")
    assert await outcome_of_return(game, device, stranger.profile_id) == (202, 40207)
    assert await outcome_of_return(game, other_device, profiles[1]) == (202, 40206)


async def test_a_refused_login_makes_no_pair(game: Game) -> None:
    device, id_ = game.unique("device"), game.unique("ada")
    ada = game.client()
    await ada.log_in("Universal", id_, "secret")
    await refused_login(game.client(), "Universal", id_, "wrong", anonymousId=device)
    assert await outcome_of_return(game, device, ada.profile_id) == (202, 40206)
    long = await refused_login(game.client(), "Universal", id_, "secret", anonymousId="x" * 257)
    assert outcome(long) == (400, 40660)


async def test_what_old_clients_send_for_no_id_is_none(game: Game) -> None:
    """Whoever knows a player's profile would get in with it, for they all send the same."""
    ada = game.client()
    await ada.log_in("Universal", game.unique("ada"), "secret", anonymousId=pairs.NO_ID)
    assert await outcome_of_return(game, pairs.NO_ID, ada.profile_id) == (403, 40307)
    assert outcome(await refused_login(game.client(), "Anonymous", pairs.NO_ID)) == (403, 40307)


async def test_a_new_password_ends_what_devices_may(game: Game) -> None:
    thief, id_ = game.unique("device"), game.unique("ada")
    ada = game.client()
    await ada.log_in("Universal", id_, "stolen", anonymousId=thief)
    await come_back(game, thief, ada.profile_id)
    async with game.core.database.write() as tx:  # as every change of a password does
        await profiles.raise_epoch(tx, APP_ID, ada.profile_id)
    assert await outcome_of_return(game, thief, ada.profile_id) == (202, 40206)
    await game.client().log_in("Universal", id_, "stolen", anonymousId=thief)
    await come_back(game, thief, ada.profile_id)


async def test_the_devices_of_a_player_are_bounded(game: Game) -> None:
    id_, devices = game.unique("ada"), [game.unique("device") for _ in range(pairs.DEVICES_MAX + 2)]
    client = game.client()
    for device in devices:
        await client.log_in("Universal", id_, "secret", anonymousId=device)
        game.clock.advance(1)
    for device in devices[:2]:
        assert await outcome_of_return(game, device, client.profile_id) == (202, 40206)
    for device in devices[2:]:
        await come_back(game, device, client.profile_id)


async def test_a_known_pair_costs_a_login_nothing(game: Game) -> None:
    id_, device = game.unique("ada"), game.unique("device")
    await game.client().log_in("Universal", id_, "secret")

    async def statements(**data: Any) -> list[str]:
        seen = game.statements()
        await game.client().log_in("Universal", id_, "secret", **data)
        game.core.database.observe = None
        return [kind for kind in seen if kind != "run_many"]

    without = await statements()
    await statements(anonymousId=device)
    assert await statements(anonymousId=device) == without


async def test_the_id_of_a_device_opens_nothing_without_its_profile(game: Game, define: Define) -> None:
    device = game.unique("device")
    first = await game.client().log_in("Anonymous", device)
    for force in (True, False):
        refusal = await refused_login(game.client(), "Anonymous", device, forceCreate=force)
        assert outcome(refusal) == (202, 40209)
    await come_back(game, device, first["profileId"])
    define("[login]\nanonymous_id_alone = true\n")
    assert (await game.client().log_in("Anonymous", device))["profileId"] == first["profileId"]
    unknown = await refused_login(game.client(), "Anonymous", game.unique("device"), forceCreate=False)
    assert outcome(unknown) == (202, 40208)
