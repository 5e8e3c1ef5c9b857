"""What only its owner may read, and passwords that do not show in the list of processes."""

import json
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gameserver.players.mail import Letter, Mail
from gameserver.settings import Settings, prepare_data
from tests import warm
from tests.cli.running import command, environment, running
from tests.conftest import Game


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_handed() -> object:
    """What is private is so without the help of the umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_data_is_its_owners(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.log_in()
        assert mode(tmp_path / "data") == 0o700
        files = {path.name: mode(path) for path in (tmp_path / "data").iterdir() if path.is_file()}
        assert {"gameserver.db", "gameserver.db-wal", "server.json"} <= files.keys()
        assert set(files.values()) == {0o600}
        assert "folder_open_to_others" not in server.errors
    assert mode(tmp_path / "apps/sample/app.toml") == 0o600


def test_data_that_others_could_read_is_closed_and_its_folder_told_of(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    prepare_data(Settings(data=tmp_path / "data"))
    (tmp_path / "data" / "gameserver.db").chmod(0o644)
    with running(tmp_path) as server:
        server.log_in()
        for name in ("gameserver.db", "gameserver.db-wal"):
            assert mode(tmp_path / "data" / name) == 0o600
        [warning] = [json.loads(line) for line in server.errors.splitlines() if "folder_open_to" in line]
    assert (warning["folder"], warning["advice"]) == ("data", "chmod 700 data")
    assert mode(tmp_path / "data") == 0o755  # somebody may have meant it


def test_migrate_makes_data_for_its_owner(tmp_path: Path) -> None:
    assert command(tmp_path, "migrate").returncode == 0
    assert (mode(tmp_path / "data"), mode(tmp_path / "data/gameserver.db")) == (0o700, 0o600)


async def test_mail_in_the_outbox_is_its_owners(tmp_path: Path, game: Game) -> None:
    mail = Mail(tmp_path / "outbox")
    await mail.send(
        game.app,
        Letter(to="ada@example.com", from_address="game@example.com", subject="subject", text="a link"),
    )
    mail.close()
    [letter] = (tmp_path / "outbox").iterdir()
    assert (mode(tmp_path / "outbox"), mode(letter)) == (0o700, 0o600)


def test_certificates_are_their_owners_and_rsa(tmp_path: Path) -> None:
    """Mono's store of trusted authorities leaves out those with other keys."""
    assert command(tmp_path, "dev-cert").returncode == 0
    assert mode(tmp_path / "certs") == 0o700
    for path in (tmp_path / "certs").iterdir():
        assert mode(path) == 0o600
    for name in ("ca.pem", "server.pem"):
        certificate = x509.load_pem_x509_certificate((tmp_path / "certs" / name).read_bytes())
        assert isinstance(certificate.public_key(), RSAPublicKey)


# Passwords


@pytest.mark.parametrize(
    ("option", "url", "warns"),
    [
        ("--database", "postgresql://game:hush@127.0.0.1:1/game", True),
        ("--database", "postgresql://127.0.0.1:1/game?password=hush", True),
        ("--database", "postgresql://game@127.0.0.1:1/game", False),
        ("--redis", "redis://:hush@127.0.0.1:1/0", True),
        ("--redis", "redis://127.0.0.1:1/0", False),
    ],
)
def test_a_password_among_the_arguments_is_warned_of(
    tmp_path: Path, option: str, url: str, warns: bool
) -> None:
    done = command(tmp_path, "session", "list", "10001", option, url)
    warned = f"everybody on this machine can read the password in {option}" in done.stderr
    assert warned is warns
    assert "hush" not in done.stderr


@pytest.mark.parametrize("how", ["environment", "file", "environment and file"])
def test_a_password_elsewhere_is_read_and_not_warned_of(tmp_path: Path, how: str) -> None:
    url = "postgresql://game:hush@127.0.0.1:1/game"
    (tmp_path / "url").write_text(url + "\n")
    words = ["--database", "@url"] if how == "file" else []
    given = {"environment": url, "environment and file": "@url"}.get(how)
    settings = environment(tmp_path) | ({"GAMESERVER_DATABASE": given} if given else {})
    done = warm.run("gameserver", "migrate", *words, cwd=tmp_path, env=settings)
    assert done.returncode == 4  # it was read, and nobody is at that address
    assert "password" not in done.stderr
    assert "hush" not in done.stderr


def test_a_file_of_a_password_that_is_not_there(tmp_path: Path) -> None:
    done = command(tmp_path, "migrate", "--database", "@absent")
    assert done.returncode == 2
    assert "absent cannot be read: No such file or directory" in done.stderr
