"""What every floor declares in one way, and a server gathers: hooks, and what lives as long as it does."""

from gameserver.frame.hooks import Hook, Hooks, Subscription
from gameserver.frame.lifespans import Lifespan, Lifespans, Parts, running, stop

__all__ = ["Hook", "Hooks", "Lifespan", "Lifespans", "Parts", "Subscription", "running", "stop"]
