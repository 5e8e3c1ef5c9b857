"""Sessions in this process's memory: the same steps as the scripts, for a server of one process.

Nothing awaits inside a step, so each one is atomic. What has lapsed is collected as time passes: every
session has an entry in a heap, looked at when it is due and put back when the session still lives.
"""

import heapq
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from gameserver.sessions.checks import check_end, make_session, positive
from gameserver.sessions.ids import digest_of
from gameserver.sessions.interface import (
    FENCE_SECONDS,
    LEASE_SECONDS,
    PACKETS_PER_MINUTE_MAX,
    RATE_WINDOW_SECONDS,
    SESSIONS_PER_PLAYER_MAX,
    TOMBSTONE_SECONDS,
    UNLIMITED,
    Admission,
    Admitted,
    AllBut,
    AllOf,
    AllOfApp,
    Ended,
    Full,
    LoginLimit,
    NewSession,
    One,
    OnEnd,
    OnGap,
    Opened,
    OtherApp,
    Outdated,
    RateLimited,
    Reason,
    Replay,
    Reused,
    Running,
    Selector,
    Session,
)
from gameserver.wire.clock import Clock

COLLECT_MAX = 100  # how many due entries one login looks at
RATE_WINDOW_MS = RATE_WINDOW_SECONDS * 1000

Player = tuple[str, str]
Packet = tuple[int, str, bytes | None]


@dataclass(slots=True)
class _Tombstone:
    reason: Reason
    until_ms: int
    packet: Packet | None


@dataclass(slots=True)
class _Record:
    session: Session  # handed out in copies only
    expires_ms: int
    life_ms: int
    last_packet: int
    state: str = "login"  # login, running, released, done
    lease_ms: int = 0
    body_hash: str = ""
    answer: bytes | None = None
    window_ms: int = 0
    packets: int = 0
    tombstone: _Tombstone | None = None

    def copy(self) -> Session:
        return msgspec.structs.replace(
            self.session,
            last_packet_id=self.last_packet,
            life_seconds=self.life_ms // 1000,
            last_used_ms=self.expires_ms - self.life_ms,
        )

    def renew(self, now: int) -> None:
        self.expires_ms = max(self.expires_ms, now + self.life_ms)

    def home(self) -> Player:
        return self.session.home_app_id, self.session.home_profile_id


@dataclass(slots=True)
class _Fence:
    epoch: int
    until_ms: int


@dataclass(slots=True)
class _Count:
    start_ms: int
    window_ms: int
    hits: int


@dataclass(slots=True, eq=False)
class _MemoryWatch:
    on_end: OnEnd
    watches: set["_MemoryWatch"] = field(repr=False)

    async def close(self) -> None:
        self.watches.discard(self)


