"""Scripts happen once: killed at every instant, server or worker, and repeated on another process."""

import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import APP_TOML, BACKENDS
from tests.processes import Process, serve
from tests.services.test_script import write_script
from tests.simulation.test_processes import Player

MORTAL = "tests.simulation.mortal_scripts"
EFFECTS = 10
SECONDS_MAX = 30
TEN = """
    var proxy = bridge.getEntityServiceProxy(), guids = [], counts = [];
    for (var i = 0; i < 10; i++) {
        counts.push(proxy.getEntitiesByType("once").data.entities.length);
        var chance = Math.random(), now = Date.now();
        guids.push(bridge.utils().generateGuid());
        proxy.createEntity("once", {number: i, guid: guids[i], chance: chance, now: now}, null);
    }
    ({guids: guids, counts: counts, nested: data.deeper ? bridge.callScript("ten", {}).data.response : null});
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML)
    write_script(tmp_path / "apps" / "test", "ten", TEN, scriptTimeout=60)
    return tmp_path


@pytest.fixture
def options(services: dict[str, str], migrated: object) -> list[str]:
    return [part for name, url in services.items() for part in (f"--{name}", url)]


def once(player: Player, server: Process) -> list[dict[str, Any]]:
    """The effects, in the order in which they came."""
    found = player.call(server, "entity", "READ_BY_TYPE", entityType="once")["data"]["entities"]
    return sorted((entity["data"] for entity in found), key=lambda data: data["number"])


def answer(player: Player, server: Process, body: bytes) -> httpx.Response:
    """Repeat the packet until it is answered: a process that died holds its claim for a while."""
    end = time.monotonic() + SECONDS_MAX
    while (response := player.send(server, body)).status_code == 503:
        assert time.monotonic() < end, response.text
        time.sleep(0.1)  # until a lease of another process lapses
    return response


def test_a_script_that_is_killed_at_every_instant_happens_once(folder: Path, options: list[str]) -> None:
    """The packet goes to another process each time; that one dies an instant, or two, later."""
    if BACKENDS == "embedded":
        pytest.skip("sessions of a server alone do not survive it")
    flag = folder / "die"
    player = Player(f"script-{uuid.uuid4()}")
    with serve(folder, *options) as calm:
        player.log_in(calm)
        body = player.body(("script", "RUN", {"scriptName": "ten", "scriptData": {}}))
        deaths = 0
        while True:
            flag.write_text(str(deaths % 2))  # before the next commit, and then after it
            with serve(folder, *options, module=MORTAL, environment={"DIE_AT": str(flag)}) as mortal:
                try:
                    got = answer(player, mortal, body)
                    break
                except httpx.TransportError:
                    assert mortal.popen.wait(10) == -9
                    deaths += 1
        assert deaths >= 2 * EFFECTS
        told = got.json()["responses"][0]["data"]
        assert told["success"], told
        effects = once(player, calm)
        assert [effect["guid"] for effect in effects] == told["response"]["guids"]
        assert told["response"]["counts"] == list(range(EFFECTS))
        assert len({effect["chance"] for effect in effects}) == EFFECTS


def test_a_script_goes_on_elsewhere(folder: Path, options: list[str]) -> None:
    """Killed in the middle of a script that another one has called."""
    if BACKENDS == "embedded":
        pytest.skip("sessions of a server alone do not survive it")
    flag = folder / "die"
    flag.write_text("29")
    player = Player(f"script-{uuid.uuid4()}")
    with ExitStack() as stack:
        mortal = stack.enter_context(
            serve(folder, *options, module=MORTAL, environment={"DIE_AT": str(flag)})
        )
        calm = stack.enter_context(serve(folder, *options))
        player.log_in(calm)
        body = player.body(("script", "RUN", {"scriptName": "ten", "scriptData": {"deeper": True}}))
        with pytest.raises(httpx.TransportError):
            player.send(mortal, body)
        got = answer(player, calm, body)
        assert answer(player, calm, body).content == got.content
        response = got.json()["responses"][0]["data"]["response"]
        assert response["counts"] == list(range(EFFECTS))
        assert response["nested"]["counts"] == list(range(EFFECTS, 2 * EFFECTS))
        assert len(once(player, calm)) == 2 * EFFECTS


@pytest.mark.parametrize("after", [0, 1, 7, 15, 29])
def test_a_killed_worker_is_not_noticed(folder: Path, options: list[str], after: int) -> None:
    """The script begins again in another one, and what it has done answers from the journal."""
    flag = folder / "kill"
    flag.write_text(str(after))
    environment = {"DIE_AT": str(folder / "never"), "KILL_WORKER_AT": str(flag)}
    with serve(folder, *options, module=MORTAL, environment=environment) as server:
        player = Player(f"worker-{uuid.uuid4()}")
        player.log_in(server)
        entry = player.call(server, "script", "RUN", scriptName="ten", scriptData={})
        assert entry["status"] == 200, entry
        told = entry["data"]
        assert not flag.exists()
        assert told["success"], told
        effects = once(player, server)
        assert [effect["guid"] for effect in effects] == told["response"]["guids"]
        assert told["response"]["counts"] == list(range(EFFECTS))


def test_a_scheduled_script_that_is_killed_happens_once(folder: Path, options: list[str]) -> None:
    """On a server alone as well: what it was about to do is in its database."""
    write_script(
        folder / "apps" / "test",
        "later",
        f"""
        var session = bridge.getSessionForProfile(data.profile);
        var proxy = bridge.getEntityServiceProxy(session);
        for (var i = 0; i < {EFFECTS}; i++) proxy.createEntity("once", {{number: i}}, null);
        """,
    )
    flag = folder / "die"
    environment = {"DIE_AT": str(flag)}
    player = Player(f"later-{uuid.uuid4()}")
    with serve(folder, *options, module=MORTAL, environment=environment) as mortal:
        player.log_in(mortal)
        profile = player.call(mortal, "playerState", "READ")["data"]["profileId"]
        flag.write_text("9")
        player.call(
            mortal, "script", "SCHEDULE_CLOUD_SCRIPT", scriptName="later", scriptData={"profile": profile},
            minutesFromNow=0,
        )  # fmt: skip
        assert mortal.popen.wait(SECONDS_MAX) == -9
    with serve(folder, *options) as calm:
        player.log_in(calm)
        end = time.monotonic() + SECONDS_MAX
        while len(effects := once(player, calm)) < EFFECTS or running(player, calm):
            assert time.monotonic() < end, effects
            time.sleep(0.1)  # until the lease of the process that died lapses
        assert [effect["number"] for effect in effects] == list(range(EFFECTS))


def running(player: Player, server: Process) -> bool:
    listed = player.call(server, "script", "GET_RUNNING_OR_QUEUED_CLOUD_SCRIPTS")["data"]
    return bool(listed["runningOrQueuedJobs"])
