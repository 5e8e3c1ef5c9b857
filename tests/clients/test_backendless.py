"""The official JavaScript client from npm, unmodified, against a server in a process of its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import APP_TOML
from tests.processes import serve

FOLDER = Path(__file__).parent / "js_backendless"
KEYS = {"APPLICATION_ID": "DEMO-APP", "JS_KEY": "js-key-1", "SERVER_KEY": "server-key-0123456789"}
SETTINGS = f"""
[login]
failures_per_address = 1000

[backendless]
roles = ["Moderator"]
login = {{}}

[backendless.versions.release]
application_id = "{KEYS["APPLICATION_ID"]}"
keys = {{ js = "{KEYS["JS_KEY"]}" }}
server_key = "{KEYS["SERVER_KEY"]}"

[backendless.properties.city]
max_length = 40
"""
Scenario = Callable[[str], Any]


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The packages, installed once."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            raise RuntimeError("Node.js with npm is needed")
        pytest.skip("Node.js with npm is not installed")
    if not (FOLDER / "node_modules" / "backendless").exists():
        subprocess.run(["npm", "install", "--silent"], cwd=FOLDER, check=True)
    return FOLDER / "node_modules"


@pytest.fixture(scope="module")
def run(
    node_modules: Path, tmp_path_factory: pytest.TempPathFactory, services: dict[str, str], migrated: object
) -> Iterator[Scenario]:
    """Run a scenario of scenarios.js in a process of Node."""
    folder = tmp_path_factory.mktemp("backendless")
    (folder / "apps" / "test").mkdir(parents=True)
    (folder / "apps" / "test" / "app.toml").write_text(APP_TOML + SETTINGS)
    options = [part for name, url in services.items() for part in (f"--{name}", url)]
    with serve(folder, *options) as server:

        def run(scenario: str) -> Any:
            done = subprocess.run(
                ["node", "scenarios.js", scenario],
                cwd=FOLDER,
                env={**os.environ, **KEYS, "SERVER_URL": server.url},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return json.loads(done.stdout.splitlines()[-1])

        yield run


def test_register_log_in_and_out(run: Scenario) -> None:
    told = run("session")
    assert isinstance(told["info"], dict)
    registered, login = told["registered"]["result"], told["login"]["result"]
    assert registered["email"] == told["user"]["email"]
    assert registered["___class"] == "Users"
    assert (registered["city"], registered["score"]) == ("Oslo", 7)
    assert "password" not in registered
    assert "user-token" not in registered
    assert told["current"] is None
    assert told["again"]["code"] == 3033
    assert login["objectId"] == registered["objectId"]
    assert isinstance(login["user-token"], str)
    assert "password" not in login
    assert told["valid"] == {"result": True}
    assert told["roles"] == {"result": ["AuthenticatedUser"]}
    assert told["logout"] == {"result": None}
    assert told["after"] == {"user": None, "token": None}


def test_a_dead_token_ends_in_a_client_that_knows_it_is_logged_out(run: Scenario) -> None:
    told = run("session")
    assert told["deadValid"] == {"result": False}
    assert told["deadRoles"]["code"] == 3064
    assert told["deadLogout"]["code"] == 3064
    assert told["end"] == {"user": None, "token": None}
    assert told["nobody"] == {"result": ["NotAuthenticatedUser"]}


def test_refusals_have_their_codes(run: Scenario) -> None:
    told = run("wrong")
    assert told["password"] == told["identity"]
    assert (told["password"]["code"], told["password"]["status"]) == (3003, 401)
    assert told["byId"]["code"] == 2014
    assert told["empty"]["code"] == 3011


def test_a_guest_becomes_a_user(run: Scenario) -> None:
    told = run("guest")
    guest, registered = told["login"]["result"], told["registered"]["result"]
    assert guest["userStatus"] == "GUEST"
    assert isinstance(guest["user-token"], str)
    assert told["roles"] == {"result": ["NotAuthenticatedUser"]}
    assert (registered["objectId"], registered["userStatus"]) == (guest["objectId"], "ENABLED")
    assert told["rolesAfter"] == {"result": ["AuthenticatedUser"]}
    assert told["again"]["result"]["objectId"] == guest["objectId"]


def test_a_login_survives_the_restart_of_the_client(run: Scenario) -> None:
    told = run("restart")
    assert told["valid"] == {"result": True}
    current, login = told["current"]["result"], told["login"]["result"]
    assert (current["objectId"], current["city"]) == (login["objectId"], "Rome")


def test_the_newest_login_wins(run: Scenario) -> None:
    assert run("other_device") == {"one": {"result": False}, "two": {"result": True}}


def test_users_change_themselves_and_nobody_else(run: Scenario) -> None:
    told = run("update")
    for user in (told["updated"]["result"], told["reloaded"]["result"]):
        assert (user["city"], user["tags"]) == ("Paris", ["a", {"b": 1}])
    assert told["tooLong"]["code"] == 8000
    assert told["another"]["code"] == 3029
    names = {column["name"] for column in told["columns"]["result"]}
    assert {"city", "email", "created", "updated", "objectId"} <= names


def test_roles_are_given_by_servers(run: Scenario) -> None:
    told = run("roles")
    assert told["byClient"]["code"] == 2011
    assert told["assigned"] == {"result": ""}
    assert told["mine"] == {"result": ["AuthenticatedUser", "Moderator"]}
    [found] = [u for u in told["found"]["result"] if u["objectId"] == told["registered"]["objectId"]]
    assert found["roles"] == ["Moderator"]
    assert told["system"]["code"] == 2007
    assert told["unsystem"]["code"] == 2008
    assert told["unknown"]["code"] == 2005
    assert told["unassigned"] == {"result": ""}
    assert told["after"] == {"result": ["AuthenticatedUser"]}


def test_a_disabled_user_is_out_at_once(run: Scenario) -> None:
    told = run("status")
    assert told["byClient"]["code"] == 3054
    assert told["disabled"] == {"result": ""}
    assert told["valid"] == {"result": False}
    assert told["refused"]["code"] == 3090
    assert told["logout"] == {"result": None}
    assert told["left"] is None
    assert told["seen"]["result"]["userStatus"] == "DISABLED"
    assert told["enabled"] == {"result": ""}
    assert told["login"]["result"]["userStatus"] == "ENABLED"


def test_passwords_and_mail(run: Scenario) -> None:
    told = run("password")
    assert told["byClient"]["code"] == 3122
    assert told["right"] == {"result": True}
    assert told["wrong"] == {"result": False}
    assert told["restore"] == {"result": ""}
    assert told["nobody"]["code"] == 3020
    assert told["resent"] == {"result": {}}
    assert told["url"]["result"]["confirmationURL"].startswith("http")
    assert told["urlByClient"]["code"] == 3054
