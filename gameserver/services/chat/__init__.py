"""chat: lines that players write into channels, and that all who listen to them hear."""

from gameserver.services.chat import channels, history, lives, posting, system
from gameserver.services.chat.base import service

__all__ = ["channels", "history", "lives", "posting", "service", "system"]
