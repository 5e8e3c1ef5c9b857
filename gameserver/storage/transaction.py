"""What services see of a database: transactions and rows."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from time import monotonic
from typing import Any, Literal, Protocol, TypeVar

from gameserver.storage.errors import Aborted, CannotWrite, CommitUnknown, Deadlocked, StorageError
from gameserver.storage.plans import Statement
from gameserver.storage.searches import Payer, Searches

T = TypeVar("T")
Observer = Callable[[str, float], None]

TRIES_MAX = 5
"""How often `Database.transact` does its work at most."""
BACKOFF_SECONDS = 0.01
TROUBLE_SECONDS = 20.0
"""How long a database that could not write counts as one that cannot."""
_TURN = "transact/turn"  # held by whoever tries again after a deadlock
READ_ONLY = "a read transaction does not write; open it with write()"


class Row(Protocol):
    """One row of a result; values by column name or by position, in the order of the columns."""

    def __getitem__(self, key: str | int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...


class MadeRow:
    """A `Row` as it was written: who knows all its values need not ask for them."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str | int, /) -> Any:
        return self._values[key] if isinstance(key, str) else tuple(self)[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values.values())

    def __len__(self) -> int:
        return len(self._values)


class Transaction(ABC):
    """Statements that happen together.

    Statements are SQLAlchemy Core objects or `upsert`s, built once at import; their parameters are given by
    name. A transaction belongs to one task at a time. The database may give it up at any statement and raise
    `Aborted`; a statement that breaks a constraint raises `ConstraintBroken`, after which the transaction
    (or the innermost `savepoint`) must end with that exception: PostgreSQL does nothing more in it.
    """

    writes: int
    """Statements that wrote so far; those of a savepoint that was undone do not count."""

    holds_nothing = False
    """Whether nobody waits for what this transaction has: a connection, or the right to write."""

    @property
    def takes_only(self) -> bool:
        """Whether one statement may be all of this transaction, and that saves something."""
        return False

    @abstractmethod
    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        """Run a statement and return its first row, or None when there is none."""

    @abstractmethod
    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        """Run a statement and return all its rows."""

    @abstractmethod
    async def search(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        """Run a statement that reads what a client describes, and return all its rows.

        Such a query may take long, whatever the tables hold: it never keeps others from their turn, takes
        turns with other searches, and counts against the budget of the transaction's payer. Raises
        `QueryTooSlow`, `BudgetSpent`.
        """

    @abstractmethod
    async def run(self, statement: Statement, /, **params: Any) -> int:
        """Run a statement that writes; return how many rows it inserted, changed or deleted."""

    @abstractmethod
    async def defer(self, statement: Statement, rows: list[Row] | None = None, /, **params: Any) -> None:
        """Run a statement that writes, and whose outcome nobody waits for.

        It costs no round trip of its own, for it may be sent together with what comes next. So what it breaks
        may be raised by the next statement, or by the end of the transaction. What it returns is added to
        `rows` by the end of the transaction, or of `settle`; without `rows` it returns nothing. Many travel
        together if they are one statement with one list, in which their rows come in order.
        """

    async def only(self, statement: Statement, /, **params: Any) -> Row | None:
        """Run a statement as the whole transaction; return its first row when it is committed.

        Without a row nothing has happened, and the transaction goes on. Raises what the end of a transaction
        does. To be asked only of one that `takes_only`.
        """
        raise NotImplementedError("ask `takes_only` first")

    @abstractmethod
    async def settle(self) -> None:
        """Wait for the rows of what was to run `later`."""

    @abstractmethod
    async def lock(self, name: str, *, shared: bool = False) -> None:
        """Hold a lock of this name until the transaction ends; locks that are shared exclude no other such.

        The statements that follow see what was committed before it was given. It costs no round trip of its
        own. Cheaper than locking a row that many players share, which PostgreSQL notes in the row.
        """

    @abstractmethod
    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        """Run a statement once per row of parameters."""

    @abstractmethod
    async def unless_taken(self, statement: Statement, /, **params: Any) -> bool:
        """Run a statement that writes one row; False when a unique index refused it.

        Nothing of the refused statement remains, and the transaction goes on. Other constraints raise
        `ConstraintBroken`.
        """

    @abstractmethod
    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Open a block whose statements are undone when it raises; the exception goes on to the caller."""


class Database(ABC):
    """An open database; made by `open_database`, belongs to the event loop it was opened in."""

    dialect: Literal["sqlite", "postgresql"]
    url: str
    """Where the database is; for a temporary one the place it was given, so that `migrate` finds it."""
    searches: Searches
    """The turns of reads that take long, and the budgets they are paid from."""
    observe: Observer | None = None
    """Called with the kind of every operation and the seconds it took; costs nothing while it is None."""
    _trouble: tuple[str, float] | None = None
    chance: Callable[[], float] = staticmethod(random.random)
    """Numbers from 0 to 1 that keep those who try again from doing so in step."""

    @abstractmethod
    def read(self, payer: Payer | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Statements that only read. Each sees what is committed when it runs, and takes no lock.

        With a `payer`, those that take long are paid by a player, and end when they take too long.
        """

    @abstractmethod
    def write(self, payer: Payer | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Statements that take effect together when the block ends, or not at all when it raises.

        `payer` as in `read`. What they read may take as long as one query, all of it together.

        When the block has ended well, its effects survive a crash. The end of the block raises `Aborted`
        when nothing happened and `CommitUnknown` when that cannot be told. No outside call may be awaited
        inside: on SQLite, everybody who wants to write waits for this block.
        """

    async def transact(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        *,
        payer: Payer | None = None,
        tries: int = TRIES_MAX,
        backoff: float = BACKOFF_SECONDS,
        between: Callable[[Aborted | CommitUnknown], Awaitable[None]] | None = None,
    ) -> T:
        """Do `work` in a transaction that writes, and all of it again when the database aborts it.

        Returns what `work` returned in the try that was committed, so it must leave nothing outside of the
        transaction. Before the second try there is a pause of `backoff` seconds, before the third of twice as
        many, give or take a half: time for the rival, who goes on meanwhile, to end. Those who try again
        after a deadlock take turns, here and in other processes, so that they do not meet in the next one.

        `payer` is that of `write`.

        `between` is awaited after the pause, with the reason and with nothing held: for what must not hold a
        transaction and has to be done again. What it raises ends the tries. Raises the last `Aborted` when
        `tries` are used up. `CommitUnknown` ends the tries as well, unless there is `between` to look which
        of the two happened.
        """
        crossed = False
        for left in range(tries - 1, -1, -1):
            try:
                async with self._in_turn(payer) if crossed else self.write(payer) as tx:
                    return await work(tx)
            except (Aborted, CommitUnknown) as error:
                if not left or (between is None and isinstance(error, CommitUnknown)):
                    raise
                reason = error
            crossed = crossed or isinstance(reason, Deadlocked)
            await asyncio.sleep(backoff * (tries - left) * (0.5 + self.chance()))
            if between is not None:
                await between(reason)
        raise AssertionError("the last try returns or raises")

    @cached_property
    def _turn(self) -> asyncio.Lock:
        return asyncio.Lock()

    @asynccontextmanager
    async def _in_turn(self, payer: Payer | None) -> AsyncIterator[Transaction]:
        """Open a transaction when no other like it is open; of those who wait here one has a connection."""
        async with self._turn, self.write(payer) as tx:
            await tx.lock(_TURN)
            yield tx

    @abstractmethod
    async def check(self) -> None:
        """Return when the database answers and takes writes; raises `Unavailable` with the reason why not.

        A full disk is told for `TROUBLE_SECONDS` after a write has met it: asking would not find it.
        """

    def noted(self, error: StorageError) -> StorageError:
        """Remember what the database could not do, for `check`; returns the error."""
        if isinstance(error, CannotWrite):
            self._trouble = (str(error), monotonic())
        return error

    def _check_trouble(self) -> None:
        """Raise `Unavailable` when the database could not do its work a short while ago."""
        if self._trouble is not None and monotonic() - self._trouble[1] < TROUBLE_SECONDS:
            raise CannotWrite(self._trouble[0])

    @abstractmethod
    async def close(self) -> None:
        """Wait for the transactions that run, then let go of files and connections."""
