"""One suite for both indexes of ranks: in memory, and in Redis, a fake one and a real one."""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis

from gameserver.ranks import Change, MemoryRanks, Page, Place, Ranks, RanksAway, RedisRanks
from gameserver.sessions import connect
from gameserver.sessions.coalescer import Coalescer
from gameserver.sessions.connection import AnyRedis
from tests import servers

KEY_MAX = 2**53


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(params=["memory", "fake", "redis"])
async def ranks(request: pytest.FixtureRequest) -> AsyncIterator[Ranks]:
    if request.param == "memory":
        yield MemoryRanks()
        return
    client: AnyRedis
    if request.param == "fake":
        client = FakeAsyncRedis()
    else:
        client = await connect(request.getfixturevalue("redis_url"))
        await client.flushall()
    yield RedisRanks(Coalescer(client))
    await client.aclose()


async def built(ranks: Ranks, *places: tuple[str, int, int], name: str = "b.1") -> None:
    assert await ranks.begin(name, "t", 60)
    assert await ranks.change(name, [Change(*place) for place in places])
    assert await ranks.finish(name, "t")


def ids(page: Page | None) -> list[str]:
    assert page is not None
    return [place.id for place in page.places]


async def test_a_list_is_sorted_by_key_then_by_seq(ranks: Ranks) -> None:
    await built(ranks, ("ada", 2, 5), ("bob", 1, 5), ("cyd", 3, -7), ("dan", 4, 0))
    page = await ranks.page("b.1", 0, 9)
    in_order = [Place("cyd", 3, -7), Place("dan", 4, 0), Place("bob", 1, 5), Place("ada", 2, 5)]
    assert page == Page(4, 0, in_order)


async def test_backwards_turns_everything_around(ranks: Ranks) -> None:
    await built(ranks, ("ada", 2, 5), ("bob", 1, 5), ("cyd", 3, -7))
    assert ids(await ranks.page("b.1", 0, 1, backwards=True)) == ["ada", "bob"]
    around = await ranks.around("b.1", "bob", 0, 1, backwards=True)
    assert around is not None
    assert (around.first, ids(around)) == (1, ["bob", "cyd"])


async def test_keys_are_exact_up_to_2_to_the_53(ranks: Ranks) -> None:
    keys = [KEY_MAX, KEY_MAX - 1, -KEY_MAX, 1 - KEY_MAX]
    await built(ranks, *((f"p{key}", 1, key) for key in keys))
    page = await ranks.page("b.1", 0, 9)
    assert page is not None
    assert [place.key for place in page.places] == sorted(keys)


@pytest.mark.parametrize("seq", [1, 15, 16, 2**40, 2**63 - 1])
async def test_seqs_sort_as_numbers(ranks: Ranks, seq: int) -> None:
    await built(ranks, ("early", seq, 1), ("late", seq - 1, 1))
    assert ids(await ranks.page("b.1", 0, 9)) == ["late", "early"]


async def test_a_list_that_nobody_built_is_lost(ranks: Ranks) -> None:
    assert await ranks.page("b.1", 0, 9) is None
    assert await ranks.around("b.1", "ada", 1, 1) is None
    assert not await ranks.change("b.1", [Change("ada", 1, 1)])
    assert await ranks.page("b.1", 0, 9) is None


async def test_a_list_that_is_being_built_takes_changes_but_does_not_answer(ranks: Ranks) -> None:
    assert await ranks.begin("b.1", "t", 60)
    assert await ranks.change("b.1", [Change("ada", 1, 1)])
    assert await ranks.page("b.1", 0, 9) is None
    assert not await ranks.begin("b.1", "other", 60)
    assert not await ranks.finish("b.1", "other")
    assert not await ranks.extend("b.1", "other", 60)
    assert await ranks.extend("b.1", "t", 60)
    assert await ranks.finish("b.1", "t")
    assert ids(await ranks.page("b.1", 0, 9)) == ["ada"]
    assert not await ranks.begin("b.1", "t", 60)


