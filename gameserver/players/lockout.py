"""Slows down guessing: counts failed logins for each account and each network address, and locks for a while.

An account is counted whether or not it exists, so a lock tells nobody which accounts do. Keys hold digests:
the counters know no mail address.
"""

import ipaddress
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus

from gameserver.apps import App
from gameserver.sessions import SessionStore
from gameserver.wire.errors import GameError

IPV6_NETWORK_BITS = 64  # what one customer of a provider can roam in


class LockedOut(GameError):
    """Too many failures; said of accounts that exist and of ones that do not. The lock lapses by itself."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40788


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login attempt. `key` is None where no account is named, as with a code that people type."""

    sessions: SessionStore
    app: App
    type: str
    key: str | None
    address: str

    async def enter(self, *, charge: bool) -> None:
        """Let the attempt begin, or raise `LockedOut`.

        `charge` counts a failure beforehand, for checks that are slow: of many guesses at once no more than
        the limit are looked at. `succeed` takes it back.
        """
        login = self.app.login
        for name, _ in self._counters():
            if not await self.sessions.hit(f"{name}/lock", 1, login.lock_seconds, 0):
                raise LockedOut("too many failed logins; try again later")
        if charge and self.key is not None:
            failures = f"{self._account()}/failures"
            if not await self.sessions.hit(failures, login.failures_per_account, login.window_seconds):
                raise LockedOut("too many failed logins; try again later")

    async def fail(self, *, charged: bool) -> None:
        """Count a failure; the one that reaches a limit locks."""
        login = self.app.login
        for name, limit in self._counters():
            failures = f"{name}/failures"
            if not charged or name != self._account():
                await self.sessions.hit(failures, limit, login.window_seconds)
            if not await self.sessions.hit(failures, limit, login.window_seconds, 0):
                await self.sessions.hit(f"{name}/lock", 1, login.lock_seconds)
                await self.sessions.forget_hits(failures)

    async def succeed(self) -> None:
        """Forget the account's failures, not the address's: an account of one's own must not buy guesses."""
        if self.key is not None:
            await self.sessions.forget_hits(f"{self._account()}/failures")

    async def unlock(self) -> None:
        """Forget failures and lock of the account: its owner has proved themselves in another way."""
        await self.sessions.forget_hits(f"{self._account()}/failures")
        await self.sessions.forget_hits(f"{self._account()}/lock")

    def _counters(self) -> list[tuple[str, int]]:
        """What is counted, and how many failures it takes to lock it."""
        counters = []
        if self.address:
            network = _digest(self.app.id, network_of(self.address))
            counters.append((f"login/address/{network}", self.app.login.failures_per_address))
        if self.key is not None:
            counters.append((self._account(), self.app.login.failures_per_account))
        return counters

    def _account(self) -> str:
        return f"login/account/{_digest(self.app.id, self.type, self.key or '')}"


def network_of(address: str) -> str:
    """What failures are counted for: an IPv4 address, or the network of an IPv6 one; other text as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_NETWORK_BITS), strict=False))


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
