"""virtualCurrency: balances of parents and peers, and what states tell of them."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from tests.conftest import Game
from tests.services.relatives import (
    KEYS,
    MASTER,
    ROOT,
    apps_folder,
    identity,
    parent,
    to_child,
    to_parent,
)

__all__ = ["apps_folder"]  # a fixture


def counts(**given: int) -> dict[str, int]:
    return {"purchased": 0, "balance": 0, "consumed": 0, "awarded": 0, "revoked": 0, **given}


async def test_currencies_of_parents(game: Game) -> None:
    root = game.client(ROOT, KEYS[ROOT])
    await root.log_in()
    await to_child(root, gameId=MASTER)
    client, child = root, (await to_child(root))["profileId"]
    server = game.server
    given = await server.call("virtualCurrency", "AWARD_PARENT_VC", child, vcId="gems", vcAmount=9)
    assert given == {"currencyMap": {"gems": counts(awarded=9, balance=9)}}
    top = {"levelName": "top"}
    await server.call("virtualCurrency", "AWARD_PARENT_VC", child, vcId="stars", vcAmount=5, **top)
    await server.call("virtualCurrency", "CONSUME_PARENT_VC", child, vcId="stars", vcAmount=2, **top)
    stars = {"stars": counts(awarded=5, consumed=2, balance=3)}
    assert (await client.call("virtualCurrency", "GET_PARENT_VC", **top)) == {"currencyMap": stars}
    own = await client.call("virtualCurrency", "GET_PLAYER_VC")
    assert own["parentCurrency"] == {"Master": given["currencyMap"], "Top": stars}
    assert (await client.call("playerState", "READ"))["parentCurrency"] == own["parentCurrency"]
    taken = await server.call("virtualCurrency", "REVOKE_PARENT_VC", child, vcId="gems", vcAmount=10)
    assert taken["currencyMap"]["gems"]["balance"] == -1
    assert await server.call("virtualCurrency", "RESET_PARENT_VC", child, levelName="Master") is None
    one = await client.call("virtualCurrency", "GET_PARENT_VC", vcId="gems", levelName="Master")
    assert one == {"currencyMap": {"gems": counts()}}
    types = await server.call("virtualCurrency", "SYS_GET_PARENT_CURRENCY_TYPES")
    assert types == {"parentCurrencies": {"Master": ["gems"], "Top": ["stars"]}}


async def test_a_state_tells_of_all_levels_whatever_was_given_there(game: Game) -> None:
    root = game.client(ROOT, KEYS[ROOT])
    top = (await root.log_in())["profileId"]
    master = await to_child(root, gameId=MASTER)
    assert (master["parentProfileId"], master["parentCurrency"]) == (top, {"Top": {"stars": counts()}})
    child = await to_child(root)
    nothing = {"Master": {"gems": counts()}, "Top": {"stars": counts()}}
    assert (child["parentProfileId"], child["parentCurrency"]) == (master["profileId"], nothing)
    for state in (
        await root.call("playerState", "READ"),
        await root.call("virtualCurrency", "GET_PLAYER_VC"),
    ):
        assert state["parentCurrency"] == nothing
    change = {"vcId": "stars", "vcAmount": 5, "levelName": "Top"}
    await game.server.call("virtualCurrency", "AWARD_PARENT_VC", child["profileId"], **change)
    await to_parent(root)
    again = await to_child(root, profileId=child["profileId"], forceCreate=False)
    assert again["parentCurrency"] == nothing | {"Top": {"stars": counts(awarded=5, balance=5)}}


async def test_a_login_tells_of_a_fresh_parent_and_of_peers(game: Game) -> None:
    client, device = game.client(), game.unique("device")
    alone = await client.log_in(external_id=device)
    assert (alone["parentProfileId"], alone["parentCurrency"], alone["peerCurrency"]) == (None, {}, {})
    attached = await client.call("identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(game.unique("ada")))
    await client.call("identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(game.unique("ada")))
    login = await client.log_in(external_id=device, profileId=alone["profileId"])
    assert login["parentProfileId"] == attached["profileId"]
    assert login["parentCurrency"] == {"Master": {"gems": counts()}}
    assert (list(login["peerProfileIds"]), login["peerCurrency"]) == (
        ["arcade"],
        {"arcade": {"tickets": counts()}},
    )


async def test_a_link_to_an_app_that_is_no_longer_the_parent_tells_of_nothing(
    game: Game, apps_folder: Path
) -> None:
    client = await game.player()
    await client.call("identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(game.unique("ada")))
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text().replace(f'app = "{MASTER}"', f'app = "{ROOT}"'))
    apps = load_apps(apps_folder, game.server_app.registry.sections())
    assert not apps.problems
    game.apps.replace(apps)
    state = await client.call("playerState", "READ")
    assert (state["parentProfileId"], state["parentCurrency"]) == (None, {})
    assert (await client.call("virtualCurrency", "GET_PLAYER_VC"))["parentCurrency"] == {}


async def test_currencies_of_peers(game: Game) -> None:
    client, server = await game.player(), game.server
    await client.call("identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(game.unique("ada")))
    me = client.profile_id
    for key in ("peer", "peerCode"):
        change: dict[str, Any] = {"vcId": "tickets", "vcAmount": 4, key: "arcade"}
        await server.call("virtualCurrency", "AWARD_PEER_VC", me, **change)
    await server.call("virtualCurrency", "CONSUME_PEER_VC", me, vcId="tickets", vcAmount=1, peer="arcade")
    revoked = await server.call(
        "virtualCurrency", "REVOKE_PEER_VC", me, vcId="tickets", vcAmount=1, peerCode="arcade"
    )
    left = {"tickets": counts(awarded=8, consumed=1, revoked=1, balance=6)}
    assert revoked == {"currencyMap": left}
    assert await client.call("virtualCurrency", "GET_PEER_VC", peerCode="arcade") == {"currencyMap": left}
    assert await client.call("virtualCurrency", "GET_PARENT_VC", peer="arcade") == {"currencyMap": left}
    assert (await client.call("virtualCurrency", "GET_PLAYER_VC"))["peerCurrency"] == {"arcade": left}
    assert (await client.call("playerState", "READ"))["peerCurrency"] == {"arcade": left}
    assert await server.call("virtualCurrency", "RESET_PEER_VC", me, peer="arcade") is None
    assert (await client.call("virtualCurrency", "GET_PEER_VC", peer="arcade"))["currencyMap"] == {
        "tickets": counts()
    }
    types = await server.call("virtualCurrency", "SYS_GET_PEER_CURRENCY_TYPES")
    assert types == {"peerCurrencies": {"arcade": ["tickets"], "strict": ["tickets"]}}


@pytest.mark.parametrize("what", ["PARENT", "PEER"])
async def test_currencies_elsewhere_need_a_profile_there(game: Game, what: str) -> None:
    client, server = await game.player(), game.server
    name = {"PARENT": "levelName", "PEER": "peer"}[what]
    right, none, unknown = {"PARENT": ("Master", 40380, 40377), "PEER": ("arcade", 40519, 40492)}[what]
    for place, code in ((right, none), ("nowhere", unknown)):
        change: dict[str, Any] = {"vcId": "gems", "vcAmount": 1, name: place}
        for operation in ("AWARD", "CONSUME", "REVOKE", "RESET"):
            refusal = await server.refused(
                "virtualCurrency", f"{operation}_{what}_VC", client.profile_id, **change
            )
            assert refusal.reason_code == code
        read = await client.refused("virtualCurrency", f"GET_{what}_VC", **{name: place})
        assert read.reason_code == code
    attach = {
        "PARENT": ("ATTACH_PARENT_WITH_IDENTITY", identity(game.unique("ada"))),
        "PEER": ("ATTACH_PEER_PROFILE", identity(game.unique("ada"), peer="arcade")),
    }[what]
    await client.call("identity", attach[0], **attach[1])
    here = {name: right, "vcAmount": 1}
    known = {"PARENT": "gems", "PEER": "tickets"}[what]
    for operation in ("AWARD", "CONSUME", "REVOKE"):
        change = {**here, "vcId": "coins"}  # of the app itself, not of the other one
        refusal = await server.refused(
            "virtualCurrency", f"{operation}_{what}_VC", client.profile_id, **change
        )
        assert refusal.reason_code == 40546
    poor = await server.refused(
        "virtualCurrency", f"CONSUME_{what}_VC", client.profile_id, **here, vcId=known
    )
    assert poor.reason_code == 40660
    client_says = await client.refused("virtualCurrency", f"AWARD_{what}_VC", **here, vcId=known)
    assert client_says.status == 403


async def test_a_packet_that_is_rolled_back_rolls_back_the_parents_balances(game: Game) -> None:
    client = await parent(game)
    child = (await to_child(client))["profileId"]
    server = game.server
    await server.refused("virtualCurrency", "AWARD_PARENT_VC", child, vcId="gems", vcAmount=2**53 + 1)
    await server.call("virtualCurrency", "AWARD_PARENT_VC", child, vcId="gems", vcAmount=2**53)
    await server.refused("virtualCurrency", "AWARD_PARENT_VC", child, vcId="gems", vcAmount=1)
    read = await client.call("virtualCurrency", "GET_PARENT_VC")
    assert read["currencyMap"]["gems"]["balance"] == 2**53
