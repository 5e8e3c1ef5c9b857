"""Backup and restore of the embedded database: while a server writes, and after everything was lost."""

import os
import re
import shutil
import sqlite3
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest
from gameserver_client import Client, GameServerError

from tests.cli.running import ROOT, command
from tests.processes import serve
from tests.servers import postgres_binaries, postgresql, redis

APP = 'id = "20001"\nsecret = "a secret of the tests"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps" / "test").mkdir(parents=True)
    (tmp_path / "apps" / "test" / "app.toml").write_text(APP)
    return tmp_path


def name_of(url: str, who: str, *, create: bool = False) -> str:
    with Client(url, "20001", "a secret of the tests") as client:
        return str(client.authenticate_universal(who, "correct horse", force_create=create)["playerName"])


def test_a_backup_is_taken_while_players_play_and_restored_when_all_is_lost(folder: Path) -> None:
    with serve(folder) as server:
        with Client(server.url, "20001", "a secret of the tests") as client:
            client.authenticate_universal("ada", "correct horse")
            client.player_state.update_name(player_name="Ada")
        stop = threading.Event()

        def play() -> None:
            with Client(server.url, "20001", "a secret of the tests") as client:
                client.authenticate_universal("busy", "correct horse")
                number = 0
                while not stop.is_set():
                    client.player_state.update_name(player_name=f"{number}")
                    number += 1

        playing = threading.Thread(target=play)
        playing.start()
        done = command(folder, "backup", "copy.db")
        stop.set()
        playing.join()
        assert done.returncode == 0, done.stderr
        refused = command(folder, "restore", "copy.db", "--yes")
        assert (refused.returncode, "stop it first" in refused.stderr) == (1, True)
    shutil.rmtree(folder / "data")
    done = command(folder, "restore", "copy.db")
    assert done.returncode == 0, done.stderr
    assert (folder / "data" / "gameserver.db").stat().st_mode & 0o077 == 0
    with serve(folder) as server:
        assert name_of(server.url, "ada") == "Ada"


def test_what_was_there_is_kept_and_asked_for(folder: Path) -> None:
    with serve(folder) as server:
        assert command(folder, "backup", "copy.db").returncode == 0
        name_of(server.url, "late", create=True)
    assert command(folder, "restore", "copy.db", typed="n\n").returncode == 1
    done = command(folder, "restore", "copy.db", typed="y\n")
    assert "before-restore" in done.stdout
    with sqlite3.connect(folder / "data" / "gameserver.db.before-restore") as old:
        assert old.execute("SELECT count(*) FROM players").fetchone() == (1,)
    with sqlite3.connect(folder / "data" / "gameserver.db") as now:
        assert now.execute("SELECT count(*) FROM players").fetchone() == (0,)


@pytest.mark.parametrize("kind", ["nothing", "text", "cut", "foreign", "newer"])
def test_what_is_no_backup_changes_nothing(folder: Path, kind: str) -> None:
    with serve(folder):
        assert command(folder, "backup", "copy.db").returncode == 0
    bad = folder / "bad.db"
    match kind:
        case "text":
            bad.write_text("this is no database " * 1000)
        case "cut":
            bad.write_bytes((folder / "copy.db").read_bytes()[: -(1 << 15)])
        case "foreign":
            with sqlite3.connect(bad) as other:
                other.execute("CREATE TABLE players (id TEXT)")
        case "newer":
            shutil.copy(folder / "copy.db", bad)
            with sqlite3.connect(bad) as other:
                other.execute("UPDATE alembic_version SET version_num = '999901010000'")
                other.execute("UPDATE schema_compatible SET oldest = '999901010000'")
    before = (folder / "data" / "gameserver.db").read_bytes()
    done = command(folder, "restore", "bad.db", "--yes")
    assert done.returncode == 1, done.stdout
    assert done.stderr.strip()
    assert (folder / "data" / "gameserver.db").read_bytes() == before
    assert sorted(path.name for path in (folder / "data").glob("*.part*")) == []


def test_a_restore_that_is_cut_off_leaves_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(folder) as server:
        assert command(folder, "backup", "copy.db").returncode == 0
        name_of(server.url, "late", create=True)
    renamed = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if Path(target).name == "gameserver.db":
            raise OSError("the power is gone")
        return renamed(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        assert command(folder, "restore", "copy.db", "--yes").returncode == 1
    with sqlite3.connect(folder / "data" / "gameserver.db") as now:
        assert now.execute("SELECT count(*) FROM players").fetchone() == (1,)
    assert command(folder, "restore", "copy.db", "--yes").returncode == 0
    with sqlite3.connect(folder / "data" / "gameserver.db") as now:
        assert now.execute("SELECT count(*) FROM players").fetchone() == (0,)


def test_a_backup_is_not_written_over(folder: Path) -> None:
    with serve(folder):
        assert command(folder, "backup", "copy.db").returncode == 0
        again = command(folder, "backup", "copy.db")
    assert (again.returncode, "exists" in again.stderr) == (1, True)
    assert command(folder, "backup", "--data", "elsewhere").returncode == 1
    assert command(folder, "backup", "--database", "postgresql://game@db/game").returncode == 2


def test_postgresql_is_restored_when_all_is_lost(folder: Path) -> None:
    page = (ROOT / "docs" / "backup.md").read_text("utf-8")
    [dump, restore] = re.findall(r"^```sh\n(pg_dump.*?|dropdb.*?)^```$", page, re.DOTALL | re.MULTILINE)
    with postgresql() as url, redis() as sessions:
        bash = partial(_bash, folder, url, sessions)
        options = ("--database", url, "--redis", sessions)
        assert command(folder, "migrate", "--database", url).returncode == 0
        with (
            serve(folder, *options) as server,
            Client(server.url, "20001", "a secret of the tests") as client,
        ):
            client.authenticate_universal("ada", "correct horse")
            client.player_state.update_name(player_name="Ada")
        bash(dump)
        with serve(folder, *options) as server:
            name_of(server.url, "late", create=True)
        bash(restore)
        with serve(folder, *options) as server:
            assert name_of(server.url, "ada") == "Ada"
            with pytest.raises(GameServerError):
                name_of(server.url, "late")


def _bash(folder: Path, database: str, sessions: str, script: str) -> None:
    """Run lines of the page, with the addresses of the tests for those of the page."""
    host = database.partition("host=")[2]
    script = script.replace("postgresql://game@db/game", database).replace(
        "-h db -U game", f"-h {host} -U game"
    )
    script = script.replace("redis-cli -h cache", f"redis-cli -s {sessions.removeprefix('unix://')}")
    path = f"{postgres_binaries()}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
