"""Guessing passwords: accounts and addresses that lock."""

import asyncio
import secrets
from typing import Any

import pytest

from gameserver.players.passwords import Passwords
from tests.conftest import Game
from tests.services.logins import Define, define, outcome, own_address, refused_login

__all__ = ["define", "own_address"]  # fixtures


# Guessing


async def test_an_account_locks_after_too_many_failures_and_opens_again(game: Game) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    for _ in range(5):
        assert (await refused_login(game.client(), "Universal", id_, "guess")).reason_code == 40307
    locked = await refused_login(game.client(), "Universal", id_, "guess")
    assert outcome(locked) == (403, 40788)
    assert (await refused_login(game.client(), "Universal", id_, "secret")).raw == locked.raw
    game.clock.advance(59)
    assert (await refused_login(game.client(), "Universal", id_, "secret")).reason_code == 40788
    game.clock.advance(2)
    await game.client().log_in("Universal", id_, "secret")


async def test_an_account_that_does_not_exist_locks_alike(game: Game) -> None:
    id_ = game.unique("nobody")
    for _ in range(5):
        assert (
            await refused_login(game.client(), "Universal", id_, "x", forceCreate=False)
        ).reason_code == 40208
    for force in (False, True):
        refusal = await refused_login(game.client(), "Universal", id_, "x", forceCreate=force)
        assert outcome(refusal) == (403, 40788)


async def test_success_forgets_the_failures_of_the_account(game: Game) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    for _ in range(3):
        for _ in range(4):
            assert (await refused_login(game.client(), "Universal", id_, "guess")).reason_code == 40307
        await game.client().log_in("Universal", id_, "secret")


async def test_many_guesses_at_once_are_no_more_than_the_limit(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    looked_at = 0
    verify = Passwords.verify

    async def counted(self: Passwords, digest: str | None, text: str, network: str = "") -> bool:
        nonlocal looked_at
        looked_at += 1
        return await verify(self, digest, text, network)

    monkeypatch.setattr(Passwords, "verify", counted)
    refusals = await asyncio.gather(
        *(refused_login(game.client(), "Universal", id_, f"guess {n}") for n in range(18))
    )
    assert looked_at <= 2 * 5  # at worst a lock falls between two steps of a guess that is under way
    assert {refusal.reason_code for refusal in refusals} == {40307, 40788}


def call_from(game: Game, address: str) -> None:
    """Let the calls from here on come from an address."""
    transport: Any = game.http._transport
    transport.client = (address, 1)


def some_address() -> str:
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


async def test_locks_grow_with_each_one(game: Game) -> None:
    call_from(game, some_address())
    id_ = game.unique("nobody")
    for seconds in (60, 120, 240):
        for _ in range(5):
            await refused_login(game.client(), "Universal", id_, "x", forceCreate=False)
        game.clock.advance(seconds - 1)
        locked = await refused_login(game.client(), "Universal", id_, "x", forceCreate=False)
        assert locked.reason_code == 40788, seconds
        game.clock.advance(1)


async def test_others_do_not_lock_a_player_out_where_they_have_logged_in(game: Game) -> None:
    home, elsewhere, stranger = some_address(), some_address(), some_address()
    id_ = game.unique("ada")
    call_from(game, home)
    await game.client().log_in("Universal", id_, "secret")
    call_from(game, stranger)
    for _ in range(5):
        await refused_login(game.client(), "Universal", id_, "guess")
    call_from(game, elsewhere)
    assert (await refused_login(game.client(), "Universal", id_, "secret")).reason_code == 40788
    call_from(game, home)
    await game.client().log_in("Universal", id_, "secret")
    for _ in range(5):  # and whoever guesses there locks that network alone
        assert (await refused_login(game.client(), "Universal", id_, "guess")).reason_code == 40307
    assert (await refused_login(game.client(), "Universal", id_, "secret")).reason_code == 40788
    game.clock.advance(60)
    call_from(game, elsewhere)
    await game.client().log_in("Universal", id_, "secret")


async def test_an_address_locks_after_failures_on_many_accounts(game: Game) -> None:
    known = game.unique("ada")
    call_from(game, some_address())
    await game.client().log_in("Universal", known, "secret")
    call_from(game, some_address())
    for _ in range(20):
        await refused_login(game.client(), "Universal", game.unique("guess"), "123456", forceCreate=False)
    assert (await refused_login(game.client(), "Universal", known, "secret")).reason_code == 40788
    await game.client().log_in("Anonymous")  # needs no guessing
    game.clock.advance(61)
    await game.client().log_in("Universal", known, "secret")


async def test_concealed_accounts(game: Game, define: Define) -> None:
    define("[login]\nconceal_accounts = true\n")
    known, unknown = game.unique("ada"), game.unique("nobody")
    await game.client().log_in("Universal", known, "secret")
    wrong = await refused_login(game.client(), "Universal", known, "guess", forceCreate=False)
    for data in ({}, {"profileId": "some-profile"}):
        nobody = await refused_login(game.client(), "Universal", unknown, "guess", forceCreate=False, **data)
        assert nobody.raw == wrong.raw
    refusal = await refused_login(game.client(), "Anonymous", game.unique("id"), forceCreate=False)
    assert refusal.reason_code == 40208


async def test_an_unknown_account_costs_the_same_password_check(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = game.unique("ada")
    await game.client().log_in("Universal", id_, "secret")
    checked: list[bool] = []
    verify = Passwords.verify

    async def noted(self: Passwords, digest: str | None, text: str, network: str = "") -> bool:
        checked.append(digest is not None)
        return await verify(self, digest, text, network)

    monkeypatch.setattr(Passwords, "verify", noted)
    await refused_login(game.client(), "Universal", id_, "guess", forceCreate=False)
    await refused_login(game.client(), "Universal", game.unique("nobody"), "guess", forceCreate=False)
    assert checked == [True, False]
