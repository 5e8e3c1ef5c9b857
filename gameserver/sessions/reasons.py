"""Why a session is gone, in the words and codes on which clients act."""

from gameserver.wire.errors import GameError, NoSession, SessionExpired, SessionReplaced


def session_error(reason: str) -> GameError:
    """The refusal that says why a session is gone; clients log themselves out on exactly these."""
    match reason:
        case "expired":
            return SessionExpired("the session has expired")
        case "replaced" | "revoked" | "disabled":
            return SessionReplaced("the session was ended by another login or by the operator")
        case _:
            return NoSession("there is no such session")
