"""The scripts on a fake Redis against the store in memory: the same steps must have the same outcomes.

A burst runs its steps at once on the scripts and one after another in memory. And whatever happens, an ended
session is accepted by nobody.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fakeredis import FakeAsyncRedis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gameserver.sessions import (
    Admitted,
    AllBut,
    AllOf,
    AllOfApp,
    Ended,
    LoginLimit,
    Mark,
    MemorySessions,
    NewSession,
    One,
    Opened,
    Selector,
    Session,
    Sessions,
    SessionStore,
    new_session_id,
)
from gameserver.sessions.coalescer import Script
from gameserver.sessions.interface import END_REASONS, FENCE_SECONDS
from gameserver.wire.clock import FixedClock

Step = Callable[[SessionStore], Awaitable[Any]]

APPS = st.sampled_from(["1", "2"])
PLAYERS = st.sampled_from(["ada", "bob"])
PACKETS = st.integers(-1, 4)
HASHES = st.sampled_from(["h", "g"])
ANSWERS = st.sampled_from([None, b"", b"\xff answer"])
EPOCHS = st.sampled_from([None, 0, 1, 2, 3])
LIMITS = st.builds(LoginLimit, st.integers(1, 3), st.sampled_from(["drop_oldest", "refuse_newest"]))
REASONS = st.sampled_from(sorted(END_REASONS))
WHICH = st.integers(0, 1000)
# Lease 3 s, lives 5 and 8 s, tombstones 10 s: every border can be met and stepped over.
SECONDS = st.sampled_from([0.001, 1, 2, 2.999, 3, 4.999, 5, 8, 10, 30, 300, 86_400])


def seeded(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def peek(session_id: str) -> Step:
    return lambda store: store.peek(session_id)


def touch(session_id: str) -> Step:
    return lambda store: store.touch(session_id)


def admit(session_id: str) -> Step:
    return lambda store: store.admit(session_id, 99, "h", "1")


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FixedClock()
        limits: dict[str, Any] = {"lease_seconds": 3, "tombstone_seconds": 10, "packets_per_minute_max": 12}
        self.memory = MemorySessions(self.clock, **limits)
        self.client = client = FakeAsyncRedis()
        self.redis = Sessions(client, self.clock, **limits)
        for name in ("open", "admit", "end_one"):  # a burst keeps its order when no script must be sent again
            self.loop.run_until_complete(client.script_load(Script(name).text))
        self.random = random.Random(0)
        self.ids = {
            new_session_id(player, seeded(1)): player for player in ("ada", "bob")
        }  # never opened at first
        self.sessions: dict[str, Session] = {}  # by id, as admitted last
        self.ended: set[str] = set()
        self.fences: dict[tuple[str, str], tuple[int, int]] = {}  # player, app: epoch, until

    def teardown(self) -> None:
        self.loop.run_until_complete(self.redis.close())
        self.loop.close()

    def both(self, *steps: Step) -> Any:
        """The outcome of the last step, when all outcomes are the same."""
        return self.all_of(*steps)[-1]

    def all_of(self, *steps: Step) -> list[Any]:
        """The outcomes of steps, when they are the same."""

        async def in_redis() -> list[Any]:
            return await asyncio.gather(*(step(self.redis) for step in steps))

        async def in_memory() -> list[Any]:
            return [await step(self.memory) for step in steps]

        outcomes = self.loop.run_until_complete(in_redis())
        assert outcomes == self.loop.run_until_complete(in_memory())
        for outcome in outcomes:
            if isinstance(outcome, Opened):
                self.ended.update(each.digest for each in outcome.dropped)
        return outcomes

    def pick(self, which: int) -> str:
        return list(self.ids)[which % len(self.ids)]

    def admit_step(self, which: int, packet: int, body: str, app: str) -> tuple[str, Step]:
        session_id = self.pick(which)
        return session_id, lambda store: store.admit(session_id, packet, body, app)

    def open_step(
        self,
        player: str,
        app: str,
        packet: int,
        limit: LoginLimit,
        session_id: str,
        life: int,
        epoch: int | None = None,
    ) -> Step:
        new = NewSession(app, player, "dispatcher", life, {"n": 1}, packet, session_id, epoch)
        return lambda store: store.open(new, limit)

    @rule(player=PLAYERS, app=APPS, packet=PACKETS, limit=LIMITS, life=st.sampled_from([5, 8]), epoch=EPOCHS)
    def open(
        self, player: str, app: str, packet: int, limit: LoginLimit, life: int, epoch: int | None
    ) -> None:
        session_id = new_session_id(player, self.random.randbytes)
        self.ids[session_id] = player
        outcome = self.both(self.open_step(player, app, packet, limit, session_id, life, epoch))
        fence, until = self.fences.get((player, app), (0, 0))
        if epoch is not None and epoch < fence and self.clock.ms() < until:
            assert outcome == Ended("revoked")
        else:
            assert not isinstance(outcome, Ended)

    @rule(app=APPS, player=PLAYERS, epoch=st.integers(0, 3))
    def end_with_a_fence(self, app: str, player: str, epoch: int) -> None:
        self.end(AllOf(app, player), "revoked", epoch=epoch)
        before, until = self.fences.get((player, app), (0, 0))
        now = self.clock.ms()
        epoch = max(epoch, before if now < until else 0)
        self.fences[player, app] = epoch, now + FENCE_SECONDS * 1000

    @rule(which=WHICH, app=APPS, packet=PACKETS, limit=LIMITS, epoch=EPOCHS)
    def open_again(self, which: int, app: str, packet: int, limit: LoginLimit, epoch: int | None) -> None:
        session_id = self.pick(which)
        known, life = self.loop.run_until_complete(self.memory.peek(session_id)), 5
        if isinstance(known, Session):
            app, life = known.home_app_id, known.life_seconds  # the same login, run again
        elif known == Ended("unknown"):
            return  # ended so long ago that nobody would know
        self.both(self.open_step(self.ids[session_id], app, packet, limit, session_id, life, epoch))

    @rule(which=WHICH, packet=PACKETS, body=HASHES, app=APPS)
    def admit(self, which: int, packet: int, body: str, app: str) -> None:
        session_id, step = self.admit_step(which, packet, body, app)
        outcome = self.both(step)
        if isinstance(outcome, Admitted):
            self.sessions[session_id] = outcome.session

    @rule(which=WHICH, body=HASHES, ahead=st.integers(0, 2))
    def admit_next(self, which: int, body: str, ahead: int) -> None:
        session_id = self.pick(which)
        known = self.loop.run_until_complete(self.memory.peek(session_id))
        if isinstance(known, Session):
            packet, app = known.last_packet_id + ahead, known.app_id
            outcome = self.both(lambda store: store.admit(session_id, packet, body, app))
            if isinstance(outcome, Admitted):
                self.sessions[session_id] = outcome.session

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH, off=st.integers(-1, 1), answer=ANSWERS)
    def finish(self, which: int, off: int, answer: bytes | None) -> None:
        session = list(self.sessions.values())[which % len(self.sessions)]
        self.both(lambda store: store.finish(session, session.last_packet_id + off, answer))

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH)
    def release(self, which: int) -> None:
        session = list(self.sessions.values())[which % len(self.sessions)]
        self.both(lambda store: store.release(session, session.last_packet_id))

    @precondition(lambda self: self.sessions)
    @rule()
    def keep_claims(self) -> None:
        # Of one that has expired and that an end has passed over then, the one store still knows the claim,
        # the other does not: nobody can ask for its packet again.
        claims = [
            (session, session.last_packet_id)
            for session_id, session in self.sessions.items()
            if not isinstance(self.loop.run_until_complete(self.memory.peek(session_id)), Ended)
        ]
        self.both(lambda store: store.keep_claims(claims))

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH, app=APPS)
    def switch(self, which: int, app: str) -> None:
        session = list(self.sessions.values())[which % len(self.sessions)]
        self.both(lambda store: store.switch(session, app, "child"))

    @rule(app=APPS, player=st.sampled_from(["ada", "bob", "child"]), since=st.integers(0, 3))
    def mark(self, app: str, player: str, since: int) -> None:
        self.both(lambda store: store.mark(app, player, since))

    @precondition(lambda self: self.sessions)
    @rule(which=WHICH, since=st.integers(0, 3), count=st.integers(1, 2))
    def unmark(self, which: int, since: int, count: int) -> None:
        session = list(self.sessions.values())[which % len(self.sessions)]
        self.both(lambda store: store.unmark(session, Mark(since, count)))

    @rule(app=APPS, player=PLAYERS)
    def lose_the_list(self, app: str, player: str) -> None:
        """Redis loses what names a player's sessions: as if the memory had lost the sessions themselves."""

        async def lose() -> None:
            lost = {session.digest for session in await self.memory.list(app, player)}
            keys = [key async for key in self.client.scan_iter(match=f"gs:*:u:{app}:{player}")]
            members = [f"{digest}:{player}" for digest in lost]
            if lost:
                assert keys
                await self.client.delete(*keys)
                await self.client.zrem(f"gs:{{app:{app}}}", *members)
            for digest in lost:
                self.memory._forget(digest)

        self.loop.run_until_complete(lose())

    @rule(which=WHICH)
    def touch(self, which: int) -> None:
        session_id = self.pick(which)
        self.both(lambda store: store.touch(session_id))

    @rule(which=WHICH, life=st.sampled_from([1, 8]))
    def confirm(self, which: int, life: int) -> None:
        session_id = self.pick(which)
        self.both(lambda store: store.confirm(session_id, life))

    @rule(which=WHICH, reason=REASONS)
    def end_one(self, which: int, reason: str) -> None:
        self.end(One(self.pick(which)), reason)

    @rule(which=WHICH, reason=REASONS, packet=PACKETS, body=HASHES, answer=ANSWERS)
    def end_by_packet(self, which: int, reason: str, packet: int, body: str, answer: bytes | None) -> None:
        selector = One(self.pick(which))
        self.end(selector, reason, packet_id=packet, body_hash=body, answer=answer)

    @rule(which=WHICH, app=APPS, player=PLAYERS, packet=PACKETS)
    def end_all_by_packet(self, which: int, app: str, player: str, packet: int) -> None:
        by = self.memory.digest(self.pick(which)) or ""
        self.end(AllOf(app, player), "logged_out", packet_id=packet, body_hash="h", answer=b"bye", by=by)

    @rule(which=WHICH, app=APPS, player=PLAYERS, reason=REASONS)
    def end_others(self, which: int, app: str, player: str, reason: str) -> None:
        self.end(AllBut(app, player, keep=self.memory.digest(self.pick(which)) or ""), reason)

    @rule(app=APPS, reason=REASONS)
    def end_app(self, app: str, reason: str) -> None:
        async def step(store: SessionStore) -> list[str]:
            return sorted(await store.end(AllOfApp(app), reason))

        self.ended.update(self.both(step))

    def end(self, selector: Selector, reason: str, **packet: Any) -> None:
        self.ended.update(self.both(lambda store: store.end(selector, reason, **packet)))

    @rule(
        admits=st.lists(st.tuples(WHICH, PACKETS, HASHES, APPS), max_size=4),
        which=WHICH,
        player=PLAYERS,
        app=APPS,
        limit=LIMITS,
    )
    def burst(
        self, admits: list[tuple[int, int, str, str]], which: int, player: str, app: str, limit: LoginLimit
    ) -> None:
        session_id, ending = new_session_id(player, self.random.randbytes), self.pick(which)
        self.ids[session_id] = player
        steps = [self.admit_step(*admit)[1] for admit in admits]
        steps.append(self.open_step(player, app, 0, limit, session_id, 5))
        steps.append(lambda store: store.admit(session_id, 1, "h", app))
        steps.append(lambda store: store.end(One(ending), "revoked"))
        self.ended.update(self.both(*steps, *steps[: len(admits)], steps[-1]))
        ended = self.memory.digest(ending)
        if ended is not None and self.loop.run_until_complete(self.memory.peek(ending)) == Ended("revoked"):
            self.ended.add(ended)

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(
        key=st.sampled_from(["a", "b"]),
        limit=st.integers(0, 3),
        window=st.integers(1, 5),
        cost=st.integers(0, 2),
    )
    def hit(self, key: str, limit: int, window: int, cost: int) -> None:
        self.both(lambda store: store.hit(f"{key}{window}", limit, window, cost))

    @rule(key=st.sampled_from(["a", "b"]), first=st.integers(1, 3), longest=st.integers(1, 20))
    def lock(self, key: str, first: int, longest: int) -> None:
        self.both(lambda store: store.lock(key, first, longest))

    @rule(key=st.sampled_from(["a", "b"]))
    def unlock(self, key: str) -> None:
        self.both(lambda store: store.unlock(key))

    @rule(app=APPS, player=PLAYERS)
    def look(self, app: str, player: str) -> None:
        async def walk(store: SessionStore) -> list[str]:
            return sorted({session.digest async for session in store.every(app)})

        walked = self.both(walk)
        # What a walk takes off the app's list nobody waits for: it may travel beside the next command.
        self.loop.run_until_complete(self.redis.calls.settle())
        assert self.both(lambda store: store.count(app)) == len(walked)
        listed = [session.digest for session in self.both(lambda store: store.list(app, player))]
        assert set(listed) <= set(walked)

    @invariant()
    def sessions_are_the_same(self) -> None:
        self.all_of(*map(peek, self.ids))

    @invariant()
    def locks_are_the_same(self) -> None:
        for key in ("a", "b"):
            self.both(partial(self._is_locked, key))

    @staticmethod
    async def _is_locked(key: str, store: SessionStore) -> bool:
        return await store.is_locked(key)

    @invariant()
    def ended_means_ended(self) -> None:
        ended = [each for each in self.ids if self.memory.digest(each) in self.ended]
        for step in (touch, admit, peek):
            assert all(isinstance(refusal, Ended) for refusal in self.all_of(*map(step, ended)))


Model.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase
