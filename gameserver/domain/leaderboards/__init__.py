"""Leaderboards: boards that rotate, scores in SQL, ranks from an index that follows SQL.

Truth is in SQL. A board's row and the time decide which version is running, so that a rotation needs nobody
to happen; storing it is one conditional update. A post is one conditional statement; the index of ranks
follows after the commit, and is checked against SQL at every read.
"""

from gameserver.domain.leaderboards.boards import (
    CURRENT,
    SCORE_MAX,
    Board,
    BoardConfig,
    BoardType,
    EntryType,
    LeaderboardSettings,
    NoLeaderboard,
    Version,
)
from gameserver.domain.leaderboards.facade import Leaderboards, lifespan
from gameserver.domain.leaderboards.hooks import (
    AFTER_ROTATION,
    BEFORE_POST,
    BEFORE_SETTINGS,
    IS_NEEDED,
    IS_REFERRED_TO,
    TEMPLATE_VERSIONS,
)
from gameserver.domain.leaderboards.jobs import JOBS
from gameserver.domain.leaderboards.periods import RECURRING, Rotation
from gameserver.domain.leaderboards.ranked_pages import Index, RankedEntry, RankedPages
from gameserver.domain.leaderboards.store import Stale, Work, no_board

__all__ = [
    "AFTER_ROTATION",
    "BEFORE_POST",
    "BEFORE_SETTINGS",
    "CURRENT",
    "IS_NEEDED",
    "IS_REFERRED_TO",
    "JOBS",
    "RECURRING",
    "SCORE_MAX",
    "TEMPLATE_VERSIONS",
    "Board",
    "BoardConfig",
    "BoardType",
    "EntryType",
    "Index",
    "LeaderboardSettings",
    "Leaderboards",
    "NoLeaderboard",
    "RankedEntry",
    "RankedPages",
    "Rotation",
    "Stale",
    "Version",
    "Work",
    "lifespan",
    "no_board",
]
