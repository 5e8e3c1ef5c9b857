"""Server to server: the studio's own servers call operations over HTTP POST, without a player.

Two forms. In the simple one every request carries the server's name and secret beside one call, and the
answer is that call's entry. In the session form a first packet authenticates; the packets after it carry the
session, and one that is repeated gets the answer it got. Clients send packets without waiting for answers, so
these arrive in any order. Every POST is answered with HTTP 200: one client drops a request, and tells nobody,
when it sees another status.
"""

import asyncio
import hmac
import secrets
import time
from hashlib import blake2b
from http import HTTPStatus
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from gameserver.apps import App, LiveApps, ServerKey, Settings
from gameserver.players.accounts import WrongCredentials
from gameserver.players.audit import Kind
from gameserver.players.lockout import network_of
from gameserver.players.refusals import Refusals
from gameserver.rpc import (
    Caller,
    Face,
    Origin,
    PacketFailed,
    Packets,
    Superseded,
    UnorderedPackets,
    metrics,
)
from gameserver.sessions import SERVER_PROFILE_ID, NewSession, Opened, Session, SessionsUnavailable
from gameserver.wire import errors, json
from gameserver.wire.errors import GameError
from gameserver.wire.http import Connection, beside_the_loop, read_body, transport_error
from gameserver.wire.packet import (
    NAME_MAX,
    UNKNOWN_PACKET_ID,
    Message,
    Packet,
    UnreadablePacket,
    bundle,
    check_message,
    check_packet,
    read_closely,
    read_packet,
    refusal,
    success,
)
from gameserver.wire.shapes import Request, RequestReader, explain

log = structlog.get_logger(__name__)

PATH = "/s2sdispatcher"
FACE = "s2s"
HEARTBEAT_SECONDS = 1890  # what clients are told; one of them beats every 1800 whatever it is told
LIFE_SECONDS = 2400
TRUSTED_SECONDS = 60
TRUSTED_MAX = 1000  # servers
ALWAYS = "heartbeat"  # what a server may call whatever its limits are

_AUTHENTICATE = ("authenticationV2", "AUTHENTICATE")
_KEY = b"messageResponses"
_NO_SECRET = secrets.token_hex(16)

# Errors


class ServerSessionExpired(GameError):
    """The session is over or its key was withdrawn. Said of the whole packet: clients log in again."""

    status = 403
    reason_code = 40365


class AddressNotAllowed(GameError):
    """The server's key is not for the address that it calls from."""

    status = 403
    reason_code = 40444


SAMPLE = """\
# true answers a single call of a server with its bare data, as some texts of the reference show it. Refusals
# stay as they are.
[s2s]
#bare_answers = false
"""


class S2sSettings(Settings, kw_only=True):
    """Calls of the studio's own servers."""

    bare_answers: Annotated[
        bool, Meta(description="Whether a single call is answered with its bare data, without status.")
    ] = False


# What travels


class Credentials(Request, kw_only=True):
    """Who is calling. Some texts of the reference say `gameId` and `gameSecret`."""

    app_id: str | int | None = None
    game_id: str | int | None = None
    server_name: str
    server_secret: str | None = None
    game_secret: str | None = None


class _Call(Credentials, kw_only=True):
    """The simple form: credentials and a message in one object."""

    service: str
    operation: str
    data: msgspec.Raw = msgspec.Raw(json.JSON_NULL)


class _Form(msgspec.Struct, rename="camel"):
    """Tells the two forms apart."""

    messages: msgspec.Raw = msgspec.Raw()
    packet_id: msgspec.Raw = msgspec.Raw()


class _Entry(msgspec.Struct):
    """The entry of a call."""

    status: int
    data: msgspec.Raw = msgspec.Raw(json.JSON_NULL)


_read_entry = msgspec.json.Decoder(_Entry).decode
_read_credentials = RequestReader(Credentials).read
_decode_call = msgspec.json.Decoder(_Call).decode
_decode_form = msgspec.json.Decoder(_Form).decode