async def test_the_change_with_the_lower_seq_counts_in_any_order(ranks: Ranks) -> None:
    changes = [Change("ada", 3, 10), Change("ada", 1, 30), Change("ada", 2, 20), Change("ada", 1, 99)]
    await built(ranks)
    for change in changes:
        await ranks.change("b.1", [change])
    assert await ranks.page("b.1", 0, 9) == Page(1, 0, [Place("ada", 1, 30)])


async def test_a_late_change_does_not_bring_back_what_was_removed(ranks: Ranks) -> None:
    await built(ranks, ("ada", 9, 10))
    await ranks.change("b.1", [Change("ada", 5, None)])
    await ranks.change("b.1", [Change("ada", 6, 40)])
    assert await ranks.page("b.1", 0, 9) == Page(0, 0, [])
    await ranks.change("b.1", [Change("ada", 4, 60)])
    assert ids(await ranks.page("b.1", 0, 9)) == ["ada"]


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(0, 0, "a"), (1, 2, "bc"), (2, 9, "cd"), (4, 9, ""), (9, 99, ""), (2, 1, ""), (0, -1, "")],
)
async def test_pages_end_with_the_list(ranks: Ranks, first: int, last: int, found: str) -> None:
    await built(ranks, *((letter, 1, index) for index, letter in enumerate("abcd")))
    page = await ranks.page("b.1", first, last)
    assert page is not None
    assert (page.size, "".join(ids(page))) == (4, found)


@pytest.mark.parametrize(
    ("place", "before", "after", "first", "found"),
    [
        ("a", 2, 1, 0, "ab"),
        ("c", 1, 1, 1, "bcd"),
        ("d", 9, 9, 0, "abcd"),
        ("b", 0, 0, 1, "b"),
        ("x", 1, 1, -1, ""),
    ],
)
async def test_around(ranks: Ranks, place: str, before: int, after: int, first: int, found: str) -> None:
    await built(ranks, *((letter, 1, index) for index, letter in enumerate("abcd")))
    page = await ranks.around("b.1", place, before, after)
    assert page is not None
    assert (page.size, page.first, "".join(ids(page))) == (4, first, found)


async def test_pending_changes_are_seen_by_their_maker_alone(ranks: Ranks) -> None:
    await built(ranks, ("ada", 9, 10), ("bob", 8, 20), ("cyd", 7, 30))
    before = await ranks.page("b.1", 0, 9)
    pending = [Change("cyd", 1, 5), Change("ada", 1, None), Change("new", 1, 15), Change("bob", 9, 0)]
    assert ids(await ranks.page("b.1", 0, 9, pending=pending)) == ["cyd", "new", "bob"]
    around = await ranks.around("b.1", "new", 1, 1, pending=pending)
    assert around is not None
    assert (around.size, around.first, ids(around)) == (3, 0, ["cyd", "new", "bob"])
    assert await ranks.page("b.1", 0, 9) == before
    await ranks.change("b.1", [Change("ada", 8, 11), Change("new", 9, 1)])  # nothing was remembered
    assert ids(await ranks.page("b.1", 0, 9)) == ["new", "ada", "bob", "cyd"]


async def test_a_removed_place_stays_removed_after_pending_changes(ranks: Ranks) -> None:
    await built(ranks, ("ada", 9, 10))
    await ranks.change("b.1", [Change("ada", 5, None)])
    assert ids(await ranks.page("b.1", 0, 9, pending=[Change("ada", 4, 1)])) == ["ada"]
    await ranks.change("b.1", [Change("ada", 6, 1)])
    assert ids(await ranks.page("b.1", 0, 9)) == []


