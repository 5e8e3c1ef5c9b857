"""Who is connected, in whichever process, and what they let others see of it.

A player is present as long as one of their connections is open, or until a time that a server has set. What
the player shows is kept as long as that. All of it may be lost: it comes back with the connections.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from hashlib import sha1
from importlib import resources
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from gameserver.realtime.lapses import Lapses
from gameserver.sessions import SessionsUnavailable
from gameserver.sessions.coalescer import Coalescer
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0  # between two signs of life of a process, and between two looks at those of others
SILENT_LOOKS = 3  # in a row without one, after which its connections count as closed
SWEPT_AT_ONCE = 100  # connections of a process that died …
SILENCE_MS = 86_400_000  # for which it is known that a session's connections have fallen silent
SWEEP_PAUSE_SECONDS = 0.05  # … between which others have their turn: listeners hear of 2,000 in a second

PREFIX = "gs:rt:"
PROCESSES = PREFIX + "beats"  # how many signs of life each has given
STAYING = PREFIX + "staying"  # until when players are present without a connection

OnChange = Callable[[str, str], None]
"""Called with an app and a player whom others see come or go."""


class Presence(NamedTuple):
    """A player's presence. `activity` is JSON text."""

    cx_ids: tuple[str, ...] = ()
    stays_until_ms: int = 0
    is_visible: bool = True
    activity: str = "{}"

    def is_online(self, now_ms: int) -> bool:
        """Tell whether others see that the player is there."""
        return self.is_visible and (bool(self.cx_ids) or self.stays_until_ms > now_ms)


class Roster(Protocol):
    """What all processes know of players who are connected. Everything raises `SessionsUnavailable`."""

    def listen(self, on_change: OnChange) -> None:
        """Say who is told when others see a player come or go. Each change is told in one process."""

    async def enter(self, app_id: str, profile_id: str, cx_id: str) -> None:
        """Note that a connection of this process is there; returns when everybody knows."""

    def leave(self, app_id: str, profile_id: str, cx_id: str) -> None:
        """Note that it is gone. If that cannot be told now, it is tried again."""

    def fall_silent(self, session_digest: str) -> None:
        """Note that the last connection of a session was ended, for the client had fallen silent."""

    async def silent_since(self, digests: Collection[str]) -> dict[str, int]:
        """Return when the connections of sessions have fallen silent, in ms, for those that have."""

    async def look(self, app_id: str, profile_ids: Collection[str]) -> dict[str, Presence]:
        """Return the presence of each of some players; also of who is not there."""

    async def show(
        self, app_id: str, profile_id: str, *, is_visible: bool | None = None, activity: str | None = None
    ) -> bool:
        """Set what others see; False, and nothing is set, for a player who is not present."""

    async def keep(
        self, app_id: str, profile_id: str, until_ms: int, *, is_visible: bool, activity: str | None
    ) -> None:
        """Let a player be present until a time, without a connection."""

    async def extend(self, app_id: str, profile_id: str, more_ms: int) -> bool:
        """Let a player be present for longer, counted from the end or from now; False for one who is not."""

    async def drop(self, app_id: str, profile_id: str) -> bool:
        """Let a player be present by connections alone; False for one who was not present."""


# One process


