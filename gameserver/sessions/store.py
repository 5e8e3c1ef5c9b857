"""Sessions in Redis: each step is one script, so any number of processes agree. Only this file names keys."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec
from redis.exceptions import ResponseError

from gameserver.sessions.checks import check_end, make_session, positive, switched
from gameserver.sessions.coalescer import Coalescer, Script
from gameserver.sessions.connection import AnyRedis
from gameserver.sessions.ids import TAG_LENGTH, digest_of, is_digest, tag_of
from gameserver.sessions.interface import (
    FENCE_SECONDS,
    LEASE_SECONDS,
    LOCK_MEMORY_SECONDS,
    PACKETS_PER_MINUTE_MAX,
    RATE_WINDOW_SECONDS,
    SESSIONS_PER_PLAYER_MAX,
    SWITCHED_SECONDS,
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
    SessionsUnavailable,
)
from gameserver.sessions.link import Arg
from gameserver.sessions.redis_watch import CHANNEL, RedisWatch
from gameserver.wire.clock import Clock

log = logging.getLogger(__name__)

PAGE: Final = 500
SWEEP_PAGES_MAX: Final = 20
GARBAGE_MS: Final = 60_000
ACTING_KEPT: Final = 20  # sessions noted with whom they act for; of more, those that have ended are dropped
PROBE: Final = "gs:probe"

_OPEN, _ADMIT, _LOOK, _SETTLE, _KEEP = (Script(name) for name in ("open", "admit", "look", "settle", "keep"))
_END_ONE, _END_PLAYER, _LIST, _SWITCH, _HIT = (
    Script(name) for name in ("end_one", "end_player", "list", "switch", "hit")
)
_LOCK, _LOCKED, _ACT = Script("lock"), Script("locked"), Script("act")
_MARK, _MARK_ONE, _UNMARK = Script("mark"), Script("mark_one"), Script("unmark")
_DUE, _RECHECK, _REINDEX = (Script(name) for name in ("due", "recheck", "reindex"))

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Session).decode

_REASONS: Final[dict[bytes, Reason]] = {
    b"expired": "expired",
    b"logged_out": "logged_out",
    b"replaced": "replaced",
    b"revoked": "revoked",
    b"disabled": "disabled",
    b"unknown": "unknown",
}


class Sessions:
    """The `SessionStore` on Redis. `random` makes the secret part of session ids."""

    may_forget = True

    def __init__(
        self,
        redis: AnyRedis,
        clock: Clock,
        *,
        lease_seconds: int = LEASE_SECONDS,
        tombstone_seconds: int = TOMBSTONE_SECONDS,
        packets_per_minute_max: int = PACKETS_PER_MINUTE_MAX,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.redis = redis
        self.calls = Coalescer(redis)  # of others, too, so that they share round trips
        self._clock = clock
        self._lease_ms = lease_seconds * 1000
        self._tombstone_ms = tombstone_seconds * 1000
        self._packets_max = packets_per_minute_max
        self._random = random
        self._watches: set[RedisWatch] = set()
        self.watch_kind = RedisWatch  # an imitation of Redis, which has no wire, needs another one

    def digest(self, session_id: str) -> str | None:
        """Return the digest of a session id, or `None` for a text that is none."""
        return digest_of(session_id)

    # Opening

    async def open(self, new: NewSession, limit: LoginLimit = UNLIMITED) -> Opened | Full | Ended:
        """Open a session under a login policy."""
        now = self._clock.ms()
        session_id, session = make_session(new, now, self._random)
        life_ms = new.life_seconds * 1000
        opening = self.calls.script(
            _OPEN,
            (
                _session_key(session.digest),
                _player_key(new.app_id, new.profile_id),
                _fence_key(new.app_id, new.profile_id),
            ),
            now,
            self._tombstone_ms,
            CHANNEL,
            _prefix(session.digest),
            session.digest,
            _encode(session),
            new.app_id,
            f"{new.packet_id}:b:0:{now + life_ms}:{life_ms}:0:0:",
            life_ms + self._tombstone_ms + GARBAGE_MS,
            min(limit.most, SESSIONS_PER_PLAYER_MAX),
            limit.when_full,
            "" if new.epoch is None else new.epoch,
        )
        # The index lives in another slot, so the two are not one step. An entry without a session is
        # swept; a session without an entry is one whose opening nobody was told of.
        listing = self.calls.command("ZADD", _app_key(new.app_id), now + life_ms, _member(session))
        listing.add_done_callback(_unheeded)  # when the opening fails, nobody asks for it
        opened = await opening
        await listing
        if opened[0] != b"S":
            self._forget_members(new.app_id, [_member(session)])
            return Full() if opened[0] == b"F" else _ended(opened)
        parts = opened[1]
        dropped = [_session(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]
        self._forget_members(new.app_id, [_member(each) for each in dropped])
        return Opened(session_id, session, dropped)

    async def confirm(self, session_id: str, life_seconds: int) -> Session | Ended:
        """Renew a session opened for a short while and give it its real life."""
        found = await self._look(digest_of(session_id), str(positive(life_seconds) * 1000))
        if isinstance(found, Session):
            expires = found.last_used_ms + life_seconds * 1000
            with suppress(SessionsUnavailable):  # the sweep would find out
                await self.calls.command("ZADD", _app_key(found.home_app_id), "XX", expires, _member(found))
        return found

    # Packets

    async def admit(self, session_id: str, packet_id: int, body_hash: str, app_id: str) -> Admission:
        """Find the session, renew it and claim the packetId."""
        digest = digest_of(session_id)
        if digest is None:
            return Ended("unknown")
        reply = await self.calls.script(
            _ADMIT,
            (_session_key(digest),),
            self._clock.ms(),
            self._tombstone_ms,
            packet_id,
            body_hash,
            app_id,
            self._lease_ms,
            self._packets_max,
            RATE_WINDOW_SECONDS * 1000,
            CHANNEL,
        )
        return _OUTCOMES[reply[0]](reply)

    def finish(self, session: Session, packet_id: int, answer: bytes | None) -> Awaitable[bool]:
        """Release the claim and keep the answer; `None` says that SQL keeps it."""
        return self._settle(session, packet_id, "q" if answer is None else "d", answer or b"")

    async def release(self, session: Session, packet_id: int) -> bool:
        """Give the claim back unanswered, so that the repeat runs."""
        return await self._settle(session, packet_id, "f", b"")

    def _settle(self, session: Session, packet_id: int, state: str, answer: bytes) -> Awaitable[bool]:
        now = self._clock.ms()
        key = _session_key(session.digest)
        return self.calls.script(_SETTLE, (key,), now, self._tombstone_ms, packet_id, state, answer)

    async def keep_claims(self, claims: Iterable[tuple[Session, int]]) -> list[bool]:
        """Renew the leases of packets that still run."""
        now = self._clock.ms()
        until = now + self._lease_ms
        kept = [
            self.calls.script(
                _KEEP, (_session_key(session.digest),), now, self._tombstone_ms, packet_id, until
            )
            for session, packet_id in claims
        ]
        return [bool(reply) for reply in await asyncio.gather(*kept)]

    # Looking

    async def peek(self, session_id: str) -> Session | Ended:
        """Return the session, not renewed."""
        return await self._look(digest_of(session_id), "no")

    async def peek_digest(self, digest: str) -> Session | Ended:
        """Return the session of a digest, not renewed."""
        return await self._look(digest if is_digest(digest) else None, "no")

    async def touch(self, session_id: str) -> Session | Ended:
        """Find and renew the session."""
        return await self._look(digest_of(session_id), "renew")

    async def _look(self, digest: str | None, renewal: str) -> Session | Ended:
        if digest is None:
            return Ended("unknown")
        return _found(
            await self.calls.script(
                _LOOK, (_session_key(digest),), self._clock.ms(), self._tombstone_ms, renewal, CHANNEL
            )
        )

    async def switch(
        self, session: Session, app_id: str, profile_id: str, epoch: int | None = None
    ) -> Session | Ended:
        """Let the session act for another app and profile."""
        is_home = (app_id, profile_id) == (session.home_app_id, session.home_profile_id)
        # First, so that whoever ends that player's sessions from here on ends this one, switched or not yet.
        if not await self._note_acting(session.digest, app_id, profile_id, epoch, adds=not is_home):
            return Ended("revoked")
        now = self._clock.ms()
        found = _found(
            await self.calls.script(
                _SWITCH,
                (_session_key(session.digest),),
                now,
                self._tombstone_ms,
                _encode(switched(session, app_id, profile_id, now)),
                app_id,
                CHANNEL,
                session.created_ms,
            )
        )
        left = _acting_key(session.app_id, session.profile_id)
        if left != _acting_key(app_id, profile_id):
            self.calls.command("ZREM", left, session.digest).add_done_callback(_unheeded)
        return found

    async def _note_acting(
        self, digest: str, app_id: str, profile_id: str, epoch: int | None, *, adds: bool
    ) -> bool:
        """Note that a session acts for a player; False when their sessions have ended since the epoch."""
        key = _acting_key(app_id, profile_id)
        noted = await self.calls.script(
            _ACT,
            (key, _fence_key(app_id, profile_id)),
            self._clock.ms(),
            digest if adds else "",
            "" if epoch is None else epoch,
            SWITCHED_SECONDS * 1000,
            ACTING_KEPT,
        )
        if noted is None:
            return False
        for other in noted:  # so many that some will have ended
            if isinstance(await self.peek_digest(other.decode()), Ended):
                await self.calls.command("ZREM", key, other.decode())
        return True

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
        packet: list[Arg] = ["" if packet_id is None else packet_id, body_hash]
        packet += [] if answer is None else [answer]
        match selector:
            case One():
                return await self._end_one(selector.resolve(), reason, packet)
            case AllOfApp(app_id=app_id):
                return await self._end_app(app_id, reason, by, packet)
            case AllOf(app_id=app_id, profile_id=profile_id):
                keep = ""
            case AllBut(app_id=app_id, profile_id=profile_id, keep=keep):
                pass
        tag = tag_of(profile_id)
        ended = await self.calls.script(
            _END_PLAYER,
            (
                _player_key(app_id, profile_id),
                _fence_key(app_id, profile_id),
                _acting_key(app_id, profile_id),
            ),
            *self._ending(reason),
            _prefix(tag),
            keep,
            by if by.startswith(f"{tag}.") else "",
            "" if epoch is None else epoch,
            FENCE_SECONDS * 1000,
            *packet,
        )
        digests = [digest.decode() for digest in ended[0]]
        self._forget_members(app_id, [f"{digest}:{profile_id}" for digest in digests])
        for other in map(bytes.decode, ended[1]):  # which act for the player, and are in others' slots
            if other not in (keep, *digests):
                digests += await self._end_one(other, reason, packet if other == by else ["", ""])
        return digests

    async def _end_one(
        self, digest: str | None, reason: str, packet: list[Arg], of_app: str | None = None
    ) -> list[str]:
        if digest is None:
            return []
        its_set = "" if of_app is None else _players_prefix(digest, of_app)
        player_key: bytes = await self.calls.script(
            _END_ONE, (_session_key(digest),), *self._ending(reason), digest, its_set, of_app or "", *packet
        )
        if not player_key:
            return []
        app_id, profile_id = _home(player_key)
        self._forget_members(app_id, [f"{digest}:{profile_id}"])
        return [digest]

    async def _end_app(self, app_id: str, reason: str, by: str, packet: list[Arg]) -> list[str]:
        ended: list[str] = []
        async for digests in self._all_digests():
            ends = [
                self._end_one(digest, reason, packet if digest == by else ["", ""], app_id)
                for digest in digests
            ]
            ended += [digest for [digest] in filter(None, await asyncio.gather(*ends))]
        return ended

    def _ending(self, reason: str) -> tuple[Arg, ...]:
        return (self._clock.ms(), self._tombstone_ms, CHANNEL, reason)

    # An app's sessions

    async def every(self, app_id: str) -> AsyncIterator[Session]:
        """Yield all live sessions of an app in no order, fetched in pages."""
        async for digests in self._all_digests():
            for session in await asyncio.gather(*(self.peek_digest(digest) for digest in digests)):
                if isinstance(session, Session) and session.home_app_id == app_id:
                    yield session

    async def count(self, app_id: str) -> int:
        """Count the sessions of an app that are alive."""
        await self.sweep(app_id)
        return int(await self.calls.command("ZCARD", _app_key(app_id)))

    async def sweep(self, app_id: str) -> int:
        """Forget lapsed sessions in the app's index; returns how many."""
        gone = 0
        for _ in range(SWEEP_PAGES_MAX):
            now = self._clock.ms()
            due = await self.calls.script(_DUE, (_app_key(app_id),), now, PAGE)
            members = {due[i].decode(): due[i + 1] for i in range(0, len(due), 2)}
            expiries = await asyncio.gather(*(self._recheck(app_id, member, now) for member in members))
            news: list[Arg] = []
            for (member, score), expires in zip(members.items(), expiries, strict=True):
                news += [member, score, expires]
            if news:
                gone += int(await self.calls.script(_REINDEX, (_app_key(app_id),), *news))
            if len(members) < PAGE:
                break
        return gone

    async def _recheck(self, app_id: str, member: str, now: int) -> bytes:
        digest, _, profile_id = member.partition(":")
        keys = (_session_key(digest), _player_key(app_id, profile_id))
        expires: bytes = await self.calls.script(_RECHECK, keys, now, digest)
        return expires

    async def _all_digests(self) -> AsyncIterator[list[str]]:
        """Walk the sessions of all apps by their own keys: an index that Redis has lost would hide some."""
        async for keys in self.calls.scan(_prefix("?" * TAG_LENGTH) + "*", PAGE):
            yield [key.decode().rpartition(":")[2] for key in keys]

    def _forget_members(self, app_id: str, members: list[str]) -> None:
        """Take ended sessions off the app's list. Nobody waits: the sweep finds what stays behind."""
        if members:
            self.calls.command("ZREM", _app_key(app_id), *members).add_done_callback(_unheeded)

    # Marks

    async def mark(self, app_id: str, profile_id: str, since_ms: int) -> None:
        """Mark all sessions of a player, and those that act for the player."""
        keys = (_player_key(app_id, profile_id), _acting_key(app_id, profile_id))
        acting = await self.calls.script(_MARK, keys, _prefix(tag_of(profile_id)), since_ms)
        for digest in acting:  # each in the slot of the player who logged in
            await self.calls.script(_MARK_ONE, (_session_key(digest.decode()),), since_ms)

    async def unmark(self, session: Session, mark: Mark) -> None:
        """Take off the mark that a packet was told of, unless the session was marked again meanwhile."""
        await self.calls.script(_UNMARK, (_session_key(session.digest),), f"{mark.since_ms}:{mark.times}")

    # Counters

    async def hit(self, key: str, limit: int, window_seconds: int, cost: int = 1) -> bool:
        """Count `cost` hits on a key; False, uncounted, when that exceeds `limit` in the window."""
        window_ms = positive(window_seconds) * 1000
        return bool(
            await self.calls.script(_HIT, (_rate_key(key),), self._clock.ms(), limit, window_ms, cost)
        )

    async def forget_hits(self, key: str) -> None:
        """Start the key's count again."""
        await self.calls.command("DEL", _rate_key(key))

    async def lock(self, key: str, first_seconds: int, longest_seconds: int) -> int:
        """Lock a key, each time for longer; returns for how many ms from now."""
        first, longest = positive(first_seconds) * 1000, positive(longest_seconds) * 1000
        memory = LOCK_MEMORY_SECONDS * 1000
        return int(
            await self.calls.script(_LOCK, (_lock_key(key),), self._clock.ms(), first, longest, memory)
        )

    async def is_locked(self, key: str) -> bool:
        """Tell whether a key is locked."""
        return bool(await self.calls.script(_LOCKED, (_lock_key(key),), self._clock.ms()))

    async def unlock(self, key: str) -> None:
        """Open a key, and forget that it was ever locked."""
        await self.calls.command("DEL", _lock_key(key))

    # The rest of the world

    async def watch(self, on_end: OnEnd, on_gap: OnGap | None = None) -> "RedisWatch":
        """Call `on_end(digest, reason)` for every session that any process ends from now on."""
        watch = self.watch_kind(self.redis, on_end, on_gap)
        task = await watch.start()
        self._watches.add(watch)
        task.add_done_callback(lambda _: self._watches.discard(watch))
        return watch

    async def ping(self) -> str:
        """Return when the store answers and takes writes: what an operator should mend, or nothing."""
        await self.calls.command("SET", PROBE, "1", "PX", 1000)
        return await self._eviction()

    async def _eviction(self) -> str:
        try:
            information = await self.calls.command("INFO", "memory")
        except (SessionsUnavailable, ResponseError):  # it is not for everybody
            return ""
        lines = bytes(information).decode("utf-8", "replace").splitlines()
        found = dict(line.partition(":")[::2] for line in lines)
        policy = found.get("maxmemory_policy", "noeviction")
        if policy == "noeviction" or found.get("maxmemory", "0") == "0":
            return ""
        return (
            f"Redis may throw sessions away when it is full: its maxmemory-policy is {policy}, "
            "set it to noeviction"
        )

    async def close(self) -> None:
        """Let go of connections."""
        for watch in list(self._watches):
            await watch.close()
        await self.calls.close()

    # Last, because from here on its name hides the type.

    async def list(self, app_id: str, profile_id: str) -> list[Session]:
        """Return the player's live sessions, oldest first."""
        reply = await self.calls.script(
            _LIST, (_player_key(app_id, profile_id),), self._clock.ms(), _prefix(tag_of(profile_id))
        )
        return [_session(reply[i], reply[i + 1]) for i in range(0, len(reply), 2)]


