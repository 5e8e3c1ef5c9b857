"""PostgreSQL through asyncpg.

The pool is our own: asyncpg's spends as much time on lending a connection as on a query by primary key.
Round trips are what costs here, so none is made that is not needed: BEGIN travels with the first statement,
statements that nobody waits for with the next one or with COMMIT, and a savepoint is set only if there is
something before it that must be kept.
"""

# ruff: noqa: D102 - what the methods promise stands at Database and Transaction

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from hashlib import blake2b
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

import asyncpg
from sqlalchemy import text

from gameserver.storage.dialects import POSTGRESQL
from gameserver.storage.errors import (
    Aborted,
    BadUrl,
    CommitUnknown,
    ConstraintBroken,
    Unavailable,
)
from gameserver.storage.pipeline import COMMIT, ROLLBACK, Pipeline
from gameserver.storage.plans import Plan, Plans, Statement
from gameserver.storage.postgres_errors import (
    BAD_URL,
    CONNECT_SECONDS_MAX,
    ERRORS,
    LOST,
    QUERY_SECONDS_MAX,
    READ_ONLY,
    SERVER_SETTINGS,
    UNUSABLE,
    translated,
    why_unreachable,
)
from gameserver.storage.searches import SHORT_SECONDS, Payer, Searches
from gameserver.storage.transaction import READ_ONLY as READS_ONLY
from gameserver.storage.transaction import Database, Row, Transaction

T = TypeVar("T")

ACQUIRE_SECONDS_MAX = 10.0
SEARCHES_AT_ONCE = 4  # of the connections, which others need, too

# They return no row, so they can travel with what is to see the world as it is behind the lock.
_LOCK = {
    shared: f"SELECT FROM pg_advisory_xact_lock{'_shared' * shared}($1) AS lock WHERE lock IS NULL"
    for shared in (False, True)
}


_TAKES_WRITES = text("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'")


