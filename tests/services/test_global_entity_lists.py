"""Lists and pages of global entities."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.services.global_entity import storage
from tests.conftest import APP_TOML, Client, Game
from tests.services.global_entities import HEAD, SERVICE, apps_folder, create, create_system, ids

__all__ = ["apps_folder"]  # fixtures


def decoded(context: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(context + "=" * (-len(context) % 4)))


# Lists


async def test_lists_show_what_the_caller_may_read(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    kind = game.unique("kind")
    own = await create(ada, entityType=kind, acl=None)
    game.clock.advance(1)
    shown = await create(bob, entityType=kind)
    game.clock.advance(1)
    await create(bob, entityType=kind, acl=None)
    system = await create_system(game, entityType=kind)
    await create_system(game, entityType=kind, acl=None)
    wanted = [own["entityId"], shown["entityId"], system["entityId"]]
    answer = await ada.call(SERVICE, "GET_LIST", where={"entityType": kind}, orderBy={}, maxReturn=50)
    assert ids(answer) == wanted
    assert (answer["entityListCount"], answer["_serverTime"]) == (3, game.clock.ms())
    assert set(answer["entityList"][0]) == HEAD | {"data"}
    by_server = await game.server.call(SERVICE, "GET_LIST", where={"entityType": kind})
    assert ids(by_server) == wanted[1:]
    of_ada = await game.server.call(SERVICE, "GET_LIST", ada.profile_id, where={"entityType": kind})
    assert ids(of_ada) == wanted


@pytest.fixture
async def cards(game: Game) -> tuple[Client, str]:
    """Five entities of a player, with `data.n` from 0 to 4."""
    player, kind = await game.player(), game.unique("card")
    for number in range(5):
        await create(player, entityType=kind, data={"n": number, "team": "Red" if number % 2 else "Blue"})
        game.clock.advance(1)
    return player, kind


async def test_lists_are_searched_sorted_and_cut(game: Game, cards: tuple[Client, str]) -> None:
    player, kind = cards
    where = {"entityType": kind, "data.n": {"$gte": 1}, "ownerId": player.profile_id}
    asked = {"where": where, "orderBy": {"data.n": -1}, "maxReturn": 2}
    answer = await player.call(SERVICE, "GET_LIST", **asked)
    assert [item["data"]["n"] for item in answer["entityList"]] == [4, 3]
    hinted = await player.call(SERVICE, "GET_LIST_WITH_HINT", **asked, hintJson={"data.n": 1})
    assert hinted == answer
    assert (await player.call(SERVICE, "GET_LIST", **asked | {"maxReturn": 10**6}))["entityListCount"] == 4
    as_text = {"where": json.dumps(where), "orderBy": '{"data.n":-1}', "maxReturn": 2}
    assert await player.call(SERVICE, "GET_LIST", **as_text) == answer


async def test_counts(game: Game, cards: tuple[Client, str]) -> None:
    player, kind = cards
    asked = {"where": {"entityType": kind, "data.team": "Red"}}
    assert await player.call(SERVICE, "GET_LIST_COUNT", **asked) == {"entityListCount": 2}
    hinted = await player.call(SERVICE, "GET_LIST_COUNT_WITH_HINT", **asked, hintJson={"data.team": 1})
    assert hinted == {"entityListCount": 2}


@pytest.mark.parametrize(
    "operation", ["GET_RANDOM_ENTITIES_MATCHING", "GET_RANDOM_ENTITIES_MATCHING_WITH_HINT"]
)
async def test_chance_chooses_each_but_none_twice(
    game: Game, cards: tuple[Client, str], operation: str
) -> None:
    player, kind = cards
    chosen = set()
    for _ in range(60):  # one of five is never chosen in 60 pairs with a chance of 1 to 10^13
        answer = await player.call(SERVICE, operation, where={"entityType": kind}, maxReturn=2)
        found = ids(answer)
        assert answer["entityListCount"] == len(set(found)) == 2
        chosen |= set(found)
    assert len(chosen) == 5


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("GET_LIST", {"where": {"entityType": "$kind"}}),
        ("GET_LIST_WITH_HINT", {"where": {"entityType": "$kind"}}),
        ("GET_LIST_BY_INDEXED_ID", {"entityIndexedId": "$kind"}),
        ("GET_RANDOM_ENTITIES_MATCHING", {"where": {"entityType": "$kind"}}),
        ("GET_RANDOM_ENTITIES_MATCHING_WITH_HINT", {"where": {"entityType": "$kind"}}),
        ("GET_SYSTEM_ENTITY_LIST", {"where": {"entityType": "$kind"}}),
        ("GET_SYSTEM_ENTITY_LIST_WITH_HINT", {"where": {"entityType": "$kind"}}),
        ("GET_PAGE", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
        ("GET_PAGE_BY_OFFSET", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
        ("GET_SYSTEM_ENTITY_PAGE", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
        ("GET_SYSTEM_ENTITY_PAGE_BY_OFFSET", {"context": {"searchCriteria": {"entityType": "$kind"}}}),
    ],
)
async def test_lists_hold_as_much_data_as_an_answer_may(
    game: Game, monkeypatch: pytest.MonkeyPatch, operation: str, asked: dict[str, Any]
) -> None:
    kind = game.unique("kind")
    asked = json.loads(json.dumps(asked).replace("$kind", kind))
    for _ in range(2):
        await game.server.call(
            SERVICE,
            "CREATE_SYSTEM_ENTITY_WITH_INDEXED_ID",
            entityType=kind,
            entityIndexedId=kind,
            acl={"other": 1},
            data={"x": "x" * 100},
        )
    await game.server.call(SERVICE, operation, **asked)
    monkeypatch.setattr("gameserver.rpc.context.ANSWER_MAX", 200)
    refusal = await game.server.refused(SERVICE, operation, **asked)
    assert (refusal.status, refusal.reason_code) == (400, 40600)


async def test_system_lists(game: Game) -> None:
    player, kind = await game.player(), game.unique("kind")
    await create(player, entityType=kind)
    hidden = await create_system(game, entityType=kind, acl=None, data={"n": 2})
    shown = await create_system(game, entityType=kind, data={"n": 1})
    asked: dict[str, Any] = {"where": {"entityType": kind}}
    sorted_: dict[str, Any] = {**asked, "orderBy": {"data.n": 1}}
    both = [shown["entityId"], hidden["entityId"]]
    assert ids(await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST", **sorted_)) == both
    assert ids(await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_WITH_HINT", **sorted_)) == both
    assert ids(await player.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_WITH_HINT", **sorted_)) == both[:1]
    two, one = {"entityListCount": 2}, {"entityListCount": 1}
    assert await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_COUNT", **asked) == two
    assert await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT", **asked) == two
    assert await player.call(SERVICE, "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT", **asked) == one


LISTS = [
    "GET_LIST",
    "GET_LIST_WITH_HINT",
    "GET_LIST_COUNT",
    "GET_LIST_COUNT_WITH_HINT",
    "GET_RANDOM_ENTITIES_MATCHING",
    "GET_RANDOM_ENTITIES_MATCHING_WITH_HINT",
    "GET_SYSTEM_ENTITY_LIST",
    "GET_SYSTEM_ENTITY_LIST_WITH_HINT",
    "GET_SYSTEM_ENTITY_LIST_COUNT",
    "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT",
]


@pytest.mark.parametrize("operation", LISTS)
@pytest.mark.parametrize(
    ("where", "code"),
    [
        ({"data.n": {"$where": "1"}}, 40349),
        ({"$and": []}, 40349),
        ("{", 40349),
        ("[]", 40349),
        ({"data.$n": 1}, 40347),
        ([1], 40359),
    ],
)
async def test_lists_refuse_what_is_no_clause(game: Game, operation: str, where: Any, code: int) -> None:
    refusal = await game.server.refused(SERVICE, operation, where=where)
    assert (refusal.status, refusal.reason_code) == (400, code)


@pytest.mark.parametrize("operation", [name for name in LISTS if "HINT" in name])
async def test_a_hint_is_an_object(game: Game, operation: str) -> None:
    assert (await game.server.refused(SERVICE, operation, hintJson="x")).reason_code == 40349


async def test_a_list_by_indexed_id_needs_one(game: Game) -> None:
    player = await game.player()
    assert (await player.refused(SERVICE, "GET_LIST_BY_INDEXED_ID", maxReturn=5)).reason_code == 40358
    refusal = await player.refused(SERVICE, "GET_LIST_BY_INDEXED_ID", entityIndexedId="i", maxReturn=0)
    assert refusal.reason_code == 40660


@pytest.mark.parametrize("order", [{"data.n": 2}, {"data.n": "up"}, {"": 1}, {"data.n": True}])
async def test_lists_refuse_what_is_no_order(game: Game, order: Any) -> None:
    assert (await game.server.refused(SERVICE, "GET_LIST", orderBy=order)).reason_code == 40349


# Pages


async def test_pages_go_forth_and_back(game: Game, cards: tuple[Client, str]) -> None:
    player, kind = cards
    context = {
        "pagination": {"rowsPerPage": 2, "pageNumber": 1},
        "searchCriteria": {"entityType": kind},
        "sortCriteria": {"createdAt": 1, "updatedAt": -1},
    }
    page = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page["_serverTime"] == game.clock.ms()
    seen = []
    for number in (1, 2, 3):
        results = page["results"]
        assert (results["page"], results["count"]) == (number, 5)
        assert (results["moreBefore"], results["moreAfter"]) == (number > 1, number < 3)
        seen.append([item["data"]["n"] for item in results["items"]])
        page = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=page["context"], pageOffset=1)
    assert seen == [[0, 1], [2, 3], [4]]
    assert (page["results"]["items"], page["results"]["page"], page["results"]["count"]) == ([], 4, 5)
    back = await player.call(SERVICE, "GET_PAGE_BY_OFFSET", context=page["context"], pageOffset=-2)
    assert [item["data"]["n"] for item in back["results"]["items"]] == [2, 3]


@pytest.mark.parametrize("context", [None, {}, "{}", {"pagination": {"pageNumber": None}}, {"options": {}}])
async def test_a_context_may_say_little(game: Game, cards: tuple[Client, str], context: Any) -> None:
    player, _ = cards
    page = await player.call(SERVICE, "GET_PAGE", context=context)
    assert page["results"]["page"] == 1
    assert len(page["results"]["items"]) == min(page["results"]["count"], 50) >= 5


PAGES = ["GET_PAGE", "GET_PAGE_BY_OFFSET", "GET_SYSTEM_ENTITY_PAGE", "GET_SYSTEM_ENTITY_PAGE_BY_OFFSET"]


@pytest.mark.parametrize("operation", PAGES)
@pytest.mark.parametrize(
    ("context", "code"),
    [
        ("no context", 40383),
        ("eyJ", 40383),
        ("e30.x", 40383),
        ({"pagination": 5}, 40384),
        ({"pagination": {"rowsPerPage": "many"}}, 40384),
        ({"pagination": {"rowsPerPage": 0}}, 40384),
        ({"searchCriteria": {"data.a": {"$x": 1}}}, 40349),
        ({"searchCriteria": {"data.$a": 1}}, 40347),
        ({"sortCriteria": {"data.a": "x"}}, 40349),
    ],
)
async def test_pages_refuse_what_is_no_context(game: Game, operation: str, context: Any, code: int) -> None:
    refusal = await game.server.refused(SERVICE, operation, context=context, pageOffset=1)
    assert (refusal.status, refusal.reason_code) == (400, code)


async def test_a_context_cannot_widen_what_its_reader_may_see(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    kind = game.unique("kind")
    mine = await create(ada, entityType=kind, acl=None)
    await create(bob, entityType=kind, acl=None)
    parts = {
        "searchCriteria": {
            "gameId": game.app.id,
            "entityType": kind,
            "$or": [{"acl.other": {"$gte": 0}}, {"ownerId": bob.profile_id}],
        },
        "sortCriteria": {"createdAt": 1},
        "pagination": {"rowsPerPage": 500, "pageNumber": None, "doCount": True},
        "options": None,
        "position": {"first": [0, ""], "last": [0, ""]},
        "resultCount": 10**9,
    }
    text = base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()
    for context in (parts, text):
        page = await ada.call(SERVICE, "GET_PAGE", context=context)
        assert ids(page) == [mine["entityId"]]
        page = await ada.call(SERVICE, "GET_PAGE_BY_OFFSET", context=context, pageOffset=1)
        assert set(ids(page)) <= {mine["entityId"]}
    bobs = await bob.call(SERVICE, "GET_PAGE", context={"searchCriteria": {"entityType": kind}})
    page = await ada.call(SERVICE, "GET_PAGE_BY_OFFSET", context=bobs["context"], pageOffset=0)
    assert ids(page) == [mine["entityId"]]


async def test_system_pages(game: Game) -> None:
    kind = game.unique("kind")
    await create(await game.player(), entityType=kind)
    made = [await create_system(game, entityType=kind, acl=None, data={"n": n}) for n in range(3)]
    context = {
        "pagination": {"rowsPerPage": 2},
        "searchCriteria": {"entityType": kind},
        "sortCriteria": {"data.n": 1},
    }
    page = await game.server.call(SERVICE, "GET_SYSTEM_ENTITY_PAGE", context=context)
    assert ids(page) == [item["entityId"] for item in made[:2]]
    assert page["results"]["count"] == 3
    assert decoded(page["context"])["pagination"] == {"rowsPerPage": 2, "pageNumber": 1, "doCount": True}
    page = await game.server.call(
        SERVICE, "GET_SYSTEM_ENTITY_PAGE_BY_OFFSET", context=page["context"], pageOffset=1
    )
    assert ids(page) == [made[2]["entityId"]]
    assert page["results"]["moreAfter"] is False


async def test_entities_of_another_app_are_not_there(game: Game) -> None:
    player = await game.player()
    made = await create(player, acl={"other": 2})
    async with game.core.database.read() as tx:
        row = await tx.one(storage.READ, player=player.profile_id, entity=made["entityId"], app="another app")
    assert row is None


async def test_players_give_nothing_away_unless_the_app_says_so(game: Game, apps_folder: Path) -> None:
    """What is given comes to whom did not ask, and what is nobody's counts for nobody."""
    owner, other = await game.player(), await game.player()
    kept = await create(owner)
    (apps_folder / "test" / "app.toml").write_text(APP_TOML)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    change = {"entityId": kept["entityId"], "version": -1, "acl": {"other": 1}}
    for operation, setting in (
        ("UPDATE_ENTITY_OWNER_AND_ACL", "players_may_give_away"),
        ("MAKE_SYSTEM_ENTITY", "players_may_make_system"),
    ):
        refusal = await owner.refused(SERVICE, operation, ownerId=other.profile_id, **change)
        assert (refusal.status, refusal.reason_code) == (403, 40346)
        assert setting in refusal.message
    assert (await owner.call(SERVICE, "READ", entityId=kept["entityId"]))["ownerId"] == owner.profile_id
    given = await game.server.call(
        SERVICE, "UPDATE_ENTITY_OWNER_AND_ACL", owner.profile_id, ownerId=other.profile_id, **change
    )
    assert given["ownerId"] == other.profile_id  # servers may
