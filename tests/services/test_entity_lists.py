"""Lists and pages of entities."""

import base64
import json
import re
from typing import Any

import pytest

from tests.conftest import Client, Game
from tests.services.entities import HEAD, SERVICE, get, make, numbered, pair

# Lists


async def numbers(player: Client, **request: Any) -> list[int]:
    answer = await player.call(SERVICE, "GET_LIST", **request)
    assert answer["entityListCount"] == len(answer["entityList"])
    return [item["data"]["number"] for item in answer["entityList"]]


async def test_a_list_shows_what_matches_in_the_order_asked_for(game: Game) -> None:
    player, other = await pair(game)
    made = await numbered(game, player, 4)
    await make(other, "thing", acl={"other": 2}, number=2)
    await make(player, "other", number=2)
    where = {"entityType": "thing", "data.number": {"$gte": 1}}
    assert await numbers(player, where=where) == [1, 2, 3]
    assert await numbers(player, where=where, orderBy={"data.number": -1}, maxReturn=2) == [3, 2]
    assert await numbers(player, where=json.dumps(where), orderBy="", maxReturn=1000) == [1, 2, 3]
    assert await numbers(player, where={"entityId": made[2]}) == [2]
    assert await numbers(player, where={"createdAt": {"$lt": game.clock.ms() - 3}}) == [0]
    count = await player.call(SERVICE, "GET_LIST_COUNT", where=where)
    assert count == {"entityListCount": 3}


async def test_a_listed_entity_names_its_owner(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, street="x")
    answer = await player.call(SERVICE, "GET_LIST", where={}, orderBy={}, maxReturn=50)
    assert answer["_serverTime"] == game.clock.ms()
    read = await get(player, entity_id)
    del read["_serverTime"]
    assert answer["entityList"] == [read | {"gameId": player.app_id, "ownerId": player.profile_id}]


async def test_a_clause_may_ask_for_all_that_a_listed_entity_shows(game: Game) -> None:
    player, other = await pair(game)
    await numbered(game, player, 2)
    await make(player, "shown", acl={"other": 1}, number=7)
    await make(other, "shown", acl={"other": 1}, number=8)
    me = {"ownerId": player.profile_id, "gameId": player.app_id}
    assert await numbers(player, where=me | {"acl.other": 0}) == [0, 1]
    assert await numbers(player, where={"acl.other": {"$gte": 1}}, orderBy={"acl.other": -1}) == [7]
    assert await numbers(player, where={"ownerId": other.profile_id}) == []
    shared = {"targetPlayerId": other.profile_id, "where": {"ownerId": other.profile_id, "acl.other": 1}}
    answer = await player.call(SERVICE, "READ_SHARED_ENTITIES_LIST", **shared)
    assert [item["data"]["number"] for item in answer["entities"]] == [8]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("GET_LIST", {"where": {}}),
        ("READ_BY_TYPE", {"entityType": "thing"}),
        ("READ_SHARED", {"targetPlayerId": "$me"}),
        ("READ_SHARED_ENTITIES_LIST", {"targetPlayerId": "$me", "where": {}}),
        ("GET_PAGE", {"context": {}}),
        ("GET_PAGE_BY_OFFSET", {"context": {}}),
    ],
)
async def test_lists_hold_as_much_data_as_an_answer_may(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, request_: dict[str, Any]
) -> None:
    player = await game.player()
    request_ = {key: player.profile_id if value == "$me" else value for key, value in request_.items()}
    for _ in range(2):
        await make(player, "thing", x="x" * 100)
    monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 500)
    entries = await player.packet(*((SERVICE, operation, request_),) * 3, (SERVICE, "GET_LIST_COUNT", {}))
    assert [entry["status"] for entry in entries] == [200, 200, 400, 200]
    assert entries[2]["reason_code"] == 40600


@pytest.mark.parametrize("empty", [{}, {"where": None}, {"where": ""}, {"where": {}}])
async def test_without_a_clause_everything_matches(game: Game, empty: dict[str, Any]) -> None:
    player = await game.player()
    await numbered(game, player, 2)
    assert await numbers(player, **empty) == [0, 1]
    assert (await player.call(SERVICE, "GET_LIST_COUNT", **empty))["entityListCount"] == 2


def deep_clause(levels: int) -> dict[str, Any]:
    clause: dict[str, Any] = {"data.n": 1}
    for _ in range(levels):
        clause = {"$and": [clause]}
    return clause


BAD_CLAUSES = [
    ({"data.n": {"$where": "sleep(1)"}}, 40349),
    ({"$expr": {"data.n": 1}}, 40349),
    ({"$or": {"data.n": 1}}, 40349),
    (deep_clause(9), 40349),
    ({"$and": [{f"data.n{number}": number} for number in range(65)]}, 40349),
    ({"data.n": {"$in": list(range(501))}}, 40349),
    ({"data.n": {"$regex": "(a+)+$"}}, 40349),
    ("{not json", 40349),
    ("[1]", 40349),
    ({"data.$n": 1}, 40347),
]


