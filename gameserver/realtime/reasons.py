"""Why a connection ends, as clients are told: a code and a sentence."""

from typing import NamedTuple

from gameserver.sessions import session_error


class Reason(NamedTuple):
    """What a DISCONNECT says. `kind` is for metrics."""

    kind: str
    code: int
    text: str


NO_CONNECT = Reason("no CONNECT", 40304, "no CONNECT with a session came in time")
WRONG_SECRET = Reason(
    "wrong secret",
    40307,
    "the secret is not one for this session, or it was used before, or is too old: request a connection anew",
)
TOO_MANY = Reason("too many", 49120, "the player has as many connections as there may be")
MOVE = Reason("move", 49121, "this server stops: request a connection anew")
SILENT = Reason("silent", 49122, "nothing was heard of the client for too long")
UNAVAILABLE = Reason("unavailable", 49123, "the server cannot take connections just now: try again")
FLOOD = Reason("flood", 40823, "too many messages")
TOO_LARGE = Reason("too large", 40600, "a message that is too large")
PROTOCOL = Reason("protocol", 0, "what the client sends is no WebSocket")
SLOW = Reason("slow", 49124, "the client does not read what it is sent")
ALL_ENDED = Reason(
    "all ended", 49125, "a server of the studio has ended all connections: request a connection anew"
)
CLOSED = Reason("closed", 0, "the client has closed the connection")


def session_over(reason: str) -> Reason:
    """Return why a connection ends with its session."""
    error = session_error(reason)
    return Reason(f"session {reason}", error.reason_code, str(error))
