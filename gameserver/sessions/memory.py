"""Sessions in this process's memory: the same steps as the scripts, for a server of one process.

Nothing awaits inside a step, so each one is atomic. What has lapsed is collected as time passes: every
session has an entry in a wheel of time spans, looked at when it is due and put back when the session still
lives.

There may be half a million sessions, and the garbage collector would walk every object that may hold others,
each time at the cost of some answer. So nothing here is such an object: sessions are structs of numbers and
text, which it is told to leave alone, in dictionaries that hold nothing else, and those it leaves alone too.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from gameserver.sessions.checks import check_end, make_session, positive, switched
from gameserver.sessions.ids import DIGEST_LENGTH, TAG_LENGTH, digest_of, tag_of
from gameserver.sessions.interface import (
    FENCE_SECONDS,
    LEASE_SECONDS,
    LOCK_MEMORY_SECONDS,
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
    Mark,
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
from gameserver.sessions.record import NO_FACTS, Record
from gameserver.sessions.wheel import SPAN_MS, Marks, Wheel
from gameserver.wire.clock import Clock

COLLECT_MAX = 100  # how many due entries one login looks at
LOCK_MEMORY_MS = LOCK_MEMORY_SECONDS * 1000
RATE_WINDOW_MS = RATE_WINDOW_SECONDS * 1000
LOCKS_COUNTED = 50

Packet = tuple[int, str, bytes | None]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@dataclass(slots=True, eq=False)
class _MemoryWatch:
    on_end: OnEnd
    watches: set["_MemoryWatch"] = field(repr=False)

    async def close(self) -> None:
        self.watches.discard(self)


class MemorySessions:
    """The `SessionStore` of a single process. `random` makes the secret part of session ids."""

    may_forget = False

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
        self._records: dict[str, Record] = {}
        self._players: dict[str, dict[str, str]] = {}  # by app and player: their digests, with blanks between
        self._apps: dict[str, dict[str, None]] = {}
        self._acting: dict[str, dict[str, str]] = {}  # like _players: by the app and player they act for
        self._due = Wheel(DIGEST_LENGTH)
        self._collect_ms = 0  # until then nothing more is due
        self._fences = Marks()  # epoch, until
        self._counts = Marks()  # start, hits
        self._locks = Marks()  # until, how many there were
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
        digest = session.digest
        known = self._find(digest, now)
        if isinstance(known, Ended) and known.reason != "unknown":
            return known
        if (
            new.epoch is not None
            and self._fences
            and new.epoch < self._fence_epoch(new.app_id, new.profile_id, now)
        ):
            return Ended("revoked")
        dropped: list[Session] = []
        life_ms, marked_ms, marks = new.life_seconds * 1000, 0, 0
        if isinstance(known, Ended):
            alive = self._alive(new.app_id, new.profile_id, now)
            most = min(limit.most, SESSIONS_PER_PLAYER_MAX)
            if len(alive) >= most and limit.when_full == "refuse_newest":
                return Full()
            for other in alive[: max(0, len(alive) - most + 1)]:
                dropped.append(self._session(other, self._records[other]))
                self._bury(other, "replaced", now, None)
            self._forget(digest)  # if it was, then so long ago that it never was
        else:
            marked_ms, marks = known.marked_ms, known.marks
        if isinstance(known, Ended) or now + life_ms < known.expires_ms:
            self._due.add(now + life_ms, digest.encode())
        self._records[digest] = Record(
            new.app_id,
            new.profile_id,
            new.app_id,
            new.profile_id,
            new.face,
            now,
            _encode(new.facts),
            now + life_ms,
            life_ms,
            new.packet_id,
            marked_ms=marked_ms,
            marks=marks,
        )
        self._list(new.app_id, new.profile_id, digest)
        return Opened(session_id, session, dropped)

    async def confirm(self, session_id: str, life_seconds: int) -> Session | Ended:
        """Renew a session opened for a short while and give it its real life."""
        now, life_ms = self._clock.ms(), positive(life_seconds) * 1000
        digest = digest_of(session_id) or ""
        record = self._find(digest, now)
        if isinstance(record, Ended):
            return record
        if now + life_ms < record.expires_ms:  # its entry would come too late
            self._due.add(now + life_ms, digest.encode())
        record.life_ms, record.expires_ms = life_ms, now + life_ms
        return self._session(digest, record)

    # Packets

    async def admit(self, session_id: str, packet_id: int, body_hash: str, app_id: str) -> Admission:
        """Find the session, renew it and claim the packetId."""
        now = self._clock.ms()
        digest = digest_of(session_id) or ""
        record = self._find(digest, now)
        if isinstance(record, Ended):
            return self._with_replay(record, digest, packet_id, body_hash)
        if record.app_id != app_id:
            return OtherApp(self._session(digest, record))
        if now - record.window_ms >= RATE_WINDOW_MS:
            record.window_ms, record.packets = now, 0
        if record.packets >= self._packets_max:
            return RateLimited(self._session(digest, record))
        record.packets += 1
        record.renew(now)
        return self._claim(digest, record, packet_id, body_hash, now)

    def _claim(self, digest: str, record: Record, packet_id: int, body_hash: str, now: int) -> Admission:
        last = record.last_packet
        assert last is not None, "only an ended session has no last packet"
        if packet_id < last:
            return Outdated(self._session(digest, record))
        resumed = packet_id == last
        if resumed:
            if record.state == "login" or record.body_hash != body_hash:
                return Reused(self._session(digest, record))
            if record.state == "done":
                return Replay(self._session(digest, record), record.answer)
            if record.state == "running" and now < record.lease_ms:
                return Running(self._session(digest, record))
        record.last_packet, record.body_hash, record.state = packet_id, body_hash, "running"
        record.lease_ms, record.answer = now + self._lease_ms, None
        mark = Mark(record.marked_ms, record.marks) if record.marks else None
        return Admitted(self._session(digest, record), resumed, mark)

    def _with_replay(self, ended: Ended, digest: str, packet_id: int, body_hash: str) -> Ended:
        record = self._records.get(digest)
        if ended.reason == "unknown" or record is None or record.reason is None or record.last_packet is None:
            return ended
        by_it = (record.last_packet, record.body_hash) == (packet_id, body_hash)
        return Ended(ended.reason, record.answer) if by_it else ended

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

    def _claimed(self, session: Session, packet_id: int) -> Record | None:
        record = self._records.get(session.digest)
        if record is None or record.reason is not None or record.state != "running":
            return None
        claimed = record.last_packet == packet_id and self._clock.ms() < self._forgotten_ms(record)
        return record if claimed else None

    # Looking

    async def peek(self, session_id: str) -> Session | Ended:
        """Return the session, not renewed."""
        return await self.peek_digest(digest_of(session_id) or "")

    async def peek_digest(self, digest: str) -> Session | Ended:
        """Return the session of a digest, not renewed."""
        record = self._find(digest, self._clock.ms())
        return record if isinstance(record, Ended) else self._session(digest, record)

    async def touch(self, session_id: str) -> Session | Ended:
        """Find and renew the session."""
        now = self._clock.ms()
        digest = digest_of(session_id) or ""
        record = self._find(digest, now)
        if isinstance(record, Ended):
            return record
        record.renew(now)
        return self._session(digest, record)

    async def switch(
        self, session: Session, app_id: str, profile_id: str, epoch: int | None = None
    ) -> Session | Ended:
        """Let the session act for another app and profile."""
        now = self._clock.ms()
        record = self._find(session.digest, now)
        if isinstance(record, Ended):
            return record
        if epoch is not None and epoch < self._fence_epoch(app_id, profile_id, now):
            return Ended("revoked")
        self._acts_no_more(session.digest, record)
        record.facts = _encode(switched(session, app_id, profile_id, now).facts)
        record.app_id, record.profile_id = app_id, profile_id
        if (app_id, profile_id) != (record.home_app_id, record.home_profile_id):
            acting = self._acting.setdefault(app_id, {})
            acting[profile_id] = f"{acting.get(profile_id, '')} {session.digest}".strip()
        record.mark(record.created_ms)
        return self._session(session.digest, record)

    def _acts_no_more(self, digest: str, record: Record) -> None:
        """Forget whom a session acts for, where that is not the player who logged in."""
        acting = self._acting.get(record.app_id)
        if acting is not None and digest in acting.get(record.profile_id, ""):
            rest = " ".join(other for other in acting.pop(record.profile_id).split() if other != digest)
            if rest:
                acting[record.profile_id] = rest

    def _find(self, digest: str, now: int) -> Record | Ended:
        record = self._records.get(digest)
        if record is not None and record.reason is None and now < record.expires_ms:
            return record
        if record is None or now >= self._forgotten_ms(record):
            return Ended("unknown")
        return Ended(record.reason or "expired")

    def _forgotten_ms(self, record: Record) -> int:
        return record.expires_ms + self._tombstone_ms if record.reason is None else record.forgotten_ms

    def _session(self, digest: str, record: Record) -> Session:
        return Session(
            digest,
            record.app_id,
            record.profile_id,
            record.home_app_id,
            record.home_profile_id,
            record.face,
            record.created_ms,
            record.life_ms // 1000,
            _decode(record.facts),
            record.last_packet if record.last_packet is not None else -1,
            record.expires_ms - record.life_ms,
        )

    # A player's sessions

    def _opened(self, app_id: str, profile_id: str) -> list[str]:
        """The digests that the player's list names, oldest first."""
        digests = self._players.get(app_id, {}).get(profile_id, "").split()
        if len(digests) > 1:
            digests.sort(key=lambda digest: (self._records[digest].created_ms, digest))
        return digests

    def _alive(self, app_id: str, profile_id: str, now: int) -> list[str]:
        opened = self._opened(app_id, profile_id)
        return [digest for digest in opened if isinstance(self._find(digest, now), Record)]

    def _list(self, app_id: str, profile_id: str, digest: str) -> None:
        self._apps.setdefault(app_id, {})[digest] = None
        players = self._players.setdefault(app_id, {})
        listed = players.get(profile_id, "")
        if digest not in listed:
            players[profile_id] = f"{listed} {digest}" if listed else digest

    def _unlist(self, digest: str, record: Record) -> None:
        self._acts_no_more(digest, record)
        self._apps.get(record.home_app_id, {}).pop(digest, None)
        players = self._players.get(record.home_app_id, {})
        listed = players.get(record.home_profile_id, "")
        if listed == digest:
            del players[record.home_profile_id]
        elif digest in listed:
            rest = [other for other in listed.split() if other != digest]
            players[record.home_profile_id] = " ".join(rest)

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
            self._set_fence(selector.app_id, selector.profile_id, epoch, now)
        packet = None if packet_id is None else (packet_id, body_hash, answer)
        return [
            digest
            for digest in self._select(selector, by)
            if self._bury(digest, _reason(reason), now, packet if digest == by else None)
        ]

    def _set_fence(self, app_id: str, profile_id: str, epoch: int, now: int) -> None:
        until = now + FENCE_SECONDS * 1000
        epoch = max(epoch, self._fence_epoch(app_id, profile_id, now))
        self._fences.put(f"{app_id}\0{profile_id}", epoch, until, until)

    def _fence_epoch(self, app_id: str, profile_id: str, now: int) -> int:
        """The epoch below which a player's logins are refused; -1 when all are welcome."""
        epoch, until = self._fences.get(f"{app_id}\0{profile_id}") or (-1, 0)
        return epoch if now < until else -1

    def _select(self, selector: Selector, by: str) -> list[str]:
        match selector:
            case One():
                return [by]
            case AllOfApp(app_id=app_id):
                acting = " ".join(self._acting.get(app_id, {}).values()).split()
                return list(dict.fromkeys([*self._apps.get(app_id, {}), *acting]))
            case AllOf(app_id=app_id, profile_id=profile_id):
                keep = ""
            case AllBut(app_id=app_id, profile_id=profile_id, keep=keep):
                pass
        acting = self._acting.get(app_id, {}).get(profile_id, "").split()
        chosen = [digest for digest in [*self._opened(app_id, profile_id), *acting] if digest != keep]
        # The session a packet came by may have ended before: its tombstone still wants the answer.
        record = self._records.get(by)
        wants_answer = (
            record is not None and record.reason is not None and by[:TAG_LENGTH] == tag_of(profile_id)
        )
        return [*chosen, by] if wants_answer else chosen

    def _bury(self, digest: str, reason: Reason, now: int, packet: Packet | None) -> bool:
        record = self._records.get(digest)
        if record is None:
            return False
        if record.reason is not None:
            if packet is not None and record.last_packet is None and now < record.forgotten_ms:
                record.last_packet, record.body_hash, record.answer = packet
            return False
        alive = now < record.expires_ms
        until = (now if alive else record.expires_ms) + self._tombstone_ms
        self._unlist(digest, record)
        record.reason, record.forgotten_ms = reason if alive else "expired", until
        record.last_packet, record.body_hash, record.answer = packet or (None, "", None)
        record.facts = NO_FACTS
        self._due.add(until, digest.encode())
        if alive:
            for watch in list(self._watches):
                watch.on_end(digest, reason)
        return alive

    # An app's sessions

    async def every(self, app_id: str) -> AsyncIterator[Session]:
        """Yield all live sessions of an app in no order."""
        for digest in list(self._apps.get(app_id, {})):
            record = self._find(digest, self._clock.ms())
            if isinstance(record, Record):
                yield self._session(digest, record)

    async def count(self, app_id: str) -> int:
        """Count the sessions of an app that are alive."""
        await self.sweep(app_id)
        return len(self._apps.get(app_id, {}))

    async def sweep(self, app_id: str) -> int:
        """Forget lapsed sessions; returns how many of this app."""
        before = len(self._apps.get(app_id, {}))
        self._collect(self._clock.ms(), None)
        return before - len(self._apps.get(app_id, {}))

    def _collect(self, now: int, most: int | None) -> None:
        """Look at what is due: at most so many sessions of spans that are over, or (None) at everything."""
        if most is not None and now < self._collect_ms:
            return  # what falls due meanwhile is of spans that are not over
        taken = 0
        for entry in self._due.take(now, most):
            taken += 1
            self._look_at(entry, now)
        for marks in (self._fences, self._counts, self._locks):
            taken = max(taken, marks.collect(now, most))
        if most is None or taken < most:
            self._collect_ms = now - now % SPAN_MS + SPAN_MS

    def _look_at(self, entry: bytes, now: int) -> None:
        digest = entry.decode()
        record = self._records.get(digest)
        if record is None:
            return
        due = record.forgotten_ms
        if record.reason is None:
            due = record.expires_ms
            if now >= due:
                self._unlist(digest, record)
                due += self._tombstone_ms
        if now < due:
            self._due.add(due, entry)
        else:
            del self._records[digest]

    def _forget(self, digest: str) -> None:
        record = self._records.pop(digest, None)
        if record is not None:
            self._unlist(digest, record)

    # Marks

    async def mark(self, app_id: str, profile_id: str, since_ms: int) -> None:
        """Mark all sessions of a player, and those that act for the player."""
        acting = self._acting.get(app_id, {}).get(profile_id, "").split()
        for digest in [*self._opened(app_id, profile_id), *acting]:
            record = self._records.get(digest)
            if record is not None and record.reason is None:
                record.mark(since_ms)

    async def unmark(self, session: Session, mark: Mark) -> None:
        """Take off the mark that a packet was told of, unless the session was marked again meanwhile."""
        record = self._records.get(session.digest)
        if record is not None and Mark(record.marked_ms, record.marks) == mark:
            record.marked_ms = record.marks = 0

    # Counters

    async def hit(self, key: str, limit: int, window_seconds: int, cost: int = 1) -> bool:
        """Count `cost` hits on a key; False, uncounted, when that exceeds `limit` in the window."""
        now, window_ms = self._clock.ms(), positive(window_seconds) * 1000
        self._collect(now, COLLECT_MAX)
        start, hits = self._counts.get(key) or (now, 0)
        if now - start >= window_ms:
            start, hits = now, 0
        if hits + max(cost, 1) > limit:
            return False
        if cost > 0:
            self._counts.put(key, start, hits + cost, start + window_ms)
        return True

    async def forget_hits(self, key: str) -> None:
        """Start the key's count again."""
        self._counts.pop(key)

    async def lock(self, key: str, first_seconds: int, longest_seconds: int) -> int:
        """Lock a key, each time for longer; returns for how many ms from now."""
        now, first, longest = self._clock.ms(), positive(first_seconds), positive(longest_seconds)
        self._collect(now, COLLECT_MAX)
        until, count = self._locks.get(key) or (now, 0)
        if now < until:
            return until - now
        if now >= until + LOCK_MEMORY_MS:
            count = 0
        length: int = min(first * 2**count, longest) * 1000
        self._locks.put(key, now + length, min(count + 1, LOCKS_COUNTED), now + length + LOCK_MEMORY_MS)
        return length

    async def is_locked(self, key: str) -> bool:
        """Tell whether a key is locked."""
        until, _ = self._locks.get(key) or (0, 0)
        return self._clock.ms() < until

    async def unlock(self, key: str) -> None:
        """Open a key, and forget that it was ever locked."""
        self._locks.pop(key)

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
        self._acting.clear()
        self._due.clear()
        for marks in (self._fences, self._counts, self._locks):
            marks.clear()

    # Last, because from here on its name hides the type.

    async def list(self, app_id: str, profile_id: str) -> list[Session]:
        """Return the player's live sessions, oldest first."""
        alive = self._alive(app_id, profile_id, self._clock.ms())
        return [self._session(digest, self._records[digest]) for digest in alive]


def _reason(reason: str) -> Reason:
    match reason:
        case "logged_out" | "replaced" | "revoked" | "disabled":
            return reason
        case _:
            raise ValueError(f"no reason to end a session: {reason!r}")
