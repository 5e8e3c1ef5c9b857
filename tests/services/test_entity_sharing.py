"""Entities that others may see or change."""

from typing import Any

import pytest

from gameserver.apps import load_apps
from tests.conftest import Game
from tests.services.entities import NOBODY, SERVICE, get, make, pair

# Sharing


async def test_others_see_what_the_acl_lets_them_see(game: Game) -> None:
    player, other = await pair(game)
    hidden, readable, writable = [await make(player, acl={"other": acl}, acl_is=acl) for acl in (0, 1, 2)]
    shared = await other.call(SERVICE, "READ_SHARED", targetPlayerId=player.profile_id)
    assert {item["entityId"] for item in shared["entities"]} == {readable, writable}
    assert shared["entityListCount"] == 2
    own = await player.call(SERVICE, "READ_SHARED", targetProfileId=player.profile_id)
    assert {item["entityId"] for item in own["entities"]} == {hidden, readable, writable}
    for entity_id in (readable, writable):
        read = await other.call(
            SERVICE, "READ_SHARED_ENTITY", targetProfileId=player.profile_id, entityId=entity_id
        )
        assert read == await get(player, entity_id)
    owners = await player.call(
        SERVICE, "READ_SHARED_ENTITY", targetPlayerId=player.profile_id, entityId=hidden
    )
    assert owners["data"] == {"acl_is": 0}


async def test_others_list_what_they_may_see(game: Game) -> None:
    player, other = await pair(game)
    for acl, number in ((0, 1), (1, 2), (1, 3), (2, 4)):
        await make(player, acl={"other": acl}, number=number)
    request = {"where": {"data.number": {"$lt": 4}}, "orderBy": {"data.number": -1}, "maxReturn": 10}
    listed = await other.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetPlayerId=player.profile_id, **request
    )
    assert [item["data"]["number"] for item in listed["entities"]] == [3, 2]
    assert listed["entityListCount"] == 2
    own = await player.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetProfileId=player.profile_id, **request
    )
    assert [item["data"]["number"] for item in own["entities"]] == [3, 2, 1]
    most = await other.call(
        SERVICE, "READ_SHARED_ENTITIES_LIST", targetPlayerId=player.profile_id, **request | {"maxReturn": 1}
    )
    assert [item["data"]["number"] for item in most["entities"]] == [3]


async def test_a_player_nobody_knows_shares_nothing(game: Game) -> None:
    player = await game.player()
    for operation in ("READ_SHARED", "READ_SHARED_ENTITIES_LIST"):
        answer = await player.call(SERVICE, operation, targetPlayerId=NOBODY)
        assert (answer["entities"], answer["entityListCount"]) == ([], 0)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("READ_SHARED_ENTITY", (400, 40345)),
        ("UPDATE_SHARED", (404, 40332)),
        ("INCREMENT_SHARED_USER_ENTITY_DATA", (400, 40345)),
    ],
)
async def test_a_shared_entity_is_found_with_its_owner_only(
    game: Game, operation: str, expected: tuple[int, int]
) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": 2}, n=1)
    for owner, entity in ((NOBODY, entity_id), (other.profile_id, entity_id), (player.profile_id, NOBODY)):
        refusal = await other.refused(
            SERVICE, operation, targetPlayerId=owner, entityId=entity, data={"n": 1}, entityType="address"
        )
        assert (refusal.status, refusal.reason_code) == expected
    assert (await get(player, entity_id))["version"] == 1


@pytest.mark.parametrize("operation", ["UPDATE_SHARED", "INCREMENT_SHARED_USER_ENTITY_DATA"])
@pytest.mark.parametrize("acl", [0, 1])
async def test_others_change_nothing_without_the_right_to(game: Game, operation: str, acl: int) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": acl}, n=1)
    before = await get(player, entity_id)
    for version in (-1, 1, 9):
        refusal = await other.refused(
            SERVICE,
            operation,
            targetProfileId=player.profile_id,
            entityId=entity_id,
            entityType="address",
            data={"n": 2},
            version=version,
        )
        assert (refusal.status, refusal.reason_code) == (403, 40346)
    assert await get(player, entity_id) == before


@pytest.mark.parametrize("key", ["targetPlayerId", "targetProfileId"])
async def test_others_change_data_where_they_may_and_never_the_acl(game: Game, key: str) -> None:
    player, other = await pair(game)
    entity_id = await make(player, acl={"other": 2}, n=1)
    target = {key: player.profile_id, "entityId": entity_id}
    updated = await other.call(
        SERVICE,
        "UPDATE_SHARED",
        **target,
        entityType="address",
        data={"n": 5},
        acl={"other": 0},
        version=1,
    )
    assert (updated["version"], updated["acl"], updated["data"]) == (2, {"other": 2}, {"n": 5})
    stale = await other.refused(
        SERVICE, "UPDATE_SHARED", **target, entityType="address", data={"n": 6}, version=1
    )
    assert (stale.status, stale.reason_code) == (400, 40344)
    raised = await other.call(SERVICE, "INCREMENT_SHARED_USER_ENTITY_DATA", **target, data={"n": -1.5})
    assert (raised["data"], raised["version"]) == ({"n": 3.5}, 3)
    assert (raised["playerId"], raised["gameId"]) == (player.profile_id, player.app_id)


async def test_sharing_with_oneself_works_whatever_the_acl(game: Game) -> None:
    player = await game.player()
    entity_id = await make(player, n=1)
    target = {"targetPlayerId": player.profile_id, "entityId": entity_id}
    await player.call(SERVICE, "UPDATE_SHARED", **target, entityType="address", data={"n": 2}, version=-1)
    raised = await player.call(SERVICE, "INCREMENT_SHARED_USER_ENTITY_DATA", **target, data={"n": 1})
    assert (raised["data"], raised["version"]) == ({"n": 3}, 3)


async def test_entities_of_another_app_are_out_of_reach(game: Game, apps_folder: Any) -> None:
    folder = apps_folder / "second"
    folder.mkdir()
    (folder / "app.toml").write_text('id = "10002"\nsecret = "another-secret-for-tests-123"\n')
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    owner = await game.player()
    entity_id = await make(owner, acl={"other": 2}, n=1)
    stranger = game.client("10002", "another-secret-for-tests-123")
    await stranger.log_in()
    target = {"targetPlayerId": owner.profile_id}
    assert (await stranger.call(SERVICE, "READ_SHARED", **target))["entities"] == []
    assert (await stranger.call(SERVICE, "READ_SHARED_ENTITIES_LIST", **target))["entities"] == []
    for operation, reason in (
        ("READ_SHARED_ENTITY", 40345),
        ("UPDATE_SHARED", 40332),
        ("INCREMENT_SHARED_USER_ENTITY_DATA", 40345),
    ):
        refusal = await stranger.refused(SERVICE, operation, **target, entityId=entity_id, data={"n": 1})
        assert refusal.reason_code == reason
