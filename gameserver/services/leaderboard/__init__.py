"""leaderboard: scores of players and groups, who stands where, and the boards themselves."""

from gameserver.services.leaderboard import configs, posting, reading, social, tournaments
from gameserver.services.leaderboard.base import service

__all__ = ["configs", "posting", "reading", "service", "social", "tournaments"]
