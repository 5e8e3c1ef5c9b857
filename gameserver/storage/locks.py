"""The names of locks, and the one order in which everybody takes them.

Two transactions that each hold what the other waits for are a deadlock, which PostgreSQL looks for only after
a second. So what several transactions may change at once is locked in one order, the same for everybody:

1. the players whose rows are changed, in the order of their ids;
2. what an app's players share (statistics, entities, places), in the order of these names;
3. boards;
4. rows, and among rows of one table those first whose key sorts first.

A transaction that changes one row only needs no lock: whoever waits for it holds nothing that it wants.
"""

from collections.abc import Iterable
from zlib import crc32

from gameserver.storage.transaction import Transaction

SHARED_MAX = 32
"""Locks for what an app's players share. Many things share a lock: PostgreSQL has room for some thousands."""


def player_lock(profile_id: str) -> str:
    """Return the lock of whoever changes several rows of a player, or one several times."""
    return f"player/{profile_id}"


def shared_lock(app_id: str, kind: str, name: str) -> str:
    """Return the lock of a thing that an app's players share. Different things may have the same."""
    return f"shared/{app_id}/{crc32(f'{kind}/{name}'.encode()) % SHARED_MAX:02}"


def shared_locks(app_id: str) -> list[str]:
    """Return the locks of all that an app's players share, for who does not know yet what it will change."""
    return [f"shared/{app_id}/{number:02}" for number in range(SHARED_MAX)]


async def take(tx: Transaction, names: Iterable[str]) -> None:
    """Hold locks until the transaction ends. They cost no round trip of their own."""
    for name in sorted(set(names)):  # "player/…" before "shared/…"
        await tx.lock(name)
