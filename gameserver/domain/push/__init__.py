"""Push notifications: what they say, who gets them, and who delivers them."""

from gameserver.domain.push.settings import SAMPLE, PushSettings

__all__ = ["SAMPLE", "PushSettings"]
