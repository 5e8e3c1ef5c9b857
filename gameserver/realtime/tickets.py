"""The secrets with which connections are opened: each belongs to a session, opens one, and lapses soon."""

import secrets
from hashlib import blake2b
from typing import Protocol

from gameserver.sessions.coalescer import Coalescer
from gameserver.wire.clock import Clock

LIFE_SECONDS = 60  # from the request for a connection to its CONNECT
SECRET_BYTES = 24
SECRET_LENGTH_MAX = 64
PREFIX = "gs:rt:secret:"


class Tickets(Protocol):
    """Secrets of all processes that share sessions. Raises `SessionsUnavailable`."""

    async def issue(self, session_digest: str) -> str:
        """Return a new secret of a session. It is safe in URLs."""

    async def take(self, secret: str) -> str | None:
        """Use a secret up; returns the digest of its session, or None for one that opens nothing."""


class MemoryTickets:
    """Of a server that is one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: dict[str, tuple[int, str]] = {}  # in the order in which they lapse

    async def issue(self, session_digest: str) -> str:
        """Return a new secret of a session."""
        now = self._clock.ms()
        while self._issued and next(iter(self._issued.values()))[0] <= now:
            del self._issued[next(iter(self._issued))]
        secret = _new_secret()
        self._issued[_key(secret)] = now + LIFE_SECONDS * 1000, session_digest
        return secret

    async def take(self, secret: str) -> str | None:
        """Use a secret up."""
        until, digest = self._issued.pop(_key(secret), (0, ""))
        return digest if self._clock.ms() < until else None


class RedisTickets:
    """Of any number of processes."""

    def __init__(self, calls: Coalescer) -> None:
        self._calls = calls

    async def issue(self, session_digest: str) -> str:
        """Return a new secret of a session."""
        secret = _new_secret()
        await self._calls.command("SET", PREFIX + _key(secret), session_digest, "EX", LIFE_SECONDS)
        return secret

    async def take(self, secret: str) -> str | None:
        """Use a secret up."""
        if len(secret) > SECRET_LENGTH_MAX:
            return None
        digest = await self._calls.command("GETDEL", PREFIX + _key(secret))
        return digest.decode() if digest is not None else None


def _new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _key(secret: str) -> str:
    """What is kept of a secret: who reads it cannot connect, and how long a search takes tells nothing."""
    return blake2b(secret.encode(errors="surrogatepass"), digest_size=16).hexdigest()
