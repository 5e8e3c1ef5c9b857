"""What a packet makes happen outside SQL once it is committed: marked, rolled back and run in one place."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import msgspec
import structlog

from gameserver.apps import App, LiveApps
from gameserver.players.audit import Audit, Kind
from gameserver.players.termination import Actor, SessionTermination
from gameserver.rpc.caller import Origin
from gameserver.sessions import (
    Ended,
    LoginLimit,
    NewSession,
    One,
    Opened,
    Selector,
    Session,
    SessionStore,
    session_error,
)
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

Effect = Callable[[], Awaitable[None]]


class Ending(msgspec.Struct, frozen=True):
    """Sessions that end once the packet is committed. Travels as the note beside a stored answer."""

    selector: Selector
    reason: str
    epoch: int | None = None
    why: str = ""


class Switch(msgspec.Struct, frozen=True):
    """For whom the caller's session acts once the packet is committed; `epoch` is that player's."""

    app_id: str
    profile_id: str
    epoch: int


class Opening(NamedTuple):
    """The session that a login opens; with `is_reserved` its place is taken already."""

    session: NewSession
    limit: LoginLimit
    is_reserved: bool


class Cause(NamedTuple):
    """The packet whose repeats get the answer it got, though it has ended its own session."""

    session: str
    packet_id: int
    body_hash: str
    answer: bytes


Mark = tuple[Opening | None, int, int, int, Switch | None]
"""How much is to happen so far: the session of a login, ends, events, the rest, and the switch."""
NOTHING: Mark = (None, 0, 0, 0, None)


class Floors(Protocol):
    """What effects reach: a part of `Core`."""

    sessions: SessionStore
    endings: SessionTermination
    audit: Audit

    def get(self, kind: type[LiveApps]) -> LiveApps:
        """Return what lives as long as the server, by its type."""


class Effects(msgspec.Struct, eq=False):
    """Effects of one packet. Messages add to them; who runs the packet calls the methods, in their order."""

    _floors: Floors
    _app: App
    _origin: Origin
    opening: Opening | None = None
    endings: list[Ending] = []
    events: list[bytes] = []  # as JSON, for the caller, with this very answer
    outbox: list[Effect] = []
    switch: Switch | None = None
    refusals: list[tuple[str, GameError]] = []  # of logins: whom they asked for, and why not

    def clear(self) -> None:
        """Forget everything: the packet runs from its beginning."""
        self.opening = self.switch = None
        self.endings, self.events, self.outbox, self.refusals = [], [], [], []

    def mark(self) -> Mark:
        """Note how much is to happen, before a message that may be refused."""
        return self.opening, len(self.endings), len(self.events), len(self.outbox), self.switch

    def rollback_to(self, mark: Mark) -> None:
        """Forget what a message wanted that was refused after all. That a login was refused stays true."""
        self.opening, endings, events, outbox, self.switch = mark
        del self.endings[endings:], self.events[events:], self.outbox[outbox:]

    async def open_session(self, by: Actor) -> GameError | None:
        """Open the session of the packet's login, and let the audit know of logins.

        Tells why it does not open, when all sessions of the player have ended meanwhile. The events of the
        packet are not for the caller then.
        """
        too_late = None
        if self.opening is not None:
            too_late = await self._open(self.opening, by)
            if too_late is not None:
                self.events.clear()
                self.refusals.append((self.opening.session.profile_id, too_late))
        self.note_refusals()
        return too_late

    async def _open(self, opening: Opening, by: Actor) -> GameError | None:
        new = opening.session
        if opening.is_reserved:
            done: object = await self._floors.sessions.confirm(new.session_id or "", new.life_seconds)
            dropped: list[Session] = []
        else:
            outcome = await self._floors.sessions.open(new, opening.limit)
            done = outcome.session if isinstance(outcome, Opened) else outcome
            dropped = outcome.dropped if isinstance(outcome, Opened) else []
        if isinstance(done, Ended):
            return session_error(done.reason)
        digest = done.digest if isinstance(done, Session) else ""
        self._note("login", new.facts.get("authenticationType", ""), new.profile_id, digest)
        if dropped:
            await self._floors.endings.replaced(self._app, new.profile_id, dropped, by)
        return None

    def note_refusals(self) -> None:
        """Let the audit know of the logins that were refused."""
        for profile_id, error in self.refusals:
            self._note("refusal", str(error.reason_code), profile_id)

    def _note(self, kind: Kind, reason: str, profile_id: str, session: str = "") -> None:
        self._floors.audit.note(
            self._app,
            kind,
            reason,
            face=self._origin.face,
            address=self._origin.address,
            profile_id=profile_id,
            session=session,
        )

    async def end_sessions(self, by: Actor, cause: Cause | None = None) -> set[str]:
        """End what the packet asked for; returns the digests of the sessions that were alive.

        With a `cause` its answer stays with its session, for repeats.
        """
        return await end(self._floors.endings, self._floors.get(LiveApps), self._app, self.endings, by, cause)

    async def switch_session(self, session: Session, by: Actor) -> None:
        """Let the caller's session act for whom the packet has chosen, if it has."""
        if self.switch is not None:
            await switch(self._floors.sessions, self._floors.endings, self._app, session, self.switch, by)

    async def run_outbox(self) -> None:
        """Do the rest. What fails is logged: the packet has taken place."""
        for effect in self.outbox:
            try:
                await effect()
            except Exception:
                log.exception("effect_failed", effect=getattr(effect, "__qualname__", "effect"))


async def switch(
    sessions: SessionStore,
    termination: SessionTermination,
    app: App,
    session: Session,
    wanted: Switch,
    by: Actor,
) -> None:
    """Let a session act for another player; it ends where all of that player's have ended meanwhile."""
    done = await sessions.switch(session, wanted.app_id, wanted.profile_id, wanted.epoch)
    if isinstance(done, Ended):
        await termination.end(app, One(digest=session.digest), "revoked", by)


async def end(
    termination: SessionTermination,
    apps: LiveApps,
    home: App,
    endings: list[Ending],
    by: Actor,
    cause: Cause | None,
) -> set[str]:
    """End sessions as `Effects.end_sessions` does; twice does no harm. `home` is the app of the packet."""
    ended: set[str] = set()
    for ending in endings:
        who = msgspec.structs.replace(by, why=ending.why)
        app = home if isinstance(ending.selector, One) else apps.find(ending.selector.app_id) or home
        if cause is None:
            digests = await termination.end(app, ending.selector, ending.reason, who, epoch=ending.epoch)
        else:
            digests = await termination.end(
                app,
                ending.selector,
                ending.reason,
                who,
                epoch=ending.epoch,
                packet_id=cause.packet_id,
                body_hash=cause.body_hash,
                answer=cause.answer,
                came_by=cause.session,
            )
        ended |= set(digests)
    return ended
