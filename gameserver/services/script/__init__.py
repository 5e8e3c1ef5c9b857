"""script: cloud code that clients, servers and schedules run."""

from gameserver.services.script import jobs, operations
from gameserver.services.script.base import service

__all__ = ["jobs", "operations", "service"]
