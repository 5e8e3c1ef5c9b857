"""What a script may ask of the server: the functions of `bridge`, and operations through its proxies.

Each call is a step of the run's journal (see `rpc.steps`). A refused operation is an answer like any other;
only a misused bridge throws.
"""

import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from posixpath import dirname
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import tzdata  # type: ignore[import-untyped]  # noqa: F401 - zoneinfo finds it where the system has no time zones
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gameserver.apps import App, LiveApps
from gameserver.players import identities, profile_links, profiles
from gameserver.players.accounts import Login, identity_key
from gameserver.rpc import Caller, Context, Origin
from gameserver.rpc.effects import Ending
from gameserver.rpc.service import Access
from gameserver.rpc.steps import Steps
from gameserver.scripts import session_cache
from gameserver.scripts.arguments import Arguments, Thrown
from gameserver.scripts.engine import Reply
from gameserver.scripts.programs import Program, ScriptSettings, canonical
from gameserver.scripts.proxies import arguments_of, proxies
from gameserver.sessions import One, Session
from gameserver.storage import Transaction
from gameserver.wire import json
from gameserver.wire.errors import GameError, NotAllowed, UnreadableJson
from gameserver.wire.packet import Message, check_message, refusal

FACE = "script"
RUN = ("script", "RUN")  # what callScript is short for
SLEEP_SECONDS_MAX = 600.0  # the run's own limit comes first
DEBUG_LINES = "debug lines"
"""In what the parts of a run share: where lines go that are for authors alone who try a script."""
_SUCCESS = b'{"status":200,"data":null}'
_STATUS_200 = b'{"status":200,'


class InvalidScriptContext(GameError):
    """The operation needs a player, and the script runs for none: make a session for one."""

    reason_code = 40789


class Kind(StrEnum):
    """Who has a script run."""

    CLIENT = "client"
    SERVER = "server"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Standing:
    """On whose behalf a script acts: in which app, for which player, if any, and with whose session."""

    kind: Kind
    app: App
    profile_id: str | None = None
    session: Session | None = None
    session_id: str = ""
    client_app: App | None = None
    """In a peer's script, the app of the caller; `profile_id` is of the peer app, where there is one."""
    client_profile_id: str | None = None


def standing_of(ctx: Context) -> Standing:
    """Return on whose behalf a script acts that an operation runs."""
    if ctx.profile_id is None:
        return Standing(Kind.SERVER, ctx.app)
    if ctx.caller is Caller.SERVER:  # whose own session is not the player's
        return Standing(Kind.CLIENT, ctx.app, ctx.profile_id)
    return Standing(Kind.CLIENT, ctx.app, ctx.profile_id, ctx.session, ctx.session_id)


