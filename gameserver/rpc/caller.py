"""Who sent a packet: on whose authority it runs, and from where it came."""

from collections.abc import Mapping
from enum import Enum

import msgspec


class Caller(Enum):
    """On whose authority a packet runs."""

    CLIENT = "client", False
    SERVER = "server", True
    VISITOR = "visitor", False
    """Somebody without a session, for whom the operator has declared what is called."""
    SCRIPT = "script", True
    """A script of the studio, for a player or for nobody: it may do what servers may."""

    def __init__(self, _: str, is_studio: bool) -> None:
        self.is_studio = is_studio
        """Whether the studio's own code calls: a server, or a script."""


class Origin(msgspec.Struct, frozen=True):  # every packet makes one: a dataclass takes ten times as long
    """Where a packet came from: facts for policies, logs and the session record.

    `name` is that of the server that calls, or the path of the script. `scheme` and `headers` are those of
    the HTTP request, where the face hands them on; names are in small letters. `may_call` are the services
    and operations that a server is limited to, if it is.
    """

    face: str
    address: str
    name: str = ""
    scheme: str = "http"
    headers: Mapping[bytes, bytes] = {}
    may_call: frozenset[str] | None = None

    def __repr__(self) -> str:
        """Without the headers, which may hold credentials."""
        return f"Origin({self.face!r}, {self.address!r}, {self.name!r})"

    @property
    def host(self) -> str:
        """The host that this client called, as it says itself; empty where that is not known."""
        return self.headers.get(b"host", b"").decode("latin-1")

    @property
    def user_agent(self) -> str:
        """What the client says of the program that it is."""
        return self.headers.get(b"user-agent", b"").decode("latin-1")

    @property
    def reached(self) -> str:
        """The URL of the server as this client called it: to be told to nobody but that client."""
        return f"{self.scheme}://{self.host}"
