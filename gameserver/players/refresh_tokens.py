"""Refresh tokens: a new session without a password, as long as the login they come from is not ended.

Each login with a refresh token founds a family, which has one token at a time. Using it up gives the next. A
token that comes back after it was used was stolen, or its successor was: the whole family ends, with its
session. Only digests are stored, so a copy of the database refreshes nothing.
"""

import contextlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    String,
    Table,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from gameserver.apps import App, LiveApps, Settings
from gameserver.jobs import forget
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.players.termination import Actor, SessionTermination, TerminationListener
from gameserver.sessions import (
    AllBut,
    AllOf,
    AllOfApp,
    Ended,
    Full,
    LoginLimit,
    NewSession,
    One,
    Opened,
    Selector,
    Session,
    SessionStore,
    digest_of,
    new_session_id,
)
from gameserver.storage import Aborted, CommitUnknown, Database, Row, Transaction, insert_row, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.wire.clock import Clock

FACE = "oauth"
FAMILY_BYTES, SECRET_BYTES = 16, 32
TOKEN_LENGTH_MAX = 256
FAMILIES_PER_PLAYER_MAX = 100  # as many as a player may have sessions
PURGE_ROWS = 200
RESERVATION_SECONDS = 60  # how long a session lives that a refresh opened and could not confirm
DAY_MS = 86_400_000

_ALL_ROWS = 1 << 31

SAMPLE = """\
# Refresh tokens, for logins over web endpoints whose profile asks for them.
[oauth]
# false issues none and refuses every refresh; the tokens that exist are kept.
#enabled = false
# A token works once, within so many days; the tokens of one login work for so many days altogether.
#life_days = 30
#total_days = 365
"""


class RefreshSettings(Settings, kw_only=True):
    """How long players stay logged in by refresh tokens."""

    enabled: Annotated[
        bool, Meta(description="false issues none and refuses every refresh; tokens that exist are kept.")
    ] = False
    life_days: Annotated[int, Meta(ge=1, le=3650, description="A token works for this many days.")] = 30
    total_days: Annotated[
        int, Meta(ge=1, le=3650, description="The tokens of one login work for this many days altogether.")
    ] = 365

    def expires_ms(self, created_ms: int, now_ms: int) -> int:
        """When a token of a login of `created_ms` that is made now stops working."""
        return min(now_ms + self.life_days * DAY_MS, created_ms + self.total_days * DAY_MS)


class InvalidToken(Exception):
    """Unknown, used, expired or revoked: the player has to log in."""


class NotNow(Exception):
    """The token is good and stays so, but refreshing is refused at this moment. `str(error)` says why."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a token was exchanged for."""

    app: App
    profile_id: str
    session_id: str
    refresh_token: str


async def issue(
    tx: Transaction,
    settings: RefreshSettings,
    app_id: str,
    profile_id: str,
    session_id: str,
    epoch: int,
    *,
    now_ms: int,
    random: Callable[[int], bytes],
) -> str:
    """Found a family for a login that opens `session_id`; returns its first token.

    `epoch` is the player's: whoever ends all of a player's sessions and raises it ends the family as well.
    """
    family, secret = random(FAMILY_BYTES).hex(), random(SECRET_BYTES).hex()
    await tx.defer(FORGET_OLD, app=app_id, profile=profile_id, now_ms=now_ms)
    await tx.defer(
        ADD,
        family=_digest(family),
        app_id=app_id,
        profile_id=profile_id,
        digest=_digest(secret),
        session_digest=digest_of(session_id),
        epoch=epoch,
        created_ms=now_ms,
        used_ms=now_ms,
        expires_ms=settings.expires_ms(now_ms, now_ms),
    )
    return f"{family}.{secret}"


async def revoke_all(tx: Transaction, app_id: str, profile_id: str) -> list[str]:
    """Revoke all tokens of a player; returns the digests of the sessions they belonged to."""
    rows = await tx.all(REVOKE_ALL, app=app_id, profile=profile_id)
    return [row["session_digest"] for row in rows]


async def revoke_of_session(tx: Transaction, digest: str) -> int:
    """Revoke the token that belongs to a session; returns how many there were."""
    return await tx.run(REVOKE_OF_SESSION, session=digest)


def may_have_tokens(_: App, selector: Selector, by: Actor) -> bool:
    """Only logins over web endpoints found families of refresh tokens; ends of others cost no SQL.

    Families stay valid while an app has them switched off, so that does not count.
    """
    return not isinstance(selector, One) or by.home_face in ("", "endpoints", FACE)


async def forget_ended(tx: Transaction, selector: Selector, ended_ms: int) -> bool:
    """Revoke the tokens of sessions that ended at a time; True when nothing is left to do.

    Tokens of later logins stay, so this may come late and more than once.
    """
    match selector:
        case One():
            await tx.run(REVOKE_OF_SESSION, session=selector.resolve() or "none")
        case AllOf(app_id=app_id, profile_id=profile_id):
            await tx.run(REVOKE_UNTIL, app=app_id, profile=profile_id, until=ended_ms)
        case AllBut(app_id=app_id, profile_id=profile_id, keep=keep):
            await tx.run(REVOKE_OTHERS, app=app_id, profile=profile_id, keep=keep, until=ended_ms)
        case AllOfApp(app_id=app_id):
            most = PURGE_ROWS
            return await tx.run(REVOKE_OF_APP, app=app_id, until=ended_ms, most=most) < most
    return True


