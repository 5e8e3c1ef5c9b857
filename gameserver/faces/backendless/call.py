"""One request of this face: which app it is for, on whose authority it comes, and who is logged in."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from gameserver.apps import App
from gameserver.faces.backendless.errors import Code, Refused
from gameserver.faces.backendless.settings import SERVER, AppVersion, BackendlessSettings
from gameserver.players import users
from gameserver.players.audit import Kind
from gameserver.players.termination import Actor
from gameserver.rpc import Core
from gameserver.sessions import AllOf, Ended, Selector, Session
from gameserver.storage import Row, Transaction
from gameserver.wire import json
from gameserver.wire.shapes import explain

FACE = "backendless"

T = TypeVar("T")
AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who sent a user-token. `row` has the columns of `users.read`."""

    session: Session
    row: Row

    @property
    def profile_id(self) -> str:
        """The player, which is what users are."""
        return self.session.profile_id


def locked_out(row: Row) -> Refused:
    """Say that a user may not log in: who was given the status DISABLED, or whom the operator disabled."""
    if row["disabled_through"] == FACE:
        return Refused(Code.USER_DISABLED, "The user is disabled.")
    return Refused(Code.LOGIN_DISABLED_FOR_USER, "Login is disabled for this user.")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was admitted. `path` holds the parts of its address that vary."""

    core: Core
    app: App
    settings: BackendlessSettings
    version: AppVersion
    kind: str
    token: str
    address: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    now_ms: int

    @property
    def by_server(self) -> bool:
        """Whether the studio's own server is calling."""
        return self.kind == SERVER

    def read(self, shape: type[AnyStruct]) -> AnyStruct:
        """Read the body, a JSON object. Raises `Refused`."""
        value = self.properties()
        try:
            return msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            raise Refused(Code.UNREADABLE, str(explain(error, root="body"))) from None

    def properties(self) -> dict[str, Any]:
        """Read the body as the properties of a user. Raises `Refused`."""
        if not self.body or self.body == json.JSON_NULL:
            raise Refused(Code.MISSING, "The request has no body: expected a JSON object.")
        value = json.decode_any(self.body)
        if not isinstance(value, dict):
            raise Refused(Code.UNREADABLE, "The body of the request is not a JSON object.")
        return value

    async def session(self) -> Session | None:
        """Find and renew the session of the user-token; None when the request has none.

        Raises `Refused` for a token that is not good any more, or never was, and `RateLimited`.
        """
        if not self.token:
            return None
        found = await self.core.sessions.touch(self.token)
        if isinstance(found, Ended) and found.reason == "expired":
            raise Refused(Code.SESSION_TIMED_OUT, "The session has timed out. Log in again.")
        if isinstance(found, Ended) or found.app_id != self.app.id:
            raise Refused(Code.UNKNOWN_TOKEN, "The user-token is not known, or not any more. Log in again.")
        self.core.quotas.call(self.app, found.home_profile_id, self.now_ms)
        return found

    async def logged_in(self) -> LoggedIn | None:
        """Find who sent the request; None when nobody is logged in. Raises `Refused`."""
        session = await self.session()
        if session is None:
            return None
        row = await self.read_user(session.profile_id)
        if row is None:
            raise Refused(Code.UNKNOWN_TOKEN, "The user of the user-token is gone.")
        if row["is_disabled"]:
            # Whoever disabled the account ended its sessions; this one was opened at the same moment.
            await self.end(AllOf(self.app.id, session.profile_id), "disabled", why="disabled")
            raise locked_out(row)
        return LoggedIn(session, row)

    async def must_be_logged_in(self) -> LoggedIn:
        """Find who sent the request. Raises `Refused` when nobody is logged in."""
        user = await self.logged_in()
        if user is None:
            raise Refused(Code.NOT_LOGGED_IN, "The user is not logged in.")
        return user

    async def may_look(self) -> LoggedIn | None:
        """Let users and servers look at users; returns the user who does, if it is one. Raises `Refused`."""
        return None if self.by_server else await self.must_be_logged_in()

    async def end(
        self,
        selector: Selector,
        reason: str,
        *,
        why: str = "",
        profile_id: str = "",
        home_face: str = "",
        epoch: int | None = None,
        in_transaction: bool = False,
    ) -> list[str]:
        """End sessions; see `SessionTermination.end`, whose `by` this request fills in."""
        by = Actor(FACE, self.address, profile_id, home_face, why)
        return await self.core.endings.end(
            self.app, selector, reason, by, epoch=epoch, in_transaction=in_transaction
        )

    def note(self, kind: Kind, reason: str, profile_id: str, session: str = "") -> None:
        """Tell the audit of a login."""
        self.core.audit.note(
            self.app,
            kind,
            reason,
            face=FACE,
            address=self.address,
            profile_id=profile_id,
            session=session,
        )

    async def read_user(self, profile_id: str) -> Row | None:
        """Read a user."""
        async with self.core.database.read() as tx:
            return await users.read(tx, self.app.id, profile_id, self.settings.identity_type)

    async def write(self, change: Callable[[Transaction], Awaitable[T]]) -> T:
        """Make a change, again when the database aborts it. Raises `Aborted` when it does so too often."""
        return await self.core.database.transact(change)
