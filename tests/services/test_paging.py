"""Pages: contexts in all their forms, and walks through pages that meet every row once."""

import base64
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gameserver.documents import paging
from gameserver.documents.paging import (
    InvalidContext,
    Page,
    UnreadableContext,
    context_text,
    read_context,
    read_page,
)
from gameserver.services.global_entity import storage
from gameserver.storage import Transaction
from gameserver.storage.sqlite import SqliteDatabase
from gameserver.wire import json as wire_json
from tests.conftest import Game

APP = "an app of these tests"


# Contexts


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_context_is_unpadded_base64url_of_json() -> None:
    text = context_text(Page(search={"a": "ÿ?>~"}, sort={"b": -1}, rows=7, number=3))
    assert not set(text) & set("+/=")
    assert json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) == {
        "searchCriteria": {"a": "ÿ?>~"},
        "sortCriteria": {"b": -1},
        "pagination": {"rowsPerPage": 7, "pageNumber": 3, "doCount": True},
        "options": None,
    }


@pytest.mark.parametrize("form", ["object", "text", "base64url", "padded", "base64"])
def test_a_context_is_read_in_every_form(form: str) -> None:
    parts = {
        "searchCriteria": {"a": "ÿ?>~"},
        "sortCriteria": {"b": -1},
        "pagination": {"rowsPerPage": 7, "pageNumber": 3, "doCount": False},
        "options": {"x": 1},
    }
    forms = {
        "object": parts,
        "text": f" {json.dumps(parts)}",
        "base64url": encoded(parts),
        "padded": base64.urlsafe_b64encode(json.dumps(parts).encode()).decode(),
        "base64": base64.b64encode(json.dumps(parts).encode()).decode(),
    }
    assert read_context(forms[form]) == Page(
        search={"a": "ÿ?>~"}, sort={"b": -1}, options={"x": 1}, rows=7, number=3, do_count=False
    )


@pytest.mark.parametrize("context", [None, {}, "e30", {"pagination": None}, {"pagination": {}}, {"other": 1}])
def test_what_a_context_does_not_say_has_defaults(context: Any) -> None:
    assert read_context(context) == Page(rows=50, number=1, do_count=True)


@pytest.mark.parametrize(
    ("pagination", "rows", "number"),
    [
        ({"rowsPerPage": 500}, 500, 1),
        ({"rowsPerPage": 501}, 500, 1),
        ({"rowsPerPage": 2**53}, 500, 1),
        ({"rowsPerPage": "20", "pageNumber": "4"}, 20, 4),
        ({"rowsPerPage": 20.0, "pageNumber": 4.0}, 20, 4),
        ({"pageNumber": 0}, 50, 1),
        ({"pageNumber": -5}, 50, 1),
        ({"pageNumber": None, "rowsPerPage": None}, 50, 1),
    ],
)
def test_numbers_of_a_context(pagination: Any, rows: int, number: int) -> None:
    page = read_context({"pagination": pagination})
    assert (page.rows, page.number) == (rows, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "no context",
        "e30=e30",
        "ÿ",
        encoded([1]),
        encoded("a"),
        encoded(None),
        "{",
        '{"a":1',
        "[]",
        "e" * 70000,
        base64.urlsafe_b64encode(b'{"a": 1' + b"\xff}").decode(),
        encoded({"a": "\x00"}),
        base64.urlsafe_b64encode(b'{"a":' * 40 + b"1" + b"}" * 40).decode(),
    ],
)
def test_text_that_is_no_context(text: str) -> None:
    with pytest.raises(UnreadableContext):
        read_context(text)


@pytest.mark.parametrize(
    "pagination",
    [
        [],
        5,
        "x",
        {"rowsPerPage": 0},
        {"rowsPerPage": -1},
        {"rowsPerPage": 1.5},
        {"pageNumber": True},
        {"pageNumber": "one"},
        {"pageNumber": "²"},
        {"pageNumber": 2**53 + 1},
        {"pageNumber": [1]},
    ],
)
def test_a_context_with_wrong_parts(pagination: Any) -> None:
    with pytest.raises(InvalidContext):
        read_context({"pagination": pagination})


