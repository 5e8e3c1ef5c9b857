"""One suite over every store of sessions: in memory, scripts on a fake Redis, scripts on a real one."""

import asyncio
import gc
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from fakeredis import FakeAsyncRedis
from redis.crc import key_slot

from gameserver.sessions import (
    Admitted,
    AllBut,
    AllOf,
    AllOfApp,
    Ended,
    Full,
    LoginLimit,
    MemorySessions,
    NewSession,
    One,
    Opened,
    OtherApp,
    Outdated,
    RateLimited,
    Replay,
    Reused,
    Running,
    Session,
    Sessions,
    SessionStore,
    SessionsUnavailable,
    connect,
    new_session_id,
    session_store,
)
from gameserver.sessions.coalescer import Coalescer, Script
from gameserver.sessions.interface import FENCE_SECONDS, LOCK_MEMORY_SECONDS
from gameserver.sessions.link import Link
from gameserver.wire.clock import FixedClock
from tests.servers import redis

APP = "20001"
LIFE = 60
LEASE = 15
TOMBSTONE = 900
ONE = LoginLimit(most=1)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "fake", "redis"])
async def store(request: pytest.FixtureRequest, clock: FixedClock) -> AsyncIterator[SessionStore]:
    made = await make_store(request, clock)
    yield made
    await made.close()


async def make_store(request: pytest.FixtureRequest, clock: FixedClock) -> SessionStore:
    if request.param == "memory":
        return MemorySessions(clock, packets_per_minute_max=20)
    if request.param == "fake":
        return Sessions(FakeAsyncRedis(), clock, packets_per_minute_max=20)
    client = await connect(request.getfixturevalue("redis_url"))
    await client.flushall()
    return Sessions(client, clock, packets_per_minute_max=20)


async def log_in(
    store: SessionStore,
    profile: str = "ada",
    limit: LoginLimit | None = None,
    app: str = APP,
    **changes: Any,
) -> Opened:
    new = NewSession(app, profile, "dispatcher", **{"life_seconds": LIFE, "packet_id": 0} | changes)
    opened = await (store.open(new) if limit is None else store.open(new, limit))
    assert isinstance(opened, Opened)
    return opened


async def claim(store: SessionStore, opened: Opened, packet: int = 1, body: str = "h1") -> Session:
    admitted = await store.admit(opened.session_id, packet, body, APP)
    assert isinstance(admitted, Admitted)
    return admitted.session


# Opening


async def test_a_session_keeps_what_it_was_opened_with(store: SessionStore, clock: FixedClock) -> None:
    facts = {"platform": "WEB", "ip": "::1", "compress": True, "list": [1, {"ä": None}], "n": 1.5}
    opened = await log_in(store, facts=facts, packet_id=7)
    session = await store.peek(opened.session_id)
    assert session == opened.session
    assert session == Session(
        opened.session.digest, APP, "ada", APP, "ada", "dispatcher", clock.ms(), LIFE, facts, 7, clock.ms()
    )
    assert store.digest(opened.session_id) == session.digest
    assert await store.peek_digest(session.digest) == session


async def test_ids_differ_and_digests_do_not_pass_for_ids(store: SessionStore) -> None:
    ids = {(await log_in(store, limit=LoginLimit(most=50))).session_id for _ in range(20)}
    assert len(ids) == 20
    digest = (await log_in(store)).session.digest
    assert digest not in ids
    assert await store.peek(digest) == Ended("unknown")
    assert await store.admit(digest, 1, "h", APP) == Ended("unknown")


@pytest.mark.parametrize(
    "text",
    ["", "x", "0000-", "0000-" + "a" * 21, "zzzz-" + "a" * 22, "0000-" + "ä" * 22, "\0" * 30, "a" * 9999],
)
async def test_texts_that_are_no_ids_are_unknown(store: SessionStore, text: str) -> None:
    assert await store.peek(text) == Ended("unknown")
    assert await store.touch(text) == Ended("unknown")
    assert await store.admit(text, 1, "h", APP) == Ended("unknown")
    assert await store.end(One(text), "logged_out") == []
    assert await store.end(One(digest=text), "logged_out") == []
    assert await store.peek_digest(text) == Ended("unknown")
    assert store.digest(text) is None


async def test_the_oldest_yields(store: SessionStore, clock: FixedClock) -> None:
    opened = []
    for _ in range(3):
        opened.append(await log_in(store, limit=LoginLimit(most=2)))
        clock.advance(1)
    assert [[old.digest for old in each.dropped] for each in opened] == [[], [], [opened[0].session.digest]]
    assert await store.admit(opened[0].session_id, 1, "h", APP) == Ended("replaced")
    assert [session.digest for session in await store.list(APP, "ada")] == [
        each.session.digest for each in opened[1:]
    ]


async def test_or_the_newest_is_refused(store: SessionStore, clock: FixedClock) -> None:
    strict = LoginLimit(most=1, when_full="refuse_newest")
    first = await log_in(store, limit=strict)
    assert await store.open(NewSession(APP, "ada", "dispatcher", LIFE), strict) == Full()
    assert isinstance(await store.peek(first.session_id), Session)
    clock.advance(LIFE)  # a lapsed session is in nobody's way
    await log_in(store, limit=strict)


async def test_other_players_and_other_apps_are_not_in_the_way(store: SessionStore) -> None:
    first = await log_in(store, "ada", ONE)
    await log_in(store, "bob", ONE)
    await log_in(store, "ada", ONE, app="20002")
    assert isinstance(await store.peek(first.session_id), Session)


