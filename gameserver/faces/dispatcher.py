"""The dispatcher: packets of messages over HTTP POST, as the official client SDKs send them.

A bare ASGI callable: the framework's request and response objects cost more than reading and answering a
packet. What the server understood is answered with HTTP 200, refusals too; other statuses disable a client.
"""

import asyncio
import gzip
import hmac
import time
from hashlib import blake2b, md5
from typing import TYPE_CHECKING

import structlog
from starlette.types import Receive, Scope, Send

from gameserver.apps import App, LiveApps
from gameserver.players.refusals import Refusals
from gameserver.rpc import Face, Origin, PacketFailed, Packets, Superseded, metrics
from gameserver.rpc.packets import OtherAppNeeded
from gameserver.sessions import Session, SessionsUnavailable
from gameserver.wire import errors
from gameserver.wire.errors import GameError
from gameserver.wire.http import (
    JSON_CONTENT,
    LARGE_BYTES,
    Connection,
    beside_the_loop,
    read_body,
    transport_error,
)
from gameserver.wire.packet import (
    UNKNOWN_PACKET_ID,
    Packet,
    UnreadablePacket,
    check_packet,
    read_closely,
    read_packet,
    refuse_all,
)

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

log = structlog.get_logger(__name__)

PATHS = ("/dispatcher", "/dispatcherv2")

RESPONSE_GZIP_BYTES_MIN = 50_000

_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"Content-Type, X-SIG, X-APPID, Content-Encoding"),
    (b"access-control-max-age", b"86400"),
)
_ANY_ORIGIN = (b"access-control-allow-origin", b"*")


