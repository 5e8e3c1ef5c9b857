"""Whatever happens to a wallet at once and twice, each balance is the sum of its ledger."""

import asyncio
import itertools
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select

from gameserver.domain.economy import wallet
from gameserver.domain.economy.wallet import BalanceOutOfRange, Kind
from gameserver.players import profiles
from gameserver.players.fields import Balance
from gameserver.storage import Database, open_database

APP = "10001"
ENTRIES = select(wallet.entries).where(wallet.entries.c.profile_id == bindparam("profile"))


@dataclass(frozen=True)
class Action:
    """Something that happens to a wallet; two with the same key are one that is repeated."""

    kind: str
    currency: str
    amount: int
    key: int


kinds = st.sampled_from([*(kind for kind in Kind if kind != Kind.MERGED), Kind.AWARDED, Kind.CONSUMED])
actions = st.builds(
    Action,
    kind=kinds,
    currency=st.sampled_from(["coins", "gems"]),
    amount=st.integers(1, 20) | st.just(2**53 - 10),
    key=st.integers(0, 30),
)
batches = st.lists(st.lists(actions, min_size=1, max_size=6), min_size=1, max_size=8)


@pytest.fixture
def database_url(migrated: dict[str, str], schema_template: Path | None, tmp_path: Path) -> str:
    """A migrated database of the run's backend."""
    if schema_template is None:
        return migrated["database"]
    shutil.copy(schema_template, tmp_path / "game.db")
    return f"sqlite:///{tmp_path / 'game.db'}"


