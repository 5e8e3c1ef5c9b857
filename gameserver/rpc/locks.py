"""The locks of a packet: what its messages are going to change, locked in one order before the first of them.

Messages come in any order, and each of them locks what it changes until the packet is committed. Two packets
with the same messages in opposite orders would wait for each other. See `gameserver.storage.locks`.
"""

from collections.abc import Sequence

from gameserver.rpc.context import Context
from gameserver.rpc.service import Operation, Tx
from gameserver.storage import Transaction, locks
from gameserver.wire.errors import GameError
from gameserver.wire.packet import Message


async def take(
    ctx: Context,
    plan: Sequence[tuple[Operation | None, Message]],
    prepared: dict[int, object],
    tx: Transaction,
) -> None:
    """Lock what a packet's messages change. One message alone locks what it needs by itself."""
    writing = [
        (index, operation, message)
        for index, (operation, message) in enumerate(plan)
        if operation is not None and operation.tx is Tx.WRITE
    ]
    if len(writing) < 2:  # noqa: PLR2004 - it takes two messages to have an order
        return
    names = set() if ctx.profile_id is None else {locks.player_lock(ctx.profile_id)}
    for index, operation, message in writing:
        if operation.locks is not None and not isinstance(prepared.get(index), GameError):
            ctx.prepared = prepared.get(index)
            try:
                names.update(operation.locks(ctx, message.read(operation.reader)))
            except GameError:
                continue  # it will be refused when its turn comes
    await locks.take(tx, names)
