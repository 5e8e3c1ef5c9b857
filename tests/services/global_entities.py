"""What tests of global entities share."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP_TOML, Client, Game

SERVICE = "globalEntity"
HEAD = {
    "gameId",
    "entityId",
    "ownerId",
    "entityType",
    "entityIndexedId",
    "version",
    "acl",
    "expiresAt",
    "timeToLive",
    "createdAt",
    "updatedAt",
}
ADDRESS = {"street": "1309 Carling"}


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app that lets players do with their entities what they like."""
    settings = "[globalEntity]\nplayers_may_give_away = true\nplayers_may_make_system = true\n"
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings)
    return apps_folder


async def create(player: Client, **data: Any) -> Any:
    wanted = {"entityType": "address", "timeToLive": -1, "acl": {"other": 1}, "data": ADDRESS, **data}
    return await player.call(SERVICE, "CREATE", **wanted)


async def create_system(game: Game, **data: Any) -> Any:
    wanted = {"entityType": "address", "acl": {"other": 1}, "data": ADDRESS, **data}
    return await game.server.call(SERVICE, "CREATE_SYSTEM_ENTITY", **wanted)


def ids(answer: Any) -> list[str]:
    found = answer["entityList"] if "entityList" in answer else answer["results"]["items"]
    return [item["entityId"] for item in found]
