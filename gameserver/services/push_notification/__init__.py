"""pushNotification: the devices of players, and notifications that reach them while they do not play."""

from gameserver.services.push_notification import registering as registering
from gameserver.services.push_notification import scheduling as scheduling
from gameserver.services.push_notification import segments as segments
from gameserver.services.push_notification import sending as sending
from gameserver.services.push_notification import upkeep as upkeep
from gameserver.services.push_notification.base import service

__all__ = ["service"]
