"""virtualCurrency, spoken to as clients and servers would."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gameserver.apps import load_apps
from gameserver.domain.economy import wallet
from tests.conftest import Game

SERVICE = "virtualCurrency"
NOTHING = {"purchased": 0, "balance": 0, "consumed": 0, "awarded": 0, "revoked": 0}
PARENT = ["AWARD_PARENT_VC", "CONSUME_PARENT_VC", "REVOKE_PARENT_VC", "RESET_PARENT_VC"]
PEER = ["AWARD_PEER_VC", "CONSUME_PEER_VC", "REVOKE_PEER_VC", "RESET_PEER_VC"]
CHANGE = {"vcId": "coins", "vcAmount": 1}


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps, with two currencies declared."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(
        file.read_text()
        + '[virtualCurrency.currencies.coins]\ntitle = "Coins"\n[virtualCurrency.currencies.gems]\n'
    )
    return apps_folder


def let_clients(game: Game, apps_folder: Path) -> None:
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + "[virtualCurrency]\nclients_may_change = true\n")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))


async def test_awarding_and_consuming(game: Game) -> None:
    player = await game.player()
    answer = await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=100)
    coins = NOTHING | {"balance": 100, "awarded": 100}
    assert answer == {"currencyMap": {"coins": coins, "gems": NOTHING}}
    answer = await game.server.call(SERVICE, "CONSUME_VC", player.profile_id, vcId="coins", vcAmount=100)
    coins |= {"balance": 0, "consumed": 100}
    assert answer == {"currencyMap": {"coins": coins, "gems": NOTHING}}
    expected = {"currencyMap": {"coins": coins}, "parentCurrency": {}, "peerCurrency": {}}
    assert await player.call(SERVICE, "GET_PLAYER_VC", vcId="coins") == expected
    assert (await player.call("playerState", "READ"))["currency"] == {"coins": coins, "gems": NOTHING}


async def test_nobody_pays_more_than_they_have(game: Game) -> None:
    player = await game.player()
    refusal = await game.server.refused(SERVICE, "CONSUME_VC", player.profile_id, **CHANGE)
    assert (refusal.status, refusal.reason_code) == (400, 40660)
    await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=2)
    await game.server.refused(SERVICE, "CONSUME_VC", player.profile_id, vcId="coins", vcAmount=3)
    coins = (await player.call(SERVICE, "GET_PLAYER_VC", vcId=None))["currencyMap"]["coins"]
    assert coins == NOTHING | {"balance": 2, "awarded": 2}


async def test_of_many_who_spend_the_same_coins_some_are_refused(game: Game) -> None:
    player = await game.player()
    await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=5)
    calls = [game.server.call(SERVICE, "CONSUME_VC", player.profile_id, **CHANGE) for _ in range(12)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 5
    coins = (await player.call(SERVICE, "GET_PLAYER_VC"))["currencyMap"]["coins"]
    assert (coins["balance"], coins["consumed"]) == (0, 5)


async def test_a_refused_payment_takes_nothing_of_its_packet_with_it(game: Game, apps_folder: Path) -> None:
    let_clients(game, apps_folder)
    player = await game.player()
    entries = await player.packet(
        (SERVICE, "AWARD_VC", {"vcId": "coins", "vcAmount": 2}),
        (SERVICE, "CONSUME_VC", {"vcId": "coins", "vcAmount": 3}),
        (SERVICE, "CONSUME_VC", {"vcId": "coins", "vcAmount": 1}),
    )
    assert [entry["status"] for entry in entries] == [200, 400, 200]
    assert entries[2]["data"]["currencyMap"]["coins"] == NOTHING | {"balance": 1, "awarded": 2, "consumed": 1}


async def test_clients_may_change_balances_only_where_the_app_says_so(game: Game, apps_folder: Path) -> None:
    player = await game.player()
    for operation, data in (("AWARD_VC", CHANGE), ("CONSUME_VC", CHANGE), ("RESET_PLAYER_VC", {})):
        refusal = await player.refused(SERVICE, operation, **data)
        assert (refusal.status, refusal.reason_code) == (403, 40491)
    let_clients(game, apps_folder)
    await player.call(SERVICE, "AWARD_VC", **CHANGE)
    await player.call(SERVICE, "CONSUME_VC", **CHANGE)
    assert await player.call(SERVICE, "RESET_PLAYER_VC") is None
    assert (await player.refused(SERVICE, "REVOKE_VC", **CHANGE)).reason_code == 40346


async def test_unknown_currencies(game: Game) -> None:
    player = await game.player()
    for operation in ("AWARD_VC", "CONSUME_VC", "REVOKE_VC"):
        refusal = await game.server.refused(SERVICE, operation, player.profile_id, vcId="gold", vcAmount=1)
        assert (refusal.status, refusal.reason_code) == (400, 40546)
        assert "gold" in refusal.message
    assert (await player.call(SERVICE, "GET_PLAYER_VC", vcId="gold"))["currencyMap"] == {}
    everything = {"coins": NOTHING, "gems": NOTHING}
    assert (await player.call(SERVICE, "GET_PLAYER_VC"))["currencyMap"] == everything
    assert (await player.call(SERVICE, "GET_PLAYER_VC", vcId=""))["currencyMap"] == everything


@pytest.mark.parametrize("operation", ["AWARD_VC", "CONSUME_VC", "REVOKE_VC"])
@pytest.mark.parametrize(
    ("amount", "code"),
    [(0, 40660), (-1, 40660), (1.5, 40359), ("1", 40359), (None, 40358), (2**53 + 2, 40660)],
)
async def test_amounts_are_whole_and_positive(game: Game, operation: str, amount: Any, code: int) -> None:
    player = await game.player()
    refusal = await game.server.refused(SERVICE, operation, player.profile_id, vcId="coins", vcAmount=amount)
    assert refusal.reason_code == code


async def test_a_balance_ends_at_what_a_number_can_hold(game: Game) -> None:
    player = await game.player()
    await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=2**53)
    refusal = await game.server.refused(SERVICE, "AWARD_VC", player.profile_id, **CHANGE)
    assert refusal.reason_code == 40660
    await game.server.call(SERVICE, "REVOKE_VC", player.profile_id, vcId="gems", vcAmount=2**53)
    refusal = await game.server.refused(SERVICE, "REVOKE_VC", player.profile_id, vcId="gems", vcAmount=1)
    assert refusal.reason_code == 40660
    coins = (await player.call(SERVICE, "GET_PLAYER_VC"))["currencyMap"]["coins"]
    assert coins["balance"] == coins["awarded"] == 2**53


async def test_what_is_revoked_may_leave_a_debt(game: Game) -> None:
    player = await game.player()
    await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=3)
    answer = await game.server.call(SERVICE, "REVOKE_VC", player.profile_id, vcId="coins", vcAmount=5)
    assert answer["currencyMap"]["coins"] == NOTHING | {"balance": -2, "awarded": 3, "revoked": 5}
    refusal = await game.server.refused(SERVICE, "CONSUME_VC", player.profile_id, **CHANGE)
    assert refusal.reason_code == 40660
    answer = await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=2)
    assert answer["currencyMap"]["coins"]["balance"] == 0


async def test_a_reset_of_balances(game: Game) -> None:
    player = await game.player()
    assert await game.server.call(SERVICE, "RESET_PLAYER_VC", player.profile_id) is None
    await game.server.call(SERVICE, "AWARD_VC", player.profile_id, vcId="coins", vcAmount=3)
    await game.server.call(SERVICE, "REVOKE_VC", player.profile_id, vcId="gems", vcAmount=3)
    assert await game.server.call(SERVICE, "RESET_PLAYER_VC", player.profile_id) is None
    answer = await player.call(SERVICE, "GET_PLAYER_VC")
    assert answer["currencyMap"] == {"coins": NOTHING, "gems": NOTHING}


async def test_a_repeated_packet_awards_once(game: Game, apps_folder: Path) -> None:
    let_clients(game, apps_folder)
    player = await game.player()
    body = player.body((SERVICE, "AWARD_VC", CHANGE))
    first, second = await player.send(body), await player.send(body)
    assert first.content == second.content
    assert (await player.call(SERVICE, "GET_PLAYER_VC"))["currencyMap"]["coins"]["balance"] == 1


async def test_a_data_reset_leaves_currency_and_a_deletion_does_not(game: Game) -> None:
    player = game.client()
    await player.log_in("Universal", "ada", "secret")
    await game.server.call(SERVICE, "AWARD_VC", player.profile_id, **CHANGE)
    await player.call("playerState", "GAME_DATA_RESET")
    assert (await player.call(SERVICE, "GET_PLAYER_VC"))["currencyMap"]["coins"]["balance"] == 1
    gone = player.profile_id
    await player.call("playerState", "FULL_PLAYER_RESET")
    async with game.core.database.read() as tx:
        for table in (wallet.wallets, wallet.entries):
            assert await tx.all(select(table).where(table.c.profile_id == gone)) == []
    assert (await game.server.refused(SERVICE, "GET_PLAYER_VC", gone)).reason_code == 40304
    answer = await player.log_in("Universal", "ada", "secret")
    assert answer["currency"] == {"coins": NOTHING, "gems": NOTHING}


@pytest.mark.parametrize(
    ("operation", "data"), [("AWARD_VC", CHANGE), ("REVOKE_VC", CHANGE), ("GET_PLAYER_VC", {})]
)
async def test_players_that_do_not_exist(game: Game, operation: str, data: dict[str, Any]) -> None:
    assert (await game.server.refused(SERVICE, operation, "nobody", **data)).reason_code == 40304


@pytest.mark.parametrize(
    "operation", ["GET_PLAYER_VC", "GET_PARENT_VC", "GET_PEER_VC", "AWARD_VC", "CONSUME_VC"]
)
async def test_nothing_without_a_session(game: Game, operation: str) -> None:
    assert (await game.client().refused(SERVICE, operation, **CHANGE)).reason_code == 40304


async def test_reading_is_one_statement(game: Game) -> None:
    player = await game.player()
    seen = game.statements()
    await player.call(SERVICE, "GET_PLAYER_VC")
    assert seen == ["all"]


# Types


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("SYS_GET_CURRENCY_TYPES", {"currencies": ["coins", "gems"]}),
        ("SYS_GET_PARENT_CURRENCY_TYPES", {"parentCurrencies": {}}),
        ("SYS_GET_PEER_CURRENCY_TYPES", {"peerCurrencies": {}}),
    ],
)
async def test_types_of_currencies_are_for_servers(game: Game, operation: str, answer: Any) -> None:
    assert await game.server.call(SERVICE, operation) == answer
    player = await game.player()
    assert (await player.refused(SERVICE, operation)).reason_code == 40346


# Parents and peers


async def test_nobody_has_balances_in_a_parent_or_a_peer(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "GET_PARENT_VC", vcId="coins", levelName="Master")
    assert (refusal.status, refusal.reason_code) == (400, 40380)
    assert (await player.refused(SERVICE, "GET_PARENT_VC", vcId=None, levelName=None)).reason_code == 40380
    refusal = await player.refused(SERVICE, "GET_PEER_VC", vcId="coins", peerCode="loot")
    assert (refusal.status, refusal.reason_code) == (400, 40519)
    assert (await player.refused(SERVICE, "GET_PARENT_VC", vcId="coins", peer="loot")).reason_code == 40519


@pytest.mark.parametrize(
    ("operation", "code"), [*((name, 40380) for name in PARENT), *((name, 40519) for name in PEER)]
)
async def test_nobody_changes_balances_in_a_parent_or_a_peer(game: Game, operation: str, code: int) -> None:
    player = await game.player()
    data = {**CHANGE, "levelName": "Master", "peer": "loot", "peerCode": "loot"}
    refusal = await game.server.refused(SERVICE, operation, player.profile_id, **data)
    assert (refusal.status, refusal.reason_code) == (400, code)
    assert (await player.refused(SERVICE, operation, **data)).reason_code == 40346
