"""SQLite: one connection that writes, one that reads, both used in place on the event loop's thread.

A statement takes less time than handing it to a thread. One that turns out to take long is interrupted and
runs again in a thread; queries that clients describe run there at once. A reader has a connection of its own
for that, a writer's stays with the writer, whose turn it is.

What does take time is the fsync of a commit, so writers share it: a writer that has ended well leaves its
work in the open transaction and waits; the next one goes on in the same transaction behind a savepoint; when
nobody waits for a turn, or the group is large or old, the group commits in a thread. Writers that arrive
meanwhile form the next group. Readers see what is committed, and the write-ahead log keeps them from ever
waiting for a commit.
"""

# ruff: noqa: D102 - what the methods promise stands at Database and Transaction

import asyncio
import shutil
import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import monotonic, perf_counter, thread_time
from types import TracebackType
from typing import Any, Literal, Self, cast

from sqlalchemy import make_url

from gameserver.storage import errors
from gameserver.storage.dialects import SQLITE
from gameserver.storage.errors import Aborted, CommitUnknown, ConstraintBroken, StorageError, Unavailable
from gameserver.storage.plans import Plan, Plans, Statement
from gameserver.storage.searches import SHORT_SECONDS, Payer, Searches
from gameserver.storage.sqlite_connection import (
    BUSY_SECONDS_MAX,
    PROBE,
    Connection,
    Query,
    QueryThreads,
    Search,
    connect,
    connect_reader,
)
from gameserver.storage.sqlite_errors import UNIQUE, code, is_busy, translated
from gameserver.storage.transaction import READ_ONLY, Database, Row, Transaction

GROUP_WRITERS_MAX = 64
GROUP_SECONDS_MAX = 0.02
QUERY_SECONDS_MAX = 0.25
"""CPU time that a player's query may take. Only one that no index helps comes near it."""
SEARCHES_AT_ONCE = 2


class SqliteDatabase(Database):
    """A file, the connection that reads it and the `Writer` that changes it."""

    dialect: Literal["sqlite", "postgresql"] = "sqlite"

    def __init__(self, path: Path, temporary: Path | None) -> None:
        self.url = f"sqlite:///{path}"
        self.plans = Plans(SQLITE)
        self._temporary = temporary
        self.writer = Writer(self, path, durable=temporary is None)
        self.reader = connect_reader(path, durable=temporary is None)
        self.searches = Searches(SEARCHES_AT_ONCE, QUERY_SECONDS_MAX)
        self.threads = QueryThreads(path, durable=temporary is None)

    @classmethod
    async def open(cls, url: str) -> "SqliteDatabase":
        """Open or create the file of `sqlite:///path`; `sqlite://` is a private one, removed at the end."""
        name = make_url(url).database
        if name == ":memory:":
            raise ValueError("sqlite:// is the temporary database; :memory: is not supported")
        if name:
            return cls(Path(name).absolute(), None)  # noqa: ASYNC240 - once, at the start
        directory = Path(tempfile.mkdtemp(prefix="gameserver-"))
        return cls(directory / "game.db", directory)

    def read(self, payer: Payer | None = None) -> "SqliteRead":
        return SqliteRead(self, payer)

    def write(self, payer: Payer | None = None) -> "SqliteWrite":
        return SqliteWrite(self, payer)

    async def check(self) -> None:
        self._check_trouble()
        async with self.write() as tx:
            await tx.run(PROBE)

    async def close(self) -> None:
        self.threads.stop()
        await self.writer.close()
        await self.threads.close()
        self.reader.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