async def test_a_login_that_runs_again_opens_the_same_session(store: SessionStore) -> None:
    session_id = new_session_id("ada")
    older = await log_in(store, "ada")
    first = await log_in(store, "ada", LoginLimit(most=2), session_id=session_id)
    again = await log_in(store, "ada", LoginLimit(most=2), session_id=session_id)
    assert first.session_id == again.session_id == session_id
    assert (first.dropped, again.dropped) == ([], [])
    assert isinstance(await store.peek(older.session_id), Session)
    assert len(await store.list(APP, "ada")) == 2


async def test_but_an_ended_session_never_comes_back(store: SessionStore, clock: FixedClock) -> None:
    ended, lapsed = new_session_id("ada"), new_session_id("ada")
    for session_id in (ended, lapsed):
        await log_in(store, session_id=session_id)
    await store.end(One(ended), "revoked")
    assert await store.open(NewSession(APP, "ada", "dispatcher", LIFE, session_id=ended)) == Ended("revoked")
    clock.advance(LIFE)
    assert await store.open(NewSession(APP, "ada", "dispatcher", LIFE, session_id=lapsed)) == Ended("expired")
    assert await store.list(APP, "ada") == []


async def test_arguments_without_sense_are_refused(store: SessionStore) -> None:
    with pytest.raises(ValueError, match="profile"):
        await store.open(NewSession(APP, "ada", "dispatcher", LIFE, session_id=new_session_id("bob")))
    with pytest.raises(ValueError, match="positive"):
        await store.open(NewSession(APP, "ada", "dispatcher", 0))
    with pytest.raises(ValueError, match="at least one"):
        LoginLimit(most=0)
    with pytest.raises(ValueError, match="reason"):
        await store.end(AllOf(APP, "ada"), "expired")
    with pytest.raises(ValueError, match="by which"):
        await store.end(AllOf(APP, "ada"), "revoked", packet_id=1)
    with pytest.raises(ValueError, match="all sessions of a player"):
        await store.end(AllBut(APP, "ada", ""), "revoked", epoch=1)


async def test_a_reserved_session_lapses_unless_confirmed(store: SessionStore, clock: FixedClock) -> None:
    kept = await log_in(store, life_seconds=5)
    lost = await log_in(store, life_seconds=5)
    clock.advance(4)
    confirmed = await store.confirm(kept.session_id, LIFE)
    assert isinstance(confirmed, Session)
    assert confirmed.life_seconds == LIFE
    clock.advance(LIFE - 1)
    assert isinstance(await store.touch(kept.session_id), Session)
    assert await store.confirm(lost.session_id, LIFE) == Ended("expired")


# Packets


async def test_a_packet_is_claimed_once_answered_and_replayed(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened)
    assert session.last_packet_id == 1
    assert await store.admit(opened.session_id, 1, "h1", APP) == Running(session)
    answer = bytes(range(256))
    assert await store.finish(session, 1, answer)
    assert await store.admit(opened.session_id, 1, "h1", APP) == Replay(session, answer)
    assert await store.admit(opened.session_id, 1, "h1", APP) == Replay(session, answer)


async def test_an_answer_kept_in_sql_is_told_from_none(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened)
    await store.finish(session, 1, b"")
    assert await store.admit(opened.session_id, 1, "h1", APP) == Replay(session, b"")
    session = await claim(store, opened, 2, "h2")
    await store.finish(session, 2, None)
    assert await store.admit(opened.session_id, 2, "h2", APP) == Replay(session, None)


async def test_packet_ids_may_leave_gaps_but_not_go_back(store: SessionStore) -> None:
    opened = await log_in(store, packet_id=3)
    assert isinstance(await store.admit(opened.session_id, 2, "h", APP), Outdated)
    assert isinstance(await store.admit(opened.session_id, 3, "", APP), Reused)  # the login's own
    session = await claim(store, opened, 90)
    await store.finish(session, 90, b"x")
    assert isinstance(await store.admit(opened.session_id, 89, "h1", APP), Outdated)
    assert isinstance(await store.admit(opened.session_id, 90, "other", APP), Reused)
    await claim(store, opened, 2**53 - 1)
    assert isinstance(await store.admit(opened.session_id, 2**53 - 2, "h1", APP), Outdated)


async def test_a_body_hash_may_be_any_text(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened, 1, "a:b:c")
    await store.finish(session, 1, b"x")
    assert await store.admit(opened.session_id, 1, "a:b:c", APP) == Replay(session, b"x")
    assert isinstance(await store.admit(opened.session_id, 1, "a:b", APP), Reused)


async def test_a_lapsed_lease_lets_the_repeat_run_and_says_so(store: SessionStore, clock: FixedClock) -> None:
    opened = await log_in(store)
    await claim(store, opened)
    clock.advance(LEASE - 0.001)
    assert isinstance(await store.admit(opened.session_id, 1, "h1", APP), Running)
    clock.advance(0.001)
    again = await store.admit(opened.session_id, 1, "h1", APP)
    assert isinstance(again, Admitted)
    assert again.resumed
    assert isinstance(await store.admit(opened.session_id, 1, "h1", APP), Running)
    assert await store.finish(again.session, 1, b"second run")
    assert not await store.finish(again.session, 1, b"first run, late")
    assert await store.admit(opened.session_id, 1, "h1", APP) == Replay(again.session, b"second run")


async def test_leases_of_long_packets_are_kept(store: SessionStore, clock: FixedClock) -> None:
    long, done = await log_in(store), await log_in(store)
    running, finished = await claim(store, long), await claim(store, done)
    await store.finish(finished, 1, b"x")
    clock.advance(LEASE - 1)
    assert await store.keep_claims([(running, 1), (finished, 1), (running, 2)]) == [True, False, False]
    clock.advance(LEASE - 1)
    assert isinstance(await store.admit(long.session_id, 1, "h1", APP), Running)
    assert await store.keep_claims([]) == []


