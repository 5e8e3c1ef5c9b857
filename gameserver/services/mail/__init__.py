"""mail: letters to players and addresses, by the app's mail server."""

from gameserver.services.mail import operations as operations
from gameserver.services.mail import work as work
from gameserver.services.mail.base import service

__all__ = ["service"]
