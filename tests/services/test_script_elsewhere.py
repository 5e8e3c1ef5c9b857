"""script: running scripts of parents and peers."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.scripts.engine import Engine, Failure, Result
from gameserver.scripts.running import EmptyScript, ScriptUnreadable
from gameserver.wire.errors import DisabledApp, RateLimited
from tests.conftest import APP_ID, SECRET, Client, Game
from tests.services.test_script import turn, write_script

MASTER, ARCADE = "20000", "20002"
KEYS = {APP_ID: SECRET} | {app: f"a-secret-of-{app}-0123456789" for app in (MASTER, ARCADE)}
PASSWORD = "a-password-0"
WHO = """
    var entity = bridge.getEntityServiceProxy().createEntity("made", {}, null);
    ({app: bridge.getAppId(), me: bridge.getProfileId(), made: entity.status});
"""
PEER = """
    var there = null, thrown = null;
    try { there = bridge.getPeerProfileSession().playerId; } catch (e) { thrown = e.message; }
    var caller = bridge.getClientSession();
    ({
        peer: bridge.isPeerBridge(),
        app: bridge.getAppId(),
        client: bridge.getClientAppId(),
        caller: caller.playerId,
        there: there,
        thrown: thrown,
        mine: bridge.getPlayerStateServiceProxy(caller).readUserState().data.profileId,
        nobody: bridge.getPlayerStateServiceProxy().readUserState().reasonCode,
        log: bridge.logInfo("visited", null).status,
    });
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The test app below a parent, and beside a peer."""

    def write(name: str, app: str, text: str) -> Path:
        (apps_folder / name).mkdir(exist_ok=True)
        (apps_folder / name / "app.toml").write_text(f'id = "{app}"\nsecret = "{KEYS[app]}"\n{text}')
        return apps_folder / name

    master = write("master", MASTER, "")
    write(
        "test",
        APP_ID,
        f'parent = {{ app = "{MASTER}", level = "Master" }}\npeers.arcade = {{ app = "{ARCADE}", '
        'types = ["Universal"], may_create = true }\n[script]\nscheduled_per_player = 1\n',
    )
    arcade = write("arcade", ARCADE, f'peers.game = {{ app = "{APP_ID}" }}\n')
    write_script(master, "who", WHO)
    write_script(master, "hidden", "1;", clientCallable=False)
    write_script(arcade, "guest", PEER)
    write_script(arcade, "hidden", "1;", peerCallable=False)
    return apps_folder


async def child(game: Game) -> tuple[Client, str]:
    """A player who has a profile in the parent app, and that one's id."""
    client = game.client(MASTER, KEYS[MASTER])
    await client.log_in()
    parent = client.profile_id
    answer = await client.call("identity", "SWITCH_TO_CHILD_PROFILE", gameId=APP_ID, forceCreate=True)
    client.app_id, client.secret, client.profile_id = APP_ID, SECRET, answer["profileId"]
    return client, parent


async def test_a_parents_script_acts_for_the_parent(game: Game) -> None:
    client, parent = await child(game)
    answer = await client.call(
        "script", "RUN_PARENT_SCRIPT", scriptName="who", scriptData={}, parentLevel="Master"
    )
    assert answer == {"response": {"app": MASTER, "me": parent, "made": 200}, "success": True}
    state = await client.call("playerState", "READ")  # and back
    assert state["profileId"] == client.profile_id


async def test_no_parents_script(game: Game) -> None:
    client, _ = await child(game)
    orphan = await game.player()
    for caller, name, level, code in (
        (client, "nowhere", "Master", 40363),
        (client, "hidden", "Master", 40364),
        (client, "who", "Top", 40377),
        (orphan, "who", "Master", 40380),
    ):
        refusal = await caller.refused("script", "RUN_PARENT_SCRIPT", scriptName=name, parentLevel=level)
        assert refusal.reason_code == code


async def test_a_peers_script_acts_for_the_peer(game: Game) -> None:
    player = await game.player()
    answer = await player.call("script", "RUN_PEER_SCRIPT", scriptName="guest", scriptData={}, peer="arcade")
    told = answer["response"]
    assert (told["peer"], told["app"], told["client"]) == (True, ARCADE, APP_ID)
    assert (told["caller"], told["mine"], told["nobody"]) == (player.profile_id, player.profile_id, 40789)
    assert (told["there"], told["log"]) == (None, 200)
    assert "40519" in told["thrown"]
    attached = await player.call(
        "identity",
        "ATTACH_PEER_PROFILE",
        peer="arcade",
        authenticationType="Universal",
        externalId=game.unique("name"),
        authenticationToken=PASSWORD,
        forceCreate=True,
    )
    answer = await player.call("script", "RUN_PEER_SCRIPT", scriptName="guest", scriptData={}, peer="arcade")
    assert answer["response"]["there"] == attached["profileId"]