async def test_a_released_claim_lets_the_repeat_run_at_once(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened)
    assert await store.release(session, 1)
    assert not await store.release(session, 1)
    assert not await store.finish(session, 1, b"too late")
    again = await store.admit(opened.session_id, 1, "h1", APP)
    assert isinstance(again, Admitted)
    assert again.resumed  # it may have reached SQL: whoever gave it back need not know


async def test_a_later_packet_takes_the_claim(store: SessionStore) -> None:
    opened = await log_in(store)
    first = await claim(store, opened, 1)
    second = await claim(store, opened, 2, "h2")
    assert not await store.finish(first, 1, b"first")
    assert not await store.release(first, 1)
    assert await store.finish(second, 2, b"second")


async def test_of_many_copies_of_a_packet_one_runs(store: SessionStore) -> None:
    opened = await log_in(store)
    outcomes = await asyncio.gather(*(store.admit(opened.session_id, 1, "h1", APP) for _ in range(20)))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Admitted"] + ["Running"] * 19


async def test_a_packet_of_another_app_changes_nothing(store: SessionStore, clock: FixedClock) -> None:
    opened = await log_in(store)
    clock.advance(LIFE - 1)
    assert await store.admit(opened.session_id, 1, "h1", "20002") == OtherApp(opened.session)
    assert await store.peek(opened.session_id) == opened.session
    clock.advance(1)
    assert await store.admit(opened.session_id, 1, "h1", APP) == Ended("expired")


async def test_too_many_packets_in_a_minute_are_refused(store: SessionStore, clock: FixedClock) -> None:
    opened, other = await log_in(store, life_seconds=600), await log_in(store)
    for packet in range(1, 21):
        await claim(store, opened, packet)
    limited = await store.admit(opened.session_id, 21, "h1", APP)
    assert isinstance(limited, RateLimited)
    assert limited.session.last_packet_id == 20
    await claim(store, other)  # each session counts for itself
    clock.advance(59.999)
    assert isinstance(await store.admit(opened.session_id, 21, "h1", APP), RateLimited)
    clock.advance(0.001)
    await claim(store, opened, 21)


# Life


async def test_packets_and_touches_renew_but_looks_do_not(store: SessionStore, clock: FixedClock) -> None:
    busy, idle = await log_in(store), await log_in(store)
    for packet in range(1, 4):
        clock.advance(LIFE / 2)
        await claim(store, busy, packet)
        await store.peek(idle.session_id)
        await store.peek_digest(idle.session.digest)
        await store.list(APP, "ada")
        await store.count(APP)
    clock.advance(LIFE - 0.001)
    touched = await store.touch(busy.session_id)
    assert isinstance(touched, Session)
    assert touched.last_used_ms == clock.ms()
    clock.advance(LIFE)
    for outcome in (
        await store.admit(busy.session_id, 9, "h", APP),
        await store.touch(busy.session_id),
        await store.peek(idle.session_id),
    ):
        assert outcome == Ended("expired")
    assert await store.list(APP, "ada") == []


async def test_expired_and_ended_are_told_from_unknown_for_a_while(
    store: SessionStore, clock: FixedClock
) -> None:
    ended, lapsed = await log_in(store), await log_in(store)
    await store.end(One(ended.session_id), "revoked")
    clock.advance(TOMBSTONE - 0.001)
    assert await store.peek(ended.session_id) == Ended("revoked")
    clock.advance(0.001)
    assert await store.peek(ended.session_id) == Ended("unknown")
    clock.advance(LIFE - 0.001)
    assert await store.peek(lapsed.session_id) == Ended("expired")
    clock.advance(0.001)
    assert await store.admit(lapsed.session_id, 1, "h", APP) == Ended("unknown")
    assert await store.peek("0123-" + "a" * 24) == Ended("unknown")


async def test_a_session_can_act_for_another_app(store: SessionStore) -> None:
    opened = await log_in(store)
    child = await store.switch(await claim(store, opened), "20002", "ada-child")
    assert isinstance(child, Session)
    assert (child.app_id, child.profile_id) == ("20002", "ada-child")
    assert (child.home_app_id, child.home_profile_id) == (APP, "ada")
    assert child.last_packet_id == 1  # the claim is untouched
    assert isinstance(await store.admit(opened.session_id, 2, "h", APP), OtherApp)
    assert isinstance(await store.admit(opened.session_id, 2, "h", "20002"), Admitted)
    assert [session.app_id for session in await store.list(APP, "ada")] == ["20002"]
    assert await store.end(AllOf(APP, "ada"), "revoked") == [child.digest]
    assert await store.switch(child, APP, "ada") == Ended("revoked")


async def test_a_session_ends_with_those_of_whom_it_acts_for(store: SessionStore) -> None:
    for selector in (AllOf("20002", "ada-child"), AllBut("20002", "ada-child", ""), AllOfApp("20002")):
        opened = await log_in(store)
        child = await store.switch(await claim(store, opened), "20002", "ada-child")
        assert isinstance(child, Session)
        assert child.facts["switchedFrom"] == APP
        assert await store.switch(child, "20002", "ada-child") == child  # once more
        assert await store.end(AllBut("20002", "ada-child", child.digest), "revoked") == []
        assert await store.end(selector, "revoked") == [child.digest]
        assert await store.peek(opened.session_id) == Ended("revoked")


