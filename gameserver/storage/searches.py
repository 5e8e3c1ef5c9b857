"""Reads that may take long: few at once, and each player within a budget of time.

What clients may ask for (where-clauses, orders, far pages) can make a database work for long. A player's
reads that do so run one at a time, few of all players run at once, and the time they take counts against what
the player may use of it in a minute. Each process keeps the time for itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

import msgspec

from gameserver.storage.errors import BudgetSpent, QueryTooSlow

MINUTE_SECONDS = 60
SHORT_SECONDS = 0.01
"""A read that takes longer is long: it counts, and its player's reads queue until that much is forgotten."""
WAIT_SECONDS_MAX = 10.0
"""How long a read waits for its turn."""
PLAYERS_SWEPT = 1000  # entries after which those that say nothing any more are looked for


class Payer(msgspec.Struct, frozen=True):
    """Who pays for reads: a player, and how many seconds of long ones they may use in a minute."""

    player: str
    seconds: float


class _Account:
    """What a player has used: `spent` seconds as of a time; `Payer.seconds` are forgotten in a minute."""

    __slots__ = ("as_of", "reserved", "spent", "turn", "users")

    def __init__(self, now: float) -> None:
        self.spent = 0.0
        self.as_of = now
        self.reserved = 0.0  # for reads that run
        self.turn = asyncio.Lock()
        self.users = 0  # reads that run or wait


class Searches:
    """The turns of long reads, and the budgets they are paid from.

    `at_once` reads of all players run at once; none takes more than `seconds_max`.
    """

    def __init__(self, at_once: int, seconds_max: float, clock: Callable[[], float] = monotonic) -> None:
        self._lanes = asyncio.Semaphore(at_once)
        self._seconds_max = seconds_max
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._sweep_at = PLAYERS_SWEPT

    def queues(self, payer: Payer | None) -> bool:
        """Tell whether all reads of a player queue now, because some took long a short while ago."""
        if payer is None:
            return False
        account = self._accounts.get(payer.player)
        return account is not None and self._used(account, payer) > SHORT_SECONDS

    @asynccontextmanager
    async def turn(self, payer: Payer | None, *, is_search: bool = True) -> AsyncIterator[None]:
        """Wait for one's turn to read. Raises `BudgetSpent`, and `QueryTooSlow` when that takes too long.

        The server's own reads, which nobody pays for, do not wait.
        """
        if payer is None:
            yield
            return
        account = self._account(payer)
        if is_search:
            self._check(account, payer)  # not only when the turn has come
        account.users += 1
        held: list[asyncio.Lock | asyncio.Semaphore] = []
        try:
            try:
                async with asyncio.timeout(WAIT_SECONDS_MAX):
                    for each in (account.turn, self._lanes):
                        await each.acquire()
                        held.append(each)
            except TimeoutError:
                raise QueryTooSlow("too many queries that take long wait for their turn") from None
            yield
        finally:
            for each in reversed(held):
                each.release()
            account.users -= 1

    @contextmanager
    def paid(self, payer: Payer | None, *, is_search: bool = True) -> Iterator[list[float]]:
        """Run a read on a player's account; what it took is to be added to the list that this yields.

        Raises `BudgetSpent` for a search when the player has used all they may use for now. All else that
        they read goes on, in its turn.
        """
        if payer is None:
            yield []
            return
        account = self._account(payer)
        if is_search:
            self._check(account, payer)
        account.reserved += self._seconds_max
        took: list[float] = []
        try:
            yield took
        finally:
            account.reserved -= self._seconds_max
            account.spent = self._used(account, payer) + sum(took)
            account.as_of = self._clock()

    def charge(self, payer: Payer | None, seconds: float) -> None:
        """Note a read that ran without a turn."""
        if payer is not None and seconds > SHORT_SECONDS:
            account = self._account(payer)
            account.spent, account.as_of = self._used(account, payer) + seconds, self._clock()

    def is_spent(self, payer: Payer | None) -> bool:
        """Tell whether a player has used all they may use for now."""
        account = None if payer is None else self._accounts.get(payer.player)
        return account is not None and payer is not None and self._is_spent(account, payer)

    def _is_spent(self, account: _Account, payer: Payer) -> bool:
        return self._used(account, payer) + account.reserved >= payer.seconds

    def _check(self, account: _Account, payer: Payer) -> None:
        if self._is_spent(account, payer):
            raise BudgetSpent(f"a player may use {payer.seconds:g} s of queries in a minute")

    def _used(self, account: _Account, payer: Payer) -> float:
        forgotten = (self._clock() - account.as_of) * payer.seconds / MINUTE_SECONDS
        return max(0.0, account.spent - forgotten)

    def _account(self, payer: Payer) -> _Account:
        account = self._accounts.get(payer.player)
        if account is None:
            if len(self._accounts) >= self._sweep_at:
                self._sweep()
            account = self._accounts[payer.player] = _Account(self._clock())
        return account

    def _sweep(self) -> None:
        """Forget accounts that are a minute old: whatever was spent is forgotten by then, or nearly."""
        oldest = self._clock() - 2 * MINUTE_SECONDS
        self._accounts = {
            player: account
            for player, account in self._accounts.items()
            if account.users or account.reserved or account.as_of > oldest
        }
        self._sweep_at = 2 * max(PLAYERS_SWEPT, len(self._accounts))
