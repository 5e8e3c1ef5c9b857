"""Who sent a packet: on whose authority it runs, and from where it came."""

from dataclasses import dataclass
from enum import Enum, auto

from gameserver.wire.errors import GameError, NoSession, SessionExpired, SessionReplaced

SERVER_PROFILE_ID = "s"  # stands in a server's session where a player's has the player


class Caller(Enum):
    """On whose authority a packet runs."""

    CLIENT = auto()
    SERVER = auto()
    VISITOR = auto()
    """Somebody without a session, for whom the operator has declared what is called."""
    SCRIPT = auto()
    """A script of the studio, for a player or for nobody: it may do what servers may."""

    @property
    def is_studio(self) -> bool:
        """Whether the studio's own code calls: a server, or a script."""
        return self is Caller.SERVER or self is Caller.SCRIPT


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a packet came from: facts for policies, logs and the session record.

    `name` is that of the server that calls, or the path of the script.
    """

    face: str
    address: str
    name: str = ""


def session_error(reason: str) -> GameError:
    """The refusal that says why a session is gone; clients log themselves out on exactly these."""
    match reason:
        case "expired":
            return SessionExpired("the session has expired")
        case "replaced" | "revoked" | "disabled":
            return SessionReplaced("the session was ended by another login or by the operator")
        case _:
            return NoSession("there is no such session")
