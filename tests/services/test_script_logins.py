"""External logins that a script decides."""

import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.services.logins import own_address
from tests.services.test_script import write_script

__all__ = ["own_address"]  # a fixture
pytestmark = pytest.mark.usefixtures("own_address")
AUTH = "authenticationV2"
VERDICTS = """
var verdicts = JSON.parse(data.authenticationToken);
if (verdicts === "throw") throw new Error("s3cret words");
verdicts;
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app whose script says of a login what its token says, as JSON."""
    names = {"company": "logins/verdict", "nowhere": "logins/nowhere", "spy": "logins/spy"}
    logins = "".join(
        f'[external.{name}]\nkind = "script"\nscript = "{path}"\n' for name, path in names.items()
    )
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + logins)
    flags = {"clientCallable": False, "s2sCallable": False, "peerCallable": False}
    write_script(apps_folder / "test", "logins/verdict", VERDICTS, **flags)
    spy = (
        "var found = {keys: Object.keys(data), me: bridge.getProfileId()};"
        "bridge.logInfoJson('asked ' + data.externalId, found); true;"
    )
    write_script(apps_folder / "test", "logins/spy", spy, **flags)
    return apps_folder


async def log_in(
    game: Game, id_: str, verdict: Any, name: str = "company", **data: Any
) -> tuple[Client, Any]:
    """Log in; returns the client and its entry of the answer."""
    client = game.client()
    login = {
        "authenticationType": "External",
        "externalAuthName": name,
        "externalId": id_,
        "authenticationToken": json.dumps(verdict),
        "forceCreate": True,
        **data,
    }
    [entry] = await client.packet((AUTH, "AUTHENTICATE", login))
    if entry["status"] == 200:
        client.session_id, client.profile_id = entry["data"]["sessionId"], entry["data"]["profileId"]
    return client, entry


@pytest.mark.parametrize("verdict", [True, {"valid": True}, {"valid": True, "useProfileId": None, "x": 1}])
async def test_a_script_says_yes(game: Game, verdict: Any) -> None:
    id_ = game.unique("e")
    first, _ = await log_in(game, id_, verdict)
    again, entry = await log_in(game, id_, verdict)
    assert again.profile_id == first.profile_id
    assert "authPayload" not in entry["data"]
    assert (await again.call("playerState", "READ"))["profileId"] == first.profile_id


@pytest.mark.parametrize("verdict", [False, None, {}, {"valid": False}, {"valid": 1}, "yes", 1, [], "throw"])
async def test_a_script_says_no_or_nothing(game: Game, verdict: Any) -> None:
    _, entry = await log_in(game, game.unique("e"), verdict)
    assert (entry["status"], entry["reason_code"]) == (403, 40307)
    assert "s3cret" not in json.dumps(entry)


async def test_what_a_script_says_besides(game: Game) -> None:
    id_ = game.unique("e")
    player, entry = await log_in(
        game, id_, {"valid": True, "authPayload": {"a": [1]}, "identityData": {"b": 2}}
    )
    assert entry["data"]["authPayload"] == {"a": [1]}
    kept = await game.server.call(
        "identity", "GET_IDENTITY_DATA", player.profile_id, authenticationType="External"
    )
    assert '{"b":2}' in json.dumps(kept).replace(" ", "").replace("\\", "")
    _, refused = await log_in(game, id_, {"valid": False, "extraErrorJson": {"retry": "later"}})
    assert (refused["reason_code"], refused["extraErrorJson"]) == (40307, {"retry": "later"})


async def test_an_id_that_stays_while_the_clients_changes(game: Game) -> None:
    stable: dict[str, Any] = {"valid": True, "externalIdOverride": game.unique("stable")}
    first, _ = await log_in(game, game.unique("mail"), stable)
    second, _ = await log_in(game, game.unique("mail"), stable)
    third, _ = await log_in(game, stable["externalIdOverride"], True)
    assert first.profile_id == second.profile_id == third.profile_id


async def test_a_script_names_whose_login_it_is(game: Game) -> None:
    player, id_ = await game.player(), game.unique("e")
    named = {"valid": True, "useProfileId": player.profile_id}
    client, _ = await log_in(game, id_, named)
    assert client.profile_id == player.profile_id
    found = await actions.player_show(game.server_app, APP_ID, player.profile_id)
    assert [one["type"] for one in found["identities"]] == ["Anonymous"]
    other, _ = await log_in(game, id_, True)  # the identity was not kept for anybody
    assert other.profile_id != player.profile_id
    _, entry = await log_in(game, id_, named, profileId=other.profile_id)
    assert (entry["status"], entry["reason_code"]) == (202, 40207)
    _, entry = await log_in(game, id_, {"valid": True, "useProfileId": "nobody"})
    assert entry["reason_code"] == 40307


async def test_what_a_script_is_told(game: Game) -> None:
    id_ = game.unique("e")
    await log_in(game, id_, "token", "spy")
    [line] = await actions.log_list(game.server_app, APP_ID, 10, text=f"asked {id_}")
    assert line["context"] == {"keys": ["externalId", "authenticationToken"], "me": None}


async def test_a_script_that_is_not_there(game: Game) -> None:
    _, entry = await log_in(game, game.unique("e"), True, "nowhere")
    assert entry["reason_code"] == 40307
    lines = await actions.log_list(game.server_app, APP_ID, 10, equal={"source": "logins/nowhere"})
    assert lines[0]["level"] == "error"


async def test_a_player_attaches_what_a_script_vouches_for(game: Game) -> None:
    player, id_ = await game.player(), game.unique("e")
    await player.call(
        "identity",
        "ATTACH",
        authenticationType="External",
        externalAuthName="company",
        externalId=id_,
        authenticationToken="true",
    )
    client, _ = await log_in(game, id_, True)
    assert client.profile_id == player.profile_id
