"""identity: how players are known, and passing a login on to another device."""

from gameserver.services.identity import attaching, handoffs, merging, reading, relatives, renaming, verifying
from gameserver.services.identity.base import service

__all__ = ["attaching", "handoffs", "merging", "reading", "relatives", "renaming", "service", "verifying"]