class MemoryRoster:
    """Of a server that is one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._there: dict[tuple[str, str], Presence] = {}
        self._lapses = Lapses[tuple[str, str]]()
        self._silent: dict[str, int] = {}
        self._silences = Lapses[str]()
        self._on_change: OnChange = lambda _, __: None

    def listen(self, on_change: OnChange) -> None:
        """Say who is told."""
        self._on_change = on_change

    async def enter(self, app_id: str, profile_id: str, cx_id: str) -> None:
        """Note a connection."""
        found = self._of(app_id, profile_id)
        self._put(app_id, profile_id, found._replace(cx_ids=tuple(sorted((*found.cx_ids, cx_id)))))

    def leave(self, app_id: str, profile_id: str, cx_id: str) -> None:
        """Forget a connection."""
        found = self._of(app_id, profile_id)
        if cx_id not in found.cx_ids:
            return
        left = tuple(each for each in found.cx_ids if each != cx_id)
        self._put(app_id, profile_id, found._replace(cx_ids=left))

    def fall_silent(self, session_digest: str) -> None:
        """Note a silence."""
        now = self._clock.ms()
        self._silent[session_digest] = now
        self._silences.note(session_digest, now + SILENCE_MS)

    async def silent_since(self, digests: Collection[str]) -> dict[str, int]:
        """Return silences."""
        return {digest: self._silent[digest] for digest in digests if digest in self._silent}

    async def look(self, app_id: str, profile_ids: Collection[str]) -> dict[str, Presence]:
        """Return what is known."""
        return {profile_id: self._of(app_id, profile_id) for profile_id in profile_ids}

    async def show(
        self, app_id: str, profile_id: str, *, is_visible: bool | None = None, activity: str | None = None
    ) -> bool:
        """Set what others see."""
        found = self._of(app_id, profile_id)
        if not self._is_present(found):
            return False
        if is_visible is not None:
            found = found._replace(is_visible=is_visible)
        if activity is not None:
            found = found._replace(activity=activity)
        self._put(app_id, profile_id, found)
        return True

    async def keep(
        self, app_id: str, profile_id: str, until_ms: int, *, is_visible: bool, activity: str | None
    ) -> None:
        """Let a player be present until a time."""
        found = self._of(app_id, profile_id)._replace(stays_until_ms=until_ms, is_visible=is_visible)
        if activity is not None:
            found = found._replace(activity=activity)
        self._put(app_id, profile_id, found)
        self._lapses.note((app_id, profile_id), until_ms)

    async def extend(self, app_id: str, profile_id: str, more_ms: int) -> bool:
        """Let a player be present for longer."""
        found = self._of(app_id, profile_id)
        if not self._is_present(found):
            return False
        until_ms = max(found.stays_until_ms, self._clock.ms()) + more_ms
        self._put(app_id, profile_id, found._replace(stays_until_ms=until_ms))
        self._lapses.note((app_id, profile_id), until_ms)
        return True

    async def drop(self, app_id: str, profile_id: str) -> bool:
        """Let a player be present by connections alone."""
        found = self._of(app_id, profile_id)
        if not self._is_present(found):
            return False
        self._put(app_id, profile_id, found._replace(stays_until_ms=0))
        return True

    async def look_around(self) -> None:
        """Tell of those whose time has passed."""
        for digest in self._silences.take(self._clock.ms(), SWEPT_AT_ONCE):
            del self._silent[digest]
        while lapsed := self._lapses.take(self._clock.ms(), SWEPT_AT_ONCE):
            for player in lapsed:
                self._lapse(player)
            await asyncio.sleep(0)

    def _lapse(self, player: tuple[str, str]) -> None:
        found = self._there.get(player)
        if found is None or not found.stays_until_ms:  # has gone, or been told to
            return
        if found.cx_ids:
            self._there[player] = found._replace(stays_until_ms=0)
            return
        del self._there[player]
        if found.is_visible:
            self._on_change(*player)

    async def run(self) -> None:
        """Look around, again and again."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self.look_around()

    async def close(self) -> None:
        """Forget everything."""
        self._there.clear()

    def _of(self, app_id: str, profile_id: str) -> Presence:
        found = self._there.get((app_id, profile_id), Presence())
        return found if self._is_present(found) else Presence()

    def _is_present(self, found: Presence) -> bool:
        return bool(found.cx_ids) or found.stays_until_ms > self._clock.ms()

    def _put(self, app_id: str, profile_id: str, presence: Presence) -> None:
        now = self._clock.ms()
        before = self._of(app_id, profile_id).is_online(now)
        if self._is_present(presence):
            self._there[app_id, profile_id] = presence
        else:
            self._there.pop((app_id, profile_id), None)
        if before != self._of(app_id, profile_id).is_online(now):
            self._on_change(app_id, profile_id)


# Any number of processes


class _Script:
    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


_ROSTER = _Script(resources.files("gameserver.realtime").joinpath("roster.lua").read_text("utf-8"))
_BEATS = _Script("return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')")
_CLAIM = _Script(  # a process that gives no sign of life: to all others it looks as if it had given one
    """if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
    redis.call('ZINCRBY', KEYS[1], 1, ARGV[1])
    return 1"""
)
_FORGET = _Script(  # a time that has passed, unless there is a new one
    """local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[2])
    if until_ms and tonumber(until_ms) <= tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[2]) end
    return 1"""
)


class _Stay(msgspec.Struct, array_like=True):
    app_id: str
    profile_id: str


class _Held(msgspec.Struct, array_like=True, frozen=True):
    """A connection that a process holds."""

    app_id: str
    profile_id: str
    cx_id: str