async def test_no_peers_script(game: Game) -> None:
    player = await game.player()
    for operation in ("RUN_PEER_SCRIPT", "RUN_PEER_SCRIPT_ASYNC"):
        for name, peer, code in (
            ("nowhere", "arcade", 40363),
            ("hidden", "arcade", 40364),
            ("guest", "circus", 40492),
        ):
            refusal = await player.refused("script", operation, scriptName=name, scriptData={}, peer=peer)
            assert refusal.reason_code == code, operation


async def test_a_peers_script_runs_soon(game: Game) -> None:
    player = await game.player()
    job: dict[str, Any] = await player.call(
        "script", "RUN_PEER_SCRIPT_ASYNC", scriptName="guest", scriptData={"a": 1}, peer="arcade"
    )
    assert (job["runState"], job["parameters"], job["jobType"]) == ("Queued", {"a": 1}, "CloudCode")
    running = await player.call("script", "GET_RUNNING_OR_QUEUED_CLOUD_SCRIPTS")
    assert [each["jobId"] for each in running["runningOrQueuedJobs"]] == [job["jobId"]]
    refusal = await player.refused(
        "script", "RUN_PEER_SCRIPT_ASYNC", scriptName="guest", scriptData={}, peer="arcade"
    )
    assert refusal.reason_code == 40371
    await turn(game)
    running = await player.call("script", "GET_RUNNING_OR_QUEUED_CLOUD_SCRIPTS")
    assert running["runningOrQueuedJobs"] == []


@pytest.fixture
def bad_scripts(apps_folder: Path) -> None:
    """Scripts that cannot run, in each app."""
    for app in ("test", "master", "arcade"):
        write_script(apps_folder / app, "empty", " ")
        write_script(apps_folder / app, "broken", "var x = ;")


@pytest.mark.usefixtures("bad_scripts")
async def test_scripts_elsewhere_that_cannot_run(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = await child(game)
    run = {
        "RUN_PARENT_SCRIPT": {"parentLevel": "Master"},
        "RUN_PEER_SCRIPT": {"peer": "arcade"},
        "RUN_PEER_SCRIPT_ASYNC": {"peer": "arcade"},
    }

    async def refused(operation: str, script: str) -> int:
        data = {"scriptName": script, "scriptData": {}, **run[operation]}
        return (await client.refused("script", operation, **data)).reason_code

    for operation in run:
        assert await refused(operation, "empty") == EmptyScript.reason_code
    for operation in ("RUN_PARENT_SCRIPT", "RUN_PEER_SCRIPT"):
        assert await refused(operation, "broken") == ScriptUnreadable.reason_code

    async def busy(*_: object, **__: object) -> Result:
        return Result(failure=Failure.BUSY, message="too many run")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "run", busy)
        assert await refused("RUN_PARENT_SCRIPT", "who") == RateLimited.reason_code
        assert await refused("RUN_PEER_SCRIPT", "guest") == RateLimited.reason_code
    for operation in ("RUN_BATCH_USER_SCRIPT", "SCHEDULE_BATCH_USER_SCRIPT"):
        more: dict[str, Any] = {"minutesFromNow": 5} if operation.startswith("SCHEDULE") else {}
        refusal = await game.server.refused("script", operation, scriptName="empty", profileIds=[], **more)
        assert refusal.reason_code == EmptyScript.reason_code


async def test_scripts_of_disabled_apps_do_not_run(game: Game, apps_folder: Path) -> None:
    client, _ = await child(game)
    for name in ("master", "arcade"):
        definition = apps_folder / name / "app.toml"
        definition.write_text(definition.read_text().replace("\n", "\nenabled = false\n", 1))
    apps = load_apps(apps_folder, game.server_app.registry.sections())
    assert not apps.problems
    game.apps.replace(apps)
    player = await game.player()
    for operation in ("RUN_PEER_SCRIPT", "RUN_PEER_SCRIPT_ASYNC"):
        refusal = await player.refused("script", operation, scriptName="guest", scriptData={}, peer="arcade")
        assert refusal.reason_code == DisabledApp.reason_code
    refusal = await game.server.refused(
        "script", "RUN_PARENT_SCRIPT", client.profile_id, scriptName="who", parentLevel="Master"
    )
    assert refusal.reason_code == DisabledApp.reason_code
