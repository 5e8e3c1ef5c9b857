"""Refusals: errors that are meant for the client, each with its status and reason code.

Anything that is not a `GameError` is a fault of the server: it is logged, answered as `InternalError`, and
says nothing more. Codes that only one service uses are declared in that service.
"""

from http import HTTPStatus
from typing import Any, ClassVar


class GameError(Exception):
    """A refusal. `str(error)` becomes `status_message`; `extra` becomes further keys of the error object."""

    status: ClassVar[int] = HTTPStatus.BAD_REQUEST
    reason_code: ClassVar[int]

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.extra = extra


# The packet as a whole


class InvalidRequest(GameError):
    """The packet is JSON, but not a packet."""

    reason_code = 40001


class UnreadableJson(GameError):
    """The text is not JSON, or uses JSON in a way no client does (depth, numbers, lone surrogates)."""

    reason_code = 40408


class PacketTooLarge(GameError):
    """The body, unpacked or not, or the number of messages is over its limit."""

    reason_code = 40600


class BadSignature(GameError):
    """X-SIG does not fit the body and the secret of the app."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40301


class UnknownApp(GameError):
    """No session names the app, and neither gameId nor X-APPID names one of this server."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40316


class DisabledApp(GameError):
    """The operator has switched the app off; `disabledReason` says what players should read."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40330


class OutdatedPacket(GameError):
    """The packetId is lower than the last one of its session."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40566


class ReusedPacketId(GameError):
    """The packetId is the last one of its session, but the packet is another."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40953


class PacketInProgress(GameError):
    """The same packet is still running; the one refusal that travels as HTTP 503."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason_code = 40606


class RateLimited(GameError):
    """More packets in a minute than a player may send, or more than another quota of the app allows."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40823


# Sessions. Clients log themselves out on exactly these three.


class SessionExpired(GameError):
    """The session has lapsed: no packet for longer than it lives. Log in again."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40303


class NoSession(GameError):
    """There is no such session: none was sent, or it has been logged out."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40304


class SessionReplaced(GameError):
    """Another login ended this session, or somebody with the right to end it did."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40356


class SessionLimitReached(GameError):
    """The app allows no further session for this player, and refuses the newest."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 49102


# A message


class InvalidOperation(GameError):
    """No such service or operation."""

    reason_code = 40333


class NotAllowed(GameError):
    """The operation exists, but not for this caller."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40346


class ServersOnly(NotAllowed):
    """The operation is for servers and scripts, not for clients."""

    reason_code = 40616


class MissingParameter(GameError):
    """A field of `data` that the operation needs is absent or null."""

    reason_code = 40358


class InvalidParameterType(GameError):
    """A field of `data` is of another type than the operation takes."""

    reason_code = 40359


class InvalidParameterValue(GameError):
    """A field of `data` has the right type, and a value outside its limits."""

    reason_code = 40660


class QueryTooExpensive(GameError):
    """The query takes longer than a query may: narrow it down, or search by a field that is indexed."""

    reason_code = 40349


class HookFailed(GameError):
    """A script that the app has run before or after the operation has failed."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason_code = 40357


class Rejected(GameError):
    """A script that the app has run before the operation does not allow it; it may give other numbers."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason_code = 40639


class InternalError(GameError):
    """Our fault. The log knows more."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason_code = 50000