async def test_a_repair_happens_only_to_what_was_seen(ranks: Ranks) -> None:
    await built(ranks, ("ada", 7, 10), ("bob", 2, 20))
    await ranks.repair("b.1", "ada", 6, Place("ada", 3, 30))
    await ranks.repair("b.1", "new", 1, Place("new", 1, 1))
    assert ids(await ranks.page("b.1", 0, 9)) == ["ada", "bob"]
    await ranks.repair("b.1", "ada", 7, Place("ada", 9, 30))  # also back to an earlier change
    await ranks.repair("b.1", "new", None, Place("new", 1, 1))
    await ranks.repair("b.1", "bob", 2, None)
    assert await ranks.page("b.1", 0, 9) == Page(2, 0, [Place("new", 1, 1), Place("ada", 9, 30)])
    await ranks.change("b.1", [Change("bob", 4, None)])
    await ranks.repair("b.1", "bob", None, Place("bob", 3, 3))
    assert ids(await ranks.page("b.1", 0, 9)) == ["new", "bob", "ada"]


async def test_lists_do_not_know_each_other(ranks: Ranks) -> None:
    await built(ranks, ("ada", 1, 1))
    await built(ranks, ("bob", 1, 1), name="b.2")
    await ranks.forget("b.1")
    assert await ranks.page("b.1", 0, 9) is None
    assert ids(await ranks.page("b.2", 0, 9)) == ["bob"]
    await built(ranks)
    assert ids(await ranks.page("b.1", 0, 9)) == []


async def test_many_changes_equal_a_sorted_list(ranks: Ranks) -> None:
    chance = random.Random(7)
    truth: dict[str, Place] = {}
    await built(ranks)
    for seq in range(700, 0, -1):
        name = f"p{chance.randrange(60)}"
        key = None if chance.random() < 0.2 else chance.randrange(-20, 20)
        await ranks.change("b.1", [Change(name, seq, key)])
        if key is None:
            truth.pop(name, None)
        else:
            truth[name] = Place(name, seq, key)
    in_order = sorted(truth.values(), key=lambda place: (place.key, place.seq, place.id))
    assert await ranks.page("b.1", 0, 99) == Page(len(in_order), 0, in_order)
    for index, place in enumerate(in_order):
        around = await ranks.around("b.1", place.id, 2, 2)
        assert around is not None
        assert around.places == in_order[max(0, index - 2) : index + 3]


async def test_more_changes_at_once_than_a_script_takes(ranks: Ranks) -> None:
    await built(ranks, *((f"p{i:05}", 1, i) for i in range(1201)))
    page = await ranks.page("b.1", 1200, 1300)
    assert page is not None
    assert (page.size, ids(page)) == (1201, ["p01200"])


async def test_a_builder_that_is_gone_is_replaced(redis_url: str) -> None:
    client = await connect(redis_url)
    await client.flushall()
    ranks = RedisRanks(Coalescer(client))
    assert await ranks.begin("b.1", "dead", 60)
    await client.delete("ranks:{b.1}:builder")  # as time does
    assert await ranks.begin("b.1", "next", 60)
    assert not await ranks.extend("b.1", "dead", 60)
    assert await ranks.finish("b.1", "next")
    await client.aclose()


@pytest.mark.parametrize("lost", ["set", "hash"])
async def test_half_a_list_is_no_list(redis_url: str, lost: str) -> None:
    client = await connect(redis_url)
    await client.flushall()
    ranks = RedisRanks(Coalescer(client))
    await built(ranks, ("ada", 1, 1))
    await client.delete(f"ranks:{{b.1}}:{lost}")
    assert await ranks.page("b.1", 0, 9) is None
    await built(ranks, ("bob", 1, 1))
    assert ids(await ranks.page("b.1", 0, 9)) == ["bob"]
    await client.aclose()


async def test_identity_stays_while_the_server_runs(redis_url: str) -> None:
    client = await connect(redis_url)
    ranks = RedisRanks(Coalescer(client))
    identity = await ranks.identity()
    assert identity
    assert await ranks.identity() == identity
    await client.aclose()


async def test_without_redis_everything_says_so(tmp_path: Path) -> None:
    client = await connect(f"unix://{tmp_path}/nobody.sock")
    ranks = RedisRanks(Coalescer(client))
    with pytest.raises(RanksAway):
        await ranks.page("b.1", 0, 9)
    with pytest.raises(RanksAway):
        await ranks.identity()
    await client.aclose()
