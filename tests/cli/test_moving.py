"""`gameserver export` and `gameserver import`, as an operator gives them."""

import json
import stat
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gameserver.admin import actions
from gameserver.admin.common import Refused
from gameserver.cli import moving
from tests import warm
from tests.cli.running import command, environment, json_of, running
from tests.clients.pages import blocks

LINES_EACH = 3


def lines_of(count: int) -> list[dict[str, Any]]:
    """A file of players, each with an entity and a score."""
    found: list[dict[str, Any]] = [{"type": "export", "format": 1, "appId": "10001"}]
    ids = [f"p{number:06}" for number in range(count)]
    for each in ids:
        login = {"authenticationType": "Anonymous", "externalId": f"device-{each}"}
        found.append({"type": "player", "profileId": each, "identities": [login]})
    card = {"type": "entity", "entityId": "e", "entityType": "card", "data": {"n": 1}}
    found += [{**card, "profileId": each} for each in ids]
    found.append({"type": "leaderboard", "leaderboardId": "best", "leaderboardType": "HIGH_VALUE"})
    score = {"type": "score", "leaderboardId": "best"}
    found += [{**score, "profileId": each, "score": place} for place, each in enumerate(ids)]
    counts = {"player": count, "entity": count, "leaderboard": 1, "score": count}
    return [*found, {"type": "end", "lines": counts}]