@pytest.mark.parametrize(
    ("position", "counted"),
    [
        (None, -1),
        ([], "5"),
        ({}, None),
        ({"first": 1, "last": 1}, 2**60),
        ({"first": [], "last": []}, True),
        ({"first": ["x", 1], "last": [None, None]}, 1.5),
        ({"first": [1, {}], "last": [1, 2]}, 5),
        ({"first": [10**30, "a"], "last": [2**63, "a"]}, 5),
        ({"first": [1.5, "a"], "last": [True, "a"]}, 5),
    ],
)
async def test_a_position_that_makes_no_sense_is_not_used(
    tx: Transaction, position: Any, counted: Any
) -> None:
    context = {
        "sortCriteria": {"createdAt": 1},
        "pagination": {"rowsPerPage": 5, "pageNumber": 1},
        "position": position,
        "resultCount": counted,
    }
    found = await read(tx, read_context(context, 1))
    assert numbers(found) == ORDERED[5:10]


# Walks

COUNT = 57
AGES = [number // 4 for number in range(COUNT)]  # many share an age, so the unique column has to decide
ORDERED = list(range(COUNT))


@pytest.fixture
async def tx(game: Game) -> AsyncIterator[Transaction]:
    """A transaction that sees `COUNT` entities; entity `n` is the n-th in the default order."""
    database = game.core.database
    async with database.write() as writing:
        await storage.KEPT.remove(writing, APP, "walker")
        for number in random.Random(5).sample(ORDERED, COUNT):
            await writing.one(
                storage.CREATE,
                entity_id=f"walk-{number:03}",
                app_id=APP,
                owner_id="walker",
                entity_type=f"t{number % 3}",
                indexed_id=None if number % 2 else "i",
                acl_other=1,
                data=f'{{"n":{number}}}',
                life_ms=-1,
                expires_ms=2**63 - 1,
                now_ms=1_000 + AGES[number],
            )
    async with database.read() as reading:
        yield reading


async def read(tx: Transaction, page: Page) -> paging.Found:
    scope = storage.entities.c.app_id == APP
    return await read_page(tx, page, storage.COLUMNS, scope, storage.FIELDS)


def numbers(found: paging.Found) -> list[int]:
    return [int(row["entity_id"].removeprefix("walk-")) for row in found.rows]


SORTS: list[tuple[dict[str, int], list[int]]] = [
    ({}, ORDERED),
    ({"createdAt": -1}, ORDERED[::-1]),
    ({"entityId": -1}, ORDERED[::-1]),
    ({"createdAt": -1, "entityId": 1}, sorted(ORDERED, key=lambda n: (-AGES[n], n))),
    ({"entityType": 1, "createdAt": -1}, sorted(ORDERED, key=lambda n: (n % 3, -AGES[n], -n))),
    ({"entityIndexedId": 1}, sorted(ORDERED, key=lambda n: (1 - n % 2, n))),
    ({"data.n": -1}, ORDERED[::-1]),
]


@pytest.mark.parametrize(("sort", "wanted"), SORTS)
async def test_a_walk_meets_every_row_once(tx: Transaction, sort: dict[str, int], wanted: list[int]) -> None:
    found = await read(tx, read_context({"sortCriteria": sort, "pagination": {"rowsPerPage": 10}}))
    seen = numbers(found)
    while found.more_after:
        assert found.page.count == COUNT
        found = await read(tx, read_context(found.context, 1))
        seen += numbers(found)
    assert seen == wanted
    assert found.page.number == 6


@pytest.mark.parametrize(("sort", "wanted"), SORTS)
async def test_jumps_arrive_where_counting_would(
    tx: Transaction, sort: dict[str, int], wanted: list[int]
) -> None:
    chance = random.Random(7)
    found = await read(tx, read_context({"sortCriteria": sort, "pagination": {"rowsPerPage": 4}}))
    number = 1
    for _ in range(40):
        offset = chance.randint(-6, 6)
        number = max(1, number + offset)
        found = await read(tx, read_context(found.context, offset))
        start = (number - 1) * 4
        assert numbers(found) == wanted[start : start + 4]
        assert (found.page.number, found.more_after) == (number, start + 4 < COUNT)
        results = found.results([])
        assert (results.page, results.count, results.more_before) == (number, COUNT, number > 1)


async def test_a_page_behind_the_end_is_empty(tx: Transaction) -> None:
    for number in (7, 10**6, 2**53):
        context = {"pagination": {"rowsPerPage": 10, "pageNumber": number}}
        found = await read(tx, read_context(context))
        assert (found.rows, found.more_after, found.page.count) == ([], False, COUNT)
        assert found.results([]).more_before
    assert numbers(await read(tx, read_context(found.context, -(2**53)))) == ORDERED[:10]


async def test_without_a_count_there_is_none(tx: Transaction) -> None:
    context = {"pagination": {"rowsPerPage": 10, "doCount": False}}
    found = await read(tx, read_context(context))
    assert "count" not in json.loads(wire_json.encode(found.results([])))
    assert found.more_after
    assert (await read(tx, read_context(found.context, 1))).page.count is None


async def test_a_count_stops_at_its_limit(tx: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "COUNT_MAX", 30)
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 10}}))
    assert (found.page.count, told(found)) == (30, False)
    found = await read(tx, read_context(found.context, 1))
    assert (found.page.count, told(found)) == (30, False)
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 10, "pageNumber": 5}}))
    assert (found.page.count, told(found)) == (51, False)  # what the page itself proves
    found = await read(tx, read_context(found.context, 2))
    assert (found.rows, found.page.count, told(found)) == ([], 51, False)
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 10, "pageNumber": 6}}))
    assert (found.page.count, told(found)) == (COUNT, None)
    monkeypatch.setattr(paging, "COUNT_MAX", COUNT)
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 10}}))
    assert (found.page.count, told(found)) == (COUNT, None)