async def test_a_session_that_switched_on_acts_for_nobody_else(store: SessionStore) -> None:
    opened = await log_in(store)
    child = await store.switch(await claim(store, opened), "20002", "ada-child")
    assert isinstance(child, Session)
    back = await store.switch(child, APP, "ada")
    assert isinstance(back, Session)
    assert back.facts["switchedFrom"] == "20002"
    await store.ping()  # the last step of a switch is waited for by nobody
    assert await store.end(AllOf("20002", "ada-child"), "revoked") == []
    assert await store.end(AllOfApp("20002"), "revoked") == []
    assert await store.end(AllOf(APP, "ada"), "revoked") == [child.digest]


async def test_a_switch_that_is_older_than_an_end_of_all_sessions_is_refused(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened)
    await store.end(AllOf("20002", "ada-child"), "revoked", epoch=3)
    assert await store.switch(session, "20002", "ada-child", 2) == Ended("revoked")
    assert await store.peek(opened.session_id) == session
    assert isinstance(await store.switch(session, "20002", "ada-child", 3), Session)


async def test_sessions_that_have_ended_do_not_pile_up_at_whom_they_acted_for(store: SessionStore) -> None:
    for _ in range(30):
        opened = await log_in(store)
        await store.switch(await claim(store, opened), "20002", "ada-child")
        await store.end(One(opened.session_id), "logged_out")
    opened = await log_in(store)
    child = await store.switch(await claim(store, opened), "20002", "ada-child")
    assert isinstance(child, Session)
    assert await store.end(AllOf("20002", "ada-child"), "revoked") == [child.digest]


# Ending


async def test_an_ended_session_is_refused_everywhere(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened)
    assert await store.end(One(opened.session_id), "logged_out") == [session.digest]
    assert await store.end(One(opened.session_id), "revoked") == []  # the first reason stays
    assert await store.admit(opened.session_id, 2, "h", APP) == Ended("logged_out")
    assert await store.touch(opened.session_id) == Ended("logged_out")
    assert await store.peek(opened.session_id) == Ended("logged_out")
    assert await store.confirm(opened.session_id, LIFE) == Ended("logged_out")
    assert not await store.finish(session, 1, b"late")
    assert not await store.release(session, 1)
    assert await store.keep_claims([(session, 1)]) == [False]
    assert await store.list(APP, "ada") == []
    assert await store.count(APP) == 0
    assert await store.peek(opened.session_id) == Ended("logged_out")


async def test_selectors_end_what_they_name(store: SessionStore) -> None:
    async def open_all() -> list[str]:
        logins = [("ada", APP), ("ada", APP), ("ada", "20002"), ("bob", APP)]
        return [(await log_in(store, profile, app=app)).session.digest for profile, app in logins]

    ada, ada_too, ada_elsewhere, bob = await open_all()
    assert await store.end(One(digest=ada), "revoked") == [ada]
    assert await store.end(AllOf(APP, "ada"), "revoked") == [ada_too]
    ada, ada_too, _, bob_too = await open_all()
    assert await store.end(AllBut(APP, "ada", keep=ada), "revoked") == [ada_too]
    assert await store.end(AllBut(APP, "ada", keep=ada), "revoked") == []
    assert set(await store.end(AllOfApp(APP), "revoked")) == {ada, bob, bob_too}
    assert await store.end(AllOfApp(APP), "revoked") == []
    assert await store.count(APP) == 0
    assert await store.count("20002") == 2
    assert isinstance(await store.peek_digest(ada_elsewhere), Session)


async def test_a_login_older_than_the_end_of_all_sessions_is_refused(
    store: SessionStore, clock: FixedClock
) -> None:
    late = [NewSession(APP, "ada", "dispatcher", LIFE, epoch=epoch) for epoch in (0, 4, 5, 6)]
    open_one = await log_in(store, epoch=4)
    assert await store.end(AllOf(APP, "ada"), "revoked", epoch=5) == [open_one.session.digest]
    assert [await store.open(new) for new in late[:2]] == [Ended("revoked")] * 2
    assert await store.count(APP) == len(await store.list(APP, "ada")) == 0
    for new in late[2:]:
        assert isinstance(await store.open(new), Opened)
    assert isinstance(await store.open(late[0], LoginLimit(1, "refuse_newest")), Ended)  # and not Full
    await store.end(AllOf(APP, "ada"), "revoked", epoch=3)  # a slower process: the fence stays as high
    await store.end(AllOf(APP, "ada"), "revoked")
    assert isinstance(await store.open(late[1]), Ended)
    others: list[dict[str, Any]] = [{"profile": "bob", "epoch": 0}, {"app": "20002", "epoch": 0}, {}]
    for free in others:
        await log_in(store, **free)  # other players, other apps, faces that know no epoch
    clock.advance(FENCE_SECONDS - 0.001)
    assert await store.open(late[1]) == Ended("revoked")
    clock.advance(0.001)
    assert isinstance(await store.open(late[1]), Opened)


async def test_a_fenced_login_run_again_stays_refused(store: SessionStore) -> None:
    session_id = new_session_id("ada")
    await store.end(AllOf(APP, "ada"), "revoked", epoch=1)
    for _ in range(2):
        assert isinstance(await store.open(NewSession(APP, "ada", "x", LIFE, {}, 0, session_id, 0)), Ended)
        assert await store.peek(session_id) == Ended("unknown")


async def test_the_repeat_of_a_logout_gets_its_answer(store: SessionStore, clock: FixedClock) -> None:
    opened = await log_in(store)
    await claim(store, opened, 5, "bye")
    await store.end(One(opened.session_id), "logged_out", packet_id=5, body_hash="bye", answer=b"{}")
    clock.advance(180)
    assert await store.admit(opened.session_id, 5, "bye", APP) == Ended("logged_out", b"{}")
    assert await store.admit(opened.session_id, 5, "other", APP) == Ended("logged_out")
    assert await store.admit(opened.session_id, 6, "bye", APP) == Ended("logged_out")
    assert await store.touch(opened.session_id) == Ended("logged_out")
    assert await store.end(One(opened.session_id), "revoked", packet_id=5, body_hash="bye", answer=b"!") == []
    assert await store.admit(opened.session_id, 5, "bye", APP) == Ended("logged_out", b"{}")


