"""What an operation may use: the caller, the transaction, the floors below, time and chance."""

import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, NamedTuple, TypeVar

import msgspec
import structlog
from sqlalchemy import Update

from gameserver.apps import App
from gameserver.documents.list_counts import ListCounts
from gameserver.domain.leaderboards import Leaderboards
from gameserver.frame import Parts
from gameserver.players.accounts import Accounts
from gameserver.players.audit import Audit
from gameserver.players.life import PlayerHooks
from gameserver.players.mail import Mailer
from gameserver.players.passwords import Passwords
from gameserver.players.termination import Actor, SessionTermination
from gameserver.rpc.blanks import CannotTell
from gameserver.sessions import (
    Ended,
    Full,
    LoginLimit,
    NewSession,
    One,
    Selector,
    Session,
    SessionStore,
    new_session_id,
)
from gameserver.storage import Database, Transaction
from gameserver.wire import json
from gameserver.wire.clock import Clock
from gameserver.wire.errors import (
    GameError,
    NoSession,
    PacketTooLarge,
    SessionExpired,
    SessionLimitReached,
    SessionReplaced,
)

log = structlog.get_logger(__name__)

SERVER_PROFILE_ID = "s"  # stands in a server's session where a player's has the player
RESERVATION_SECONDS = (
    60  # a login that crashes between its reservation and its commit blocks the player no longer
)

ANSWER_MAX = 8 << 20  # characters of stored JSON that lists put into the answer of a packet

AnyReply = TypeVar("AnyReply")
AnyPart = TypeVar("AnyPart")
AnySection = TypeVar("AnySection", bound=msgspec.Struct)
Conclude = Callable[
    ["Context", Update, dict[str, Any], Callable[[Any], Any], Mapping[str, Any]], Awaitable[Any]
]
"""Runs the statement of `change` and stores the answer in one. Raises `CannotTell` before, `NoRow` after."""


class Concluded(NamedTuple):
    """The answer of a packet that ended with `change`, and its message's reply, which has blanks."""

    answer: bytes
    reply: Any


class NoRow(Exception):
    """There was no row to change, and nothing has happened."""


