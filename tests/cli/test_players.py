"""`gameserver player`: what an operator decides over all that is kept of a player."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Done, Running, command, json_of, running
from tests.servers import postgresql, redis


@pytest.fixture(scope="module", params=["embedded", "services"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running server, over its own file and memory or over PostgreSQL and Redis."""
    folder = tmp_path_factory.mktemp(f"players-{request.param}")
    if request.param == "embedded":
        with running(folder) as server:
            server.where = ()  # type: ignore[attr-defined]
            yield server
        return
    with redis() as redis_url, postgresql() as database_url:
        where = ("--redis", redis_url, "--database", database_url)
        assert command(folder, "migrate", "--database", database_url).returncode == 0
        with running(folder, *where) as server:
            server.where = where  # type: ignore[attr-defined]
            yield server


def player(server: Running, *words: str, typed: str = "") -> Done:
    return command(server.folder, "player", *words, *server.where, typed=typed)  # type: ignore[attr-defined]


def log_in(server: Running, name: str) -> tuple[str, str]:
    """Return the profile and the session of a player who has an entity."""
    login = server.log_in(name)["data"]
    made = server.call(
        login["sessionId"], 1, "entity", "CREATE", {"entityType": "card", "data": {"of": name}, "acl": {}}
    )
    assert made["status"] == 200, made
    return login["profileId"], login["sessionId"]


def exported(server: Running, profile: str) -> Any:
    return json_of(player(server, "export", "10001", profile))["services"]


def test_an_export_is_one_document_for_its_owner(server: Running, tmp_path: Path) -> None:
    profile, session = log_in(server, "export")
    text = player(server, "export", "10001", profile).stdout
    told = json.loads(text)
    assert told["services"]["entity"]["entities"][0]["data"] == {"of": "export"}
    assert told["sessions"][0]["face"] == "dispatcher"
    assert session not in text
    file = tmp_path / "export.json"
    assert player(server, "export", "10001", profile, "--to", str(file)).stdout == f"written: {file}\n"
    assert json.loads(file.read_text())["services"].keys() == told["services"].keys()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = player(server, "export", "10001", profile, "--to", str(file))
    assert (again.returncode, again.stderr) == (1, f"{file} exists already\n")


def test_a_reset_leaves_the_player(server: Running) -> None:
    profile, session = log_in(server, "reset")
    assert json_of(player(server, "reset", "10001", profile, "--yes", "--json")) == {
        "profileId": profile,
        "isReset": True,
    }
    assert exported(server, profile)["entity"]["entities"] == []
    assert server.call(session, 2, "playerState", "READ")["status"] == 200


def test_a_deletion_ends_sessions_and_leaves_nothing(server: Running) -> None:
    profile, session = log_in(server, "delete")
    done = player(server, "delete", "10001", profile, "--yes", "--json")
    assert json_of(done) == {"profileId": profile, "isDeleted": True}
    assert server.call(session, 2, "playerState", "READ")["reason_code"] == 40356
    for words in (("show",), ("export",), ("reset", "--yes"), ("delete", "--yes")):
        gone = player(server, words[0], "10001", profile, *words[1:])
        assert (gone.returncode, gone.stderr) == (1, f"app 10001 has no player {profile}\n")
    assert server.log_in("delete")["data"]["profileId"] != profile


def test_two_players_become_one(server: Running) -> None:
    (source, session), (target, kept) = log_in(server, "merge-from"), log_in(server, "merge-into")
    done = player(server, "merge", "10001", source, target, "--yes", "--json")
    assert json_of(done) == {"profileId": target, "merged": source}
    assert server.call(session, 2, "playerState", "READ")["reason_code"] == 40356
    assert server.call(kept, 2, "playerState", "READ")["status"] == 200
    assert server.log_in("merge-from")["data"]["profileId"] == target
    owned = exported(server, target)["entity"]["entities"]
    assert sorted(one["data"]["of"] for one in owned) == ["merge-from", "merge-into"]
    again = player(server, "merge", "10001", source, target, "--yes")
    assert (again.returncode, again.stderr) == (1, f"app 10001 has no player {source}\n")
    itself = player(server, "merge", "10001", target, target, "--yes")
    assert itself.returncode == 1


@pytest.mark.parametrize("action", ["reset", "delete", "merge"])
def test_what_cannot_be_undone_is_asked_first(server: Running, action: str) -> None:
    profile, _ = log_in(server, f"ask-{action}")
    other, _ = log_in(server, f"ask-{action}-other")
    words = (action, "10001", profile, *((other,) if action == "merge" else ()))
    for typed in ("", "n\n"):
        refused = player(server, *words, typed=typed)
        assert refused.returncode == 1
        assert profile in refused.stderr
        assert "nothing was done; --yes" in refused.stderr
        assert exported(server, profile)["entity"]["entities"]
    assert player(server, *words, typed="y\n").returncode == 0
    done = player(server, "export", "10001", profile)
    assert done.returncode == 1 or not json_of(done)["services"]["entity"]["entities"]


def test_the_audit_tells_what_was_done(server: Running) -> None:
    (source, _), (target, _) = log_in(server, "audit-from"), log_in(server, "audit-into")
    player(server, "merge", "10001", source, target, "--yes")
    player(server, "delete", "10001", target, "--yes")
    where = server.where  # type: ignore[attr-defined]
    listed = json_of(command(server.folder, "audit", "list", "10001", "--event", "player", "--json", *where))
    told = [(one["profileId"], one["reason"], one["face"]) for one in listed]
    assert (source, f"merged_into:{target}", "cli") in told
    assert (target, f"merged_from:{source}", "cli") in told
    assert (target, "deleted", "cli") in told


def test_without_a_server_what_is_kept_can_be_deleted(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        profile = server.log_in()["data"]["profileId"]
    assert command(tmp_path, "player", "delete", "10001", profile, "--yes").returncode == 0
    assert json_of(command(tmp_path, "player", "list", "10001", "--json")) == []
    audit = json_of(command(tmp_path, "audit", "list", "10001", "--event", "player", "--json"))
    assert [one["reason"] for one in audit] == ["deleted"]
