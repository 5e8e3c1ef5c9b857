"""Slows down guessing: counts failed logins for each account and each network address, and locks for a while.

Each further lock within a day is twice as long. A network from which an account has been logged in to has a
counter of its own for that account: whoever fails elsewhere does not lock its player out.

An account is counted whether or not it exists, so a lock tells nobody which accounts do. Keys hold digests:
the counters know no mail address.
"""

import asyncio
import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from http import HTTPStatus

from gameserver.apps import App
from gameserver.sessions import SessionStore
from gameserver.wire.errors import GameError

IPV6_NETWORK_BITS = 64  # what one customer of a provider can roam in
KNOWN_SECONDS = 30 * 86_400  # how long a network is remembered that an account was logged in to from
LONGEST_LOCK = 64  # times the first one


class LockedOut(GameError):
    """Too many failures; said of accounts that exist and of ones that do not. The lock lapses by itself."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40788


@dataclass(slots=True)
class Attempt:
    """One login attempt. `key` is None where no account is named, as with a code that people type."""

    sessions: SessionStore
    app: App
    type: str
    key: str | None
    address: str
    is_known: bool = False  # the network is one from which the account was logged in to; `enter` finds out

    async def enter(self, *, charge: bool) -> None:
        """Let the attempt begin, or raise `LockedOut`.

        `charge` counts a failure beforehand, for checks that are slow: of many guesses at once no more than
        the limit are looked at. `succeed` takes it back.
        """
        own = self._own()
        shared = [name for name in (self._network(), self._account()) if name]
        *locked, known, locked_here = await asyncio.gather(  # all in one round trip
            *(self.sessions.is_locked(name) for name in shared),
            self._is_known(own),
            self.sessions.is_locked(own),
        )
        self.is_known = known
        if locked_here if known else any(locked):
            raise LockedOut("too many failed logins; try again later")
        if charge and (account := self._counter()):
            login = self.app.login
            if not await self.sessions.hit(
                f"{account}/failures", login.failures_per_account, login.window_seconds
            ):
                raise LockedOut("too many failed logins; try again later")

    async def fail(self, *, charged: bool) -> None:
        """Count a failure; the one that reaches a limit locks."""
        login = self.app.login
        counters = (
            (self._network(), login.failures_per_address),
            (self._counter(), login.failures_per_account),
        )
        for name, limit in counters:
            if not name:
                continue
            failures = f"{name}/failures"
            if not charged or name != self._counter():
                await self.sessions.hit(failures, limit, login.window_seconds)
            if not await self.sessions.hit(failures, limit, login.window_seconds, 0):
                await self.sessions.lock(name, login.lock_seconds, login.lock_seconds * LONGEST_LOCK)
                await self.sessions.forget_hits(failures)

    async def succeed(self) -> None:
        """Forget the account's failures, not the address's: an account of one's own must not buy guesses."""
        account = self._counter()
        if not account:
            return
        steps = [self.sessions.forget_hits(f"{account}/failures")]
        if self.address and not self.is_known:
            steps.append(self._note_known())
        await asyncio.gather(*steps)

    async def unlock(self) -> None:
        """Forget failures and locks of the account: its owner has proved themselves in another way."""
        for name in (self._account(), self._own()):
            await asyncio.gather(self.sessions.forget_hits(f"{name}/failures"), self.sessions.unlock(name))

    async def _is_known(self, own: str) -> bool:
        if not self.address or self.key is None:
            return False
        return not await self.sessions.hit(f"{own}/known", 1, KNOWN_SECONDS, 0)

    async def _note_known(self) -> None:
        await self.sessions.hit(f"{self._own()}/known", 1, KNOWN_SECONDS)

    # What is counted and locked; empty where there is nothing to count for.

    def _counter(self) -> str:
        return self._own() if self.is_known else self._account()

    def _account(self) -> str:
        return "" if self.key is None else f"login/account/{_digest(self.app.id, self.type, self.key)}"

    def _own(self) -> str:
        """The account, for this network."""
        return f"{self._account()}/{self._network()}"

    def _network(self) -> str:
        return f"login/address/{_digest(self.app.id, network_of(self.address))}" if self.address else ""


@lru_cache(maxsize=4096)
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