class Caller(Enum):
    """On whose authority a packet runs."""

    CLIENT = auto()
    SERVER = auto()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a packet came from: facts for policies, logs and the session record."""

    face: str
    address: str


@dataclass(slots=True)
class Core:
    """The floors an operation may reach, joined once at start."""

    database: Database
    sessions: SessionStore
    clock: Clock
    accounts: Accounts
    passwords: Passwords
    mailer: Mailer
    leaderboards: Leaderboards
    tallies: ListCounts
    audit: Audit
    endings: SessionTermination
    player_hooks: PlayerHooks["Context"]
    public_url: str  # what links in mails begin with; never taken from a request, which could name any host
    parts: Parts = field(default_factory=Parts)
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def get(self, kind: type[AnyPart]) -> AnyPart:
        """Return what lives as long as the server, by its type. Raises `LookupError`."""
        return self.parts.get(kind)


class Ending(msgspec.Struct, frozen=True):
    """Sessions that a packet ends once it is committed. Travels as the note beside a stored answer."""

    selector: Selector
    reason: str
    epoch: int | None = None
    why: str = ""


def session_error(reason: str) -> GameError:
    """The refusal that says why a session is gone; clients log themselves out on exactly these."""
    match reason:
        case "expired":
            return SessionExpired("the session has expired")
        case "replaced" | "revoked" | "disabled":
            return SessionReplaced("the session was ended by another login or by the operator")
        case _:
            return NoSession("there is no such session")


class Context:
    """One packet's surroundings, shared by its messages in turn."""

    __slots__ = (
        "_reserved",
        "_tx",
        "app",
        "caller",
        "conclude",
        "concluded",
        "core",
        "endings",
        "events",
        "is_retry",
        "login_entry",
        "now_ms",
        "opening",
        "origin",
        "outbox",
        "packet_id",
        "prepared",
        "profile_id",
        "refusals",
        "room",
        "session",
        "session_error",
    )

    def __init__(self, core: Core, app: App, origin: Origin, *, caller: Caller = Caller.CLIENT) -> None:
        self.core = core
        self.app = app
        self.origin = origin
        self.caller = caller
        self.now_ms = core.clock.ms()
        self.packet_id = 0
        self.session: Session | None = None
        self.session_error: GameError | None = None  # why there is no session, in the words the client needs
        self.profile_id: str | None = None
        self.prepared: Any = None
        self.is_retry = False  # the database gave up an earlier try: what is remembered may be old
        self._tx: Transaction | None = None
        self._reserved: NewSession | None = None
        self.begin()

    def begin(self) -> None:
        """Forget what an abandoned run of the packet wanted to happen after its commit."""
        self.opening: NewSession | None = None  # the session a login opens
        self.login_entry = 0  # which message that login is
        self.refusals: list[tuple[str, GameError]] = []  # of logins: the profile they asked for, and why not
        self.endings: list[Ending] = []
        self.events: list[bytes] = []
        self.outbox: list[Callable[[], Awaitable[None]]] = []
        self.room = ANSWER_MAX
        self.conclude: Conclude | None = None  # set where the packet may end with its message's statement
        self.concluded: Concluded | None = None  # a packet that has

    def mark(self) -> tuple[NewSession | None, int, int, int]:
        """How much is to happen after the commit so far."""
        return self.opening, len(self.endings), len(self.events), len(self.outbox)

    def rollback_to(self, wanted: tuple[NewSession | None, int, int, int]) -> None:
        """Forget what a message wanted that was refused after all."""
        self.opening, endings, events, outbox = wanted
        del self.endings[endings:], self.events[events:], self.outbox[outbox:]

    def use(self, tx: Transaction | None) -> None:
        """Hand out a transaction; for whoever runs the packet."""
        self._tx = tx

    @property
    def tx(self) -> Transaction:
        """The packet's transaction, as strong as the operation has declared."""
        assert self._tx is not None, "the operation declares Tx.NONE"
        return self._tx

    async def change(
        self,
        statement: Update,
        params: dict[str, Any],
        reply: Callable[[Any], AnyReply],
        otherwise: Callable[[], Awaitable[GameError]],
        *,
        known: Mapping[str, Any],
    ) -> AnyReply:
        """Change one row, as the last thing a message does; returns its reply, for the handler to return.

        `statement` is built at import and returns what the reply needs. Where there is no row, raises what
        `otherwise` finds out. `known` are the values of the row that do not depend on what is stored: where
        the rest are whole numbers, the database can put them into the answer (see `blanks`), and a packet
        that does nothing else is one round trip.
        """
        if self.conclude is not None:
            try:
                changed: AnyReply = await self.conclude(self, statement, params, reply, known)
            except CannotTell:
                pass
            except NoRow:
                raise await otherwise() from None
            else:
                return changed
        row = await self.tx.one(statement, **params)
        if row is None:
            raise await otherwise()
        return reply(row)

    @property
    def player_id(self) -> str:
        """The profile the caller acts for. Raises `NoSession`, or the reason the session is gone."""
        if self.profile_id is None:
            raise self.session_error or NoSession("no session: log in first")
        return self.profile_id

    def section(self, shape: type[AnySection]) -> AnySection:
        """A service's part of the app's definition."""
        return self.app.section(shape)

    def reserve_bytes(self, texts: Iterable[str]) -> None:
        """Keep a packet's answer from growing without end. Raises `PacketTooLarge` where texts do not fit."""
        size = sum(map(len, texts))
        if size > self.room:
            raise PacketTooLarge(
                f"an answer holds at most {ANSWER_MAX} characters of data; ask for less at once"
            )
        self.room -= size

    def after_commit(self, effect: Callable[[], Awaitable[None]]) -> None:
        """Queue an effect outside SQL. A crash may lose it or make it happen twice; both must be harmless."""
        self.outbox.append(effect)

    async def set_off_effects(self) -> None:
        """Do what waits for the commit. What fails is logged: the packet has taken place."""
        for effect in self.outbox:
            try:
                await effect()
            except Exception:
                log.exception("effect_failed", effect=getattr(effect, "__qualname__", "effect"))

    def note_player(self, profile_id: str, reason: str) -> None:
        """Let the audit know, once the packet is committed, what happened to all that is kept of a player."""

        async def note() -> None:
            self.core.audit.note(
                self.app,
                "player",
                reason,
                face=self.origin.face,
                address=self.origin.address,
                profile_id=profile_id,
            )

        self.after_commit(note)

    def add_event(self, event: dict[str, Any]) -> None:
        """Deliver an event to the caller with this very answer."""
        self.events.append(json.encode(event))

    @property
    def by(self) -> Actor:
        """Who ends the sessions that this packet ends."""
        by = Actor(self.origin.face, self.origin.address)
        if self.session is not None:
            by = replace(by, profile_id=self.session.home_profile_id, home_face=self.session.face)
        return by

    async def log_in(self, profile_id: str, facts: dict[str, Any], epoch: int | None = None) -> str:
        """Give the packet a session for a player; returns its id. It opens when the packet is committed.

        `epoch` is the player's, as this packet's transaction sees it: should all their sessions be ended
        before this one opens, it does not open. Where the policy refuses the newest session, a place is
        reserved at once, so that a login that will be refused changes nothing. Raises `SessionLimitReached`,
        and what `session_error` makes of an end that was faster.
        """
        if self._reserved is not None and (
            self._reserved.profile_id != profile_id or self._reserved.epoch != epoch
        ):
            if self.login_limit.when_full == "refuse_newest":
                await self.core.sessions.end(One(session_id=self._reserved.session_id or ""), "replaced")
            self._reserved = None
        if self._reserved is None:
            new = NewSession(
                session_id=new_session_id(profile_id, self.core.random_bytes),
                app_id=self.app.id,
                profile_id=profile_id,
                face=self.origin.face,
                facts={name: fact for name, fact in facts.items() if fact is not None}
                | {"address": self.origin.address},
                life_seconds=self.app.session.life_seconds,
                packet_id=self.packet_id,
                epoch=epoch,
            )
            if self.login_limit.when_full == "refuse_newest":
                reservation = msgspec.structs.replace(new, life_seconds=RESERVATION_SECONDS)
                match await self.core.sessions.open(reservation, self.login_limit):
                    case Full():
                        raise SessionLimitReached("as many sessions as the app allows are open")
                    case Ended(reason=reason):
                        raise session_error(reason)
                    case _:
                        pass
            self._reserved = new
        self.opening = self._reserved
        self.profile_id, self.session_error = profile_id, None
        return self.opening.session_id or ""

    @property
    def login_limit(self) -> LoginLimit:
        """How many sessions the app allows a player."""
        return LoginLimit(most=self.app.session.most, when_full=self.app.session.when_full)

    def end_sessions(
        self, selector: Selector, reason: str, *, epoch: int | None = None, why: str = ""
    ) -> None:
        """End sessions when the packet is committed; survives a crash between the two.

        `epoch` is the one the player has after this packet, and stops logins that are on their way. `why` is
        what the audit says instead of the reason.
        """
        self.endings.append(Ending(selector, reason, epoch, why))
