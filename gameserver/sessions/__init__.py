"""Who is calling: sessions, the claim and replay of packets, rate counters.

One interface, `SessionStore`, with two implementations: `Sessions` on Redis for any number of processes, and
`MemorySessions` for a single one. `session_store` picks by URL.
"""

from gameserver.sessions.connection import BadUrl, connect
from gameserver.sessions.ids import digest_of, new_session_id
from gameserver.sessions.interface import (
    END_REASONS,
    PACKETS_PER_MINUTE_MAX,
    SERVER_PROFILE_ID,
    SESSIONS_PER_PLAYER_MAX,
    SWITCHED_SECONDS,
    Admission,
    Admitted,
    AllBut,
    AllOf,
    AllOfApp,
    Ended,
    Full,
    LoginLimit,
    Mark,
    NewSession,
    One,
    Opened,
    OtherApp,
    Outdated,
    RateLimited,
    Replay,
    Reused,
    Running,
    Selector,
    Session,
    SessionStore,
    SessionsUnavailable,
    Watch,
)
from gameserver.sessions.memory import MemorySessions
from gameserver.sessions.reasons import session_error
from gameserver.sessions.store import Sessions
from gameserver.wire.clock import Clock

__all__ = [
    "END_REASONS",
    "PACKETS_PER_MINUTE_MAX",
    "SERVER_PROFILE_ID",
    "SESSIONS_PER_PLAYER_MAX",
    "SWITCHED_SECONDS",
    "Admission",
    "Admitted",
    "AllBut",
    "AllOf",
    "AllOfApp",
    "BadUrl",
    "Ended",
    "Full",
    "LoginLimit",
    "Mark",
    "MemorySessions",
    "NewSession",
    "One",
    "Opened",
    "OtherApp",
    "Outdated",
    "RateLimited",
    "Replay",
    "Reused",
    "Running",
    "Selector",
    "Session",
    "SessionStore",
    "Sessions",
    "SessionsUnavailable",
    "Watch",
    "connect",
    "digest_of",
    "new_session_id",
    "session_error",
    "session_store",
]


async def session_store(url: str | None, clock: Clock) -> SessionStore:
    """Return the store for a Redis URL, or for `None` one in this process's memory.

    Raises `BadUrl` for a URL of an unknown form. Redis need not be up yet.
    """
    if url is None:
        return MemorySessions(clock)
    return Sessions(await connect(url), clock)
