"""What staff look at keeps no player waiting: their long reads take turns, and end when they take too long.

It is the way in which searches of players are bounded (`storage.searches`), with two accounts for all staff:
so two of their long reads run at once, in each process.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeVar
from zlib import crc32

from gameserver.admin.common import Server
from gameserver.storage import Database, Payer, Transaction

T = TypeVar("T")
ACCOUNTS = 2
SECONDS_PER_MINUTE = 40.0
"""How long the reads of an account may take in a minute; after that only those that take no time go on."""


class BoundedServer:
    """A server, as whoever looks at it uses it."""

    def __init__(self, server: Server, name: str) -> None:
        payer = Payer(f"staff {crc32(name.encode()) % ACCOUNTS}", SECONDS_PER_MINUTE)
        self._server = server
        self.core = replace(server.core, database=_BoundedReads(server.core.database, payer))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the server's."""
        return getattr(self._server, name)


class _BoundedReads(Database):
    def __init__(self, database: Database, payer: Payer) -> None:
        self._database, self._payer = database, payer
        self.dialect, self.url, self.searches = database.dialect, database.url, database.searches

    def read(self, payer: Payer | None = None) -> AbstractAsyncContextManager[Transaction]:
        return self._database.read(payer or self._payer)

    def write(self, payer: Payer | None = None) -> AbstractAsyncContextManager[Transaction]:
        return self._database.write(payer)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]], **options: Any) -> T:
        return await self._database.transact(work, **options)

    async def check(self) -> None:
        await self._database.check()

    async def close(self) -> None:
        raise AssertionError("whoever looks does not close what the server goes on with")
