"""What servers log, how operators read it, and how it is forgotten."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from gameserver.cli import logs as following
from gameserver.players import app_log
from gameserver.players.app_log import AppLog
from tests.cli.running import command, json_of, running
from tests.conftest import APP_ID, APP_TOML, Game

LOG = "log"
OPERATIONS = {"error": "LOG_ERROR", "warning": "LOG_WARNING", "info": "LOG_INFO"}
DAY = 86_400
KEY = "a-secret-of-a-server-0123456789"


async def lines(game: Game, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
    """The newest lines of the app's log."""
    listed: list[dict[str, Any]] = await actions.log_list(game.server_app, APP_ID, limit, **filters)
    return listed


@pytest.mark.parametrize("level", OPERATIONS)
async def test_a_server_logs_a_line(game: Game, level: str) -> None:
    message, context = game.unique("went wrong"), {"msg": "why", "deep": [1, None, {"a.b": "$"}]}
    said = await game.server.call(LOG, OPERATIONS[level], errorMessage=message, jsonContext=context)
    assert said is None
    [line] = await lines(game, text=message)
    assert line == {
        "id": line["id"],
        "app_id": APP_ID,
        "at_ms": game.clock.ms(),
        "level": level,
        "message": message,
        "context": context,
        "face": "test",
        "source": "",
        "profile_id": "",
    }


async def test_a_context_may_be_text_or_missing_or_go_by_its_other_name(game: Game) -> None:
    message = game.unique("m")
    for data in ({}, {"jsonContext": None}, {"jsonContext": "text"}, {"context": "other"}):
        await game.server.call(LOG, "LOG_INFO", errorMessage=message, **data)
    contexts = [line["context"] for line in await lines(game, text=message)]
    assert contexts == ["other", "text", None, None]


async def test_what_a_server_logs_for_a_player_names_them(game: Game) -> None:
    player = await game.player()
    await game.server.call(LOG, "LOG_ERROR", player.profile_id, errorMessage="lost a sword")
    [line] = await lines(game, equal={"profile_id": player.profile_id})
    assert line["message"] == "lost a sword"


async def test_long_texts_are_cut(game: Game) -> None:
    mark = game.unique("long")
    context = {"text": "\N{SNOWMAN}" * 20_000}
    await game.server.call(LOG, "LOG_ERROR", errorMessage=mark + "x" * 9000, jsonContext=context)
    [line] = await lines(game, text=mark)
    assert len(line["message"]) == app_log.MESSAGE_MAX
    assert line["message"].endswith("…")
    assert line["context"].startswith('{"text":"\N{SNOWMAN}')
    assert len(line["context"]) == app_log.CONTEXT_MAX // 2


@pytest.mark.parametrize("operation", OPERATIONS.values())
async def test_clients_do_not_log(game: Game, operation: str) -> None:
    player = await game.player()
    refusal = await player.refused(LOG, operation, errorMessage="mine")
    assert (refusal.status, refusal.reason_code) == (403, 40346)
    refusal = await game.server.refused(LOG, operation)
    assert (refusal.status, refusal.reason_code) == (400, 40358)


async def test_lines_are_picked_by_level_text_source_and_time(game: Game) -> None:
    mark = game.unique("pick")
    begin = game.clock.ms()
    for number, (level, operation) in enumerate(OPERATIONS.items()):
        game.clock.advance(1)
        await game.server.call(LOG, operation, errorMessage=f"{mark} {level} {number}%")
    found = await lines(game, text=mark, level="warning")
    assert [line["level"] for line in found] == ["warning", "error"]
    assert [line["level"] for line in await lines(game, text=f"{mark} error 0%")] == ["error"]
    assert await lines(game, text=f"{mark}%error") == []
    assert len(await lines(game, text=mark, since_ms=begin + 2000)) == 2
    assert len(await lines(game, text=mark, until_ms=begin + 2000)) == 1
    [_, middle, _] = await lines(game, text=mark)
    assert [line["level"] for line in await lines(game, text=mark, after=middle["id"])] == ["error"]
    assert await lines(game, text=mark, equal={"source": "somebody"}) == []


async def test_what_is_noted_beside_a_packet_is_there_when_operators_look(game: Game) -> None:
    path = game.unique("daily/reward")
    log = game.core.get(AppLog)
    for number in range(3):
        log.note(game.app, "error", f"line {number}", {"line": number}, face="script", source=path)
    found = await lines(game, equal={"source": path})
    assert [(line["message"], line["face"]) for line in reversed(found)] == [
        (f"line {number}", "script") for number in range(3)
    ]


async def test_old_lines_are_forgotten(game: Game) -> None:
    message = game.unique("old")
    await game.server.call(LOG, "LOG_INFO", errorMessage=message)
    game.clock.advance(30 * DAY - 1)
    await game.run_jobs("log.forget")
    assert len(await lines(game, text=message)) == 1
    game.clock.advance(2)
    await game.run_jobs("log.forget")
    assert await lines(game, text=message) == []


