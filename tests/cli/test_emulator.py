"""The emulator: an ephemeral server that is put back."""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect

from gameserver import emulator as emulating
from gameserver import testing
from gameserver.admin import staff
from gameserver.emulator import Emulator
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.cli.running import program, running

ROOT = Path(__file__).parents[2]
APP = """
id = "10001"
secret = "a secret of the tests"
signature = "optional"
[login]
anonymous_id_alone = true
"""
BOARD = '[leaderboard.boards.main]\ntype = "HIGH_VALUE"\nrotation = "NEVER"\n'


class Playing:
    """Talks to an emulator in process."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(emulator), base_url="http://emulator.test", timeout=30
        )
        self.numbers = itertools.count(1)
        self.session = ""

    async def ask(self, what: str, body: Any = None) -> dict[str, Any]:
        answer = await self.http.post(f"/emulator/{what}", json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def refused(self, what: str, **request: Any) -> tuple[int, str]:
        answer = await self.http.post(f"/emulator/{what}", **request)
        return answer.status_code, answer.json()["status_message"]

    async def call(self, operation: str, data: Any = None, number: int | None = None) -> dict[str, Any]:
        service, _, name = operation.partition(".")
        packet = {
            "packetId": next(self.numbers) if number is None else number,
            "sessionId": self.session,
            "gameId": "10001",
            "messages": [{"service": service, "operation": name, "data": data or {}}],
        }
        answer = await self.http.post("/dispatcher", json=packet)
        entry: dict[str, Any] = answer.json()["responses"][0]
        return entry

    async def log_in(self, external_id: str = "ada") -> dict[str, Any]:
        self.session = ""
        data = {
            "authenticationType": "Anonymous",
            "externalId": external_id,
            "authenticationToken": "",
            "forceCreate": True,
        }
        told: dict[str, Any] = (await self.call("authenticationV2.AUTHENTICATE", data, 0))["data"]
        self.session, self.numbers = told["sessionId"], itertools.count(1)
        return told


@pytest.fixture
async def playing(tmp_path: Path) -> AsyncIterator[Playing]:
    folder = tmp_path / "apps" / "game"
    folder.mkdir(parents=True)
    (folder / "app.toml").write_text(APP + BOARD)
    data = tmp_path / "data"
    emulator = Emulator(Settings(apps=tmp_path / "apps", data=data, ephemeral=True, seed=7))
    await emulator.open()
    made = Playing(emulator)
    yield made
    await made.http.aclose()
    await emulator.close()
    assert not list(data.iterdir())


async def test_a_reset_leaves_nothing(playing: Playing) -> None:
    first = await playing.log_in()
    post = {"leaderboardId": "main", "score": 10, "data": {}}
    assert (await playing.call("leaderboard.POST_SCORE", post))["status"] == 200
    await playing.ask("clock", {"advanceSeconds": 60})
    told = await playing.ask("reset")
    assert told == {
        "version": told["version"], "now": FixedClock().ms(), "apps": ["10001"], "snapshots": []
    }  # fmt: skip
    assert (await playing.call("playerState.READ"))["reason_code"] == 40304
    again = await playing.log_in()
    assert again["newUser"] == "true"
    assert (again["profileId"], again["sessionId"]) == (first["profileId"], first["sessionId"])  # the seed's
    page = {"leaderboardId": "main", "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 9}
    found = await playing.call("leaderboard.GET_GLOBAL_LEADERBOARD_PAGE", page)
    assert found["data"]["leaderboard"] == []


async def test_a_snapshot_is_gone_back_to_as_often_as_wanted(playing: Playing) -> None:
    await playing.log_in()
    create = {"entityType": "ship", "data": {"hull": 3}, "acl": {"other": 0}}
    await playing.call("entity.CREATE", create)
    await playing.ask("clock", {"advanceSeconds": 60})
    assert (await playing.ask("snapshot", {"name": "one ship"}))["snapshots"] == ["one ship"]
    seen = set()
    for _ in range(2):
        told = await playing.ask("restore", {"name": "one ship"})
        assert told["now"] == FixedClock().ms() + 60_000
        assert (await playing.call("playerState.READ"))["reason_code"] == 40304  # sessions are not in it
        assert (await playing.log_in())["loginCount"] == 2
        made = await playing.call("entity.CREATE", create)
        seen.add(made["data"]["entityId"])  # the seed goes on where it was
        ships = await playing.call("entity.READ_BY_TYPE", {"entityType": "ship"})
        assert len(ships["data"]["entities"]) == 2
    assert len(seen) == 1
    await playing.ask("snapshot", {"name": "one ship"})  # of two, by now
    await playing.ask("restore", {"name": "one ship"})
    await playing.log_in()
    ships = await playing.call("entity.READ_BY_TYPE", {"entityType": "ship"})
    assert len(ships["data"]["entities"]) == 2
    assert (await playing.ask("forget", {"name": "one ship"}))["snapshots"] == []


async def test_a_seed_is_what_a_reset_leads_back_to(playing: Playing) -> None:
    lines = [
        b'{"type":"player","profileId":"p1","identities":[{"authenticationType":"Anonymous","externalId":"ada"}]}',
        '{"type":"score","leaderboardId":"main","profileId":"p1","score":5,"data":{"s":"a\u2028b"}}'.encode(),
        b"",
    ]
    told = await playing.http.post("/emulator/seed", content=b"\n".join(lines))
    assert told.json()["taken"] == {"player": 1, "score": 1}
    assert (await playing.log_in())["profileId"] == "p1"
    post = {"leaderboardId": "main", "score": 10, "data": {}}
    await playing.call("leaderboard.POST_SCORE", post)
    await playing.ask("reset")
    assert (await playing.log_in())["loginCount"] == 1
    page = {"leaderboardId": "main", "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 9}
    found = await playing.call("leaderboard.GET_GLOBAL_LEADERBOARD_PAGE", page)
    assert [(row["playerId"], row["score"]) for row in found["data"]["leaderboard"]] == [("p1", 5)]

    lines[1] = b'{"type":"score","leaderboardId":"none","profileId":"p1","score":5}'
    status, message = await playing.refused("seed", content=b"\n".join(lines))
    assert (status, message) == (
        400,
        "the seed is not taken:\nline 2: there is no leaderboard 'none'; its line comes before this",
    )
    status, message = await playing.refused("seed?app=7", content=b"")
    assert (status, message) == (400, "?app= names the app that the seed is for; there are 10001")
    assert (await playing.refused("seed", content=b"\xff"))[0] == 400
    assert (await playing.call("playerState.READ"))["status"] == 200  # the session is still there


async def test_what_time_makes_due_is_done_before_the_answer(playing: Playing) -> None:
    jobs = playing.emulator.server.jobs
    await jobs.tick()  # from now on there is a time for each
    told = await playing.ask("clock", {"advanceSeconds": 86_400})
    assert told["now"] == FixedClock().ms() + 86_400_000
    listed = await jobs.list()
    assert {job["late_ms"] for job in listed} == {0}
    assert {job["ended_ms"] for job in listed if job["name"] == "sessions.sweep"} == {told["now"]}


async def test_a_job_that_ran_when_a_snapshot_was_taken_is_nobodys_afterwards(playing: Playing) -> None:
    jobs = playing.emulator.server.jobs
    await jobs.tick()
    await jobs.settled()
    async with playing.emulator.server.core.database.write() as tx:
        held = "UPDATE jobs SET holder = 'gone', ready_ms = ready_ms + 900000 WHERE name = 'sessions.sweep'"
        await tx.run(text(held))
    await playing.ask("snapshot", {"name": "busy"})
    await playing.ask("restore", {"name": "busy"})
    await playing.ask("clock", {"advanceSeconds": 61})
    listed = {job["name"]: job for job in await playing.emulator.server.jobs.list()}
    assert (listed["sessions.sweep"]["running"], listed["sessions.sweep"]["late_ms"]) == (0, 0)


async def test_what_has_begun_is_answered_by_the_server_it_began_with(playing: Playing) -> None:
    await playing.log_in()
    before, may_end, begun = playing.emulator.server, asyncio.Event(), asyncio.Event()
    packet = (
        b'{"packetId":1,"sessionId":"%s","gameId":"10001","messages":'
        b'[{"service":"playerState","operation":"READ","data":{}}]}' % playing.session.encode()
    )

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()
        await may_end.wait()
        yield packet

    asked = asyncio.create_task(playing.http.post("/dispatcher", content=slowly()))
    await begun.wait()
    resetting = asyncio.create_task(playing.ask("reset"))
    while playing.emulator.server is before and not resetting.done():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert not resetting.done()
    may_end.set()
    assert (await asked).json()["responses"][0]["status"] == 200
    await resetting


async def test_what_cannot_be_done_is_refused_and_changes_nothing(
    playing: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = playing.emulator.server
    assert await playing.refused("restore", json={"name": "x"}) == (404, "there is no snapshot 'x'")
    assert await playing.refused("forget", json={"name": "x"}) == (404, "there is no snapshot 'x'")
    for what, body in (
        ("snapshot", b"{}"),
        ("snapshot", b'{"name":""}'),
        ("snapshot", b'{"name":"%s"}' % (b"x" * 65)),
        ("restore", b'{"name":7}'),
        ("clock", b'{"advanceSeconds":-1}'),
        ("clock", b'{"advanceSeconds":1e300}'),
        ("clock", b'{"advance_seconds":1}'),
        ("reset", b"[]"),
        ("reset", b"\xff"),
        ("reset", b'{"all":true}'),
    ):
        status, message = await playing.refused(what, content=body)
        assert (status, message.partition(":")[0]) == (400, "the body"), (what, body)
    status, message = await playing.refused("reset", content=b" " * 5000)
    assert (status, message) == (413, "the body has at most 4096 bytes")
    assert (await playing.refused("nothing"))[0] == 404
    assert (await playing.http.get("/emulator/reset")).status_code == 405
    assert (await playing.http.post("/emulators")).status_code == 404
    monkeypatch.setattr(emulating, "SNAPSHOTS_MAX", 1)
    await playing.ask("snapshot", {"name": "one"})
    await playing.ask("snapshot", {"name": "one"})
    assert (await playing.refused("snapshot", json={"name": "two"}))[0] == 409
    monkeypatch.setattr(emulating, "SNAPSHOTS_BYTES_MAX", 1000)
    assert (await playing.refused("snapshot", json={"name": "one"}))[0] == 409
    assert (await playing.http.get("/emulator")).json()["snapshots"] == ["one"]
    assert playing.emulator.server is server


async def test_a_reset_ends_connections(tmp_path: Path) -> None:
    with running(tmp_path, "--ephemeral") as server:
        session = server.log_in()["data"]["sessionId"]
        offered = server.call(session, 1, "rttRegistration", "REQUEST_CLIENT_CONNECTION")["data"]
        secret = offered["auth"]["X-RTT-SECRET"]
        address = server.url.replace("http", "ws")
        async with connect(f"{address}/?X-APPID=10001&X-RTT-SECRET={secret}") as socket:
            frame = f'{{"service":"rtt","operation":"CONNECT","data":{{"sessionId":"{session}"}}}}'
            await socket.send(frame)
            assert '"operation":"CONNECT"' in str(await socket.recv())
            answer = await asyncio.to_thread(server.post, {}, "/emulator/reset")
            assert answer.status_code == 200
            assert '"operation":"DISCONNECT"' in str(await socket.recv())
        session = server.log_in()["data"]["sessionId"]
        assert server.call(session, 1, "rttRegistration", "REQUEST_CLIENT_CONNECTION")["status"] == 200
        assert server.stop() == 0
    with running(tmp_path) as server:
        assert server.post({}, "/emulator/reset").status_code == 404


# What starts it for tests of games


async def test_who_looks_at_it_in_the_console_stays_logged_in(playing: Playing) -> None:
    await playing.ask("snapshot", {"name": "empty"})
    token = await staff.first_invitation(playing.emulator.server)
    form = {"name": "ada", "password": "a long enough password", "repeat": "a long enough password"}
    entered = await playing.http.post(f"/console/welcome/{token}", data=form)
    assert entered.status_code == 303
    for what, body in (("reset", None), ("restore", {"name": "empty"})):
        await playing.log_in()
        await playing.ask(what, body)
        page = await playing.http.get("/console/apps/10001")
        assert (page.status_code, "Nobody has logged in yet" in page.text) == (200, True)
    assert await staff.first_invitation(playing.emulator.server) is None


IS_INSTALLED = "gameserver" in entry_points(group="pytest11").names
PLUGIN = () if IS_INSTALLED else ("-p", "gameserver.pytest_plugin")
"""A source tree that is only on the path has no entry points, by which pytest finds what is installed."""
TESTS = """
import gameserver_client


