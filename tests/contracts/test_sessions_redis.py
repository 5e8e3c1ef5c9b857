"""What only a real Redis shows: several processes, its keys, connections and their ends."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.crc import key_slot

from gameserver.sessions import (
    Admitted,
    AllOf,
    AllOfApp,
    Ended,
    Full,
    LoginLimit,
    MemorySessions,
    NewSession,
    One,
    Opened,
    Session,
    Sessions,
    SessionStore,
    SessionsUnavailable,
    connect,
    session_store,
)
from gameserver.sessions.coalescer import Coalescer, Script
from gameserver.sessions.link import Link
from gameserver.wire.clock import FixedClock
from tests.contracts.session_stores import APP, LIFE, ONE, TOMBSTONE, claim, clock, log_in, redis_url, store
from tests.servers import free_port, redis

__all__ = ["clock", "redis_url", "store"]  # fixtures


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
    for each in stores:
        await each.close()


async def test_racing_copies_of_a_packet_run_once(redis_url: str, clock: FixedClock) -> None:
    stores = await two_processes(redis_url, clock)
    opened = await log_in(stores[0], "claimer")
    outcomes = await asyncio.gather(*(store.admit(opened.session_id, 1, "h", APP) for store in stores * 10))
    assert sum(isinstance(outcome, Admitted) for outcome in outcomes) == 1
    for each in stores:
        await each.close()


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
    port = str(free_port())
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


async def test_who_begins_to_listen_can_be_cancelled_at_any_time(redis_url: str, clock: FixedClock) -> None:
    """The client library takes a cancellation for a failure; a server that closes would wait for ever."""
    for turns in range(25):
        store = Sessions(await connect(redis_url), clock)
        task = asyncio.create_task(store.watch(lambda *_: None))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done, turns
        if not task.cancelled():
            assert not task.cancelling(), turns
            await task.result().close()
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