_encode = msgspec.json.Encoder().encode
_read_stay = msgspec.json.Decoder(_Stay).decode
_read_held = msgspec.json.Decoder(_Held).decode


class RedisRoster:
    """Of all processes that share a Redis. What a process held that died, another one lets go.

    Signs of life are counted, by each for itself: clocks of machines differ, and nobody goes by another's.
    """

    def __init__(self, calls: Coalescer, clock: Clock, process_id: str) -> None:
        self._calls = calls
        self._clock = clock
        self._process = process_id
        self._own = PREFIX + "held:" + process_id
        self._held: set[_Held] = set()
        self._leaving: set[_Held] = set()  # those of which Redis has not heard that they are gone
        self._others: dict[
            bytes, tuple[bytes, int]
        ] = {}  # the last sign of life, and looks without a new one
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_change: OnChange = lambda _, __: None

    def listen(self, on_change: OnChange) -> None:
        """Say who is told."""
        self._on_change = on_change

    async def enter(self, app_id: str, profile_id: str, cx_id: str) -> None:
        """Note a connection."""
        held = _Held(app_id, profile_id, cx_id)
        self._held.add(held)
        await self._enter(held)
        if held not in self._held:  # it was closed meanwhile, and the two may have overtaken each other
            self.leave(app_id, profile_id, cx_id)

    def leave(self, app_id: str, profile_id: str, cx_id: str) -> None:
        """Forget a connection."""
        held = _Held(app_id, profile_id, cx_id)
        self._held.discard(held)
        self._leaving.add(held)
        task = asyncio.create_task(self._leave([held]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fall_silent(self, session_digest: str) -> None:
        """Note a silence, if that can be told now."""
        key, now = _silence_key(session_digest), self._clock.ms()
        self._calls.command("SET", key, now, "PX", SILENCE_MS).add_done_callback(_heed)

    async def silent_since(self, digests: Collection[str]) -> dict[str, int]:
        """Return silences."""
        wanted = list(digests)
        found = await asyncio.gather(*[self._calls.command("GET", _silence_key(each)) for each in wanted])
        return {digest: int(ms) for digest, ms in zip(wanted, found, strict=True) if ms is not None}

    async def look(self, app_id: str, profile_ids: Collection[str]) -> dict[str, Presence]:
        """Return what is known."""
        ids = list(dict.fromkeys(profile_ids))
        found = await asyncio.gather(*[self._calls.command("HGETALL", _key(app_id, each)) for each in ids])
        return {profile_id: _presence(fields) for profile_id, fields in zip(ids, found, strict=True)}

    async def show(
        self, app_id: str, profile_id: str, *, is_visible: bool | None = None, activity: str | None = None
    ) -> bool:
        """Set what others see."""
        visible = "" if is_visible is None else str(int(is_visible))
        return await self._do(app_id, profile_id, "show", visible, activity or "")

    async def keep(
        self, app_id: str, profile_id: str, until_ms: int, *, is_visible: bool, activity: str | None
    ) -> None:
        """Let a player be present until a time."""
        await self._do(app_id, profile_id, "keep", until_ms, int(is_visible), activity or "")
        await self._note_stay(app_id, profile_id, until_ms)

    async def extend(self, app_id: str, profile_id: str, more_ms: int) -> bool:
        """Let a player be present for longer."""
        is_there = await self._do(app_id, profile_id, "extend", more_ms)
        if is_there:
            presence = (await self.look(app_id, [profile_id]))[profile_id]
            await self._note_stay(app_id, profile_id, presence.stays_until_ms)
        return is_there

    async def drop(self, app_id: str, profile_id: str) -> bool:
        """Let a player be present by connections alone."""
        return await self._do(app_id, profile_id, "drop")

    # What goes on beside

    async def run(self) -> None:
        """Give signs of life, and look around, again and again."""
        while True:
            try:
                await self.look_around()
            except SessionsUnavailable:
                log.info("presence_waits_for_redis")
            except Exception:
                log.exception("looking_after_presence_failed")
            await asyncio.sleep(BEAT_SECONDS)

    async def look_around(self) -> None:
        """Give a sign of life, and let go what processes held that have given none for too long."""
        await self._beat()
        await self._leave(list(self._leaving))
        await self._forget_lapsed()
        await self._sweep()

    async def close(self) -> None:
        """Let go what is left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._leaving |= self._held
        self._held.clear()
        await self._leave(list(self._leaving))
        if not self._leaving:  # or another process lets go what is left
            with contextlib.suppress(SessionsUnavailable):
                await self._calls.command("ZREM", PROCESSES, self._process)

    async def _beat(self) -> None:
        """Give a sign of life; with the first that Redis knows of, say what this process holds.

        That is at first, and when Redis has lost what it knew, or others took this process for dead.
        """
        if int(await self._calls.command("ZINCRBY", PROCESSES, 1, self._process)) == 1:
            for part in _parts(self._held):
                await asyncio.gather(*map(self._enter, part))

    async def _sweep(self) -> None:
        told = await self._calls.script(_BEATS, (PROCESSES,))
        beats = dict(zip(told[::2], told[1::2], strict=True))
        beats.pop(self._process.encode(), None)
        before, self._others = self._others, {}
        for process, beat in beats.items():
            last, looks = before.get(process, (b"", 0))
            self._others[process] = beat, looks + 1 if beat == last else 0
        for process, (beat, looks) in self._others.items():
            if looks >= SILENT_LOOKS and await self._calls.script(_CLAIM, (PROCESSES,), process, beat):
                await self._bury(process)

    async def _bury(self, dead: bytes) -> None:
        """Let go what a process held that has died."""
        log.info("presence_of_dead_process", process=dead.decode())
        key = PREFIX + "held:" + dead.decode()
        while held := await self._calls.command("SRANDMEMBER", key, SWEPT_AT_ONCE):
            await asyncio.gather(*[self._let_go(key, _read_held(each)) for each in held])
            await self._calls.command("ZINCRBY", PROCESSES, 1, dead)
            await self._beat()
            await asyncio.sleep(SWEEP_PAUSE_SECONDS)
        await self._calls.command("ZREM", PROCESSES, dead)

    async def _forget_lapsed(self) -> None:
        now = self._clock.ms()
        for each in await self._calls.command(
            "ZRANGEBYSCORE", STAYING, "-inf", now, "LIMIT", 0, SWEPT_AT_ONCE
        ):
            stay = _read_stay(each)
            await self._do(stay.app_id, stay.profile_id, "lapse")
            await self._calls.script(_FORGET, (STAYING,), now, each)

    async def _note_stay(self, app_id: str, profile_id: str, until_ms: int) -> None:
        await self._calls.command("ZADD", STAYING, until_ms, _encode(_Stay(app_id, profile_id)))

    async def _enter(self, held: _Held) -> None:
        """Note it with the process first: what is noted with the player alone, nobody would let go."""
        await self._calls.command("SADD", self._own, _encode(held))
        await self._do(held.app_id, held.profile_id, "enter", held.cx_id, self._process)

    async def _leave(self, gone: list[_Held]) -> None:
        for part in _parts(gone):
            try:
                await asyncio.gather(*[self._let_go(self._own, held) for held in part])
            except SessionsUnavailable:
                return  # the next look around tries it again
            self._leaving.difference_update(part)

    async def _let_go(self, key: str, held: _Held) -> None:
        await self._do(held.app_id, held.profile_id, "leave", held.cx_id)
        await self._calls.command("SREM", key, _encode(held))

    async def _do(self, app_id: str, profile_id: str, work: str, *args: str | int) -> bool:
        key = _key(app_id, profile_id)
        is_present, is_changed = await self._calls.script(_ROSTER, (key,), work, self._clock.ms(), *args)
        if is_changed:
            self._on_change(app_id, profile_id)
        return bool(is_present)


def _key(app_id: str, profile_id: str) -> str:
    return f"{PREFIX}presence:{app_id}:{profile_id}"


def _silence_key(session_digest: str) -> str:
    return f"{PREFIX}silent:{session_digest}"


def _heed(done: "asyncio.Future[Any]") -> None:
    """Let nobody ask for the outcome."""
    if not done.cancelled():
        done.exception()


def _presence(fields: list[bytes] | dict[bytes, bytes]) -> Presence:
    told = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    return Presence(
        cx_ids=tuple(sorted(name[2:].decode() for name in told if name.startswith(b"c:"))),
        stays_until_ms=int(told.get(b"u", b"0")),
        is_visible=told.get(b"v") != b"0",
        activity=told.get(b"a", b"{}").decode(),
    )


def _parts(all_: Iterable[_Held]) -> Iterable[list[_Held]]:
    left = list(all_)
    return (left[begin : begin + SWEPT_AT_ONCE] for begin in range(0, len(left), SWEPT_AT_ONCE))
