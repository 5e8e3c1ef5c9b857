"""Devices that a player has logged in from: each, with the player's id, may come back without a password.

A client keeps a random id, its anonymousId, and the id of the profile that it played last. After a login of
any type the two go together, and an Anonymous login with both leads to that player, also when the id alone is
another player's identity. A pair is good in the player's epoch in which it was made: a new password, or the
end of all sessions for good, ends the pairs as well.
"""

from hashlib import blake2b

from sqlalchemy import BigInteger, Column, ColumnElement, String, Table, bindparam, delete, exists, select

from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Transaction, metadata, upsert
from gameserver.storage.tables import StoredBy

DEVICES_MAX = 20
"""The devices of one player; a further one takes the place of the oldest."""


NO_ID = "-1"
"""What old clients send for no id. Taken for one it would let in whoever knows a profile of theirs."""


def digest(anonymous_id: str) -> str | None:
    """What is stored of a device's id, for whoever has id and profile gets in; None for no id."""
    if not anonymous_id or anonymous_id == NO_ID:
        return None
    return blake2b(anonymous_id.encode(), digest_size=16).hexdigest()


async def add(tx: Transaction, profile_id: str, device: str, epoch: int, now_ms: int) -> None:
    """Make a pair good in an epoch of the player."""
    await tx.defer(ADD, profile_id=profile_id, device=device, epoch=epoch, created_ms=now_ms)
    await tx.defer(TRIM, profile=profile_id)


# Storage

anonymous_pairs = Table(
    "anonymous_pairs",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("device", String(32), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
KEPT = PlayerTable(  # a device that knows a profile which is gone must ask its player
    anonymous_pairs, "profile_id", {"createdAt": anonymous_pairs.c.created_ms}, moves=False
)

_c = anonymous_pairs.c
ADD = upsert(anonymous_pairs, ["profile_id", "device"], ["epoch", "created_ms"])
TRIM = delete(anonymous_pairs).where(
    _c.profile_id == bindparam("profile"),
    _c.device.in_(
        select(_c.device)
        .where(_c.profile_id == bindparam("profile"))
        .order_by(_c.created_ms.desc(), _c.device)
        .offset(DEVICES_MAX)
    ),
)


def is_known(device: str) -> ColumnElement[bool]:
    """In a statement on `players`: the device, a parameter of this name, is one of the player's."""
    return exists().where(
        _c.profile_id == players.c.profile_id,
        _c.epoch == players.c.session_epoch,
        _c.device == bindparam(device, type_=String),
    )
