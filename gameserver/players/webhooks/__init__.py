"""Outgoing webhooks: what happens in an app is told to addresses that the app declares.

An *event* is a type of `EventData`, declared by whoever makes it happen. `emit` stores a delivery for each
*target* that wants it, in the transaction of what happens: told is exactly what is committed. A job sends
deliveries, signed as the Standard Webhooks specification says, until they are taken or days are over.
"""

from gameserver.players.webhooks.emitting import emit, is_wanted, new_event_id
from gameserver.players.webhooks.events import (
    EventData,
    IdentityAttached,
    IdentityDetached,
    PlayerCreated,
    PlayerDeleted,
    PlayerLoggedIn,
    PlayerMerged,
    PlayerReset,
    SessionEnded,
)

__all__ = [
    "EventData",
    "IdentityAttached",
    "IdentityDetached",
    "PlayerCreated",
    "PlayerDeleted",
    "PlayerLoggedIn",
    "PlayerMerged",
    "PlayerReset",
    "SessionEnded",
    "emit",
    "is_wanted",
    "new_event_id",
]