class ServerDispatcher:
    """The face itself. `apps` resolves app ids, `packets` runs what was read."""

    def __init__(self, apps: LiveApps, packets: Packets) -> None:
        self.apps = apps
        self.core = packets.core
        self.runner = packets.runner
        self.packets = UnorderedPackets(packets)
        self._trusted: dict[tuple[str, str, str], int] = {}  # app, server and network: until when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection = _Waiting(scope, receive, send)
        if scope["method"] != "POST":
            body = transport_error(405, UNKNOWN_PACKET_ID, "calls are sent with POST")
            await connection.send(405, body, (b"allow", b"POST"))
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        try:
            body = await self._answer(headers, receive, _origin(scope, headers), connection)
        except Superseded:
            body = _refuse(connection.packet_id, _later("another connection gets the answer"))
        except (PacketFailed, SessionsUnavailable) as error:
            log.warning("packet_postponed", reason=str(error))
            body = _refuse(connection.packet_id, _later("the server cannot run calls just now"))
        except Exception:
            log.exception("packet_failed")
            body = _refuse(connection.packet_id, errors.InternalError("internal error"))
        await connection.send(200, body)
        metrics.PACKETS.observe((200,), time.perf_counter() - started)

    async def _answer(
        self, headers: dict[bytes, bytes], receive: Receive, origin: Origin, connection: Connection
    ) -> bytes:
        try:
            body = await read_body(headers, receive)
            if not _is_packet(body):
                return await self._answer_call(body, origin)
            packet = await _read(body)
        except UnreadablePacket as unreadable:
            return _refuse(unreadable.packet_id, unreadable.refusal, unreadable.messages)
        except GameError as error:
            return _refuse(UNKNOWN_PACKET_ID, error)
        connection.packet_id = packet.packet_id
        try:
            if _names(packet.messages[0]) == _AUTHENTICATE:
                return await self._authenticate(packet, origin)
            return await self._answer_packet(packet, body, origin, connection)
        except ServerSessionExpired as error:
            # One client looks for it at the top, another among the answers.
            told = _refuse(packet.packet_id, error, len(packet.messages))
            return told[:-1] + b"," + refusal(error)[1:]
        except GameError as error:
            return _refuse(packet.packet_id, error, len(packet.messages))

    # The simple form

    async def _answer_call(self, body: bytes, origin: Origin) -> bytes:
        try:
            call = _read_call(body)
            app, key = await self._admit(call, origin)
            if (call.service, call.operation) == _AUTHENTICATE:
                return bundle(0, [success(await self._open(app, call.server_name, 0, origin))], key=_KEY)
            message = await beside_the_loop(_checked, body, call)
            origin = _of_server(origin, call.server_name, key)
            entry = await self.runner.call(message, app, origin, caller=Caller.SERVER)
        except GameError as error:
            return refusal(error)
        except (PacketFailed, SessionsUnavailable) as error:
            log.warning("packet_postponed", reason=str(error))
            return refusal(_later("the server cannot run calls just now"))
        return _bare(entry) if app.section(S2sSettings).bare_answers else entry

    async def _admit(self, credentials: Credentials, origin: Origin) -> tuple[App, ServerKey]:
        """Return the app that a server may call, and its key. Raises the refusal for wrong credentials.

        Secrets are locked after failures as passwords are. For a server that has just proved itself nobody
        looks for locks for a while: it sends its secret with every call.
        """
        claimed = credentials.app_id if credentials.app_id is not None else credentials.game_id
        app = self.apps.find(str(claimed)) if claimed is not None else None
        if app is None:
            raise errors.UnknownApp(f"appId: there is no app {str(claimed)[:NAME_MAX]!r}")
        caller = (app.id, credentials.server_name[:NAME_MAX], network_of(origin.address))
        attempt = self.core.accounts.attempt(app, "Server", caller[1], origin.address)
        now_ms = self.core.clock.ms()
        is_trusted = self._trusted.get(caller, 0) > now_ms
        if not is_trusted:
            await attempt.enter(charge=False)
        key = app.servers.get(credentials.server_name)
        secret = credentials.server_secret or credentials.game_secret or ""
        # Compared even when there is no such server: how long it takes does not tell names.
        fits = hmac.compare_digest((key.secret if key else _NO_SECRET).encode(), secret.encode())
        if key is None or not fits:
            self._trusted.pop(caller, None)
            self._note(app, "refusal", str(WrongCredentials.reason_code), origin)
            await attempt.fail(charged=False)
            wrong = WrongCredentials("serverName or serverSecret does not fit")
            self.core.get(Refusals).note(app, wrong, face=FACE)
            raise wrong
        if not is_trusted:
            await attempt.succeed()
            if len(self._trusted) >= TRUSTED_MAX:
                self._trusted.clear()
            self._trusted[caller] = now_ms + TRUSTED_SECONDS * 1000
        if not key.admits(origin.address):
            self._note(app, "refusal", str(AddressNotAllowed.reason_code), origin)
            outside = AddressNotAllowed(
                f"server {credentials.server_name!r} may not call from {origin.address}"
            )
            self.core.get(Refusals).note(app, outside, face=FACE)
            raise outside
        if not app.enabled:
            raise errors.DisabledApp("the app is disabled", disabledReason=app.disabled_reason or {})
        return app, key

    # The session form

    async def _authenticate(self, packet: Packet, origin: Origin) -> bytes:
        if len(packet.messages) > 1:
            raise errors.InvalidRequest("packet.messages: AUTHENTICATE is sent in a packet of its own")
        credentials: Credentials = _read_credentials(packet.messages[0].data)
        app, _ = await self._admit(credentials, origin)
        data = await self._open(app, credentials.server_name, packet.packet_id, origin)
        return bundle(packet.packet_id, [success(data)], key=_KEY)

    def _note(self, app: App, kind: Kind, reason: str, origin: Origin, session: str = "") -> None:
        audit = self.core.audit
        audit.note(app, kind, reason, face=FACE, address=origin.address, session=session)

    async def _open(self, app: App, server_name: str, packet_id: int, origin: Origin) -> bytes:
        """Open a session; returns the data of the answer."""
        opened = await self.core.sessions.open(
            NewSession(
                app_id=app.id,
                profile_id=SERVER_PROFILE_ID,
                face=FACE,
                life_seconds=LIFE_SECONDS,
                facts={"serverName": server_name},
                packet_id=packet_id,
            )
        )
        assert isinstance(opened, Opened), "without a limit of its own, a login makes room"
        self._note(app, "login", server_name, origin, opened.session.digest)
        return json.encode({"sessionId": opened.session_id, "heartbeatSeconds": HEARTBEAT_SECONDS})

    async def _answer_packet(
        self, packet: Packet, body: bytes, origin: Origin, connection: Connection
    ) -> bytes:
        if not packet.session_id:
            raise errors.NoSession("no session: authenticate first, or send serverName and serverSecret")
        if any(_names(message) == _AUTHENTICATE for message in packet.messages):
            raise errors.InvalidRequest("packet.messages: AUTHENTICATE is sent in a packet of its own")
        # Renewed before the packet is admitted, so that it cannot lapse between the two.
        session = await self.core.sessions.touch(packet.session_id)
        found = self._app_of(session, origin) if isinstance(session, Session) else None
        if found is None or not isinstance(session, Session):
            raise ServerSessionExpired("the server's session has expired: authenticate again")
        app, key = found
        origin = _of_server(origin, session.facts["serverName"], key)
        body_hash = blake2b(body, digest_size=16).hexdigest()
        answer = await self.packets.answer(
            packet, body_hash, app, session, origin, connection, caller=Caller.SERVER
        )
        return answer.replace(b'"responses":', b'"%b":' % _KEY, 1)  # the first one is the key of the bundle

    def _app_of(self, session: Session, origin: Origin) -> tuple[App, ServerKey] | None:
        """Return app and key of a server's session, while the key is still in force for that address."""
        app = self.apps.find(session.app_id)
        if app is None or session.face != FACE or session.profile_id != SERVER_PROFILE_ID:
            return None
        key = app.servers.get(session.facts.get("serverName", ""))
        return (app, key) if key is not None and key.admits(origin.address) and app.enabled else None


