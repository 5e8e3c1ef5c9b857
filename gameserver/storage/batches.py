"""Rows that nobody waits for: they come together in memory, and are written in batches a second later.

A server that stops writes the rest first. While SQL is away rows wait, up to a limit; those beyond it are
counted as lost.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import structlog
from prometheus_client import Counter

from gameserver.storage.errors import StorageError
from gameserver.storage.plans import Statement
from gameserver.storage.transaction import Database

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0
RETRY_SECONDS = 5.0
BATCH_ROWS = 500
WAITING_MAX = 20_000  # rows kept in memory while SQL is away


class Batches:
    """Takes rows and writes them. One for each process and kind of rows.

    `add` must do no harm when it is run twice: a batch whose commit ended in doubt is written again.
    `before_writing` is called when the rows so far do not change any more.
    """

    def __init__(
        self,
        database: Database,
        add: Statement,
        name: str,
        lost: Counter,
        before_writing: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._add = add
        self._name = name
        self._lost = lost
        self._before_writing = before_writing
        self._waiting: deque[dict[str, Any]] = deque()
        self._some, self._many = asyncio.Event(), asyncio.Event()
        self._writing = asyncio.Lock()

    def put(self, row: dict[str, Any]) -> bool:
        """Take a row; False where it is lost, because too many wait. Never waits and never fails."""
        waiting = len(self._waiting)
        if waiting >= WAITING_MAX:
            self._lost.inc()
            return False
        self._waiting.append(row)
        if not waiting:  # where there are others, somebody is on the way to write them
            self._some.set()
        elif waiting >= BATCH_ROWS - 1:
            self._many.set()
        return True

    async def keep_writing(self) -> None:
        """Write what was taken, at most a second later. Runs for ever."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), FLUSH_SECONDS)
            try:
                await self.flush()
            except StorageError as error:
                log.warning("rows_postponed", of=self._name, waiting=len(self._waiting), reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what was taken so far. Raises `StorageError` when SQL is away; the rows wait then.

        What is taken meanwhile waits for the next time. Under load there is always some, and to write each
        as it comes would be the work that batches save.
        """
        async with self._writing:
            self._some.clear()
            self._many.clear()
            left = len(self._waiting)
            try:
                while left > 0:
                    left -= await self._write(min(left, BATCH_ROWS))
            finally:
                if self._waiting:
                    self._some.set()
                if len(self._waiting) >= BATCH_ROWS:
                    self._many.set()

    async def _write(self, count: int) -> int:
        """Write so many rows in one transaction; returns how many they were."""
        self._before_writing()
        batch = list(islice(self._waiting, count))
        try:
            async with self._database.write() as tx:
                await tx.run_many(self._add, batch)
        except StorageError:
            raise
        except Exception:
            # What the database will never take must not keep the others waiting.
            log.exception("rows_lost", of=self._name, rows=len(batch))
            self._lost.inc(len(batch))
        for _ in batch:
            self._waiting.popleft()
        return count

    async def close(self) -> None:
        """Write the rest; what cannot be written now is lost."""
        try:
            while self._waiting:
                await self.flush()
        except StorageError as error:
            rows = len(self._waiting)
            self._lost.inc(rows)
            log.error("rows_lost", of=self._name, rows=rows, reason=str(error))  # noqa: TRY400 - expected
