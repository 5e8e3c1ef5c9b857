"""Who belongs together, for the rules that need no more than that: friends, and what friends may read.

The services that keep these subscribe; without any, everybody is alone.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gameserver.frame import Hook, Hooks
from gameserver.storage import Transaction

FriendsHook = Callable[[Transaction, str, str], Awaitable[Sequence[str]]]
"""From an app and a profile to the profiles of friends."""


class SharedEntity(NamedTuple):
    """An entity that others may read. `data` is JSON text."""

    owner_id: str
    entity_id: str
    entity_type: str
    version: int
    acl_other: int
    created_ms: int
    updated_ms: int
    data: str


EntitiesHook = Callable[
    [Transaction, str, Sequence[str], str | None, str | None], Awaitable[Sequence[SharedEntity]]
]
"""From an app, owners, a type and an id, if they are named, to the entities that others may read.

Raises `PacketTooLarge` for more than an answer holds."""

FRIENDS: Hook[FriendsHook] = Hook("social.friends")
SHARED_ENTITIES: Hook[EntitiesHook] = Hook("social.shared_entities")


async def friends_of(hooks: Hooks, tx: Transaction, app_id: str, profile_id: str) -> list[str]:
    """Return the profiles of a player's friends, each once, in the order the hooks give them."""
    found: dict[str, None] = {}
    for hook in hooks.of(FRIENDS):
        found |= dict.fromkeys(await hook(tx, app_id, profile_id))
    found.pop(profile_id, None)
    return list(found)


async def shared_entities(
    hooks: Hooks,
    tx: Transaction,
    app_id: str,
    owners: Sequence[str],
    *,
    entity_type: str | None = None,
    entity_id: str | None = None,
) -> list[SharedEntity]:
    """Return the entities that players let others read, of a type or the one with an id if that is named.

    Raises `PacketTooLarge`.
    """
    found: list[SharedEntity] = []
    for hook in hooks.of(SHARED_ENTITIES):
        found += await hook(tx, app_id, owners, entity_type, entity_id)
    return found