@contextmanager
def opened(url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    with asyncio.Runner() as runner:
        database = runner.run(open_database(url))
        try:
            yield runner, database
        finally:
            runner.run(database.close())


async def make_player(database: Database, profile_id: str) -> None:
    row = dict.fromkeys(("language_code", "country_code"), "") | {"time_zone_offset": 0, "ab_testing_id": 1}
    async with database.write() as tx:
        await tx.run(profiles.CREATE, profile_id=profile_id, app_id=APP, now_ms=0, **row)


async def do(database: Database, player: str, action: Action) -> int | None:
    """Run one action in a transaction of its own; returns what it added, None when it cannot be told."""
    key = f"{action.kind}-{action.key}"
    words = (player, action.currency, action.amount, key, 1)
    try:
        async with database.write() as tx:
            match action.kind:
                case Kind.RESET:
                    await wallet.reset(tx, player, key, 1)
                    return None
                case Kind.CONSUMED:
                    return -action.amount if await wallet.take(tx, *words) else 0
                case Kind.REVOKED:
                    return -action.amount if await wallet.revoke(tx, *words) else 0
                case kind:
                    return action.amount if await wallet.add(tx, *words, kind=Kind(kind)) else 0
    except BalanceOutOfRange:
        return 0


async def state(database: Database, player: str) -> tuple[dict[str, Balance], list[Any]]:
    async with database.read() as tx:
        balances = await wallet.balances(tx, APP, player)
        assert balances is not None
        return balances, list(await tx.all(ENTRIES, profile=player))


async def play(database: Database, player: str, sequence: list[list[Action]]) -> None:
    await make_player(database, player)
    expected: dict[str, int] = defaultdict(int)
    for batch in sequence:
        before, _ = await state(database, player)
        added = await asyncio.gather(*(do(database, player, action) for action in batch))
        balances, entries = await state(database, player)
        ledger: dict[str, int] = defaultdict(int)
        for entry in entries:
            ledger[entry["currency"]] += entry["amount"]
        assert {name: balance.balance for name, balance in balances.items()} == {
            name: ledger[name] for name in balances
        }
        assert set(ledger) <= set(balances)
        for balance in balances.values():
            counted = balance.purchased + balance.awarded - balance.consumed - balance.revoked
            assert balance.balance == counted
            assert balance.balance >= 0 or balance.revoked > 0
        if None in added:  # a reset took what was there, and the order of a batch is nobody's promise
            expected = ledger
            continue
        for action, amount in zip(batch, added, strict=True):
            assert amount is not None
            expected[action.currency] += amount
        assert {name: total for name, total in expected.items() if total} == {
            name: total for name, total in ledger.items() if total
        }
        assert before.keys() <= balances.keys()


def test_every_balance_is_the_sum_of_its_entries(database_url: str) -> None:
    examples = itertools.count()
    with opened(database_url) as (runner, database):

        @settings(
            max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
        )
        @given(batches)
        def check(sequence: list[list[Action]]) -> None:
            runner.run(play(database, f"wallet-{next(examples)}", sequence))

        check()


def test_one_key_pays_once_however_many_come_with_it(database_url: str) -> None:
    async def check(database: Database) -> None:
        await make_player(database, "same-key")
        award = Action(Kind.AWARDED, "coins", 7, 1)
        added = await asyncio.gather(*(do(database, "same-key", award) for _ in range(20)))
        assert sorted(amount or 0 for amount in added) == [0] * 19 + [7]
        balances, entries = await state(database, "same-key")
        assert (balances["coins"].balance, len(entries)) == (7, 1)

    with opened(database_url) as (runner, database):
        runner.run(check(database))


def test_a_refused_payment_leaves_no_entry_and_may_be_tried_again(database_url: str) -> None:
    async def check(database: Database) -> None:
        await make_player(database, "short")
        pay = Action(Kind.CONSUMED, "coins", 7, 1)
        assert await do(database, "short", pay) == 0
        assert (await state(database, "short"))[1] == []
        assert await do(database, "short", Action(Kind.PURCHASED, "coins", 7, 1)) == 7
        assert await do(database, "short", pay) == -7
        assert await do(database, "short", pay) == 0
        balances, _ = await state(database, "short")
        assert balances["coins"] == Balance(purchased=7, consumed=7)

    with opened(database_url) as (runner, database):
        runner.run(check(database))


def test_what_is_purchased_and_awarded_ends_together_at_2_to_the_53(database_url: str) -> None:
    async def check(database: Database) -> None:
        await make_player(database, "rich")
        assert await do(database, "rich", Action(Kind.PURCHASED, "coins", 2**53 - 1, 1)) == 2**53 - 1
        assert await do(database, "rich", Action(Kind.AWARDED, "coins", 2, 2)) == 0
        assert await do(database, "rich", Action(Kind.AWARDED, "coins", 1, 3)) == 1

    with opened(database_url) as (runner, database):
        runner.run(check(database))


async def merge(database: Database, source: str, target: str) -> bool:
    """Merge two wallets in a transaction of its own; False when their sum is more than a number can hold."""
    try:
        async with database.write() as tx:
            await wallet.merge(tx, source, target, 1)
    except BalanceOutOfRange:
        return False
    return True


async def play_merge(database: Database, players: tuple[str, str], sequences: list[list[Action]]) -> None:
    for player, actions_ in zip(players, sequences, strict=True):
        await make_player(database, player)
        for action in actions_:
            await do(database, player, action)
    source, target = players
    theirs, before = [(await state(database, player))[0] for player in players]
    merged = await merge(database, source, target)
    after, entries = await state(database, target)
    for name in {*theirs, *before}:
        one, two = theirs.get(name, Balance()), before.get(name, Balance())
        total = {field: getattr(one, field) + getattr(two, field) for field in Balance.__struct_fields__}
        fits = max(total["purchased"] + total["awarded"], total["consumed"], total["revoked"]) <= 2**53
        assert fits or not merged
        expected = Balance(**total) if merged else two
        assert after.get(name, Balance()) == expected
        assert sum(entry["amount"] for entry in entries if entry["currency"] == name) == expected.balance
    assert await merge(database, source, target) is merged
    assert (await state(database, target))[0] == after


def test_merged_wallets_hold_what_the_two_held_and_once(database_url: str) -> None:
    examples = itertools.count()
    plays = st.lists(actions, max_size=8)

    with opened(database_url) as (runner, database):

        @settings(
            max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
        )
        @given(st.tuples(plays, plays))
        def check(sequences: tuple[list[Action], list[Action]]) -> None:
            number = next(examples)
            pair = f"merge-from-{number}", f"merge-into-{number}"
            runner.run(play_merge(database, pair, list(sequences)))

        check()
