"""Connections to SQLite, and queries that run on one of them in a thread."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter, thread_time
from typing import Any, NamedTuple

from sqlalchemy import text

from gameserver.storage.errors import (
    QueryTooSlow,
    Unavailable,
)
from gameserver.storage.plans import RowFactory

BUSY_SECONDS_MAX = 5.0
"""How long a transaction waits for another process that writes to the same file."""
LOOK_SECONDS = 0.02  # between looks at the time that a query in a thread has taken
THREADS_MAX = 8  # for searches, what a writer reads, and what the server itself reads
_STEPS_BETWEEN_LOOKS = 20_000  # of SQLite's machine, a millisecond or so


# A value that is no number or text sqlite3 asks first how it is to be stored, and each of the two who could
# know raises an exception inside. So it is told beforehand, by functions that are not Python's own.
sqlite3.register_adapter(type(None), {None: None}.get)
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)

PROBE = text("PRAGMA user_version = 0")
"""Writes a number that nobody reads into the file's first page."""


class Connection(sqlite3.Connection):
    """A connection whose queries end at a deadline; 0 stands for none."""

    deadline = 0.0

    def overdue(self) -> bool:
        """Tell SQLite, which asks every now and then, whether to give up."""
        return bool(self.deadline) and thread_time() > self.deadline


def connect_reader(path: Path, *, durable: bool) -> Connection:
    """Open a connection that only reads, and waits for nobody but who recovers the file."""
    connection = connect(path, durable=durable)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS_MAX * 1000)}")
    return connection


def connect(path: Path, *, durable: bool) -> Connection:
    """Open a connection to a file. Raises `Unavailable`."""
    try:
        connection = sqlite3.connect(
            path,
            timeout=BUSY_SECONDS_MAX,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=1000,
            factory=Connection,
        )
        connection.set_progress_handler(connection.overdue, _STEPS_BETWEEN_LOOKS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16000")  # KiB
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error as error:
        raise Unavailable(f"cannot open {path}: {error}") from error
    connection.row_factory = sqlite3.Row
    return connection


# Queries in threads


class Query(NamedTuple):
    """SQL and its arguments; `row_factory` as in `Plan`. `first`: no more than the first row is wanted."""

    sql: str
    arguments: Sequence[Any]
    row_factory: RowFactory | None
    first: bool


class Search:
    """A query that runs in a thread, for no more than some CPU time, or as long as it takes.

    Nothing is asked of the thread meanwhile: a single step of a query may take long, and the interpreter's
    lock is the event loop's. The loop looks at the thread's clock, and interrupts the query.
    """

    def __init__(self, connection: Connection, query: Query, seconds_max: float | None) -> None:
        self.seconds = 0.0
        """What it has taken so far."""
        self._connection = connection
        self._query = query
        self._seconds_max = seconds_max
        self._clock: Callable[[], float] | None = None
        self._stopped = False

    async def run(self, threads: ThreadPoolExecutor) -> Any:
        """Return the rows, or the first one. When this raises, the connection is free again, too."""
        done = asyncio.get_running_loop().run_in_executor(threads, self._execute)
        try:
            while not (await asyncio.wait((done,), timeout=LOOK_SECONDS))[0]:
                clock = self._clock
                if self._seconds_max is not None and clock is not None and clock() > self._seconds_max:
                    self.stop()
                elif self._stopped:
                    self._connection.interrupt()  # the first time, it may not have begun
        except asyncio.CancelledError:
            while not done.done():
                self.stop()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((done,), timeout=LOOK_SECONDS)
            done.exception()
            raise
        return done.result()

    def stop(self) -> None:
        """Have the query end soon."""
        self._stopped = True
        self._connection.interrupt()

    def _execute(self) -> Any:
        connection, query = self._connection, self._query
        connection.deadline = 0.0
        clock = _thread_clock()
        self._clock = clock
        try:
            if self._stopped:
                return self._give_up()
            cursor = connection.execute(query.sql, query.arguments)
            if query.row_factory is not None:
                cursor.row_factory = query.row_factory
            if not query.first:
                return cursor.fetchall()
            row = cursor.fetchone()
            cursor.close()
            return row
        finally:
            self._clock = None
            self.seconds = clock()

    def _give_up(self) -> Any:
        raise QueryTooSlow("the query was given up before it began")


class QueryThreads:
    """The threads that queries run in, and the connections of those who only read."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._path = path
        self._durable = durable
        self._idle: list[Connection] = []
        self._threads = ThreadPoolExecutor(THREADS_MAX, "sqlite-query")
        self._running: set[Search] = set()
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for one query."""
        if self._idle:
            connection = self._idle.pop()
        else:
            connection = connect_reader(self._path, durable=self._durable)
            connection.set_progress_handler(None, 0)  # the loop looks at the time
        try:
            yield connection
        finally:
            self._idle.append(connection)

    async def run(self, search: Search, observe: Callable[[str, float], None] | None) -> Any:
        """Run a query, on a connection that is its own meanwhile. Raises `sqlite3.Error`, `Unavailable`."""
        if self._closed:
            raise Unavailable("the database is closed")
        self._running.add(search)
        started = perf_counter()
        try:
            return await search.run(self._threads)
        finally:
            self._running.discard(search)
            if observe is not None:
                observe("search", perf_counter() - started)

    def stop(self) -> None:
        """Have the queries that run end soon, and begin no more."""
        self._closed = True
        for search in self._running:
            search.stop()

    async def close(self) -> None:
        """Wait for the queries that run, and let go of the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._idle:
            connection.close()


def _thread_clock() -> Callable[[], float]:
    """Return a clock of the CPU time that the calling thread has used from now on; any thread may read it."""
    if not hasattr(time, "pthread_getcpuclockid"):  # as on macOS: wall-clock time has to do
        started = monotonic()
        return lambda: monotonic() - started
    clock = time.pthread_getcpuclockid(threading.get_ident())
    began = time.clock_gettime(clock)
    return lambda: time.clock_gettime(clock) - began