@pytest.mark.parametrize(("clause", "reason"), BAD_CLAUSES)
@pytest.mark.parametrize(
    "operation",
    ["GET_LIST", "GET_LIST_COUNT", "READ_SHARED_ENTITIES_LIST", "GET_PAGE", "GET_PAGE_BY_OFFSET"],
)
async def test_clauses_that_are_none_or_too_costly_are_refused(
    game: Game, operation: str, clause: Any, reason: int
) -> None:
    player = await game.player()
    request: dict[str, Any] = {"where": clause, "targetPlayerId": player.profile_id}
    if "PAGE" in operation:
        request = {"context": {"searchCriteria": clause}, "pageOffset": 1}
    refusal = await player.refused(SERVICE, operation, **request)
    assert (refusal.status, refusal.reason_code) == (400, reason), refusal.message


@pytest.mark.parametrize("order", [{"data.n": "up"}, {"createdAt": 2}, "{", [1]])
async def test_orders_that_are_none_are_refused(game: Game, order: Any) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "GET_LIST", where={}, orderBy=order)
    assert refusal.reason_code == (40359 if isinstance(order, list) else 40349)


@pytest.mark.parametrize(
    "clause",
    [
        {"ownerId": {"$ne": ""}},
        {"$or": [{"ownerId": {"$exists": False}}, {"acl.other": {"$gte": 0}}, {"entityType": {"$ne": ""}}]},
        {"app_id": "10001"},
        {"data') OR 1=1 --": 1},
        {"entityType": "x' OR '1'='1"},
        {"$nor": [{"entityType": "nothing"}]},
    ],
)
async def test_no_clause_reaches_the_entities_of_others(game: Game, clause: dict[str, Any]) -> None:
    player, other = await pair(game)
    await make(other, "thing", acl={"other": 2}, n=1)
    assert (await player.call(SERVICE, "GET_LIST", where=clause))["entityList"] == []
    page = await player.call(SERVICE, "GET_PAGE", context={"searchCriteria": clause})
    assert (page["results"]["items"], page["results"]["count"]) == ([], 0)
    shared = await other.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetPlayerId=player.profile_id, where=clause
    )
    assert shared["entities"] == []


# Pages


def page_of(answer: dict[str, Any]) -> tuple[list[int], int, bool, bool]:
    results = answer["results"]
    return (
        [item["data"]["number"] for item in results["items"]],
        results["page"],
        results["moreBefore"],
        results["moreAfter"],
    )


def decoded(context: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(context + "=" * (-len(context) % 4)))
    return found


def encoded(context: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(context).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "sort", [{"createdAt": 1}, {"createdAt": 1, "updatedAt": -1}, {"data.number": 1}, None]
)
async def test_pages_go_forth_and_back(game: Game, sort: Any) -> None:
    player = await game.player()
    await numbered(game, player, 5)
    context = {
        "pagination": {"rowsPerPage": 2, "pageNumber": 1},
        "searchCriteria": {"entityType": "thing"},
        "sortCriteria": sort,
    }
    first = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page_of(first) == ([0, 1], 1, False, True)
    assert first["results"]["count"] == 5
    assert set(first["results"]["items"][0]) == HEAD | {"data"}
    assert first["_serverTime"] == game.clock.ms()
    assert re.fullmatch(r"[A-Za-z0-9_-]+", first["context"])

    async def turn(answer: dict[str, Any], offset: int) -> dict[str, Any]:
        found: dict[str, Any] = await player.call(
            SERVICE, "GET_PAGE_BY_OFFSET", context=answer["context"], pageOffset=offset
        )
        return found

    second = await turn(first, 1)
    assert page_of(second) == ([2, 3], 2, True, True)
    third = await turn(second, 1)
    assert page_of(third) == ([4], 3, True, False)
    assert third["results"]["count"] == 5
    assert page_of(await turn(first, 2)) == page_of(third)
    assert page_of(await turn(third, -1)) == page_of(second)
    assert page_of(await turn(third, -2)) == page_of(first)
    assert (await turn(third, 3))["results"]["items"] == []


@pytest.mark.parametrize(
    "context",
    [None, {}, "{}", {"pagination": None}, {"pagination": {"pageNumber": None}, "searchCriteria": None}],
)
async def test_a_context_that_says_little_gets_defaults(game: Game, context: Any) -> None:
    player = await game.player()
    await numbered(game, player, 3)
    answer = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page_of(answer) == ([0, 1, 2], 1, False, False)
    assert decoded(answer["context"])["pagination"] == {"rowsPerPage": 50, "pageNumber": 1, "doCount": True}


async def test_a_page_without_a_count_does_not_count(game: Game) -> None:
    player = await game.player()
    await numbered(game, player, 3)
    context = {"pagination": {"rowsPerPage": 2, "pageNumber": 1, "doCount": False}}
    answer = await player.call(SERVICE, "GET_PAGE", context=context)
    assert "count" not in answer["results"]
    assert answer["results"]["moreAfter"] is True


