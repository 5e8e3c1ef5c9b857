"""presence: who is there, what they are doing, and who wants to hear of it."""

from gameserver.services.presence import listening, looking, showing, system
from gameserver.services.presence.base import service

__all__ = ["listening", "looking", "service", "showing", "system"]