class Bridge:
    """The host of one script that runs."""

    def __init__(self, ctx: Context, steps: Steps, standing: Standing, program: Program) -> None:
        self.ctx = ctx
        self.core = ctx.core
        self.steps = steps
        self.standing = standing
        self.program = program
        self._origin = Origin(FACE, ctx.origin.address, program.path)
        self.failure: Exception | None = None
        """Why the run cannot go on, though the script is not to blame."""

    async def call(self, name: str, args: bytes, session: bytes, drawn: bytes) -> Reply:
        """Do what the script asks for; see `engine.Host`."""
        try:
            value = await self._do(name, args, session, drawn)
        except Thrown as error:
            return Reply(thrown=str(error), draws=self.steps.draws)
        except Exception as error:
            self.failure = error
            raise
        return Reply(value, draws=self.steps.draws)

    async def _do(self, name: str, args: bytes, session: bytes, drawn: bytes) -> bytes:
        call = b"\0".join((name.encode(), session, args))
        try:
            arguments = arguments_of(args)
        except UnreadableJson as error:
            raise Thrown(f"{name}: {error}") from None
        if (method := proxies().find(name, len(arguments))) is not None:
            who = self.who(_session_in(session)) if session else self.standing
            return await self.message(who, method.message(arguments), call, drawn)
        if (make := _MESSAGES.get(name)) is not None:
            who, message = make(self, Arguments(name, arguments))
            return await self.message(who, message, call, drawn)
        if (change := _CHANGES.get(name)) is not None:

            async def write(tx: Transaction) -> bytes:
                return await _caught(change(self, tx, Arguments(name, arguments)))

            return _told(await self.steps.change(call, write, drawn=drawn))
        function = _FUNCTIONS.get(name) or _TOLD.get(name)
        if function is None:
            raise Thrown(f"{name}: the bridge has no such function")

        async def work() -> bytes:
            return await _caught(function(self, Arguments(name, arguments)))

        value = _told(await self.steps.answer(call, work, drawn=drawn, told=name in _TOLD))
        if name in _MAKES_SESSIONS and value != json.JSON_NULL:
            self._remember(value)
        return value

    def path_of(self, path: str) -> str:
        """Return from the root what this script calls another one."""
        found = self.standing.app.section(ScriptSettings).programs.find(path, self.program)
        return "/" + (canonical(path, dirname(self.program.path)) if found is None else found.path)

    # Operations

    async def message(self, who: Standing, message: Message, call: bytes, drawn: bytes) -> bytes:
        """Run an operation for somebody; returns its answer, as scripts read it."""
        operation = self.core_operations.get((message.service, message.operation))
        if operation is not None and operation.opens_session and operation.access is Access.OPEN:
            return as_read(
                refusal(NotAllowed("scripts do not log in: bridge.getSessionForProfile is for them"))
            )
        ctx = Context(self.core, who.app, self._origin, caller=Caller.SCRIPT)
        ctx.session, ctx.session_id, ctx.profile_id = who.session, who.session_id, who.profile_id
        if who is self.standing:  # what the answer of the packet tells, it tells the packet's player
            ctx.packet_id = self.ctx.packet_id
        if who.profile_id is None:
            ctx.session_error = InvalidScriptContext("the script runs for no player, and this needs one")
        ctx.is_over = self.ctx.is_over
        return as_read(await self.steps.message(ctx, message, call=call, drawn=drawn))

    @property
    def core_operations(self) -> Mapping[tuple[str, str], Any]:
        """All operations."""
        return self.steps.runner.registry.operations

    # Sessions that scripts make: handles, of use in this run alone

    @property
    def _sessions(self) -> dict[str, Standing]:
        made: Any = self.steps.shared.setdefault("sessions", {})
        sessions: dict[str, Standing] = made
        return sessions

    def who(self, session: Any) -> Standing:
        """Return for whom a session of this run acts, as scripts hand it in. Raises `Thrown`."""
        session_id = session.get("sessionId") if isinstance(session, dict) else session
        standing = self._sessions.get(session_id) if isinstance(session_id, str) else None
        if standing is None:
            raise Thrown("this is no session that bridge has given to this run")
        return standing

    def _remember(self, value: bytes) -> None:
        """Know a session again that the script was given, be it in a run before."""
        told = msgspec.json.decode(value)
        if told["sessionId"] not in self._sessions:
            app = self.core.get(LiveApps).find(told["gameId"]) or self.standing.app
            self._sessions[told["sessionId"]] = Standing(self.standing.kind, app, told["playerId"])

    def made(self, app: App, profile_id: str, session: Session | None = None) -> bytes:
        """Make a session for a player, and tell it as scripts see it."""
        session_id = f"scriptSession_{self.core.new_id()}"
        self._sessions[session_id] = Standing(self.standing.kind, app, profile_id, session)
        return json.encode(
            {
                "playerId": profile_id,
                "gameId": app.id,
                "sessionId": session_id,
                "systemCreated": session is None,
                "createdAt": self.core.clock.ms() if session is None else session.created_ms,
            }
        )


