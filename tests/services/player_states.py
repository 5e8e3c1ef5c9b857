"""What tests of a player's state share."""

from typing import Any

from tests.conftest import Client, Game

SERVICE = "playerState"


async def state_of(player: Client) -> dict[str, Any]:
    state: dict[str, Any] = await player.call(SERVICE, "READ")
    return state


async def new_login(game: Game, name: str, **data: Any) -> Client:
    """Another client of the same player."""
    client = game.client()
    await client.log_in("Universal", name, "secret", **data)
    return client


async def attributes_of(player: Client) -> Any:
    return (await player.call(SERVICE, "GET_ATTRIBUTES"))["attributes"]
