"""Taking a game's data out over server-to-server calls: this server stands in, for it speaks the same."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameserver.admin.moving import braincloud
from gameserver.admin.moving.braincloud import Away, Credentials, Service, TakingOut
from gameserver.app import registry
from tests.cli.running import Running, command, json_of, running
from tests.clients.pages import ROOT

SECRET = "a-secret-of-the-exporter-1234"
APP = f"""
id = "10001"
secret = "a secret of the tests"
signature = "optional"
[login]
anonymous_id_alone = true
[servers.exporter]
secret = "{SECRET}"
[virtualCurrency.currencies.coins]
[playerStatistics]
create_unknown = true
[globalGameStatistics]
create_unknown = true
[group.types.clan]
[leaderboard.boards.best]
[leaderboard.boards.weekly]
rotation = "WEEKLY"
reset = 2026-01-05T00:00:00Z
"""


def declare(folder: Path) -> Path:
    (folder / "apps" / "game").mkdir(parents=True)
    (folder / "apps" / "game" / "app.toml").write_text(APP)
    return folder


def play(server: Running, name: str) -> str:
    """A player with something of everything."""
    told = server.log_in(name)["data"]
    session = told["sessionId"]
    for number, (operation, data) in enumerate(
        (
            ("playerState.UPDATE_NAME", {"playerName": name}),
            ("playerState.UPDATE_ATTRIBUTES", {"attributes": {"hair": "red"}}),
            ("entity.CREATE", {"entityType": "ship", "data": {"hull": 3}, "acl": {"other": 1}}),
            ("playerStatistics.UPDATE", {"statistics": {"wins": 3}, "xp_points": 7}),
            ("globalGameStatistics.UPDATE_INCREMENT", {"statistics": {"kills": 2}}),
            ("leaderboard.POST_SCORE", {"leaderboardId": "best", "score": len(name), "data": {"n": name}}),
            ("leaderboard.POST_SCORE", {"leaderboardId": "weekly", "score": 1}),
        ),
        1,
    ):
        service, _, name_ = operation.partition(".")
        assert server.call(session, number, service, name_, data)["status"] == 200, operation
    return str(told["profileId"])


def s2s(server: Running, service: str, operation: str, data: Any, profile_id: str = "") -> Any:
    words = [service + "." + operation, json.dumps(data)]
    where = ["--profile", profile_id] if profile_id else []
    return json_of(command(server.folder, "call", "10001", *words, *where))


class Through(httpx.BaseTransport):
    """Lets requests through to a server, but for those that `instead` answers itself."""

    def __init__(self, instead: Callable[[dict[str, Any]], httpx.Response | None]) -> None:
        self._inner = httpx.HTTPTransport()
        self._instead = instead
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = json.loads(request.content)
        self.calls.append(f"{call['service']}.{call['operation']}")
        return self._instead(call) or self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def through(
    url: str, instead: Callable[[dict[str, Any]], httpx.Response | None], sleeps: list[float]
) -> tuple[Service, Through]:
    transport = Through(instead)
    client = httpx.Client(transport=transport)
    credentials = Credentials("10001", "exporter", SECRET)
    made = Service(f"{url}/s2sdispatcher", credentials, 1000, client=client, sleep=sleeps.append)
    return made, transport


def test_a_game_moves_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages, with refusals, pauses, and an end in the middle: and all of it arrives."""
    monkeypatch.setattr(braincloud, "ROWS", 2)
    folder, other = declare(tmp_path / "game"), declare(tmp_path / "other")
    file, sleeps, asked = tmp_path / "game.jsonl", list[float](), list[str]()

    def sends_away(call: dict[str, Any]) -> httpx.Response | None:
        asked.append(call["operation"])
        match asked.count("SYS_GET_USER_EXPORT"), call["operation"]:
            case 1, "SYS_GET_USER_EXPORT":
                return httpx.Response(429, headers={"Retry-After": "30"})
            case 2, "SYS_GET_USER_EXPORT":
                return httpx.Response(200, json={"status": 403, "reason_code": 40823, "status_message": "x"})
            case 3, "SYS_GET_USER_EXPORT":
                return httpx.Response(502, text="<html>")
            case 7, "SYS_GET_USER_EXPORT":
                raise KeyboardInterrupt
        return None

    with running(folder) as server:
        ids = [play(server, name) for name in ("ada", "bob", "eve-", "dan--", "cy")]
        s2s(server, "virtualCurrency", "AWARD_VC", {"vcId": "coins", "vcAmount": 50}, ids[0])
        s2s(server, "virtualCurrency", "CONSUME_VC", {"vcId": "coins", "vcAmount": 20}, ids[0])
        s2s(server, "friend", "ADD_FRIENDS", {"profileIds": ids[1:3]}, ids[0])
        clan = {"name": "Red", "groupType": "clan", "ownerId": ids[0], "ownerAttributes": {"rank": 1}}
        group = s2s(server, "group", "SYS_CREATE_GROUP", clan)["groupId"]
        member = {"groupId": group, "profileId": ids[1], "role": "ADMIN", "attributes": {"rank": 2}}
        s2s(server, "group", "SYS_ADD_GROUP_MEMBER", member)
        s2s(server, "group", "JOIN_GROUP", {"groupId": group}, ids[2])
        base = {"groupId": group, "entityType": "base", "data": {"x": 1}, "acl": {"member": 2, "other": 0}}
        for _ in range(3):
            s2s(server, "group", "SYS_CREATE_GROUP_ENTITY", base)
        wall = {"entityType": "wall", "timeToLive": -1, "acl": {"other": 1}, "data": {"x": 1}}
        for _ in range(3):
            s2s(server, "globalEntity", "CREATE_SYSTEM_ENTITY", wall)
        service, transport = through(server.url, sends_away, sleeps)
        with pytest.raises(KeyboardInterrupt):
            TakingOut(service, "10001", file).run()
        assert not file.exists()
        assert [round(sleep) >= 1 for sleep in sleeps if sleep > 0.5] == [True] * 3
        assert max(sleeps) >= 22.5  # what the service has asked for, give or take a quarter
        state = TakingOut(service, "10001", file).run()
        service.close()
        assert transport.calls.count("leaderboard.LIST_ALL_LEADERBOARDS") == 1  # which was done
        seen = file.read_text()
        words = ["--server-name", "exporter", "--url", f"{server.url}/s2sdispatcher", "--per-second", "1000"]
        (tmp_path / "secret").write_text(SECRET + "\n")
        words += ["--secret", f"@{tmp_path / 'secret'}", "--report", "notes.txt"]
        done = command(tmp_path, "from-braincloud", "10001", "--to", "again.jsonl", *words)
        assert done.stdout == f"again.jsonl: {_counts(state.counts)}\n"
        assert (tmp_path / "again.jsonl").read_text() == seen  # an interruption has left no trace
        done = command(tmp_path, "from-braincloud", "10001", "--to", "again.jsonl", *words)
        assert (done.returncode, done.stderr) == (1, "again.jsonl exists already\n")
    assert state.counts["player"] == state.counts["entity"] == 5
    assert (state.counts["score"], state.counts["globalEntity"], state.counts["leaderboard"]) == (10, 3, 2)
    assert (file.stat().st_mode & 0o777, len(list(tmp_path.glob("game.jsonl*")))) == (0o600, 1)

    assert [note for note in state.notes if "there is no operation" not in note] == []
    _moves_in(other, file, ids)


