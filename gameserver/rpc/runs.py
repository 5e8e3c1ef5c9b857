"""The packets that run in this process: who waits for them, and that they keep their claims."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from gameserver.rpc import metrics
from gameserver.rpc.runner import PacketFailed
from gameserver.sessions import Session, SessionStore, SessionsUnavailable
from gameserver.wire import errors

RUN_SECONDS_MAX = 60  # after this the waiting client is told 504, and no further message of the packet begins
CLAIM_RENEWAL_SECONDS = 5


class Waiter(Protocol):
    """The connection that waits for a packet's answer."""

    def close(self) -> None:
        """A newer connection waits for the same packet: end this one without an answer."""

    def time_out(self) -> None:
        """The packet runs too long: answer 504 now; the real answer will not be sent here."""

    def watch(self) -> None:
        """The packet runs for long: from now on, `is_gone` tells when the client hangs up."""

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up."""


class Superseded(Exception):
    """The answer goes to another connection, or nowhere."""


class Run(msgspec.Struct, eq=False):
    """A packet that is running."""

    session: Session
    packet_id: int
    waiter: Waiter | None
    started: float
    seconds_max: float
    done: asyncio.Future[bytes] | None = None
    """Is made when a second connection waits."""

    def is_over(self) -> bool:
        """Tell whether no further message is to begin: it takes too long, or nobody waits for it any more."""
        waiter = self.waiter
        return waiter is None or waiter.is_gone or time.monotonic() - self.started >= self.seconds_max


def time_limit(seconds_max: float | None = None) -> Callable[[], bool]:
    """Return what tells whether a packet takes too long that begins now, and that nobody can join."""
    until = time.monotonic() + (RUN_SECONDS_MAX if seconds_max is None else seconds_max)
    return lambda: time.monotonic() >= until


class Runs:
    """All of them, by session and packetId."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions
        self._runs: dict[tuple[str, int], Run] = {}

    def has(self, session: Session, packet_id: int) -> bool:
        """Tell whether a packet runs here."""
        return (session.digest, packet_id) in self._runs

    def begin(
        self, session: Session, packet_id: int, waiter: Waiter, seconds_max: float | None = None
    ) -> Run:
        """Note that a packet runs, and for how long it may; `end` or `fail` must follow."""
        seconds = RUN_SECONDS_MAX if seconds_max is None else seconds_max
        run = Run(session, packet_id, waiter, time.monotonic(), seconds)
        self._runs[session.digest, packet_id] = run
        return run

    def end(self, run: Run, answer: bytes) -> None:
        """Give the answer to who has joined."""
        self._forget(run)
        if run.done is not None:
            run.done.set_result(answer)

    def fail(self, run: Run) -> None:
        """Tell who has joined that the packet could not be run."""
        self._forget(run)
        if run.done is not None:
            run.done.set_exception(PacketFailed("the packet could not be run"))
            run.done.exception()  # whoever waited may be gone

    def _forget(self, run: Run) -> None:
        key = (run.session.digest, run.packet_id)
        if self._runs.get(key) is run:
            del self._runs[key]

    async def join(self, session: Session, packet_id: int, waiter: Waiter) -> bytes:
        """Wait for a packet instead of the connection that did so far; returns its answer.

        Raises `errors.PacketInProgress` when it runs elsewhere or too long, and `Superseded`.
        """
        run = self._runs.get((session.digest, packet_id))
        if run is None or run.waiter is None:
            raise errors.PacketInProgress("this packet is still running")
        run.waiter.close()
        run.waiter = waiter
        if run.done is None:
            run.done = asyncio.get_running_loop().create_future()
        answer = await asyncio.shield(run.done)
        if run.waiter is not waiter:
            raise Superseded
        return answer

    async def keep_running(self) -> None:
        """Renew the claims of running packets; tell clients that have waited long enough. Runs for ever."""
        while True:
            await asyncio.sleep(CLAIM_RENEWAL_SECONDS)
            metrics.RUNNING.set(len(self._runs))
            now = time.monotonic()
            runs = [run for run in self._runs.values() if now - run.started >= CLAIM_RENEWAL_SECONDS]
            for run in runs:
                if run.waiter is None:
                    continue
                if now - run.started >= run.seconds_max:
                    run.waiter.time_out()
                    run.waiter = None
                else:
                    run.waiter.watch()
            if runs:
                with contextlib.suppress(SessionsUnavailable):  # the next round tries again
                    await self._sessions.keep_claims([(run.session, run.packet_id) for run in runs])