async def test_even_when_something_else_ended_the_session_first(store: SessionStore) -> None:
    opened = await log_in(store)
    session = await claim(store, opened, 5, "bye")
    await log_in(store, limit=ONE)
    packet: dict[str, Any] = {"packet_id": 5, "body_hash": "bye", "answer": b"{}"}
    assert await store.end(One(opened.session_id), "logged_out", **packet) == []
    assert await store.admit(opened.session_id, 5, "bye", APP) == Ended("replaced", b"{}")
    other = await log_in(store)
    session = await claim(store, other, 5, "bye")
    await store.end(One(other.session_id), "revoked")
    await store.end(AllOf(APP, "ada"), "logged_out", **packet, by=session.digest)
    assert await store.admit(other.session_id, 5, "bye", APP) == Ended("revoked", b"{}")


async def test_a_packet_may_end_many_sessions_its_own_among_them(store: SessionStore) -> None:
    caller, other = await log_in(store), await log_in(store)
    session = await claim(store, caller, 5, "bye")
    packet: dict[str, Any] = {"packet_id": 5, "body_hash": "bye", "answer": b"{}", "by": session.digest}
    assert len(await store.end(AllOf(APP, "ada"), "logged_out", **packet)) == 2
    assert await store.admit(caller.session_id, 5, "bye", APP) == Ended("logged_out", b"{}")
    assert await store.admit(other.session_id, 5, "bye", APP) == Ended("logged_out")
    caller = await log_in(store)
    packet["by"] = (await claim(store, caller, 5, "bye")).digest
    await store.end(AllOfApp(APP), "revoked", **packet)
    assert await store.admit(caller.session_id, 5, "bye", APP) == Ended("revoked", b"{}")


async def test_the_end_of_a_lapsed_session_ends_nothing(store: SessionStore, clock: FixedClock) -> None:
    heard: list[tuple[str, str]] = []
    await store.watch(lambda digest, reason: heard.append((digest, reason)))
    opened = await log_in(store)
    clock.advance(LIFE)
    assert await store.end(One(opened.session_id), "revoked") == []
    assert await store.end(AllOf(APP, "ada"), "revoked") == []
    assert await store.peek(opened.session_id) == Ended("expired")
    assert heard == []


# Watching, listing, counting


async def test_every_watcher_hears_of_every_end(store: SessionStore) -> None:
    ends: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    closed: list[str] = []
    watch = await store.watch(lambda digest, reason: ends.put_nowait((digest, reason)))
    late = await store.watch(lambda digest, _: closed.append(digest))
    await late.close()
    first = await log_in(store, limit=ONE)
    second = await log_in(store, limit=ONE)
    await store.end(AllOf(APP, "ada"), "revoked")
    async with asyncio.timeout(5):
        assert await ends.get() == (first.session.digest, "replaced")
        assert await ends.get() == (second.session.digest, "revoked")
    assert closed == []
    await watch.close()


async def test_every_session_of_an_app_can_be_walked_and_counted(
    store: SessionStore, clock: FixedClock
) -> None:
    digests = {(await log_in(store, f"player{n}")).session.digest for n in range(30)}
    await log_in(store, app="20002")
    assert {session.digest async for session in store.every(APP)} == digests
    assert await store.count(APP) == 30
    clock.advance(LIFE / 2)
    kept = await log_in(store, "late")
    clock.advance(LIFE / 2)
    assert await store.count(APP) == 1
    assert [session.digest async for session in store.every(APP)] == [kept.session.digest]
    assert await store.count("none") == 0


async def test_the_sweep_keeps_sessions_that_were_renewed(store: SessionStore, clock: FixedClock) -> None:
    busy, idle = await log_in(store, "ada"), await log_in(store, "bob")
    for packet in range(1, 4):
        clock.advance(LIFE / 2)
        await claim(store, busy, packet)
    assert await store.sweep(APP) == 1
    assert await store.sweep(APP) == 0
    assert await store.count(APP) == 1
    clock.advance(LIFE)
    assert await store.sweep(APP) == 1
    assert await store.count(APP) == 0
    assert await store.peek(idle.session_id) == Ended("expired")


async def test_hits_are_counted_in_windows(store: SessionStore, clock: FixedClock) -> None:
    key = "login:Ada\0}{ \ud800"
    assert [await store.hit(key, 3, 60) for _ in range(5)] == [True, True, True, False, False]
    assert not await store.hit(key, 3, 60, cost=0)
    assert await store.hit("other", 3, 60)
    clock.advance(59.999)
    assert not await store.hit(key, 3, 60)
    clock.advance(0.001)
    assert await store.hit(key, 3, 60, cost=0)
    assert await store.hit(key, 3, 60, cost=3)
    await store.forget_hits(key)
    assert await store.hit(key, 3, 60)
    assert not await store.hit("dear", 3, 60, cost=4)


async def test_locks_grow_and_are_forgotten(store: SessionStore, clock: FixedClock) -> None:
    key = "account:Ada\0}{ \ud800"
    assert not await store.is_locked(key)
    for seconds in (60, 120, 240, 300, 300):
        assert await store.lock(key, 60, 300) == seconds * 1000
        assert await store.is_locked(key)
        clock.advance(seconds - 1)
        assert await store.lock(key, 60, 300) == 1000  # it is locked already
        assert await store.is_locked(key)
        clock.advance(1)
        assert not await store.is_locked(key)
    clock.advance(LOCK_MEMORY_SECONDS)
    assert await store.lock(key, 60, 300) == 60_000
    await store.unlock(key)
    assert not await store.is_locked(key)
    assert await store.lock(key, 60, 300) == 60_000
    assert not await store.is_locked("another")