LISTENER = TerminationListener(may_have_tokens, forget_ended)


async def owner_of_session(tx: Transaction, digest: str) -> tuple[str, str] | None:
    """The app and the player whose tokens belong to a session, also one that has lapsed."""
    row = await tx.one(FIND_BY_SESSION, session=digest)
    return None if row is None else (row["app_id"], row["profile_id"])


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _parts(token: str) -> tuple[str, str]:
    """The digests of the two halves of a token. Raises `InvalidToken`."""
    family, dot, secret = token.partition(".")
    if not dot or len(token) > TOKEN_LENGTH_MAX or not token.isascii():
        raise InvalidToken
    return _digest(family), _digest(secret)


class RefreshTokens:
    """Refreshing and revoking, over the two stores.

    A session is opened before its token is exchanged, and confirmed afterwards; whoever logs a player out
    everywhere revokes the tokens before ending the sessions. So of a refresh and such a logout at the same
    time either the exchange finds no token, or the session is among those that end.
    """

    def __init__(
        self,
        database: Database,
        sessions: SessionStore,
        endings: SessionTermination,
        apps: LiveApps,
        clock: Clock,
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._endings = endings
        self._apps = apps
        self._clock = clock
        self._random = random

    async def refresh(self, token: str, client_id: str, address: str) -> Refreshed:
        """Exchange a token for a session and the next token.

        `client_id`, if given, must be the app's id. Raises `InvalidToken`, `NotNow`, and what the stores
        raise when they are away; then the token still works, unless the exchange itself may have happened.
        """
        family, secret = _parts(token)
        by = Actor(FACE, address)
        async with self._database.read() as tx:
            row = await tx.one(FIND, family=family)
        if row is None:
            raise InvalidToken
        if not hmac.compare_digest(row["digest"], secret):
            await self._end_family(family, "revoked", Actor(FACE, address, why="used_twice"))
            raise InvalidToken
        app, settings = self._admit(row, client_id)
        previous = await self._sessions.peek_digest(row["session_digest"])
        # Somebody logged out, or another login took the place.
        is_over = isinstance(previous, Ended) and previous.reason not in ("expired", "unknown")
        is_revoked = row["is_disabled"] or row["epoch"] < row["session_epoch"]
        if is_over or is_revoked or row["expires_ms"] <= self._clock.ms():
            await self._end_family(family, "revoked", by)
            raise InvalidToken
        opened = await self._open(app, row, by, beside_previous=isinstance(previous, Session))
        next_secret = self._random(SECRET_BYTES).hex()
        try:
            exchanged = await self._exchange(row, settings, next_secret, opened)
        except BaseException:
            await self._sessions.end(One(opened.session_id), "revoked")
            raise
        if not exchanged:  # used or revoked meanwhile
            await self._sessions.end(One(opened.session_id), "revoked")
            await self._end_family(family, "revoked", Actor(FACE, address, why="used_twice"))
            raise InvalidToken
        await self._sessions.end(One(digest=row["session_digest"]), "replaced")
        if isinstance(await self._sessions.confirm(opened.session_id, app.session.life_seconds), Ended):
            raise InvalidToken
        next_token = f"{token.partition('.')[0]}.{next_secret}"
        return Refreshed(app, row["profile_id"], opened.session_id, next_token)

    async def revoke(self, token: str, address: str) -> None:
        """End the login that a refresh token or a session id comes from. Other texts change nothing."""
        by = Actor(FACE, address)
        digest = self._sessions.digest(token)
        if digest is not None:
            session = await self._sessions.peek_digest(digest)
            if isinstance(session, Session):
                await self._end_session(session.home_app_id, digest, "logged_out", by)
            async with self._database.write() as tx:
                await revoke_of_session(tx, digest)
            return
        with contextlib.suppress(InvalidToken):
            await self._end_family(_parts(token)[0], "logged_out", by)

    def _admit(self, row: Row, client_id: str) -> tuple[App, RefreshSettings]:
        app = self._apps.find(row["app_id"])
        if app is None or client_id not in ("", app.id):
            raise InvalidToken
        settings = app.section(RefreshSettings)
        if not (app.enabled and app.login.enabled and settings.enabled):
            raise NotNow("logging in is switched off")
        return app, settings

    async def _open(self, app: App, row: Row, by: Actor, *, beside_previous: bool) -> Opened:
        # The session that this one replaces lives until the exchange is done, and must not count meanwhile.
        most = app.session.most + (1 if beside_previous else 0)
        opened = await self._sessions.open(
            NewSession(
                session_id=new_session_id(row["profile_id"], self._random),
                app_id=app.id,
                profile_id=row["profile_id"],
                face=FACE,
                life_seconds=RESERVATION_SECONDS,
                facts={"address": by.address},
                epoch=row["session_epoch"],
            ),
            LoginLimit(most=most, when_full=app.session.when_full),
        )
        if isinstance(opened, Full):
            raise NotNow("as many sessions as the app allows are open")
        if isinstance(opened, Ended):
            raise InvalidToken
        if opened.dropped:
            await self._endings.replaced(app, row["profile_id"], opened.dropped, by)
        return opened

    async def _exchange(self, row: Row, settings: RefreshSettings, secret: str, opened: Opened) -> bool:
        """Give the family its next token; False when the one in hand is no longer its token."""
        now_ms = self._clock.ms()
        change = {
            "family_": row["family"],
            "old": row["digest"],
            "new": _digest(secret),
            "session": opened.session.digest,
            "now_ms": now_ms,
            "expires": settings.expires_ms(row["created_ms"], now_ms),
        }

        async def exchange(tx: Transaction) -> bool:
            if await tx.run(EXCHANGE, **change):
                return True
            found = await tx.one(FIND, family=row["family"])
            # An earlier try may have happened though its commit was in doubt: that is no theft.
            return found is not None and found["digest"] == change["new"]

        async def again(_: Aborted | CommitUnknown) -> None:
            """Nothing to do: the work sees by itself whether it has happened."""

        return await self._database.transact(exchange, between=again)

    async def _end_family(self, family: str, reason: str, by: Actor) -> None:
        """Revoke a family and end its session."""
        row = await self._take(family)
        if row is not None:
            by = msgspec.structs.replace(by, profile_id=row["profile_id"])
            await self._end_session(row["app_id"], row["session_digest"], reason, by)

    async def _take(self, family: str) -> Row | None:
        return await self._database.transact(lambda tx: tx.one(TAKE, family=family))

    async def _end_session(self, app_id: str, digest: str, reason: str, by: Actor) -> None:
        app = self._apps.find(app_id)
        if app is not None:
            await self._endings.end(app, One(digest=digest), reason, by)
        else:  # the definition is gone, and with it what it says of ends
            await self._sessions.end(One(digest=digest), reason)


class TokenAnswer(msgspec.Struct):
    """What a client is told of a session with a refresh token, under the names of RFC 6749."""

    access_token: str
    expires_in: int
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - a name


# Storage

families = Table(
    "refresh_families",
    metadata,
    Column("family", String(64), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("session_digest", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index("refresh_families_by_profile", "app_id", "profile_id"),
    Index("refresh_families_by_session", "session_digest"),
    Index("refresh_families_by_expiry", "expires_ms"),
    info={"stored_by": StoredBy.KEY},
)
KEPT = PlayerTable(
    families,
    "profile_id",
    {
        "createdAt": families.c.created_ms,
        "usedAt": families.c.used_ms,
        "expiresAt": families.c.expires_ms,
    },
    moves=False,
)

_OF_PLAYER = (families.c.app_id == bindparam("app"), families.c.profile_id == bindparam("profile"))

ADD = insert_row(families)
FIND = (
    select(*families.c, players.c.is_disabled, players.c.session_epoch)
    .join(players, players.c.profile_id == families.c.profile_id)
    .where(families.c.family == bindparam("family"))
)
FIND_BY_SESSION = select(families.c.app_id, families.c.profile_id).where(
    families.c.session_digest == bindparam("session")
)
EXCHANGE = (
    update(families)
    .where(families.c.family == bindparam("family_"), families.c.digest == bindparam("old"))
    .values(
        digest=bindparam("new"),
        session_digest=bindparam("session"),
        used_ms=bindparam("now_ms"),
        expires_ms=bindparam("expires"),
    )
)
TAKE = (
    delete(families)
    .where(families.c.family == bindparam("family"))
    .returning(families.c.app_id, families.c.profile_id, families.c.session_digest)
)
REVOKE_ALL = delete(families).where(*_OF_PLAYER).returning(families.c.session_digest)
REVOKE_OF_SESSION = delete(families).where(families.c.session_digest == bindparam("session"))
REVOKE_UNTIL = delete(families).where(*_OF_PLAYER, families.c.created_ms <= bindparam("until"))
REVOKE_OTHERS = REVOKE_UNTIL.where(families.c.session_digest != bindparam("keep"))
REVOKE_OF_APP = delete(families).where(
    families.c.family.in_(
        select(families.c.family)
        .where(families.c.app_id == bindparam("app"), families.c.created_ms <= bindparam("until"))
        .order_by(families.c.family)
        .limit(bindparam("most"))
    )
)
# A player's expired families, and those beyond the number allowed, the least used first.
FORGET_OLD = delete(families).where(
    *_OF_PLAYER,
    or_(
        families.c.expires_ms <= bindparam("now_ms"),
        families.c.family.in_(
            select(families.c.family)
            .where(*_OF_PLAYER)
            .order_by(families.c.used_ms.desc(), families.c.family)
            .limit(_ALL_ROWS)
            .offset(FAMILIES_PER_PLAYER_MAX - 1)
        ),
    ),
)
FORGET = forget("refreshTokens.forget", Expiry(families.c.expires_ms))
