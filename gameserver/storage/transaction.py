"""What services see of a database: transactions and rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from gameserver.storage.plans import Statement

Observer = Callable[[str, float], None]
READ_ONLY = "a read transaction does not write; open it with write()"


class Row(Protocol):
    """One row of a result; values by column name or by position, in the order of the columns."""

    def __getitem__(self, key: str | int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...


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
    observe: Observer | None = None
    """Called with the kind of every operation and the seconds it took; costs nothing while it is None."""

    @abstractmethod
    def read(self) -> AbstractAsyncContextManager[Transaction]:
        """Statements that only read. Each sees what is committed when it runs, and takes no lock."""

    @abstractmethod
    def write(self) -> AbstractAsyncContextManager[Transaction]:
        """Statements that take effect together when the block ends, or not at all when it raises.

        When the block has ended well, its effects survive a crash. The end of the block raises `Aborted`
        when nothing happened and `CommitUnknown` when that cannot be told. No outside call may be awaited
        inside: on SQLite, everybody who wants to write waits for this block.
        """

    @abstractmethod
    async def close(self) -> None:
        """Wait for the transactions that run, then let go of files and connections."""
