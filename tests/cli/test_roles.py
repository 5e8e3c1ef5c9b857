import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Running, command, json_of, running

VERSION = """
[backendless.versions.release]
application_id = "demo"
keys = { js = "js-key" }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("roles")
    (folder / "apps" / "demo").mkdir(parents=True)
    (folder / "apps" / "demo" / "app.toml").write_text(
        'id = "10001"\nsecret = "a-secret-for-tests-0123456789"\nsignature = "optional"\n'
        f'[backendless]\nroles = ["Moderator", "Guard"]\n{VERSION}'
    )
    with running(folder) as server:
        yield server


def ask(server: Running, *words: str) -> Any:
    return json_of(command(server.folder, "player", "role", *words, "--json"))


def test_roles_are_given_and_taken(server: Running) -> None:
    profile = server.log_in("ada")["data"]["profileId"]
    assert ask(server, "list", "10001", profile) == []
    assert ask(server, "add", "10001", profile, "Moderator") == ["Moderator"]
    assert ask(server, "add", "10001", profile, "Guard") == ["Guard", "Moderator"]
    assert ask(server, "add", "10001", profile, "Guard") == ["Guard", "Moderator"]
    assert command(server.folder, "player", "role", "list", "10001", profile).stdout == "Guard\nModerator\n"
    assert ask(server, "remove", "10001", profile, "Guard") == ["Moderator"]
    assert ask(server, "list", "10001", profile) == ["Moderator"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "10001", "{profile}", "King"), "Moderator, Guard"),
        (("add", "10001", "nobody", "Guard"), "no player nobody"),
        (("add", "99999", "{profile}", "Guard"), "no app 99999"),
        (("remove", "10001", "{profile}", "Guard"), "does not have the role"),
        (("remove", "10001", "nobody", "Guard"), "no player nobody"),
        (("list", "10001", "nobody"), "no player nobody"),
    ],
)
def test_what_cannot_be_done_is_said(server: Running, words: tuple[str, ...], said: str) -> None:
    profile = server.log_in(str(uuid.uuid4()))["data"]["profileId"]
    done = command(server.folder, "player", "role", *(word.format(profile=profile) for word in words))
    assert done.returncode == 1
    assert said in done.stderr


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = command(tmp_path, "player", "role", "list", "10001", "nobody")
    assert done.returncode == 1
    assert "no database" in done.stderr