def _moves_in(other: Path, file: Path, ids: list[str]) -> None:
    with running(other):
        pass
    told = json.loads(command(other, "import", "10001", str(file), "--json").stdout)
    assert told["taken"] == {
        "globalStatistics": 1, "player": 5, "entity": 5, "score": 10, "globalEntity": 3,
        "friend": 2, "group": 1, "groupMember": 2, "groupEntity": 3,
    }  # fmt: skip
    assert told["skipped"] == []
    assert told["there"] == {"leaderboard": 2, "friend": 2}  # each of two friends says so
    with running(other) as server:
        player = server.log_in("ada", forceCreate=False)["data"]
        assert (player["profileId"], player["playerName"]) == (ids[0], "ada")
        assert (player["statistics"]["wins"], player["experiencePoints"]) == (3, 7)
        assert player["currency"]["coins"] == {
            "balance": 30, "awarded": 50, "consumed": 20, "purchased": 0, "revoked": 0
        }  # fmt: skip
        [group] = server.call(player["sessionId"], 1, "group", "GET_MY_GROUPS", {})["data"]["groups"]
        shown = s2s(server, "group", "SYS_READ_GROUP", {"groupId": group["groupId"]})
        assert shown["members"] == {
            ids[0]: {"role": "OWNER", "attributes": {"rank": 1}},
            ids[1]: {"role": "ADMIN", "attributes": {"rank": 2}},
        }
        assert shown["pendingMembers"][ids[2]]["pendingReason"] == "ASKED_TO_JOIN"
        page = {"leaderboardId": "best", "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 9}
        found = server.call(player["sessionId"], 2, "leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", page)
        assert [row["score"] for row in found["data"]["leaderboard"]] == [5, 4, 3, 3, 2]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)


