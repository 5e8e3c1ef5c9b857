"""Promises across processes: logout means logout, and a packet happens once whatever dies in between."""

import hashlib
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.conftest import APP_ID, APP_TOML, BACKENDS, SECRET
from tests.processes import Process, request, serve

MORTAL = "tests.simulation.mortal_server"


class Player:
    """A blocking client that can send the same bytes to any process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session_id = ""
        self.packet_id = -1

    def body(self, *messages: tuple[str, str, Any]) -> bytes:
        self.packet_id += 1
        return msgspec.json.encode(
            {
                "packetId": self.packet_id,
                "sessionId": self.session_id,
                "gameId": APP_ID,
                "messages": [{"service": s, "operation": o, "data": d} for s, o, d in messages],
            }
        )

    def send(self, server: Process, body: bytes) -> httpx.Response:
        signature = hashlib.md5(body + SECRET.encode()).hexdigest()
        return request("POST", f"{server.url}/dispatcherv2", content=body, headers={"X-SIG": signature})

    def call(self, server: Process, service: str, operation: str, **data: Any) -> dict[str, Any]:
        [entry] = self.send(server, self.body((service, operation, data))).json()["responses"]
        return dict(entry)

    def log_in(self, server: Process) -> None:
        entry = self.call(
            server,
            "authenticationV2",
            "AUTHENTICATE",
            authenticationType="Universal",
            externalId=self.name,
            authenticationToken="secret",
            forceCreate=True,
        )
        assert entry["status"] == 200, entry
        self.session_id = entry["data"]["sessionId"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP_TOML)
    return tmp_path


@pytest.fixture
def options(services: dict[str, str], migrated: object) -> list[str]:
    return [part for name, url in services.items() for part in (f"--{name}", url)]


@contextmanager
def two(folder: Path, options: list[str], **first: Any) -> Iterator[tuple[Process, Process]]:
    """Two processes over the same services."""
    if BACKENDS == "embedded":
        pytest.skip("one process is all there is without services")
    with ExitStack() as stack:
        yield (
            stack.enter_context(serve(folder, *options, **first)),
            stack.enter_context(serve(folder, *options)),
        )


def test_logged_out_on_one_is_refused_on_the_other(folder: Path, options: list[str]) -> None:
    with two(folder, options) as (a, b):
        player = Player("logout")
        player.log_in(a)
        assert player.call(b, "playerState", "READ")["status"] == 200
        assert player.call(a, "playerState", "LOGOUT") == {"status": 200, "data": None}
        refused = player.call(b, "playerState", "READ")
        assert (refused["status"], refused["reason_code"]) == (403, 40304)


def test_a_second_login_drops_the_first_everywhere(folder: Path, options: list[str]) -> None:
    with two(folder, options) as (a, b):
        first, second = Player("twice"), Player("twice")
        first.log_in(a)
        second.log_in(b)
        refused = first.call(a, "playerState", "READ")
        assert (refused["status"], refused["reason_code"]) == (403, 40356)
        assert second.call(a, "playerState", "READ")["status"] == 200


@pytest.mark.parametrize("moment", ["DIE_BEFORE_ANSWER", "DIE_BEFORE_COMMIT"])
def test_a_killed_process_is_replaced_by_another(folder: Path, options: list[str], moment: str) -> None:
    flag = folder / "die"
    with two(folder, options, environment={moment: str(flag)}, module=MORTAL) as (mortal, other):
        _once_after_a_kill(mortal, other, flag, moment)


@pytest.mark.parametrize("moment", ["DIE_BEFORE_ANSWER", "DIE_BEFORE_COMMIT"])
def test_a_killed_process_is_started_again(folder: Path, options: list[str], moment: str) -> None:
    flag = folder / "die"
    with serve(folder, *options, environment={moment: str(flag)}, module=MORTAL) as mortal:
        player, body = _kill_with_a_packet(mortal, flag)
        with serve(folder, *options) as again:
            _check_once(player, body, again, moment, session_survives=BACKENDS != "embedded")


def _kill_with_a_packet(mortal: Process, flag: Path) -> tuple[Player, bytes]:
    player = Player(f"kill-{uuid.uuid4()}")  # the database is shared by the tests of a run
    player.log_in(mortal)
    body = player.body(
        ("playerState", "UPDATE_NAME", {"playerName": "Once"}),
        ("playerState", "EXTEND_USER_STATUS", {"statusName": "boost", "additionalSecs": 1000, "details": {}}),
    )
    flag.touch()
    with pytest.raises(httpx.TransportError):
        player.send(mortal, body)
    assert mortal.popen.wait(10) == -9
    return player, body


def _once_after_a_kill(mortal: Process, other: Process, flag: Path, moment: str) -> None:
    player, body = _kill_with_a_packet(mortal, flag)
    _check_once(player, body, other, moment, session_survives=True)


def _check_once(player: Player, body: bytes, server: Process, moment: str, *, session_survives: bool) -> None:
    answer = _repeat(player, server, body)
    if not session_survives and moment == "DIE_BEFORE_COMMIT":
        # Nothing had happened, and sessions in memory died with the process: the client logs in again.
        assert [entry["reason_code"] for entry in answer.json()["responses"]] == [40304, 40304]
        return
    entries = answer.json()["responses"]
    assert [entry["status"] for entry in entries] == [200, 200]
    assert _repeat(player, server, body).content == answer.content
    if not session_survives:
        player.log_in(server)
    status = player.call(server, "playerState", "GET_USER_STATUS", statusName="boost")["data"]["boost"]
    assert status["activeUntil"] - status["activeStart"] == 1_000_000


def _repeat(player: Player, server: Process, body: bytes) -> httpx.Response:
    """Send the packet again as the SDKs do, until the dead process's claim lapses."""
    for _ in range(60):
        response = player.send(server, body)
        if response.status_code == 200:
            return response
        assert response.status_code == 503
        assert response.json()["packetId"] == player.packet_id
        pause()
    raise AssertionError("the claim of the dead process never lapsed")


def pause() -> None:
    """Wait as a client does between tries; the lease of a dead process runs on real time."""
    threading.Event().wait(0.5)
