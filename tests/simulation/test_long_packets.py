"""Packets that run longer than their clients wait: they run once, and the newest connection gets the answer."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import APP_TOML, BACKENDS
from tests.processes import Process, serve
from tests.services.test_script import write_script
from tests.simulation.test_processes import Player

SLOW = "tests.simulation.slow_server"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML)
    return tmp_path


@pytest.fixture
def options(services: dict[str, str], migrated: object) -> list[str]:
    return [part for name, url in services.items() for part in (f"--{name}", url)]


class Slow:
    """A player with a packet that runs until told."""

    def __init__(self, folder: Path, name: str) -> None:
        self.until, self.ran = folder / f"{name}-until", folder / f"{name}-ran"
        self.player = Player(f"{name}-{folder}")
        self.body = b""

    def log_in(self, server: Process) -> None:
        self.player.log_in(server)
        data = {"until": str(self.until), "ran": str(self.ran)}
        self.body = self.player.body(("slow", "WAIT", data))

    def send(self, server: Process) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(asyncio.to_thread(self.player.send, server, self.body))

    async def started(self) -> None:
        async with asyncio.timeout(10):
            while not self.ran.exists():
                await asyncio.sleep(0.02)

    @property
    def runs(self) -> int:
        return len(self.ran.read_text().splitlines())


async def test_the_newest_connection_gets_the_answer(folder: Path, options: list[str]) -> None:
    with serve(folder, *options, module=SLOW) as server:
        slow, other = Slow(folder, "newest"), Player(f"other-{folder}")
        slow.log_in(server)
        older = slow.send(server)
        await slow.started()
        newer = slow.send(server)
        with pytest.raises(httpx.TransportError):
            await older
        other.log_in(server)  # everybody else goes on meanwhile
        assert other.call(server, "time", "READ")["status"] == 200
        slow.until.touch()
        answer = await newer
        assert answer.json()["responses"] == [{"status": 200, "data": None}]
        assert slow.runs == 1
        assert (await slow.send(server)).content == answer.content


async def test_who_waits_too_long_is_told_so(folder: Path, options: list[str]) -> None:
    with serve(folder, *options, module=SLOW, environment={"SLOW_RUN_SECONDS_MAX": "0.5"}) as server:
        slow = Slow(folder, "long")
        slow.log_in(server)
        late = await slow.send(server)
        assert (late.status_code, late.json()["packetId"]) == (504, slow.player.packet_id)
        duplicate = await slow.send(server)
        assert (duplicate.status_code, duplicate.json()["reason_code"]) == (503, 40606)
        slow.until.touch()
        answer = await finished(slow, server)
        assert answer.json()["responses"] == [{"status": 200, "data": None}]
        assert slow.runs == 1


async def test_a_copy_at_another_process_waits(folder: Path, options: list[str]) -> None:
    if BACKENDS == "embedded":
        pytest.skip("one process is all there is without services")
    with serve(folder, *options, module=SLOW) as server, serve(folder, *options, module=SLOW) as other:
        slow = Slow(folder, "copy")
        slow.log_in(server)
        running = slow.send(server)
        await slow.started()
        elsewhere: Any = await slow.send(other)
        assert (elsewhere.status_code, elsewhere.json()["reason_code"]) == (503, 40606)
        slow.until.touch()
        answer = await running
        assert (await finished(slow, other)).content == answer.content
        assert slow.runs == 1


async def finished(slow: Slow, server: Process) -> httpx.Response:
    """Send the packet again until it is no longer in progress."""
    async with asyncio.timeout(10):
        while (response := await slow.send(server)).status_code == 503:
            await asyncio.sleep(0.05)
    return response


# Scripts, which may take longer than other packets

SLEEPER = """
    bridge.getEntityServiceProxy().createEntity("ran", {}, null);
    bridge.sleep(data.ms);
    "awake";
"""


def sleeper(folder: Path, name: str) -> Player:
    write_script(folder / "apps" / "test", "sleep", SLEEPER, scriptTimeout=60)
    return Player(f"{name}-{folder}")


def ran(player: Player, server: Process) -> int:
    found = player.call(server, "entity", "READ_BY_TYPE", entityType="ran")
    return len(found["data"]["entities"])


async def test_a_long_script_runs_once_and_the_newest_connection_gets_the_answer(
    folder: Path, options: list[str]
) -> None:
    """A client that gives up on three tries, and sends the packet again each time."""
    player = sleeper(folder, "patient")
    with serve(folder, *options, module=SLOW, environment={"SLOW_RUN_SECONDS_MAX": "4"}) as server:
        player.log_in(server)
        body = player.body(("script", "RUN", {"scriptName": "sleep", "scriptData": {"ms": 5000}}))
        tries = []
        for _ in range(4):
            tries.append(asyncio.create_task(asyncio.to_thread(player.send, server, body)))
            await asyncio.sleep(1)
        for older in tries[:3]:
            with pytest.raises(httpx.TransportError):
                await older
        answer = await tries[3]
        [entry] = answer.json()["responses"]
        assert entry["data"] == {"response": "awake", "success": True}
        assert player.send(server, body).content == answer.content
        assert ran(player, server) == 1


async def test_a_script_that_takes_too_long_is_no_packet_any_more(folder: Path, options: list[str]) -> None:
    player = sleeper(folder, "hopeless")
    with serve(folder, *options, module=SLOW, environment={"SLOW_RUN_SECONDS_MAX": "0.2"}) as server:
        player.log_in(server)
        body = player.body(("script", "RUN", {"scriptName": "sleep", "scriptData": {"ms": 4000}}))
        late = await asyncio.to_thread(player.send, server, body)
        assert (late.status_code, late.json()["packetId"]) == (504, player.packet_id)
        duplicate = await asyncio.to_thread(player.send, server, body)
        assert (duplicate.status_code, duplicate.json()["reason_code"]) == (503, 40606)
        async with asyncio.timeout(20):
            while (answer := await asyncio.to_thread(player.send, server, body)).status_code == 503:
                await asyncio.sleep(0.1)
        assert answer.json()["responses"][0]["data"]["response"] == "awake"
        assert ran(player, server) == 1