def canned(answers: dict[str, Any]) -> Callable[[dict[str, Any]], httpx.Response]:
    """A service that knows what is given, and refuses the rest."""

    def answer(call: dict[str, Any]) -> httpx.Response:
        found = answers.get(call["operation"])
        if isinstance(found, httpx.Response):
            return found
        if found is None:
            return httpx.Response(200, json={"status": 500, "reason_code": 40000, "status_message": "no"})
        return httpx.Response(200, json={"status": 200, "data": found})

    return answer


def test_what_this_server_has_not_is_kept_and_told(tmp_path: Path) -> None:
    """Answers as the reference documents them, of services that are not here."""
    answers = {
        "READ_PROPERTIES": {"motd": {"name": "motd", "value": "hello"}},
        "SYS_LIST_COLLECTIONS": {"collections": ["athletes", {"entityType": "cards"}]},
        "SYS_GET_ENTITY_PAGE": {"results": {"items": [{"entityId": "e"}], "moreAfter": False}},
        "GET_PAGE": {
            "context": "c",
            "results": {
                "items": [
                    {"entityId": "g1", "ownerId": "p", "entityType": "t", "data": {}, "expiresAt": 2**63 - 1},
                    {"entityId": "g2", "ownerId": None, "entityType": "t", "data": {}},
                ],
                "moreAfter": False,
            },
        },
        "LIST_ALL_LEADERBOARDS": {
            "leaderboardList": [
                {"leaderboardId": "a", "leaderboardType": "HIGH_VALUE", "rotationType": "WEEKLY",
                 "resetAt": 1473793200000, "currentVersionId": 4, "maxRetainedCount": 50, "data": {}}
            ]
        },
        "SYS_GET_PAGE": {"context": "c", "results": {"items": [{"profileId": "p"}], "moreAfter": False}},
        "SYS_LIST_GROUPS_PAGE": {
            "context": "c",
            "results": {"items": [{"groupId": "k", "summaryData": {"s": 1}}], "moreAfter": False},
        },
        "SYS_READ_GROUP": {
            "groupId": "k", "groupType": "clan", "ownerId": "p", "name": "K", "members": {
                "p": {"role": "OWNER", "attributes": {"o": 1}}, "q": {"role": "MEMBER", "attributes": {}}
            },
            "pendingMembers": {}, "version": 3, "data": {}, "acl": {"other": 1, "member": 1},
        },
        "SYS_GET_USER_EXPORT": {
            "p": [
                {
                    "credentials": [
                        {"externalId": "x", "authenticationType": "External", "authSubType": "own"}
                    ],
                    "leaderboardScores": [
                        {"leaderboardId": "a", "versionId": 4, "score": 10, "data": None},
                        {"leaderboardId": "a", "versionId": 3, "score": 99},
                    ],
                    "playerCurrency": {"items": {"gems": {"balance": 4, "awarded": 4}}},
                    "playerProfile": [
                        {"playerName": "Bats", "pictureUrl": None, "friendProfileIds": ["q"]}
                    ],
                    "playerStatistics": {"statistics": {"w": 1, "t": "x"}, "questsStatus": {"q": 1}},
                }
            ]
        },
    }  # fmt: skip
    sleeps: list[float] = []
    service, _ = through("http://braincloud.test", canned(answers), sleeps)
    state = TakingOut(service, "10001", tmp_path / "out.jsonl").run()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    by_type: dict[str, list[Any]] = {}
    for line in lines:
        by_type.setdefault(line["type"], []).append(line)
    [player], [score], [entity] = by_type["player"], by_type["score"], by_type["globalEntity"]
    assert player["identities"] == [
        {"authenticationType": "External", "externalId": "x", "externalAuthName": "own"}
    ]
    assert (player["statistics"], player["currency"]["gems"]["balance"]) == ({"w": 1}, 4)
    assert score["score"] == 10
    assert (entity["entityId"], entity["ownerId"], "expiresAt" in entity) == ("g1", "p", False)
    assert by_type["leaderboard"][0]["retainedCount"] == 8
    assert [line["entityType"] for line in by_type["customEntity"]] == ["athletes", "cards"]
    assert by_type["globalProperty"] == [{"type": "globalProperty", "name": "motd", "value": "hello"}]
    assert by_type["friend"] == [{"type": "friend", "profileId": "p", "friendId": "q"}]
    [group], [member] = by_type["group"], by_type["groupMember"]
    assert (group["ownerAttributes"], group["summaryData"], group["version"]) == ({"o": 1}, {"s": 1}, 3)
    assert (member["groupId"], member["profileId"], member["role"]) == ("k", "q", "MEMBER")
    assert state.notes == [
        "globalGameStatistics.READ: 500/40000: no",
        "player p: questsStatus not taken",
        "group.SYS_READ_GROUP_ENTITIES_PAGE: 500/40000: no",
        "globalEntity.GET_SYSTEM_ENTITY_PAGE: 500/40000: no",
    ]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(200, text="<html>"), "HTTP 200, and no JSON"),
        (httpx.Response(503), "HTTP 503"),
        (httpx.Response(200, json=[]), "the answer is no object"),
    ],
)
def test_patience_has_an_end(tmp_path: Path, answer: httpx.Response, why: str) -> None:
    sleeps: list[float] = []
    service, transport = through("http://braincloud.test", lambda _: answer, sleeps)
    with pytest.raises(Away, match=why):
        TakingOut(service, "10001", tmp_path / "out.jsonl").run()
    assert len(transport.calls) in {1, braincloud.TRIES_MAX}
    assert max(sleeps, default=0) <= 1.25 * braincloud.PAUSE_SECONDS_MAX
    with pytest.raises(OSError, match="is of app 10001"):
        TakingOut(service, "7", tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl.state").write_text("{")
    with pytest.raises(OSError, match="delete it to begin anew"):
        TakingOut(service, "10001", tmp_path / "out.jsonl")


def test_the_guide_names_what_is_not_here() -> None:
    """A service that comes is taken from the list."""
    text = (ROOT / "docs" / "moving-in.md").read_text("utf-8")
    [listed] = re.findall(r"^Services that are not here: (.*?)\.$", text, re.DOTALL | re.MULTILINE)
    missing = re.findall(r"`(\w+)`", listed)
    assert len(missing) > 3
    assert [name for name in missing if name in {service.name for service in registry().services}] == []