def log_in(emulator, name="ada"):
    with gameserver_client.Client(emulator.url, emulator.app_id) as client:
        return client.authenticate_anonymous(name, force_create=True)


def test_one(emulator):
    assert log_in(emulator)["newUser"] == "true"
    emulator.snapshot("ada")
    assert log_in(emulator)["loginCount"] == 2
    emulator.restore("ada")
    assert log_in(emulator)["loginCount"] == 2


def test_another(emulator):
    assert log_in(emulator)["newUser"] == "true"
    assert emulator.app_id == "20001" and emulator.secret == "a secret from outside"
    assert emulator.seed([{"type": "player", "profileId": "p1"}]) == {"player": 1}
    before = emulator.now_ms
    assert emulator.advance(60) == before + 60_000
"""


def test_a_test_of_a_game_begins_with_a_server_in_which_nothing_has_happened(tmp_path: Path) -> None:
    (tmp_path / "apps" / "racer").mkdir(parents=True)
    own = APP.replace("10001", "20001").replace(
        'secret = "a secret of the tests"', 'secret_env = "RACER_SECRET"'
    )
    (tmp_path / "apps" / "racer" / "app.toml").write_text(own)
    (tmp_path / "test_game.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ngameserver_apps = apps\ngameserver_options = --seed 7\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGIN],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "RACER_SECRET": "a secret from outside"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_server_begins_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "seed.jsonl"
    login = '"identities":[{"authenticationType":"Anonymous","externalId":"ada"}]'
    file.write_text(f'{{"type":"player","profileId":"p1",{login}}}\n')
    with running(tmp_path / "game", "--ephemeral", "--seed-file", str(file)) as server:
        for _ in range(2):
            assert server.log_in("ada", forceCreate=False)["data"]["profileId"] == "p1"
            assert server.post({}, "/emulator/reset").status_code == 200
    file.write_text('{"type":"palyer"}\n')
    done = program(tmp_path, "serve", "--ephemeral", "--port", "0", "--seed-file", str(file))
    assert done.returncode == 1
    assert "--seed-file: the seed is not taken:\nline 1: type: expected one of" in done.stderr
    done = program(tmp_path, "serve", "--seed-file", str(file))
    assert (done.returncode, done.stderr.split(";")[0]) == (2, "--seed-file works with --ephemeral")


def test_an_emulator_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(testing.CannotStart, match="Invalid value for '--seed'"),
        testing.emulator(options=["--seed", "x"]),
    ):
        pass