def write(file: Path, lines: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a server has been."""
    with running(tmp_path / "game"):
        pass
    return tmp_path / "game"


def test_an_app_moves_to_another_server(folder: Path, tmp_path: Path) -> None:
    """Out of a server that runs, and into one that runs; then into one that does not."""
    write(folder / "first.jsonl", lines_of(3))
    with running(folder):
        done = command(folder, "import", "10001", "first.jsonl")
        assert (done.returncode, done.stdout) == (0, "taken: player 3, entity 3, leaderboard 1, score 3\n")
        done = command(folder, "import", "10001", "first.jsonl", "--dry-run", "--json")
        assert json_of(done)["there"] == {"player": 3, "entity": 3, "leaderboard": 1, "score": 3}
        done = command(folder, "export", "10001", "--to", "game.jsonl")
        assert done.stdout == "game.jsonl: player 3, entity 3, leaderboard 1, score 3\n"
    file = folder / "game.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    head, *lines, end = map(json.loads, file.read_text().splitlines())
    assert (head["type"], head["format"], head["appId"]) == ("export", 1, "10001")
    assert end == {"type": "end", "lines": {"player": 3, "entity": 3, "leaderboard": 1, "score": 3}}
    assert len(lines) == 10
    assert command(folder, "export", "10001", "--to", "game.jsonl").stderr == "game.jsonl exists already\n"
    told = command(folder, "export", "10001").stdout.splitlines()
    assert told[1:] == file.read_text().splitlines()[1:]

    other = tmp_path / "other"
    with running(other):
        pass
    done = command(other, "import", "10001", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert command(other, "export", "10001").stdout.splitlines()[1:] == file.read_text().splitlines()[1:]
    with running(other) as server:
        player = server.log_in("device-p000001", forceCreate=False)["data"]
        assert player["profileId"] == "p000001"
        page = {"leaderboardId": "best", "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 9}
        found = server.call(player["sessionId"], 1, "leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", page)
        assert [row["playerId"] for row in found["data"]["leaderboard"]] == ["p000002", "p000001", "p000000"]


def test_what_is_not_taken_is_told(folder: Path) -> None:
    lines = lines_of(2)
    lines[2]["playerName"] = 7
    write(folder / "game.jsonl", lines)
    with (folder / "game.jsonl").open("ab") as file:
        file.write(b'\xff\n{"type":"palyer"}\n' + b"x" * ((4 << 20) + 5) + b"\n\n")
    done = command(folder, "import", "10001", "game.jsonl", "--dry-run", "--report", "report.jsonl")
    assert done.returncode == 3
    assert done.stdout == "would be taken: player 1, entity 1, leaderboard 1, score 1\n"
    told = done.stderr.splitlines()
    report = map(json.loads, (folder / "report.jsonl").read_text().splitlines())
    assert told == [f"line {each['line']}: {each['reason']}" for each in report]
    by_line = {int(line.split()[1].strip(":")): line for line in told}
    assert by_line[3] == "line 3: playerName: expected text, got whole number"
    assert by_line[5] == "line 5: app 10001 has no player p000001; a line of theirs comes before this"
    assert by_line[10] == "line 10: this is no UTF-8"
    assert by_line[11].startswith("line 11: type: expected one of ")
    assert by_line[12] == "line 12: a line has at most 4194304 bytes"
    done = command(folder, "import", "10001", "game.jsonl", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["taken"] == {"player": 1, "entity": 1, "leaderboard": 1, "score": 1}
    write(folder / "cut.jsonl", lines_of(2)[:-1])
    done = command(folder, "import", "10001", "cut.jsonl")
    assert "the file has no last line that counts the others: it may be cut off" in done.stderr
    write(folder / "less.jsonl", lines_of(2)[:-2] + lines_of(2)[-1:])
    assert (
        "the file has not as many lines as its last line says"
        in command(folder, "import", "10001", "less.jsonl").stderr
    )
    write(folder / "newer.jsonl", [{"type": "export", "format": 2}])
    done = command(folder, "import", "10001", "newer.jsonl")
    assert (done.returncode, done.stderr) == (2, "line 1: format 2 is of a newer version\n")
    assert command(folder, "import", "10001", "none.jsonl").stderr == "none.jsonl is not there\n"
    done = command(folder, "import", "7", "game.jsonl")
    assert (done.returncode, done.stderr) == (1, "there is no app 7; `gameserver app list` names them\n")


def test_who_is_interrupted_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says where; or, when it was killed, all is taken again and what is there stays."""
    monkeypatch.setattr(moving, "LINES_MAX", 4)
    write(folder / "game.jsonl", lines_of(3))
    run, calls = actions.run, 0

    async def stops(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Refused("the power went")
        return await run(*args)

    monkeypatch.setattr(actions, "run", stops)
    done = command(folder, "import", "10001", "game.jsonl")
    assert (done.returncode, done.stderr) == (1, "the power went\ncut off; go on with --from-line 9\n")
    done = command(folder, "import", "10001", "game.jsonl", "--from-line", "9", "--json")
    assert json_of(done)["taken"] == {"score": 3}
    done = command(folder, "import", "10001", "game.jsonl", "--json")
    assert json_of(done)["taken"] == {}
    assert json_of(done)["there"] == {"player": 3, "entity": 3, "leaderboard": 1, "score": 3}


def test_a_killed_import_is_given_again(folder: Path) -> None:
    write(folder / "game.jsonl", lines_of(3000))
    with running(folder) as server:
        words = ("gameserver", "import", "10001", "game.jsonl")
        with warm.start(*words, cwd=folder, env=environment(folder)) as process:
            while not server.log_in("device-p000010", forceCreate=False).get("data"):
                pass
            process.kill()
        told = json_of(command(folder, "import", "10001", "game.jsonl", "--json"))
    taken, there = told["taken"], told["there"]
    for kind in ("player", "entity", "score"):
        assert taken.get(kind, 0) + there.get(kind, 0) == 3000
    assert there["player"] > 0


def society() -> list[dict[str, Any]]:
    """Three players in a group, who talk to each other."""
    now = round(time.time() * 1000)
    ada, bob, cat = ids = ["ada", "bob", "cat"]
    channel = {"channelType": "gr", "channelCode": "red"}
    sender = {"id": ada, "name": "Ada", "pic": None}
    boxes = [{"profileId": ada, "msgbox": "sent"}, {"profileId": bob}, {"profileId": cat, "isDeleted": True}]
    times = {"msgCr": now, "msgUp": now}
    return [
        *({"type": "player", "profileId": each} for each in ids),
        {"type": "friend", "profileId": ada, "friendId": bob},
        {"type": "friend", "profileId": cat, "friendId": ada, "platforms": ["Steam"]},
        {"type": "block", "profileId": bob, "blockedId": cat},
        {"type": "group", "groupId": "red", "groupType": "clan", "ownerId": ada, "data": {"indexedId": "r"}},
        {"type": "groupMember", "groupId": "red", "profileId": bob, "role": "ADMIN", "attributes": {"a": 1}},
        {"type": "groupMember", "groupId": "red", "profileId": cat, "pendingReason": "INVITED_TO_JOIN"},
        {"type": "groupEntity", "groupId": "red", "entityId": "base", "data": {"x": 1}, "ownerId": bob},
        {"type": "chatChannel", **channel, "lastMsgId": "9", "usedAt": now},
        {"type": "chatMessage", **channel, "msgId": "7", "from": sender, "content": {}, "date": now},
        {"type": "message", "msgId": "m", "from": sender, "content": {}, "boxes": boxes, **times},
        {"type": "event", "evId": f"{now:024x}", "toPlayerId": cat, "fromPlayerId": ada, "createdAt": now},
    ]


def test_who_belongs_together_moves_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several batches, tried before, and from one server into the next."""
    monkeypatch.setattr(moving, "LINES_MAX", 4)
    other = tmp_path / "other"
    with running(other):
        pass
    for each in (folder, other):
        [definition] = (each / "apps").rglob("app.toml")
        definition.write_text(definition.read_text() + "\n[group.types.clan]\n")
    lines = society()
    counts = dict(Counter(line["type"] for line in lines))
    write(folder / "first.jsonl", [*lines, {"type": "end", "lines": counts}])
    done = command(folder, "import", "10001", "first.jsonl", "--dry-run", "--json")
    assert json_of(done)["taken"] == counts
    done = command(folder, "import", "10001", "first.jsonl", "--from-line", "5")
    assert done.stderr.startswith("line 5: app 10001 has no player cat; a line of theirs comes before this")
    done = command(folder, "import", "10001", "first.jsonl", "--json")
    assert json_of(done)["taken"] == counts
    assert command(folder, "export", "10001", "--to", "game.jsonl").returncode == 0
    file = folder / "game.jsonl"
    for expected in ("taken", "there"):
        assert json_of(command(other, "import", "10001", str(file), "--json"))[expected] == counts
    told = command(other, "export", "10001").stdout.splitlines()
    assert told[1:] == file.read_text().splitlines()[1:]
    assert json.loads(told[-1])["lines"] == counts


def test_what_the_page_shows(folder: Path) -> None:
    [lines] = blocks("docs/moving-in.md", "json")
    out, into = blocks("docs/moving-in.md", "sh")
    (folder / "game.jsonl").write_text(lines)
    for line in (*into.splitlines(), "rm game.jsonl", *out.splitlines()):
        program, *words = line.split()
        if program == "rm":
            (folder / words[0]).unlink()
        else:
            done = command(folder, *words)
            assert done.returncode in {0, 3}, done.stderr
    assert done.stdout == "game.jsonl: player 1, entity 1, leaderboard 1, score 1\n"
    told = (folder / "not-taken.jsonl").read_text()
    assert json.loads(told)["reason"].startswith("the file has no last line")
