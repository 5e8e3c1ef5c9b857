"""Password digests: slow on purpose, and computed off the event loop."""

import asyncio
import base64
import logging
import os
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

log = logging.getLogger(__name__)

T = TypeVar("T")

PASSWORD_BYTES_MAX = 1024
_SALT_BYTES = 16
_DIGEST_BYTES = 32


class Busy(Exception):
    """Too many passwords are waiting already; the caller answers that the client should try again later."""


class UnusablePassword(ValueError):
    """The text can be nobody's password: longer than `PASSWORD_BYTES_MAX`, or not Unicode text."""


class Passwords:
    """Makes and verifies digests (argon2id).

    `memory_kib`, `passes` and `lanes` are the cost of one digest; the defaults are the least that OWASP
    advises. At most `threads` digests are computed at once and at most `waiting_max` more may wait.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19 * 1024,
        passes: int = 2,
        lanes: int = 1,
        threads: int | None = None,
        waiting_max: int = 256,
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
        threads = threads or min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._places = threading.BoundedSemaphore(threads + waiting_max)

    async def hash(self, text: str) -> str:
        """Make the digest of a new password. Raises UnusablePassword or Busy."""
        password = _usable(text)
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, digest: str | None, text: str) -> bool:
        """Tell whether a password belongs to a digest. Raises UnusablePassword or Busy.

        None stands for an account that does not exist, or has no password: the answer is False after the same
        work, so that time does not tell which accounts exist.
        """
        password = _usable(text)
        return await self._run(lambda: self._matches(digest, password))

    def outdated(self, digest: str) -> bool:
        """Tell whether a digest was made at another cost; make a new one at the next right login."""
        try:
            return self._hasher.check_needs_rehash(digest)
        except InvalidHashError:
            return True

    def close(self) -> None:
        """Wait for the digests at work and drop those that wait."""
        self._pool.shutdown(cancel_futures=True)

    def _matches(self, digest: str | None, password: bytes) -> bool:
        try:
            return self._hasher.verify(self._nobody if digest is None else digest, password)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            log.error("a stored password digest is damaged; its login was refused")  # noqa: TRY400
            return digest is not None and self._matches(None, password)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Busy("too many passwords are being verified")
        try:
            running = self._pool.submit(work)
        except BaseException:
            self._places.release()
            raise
        running.add_done_callback(self._leave)  # also when a caller gave up while waiting
        return await asyncio.wrap_future(running)

    def _leave(self, _: Future[T]) -> None:
        self._places.release()


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
