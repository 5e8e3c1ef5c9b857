"""One suite over every store of sessions: in memory, scripts on a fake Redis, scripts on a real one."""

import asyncio
import gc
from typing import Any

import pytest

from gameserver.sessions import (
    Admitted,
    AllBut,
    AllOf,
    AllOfApp,
    Ended,
    Full,
    LoginLimit,
    Mark,
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
    SessionStore,
    new_session_id,
)
from gameserver.sessions.interface import FENCE_SECONDS, LOCK_MEMORY_SECONDS
from gameserver.wire.clock import FixedClock
from tests.contracts.session_stores import APP, LIFE, ONE, TOMBSTONE, claim, clock, log_in, redis_url, store

__all__ = ["clock", "redis_url", "store"]  # fixtures

LEASE = 15


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


async def test_a_mark_is_told_with_each_packet_until_it_is_taken_off(store: SessionStore) -> None:
    ada = await log_in(store, "ada")
    await store.mark(APP, "ada", 7)
    await store.mark(APP, "ada", 5)
    await store.mark(APP, "bob", 1)  # who has no session
    for packet in (1, 2):
        admission = await store.admit(ada.session_id, packet, "h", APP)
        assert isinstance(admission, Admitted)
        assert admission.mark == Mark(5, 2)
        assert await store.finish(admission.session, packet, b"")
    await store.unmark(ada.session, Mark(5, 1))  # it was marked again meanwhile
    admission = await store.admit(ada.session_id, 3, "h", APP)
    assert isinstance(admission, Admitted)
    assert admission.mark == Mark(5, 2)
    await store.unmark(ada.session, Mark(5, 2))
    admission = await store.admit(ada.session_id, 4, "h", APP)
    assert isinstance(admission, Admitted)
    assert admission.mark is None


async def test_a_mark_reaches_sessions_that_act_for_the_player(store: SessionStore) -> None:
    ada = await log_in(store, "ada")
    await store.switch(ada.session, "child-app", "child")
    await store.unmark(ada.session, Mark(ada.session.created_ms, 1))
    await store.mark("child-app", "child", 5)
    admission = await store.admit(ada.session_id, 1, "h", "child-app")
    assert isinstance(admission, Admitted)
    assert admission.mark == Mark(5, 1)


async def test_a_session_is_marked_by_its_switch_for_what_came_before(store: SessionStore) -> None:
    ada = await log_in(store, "ada")
    await store.mark(APP, "ada", 2**50)
    await store.switch(ada.session, "child-app", "child")
    admission = await store.admit(ada.session_id, 1, "h", "child-app")
    assert isinstance(admission, Admitted)
    assert admission.mark == Mark(ada.session.created_ms, 2)
