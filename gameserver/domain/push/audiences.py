"""Players whom a query of custom entities names.

The service that keeps custom entities subscribes; without it there is none.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gameserver.frame import Hook, Hooks
from gameserver.storage import Transaction
from gameserver.wire.errors import GameError


class UnknownEntityType(GameError):
    """The app has no custom entities of this type."""

    reason_code = 40570


QueryHook = Callable[[Transaction, str, str, Mapping[str, Any], str], Awaitable[Sequence[str] | None]]
"""From an app, a type of custom entities, a query and the field that names a player to their profiles.

None where the app has no such type. Raises what a query may be refused with."""

CUSTOM_QUERY: Hook[QueryHook] = Hook("push.custom_query")


async def named_by_query(
    hooks: Hooks, tx: Transaction, app_id: str, entity_type: str, query: Mapping[str, Any], field: str
) -> list[str]:
    """Return the profiles that custom entities name, each once. Raises `UnknownEntityType`."""
    for hook in hooks.of(CUSTOM_QUERY):
        if (found := await hook(tx, app_id, entity_type, query, field)) is not None:
            return list(dict.fromkeys(found))
    raise UnknownEntityType(f"the app has no custom entities of type {entity_type[:64]!r}")
