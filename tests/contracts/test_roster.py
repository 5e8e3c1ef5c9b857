"""One suite for who is present: within a process, and between two over a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameserver.realtime.roster import (
    PROCESSES,
    SILENT_LOOKS,
    SWEPT_AT_ONCE,
    MemoryRoster,
    Presence,
    RedisRoster,
)
from gameserver.sessions import SessionsUnavailable, connect
from gameserver.sessions.coalescer import Coalescer
from gameserver.sessions.connection import disconnect
from gameserver.wire.clock import FixedClock
from tests import servers

APP, ADA = "10001", "ada"
Told = list[tuple[str, str]]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@dataclass
class Pair:
    """Two processes, or one that is both. `told`: what both told of."""

    here: MemoryRoster | RedisRoster
    there: MemoryRoster | RedisRoster
    clock: FixedClock
    calls: Coalescer | None = None
    told: Told = field(default_factory=list)

    async def is_online(self, profile_id: str = ADA) -> bool:
        seen = [
            (await each.look(APP, [profile_id]))[profile_id].is_online(self.clock.ms())
            for each in (self.here, self.there)
        ]
        assert seen[0] == seen[1]
        return seen[0]

    async def of(self, profile_id: str = ADA) -> Presence:
        return (await self.here.look(APP, [profile_id]))[profile_id]

    async def settle(self) -> None:
        """What was said to go is gone."""
        for each in (self.here, self.there):
            if isinstance(each, RedisRoster):
                await asyncio.gather(*each._tasks)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def look_around(self) -> None:
        for each in {id(one): one for one in (self.here, self.there)}.values():
            await each.look_around()


async def _pair(kind: str, url: Callable[[], str]) -> AsyncIterator[Pair]:
    clock = FixedClock()
    if kind == "memory":
        roster = MemoryRoster(clock)
        pair = Pair(roster, roster, clock)
        roster.listen(lambda *player: pair.told.append(player))
        yield pair
        return
    client = await connect(url())
    await client.flushall()
    calls = Coalescer(client)
    both = [RedisRoster(calls, clock, name) for name in ("one", "two")]
    pair = Pair(both[0], both[1], clock, calls)
    for each in both:
        each.listen(lambda *player: pair.told.append(player))
    yield pair
    await pair.settle()
    await calls.settle()
    calls.drop_links()
    await disconnect(client)


@pytest.fixture(params=["memory", "redis"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async for made in _pair(request.param, lambda: request.getfixturevalue("redis_url")):
        yield made


@pytest.fixture
async def two(redis_url: str) -> AsyncIterator[Pair]:
    """Two processes."""
    async for made in _pair("redis", lambda: redis_url):
        yield made


async def test_a_player_is_present_from_the_first_connection_to_the_last(pair: Pair) -> None:
    await pair.here.enter(APP, ADA, "cx1")
    await pair.there.enter(APP, ADA, "cx2")
    assert (await pair.is_online(), pair.told) == (True, [(APP, ADA)])
    assert (await pair.of()).cx_ids == ("cx1", "cx2")
    pair.here.leave(APP, ADA, "cx1")
    await pair.settle()
    assert (await pair.is_online(), len(pair.told)) == (True, 1)
    pair.there.leave(APP, ADA, "cx2")
    await pair.settle()
    assert (await pair.is_online(), pair.told) == (False, [(APP, ADA)] * 2)
    assert await pair.of("bob") == Presence() == await pair.of()


async def test_who_hides_comes_and_goes_unseen(pair: Pair) -> None:
    await pair.here.enter(APP, ADA, "cx1")
    assert await pair.there.show(APP, ADA, is_visible=False)
    assert (await pair.is_online(), len(pair.told)) == (False, 2)
    pair.here.leave(APP, ADA, "cx1")
    await pair.settle()
    assert len(pair.told) == 2
    await pair.here.enter(APP, ADA, "cx2")  # hiding has ended with the presence
    assert (await pair.is_online(), len(pair.told)) == (True, 3)


async def test_silences_are_known_for_a_day(pair: Pair) -> None:
    pair.here.fall_silent("one")
    pair.pass_time(1)
    pair.there.fall_silent("two")
    now = pair.clock.ms()
    assert await pair.there.silent_since(["one", "two", "three"]) == {"one": now - 1000, "two": now}
    if isinstance(pair.here, MemoryRoster):
        pair.pass_time(24 * 3600)
        await pair.here.look_around()
        assert await pair.here.silent_since(["one", "two"]) == {}
        assert not pair.here._silences


async def test_what_is_shown_lasts_as_long_as_the_presence(pair: Pair) -> None:
    assert not await pair.here.show(APP, ADA, activity='{"at": 1}')
    assert await pair.of() == Presence()
    await pair.here.enter(APP, ADA, "cx1")
    assert await pair.there.show(APP, ADA, activity='{"at": 2}')
    assert (await pair.of()).activity == '{"at": 2}'
    assert await pair.here.show(APP, ADA)  # changes nothing, and tells whether somebody is there
    pair.here.leave(APP, ADA, "cx1")
    await pair.settle()
    await pair.here.enter(APP, ADA, "cx2")
    assert (await pair.of()).activity == "{}"


async def test_a_server_lets_a_player_be_present_for_a_time(pair: Pair) -> None:
    now = pair.clock.ms()
    await pair.here.keep(APP, ADA, now + 5000, is_visible=True, activity='{"at": 3}')
    assert (await pair.is_online(), len(pair.told)) == (True, 1)
    assert await pair.there.extend(APP, ADA, 5000)
    pair.pass_time(6)
    await pair.look_around()
    assert (await pair.is_online(), len(pair.told)) == (True, 1)
    pair.pass_time(5)
    assert not await pair.is_online()
    assert not await pair.there.extend(APP, ADA, 5000)
    await pair.look_around()
    assert len(pair.told) == 2
    await pair.look_around()
    assert len(pair.told) == 2
    await pair.here.enter(APP, ADA, "cx1")
    assert (await pair.of()).activity == "{}"


async def test_a_time_that_passes_ends_nothing_while_there_is_a_connection(pair: Pair) -> None:
    await pair.here.keep(APP, ADA, pair.clock.ms() + 1000, is_visible=True, activity=None)
    await pair.there.enter(APP, ADA, "cx1")
    pair.pass_time(2)
    await pair.look_around()
    assert (await pair.is_online(), len(pair.told)) == (True, 1)
    assert await pair.here.drop(APP, ADA)
    assert await pair.is_online()


async def test_a_server_ends_the_time_it_has_given(pair: Pair) -> None:
    assert not await pair.here.drop(APP, ADA)
    await pair.here.keep(APP, ADA, pair.clock.ms() + 60_000, is_visible=True, activity=None)
    assert await pair.there.drop(APP, ADA)
    assert (await pair.is_online(), len(pair.told)) == (False, 2)


async def test_what_a_process_held_that_died_is_let_go_once(two: Pair) -> None:
    players = [f"player{number}" for number in range(SWEPT_AT_ONCE + 20)]
    for profile_id in players:
        await two.here.enter(APP, profile_id, f"cx:{profile_id}")
    await two.there.enter(APP, players[0], "cx:other")
    await two.look_around()
    two.told.clear()
    for _ in range(SILENT_LOOKS - 1):
        await two.there.look_around()
        assert await two.is_online(players[1])
    await two.there.look_around()  # the first one has given no sign of life
    assert sorted(two.told) == sorted((APP, profile_id) for profile_id in players[1:])
    assert (await two.of(players[0])).cx_ids == ("cx:other",)
    await two.there.look_around()
    assert len(two.told) == len(players) - 1


async def bury_here(two: Pair) -> None:
    """One of the two sees that the other gives no sign of life."""
    for _ in range(SILENT_LOOKS + 1):
        await two.there.look_around()


async def test_several_that_die_at_once_are_buried_at_once(two: Pair) -> None:
    assert two.calls is not None
    lost = [RedisRoster(two.calls, two.clock, f"lost{number}") for number in range(3)]
    for number, each in enumerate(lost):
        await each.enter(APP, f"player{number}", "cx")
        await each.look_around()
    await bury_here(two)
    known = await two.there.look(APP, [f"player{number}" for number in range(3)])
    assert [each.cx_ids for each in known.values()] == [()] * 3
    assert await two.calls.command("ZCARD", PROCESSES) == 1


async def test_a_process_that_was_taken_for_dead_says_again_what_it_holds(two: Pair) -> None:
    await two.here.enter(APP, ADA, "cx1")
    await two.look_around()
    await bury_here(two)
    assert not await two.is_online()
    await two.here.look_around()
    assert await two.is_online()


async def test_clocks_that_differ_make_nobody_look_dead(two: Pair) -> None:
    """Also one that jumps: signs of life are counted, and nobody looks at the time of another machine."""
    await two.here.enter(APP, ADA, "cx1")
    for seconds in (0, 60, 0, -120, 0, 0, 3600, 0):
        two.here._clock = FixedClock(two.clock.ms() + 1000 * seconds)
        two.pass_time(max(0, seconds) / 2)
        await two.look_around()
        assert (await two.here.look(APP, [ADA]))[ADA].cx_ids == ("cx1",)
    assert two.told == [(APP, ADA)]


async def test_a_redis_that_lost_everything_is_told_again(two: Pair) -> None:
    assert two.calls is not None
    await two.here.enter(APP, ADA, "cx1")
    await two.here.look_around()
    await two.calls.command("FLUSHALL")
    assert not await two.is_online()
    await two.here.look_around()
    assert await two.is_online()


async def test_a_server_that_ends_leaves_nobody_behind(two: Pair) -> None:
    assert two.calls is not None
    await two.here.enter(APP, ADA, "cx1")
    await two.here.look_around()
    await two.here.close()
    assert not await two.is_online()
    assert await two.calls.command("ZRANGE", PROCESSES, 0, -1) == []
    assert await two.calls.command("DBSIZE") == 0


async def test_who_goes_while_redis_is_away_is_gone_when_it_is_back(
    two: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert two.calls is not None
    await two.here.enter(APP, ADA, "cx1")
    command = two.calls.command

    def away(*_: object) -> "asyncio.Future[object]":
        reply = asyncio.get_running_loop().create_future()
        reply.set_exception(SessionsUnavailable("away"))
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(two.calls, "command", away)
        two.here.leave(APP, ADA, "cx1")
        await two.settle()
    assert two.calls.command == command
    assert await two.is_online()
    await two.here.look_around()
    assert not await two.is_online()


async def test_what_a_server_leaves_that_ends_while_redis_is_away_another_one_lets_go(
    two: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert two.calls is not None
    await two.here.enter(APP, ADA, "cx1")
    await two.look_around()
    script = two.calls.script

    def away(*_: object) -> "asyncio.Future[object]":
        reply = asyncio.get_running_loop().create_future()
        reply.set_exception(SessionsUnavailable("away"))
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(two.calls, "script", away)
        await two.here.close()  # Redis is back before the server says that it is gone
    assert two.calls.script == script
    await bury_here(two)
    assert (await two.there.look(APP, [ADA]))[ADA].cx_ids == ()


async def test_a_process_that_holds_nothing_is_not_taken_for_dead(two: Pair) -> None:
    assert two.calls is not None
    await two.here.enter(APP, ADA, "cx1")
    await two.look_around()
    two.here.leave(APP, ADA, "cx1")
    await two.settle()
    for _ in range(SILENT_LOOKS - 1):
        await two.there.look_around()
    await two.here.look_around()
    await two.here.enter(APP, ADA, "cx2")
    await two.there.look_around()
    assert await two.is_online()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["enter", "leave"]), st.sampled_from("ab"), st.sampled_from("123")),
        st.tuples(
            st.sampled_from(["hide", "appear", "keep", "extend", "drop", "look"]), st.sampled_from("ab")
        ),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_both_kinds_tell_the_same(redis_url: str, steps: list[tuple[str, ...]]) -> None:
    """Whatever happens in whichever order, and each is told of each change as others see it."""
    found = {}
    for kind in ("memory", "redis"):
        async for pair in _pair(kind, lambda: redis_url):
            found[kind] = [await _step(pair, step) for step in steps]
    assert found["memory"] == found["redis"]


async def _step(pair: Pair, step: tuple[str, ...]) -> tuple[object, ...]:
    work, profile_id = step[0], str(step[1])
    done: object = None
    match work:
        case "enter" if step[2] not in (await pair.of(profile_id)).cx_ids:
            await pair.here.enter(APP, profile_id, step[2])
        case "leave":
            pair.there.leave(APP, profile_id, step[2])
            await pair.settle()
        case "hide" | "appear":
            done = await pair.there.show(APP, profile_id, is_visible=work == "appear")
        case "keep":
            until = pair.clock.ms() + 3000
            await pair.here.keep(APP, profile_id, until, is_visible=True, activity=None)
        case "extend":
            done = await pair.there.extend(APP, profile_id, 2000)
        case "drop":
            done = await pair.there.drop(APP, profile_id)
        case "look":
            for each in (pair.here, pair.there):
                if isinstance(each, RedisRoster):
                    await each._forget_lapsed()
                else:
                    await each.look_around()
        case "wait":
            pair.pass_time(int(step[1]))
    told, pair.told[:] = sorted(pair.told), []
    seen = [(await pair.is_online(each), (await pair.of(each)).cx_ids) for each in "ab"]
    return done, told, seen