def _session_in(text: bytes) -> Any:
    """Return what the script asked a proxy with; nothing where that cannot be read."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def as_read(entry: bytes) -> bytes:
    """Return an entry of an answer as scripts read it: refusals have both spellings, and no data."""
    if entry.startswith(_STATUS_200):
        return entry
    told: dict[str, Any] = msgspec.json.decode(entry)
    told["reasonCode"], told["statusMessage"] = told.get("reason_code"), told.get("status_message")
    return json.encode_plain({**told, "data": told.get("data")})


async def _caught(work: Awaitable[bytes]) -> bytes:
    """Do what may throw, so that a repeat throws the same."""
    try:
        return b"=" + await work
    except Thrown as error:
        return b"!" + str(error).encode()


def _told(answer: bytes) -> bytes:
    if answer.startswith(b"!"):
        raise Thrown(answer[1:].decode())
    return answer[1:]


# Messages

_Made = tuple[Standing, Message]


def _message(service: str, operation: str, data: bytes) -> Message:
    return check_message(Message(service, operation, msgspec.Raw(data)), data)


def _call_api(bridge: Bridge, given: Arguments) -> _Made:
    return bridge.standing, _message(given.text(0), given.text(1), given.raw(2))


def _call_api_for_session(bridge: Bridge, given: Arguments) -> _Made:
    return bridge.who(given.any(0)), _message(given.text(1), given.text(2), given.raw(3))


def _call_script(bridge: Bridge, given: Arguments) -> _Made:
    path = bridge.path_of(given.text(0))
    data = b'{"scriptName":%b,"scriptData":%b}' % (json.encode(path), given.raw(1))
    return bridge.standing, _message(*RUN, data)


def _log(operation: str) -> Callable[[Bridge, Arguments], _Made]:
    def make(bridge: Bridge, given: Arguments) -> _Made:
        message = given.any(0)
        text = message if isinstance(message, str) else given.raw(0).decode()
        data = b'{"errorMessage":%b,"context":%b}' % (json.encode(text), _context(given))
        return bridge.standing, _message("log", operation, data)

    return make


def _context(given: Arguments) -> bytes:
    """Return what a line of the log is to be understood by: an object or a text."""
    value = given.any(1)
    if value is None or isinstance(value, dict | str):
        return given.raw(1)
    return json.encode(given.raw(1).decode())


_MESSAGES: dict[str, Callable[[Bridge, Arguments], _Made]] = {
    "bridge.callAPI": _call_api,
    "bridge.callAPIForSession": _call_api_for_session,
    "bridge.callScript": _call_script,
    **{
        f"bridge.log{level}{form}": _log(f"LOG_{level.upper()}")
        for level in ("Info", "Warning", "Error")
        for form in ("", "Json")
    },
}

# What the session keeps

_Change = Callable[[Bridge, Transaction, Arguments], Awaitable[bytes]]


def _digest(bridge: Bridge) -> str:
    session = bridge.standing.session
    if session is None:
        raise Thrown("the script runs without a client's session, and so there is nothing kept with it")
    return session.digest


async def _set_object(bridge: Bridge, tx: Transaction, given: Arguments) -> bytes:
    key, value = given.text(0), given.any(1)
    try:
        await session_cache.put(tx, _digest(bridge), key, value, bridge.core.clock.ms())
    except session_cache.CacheFull as error:
        raise Thrown(str(error)) from None
    return json.JSON_NULL


async def _delete_object(bridge: Bridge, tx: Transaction, given: Arguments) -> bytes:
    return json.encode(await session_cache.take(tx, _digest(bridge), given.text(0), bridge.core.clock.ms()))


_CHANGES: dict[str, _Change] = {
    "bridge.setSessionCacheObject": _set_object,
    "bridge.deleteSessionCacheObject": _delete_object,
}

# Functions whose answers are kept: they read, take time, or depend on chance

_Function = Callable[[Bridge, Arguments], Awaitable[bytes]]


async def _get_object(bridge: Bridge, given: Arguments) -> bytes:
    async with bridge.core.database.read() as tx:
        return json.encode(await session_cache.get(tx, _digest(bridge), given.text(0)))


async def _sleep(_: Bridge, given: Arguments) -> bytes:
    await asyncio.sleep(min(max(given.number(0) / 1000, 0.0), SLEEP_SECONDS_MAX))
    return json.JSON_NULL


def _of_player(column: str) -> _Function:
    async def read(bridge: Bridge, _: Arguments) -> bytes:
        standing = bridge.standing
        if standing.profile_id is None:
            return json.JSON_NULL
        async with bridge.core.database.read() as tx:
            row = await profiles.read(tx, standing.app.id, standing.profile_id)
        return json.encode(None if row is None else row[column])

    return read


async def _session_age(bridge: Bridge, _: Arguments) -> bytes:
    session = bridge.standing.session
    if session is None:
        return b"-1"
    return json.encode((bridge.core.clock.ms() - session.created_ms) / 1000)


async def _guid(bridge: Bridge, _: Arguments) -> bytes:
    return json.encode(bridge.core.new_id())


async def _server_session_id(bridge: Bridge, _: Arguments) -> bytes:
    if bridge.standing.kind is Kind.CLIENT:
        return json.JSON_NULL
    return json.encode(f"scriptSession_{bridge.core.new_id()}")


async def _global_property(bridge: Bridge, given: Arguments) -> bytes:
    name = given.text(0)
    ctx = Context(bridge.core, bridge.standing.app, bridge.ctx.origin, caller=Caller.SCRIPT)
    ctx.profile_id = bridge.standing.profile_id
    plan = bridge.steps.runner.plan([Message("globalApp", "READ_PROPERTIES")])
    [entry] = (await bridge.steps.runner.commit(ctx, plan)).entries
    found = (msgspec.json.decode(entry).get("data") or {}).get(name)
    return json.encode(found.get("value") if isinstance(found, dict) else None)


async def _session_for_profile(bridge: Bridge, given: Arguments) -> bytes:
    return await _for_player(bridge, bridge.standing.app, given.text(0))


async def _for_player(bridge: Bridge, app: App, profile_id: str) -> bytes:
    async with bridge.core.database.read() as tx:
        if await profiles.read(tx, app.id, profile_id) is None:
            raise Thrown(f"there is no player {profile_id[:64]!r}")
    return bridge.made(app, profile_id)


async def _session_for_credential(bridge: Bridge, given: Arguments) -> bytes:
    external_id, type_, name = given.text(0), given.text(1), given.any(2)
    key = identity_key(type_, external_id, name if isinstance(name, str) else "")
    app = bridge.standing.app
    async with bridge.core.database.read() as tx:
        row = await identities.find(tx, app.id, type_, key)
    if row is None:
        raise Thrown(f"no player has this identity of type {type_[:32]!r}")
    return bridge.made(app, row["profile_id"])


async def _session_for_validated_credential(bridge: Bridge, given: Arguments) -> bytes:
    name, token = given.any(2), given.any(3)
    login = Login(
        type=given.text(1),
        external_id=given.text(0),
        external_auth_name=name if isinstance(name, str) else "",
        token=token if isinstance(token, str) else "",
    )
    app, core = bridge.standing.app, bridge.core
    try:
        verified = await core.accounts.verify(app, login, "", core.clock.ms(), face=FACE)
    except GameError as error:
        raise Thrown(f"{error} ({error.reason_code})") from None
    profile_id = verified.profile_id
    if profile_id is None:  # nobody has looked for it: possession is all that it takes
        async with core.database.read() as tx:
            row = await identities.find(tx, app.id, verified.type, verified.key)
        profile_id = None if row is None else row["profile_id"]
    if profile_id is None:
        raise Thrown("no player has this identity")
    return bridge.made(app, profile_id)


async def _session_for_session_id(bridge: Bridge, given: Arguments) -> bytes:
    session_id, profile_id = given.any(0), given.any(1)
    if not isinstance(session_id, str) or not isinstance(profile_id, str):
        return json.JSON_NULL
    session = await bridge.core.sessions.peek(session_id)
    app = bridge.standing.app
    if not isinstance(session, Session) or (session.app_id, session.profile_id) != (app.id, profile_id):
        return json.JSON_NULL
    return bridge.made(app, profile_id, session)


async def _client_session(bridge: Bridge, _: Arguments) -> bytes:
    standing = bridge.standing
    app = standing.client_app or standing.app
    profile_id = standing.client_profile_id or standing.profile_id
    if profile_id is None:
        return json.JSON_NULL
    return bridge.made(app, profile_id, standing.session)


async def _peer_session(bridge: Bridge, _: Arguments) -> bytes:
    standing = bridge.standing
    if standing.client_app is None or standing.client_profile_id is None:
        raise Thrown("the script is not one that a peer has called")
    code = next((code for code, peer in standing.client_app.peers.items() if peer.app == standing.app.id), "")
    async with bridge.core.database.read() as tx:
        try:
            app, profile_id = await profile_links.at_peer(
                tx, bridge.core.get(LiveApps), standing.client_app, standing.client_profile_id, code
            )
        except GameError as error:
            raise Thrown(f"{error} ({error.reason_code})") from None
    return bridge.made(app, profile_id)


async def _invalidate_session(bridge: Bridge, _: Arguments) -> bytes:
    session = bridge.standing.session
    if session is None:
        return json.JSON_NULL
    one = One(digest=session.digest)
    await bridge.core.endings.end(bridge.standing.app, one, "logged_out", bridge.ctx.by)
    # Once more with the answer, which then stays with the session for repeats.
    bridge.steps.effects.endings.append(Ending(one, "logged_out"))
    return json.JSON_NULL


async def _time_zone_offset(bridge: Bridge, given: Arguments) -> bytes:
    name = given.text(0)
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Thrown(f"there is no time zone {name[:64]!r}") from None
    offset = datetime.fromtimestamp(bridge.core.clock.ms() / 1000, UTC).astimezone(zone).utcoffset()
    assert offset is not None, "a time with a zone has one"
    hours = offset.total_seconds() / 3600
    return json.encode(int(hours) if hours == int(hours) else hours)


_FUNCTIONS: dict[str, _Function] = {
    "bridge.getSessionCacheObject": _get_object,
    "bridge.sleep": _sleep,
    "bridge.getName": _of_player("name"),
    "bridge.getEmail": _of_player("contact_email"),
    "bridge.getSessionAgeSecs": _session_age,
    "bridge.getServerSessionId": _server_session_id,
    "bridge.getGlobalProperty": _global_property,
    "bridge.getSessionForProfile": _session_for_profile,
    "bridge.getSessionForCredential": _session_for_credential,
    "bridge.getSessionForValidatedCredential": _session_for_validated_credential,
    "bridge.getSessionForSessionIdAndProfileId": _session_for_session_id,
    "bridge.getClientSession": _client_session,
    "bridge.getPeerProfileSession": _peer_session,
    "bridge.invalidateSession": _invalidate_session,
    "utils.generateGuid": _guid,
    "utils.getCurrentTimeZoneOffset": _time_zone_offset,
}
_MAKES_SESSIONS = frozenset(name for name in _FUNCTIONS if name.startswith("bridge.getSessionFor")) | {
    "bridge.getClientSession",
    "bridge.getPeerProfileSession",
}

# Functions that tell a repeat the same by themselves


def _fact(read: Callable[[Bridge], Any]) -> _Function:
    async def tell(bridge: Bridge, _: Arguments) -> bytes:
        return json.encode(read(bridge))

    return tell


def _client_version(bridge: Bridge) -> Any:
    session = bridge.standing.session
    return None if session is None else session.facts.get("gameVersion")


def _team(app: App) -> dict[str, str]:
    return {"teamName": app.title, "teamId": app.id}


def _hmac(digest: str) -> _Function:
    async def sign(_: Bridge, given: Arguments) -> bytes:
        made = hmac.digest(given.text(0).encode(), given.text(1).encode(), digest)
        return json.encode(base64.b64encode(made).decode())

    return sign


async def _sign_rsa(_: Bridge, given: Arguments) -> bytes:
    pem, text = given.text(0), given.text(1)
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise Thrown("signRSASha256: argument 1 is a private RSA key as PEM")
    made = await asyncio.to_thread(key.sign, text.encode(), PKCS1v15(), hashes.SHA256())
    return json.encode(base64.b64encode(made).decode())


async def _debug(bridge: Bridge, given: Arguments) -> bytes:
    lines = bridge.steps.shared.get(DEBUG_LINES)
    if isinstance(lines, list):
        message, context = given.any(0), given.any(1)
        text = message if isinstance(message, str) else given.raw(0).decode()
        lines.append({"at_ms": bridge.core.clock.ms(), "level": "debug", "message": text, "context": context})
    return _SUCCESS


_TOLD: dict[str, _Function] = {
    "bridge.getProfileId": _fact(
        lambda bridge: bridge.standing.client_profile_id or bridge.standing.profile_id
    ),
    "bridge.getClientSessionId": _fact(lambda bridge: bridge.standing.session_id or None),
    "bridge.getScriptName": _fact(lambda bridge: bridge.program.path),
    "bridge.getAppId": _fact(lambda bridge: bridge.standing.app.id),
    "bridge.getAppName": _fact(lambda bridge: bridge.standing.app.title),
    "bridge.getAppVersion": _fact(_client_version),
    "bridge.getEnvironmentName": _fact(lambda bridge: bridge.core.public_url),
    "bridge.getTeamInfo": _fact(lambda bridge: _team(bridge.standing.app)),
    "bridge.getClientTeamInfo": _fact(
        lambda bridge: _team(bridge.standing.client_app or bridge.standing.app)
    ),
    "bridge.getClientAppId": _fact(lambda bridge: (bridge.standing.client_app or bridge.standing.app).id),
    "bridge.getSessionCreatedAt": _fact(
        lambda bridge: -1 if bridge.standing.session is None else bridge.standing.session.created_ms
    ),
    "bridge.isClientBridge": _fact(lambda bridge: bridge.standing.kind is Kind.CLIENT),
    "bridge.isServerBridge": _fact(lambda bridge: bridge.standing.kind is Kind.SERVER),
    "bridge.isPeerBridge": _fact(lambda bridge: bridge.standing.kind is Kind.PEER),
    "bridge.logDebug": _debug,
    "bridge.logDebugJson": _debug,
    "utils.signHMACSha1": _hmac("sha1"),
    "utils.signHMACSha256": _hmac("sha256"),
    "utils.signRSASha256": _sign_rsa,
}
