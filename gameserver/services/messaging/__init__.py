"""messaging: letters between players, and from the system, in boxes of those who sent and got them."""

from gameserver.services.messaging import boxes, lives, pages, sending, system
from gameserver.services.messaging.base import service

__all__ = ["boxes", "lives", "pages", "sending", "service", "system"]
