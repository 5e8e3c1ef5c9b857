"""What is kept of a session in this process's memory."""

import msgspec

from gameserver.sessions.interface import Reason

NO_FACTS = msgspec.msgpack.encode({})


class Record(msgspec.Struct, gc=False):
    """A session, or what is left of one that has ended (`reason`).

    Every field is one that cannot hold others, or `gc=False` would be a mistake: so facts are packed.
    """

    app_id: str
    profile_id: str
    home_app_id: str
    home_profile_id: str
    face: str
    created_ms: int
    facts: bytes
    expires_ms: int
    life_ms: int
    last_packet: int | None  # of an ended one: the packet that ended it
    state: str = "login"  # login, running, released, done
    lease_ms: int = 0
    body_hash: str = ""
    answer: bytes | None = None
    window_ms: int = 0
    packets: int = 0
    reason: Reason | None = None
    forgotten_ms: int = 0  # of an ended one
    marked_ms: int = 0
    marks: int = 0

    def renew(self, now: int) -> None:
        """Let it live from now on."""
        self.expires_ms = max(self.expires_ms, now + self.life_ms)

    def mark(self, since_ms: int) -> None:
        """Note that something waits for its player."""
        self.marked_ms = min(since_ms, self.marked_ms) if self.marks else since_ms
        self.marks += 1
