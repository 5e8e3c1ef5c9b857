"""Password digests: slow on purpose, and computed off the event loop."""

import asyncio
import base64
import logging
import os
import secrets
import unicodedata
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import resources
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

log = logging.getLogger(__name__)

T = TypeVar("T")

PASSWORD_BYTES_MAX = 1024
_Work = tuple[Callable[[], Any], "asyncio.Future[Any]"]
_SALT_BYTES = 16
_DIGEST_BYTES = 32


class Busy(Exception):
    """Too many passwords are waiting already; the caller answers that the client should try again later."""


class UnusablePassword(ValueError):
    """The text can be nobody's password: longer than `PASSWORD_BYTES_MAX`, or not Unicode text."""


class Passwords:
    """Makes and verifies digests (argon2id).

    `memory_kib`, `passes` and `lanes` are the cost of one digest; the defaults are the least that OWASP
    advises. At most `threads` digests are computed at once, fewer than there are processors: answers that
    need none must not wait for those that do. Networks take turns, and of one at most `network_max` may wait:
    one that sends hundreds of logins at once keeps itself waiting and nobody else.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19 * 1024,
        passes: int = 2,
        lanes: int = 1,
        threads: int | None = None,
        waiting_max: int = 256,
        network_max: int = 16,
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=lanes,
            hash_len=_DIGEST_BYTES,
            salt_len=_SALT_BYTES,
        )
        # Nobody's digest. Random bytes in the place of a digest cost the same to compare with as a real one.
        self._nobody = (
            f"$argon2id$v=19$m={memory_kib},t={passes},p={lanes}"
            f"${_base64(secrets.token_bytes(_SALT_BYTES))}${_base64(secrets.token_bytes(_DIGEST_BYTES))}"
        )
        self._free = threads or max(1, min(4, (os.cpu_count() or 1) - 1))
        self._pool = ThreadPoolExecutor(self._free, thread_name_prefix="password")
        self._waiting_max, self._network_max = waiting_max, network_max
        self._count = 0
        self._waiting: dict[str, deque[_Work]] = {}  # by network; the first one is next

    async def hash(self, text: str, network: str = "") -> str:
        """Make the digest of a new password, for a network ("": none). Raises UnusablePassword or Busy."""
        password = _usable(text)
        return await self._run(lambda: self._hasher.hash(password), network)

    async def verify(self, digest: str | None, text: str, network: str = "") -> bool:
        """Tell whether a password belongs to a digest. Raises UnusablePassword or Busy.

        None stands for an account that does not exist, or has no password: the answer is False after the same
        work, so that time does not tell which accounts exist.
        """
        password = _usable(text)
        return await self._run(lambda: self._matches(digest, password), network)

    def outdated(self, digest: str) -> bool:
        """Tell whether a digest was made at another cost; make a new one at the next right login."""
        try:
            return self._hasher.check_needs_rehash(digest)
        except InvalidHashError:
            return True

    def close(self) -> None:
        """Wait for the digests at work and drop those that wait."""
        for queue in self._waiting.values():
            for _, done in queue:
                done.cancel()
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _matches(self, digest: str | None, password: bytes) -> bool:
        try:
            return self._hasher.verify(self._nobody if digest is None else digest, password)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            log.error("a stored password digest is damaged; its login was refused")  # noqa: TRY400 - the trace would tell nothing more
            return digest is not None and self._matches(None, password)

    async def _run(self, work: Callable[[], T], network: str) -> T:
        queue = self._waiting.get(network)
        most = self._network_max if network else self._waiting_max
        if self._count >= self._waiting_max or (queue is not None and len(queue) >= most):
            raise Busy("too many passwords are being verified")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(network, deque()).append((work, done))
        self._count += 1
        self._start()
        try:
            return await done
        except asyncio.CancelledError:  # a player who hangs up gives the place back
            self._leave(network, work)
            raise

    def _start(self) -> None:
        """Let the next ones begin, one of each network in turn."""
        while self._free and self._waiting:
            network = next(iter(self._waiting))
            queue = self._waiting.pop(network)
            work, done = queue.popleft()
            self._count -= 1
            if queue:
                self._waiting[network] = queue  # behind the others
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
            running.add_done_callback(partial(self._finished, done))

    def _finished(self, done: "asyncio.Future[Any]", running: "asyncio.Future[Any]") -> None:
        self._free += 1
        error = None if running.cancelled() else running.exception()
        if done.done():
            pass
        elif running.cancelled():
            done.cancel()
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(running.result())
        self._start()

    def _leave(self, network: str, work: Callable[[], Any]) -> None:
        queue = self._waiting.get(network, deque())
        for place, (waiting, _) in enumerate(queue):
            if waiting is work:
                del queue[place]
                self._count -= 1
                break
        if not queue:
            self._waiting.pop(network, None)


@cache
def _common() -> frozenset[str]:
    file = resources.files("gameserver.players").joinpath("common_passwords.txt")
    return frozenset(file.read_text("utf-8").split())


def is_common(text: str) -> bool:
    """Tell whether a password is one of those that guessing begins with, whatever its case."""
    return text.strip().casefold() in _common()


def _usable(text: str) -> bytes:
    """Turn a password into bytes; the same letters give the same bytes however a keyboard composed them."""
    try:
        if len(text) > PASSWORD_BYTES_MAX or len(text.encode()) > PASSWORD_BYTES_MAX:
            raise UnusablePassword(f"a password has at most {PASSWORD_BYTES_MAX} bytes")
        return unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError:
        raise UnusablePassword("a password is Unicode text") from None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
