"""group: players who belong together, their roles, and what they share."""

from gameserver.services.group import entities, joining, lives, making, managing, reading
from gameserver.services.group.base import service

__all__ = ["entities", "joining", "lives", "making", "managing", "reading", "service"]