def told(found: paging.Found) -> bool | None:
    """What the answer says of its count; nothing when it is exact."""
    exact: bool | None = json.loads(wire_json.encode(found.results([]))).get("countIsExact")
    return exact


@pytest.mark.parametrize("sort", [{"expiresAt": -1}, {"expiresAt": 1}])
async def test_times_that_no_context_can_hold_are_counted_through(
    tx: Transaction, sort: dict[str, int]
) -> None:
    found = await read(tx, read_context({"sortCriteria": sort, "pagination": {"rowsPerPage": 10}}))
    found = await read(tx, read_context(found.context, 1))
    assert len(found.rows) == 10
    assert numbers(found) == (ORDERED[10:20] if sort["expiresAt"] > 0 else ORDERED[::-1][10:20])


async def test_a_page_is_refused_whose_context_would_be(tx: Transaction) -> None:
    found = await read(tx, read_context({"searchCriteria": {"entityType": {"$in": ["x" * 500] * 99}}}))
    with pytest.raises(InvalidContext):
        _ = found.context
    found = await read(tx, read_context({"searchCriteria": {"entityType": {"$in": ["x" * 480] * 99}}}))
    assert read_context(found.context, 1).number == 2


async def test_the_last_page_number_can_be_handed_back(tx: Transaction) -> None:
    found = await read(tx, read_context({"pagination": {"pageNumber": 2**53}}, 2**53))
    assert (found.rows, found.page.number) == ([], 2**53)
    assert read_context(found.context, -(2**53)).number == 1


async def test_the_next_page_follows_the_last_row_even_when_rows_before_it_are_gone(
    game: Game, tx: Transaction
) -> None:
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 5}}))
    async with game.core.database.write() as writing:
        for number in range(3):
            await writing.run(
                storage.DELETE,
                entity=f"walk-{number:03}",
                app=APP,
                player="walker",
                authority=0,
                version=-1,
                now_ms=0,
            )
    assert numbers(await read(tx, read_context(found.context, 1))) == ORDERED[5:10]


async def test_a_page_is_read_by_one_statement_and_counted_by_another_once(
    game: Game, tx: Transaction
) -> None:
    seen = game.statements()
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 10}}))
    assert seen == ["all", "one"]
    seen.clear()
    await read(tx, read_context(found.context, 1))
    assert seen == ["all"]
    seen.clear()
    await read(tx, read_context({"pagination": {"rowsPerPage": 100}}))
    assert seen == ["all"]


async def test_pages_in_an_order_of_columns_are_found_by_index(game: Game, tx: Transaction) -> None:
    """No page of a declared order sorts the rows, and its neighbours start at a place in the index."""
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    found = await read(tx, read_context({"pagination": {"rowsPerPage": 5, "pageNumber": 3}}))
    database = game.core.database
    assert isinstance(database, SqliteDatabase)
    connection = database.reader
    for offset in (1, -1):
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        await read(tx, read_context(found.context, offset))
        connection.set_trace_callback(None)
        steps = connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}").fetchall()
        plan = " ".join(step["detail"] for step in steps)
        assert "global_entities_by_age (app_id=? AND (created_ms,entity_id)" in plan
        assert "TEMP B-TREE" not in plan
