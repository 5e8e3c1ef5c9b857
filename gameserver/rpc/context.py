"""What an operation may use: the caller, the transaction, the floors below, time and chance."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Update

from gameserver.apps import App
from gameserver.frame import Hooks, Parts
from gameserver.players import quotas
from gameserver.players.accounts import Accounts
from gameserver.players.audit import Audit
from gameserver.players.life import PlayerHooks
from gameserver.players.links import PublicUrl
from gameserver.players.logins import followers
from gameserver.players.mail import Mail, Mailer
from gameserver.players.passwords import Passwords
from gameserver.players.refusals import Refusals
from gameserver.players.termination import Actor, SessionTermination
from gameserver.players.webhooks import EventData, emit
from gameserver.realtime import Channels, Place, encode_frame
from gameserver.rpc.caller import Caller, Origin
from gameserver.rpc.effects import Effect, Effects, Ending, Opening, Switch
from gameserver.rpc.last import Last
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
    session_error,
)
from gameserver.storage import Database, Payer, Transaction
from gameserver.wire import json
from gameserver.wire.clock import Clock
from gameserver.wire.errors import GameError, InvalidRequest, NoSession, PacketTooLarge, SessionLimitReached
from gameserver.wire.ids import new_id

RESERVATION_SECONDS = (
    60  # a login that crashes between its reservation and its commit blocks the player no longer
)

ANSWER_MAX = 8 << 20  # characters of stored JSON that lists put into the answer of a packet

AnyReply = TypeVar("AnyReply")
AnyPart = TypeVar("AnyPart")
AnySection = TypeVar("AnySection", bound=msgspec.Struct)


@dataclass(slots=True)
class Core:
    """The floors an operation may reach, joined once at start; `get` finds the rest by its type."""

    database: Database
    sessions: SessionStore
    clock: Clock
    accounts: Accounts
    quotas: quotas.Quotas
    passwords: Passwords
    mailer: Mailer
    audit: Audit
    endings: SessionTermination
    hooks: Hooks
    player_hooks: PlayerHooks["Context"]
    parts: Parts
    new_id: Callable[[], str] = new_id
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    @classmethod
    def joined(
        cls, parts: Parts, hooks: Hooks, player_hooks: PlayerHooks["Context"], **others: Any
    ) -> "Core":
        """Join what lives as long as the server; `others` are the fields that a test decides."""
        return cls(
            database=parts.get(Database),
            sessions=parts.get(SessionStore),
            clock=parts.get(Clock),
            accounts=parts.get(Accounts),
            quotas=parts.get(quotas.Quotas),
            passwords=parts.get(Passwords),
            mailer=parts.get(Mail),
            audit=parts.get(Audit),
            endings=parts.get(SessionTermination),
            hooks=hooks,
            player_hooks=player_hooks,
            parts=parts,
            **others,
        )

    def get(self, kind: type[AnyPart]) -> AnyPart:
        """Return what lives as long as the server, by its type. Raises `LookupError`."""
        return self.parts.get(kind)

    @property
    def public_url(self) -> str:
        """What links in mails begin with."""
        return self.get(PublicUrl).text


class Context(msgspec.Struct, eq=False):
    """One packet's surroundings, shared by its messages in turn.

    What is to happen outside SQL is added here, and happens when the packet is committed (see `effects`).
    """

    core: Core
    app: App
    origin: Origin
    caller: Caller = Caller.CLIENT
    packet_id: int | None = None  # on faces that have them
    session: Session | None = None
    session_id: str = ""  # as the client sent it, for who must pass it on
    session_error: GameError | None = None  # why there is no session, in the words the client needs
    profile_id: str | None = None
    prepared: Any = None
    is_over: Callable[[], bool] | None = None  # whether no further message is to begin
    is_retry: bool = False  # the database gave up an earlier try: what is remembered may be old
    steps: object | None = None  # the journal of the run; see `steps`
    is_whole: bool = False  # the message is all that is committed, and no answer is stored with it
    now_ms: int = 0
    effects: Effects = cast("Effects", None)  # nobody sees that: each context is made with its own
    _tx: Transaction | None = None
    _reserved: NewSession | None = None
    _free_bytes: int = 0

    def __post_init__(self) -> None:
        self.now_ms = self.core.clock.ms()
        self.effects = Effects(self.core, self.app, self.origin)
        self._free_bytes = ANSWER_MAX

    def alone(self) -> "Context":
        """The same packet, for one message that is committed by itself, with effects of its own."""
        own = copy(self)
        own.effects = Effects(self.core, self.app, self.origin)
        return own

    def at(self, app: App) -> "Context":
        """The same packet in another app, for what it does to a player there. Its effects are shared."""
        there = copy(self)
        there.app = app
        return there

    def use(self, tx: Transaction | None) -> None:
        """Hand out a transaction; for whoever runs the packet."""
        self._tx = tx

    def start_over(self) -> None:
        """Forget what an abandoned try of the packet wanted."""
        self.effects.clear()
        self._free_bytes = ANSWER_MAX

    # Who calls

    @property
    def player_id(self) -> str:
        """The profile the caller acts for. Raises `NoSession`, or the reason the session is gone."""
        if self.profile_id is None:
            raise self.session_error or NoSession("no session: log in first")
        return self.profile_id

    @property
    def by(self) -> Actor:
        """Who ends the sessions that this packet ends."""
        session, origin = self.session, self.origin
        if session is None:
            return Actor(origin.face, origin.address)
        return Actor(origin.face, origin.address, session.home_profile_id, session.face)

    @property
    def payer(self) -> Payer:
        """Who pays for what the packet reads."""
        return quotas.payer(self.app, self.profile_id, self.origin.address, is_server=self.caller.is_studio)

    def section(self, shape: type[AnySection]) -> AnySection:
        """A service's part of the app's definition."""
        return self.app.section(shape)

    async def add_to_quota(
        self, kept: quotas.Kept, owner: str, *, count: int = 0, size: int = 0, instead_of: str = ""
    ) -> None:
        """Count what a client is about to add to what a player keeps: see `Quotas.add`."""
        if self.caller is Caller.CLIENT:
            await self.core.quotas.add(
                self.tx, self.app, kept, owner, count=count, size=size, instead_of=instead_of
            )

    # Reading and writing

    @property
    def tx(self) -> Transaction:
        """The packet's transaction, as strong as the operation has declared."""
        assert self._tx is not None, "the operation declares Tx.NONE"
        return self._tx

    def last(
        self,
        statement: Update,
        params: dict[str, Any],
        *,
        reply: Callable[[Any], AnyReply],
        missing: Callable[[], Awaitable[GameError]],
        known: Mapping[str, Any],
    ) -> Last[AnyReply]:
        """Change one row as the last thing a message does: `return ctx.last(...)`. See `Last`.

        A message that does nothing else is one round trip.
        """
        return Last(statement, params, reply, missing, known)

    def reserve_bytes(self, texts: Iterable[str]) -> None:
        """Keep a packet's answer from growing without end. Raises `PacketTooLarge` where texts do not fit."""
        size = sum(map(len, texts))
        if size > self._free_bytes:
            raise PacketTooLarge(
                f"an answer holds at most {ANSWER_MAX} characters of data; ask for less at once"
            )
        self._free_bytes -= size

    async def emit(self, event: EventData) -> None:
        """Tell the webhooks of the app of an event: exactly if the packet's transaction is committed."""
        await emit(self.tx, self.app, event, self.now_ms)

    # After the commit

    def after_commit(self, effect: Effect) -> None:
        """Queue an effect outside SQL. A crash may lose it or make it happen twice; both must be harmless."""
        self.effects.outbox.append(effect)

    @property
    def outbox(self) -> list[Effect]:
        """The effects that are queued, for who adds to one of its own."""
        return self.effects.outbox

    def add_event(self, event: Any) -> None:
        """Deliver an event to the caller with this very answer."""
        self.effects.events.append(json.encode(event))

    def publish(
        self, channel: str, service: str, operation: str, data: Any, place: Place | None = None
    ) -> None:
        """Send a message to all who listen to a channel, once the packet is committed.

        It may get lost: what must arrive is stored as well. `player_channel` names all connections of a
        player. Messages with a `place` arrive in the order of their numbers, which the commit has decided.
        Raises `FrameTooLarge` beyond 64 KiB: an operation whose data may have as much lists what has its
        code, `PacketTooLarge`.
        """
        frame = encode_frame(service, operation, data)

        async def publish() -> None:
            self.core.get(Channels).publish(channel, frame, place)

        self.after_commit(publish)

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

    def note_refusal(self, operation: str, error: GameError, profile_id: str = "") -> None:
        """Record that a message, or a whole packet, is refused: at once, and whatever becomes of the rest."""
        digest = self.session.digest if self.session is not None else None
        if digest is None and self.session_id:
            digest = self.core.sessions.digest(self.session_id)
        self.core.get(Refusals).note(
            self.app,
            error,
            face=self.origin.face,
            operation=operation,
            profile_id=profile_id or self.profile_id or "",
            session=digest or "",
        )

    def end_sessions(
        self, selector: Selector, reason: str, *, epoch: int | None = None, why: str = ""
    ) -> None:
        """End sessions when the packet is committed. Where its answer is stored, a crash does not stop that.

        `epoch` is the one the player has after this packet, and stops logins that are on their way. `why` is
        what the audit says instead of the reason.
        """
        self.effects.endings.append(Ending(selector, reason, epoch, why))

    # Logins

    async def log_in(self, profile_id: str, facts: dict[str, Any], epoch: int | None = None) -> str:
        """Give the packet a session for a player; returns its id. It opens when the packet is committed.

        For operations that declare `opens_session`. `epoch` is the player's, as this packet's transaction
        sees it: should all their sessions be ended before this one opens, it does not open. Where the policy
        refuses the newest session, a place is reserved at once, so that a login that will be refused changes
        nothing. Raises `SessionLimitReached`, and what `session_error` makes of an end that was faster.
        """
        limit = LoginLimit(most=self.app.session.most, when_full=self.app.session.when_full)
        reserves = limit.when_full == "refuse_newest"
        new = self._reserved
        if new is not None and (new.profile_id != profile_id or new.epoch != epoch):
            if reserves:
                await self.core.sessions.end(One(session_id=new.session_id or ""), "replaced")
            new = self._reserved = None
        if new is None:
            new = self._new_session(profile_id, facts, epoch)
            if reserves:
                reservation = msgspec.structs.replace(new, life_seconds=RESERVATION_SECONDS)
                match await self.core.sessions.open(reservation, limit):
                    case Full():
                        raise SessionLimitReached("as many sessions as the app allows are open")
                    case Ended(reason=reason):
                        raise session_error(reason)
                    case _:
                        pass
            self._reserved = new
        self.effects.opening = Opening(new, limit, reserves)
        core = self.core
        self.outbox.extend(followers(core.hooks, core.parts, self.app, profile_id, facts, self.now_ms))
        self.profile_id, self.session_error = profile_id, None
        return new.session_id or ""

    def _new_session(self, profile_id: str, facts: dict[str, Any], epoch: int | None) -> NewSession:
        if None in facts.values():
            facts = {name: fact for name, fact in facts.items() if fact is not None}
        return NewSession(
            session_id=new_session_id(profile_id, self.core.random_bytes),
            app_id=self.app.id,
            profile_id=profile_id,
            face=self.origin.face,
            facts={**facts, "address": self.origin.address},
            life_seconds=self.app.session.life_seconds,
            packet_id=-1 if self.packet_id is None else self.packet_id,
            epoch=epoch,
        )

    def log_out_again(self) -> bool:
        """Open no session after all, where a message of this packet has logged in; False where none has."""
        if self.effects.opening is None:
            return False
        one = One(session_id=self.effects.opening.session.session_id or "")
        self.effects.opening = None
        # The login policy may have reserved its place already. Lost in a crash, the reservation lapses.
        self.after_commit(partial(_end, self, one))
        return True

    def switch(self, app: App, profile_id: str, epoch: int) -> None:
        """Let the caller's session act for another player, of another app, once the packet is committed.

        What else is in the packet is still the present player's. A call without a session, as servers make,
        switches nothing. Raises `InvalidRequest` where the session is opened by the same packet.
        """
        if self.effects.opening is not None:
            raise InvalidRequest("a switch comes in a packet after that of the login")
        if self.session is not None and self.session.profile_id == self.profile_id:
            self.effects.switch = Switch(app.id, profile_id, epoch)

    def refuse_login(self, profile_id: str, error: GameError) -> None:
        """Let the audit know that a login was refused, whatever becomes of the packet."""
        self.effects.refusals.append((profile_id, error))


async def _end(ctx: Context, selector: Selector) -> None:
    await ctx.core.endings.end(ctx.app, selector, "logged_out", ctx.by)
