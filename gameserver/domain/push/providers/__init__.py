"""Who delivers push notifications: Firebase, Apple, and the push services of browsers."""

from gameserver.domain.push.providers.base import Meaning, Notification, Outcome, Provider
from gameserver.domain.push.providers.sending import Providers, provider_of

__all__ = ["Meaning", "Notification", "Outcome", "Provider", "Providers", "provider_of"]
