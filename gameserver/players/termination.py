"""Ending sessions: the one way, for every face and every service.

The end itself is one step of the session store, and needs nothing else to be up. What follows it in SQL, such
as devices that get no further notifications, is done at once if SQL answers, and else tried until it does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import msgspec
import structlog
from prometheus_client import Counter

from gameserver.apps import App
from gameserver.frame import Hook, Hooks, Parts, stop
from gameserver.players import devices
from gameserver.players.audit import Audit
from gameserver.players.devices import DeviceSettings
from gameserver.players.webhooks import SessionEnded, emit, is_wanted, new_event_id
from gameserver.sessions import AllBut, AllOf, One, Selector, Session, SessionStore
from gameserver.storage import Database, StorageError, Transaction
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 1.0  # how long the answer to a logout waits for SQL
RETRY_SECONDS = 0.05  # the first time; doubled up to the longest
RETRY_SECONDS_MAX = 30.0
WAITING_MAX = 1000  # ends that SQL has not followed yet
CLOSE_SECONDS_MAX = 5.0

LOGOUTS = Counter("gameserver_logouts", "Sessions ended, by face and reason.", ["face", "reason"])
_logouts = cache(LOGOUTS.labels)  # which takes longer than to count
GIVEN_UP = Counter(
    "gameserver_ends_not_followed", "Ends of sessions that left devices or refresh tokens behind in SQL."
)


class Actor(msgspec.Struct, frozen=True):
    """Who ends sessions. `why` is what the audit says instead of the reason that clients are told."""

    face: str
    address: str = ""
    profile_id: str = ""  # whose session it is, where the selector does not say
    home_face: str = ""  # through which that session was opened, where that is known
    why: str = ""


Forget = Callable[[Transaction, Selector, int], Awaitable[bool]]
"""Removes in SQL what must not outlive sessions that ended at a time; True when nothing is left to do."""


@dataclass(frozen=True, slots=True)
class TerminationListener:
    """What else ends with sessions. `wanted` decides by the app, the selector and who ends them."""

    wanted: Callable[[App, Selector, Actor], bool]
    forget: Forget


SESSIONS_END: Hook[TerminationListener] = Hook("sessions.end")


class SessionTermination:
    """Ends sessions, and sees to what follows. One for each process."""

    def __init__(
        self,
        sessions: SessionStore,
        database: Database,
        audit: Audit,
        clock: Clock,
        followers: Iterable[TerminationListener] = (),
    ) -> None:
        self._sessions = sessions
        self._database = database
        self._audit = audit
        self._clock = clock
        self._followers = (TerminationListener(takes_devices, devices.forget_ended), *followers)
        self._following: set[asyncio.Task[None]] = set()

    async def end(
        self,
        app: App,
        selector: Selector,
        reason: str,
        by: Actor,
        *,
        epoch: int | None = None,
        in_transaction: bool = False,
        packet_id: int | None = None,
        body_hash: str = "",
        answer: bytes | None = None,
        came_by: str = "",
    ) -> list[str]:
        """End sessions of an app; returns the digests of those that were alive. Nobody accepts them any more.

        `epoch` is the player's epoch after the change that ends all sessions: logins that saw an earlier one
        and are on their way are refused. `packet_id`, `body_hash`, `answer` and `came_by`, the digest of its
        session, belong to the packet that asked for it, whose repeat gets the same answer. Inside a
        transaction (`in_transaction`) no SQL follows: end them again once it is committed. Ending twice does
        no harm. Raises `SessionsUnavailable`; then nothing is known.
        """
        ended = await self._sessions.end(
            selector,
            reason,
            packet_id=packet_id,
            body_hash=body_hash,
            answer=answer,
            by=came_by,
            epoch=epoch,
        )
        emits = self._tell(app, selector, reason, by, ended) if ended else []
        if in_transaction:
            self._begin(selector, emits)  # it has its turn when that transaction is over
        else:
            await self._follow(app, selector, by, emits)
        return ended

    async def replaced(self, app: App, profile_id: str, sessions: list[Session], by: Actor) -> None:
        """See to what follows when a login has ended older sessions of the player."""
        for session in sessions:
            one = One(digest=session.digest)
            by_login = Actor(by.face, by.address, profile_id, home_face=session.face)
            emits = self._tell(app, one, "replaced", by_login, [session.digest])
            await self._follow(app, one, by_login, emits)

    async def forget_devices(self, selector: Selector) -> None:
        """Forget the devices of sessions that ended, whatever the app's policy."""
        await self._do(selector, [devices.forget_ended])

    async def _follow(self, app: App, selector: Selector, by: Actor, emits: list[Forget]) -> None:
        forgets = [follower.forget for follower in self._followers if follower.wanted(app, selector, by)]
        forgets += emits
        if forgets:
            await self._do(selector, forgets)

    async def _do(self, selector: Selector, forgets: list[Forget]) -> None:
        """Return when it is done, or when SQL takes too long; then it is tried on while the process lives."""
        task = self._begin(selector, forgets)
        if task is not None:
            await asyncio.wait({task}, timeout=PATIENCE_SECONDS)

    def _begin(self, selector: Selector, forgets: list[Forget]) -> asyncio.Task[None] | None:
        if not forgets:
            return None
        if len(self._following) >= WAITING_MAX:
            GIVEN_UP.inc()
            log.error("end_not_followed", selector=repr(selector), waiting=len(self._following))
            return None
        task = asyncio.create_task(self._until_done(selector, forgets, self._clock.ms()))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        return task

    async def settled(self) -> None:
        """Return when nothing is left to follow the ends so far."""
        while self._following:
            await asyncio.wait(self._following)

    async def close(self) -> None:
        """Finish what follows; what SQL does not take in time is given up."""
        waiting = set(self._following)
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=CLOSE_SECONDS_MAX)
        if late:
            GIVEN_UP.inc(len(late))
            log.error("ends_not_followed", ends=len(late))
            await asyncio.gather(*map(stop, late), return_exceptions=True)

    def _tell(self, app: App, selector: Selector, reason: str, by: Actor, ended: list[str]) -> list[Forget]:
        """Note what was ended; returns what is left to do of that in SQL."""
        _logouts(by.face, reason).inc(len(ended))
        profile_id = by.profile_id
        if isinstance(selector, AllOf | AllBut):
            profile_id = selector.profile_id
        self._audit.note(
            app,
            "revocation" if reason in ("revoked", "disabled") else "logout",
            by.why or reason,
            face=by.face,
            address=by.address,
            profile_id=profile_id,
            session=ended[0] if len(ended) == 1 else "",
            times=len(ended),
        )
        if not is_wanted(app, SessionEnded):
            return []
        event = SessionEnded(
            profile_id=profile_id, reason=by.why or reason, sessions=len(ended), face=by.face
        )

        event_id = new_event_id(self._clock.ms())

        async def tell(tx: Transaction, _: Selector, ended_ms: int) -> bool:
            await emit(tx, app, event, ended_ms, event_id=event_id)
            return True

        return [tell]

    async def _until_done(self, selector: Selector, forgets: list[Forget], ended_ms: int) -> None:
        pause = RETRY_SECONDS
        while True:
            try:
                async with self._database.write() as tx:
                    left = [forget for forget in forgets if not await forget(tx, selector, ended_ms)]
            except StorageError as error:
                log.warning("end_not_followed_yet", reason=str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            except Exception:
                GIVEN_UP.inc()
                log.exception("end_not_followed")
                return
            else:
                if not left:
                    return
                forgets = left


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[SessionTermination]:
    """End sessions as long as the server lives; what follows the last ends is finished."""
    found = (parts.get(SessionStore), parts.get(Database), parts.get(Audit), parts.get(Clock))
    termination = SessionTermination(*found, parts.get(Hooks).of(SESSIONS_END))
    try:
        yield termination
    finally:
        await termination.close()


def takes_devices(app: App, selector: Selector, by: Actor) -> bool:  # noqa: ARG001 - a follower's signature
    """The app decides by the face through which sessions end."""
    return by.face in app.section(DeviceSettings).forget_at_logout