@pytest.fixture
def few(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[log]\nlines_most = 100\n")


@pytest.mark.usefixtures("few")
async def test_the_oldest_lines_go_when_there_are_too_many(game: Game, monkeypatch: Any) -> None:
    monkeypatch.setattr(app_log, "AT_ONCE", 7)  # so that it takes several steps
    game.clock.advance(400 * DAY)  # other tests of the run share the database
    await game.run_jobs("log.forget")
    log = game.core.get(AppLog)
    for number in range(120):
        log.note(game.app, "info", f"{number}", face="test")
    assert len(await lines(game, 500)) >= 120
    await game.run_jobs("log.trim")
    found = await lines(game, 500)
    assert [line["message"] for line in reversed(found)] == [str(number) for number in range(20, 120)]


@pytest.fixture
def none_kept(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[log]\nkeep_days = 0\n")


@pytest.mark.usefixtures("none_kept")
async def test_an_app_may_keep_nothing(game: Game) -> None:
    message = game.unique("nothing")
    await game.server.call(LOG, "LOG_INFO", errorMessage=message)
    game.core.get(AppLog).note(game.app, "info", message, face="test")
    assert await lines(game, text=message) == []


@pytest.fixture
def room(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + f'[servers.room]\nsecret = "{KEY}"\n')


@pytest.mark.usefixtures("room")
async def test_a_servers_packet_that_comes_again_logs_once_under_its_name(game: Game) -> None:
    message = game.unique("once")
    login = {"appId": APP_ID, "serverName": "room", "serverSecret": KEY}
    body = {"packetId": 0, "messages": [message_of("authenticationV2", "AUTHENTICATE", login)]}
    [opened] = (await game.http.post("/s2sdispatcher", json=body)).json()["messageResponses"]
    line = message_of(LOG, "LOG_WARNING", {"errorMessage": message})
    packet = {"packetId": 1, "sessionId": opened["data"]["sessionId"], "messages": [line, line]}
    answers = [(await game.http.post("/s2sdispatcher", json=packet)).json() for _ in range(3)]
    assert answers == [{"packetId": 1, "messageResponses": [{"status": 200, "data": None}] * 2}] * 3
    simple = {**login, **message_of(LOG, "LOG_INFO", {"errorMessage": message})}
    assert (await game.http.post("/s2sdispatcher", json=simple)).json() == {"status": 200, "data": None}
    found = await lines(game, text=message)
    assert [(line["level"], line["face"], line["source"]) for line in found] == [
        ("info", "s2s", "room"),
        ("warning", "s2s", "room"),
        ("warning", "s2s", "room"),
    ]


def message_of(service: str, operation: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"service": service, "operation": operation, "data": data}


# On the command line


def test_the_command_line_shows_and_picks_lines(tmp_path: Path) -> None:
    with running(tmp_path / "served") as server:
        folder = server.folder
        for level, operation in OPERATIONS.items():
            data = json.dumps({"errorMessage": f"{level} \x1b[31m", "jsonContext": {"camelCase": 1}})
            assert command(folder, "call", "10001", f"log.{operation}", data).returncode == 0
        found = json_of(command(folder, "logs", "10001", "--json"))
        assert [line["level"] for line in found] == ["info", "warning", "error"]
        assert found[0]["context"] == {"camelCase": 1}
        assert found[0]["at"] > 0
        told = command(folder, "logs", "10001", "--level", "error")
        assert "error" in told.stdout
        assert "warning" not in told.stdout
        assert "\x1b" not in told.stdout
        assert "no lines" in command(folder, "logs", "10001", "--text", "nobody says this").stderr
        wrong = command(folder, "logs", "10001", "--level", "loud")
        assert (wrong.returncode, "info, warning, error" in wrong.stderr) == (2, True)
        assert command(folder, "logs", "10001", "--follow", "--after", "x").returncode == 2
        assert command(folder, "logs", "77").returncode == 1


async def test_who_follows_sees_each_line_once_in_order(game: Game, monkeypatch: Any) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0)
    monkeypatch.setattr(following, "PAGE", 2)  # so that what is new takes several pages
    mark, log = game.unique("follow"), game.core.get(AppLog)
    shown: list[str] = []
    enough = asyncio.Event()

    def show(row: dict[str, Any]) -> None:
        shown.append(row["message"])
        if len(shown) == 8:
            enough.set()

    async def act(action: str, **arguments: Any) -> Any:
        return await actions.run(game.server_app, action, arguments)

    for number in range(3):
        log.note(game.app, "info", f"{mark} {number}", face="test")
    wanted = {"app": APP_ID, "text": mark}
    first = await act("log_list", limit=2, **wanted)
    watching = asyncio.create_task(following.follow_on(act, wanted, first, show))
    for number in range(3, 9):
        await asyncio.sleep(0)
        log.note(game.app, "info", f"{mark} {number}", face="test")
    await asyncio.wait_for(enough.wait(), 20)
    watching.cancel()
    assert shown[:2] == [f"{mark} 1", f"{mark} 2"]
    assert sorted(shown) == sorted(set(shown))
