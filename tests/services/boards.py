"""What tests of leaderboards share."""

import asyncio
from typing import Any

import pytest

from gameserver.domain import social
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.domain.leaderboards.store import FIND
from tests.conftest import Client, Game
from tests.services.groups import put_group

BOARD = "leaderboard"


@pytest.fixture
async def game(game: Game) -> Game:
    """The server, without the boards that other tests have left in a shared database."""
    listed = await game.server.call("leaderboard", "LIST_ALL_LEADERBOARDS")
    ids = [board["leaderboardId"] for board in listed["leaderboardList"]]
    await game.server.call("leaderboard", "DELETE_LEADERBOARDS", leaderboardIds=ids)
    return game


async def create(game: Game, board: str = "b", kind: str = "HIGH_VALUE", **config: Any) -> dict[str, Any]:
    fields = {
        "entryType": "PLAYER",
        "leaderboardType": kind,
        "rotationType": "NEVER",
        "retainedCount": 2,
        **config,
    }
    made = await game.server.call(
        BOARD, "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=fields
    )
    config_of: dict[str, Any] = made[board]
    return config_of


async def post(player: Client, score: int, board: str = "b", **data: Any) -> None:
    await player.call(BOARD, "POST_SCORE", leaderboardId=board, score=score, data=data or None)


async def page(
    player: Client,
    board: str = "b",
    first: int = 0,
    last: int = 99,
    version: int = -1,
    sort: str | None = None,
) -> dict[str, Any]:
    data = {"leaderboardId": board, "startIndex": first, "endIndex": last, "versionId": version}
    found: dict[str, Any] = await player.call(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", **data, **({"sort": sort} if sort else {})
    )
    return found


async def scores(player: Client, board: str = "b", **options: Any) -> list[int]:
    return [entry["score"] for entry in (await page(player, board, **options))["leaderboard"]]


async def view(
    player: Client, before: int = 1, after: int = 1, board: str = "b", **options: Any
) -> dict[str, Any]:
    data = {
        "leaderboardId": board,
        "sort": "HIGH_TO_LOW",
        "beforeCount": before,
        "afterCount": after,
        **options,
    }
    found: dict[str, Any] = await player.call(BOARD, "GET_GLOBAL_LEADERBOARD_VIEW", **data)
    return found


async def settled(game: Game) -> None:
    """Wait until ranks come from the index."""
    builds = game.core.get(Leaderboards).index._builds
    while builds:
        await asyncio.gather(*builds.values())
        await asyncio.sleep(0)


async def with_ranks(game: Game, player: Client, board: str = "b") -> str:
    """Have the index built; returns the list's name."""
    await page(player, board)
    await settled(game)
    async with game.core.database.read() as tx:
        row = await tx.one(FIND, app=game.app.id, board=board)
    assert row is not None
    return list_name(row["uid"], row["version"])


async def circles(
    game: Game, *, friends: dict[str, list[str]] | None = None, groups: dict[str, list[str]] | None = None
) -> None:
    """Friends, and groups under the ids that tests call them by."""

    async def friends_of(_tx: Any, _app: str, profile: str) -> list[str]:
        return (friends or {}).get(profile, [])

    game.core.hooks.subscribe(social.FRIENDS, friends_of)
    for group, members in (groups or {}).items():
        await put_group(game, group, members, name=group.upper())


async def fill(game: Game, count: int, board: str = "b") -> list[Client]:
    players = [await game.player() for _ in range(count)]
    for index, player in enumerate(players):
        await post(player, 100 - index, board)
    return players