@pytest.mark.parametrize("store", ["memory", "redis"], indirect=True)  # the imitation has no INFO
async def test_ping_answers(store: SessionStore) -> None:
    await store.ping()


# In memory


async def test_memory_gives_back_what_lapsed(clock: FixedClock) -> None:
    store = MemorySessions(clock)
    for round_ in range(20):
        for n in range(50):
            opened = await log_in(store, f"p{round_}.{n}")
            await store.hit(f"p{round_}.{n}", 3, 60)
            await store.lock(f"p{round_}.{n}", 1, 1)
            if n % 2:
                await store.end(One(opened.session_id), "logged_out")
            await store.end(AllOf(APP, f"p{round_}.{n}"), "revoked", epoch=n)
        clock.advance(LIFE + TOMBSTONE)
    clock.advance(LOCK_MEMORY_SECONDS)
    await store.hit("last", 3, 60)
    await store.sweep(APP)
    assert store._records == {}
    assert store._players == store._apps == {APP: {}}
    assert [len(marks) for marks in (store._fences, store._locks, store._counts)] == [0, 0, 1]
    wheels = (store._due, store._fences._due, store._locks._due, store._counts._due)
    assert [len(wheel) for wheel in wheels] == [0, 0, 0, 1]


async def test_the_garbage_collector_has_no_more_to_walk_with_more_sessions(clock: FixedClock) -> None:
    store = MemorySessions(clock)
    await log_in(store, "first", facts={"platform": "WEB", "list": [1, {"a": None}]})
    await store.hit("first", 3, 60)
    gc.collect()
    before = len(gc.get_objects())
    for n in range(2000):
        opened = await log_in(store, f"p{n}", facts={"platform": "WEB", "list": [1, {"a": None}]})
        session = await claim(store, opened)
        await store.finish(session, 1, b"answer")
        await store.hit(f"p{n}", 3, 60)
        if n % 4 == 0:
            await store.end(AllOf(APP, f"p{n}"), "revoked", epoch=n)
        clock.advance(0.1)
    gc.collect()
    assert len(gc.get_objects()) - before < 100


# On a real Redis


async def two_processes(url: str, clock: FixedClock) -> tuple[Sessions, Sessions]:
    return Sessions(await connect(url), clock), Sessions(await connect(url), clock)


async def test_an_end_in_one_process_is_an_end_in_all(redis_url: str, clock: FixedClock) -> None:
    here, there = await two_processes(redis_url, clock)
    ended = asyncio.Event()
    await there.watch(lambda *_: ended.set())
    opened = await log_in(here)
    await claim(there, opened)
    await here.end(One(opened.session_id), "logged_out")
    assert await there.admit(opened.session_id, 2, "h", APP) == Ended("logged_out")
    assert await there.touch(opened.session_id) == Ended("logged_out")
    async with asyncio.timeout(5):
        await ended.wait()
    await here.close()
    await there.close()


async def test_racing_logins_leave_one_session(redis_url: str, clock: FixedClock) -> None:
    stores = await two_processes(redis_url, clock)
    opened = await asyncio.gather(*(log_in(store, "racer", ONE) for store in stores * 10))
    [survivor] = await stores[0].list(APP, "racer")
    dropped = [old.digest for each in opened for old in each.dropped]
    assert len(dropped) == len(set(dropped)) == 19
    assert survivor.digest not in dropped
    alive = [each for each in opened if isinstance(await stores[1].peek(each.session_id), Session)]
    assert [each.session.digest for each in alive] == [survivor.digest]
    for store in stores:
        await store.close()


async def test_racing_copies_of_a_packet_run_once(redis_url: str, clock: FixedClock) -> None:
    stores = await two_processes(redis_url, clock)
    opened = await log_in(stores[0], "claimer")
    outcomes = await asyncio.gather(*(store.admit(opened.session_id, 1, "h", APP) for store in stores * 10))
    assert sum(isinstance(outcome, Admitted) for outcome in outcomes) == 1
    for store in stores:
        await store.close()


async def test_redis_holds_no_session_id_and_forgets_by_itself(redis_url: str, clock: FixedClock) -> None:
    client = await connect(redis_url)
    await client.flushall()
    store = Sessions(client, clock)
    alive, ended = await log_in(store, "ada", app="1:2"), await log_in(store, "ada")
    await claim_any(store, alive)
    await store.end(One(ended.session_id), "logged_out")
    for key in await client.keys():
        held = await client.dump(key)
        assert held is not None
        for opened in (alive, ended):
            secret = opened.session_id.partition("-")[2].encode()
            assert secret not in key
            assert secret not in held
    assert LIFE * 1000 < await client.pttl(session_key(alive)) <= (LIFE + TOMBSTONE + 60) * 1000
    assert 0 < await client.pttl(session_key(ended)) <= (TOMBSTONE + 60) * 1000
    await store.close()


async def claim_any(store: SessionStore, opened: Opened) -> None:
    assert isinstance(await store.admit(opened.session_id, 1, "h", opened.session.app_id), Admitted)


def session_key(opened: Opened) -> str:
    return f"gs:{{{opened.session.digest[:4]}}}:s:{opened.session.digest}"


