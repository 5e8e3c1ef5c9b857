"""Who sent a packet: on whose authority it runs, and from where it came."""

from dataclasses import dataclass
from enum import Enum, auto


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

    `name` is that of the server that calls, or the path of the script. `reached` is the URL of the server
    as this client called it, where the face knows it: to be told to nobody but that client. `may_call` are
    the services and operations that a server is limited to, if it is.
    """

    face: str
    address: str
    name: str = ""
    reached: str = ""
    may_call: frozenset[str] | None = None
