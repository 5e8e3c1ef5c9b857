"""What tests of entities share."""

from typing import Any

from tests.conftest import Client, Game

SERVICE = "entity"
HEAD = {"entityId", "entityType", "version", "acl", "createdAt", "updatedAt"}
NOBODY = "00000000-0000-4000-8000-000000000000"


async def make(player: Client, type_: str = "address", acl: Any = None, **data: Any) -> str:
    """Create an entity; returns its id."""
    made = await player.call(SERVICE, "CREATE", entityType=type_, data=data, acl=acl)
    found: str = made["entityId"]
    return found


async def get(player: Client, entity_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await player.call(SERVICE, "READ", entityId=entity_id)
    return found


async def pair(game: Game) -> tuple[Client, Client]:
    return await game.player(), await game.player()


async def numbered(game: Game, player: Client, count: int, type_: str = "thing") -> list[str]:
    """Create entities that are a millisecond apart."""
    made = []
    for number in range(count):
        made.append(await make(player, type_, number=number))
        game.clock.advance(0.001)
    return made