@pytest.mark.parametrize("operation", ["GET_PAGE", "GET_PAGE_BY_OFFSET"])
@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ("no context", 40383),
        ("", 40383),
        ("AAAA", 40383),
        (encoded([1]), 40383),
        (encoded("text"), 40383),
        (base64.urlsafe_b64encode(b'{"a":"\xff"}').decode(), 40383),
        (encoded({"searchCriteria": {"n": 2**70}}), 40383),
        ({"pagination": 7}, 40384),
        ({"pagination": {"rowsPerPage": 0}}, 40384),
        ({"pagination": {"rowsPerPage": "many"}}, 40384),
        ({"pagination": {"pageNumber": 1.5}}, 40384),
        ({"searchCriteria": 7}, 40349),
        ({"sortCriteria": {"createdAt": "up"}}, 40349),
    ],
)
async def test_what_is_no_context_is_refused(game: Game, operation: str, context: Any, reason: int) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, operation, context=context, pageOffset=1)
    assert (refusal.status, refusal.reason_code) == (400, reason), refusal.message


async def test_a_context_made_elsewhere_shows_the_callers_own(game: Game) -> None:
    player, other = await pair(game)
    await numbered(game, player, 2)
    await make(other, "thing", acl={"other": 2}, number=77)
    theirs = await other.call(SERVICE, "GET_PAGE", context={"searchCriteria": {"entityType": "thing"}})
    answer = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=theirs["context"], pageOffset=0)
    assert page_of(answer) == ([0, 1], 1, False, False)


async def test_a_context_of_another_player_tells_neither_places_nor_counts(game: Game) -> None:
    player, other = await pair(game)
    await numbered(game, player, 5)
    await numbered(game, other, 30)  # all of them behind the player's own
    context = {"pagination": {"rowsPerPage": 2}, "searchCriteria": {"data.number": {"$gte": 0}}}
    theirs = await other.call(SERVICE, "GET_PAGE", context=context)
    answer = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=theirs["context"], pageOffset=1)
    assert page_of(answer) == ([2, 3], 2, True, True)
    assert answer["results"]["count"] == 5


async def test_a_context_of_the_reference_finds_the_callers_own(game: Game) -> None:
    """It holds what the reference itself adds to the search."""
    player, other = await pair(game)
    await numbered(game, player, 2)
    await make(other, "thing", acl={"other": 2}, number=77)
    search = {
        "entityType": "thing",
        "gameId": player.app_id,
        "$or": [{"ownerId": player.profile_id}, {"acl.other": {"$ne": 0}}],
    }
    context = {
        "searchCriteria": search,
        "sortCriteria": {"createdAt": 1, "updatedAt": -1},
        "pagination": {"rowsPerPage": 50, "pageNumber": 1, "doCount": True, "skipRecount": False},
        "options": None,
        "resultCount": 3171,
    }
    answer = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=encoded(context), pageOffset=0)
    assert page_of(answer) == ([0, 1], 1, False, False)
    assert answer["results"]["count"] == 2
    assert decoded(answer["context"])["pagination"] == context["pagination"]


@pytest.mark.parametrize(
    ("skip", "counts"), [({}, [3, 3]), ({"skipRecount": True}, [3, 3]), ({"skipRecount": False}, [3, 4])]
)
async def test_pages_count_anew_as_the_context_says(
    game: Game, skip: dict[str, bool], counts: list[int]
) -> None:
    player = await game.player()
    await numbered(game, player, 3)
    first = await player.call(SERVICE, "GET_PAGE", context={"pagination": {"rowsPerPage": 1, **skip}})
    await numbered(game, player, 1)
    second = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=first["context"], pageOffset=1)
    assert [first["results"]["count"], second["results"]["count"]] == counts


@pytest.mark.parametrize(
    "change",
    [
        {"searchCriteria": {"$or": [{"ownerId": "$other"}, {"acl.other": {"$ne": 0}}]}},
        {"searchCriteria": {"ownerId": "$other"}},
        {"pagination": {"rowsPerPage": 2**53, "pageNumber": None}, "options": {"owner": "$other"}},
        {"pagination": {"rowsPerPage": 1, "pageNumber": 2**53}},
        {"pagination": {"rowsPerPage": 1, "pageNumber": -5}},
        {"position": {"first": ["x"], "last": [None, {}]}},
        {"position": {"first": [0, ""], "last": [0, ""]}},
        {"position": 7, "resultCount": "many"},
    ],
)
@pytest.mark.parametrize("offset", [0, 1, -1, 2**53, -(2**53)])
async def test_a_tampered_context_reaches_nothing_new(
    game: Game, change: dict[str, Any], offset: int
) -> None:
    player, other = await pair(game)
    own = set(await numbered(game, player, 2))
    await make(other, "thing", acl={"other": 2}, number=77)
    first = await player.call(SERVICE, "GET_PAGE", context={"pagination": {"rowsPerPage": 1}})
    text = json.dumps(decoded(first["context"]) | change).replace("$other", other.profile_id)
    answer = await player.call(
        SERVICE, "GET_PAGE_BY_OFFSET", context=encoded(json.loads(text)), pageOffset=offset
    )
    assert {item["entityId"] for item in answer["results"]["items"]} <= own
    assert answer["results"]["page"] >= 1