def _unheeded(reply: "asyncio.Future[Any]") -> None:
    if not reply.cancelled():
        reply.exception()


# Keys. What is in braces decides the slot.


def _prefix(tag_or_digest: str) -> str:
    return f"gs:{{{tag_or_digest[:TAG_LENGTH]}}}:s:"


def _session_key(digest: str) -> str:
    return f"gs:{{{digest[:TAG_LENGTH]}}}:s:{digest}"


@lru_cache(256)  # of the apps, of which there are few
def _quoted(app_id: str) -> str:
    return quote(app_id, safe="")


def _players_prefix(tag_or_digest: str, app_id: str) -> str:
    return f"gs:{{{tag_or_digest[:TAG_LENGTH]}}}:u:{_quoted(app_id)}:"


def _player_key(app_id: str, profile_id: str) -> str:
    return _players_prefix(tag_of(profile_id), app_id) + profile_id


def _fence_key(app_id: str, profile_id: str) -> str:
    return f"gs:{{{tag_of(profile_id)}}}:f:{_quoted(app_id)}:{profile_id}"


def _acting_key(app_id: str, profile_id: str) -> str:
    return f"gs:{{{tag_of(profile_id)}}}:a:{_quoted(app_id)}:{profile_id}"


def _home(player_key: bytes) -> tuple[str, str]:
    _, _, _, app_id, profile_id = player_key.decode(errors="surrogatepass").split(":", 4)
    return unquote(app_id), profile_id


