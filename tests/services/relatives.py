"""Parents, children and peers of the test app, and players who go from one to another."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete

from gameserver.admin import actions
from gameserver.players.identities import identities
from gameserver.players.profile_links import ADD
from gameserver.rpc import Caller, Origin
from gameserver.wire.packet import Message
from tests.conftest import APP_ID, SECRET, Client, Game

MASTER, ROOT, ARCADE = "20000", "20001", "20002"
KEYS = {APP_ID: SECRET} | {app: f"a-secret-of-{app}-0123456789" for app in (MASTER, ROOT, ARCADE)}
CURRENCY = "[virtualCurrency.currencies.{}]\n"
PASSWORD = "a-password-0"


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The test app below two levels, and beside a peer."""

    def write(name: str, app: str, text: str) -> None:
        (apps_folder / name).mkdir(exist_ok=True)
        (apps_folder / name / "app.toml").write_text(f'id = "{app}"\nsecret = "{KEYS[app]}"\n{text}')

    write("root", ROOT, CURRENCY.format("stars"))
    write("master", MASTER, f'parent = {{ app = "{ROOT}", level = "Top" }}\n' + CURRENCY.format("gems"))
    write(
        "test",
        APP_ID,
        f'parent = {{ app = "{MASTER}", level = "Master" }}\n'
        f'peers.arcade = {{ app = "{ARCADE}", types = ["Universal"], may_create = true }}\n'
        f'peers.strict = {{ app = "{ARCADE}" }}\n' + CURRENCY.format("coins"),
    )
    write("arcade", ARCADE, f'peers.game = {{ app = "{APP_ID}" }}\n' + CURRENCY.format("tickets"))
    return apps_folder


def moved(client: Client, answer: dict[str, Any]) -> Client:
    """Do as the SDKs do when an answer switches apps."""
    client.app_id, client.profile_id = answer["switchToAppId"], answer["profileId"]
    client.secret = KEYS[client.app_id]
    return client


async def parent(game: Game) -> Client:
    client = game.client(MASTER, KEYS[MASTER])
    await client.log_in()
    return client


async def to_child(client: Client, **data: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client.call(
        "identity", "SWITCH_TO_CHILD_PROFILE", **{"gameId": APP_ID, "forceCreate": True, **data}
    )
    moved(client, answer)
    return answer


async def to_parent(client: Client, level: str = "Master") -> dict[str, Any]:
    answer: dict[str, Any] = await client.call("identity", "SWITCH_TO_PARENT_PROFILE", levelName=level)
    moved(client, answer)
    return answer


async def disable(game: Game, app: str, profile: str) -> None:
    await actions.player_disable(game.server_app, app, profile)


async def attach_link(game: Game, child: str, to: str) -> None:
    async with game.core.database.write() as tx:
        await tx.run(ADD, profile_id=child, name="", target_id=to, created_ms=game.clock.ms())


def identity(name: str, **data: Any) -> dict[str, Any]:
    return {
        "externalId": name,
        "authenticationToken": PASSWORD,
        "authenticationType": "Universal",
        "externalAuthName": "",
        "forceCreate": True,
        **data,
    }


async def call_there(game: Game, app: str, profile: str, service: str, operation: str, data: Any) -> Any:
    found = game.apps.find(app)
    assert found is not None
    answer = await game.server_app.runner.call(
        Message(service, operation, msgspec.Raw(msgspec.json.encode(data))),
        found,
        Origin("test", ""),
        caller=Caller.SERVER,
        profile_id=profile,
    )
    return msgspec.json.decode(answer)


async def peers(game: Game) -> tuple[Client, str, Client]:
    """A player with a profile in a peer, and another player there whose name is the peer app's own."""
    client, other = await game.player(), game.client(ARCADE, KEYS[ARCADE])
    there = await client.call(
        "identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(game.unique("ada"))
    )
    name = game.unique("bob")
    await other.log_in("Universal", name, PASSWORD)
    # Both have a name: only one of them may.
    async with game.core.database.write() as tx:
        await tx.run(delete(identities).where(identities.c.profile_id == there["profileId"]))
    return client, there["profileId"], other
