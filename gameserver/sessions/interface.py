"""What sessions are and what may be done with them, whichever store keeps them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from gameserver.sessions.ids import digest_of, is_digest

SESSIONS_PER_PLAYER_MAX = 100  # beyond any login policy; keeps every step over a player's sessions short
PACKETS_PER_MINUTE_MAX = 1200  # 20 a second, averaged over a minute
RATE_WINDOW_SECONDS = 60
LEASE_SECONDS = 15  # how long a process may be silent about a packet it runs
TOMBSTONE_SECONDS = 900  # how long an ended or expired session is told from one that never was
LOCK_MEMORY_SECONDS = 86_400  # how long after a lock the next one is longer
SWITCHED_SECONDS = 90 * 86_400  # how long after its switch a session is found by whom it acts for
SERVER_PROFILE_ID = "s"  # stands in a server's session where a player's has the player
FENCE_SECONDS = 600  # longer than any login takes between what it saw of the player and its session

Reason = Literal["expired", "logged_out", "replaced", "revoked", "disabled", "unknown"]
END_REASONS: frozenset[str] = frozenset({"logged_out", "replaced", "revoked", "disabled"})


class SessionsUnavailable(Exception):
    """The store cannot be reached now. Nothing is known about whether the step was taken."""


class Session(msgspec.Struct, array_like=True):
    """A session as a packet needs to know it. The digest names it; its id is known to the client alone.

    `app_id` and `profile_id` are those it acts for now; with the `home_` ones it logged in, and lists and
    counts go by these. Selectors go by both: who ends a player's sessions ends those that act for them, too.
    `life_seconds` is how long it lives after its last packet.
    """

    digest: str
    app_id: str
    profile_id: str
    home_app_id: str
    home_profile_id: str
    face: str
    created_ms: int
    life_seconds: int
    facts: dict[str, Any]
    last_packet_id: int = -1
    last_used_ms: int = 0


class NewSession(msgspec.Struct, frozen=True):
    """What a login asks for.

    `packet_id` is the packetId of the login itself: later packets must be above it. `session_id`, made with
    `new_session_id`, lets a login that is run again open the same session. `epoch` is the player's epoch
    that the login saw; `None` when it saw none, and then no fence stops it.
    """

    app_id: str
    profile_id: str
    face: str
    life_seconds: int
    facts: dict[str, Any] = {}
    packet_id: int = -1
    session_id: str | None = None
    epoch: int | None = None


class LoginLimit(msgspec.Struct, frozen=True):
    """How many sessions a player may have at once, and who yields when that is reached."""

    most: int = 1
    when_full: Literal["drop_oldest", "refuse_newest"] = "drop_oldest"

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError("a player may have at least one session")


UNLIMITED = LoginLimit(most=SESSIONS_PER_PLAYER_MAX)


# Outcomes of opening


class Opened(msgspec.Struct, frozen=True):
    """The session is open; `dropped` are those that had to yield, as they were."""

    session_id: str
    session: Session
    dropped: list[Session]


class Full(msgspec.Struct, frozen=True):
    """The player has as many sessions as allowed; nothing changed."""


# Outcomes of a packet


class Mark(NamedTuple):
    """Something waits for the player of a session: it came at `since_ms` at the earliest, so many `times`."""

    since_ms: int
    times: int


class Admitted(msgspec.Struct, frozen=True):
    """The packet is claimed: run it. `resumed`: it was claimed before; its answer may be in SQL already."""

    session: Session
    resumed: bool
    mark: Mark | None = None


class Replay(msgspec.Struct, frozen=True):
    """The packet ran. `answer` is `None` when it is kept in SQL only."""

    session: Session
    answer: bytes | None


class Running(msgspec.Struct, frozen=True):
    """The same packet runs at this moment, here or elsewhere."""

    session: Session


class Reused(msgspec.Struct, frozen=True):
    """The last packetId, but with another body."""

    session: Session


class Outdated(msgspec.Struct, frozen=True):
    """A packetId below the last one."""

    session: Session


class OtherApp(msgspec.Struct, frozen=True):
    """The session acts for another app than asked about; it was neither renewed nor claimed."""

    session: Session


class RateLimited(msgspec.Struct, frozen=True):
    """Too many packets in the current minute; the session was neither renewed nor claimed."""

    session: Session


class Ended(msgspec.Struct, frozen=True):
    """No such session any more. `replay` is the stored answer when this very packet ended it."""

    reason: Reason
    replay: bytes | None = None


Admission = Admitted | Replay | Running | Reused | Outdated | OtherApp | RateLimited | Ended


# Selectors: which sessions to end


class One(msgspec.Struct, frozen=True, tag=True):
    """One session, by its id or by its digest. A text that is neither selects nothing."""

    session_id: str = ""
    digest: str = ""

    def resolve(self) -> str | None:
        """Return the digest, or `None` when the text is neither."""
        if self.digest:
            return self.digest if is_digest(self.digest) else None
        return digest_of(self.session_id)


class AllOf(msgspec.Struct, frozen=True, tag=True):
    """All sessions of a player of an app, and those of others that act for the player."""

    app_id: str
    profile_id: str


class AllBut(msgspec.Struct, frozen=True, tag=True):
    """All sessions of a player except the one with the digest `keep`."""

    app_id: str
    profile_id: str
    keep: str


class AllOfApp(msgspec.Struct, frozen=True, tag=True):
    """Every session of an app, or that acts for one of its players, that is open when the end begins."""

    app_id: str


Selector = One | AllOf | AllBut | AllOfApp

OnEnd = Callable[[str, str], None]
OnGap = Callable[[], None]


class Watch(Protocol):
    """A subscription to the ends of sessions."""

    async def close(self) -> None:
        """Stop it; returns when no further call will come."""


class SessionStore(Protocol):
    """Sessions of all processes that share one store.

    Every method is one atomic step unless it says otherwise, and raises `SessionsUnavailable` within a few
    seconds when the store is away.
    """

    def digest(self, session_id: str) -> str | None:
        """Return the digest of a session id, or `None` for a text that is none."""

    async def open(self, new: NewSession, limit: LoginLimit = UNLIMITED) -> Opened | Full | Ended:
        """Open a session under a login policy. The sessions that must yield end as "replaced".

        Opening the same `session_id` again opens it afresh and leaves the other sessions alone. `Ended` tells
        that this id has ended or lapsed meanwhile: an ended session never comes back. It is also the outcome
        when all sessions of the player were ended with an epoch above `new.epoch`: the login is older than
        that end. Raises `ValueError` for a `session_id` that was not made for this profile.
        """

    async def confirm(self, session_id: str, life_seconds: int) -> Session | Ended:
        """Renew a session opened for a short while and give it its real life."""

    @property
    def may_forget(self) -> bool:
        """Whether a claim may be forgotten while its packet runs, as by a Redis that fails over."""

    async def admit(self, session_id: str, packet_id: int, body_hash: str, app_id: str) -> Admission:
        """Find the session, renew it and claim the packetId. `app_id`: whose signature the packet bears."""

    async def peek(self, session_id: str) -> Session | Ended:
        """Return the session, not renewed."""

    async def peek_digest(self, digest: str) -> Session | Ended:
        """Return the session of a digest, not renewed."""

    async def touch(self, session_id: str) -> Session | Ended:
        """Find and renew the session: for faces without packetIds."""

    def finish(self, session: Session, packet_id: int, answer: bytes | None) -> Awaitable[bool]:
        """Release the claim and keep the answer; `None` says that SQL keeps it. Wait for the outcome.

        False when the claim is no longer this packet's: another run of it was faster, a later packet came, or
        the session has ended. Then nothing changed.
        """

    async def release(self, session: Session, packet_id: int) -> bool:
        """Give the claim back unanswered, so that the repeat runs. False when it is not this packet's."""

    async def keep_claims(self, claims: Iterable[tuple[Session, int]]) -> list[bool]:
        """Renew the leases of packets that still run. Each claim is a step of its own; False: it is lost."""

    async def end(
        self,
        selector: Selector,
        reason: str,
        *,
        packet_id: int | None = None,
        body_hash: str = "",
        answer: bytes | None = None,
        by: str = "",
        epoch: int | None = None,
    ) -> list[str]:
        """End sessions; returns the digests of those that were alive. From here on nobody accepts them.

        When a packet asked for it, its id, hash and answer are kept with the session it came by (`by`, a
        digest; for `One` it is the session itself), so that a repeat gets the same answer. Ending an ended
        session changes nothing but may add that answer. One step per player; `AllOfApp` is one per session.

        `epoch`, with `AllOf`, also stops logins on their way: for `FENCE_SECONDS`, `open` refuses those that
        saw a lower epoch of the player. Raises `ValueError` for a reason not in `END_REASONS`, and for an
        epoch with another selector.
        """

    async def list(self, app_id: str, profile_id: str) -> list[Session]:
        """Return the player's live sessions, oldest first."""

    def every(self, app_id: str) -> AsyncIterator[Session]:
        """Yield all live sessions of an app, page by page. One may come twice; none is left out."""

    async def count(self, app_id: str) -> int:
        """Count the live sessions of an app; too many if 10,000 fell due since the last sweep."""

    async def sweep(self, app_id: str) -> int:
        """Forget lapsed sessions in the app's index; returns how many. Call it for each app every minute."""

    async def switch(
        self, session: Session, app_id: str, profile_id: str, epoch: int | None = None
    ) -> Session | Ended:
        """Let the session act for another app and profile. Where it logged in stays.

        From here on it ends with the sessions of that profile as well. `epoch` is that player's, as the
        switch has seen it: `Ended` when all their sessions were ended with a higher one meanwhile. The
        session itself is then as it was. Several steps; whoever repeats them gets to the same end. Among its
        facts are then the app it acted for before, as `switchedFrom`, and when that was, as `switchedMs`: so
        that it is found it is to be switched to the same player again before `SWITCHED_SECONDS` are over. The
        session is marked from when it was opened on: its marks were for those for whom it acted till now.
        """

    async def mark(self, app_id: str, profile_id: str, since_ms: int) -> None:
        """Mark all sessions of a player, and those that act for the player: something waits for them.

        The next packets of a marked session are told so with their admission, which costs nothing more,
        until somebody takes the mark off. One step for the player, and one for each session that acts for
        the player.
        """

    async def unmark(self, session: Session, mark: Mark) -> None:
        """Take off the mark that a packet was told of, unless the session was marked again meanwhile."""

    async def hit(self, key: str, limit: int, window_seconds: int, cost: int = 1) -> bool:
        """Count `cost` hits on a key; False, uncounted, when that exceeds `limit` in the window.

        The window begins with the first hit.
        A `cost` of 0 asks whether one more would be allowed. A key is always counted in the same window.
        """

    async def forget_hits(self, key: str) -> None:
        """Start the key's count again, as after a login that succeeded."""

    async def lock(self, key: str, first_seconds: int, longest_seconds: int) -> int:
        """Lock a key; returns for how many ms from now.

        Each further lock is twice as long as the one before, up to the longest, until there was none for
        `LOCK_MEMORY_SECONDS`. A key that is locked stays so for as long as it was to be.
        """

    async def is_locked(self, key: str) -> bool:
        """Tell whether a key is locked."""

    async def unlock(self, key: str) -> None:
        """Open a key, and forget that it was ever locked."""

    async def watch(self, on_end: OnEnd, on_gap: OnGap | None = None) -> Watch:
        """Call `on_end(digest, reason)` for every session that any process ends from now on.

        Ends may be missed while the store is away; `on_gap` is called when it is back, so that the
        holder of live sockets can check their sessions. Lapsing is not an end.
        """

    async def ping(self) -> str:
        """Return when the store answers and takes writes: what an operator should mend, or nothing."""

    async def close(self) -> None:
        """Let go of connections."""
