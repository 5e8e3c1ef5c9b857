"""Reads that take long: their turns, and the budgets they are paid from."""

import asyncio

import pytest

from gameserver.storage import BudgetSpent, Payer, QueryTooSlow
from gameserver.storage.searches import PLAYERS_SWEPT, Searches

ADA, BOB = Payer("ada", 6.0), Payer("bob", 6.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def searches(clock: Clock) -> Searches:
    return Searches(2, 0.25, clock)


def spend(searches: Searches, payer: Payer | None, seconds: float) -> None:
    with searches.paid(payer) as took:
        took.append(seconds)


def test_a_budget_is_spent_and_comes_back_over_a_minute(searches: Searches, clock: Clock) -> None:
    spend(searches, ADA, 5.9)
    spend(searches, ADA, 0.2)
    with pytest.raises(BudgetSpent, match="6 s of queries in a minute"):
        spend(searches, ADA, 0)
    spend(searches, BOB, 1)
    clock.now += 2  # of which a tenth comes back: 0.2 s
    spend(searches, ADA, 0)
    clock.now += 60
    spend(searches, ADA, 5.9)


def test_the_server_itself_has_no_budget(searches: Searches) -> None:
    for _ in range(3):
        spend(searches, None, 1e6)


def test_what_runs_counts_before_it_has_ended(searches: Searches) -> None:
    """However many packets of a player come at once, they get no more than one after the other."""
    poor = Payer("ada", 0.5)
    with searches.paid(poor), searches.paid(poor), pytest.raises(BudgetSpent):
        spend(searches, poor, 0)
    spend(searches, poor, 0)


def test_reads_queue_while_a_long_one_is_not_forgotten(searches: Searches, clock: Clock) -> None:
    assert not searches.queues(ADA)
    searches.charge(ADA, 0.001)
    assert not searches.queues(ADA)
    searches.charge(ADA, 0.11)
    assert searches.queues(ADA)
    assert not searches.queues(BOB)
    assert not searches.queues(None)
    clock.now += 1.1
    assert not searches.queues(ADA)


async def test_a_player_has_one_turn_at_a_time(searches: Searches) -> None:
    """Whoever sends many at once waits for himself, and others do not."""
    running: list[str] = []
    go_on = asyncio.Event()

    async def read(payer: Payer) -> None:
        async with searches.turn(payer):
            running.append(payer.player)
            await go_on.wait()

    reads = [asyncio.create_task(read(ADA)) for _ in range(20)]
    reads += [asyncio.create_task(read(payer)) for payer in (BOB, Payer("eve", 6.0))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running == ["ada", "bob"]  # two at once of all players, and nobody twice
    go_on.set()
    await asyncio.gather(*reads)
    assert running.count("ada") == 20
    assert running.index("eve") <= 3


async def test_a_turn_that_does_not_come_is_given_up(
    searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gameserver.storage.searches.WAIT_SECONDS_MAX", 0)
    async with searches.turn(ADA):
        with pytest.raises(QueryTooSlow, match="wait for their turn"):
            async with searches.turn(ADA):
                pass
        async with searches.turn(None):  # the server itself does not wait
            pass


def test_accounts_are_forgotten(searches: Searches, clock: Clock) -> None:
    for number in range(PLAYERS_SWEPT):
        searches.charge(Payer(f"p{number}", 6.0), 0.1)
    clock.now += 121
    searches.charge(ADA, 0.1)
    assert len(searches._accounts) == 1