async def test_the_keys_of_a_player_share_a_cluster_slot(redis_url: str, clock: FixedClock) -> None:
    client = await connect(redis_url)
    await client.flushall()
    store = Sessions(client, clock)
    first = await log_in(store, "ada")
    await log_in(store, "ada", app="a}b{c")
    await store.end(One(first.session_id), "logged_out")
    found: list[Any] = await client.keys()
    keys = [key for key in found if b"{app:" not in key]
    assert len(keys) == 3  # two sessions, one of them a tombstone, and the set that is not empty
    assert len({key_slot(key) for key in keys}) == 1
    await store.close()


def player_key(opened: Opened) -> str:
    return (
        f"gs:{{{opened.session.digest[:4]}}}:u:{opened.session.home_app_id}:{opened.session.home_profile_id}"
    )


async def test_a_session_that_its_players_list_does_not_name_is_none(
    redis_url: str, clock: FixedClock
) -> None:
    client = await connect(redis_url)
    await client.flushall()
    store = Sessions(client, clock)
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    watch = await store.watch(lambda digest, reason: told.put_nowait((digest, reason)))
    uses: dict[str, Callable[[Opened], Awaitable[object]]] = {
        "admit": lambda opened: store.admit(opened.session_id, 1, "h", APP),
        "touch": lambda opened: store.touch(opened.session_id),
        "peek": lambda opened: store.peek(opened.session_id),
        "confirm": lambda opened: store.confirm(opened.session_id, LIFE),
        "switch": lambda opened: store.switch(opened.session, "child", "ada"),
    }
    for use, call in uses.items():
        opened = await log_in(store)
        await client.delete(player_key(opened))  # as an eviction or a lost write does
        assert await store.end(AllOf(APP, "ada"), "revoked") == []
        assert await call(opened) == Ended("unknown"), use
        # It does not come back with the list that the next login makes.
        other = await log_in(store)
        assert await store.touch(opened.session_id) == Ended("unknown")
        assert [session.digest for session in await store.list(APP, "ada")] == [other.session.digest]
        await store.end(AllOf(APP, "ada"), "revoked")
        async with asyncio.timeout(5):
            assert await told.get() == (opened.session.digest, "revoked")
            assert await told.get() == (other.session.digest, "revoked")
    await watch.close()
    await store.close()


async def test_a_login_run_again_does_not_revive_a_session_that_was_lost(
    redis_url: str, clock: FixedClock
) -> None:
    client = await connect(redis_url)
    await client.flushall()
    store = Sessions(client, clock)
    opened = await log_in(store)
    await client.delete(player_key(opened))
    await log_in(store, limit=ONE)
    again = await store.open(
        NewSession(APP, "ada", "dispatcher", LIFE, {}, 0, opened.session_id), LoginLimit(1, "refuse_newest")
    )
    assert again == Full()
    await store.close()


async def test_the_sessions_of_an_app_are_found_without_its_index(redis_url: str, clock: FixedClock) -> None:
    client = await connect(redis_url)
    await client.flushall()
    store = Sessions(client, clock)
    opened = [await log_in(store, f"player{n}") for n in range(3)]
    elsewhere = await log_in(store, "ada", app="20002")
    await client.delete(f"gs:{{app:{APP}}}")
    digests = {each.session.digest for each in opened}
    assert {session.digest async for session in store.every(APP)} == digests
    assert set(await store.end(AllOfApp(APP), "revoked")) == digests
    assert await store.touch(opened[0].session_id) == Ended("revoked")
    assert isinstance(await store.touch(elsewhere.session_id), Session)
    await store.close()


async def test_scripts_are_loaded_again_when_redis_forgot_them(redis_url: str, clock: FixedClock) -> None:
    client = await connect(redis_url)
    store = Sessions(client, clock)
    opened = await log_in(store)
    await client.script_flush()
    await asyncio.gather(*(store.touch(opened.session_id) for _ in range(5)), claim(store, opened))
    await store.close()


