import json
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameserver import __version__
from gameserver.apps import write_sample
from gameserver.cli import output
from gameserver.cli.certificate import write
from tests.cli.running import Running, command, json_of, program, running
from tests.servers import postgresql, redis


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("embedded")) as server:
        yield server


def ask(server: Running, *words: str) -> Any:
    return json_of(command(server.folder, *words, "--json"))


def test_a_player_is_found_locked_out_and_let_in_again(embedded: Running) -> None:
    login = embedded.log_in("ada")["data"]
    profile = login["profileId"]
    assert profile in [user["profileId"] for user in ask(embedded, "player", "list", "10001")]
    shown = ask(embedded, "player", "show", "10001", profile)
    assert shown["identities"][0]["externalId"] == "ada"
    assert len(shown["sessions"]) == 1
    disabled = ask(embedded, "player", "disable", "10001", profile)
    assert disabled == {"profileId": profile, "isDisabled": True, "sessionsEnded": 1}
    assert embedded.call(login["sessionId"], 1, "playerState", "READ")["reason_code"] == 40356
    assert embedded.log_in("ada")["reason_code"] == 40790
    assert ask(embedded, "player", "enable", "10001", profile)["isDisabled"] is False
    assert embedded.log_in("ada")["status"] == 200


def test_players_are_found_by_what_they_are_called(embedded: Running) -> None:
    name, mail = f"Find me {uuid.uuid4()}", f"{uuid.uuid4()}@example.com"
    login = embedded.log_in(str(uuid.uuid4()))["data"]
    session, profile = login["sessionId"], login["profileId"]
    assert embedded.call(session, 1, "playerState", "UPDATE_NAME", {"playerName": name})["status"] == 200
    sent = embedded.call(session, 2, "playerState", "UPDATE_CONTACT_EMAIL", {"contactEmail": mail})
    assert sent["status"] == 200
    for text in (profile, name, mail, f" {login['profileId']} "):
        found = ask(embedded, "player", "find", "10001", text)
        assert [player["profileId"] for player in found] == [profile], text
    assert ask(embedded, "player", "find", "10001", name[:-1]) == []
    assert command(embedded.folder, "player", "find", "10001", "nobody").stderr == "no such player\n"


