"""The transcripts other teams test their clients with, replayed against the server in process."""

import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameserver.protocol_export import INDEX, documents
from gameserver.rpc import Registry
from gameserver.services import ALL
from tests.conftest import Game
from tests.processes import serve
from tests.protocol.dialect import check_bundle
from tests.protocol.replay import Mismatch, Replay

FOLDER = Path(__file__).parents[2] / "protocol" / "transcripts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    transcript: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return transcript


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The usual apps, and the one the transcripts are written for."""
    (apps_folder / "transcripts").mkdir()
    (apps_folder / "transcripts" / "app.toml").write_bytes((FOLDER / "app.toml").read_bytes())
    return apps_folder


@pytest.mark.parametrize("name", NAMES)
async def test_the_server_answers_as_the_transcript_says(game: Game, name: str) -> None:
    async def wait(seconds: float) -> None:
        game.clock.advance(seconds)

    await play(name, game.http, wait)


async def test_so_does_a_server_that_was_started_as_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "apps" / "transcripts").mkdir(parents=True)
    shutil.copy(FOLDER / "app.toml", tmp_path / "apps" / "transcripts")
    with serve(tmp_path, "--ephemeral") as server:
        async with httpx.AsyncClient(base_url=server.url) as http:

            async def wait(seconds: float) -> None:
                moved = await http.post("/_clock", json={"advance_seconds": seconds})
                assert moved.status_code == 200, moved.text

            for name in NAMES:
                await play(name, http, wait)


async def play(name: str, http: httpx.AsyncClient, wait: Callable[[float], Awaitable[None]]) -> None:
    """Send the requests of a transcript and compare the answers."""
    transcript = load(name)
    replay = Replay(transcript["app"]["secret"])
    for number, step in enumerate(transcript["steps"], 1):
        if "wait_seconds" in step:
            await wait(step["wait_seconds"])
            continue
        request = step["request"]
        body, headers = replay.request(request)
        response = await http.request(request["method"], request["path"], content=body, headers=headers)
        check_bundle(response.content)
        try:
            replay.compare(step["answer"], response.status_code, response.content, step.get("name"))
        except Mismatch as mismatch:
            pytest.fail(f"{name}, step {number} ({step['say']}): {mismatch}\n{response.text}")


@pytest.mark.parametrize("name", NAMES)
def test_requests_use_only_fields_that_exist(name: str) -> None:
    fields = {
        method["name"]: {param["name"] for param in method["params"]}
        for method in documents(Registry(ALL))[INDEX]["methods"]
    }
    for step in load(name)["steps"]:
        for message in _messages(step):
            data = message.get("data") or {}
            known = fields.get(f"{message['service']}.{message['operation']}", set())
            assert data.keys() <= known, f"{step['say']}: {data.keys() - known}"


@pytest.mark.parametrize("name", NAMES)
def test_written_out_signatures_are_right_unless_they_are_meant_to_be_wrong(name: str) -> None:
    transcript = load(name)
    replay = Replay(transcript["app"]["secret"])
    for step in transcript["steps"]:
        signature = step.get("request", {}).get("headers", {}).get("X-SIG", "$")
        if signature.startswith("$") or _refuses_the_packet(step["answer"]):
            continue
        text = replay.text(step["request"])
        assert signature.lower() == hashlib.md5(text + replay.secret.encode()).hexdigest(), step["say"]
        assert step["request"].get("unpacked", text.decode()) == text.decode(), step["say"]


def test_every_transcript_says_what_it_shows() -> None:
    assert NAMES
    for name in NAMES:
        transcript = load(name)
        assert transcript["about"]
        assert all(step["say"] for step in transcript["steps"])
        assert transcript["app"]["secret"] in (FOLDER / "app.toml").read_text("utf-8")
        assert f"({name}.json)" in (FOLDER / "README.md").read_text("utf-8"), (
            f"README.md does not link {name}.json"
        )


def test_patterns_notice_differences() -> None:
    replay = Replay("secret")
    replay.match({"a": "$integer as n", "...": "$any"}, {"a": 1, "b": 2}, "answer")
    replay.match(["$same n"], [1], "answer")
    for pattern, value in (
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {}),
        ({"a": 1}, []),
        ([1], [1, 2]),
        ([1], None),
        ("$same n", 2),
        ("$integer", True),
        ("$integer", 1.5),
        ("$text", 1),
        ("$session_id", "short"),
        (1, True),
        (None, 0),
        ("a", "b"),
    ):
        with pytest.raises(Mismatch):
            replay.match(pattern, value, "answer")
    with pytest.raises(ValueError, match="no such pattern"):
        replay.match("$unknown", 1, "answer")


def _messages(step: dict[str, Any]) -> list[dict[str, Any]]:
    request = step.get("request", {})
    try:
        packet = json.loads(request.get("unpacked") or request.get("body", "{}"))
    except ValueError:
        return []  # meant to be unreadable
    messages = packet.get("messages", [])
    return messages if isinstance(messages, list) else []


def _refuses_the_packet(answer: dict[str, Any]) -> bool:
    reasons = {entry.get("reason_code") for entry in answer.get("body", {}).get("responses", ())}
    return bool(reasons & {40301, 40408})