def _app_key(app_id: str) -> str:
    return f"gs:{{app:{app_id}}}"


def _member(session: Session) -> str:
    return f"{session.digest}:{session.home_profile_id}"


def _rate_key(key: str) -> str:
    return f"gs:{{rate:{_digest(key)}}}"


def _lock_key(key: str) -> str:
    return f"gs:{{lock:{_digest(key)}}}"


def _digest(key: str) -> str:
    # Keys hold what strangers typed: account names, addresses.
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).hexdigest()


# Replies


def _session(constants: bytes, moving: bytes) -> Session:
    session = _decode(constants)
    last, _, _, expires, life, _ = moving.split(b":", 5)
    life_ms = int(life)
    session.last_packet_id = int(last)
    session.life_seconds = life_ms // 1000
    session.last_used_ms = int(expires) - life_ms
    return session


def _found(reply: list[bytes]) -> Session | Ended:
    return _session(reply[1], reply[2]) if reply[0] == b"S" else _ended(reply)


def _ended(reply: list[bytes]) -> Ended:
    _, reason, *answer = reply
    return Ended(_REASONS[reason], answer[0] if answer else None)


def _mark(rest: list[bytes]) -> Mark | None:
    if not rest:  # as of most sessions
        return None
    since, _, count = rest[0].partition(b":")
    return Mark(int(since), int(count))


_OUTCOMES: Final[dict[bytes, Callable[[list[bytes]], Admission]]] = {
    b"A": lambda reply: Admitted(_session(reply[1], reply[2]), resumed=False, mark=_mark(reply[3:])),
    b"R": lambda reply: Admitted(_session(reply[1], reply[2]), resumed=True, mark=_mark(reply[3:])),
    b"P": lambda reply: Replay(_session(reply[1], reply[2]), reply[3]),
    b"Q": lambda reply: Replay(_session(reply[1], reply[2]), None),
    b"B": lambda reply: Running(_session(reply[1], reply[2])),
    b"U": lambda reply: Reused(_session(reply[1], reply[2])),
    b"T": lambda reply: Outdated(_session(reply[1], reply[2])),
    b"O": lambda reply: OtherApp(_session(reply[1], reply[2])),
    b"L": lambda reply: RateLimited(_session(reply[1], reply[2])),
    b"E": _ended,
}
