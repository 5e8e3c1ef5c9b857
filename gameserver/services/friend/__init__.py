"""friend: friends of a player, players to find, and what is told of them."""

from gameserver.services.friend import blocking, finding, linking, listing, looking
from gameserver.services.friend.base import service

__all__ = ["blocking", "finding", "linking", "listing", "looking", "service"]