class _SqliteTransaction(Transaction):
    """What reading and writing have in common. `_begun` is False until the first statement of a writer."""

    __slots__ = ("_begun", "_connection", "_database", "_payer", "_plans", "writes")

    def __init__(
        self, database: SqliteDatabase, connection: Connection, payer: Payer | None, *, begun: bool
    ) -> None:
        self._database = database
        self._plans = database.plans
        self._connection = connection
        self._payer = payer
        self._begun = begun
        self.writes = 0

    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        plan = self._plans[statement]
        if not self._begun:
            await self._begin()
        if plan.writes:
            self._before_write()
            # A statement that writes is done only when all its rows have been taken.
            rows = self._fetch(self._execute("one", plan, params).fetchall)
            return rows[0] if rows else None
        if not self._database.searches.queues(self._payer):
            try:
                return cast("Row | None", self._fetch(self._execute("one", plan, params).fetchone))
            except errors.QueryTooSlow:
                pass
        return cast("Row | None", await self._read_apart(plan, params, first=True))

    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        plan = self._plans[statement]
        if not self._begun:
            await self._begin()
        if plan.writes:
            self._before_write()
        if plan.writes or not self._database.searches.queues(self._payer):
            try:
                return cast("Sequence[Row]", self._fetch(self._execute("all", plan, params).fetchall))
            except errors.QueryTooSlow:
                pass
        return cast("Sequence[Row]", await self._read_apart(plan, params))

    async def search(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        plan = self._plans[statement]
        if not self._begun:
            await self._begin()
        return cast("Sequence[Row]", await self._read_apart(plan, params, is_search=True))

    async def _read_apart(
        self, plan: Plan, params: Mapping[str, Any], *, first: bool = False, is_search: bool = False
    ) -> Any:
        """Run a statement that reads in a thread. Raises `errors.QueryTooSlow`, `BudgetSpent`."""
        assert not plan.writes, "statements that write have no deadline"
        query = Query(*plan.bind(params), plan.row_factory, first)
        return await self._run_apart(query, is_search=is_search)

    async def _run_apart(self, query: Query, *, is_search: bool) -> Any:
        raise NotImplementedError

    def _seconds_max(self, most: float) -> float | None:
        """How long a query may take. Who has spent all they may use still reads what takes no time."""
        if self._payer is None:
            return None
        return SHORT_SECONDS if self._database.searches.is_spent(self._payer) else most

    async def _pay(self, search: Search, *, is_search: bool) -> Any:
        with self._database.searches.paid(self._payer, is_search=is_search) as took:
            try:
                return await self._database.threads.run(search, self._database.observe)
            except sqlite3.Error as error:
                raise self._translated(error) from error
            finally:
                took.append(search.seconds)

    async def run(self, statement: Statement, /, **params: Any) -> int:
        plan = self._plans[statement]
        if not self._begun:
            await self._begin()
        self._before_write()
        return self._execute("run", plan, params).rowcount

    async def defer(self, statement: Statement, rows: list[Row] | None = None, /, **params: Any) -> None:
        plan = self._plans[statement]
        if not self._begun:
            await self._begin()
        self._before_write()
        cursor = self._execute("later", plan, params)
        if rows is not None:
            rows += self._fetch(cursor.fetchall)

    async def settle(self) -> None:
        return None

    async def lock(self, _name: str, *, shared: bool = False) -> None:  # noqa: ARG002 - a writer is alone
        if not self._begun:
            await self._begin()

    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        if not rows:
            return
        plan = self._plans[statement]
        if not self._begun:
            await self._begin()
        self._before_write()
        bound = [plan.bind(row) for row in rows]
        self._connection.deadline = 0.0  # left behind by a query
        self._call(
            "run_many", self._connection.executemany, bound[0][0], [arguments for _, arguments in bound]
        )

    async def unless_taken(self, statement: Statement, /, **params: Any) -> bool:
        try:
            # No savepoint: a constraint undoes its own statement and nothing else.
            await self.run(statement, **params)
        except ConstraintBroken as broken:
            if getattr(broken.__cause__, "sqlite_errorcode", None) not in UNIQUE:
                raise
            self.writes -= 1
            return False
        return True

    async def _begin(self) -> None:
        raise NotImplementedError

    def _before_write(self) -> None:
        raise NotImplementedError

    def _execute(self, kind: str, plan: Plan, params: Mapping[str, Any]) -> sqlite3.Cursor:
        sql, arguments = plan.bind(params)
        self._connection.deadline = 0.0 if plan.writes else thread_time() + SHORT_SECONDS
        if self._database.observe is not None:
            cursor = self._call(kind, self._connection.execute, sql, arguments)
        else:
            try:
                cursor = self._connection.execute(sql, arguments)
            except sqlite3.Error as error:
                raise self._translated(error) from error
        if plan.row_factory is not None:
            cursor.row_factory = plan.row_factory
        return cursor

    def _fetch(self, fetch: Callable[[], Any]) -> Any:
        try:  # rows behind the first are computed only now
            return fetch()
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _call(self, kind: str, call: Callable[..., sqlite3.Cursor], *words: Any) -> sqlite3.Cursor:
        started = perf_counter()
        try:
            return call(*words)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        finally:
            observe = self._database.observe
            if observe is not None:
                observe(kind, perf_counter() - started)

    def _translated(self, error: sqlite3.Error) -> Exception:
        return self._database.noted(translated(error))


class SqliteRead(_SqliteTransaction):
    """Statements on the connection that reads, each for itself; those that take long have their own."""

    __slots__ = ()

    holds_nothing = True

    def __init__(self, database: SqliteDatabase, payer: Payer | None) -> None:
        super().__init__(database, database.reader, payer, begun=True)

    async def _run_apart(self, query: Query, *, is_search: bool) -> Any:
        async with self._database.searches.turn(self._payer, is_search=is_search):
            with self._database.threads.connection() as connection:
                search = Search(connection, query, self._seconds_max(QUERY_SECONDS_MAX))
                return await self._pay(search, is_search=is_search)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def lock(self, _name: str, *, shared: bool = False) -> None:  # noqa: ARG002 - named by its callers
        raise TypeError(READ_ONLY)

    def savepoint(self) -> "Savepoint":
        raise TypeError(READ_ONLY)

    def _before_write(self) -> None:
        raise TypeError(READ_ONLY)


class SqliteWrite(_SqliteTransaction):
    """A turn of the writer, taken with the first statement."""

    __slots__ = ("_ended", "_lost", "_names", "_seconds_left", "_unset", "_whole", "_writer")

    def __init__(self, database: SqliteDatabase, payer: Payer | None) -> None:
        super().__init__(database, database.writer.connection, payer, begun=False)
        self._seconds_left = QUERY_SECONDS_MAX  # of what is read in a thread while others wait to write
        self._writer = database.writer
        self._ended = False
        self._lost = False
        self._names = 0
        self._unset: list[Savepoint] = []
        self._whole: Savepoint | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        begun, self._begun = self._begun, False  # so that a later statement meets `_begin`
        if self._lost:
            self._writer.give_up_turn()
            if error is None:
                raise Aborted("the database gave up the transaction")
        elif begun:
            if self._whole is not None:
                self.leave(self._whole, undo=error is not None)
            elif error is not None:
                self._writer.roll_back()
            if error is not None:
                self._writer.give_up_turn()
                return
            waiting = self._writer.finish(wrote=self.writes > 0)
            if waiting is not None:
                await waiting

    async def _begin(self) -> None:
        if self._lost:
            raise Aborted("the database gave up the transaction")
        if self._ended:
            raise RuntimeError("the transaction has ended")
        await self._writer.take_turn()
        self._begun = True
        if self._writer.finished:
            # Behind the work of others, being undone takes a savepoint; alone, ROLLBACK will do.
            self._whole = Savepoint(self)
            self._unset.insert(0, self._whole)

    def savepoint(self) -> "Savepoint":
        return Savepoint(self)

    async def _run_apart(self, query: Query, *, is_search: bool) -> Any:
        # The connection is the writer's whose turn it is: only what is on it sees what was written.
        if self._seconds_left <= 0:
            raise errors.QueryTooSlow(f"what a packet reads while it writes may take {QUERY_SECONDS_MAX} s")
        search = Search(self._connection, query, self._seconds_max(self._seconds_left))
        try:
            return await self._pay(search, is_search=is_search)
        finally:
            if self._payer is not None:
                self._seconds_left -= search.seconds

    def _before_write(self) -> None:
        self.writes += 1
        if self._unset:
            self._set_savepoint()

    def enter(self, savepoint: "Savepoint") -> None:
        self._unset.append(savepoint)

    def leave(self, savepoint: "Savepoint", *, undo: bool) -> None:
        if savepoint.name is None:
            self._unset.remove(savepoint)
        elif not self._lost:
            if undo:
                self._connection.execute(f"ROLLBACK TO {savepoint.name}")
            if savepoint.owns_name:
                self._connection.execute(f"RELEASE {savepoint.name}")

    def _set_savepoint(self) -> None:
        """Set one savepoint for all blocks that have been entered since the last write."""
        self._names += 1
        name = f"s{self._names}"
        self._connection.execute(f"SAVEPOINT {name}")
        for savepoint in self._unset:
            savepoint.name = name
        self._unset[0].owns_name = True
        self._unset.clear()

    def _translated(self, error: sqlite3.Error) -> Exception:
        if not self._connection.in_transaction and not self._lost:
            # A full disk or an I/O error ends the whole transaction, with what others left in it. A further
            # statement would run outside of any transaction, so there must not be one.
            self._lost = True
            self._begun = False
            self._writer.lose(error)
        return self._database.noted(translated(error))


class Savepoint:
    """A block of a transaction; its SAVEPOINT is set before the first write, since most blocks only read."""

    __slots__ = ("_transaction", "_writes", "name", "owns_name")

    def __init__(self, transaction: SqliteWrite) -> None:
        self._transaction = transaction
        self._writes = transaction.writes
        self.name: str | None = None
        self.owns_name = False

    async def __aenter__(self) -> None:
        self._transaction.enter(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transaction.leave(self, undo=error is not None)
        if error is not None:
            self._transaction.writes = self._writes


class Writer:
    """The connection that writes, whose turn it is, and the group that shares the open transaction."""

    def __init__(self, database: SqliteDatabase, path: Path, *, durable: bool) -> None:
        self.connection = connect(path, durable=durable)
        self.finished: list[asyncio.Future[None]] = []
        """The writers that have left their work in the open transaction and wait for its commit."""
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._queue: deque[asyncio.Future[None]] = deque()
        self._taken = False
        self._closed = False
        self._wrote = False
        self._opened_at = 0.0
        self._commits: SimpleQueue[bool] = SimpleQueue()
        # Without fsync a commit is faster than waking a thread.
        self._thread = (
            Thread(target=self._serve_commits, name="sqlite-commit", daemon=True) if durable else None
        )
        if self._thread is not None:
            self._thread.start()

    async def take_turn(self) -> None:
        """Wait until it is the caller's turn to write; the connection is in a transaction then."""
        await self._acquire()
        if not self.connection.in_transaction:
            try:
                await self._open_group()
            except BaseException:
                self.give_up_turn()
                raise

    async def _acquire(self) -> None:
        if self._taken:
            turn = self._loop.create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    with suppress(ValueError):  # whoever gave the turn on may have passed over it already
                        self._queue.remove(turn)
                else:
                    self.give_up_turn()
                raise
        self._taken = True
        if self._closed:
            self._next_turn()
            raise Unavailable("the database is closed")

    def finish(self, *, wrote: bool) -> asyncio.Future[None] | None:
        """End the turn of a writer that wants its work kept; what is returned ends with the commit.

        None means that it is committed already. Raises what the commit raised.
        """
        self._wrote = self._wrote or wrote
        if self._has_room(len(self.finished) + 1) and self._wake_next():
            return self._wait()
        if self._wrote and self._thread is not None:
            waiting = self._wait()
            self._commits.put(True)
            return waiting
        error = self._commit_in_place()
        if error is not None:
            raise error
        return None

    def give_up_turn(self) -> None:
        """End the turn of a writer whose work is undone; the group, if there is one, goes on."""
        if not self.finished:
            if self.connection.in_transaction:
                self.roll_back()
            self._next_turn()
        elif not (self._has_room(len(self.finished)) and self._wake_next()):
            if self._thread is not None:
                self._commits.put(True)
            else:
                self._commit_in_place()

    def roll_back(self) -> None:
        """Undo everything in the open transaction."""
        with suppress(sqlite3.Error):  # it has ended by itself
            self.connection.execute("ROLLBACK")

    def lose(self, error: sqlite3.Error) -> None:
        """Tell the group that the transaction it shared is gone."""
        self._settle(error, Aborted)

    async def close(self) -> None:
        """Wait for the writers that have begun; those that have not are refused."""
        if self._closed:
            return
        await self._acquire()
        self._closed = True
        self._next_turn()
        if self._thread is not None:
            self._commits.put(False)
            await asyncio.to_thread(self._thread.join)
        else:
            self.connection.close()

    async def _open_group(self) -> None:
        deadline, pause = monotonic() + BUSY_SECONDS_MAX, 0.001
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not is_busy(error) or monotonic() > deadline:
                    raise translated(error) from error
                # Another process writes. Waiting inside SQLite would stop the event loop.
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.05)
            else:
                self._wrote = False
                self._opened_at = monotonic()
                return

    def _has_room(self, size: int) -> bool:
        return size < GROUP_WRITERS_MAX and monotonic() - self._opened_at < GROUP_SECONDS_MAX

    def _wait(self) -> asyncio.Future[None]:
        waiting: asyncio.Future[None] = self._loop.create_future()
        self.finished.append(waiting)
        return waiting

    def _wake_next(self) -> bool:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False

    def _next_turn(self) -> None:
        self._taken = self._wake_next()

    def _commit_in_place(self) -> StorageError | None:
        started = perf_counter()
        failure = self._commit()
        return self._committed(failure, perf_counter() - started)

    def _serve_commits(self) -> None:
        while self._commits.get():
            started = perf_counter()
            failure = self._commit()
            with suppress(RuntimeError):  # the loop has ended without waiting for anybody
                self._loop.call_soon_threadsafe(self._committed, failure, perf_counter() - started)
        self.connection.close()

    def _commit(self) -> sqlite3.Error | None:
        self.connection.deadline = 0.0
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.roll_back()
            return error
        return None

    def _committed(self, failure: sqlite3.Error | None, seconds: float) -> StorageError | None:
        if self._database.observe is not None:
            self._database.observe("commit", seconds)
        if failure is not None:
            self._database.noted(translated(failure))
        # After an I/O error nobody knows how much of the log is on the disk.
        doubtful = failure is not None and code(failure) & 0xFF == sqlite3.SQLITE_IOERR
        kind = CommitUnknown if doubtful else Aborted
        self._settle(failure, kind)
        self._next_turn()
        return None if failure is None else kind(f"the commit failed: {failure}")

    def _settle(self, failure: sqlite3.Error | None, kind: type[StorageError]) -> None:
        finished, self.finished = self.finished, []
        for waiting in finished:
            if waiting.done():  # cancelled: nobody waits for the outcome
                continue
            if failure is None:
                waiting.set_result(None)
            else:
                waiting.set_exception(kind(f"the commit failed: {failure}"))