class PostgresDatabase(Database):
    """A pool of connections, opened when they are needed and kept."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str, pool_size: int) -> None:
        self.url = url
        self.plans = Plans(POSTGRESQL)
        self.searches = Searches(min(SEARCHES_AT_ONCE, max(1, pool_size // 4)), QUERY_SECONDS_MAX)
        self._pool_size = pool_size
        self._idle: list[Pipeline] = []
        self._era = 0
        self._open = 0
        self._closed = False
        self._queue: deque[asyncio.Future[Pipeline | None]] = deque()

    @classmethod
    async def open(cls, url: str, pool_size: int) -> "PostgresDatabase":
        """Connect once, so that a wrong address shows now and not at the first player."""
        database = cls(url, pool_size)
        database.release(await database.acquire())
        return database

    def read(self, payer: Payer | None = None) -> "PostgresRead":
        return PostgresRead(self, payer)

    def write(self, payer: Payer | None = None) -> "PostgresWrite":
        return PostgresWrite(self, payer)

    async def close(self) -> None:
        self._closed = True
        while self._open:
            while self._idle:
                self._open -= 1
                connection = self._idle.pop()
                try:
                    await connection.close(CONNECT_SECONDS_MAX)
                except ERRORS:
                    connection.terminate()
            if self._open and (handed_over := await self._wait()) is not None:
                self._idle.append(handed_over)
        self._wake()

    async def check(self) -> None:
        self._check_trouble()
        async with self.read() as tx:
            row = await tx.one(_TAKES_WRITES)
        if row is None or not row[0]:
            self.distrust()
            raise Unavailable(READ_ONLY)

    async def acquire(self) -> Pipeline:
        """Lend a connection; `Unavailable` when there is none and none can be made."""
        while True:
            if self._closed:
                self._wake()  # whoever closes may wait for what was just handed over
                raise Unavailable("the database is closed")
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._open -= 1
            if self._open < self._pool_size:
                return await self._connect()
            handed_over = await self._wait(ACQUIRE_SECONDS_MAX)
            if handed_over is not None:
                self._idle.append(handed_over)  # and taken from there at once: nobody runs in between

    def release(self, connection: Pipeline) -> None:
        """Take a connection back. It is outside of any transaction, or broken.

        It goes to the first who waits and not to whoever asks next: under load somebody always asks next.
        """
        if connection.era != self._era:
            connection.terminate()
        if connection.is_closed():
            self._open -= 1
            self._wake()
        elif not self._wake(connection):
            self._idle.append(connection)

    def discard(self, connection: Pipeline) -> None:
        """Take back a connection in an unknown state."""
        connection.terminate()
        self.release(connection)

    def distrust(self) -> None:
        """Use no connection again that is open now: the next ones may lead to another server.

        After a fail-over the former primary takes no writes, but keeps its connections for ever.
        """
        self._era += 1
        for connection in self._idle:  # `acquire` passes them over
            connection.terminate()

    async def _connect(self) -> Pipeline:
        self._open += 1
        era = self._era
        try:
            connection = await Pipeline.open(self.url, CONNECT_SECONDS_MAX, SERVER_SETTINGS)
        except BaseException as error:
            self._open -= 1
            self._wake()
            if isinstance(error, ValueError):  # whose words may repeat a password
                raise BadUrl(BAD_URL) from None
            if isinstance(error, ERRORS):
                raise Unavailable(f"cannot connect to the database: {why_unreachable(error)}") from error
            raise
        connection.era = era
        return connection

    async def _wait(self, seconds_max: float | None = None) -> Pipeline | None:
        """Wait for a connection, or for None: then there is a reason to look again. Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Pipeline | None] = loop.create_future()
        self._queue.append(turn)
        # asyncio.timeout would take as long as the packet's bookkeeping.
        timer = None if seconds_max is None else loop.call_later(seconds_max, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._queue.remove(turn)
            elif turn.exception() is None:
                if (connection := turn.result()) is not None:
                    self.release(connection)
                else:
                    self._wake()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _give_up(self, turn: "asyncio.Future[Pipeline | None]") -> None:
        if not turn.done():
            self._queue.remove(turn)
            turn.set_exception(Unavailable(f"no free connection in {ACQUIRE_SECONDS_MAX:g} s"))

    def _wake(self, connection: Pipeline | None = None) -> bool:
        """Let the first who waits have this connection, or look again; False when nobody waits."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False


class _PostgresTransaction(Transaction):
    __slots__ = ("_connection", "_database", "_ended", "_payer", "_plans", "writes")

    def __init__(self, database: PostgresDatabase, payer: Payer | None) -> None:
        self._database = database
        self._payer = payer
        self._plans = database.plans
        self._connection: Pipeline | None = None
        self._ended = False
        self.writes = 0

    async def __aenter__(self) -> Self:
        return self

    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        plan = self._plans[statement]
        if self._database.searches.queues(self._payer) and not plan.locks:
            rows = await self._search(plan, params, is_search=False)
            return rows[0] if rows else None
        sql, arguments = plan.bind(params)
        connection = await self._prepare(plan)
        reply = await self._call("one", connection.row(sql, arguments), locks=plan.locks)
        return cast("Row | None", reply)

    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        plan = self._plans[statement]
        if self._database.searches.queues(self._payer) and not plan.locks:
            return await self._search(plan, params, is_search=False)
        sql, arguments = plan.bind(params)
        connection = await self._prepare(plan)
        reply = await self._call("all", connection.rows(sql, arguments), locks=plan.locks)
        return cast("Sequence[Row]", reply)

    async def search(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        return await self._search(self._plans[statement], params, is_search=True)

    async def _search(self, plan: Plan, params: Mapping[str, Any], *, is_search: bool) -> Sequence[Row]:
        """Run a statement that reads, on the account of who pays."""
        assert not plan.writes, "a search only reads"
        sql, arguments = plan.bind(params)
        with self._database.searches.paid(self._payer, is_search=is_search) as took:
            connection = await self._prepare(plan)
            started = perf_counter()
            try:
                reply = await self._call("search", connection.rows(sql, arguments), locks=plan.locks)
            finally:
                took.append(perf_counter() - started)
        return cast("Sequence[Row]", reply)

    async def _prepare(self, plan: Plan) -> Pipeline:
        raise NotImplementedError

    async def _connect(self) -> Pipeline:
        if self._ended:
            raise RuntimeError("the transaction has ended")
        self._connection = await self._database.acquire()
        return self._connection

    async def _call(self, kind: str, reply: Coroutine[Any, Any, T], *, locks: bool = False) -> T:
        observe, connection = self._database.observe, self._connection
        assert connection is not None, "calls are made on the transaction's connection"
        started = perf_counter()
        locks = locks or connection.holds
        try:
            return await reply
        except ERRORS as error:
            self._failed()
            if isinstance(error, UNUSABLE):
                connection.terminate()
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                connection.terminate()
                self._database.distrust()
            if isinstance(error, asyncpg.InvalidCachedStatementError):
                connection.forget_statements()
            if isinstance(error, ValueError):  # asyncpg's word for a value that does not fit its column
                raise
            if locks and isinstance(error, asyncpg.QueryCanceledError):
                # It waited for another's lock: no fault of the query, so it is worth another try.
                raise Aborted(f"a statement that locks rows took too long: {error}") from error
            raise self._database.noted(translated(error)) from error
        finally:
            seconds = perf_counter() - started
            if seconds > SHORT_SECONDS and kind in ("one", "all") and not locks:
                self._database.searches.charge(self._payer, seconds)
            if observe is not None:
                observe(kind, seconds)

    def _failed(self) -> None:
        """Take notice of a statement that failed."""


class PostgresRead(_PostgresTransaction):
    """Statements outside of any transaction, on one connection that is taken with the first of them."""

    __slots__ = ()

    async def _search(self, plan: Plan, params: Mapping[str, Any], *, is_search: bool) -> Sequence[Row]:
        self._let_go()  # who waits for a turn keeps nobody from a connection
        async with self._database.searches.turn(self._payer, is_search=is_search):
            return await super()._search(plan, params, is_search=is_search)

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._database.release(connection)

    async def run(self, _statement: Statement, /, **_params: Any) -> int:
        raise TypeError(READS_ONLY)

    async def run_many(self, _statement: Statement, _rows: Sequence[Mapping[str, Any]], /) -> None:
        raise TypeError(READS_ONLY)

    async def unless_taken(self, _statement: Statement, /, **_params: Any) -> bool:
        raise TypeError(READS_ONLY)

    def savepoint(self) -> "Savepoint":
        raise TypeError(READS_ONLY)

    async def defer(self, _statement: Statement, _rows: list[Row] | None = None, /, **_params: Any) -> None:
        raise TypeError(READS_ONLY)

    async def settle(self) -> None:
        return None

    async def lock(self, _name: str, *, shared: bool = False) -> None:  # noqa: ARG002 - named by its callers
        raise TypeError(READS_ONLY)

    async def _prepare(self, plan: Plan) -> Pipeline:
        if plan.writes:
            raise TypeError(READS_ONLY)
        return self._connection or await self._connect()


class PostgresWrite(_PostgresTransaction):
    """A transaction that begins with its first statement.

    `_set` counts the savepoints that are set, named s1, s2, … from the outside in.

    A block that is entered while nothing was written or locked since the newest savepoint (or BEGIN) can be
    undone by going back there, and needs no savepoint of its own. Savepoints of blocks that have ended are
    released together with the next one that is set, or by the commit.
    """

    __slots__ = ("_active", "_broken", "_clean", "_entered", "_set")

    def __init__(self, database: PostgresDatabase, payer: Payer | None) -> None:
        super().__init__(database, payer)
        self._clean = True
        self._broken = False
        self._set = 0
        self._entered: list[Savepoint] = []
        self._active: list[Savepoint] = []

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.begins and (error is not None or self._clean):  # PostgreSQL knows nothing of it
            connection.drop()
            self._database.release(connection)
            return
        if error is None:
            status = await self._commit(connection, "commit", connection.end(COMMIT))
            if status != COMMIT:
                raise Aborted("a statement had failed, so the database rolled the transaction back")
            return
        connection.drop()
        try:
            await self._end(connection, "rollback", connection.end(ROLLBACK))
        except LOST:
            pass
        except ERRORS as failure:
            raise translated(failure) from failure

    async def run(self, statement: Statement, /, **params: Any) -> int:
        plan = self._plans[statement]
        sql, arguments = plan.bind(params)
        connection = await self._prepare_write()
        return _row_count(await self._call("run", connection.status(sql, arguments), locks=True))

    async def defer(self, statement: Statement, rows: list[Row] | None = None, /, **params: Any) -> None:
        plan = self._plans[statement]
        sql, arguments = plan.bind(params)
        connection = await self._prepare_write()
        await self._call("later", connection.hold(sql, arguments, rows), locks=True)

    @property
    def takes_only(self) -> bool:
        return self._connection is None and not self._entered and not self._ended

    async def only(self, statement: Statement, /, **params: Any) -> Row | None:
        assert self.takes_only, "the transaction has begun"
        plan = self._plans[statement]
        sql, arguments = plan.bind(params)
        connection = await self._connect()
        self._connection = None  # it is given back, whatever comes
        rows = await self._commit(connection, "only", connection.rows(sql, arguments))
        if not rows:
            return None
        self._ended = True
        self.writes += 1
        return cast("Row", rows[0])

    async def settle(self) -> None:
        if self._connection is not None:
            await self._call("later", self._connection.settle(), locks=True)

    async def lock(self, name: str, *, shared: bool = False) -> None:
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
        connection = await self._prepare_write(counts=0)
        await self._call("lock", connection.hold(_LOCK[shared], (key,)), locks=True)

    async def run_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        if not rows:
            return
        bound = [self._plans[statement].bind(row) for row in rows]
        connection = await self._prepare_write()
        arguments = [arguments for _, arguments in bound]
        await self._call("run_many", connection.many(bound[0][0], arguments), locks=True)

    async def unless_taken(self, statement: Statement, /, **params: Any) -> bool:
        plan = self._plans[statement]
        if plan.plain_insert:
            sql, arguments = plan.bind(params)
            connection = await self._prepare_write()
            sql += " ON CONFLICT DO NOTHING"  # one round trip, where a savepoint takes three
            status = await self._call("run", connection.status(sql, arguments), locks=True)
            inserted = _row_count(status) > 0
            self.writes -= not inserted
            return inserted
        try:
            async with self.savepoint():
                await self.run(statement, **params)
        except ConstraintBroken as broken:
            if isinstance(broken.__cause__, asyncpg.UniqueViolationError):
                return False
            raise
        return True

    def savepoint(self) -> "Savepoint":
        return Savepoint(self)

    async def _commit(self, connection: Pipeline, kind: str, reply: Coroutine[Any, Any, T]) -> T:
        """Wait for what commits the transaction, in the words of who waits for a commit."""
        try:
            return await self._end(connection, kind, reply)
        except LOST as failure:
            raise CommitUnknown(f"the connection broke during the commit: {failure}") from failure
        except asyncpg.QueryCanceledError as failure:
            raise Aborted(f"a statement that travelled with the commit took too long: {failure}") from failure
        except ERRORS as failure:
            raise self._database.noted(translated(failure)) from failure

    async def _end(self, connection: Pipeline, kind: str, reply: Coroutine[Any, Any, T]) -> T:
        """Wait for what ends the transaction, and give the connection back in any case."""
        started = perf_counter()
        try:
            try:
                outcome = await reply
            except asyncpg.PostgresError as error:
                if isinstance(error, asyncpg.InvalidCachedStatementError):
                    connection.forget_statements()
                if connection.is_in_transaction():  # what travelled with the commit failed: it was skipped
                    await connection.status(ROLLBACK)
                raise
        except asyncpg.PostgresError as error:
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                self._database.distrust()
            self._database.release(connection)
            raise
        except BaseException:
            self._database.discard(connection)
            raise
        finally:
            if self._database.observe is not None:
                self._database.observe(kind, perf_counter() - started)
        self._database.release(connection)
        return outcome

    async def _prepare(self, plan: Plan) -> Pipeline:
        if plan.locks:
            return await self._prepare_write(counts=plan.writes)
        connection = self._connection or await self._begin()
        if self._entered:
            await self._set_savepoint(connection)
        return connection

    async def _prepare_write(self, *, counts: int = 1) -> Pipeline:
        connection = self._connection or await self._begin()
        if self._entered:
            await self._set_savepoint(connection)
        self._clean = False
        self.writes += counts
        return connection

    async def _begin(self) -> Pipeline:
        connection = await self._connect()
        connection.begin()
        return connection

    def enter(self, savepoint: "Savepoint") -> None:
        self._entered.append(savepoint)

    async def leave(self, savepoint: "Savepoint", *, undo: bool) -> None:
        if not savepoint.active:
            self._entered.remove(savepoint)
            return
        self._active.remove(savepoint)
        nothing_to_undo = self._clean and self._set == savepoint.depth and not self._broken
        if not undo or nothing_to_undo:
            return
        connection = self._connection
        assert connection is not None, "an active savepoint is on a connection"
        begins = connection.begins
        connection.drop()  # all of it was to come after the savepoint
        if begins:
            connection.begin()
        else:
            back_to = f"ROLLBACK TO s{savepoint.depth}" if savepoint.depth else "ROLLBACK AND CHAIN"
            await self._call("savepoint", connection.status(back_to))
        self._set = savepoint.depth
        self._clean, self._broken = True, False

    async def _set_savepoint(self, connection: Pipeline) -> None:
        """See to it that all blocks that have been entered can be undone."""
        if not self._clean:
            needed = self._active[-1].depth if self._active else 0
            name = f"s{needed + 1}"
            if self._set > needed:
                await self._call("savepoint", connection.hold(f"RELEASE {name}"))
            await self._call("savepoint", connection.status(f"SAVEPOINT {name}"))
            self._set = needed + 1
            self._clean = True
        for savepoint in self._entered:
            savepoint.depth = self._set
            savepoint.active = True
        self._active += self._entered
        self._entered.clear()

    def _failed(self) -> None:
        self._broken = True


class Savepoint:
    """A block of a transaction; `depth` is the savepoint to go back to, 0 for the transaction's begin."""

    __slots__ = ("_transaction", "_writes", "active", "depth")

    def __init__(self, transaction: PostgresWrite) -> None:
        self._transaction = transaction
        self._writes = transaction.writes
        self.active = False
        self.depth = 0

    async def __aenter__(self) -> None:
        self._transaction.enter(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transaction.leave(self, undo=error is not None)
        if error is not None:
            self._transaction.writes = self._writes


def _row_count(status: str) -> int:
    """Return the number at the end of a command tag: `INSERT 0 1`, `UPDATE 3`."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0