async def test_calls_of_one_turn_share_a_pipeline(
    redis_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Sessions(await connect(redis_url), clock)
    opened = [await log_in(store, f"p{n}") for n in range(32)]
    sent: list[tuple[Any, ...]] = []
    send = Link.send

    def noting(*words: Any) -> Any:
        sent.append(words)
        return send(*words)

    monkeypatch.setattr(Link, "send", noting)
    await asyncio.gather(*(claim(store, each) for each in opened))
    assert len(sent) == 1
    await store.close()


@pytest.fixture(params=["tcp", "tls"])
def guarded_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A Redis on a port, with a password; over TLS, too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = ["--requirepass", "secret", "--bind", "127.0.0.1"]
    if request.param == "tcp":
        with redis(*options, "--port", port):
            yield f"redis://:secret@127.0.0.1:{port}/1"
        return
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    key, chain, root = (tmp_path / name for name in ("key.pem", "chain.pem", "root.pem"))
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(chain)
    authority.cert_pem.write_to_path(root)
    options += ["--tls-key-file", str(key), "--tls-cert-file", str(chain), "--tls-ca-cert-file", str(root)]
    with redis(*options, "--tls-port", port, "--tls-auth-clients", "no"):
        yield f"rediss://:secret@localhost:{port}/1?ssl_ca_certs={root}"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_replies_come_over_tcp_and_tls_whatever_their_size(guarded_url: str, protocol: int) -> None:
    mark = "&" if "?" in guarded_url else "?"
    calls = Coalescer(await connect(f"{guarded_url}{mark}protocol={protocol}"))
    long = "x" * (3 << 20)  # arrives in many pieces
    for _ in range(2):
        replies = await asyncio.gather(*(calls.command("ECHO", text) for text in ("a", long, "b")))
        assert replies == [b"a", long.encode(), b"b"]
        with suppress(SessionsUnavailable):  # Redis hangs up; a new connection takes over
            await calls.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        for _ in range(5000):  # it may have replied before
            if not any(link.is_open for link in calls._links):
                break
            await asyncio.sleep(0.001)
    await calls.close()


async def test_a_master_that_has_become_a_replica_is_left() -> None:
    """A Sentinel hangs up on its clients, but not on those who come a moment too early."""
    with redis() as url:
        calls = Coalescer(await connect(url))
        first = await calls.command("CLIENT", "ID")
        await calls.command("REPLICAOF", "127.0.0.1", "1")
        refused = [calls.command("SET", "a", "b"), calls.command("ECHO", "x")]
        with pytest.raises(SessionsUnavailable):
            await refused[0]
        assert await refused[1] == b"x"
        assert await calls.command("CLIENT", "ID") != first
        await calls.close()


async def test_what_redis_says_of_its_own_accord_is_no_reply(redis_url: str) -> None:
    calls, other = Coalescer(await connect(redis_url)), Coalescer(await connect(redis_url))
    await calls.command("CLIENT", "TRACKING", "ON")
    for number in range(3):
        await calls.command("GET", "watched")
        await other.command("SET", "watched", number)  # which `calls` is told of
        assert await calls.command("ECHO", "x") == b"x"
    await calls.close()
    await other.close()


async def test_a_connection_that_was_closed_meanwhile_is_not_used_again(tmp_path: Path) -> None:
    socket = tmp_path / "r"
    calls = Coalescer(await connect(f"unix://{socket}"))
    for _ in range(2):
        with redis("--unixsocket", str(socket)):
            assert await calls.command("ECHO", "x") == b"x"
        await asyncio.sleep(0)  # the loop hears of the end
    await calls.close()


async def test_one_bad_command_hurts_nobody_else(redis_url: str) -> None:
    calls = Coalescer(await connect(redis_url))
    bad, good = calls.command("NO-SUCH-COMMAND"), calls.command("ECHO", "x")
    with pytest.raises(Exception, match="unknown command"):
        await bad
    assert await good == b"x"
    await calls.close()


async def test_a_caller_that_gave_up_hurts_nobody_else(redis_url: str, clock: FixedClock) -> None:
    store = Sessions(await connect(redis_url), clock)
    opened = await log_in(store)
    waiting = asyncio.create_task(store.touch(opened.session_id))
    other = asyncio.create_task(store.touch(opened.session_id))
    await asyncio.sleep(0)
    waiting.cancel()
    assert isinstance(await other, Session)
    assert isinstance(await store.touch(opened.session_id), Session)
    await store.close()


async def test_redis_away_is_told_at_once_and_overcome(tmp_path: Path, clock: FixedClock) -> None:
    socket = tmp_path / "r"
    store = Sessions(await connect(f"unix://user:secret@{socket}"), clock)
    with pytest.raises(SessionsUnavailable) as refusal:
        await store.ping()
    assert "secret" not in str(refusal.value)
    with pytest.raises(SessionsUnavailable):
        await store.watch(lambda *_: None)
    await store.close()

    store = Sessions(await connect(f"unix://{socket}"), clock)
    ends: asyncio.Queue[str] = asyncio.Queue()
    gap = asyncio.Event()
    with redis("--unixsocket", str(socket)):
        opened = await log_in(store)
        await store.watch(lambda digest, _: ends.put_nowait(digest), gap.set)
    outcomes = await asyncio.gather(
        *(store.admit(opened.session_id, 1, "h", APP) for _ in range(5)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {SessionsUnavailable}
    assert not gap.is_set()
    with redis("--unixsocket", str(socket)):
        assert await store.peek(opened.session_id) == Ended("unknown")  # a new login is the price
        async with asyncio.timeout(5):
            await gap.wait()
            opened = await log_in(store)
            await store.end(One(opened.session_id), "revoked")
            assert await ends.get() == opened.session.digest
    await store.close()


async def test_a_redis_that_hangs_is_given_up_on(tmp_path: Path) -> None:
    socket = tmp_path / "r"
    callers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(
        lambda _, caller: callers.append(caller), socket
    )  # never says a word
    calls = Coalescer(await connect(f"unix://{socket}"), timeout_seconds=0.05)
    commands = [calls.command("PING") for _ in range(3)]
    await asyncio.sleep(0)
    commands += [calls.command("PING") for _ in range(3)]
    outcomes = await asyncio.gather(*commands, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {SessionsUnavailable}
    assert callers
    await calls.close()
    server.close()
    for caller in callers:
        caller.close()
        await caller.wait_closed()


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@host/", "redis+sentinel://user:secret@host:1", "redis+sentinel://secret@h/s?db=x",
        "redis+cluster://:secret@host:port", "redis+cluster://:secret@", "memory", "",
    ],
)  # fmt: skip
async def test_urls_of_no_known_form_are_refused_without_repeating_them(url: str, clock: FixedClock) -> None:
    with pytest.raises(ValueError, match="URL") as refusal:
        await session_store(url, clock)
    assert "secret" not in str(refusal.value)


async def test_urls_pick_the_store(clock: FixedClock) -> None:
    assert isinstance(await session_store(None, clock), MemorySessions)
    for url in (
        "redis://localhost:1/2", "rediss://localhost:1", "unix:///nowhere",
        "redis+sentinel://:secret@a:1,b,[::1]:3/main?db=2&sentinel_password=x", "redis+cluster://a:1,b",
        "rediss+cluster://a",
    ):  # fmt: skip
        store = await session_store(url, clock)
        assert isinstance(store, Sessions)
        await store.close()


def test_scripts_name_their_differences() -> None:
    names = ["open", "admit", "look", "settle", "keep", "end_one", "end_player", "list", "switch", "hit"]
    assert all(a.sha != b.sha for a, b in itertools.combinations([Script(name) for name in names], 2))
