"""user: what servers and scripts do with the players of an app: make, find, export and delete them."""

from gameserver.services.user import creating, exporting, pages, passwords, removing
from gameserver.services.user.base import service

__all__ = ["creating", "exporting", "pages", "passwords", "removing", "service"]