class Dispatcher:
    """The face itself. `apps` resolves app ids, `packets` runs what was read."""

    def __init__(self, apps: LiveApps, packets: Packets) -> None:
        self.apps = apps
        self.packets = packets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection = Connection(scope, receive, send, _ANY_ORIGIN)
        if scope["method"] != "POST":
            await self._answer_without_packet(scope, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        status = 200
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            body, session = await self._answer(scope, headers, receive, connection)
            if (
                len(body) >= RESPONSE_GZIP_BYTES_MIN
                and session is not None
                and session.facts.get("compressResponses")
                and b"gzip" in headers.get(b"accept-encoding", b"")
            ):
                body = await asyncio.to_thread(gzip.compress, body, 6)
                extra = ((b"content-encoding", b"gzip"),)
        except Superseded:
            status, body = (
                503,
                transport_error(503, connection.packet_id, "another connection gets the answer"),
            )
        except errors.PacketInProgress as error:
            status, body = 503, transport_error(503, connection.packet_id, str(error))
        except (PacketFailed, SessionsUnavailable) as error:
            log.warning("packet_postponed", reason=str(error))
            status, body = (
                503,
                transport_error(503, connection.packet_id, "the server cannot run packets just now"),
            )
        await connection.send(status, body, *extra)
        metrics.PACKETS.observe((status,), time.perf_counter() - started)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, connection: Connection
    ) -> tuple[bytes, Session | None]:
        messages = 1
        app: App | None = None
        try:
            body = await read_body(headers, receive)
            is_small = len(body) <= LARGE_BYTES  # and then a coroutine would cost more than what it does
            has_signature = b"x-sig" in headers
            digest, body_hash, read = (
                _open(body, has_signature) if is_small else await beside_the_loop(_open, body, has_signature)
            )
            packet = (
                read if isinstance(read, Packet) else await self._read_closely(read, body, digest, headers)
            )
            connection.packet_id, messages = packet.packet_id, len(packet.messages)
            app = self.apps.find(packet.game_id) if isinstance(packet.game_id, str) else None
            if app is None or not app.enabled or not _is_signed(app, digest, headers):
                app = await self._doubtful_app(packet, digest, headers)
            packet = (
                check_packet(body, packet) if is_small else await beside_the_loop(check_packet, body, packet)
            )
            client = scope.get("client")
            address, scheme = client[0] if client else "", scope.get("scheme", "http")
            origin = Origin("dispatcher", address, scheme=scheme, headers=headers)
            try:
                return await self.packets.answer(packet, body_hash, app, origin, connection)
            except OtherAppNeeded as other:
                app = self._app_of_session(other.session, digest, headers)
                return await self.packets.answer(packet, body_hash, app, origin, connection)
        except UnreadablePacket as unreadable:
            return refuse_all(unreadable.packet_id, unreadable.refusal, unreadable.messages), None
        except (errors.PacketInProgress, Superseded, PacketFailed, SessionsUnavailable):
            raise
        except GameError as error:
            if app is not None:
                self.packets.core.get(Refusals).note(app, error, face="dispatcher")
            return refuse_all(connection.packet_id, error, messages), None
        except Exception:
            log.exception("packet_failed")
            return refuse_all(connection.packet_id, errors.InternalError("internal error"), messages), None

    async def _read_closely(
        self, unreadable: UnreadablePacket, body: bytes, digest: "Digest | None", headers: dict[bytes, bytes]
    ) -> Packet:
        """Read a packet in which some messages may be spoilt, if one of the apps signed it."""
        if not unreadable.may_be_read or not any(_is_signed(app, digest, headers) for app in self.apps):
            raise unreadable
        return await beside_the_loop(read_closely, body)

    async def _doubtful_app(
        self, packet: Packet, digest: "Digest | None", headers: dict[bytes, bytes]
    ) -> App:
        """The app whose secret signed the packet. One SDK corrupts its app id: a session settles doubts."""
        claimed = str(packet.game_id) if packet.game_id is not None else ""
        app = self.apps.find(claimed) or self.apps.find(headers.get(b"x-appid", b"").decode("latin-1"))
        if app is None or not _is_signed(app, digest, headers):
            session = await self.packets.core.sessions.peek(packet.session_id) if packet.session_id else None
            if isinstance(session, Session):
                return self._app_of_session(session, digest, headers)
            if app is None:
                raise errors.UnknownApp(f"gameId: there is no app {claimed[:64]!r}")
            raise _bad_signature(app, headers)
        if not app.enabled:
            raise errors.DisabledApp("the app is disabled", disabledReason=app.disabled_reason or {})
        return app

    def _app_of_session(self, session: Session, digest: "Digest | None", headers: dict[bytes, bytes]) -> App:
        """The session's app, if its secret, or that of where it logged in or was before, signed it."""
        app = self.apps.find(session.app_id)
        if app is None:
            raise errors.UnknownApp("the session's app is gone")
        others = (session.home_app_id, session.facts.get("switchedFrom"))
        candidates = [app, *(self.apps.find(name) for name in others if isinstance(name, str))]
        if not any(
            _is_signed(candidate, digest, headers) for candidate in candidates if candidate is not None
        ):
            raise _bad_signature(app, headers)
        if not app.enabled:
            raise errors.DisabledApp("the app is disabled", disabledReason=app.disabled_reason or {})
        return app

    async def _answer_without_packet(self, scope: Scope, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": list(_CORS)})
            await send({"type": "http.response.body", "body": b""})
            return
        body = transport_error(405, UNKNOWN_PACKET_ID, "packets are sent with POST", errors.InvalidRequest)
        headers = [JSON_CONTENT, (b"allow", b"POST, OPTIONS"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body", "body": body})


face = Face("dispatcher", lambda _, apps, packets: dict.fromkeys(PATHS, Dispatcher(apps, packets)))


def _open(body: bytes, is_signed: bool) -> tuple["Digest | None", str, Packet | UnreadablePacket]:
    """Return what a signature goes on from, what tells a body from others with its id, and its envelope."""
    digest = md5(body, usedforsecurity=False) if is_signed else None  # what the protocol prescribes
    body_hash = blake2b(body, digest_size=16).hexdigest()
    try:
        return digest, body_hash, read_packet(body)
    except UnreadablePacket as unreadable:
        return digest, body_hash, unreadable


def _bad_signature(app: App, headers: dict[bytes, bytes]) -> errors.BadSignature:
    if b"x-sig" not in headers:
        return errors.BadSignature(f"X-SIG: app {app.id} takes no packets without a signature")
    return errors.BadSignature(f"X-SIG: the signature does not fit the packet and the secret of app {app.id}")


def _is_signed(app: App, body_digest: "Digest | None", headers: dict[bytes, bytes]) -> bool:
    if body_digest is None:
        return app.signature == "optional"
    digest = body_digest.copy()
    digest.update(app.secret.encode())
    return hmac.compare_digest(digest.hexdigest().encode(), headers[b"x-sig"].lower())