face = Face(
    FACE,
    lambda _, apps, packets: {PATH: ServerDispatcher(apps, packets)},
    section=(FACE, S2sSettings, SAMPLE),
)


class _Waiting(Connection):
    """A server that waits for an answer, which is HTTP 200 whatever it says."""

    def time_out(self) -> None:
        """Answer now that it takes too long; whatever is sent later is dropped."""
        body = _refuse(self.packet_id, _later("the packet takes too long; ask again"))
        self.sending = asyncio.ensure_future(self.send(200, body))


async def _read(body: bytes) -> Packet:
    """Read a packet; of what it holds, only messages are spoilt. Raises `UnreadablePacket`."""
    try:
        packet = await beside_the_loop(read_packet, body)
    except UnreadablePacket as unreadable:
        if not unreadable.may_be_read:
            raise
        return await beside_the_loop(read_closely, body)
    return await beside_the_loop(check_packet, body, packet)


def _checked(body: bytes, call: _Call) -> Message:
    return check_message(Message(call.service, call.operation, call.data), body)


def _is_packet(body: bytes) -> bool:
    """Tell the session form from the simple one. What is no JSON object is left to the reader of packets."""
    try:
        form = _decode_form(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
    return bool(bytes(form.messages) or bytes(form.packet_id))


def _read_call(body: bytes) -> _Call:
    """Read the simple form. Raises a `GameError`."""
    try:
        return _decode_call(body)
    except msgspec.ValidationError as error:
        raise errors.InvalidRequest(str(explain(error, root="call"))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.UnreadableJson(f"not JSON: {error}") from None


def _names(message: Message) -> tuple[str, str]:
    return message.service, message.operation


def _refuse(packet_id: int, error: GameError, messages: int = 1) -> bytes:
    return bundle(packet_id, [refusal(error)] * messages, key=_KEY)


def _later(why: str) -> errors.PacketInProgress:
    return errors.PacketInProgress(why)


def _of_server(origin: Origin, name: str, key: ServerKey) -> Origin:
    """Return the origin of a server's calls, with the limits that its key has."""
    may_call = frozenset([*key.services, ALWAYS]) if key.services else None
    return msgspec.structs.replace(origin, name=name, may_call=may_call)


def _bare(entry: bytes) -> bytes:
    """Return the data of a call's entry; a refusal stays as it is."""
    told = _read_entry(entry)
    return bytes(told.data) if told.status == HTTPStatus.OK else entry


def _origin(scope: Scope, headers: dict[bytes, bytes]) -> Origin:
    client = scope.get("client")
    return Origin(FACE, client[0] if client else "", scheme=scope.get("scheme", "http"), headers=headers)
