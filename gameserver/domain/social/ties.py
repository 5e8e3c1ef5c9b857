"""Who belongs together: friends and groups, for the rules that need no more than that.

The services that keep friends and groups subscribe; without any, everybody is alone.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from gameserver.frame import Hook, Hooks
from gameserver.storage import Transaction
from gameserver.wire.errors import GameError


class UnknownGroup(GameError):
    """There is no such group."""

    reason_code = 40345


class NotGroupMember(GameError):
    """The caller is not a member of the group."""

    reason_code = 40453


class Group(NamedTuple):
    """A group as others see it. `summary_data` is the JSON text it shows beside its name."""

    group_id: str
    name: str
    summary_data: str | None = None


FriendsHook = Callable[[Transaction, str, str], Awaitable[Sequence[str]]]
"""From an app and a profile to the profiles of friends."""
GroupsHook = Callable[[Transaction, str, Sequence[str]], Awaitable[Mapping[str, Group]]]
"""From an app and ids of groups to those groups that exist, by id."""
MembersHook = Callable[[Transaction, str, str], Awaitable[Sequence[str]]]
"""From an app and the id of a group to the profiles of its members."""


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
GROUPS: Hook[GroupsHook] = Hook("social.groups")
MEMBERS: Hook[MembersHook] = Hook("social.members")
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


async def groups(hooks: Hooks, tx: Transaction, app_id: str, group_ids: Sequence[str]) -> dict[str, Group]:
    """Return the groups that exist among these, by id."""
    found: dict[str, Group] = {}
    for hook in hooks.of(GROUPS):
        found |= await hook(tx, app_id, group_ids)
    return found


async def group(hooks: Hooks, tx: Transaction, app_id: str, group_id: str) -> Group:
    """Return a group. Raises `UnknownGroup`."""
    found = (await groups(hooks, tx, app_id, [group_id])).get(group_id)
    if found is None:
        raise UnknownGroup(f"there is no group {group_id[:64]!r}")
    return found


async def group_members(hooks: Hooks, tx: Transaction, app_id: str, group_id: str) -> list[str]:
    """Return the profiles of a group's members. Raises `UnknownGroup`."""
    await group(hooks, tx, app_id, group_id)
    found: dict[str, None] = {}
    for hook in hooks.of(MEMBERS):
        found |= dict.fromkeys(await hook(tx, app_id, group_id))
    return list(found)


async def check_member(hooks: Hooks, tx: Transaction, app_id: str, group_id: str, profile_id: str) -> None:
    """Raise `UnknownGroup`, or `NotGroupMember` when the player is no member of the group."""
    if profile_id not in await group_members(hooks, tx, app_id, group_id):
        raise NotGroupMember("the player is not a member of the group")
