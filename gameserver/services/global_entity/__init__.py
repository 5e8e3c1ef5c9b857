"""globalEntity: documents that all players of an app share, as far as the ACL of each allows.

An entity belongs to the player who made it, or to nobody: then it is a system entity. It has a type, may have
an id of the game's own choice that others may have as well, and a time to live that every change renews.
"""

from gameserver.services.global_entity import lists, operations
from gameserver.services.global_entity.rules import service

__all__ = ["lists", "operations", "service"]