class MemorySessions:
    """The `SessionStore` of a single process. `random` makes the secret part of session ids."""

    def __init__(
        self,
        clock: Clock,
        *,
        lease_seconds: int = LEASE_SECONDS,
        tombstone_seconds: int = TOMBSTONE_SECONDS,
        packets_per_minute_max: int = PACKETS_PER_MINUTE_MAX,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._clock = clock
        self._lease_ms = lease_seconds * 1000
        self._tombstone_ms = tombstone_seconds * 1000
        self._packets_max = packets_per_minute_max
        self._random = random
        self._records: dict[str, _Record] = {}
        self._players: dict[Player, dict[str, int]] = {}  # digest: when it was opened
        self._apps: dict[str, dict[str, None]] = {}
        self._due: list[tuple[int, str]] = []
        self._fences: dict[Player, _Fence] = {}
        self._fences_due: list[tuple[int, Player]] = []
        self._counts: dict[str, _Count] = {}
        self._counts_due: list[tuple[int, str]] = []
        self._watches: set[_MemoryWatch] = set()

    def digest(self, session_id: str) -> str | None:
        """Return the digest of a session id, or `None` for a text that is none."""
        return digest_of(session_id)

    # Opening

    async def open(self, new: NewSession, limit: LoginLimit = UNLIMITED) -> Opened | Full | Ended:
        """Open a session under a login policy."""
        now = self._clock.ms()
        self._collect(now, COLLECT_MAX)
        session_id, session = make_session(new, now, self._random)
        known = self._find(session.digest, now)
        if isinstance(known, Ended) and known.reason != "unknown":
            return known
        fence = self._fences.get((new.app_id, new.profile_id))
        if new.epoch is not None and fence is not None and now < fence.until_ms and new.epoch < fence.epoch:
            return Ended("revoked")
        dropped: list[Session] = []
        if isinstance(known, Ended):
            alive = self._alive(new.app_id, new.profile_id, now)
            most = min(limit.most, SESSIONS_PER_PLAYER_MAX)
            if len(alive) >= most and limit.when_full == "refuse_newest":
                return Full()
            for digest in alive[: max(0, len(alive) - most + 1)]:
                dropped.append(self._records[digest].copy())
                self._bury(digest, "replaced", now, None)
        life_ms = new.life_seconds * 1000
        if isinstance(known, Ended) or now + life_ms < known.expires_ms:
            heapq.heappush(self._due, (now + life_ms, session.digest))
        self._records[session.digest] = _Record(session, now + life_ms, life_ms, new.packet_id)
        self._players.setdefault((new.app_id, new.profile_id), {})[session.digest] = now
        self._apps.setdefault(new.app_id, {})[session.digest] = None
        return Opened(session_id, msgspec.structs.replace(session), dropped)

    async def confirm(self, session_id: str, life_seconds: int) -> Session | Ended:
        """Renew a session opened for a short while and give it its real life."""
        now, life_ms = self._clock.ms(), positive(life_seconds) * 1000
        record = self._find(digest_of(session_id), now)
        if isinstance(record, Ended):
            return record
        if now + life_ms < record.expires_ms:  # its entry would come too late
            heapq.heappush(self._due, (now + life_ms, record.session.digest))
        record.life_ms, record.expires_ms = life_ms, now + life_ms
        return record.copy()

    # Packets

    async def admit(self, session_id: str, packet_id: int, body_hash: str, app_id: str) -> Admission:
        """Find the session, renew it and claim the packetId."""
        now = self._clock.ms()
        digest = digest_of(session_id)
        record = self._find(digest, now)
        if isinstance(record, Ended):
            return self._with_replay(record, digest, packet_id, body_hash)
        if record.session.app_id != app_id:
            return OtherApp(record.copy())
        if now - record.window_ms >= RATE_WINDOW_MS:
            record.window_ms, record.packets = now, 0
        if record.packets >= self._packets_max:
            return RateLimited(record.copy())
        record.packets += 1
        record.renew(now)
        return self._claim(record, packet_id, body_hash, now)

    def _claim(self, record: _Record, packet_id: int, body_hash: str, now: int) -> Admission:
        if packet_id < record.last_packet:
            return Outdated(record.copy())
        resumed = packet_id == record.last_packet
        if resumed:
            if record.state == "login" or record.body_hash != body_hash:
                return Reused(record.copy())
            if record.state == "done":
                return Replay(record.copy(), record.answer)
            if record.state == "running" and now < record.lease_ms:
                return Running(record.copy())
        record.last_packet, record.body_hash, record.state = packet_id, body_hash, "running"
        record.lease_ms, record.answer = now + self._lease_ms, None
        return Admitted(record.copy(), resumed)

    def _with_replay(self, ended: Ended, digest: str | None, packet_id: int, body_hash: str) -> Ended:
        record = self._records.get(digest or "")
        stone = record.tombstone if record is not None else None
        if ended.reason == "unknown" or stone is None or stone.packet is None:
            return ended
        its_id, its_hash, answer = stone.packet
        return Ended(ended.reason, answer) if (its_id, its_hash) == (packet_id, body_hash) else ended

    async def finish(self, session: Session, packet_id: int, answer: bytes | None) -> bool:
        """Release the claim and keep the answer; `None` says that SQL keeps it."""
        record = self._claimed(session, packet_id)
        if record is None:
            return False
        record.state, record.answer = "done", answer
        return True

    async def release(self, session: Session, packet_id: int) -> bool:
        """Give the claim back unanswered, so that the repeat runs."""
        record = self._claimed(session, packet_id)
        if record is None:
            return False
        record.state = "released"
        return True

    async def keep_claims(self, claims: Iterable[tuple[Session, int]]) -> list[bool]:
        """Renew the leases of packets that still run."""
        until = self._clock.ms() + self._lease_ms
        kept = []
        for session, packet_id in claims:
            record = self._claimed(session, packet_id)
            if record is not None:
                record.lease_ms = max(record.lease_ms, until)
            kept.append(record is not None)
        return kept

    def _claimed(self, session: Session, packet_id: int) -> _Record | None:
        record = self._records.get(session.digest)
        if record is None or record.tombstone is not None or self._clock.ms() >= self._forgotten_ms(record):
            return None
        return record if record.state == "running" and record.last_packet == packet_id else None

    # Looking

    async def peek(self, session_id: str) -> Session | Ended:
        """Return the session, not renewed."""
        record = self._find(digest_of(session_id), self._clock.ms())
        return record if isinstance(record, Ended) else record.copy()

    async def peek_digest(self, digest: str) -> Session | Ended:
        """Return the session of a digest, not renewed."""
        record = self._find(digest, self._clock.ms())
        return record if isinstance(record, Ended) else record.copy()

    async def touch(self, session_id: str) -> Session | Ended:
        """Find and renew the session."""
        now = self._clock.ms()
        record = self._find(digest_of(session_id), now)
        if isinstance(record, Ended):
            return record
        record.renew(now)
        return record.copy()

    async def switch(self, session: Session, app_id: str, profile_id: str) -> Session | Ended:
        """Let the session act for another app and profile."""
        record = self._find(session.digest, self._clock.ms())
        if isinstance(record, Ended):
            return record
        record.session = msgspec.structs.replace(session, app_id=app_id, profile_id=profile_id)
        return record.copy()

    def _find(self, digest: str | None, now: int) -> _Record | Ended:
        record = self._records.get(digest or "")
        if record is None or now >= self._forgotten_ms(record):
            return Ended("unknown")
        if record.tombstone is not None:
            return Ended(record.tombstone.reason)
        return record if now < record.expires_ms else Ended("expired")

    def _forgotten_ms(self, record: _Record) -> int:
        stone = record.tombstone
        return stone.until_ms if stone is not None else record.expires_ms + self._tombstone_ms

    def _alive(self, app_id: str, profile_id: str, now: int) -> list[str]:
        opened = self._players.get((app_id, profile_id), {})
        alive = [digest for digest in opened if isinstance(self._find(digest, now), _Record)]
        return sorted(alive, key=lambda digest: (opened[digest], digest))

    # Ending

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
        """End sessions; returns the digests of those that were alive."""
        by = check_end(selector, reason, packet_id, by, epoch)
        now = self._clock.ms()
        if epoch is not None and isinstance(selector, AllOf):
            self._set_fence((selector.app_id, selector.profile_id), epoch, now)
        packet = None if packet_id is None else (packet_id, body_hash, answer)
        return [
            digest
            for digest in self._select(selector, by)
            if self._bury(digest, reason, now, packet if digest == by else None)
        ]

    def _set_fence(self, player: Player, epoch: int, now: int) -> None:
        old = self._fences.get(player)
        if old is not None and now < old.until_ms:
            epoch = max(epoch, old.epoch)
        fence = self._fences[player] = _Fence(epoch, now + FENCE_SECONDS * 1000)
        heapq.heappush(self._fences_due, (fence.until_ms, player))

    def _select(self, selector: Selector, by: str) -> list[str]:
        match selector:
            case One():
                return [by]
            case AllOfApp(app_id=app_id):
                return list(self._apps.get(app_id, {}))
            case AllOf(app_id=app_id, profile_id=profile_id):
                keep = ""
            case AllBut(app_id=app_id, profile_id=profile_id, keep=keep):
                pass
        opened = self._players.get((app_id, profile_id), {})
        chosen = [
            digest for digest in sorted(opened, key=lambda digest: (opened[digest], digest)) if digest != keep
        ]
        record = self._records.get(by)
        # The session a packet came by may have ended before: its tombstone still wants the answer.
        wants_answer = record is not None and record.tombstone is not None and record.home()[1] == profile_id
        return [*chosen, by] if wants_answer else chosen

    def _bury(self, digest: str, reason: str, now: int, packet: Packet | None) -> bool:
        record = self._records.get(digest)
        if record is None:
            return False
        stone = record.tombstone
        if stone is not None:
            stone.packet = stone.packet or packet
            return False
        alive = now < record.expires_ms
        until = (now if alive else record.expires_ms) + self._tombstone_ms
        record.tombstone = _Tombstone(_reason(reason) if alive else "expired", until, packet)
        record.answer = None
        self._unlist(digest, record)
        if alive:
            for watch in list(self._watches):
                watch.on_end(digest, reason)
        return alive

    # An app's sessions

    async def list(self, app_id: str, profile_id: str) -> list[Session]:
        """Return the player's live sessions, oldest first."""
        return [self._records[digest].copy() for digest in self._alive(app_id, profile_id, self._clock.ms())]

    async def every(self, app_id: str) -> AsyncIterator[Session]:
        """Yield all live sessions of an app in no order."""
        for digest in list(self._apps.get(app_id, {})):
            record = self._find(digest, self._clock.ms())
            if isinstance(record, _Record):
                yield record.copy()

    async def count(self, app_id: str) -> int:
        """Count the sessions of an app that are alive."""
        await self.sweep(app_id)
        return len(self._apps.get(app_id, {}))

    async def sweep(self, app_id: str) -> int:
        """Forget lapsed sessions; returns how many of this app."""
        before = len(self._apps.get(app_id, {}))
        self._collect(self._clock.ms(), len(self._due))
        return before - len(self._apps.get(app_id, {}))

    def _collect(self, now: int, most: int) -> None:
        for _ in range(most):
            if not self._due or self._due[0][0] > now:
                break
            _, digest = heapq.heappop(self._due)
            record = self._records.get(digest)
            if record is None:
                continue
            if record.tombstone is None and now < record.expires_ms:
                heapq.heappush(self._due, (record.expires_ms, digest))
                continue
            self._unlist(digest, record)
            if now < self._forgotten_ms(record):
                heapq.heappush(self._due, (self._forgotten_ms(record), digest))
            else:
                del self._records[digest]
        while self._fences_due and self._fences_due[0][0] <= now:
            _, player = heapq.heappop(self._fences_due)
            if player in self._fences and now >= self._fences[player].until_ms:
                del self._fences[player]
        while self._counts_due and self._counts_due[0][0] <= now:
            _, key = heapq.heappop(self._counts_due)
            count = self._counts.get(key)
            if count is not None and now - count.start_ms >= count.window_ms:
                del self._counts[key]

    def _unlist(self, digest: str, record: _Record) -> None:
        app_id, profile_id = record.home()
        self._apps.get(app_id, {}).pop(digest, None)
        player = self._players.get((app_id, profile_id), {})
        player.pop(digest, None)
        if not player:
            self._players.pop((app_id, profile_id), None)

    # Counters

    async def hit(self, key: str, limit: int, window_seconds: int, cost: int = 1) -> bool:
        """Count `cost` hits on a key; False, uncounted, when that exceeds `limit` in the window."""
        now, window_ms = self._clock.ms(), positive(window_seconds) * 1000
        self._collect(now, 0)
        count = self._counts.get(key)
        if count is None or now - count.start_ms >= window_ms:
            count = _Count(now, window_ms, 0)
        if count.hits + max(cost, 1) > limit:
            return False
        if cost > 0:
            if key not in self._counts or self._counts[key] is not count:
                heapq.heappush(self._counts_due, (now + window_ms, key))
                self._counts[key] = count
            count.hits += cost
        return True

    async def forget_hits(self, key: str) -> None:
        """Start the key's count again."""
        self._counts.pop(key, None)

    # The rest of the world

    async def watch(self, on_end: OnEnd, on_gap: OnGap | None = None) -> _MemoryWatch:  # noqa: ARG002 - no gaps here
        """Call `on_end(digest, reason)` for every session that ends from now on."""
        watch = _MemoryWatch(on_end, self._watches)
        self._watches.add(watch)
        return watch

    async def ping(self) -> str:
        """Return at once."""
        return ""

    async def close(self) -> None:
        """Forget everything."""
        self._watches.clear()
        self._records.clear()
        self._players.clear()
        self._apps.clear()
        self._due.clear()
        self._fences.clear()
        self._fences_due.clear()


def _reason(reason: str) -> Reason:
    match reason:
        case "logged_out" | "replaced" | "revoked" | "disabled":
            return reason
        case _:
            raise ValueError(f"no reason to end a session: {reason!r}")