def test_output_fits_a_terminal_and_ids_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    profile = str(uuid.uuid4())
    row = {"profile_id": profile, "name": "Ada of a long name", "login_count": 1, "last_login_ms": 0}
    columns = {
        "profile_id": "PROFILE",
        "name": "NAME",
        "last_login_ms": "LAST LOGIN",
        "login_count": "LOGINS",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("NO_COLOR", "1")
        patch.setenv("TERM", "dumb")
        patch.setattr("sys.stdout.isatty", lambda: True)
        output.show_rows([row], columns, as_json=False, none="")
    printed = capsys.readouterr()
    assert max(map(len, printed.out.splitlines())) <= 80
    assert profile in printed.out
    assert "LOGINS" not in printed.out
    assert "LOGINS" in printed.err, "what does not fit is named"


def test_json_is_spelt_as_on_the_wire() -> None:
    row = {
        "profile_id": "x",
        "created_ms": 1,
        "last_login_ms": 2,
        "data": {"as_sent": 1},
        "rows": [{"is_ready": 1}],
    }
    assert output.wire_spelling(row) == {
        "profileId": "x",
        "createdAt": 1,
        "lastLogin": 2,
        "data": {"as_sent": 1},
        "rows": [{"isReady": 1}],
    }


def test_the_version_is_told_either_way(tmp_path: Path) -> None:
    assert command(tmp_path, "--version").stdout == command(tmp_path, "version").stdout == f"{__version__}\n"


def test_players_come_in_pages(embedded: Running) -> None:
    for name in ("page-1", "page-2", "page-3"):
        embedded.log_in(name)
    everyone = [user["profileId"] for user in ask(embedded, "player", "list", "10001")]
    paged: list[str] = []
    while page := ask(
        embedded, "player", "list", "10001", "--limit", "2", *(("--after", paged[-1]) if paged else ())
    ):
        assert len(page) <= 2
        paged += [user["profileId"] for user in page]
    assert paged == everyone
    assert len(everyone) >= 3


def test_sessions_of_a_running_embedded_server_are_seen_and_ended(embedded: Running) -> None:
    login = embedded.log_in("bob")["data"]
    [session] = ask(embedded, "session", "list", "10001", "--profile", login["profileId"])
    assert login["sessionId"] not in json.dumps(session)
    assert ask(embedded, "session", "end", "10001", session["session"]) == {"ended": [session["session"]]}
    assert embedded.call(login["sessionId"], 1, "playerState", "READ")["reason_code"] == 40356
    assert ask(embedded, "session", "list", "10001", "--profile", login["profileId"]) == []
    again = command(embedded.folder, "session", "end", "10001", session["session"])
    assert again.returncode == 1
    assert "no open session" in again.stderr


def test_sessions_come_in_pages(embedded: Running) -> None:
    for name in ("one", "two", "three"):
        embedded.log_in(name)
    every = [s["session"] for s in ask(embedded, "session", "list", "10001")]
    first = ask(embedded, "session", "list", "10001", "--limit", "2")
    rest = ask(embedded, "session", "list", "10001", "--after", first[-1]["session"])
    assert [s["session"] for s in (*first, *rest)] == every == sorted(every)
    assert len(first) == 2


def test_an_operation_is_run_for_a_player(embedded: Running) -> None:
    profile = embedded.log_in("carol")["data"]["profileId"]
    state = json_of(command(embedded.folder, "call", "10001", "playerState.READ", "--profile", profile))
    assert state["profileId"] == profile
    nobody = command(embedded.folder, "call", "10001", "playerState.READ", "--profile", "nobody")
    assert (nobody.returncode, nobody.stderr) == (1, "app 10001 has no player nobody\n")
    unknown = command(embedded.folder, "call", "10001", "playerState.NONSENSE")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("400/40333: ")
    assert command(embedded.folder, "call", "10001", "time.READ", "[1]").returncode == 2
    nul = command(embedded.folder, "call", "10001", "time.READ", '{"a": "\\u0000"}')
    assert (nul.returncode, "NUL" in nul.stderr) == (1, True)


def test_the_way_to_the_server_is_the_owners_alone(embedded: Running) -> None:
    mode = stat.S_IMODE((embedded.folder / "data/server.json").stat().st_mode)
    assert mode == 0o600


def test_an_unknown_app_or_player_is_not_found(embedded: Running) -> None:
    missing = command(embedded.folder, "player", "list", "99999")
    assert (missing.returncode, missing.stderr) == (
        1,
        "there is no app 99999; `gameserver app list` names them\n",
    )
    assert command(embedded.folder, "player", "disable", "10001", "nobody").returncode == 1
    assert command(embedded.folder, "player", "list", "10001", "--limit", "0").returncode == 2


def test_without_a_server_its_sessions_are_unknown_but_its_players_are_not(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        profile = server.log_in()["data"]["profileId"]
    gone = command(tmp_path, "session", "list", "10001")
    assert gone.returncode == 4
    assert gone.stderr.startswith("no server is running on the data folder data")
    assert not (tmp_path / "data/server.json").exists()
    users = json_of(command(tmp_path, "player", "list", "10001", "--json"))
    assert [user["profileId"] for user in users] == [profile]
    assert json_of(command(tmp_path, "player", "disable", "10001", profile, "--json"))["isDisabled"] is True
    with running(tmp_path) as server:
        assert server.log_in()["reason_code"] == 40790


def test_a_command_in_the_wrong_folder_makes_nothing(tmp_path: Path) -> None:
    write_sample(tmp_path / "apps")
    done = command(tmp_path, "player", "list", "10001")
    assert done.returncode == 1
    assert "--data names another" in done.stderr
    assert not (tmp_path / "data").exists()


def test_with_redis_commands_need_no_server_of_their_own(tmp_path: Path) -> None:
    with redis() as redis_url, postgresql() as database_url:
        where = ("--redis", redis_url, "--database", database_url)
        before = program(tmp_path, "serve", "--port", "0", *where)
        assert before.returncode == 1
        assert "gameserver migrate" in before.stderr
        assert command(tmp_path, "migrate", "--database", database_url).returncode == 0
        assert "up to date" in command(tmp_path, "migrate", "--database", database_url).stdout
        with running(tmp_path, *where) as server:
            login = server.log_in()["data"]
            [session] = json_of(command(tmp_path, "session", "list", "10001", "--json", *where))
            assert session["profileId"] == login["profileId"]
            ended = json_of(
                command(tmp_path, "player", "disable", "10001", login["profileId"], "--json", *where)
            )
            assert ended["sessionsEnded"] == 1
            assert server.call(login["sessionId"], 1, "playerState", "READ")["reason_code"] == 40356
    away = command(tmp_path, "session", "list", "10001", "--redis", redis_url)
    assert (away.returncode, away.stderr) == (4, "Redis does not answer\n")


def test_check_names_file_line_and_key_and_ends_with_3(tmp_path: Path) -> None:
    write_sample(tmp_path / "apps")
    assert command(tmp_path, "check").returncode == 0
    broken = tmp_path / "apps/broken/app.toml"
    broken.parent.mkdir()
    broken.write_text('id = "2"\nsecret = "a-secret-that-is-long"\n\n[session]\nlife_seconds = 5\n')
    done = command(tmp_path, "check")
    assert done.returncode == 3
    assert done.stdout.startswith("apps/broken/app.toml:5 session.life_seconds: ")
    [problem] = json.loads(command(tmp_path, "check", "--json").stdout)
    assert (problem["file"], problem["line"], problem["key"]) == (
        "apps/broken/app.toml",
        5,
        "session.life_seconds",
    )


def test_check_compares_the_parts_of_an_app(tmp_path: Path) -> None:
    """Otherwise the first player who posts a score would find out."""
    home = tmp_path / "apps/cup/app.toml"
    home.parent.mkdir(parents=True)
    home.write_text("""\
id = "2"
secret = "a-secret-that-is-long"
[tournament.templates.cup]
entry_fee = { coinz = 1 }
[leaderboard.boards.daily]
rotation = "DAILY"
reset = 2026-01-05T00:00:00Z
[leaderboard.boards.daily.tournament]
codes = ["cup"]
auto_join = true
""")
    done = command(tmp_path, "check")
    assert done.returncode == 3
    first, second = done.stdout.splitlines()
    assert first.startswith(
        'apps/cup/app.toml:4 tournament.templates.cup.entry_fee: the board "daily" enrols players by itself '
    )
    assert 'tournament.templates.cup.entry_fee.coinz: there is no currency "coinz"' in second


def test_an_app_is_made_and_grows(tmp_path: Path) -> None:
    made = command(tmp_path, "app", "new", "chess")
    assert made.stdout.startswith("written: apps/chess/app.toml\napp id  ")
    assert command(tmp_path, "app", "new", "chess").returncode == 1
    assert command(tmp_path, "app", "new", "no/name").returncode == 2
    assert "leaderboard" in command(tmp_path, "app", "add").stdout.split()
    added = command(tmp_path, "app", "add", "leaderboard")
    assert added.stdout == "written: apps/chess/leaderboard.toml\n"
    assert command(tmp_path, "app", "add", "leaderboard").returncode == 1
    refused = command(tmp_path, "app", "add", "leaderbord")
    assert (refused.returncode, "did you mean" in refused.stderr) == (2, True)
    assert command(tmp_path, "check").returncode == 0
    (tmp_path / "apps/chess/leaderboard.toml").write_text('[leaderboard.boards.b]\ntype = "HIGH"\n')
    wrong = command(tmp_path, "check")
    assert wrong.stdout.startswith(
        'apps/chess/leaderboard.toml:2 leaderboard.boards.b.type: expected "HIGH_VALUE"'
    )
    command(tmp_path, "app", "new", "go")
    which = command(tmp_path, "app", "add", "tournament")
    assert (which.returncode, "--app chess|go" in which.stderr) == (2, True)
    assert command(tmp_path, "app", "add", "tournament", "--app", "go").returncode == 0
    assert command(tmp_path, "app", "add", "tournament", "--app", "gone").returncode == 1


def test_the_schema_of_editors(tmp_path: Path) -> None:
    command(tmp_path, "app", "new", "chess")
    assert command(tmp_path, "app", "schema").stdout == "up to date: apps/chess/app.schema.json\n"
    (tmp_path / "apps/chess/app.schema.json").write_text("{}")
    assert command(tmp_path, "app", "schema", "--app", "chess").stdout.startswith("written: ")
    assert command(tmp_path, "app", "schema").stdout.startswith("up to date: ")


def test_apps_are_listed(tmp_path: Path) -> None:
    app = write_sample(tmp_path / "apps")
    assert json_of(command(tmp_path, "app", "list", "--json"))[0]["id"] == app.id
    table = command(tmp_path, "app", "list").stdout
    assert "Sample app" in table
    assert app.secret not in table


def test_the_protocol_is_exported_and_staleness_found(tmp_path: Path) -> None:
    printed = json_of(command(tmp_path, "protocol", "export"))
    assert "playerState.LOGOUT" in [method["name"] for method in printed["methods"]]
    assert command(tmp_path, "protocol", "export", "--to", "p", "--check").returncode == 3
    assert command(tmp_path, "protocol", "export", "--to", "p").returncode == 0
    assert command(tmp_path, "protocol", "export", "--to", "p", "--check").returncode == 0


def test_dev_cert_keeps_its_key_to_itself_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    first = command(tmp_path, "dev-cert", "--name", "game.test")
    assert first.returncode == 0
    assert "gameserver serve --tls-cert certs/server.pem --tls-key certs/server.key" in first.stdout
    key = tmp_path / "certs/server.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    second = command(tmp_path, "dev-cert")
    assert second.returncode == 1
    assert "--force" in second.stderr
    assert key.read_bytes() == before
    assert command(tmp_path, "dev-cert", "--force").returncode == 0
    assert key.read_bytes() != before


def test_dev_cert_refuses_what_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bad name"):
        write(tmp_path, ["bad name\n"])


def test_help_teaches(tmp_path: Path) -> None:
    assert "Exit codes" in command(tmp_path, "--help").stdout
    assert "gameserver serve --ephemeral --seed 7" in command(tmp_path, "serve", "--help").stdout
    assert program(tmp_path, "version").stdout == "0.1.0\n"
    assert program(tmp_path, "nonsense").returncode == 2
